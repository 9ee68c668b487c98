package source

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/twicebuild/twice/pipeline/gocmd"
)

// proxy is a module proxy made of files.
type proxy struct {
	dir string
}

func (p proxy) add(t *testing.T, path, version, info string, files map[string]string) {
	t.Helper()
	escaped, err := module.EscapePath(path)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(p.dir, filepath.FromSlash(escaped), "@v", version)
	if err := os.MkdirAll(filepath.Dir(base), 0o777); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	mod := "module " + path + "\n"
	for name, text := range files {
		w, err := z.Create(path + "@" + version + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
		if name == "go.mod" {
			mod = text
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for suffix, data := range map[string]string{".info": info, ".mod": mod, ".zip": b.String()} {
		if err := os.WriteFile(base+suffix, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func (p proxy) command(t *testing.T) gocmd.Go {
	t.Helper()
	goCmd, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	home := t.TempDir()
	return gocmd.Go{Path: goCmd, Env: []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "SystemRoot=" + os.Getenv("SystemRoot"),
		"GOPROXY=file://" + filepath.ToSlash(p.dir), "GOSUMDB=off", "GOTOOLCHAIN=local", "GOFLAGS=-mod=mod -modcacherw",
		"GOMODCACHE=" + filepath.Join(home, "mod"), "GOCACHE=" + filepath.Join(home, "cache"), "GOTELEMETRY=off"}}
}

var moduleFiles = map[string]string{
	"go.mod": "module example.com/Tool\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n", "a/b/c.txt": "c\r\n", ".gitattributes": "* text\n",
}

func TestModule(t *testing.T) {
	p := proxy{t.TempDir()}
	p.add(t, "example.com/Tool", "v1.2.3", `{"Version":"v1.2.3","Time":"2026-01-02T15:04:05+02:00"}`, moduleFiles)
	// A workspace and a module around the scratch folder have no say.
	around := t.TempDir()
	os.WriteFile(filepath.Join(around, "go.mod"), []byte("module x\nreplace example.com/Tool => ./none\n"), 0o666)
	os.WriteFile(filepath.Join(around, "go.work"), []byte("go 1.26\nuse ./none\n"), 0o666)
	m, err := OpenModule(t.Context(), p.command(t), "example.com/Tool@v1.2.3", filepath.Join(around, "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	src := m.Identity()
	if src.Module != "example.com/Tool" || src.Version != "v1.2.3" || src.Dir != "." || src.Commit != "" || !strings.HasPrefix(src.Sum, "h1:") {
		t.Errorf("source %+v", src)
	}
	if m.Version() != "1.2.3" || m.Tag() != "v1.2.3" || m.Dirty() || m.Time().String() != "2026-01-02 13:04:05 +0000 UTC" {
		t.Errorf("version %q tag %q time %s", m.Version(), m.Tag(), m.Time())
	}
	want := map[string]string{}
	for name, text := range moduleFiles {
		want[filepath.FromSlash(name)] = "- " + text
	}
	for _, order := range []Order{Sorted, Reversed} {
		d := &user{t, "", filepath.Join(t.TempDir(), "dest")}
		if err := m.Checkout(t.Context(), d.dir, order); err != nil {
			t.Fatal(err)
		}
		d.wantFiles(want)
		d.write("main.go", "writable")
		wantErr(t, m.Checkout(t.Context(), d.dir, order), "not empty")
	}

	// The zip changes after it was opened.
	os.Chmod(m.zip, 0o666)
	p.add(t, "example.com/Tool", "v1.2.3", "{}", map[string]string{"go.mod": "module example.com/Tool\n", "main.go": "package evil\n"})
	if data, err := os.ReadFile(filepath.Join(p.dir, "example.com", "!tool", "@v", "v1.2.3.zip")); err != nil {
		t.Fatal(err)
	} else if err := os.WriteFile(m.zip, data, 0o666); err != nil {
		t.Fatal(err)
	}
	wantErr(t, m.Checkout(t.Context(), t.TempDir(), Sorted), "has sum")
}

// TestModuleCache has somebody who wrote to the module cache.
func TestModuleCache(t *testing.T) {
	p := proxy{t.TempDir()}
	const info = `{"Version":"v1.2.3","Time":"2026-01-02T15:04:05Z"}`
	p.add(t, "example.com/tool", "v1.2.3", info, map[string]string{"go.mod": "module example.com/tool\n"})
	cmd := p.command(t)
	m, err := OpenModule(t.Context(), cmd, "example.com/tool@v1.2.3", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p.add(t, "example.com/tool", "v1.2.3", info, map[string]string{"go.mod": "module example.com/tool\n", "evil.go": "package evil\n"})
	data, err := os.ReadFile(filepath.Join(p.dir, "example.com", "tool", "@v", "v1.2.3.zip"))
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(m.zip, 0o666)
	if err := os.WriteFile(m.zip, data, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = OpenModule(t.Context(), cmd, "example.com/tool@v1.2.3", t.TempDir())
	wantErr(t, err, "go clean -modcache")
}

func TestModuleRefused(t *testing.T) {
	p := proxy{t.TempDir()}
	const info = `{"Version":"v1.0.0","Time":"2026-01-02T15:04:05Z"}`
	gomod := map[string]string{"go.mod": "module x\n"}
	p.add(t, "example.com/nomod", "v1.0.0", info, map[string]string{"a.go": "package a\n"})
	p.add(t, "example.com/notime", "v1.0.0", `{"Version":"v1.0.0"}`, gomod)
	p.add(t, "example.com/escape", "v1.0.0", info, map[string]string{"go.mod": "module x\n", "../../evil": "x"})
	p.add(t, "example.com/collide", "v1.0.0", info, map[string]string{"go.mod": "module x\n", "A": "x", "a": "x"})
	cmd := p.command(t)
	for arg, want := range map[string]string{
		"":                               "no version",
		"example.com/x":                  "no version",
		"example.com/x@latest":           "exact version",
		"example.com/x@v1":               "exact version",
		"example.com/x@v1.2":             "exact version",
		"example.com/x@main":             "exact version",
		"example.com/x@v1.2.3+meta":      "exact version",
		"example.com/x@v2.0.0":           "exact version",
		"-modcacherw@v1.0.0":             "malformed",
		"example.com/-x/../y@v1.0.0":     "malformed",
		"./x@v1.0.0":                     "malformed",
		"example.com/x@v1.0.0@v1.0.0":    "exact version",
		"example.com/missing@v1.0.0":     "go mod download",
		"example.com/nomod@v1.0.0":       "no go.mod",
		"example.com/notime@v1.0.0":      "no time",
		"example.com/escape@v1.0.0":      "evil",
		"example.com/collide@v1.0.0":     "collision",
		"example.com/x y@v1.0.0":         "malformed",
		"example.com/x\x00y@v1.0.0":      "malformed",
		"example.com/x@v1.0.0 -o=/tmp/x": "exact version",
	} {
		_, err := OpenModule(t.Context(), cmd, arg, t.TempDir())
		t.Run(arg, func(t *testing.T) { wantErr(t, err, want) })
	}
	_, err := OpenModule(t.Context(), gocmd.Go{Path: "go"}, "example.com/x@v1.0.0", t.TempDir())
	wantErr(t, err, "go: not found")
	_, err = OpenModule(t.Context(), gocmd.Go{Path: filepath.Join(t.TempDir(), "go")}, "example.com/x@v1.0.0", t.TempDir())
	wantErr(t, err, "go: not found")
}

func TestPseudoVersionHasNoTag(t *testing.T) {
	m := &Module{mod: module.Version{Path: "example.com/x", Version: "v0.0.0-20260102150405-abc123def456"}}
	if m.Tag() != "" || m.Version() != "0.0.0-20260102150405-abc123def456" {
		t.Errorf("tag %q version %q", m.Tag(), m.Version())
	}
}

// FuzzModuleZip: whatever the zip, what a Checkout leaves without an error has
// the sum it promised and lies in the folder.
func FuzzModuleZip(f *testing.F) {
	seed := func(names ...string) {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, n := range names {
			w, _ := z.Create(n)
			w.Write([]byte(n))
		}
		z.Close()
		f.Add(b.Bytes())
	}
	seed()
	seed("example.com/x@v1.0.0/go.mod", "example.com/x@v1.0.0/a/b")
	seed("example.com/x@v1.0.0/../go.mod")
	seed("example.com/x@v1.0.0/a", "example.com/x@v1.0.0/a/b")
	seed("example.com/x@v1.0.0/dir/", "example.com/x@v1.0.0/")
	seed("/etc/passwd", "other@v1.0.0/x")
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		name := filepath.Join(dir, "x.zip")
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		sum, err := dirhash.HashZip(name, dirhash.Hash1)
		if err != nil {
			return
		}
		m := &Module{mod: module.Version{Path: "example.com/x", Version: "v1.0.0"}, sum: sum, zip: name}
		dest := filepath.Join(dir, "dest")
		err = m.Checkout(t.Context(), dest, Reversed)
		if list, _ := os.ReadDir(dir); len(list) > 2 {
			t.Fatalf("wrote outside: %v", list)
		}
		if err != nil {
			return
		}
		if got, err := dirhash.HashDir(dest, "example.com/x@v1.0.0", dirhash.Hash1); err != nil || got != sum {
			t.Fatalf("sum %s, %v; want %s", got, err, sum)
		}
	})
}
