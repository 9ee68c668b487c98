package modules

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

type readCloser = io.ReadCloser

func (w *world) config(t testing.TB, dir string) Config {
	return Config{Client: w.Client, SourceDir: dir, Dir: t.TempDir()}
}

func TestFill(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	cfg := w.config(t, w.tree(t, application))
	cfg.Client.Go, cfg.Client.NoSumDB = cfg.Client.With("GONOSUMDB=example.com/*", "GOFLAGS=-mod=mod"), "example.com/*"
	cfg.Time = time.Unix(1700000000, 0)
	c, err := FillCache(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing tells when that was.
	err = filepath.WalkDir(c.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err != nil || !info.ModTime().Equal(cfg.Time) {
			t.Errorf("%s: %v, %v", name, info.ModTime(), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Dir != cfg.Dir || c.SumDB != "off" || c.NoSumDB != "example.com/*" || c.Vendored {
		t.Errorf("got %+v", c)
	}
	// Now the proxy is not needed any more.
	g := w.With("GOPROXY=off", "GOMODCACHE="+c.Dir, "GOFLAGS=-mod=readonly")
	if out, err := g.Run(t.Context(), cfg.SourceDir, "list", "-deps", "-f={{.ImportPath}}", "./..."); err != nil || !strings.Contains(string(out), "example.com/dep") {
		t.Errorf("offline: %s, %v", out, err)
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(filepath.Join(c.Dir, "example.com", "dep@v1.2.3"))
		if err != nil || info.Mode()&0o200 == 0 {
			t.Errorf("a folder of the cache cannot be removed: %v, %v", info, err)
		}
	}
}

// A lazy cache gets what the packages need, and no more.
func TestFillLazy(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	cfg := w.config(t, w.tree(t, strings.NewReplacer("require example.com/dep v1.2.3", "require (\n\texample.com/dep v1.2.3\n\texample.com/idle v0.1.0\n)",
		"SUM example.com/dep v1.2.3\n", "SUM example.com/dep v1.2.3\nSUM example.com/idle v0.1.0\n").Replace(application)))
	cfg.Lazy = true
	c, err := FillCache(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	q := Query{Go: w.With(c.Env...), Tree: cfg.SourceDir, Dir: cfg.SourceDir, Flags: []string{"-mod=readonly"}, Packages: []string{"./cmd/x"}}
	before, err := Describe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"dep@v1.2.3": true, "idle@v0.1.0": false} {
		if _, err := os.Stat(filepath.Join(c.Dir, "example.com", name)); (err == nil) != want {
			t.Errorf("%s: %v; want it there: %v", name, err, want)
		}
	}
	q.Go = w.With("GOMODCACHE="+c.Dir, "GOPROXY=off")
	if after, err := Describe(t.Context(), q); err != nil || len(before[0].Modules) != 1 || !slices.Equal(after[0].Modules, before[0].Modules) {
		t.Errorf("offline: %+v, %v; want %+v", after, err, before)
	}
	write(t, filepath.Join(cfg.SourceDir, "go.sum"), strings.Replace(w.sums["example.com/dep v1.2.3"], "h1:", "h1:AAA", 1))
	cfg.Dir = t.TempDir()
	if c, err = FillCache(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	q.Go = w.With(c.Env...)
	if _, err := Describe(t.Context(), q); err == nil || !strings.Contains(err.Error(), "checksum mismatch") {
		t.Errorf("another hash: %v", err)
	}
}

// Modules that only a tool or an unpruned graph needs are there, too.
func TestFillEverythingThatIsNamed(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	w.add(t, "example.com/tool", "v0.2.0", `
-- go.mod --
module example.com/tool

require example.com/idle v0.1.0
-- main.go --
package main

import _ "example.com/idle"

func main() {}
`)
	cfg := w.config(t, w.tree(t, `
-- go.mod --
module example.com/app

go 1.24

tool example.com/tool

require (
	example.com/idle v0.1.0 // indirect
	example.com/tool v0.2.0 // indirect
)
-- go.sum --
SUM example.com/idle v0.1.0
SUM example.com/tool v0.2.0
`))
	c, err := FillCache(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := w.With("GOPROXY=off", "GOMODCACHE="+c.Dir, "GOFLAGS=-mod=readonly")
	if out, err := g.Run(t.Context(), cfg.SourceDir, "list", "-deps", "-f={{.ImportPath}}", "tool"); err != nil || !strings.Contains(string(out), "example.com/idle") {
		t.Errorf("offline: %s, %v", out, err)
	}
}

func TestFillReuse(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	// A folder whose name has all that could end a URL in GOPROXY.
	mine := filepath.Join(t.TempDir(), "a, b|c %41 d?e#f")
	if runtime.GOOS == "windows" {
		mine = filepath.Join(t.TempDir(), "a, b %41 d#f")
	}
	first := w.config(t, w.tree(t, application))
	first.Dir = mine
	if err := os.MkdirAll(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FillCache(t.Context(), first); err != nil {
		t.Fatal(err)
	}

	cfg := w.config(t, w.tree(t, application))
	cfg.Client, cfg.Reuse = w.Client, mine
	cfg.Client.Proxy = "off"
	if _, err := FillCache(t.Context(), cfg); err != nil {
		t.Errorf("without a network: %v", err)
	}
	// What the user's cache does not have comes from the proxy.
	cfg = w.config(t, w.tree(t, application))
	cfg.Reuse = t.TempDir()
	if _, err := FillCache(t.Context(), cfg); err != nil {
		t.Errorf("empty cache: %v", err)
	}
	// A zip that was changed in the user's cache is found.
	w.add(t, "example.com/dep", "v1.2.3", "-- go.mod --\nmodule example.com/dep\n\ngo 1.21\n-- dep.go --\npackage dep // evil\n")
	evil, err := os.ReadFile(filepath.Join(w.proxy, "cache/download/example.com/dep/@v/v1.2.3.zip"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(mine, "cache/download/example.com/dep/@v/v1.2.3.zip"), string(evil))
	cfg = w.config(t, first.SourceDir)
	cfg.Client, cfg.Reuse = w.Client, mine
	cfg.Client.Proxy = "off"
	if _, err := FillCache(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "checksum mismatch") {
		t.Errorf("a changed zip: %v", err)
	}
}

func TestFillVendored(t *testing.T) {
	w := newWorld(t)
	vendored := `
-- go.mod --
module example.com/app

go 1.21

require example.com/dep v1.2.3
-- vendor/modules.txt --
# example.com/dep v1.2.3
## explicit; go 1.21
example.com/dep
-- vendor/example.com/dep/dep.go --
package dep
-- main.go --
package main

import _ "example.com/dep"

func main() {}
`
	cfg := w.config(t, w.tree(t, vendored))
	cfg.Client.Path = filepath.Join(cfg.Dir, "no go command is run")
	c, err := FillCache(t.Context(), cfg)
	if err != nil || !c.Vendored {
		t.Fatalf("got %+v, %v", c, err)
	}
	left, err := os.ReadDir(c.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("in the cache: %v, %v", left, err)
	}
	mains, err := Describe(t.Context(), Query{Go: w.With(c.Env...), Tree: cfg.SourceDir, Dir: cfg.SourceDir, Flags: []string{"-mod=vendor"}, Packages: []string{"."}})
	if err != nil {
		t.Fatal(err)
	}
	if m := mains[0].Modules; len(m) != 1 || m[0].Path != "example.com/dep" || m[0].Version != "v1.2.3" || m[0].Sum != "" {
		t.Errorf("modules: %+v", m)
	}

	// Before go 1.14, the go command does not look there.
	w.dependencies(t)
	cfg = w.config(t, w.tree(t, `
-- go.mod --
module example.com/app

go 1.13

require example.com/idle v0.1.0
-- go.sum --
SUM example.com/idle v0.1.0
-- vendor/modules.txt --
# example.com/idle v0.1.0
## explicit
`))
	if c, err := FillCache(t.Context(), cfg); err != nil || c.Vendored {
		t.Errorf("go 1.13: %+v, %v", c, err)
	}
}

func TestFillErrors(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	replace := func(old, new string) string {
		if !strings.Contains(application, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(application, old, new, 1)
	}
	for _, tt := range []struct {
		name, files, want string
		hint              bool
	}{
		{"no go.mod", "-- main.go --\npackage main\n", "no go.mod", true},
		{"go.mod is no go.mod", "-- go.mod --\nmodule (\n", "go.mod:", false},
		{"no go.sum", strings.Replace(application, "-- go.sum --\nSUM example.com/dep v1.2.3\n", "", 1), "go.sum lacks", true},
		{"go.sum lacks a line", replace("SUM example.com/dep v1.2.3\n", ""), "go.sum lacks", true},
		{"another hash", replace("SUM example.com/dep v1.2.3\n", "example.com/dep v1.2.3 h1:ICeL3t2L30ljSPHHxDnR4fqVcBt/zR2zJAb9juavmQg=\n"), "mismatch", false},
		{"another hash of go.mod", replace("SUM example.com/dep v1.2.3\n", "example.com/dep v1.2.3/go.mod h1:ICeL3t2L30ljSPHHxDnR4fqVcBt/zR2zJAb9juavmQg=\n"), "mismatch", false},
		{"no such version", replace("dep v1.2.3\n--", "dep v1.9.9\n--"), "v1.9.9", false},
		{"a later go", replace("go 1.21", "go 1.999.1"), "1.999.1", false},
		{"syntax error", replace("go 1.21", "go one"), "go.mod", false},
	} {
		cfg := w.config(t, w.tree(t, tt.files))
		c, err := FillCache(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %+v, %v; want an error with %q", tt.name, c, err, tt.want)
			continue
		}
		if h := (interface{ Remedy() string })(nil); errors.As(err, &h) != tt.hint {
			t.Errorf("%s: hint is %v with %v", tt.name, !tt.hint, err)
		}
	}

	cfg := w.config(t, w.tree(t, application))
	write(t, filepath.Join(cfg.Dir, "x"), "")
	if _, err := FillCache(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a cache that is not empty: %v", err)
	}
	cfg = w.config(t, "app")
	if _, err := FillCache(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("relative: %v", err)
	}
	dir := w.tree(t, application)
	symlink(t, filepath.Join(dir, "go.mod"), filepath.Join(dir, "modules.txt"))
	if err := os.MkdirAll(filepath.Join(dir, "vendor"), 0o755); err != nil {
		t.Fatal(err)
	}
	symlink(t, filepath.Join(dir, "go.mod"), filepath.Join(dir, "vendor", "modules.txt"))
	if _, err := FillCache(t.Context(), w.config(t, dir)); err == nil {
		t.Error("vendor/modules.txt may not be a link")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FillCache(ctx, w.config(t, w.tree(t, application))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
