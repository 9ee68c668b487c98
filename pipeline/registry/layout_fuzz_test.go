package registry

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// layoutSeeds are an index.json, an index or manifest that it names, and a manifest
// or blob that this names. In each, @ stands for the digest of the next, and # for
// its size.
var layoutSeeds = [][3]string{
	{`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@","size":#}]}`,
		`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@","size":#,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`},
	{`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@","size":#}]}`,
		`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@","size":#}]}`, `{}`},
	{`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:../../x","size":-1}]}`, ``, `[]`},
	{`{"schemaVersion":2,"manifests":null,"Manifests":[{}]}`, `null`, `{}`},
}

// layoutOf makes the three, and returns the second's digest.
func layoutOf(put func(name string, data []byte), index, inner, leaf []byte) artifact.Digest {
	put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	put("blobs/sha256/"+artifact.Of([]byte("{}")).Hex(), []byte("{}"))
	fill := func(doc, next []byte) []byte {
		doc = bytes.ReplaceAll(doc, []byte("@"), []byte(artifact.Of(next)))
		return bytes.ReplaceAll(doc, []byte("#"), []byte(strconv.Itoa(len(next))))
	}
	put("blobs/sha256/"+artifact.Of(leaf).Hex(), leaf)
	inner = fill(inner, leaf)
	put("blobs/sha256/"+artifact.Of(inner).Hex(), inner)
	put("index.json", fill(index, inner))
	return artifact.Of(inner)
}

// FuzzLayout checks a layout before it is pushed. What is found good names the image
// that was asked for, and bytes that are what their digests say.
func FuzzLayout(f *testing.F) {
	for _, s := range layoutSeeds {
		f.Add([]byte(s[0]), []byte(s[1]), []byte(s[2]))
	}
	f.Fuzz(func(t *testing.T, index, inner, leaf []byte) {
		if len(index)+len(inner)+len(leaf) > 1<<16 {
			return
		}
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
			t.Fatal(err)
		}
		asked := layoutOf(func(name string, data []byte) { mustWrite(t, filepath.Join(dir, filepath.FromSlash(name)), data) }, index, inner, leaf)
		plans, err := planImages(t.Context(), dir, []Image{{Repository: "r.example/tool", Tags: []string{"v1"}, Digest: asked}})
		if err != nil {
			return
		}
		p := plans[0]
		if p.index.digest() != asked || artifact.Of(p.index.raw) != asked || len(p.manifests) == 0 {
			t.Errorf("asked for %s: %+v", asked, p.index)
		}
		for _, o := range p.manifests {
			if artifact.Of(o.raw) != o.digest() || o.desc.Size != int64(len(o.raw)) {
				t.Errorf("%s of %d bytes is %s", o.digest(), o.desc.Size, artifact.Of(o.raw))
			}
		}
		for _, b := range p.blobs {
			data := mustRead(t, filepath.Join(dir, "blobs", "sha256", b.desc.Digest.Hex))
			if string(artifact.Of(data)) != b.desc.Digest.String() || int64(len(data)) != b.desc.Size {
				t.Errorf("%s of %d bytes is %s", b.desc.Digest, b.desc.Size, artifact.Of(data))
			}
		}
	})
}
