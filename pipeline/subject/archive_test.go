package subject

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// member is a file in an archive.
type member struct {
	name, body string
	flag       byte // of tar; 0 is a regular file
	link       string
}

// tarOf makes a tar archive with its end; parts of one are cut with [:size].
func tarOf(members ...member) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Size: int64(len(m.body)), Mode: 0o755, Typeflag: tar.TypeReg, Linkname: m.link}
		if m.flag != 0 {
			h.Typeflag = m.flag
		}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = io.WriteString(w, m.body)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// withoutEnd takes the two blocks of zeros off.
func withoutEnd(archive string) string { return archive[:len(archive)-1024] }

func gz(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func zst(s string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(s), nil))
}

func zipOf(members ...member) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		if m.flag == tar.TypeSymlink {
			h.SetMode(os.ModeSymlink | 0o777)
		}
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(f, m.body)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func arOf(members ...member) string {
	s := arMagic
	for _, m := range members {
		s += fmt.Sprintf("%-16s%-12d%-6d%-6d%-8o%-10d`\n%s", m.name, 0, 0, 0, 0o644, len(m.body), m.body)
		if len(m.body)%2 == 1 {
			s += "\n"
		}
	}
	return s
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestArchives(t *testing.T) {
	a, b := member{name: "bin/a", body: program('a')}, member{name: "./bin/b", body: program('b')}
	text := member{name: "readme", body: "text"}
	both := []string{"bin/a a", "bin/b b"}
	debVersion := member{name: "debian-binary", body: "2.0\n"}
	for _, c := range []struct {
		name, content, format string
		want                  []string
	}{
		{"x.tar", tarOf(text, a, b), "tar", both},
		{"x.tar.gz", gz(tarOf(a, text, b)), "tar.gz", both},
		{"x.tgz", gz(tarOf(a, b)), "tar.gz", both},
		{"x.tar.zst", zst(tarOf(a, b)), "tar.zst", both},
		{"misnamed.zip", gz(tarOf(a, b)), "tar.gz", both},
		{"x.zip", zipOf(text, a, b), "zip", both},
		{"tool.gz", gz(program('t')), "gz", []string{"tool t"}},
		{"tool.zst", zst(program('t')), "zst", []string{"tool t"}},
		// Alpine: the signature, the control data and the data are archives
		// without an end, compressed one by one.
		{"x.apk", gz(withoutEnd(tarOf(member{name: ".SIGN.RSA.key.pub", body: "s"}))) + gz(withoutEnd(tarOf(member{name: ".PKGINFO", body: "i"}, member{name: ".pre-install", body: program('p')}))) + gz(tarOf(a, b)),
			"tar.gz", []string{".pre-install p", "bin/a a", "bin/b b"}},
		{"x.deb", arOf(debVersion, member{name: "control.tar", body: tarOf(text)}, member{name: "data.tar.gz", body: gz(tarOf(a, b))}), "deb", both},
		{"slashes.deb", arOf(member{name: "debian-binary/", body: "2.0\n"}, member{name: "_gpgorigin/", body: "odd"}, member{name: "data.tar/", body: tarOf(a, b)}), "deb", both},
		// What a tool made.
		{"x.tar.xz", fixture(t, "hello.tar.xz"), "tar.xz", []string{"usr/bin/hello ?"}},
		{"x86.tar.xz", fixture(t, "hello_x86.tar.xz"), "tar.xz", []string{"usr/bin/hello ?"}},
		{"x.tar.bz2", fixture(t, "hello.tar.bz2"), "tar.bz2", []string{"usr/bin/hello ?"}},
		{"cli.tar.zst", fixture(t, "hello.tar.zst"), "tar.zst", []string{"usr/bin/hello ?"}},
		{"xz.deb", fixture(t, "hello_xz.deb"), "deb", []string{"preinst _", "usr/bin/hello ?"}},
		{"zst.deb", fixture(t, "hello_zstd.deb"), "deb", []string{"preinst _", "usr/bin/hello ?"}},
		{"gz.deb", fixture(t, "hello_gzip.deb"), "deb", []string{"preinst _", "usr/bin/hello ?"}},
		// Two archives in a row, and zeros between them and behind.
		{"two.tar", tarOf(a) + strings.Repeat("\x00", 4096) + tarOf(b) + strings.Repeat("\x00", 700), "tar", both},
		// Names that are magic numbers.
		{"mz.tar", tarOf(member{name: "MZ/a", body: program('a')}), "tar", []string{"MZ/a a"}},
		{"bzh.tar", tarOf(member{name: "BZh", body: program('a')}), "tar", []string{"BZh a"}},
		{"bzh.tar.gz", gz(tarOf(member{name: "{", body: program('a')})), "tar.gz", []string{"{ a"}},
	} {
		s, err := openedFile(t, c.name, c.content, Limits{})
		want(t, s, err, c.want...)
		if err != nil {
			t.Errorf("%s: failed", c.name)
			continue
		}
		e := s.Executables[0]
		if top := e.Containers[0]; top.Kind != File || top.Name != c.name || top.Format != c.format || top.Digest != artifact.Of([]byte(c.content)) || s.Digest != top.Digest {
			t.Errorf("%s: %+v", c.name, top)
		}
		if !strings.HasPrefix(e.String(), c.name+"  ") {
			t.Errorf("%s: %s", c.name, &e)
		}
	}
}

// The chain of a Debian package has the archive in it.
func TestDebChain(t *testing.T) {
	s, err := openedFile(t, "x.deb", fixture(t, "hello_xz.deb"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range []string{"control.tar.xz", "data.tar.xz"} {
		e := s.Executables[i]
		if len(e.Containers) != 2 || e.Containers[1].Name != part || e.Containers[1].Kind != Member || e.Containers[1].Format != "tar.xz" {
			t.Errorf("%+v", e.Containers)
		}
	}
	if got := s.Executables[1].String(); got != "x.deb  usr/bin/hello" {
		t.Error(got)
	}
}

// claim makes the first header of an archive state a size, with a checksum that
// fits.
func claim(archive string, size int64) string {
	b := []byte(archive)
	copy(b[124:136], fmt.Sprintf("%011o\x00", size))
	return checksummed(b)
}

// checksummed puts the checksum of the first header right.
func checksummed(b []byte) string {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:blockSize] {
		sum += int(c)
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return string(b)
}

func TestHostileTar(t *testing.T) {
	a := member{name: "a", body: program('a')}
	long := strings.Repeat("n/", 3999) + "nn"
	for _, c := range []struct {
		what, content string
		limits        Limits
		say           string
		want          []string
	}{
		{what: "names out of the folder", content: tarOf(member{name: "../../etc/x", body: program('x')}, member{name: "/abs", body: program('y')}, member{name: `C:\w`, body: program('z')}),
			want: []string{"../../etc/x x", "/abs y", `C:\w z`}},
		{what: "links out of the folder", content: tarOf(
			member{name: "l", flag: tar.TypeSymlink, link: "/etc"}, member{name: "l/passwd", body: program('p')},
			member{name: "h", flag: tar.TypeLink, link: "../../etc/passwd"}, member{name: "self", flag: tar.TypeSymlink, link: "self"}),
			want: []string{"l/passwd p"}},
		{what: "devices", content: tarOf(member{name: "dev", flag: tar.TypeBlock}, member{name: "c", flag: tar.TypeChar}, member{name: "f", flag: tar.TypeFifo}, a),
			want: []string{"a a"}},
		{what: "a type that nobody knows", content: tarOf(member{name: "z", body: program('z'), flag: 'Z'}), want: []string{"z z"}},
		{what: "one name, twice the same", content: tarOf(a, a), want: []string{"a a"}},
		{what: "one name, different bytes", content: tarOf(a, member{name: "./a", body: program('b')}), want: []string{"a a", "a b"}},
		{what: "a program that looks like an archive", content: tarOf(member{name: "p", body: checksummed([]byte("\x00asm\x01\x00\x00\x00\x00\xda\x04\x01a" + strings.Repeat("\x00", 600)))}), want: []string{"p ?"}},
		{what: "control characters", content: tarOf(member{name: "a\x1b[2Jb\n", body: program('c')}), want: []string{"a\x1b[2Jb\n c"}},
		{what: "4 GB claimed", content: claim(tarOf(a), 4<<30), say: "unexpected EOF"},
		{what: "8 EB claimed", content: claim(tarOf(a), 1<<33-1), say: "unexpected EOF"},
		{what: "truncated", content: tarOf(a)[:514], say: "unexpected EOF"},
		{what: "truncated header", content: tarOf(a, member{name: "b"})[:1024+100], say: "unexpected EOF"},
		{what: "garbage behind", content: tarOf(a) + "garbage", say: "something that is no archive"},
		{what: "garbage of a block behind", content: tarOf(a) + strings.Repeat("g", 512), say: "invalid tar header"},
		{what: "long name", content: tarOf(member{name: long, body: "x"}), say: "a name of 8000 bytes"},
		{what: "members", content: tarOf(a, a, a), limits: Limits{Members: 2}, say: "more than 2 members"},
		{what: "unpacked", content: tarOf(a, a, a), limits: Limits{Unpacked: 2000}, say: "more than 2000 bytes unpacked"},
		{what: "large", content: tarOf(a), limits: Limits{File: int64(len(a.body)) - 1}, say: "member a: more than"},
		{what: "large and no program", content: tarOf(member{name: "t", body: strings.Repeat("t", 5000)}, a), limits: Limits{File: 1000}, want: []string{"a a"}},
		{what: "spool", content: tarOf(a), limits: Limits{Spool: 4096}, want: []string{"a a"}},
		{what: "spool, exceeded", content: tarOf(a), limits: Limits{Spool: 1024 + 1024}, say: "more than"},
		{what: "executables", content: tarOf(a, member{name: "b", body: program('b')}), limits: Limits{Executables: 1}, say: "more than 1 executables"},
		{what: "damaged programs", content: tarOf(member{name: "e", body: "\x7fELF"}, a), want: []string{"a a"}},
		{what: "archive in archive", content: tarOf(member{name: "i.tgz", body: gz(tarOf(a))}), say: "archives such as i.tgz"},
		{what: "nothing", content: tarOf(member{name: "t", body: "text"}), say: "no executables (members: 1)"},
	} {
		for _, pack := range []func(string) string{func(s string) string { return s }, gz, zst} {
			content := pack(c.content)
			if c.what == "spool" || c.what == "spool, exceeded" {
				content = c.content
			}
			s, err := openedFile(t, "x", content, c.limits)
			if c.say == "" {
				want(t, s, err, c.want...)
			} else {
				refused(t, err, c.say)
			}
			if t.Failed() {
				t.Fatalf("at: %s", c.what)
			}
		}
	}
	s, err := openedFile(t, "x", tarOf(a, member{name: "./a", body: program('b')}, member{name: "e", body: "\x7fELF"}), Limits{})
	if err != nil || s.Executables[0].Nth != 1 || s.Executables[1].Nth != 2 || s.Executables[1].String() != "x  a  (number 2 of this name)" {
		t.Errorf("%+v, %v", s, err)
	}
	if len(s.Skipped) != 1 || !strings.HasPrefix(s.Skipped[0].String(), "x  e: read elf headers") {
		t.Errorf("%+v", s.Skipped)
	}
}

// Every truncation of what is compressed is an error.
func TestTruncatedStreams(t *testing.T) {
	full := tarOf(member{name: "a", body: program('a')})
	for name, content := range map[string]string{
		"gz": gz(full), "zst": zst(full), "xz": fixture(t, "hello.tar.xz"), "bz2": fixture(t, "hello.tar.bz2"),
	} {
		for n := 8; n < len(content); n += 1 + n/8 {
			if _, err := openedFile(t, "x", content[:n], Limits{}); err == nil {
				t.Errorf("%s: the first %d of %d bytes were accepted", name, n, len(content))
			}
		}
		if _, err := openedFile(t, "x", content+"garbage", Limits{}); err == nil {
			t.Errorf("%s: with garbage behind it was accepted", name)
		}
	}
	// A changed byte does not pass the checksum of gzip.
	content := []byte(gz(full))
	content[len(content)-6] ^= 1
	if _, err := openedFile(t, "x", string(content), Limits{}); err == nil {
		t.Error("a wrong checksum was accepted")
	}
}

func TestBombs(t *testing.T) {
	zeros := make([]byte, 24<<20)
	var packed bytes.Buffer
	gw, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(gw)
	err = tw.WriteHeader(&tar.Header{Name: "zeros", Size: int64(len(zeros)), Mode: 0o644, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = tw.Write(zeros)
	}
	if err := errors.Join(err, tw.Close(), gw.Close()); err != nil {
		t.Fatal(err)
	}
	bomb := packed.String()
	_, err = openedFile(t, "x.tar.gz", bomb, Limits{})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("gzip: %v", err)
	}
	refused(t, err, "times larger")
	// The same bytes are no bomb for who expects them.
	if _, err = openedFile(t, "x.tar.gz", bomb, Limits{Ratio: 2000}); !errors.Is(err, ErrNoExecutables) {
		t.Errorf("%v", err)
	}
	_, err = openedFile(t, "x.tar.gz", bomb, Limits{Ratio: 2000, Unpacked: 20 << 20})
	refused(t, err, "bytes unpacked")

	var z bytes.Buffer
	zw := zip.NewWriter(&z)
	f, err := zw.Create("bomb")
	if err == nil {
		_, err = f.Write(append([]byte(program('b')), zeros...))
	}
	if err := errors.Join(err, zw.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = openedFile(t, "x.zip", z.String(), Limits{})
	refused(t, err, "times larger")
}

// sparse makes a sparse member of size bytes that begins with body. The format is
// that of PAX 0.1, https://www.gnu.org/software/tar/manual/html_node/PAX-0.html and
// after: one fragment at the start, and then a hole.
func sparse(name, body string, size int64) string {
	records := ""
	for _, r := range []string{"GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=" + name, fmt.Sprintf("GNU.sparse.size=%d", size),
		"GNU.sparse.numblocks=1", fmt.Sprintf("GNU.sparse.map=0,%d", len(body))} {
		n := len(r) + 3
		for len(fmt.Sprint(n))+len(r)+2 != n {
			n++
		}
		records += fmt.Sprintf("%d %s\n", n, r)
	}
	b := []byte(withoutEnd(tarOf(member{name: "PaxHeaders/x", body: records})))
	b[156] = 'x'
	return checksummed(b) + withoutEnd(tarOf(member{name: "x", body: body}))
}

// TestSparse: a member counts as what it is when it is unpacked, read or not.
func TestSparse(t *testing.T) {
	end, body := string(make([]byte, 1024)), program('s')
	text, program := sparse("text", "text", 8<<20), sparse("program", body, 8<<20)
	if _, err := openedFile(t, "x.tar", program+end, Limits{}); !errors.Is(err, ErrNoExecutables) { // zeros are no section
		t.Errorf("small ones: %v", err)
	}
	for what, c := range map[string]struct {
		content string
		limits  Limits
		say     string
	}{
		"large":               {sparse("x", body, 1<<40), Limits{Ratio: 1 << 40}, "more than"},
		"larger than a file":  {program, Limits{File: 1 << 20}, "more than 1048576 bytes"},
		"huge":                {sparse("x", "text", 1<<62), Limits{}, "bytes unpacked"},
		"many programs":       {strings.Repeat(program, 3), Limits{}, "times larger"},
		"many":                {strings.Repeat(text, 3), Limits{}, "times larger"},
		"many in all":         {strings.Repeat(text, 3), Limits{Ratio: 1 << 40, Unpacked: 20 << 20}, "bytes unpacked"},
		"many, and an end":    {gz(strings.Repeat(text, 3) + end), Limits{}, "times larger"},
		"huge, and the first": {text + sparse("x", "text", 1<<63-1), Limits{}, "bytes unpacked"},
	} {
		_, err := openedFile(t, "x.tar", c.content+tarOf(member{name: "a", body: body}), c.limits)
		if !errors.Is(err, ErrLimit) || !strings.Contains(fmt.Sprint(err), c.say) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestHostileZip(t *testing.T) {
	a, b := member{name: "a", body: program('a')}, member{name: "../b", body: program('b')}
	plain := zipOf(a, b)
	for _, c := range []struct {
		what, content string
		limits        Limits
		say           string
		want          []string
	}{
		{what: "names", content: plain, want: []string{"a a", "../b b"}},
		{what: "two of a name", content: zipOf(a, member{name: "a", body: program('b')}), want: []string{"a a", "a b"}},
		{what: "symbolic link", content: zipOf(member{name: "l", body: "/etc/passwd", flag: tar.TypeSymlink}, member{name: "m", body: program('m'), flag: tar.TypeSymlink}, a), want: []string{"a a"}},
		{what: "truncated", content: plain[:len(plain)-10], say: "not a valid zip file"},
		{what: "no members", content: zipOf(), say: "no executables (members: 0)"},
		{what: "members", content: plain, limits: Limits{Members: 1}, say: "more than 1 members"},
		{what: "size", content: plain, limits: Limits{File: 3}, say: "member a: more than 3 bytes"},
		{what: "unpacked", content: plain, limits: Limits{Unpacked: 20}, say: "bytes unpacked"},
		{what: "long name", content: zipOf(member{name: strings.Repeat("n", 5000)}), say: "a name of 5000 bytes"},
		{what: "wrong checksum", content: strings.ReplaceAll(plain, crcOf(a.body), "\x00\x00\x00\x01"), say: "checksum"},
		{what: "unknown method", content: setMethod(plain, 99), say: "cannot be"},
	} {
		s, err := openedFile(t, "x.zip", c.content, c.limits)
		switch {
		case c.what == "unknown method":
			// All are skipped, and the error says why.
			refused(t, err, "method 99")
		case c.say == "":
			want(t, s, err, c.want...)
		default:
			refused(t, err, c.say)
		}
		if t.Failed() {
			t.Fatalf("at: %s", c.what)
		}
	}
	// An encrypted member beside one that is not.
	enc := []byte(plain)
	i := bytes.LastIndex(enc, []byte("PK\x01\x02"))
	enc[i+8] |= 1
	enc[bytes.LastIndex(enc, []byte("PK\x03\x04"))+6] |= 1
	s, err := openedFile(t, "x.zip", string(enc), Limits{})
	want(t, s, err, "a a")
	if len(s.Skipped) != 1 || s.Skipped[0].Reason != "it is encrypted" {
		t.Errorf("%v", s.Skipped)
	}
}

func crcOf(s string) string {
	return string(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))))
}

// setMethod changes the compression method of all members, in front of them and in the
// directory.
func setMethod(archive string, method uint16) string {
	b := []byte(archive)
	for signature, field := range map[string]int{"PK\x01\x02": 10, "PK\x03\x04": 8} {
		for at := 0; ; at += 4 {
			i := bytes.Index(b[at:], []byte(signature))
			if i < 0 {
				break
			}
			at += i
			binary.LittleEndian.PutUint16(b[at+field:], method)
		}
	}
	return string(b)
}

// A directory that is larger than its limit is not read.
func TestZipDirectory(t *testing.T) {
	l := &readerAt{r: strings.NewReader("0123456789"), left: 6}
	p := make([]byte, 4)
	if _, err := l.ReadAt(p, 0); err != nil {
		t.Error(err)
	}
	if _, err := l.ReadAt(p, 4); !errors.Is(err, ErrLimit) {
		t.Errorf("%v", err)
	}
	l.left = -1
	if _, err := l.ReadAt(p, 4); err != nil || string(p) != "4567" {
		t.Errorf("%q, %v", p, err)
	}
}

func TestHostileDeb(t *testing.T) {
	version := member{name: "debian-binary", body: "2.0\n"}
	data := member{name: "data.tar", body: tarOf(member{name: "a", body: program('a')})}
	for _, c := range []struct{ what, content, say string }{
		{"no version", arOf(data), "not a Debian package"},
		{"version 3", arOf(member{name: "debian-binary", body: "3.0\n"}, data), "not a Debian package"},
		{"a library", arOf(member{name: "x.o/", body: "o"}), "not a Debian package"},
		{"no data", arOf(version, member{name: "control.tar", body: tarOf(member{name: "a", body: program('a')})}), "no data.tar"},
		{"two data", arOf(version, data, data), "not what a Debian package has"},
		{"something else", arOf(version, member{name: "extra", body: "x"}, data), "not what a Debian package has"},
		{"data of another kind", arOf(version, member{name: "data.tar.zip", body: zipOf()}), "not an archive"},
		{"package in package", arOf(version, member{name: "data.tar", body: arOf(version, data)}), "not an archive"},
		{"size beyond the end", strings.Replace(arOf(version, data), fmt.Sprintf("%-10d", len(data.body)), "4294967296", 1), "it says 4294967296 bytes"},
		{"negative size", strings.Replace(arOf(version, data), fmt.Sprintf("%-10d", len(data.body)), "-1        ", 1), "damaged"},
		{"damaged header", strings.Replace(arOf(version, data), "`\n", "xx", 1), "damaged"},
		{"cut off", arOf(version, data)[:80], "cut off"},
		{"many", arOf(version) + strings.Repeat(strings.TrimPrefix(arOf(member{name: "_x"}), arMagic), 200), "more than 100 members"},
	} {
		_, err := openedFile(t, "x.deb", c.content, Limits{})
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.say)
		}
	}
}

// A dictionary of 1.5 GiB is not allocated.
func TestXZMemory(t *testing.T) {
	content := []byte(fixture(t, "hello.tar.xz"))
	// The block header: size, flags, filter ID 0x21, size of properties, dictionary
	// size; then padding and a checksum.
	header := content[12:24]
	if header[0] != 2 || header[2] != 0x21 || header[3] != 1 {
		t.Fatalf("unexpected header % x", header)
	}
	header[4] = 37 // 1.5 GiB
	binary.LittleEndian.PutUint32(header[8:], crc32.ChecksumIEEE(header[:8]))
	_, err := openedFile(t, "x.tar.xz", string(content), Limits{})
	refused(t, err, "dictionary size exceeds max")
}

// Nor is a window of 256 MiB, which the library would take.
func TestZstdMemory(t *testing.T) {
	// A frame header without a content size, its window (RFC 8878, section
	// 3.1.1.1.2), and a last block of raw bytes.
	frame := func(window byte) string {
		block := binary.LittleEndian.AppendUint32(nil, uint32(len(program('z'))<<3|1))[:3]
		return "\x28\xb5\x2f\xfd\x00" + string([]byte{window}) + string(block) + program('z')
	}
	s, err := openedFile(t, "x.zst", frame(10<<3), Limits{}) // 1 MiB
	want(t, s, err, "x z")
	_, err = openedFile(t, "x.zst", frame(18<<3), Limits{})
	refused(t, err, "window")
}
