package shell

import (
	"os/exec"
	"testing"
)

var words = map[string]string{
	"-ldflags=-s":  "-ldflags=-s",
	"a/b_c@v1.2.3": "a/b_c@v1.2.3",
	"":             "''",
	"a b":          "'a b'",
	"it's":         `'it'\''s'`,
	"$HOME":        "'$HOME'",
	"{a,b}":        "'{a,b}'",
	"a\nb":         "'a\nb'",
	"é":            "'é'",
}

func TestQuote(t *testing.T) {
	for word, want := range words {
		if got := Quote(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
	if got, want := Join([]string{"go", "build", "a b"}), "go build 'a b'"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A shell reads each word as it was.
func TestShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	for word := range words {
		out, err := exec.Command(sh, "-c", "printf %s "+Quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q: the shell read %q (%v)", word, out, err)
		}
	}
}
