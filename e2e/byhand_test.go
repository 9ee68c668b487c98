package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// byHand builds recipes as a person would who has nothing but the recipe: a
// fresh clone or the module's files, the go command of the version it names, a
// build cache that no twice has written to, its argv and its env.
type byHand struct {
	goroots  map[string]string // by version
	modCache string
	tree     string
}

func (h *byHand) build(t *testing.T, dist string, r recipe) []byte {
	t.Helper()
	if h.tree == "" {
		h.tree = checkout(t, dist, r)
		h.modCache = strings.TrimSpace(command(t, "", nil, "go", "env", "GOMODCACHE"))
	}
	dir := filepath.Join(h.tree, filepath.FromSlash(r.Source.Dir))
	root := h.goroots[r.Toolchain.Version]
	if root == "" {
		// The go command finds, checks and keeps a toolchain by itself.
		version := []string{"GOTOOLCHAIN=" + r.Toolchain.Version, "GOFLAGS="}
		root = strings.TrimSpace(command(t, t.TempDir(), version, "go", "env", "GOROOT"))
		h.goroots[r.Toolchain.Version] = root
		command(t, dir, []string{"GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off"}, filepath.Join(root, "bin", "go"), "mod", "download")
	}
	out := filepath.Join(t.TempDir(), r.Binary)
	argv := append([]string{"build", "-o", out}, r.Argv[2:]...)
	cmd := exec.Command(filepath.Join(root, "bin", r.Argv[0]), argv...)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "GOCACHE=" + handCache, "GOMODCACHE=" + h.modCache}, r.Env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkout lays out the source that a recipe names: that of the repository
// around dist, or the module's.
func checkout(t *testing.T, dist string, r recipe) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	if r.Source.Module == "" {
		top := strings.TrimSpace(command(t, filepath.Dir(dist), nil, "git", "rev-parse", "--show-toplevel"))
		command(t, "", nil, "git", "clone", "-q", top, tree)
		command(t, tree, nil, "git", "checkout", "-q", "--detach", r.Source.Commit)
		return tree
	}
	var m struct{ Dir string }
	text := command(t, t.TempDir(), []string{"GOFLAGS="}, "go", "mod", "download", "-json", r.Source.Module+"@"+r.Source.Version)
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(tree, os.DirFS(m.Dir)); err != nil {
		t.Fatal(err)
	}
	return tree
}
