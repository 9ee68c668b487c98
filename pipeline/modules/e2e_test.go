//go:build e2e

package modules

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/gocmd"
)

// TestAge fills a cache for a real module, twice: from the network or the
// user's cache, and then from that first cache without a network.
func TestAge(t *testing.T) {
	path, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	client, err := gocmd.NewClient(t.Context(), path, os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	g := client.Go
	out, err := g.Run(t.Context(), t.TempDir(), "mod", "download", "-json", "filippo.io/age@v1.3.2")
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	if err := os.CopyFS(tree, os.DirFS(m.Dir)); err != nil {
		t.Fatal(err)
	}
	first, err := FillCache(t.Context(), Config{Client: client, SourceDir: tree, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", first)
	client.Proxy = "off"
	c, err := FillCache(t.Context(), Config{Client: client, SourceDir: tree, Dir: t.TempDir(), Reuse: first.Dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"linux/amd64", "darwin/arm64", "windows/amd64"} {
		goos, goarch, _ := strings.Cut(target, "/")
		mains, err := Describe(t.Context(), Query{
			Go:   g.With("GOFLAGS=-mod=readonly", "GOMODCACHE="+c.Dir, "GOPROXY=off", "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
			Tree: tree, Dir: tree, Packages: []string{"./cmd/age", "./cmd/age-keygen"},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mains {
			t.Logf("%s %s: %d files, modules %+v", target, m.ImportPath, len(m.GoFiles), m.Modules)
			if len(m.Modules) == 0 || len(m.Cgo) != 0 {
				t.Errorf("%s: %+v", m.ImportPath, m.Modules)
			}
			if err := CheckStamps(m, []string{"main.Version"}); err != nil {
				t.Error(err)
			}
			if err := CheckStamps(m, []string{"main.version"}); err == nil {
				t.Error("main.version is no variable of package level")
			}
		}
	}
}
