package spelling

import "testing"

func TestOr(t *testing.T) {
	for want, names := range map[string][]string{"": nil, "a": {"a"}, "a or b": {"a", "b"}, "a, b or c": {"a", "b", "c"}} {
		if got := Or(names); got != want {
			t.Errorf("%q: %s", names, got)
		}
	}
}

func TestClosest(t *testing.T) {
	candidates := []string{"darwin", "linux", "js", "windows"}
	for got, want := range map[string]string{
		"darvin": "darwin", "Linux": "linux", "lunix": "linux", "widnwos": "windows", "jss": "js",
		"plan9": "", "xx": "", "": "",
	} {
		if c := Closest(got, candidates); c != want {
			t.Errorf("%s: %q, want %q", got, c, want)
		}
	}
	if s := DidYouMean("darvin", candidates); s != `; did you mean "darwin"?` {
		t.Error(s)
	}
}
