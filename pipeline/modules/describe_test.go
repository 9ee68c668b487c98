package modules

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/recipe"
	"golang.org/x/mod/module"
)

// query fills a cache for the module at dir in tree and returns a query on it.
func (w *world) query(t testing.TB, tree, dir string, packages ...string) Query {
	t.Helper()
	dir = filepath.Join(tree, dir)
	c, err := FillCache(t.Context(), w.config(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	g := w.With("GOMODCACHE="+c.Dir, "GOPROXY=off", "GOWORK=off", "GOOS=linux", "GOARCH=arm64")
	return Query{Go: g, Tree: tree, Dir: dir, Flags: []string{"-mod=readonly"}, Packages: packages}
}

// sum returns the h1: hash of a module in the proxy.
func (w *world) sum(path, version string) string {
	return strings.Fields(w.sums[path+" "+version])[2]
}

func TestDescribe(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	tree := w.tree(t, `
-- sub/go.mod --
module example.com/app

go 1.21

require (
	example.com/dep v1.2.3
	example.com/forked v1.0.0
	example.com/idle v0.1.0
	example.com/local v0.0.0
)

replace (
	example.com/forked => example.com/fork v1.2.4
	example.com/local => ../local
)
-- sub/go.sum --
SUM example.com/dep v1.2.3
SUM example.com/fork v1.2.4
SUM example.com/idle v0.1.0
-- local/go.mod --
module example.com/local
-- local/l.go --
package local
-- sub/cmd/x/main.go --
package main

import (
	_ "embed"
	_ "example.com/app/lib"
	_ "example.com/dep"
	_ "example.com/forked"
	_ "example.com/local"
)

//go:embed default.pgo
var text string

func main() {}
-- sub/cmd/x/default.pgo --
GO PREPROFILE V1
-- sub/cmd/x/x_arm64.go --
package main
-- sub/cmd/x/x_amd64.go --
package main
-- sub/cmd/x/tagged.go --
//go:build tagged

package main

import _ "example.com/idle"
-- sub/cmd/y/main.go --
package main

func main() {}
-- sub/cmd/y/c.go --
package main

// int x;
import "C"
-- sub/lib/lib.go --
package lib
`)
	// The fork says that it is example.com/dep, and has to be used under that name.
	w.add(t, "example.com/fork", "v1.2.4", "-- go.mod --\nmodule example.com/fork\n-- f.go --\npackage forked\n")
	write(t, filepath.Join(tree, "sub", "go.sum"), w.sums["example.com/dep v1.2.3"]+w.sums["example.com/fork v1.2.4"]+w.sums["example.com/idle v0.1.0"])

	q := w.query(t, tree, "sub", "./cmd/y", "./cmd/x")
	mains, err := Describe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	y, x := mains[0], mains[1]
	if y.ImportPath != "example.com/app/cmd/y" || y.Pattern != "./cmd/y" || len(y.Modules) != 0 || len(y.Cgo) != 0 {
		t.Errorf("y: %+v", y)
	}
	if x.ImportPath != "example.com/app/cmd/x" || x.Name != "main" || x.Dir != filepath.Join(tree, "sub", "cmd", "x") ||
		!slices.Equal(x.GoFiles, []string{"main.go", "x_arm64.go"}) || !slices.Equal(x.EmbedFiles, []string{"default.pgo"}) {
		t.Errorf("x: %+v", x.Package)
	}
	want := []recipe.Module{
		{Path: "example.com/dep", Version: "v1.2.3", Sum: w.sum("example.com/dep", "v1.2.3")},
		{Path: "example.com/forked", Version: "v1.0.0", Replace: "example.com/fork@v1.2.4", Sum: w.sum("example.com/fork", "v1.2.4")},
		{Path: "example.com/local", Version: "v0.0.0", Replace: "local"},
	}
	if !slices.Equal(x.Modules, want) {
		t.Errorf("modules:\n%+v, want\n%+v", x.Modules, want)
	}
	if p, ok := x.Dependency("runtime"); !ok || !p.Standard {
		t.Errorf("runtime: %+v, %v", p, ok)
	}
	if p, ok := x.Dependency("example.com/idle"); ok {
		t.Errorf("not a dependency: %+v", p)
	}

	// Files are taken whatever their constraints are.
	files := q
	files.Packages, files.Files = nil, []string{"./cmd/x/main.go", "./cmd/x/tagged.go"}
	if mains, err = Describe(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	if f := mains[0]; len(mains) != 1 || f.ImportPath != "command-line-arguments" || !slices.Equal(f.GoFiles, []string{"main.go", "tagged.go"}) || len(f.Modules) != 4 {
		t.Errorf("files: %+v", mains)
	}
	for _, bad := range [][]string{{"./cmd/x"}, {"./cmd/../x.go"}, {"-x.go"}, {"cmd/x/main.go"}, {"./nosuch.go"}, {"./lib/lib.go"}} {
		files.Files = bad
		if _, err := Describe(t.Context(), files); err == nil {
			t.Errorf("files %q: no error", bad)
		}
	}
	files.Files, files.Packages = []string{"./cmd/x/main.go"}, []string{"./cmd/y"}
	if _, err := Describe(t.Context(), files); err == nil {
		t.Error("files beside a package: no error")
	}

	q.Flags = append(q.Flags, "-tags=tagged")
	if mains, err = Describe(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if _, ok := mains[1].Dependency("example.com/idle"); !ok || len(mains[1].Modules) != 4 {
		t.Errorf("with -tags: %+v", mains[1].Modules)
	}

	q.Go = q.Go.With("CGO_ENABLED=1", "GOARCH=amd64")
	if mains, err = Describe(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(mains[0].Cgo, []string{"example.com/app/cmd/y", "runtime/cgo"}) || len(mains[1].Cgo) != 0 {
		t.Errorf("cgo: %q, %q", mains[0].Cgo, mains[1].Cgo)
	}
}

func TestDescribeErrors(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	tree := w.tree(t, application+`
-- lib/lib.go --
package lib
-- empty/README --
-- excluded/main.go --
//go:build plan9

package main
-- cycle/a/a.go --
package main

import _ "example.com/app/cycle/b"
-- cycle/b/b.go --
package b

import _ "example.com/app/cycle/c"
-- cycle/c/c.go --
package c

import _ "example.com/app/cycle/b"
-- missing/main.go --
package main

import _ "example.com/nowhere"

func main() {}
-- broken/main.go --
package main

import _ "fmt
-- embeds/main.go --
package main

import _ "embed"

//go:embed generated.txt
var text string

func main() {}
-- two/a.go --
package main
-- two/b.go --
package two
`)
	q := w.query(t, tree, ".")
	for pattern, want := range map[string]string{
		"./lib":              "is package lib, not a main package",
		"./empty":            "no Go files in",
		"./excluded":         "build constraints exclude all Go files",
		"./cycle/a":          "import cycle not allowed",
		"./missing":          "cannot find module providing package example.com/nowhere",
		"./broken":           "main.go:3:10: string literal not terminated",
		"./embeds":           "main.go:5:12: pattern generated.txt: no matching files found",
		"./two":              "found packages main (a.go) and two (b.go)",
		"./nosuch":           "directory not found",
		"example.com/no/x":   "cannot find module providing package",
		"../outside":         "directory not found",
		"./...":              "want one package",
		"cmd/x/main.go":      "want one package",
		"-x":                 "want one package",
		"":                   "want one package",
		"all":                "want one package",
		"example.com/dep@v1": "want one package",
	} {
		q.Packages = []string{"./cmd/x", pattern}
		mains, err := Describe(t.Context(), q)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), pattern) {
			t.Errorf("%s: got %+v, %v; want an error with %q", pattern, mains, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "package ./cmd/x:") {
			t.Errorf("%s: ./cmd/x is blamed, too: %v", pattern, err)
		}
	}
	// Both are told at once.
	q.Packages = []string{"./lib", "./empty"}
	if _, err := Describe(t.Context(), q); err == nil || !strings.Contains(err.Error(), "./lib") || !strings.Contains(err.Error(), "./empty") {
		t.Errorf("two at once: %v", err)
	}
	q.Packages = nil
	if _, err := Describe(t.Context(), q); err == nil {
		t.Error("no packages, no error")
	}
	q.Packages = []string{"./cmd/x"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Describe(ctx, q); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	q.Go = q.Go.With("GOMODCACHE=" + t.TempDir())
	if _, err := Describe(t.Context(), q); err == nil || !strings.Contains(err.Error(), "module lookup disabled by GOPROXY=off") {
		t.Errorf("an empty cache: %v", err)
	}
}

// A go.sum with the hash of go.mod alone is enough for FillCache, and not for a build.
func TestDescribeWithoutSum(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	tree := w.tree(t, application)
	_, mod, _ := strings.Cut(w.sums["example.com/dep v1.2.3"], "\n")
	write(t, filepath.Join(tree, "go.sum"), mod)
	_, err := Describe(t.Context(), w.query(t, tree, ".", "./cmd/x"))
	if err == nil || !strings.Contains(err.Error(), "missing go.sum entry") {
		t.Errorf("got %v", err)
	}
}

func TestReplacedOutside(t *testing.T) {
	w := newWorld(t)
	outside := w.tree(t, "-- go.mod --\nmodule example.com/dep\n-- d.go --\npackage dep\n\nconst Default = \"\"\n")
	files := func(dir string) string {
		return strings.Replace(application, "-- go.sum --\nSUM example.com/dep v1.2.3\n", "\nreplace example.com/dep => "+dir+"\n", 1)
	}
	for _, tt := range []struct{ name, dir string }{
		{"absolute", filepath.ToSlash(outside)},
		{"relative", "../" + filepath.Base(outside)},
		{"through a link", "./link"},
	} {
		tree := w.tree(t, files(tt.dir))
		if tt.name == "relative" {
			tree = filepath.Join(filepath.Dir(outside), "app")
			if err := os.Rename(w.tree(t, files(tt.dir)), tree); err != nil {
				t.Fatal(err)
			}
		}
		if tt.name == "through a link" {
			symlink(t, outside, filepath.Join(tree, "link"))
		}
		_, err := Describe(t.Context(), w.query(t, tree, ".", "./cmd/x"))
		if err == nil || !strings.Contains(err.Error(), "local replace outside of the source tree") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestReadSums(t *testing.T) {
	name := filepath.Join(t.TempDir(), "go.sum")
	if sums, err := readSums(name); err != nil || len(sums) != 0 {
		t.Errorf("no file: %v, %v", sums, err)
	}
	write(t, name, "a v1 h1:x\r\na v1/go.mod h1:y\nb v1 h2:z\n\nc v1 h1:1\nc v1 h1:2\nc v1 h1:1\nd v1 h1:3\nd v1 h1:3\njunk\n")
	sums, err := readSums(name)
	if err != nil {
		t.Fatal(err)
	}
	for m, want := range map[string]string{"a": "h1:x", "b": "", "c": "", "d": "h1:3"} {
		if got := sums[module.Version{Path: m, Version: "v1"}]; got != want {
			t.Errorf("%s: %q, want %q", m, got, want)
		}
	}
}

// Whatever go.sum holds, what comes out stands in it.
func FuzzReadSums(f *testing.F) {
	f.Add("a v1 h1:x\na v1/go.mod h1:y\n")
	f.Add("a v1 h1:x\na v1 h1:y\na v1 h1:y\n")
	f.Fuzz(func(t *testing.T, data string) {
		name := filepath.Join(t.TempDir(), "go.sum")
		write(t, name, data)
		sums, err := readSums(name)
		if err != nil {
			return
		}
		for m, sum := range sums {
			if sum == "" {
				continue
			}
			if !strings.HasPrefix(sum, "h1:") || strings.HasSuffix(m.Version, "/go.mod") || !strings.Contains(data, sum) {
				t.Errorf("%v: %q", m, sum)
			}
		}
	})
}
