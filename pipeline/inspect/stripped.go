package inspect

import (
	"bytes"
	"slices"
	"strings"
)

// Stripped reports whether a tool such as strip may have made a from b. Then a loads the code and
// the data of b at the same addresses, and has nothing else except headers, tables and symbols.
// Such tools write these anew, so they are not compared. So the answer is no reason to call a and b
// the same, but it is one not to call a another program.
//
// An error means that b could not be read.
func Stripped(a, b *Binary) (bool, error) {
	if a.Format != b.Format || !a.sameStart(b) || !a.addsNothing(b) {
		return false, nil
	}
	loaded := false
	for _, s := range b.Sections {
		if s.Address == 0 || unloaded(s.Name) {
			continue
		}
		if same, err := a.holds(b, s); err != nil || !same {
			return false, err
		}
		loaded = true
	}
	return loaded, nil
}

// holds reports whether b has the content of a section of other at the same address.
func (b *Binary) holds(other *Binary, s Section) (bool, error) {
	size := s.Size
	if i := other.mappingAt(s.Address); i >= 0 { // of PE files the last bytes are none of the program
		size = min(size, other.maps[i].size-int64(s.Address-other.maps[i].address))
	}
	p, q := make([]byte, 64<<10), make([]byte, 64<<10)

	for at := int64(0); at < size; {
		n := min(int64(len(p)), size-at)
		if err := other.read(p[:n], s.Offset+at); err != nil {
			return false, err
		}
		if b.load(q[:n], s.Address+uint64(at)) != nil || !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
		at += n
	}
	return true, nil
}

// sameStart reports whether ELF files are loaded and started in the same way. It looks
// at the segments, as the sections may have been removed.
func (b *Binary) sameStart(other *Binary) bool {
	if b.Format != ELF {
		return true
	}
	loads := func(b *Binary) (list []prog) {
		for _, p := range b.elf.progs {
			if p.kind == ptLoad || p.kind == ptInterp {
				p.size = 0 // strip leaves zeros at the end out
				list = append(list, p)
			}
		}
		return list
	}
	x, y := b.elf, other.elf
	return x.kind == y.kind && x.machine == y.machine && x.entry == y.entry && b.pointer == other.pointer && slices.Equal(loads(b), loads(other))
}

// addsNothing reports whether b has no sections that other lacks, except those that tools
// add, and no bytes behind the ranges that its headers name.
func (b *Binary) addsNothing(other *Binary) bool {
	names := map[string]bool{}
	for _, s := range other.Sections {
		names[s.Name] = true
	}
	end := int64(0)

	for _, s := range b.Sections {
		if !names[s.Name] && !unloaded(s.Name) {
			return false
		}
		end = max(end, s.Offset+s.Size)
	}

	// Bytes behind everything that the headers name could hold anything.
	for _, m := range b.maps {
		end = max(end, m.offset+m.size)
	}
	if b.Format != PE {
		return end == b.size
	}
	end = max(end, b.pe.end) // with the string table, and then zeros up to a multiple
	rest := make([]byte, min(b.size-end, peAlignment))
	return b.read(rest, end) == nil && end+int64(len(rest)) == b.size && len(bytes.Trim(rest, "\x00")) == 0
}

// peAlignment divides the size of a PE file: tools fill the file up to a multiple of it.
const peAlignment = 512

// unloaded reports whether a section of this name holds symbols, debug information, or
// names of these.
func unloaded(name string) bool {
	switch name {
	case ".symtab", ".strtab", ".shstrtab", ".gnu_debuglink", "(section headers)", "(symbol table)", "(string table)", "(code signature)":
		return true
	}
	return strings.HasPrefix(name, ".debug_") || strings.HasPrefix(name, ".zdebug_") || strings.HasPrefix(name, "__DWARF,")
}
