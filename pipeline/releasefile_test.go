package pipeline

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Ends of lines and the name of an object, which git writes when it checks a file out,
// make it no other one than that in the commit; anything else does. What counts is what
// the commit gives.
func TestReleaseFileConverted(t *testing.T) {
	const text = "# $Id$\nproject = \"p\"\n[[binary]]\npackage = \".\"\n[matrix]\ninclude = [\"linux/amd64\"]\n"
	const named = "# $Id: 5b2ff0a0b17d2d8aee45d8ed2a7dbb6b31bbd1e4 $\r\nproject = \"p\"\r\n[[binary]]\r\npackage = \".\"\r\n[matrix]\r\ninclude = [\"linux/amd64\"]\r\n"
	for name, c := range map[string]struct {
		committed, here string
		same            bool
	}{
		"as it is":              {text, text, true},
		"converted here":        {text, named, true},
		"converted there":       {named, text, true},
		"changed":               {text, text + "# x\n", false},
		"changed and named":     {text, named + "# x\r\n", false},
		"more than an object":   {text, "# $Id: x\nproject = \"p\" #$\n" + text[len("# $Id$\nproject = \"p\"\n"):], false},
		"another keyword":       {text, "# $Date: x$\n" + text[len("# $Id$\n"):], false},
		"dollars in the commit": {"# $1 $Id$\n" + text, "# $1 $Id: x $\n" + text, true},
	} {
		tree := t.TempDir()
		if err := os.WriteFile(filepath.Join(tree, "release.toml"), []byte(c.committed), 0o600); err != nil {
			t.Fatal(err)
		}
		here, err := parseReleaseFile("release.toml", []byte(c.here))
		if err != nil {
			t.Fatal(err)
		}
		file, err := here.committed(tree, Request{})
		if (err == nil) != c.same {
			t.Errorf("%s: %v", name, err)
		}
		if c.same && file.Digest != artifact.Of([]byte(c.committed)) {
			t.Errorf("%s: the digest is not that of the file in the commit", name)
		}
	}
}
