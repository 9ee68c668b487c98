package inspect

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// machoFile holds the headers of a Mach-O file.
type machoFile struct {
	cpu, kind, flags uint32
	commands         []command
}

// command is a load command and where it stands.
type command struct {
	kind   uint32
	offset int64
	data   []byte
}

// Load commands, and CPU types.
const (
	lcSegment32   = 0x1
	lcSymtab      = 0x2
	lcDysymtab    = 0xb
	lcLoadDylib   = 0xc
	lcDylinker    = 0xe
	lcSegment64   = 0x19
	lcUUID        = 0x1b
	lcSignature   = 0x1d
	lcVersionIOS  = 0x25
	lcBuild       = 0x32 // LC_BUILD_VERSION
	lcWeakDylib   = 0x80000018
	lcReexport    = 0x8000001f
	lcFixups      = 0x80000034 // LC_DYLD_CHAINED_FIXUPS
	cpu386        = 7
	cpuAMD64      = 0x1000007
	cpuARM        = 12
	cpuARM64      = 0x100000c
	machoSections = 64 // offset of the number of sections in LC_SEGMENT_64
)

var machoArch = map[uint32]string{cpu386: "386", cpuAMD64: "amd64", cpuARM: "arm", cpuARM64: "arm64"}

// readMachO reads the load commands (<mach-o/loader.h> of Apple's XNU).
func (b *Binary) readMachO(head []byte) error {
	o := binary.LittleEndian
	if len(head) < 32 {
		return errHeader
	}
	start := int64(28)
	b.pointer = 4
	if head[0] == 0xcf {
		start, b.pointer = 32, 8
	}

	b.macho = machoFile{cpu: o.Uint32(head[4:]), kind: o.Uint32(head[12:]), flags: o.Uint32(head[24:])}
	count, size := o.Uint32(head[16:]), uint64(o.Uint32(head[20:]))
	if size > maxCommands || uint64(count)*8 > size {
		return errHeader
	}

	// All commands are read at once, as their sum is bounded.
	commands := make([]byte, size)
	if err := b.read(commands, start); err != nil {
		return err
	}

	b.add("(Mach-O header)", 0, uint64(start)+size)
	at := start
	for range count {
		if len(commands) < 8 {
			return errHeader
		}
		n := uint64(o.Uint32(commands[4:]))
		if n < 8 || n > uint64(len(commands)) {
			return errHeader
		}

		c := command{o.Uint32(commands), at, commands[:n:n]}
		if err := b.loadCommand(c); err != nil {
			return err
		}
		if len(b.macho.commands) > maxSections {
			return errSections
		}
		b.macho.commands = append(b.macho.commands, c)
		commands, at = commands[n:], at+int64(n)
	}
	return nil
}

// loadCommand adds the ranges that a load command describes.
func (b *Binary) loadCommand(c command) error {
	o := binary.LittleEndian
	d := c.data
	word := func(i int) uint64 { return uint64(o.Uint32(d[i:])) }

	// Commands that are too short are left alone, as a loader may do without them.
	switch {
	case c.kind == lcSegment32 && len(d) >= 56:
		b.mapped(word(24), word(32), word(36))
		return b.segment(d, 56, 68, word(48), word(32), word(36), func(h []byte) (offset, size, address uint64, flags uint32) {
			return uint64(o.Uint32(h[40:])), uint64(o.Uint32(h[36:])), uint64(o.Uint32(h[32:])), o.Uint32(h[56:])
		})
	case c.kind == lcSegment64 && len(d) >= 72:
		b.mapped(o.Uint64(d[24:]), o.Uint64(d[40:]), o.Uint64(d[48:]))
		return b.segment(d, 72, 80, word(machoSections), o.Uint64(d[40:]), o.Uint64(d[48:]), func(h []byte) (offset, size, address uint64, flags uint32) {
			return uint64(o.Uint32(h[48:])), o.Uint64(h[40:]), o.Uint64(h[32:]), o.Uint32(h[64:])
		})
	case c.kind == lcSymtab && len(d) >= 24:
		nlist := uint64(8 + b.pointer)
		b.add("(symbol table)", word(8), word(12)*nlist)
		b.add("(string table)", word(16), word(20))
	case c.kind == lcUUID:
		b.add("(LC_UUID)", uint64(c.offset), uint64(len(d)))
	case c.kind == lcSignature && len(d) >= 16:
		b.add("(code signature)", word(8), word(12))
	}

	return nil
}

// segment adds the sections that follow the first head bytes of a segment command. Each section is
// described by entry bytes. A segment without sections, such as __LINKEDIT, is added itself
// (offset, size).
func (b *Binary) segment(c []byte, head, entry int, count, offset, size uint64, read func([]byte) (offset, size, address uint64, flags uint32)) error {
	if count*uint64(entry) > uint64(len(c)-head) {
		return errHeader
	}
	if count == 0 {
		b.add(cstring(c[8:24]), offset, size)
	}

	for h := c[head:]; count > 0; h, count = h[entry:], count-1 {
		offset, size, address, flags := read(h)
		switch flags & 0xff {
		case 0x1, 0xc, 0x12: // S_ZEROFILL and its kin have no bytes in the file
			continue
		}
		name := cstring(h[:16])
		b.addAt(cstring(h[16:32])+","+name, offset, size, address, strings.HasPrefix(name, "__zdebug_"))
	}
	return nil
}

// command returns the first load command of the kind that has at least size
// bytes.
func (f machoFile) command(kind uint32, size int) (command, bool) {
	for _, c := range f.commands {
		if c.kind == kind && len(c.data) >= size {
			return c, true
		}
	}
	return command{}, false
}

// segment returns the command of the segment of a 64-bit file.
func (f machoFile) segment(name string) (command, bool) {
	for _, c := range f.commands {
		if c.kind == lcSegment64 && len(c.data) >= 72 && cstring(c.data[8:24]) == name {
			return c, true
		}
	}
	return command{}, false
}

// word returns the 32-bit number at offset i.
func (c command) word(i int) uint32 { return binary.LittleEndian.Uint32(c.data[i:]) }

// text returns the string whose offset stands at i.
func (c command) text(i int) string {
	at := uint64(c.word(i))
	if at > uint64(len(c.data)) {
		return ""
	}
	s := cstring(c.data[at:])
	return s[:min(len(s), maxName)]
}

const maxSlices = 64

// readUniversal reads the list of slices (<mach-o/fat.h>). It is big-endian. Java's class files
// begin in the same way, with their version in the place of the number of slices.
func (b *Binary) readUniversal(head []byte) error {
	o := binary.BigEndian
	if len(head) < 8 {
		return ErrFormat
	}
	count, entry := int(o.Uint32(head[4:])), 20
	if head[3] == 0xbf {
		entry = 32
	}
	if count == 0 || count > maxSlices {
		return ErrFormat
	}

	// A file that is too short for its slices is more likely a class file than a damaged one.
	table := make([]byte, count*entry)
	if err := b.read(table, 8); err != nil {
		return ErrFormat
	}

	b.add("(universal header)", 0, uint64(8+len(table)))
	for ; len(table) > 0; table = table[entry:] {
		cpu := o.Uint32(table)
		offset, size := uint64(o.Uint32(table[8:])), uint64(o.Uint32(table[12:]))
		if entry == 32 {
			offset, size = o.Uint64(table[8:]), o.Uint64(table[16:])
		}
		if offset > uint64(b.size) || size > uint64(b.size)-offset || size == 0 {
			return ErrFormat
		}

		// A slice of an unknown machine is still told from the others.
		name, ok := machoArch[cpu]
		if !ok {
			name = fmt.Sprintf("cpu %d.%d", cpu, o.Uint32(table[4:])&0xffffff)
		}
		b.Slices = append(b.Slices, Section{Name: name, Offset: int64(offset), Size: int64(size)})
		b.add("(slice "+name+")", offset, size)
	}
	return nil
}
