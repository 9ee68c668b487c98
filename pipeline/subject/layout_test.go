package subject

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// shelfFolder is an image layout.
type shelfFolder struct{ dir string }

func newLayout(t *testing.T) *shelfFolder {
	t.Helper()
	s := &shelfFolder{t.TempDir()}
	write(t, filepath.Join(s.dir, layoutName), `{"imageLayoutVersion":"1.0.0"}`)
	return s
}

func (s *shelfFolder) blob(t *testing.T, mt types.MediaType, content string) v1.Descriptor {
	t.Helper()
	write(t, filepath.Join(s.dir, "blobs", "sha256", artifact.Of([]byte(content)).Hex()), content)
	return descriptor(mt, content)
}

func (s *shelfFolder) doc(t *testing.T, mt types.MediaType, doc any) v1.Descriptor {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return s.blob(t, mt, string(raw))
}

// image adds an image; with said its descriptor has the platform.
func (s *shelfFolder) image(t *testing.T, platform string, said bool, layers ...layerOf) v1.Descriptor {
	t.Helper()
	parts := append(strings.Split(platform, "/"), "")
	c := v1.ConfigFile{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	for _, l := range layers {
		m.Layers = append(m.Layers, s.blob(t, l.mt, l.blob))
		id, err := v1.NewHash(l.diffID)
		if err != nil {
			t.Fatal(err)
		}
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, id)
	}
	m.Config = s.doc(t, types.OCIConfigJSON, c)
	d := s.doc(t, types.OCIManifestSchema1, m)
	if said {
		d.Platform = &v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
	}
	return d
}

func (s *shelfFolder) index(list ...v1.Descriptor) v1.IndexManifest {
	return v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: append([]v1.Descriptor{}, list...)}
}

// top writes index.json.
func (s *shelfFolder) top(t *testing.T, list ...v1.Descriptor) *shelfFolder {
	t.Helper()
	raw, err := json.Marshal(s.index(list...))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, indexName), string(raw))
	return s
}

func TestLayout(t *testing.T) {
	s := newLayout(t)
	base := layer(member{name: "usr/bin/shared", body: program('s')})
	amd := s.image(t, "linux/amd64", true, base, layer(member{name: "usr/bin/tool", body: program('a')}))
	arm := s.image(t, "linux/arm64", true, base, layer(member{name: "usr/bin/tool", body: program('b')}))
	unsaid := s.image(t, "linux/amd64", false, base)
	att := s.image(t, "unknown/unknown", true, layer(member{name: "x", body: program('x')}))
	index := s.doc(t, types.OCIImageIndex, s.index(amd, arm, att))
	deep := s.doc(t, types.OCIImageIndex, s.index(index))
	for _, x := range []struct {
		name, platforms string
		top             []v1.Descriptor
		want            []string
	}{
		{"images", "", []v1.Descriptor{amd, arm, att}, []string{"usr/bin/shared s", "usr/bin/tool a", "usr/bin/shared s", "usr/bin/tool b"}},
		{"an index", "", []v1.Descriptor{index}, []string{"usr/bin/shared s", "usr/bin/tool a", "usr/bin/shared s", "usr/bin/tool b"}},
		{"an index in one", "linux/arm64", []v1.Descriptor{deep}, []string{"usr/bin/shared s", "usr/bin/tool b"}},
		{"no platform", "linux/amd64", []v1.Descriptor{unsaid}, []string{"usr/bin/shared s"}},
		{"twice", "", []v1.Descriptor{index, amd}, []string{"usr/bin/shared s", "usr/bin/tool a", "usr/bin/shared s", "usr/bin/tool b"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			s.top(t, x.top...)
			sub, err := opened(t, s.dir, Config{Platforms: platforms(t, strings.Fields(x.platforms)...)})
			want(t, sub, err, x.want...)
			if err != nil {
				return
			}
			raw, err := os.ReadFile(filepath.Join(s.dir, indexName))
			if err != nil {
				t.Fatal(err)
			}
			e := sub.Executables[0]
			if sub.Kind != Image || sub.Digest != artifact.Of(raw) || len(e.Containers) != 3 || e.Platform == "" || e.Containers[1].Name != e.Platform {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestBesideLayout: what no image has, and lies in the folder.
func TestBesideLayout(t *testing.T) {
	s := newLayout(t)
	s.top(t, s.image(t, "linux/amd64", true, layer(member{name: "tool", body: program('a')})))
	write(t, filepath.Join(s.dir, "blobs", "tool"), program('b'))
	write(t, filepath.Join(s.dir, "run.sh"), "#!/bin/sh\n")
	sub, err := opened(t, s.dir, Config{})
	want(t, sub, err, "tool a", "blobs/tool b")
	if sub.Scripts != 1 {
		t.Errorf("%d scripts", sub.Scripts)
	}
}

func TestHostileLayout(t *testing.T) {
	tool := layer(member{name: "tool", body: program('a')})
	spoil := func(change func(s *shelfFolder, image v1.Descriptor)) *shelfFolder {
		s := newLayout(t)
		image := s.image(t, "linux/amd64", true, tool)
		s.top(t, image)
		change(s, image)
		return s
	}
	blobOf := func(s *shelfFolder, d v1.Descriptor) string {
		return filepath.Join(s.dir, "blobs", "sha256", d.Digest.Hex)
	}
	for _, x := range []struct {
		name, say string
		s         *shelfFolder
	}{
		{"another version", `version "2.0.0"`, spoil(func(s *shelfFolder, _ v1.Descriptor) {
			write(t, filepath.Join(s.dir, layoutName), `{"imageLayoutVersion":"2.0.0"}`)
		})},
		{"no JSON", "only 1.0.0", spoil(func(s *shelfFolder, _ v1.Descriptor) { write(t, filepath.Join(s.dir, layoutName), `1.0.0`) })},
		{"no index", "index.json: ", spoil(func(s *shelfFolder, _ v1.Descriptor) { remove(t, filepath.Join(s.dir, indexName)) })},
		{"two members of a name", "index.json: ", spoil(func(s *shelfFolder, _ v1.Descriptor) {
			write(t, filepath.Join(s.dir, indexName), `{"schemaVersion":2,"manifests":[],"manifests":[]}`)
		})},
		{"empty", "no image for linux", spoil(func(s *shelfFolder, _ v1.Descriptor) { s.top(t) })},
		{"no such blob", "no such file", spoil(func(s *shelfFolder, d v1.Descriptor) { remove(t, blobOf(s, d)) })},
		{"another blob", "and not the", spoil(func(s *shelfFolder, d v1.Descriptor) {
			write(t, blobOf(s, d), strings.Repeat("x", int(d.Size)))
		})},
		{"a longer blob", "beyond the limit", spoil(func(s *shelfFolder, d v1.Descriptor) { write(t, blobOf(s, d), strings.Repeat("x", int(d.Size)+9)) })},
		{"a link out", "regular file", spoil(func(s *shelfFolder, d v1.Descriptor) {
			out := filepath.Join(t.TempDir(), "out")
			data, err := os.ReadFile(blobOf(s, d))
			if err != nil {
				t.Fatal(err)
			}
			write(t, out, string(data))
			remove(t, blobOf(s, d))
			if err := os.Symlink(out, blobOf(s, d)); err != nil {
				t.Skip(err)
			}
		})},
		{"a large manifest", "beyond the limit", spoil(func(s *shelfFolder, d v1.Descriptor) {
			d.Size = 1 << 40
			d.Platform = nil
			s.top(t, d)
		})},
		{"an index of many", "beyond the limit", spoil(func(s *shelfFolder, d v1.Descriptor) {
			// Each stands for twice as many manifests as the one before.
			d.Platform = nil
			for range 10 {
				d = s.doc(t, types.OCIImageIndex, s.index(d, d))
			}
			s.top(t, d)
		})},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, err := opened(t, x.s.dir, Config{})
			refused(t, err, x.say)
		})
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
