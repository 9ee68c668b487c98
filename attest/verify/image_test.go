package verify

import (
	"testing"
)

// What is signed has to be of the repository and the tag that were asked for.
func TestIsNamed(t *testing.T) {
	for _, c := range []struct {
		repository, ref, signed string
		want                    bool
	}{
		{"r.example/hello", "r.example/hello:1.2.3", "r.example/hello:1.2.3", true},
		{"r.example/hello", "r.example/hello:1.2.3", "r.example/hello:1.2.3#linux/amd64", true},
		{"r.example/hello", "r.example/hello:2.0.0", "r.example/hello:1.2.3", false},
		{"r.example/hello", "r.example/hello", "r.example/hello:1.2.3", false},
		{"r.example/hello", "r.example/hello", "r.example/hello:latest", true},
		{"r.example/hello", "r.example/hello@sha256:00", "r.example/hello:1.2.3", true},
		{"r.example/hello", "r.example/hello:2@sha256:00", "r.example/hello:1.2.3", true},
		{"m.example/hello", "m.example/hello@sha256:00", "r.example/hello:1.2.3", false},
		{"r.example:5000/hello", "r.example:5000/hello", "r.example:5000/hello:latest", true},
		{"r.example:5000/hello", "r.example:5000/hello:1", "r.example:5000/hello:1", true},
		{"r.example/hello", "r.example/hello:1", "hello", false},
	} {
		if got := isNamed(c.repository, c.ref, c.signed); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}
