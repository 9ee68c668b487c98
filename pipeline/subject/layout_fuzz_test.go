package subject

import (
	"bytes"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// FuzzLayoutIndex opens an image layout, whose index.json names an index or a
// manifest, which names another, which has a layer with a program. In each document @
// stands for the digest of the next, and # for its size. What is opened stays within
// the limits, and is what it is called.
func FuzzLayoutIndex(f *testing.F) {
	const manifest = `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},` +
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@","size":#}]}`
	for _, s := range [][3]string{
		{`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@","size":#}]}`,
			`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@","size":#,"platform":{"os":"linux","architecture":"amd64"}}]}`, manifest},
		{`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@","size":#}]}`,
			`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@","size":#},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@","size":#}]}`, manifest},
		{`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../x","size":-1}]}`, ``, `[]`},
		{`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@","size":9223372036854775807}]}`, manifest, `{}`},
	} {
		f.Add([]byte(s[0]), []byte(s[1]), []byte(s[2]))
	}
	layer := []byte(tarOf(member{name: "bin/a", body: program('a')}))
	f.Fuzz(func(t *testing.T, index, inner, leaf []byte) {
		dir := t.TempDir()
		put := func(name string, data []byte) {
			write(t, filepath.Join(dir, "x", filepath.FromSlash(name)), string(data))
		}
		fill := func(doc, next []byte) []byte {
			doc = bytes.ReplaceAll(doc, []byte("@"), []byte(artifact.Of(next)))
			return bytes.ReplaceAll(doc, []byte("#"), []byte(strconv.Itoa(len(next))))
		}
		blob := func(data []byte) { put("blobs/sha256/"+artifact.Of(data).Hex(), data) }
		put(layoutName, []byte(`{"imageLayoutVersion":"1.0.0"}`))
		blob([]byte("{}"))
		blob(layer)
		leaf = fill(leaf, layer)
		blob(leaf)
		inner = fill(inner, leaf)
		blob(inner)
		put(indexName, fill(index, inner))

		s, err := opened(t, "x", Config{WorkDir: dir, Limits: small})
		if err != nil {
			return
		}
		if s.Kind != Image || len(s.Executables) > small.Executables {
			t.Errorf("%s with %d executables", s.Kind, len(s.Executables))
		}
		for _, e := range s.Executables {
			if e.Digest != artifact.Of([]byte(program('a'))) {
				t.Errorf("%s is %s", &e, e.Digest)
			}
		}
	})
}
