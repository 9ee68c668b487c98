package modules

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/gocmd"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
	"golang.org/x/tools/txtar"
)

// world is a module proxy in a folder, a go command that knows nothing else,
// and the go.sum lines of the proxy's modules.
type world struct {
	proxy string
	gocmd.Client
	sums map[string]string // "path version" -> two lines of go.sum
}

func newWorld(t testing.TB) *world {
	t.Helper()
	gocommand, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{proxy: t.TempDir(), sums: map[string]string{}}
	home := t.TempDir()
	// A telemetry process would go on writing there while the test cleans up.
	write(t, filepath.Join(home, ".config", "go", "telemetry", "mode"), "off")
	proxy, err := gocmd.FileProxy(w.proxy)
	if err != nil {
		t.Fatal(err)
	}
	w.Go = gocmd.Go{Path: gocommand, Env: []string{
		"HOME=" + home, "PATH=" + filepath.Dir(gocommand), "GOENV=off", "GOSUMDB=off", "GOTOOLCHAIN=local",
		"GOPROXY=" + proxy, "CGO_ENABLED=0",
	}}
	w.Proxy, w.SumDB = proxy, "off"
	return w
}

// add puts a module in the proxy; files is a txtar archive.
func (w *world) add(t testing.TB, path, version, files string) {
	t.Helper()
	dir := w.tree(t, files)
	m := module.Version{Path: path, Version: version}
	var b bytes.Buffer
	if err := zip.CreateFromDir(&b, m, dir); err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(w.proxy, "cache", "download", filepath.FromSlash(path), "@v", version)
	write(t, base+".zip", b.String())
	write(t, base+".mod", string(gomod))
	write(t, base+".info", fmt.Sprintf("{%q: %q}", "Version", version))
	sum, err := dirhash.HashZip(base+".zip", dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	modSum, err := dirhash.DefaultHash([]string{"go.mod"}, func(string) (f readCloser, err error) { return os.Open(base + ".mod") })
	if err != nil {
		t.Fatal(err)
	}
	w.sums[path+" "+version] = fmt.Sprintf("%s %s %s\n%[1]s %[2]s/go.mod %[4]s\n", path, version, sum, modSum)
}

// tree writes the files of a txtar archive to a new folder. A go.sum that says
// SUM PATH VERSION has the lines of that module.
func (w *world) tree(t testing.TB, files string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse([]byte(files)).Files {
		data := string(f.Data)
		if path.Base(f.Name) == "go.sum" {
			var lines strings.Builder
			for line := range strings.Lines(data) {
				if m, ok := strings.CutPrefix(strings.TrimSpace(line), "SUM "); ok {
					line = w.sums[m]
				}
				lines.WriteString(line)
			}
			data = lines.String()
		}
		write(t, filepath.Join(dir, filepath.FromSlash(f.Name)), data)
	}
	return dir
}

func write(t testing.TB, name, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t testing.TB, old, new string) {
	t.Helper()
	if err := os.Symlink(old, new); err != nil {
		if runtime.GOOS == "windows" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
}

// dependencies are what the tests' main modules require.
func (w *world) dependencies(t testing.TB) {
	t.Helper()
	w.add(t, "example.com/dep", "v1.2.3", `
-- go.mod --
module example.com/dep

go 1.21
-- dep.go --
package dep

const Default = "from dep"

var Version = "none"

func F() string { return Version }

type Text string
-- unused/unused.go --
package unused
`)
	w.add(t, "example.com/fork", "v1.2.4", `
-- go.mod --
module example.com/dep

go 1.21
-- dep.go --
package dep

const Default = "from fork"
`)
	w.add(t, "example.com/idle", "v0.1.0", `
-- go.mod --
module example.com/idle
-- idle.go --
package idle
`)
}

const application = `
-- go.mod --
module example.com/app

go 1.21

require example.com/dep v1.2.3
-- go.sum --
SUM example.com/dep v1.2.3
-- cmd/x/main.go --
package main

import (
	"fmt"

	"example.com/dep"
)

func main() { fmt.Println(dep.Default) }
`
