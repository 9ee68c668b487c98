package build

import (
	"slices"
	"testing"
)

func TestOnce(t *testing.T) {
	got := once([]string{"A=1", "CI=true", "AB=", "A=2", "CI=false", "AB=3"})
	if want := []string{"A=1", "CI=true", "AB="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCellEnv: in neither pass is a variable there twice, and a recipe's value
// wins over what the pass makes up.
func TestCellEnv(t *testing.T) {
	for _, pass := range []Pass{A, B} {
		s := &local{Local: &Local{GOROOT: "/go"}, pass: pass}
		s.placeAt("/work")
		c, _ := s.cell(run{dir: "/work", argv: []string{"go"}, env: []string{"CI=mine", "EDITOR=mine"}, cache: "x"})
		for _, want := range []string{"CI=mine", "EDITOR=mine"} {
			if !slices.Contains(c.Env, want) {
				t.Errorf("pass %s: no %s in %q", pass, want, c.Env)
			}
		}
		if n := len(once(slices.Clone(c.Env))); n != len(c.Env) {
			t.Errorf("pass %s: a variable is there twice: %q", pass, c.Env)
		}
		if slices.Contains(c.Env, "GOMODCACHE=") {
			t.Errorf("pass %s: no module cache: %q", pass, c.Env)
		}
	}
}

func TestExecName(t *testing.T) {
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
	bin := func(importPath string, argv ...string) Binary {
		b := Binary{ImportPath: importPath}
		b.Recipe.Argv, b.Recipe.Env = append(argv, importPath), []string{"A=1"}
		return b
	}
	other := bin("m/f", "go", "build")
	other.Recipe.Env = []string{"A=2"}
	list := []Binary{bin("m/a", "go", "build"), bin("m/b", "go", "build", "-s"), bin("m/c", "go", "build"), bin("m/x/a", "go", "build"), other}
	equal := func(a, b [][]int) bool { return slices.EqualFunc(a, b, slices.Equal[[]int]) }
	if got := (&local{pass: A}).groups(list); !equal(got, [][]int{{0, 2}, {1}, {3}, {4}}) {
		t.Errorf("pass A: %v", got)
	}
	if got := (&local{pass: B}).groups(list); !equal(got, [][]int{{0}, {1}, {2}, {3}, {4}}) {
		t.Errorf("pass B: %v", got)
	}
}

func TestTail(t *testing.T) {
	short := &tail{limit: 10}
	for range 10 {
		short.Write([]byte("x"))
	}
	if got := short.String(); got != "xxxxxxxxxx" {
		t.Errorf("%q", got)
	}
	long := &tail{limit: 10}
	for i := range 10_000 {
		long.Write([]byte{'a' + byte(i%26)})
	}
	if got := long.String(); len(got) > 60 || got[:5] != "abcde" || got[len(got)-1] != 'a'+9999%26 {
		t.Errorf("%q", got)
	}
}
