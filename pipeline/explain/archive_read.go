package explain

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var errArchiveTooLarge = fmt.Errorf("read archive: more than %d members, %d bytes of names or %d bytes of content", maxMembers, maxMemberNames, int64(maxUncompressed))

// Formats of archives.
const (
	formatTar     = "tar"
	formatTarGzip = "tar+gzip"
	formatTarZstd = "tar+zstd"
	formatGzip    = "gzip"
	formatZstd    = "zstd"
	formatZip     = "zip"
)

// isArchive reports whether a kind of file is a format of archives.
func isArchive(kind string) bool {
	return slices.Contains([]string{formatTar, formatTarGzip, formatTarZstd, formatGzip, formatZstd, formatZip}, kind)
}

// archiveFormat returns the format of an archive, or "" if the file is none.
func archiveFormat(in input) string {
	head := make([]byte, min(512, in.size))
	if n, _ := in.ReadAt(head, 0); n < len(head) {
		return ""
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return formatZip
	case isTarHeader(head):
		return formatTar
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return compressedFormat(in, formatGzip, formatTarGzip)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return compressedFormat(in, formatZstd, formatTarZstd)
	}
	return ""
}

// isTarHeader reports whether a block is the header of a member, by its magic
// (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html).
func isTarHeader(block []byte) bool {
	return len(block) == 512 && string(block[257:262]) == "ustar"
}

// compressedFormat returns withTar if the compressed stream begins with the header of
// a tar member, and plain otherwise.
func compressedFormat(in input, plain, withTar string) string {
	block := make([]byte, 512)
	r, err := decompress(in, plain)
	if err != nil {
		return plain
	}
	defer r.Close()
	if _, err := io.ReadFull(r, block); err == nil && isTarHeader(block) {
		return withTar
	}
	return plain
}

// decompress returns the uncompressed stream.
func decompress(in input, format string) (io.ReadCloser, error) {
	r := bufio.NewReaderSize(in.section(0, in.size), 64<<10)
	switch format {
	case formatGzip, formatTarGzip:
		return gzip.NewReader(r)
	case formatZstd, formatTarZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(32<<20), zstd.WithDecoderMaxMemory(maxUncompressed))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// parameters returns the fields of the header of a compressed stream, by name.
func parameters(in input, format string) map[string]string {
	head := make([]byte, min(4096, in.size))
	if n, _ := in.ReadAt(head, 0); n < len(head) {
		return nil
	}

	// Only fields that a compressor chooses are taken: the rest follows from the content.
	p := map[string]string{}
	switch format {
	case formatGzip, formatTarGzip: // RFC 1952, section 2.3
		z, err := gzip.NewReader(bytes.NewReader(head))
		if err != nil || len(head) < 10 {
			return nil
		}
		if n := binary.LittleEndian.Uint32(head[4:]); n != 0 {
			p["gzip time"] = time.Unix(int64(n), 0).UTC().Format(time.RFC3339)
		}
		p["gzip extra flags"] = map[byte]string{0: "0", 2: "2 (slowest)", 4: "4 (fastest)"}[head[8]]
		p["gzip system"] = strconv.Itoa(int(head[9]))
		for name, value := range map[string]string{"gzip name": z.Name, "gzip comment": z.Comment, "gzip extra": hex.EncodeToString(z.Extra)} {
			if value != "" {
				p[name] = value
			}
		}
	case formatZstd, formatTarZstd: // RFC 8878, section 3.1.1.1
		var h zstd.Header
		if h.Decode(head) != nil {
			return nil
		}
		p["zstd window"] = strconv.FormatUint(h.WindowSize, 10)
		p["zstd single segment"] = strconv.FormatBool(h.SingleSegment)
		p["zstd checksum"] = strconv.FormatBool(h.HasCheckSum)
		p["zstd size in header"] = strconv.FormatBool(h.HasFCS)
	}

	return p
}

// attribute is a property of a member.
type attribute struct{ name, value string }

// member holds the facts of a member of an archive.
type member struct {
	name    string
	attrs   []attribute
	regular bool
	size    int64
	sum     [32]byte // of the content
	raw     [32]byte // of the content as a zip has it: compressed
	// sumKnown reports whether the content could be read to its end.
	sumKnown bool
}

func (m *member) addAttribute(name, value string) {
	if value != "" {
		m.attrs = append(m.attrs, attribute{name, value})
	}
}

// budget is how much of one archive may still be read.
type budget struct {
	members, names int
	content        int64
}

func newBudget() *budget { return &budget{maxMembers, maxMemberNames, maxUncompressed} }

// charge takes a member and its names off the budget.
func (b *budget) charge(m *member) error {
	b.members--
	b.names -= len(m.name)
	for _, a := range m.attrs {
		b.names -= len(a.name) + len(a.value)
	}
	if b.members < 0 || b.names < 0 {
		return errArchiveTooLarge
	}
	return nil
}

// reader returns r, bounded by the budget for content.
func (b *budget) reader(r io.Reader) io.Reader { return &budgetReader{b, r} }

type budgetReader struct {
	b *budget
	r io.Reader
}

func (r *budgetReader) Read(p []byte) (int, error) {
	if r.b.content <= 0 {
		return 0, errArchiveTooLarge
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.b.content)])
	r.b.content -= int64(n)
	return n, err
}

// visitor is called with each member and a function that opens its content. That function may be
// used during the call alone. The visitor may change the member.
type visitor func(i int, m *member, open func() (io.Reader, error)) error

// walkMembers visits the members of an archive in their order, and returns the hash of
// the uncompressed stream and its size.
func walkMembers(in input, format string, visit visitor) (sum [32]byte, size int64, err error) {
	b := newBudget()
	if format == formatZip {
		return sum, 0, walkZip(in, b, visit)
	}
	plain, err := decompress(in, format)
	if err != nil {
		return sum, 0, err
	}
	defer plain.Close()

	// The stream is hashed while members are read, so that one pass is enough.
	h := sha256.New()
	count := &countWriter{}
	stream := io.TeeReader(b.reader(plain), io.MultiWriter(h, count))
	if format == formatGzip || format == formatZstd {
		m := &member{name: contentName, regular: true}
		err = visit(0, m, func() (io.Reader, error) { return stream, nil })
	} else {
		err = walkTar(stream, b, visit)
	}

	if err == nil { // what follows the last member
		_, err = io.Copy(io.Discard, stream)
	}
	return [32]byte(h.Sum(nil)), count.n, err
}

type countWriter struct{ n int64 }

func (w *countWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}

func walkTar(stream io.Reader, b *budget, visit visitor) error {
	t := tar.NewReader(stream)
	for i := 0; ; i++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}

		m := tarMember(h)
		if err := b.charge(m); err != nil {
			return err
		}

		// A sparse file takes more to read than to store, and counts as what it is.
		if b.content -= h.Size; b.content < 0 {
			return errArchiveTooLarge
		}

		// The content is read from the stream, so it has to be read in this call.
		if err := visit(i, m, func() (io.Reader, error) { return t, nil }); err != nil {
			return err
		}
	}
}

func tarMember(h *tar.Header) *member {
	m := &member{name: h.Name, regular: h.Typeflag == tar.TypeReg, size: h.Size}
	m.addAttribute("type", map[byte]string{tar.TypeReg: "file", tar.TypeDir: "folder", tar.TypeSymlink: "symbolic link", tar.TypeLink: "hard link"}[h.Typeflag])

	// A type without a name is told by its letter.
	if len(m.attrs) == 0 {
		m.addAttribute("type", fmt.Sprintf("%q", h.Typeflag))
	}
	m.addAttribute("mode", fmt.Sprintf("%#o", h.Mode))
	m.addAttribute("owner", fmt.Sprintf("%d:%d %s:%s", h.Uid, h.Gid, h.Uname, h.Gname))
	m.addAttribute("mtime", timeText(h.ModTime))
	if !h.AccessTime.IsZero() {
		m.addAttribute("atime", timeText(h.AccessTime))
	}
	if !h.ChangeTime.IsZero() {
		m.addAttribute("ctime", timeText(h.ChangeTime))
	}
	m.addAttribute("link", h.Linkname)
	if h.Devmajor != 0 || h.Devminor != 0 {
		m.addAttribute("device", fmt.Sprintf("%d:%d", h.Devmajor, h.Devminor))
	}
	m.addAttribute("header", h.Format.String())

	// Records that are no attributes yet may differ as well.
	for _, name := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		switch name {
		case "path", "linkpath", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname":
			continue // they are in the attributes above
		}
		m.addAttribute("record "+name, h.PAXRecords[name])
	}

	return m
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// directoryReader fails if a zip's directory is larger than its bound.
type directoryReader struct {
	in   input
	left int64 // -1: any number
}

func (d *directoryReader) ReadAt(p []byte, offset int64) (int, error) {
	if d.left >= 0 {
		if d.left -= int64(len(p)); d.left < 0 {
			d.left = 0
			return 0, errArchiveTooLarge
		}
	}
	return d.in.ReadAt(p, offset)
}

// walkZip reads a zip archive (https://pkware.cachefly.net/webdocs/APPNOTE/APPNOTE-6.3.9.TXT).
func walkZip(in input, b *budget, visit visitor) error {
	// The directory is read at once, so only its reading is bounded here.
	d := &directoryReader{in, maxDirectory}
	z, err := zip.NewReader(d, in.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	d.left = -1

	for i, f := range z.File {
		m := zipMember(f)
		if err := b.charge(m); err != nil {
			return err
		}

		// The compressed bytes count too: equal content may be compressed in another way.
		raw, err := f.OpenRaw()
		if err == nil && f.CompressedSize64 > uint64(in.size) {
			err = errors.New("read archive: a member is longer than the archive")
		}
		if err == nil {
			h := sha256.New()
			_, err = io.Copy(h, b.reader(raw))
			m.raw = [32]byte(h.Sum(nil))
		}
		if err != nil {
			return err
		}

		var opened io.ReadCloser
		err = visit(i, m, func() (io.Reader, error) {
			var err error
			if opened, err = f.Open(); err != nil {
				return nil, err
			}
			return b.reader(opened), nil
		})

		if opened != nil {
			opened.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func zipMember(f *zip.File) *member {
	mode := f.Mode()
	m := &member{name: f.Name, regular: mode.IsRegular(), size: int64(min(f.UncompressedSize64, 1<<62))}
	switch {
	case mode.IsRegular():
		m.addAttribute("type", "file")
	case mode.IsDir():
		m.addAttribute("type", "folder")
	default:
		m.addAttribute("type", mode.Type().String())
	}

	m.addAttribute("mode", fmt.Sprintf("%#o (%#08x)", mode.Perm(), f.ExternalAttrs))
	m.addAttribute("mtime", timeText(f.Modified)+" "+fmt.Sprintf("%04x%04x", f.ModifiedDate, f.ModifiedTime))
	m.addAttribute("method", map[uint16]string{zip.Store: "stored", zip.Deflate: "deflated"}[f.Method])
	if f.Method != zip.Store && f.Method != zip.Deflate {
		m.addAttribute("method", strconv.Itoa(int(f.Method)))
	}

	// Tools for people hide these fields, and they often are all that differs.
	m.addAttribute("creator", fmt.Sprintf("system %d, version %d", f.CreatorVersion>>8, f.CreatorVersion&0xff))
	m.addAttribute("reader", fmt.Sprintf("version %d", f.ReaderVersion))
	m.addAttribute("flags", fmt.Sprintf("%#04x", f.Flags))
	m.addAttribute("comment", f.Comment)

	for extra := f.Extra; len(extra) >= 4; {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if 4+n > len(extra) {
			break
		}
		value := extra[4 : 4+n]
		switch id {
		case 0x5455, 0x000a, 0x5855: // times: extended, NTFS, Info-ZIP
			m.addAttribute("mtime record", fmt.Sprintf("%#04x %x", id, value[:min(n, 64)]))
		case 0x7875: // Info-ZIP's user and group
			m.addAttribute("owner", fmt.Sprintf("%x", value[:min(n, 64)]))
		case 1: // ZIP64 has sizes and offsets
			m.addAttribute("record 0x0001", fmt.Sprintf("%d bytes", n))
		default:
			m.addAttribute(fmt.Sprintf("record %#04x", id), fmt.Sprintf("%x", value[:min(n, 64)]))
		}
		extra = extra[4+n:]
	}

	return m
}

// listMembers reads all members.
func listMembers(in input, format string) (members []*member, sum [32]byte, size int64, err error) {
	// The buffer is shared by all members, as there may be many small ones.
	buf := make([]byte, 64<<10)
	sum, size, err = walkMembers(in, format, func(_ int, m *member, open func() (io.Reader, error)) error {
		members = append(members, m)
		r, err := open()
		if err != nil {
			// An unknown method, for instance: the compressed content stands for it.
			m.sum, m.sumKnown = m.raw, false
			return nil
		}

		h := sha256.New()
		n, err := io.CopyBuffer(h, struct{ io.Reader }{r}, buf)
		m.sum, m.sumKnown = [32]byte(h.Sum(nil)), err == nil
		if m.name == contentName || err == nil {
			m.size = n
		}

		// A wrong checksum is about one member, and the others can still be read.
		if errors.Is(err, zip.ErrChecksum) {
			return nil
		}
		return err
	})

	// The stream of a zip has no uncompressed size of its own.
	if format == formatZip {
		for _, m := range members {
			size += m.size
		}
	}
	return members, sum, size, err
}
