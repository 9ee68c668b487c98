package explain

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Archive is what differs between two archives.
type Archive struct {
	A ArchiveFacts `json:"a"`
	B ArchiveFacts `json:"b"`
	// Parameters are what differs in the headers of the compressed stream.
	Parameters []Value `json:"parameters,omitempty"`
	// SameContent tells that what was compressed is equal in both, byte by byte.
	SameContent bool `json:"sameContent"`
	// Order is the first place where members that both have follow in another
	// order: the names at that place.
	Order *Value `json:"order,omitempty"`
	// Members are those that differ, in A's order and then those that only B has.
	// MoreMembers is how many more there are than are listed.
	Members     []Member `json:"members,omitempty"`
	MoreMembers int      `json:"moreMembers,omitempty"`
}

// ArchiveFacts are what is known of one of the archives.
type ArchiveFacts struct {
	// Members is their number, Size what they and their headers take
	// uncompressed (of a zip, the members alone).
	Members int   `json:"members"`
	Size    int64 `json:"size"`
}

// Member is a member that differs.
type Member struct {
	Name string `json:"name"`
	// State is "changed", "only in A", "only in B" or, if nothing but attributes
	// differ, "attributes". It is "not read in A" or "not read in B" of one that may be
	// there behind the place up to which that archive can be read.
	State string `json:"state"`
	// Attributes are those that differ: "mtime", "mode".
	Attributes []Value `json:"attributes,omitempty"`
	// Content is nil if the content is equal or was not looked at.
	Content *Comparison `json:"content,omitempty"`
}

const (
	maxMembers      = 65536
	maxMemberNames  = 16 << 20 // bytes, with attributes
	maxUncompressed = 4 << 30
	maxDirectory    = 8 << 20 // bytes of a zip's
	maxExplained    = 16      // members
	maxSpooled      = 2 << 30 // bytes of them in one archive, on disk
	maxInMemory     = 16 << 20
	contentName     = "(content)"
)

var errMuch = fmt.Errorf("read archive: more than %d members, %d bytes of names or %d bytes of content", maxMembers, maxMemberNames, int64(maxUncompressed))

// Formats of archives.
const (
	formatTar     = "tar"
	formatTarGzip = "tar+gzip"
	formatTarZstd = "tar+zstd"
	formatGzip    = "gzip"
	formatZstd    = "zstd"
	formatZip     = "zip"
)

func isArchive(kind string) bool {
	return slices.Contains([]string{formatTar, formatTarGzip, formatTarZstd, formatGzip, formatZstd, formatZip}, kind)
}

// container returns the format of an archive, and "" for what is none.
func container(in input) string {
	head := make([]byte, min(512, in.size))
	if n, _ := in.ReadAt(head, 0); n < len(head) {
		return ""
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return formatZip
	case isTar(head):
		return formatTar
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return within(in, formatGzip, formatTarGzip)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return within(in, formatZstd, formatTarZstd)
	}
	return ""
}

// isTar tells whether a block is the header of a member, by its magic
// (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html).
func isTar(block []byte) bool {
	return len(block) == 512 && string(block[257:262]) == "ustar"
}

// within looks for a tar header in a compressed stream.
func within(in input, plain, withTar string) string {
	block := make([]byte, 512)
	r, err := decompress(in, plain)
	if err != nil {
		return plain
	}
	defer r.Close()
	if _, err := io.ReadFull(r, block); err == nil && isTar(block) {
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

// parameters returns what the header of a compressed stream says, by name.
func parameters(in input, format string) map[string]string {
	head := make([]byte, min(4096, in.size))
	if n, _ := in.ReadAt(head, 0); n < len(head) {
		return nil
	}
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

// valuesOf lists what differs between two maps, by name.
func valuesOf(a, b map[string]string) []Value {
	names := maps.Clone(a)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, b)
	var list []Value
	for _, name := range slices.Sorted(maps.Keys(names)) {
		va, inA := a[name]
		vb, inB := b[name]
		if va != vb || inA != inB {
			list = append(list, Value{name, cut(va), cut(vb), inA, inB})
		}
	}
	return list
}

// attribute is a property of a member.
type attribute struct{ name, value string }

// member is what is known of a member of an archive.
type member struct {
	name    string
	attrs   []attribute
	regular bool
	size    int64
	sum     [32]byte // of the content
	raw     [32]byte // of the content as a zip has it: compressed
	read    bool     // that sum is known
}

func (m *member) attr(name, value string) {
	if value != "" {
		m.attrs = append(m.attrs, attribute{name, value})
	}
}

// budget bounds what one archive may take.
type budget struct {
	members, names int
	content        int64
}

func newBudget() *budget { return &budget{maxMembers, maxMemberNames, maxUncompressed} }

func (b *budget) take(m *member) error {
	b.members--
	b.names -= len(m.name)
	for _, a := range m.attrs {
		b.names -= len(a.name) + len(a.value)
	}
	if b.members < 0 || b.names < 0 {
		return errMuch
	}
	return nil
}

// reader bounds a stream.
func (b *budget) reader(r io.Reader) io.Reader { return &budgetReader{b, r} }

type budgetReader struct {
	b *budget
	r io.Reader
}

func (r *budgetReader) Read(p []byte) (int, error) {
	if r.b.content <= 0 {
		return 0, errMuch
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.b.content)])
	r.b.content -= int64(n)
	return n, err
}

// visitor is called with each member and with how to open its content, which is
// valid during the call. The member may be changed.
type visitor func(i int, m *member, open func() (io.Reader, error)) error

// walk visits the members of an archive in their order, and returns the hash of
// the uncompressed stream and its size.
func walk(in input, format string, visit visitor) (sum [32]byte, size int64, err error) {
	b := newBudget()
	if format == formatZip {
		return sum, 0, walkZip(in, b, visit)
	}
	plain, err := decompress(in, format)
	if err != nil {
		return sum, 0, err
	}
	defer plain.Close()
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
		if err := b.take(m); err != nil {
			return err
		}
		// A sparse file takes more to read than to store, and counts as what it is.
		if b.content -= h.Size; b.content < 0 {
			return errMuch
		}
		if err := visit(i, m, func() (io.Reader, error) { return t, nil }); err != nil {
			return err
		}
	}
}

func tarMember(h *tar.Header) *member {
	m := &member{name: h.Name, regular: h.Typeflag == tar.TypeReg, size: h.Size}
	m.attr("type", map[byte]string{tar.TypeReg: "file", tar.TypeDir: "folder", tar.TypeSymlink: "symbolic link", tar.TypeLink: "hard link"}[h.Typeflag])
	if len(m.attrs) == 0 {
		m.attr("type", fmt.Sprintf("%q", h.Typeflag))
	}
	m.attr("mode", fmt.Sprintf("%#o", h.Mode))
	m.attr("owner", fmt.Sprintf("%d:%d %s:%s", h.Uid, h.Gid, h.Uname, h.Gname))
	m.attr("mtime", timeText(h.ModTime))
	if !h.AccessTime.IsZero() {
		m.attr("atime", timeText(h.AccessTime))
	}
	if !h.ChangeTime.IsZero() {
		m.attr("ctime", timeText(h.ChangeTime))
	}
	m.attr("link", h.Linkname)
	if h.Devmajor != 0 || h.Devminor != 0 {
		m.attr("device", fmt.Sprintf("%d:%d", h.Devmajor, h.Devminor))
	}
	m.attr("header", h.Format.String())
	for _, name := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		switch name {
		case "path", "linkpath", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname":
			continue // they are in the attributes above
		}
		m.attr("record "+name, h.PAXRecords[name])
	}
	return m
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// directoryReader fails when a zip's directory is larger than it may be.
type directoryReader struct {
	in   input
	left int64 // -1: any number
}

func (d *directoryReader) ReadAt(p []byte, offset int64) (int, error) {
	if d.left >= 0 {
		if d.left -= int64(len(p)); d.left < 0 {
			d.left = 0
			return 0, errMuch
		}
	}
	return d.in.ReadAt(p, offset)
}

// walkZip reads a zip archive (https://pkware.cachefly.net/webdocs/APPNOTE/APPNOTE-6.3.9.TXT).
func walkZip(in input, b *budget, visit visitor) error {
	d := &directoryReader{in, maxDirectory}
	z, err := zip.NewReader(d, in.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	d.left = -1
	for i, f := range z.File {
		m := zipMember(f)
		if err := b.take(m); err != nil {
			return err
		}
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
		m.attr("type", "file")
	case mode.IsDir():
		m.attr("type", "folder")
	default:
		m.attr("type", mode.Type().String())
	}
	m.attr("mode", fmt.Sprintf("%#o (%#08x)", mode.Perm(), f.ExternalAttrs))
	m.attr("mtime", timeText(f.Modified)+" "+fmt.Sprintf("%04x%04x", f.ModifiedDate, f.ModifiedTime))
	m.attr("method", map[uint16]string{zip.Store: "stored", zip.Deflate: "deflated"}[f.Method])
	if f.Method != zip.Store && f.Method != zip.Deflate {
		m.attr("method", strconv.Itoa(int(f.Method)))
	}
	m.attr("creator", fmt.Sprintf("system %d, version %d", f.CreatorVersion>>8, f.CreatorVersion&0xff))
	m.attr("reader", fmt.Sprintf("version %d", f.ReaderVersion))
	m.attr("flags", fmt.Sprintf("%#04x", f.Flags))
	m.attr("comment", f.Comment)
	for extra := f.Extra; len(extra) >= 4; {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if 4+n > len(extra) {
			break
		}
		value := extra[4 : 4+n]
		switch id {
		case 0x5455, 0x000a, 0x5855: // times: extended, NTFS, Info-ZIP
			m.attr("mtime record", fmt.Sprintf("%#04x %x", id, value[:min(n, 64)]))
		case 0x7875: // Info-ZIP's user and group
			m.attr("owner", fmt.Sprintf("%x", value[:min(n, 64)]))
		case 1: // ZIP64 has sizes and offsets
			m.attr("record 0x0001", fmt.Sprintf("%d bytes", n))
		default:
			m.attr(fmt.Sprintf("record %#04x", id), fmt.Sprintf("%x", value[:min(n, 64)]))
		}
		extra = extra[4+n:]
	}
	return m
}

// list reads all members.
func list(in input, format string) (members []*member, sum [32]byte, size int64, err error) {
	buf := make([]byte, 64<<10)
	sum, size, err = walk(in, format, func(_ int, m *member, open func() (io.Reader, error)) error {
		members = append(members, m)
		r, err := open()
		if err != nil {
			// An unknown method, for instance: the compressed content stands for it.
			m.sum, m.read = m.raw, false
			return nil
		}
		h := sha256.New()
		n, err := io.CopyBuffer(h, struct{ io.Reader }{r}, buf)
		m.sum, m.read = [32]byte(h.Sum(nil)), err == nil
		if m.name == contentName || err == nil {
			m.size = n
		}
		if errors.Is(err, zip.ErrChecksum) {
			return nil
		}
		return err
	})
	if format == formatZip {
		for _, m := range members {
			size += m.size
		}
	}
	return members, sum, size, err
}

// archives explains two archives.
func (e *explainer) archives(c *Comparison, a, b input) {
	x := &Archive{}
	c.Archive = x
	inA, sumA, sizeA, errA := list(a, c.A.Kind)
	inB, sumB, sizeB, errB := list(b, c.B.Kind)
	x.A, x.B = ArchiveFacts{len(inA), sizeA}, ArchiveFacts{len(inB), sizeB}
	onlyA, onlyB := "only in A", "only in B"
	if errA != nil {
		c.noteText("A cannot be read to its end, and what it has there is not compared: read archive: " + errA.Error())
		onlyB = "not read in A"
	}
	if errB != nil {
		c.noteText("B cannot be read to its end, and what it has there is not compared: read archive: " + errB.Error())
		onlyA = "not read in B"
	}
	if c.A.Kind != c.B.Kind {
		c.addCause(causeArchiveFormat, Certain, Cause{A: c.A.Kind, B: c.B.Kind})
	} else {
		x.Parameters = valuesOf(parameters(a, c.A.Kind), parameters(b, c.B.Kind))
	}
	tarred := strings.HasPrefix(c.A.Kind, formatTar) && strings.HasPrefix(c.B.Kind, formatTar)
	x.SameContent = errA == nil && errB == nil && sumA == sumB && (tarred || c.A.Kind == c.B.Kind && c.A.Kind != formatZip)

	pairs := pair(inA, inB)
	explain := map[[2]int]int{} // pairs of members to explain, and their place in x.Members
	spooled := int64(0)
	recompressed := ""
	same := true // all attributes and contents
	add := func(m Member) bool {
		same = false
		if len(x.Members) == maxListed {
			x.MoreMembers++
			return false
		}
		x.Members = append(x.Members, m)
		return true
	}
	partial := errA != nil || errB != nil // what is missing may just not have been read
	for _, p := range pairs {
		switch {
		case p[1] < 0:
			name := inA[p[0]].name
			if add(Member{Name: name, State: onlyA}) && !partial {
				c.addCause(causeArchiveMembers, Certain, Cause{Text: "only A has a member of this name", A: name})
			}
			continue
		case p[0] < 0:
			name := inB[p[1]].name
			if add(Member{Name: name, State: onlyB}) && !partial {
				c.addCause(causeArchiveMembers, Certain, Cause{Text: "only B has a member of this name", B: name})
			}
			continue
		}
		ma, mb := inA[p[0]], inB[p[1]]
		m := Member{Name: ma.name, State: "attributes", Attributes: attributes(ma, mb, c.A.Kind == c.B.Kind || tarred)}
		changed := ma.sum != mb.sum && (ma.read || mb.read || ma.raw != mb.raw)
		if changed {
			m.State = "changed"
		} else if ma.raw != mb.raw {
			recompressed = cmp.Or(recompressed, ma.name)
		}
		if !changed && len(m.Attributes) == 0 {
			continue
		}
		if !add(m) {
			continue
		}
		c.attributeCauses(m)
		limit := int64(maxInMemory)
		if e.options.TempDir != "" {
			limit = maxSpooled
		}
		if changed && ma.regular && mb.regular && ma.read && mb.read {
			if size := ma.size + mb.size; len(explain) < maxExplained && max(ma.size, mb.size) <= limit && spooled+size <= 2*limit {
				spooled += size
				explain[p] = len(x.Members) - 1
				continue
			}
			c.noteText("not all members that differ are explained")
		}
		switch {
		case changed && ma.regular && mb.regular && !(ma.read && mb.read):
			c.addCause(causeContent, Possible, Cause{Text: "the content, as far as it can be read: in one of them it is damaged or cut off", Where: ma.name})
		case changed:
			c.addCause(causeContent, Certain, Cause{Where: ma.name})
		}
	}
	x.Order = order(inA, inB, pairs)
	if x.Order != nil && !partial {
		same = false
		c.addCause(causeArchiveOrder, Certain, Cause{Text: "the members are in another order", A: x.Order.A, B: x.Order.B})
	}
	if err := e.members(c, a, b, explain); err != nil {
		c.note(err)
		for _, i := range explain {
			c.addCause(causeContent, Certain, Cause{Where: x.Members[i].Name})
		}
	}
	c.streamCauses(same && !partial, recompressed)
}

// streamCauses are about what surrounds the members.
func (c *Comparison) streamCauses(same bool, recompressed string) {
	x := c.Archive
	for _, v := range x.Parameters {
		kind := causeCompressor
		switch v.Name {
		case "gzip name", "gzip comment", "gzip time", "gzip extra", "gzip system":
			kind = causeCompressorHeader
		}
		c.addCause(kind, Certain, Cause{Text: "the header of the compressed stream: " + v.Name, A: v.A, B: v.B})
	}
	switch {
	case c.A.Kind != c.B.Kind:
	case x.SameContent && len(x.Parameters) == 0:
		c.addCause(causeCompressor, Certain, Cause{Text: "the same content was compressed by another program, version or level"})
	case x.SameContent && c.Differing > 64 && !c.caused(causeCompressor):
		c.addCause(causeCompressor, Likely, Cause{Text: "the same content was compressed by another program, version or level"})
	case recompressed != "":
		c.addCause(causeCompressor, Certain, Cause{Text: "the same content was compressed by another program, version or level", Evidence: []string{"member " + recompressed}})
	case same && !x.SameContent && len(c.Causes) == 0:
		c.addCause(causeArchivePadding, Likely, Cause{})
	}
}

// attributeCauses adds a cause for each kind of attribute, once for the archive.
func (c *Comparison) attributeCauses(m Member) {
	for _, v := range m.Attributes {
		kind, text := causeArchiveHeader, "another attribute of members: "+v.Name
		switch v.Name {
		case "type", "link":
			kind, text = causeArchiveType, "a member is of another type or leads elsewhere"
		case "mode":
			kind, text = causeArchiveMode, "the mode of members"
		case "owner":
			kind, text = causeArchiveOwner, "the owner of members"
		case "mtime", "atime", "ctime", "mtime record":
			kind, text = causeArchiveMtime, "the time of members"
		case "method":
			kind, text = causeCompressor, "the method of compression of members"
		}
		if i := slices.IndexFunc(c.Causes, func(o Cause) bool { return o.is(kind) && o.Text == text }); i < 0 {
			c.addCause(kind, Certain, Cause{Text: text, A: v.A, B: v.B, Evidence: []string{"member " + cut(m.Name)}})
		} else if x := &c.Causes[i]; len(x.Evidence) < 4 {
			x.Evidence = append(x.Evidence, "member "+cut(m.Name))
		}
	}
}

// attributes lists those that differ. Two formats of archives have other names
// for them, so that only those that both know are compared then.
func attributes(a, b *member, all bool) []Value {
	byName := func(m *member) map[string]string {
		v := map[string]string{}
		for _, x := range m.attrs {
			if all || x.name == "type" {
				v[x.name] = x.value
			}
		}
		return v
	}
	return valuesOf(byName(a), byName(b))
}

// pair returns the indexes of members of the same name, the nth of a name with
// the nth, in A's order; -1 stands for what the other does not have.
func pair(a, b []*member) [][2]int {
	places := map[string][]int{}
	for i, m := range b {
		places[m.name] = append(places[m.name], i)
	}
	var pairs [][2]int
	taken := make([]bool, len(b))
	for i, m := range a {
		p := [2]int{i, -1}
		if list := places[m.name]; len(list) > 0 {
			p[1] = list[0]
			places[m.name] = list[1:]
			taken[p[1]] = true
		}
		pairs = append(pairs, p)
	}
	for i := range b {
		if !taken[i] {
			pairs = append(pairs, [2]int{-1, i})
		}
	}
	return pairs
}

// order finds where members that both archives have follow in another order.
func order(a, b []*member, pairs [][2]int) *Value {
	var inB []int
	var names []string
	for _, p := range pairs {
		if p[0] >= 0 && p[1] >= 0 {
			inB = append(inB, p[1])
			names = append(names, a[p[0]].name)
		}
	}
	sorted := slices.Sorted(slices.Values(inB))
	for i, at := range sorted {
		if inB[i] != at {
			return &Value{fmt.Sprintf("member %d", i+1), cut(names[i]), cut(b[at].name), true, true}
		}
	}
	return nil
}

// storage holds a member's content.
type storage interface {
	io.Writer
	io.ReaderAt
}

type inMemory struct{ b []byte }

func (m *inMemory) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *inMemory) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, offset)
}

// members explains members of both archives.
func (e *explainer) members(c *Comparison, a, b input, pairs map[[2]int]int) (err error) {
	if len(pairs) == 0 {
		return nil
	}
	stores := [2]map[int]storage{{}, {}}
	sizes := [2]map[int]int64{{}, {}}
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	for side, in := range []input{a, b} {
		want := map[int]bool{}
		for p := range pairs {
			want[p[side]] = true
		}
		format := []string{c.A.Kind, c.B.Kind}[side]
		done := errors.New("done")
		_, _, err := walk(in, format, func(i int, _ *member, open func() (io.Reader, error)) error {
			if !want[i] {
				return nil
			}
			r, err := open()
			if err != nil {
				return err
			}
			var s storage = &inMemory{}
			if e.options.TempDir != "" {
				f, err := os.CreateTemp(e.options.TempDir, "twice-explain-*")
				if err != nil {
					return err
				}
				files = append(files, f)
				s = f
			}
			n, err := io.Copy(s, r)
			stores[side][i], sizes[side][i] = s, n
			if err == nil && len(stores[side]) == len(want) {
				err = done // no need to read on
			}
			return err
		})
		if err != nil && !errors.Is(err, done) {
			return fmt.Errorf("read archive: %w", err)
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(pairs), func(x, y [2]int) int { return x[0] - y[0] }) {
		m := &c.Archive.Members[pairs[p]]
		file := func(side int) input {
			return e.input(File{m.Name, stores[side][p[side]], sizes[side][p[side]]})
		}
		content, err := e.compare(file(0), file(1), false)
		if err != nil {
			return err
		}
		m.Content = content
		for _, x := range content.Causes {
			x.Where = cut(m.Name + strings.TrimSuffix(" "+x.Where, " "))
			c.Causes = append(c.Causes, x)
		}
	}
	return nil
}
