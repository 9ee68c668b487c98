package inspect

import "encoding/binary"

// elfFile holds the headers of an ELF file.
type elfFile struct {
	kind, machine uint16
	flags         uint32
	abi           byte
	entry         uint64
	progs         []prog
}

// prog is a program header.
type prog struct {
	kind, flags           uint32
	offset, address, size uint64 // of the part in the file
}

// Types of program headers and of files.
const (
	ptLoad    = 1
	ptDynamic = 2
	ptInterp  = 3
	ptNote    = 4
	ptStack   = 0x6474e551 // PT_GNU_STACK
	ptRelro   = 0x6474e552 // PT_GNU_RELRO

	etRel, etExec, etDyn = 1, 2, 3
)

// readELF reads the program headers and the section table
// (https://gabi.xinuos.com/elf/03-sheader.html).
func (b *Binary) readELF(head []byte) error {
	if len(head) < 52 {
		return errHeader
	}
	switch head[5] {
	case 1:
	case 2:
		b.order = binary.BigEndian
	default:
		return errHeader
	}
	o := b.order
	var phoff, shoff, headerSize, phEntSize, shEntSize uint64
	var counts []byte // e_flags, e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx

	// Word size decides about all offsets from here on.
	switch wide := head[4] == 2; {
	case wide && len(head) == 64:
		phoff, shoff, counts, b.pointer = o.Uint64(head[0x20:]), o.Uint64(head[0x28:]), head[0x30:], 8
		headerSize, phEntSize, shEntSize = 64, 56, 64
	case head[4] == 1:
		phoff, shoff, counts, b.pointer = uint64(o.Uint32(head[0x1c:])), uint64(o.Uint32(head[0x20:])), head[0x24:], 4
		headerSize, phEntSize, shEntSize = 52, 32, 40
	default:
		return errHeader
	}
	b.elf = elfFile{kind: o.Uint16(head[16:]), machine: o.Uint16(head[18:]), flags: o.Uint32(counts), abi: head[7], entry: b.word(head[24:])}
	count := func(i int) uint64 { return uint64(o.Uint16(counts[i:])) }
	phNum, shNum, strIndex := count(8), count(12), count(14)

	// Bounds come before the tables are read, as their size follows from these numbers.
	if phNum > maxSections || shNum > maxSections {
		return errSections
	}
	if phNum > 0 && count(6) != phEntSize || shNum > 0 && (count(10) != shEntSize || strIndex >= shNum) {
		return errHeader
	}

	b.add("(ELF header)", 0, headerSize)
	b.add("(program headers)", phoff, phNum*phEntSize)
	b.add("(section headers)", shoff, shNum*shEntSize)

	if err := b.programHeaders(phoff, phNum, phEntSize); err != nil {
		return err
	}
	return b.sectionHeaders(shoff, shNum, shEntSize, strIndex)
}

func (b *Binary) programHeaders(offset, count, size uint64) error {
	table := make([]byte, count*size)
	if err := b.readTable(table, offset); err != nil {
		return err
	}
	o := b.order

	// The flags stand at another place in 32-bit headers.
	for ; len(table) > 0; table = table[size:] {
		p := prog{o.Uint32(table), o.Uint32(table[4:]), 0, 0, 0}
		if size == 56 {
			p.offset, p.address, p.size = o.Uint64(table[8:]), o.Uint64(table[16:]), o.Uint64(table[32:])
		} else {
			p.offset, p.address, p.size = uint64(o.Uint32(table[4:])), uint64(o.Uint32(table[8:])), uint64(o.Uint32(table[16:]))
			p.flags = o.Uint32(table[24:])
		}

		b.elf.progs = append(b.elf.progs, p)
		if p.kind == ptLoad {
			b.mapped(p.address, p.offset, p.size)
		}
	}
	return nil
}

// readTable fills p from offset if it is not empty.
func (b *Binary) readTable(p []byte, offset uint64) error {
	switch {
	case len(p) == 0:
		return nil
	case offset > uint64(b.size):
		return errHeader
	}
	return b.read(p, int64(offset))
}

func (b *Binary) sectionHeaders(offset, count, entSize, strIndex uint64) error {
	table := make([]byte, count*entSize)
	if err := b.readTable(table, offset); err != nil || count == 0 {
		return err
	}
	o := b.order
	type header struct {
		name, kind                   uint32
		flags, address, offset, size uint64
	}

	section := func(i uint64) header {
		h := table[i*entSize:]
		if entSize == 64 {
			return header{o.Uint32(h), o.Uint32(h[4:]), o.Uint64(h[8:]), o.Uint64(h[16:]), o.Uint64(h[24:]), o.Uint64(h[32:])}
		}
		word := func(i int) uint64 { return uint64(o.Uint32(h[i:])) }
		return header{o.Uint32(h), o.Uint32(h[4:]), word(8), word(12), word(16), word(20)}
	}

	// Names are offsets into a section that is in the same table.
	names := section(strIndex)
	for i := range count {
		const null, nobits, compressed = 0, 8, 0x800
		h := section(i)
		if h.kind == null || h.kind == nobits {
			continue
		}

		name := ""
		if uint64(h.name) < names.size && names.offset < uint64(b.size) {
			name = b.nameAt(names.offset + uint64(h.name))
		}
		b.addAt(name, h.offset, h.size, h.address, h.flags&compressed != 0)
	}
	return nil
}

// prog returns the first program header of the type.
func (f elfFile) prog(kind uint32) (prog, bool) {
	for _, p := range f.progs {
		if p.kind == kind {
			return p, true
		}
	}
	return prog{}, false
}

const (
	maxNotes   = 64 << 10 // bytes of a note segment
	maxDynamic = 4096     // entries
	maxNeeded  = 256      // libraries that are listed
)

// note returns the content of the first note of the name and type, and where it is. The offset is
// -1 if there is none.
func (b *Binary) note(name string, kind uint32) (desc []byte, offset int64) {
	var ranges [][2]uint64
	for _, p := range b.elf.progs {
		if p.kind == ptNote {
			ranges = append(ranges, [2]uint64{p.offset, p.size})
		}
	}

	// The segment may end before the last note: Go's linker does not count its
	// GNU build ID into it.
	for _, s := range b.Sections {
		if len(s.Name) > 5 && s.Name[:5] == ".note" {
			ranges = append(ranges, [2]uint64{uint64(s.Offset), uint64(s.Size)})
		}
	}

	budget := uint64(4 * maxNotes) // a hostile file has thousands of these
	for _, r := range ranges {
		if r[1] > budget || r[1] > maxNotes {
			continue
		}
		budget -= r[1]
		p := make([]byte, r[1])
		if b.readTable(p, r[0]) != nil {
			continue
		}

		for at := int64(r[0]); len(p) >= 12; {
			o := b.order
			nameSize, descSize := (uint64(o.Uint32(p))+3)&^3, uint64(o.Uint32(p[4:]))
			if 12+nameSize+descSize > uint64(len(p)) {
				break
			}
			start := 12 + nameSize
			if o.Uint32(p[8:]) == kind && string(p[12:12+o.Uint32(p)]) == name {
				return p[start : start+descSize], at + int64(start)
			}
			next := min(start+(descSize+3)&^3, uint64(len(p)))
			p, at = p[next:], at+int64(next)
		}
	}

	return nil, -1
}

// dynamicSection holds the entries of the dynamic section.
type dynamicSection struct {
	needed  []string // libraries
	bindNow bool     // all symbols are bound at the start
	pie     bool     // it says that this is an executable
}

func (b *Binary) dynamic() (s dynamicSection) {
	d, ok := b.elf.prog(ptDynamic)
	if !ok {
		return s
	}

	entry := uint64(2 * b.pointer)
	table := make([]byte, min(d.size/entry, maxDynamic)*entry)
	if b.readTable(table, d.offset) != nil {
		return s
	}
	const dtNeeded, dtStrtab, dtBindNow, dtFlags, dtFlags1 = 1, 5, 24, 30, 0x6ffffffb
	var strtab uint64
	var names []uint64

	// The strings' address may come after the entries that need it, so names are read later.
	for ; len(table) > 0 && b.word(table) != 0; table = table[entry:] {
		value := b.word(table[b.pointer:])
		switch b.word(table) {
		case dtNeeded:
			names = append(names, value)
		case dtStrtab:
			strtab = value
		case dtBindNow:
			s.bindNow = true
		case dtFlags:
			s.bindNow = s.bindNow || value&8 != 0
		case dtFlags1:
			s.bindNow = s.bindNow || value&1 != 0
			s.pie = value&0x8000000 != 0
		}
	}

	for _, n := range names[:min(len(names), maxNeeded)] {
		if name := b.stringAt(strtab + n); name != "" {
			s.needed = append(s.needed, name)
		}
	}
	return s
}

// word reads a number of a pointer's size.
func (b *Binary) word(p []byte) uint64 {
	if b.pointer == 4 {
		return uint64(b.order.Uint32(p))
	}
	return b.order.Uint64(p)
}

// stringAt returns the NUL-terminated string that is loaded at address. It returns the first bytes
// of a long string, and "" if there is none.
func (b *Binary) stringAt(address uint64) string {
	p := make([]byte, maxName)
	for len(p) > 0 && b.load(p, address) != nil {
		p = p[:len(p)/2] // it is near the end of what is loaded
	}
	return cstring(p)
}
