package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// server is a registry in this process.
type server struct {
	t    testing.TB
	host string
	// spoil, where it is set, changes answers to GET.
	spoil func(path string, body []byte) []byte
}

func newServer(t testing.TB) *server {
	s := &server{t: t}
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			h.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if s.spoil != nil {
			body = s.spoil(r.URL.Path, body)
		}
		maps.Copy(w.Header(), rec.Header())
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(rec.Code)
		w.Write(body)
	}))
	t.Cleanup(ts.Close)
	s.host = strings.TrimPrefix(ts.URL, "http://")
	return s
}

func (s *server) send(method, path, contentType string, body []byte) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.host+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		s.t.Fatalf("%s %s: %s", method, path, res.Status)
	}
}

func hash(t testing.TB, b []byte) v1.Hash {
	t.Helper()
	h, err := v1.NewHash(string(artifact.Of(b)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// blob uploads b and returns its descriptor.
func (s *server) blob(t types.MediaType, b []byte) v1.Descriptor {
	s.t.Helper()
	s.send("POST", "/v2/base/blobs/uploads/?digest="+string(artifact.Of(b)), "application/octet-stream", b)
	return v1.Descriptor{MediaType: t, Size: int64(len(b)), Digest: hash(s.t, b)}
}

// manifest uploads a manifest or index, under a tag if it is not "".
func (s *server) manifest(tag string, t types.MediaType, doc any) v1.Descriptor {
	s.t.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		s.t.Fatal(err)
	}
	if tag == "" {
		tag = string(artifact.Of(b))
	}
	s.send("PUT", "/v2/base/manifests/"+tag, string(t), b)
	return v1.Descriptor{MediaType: t, Size: int64(len(b)), Digest: hash(s.t, b)}
}

// tarOf makes a tar stream of headers, whose sizes are filled in for texts.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dir(name string) tar.Header  { return tar.Header{Typeflag: tar.TypeDir, Name: name} }
func file(name string) tar.Header { return tar.Header{Name: name} }
func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}
func hard(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

func pack(t testing.TB, kind types.MediaType, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch kind {
	case types.OCILayer, types.DockerLayer:
		w = gzip.NewWriter(&b)
	case types.OCILayerZStd:
		zw, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = zw
	default:
		return data
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stratum is a layer of a base: its media type and its tar stream.
type stratum struct {
	kind types.MediaType
	data []byte
}

// image uploads an image for a platform.
func (s *server) image(tag string, kind types.MediaType, p v1.Platform, layers ...stratum) v1.Descriptor {
	s.t.Helper()
	config := v1.ConfigFile{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}, Config: v1.Config{
		Entrypoint: []string{"/bin/sh"}, Cmd: []string{"-c"}, Env: []string{"PATH=/bin", "BASE=1"}, User: "nobody", WorkingDir: "/srv",
		Labels:      map[string]string{"base.label": "x", "org.opencontainers.image.version": "12", "org.opencontainers.image.vendor": "Base"},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "x"}}, OnBuild: []string{"RUN x"}, StopSignal: "SIGQUIT",
		Volumes: map[string]struct{}{"/data": {}}, ExposedPorts: map[string]struct{}{"1/tcp": {}},
	}, History: []v1.History{{CreatedBy: "base"}}}
	m := v1.Manifest{SchemaVersion: 2, MediaType: kind, Layers: []v1.Descriptor{}}
	for _, l := range layers {
		d := s.blob(l.kind, pack(s.t, l.kind, l.data))
		d.Annotations = map[string]string{"kept": "yes"}
		m.Layers = append(m.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, hash(s.t, l.data))
	}
	b, err := json.Marshal(config)
	if err != nil {
		s.t.Fatal(err)
	}
	ct := types.OCIConfigJSON
	if kind == types.DockerManifestSchema2 {
		ct = types.DockerConfigJSON
	}
	m.Config = s.blob(ct, b)
	d := s.manifest(tag, kind, m)
	d.Platform = &p
	return d
}

// base fills a registry with an image for amd64, arm64 and arm/v6, under the tag
// stable, and returns the digest of its index.
func (s *server) base() artifact.Digest {
	rootfs := tarOf(s.t, dir("bin/"), dir("lib64/"), dir("usr/"), dir("usr/lib/"), file("bin/sh"), file("lib64/ld-linux-x86-64.so.2"), file("usr/lib/libc.so.6"),
		link("lib", "usr/lib"), dir("tmp/"), dir("etc/"), file("etc/passwd"), file("etc/old"), link("etc/alias", "passwd"))
	second := tarOf(s.t, file("etc/.wh.old"), file("etc/new"))
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{
		s.image("", types.OCIManifestSchema1, v1.Platform{OS: "linux", Architecture: "amd64"}, stratum{types.OCILayer, rootfs}, stratum{types.OCILayerZStd, second}),
		s.image("", types.DockerManifestSchema2, v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, stratum{types.DockerLayer, rootfs}, stratum{types.DockerUncompressedLayer, second}),
		s.image("", types.OCIManifestSchema1, v1.Platform{OS: "linux", Architecture: "arm", Variant: "v6"}, stratum{types.OCIUncompressedLayer, rootfs}),
		s.image("", types.OCIManifestSchema1, v1.Platform{OS: "unknown", Architecture: "unknown"}),
	}}
	return artifact.Digest(s.manifest("stable", types.OCIImageIndex, index).Digest.String())
}

func (s *server) remote() *Remote {
	return &Remote{Transport: http.DefaultTransport, Keychain: authn.NewMultiKeychain(), UserAgent: "twice-test"}
}

func mustPlatforms(t testing.TB, list ...string) []platform.Platform {
	t.Helper()
	var platforms []platform.Platform
	for _, s := range list {
		p, err := platform.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		platforms = append(platforms, p)
	}
	return platforms
}

func TestBase(t *testing.T) {
	s := newServer(t)
	digest := s.base()
	reference := s.host + "/base:stable"
	r := s.remote()
	if now, err := r.Resolve(t.Context(), reference); err != nil || now != digest {
		t.Fatalf("resolve: %s, %v; want %s", now, err, digest)
	}
	var checked []string
	r.Check = func(_ context.Context, reference string, digest artifact.Digest) error {
		checked = append(checked, reference+" "+string(digest))
		return nil
	}
	store := artifact.NewStore(t.TempDir())
	base, err := r.ReadBase(t.Context(), store, reference, digest, mustPlatforms(t, "linux/amd64", "linux/amd64/v3", "linux/arm64", "linux/arm/v7"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(checked, []string{reference + " " + string(digest)}) {
		t.Errorf("checked %q", checked)
	}

	p := plan(t, "linux/amd64", "linux/amd64/v3", "linux/arm64", "linux/arm/7")
	p.Base, p.Tmp, p.Env = reference, false, []string{"A=1", "PATH=/usr/local/bin:/bin"}
	in := input(t, p)
	in.Bases = map[string]*Base{reference: base}
	// A dynamic binary, on a base that has what it needs.
	in.Binaries[0].Content = contentOf(elfFile(t, "amd64", "x", "/lib64/ld-linux-x86-64.so.2", "libc.so.6"))
	layoutDir, images := mustWrite(t, in)
	// The library reads the content of gzipped layers alone.
	index := valid(t, layoutDir, validate.Fast)

	for i, m := range images[0].Manifests {
		asked := mustPlatforms(t, m.Platform)[0]
		want := 3
		if m.Platform == "linux/arm/v7" {
			want = 2
		}
		if len(m.Layers) != want || !m.Layers[0].Base || m.Layers[want-1].Base {
			t.Errorf("%s: layers %+v", m.Platform, m.Layers)
		}
		h, err := v1.NewHash(string(m.Digest))
		if err != nil {
			t.Fatal(err)
		}
		top, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		image, err := index.ImageIndex(top.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		img, err := image.Image(h)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for j, l := range manifest.Layers[:want-1] {
			stored, err := store.Open(artifact.Digest(l.Digest.String()))
			if err != nil {
				t.Errorf("%s: layer %d is not the base's: %v", m.Platform, j, err)
				continue
			}
			stored.Close()
			if strings.Contains(string(l.MediaType), "docker") || l.Annotations["kept"] != "yes" {
				t.Errorf("%s: layer %d: %+v", m.Platform, j, l)
			}
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c := config.Config
		if !slices.Equal(c.Env, []string{"PATH=/usr/local/bin:/bin", "BASE=1", "A=1"}) || c.User != "65532:65532" || c.WorkingDir != "/srv" ||
			c.Cmd != nil || !slices.Equal(c.Entrypoint, []string{"/usr/local/bin/tool"}) || c.Healthcheck != nil || c.OnBuild != nil || c.StopSignal != "SIGQUIT" ||
			len(c.Volumes) != 1 || len(c.ExposedPorts) != 1 || len(config.History) != 2 {
			t.Errorf("%s: config %+v", m.Platform, config)
		}
		if _, vendor := c.Labels["org.opencontainers.image.vendor"]; vendor || c.Labels["base.label"] != "x" || c.Labels["org.opencontainers.image.version"] != "1.2.3" {
			t.Errorf("%s: labels %v", m.Platform, c.Labels)
		}
		if manifest.Annotations["org.opencontainers.image.base.name"] != reference || manifest.Annotations["org.opencontainers.image.base.digest"] != string(base.images[asked].digest) {
			t.Errorf("%s: annotations %v", m.Platform, manifest.Annotations)
		}
		if i == 0 {
			im, err := image.IndexManifest()
			if err != nil || im.Annotations["org.opencontainers.image.base.digest"] != string(digest) {
				t.Errorf("index: %v, %v", im, err)
			}
		}
	}
	// The folders of the base are not made again.
	if names, _ := unpack(t, layoutDir, images[0].Manifests[0].Layers[2].Digest); !slices.Equal(names, []string{"usr/local/", "usr/local/bin/", "usr/local/bin/tool"}) {
		t.Errorf("layer holds %q", names)
	}
	want := []string{"/bin", "/bin/sh", "/etc", "/etc/alias", "/etc/new", "/etc/passwd", "/lib", "/lib64", "/lib64/ld-linux-x86-64.so.2", "/tmp", "/usr", "/usr/lib", "/usr/lib/libc.so.6"}
	if got := base.images[p.Platforms[0].Platform].tree.paths(); !slices.Equal(got, want) {
		t.Errorf("the base holds %q", got)
	}
	digests, err := Digests(t.Context(), in)
	if err != nil || Compare(images, digests) != nil {
		t.Errorf("digests: %v, %q", err, Compare(images, digests))
	}
	digest = s.index(s.image("", types.OCIManifestSchema1, v1.Platform{OS: "linux", Architecture: "amd64"},
		stratum{types.OCILayer, tarOf(t, file("a"))}, stratum{types.DockerLayer, tarOf(t, file("b"))}))
	p = plan(t, "linux/amd64")
	p.Base = reference
	in = input(t, p)
	if base, err = r.ReadBase(t.Context(), store, reference, digest, mustPlatforms(t, "linux/amd64")); err != nil {
		t.Fatal(err)
	}
	in.Bases = map[string]*Base{reference: base}
	layoutDir, _ = mustWrite(t, in)
	valid(t, layoutDir)

	// The store is enough: what is there is not asked for again.
	s.spoil = func(path string, body []byte) []byte {
		if strings.Contains(path, "/blobs/") {
			t.Errorf("asked for %s", path)
		}
		return body
	}
	if _, err := r.ReadBase(t.Context(), store, reference, digest, mustPlatforms(t, "linux/amd64")); err != nil {
		t.Error(err)
	}
}

// Options and files on a base that is in their way.
func TestOnBase(t *testing.T) {
	s := newServer(t)
	reference := s.host + "/base:stable"
	base, err := s.remote().ReadBase(t.Context(), artifact.NewStore(t.TempDir()), reference, s.base(), mustPlatforms(t, "linux/amd64"))
	if err != nil {
		t.Fatal(err)
	}
	conf := func(at string) func(*Input) {
		return func(in *Input) {
			in.Images[0].Files = []matrix.ImageFile{{Source: "conf/tool.toml", Path: at, Mode: 0o644}}
		}
	}
	for want, change := range map[string]func(*Input){
		"": func(in *Input) {},
		"/lib/tool: in the base, /lib is a symbolic link to usr/lib": conf("/lib/tool"),
		"/etc/alias: in the base this is a symbolic link to passwd":  conf("/etc/alias"),
		"/etc: in the base this is a folder":                         conf("/etc"),
		"/bin/sh/x: in the base, /bin/sh is a file":                  conf("/bin/sh/x"),
		" ":   conf("/etc/passwd"),
		"  ":  func(in *Input) { in.Images[0].Tmp = true },
		"   ": func(in *Input) { in.Images[0].Entrypoint = []string{"/bin/sh"} },
		"its loader is /lib/ld-musl-x86_64.so.1": func(in *Input) {
			in.Binaries[0].Content = contentOf(elfFile(t, "amd64", "x", "/lib/ld-musl-x86_64.so.1"))
		},
		"its loader is /lib64, which": func(in *Input) { in.Binaries[0].Content = contentOf(elfFile(t, "amd64", "x", "/lib64")) },
		"it is linked with libm.so.6": func(in *Input) {
			in.Binaries[0].Content = contentOf(elfFile(t, "amd64", "x", "", "libc.so.6", "libm.so.6"))
		},
		"    ":  func(in *Input) { in.Binaries[0].Content = contentOf([]byte("#!/bin/sh\n")) },
		"     ": func(in *Input) { in.Binaries[0].Content = contentOf(elfFile(t, "amd64", "x", "/lib/libc.so.6")) },
		"base " + reference + " was not read for it": func(in *Input) { in.Images[0].Platforms = platformsOf(t, "linux/s390x") },
		"/etc/ssl: in the base this is":              nil,
	} {
		if change == nil {
			continue
		}
		p := plan(t, "linux/amd64")
		p.Base, p.Tmp = reference, false
		in := input(t, p)
		in.Bases = map[string]*Base{reference: base}
		change(&in)
		_, err := Digests(t.Context(), in)
		if good := strings.TrimSpace(want) == ""; good && err != nil || !good && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q: %v", want, err)
		}
		if strings.HasPrefix(want, "its loader") && fault.RemedyOf(err) == "" {
			t.Errorf("%v: no hint", err)
		}
	}
	// Certificates do not replace those of a base.
	b := *base
	b.images = map[platform.Platform]*baseImage{}
	for p, img := range base.images {
		c := *img
		c.tree = img.tree.clone()
		if err := c.tree.applyLayer(bytes.NewReader(tarOf(t, file("etc/ssl/certs/ca-certificates.crt")))); err != nil {
			t.Fatal(err)
		}
		b.images[p] = &c
	}
	p := plan(t, "linux/amd64")
	p.Base, p.Certificates = reference, true
	in := input(t, p)
	in.Bases = map[string]*Base{reference: &b}
	if _, err := Digests(t.Context(), in); err == nil || !strings.Contains(err.Error(), "the base has this file") {
		t.Errorf("certificates: %v", err)
	}
}

// What a registry gets wrong is found, whatever it is.
func TestBaseFaults(t *testing.T) {
	amd64 := mustPlatforms(t, "linux/amd64")
	good := tarOf(t, file("a"))
	flip := func(part string) func(string, []byte) []byte {
		return func(path string, body []byte) []byte {
			if strings.Contains(path, part) && len(body) > 10 {
				body = bytes.Clone(body)
				body[len(body)/2] ^= 1
			}
			return body
		}
	}
	platform := v1.Platform{OS: "linux", Architecture: "amd64"}
	for _, tt := range []struct {
		name, want string
		// make returns the digest of the base and what is done to answers.
		make func(s *server) (artifact.Digest, func(string, []byte) []byte)
	}{
		{"index changed", "", func(s *server) (artifact.Digest, func(string, []byte) []byte) { return s.base(), flip("/manifests/") }},
		{"blob changed", "", func(s *server) (artifact.Digest, func(string, []byte) []byte) { return s.base(), flip("/blobs/") }},
		{"blob cut", "", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.base(), func(path string, body []byte) []byte {
				if strings.Contains(path, "/blobs/") {
					return body[:len(body)-1]
				}
				return body
			}
		}},
		{"blob longer", "", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.base(), func(path string, body []byte) []byte {
				if strings.Contains(path, "/blobs/") {
					return append(bytes.Clone(body), 'x')
				}
				return body
			}
		}},
		{"no such digest", "MANIFEST_UNKNOWN", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			s.base()
			return artifact.Of([]byte("x")), nil
		}},
		{"no digest", "want sha256:", func(s *server) (artifact.Digest, func(string, []byte) []byte) { return "", nil }},
		{"no such platform", "no image for linux/amd64 (there are: linux/arm64/v8)", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.index(s.image("", types.OCIManifestSchema1, v1.Platform{OS: "linux", Architecture: "arm64"})), nil
		}},
		{"two of a platform", "2 images for linux/amd64", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			one := s.image("", types.OCIManifestSchema1, platform, stratum{types.OCILayer, good})
			two := s.image("", types.OCIManifestSchema1, v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v1"})
			return s.index(one, two), nil
		}},
		{"index lies about the platform", "its configuration says linux/386", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			d := s.image("", types.OCIManifestSchema1, v1.Platform{OS: "linux", Architecture: "386"})
			d.Platform = &platform
			return s.index(d), nil
		}},
		{"single image of another platform", "its configuration says linux/arm64", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return artifact.Digest(s.image("x", types.OCIManifestSchema1, v1.Platform{OS: "linux", Architecture: "arm64"}).Digest.String()), nil
		}},
		{"index lies about the size", "not the one of the index", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			d := s.image("", types.OCIManifestSchema1, platform)
			d.Size++
			return s.index(d), nil
		}},
		{"index in an index", "not the one of the index", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			inner := s.index(s.image("", types.OCIManifestSchema1, platform))
			h, _ := v1.NewHash(string(inner))
			return s.index(v1.Descriptor{MediaType: types.OCIImageIndex, Digest: h, Size: 1, Platform: &platform}), nil
		}},
		{"unpacked it is another", "the configuration says", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs[0] = hash(s.t, nil) }), nil
		}},
		{"layers of the configuration", "the configuration has 0 layers, the manifest 1", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs = nil }), nil
		}},
		{"layer that is not given away", "cannot be passed on", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { m.Layers[0].MediaType = types.OCIRestrictedLayer }), nil
		}},
		{"size of a layer", "other bytes", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { m.Layers[0].Size++ }), nil
		}},
		{"enormous layer", "want at most", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { m.Layers[0].Size = maxLayer + 1 }), nil
		}},
		{"negative layer", "want at most", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { m.Layers[0].Size = -1 }), nil
		}},
		{"not gzip", "gzip", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) {
				m.Layers[0] = s.blob(types.OCILayer, []byte("plain text"))
			}), nil
		}},
		{"not zstd", "magic number", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { m.Layers[0].MediaType = types.OCILayerZStd }), nil
		}},
		{"too many layers", "more than 127 layers", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { m.Layers = slices.Repeat(m.Layers, 128) }), nil
		}},
		{"no container", "no image of a container", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { m.Config.MediaType = types.OCIEmptyJSON }), nil
		}},
		{"both manifest and index", "not what its type", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			d := s.image("", types.OCIManifestSchema1, platform)
			return artifact.Digest(s.manifest("x", types.OCIImageIndex, map[string]any{
				"schemaVersion": 2, "mediaType": types.OCIImageIndex, "manifests": []v1.Descriptor{d}, "layers": []v1.Descriptor{},
			}).Digest.String()), nil
		}},
		{"announced as another", "not what its type", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return artifact.Digest(s.manifest("x", types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "manifests": []v1.Descriptor{}}).Digest.String()), nil
		}},
		{"calls itself another", "and calls itself", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return s.broken(func(m *v1.Manifest, c *v1.ConfigFile) { m.MediaType = types.DockerManifestSchema2 }), nil
		}},
		{"old manifest", "a document of type", func(s *server) (artifact.Digest, func(string, []byte) []byte) {
			return artifact.Digest(s.manifest("x", types.DockerManifestSchema1, map[string]any{"schemaVersion": 1}).Digest.String()), nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			digest, spoil := tt.make(s)
			s.spoil = spoil
			_, err := s.remote().ReadBase(t.Context(), artifact.NewStore(t.TempDir()), s.host+"/base:stable", digest, amd64)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want %q: %v", tt.want, err)
			}
		})
	}
	// The base that the faults are made in is good itself, and Check can refuse it.
	s := newServer(t)
	digest := s.broken(func(*v1.Manifest, *v1.ConfigFile) {})
	r := s.remote()
	if _, err := r.ReadBase(t.Context(), artifact.NewStore(t.TempDir()), s.host+"/base:stable", digest, amd64); err != nil {
		t.Error(err)
	}
	unsigned := errors.New("unsigned")
	r.Check = func(context.Context, string, artifact.Digest) error { return unsigned }
	if _, err := r.ReadBase(t.Context(), artifact.NewStore(t.TempDir()), s.host+"/base:stable", digest, amd64); !errors.Is(err, unsigned) {
		t.Errorf("check: %v", err)
	}
	if _, err := s.remote().Resolve(t.Context(), s.host+"/base:gone"); err == nil || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") {
		t.Errorf("resolve: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.remote().ReadBase(ctx, artifact.NewStore(t.TempDir()), s.host+"/base:stable", digest, amd64); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// A base that is changed in the store is noticed when it is copied.
func TestBaseInStoreIsVerified(t *testing.T) {
	s := newServer(t)
	reference, folder := s.host+"/base:stable", t.TempDir()
	base, err := s.remote().ReadBase(t.Context(), artifact.NewStore(folder), reference, s.base(), mustPlatforms(t, "linux/amd64"))
	if err != nil {
		t.Fatal(err)
	}
	p := plan(t, "linux/amd64")
	p.Base = reference
	in := input(t, p)
	in.Bases = map[string]*Base{reference: base}
	name := filepath.Join(folder, base.images[p.Platforms[0].Platform].layers[0].Digest.Hex)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), filepath.Join(t.TempDir(), "oci"), in); err == nil || !strings.Contains(err.Error(), "of a base") {
		t.Errorf("changed: %v", err)
	}
}

// index uploads an index.
func (s *server) index(list ...v1.Descriptor) artifact.Digest {
	s.t.Helper()
	return artifact.Digest(s.manifest("x", types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list}).Digest.String())
}

// broken uploads an image for linux/amd64 after change had its way with it.
func (s *server) broken(change func(*v1.Manifest, *v1.ConfigFile)) artifact.Digest {
	s.t.Helper()
	data := tarOf(s.t, file("a"))
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: v1.Descriptor{MediaType: types.OCIConfigJSON},
		Layers: []v1.Descriptor{s.blob(types.OCILayer, pack(s.t, types.OCILayer, data))}}
	c := v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{hash(s.t, data)}}}
	change(&m, &c)
	b, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	kind := m.Config.MediaType
	m.Config = s.blob(kind, b)
	d := s.manifest("x", types.OCIManifestSchema1, m)
	return artifact.Digest(d.Digest.String())
}
