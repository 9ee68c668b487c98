package subject

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/inspect"
)

// small are limits that a fuzzer meets.
var small = Limits{Members: 100, Executables: 10, File: 1 << 16, Spool: 1 << 20, Unpacked: 1 << 22, Ratio: 100}

// fuzzOpen opens content as a file, and insists on what opened does and on each
// executable being one.
func fuzzOpen(t *testing.T, content []byte) {
	s, err := openedFile(t, "x", string(content), small)
	if err != nil {
		return
	}
	for _, e := range s.Executables {
		f, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := inspect.Open(f, e.Size); err != nil {
			t.Errorf("%s: %v", &e, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// seeds are the bases of the archives' seeds.
var seeds = []string{
	tarOf(member{name: "bin/a", body: program('a')}, member{name: "l", flag: tar.TypeSymlink, link: "/etc"}, member{name: "./bin/a", body: program('b')}),
	withoutEnd(tarOf(member{name: "a", body: program('a')})) + tarOf(member{name: strings.Repeat("n", 300), body: "x"}),
}

func FuzzTar(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Add([]byte(claim(seeds[0], 4<<30)))
	// The checksum would keep a fuzzer out, so it is put right.
	f.Fuzz(func(t *testing.T, content []byte) { fuzzOpen(t, checksumsOf(content)) })
}

func FuzzZip(f *testing.F) {
	f.Add([]byte(zipOf(member{name: "a", body: program('a')}, member{name: "../b", body: "text"})))
	f.Add([]byte(setMethod(zipOf(member{name: "a", body: program('a')}), 0)))
	f.Add([]byte(zipOf()))
	f.Fuzz(fuzzOpen)
}

func FuzzDeb(f *testing.F) {
	for _, name := range []string{"hello_xz.deb", "hello_zstd.deb", "hello_gzip.deb"} {
		f.Add([]byte(fixture(f, name)))
	}
	f.Add([]byte(arOf(member{name: "debian-binary", body: "2.0\n"}, member{name: "data.tar", body: seeds[0]})))
	f.Fuzz(fuzzOpen)
}

func FuzzCompressed(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(gz(s)))
		f.Add([]byte(zst(s)))
	}
	for _, name := range []string{"hello.tar.bz2", "hello.tar.zst"} {
		f.Add([]byte(fixture(f, name)))
	}
	f.Add([]byte(gz(program('a')) + gz("more")))
	f.Fuzz(fuzzOpen)
}

// FuzzXZ has the decoder read data whose checksums are not put right, and the
// reader give the same result whatever is asked for at a time.
func FuzzXZ(f *testing.F) {
	for _, name := range []string{"hello.tar.xz", "hello_x86.tar.xz"} {
		f.Add([]byte(fixture(f, name)))
		f.Add([]byte(fixture(f, name) + "\x00\x00\x00\x00" + fixture(f, name)))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		read := func(step int) (data []byte, failed bool) {
			r, err := newXZ(bytes.NewReader(content))
			if err != nil {
				return nil, true
			}
			p := make([]byte, step)
			for len(data) < 1<<20 {
				n, err := r.Read(p)
				data = append(data, p[:n]...)
				if err != nil {
					return data, err != io.EOF
				}
			}
			return data[:1<<20], false
		}
		a, badA := read(1)
		b, badB := read(4096)
		if badA != badB || !badA && !bytes.Equal(a, b) {
			t.Errorf("%d bytes (%v), or %d (%v)", len(a), badA, len(b), badB)
		}
		fuzzOpen(t, content)
	})
}

// FuzzLayer applies two layers, and insists on a tree in which every path is
// clean and found again.
func FuzzLayer(f *testing.F) {
	f.Add([]byte(seeds[0]), []byte(seeds[1]))
	f.Add([]byte(tarOf(member{name: "usr/bin", flag: tar.TypeDir}, member{name: "bin", flag: tar.TypeSymlink, link: "usr/bin"}, member{name: "bin/a", body: program('a')})),
		[]byte(tarOf(member{name: "usr/.wh.bin"}, member{name: "x", flag: tar.TypeSymlink, link: "x/../.."}, member{name: "x/y", body: program('y')}, member{name: "h", flag: tar.TypeLink, link: "bin"})))
	f.Add([]byte(tarOf(member{name: "d/.wh..wh..opq"}, member{name: ".wh..", body: ""}, member{name: ".wh.", body: ""})), []byte(tarOf(member{name: ".."}, member{name: "/", flag: tar.TypeDir})))
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		dir := t.TempDir()
		o := &opening{
			ctx: context.Background(), limits: small.withDefaults(), store: artifact.NewStore(dir), subject: &Subject{dir: dir},
			spooled: map[artifact.Digest]int64{}, named: map[string][]artifact.Digest{},
		}
		tr := newTree()
		for _, content := range [][]byte{lower, upper} {
			id := artifact.Of(content)
			if err := o.layer(tr, Container{Kind: Layer, Name: "l", Digest: id}, formatUnknown, bytes.NewReader(content), id); err != nil {
				return
			}
		}
		err := tr.Walk(func(p string, n *node) error {
			if p == "" || path.Clean(p) != p || strings.HasPrefix(p, "/") || p == ".." || strings.HasPrefix(p, "../") {
				t.Errorf("path %q", p)
			}
			if again, _, err := tr.FindLink(p); err != nil || again != n {
				t.Errorf("%q is not found again: %v", p, err)
			}
			if c := n.Value.candidate; c != nil {
				if _, err := os.Stat(dir + "/" + c.blob.digest.Hex()); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// FuzzSniff holds sniff against package inspect: what that can read is not taken
// for something else.
func FuzzSniff(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Add([]byte(program('a')))
	f.Add([]byte("MZ" + strings.Repeat("\x00", 0x3a) + "\x80\x00\x00\x00"))
	f.Add([]byte("\x7fELF\x01\x01\x01"))
	f.Add([]byte("\xfe\xed\xfa\xce"))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, c := range [][]byte{content, checksumsOf(content)} {
			_, err := inspect.Open(bytes.NewReader(c), int64(len(c)))
			if got := sniff(c[:min(len(c), blockSize)]); err == nil && got != formatExecutable {
				t.Errorf("an executable is taken for %q", got)
			}
		}
	})
}

// checksumsOf returns content with the checksum of a tar header in it.
func checksumsOf(content []byte) []byte {
	if len(content) < blockSize {
		return content
	}
	return []byte(checksummed(bytes.Clone(content)))
}
