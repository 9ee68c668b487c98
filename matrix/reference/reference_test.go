package reference_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix/reference"
)

const digest = "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func ExampleParse() {
	r, err := reference.Parse("registry.example.com/acme/tool:1.2.3")
	fmt.Println(r.Repository, r.Tag, err)

	_, err = reference.Parse("tool:1.2.3")
	fmt.Println(err)
	// Output:
	// registry.example.com/acme/tool 1.2.3 <nil>
	// "tool" is no repository: want a registry's host, a slash and a name in lower case
}

func TestParse(t *testing.T) {
	for _, s := range []string{
		"localhost/a:b", "localhost:5000/a:b", "r.example.com/a/b@" + digest, "r.example.com/a:b@" + digest, "[::1]:5000/a:b",
	} {
		r, err := reference.Parse(s)
		if err != nil || r.String() != s {
			t.Errorf("%s: %v, %v", s, r, err)
		}
	}

	for s, want := range map[string]string{
		"":                           "is no repository",
		"r.example.com/a":            "names neither a tag nor a digest",
		"r.example.com/A:b":          "is no repository",
		"host/a:b":                   "is not the host of a registry",
		"r.example.com/a:.b":         "is no tag",
		"r.example.com/a:b@sha256:0": "64 lower-case hexadecimal digits",
		"r.example.com/a:" + strings.Repeat("b", 129): "is no tag",
	} {
		if r, err := reference.Parse(s); err == nil || !strings.Contains(err.Error(), want) || r != (reference.Reference{}) {
			t.Errorf("%s: %v, %v; want %q", s, r, err, want)
		}
	}
}
