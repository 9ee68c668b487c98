package explain

import (
	"bytes"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// FuzzLayout reads an image layout, whose index.json names an index or a manifest,
// which names another. In each document @ stands for the digest of the next, and #
// for its size. Names are unique, and a layout is equal to itself; one that says what
// is not so is still a folder.
func FuzzLayout(f *testing.F) {
	for _, s := range [][3]string{
		{`{"manifests": [{"digest": "@", "annotations": {"org.opencontainers.image.ref.name": "a"}}]}`,
			`{"manifests": [{"digest": "@", "platform": {"os": "linux", "architecture": "amd64"}}, {"digest": "@"}]}`, `{"layers": [{"digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "size": 2}]}`},
		{`{"manifests": [{"digest": "@"}, {"digest": "@", "annotations": {"org.opencontainers.image.ref.name": "../x"}}]}`, `{"manifests": [{"digest": "@"}]}`, `{"manifests": []}`},
		{`{"manifests": [{"digest": "sha256:../../x"}]}`, `{}`, `{}`},
		{`null`, `[]`, `{"config": {"digest": "@", "size": -1}}`},
	} {
		f.Add([]byte(s[0]), []byte(s[1]), []byte(s[2]), true)
		f.Add([]byte(s[0]), []byte(s[1]), []byte(s[2]), false)
	}
	f.Fuzz(func(t *testing.T, index, inner, leaf []byte, below bool) {
		m := fstest.MapFS{}
		prefix := ""
		if below {
			prefix = "dist/"
		}
		put := func(name string, data []byte) { m[prefix+name] = &fstest.MapFile{Data: data} }
		fill := func(doc, next []byte) []byte {
			doc = bytes.ReplaceAll(doc, []byte("@"), []byte(artifact.Of(next)))
			return bytes.ReplaceAll(doc, []byte("#"), []byte(strconv.Itoa(len(next))))
		}
		blob := func(data []byte) { put("blobs/sha256/"+artifact.Of(data).Hex(), data) }
		put("oci-layout", []byte(`{"imageLayoutVersion": "1.0.0"}`))
		blob([]byte("{}"))
		blob(leaf)
		inner = fill(inner, leaf)
		blob(inner)
		put("index.json", fill(index, inner))

		tree, err := Folder(t.Context(), "folder", m)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, m := range tree.Members {
			if names[m.Name] {
				t.Errorf("%q is there twice", m.Name)
			}
			names[m.Name] = true
		}
		r, err := Trees(t.Context(), tree, tree, Options{})
		// What is not an image as it says is noted, and then nothing is called equal.
		if (err == nil) != (len(tree.Notes) == 0) || err == nil && !r.Equal {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
