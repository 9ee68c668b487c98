package subject

import (
	"archive/tar"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	registryserver "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/registry"
)

// shelf is a registry in this process that takes what it is given as it is.
type shelf struct {
	*httptest.Server
	repo string // with the host
	// fault, if set, may answer in place of the registry.
	fault func(w http.ResponseWriter, r *http.Request) bool
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	inner := registryserver.New(registryserver.Logger(log.New(io.Discard, "", 0)))
	s := &shelf{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.fault == nil || !s.fault(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	s.repo = strings.TrimPrefix(s.URL, "http://") + "/team/tool"
	return s
}

func (s *shelf) send(t *testing.T, method, path, contentType, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v2/team/tool/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
	}
}

func descriptor(t types.MediaType, content string) v1.Descriptor {
	h, err := v1.NewHash(string(artifact.Of([]byte(content))))
	if err != nil {
		panic(err)
	}
	return v1.Descriptor{MediaType: t, Size: int64(len(content)), Digest: h}
}

// blob uploads a blob.
func (s *shelf) blob(t *testing.T, mt types.MediaType, content string) v1.Descriptor {
	t.Helper()
	d := descriptor(mt, content)
	s.send(t, "POST", "blobs/uploads/?digest="+d.Digest.String(), "application/octet-stream", content)
	return d
}

// put uploads a manifest under a tag.
func (s *shelf) put(t *testing.T, tag string, mt types.MediaType, doc any) v1.Descriptor {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	s.send(t, "PUT", "manifests/"+tag, string(mt), string(raw))
	return descriptor(mt, string(raw))
}

// layerOf is a layer as somebody made it.
type layerOf struct {
	mt           types.MediaType
	blob, diffID string // of what is unpacked
}

func layer(members ...member) layerOf {
	content := tarOf(members...)
	return layerOf{types.OCILayer, gz(content), string(artifact.Of([]byte(content)))}
}

// image uploads an image for a platform; change may spoil its manifest.
func (s *shelf) image(t *testing.T, tag, platform string, change func(*v1.Manifest, *v1.ConfigFile), layers ...layerOf) v1.Descriptor {
	t.Helper()
	parts := append(strings.Split(platform, "/"), "")
	c := v1.ConfigFile{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for _, l := range layers {
		m.Layers = append(m.Layers, s.blob(t, l.mt, l.blob))
		id, err := v1.NewHash(l.diffID)
		if err != nil {
			t.Fatal(err)
		}
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, id)
	}
	if m.Layers == nil {
		m.Layers = []v1.Descriptor{}
	}
	if change != nil {
		change(&m, &c)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	mt := m.Config.MediaType
	if mt == "" {
		mt = types.OCIConfigJSON
	}
	m.Config = s.blob(t, mt, string(raw))
	d := s.put(t, tag, types.OCIManifestSchema1, m)
	d.Platform = &v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
	return d
}

func (s *shelf) index(t *testing.T, tag string, manifests ...v1.Descriptor) v1.Descriptor {
	t.Helper()
	return s.put(t, tag, types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: manifests})
}

func platforms(t *testing.T, list ...string) (all []platform.Platform) {
	t.Helper()
	for _, s := range list {
		p, err := platform.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestImage(t *testing.T) {
	s := newShelf(t)
	base := layer(member{name: "etc/passwd", body: "root"}, member{name: "usr/bin/shared", body: program('s')})
	amd := s.image(t, "amd", "linux/amd64", nil, base, layer(member{name: "usr/bin/tool", body: program('a')}))
	arm := s.image(t, "arm", "linux/arm64/v8", nil, base, layer(member{name: "usr/bin/tool", body: program('b')}))
	v6 := s.image(t, "v6", "linux/arm/v6", nil, layer(member{name: "tool", body: program('6')}))
	win := s.image(t, "win", "windows/amd64", nil, layer(member{name: "Files/tool.exe", body: program('w')}))
	att := s.image(t, "att", "unknown/unknown", nil, layer(member{name: "x", body: program('x')}))
	index := s.index(t, "v1", win, arm, amd, att, v6)

	both := []string{"usr/bin/shared s", "usr/bin/tool a", "tool 6", "usr/bin/shared s", "usr/bin/tool b"}
	for _, ref := range []string{s.repo + ":v1", s.repo + "@" + index.Digest.String(), s.repo + ":other@" + index.Digest.String()} {
		sub, err := opened(t, ref, Config{})
		want(t, sub, err, both...)
		if err != nil {
			continue
		}
		e := sub.Executables[1]
		if got := e.String(); got != ref+"  linux/amd64  usr/bin/tool" {
			t.Error(got)
		}
		c := e.Containers
		if sub.Kind != Image || string(sub.Digest) != index.Digest.String() || len(c) != 3 || c[0].Digest != sub.Digest ||
			c[1].Kind != System || string(c[1].Digest) != amd.Digest.String() || c[1].Name != "linux/amd64" || c[2].Kind != Layer || c[2].Format != "tar.gz" {
			t.Errorf("%+v", c)
		}
	}
	for list, want_ := range map[string][]string{
		"windows/amd64":              {"Files/tool.exe w"},
		"linux/amd64":                {"usr/bin/shared s", "usr/bin/tool a"},
		"linux/amd64/v3":             {"usr/bin/shared s", "usr/bin/tool a"}, // the best that runs there
		"linux/arm/v7 windows/amd64": {"tool 6", "Files/tool.exe w"},
		"linux/amd64 linux/amd64/v2": {"usr/bin/shared s", "usr/bin/tool a"},
	} {
		sub, err := opened(t, s.repo+":v1", Config{Platforms: platforms(t, strings.Fields(list)...)})
		want(t, sub, err, want_...)
	}
	for list, say := range map[string]string{
		"linux/s390x":             "no image for linux/s390x (there are: windows/amd64, linux/arm64/v8, linux/amd64, linux/arm/v6)",
		"linux/arm/v5":            "no image for linux/arm/v5",
		"linux/amd64 linux/ppc64": "no image for linux/ppc64",
	} {
		_, err := opened(t, s.repo+":v1", Config{Platforms: platforms(t, strings.Fields(list)...)})
		refused(t, err, say)
	}

	// Without an index.
	sub, err := opened(t, s.repo+":amd", Config{})
	want(t, sub, err, "usr/bin/shared s", "usr/bin/tool a")
	sub, err = opened(t, s.repo+":win", Config{Platforms: platforms(t, "windows/amd64")})
	want(t, sub, err, "Files/tool.exe w")
	_, err = opened(t, s.repo+":win", Config{Platforms: platforms(t, "linux/amd64")})
	refused(t, err, "no image for linux/amd64")
	_, err = opened(t, s.repo+":att", Config{})
	refused(t, err, "says that it is for unknown/unknown")

	s.index(t, "nolinux", win, att)
	_, err = opened(t, s.repo+":nolinux", Config{})
	refused(t, err, "no image for linux (there are: windows/amd64)")
	_, err = opened(t, s.repo+":missing", Config{})
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestLayers(t *testing.T) {
	s := newShelf(t)
	dir := func(name string) member { return member{name: name, flag: tar.TypeDir} }
	sym := func(name, to string) member { return member{name: name, flag: tar.TypeSymlink, link: to} }
	hard := func(name, to string) member { return member{name: name, flag: tar.TypeLink, link: to} }
	exe := func(name string, c byte) member { return member{name: name, body: program(c)} }
	for what, c := range map[string]struct {
		layers []layerOf
		want   []string
	}{
		"one over another":      {[]layerOf{layer(exe("a", '1'), exe("b", '1')), layer(exe("a", '2'))}, []string{"a 2", "b 1"}},
		"replaced by text":      {[]layerOf{layer(exe("a", '1'), exe("b", '1')), layer(member{name: "a", body: "text"})}, []string{"b 1"}},
		"twice in a layer":      {[]layerOf{layer(exe("a", '1'), exe("./a", '2'))}, []string{"a 2"}},
		"whiteout":              {[]layerOf{layer(exe("d/a", '1'), exe("d/b", '1')), layer(member{name: "d/.wh.a"})}, []string{"d/b 1"}},
		"whiteout of a folder":  {[]layerOf{layer(exe("d/e/a", '1'), exe("b", '1')), layer(member{name: ".wh.d"})}, []string{"b 1"}},
		"whiteout of nothing":   {[]layerOf{layer(exe("a", '1')), layer(member{name: "x/y/.wh.z"})}, []string{"a 1"}},
		"whiteout and new":      {[]layerOf{layer(exe("d/a", '1')), layer(exe("d/a", '2'), member{name: "d/.wh.a"})}, []string{"d/a 2"}},
		"opaque":                {[]layerOf{layer(exe("d/a", '1'), exe("d/b", '1'), exe("c", '1')), layer(exe("d/new", '2'), member{name: "d/.wh..wh..opq"})}, []string{"c 1", "d/new 2"}},
		"folder by a file":      {[]layerOf{layer(exe("d/a", '1')), layer(exe("d", '2'))}, []string{"d 2"}},
		"file by a folder":      {[]layerOf{layer(exe("d", '1')), layer(dir("d"), exe("d/a", '2'))}, []string{"d/a 2"}},
		"folder again":          {[]layerOf{layer(exe("d/a", '1')), layer(dir("d/"), exe("d/b", '2'))}, []string{"d/a 1", "d/b 2"}},
		"behind a link":         {[]layerOf{layer(dir("usr/bin"), sym("bin", "usr/bin"), exe("usr/bin/a", '1')), layer(exe("bin/a", '2'))}, []string{"usr/bin/a 2"}},
		"behind an absolute":    {[]layerOf{layer(dir("usr/bin"), sym("bin", "/usr/bin")), layer(exe("bin/a", '2'))}, []string{"usr/bin/a 2"}},
		"link out of the image": {[]layerOf{layer(dir("etc"), sym("x", "../../../../etc"), exe("x/a", '1'))}, []string{"etc/a 1"}},
		"link to itself":        {[]layerOf{layer(sym("x", "x"), exe("x/a", '1'))}, []string{"x/a 1"}},
		"link to a file":        {[]layerOf{layer(exe("a", '1'), sym("b", "a"))}, []string{"a 1"}},
		"hard link":             {[]layerOf{layer(exe("a", '1'), hard("b", "a")), layer(hard("c", "/a"), member{name: ".wh.b"})}, []string{"a 1", "c 1"}},
		"names out":             {[]layerOf{layer(exe("../../a", '1'), exe("/b", '2'), exe("c/../d", '3'))}, []string{"a 1", "b 2", "d 3"}},
		"a text like a program": {[]layerOf{layer(member{name: "t", body: "\xca\xfe\xba\xbe\x00\x00\x00\x41 a class"}, member{name: "u", body: "\xca\xfe\xba\xbe\x00\x00\x00\x41 a class"}, exe("a", '1'))}, []string{"a 1"}},
		// Runtimes stop at the end of the archive.
		"an archive behind": {[]layerOf{func() layerOf {
			content := tarOf(exe("a", '1')) + tarOf(exe("a", '2'))
			return layerOf{types.OCILayer, gz(content), string(artifact.Of([]byte(content)))}
		}()}, []string{"a 1"}},
		"other compression": {[]layerOf{
			{types.OCIUncompressedLayer, tarOf(exe("a", '1')), string(artifact.Of([]byte(tarOf(exe("a", '1')))))},
			{types.OCILayerZStd, zst(tarOf(exe("b", '2'))), string(artifact.Of([]byte(tarOf(exe("b", '2')))))},
			{types.DockerLayer, gz(tarOf(exe("c", '3'))), string(artifact.Of([]byte(tarOf(exe("c", '3')))))},
		}, []string{"a 1", "b 2", "c 3"}},
	} {
		s.image(t, "x", "linux/amd64", nil, c.layers...)
		sub, err := opened(t, s.repo+":x", Config{})
		want(t, sub, err, c.want...)
		if t.Failed() {
			t.Fatalf("at: %s", what)
		}
	}
}

// TestOthers: files that are no executables are counted, of an image those that it
// has in the end.
func TestOthers(t *testing.T) {
	tool, script := member{name: "tool", body: program('a')}, member{name: "run", body: "#!/bin/sh\n"}
	packed := member{name: "packed.gz", body: gz("text")}
	s := newShelf(t)
	s.image(t, "v1", "linux/amd64", nil,
		layer(tool, script, packed, member{name: "old", body: "#!/bin/sh\n"}),
		layer(member{name: ".wh.old"}, member{name: "packed.gz", body: "text"}, member{name: "again", flag: tar.TypeLink, link: "/run"}))
	file := filepath.Join(t.TempDir(), "x.tar")
	write(t, file, tarOf(tool, script, packed))
	for ref, want := range map[string][2]int{s.repo + ":v1": {2, 0}, file: {1, 1}} {
		sub, err := opened(t, ref, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int{sub.Scripts, sub.Archives}; got != want {
			t.Errorf("%s: %d scripts and archives, want %d", ref, got, want)
		}
	}
}

// TestPassedOver: what can do something to whoever has it, and is no executable that
// is known, is counted or has a row of its own.
func TestPassedOver(t *testing.T) {
	tool := member{name: "tool", body: program('a')}
	zipped := zipOf(tool, member{name: "text", body: "text"})
	hidden := zipOf(member{name: "hidden", body: program('h')})
	entry := strings.Index(zipped, "PK\x01\x02")
	universal := universalOf(macho(cpuAMD64, 'a'), macho(cpuARM64, 'b'))
	type counts struct{ scripts, unknown, links, skipped int }
	for what, c := range map[string]struct {
		content string
		want    counts
	}{
		"nothing":                     {tarOf(tool), counts{}},
		"a text that may run":         {tarOf(tool, member{name: "install", body: "rm -rf /\n"}), counts{unknown: 1}},
		"a mark in front of #!":       {tarOf(tool, member{name: "install", body: "\xef\xbb\xbf#!/bin/sh\n"}), counts{scripts: 1}},
		"a link to a shell":           {tarOf(tool, member{name: "sh", flag: tar.TypeSymlink, link: "/bin/sh"}), counts{links: 1}},
		"a link out of it":            {tarOf(tool, member{name: "bin/sh", flag: tar.TypeSymlink, link: "../../bin/sh"}), counts{links: 1}},
		"a hard link out of it":       {tarOf(tool, member{name: "sh", flag: tar.TypeLink, link: "/bin/sh"}), counts{links: 1}},
		"a link within":               {tarOf(tool, member{name: "bin/x", flag: tar.TypeSymlink, link: "../tool"}, member{name: "y", flag: tar.TypeLink, link: "tool"}), counts{}},
		"an install script":           {tarOf(tool, member{name: "package/package.json", body: `{"name": "x", "scripts": {"postinstall": "node x"}}`}), counts{scripts: 1}},
		"a package.json that is none": {tarOf(tool, member{name: "package.json", body: `{"scripts": `}), counts{scripts: 1}},
		"node-gyp":                    {tarOf(tool, member{name: "binding.gyp", body: `{}`}), counts{scripts: 1}},
		"a big-endian Mach-O file":    {tarOf(tool, member{name: "x", body: "\xfe\xed\xfa\xcf" + strings.Repeat("\x00", 60)}), counts{skipped: 1}},
		"a program of DOS":            {tarOf(tool, member{name: "x.exe", body: "MZ" + strings.Repeat("\x00", 600)}), counts{unknown: 1}},
		"a zip":                       {zipped, counts{}},
		"an empty member":             {zipOf(tool, member{name: "empty"}, member{name: "dir/"}), counts{}},
		"a link in a zip":             {zipOf(tool, member{name: "sh", body: "/bin/sh", flag: tar.TypeSymlink}), counts{links: 1}},
		"bytes in front of a zip":     {hidden[:strings.Index(hidden, "PK\x01\x02")] + zipped, counts{skipped: 1}},
		"a member not in the list":    {zipped[:entry] + hidden[:strings.Index(hidden, "PK\x01\x02")] + zipped[entry:len(zipped)-6] + string(binary.LittleEndian.AppendUint32(nil, uint32(entry+strings.Index(hidden, "PK\x01\x02")))) + "\x00\x00", counts{skipped: 1}},
		"bytes behind a zip":          {zipped + "rest", counts{skipped: 1}},
		"bytes between slices":        {tarOf(member{name: "u", body: universal + "rest"}), counts{skipped: 1}},
		"zeros behind slices":         {tarOf(member{name: "u", body: universal + "\x00\x00"}), counts{}},
	} {
		s, err := openedFile(t, "x", c.content, Limits{})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got := (counts{s.Scripts, s.Unknown, s.Links, len(s.Skipped)}); got != c.want {
			t.Errorf("%s: %+v, want %+v (%v)", what, got, c.want, s.Skipped)
		}
	}

	dir := t.TempDir()
	write(t, filepath.Join(dir, "tool"), tool.body)
	write(t, filepath.Join(dir, "install"), "rm -rf /\n")
	if err := errors.Join(os.Chmod(filepath.Join(dir, "install"), 0o755), os.Symlink("/bin/sh", filepath.Join(dir, "sh"))); err != nil {
		t.Fatal(err)
	}
	s, err := opened(t, dir, Config{})
	if err != nil || s.Unknown != 1 || s.Links != 1 {
		t.Errorf("a folder: %+v, %v", s, err)
	}
}

func TestHostileImage(t *testing.T) {
	s := newShelf(t)
	a := layer(member{name: "a", body: program('a')})
	other := layer(member{name: "b", body: program('b')})
	wrongID, foreign, short := a, a, a
	wrongID.diffID = other.diffID
	foreign.mt = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	short.blob = short.blob[:len(short.blob)-3]
	zip := layerOf{types.OCILayer, zipOf(member{name: "a", body: program('a')}), a.diffID}
	link := layer(member{name: "h", flag: tar.TypeLink, link: "../../etc/passwd"})
	deep := layer(member{name: strings.Repeat("d/", 300) + "a", body: program('a')})
	for _, c := range []struct {
		what   string
		layers []layerOf
		change func(*v1.Manifest, *v1.ConfigFile)
		limits Limits
		say    string
	}{
		{what: "other content than the configuration says", layers: []layerOf{wrongID}, say: "the configuration says"},
		{what: "foreign", layers: []layerOf{foreign}, say: "which is not known"},
		{what: "truncated", layers: []layerOf{short}, say: "unexpected EOF"},
		{what: "not compressed so", layers: []layerOf{zip}, say: "gzip"},
		{what: "hard link to nothing", layers: []layerOf{link}, say: "which is no file"},
		{what: "deep", layers: []layerOf{deep}, say: "a path that is too long"},
		{what: "a layer more", layers: []layerOf{a}, change: func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs = nil }, say: "the configuration has 0 layers, the manifest 1"},
		{what: "larger than it says", layers: []layerOf{a}, change: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size -= 2 }, say: "beyond the limit"},
		{what: "smaller than it says", layers: []layerOf{a}, change: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size += 2 }, say: "that were asked for"},
		{what: "not there", layers: []layerOf{a}, change: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Digest.Hex = strings.Repeat("0", 64) }, say: "404 Not Found"},
		{what: "no image", layers: []layerOf{a}, change: func(m *v1.Manifest, _ *v1.ConfigFile) {
			m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json"
		}, say: "no image of a container"},
		{what: "many layers", layers: slices.Repeat([]layerOf{a}, 128), say: "more than 127 layers"},
		{what: "no layers", say: "no executables (members: 0)"},
		{what: "members", layers: []layerOf{a, other}, limits: Limits{Members: 1}, say: "more than 1 members"},
		{what: "unpacked", layers: []layerOf{a, other}, limits: Limits{Unpacked: 3000}, say: "bytes unpacked"},
		{what: "spool", layers: []layerOf{a, other}, limits: Limits{Spool: 300}, say: "beyond the limit"},
	} {
		s.image(t, "x", "linux/amd64", c.change, c.layers...)
		_, err := opened(t, s.repo+":x", Config{Limits: c.limits})
		refused(t, err, c.say)
		if t.Failed() {
			t.Fatalf("at: %s", c.what)
		}
	}

	// An index that describes another image than is there, or an index.
	d := s.image(t, "x", "linux/amd64", nil, a)
	d.Size++
	s.index(t, "i", d)
	_, err := opened(t, s.repo+":i", Config{})
	refused(t, err, "not the image of")
	nested := s.index(t, "nested", d)
	nested.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
	s.index(t, "i", nested)
	_, err = opened(t, s.repo+":i", Config{})
	refused(t, err, "no image for linux")
	nested.MediaType = types.OCIManifestSchema1
	s.index(t, "i", nested)
	_, err = opened(t, s.repo+":i", Config{})
	refused(t, err, "not the image of")
}

func TestRegistryFaults(t *testing.T) {
	s := newShelf(t)
	a := layer(member{name: "a", body: program('a')})
	s.image(t, "x", "linux/amd64", nil, a)
	digest := string(artifact.Of([]byte(a.blob)))
	var asked atomic.Int32
	onBlob := func(f func(w http.ResponseWriter, n int32) bool) func(http.ResponseWriter, *http.Request) bool {
		asked.Store(0)
		return func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == "GET" && strings.HasSuffix(r.URL.Path, "/blobs/"+digest) && f(w, asked.Add(1))
		}
	}
	s.fault = onBlob(func(w http.ResponseWriter, n int32) bool {
		if n < attempts {
			w.WriteHeader(http.StatusBadGateway)
		}
		return n < attempts
	})
	sub, err := opened(t, s.repo+":x", Config{})
	want(t, sub, err, "a a")

	s.fault = onBlob(func(w http.ResponseWriter, n int32) bool {
		if n == 1 {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, a.blob[:20])
		}
		return n == 1
	})
	sub, err = opened(t, s.repo+":x", Config{})
	want(t, sub, err, "a a")

	s.fault = onBlob(func(w http.ResponseWriter, _ int32) bool { w.WriteHeader(http.StatusServiceUnavailable); return true })
	_, err = opened(t, s.repo+":x", Config{})
	refused(t, err, "the registry says 503")
	if n := asked.Load(); n != attempts {
		t.Errorf("asked %d times", n)
	}

	s.fault = onBlob(func(w http.ResponseWriter, _ int32) bool { w.WriteHeader(http.StatusForbidden); return true })
	_, err = opened(t, s.repo+":x", Config{})
	refused(t, err, "the registry says 403")
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}

	// Other bytes of the same length, and more of them.
	for _, forged := range []string{strings.Replace(a.blob, a.blob[30:40], "0123456789", 1), a.blob + strings.Repeat("x", 1<<20)} {
		s.fault = onBlob(func(w http.ResponseWriter, _ int32) bool { io.WriteString(w, forged); return true })
		if sub, err := opened(t, s.repo+":x", Config{}); err == nil {
			t.Errorf("forged bytes were accepted: %v", found(sub))
		}
	}

	// Sent somewhere else.
	s.fault = onBlob(func(w http.ResponseWriter, _ int32) bool {
		w.Header().Set("Location", "http://example.com/blob?token=s3cr")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	})
	_, err = opened(t, s.repo+":x", Config{})
	refused(t, err, "plain HTTP to example.com: refused")
	if strings.Contains(err.Error(), "s3cr") {
		t.Error(err)
	}
}
