package pass

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/recipe"
)

// execName is what the go command does: the commands that it prints with -n
// say so.
func TestExecName(t *testing.T) {
	dir := t.TempDir()
	const mod = "example.com/m/v3"
	packages := []string{"", "/cmd/a", "/cmd/tool/v2", "/v10", "/cmd/v1", "/cmd/v0", "/cmd/v02", "/cmd/vx", "/x.y", "/cmd/n.test"}
	files := map[string]string{"go.mod": "module " + mod + "\n\ngo 1.26\n"}
	for _, p := range packages {
		files["."+p+"/main.go"] = "package main\n\nfunc main() {}\n"
	}
	write(t, dir, files)
	for _, p := range packages {
		cmd := exec.Command("go", "build", "-n", "-o", "out/", "."+p)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off")
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", p, err, said)
		}
		want := "out/" + execName(mod+p)
		if runtime.GOOS == "windows" {
			want += ".exe"
		}
		if !slices.ContainsFunc(strings.Split(string(said), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "mv ") && strings.HasSuffix(filepath.ToSlash(line), want)
		}) {
			t.Errorf("%s: want %s in\n%s", mod+p, want, last(string(said), 3))
		}
	}
}

func last(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func TestExecNames(t *testing.T) {
	for path, want := range map[string]string{
		"m.example": "m.example", "m.example/cmd/tool": "tool", "m.example/tool/v2": "tool", "m.example/tool/v10": "tool",
		"m.example/tool/v1": "v1", "m.example/tool/v0": "v0", "m.example/tool/v02": "v02", "m.example/v": "v", "m.example/tool/v+2": "v+2", "v2": "v2", "m.example/vim": "vim",
	} {
		if got := execName(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestGroups(t *testing.T) {
	bin := func(importPath string, flags ...string) Binary {
		argv := append([]string{"go", "build"}, flags...)
		return Binary{ImportPath: importPath, Recipe: recipe.Recipe{Argv: append(argv, "./x"), Env: []string{"A=1"}}}
	}
	other := bin("m/e")
	other.Recipe.Env = []string{"A=2"}
	list := []Binary{bin("m/a"), bin("m/b"), bin("m/c", "-tags=x"), bin("m/a/v2"), bin("n/b"), bin("m/d", "-tags=x"), other}
	for pass, want := range map[Pass][][]int{
		// m/a/v2 and n/b would overwrite m/a and m/b.
		A: {{0, 1}, {2, 5}, {3, 4}, {6}},
		B: {{0}, {1}, {2}, {3}, {4}, {5}, {6}},
	} {
		s := &localSession{Local: &Local{}, pass: pass, varied: func(Factor) bool { return pass == B }}
		if got := s.groups(list); !reflect.DeepEqual(got, want) {
			t.Errorf("pass %s: %v, want %v", pass, got, want)
		}
	}
}
