package pass

import (
	"slices"
	"testing"
)

func TestOnce(t *testing.T) {
	got := firstValues([]string{"A=1", "CI=true", "AB=", "A=2", "CI=false", "AB=3"})
	if want := []string{"A=1", "CI=true", "AB="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEnvironment: in neither pass is a variable there twice, and a recipe's value
// wins over what the pass makes up.
func TestEnvironment(t *testing.T) {
	for _, pass := range []Pass{A, B} {
		s := &localSession{Local: &Local{GOROOT: "/go"}, pass: pass, varied: func(Factor) bool { return pass == B }}
		s.chooseLayout()
		c, _ := s.newChildSpec(invocation{dir: "/work", argv: []string{"go"}, env: []string{"CI=mine", "EDITOR=mine"}, job: "x"})
		for _, want := range []string{"CI=mine", "EDITOR=mine"} {
			if !slices.Contains(c.Env, want) {
				t.Errorf("pass %s: no %s in %q", pass, want, c.Env)
			}
		}
		if n := len(firstValues(slices.Clone(c.Env))); n != len(c.Env) {
			t.Errorf("pass %s: a variable is there twice: %q", pass, c.Env)
		}
		if slices.Contains(c.Env, "GOMODCACHE=") {
			t.Errorf("pass %s: no module cache: %q", pass, c.Env)
		}
	}
}
