package oci

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/archive"
	"github.com/twicebuild/twice/pipeline/artifact"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt")

var created = time.Date(2026, 8, 3, 17, 2, 11, 999, time.UTC)

// elfFile makes a file that debug/elf reads, for an architecture of Go, with an
// interpreter and needed libraries if they are given.
func elfFile(t testing.TB, goarch, text, loader string, libraries ...string) []byte {
	t.Helper()
	m, ok := elfMachines[goarch]
	if !ok {
		t.Fatalf("no machine %s", goarch)
	}
	put := func(b *bytes.Buffer, v any) {
		if err := binary.Write(b, m.order, v); err != nil {
			t.Fatal(err)
		}
	}
	const at = 1024 // where the data begins
	var data, dynamic bytes.Buffer
	interp := at + data.Len()
	if loader != "" {
		data.WriteString(loader + "\x00")
	}
	strs := at + data.Len()
	data.WriteByte(0)
	tag := func(tag elf.DynTag, v int) {
		if m.class == elf.ELFCLASS64 {
			put(&dynamic, elf.Dyn64{Tag: int64(tag), Val: uint64(v)})
		} else {
			put(&dynamic, elf.Dyn32{Tag: int32(tag), Val: uint32(v)})
		}
	}
	for _, lib := range libraries {
		tag(elf.DT_NEEDED, at+data.Len()-strs)
		data.WriteString(lib + "\x00")
	}
	tag(elf.DT_NULL, 0)
	names := at + data.Len()
	data.WriteString("\x00.dynstr\x00.dynamic\x00.shstrtab\x00")
	namesLen := at + data.Len() - names
	dyn := at + data.Len()
	data.Write(dynamic.Bytes())
	data.WriteString(text)

	var b bytes.Buffer
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(m.class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	if m.order == binary.BigEndian {
		ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	progs := 0
	if loader != "" {
		progs = 1
	}
	type section struct {
		name, typ, off, size, link uint32
	}
	sections := []section{{}, {1, uint32(elf.SHT_STRTAB), uint32(strs), uint32(names - strs), 0},
		{9, uint32(elf.SHT_DYNAMIC), uint32(dyn), uint32(dynamic.Len()), 1},
		{18, uint32(elf.SHT_STRTAB), uint32(names), uint32(namesLen), 0}}
	if m.class == elf.ELFCLASS64 {
		put(&b, elf.Header64{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(m.machine), Version: 1, Phoff: 64, Shoff: 128,
			Ehsize: 64, Phentsize: 56, Phnum: uint16(progs), Shentsize: 64, Shnum: 4, Shstrndx: 3})
		put(&b, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: uint64(interp), Filesz: uint64(len(loader) + 1)})
		b.Write(make([]byte, 128-b.Len()))
		for _, s := range sections {
			put(&b, elf.Section64{Name: s.name, Type: s.typ, Off: uint64(s.off), Size: uint64(s.size), Link: s.link})
		}
	} else {
		put(&b, elf.Header32{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(m.machine), Version: 1, Phoff: 52, Shoff: 128,
			Ehsize: 52, Phentsize: 32, Phnum: uint16(progs), Shentsize: 40, Shnum: 4, Shstrndx: 3})
		put(&b, elf.Prog32{Type: uint32(elf.PT_INTERP), Off: uint32(interp), Filesz: uint32(len(loader) + 1)})
		b.Write(make([]byte, 128-b.Len()))
		for _, s := range sections {
			put(&b, elf.Section32{Name: s.name, Type: s.typ, Off: s.off, Size: s.size, Link: s.link})
		}
	}
	b.Write(make([]byte, at-b.Len()))
	b.Write(data.Bytes())
	return b.Bytes()
}

func mustTarget(t testing.TB, s string) matrix.Target {
	t.Helper()
	target, err := matrix.ParseTarget(s)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func platformsOf(t testing.TB, targets ...string) []matrix.ImagePlatform {
	t.Helper()
	var list []matrix.ImagePlatform
	for _, s := range targets {
		target := mustTarget(t, s)
		p, err := target.Platform()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, matrix.ImagePlatform{Platform: p, Target: target})
	}
	return list
}

// plan is a plan with the defaults of the release file.
func plan(t testing.TB, targets ...string) matrix.ImagePlan {
	return matrix.ImagePlan{
		Key: "image[0]", Repository: "registry.example.com/acme/tool", Tags: []string{"1.2.3", "latest"}, Base: matrix.Scratch,
		Entrypoint: []string{"/usr/local/bin/tool"}, UID: 65532, GID: 65532, Tmp: true,
		Labels: map[string]string{}, Annotations: map[string]string{},
		Binaries:  []matrix.ImageBinary{{Name: "tool", Path: "/usr/local/bin/tool"}},
		Platforms: platformsOf(t, targets...),
	}
}

// input is an Input for plans whose binaries are tool and other.
func input(t testing.TB, plans ...matrix.ImagePlan) Input {
	t.Helper()
	in := Input{
		Images: plans, Title: "tool", Revision: "0123456789abcdef0123456789abcdef01234567", Version: "1.2.3", Created: created, Jobs: 2,
		Files: map[string]Content{"conf/tool.toml": contentOf([]byte("key = 1\n"))}, Zoneinfo: zones(t),
	}
	seen := map[matrix.Target]bool{}
	for _, p := range plans {
		for _, platform := range p.Platforms {
			if seen[platform.Target] {
				continue
			}
			seen[platform.Target] = true
			for _, name := range []string{"tool", "other"} {
				data := elfFile(t, platform.Target.Arch, name+" for "+platform.Target.String()+prose(), "")
				in.Binaries = append(in.Binaries, Binary{platform.Target, name, contentOf(data)})
			}
		}
	}
	return in
}

// prose is text on which compressors and their levels differ.
var prose = sync.OnceValue(func() string {
	var b strings.Builder
	rng := rand.New(rand.NewPCG(3, 4))
	for b.Len() < 150_000 {
		fmt.Fprintf(&b, "%x ", rng.IntN(1<<(4+rng.IntN(12))))
	}
	return b.String()
})

// zones is an archive as Go's.
func zones(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for _, name := range []string{"Europe/Paris", "UTC"} {
		w, err := zw.CreateHeader(&zip.FileHeader{Name: name})
		if err == nil {
			_, err = w.Write([]byte("TZif2 " + name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mustWrite(t testing.TB, in Input) (dir string, images []Image) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "oci")
	images, err := Write(t.Context(), dir, in)
	if err != nil {
		t.Fatal(err)
	}
	return dir, images
}

// valid reads a layout with a library's eyes.
func valid(t testing.TB, dir string, options ...validate.Option) v1.ImageIndex {
	t.Helper()
	index, err := ocilayout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index, options...); err != nil {
		t.Fatal(err)
	}
	return index
}

// item is what a layer holds.
type item struct {
	Mode     int64
	UID, GID int
	Data     string
}

// unpack reads the layer with a digest.
func unpack(t testing.TB, dir string, d artifact.Digest) (names []string, items map[string]item) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "blobs", "sha256", d.Hex()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	items = map[string]item{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names, items
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(created.Truncate(time.Second)) || h.Uname != "" || h.Gname != "" || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
			t.Errorf("header %+v", h)
		}
		names = append(names, h.Name)
		items[h.Name] = item{h.Mode, h.Uid, h.Gid, string(data)}
	}
}

// full is a plan that uses everything.
func full(t testing.TB, targets ...string) matrix.ImagePlan {
	p := plan(t, targets...)
	p.Binaries = append(p.Binaries, matrix.ImageBinary{Name: "other", Path: "/usr/local/bin/other"})
	p.Entrypoint, p.Cmd = []string{"/usr/local/bin/tool", "serve"}, []string{"-v"}
	p.Env, p.Workdir, p.Ports = []string{"A=1", "PATH=/usr/local/bin"}, "/home/nonroot", []string{"53/udp", "8080/tcp"}
	p.Labels["com.example.k"] = "v"
	p.Annotations["org.opencontainers.image.title"] = "Another title"
	p.Source, p.Licenses, p.Timezones = "https://git.example.com/acme/tool", "Apache-2.0", true
	p.Files = []matrix.ImageFile{{Source: "conf/tool.toml", Path: "/etc/tool/tool.toml", Mode: 0o600}}
	return p
}

func TestLayout(t *testing.T) {
	a, b := full(t, "linux/amd64", "linux/amd64/v3", "linux/arm64", "linux/arm/7"), plan(t, "linux/amd64")
	b.Key, b.Repository, b.Tags = "image[1]", "registry.example.com/acme/small", []string{"x"}
	in := input(t, a, b)
	dir, images := mustWrite(t, in)
	index := valid(t, dir)

	top, err := index.IndexManifest()
	if err != nil || len(top.Manifests) != 2 || len(images) != 2 {
		t.Fatalf("index.json: %+v, %v; images %+v", top, err, images)
	}
	// Sorted by name: the second image of the input comes first.
	if images[0].Key != "image[1]" || images[1].Key != "image[0]" {
		t.Errorf("order: %s %s", images[0].Key, images[1].Key)
	}
	want := map[string]string{
		RefNameAnnotation: "registry.example.com/acme/tool:1.2.3", ContainerdAnnotation: "registry.example.com/acme/tool:1.2.3",
		RepositoryAnnotation: "registry.example.com/acme/tool", TagsAnnotation: "1.2.3 latest",
	}
	if !maps.Equal(top.Manifests[1].Annotations, want) || top.Manifests[1].Digest.String() != string(images[1].Digest) {
		t.Errorf("descriptor %+v", top.Manifests[1])
	}

	var platforms []string
	for _, m := range images[1].Manifests {
		platforms = append(platforms, m.Platform)
	}
	if got := strings.Join(platforms, " "); got != "linux/amd64 linux/amd64/v3 linux/arm/v7 linux/arm64/v8" {
		t.Errorf("platforms %s", got)
	}
	m := images[1].Manifests[0]
	if len(m.Layers) != 4 {
		t.Fatalf("layers %+v", m.Layers)
	}
	// The binary in the layer is the one that was given.
	for i, name := range []string{"tool", "other"} {
		names, items := unpack(t, dir, m.Layers[2+i].Digest)
		n := slices.IndexFunc(in.Binaries, func(b Binary) bool { return b.Target.String() == "linux/amd64" && b.Name == name })
		file := items["usr/local/bin/"+name]
		if artifact.Of([]byte(file.Data)) != in.Binaries[n].Digest || file.Mode != 0o755 || file.UID != 0 || file.GID != 0 {
			t.Errorf("%s: mode %o, %d:%d, %d bytes", name, file.Mode, file.UID, file.GID, len(file.Data))
		}
		if want := []string{"usr/", "usr/local/", "usr/local/bin/", "usr/local/bin/" + name}; !slices.Equal(names, want) {
			t.Errorf("layer of %s holds %q", name, names)
		}
		if !slices.Equal(m.Layers[2+i].Files, []string{"/usr/local/bin/" + name}) {
			t.Errorf("layer of %s: files %q", name, m.Layers[2+i].Files)
		}
	}
	names, items := unpack(t, dir, m.Layers[0].Digest)
	wantNames := []string{"etc/", "etc/group", "etc/passwd", "home/", "home/nonroot/", "tmp/", "usr/", "usr/share/", "usr/share/zoneinfo/",
		"usr/share/zoneinfo/Europe/", "usr/share/zoneinfo/Europe/Paris", "usr/share/zoneinfo/UTC"}
	if !slices.Equal(names, wantNames) {
		t.Errorf("base files: %q", names)
	}
	for name, want := range map[string]item{
		"tmp/": {0o1777, 0, 0, ""}, "home/": {0o755, 0, 0, ""}, "home/nonroot/": {0o700, 65532, 65532, ""},
		"usr/share/zoneinfo/UTC": {0o644, 0, 0, "TZif2 UTC"},
		"etc/group":              {0o644, 0, 0, "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"},
		"etc/passwd": {0o644, 0, 0, "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n" +
			"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"},
	} {
		if items[name] != want {
			t.Errorf("%s: %+v", name, items[name])
		}
	}
	if _, items := unpack(t, dir, m.Layers[1].Digest); items["etc/tool/tool.toml"] != (item{0o600, 0, 0, "key = 1\n"}) {
		t.Errorf("files: %+v", items)
	}

	image, err := index.ImageIndex(top.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	im, err := image.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	standard := map[string]string{
		"org.opencontainers.image.title": "Another title", "org.opencontainers.image.created": "2026-08-03T17:02:11Z",
		"org.opencontainers.image.revision": in.Revision, "org.opencontainers.image.version": "1.2.3",
		"org.opencontainers.image.source": "https://git.example.com/acme/tool", "org.opencontainers.image.licenses": "Apache-2.0",
	}
	if !maps.Equal(im.Annotations, standard) {
		t.Errorf("annotations %v", im.Annotations)
	}
	hash, err := v1.NewHash(string(images[1].Manifests[2].Digest))
	if err != nil {
		t.Fatal(err)
	}
	arm, err := image.Image(hash)
	if err != nil {
		t.Fatal(err)
	}
	config, err := arm.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	standard["org.opencontainers.image.title"] = "tool"
	standard["com.example.k"] = "v"
	wantConfig := v1.Config{
		Entrypoint: a.Entrypoint, Cmd: a.Cmd, Env: []string{"PATH=/usr/local/bin", "A=1"}, Labels: standard, User: "65532:65532",
		WorkingDir: "/home/nonroot", ExposedPorts: map[string]struct{}{"53/udp": {}, "8080/tcp": {}},
	}
	if !reflect.DeepEqual(config.Config, wantConfig) || config.OS != "linux" || config.Architecture != "arm" || config.Variant != "v7" ||
		!config.Created.Equal(created.Truncate(time.Second)) || len(config.History) != 4 {
		t.Errorf("config %+v", config)
	}

	// What is the same in both images is one blob, and there is nothing that no
	// document names.
	if images[0].Manifests[0].Layers[1].Digest != images[1].Manifests[0].Layers[2].Digest {
		t.Error("the binary of two images is two blobs")
	}
	blobs := map[artifact.Digest]bool{}
	for _, img := range images {
		blobs[img.Digest] = true
		for _, m := range img.Manifests {
			blobs[m.Digest], blobs[m.Config] = true, true
			for _, l := range m.Layers {
				blobs[l.Digest] = true
			}
		}
	}
	var found []string
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if rel = filepath.ToSlash(rel); err == nil && !d.IsDir() && !blobs["sha256:"+artifact.Digest(strings.TrimPrefix(rel, "blobs/sha256/"))] {
			found = append(found, rel)
		}
		return err
	})
	if err != nil || !slices.Equal(found, []string{"index.json", "oci-layout"}) {
		t.Errorf("also there: %q, %v", found, err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	if err != nil || len(entries) != len(blobs) {
		t.Errorf("%d blobs of %d, %v", len(entries), len(blobs), err)
	}
}

// The layer of a binary is the archive that package archive makes of it, but for
// folders: the compressor, its level, header and blocks are the same.
func TestLayerIsAnArchive(t *testing.T) {
	in := input(t, plan(t, "linux/amd64"))
	dir, images := mustWrite(t, in)
	l := images[0].Manifests[0].Layers[1]
	layer, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", l.Digest.Hex()))
	if err != nil {
		t.Fatal(err)
	}
	c := in.Binaries[0]
	var b bytes.Buffer
	err = archive.Write(&b, archive.TarGzip, created, []archive.File{{
		Name: "usr/local/bin/tool", Executable: true, Size: c.Size, Open: func() (io.ReadCloser, error) { return c.Open() },
	}})
	if err != nil || !bytes.Equal(b.Bytes(), layer) {
		t.Errorf("archive of %d bytes, layer of %d: %v", b.Len(), len(layer), err)
	}
}

// files returns the content of every file below dir.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		all[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The order of the lists and of the work changes nothing, nor does it matter
// whether the result is kept.
func TestOrder(t *testing.T) {
	a, b := full(t, "linux/amd64", "linux/arm64", "linux/arm/6"), plan(t, "linux/amd64", "linux/s390x")
	b.Key, b.Repository, b.Certificates = "image[1]", "registry.example.com/acme/small", true
	in := input(t, a, b)
	dir, images := mustWrite(t, in)
	want := files(t, dir)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 4 {
		other := in
		other.Jobs = 1 + i*3
		other.Images = slices.Clone(in.Images)
		other.Binaries = slices.Clone(in.Binaries)
		for j := range other.Images {
			p := &other.Images[j]
			p.Platforms = slices.Clone(p.Platforms)
			rng.Shuffle(len(p.Platforms), func(x, y int) { p.Platforms[x], p.Platforms[y] = p.Platforms[y], p.Platforms[x] })
		}
		rng.Shuffle(2, func(x, y int) { other.Images[x], other.Images[y] = other.Images[y], other.Images[x] })
		rng.Shuffle(len(other.Binaries), func(x, y int) { other.Binaries[x], other.Binaries[y] = other.Binaries[y], other.Binaries[x] })
		other.Created = created.In(time.FixedZone("X", 3600)).Truncate(time.Second)
		dir, again := mustWrite(t, other)
		if got := files(t, dir); !maps.Equal(got, want) || !reflect.DeepEqual(again, images) {
			t.Fatalf("run %d differs: %q", i, Compare(images, again))
		}
		digests, err := Digests(t.Context(), other)
		if err != nil || !reflect.DeepEqual(digests, images) {
			t.Fatalf("digests: %v, %q", err, Compare(images, digests))
		}
	}
}

// TestGolden pins the bytes: a new version of a dependency, or of Go, that changes
// them is noticed here.
func TestGolden(t *testing.T) {
	p := full(t, "linux/amd64", "linux/arm/7", "linux/s390x")
	_, images := mustWrite(t, input(t, p))
	var b strings.Builder
	for _, img := range images {
		fmt.Fprintf(&b, "%s %s %d\n", img.Repository, img.Digest, img.Size)
		for _, m := range img.Manifests {
			fmt.Fprintf(&b, "  %s %s %d config %s\n", m.Platform, m.Digest, m.Size, m.Config)
			for _, l := range m.Layers {
				fmt.Fprintf(&b, "    %s %d diff %s %s\n", l.Digest, l.Size, l.DiffID, strings.Join(l.Files, " "))
			}
		}
	}
	const name = "testdata/golden.txt"
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil || string(want) != b.String() {
		t.Errorf("%v; got\n%swant\n%s", err, b.String(), want)
	}
}

// Every authority of the file can be read, and those with a constraint are not in
// it.
func TestCertificates(t *testing.T) {
	p := plan(t, "linux/amd64")
	p.Certificates = true
	dir, images := mustWrite(t, input(t, p))
	_, items := unpack(t, dir, images[0].Manifests[0].Layers[0].Digest)
	rest := []byte(items["etc/ssl/certs/ca-certificates.crt"].Data)
	n := 0
	for len(rest) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatalf("not PEM: %.80q", rest)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !c.IsCA {
			t.Errorf("certificate %d: %v", n, err)
		}
		n++
	}
	if n < 100 || n > 300 {
		t.Errorf("%d certificates", n)
	}
}

func TestTimezones(t *testing.T) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := timezones(data)
	if err != nil || len(list) < 500 {
		t.Fatalf("%d time zones, %v", len(list), err)
	}
	for _, e := range list {
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := time.LoadLocationFromTZData(e.path, b); err != nil {
			t.Errorf("%s: %v", e.path, err)
		}
	}
	bad := func(name, text string) []byte {
		var b bytes.Buffer
		zw := zip.NewWriter(&b)
		w, err := zw.Create(name)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err := errors.Join(err, zw.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for want, data := range map[string][]byte{
		"no archive of them": nil, "not a valid zip": []byte("x"), "no path in an archive": bad("../x", "TZif"),
		"no time zone": bad("x", "text"), "is empty": bad("x/", ""), "more than": bad("x", "TZif"+strings.Repeat("x", MaxZoneinfo)),
	} {
		p := plan(t, "linux/amd64")
		p.Timezones = true
		in := input(t, p)
		in.Zoneinfo = data
		if _, err := Digests(t.Context(), in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestUsers(t *testing.T) {
	for _, tt := range []struct {
		uid, gid uint32
		user     string
		home     item
		at       string
		last     string
	}{
		{0, 0, "0:0", item{0o700, 0, 0, ""}, "root/", "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"},
		{1000, 0, "1000:0", item{0o700, 1000, 0, ""}, "home/user/", "user:x:1000:0:user:/home/user:/sbin/nologin\n"},
		{65534, 65534, "65534:65534", item{0o700, 65534, 65534, ""}, "home/user/", "nobody:x:65534:65534:nobody:/home/user:/sbin/nologin\n"},
		{1 << 30, 7, "1073741824:7", item{0o700, 1 << 30, 7, ""}, "home/user/", "user:x:1073741824:7:user:/home/user:/sbin/nologin\n"},
	} {
		p := plan(t, "linux/amd64")
		p.UID, p.GID, p.Tmp = tt.uid, tt.gid, false
		dir, images := mustWrite(t, input(t, p))
		m := images[0].Manifests[0]
		_, items := unpack(t, dir, m.Layers[0].Digest)
		if passwd := items["etc/passwd"].Data; items[tt.at] != tt.home || !strings.HasSuffix(passwd, tt.last) {
			t.Errorf("%d: home %+v, passwd %q", tt.uid, items[tt.at], passwd)
		}
		var c v1.ConfigFile
		data, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", m.Config.Hex()))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &c); err != nil || c.Config.User != tt.user {
			t.Errorf("user %q, %v", c.Config.User, err)
		}
	}
	// What the release file gives is not made.
	p := plan(t, "linux/amd64")
	p.Files = []matrix.ImageFile{{Source: "conf/tool.toml", Path: "/etc/passwd", Mode: 0o644}}
	dir, images := mustWrite(t, input(t, p))
	if _, items := unpack(t, dir, images[0].Manifests[0].Layers[1].Digest); items["etc/passwd"].Data != "key = 1\n" {
		t.Errorf("passwd %+v", items["etc/passwd"])
	}
}

// Each image is refused for the reason that is written, and nothing is written
// for it.
func TestRefusals(t *testing.T) {
	binary := func(data []byte) func(*Input) {
		return func(in *Input) { in.Binaries[0].Content = contentOf(data) }
	}
	each := func(change func(p *matrix.ImagePlan)) func(*Input) {
		return func(in *Input) { change(&in.Images[0]) }
	}
	freebsd := elfFile(t, "amd64", "x", "")
	freebsd[elf.EI_OSABI] = byte(elf.ELFOSABI_FREEBSD)
	object := elfFile(t, "amd64", "x", "")
	object[16] = byte(elf.ET_REL)
	for want, change := range map[string]func(*Input){
		"image[0]: linux/amd64: /usr/local/bin/tool: a binary for EM_AARCH64":      binary(elfFile(t, "arm64", "x", "")),
		"/usr/local/bin/tool: a binary for EM_386":                                 binary(elfFile(t, "386", "x", "")),
		"/usr/local/bin/tool: a binary for ELFOSABI_FREEBSD":                       binary(freebsd),
		"/usr/local/bin/tool: not an executable (ET_REL)":                          binary(object),
		"/usr/local/bin/tool: neither a binary for linux nor a script":             binary([]byte("MZ")),
		"its loader is /lib64/ld-linux-x86-64.so.2, which the image does not have": binary(elfFile(t, "amd64", "x", "/lib64/ld-linux-x86-64.so.2")),
		"it is linked with libc.so.6, which the image does not have":               binary(elfFile(t, "amd64", "x", "", "libc.so.6")),
		"/usr/local/bin/tool: a script for /bin/sh, which the image does not have": binary([]byte("#! /bin/sh -e\n")),
		"/usr/local/bin/tool: a script without an interpreter":                     binary([]byte("#! \n")),
		"entrypoint /bin/tool: file does not exist":                                each(func(p *matrix.ImagePlan) { p.Entrypoint[0] = "/bin/tool" }),
		"entrypoint /usr/local/bin: not a file but a folder":                       each(func(p *matrix.ImagePlan) { p.Entrypoint[0] = "/usr/local/bin" }),
		"entrypoint /usr/local/bin/tool/x: a part of the path is no folder":        each(func(p *matrix.ImagePlan) { p.Entrypoint[0] += "/x" }),
		"no entrypoint":                      each(func(p *matrix.ImagePlan) { p.Entrypoint = nil }),
		"no tags, or no platforms":           each(func(p *matrix.ImagePlan) { p.Tags = nil }),
		"image[0]: no tags, or no platforms": each(func(p *matrix.ImagePlan) { p.Platforms = nil }),
		"linux/amd64 is there twice":         each(func(p *matrix.ImagePlan) { p.Platforms = append(p.Platforms, p.Platforms[0]) }),
		"base example.com/x:1 was not read":  each(func(p *matrix.ImagePlan) { p.Base = "example.com/x:1" }),
		"/nope: there is no file nope":       each(func(p *matrix.ImagePlan) { p.Files[0] = matrix.ImageFile{Source: "nope", Path: "/nope"} }),
		"there is no gone for linux/amd64": each(func(p *matrix.ImagePlan) {
			p.Binaries = append(p.Binaries, matrix.ImageBinary{Name: "gone", Path: "/g"})
		}),
		"/tmp: two files of the image":                      each(func(p *matrix.ImagePlan) { p.Binaries[0].Path = "/tmp"; p.Entrypoint[0] = "/tmp" }),
		"/etc: two files of the image":                      each(func(p *matrix.ImagePlan) { p.Files[0].Path = "/etc" }),
		"/etc/passwd/x: in the base, /etc/passwd is a file": each(func(p *matrix.ImagePlan) { p.Files[0].Path = "/etc/passwd/x" }),
		"may not execute it: the file belongs to 0:0 and has mode 0754": each(func(p *matrix.ImagePlan) {
			p.Files[0].Mode = 0o754
			p.Entrypoint[0] = p.Files[0].Path
		}),
		"not executable (mode 0600)": each(func(p *matrix.ImagePlan) {
			p.UID, p.GID = 0, 0
			p.Entrypoint[0] = p.Files[0].Path
		}),
		"/etc/tool/tool.toml: neither a binary for linux nor a script": each(func(p *matrix.ImagePlan) {
			p.Files[0].Mode = 0o755
			p.Entrypoint[0] = p.Files[0].Path
		}),
		"\"/a/.wh.b\" is no clean absolute path":       each(func(p *matrix.ImagePlan) { p.Files[0].Path = "/a/.wh.b" }),
		"\"/a/../b\" is no clean absolute path":        each(func(p *matrix.ImagePlan) { p.Files[0].Path = "/a/../b" }),
		"tar holds times from 1970":                    func(in *Input) { in.Created = time.Unix(-1, 0) },
		"0 jobs":                                       func(in *Input) { in.Jobs = 0 },
		"two are registry.example.com/acme/tool:1.2.3": func(in *Input) { in.Images = append(in.Images, in.Images[0]) },
	} {
		in := input(t, full(t, "linux/amd64"))
		change(&in)
		dir := filepath.Join(t.TempDir(), "oci")
		_, err := Write(t.Context(), dir, in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q\n got %v", want, err)
		}
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was written: %v", want, err)
		}
	}
	// All of them at once, each on a line with its image and platform.
	in := input(t, full(t, "linux/amd64", "linux/arm64"))
	in.Binaries[0].Content, in.Binaries[2].Content = contentOf(nil), contentOf([]byte("x"))
	_, err := Digests(t.Context(), in)
	if err == nil || strings.Count(err.Error(), "image[0]: linux/a") != 2 || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two faults: %v", err)
	}
}

// What is read while a layer is written is held against what was announced.
func TestContentIsVerified(t *testing.T) {
	good := elfFile(t, "amd64", strings.Repeat("text", 30_000), "")
	for name, data := range map[string][]byte{"other": append(good[:len(good)-1:len(good)-1], 'x'), "longer": append(good[:len(good):len(good)], 0), "shorter": good[:len(good)-1]} {
		in := input(t, plan(t, "linux/amd64"))
		c := contentOf(good)
		c.Open = contentOf(data).Open
		in.Binaries[0].Content = c
		dir := filepath.Join(t.TempDir(), "oci")
		if _, err := Write(t.Context(), dir, in); err == nil || !strings.Contains(err.Error(), "/usr/local/bin/tool") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "index.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: there is an index.json: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "blob-*")); len(left) > 0 {
			t.Errorf("%s: left over: %q", name, left)
		}
		if _, err := Digests(t.Context(), in); err == nil {
			t.Errorf("%s: Digests does not see it", name)
		}
	}
	fails := errors.New("disk on fire")
	in := input(t, plan(t, "linux/amd64"))
	open := in.Binaries[0].Open
	n := 0
	in.Binaries[0].Open = func() (Reader, error) {
		if n++; n > 1 {
			return nil, fails
		}
		return open()
	}
	if _, err := Digests(t.Context(), in); !errors.Is(err, fails) {
		t.Errorf("open: %v", err)
	}
	// A folder that is not ours is left alone.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), dir, input(t, plan(t, "linux/amd64"))); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("not empty: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := Digests(ctx, input(t, plan(t, "linux/amd64"))); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("canceled: %v", err)
	}
}

// Compare finds every field that is changed, and says where.
func TestCompare(t *testing.T) {
	in := input(t, full(t, "linux/amd64", "linux/arm64"))
	made := func() []Image {
		images, err := Digests(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return images
	}
	a := made()
	if diff := Compare(a, made()); diff != nil {
		t.Errorf("the same: %q", diff)
	}
	other := artifact.Of(nil)
	for want, change := range map[string]func(img *Image){
		"not the image that":           func(img *Image) { img.Repository = "x" },
		":1.2.3,latest: not":           func(img *Image) { img.Tags = img.Tags[:1] },
		"not the image":                func(img *Image) { img.Manifests = nil },
		"index ":                       func(img *Image) { img.Digest = other },
		": index ":                     func(img *Image) { img.Size++ },
		"latest: index ":               func(img *Image) { img.Key = "x" },
		"other platforms or layers":    func(img *Image) { img.Manifests[1].Platform = "x" },
		"other platforms or":           func(img *Image) { img.Manifests[1].Target.OS = "x" },
		"linux/arm64/v8: other":        func(img *Image) { img.Manifests[1].Layers = nil },
		"linux/arm64/v8: config":       func(img *Image) { img.Manifests[1].Config = other },
		"linux/arm64/v8: manifest":     func(img *Image) { img.Manifests[1].Digest = other },
		": manifest ":                  func(img *Image) { img.Manifests[1].Size++ },
		"layer 2 (/usr/local/bin/tool": func(img *Image) { img.Manifests[0].Layers[2].DiffID = other },
		"the same before compression":  func(img *Image) { img.Manifests[0].Layers[2].Digest = other },
		"same before compression":      func(img *Image) { img.Manifests[0].Layers[2].Size++ },
		": other files":                func(img *Image) { img.Manifests[0].Layers[2].Base = true },
		"other files":                  func(img *Image) { img.Manifests[0].Layers[2].Files = nil },
	} {
		var b []Image
		data, err := json.Marshal(a)
		if err == nil {
			err = json.Unmarshal(data, &b)
		}
		if err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("as JSON: %v", err)
		}
		change(&b[0])
		if diff := Compare(a, b); len(diff) != 1 || !strings.Contains(diff[0], want) {
			t.Errorf("want %q: %q", want, diff)
		}
	}
	if diff := Compare(a, nil); len(diff) != 1 {
		t.Errorf("none: %q", diff)
	}
	// Another binary is seen in its layer alone.
	in.Binaries[0].Content = contentOf(elfFile(t, "amd64", "other", ""))
	if diff := Compare(a, made()); len(diff) != 1 || !strings.Contains(diff[0], "linux/amd64: layer 2 (/usr/local/bin/tool)") || !strings.Contains(diff[0], "before compression") {
		t.Errorf("other binary: %q", diff)
	}
	in = input(t, full(t, "linux/amd64", "linux/arm64"))
	in.Images[0].Env = nil
	if diff := Compare(a, made()); len(diff) != 2 || !strings.Contains(diff[0], "linux/amd64: configuration") {
		t.Errorf("other environment: %q", diff)
	}
}
