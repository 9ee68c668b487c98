package subject

import (
	"bytes"
	"cmp"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/twicebuild/twice/pipeline/fault"
)

// format is the kind of a file, as its first bytes tell it.
type format string

const (
	formatUnknown    format = ""
	formatExecutable format = "executable"
	formatTar        format = "tar"
	formatGzip       format = "gz"
	formatZstd       format = "zst"
	formatXZ         format = "xz"
	formatBzip2      format = "bz2"
	formatZip        format = "zip"
	formatAr         format = "ar"
	formatRPM        format = "rpm"
	formatApk3       format = "apk, version 3"
	formatJSON       format = "JSON"
	formatScript     format = "script"
)

// formatInfo is everything that is known of a format.
type formatInfo struct {
	format format
	// magics are what files of the format begin with. Tar has none.
	magics []string
	// archive reports whether a file of the format may have executables in it.
	archive bool

	// One of these is set for what is not an executable or a script.

	// decompress returns what is compressed in r, to the end of r.
	decompress func(r io.Reader) (io.ReadCloser, error)
	// read reads the members of an archive.
	read func(o *opening, at location, r *io.SectionReader) error
	// refusal says that a file of the format cannot be opened.
	refusal error

	// label is the name of a container of the format, if that is not the format's own name.
	label string
}

// formats is the table of all formats. A format that is not in it is unknown. It is filled at the
// start, because the functions that read an archive look into it again.
var formats []formatInfo

func init() {
	formats = []formatInfo{
		// Package inspect knows these.
		{format: formatExecutable, magics: []string{
			"\x7fELF",
			"\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", // Mach-O
			"\xca\xfe\xba\xbe", "\xca\xfe\xba\xbf", // universal
			"\x00asm",
			"MZ",
		}},

		{format: formatTar, archive: true, read: (*opening).plainTar},
		{format: formatZip, archive: true, read: (*opening).zip, magics: []string{"PK\x03\x04", "PK\x05\x06"}}, // the second is an empty one
		{format: formatAr, archive: true, read: (*opening).deb, label: "deb", magics: []string{arMagic}},

		{format: formatGzip, archive: true, decompress: newGzip, magics: []string{"\x1f\x8b"}},
		{format: formatZstd, archive: true, decompress: newZstd, magics: []string{"\x28\xb5\x2f\xfd"}},
		{format: formatXZ, archive: true, decompress: newXZ, magics: []string{"\xfd7zXZ\x00"}},
		{format: formatBzip2, archive: true, decompress: newBzip2, magics: []string{"BZh"}},

		// These are common, so a user learns what to do about them.
		{format: formatRPM, archive: true, magics: []string{"\xed\xab\xee\xdb"},
			refusal: fault.WithRemedy(errors.New("rpm packages cannot be opened"), "rpm2archive makes a .tgz of one, which can")},
		{format: formatApk3, archive: true, magics: []string{"ADB"}, // followed by d, . or c
			refusal: fault.WithRemedy(errors.New("apk packages of version 3 cannot be opened"), "apk extract makes a folder of one, which can")},
		{format: formatJSON, magics: []string{"{"},
			refusal: fault.WithRemedy(errors.New("a JSON document, and not a release.json of twice"), "name the binary that it is about")},

		// A system starts the interpreter of a script.
		{format: formatScript, magics: []string{"#!", "\xef\xbb\xbf#!"}},
	}
}

// errNothingKnown lists the formats that can be opened.
var errNothingKnown = fault.WithRemedy(ErrUnknown,
	"these can be opened: ELF, Mach-O, PE and WebAssembly files; tar, zip, deb and apk, and what is compressed with gzip, zstd, xz or bzip2")

// info returns the line of the table for f. The line of an unknown format is empty.
func (f format) info() formatInfo {
	for _, info := range formats {
		if info.format == f {
			return info
		}
	}
	return formatInfo{}
}

// isArchive reports whether a file of the format may have executables in it.
func (f format) isArchive() bool { return f.info().archive }

// compressed reports whether a file of the format is one compressed stream.
func (f format) compressed() bool { return f.info().decompress != nil }

// blockSize is that of tar, and as much as sniff needs.
const blockSize = 512

// sniff returns the format of a file that begins with head. A tar archive begins with the name of
// its first member, so it can look like anything else. The checksum of its header decides, except
// about executables. A file that a system would run is always an executable.
func sniff(head []byte) format {
	found := formatUnknown
	for _, f := range formats {
		if slices.ContainsFunc(f.magics, func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }) {
			found = f.format
			break
		}
	}
	if isTar(head) && (found != formatExecutable || isText(head)) {
		return formatTar
	}
	return found
}

// isText reports whether a block that begins with MZ is the name of a tar archive's
// member, and not the beginning of a PE file. In a name, the offset of the PE header
// makes no sense.
func isText(head []byte) bool {
	if !bytes.HasPrefix(head, []byte("MZ")) {
		return false
	}
	offset := int64(binary.LittleEndian.Uint32(head[0x3c:]))
	if offset <= int64(len(head)-4) {
		return string(head[offset:offset+4]) != "PE\x00\x00"
	}
	return offset >= 1<<28 // Windows loads no such file
}

// isTar reports whether the checksum of a tar header fits. The sum may be of bytes or of signed
// bytes, which some old programs added up.
func isTar(head []byte) bool {
	if len(head) < blockSize {
		return false
	}

	field := strings.Trim(string(head[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 32)
	if err != nil {
		return false
	}

	// The checksum counts its own field as spaces.
	var sum, signed int64
	for i, c := range head[:blockSize] {
		if 148 <= i && i < 156 {
			c = ' '
		}
		sum += int64(c)
		signed += int64(int8(c))
	}

	return want == sum || want == signed
}

// peek returns the first bytes of r, at most a block, and a reader of all of it.
func peek(r io.Reader) ([]byte, io.Reader, error) {
	// ReadFull will not do: its error would not tell the end of a file from the end of a member
	// that is cut off.
	head, err := io.ReadAll(io.LimitReader(r, blockSize))
	return head, io.MultiReader(bytes.NewReader(head), r), err
}

// openStored opens a file that is in the store: an executable, or an archive. The name is that of
// the file without its folder.
func (o *opening) openStored(b blob, c Container, name string) error {
	f, err := o.store.Open(b.digest)
	if err != nil {
		return err
	}
	defer f.Close()

	section := io.NewSectionReader(f, 0, b.size)
	head, _, err := peek(section)
	if err != nil {
		return err
	}

	c.Digest, c.Size = b.digest, b.size
	switch kind := sniff(head); kind {
	case formatExecutable:
		o.members++
		at := location{}
		if c.Kind == File {
			name = c.Name
		} else {
			at = at.within(c)
		}
		found, err := o.keep(at, name, b, nil)
		if err == nil && !found {
			err = errNothingKnown
		}
		return err
	case formatUnknown, formatScript:
		return errNothingKnown
	default:
		return o.archive(location{dropFirst: c.Kind == Package}, c, name, kind, section)
	}
}

// archive opens an archive, which is the container c itself.
func (o *opening) archive(at location, c Container, name string, kind format, r *io.SectionReader) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}

	info := kind.info()
	c.Format = cmp.Or(info.label, string(kind))
	switch {
	case info.decompress != nil:
		return o.stream(at, c, name, kind, r)
	case info.refusal != nil:
		return info.refusal
	case info.read == nil:
		return errNothingKnown
	}

	if err := info.read(o, at.within(c), r); err != nil {
		return fmt.Errorf("%s: %w", c.Format, err)
	}
	return nil
}

// plainTar reads a tar archive that is not compressed.
func (o *opening) plainTar(at location, r *io.SectionReader) error {
	m := &meter{o: o, r: r}
	return o.tar(at, m, m)
}

// stream opens a compressed file: a tar archive, or one other file.
func (o *opening) stream(at location, c Container, name string, kind format, r io.Reader) error {
	fail := func(err error) error { return fmt.Errorf("%s: %w", c.Format, err) }
	packed := &counter{r: o.reader(r)} // a stream can go on without an output
	plain, err := kind.info().decompress(packed)
	if err != nil {
		return fail(err)
	}
	defer plain.Close()
	m := &meter{o: o, r: plain, packed: func() int64 { return packed.n }}

	head, unpacked, err := peek(m)
	if err != nil {
		return fail(err)
	}

	if sniff(head) == formatTar {
		c.Format = "tar." + string(kind)
		if err := o.tar(at.within(c), unpacked, m); err != nil {
			return fail(err)
		}
		return nil
	}

	// It is one file. Its name is that of the archive without the suffix.
	name = strings.TrimSuffix(name, "."+string(kind))
	if err := o.count(name); err != nil {
		return fail(err)
	}

	at.dropFirst = false
	before := len(o.subject.Executables) + len(o.subject.Skipped)

	if err := o.file(at.within(c), name, unpacked, false); err != nil {
		return fail(err)
	}

	if len(o.subject.Executables)+len(o.subject.Skipped) == before {
		return fail(errNothingKnown)
	}
	return nil
}

// maxWindow bounds the memory of a decompressor in bytes. The usual tools refuse
// more than that of zstd too, and xz -9 takes 64 MiB.
const maxWindow = 128 << 20

func newGzip(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }

func newZstd(r io.Reader) (io.ReadCloser, error) {
	zr, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return zr.IOReadCloser(), nil
}

func newBzip2(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }

// newXZ returns a reader of the data compressed in r. The library is XZ Embedded in Go. It is
// small, its memory is bounded whatever a header asks for, and it is finished rather than
// developed. So it is not trusted never to panic.
func newXZ(r io.Reader) (rc io.ReadCloser, err error) {
	defer func() {
		if p := recover(); p != nil {
			rc, err = nil, errXZ
		}
	}()
	zr, err := xz.NewReader(r, maxWindow)
	if err != nil {
		return nil, err
	}
	return &xzReader{zr: zr}, nil
}

var errXZ = errors.New("xz: the decoder failed on damaged data")

type xzReader struct {
	zr  *xz.Reader
	err error
}

func (x *xzReader) Read(p []byte) (n int, err error) {
	if x.err != nil {
		return 0, x.err
	}
	defer func() {
		if p := recover(); p != nil {
			x.err = errXZ
			n, err = 0, x.err
		}
	}()
	return x.zr.Read(p)
}

func (x *xzReader) Close() error { return nil }
