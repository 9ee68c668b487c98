// Package inspect reads facts of an executable, as hostile input.
//
// It finds the sections of an ELF, Mach-O or PE file and the build information
// that the Go linker stores in it. It reads headers only, through small buffers,
// and every count and length that the file states is bounded: at most 4096
// sections, 1 MiB of load commands, 1 MiB of build information.
//
// It does not use debug/elf, debug/macho, debug/pe and debug/buildinfo, because
// those read the symbol and string tables as soon as a file is opened and copy
// every name out of them: a small file can make them allocate without bound
// (they say themselves that they are not hardened against adversarial inputs).
package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrFormat is what [Open] returns for a file that is neither ELF nor (thin,
// little-endian) Mach-O nor PE.
var ErrFormat = errors.New("not an ELF, Mach-O or PE file")

// Format names a format of executables.
type Format string

// The formats that [Open] knows.
const (
	ELF   Format = "elf"
	MachO Format = "macho"
	PE    Format = "pe"
)

// Section is a named range of a file.
type Section struct {
	// Name is the section's name as the format's usual tools print it:
	// ".rodata", "__TEXT,__text". It is in parentheses for a part that the
	// format gives no name: "(section headers)", "(code signature)". It may
	// contain any bytes, and two sections may have the same name.
	Name string
	// Offset and Size are the range in bytes. The part of a section that lies
	// behind the end of the file is cut off.
	Offset, Size int64
}

// Binary is an opened executable.
type Binary struct {
	// Format is the format of the file.
	Format Format
	// Sections are the ranges in the order of the file's own tables. They may
	// overlap: a segment's with those of what lies in it.
	Sections []Section

	r    io.ReaderAt
	size int64
}

const (
	maxSections = 4096
	maxCommands = 1 << 20 // bytes of Mach-O load commands
	maxName     = 128
)

// Open reads the headers of the file of size bytes in r, which the Binary keeps
// for reading. It returns [ErrFormat], or another error where the headers
// contradict the format, point out of the file or exceed the limits of the
// package comment.
func Open(r io.ReaderAt, size int64) (*Binary, error) {
	b := &Binary{r: r, size: size}
	head := make([]byte, min(64, max(0, size)))
	if err := b.read(head, 0); err != nil {
		return nil, err
	}
	var err error
	switch magic := string(head[:min(4, len(head))]); {
	case magic == "\x7fELF":
		b.Format, err = ELF, b.elf(head)
	case magic == "\xce\xfa\xed\xfe" || magic == "\xcf\xfa\xed\xfe":
		b.Format, err = MachO, b.macho(head)
	case strings.HasPrefix(magic, "MZ"):
		b.Format, err = PE, b.pe(head)
	default:
		return nil, ErrFormat
	}
	if err == nil && len(b.Sections) > maxSections {
		err = errSections
	}
	if err != nil {
		return nil, fmt.Errorf("read %s headers: %w", b.Format, err)
	}
	return b, nil
}

// SectionAt returns the section that offset lies in, the smallest where several
// overlap.
func (b *Binary) SectionAt(offset int64) (Section, bool) {
	var found Section
	ok := false
	for _, s := range b.Sections {
		if s.Offset <= offset && offset-s.Offset < s.Size && (!ok || s.Size < found.Size) {
			found, ok = s, true
		}
	}
	return found, ok
}

var (
	errHeader   = errors.New("truncated or contradictory header")
	errSections = fmt.Errorf("more than %d sections", maxSections)
)

// read fills p from offset.
func (b *Binary) read(p []byte, offset int64) error {
	if offset < 0 || offset > b.size || int64(len(p)) > b.size-offset {
		return errHeader
	}
	if n, err := b.r.ReadAt(p, offset); n < len(p) {
		return err
	}
	return nil
}

// add adds a section, cut off at the end of the file. The numbers come from the
// file and may be anything. Open looks for one section too many.
func (b *Binary) add(name string, offset, size uint64) {
	if size > 0 && offset < uint64(b.size) && len(b.Sections) <= maxSections {
		size = min(size, uint64(b.size)-offset)
		b.Sections = append(b.Sections, Section{name, int64(offset), int64(size)})
	}
}

// cstring returns p up to the first NUL.
func cstring(p []byte) string {
	s, _, _ := strings.Cut(string(p), "\x00")
	return s
}

// nameAt returns the NUL-terminated string at offset, its first bytes if it is
// long, and "" if it is out of the file.
func (b *Binary) nameAt(offset uint64) string {
	if offset >= uint64(b.size) {
		return ""
	}
	p := make([]byte, min(maxName, b.size-int64(offset)))
	if b.read(p, int64(offset)) != nil {
		return ""
	}
	return cstring(p)
}

// elf reads the section table (https://gabi.xinuos.com/elf/03-sheader.html).
func (b *Binary) elf(head []byte) error {
	if len(head) < 52 {
		return errHeader
	}
	var o binary.ByteOrder
	switch head[5] {
	case 1:
		o = binary.LittleEndian
	case 2:
		o = binary.BigEndian
	default:
		return errHeader
	}
	var phoff, shoff, headerSize, entSize uint64
	var counts []byte // e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
	switch wide := head[4] == 2; {
	case wide && len(head) == 64:
		phoff, shoff, counts = o.Uint64(head[0x20:]), o.Uint64(head[0x28:]), head[0x36:]
		headerSize, entSize = 64, 64
	case head[4] == 1:
		phoff, shoff, counts = uint64(o.Uint32(head[0x1c:])), uint64(o.Uint32(head[0x20:])), head[0x2a:]
		headerSize, entSize = 52, 40
	default:
		return errHeader
	}
	phSize := uint64(o.Uint16(counts)) * uint64(o.Uint16(counts[2:]))
	shEntSize, shNum, strIndex := o.Uint16(counts[4:]), uint64(o.Uint16(counts[6:])), uint64(o.Uint16(counts[8:]))
	if shNum > maxSections {
		return errSections
	}
	if shNum > 0 && (uint64(shEntSize) != entSize || strIndex >= shNum || shoff > uint64(b.size)) {
		return errHeader
	}
	table := make([]byte, shNum*entSize)
	if err := b.read(table, int64(shoff)); shNum > 0 && err != nil {
		return err
	}
	section := func(i uint64) (name, kind uint32, offset, size uint64) {
		h := table[i*entSize:]
		if entSize == 64 {
			return o.Uint32(h), o.Uint32(h[4:]), o.Uint64(h[24:]), o.Uint64(h[32:])
		}
		return o.Uint32(h), o.Uint32(h[4:]), uint64(o.Uint32(h[16:])), uint64(o.Uint32(h[20:]))
	}
	b.add("(ELF header)", 0, headerSize)
	b.add("(program headers)", phoff, phSize)
	b.add("(section headers)", shoff, uint64(len(table)))
	if shNum == 0 {
		return nil
	}
	_, _, strOffset, strSize := section(strIndex)
	for i := range shNum {
		name, kind, offset, size := section(i)
		const null, nobits = 0, 8
		if kind == null || kind == nobits {
			continue
		}
		s := ""
		if uint64(name) < strSize && strOffset < uint64(b.size) {
			s = b.nameAt(strOffset + uint64(name))
		}
		b.add(s, offset, size)
	}
	return nil
}

// macho reads the load commands (<mach-o/loader.h> of Apple's XNU).
func (b *Binary) macho(head []byte) error {
	o := binary.LittleEndian
	if len(head) < 32 {
		return errHeader
	}
	f := machFile{start: 28, nlist: 12}
	if head[0] == 0xcf {
		f = machFile{start: 32, nlist: 16}
	}
	count, size := o.Uint32(head[16:]), uint64(o.Uint32(head[20:]))
	if size > maxCommands || uint64(count)*8 > size {
		return errHeader
	}
	commands := make([]byte, size)
	if err := b.read(commands, f.start); err != nil {
		return err
	}
	b.add("(Mach-O header)", 0, uint64(f.start)+size)
	at := uint64(f.start)
	for range count {
		if len(commands) < 8 {
			return errHeader
		}
		n := uint64(o.Uint32(commands[4:]))
		if n < 8 || n > uint64(len(commands)) {
			return errHeader
		}
		if err := b.loadCommand(commands[:n], at, f.nlist); err != nil {
			return err
		}
		commands, at = commands[n:], at+n
	}
	return nil
}

// machFile holds what differs between 32-bit and 64-bit files: where the load
// commands start, and the size of a symbol.
type machFile struct {
	start int64
	nlist uint64
}

// loadCommand reads one load command, which stands at offset at of the file.
func (b *Binary) loadCommand(c []byte, at, nlist uint64) error {
	o := binary.LittleEndian
	word := func(i int) uint64 { return uint64(o.Uint32(c[i:])) }
	const (
		segment32, segment64  = 0x1, 0x19
		symtab, id, signature = 0x2, 0x1b, 0x1d
	)
	switch cmd := word(0); {
	case cmd == segment32 && len(c) >= 56:
		return b.segment(c, 56, 68, word(48), word(32), word(36), func(h []byte) (offset, size uint64, flags uint32) {
			return uint64(o.Uint32(h[40:])), uint64(o.Uint32(h[36:])), o.Uint32(h[56:])
		})
	case cmd == segment64 && len(c) >= 72:
		return b.segment(c, 72, 80, word(64), o.Uint64(c[40:]), o.Uint64(c[48:]), func(h []byte) (offset, size uint64, flags uint32) {
			return uint64(o.Uint32(h[48:])), o.Uint64(h[40:]), o.Uint32(h[64:])
		})
	case cmd == symtab && len(c) >= 24:
		b.add("(symbol table)", word(8), word(12)*nlist)
		b.add("(string table)", word(16), word(20))
	case cmd == id:
		b.add("(LC_UUID)", at, uint64(len(c)))
	case cmd == signature && len(c) >= 16:
		b.add("(code signature)", word(8), word(12))
	}
	return nil
}

// segment adds the sections that follow the first head bytes of a segment
// command, each described by entry bytes, or the segment itself (offset, size)
// if it has none, such as __LINKEDIT.
func (b *Binary) segment(c []byte, head, entry int, count, offset, size uint64, read func([]byte) (offset, size uint64, flags uint32)) error {
	if count*uint64(entry) > uint64(len(c)-head) {
		return errHeader
	}
	if count == 0 {
		b.add(cstring(c[8:24]), offset, size)
	}
	for h := c[head:]; count > 0; h, count = h[entry:], count-1 {
		offset, size, flags := read(h)
		switch flags & 0xff {
		case 0x1, 0xc, 0x12: // S_ZEROFILL and its kin have no bytes in the file
			continue
		}
		b.add(cstring(h[16:32])+","+cstring(h[:16]), offset, size)
	}
	return nil
}

// pe reads the section table
// (https://learn.microsoft.com/en-us/windows/win32/debug/pe-format).
func (b *Binary) pe(head []byte) error {
	o := binary.LittleEndian
	if len(head) < 64 {
		return errHeader
	}
	at := int64(o.Uint32(head[0x3c:]))
	coff := make([]byte, 24)
	if err := b.read(coff, at); err != nil {
		return err
	}
	if string(coff[:4]) != "PE\x00\x00" {
		return ErrFormat
	}
	count := int(o.Uint16(coff[6:]))
	symbols, symbolsSize := uint64(o.Uint32(coff[12:])), 18*uint64(o.Uint32(coff[16:]))
	optional := make([]byte, o.Uint16(coff[20:]))
	if err := b.read(optional, at+24); err != nil {
		return err
	}
	if len(optional) < 68 {
		return errHeader
	}
	if count > maxSections {
		return errSections
	}
	table := make([]byte, 40*count)
	if err := b.read(table, at+24+int64(len(optional))); err != nil {
		return err
	}
	b.add("(PE headers)", 0, uint64(o.Uint32(optional[60:])))
	b.add("(time stamp)", uint64(at)+8, 4)
	b.add("(check sum)", uint64(at)+24+64, 4)
	directories := 96
	if o.Uint16(optional) == 0x20b { // PE32+
		directories = 112
	}
	const security = 4 // the one directory whose address is an offset in the file
	if d := directories + 8*security; len(optional) >= d+8 {
		b.add("(certificates)", uint64(o.Uint32(optional[d:])), uint64(o.Uint32(optional[d+4:])))
	}
	if symbols > 0 {
		b.add("(symbol table)", symbols, symbolsSize)
	}
	for h := table; len(h) > 0; h = h[40:] {
		name := cstring(h[:8])
		// A long name is a slash and a decimal offset in the string table, which
		// follows the symbols.
		if n, err := strconv.ParseUint(strings.TrimPrefix(name, "/"), 10, 32); err == nil && name[0] == '/' && symbols > 0 {
			name = b.nameAt(symbols + symbolsSize + n)
		}
		b.add(name, uint64(o.Uint32(h[20:])), uint64(o.Uint32(h[16:])))
	}
	return nil
}
