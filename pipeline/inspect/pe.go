package inspect

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// peFile holds the headers of a PE file.
type peFile struct {
	machine, characteristics uint16 // of the COFF header
	dll                      uint16 // DllCharacteristics
	checksumAt               int64
	securityAt               int64 // of the directory entry, 0 if there is none
	base                     uint64
	imports                  uint64 // address of the import directory
	symbols                  bool
	end                      int64 // of the last section or table but the certificates
}

// Flags of peFile.
const (
	peDLL          = 0x2000 // characteristics
	peHighEntropy  = 0x20   // dll, as the rest
	peDynamicBase  = 0x40
	peNX           = 0x100
	peSymbolSize   = 18
	peSectionEntry = 40
)

// readPE reads the section table
// (https://learn.microsoft.com/en-us/windows/win32/debug/pe-format).
func (b *Binary) readPE(head []byte) error {
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
	symbols, symbolsSize := uint64(o.Uint32(coff[12:])), peSymbolSize*uint64(o.Uint32(coff[16:]))
	optional := make([]byte, o.Uint16(coff[20:]))
	if err := b.read(optional, at+24); err != nil {
		return err
	}

	if len(optional) < 72 {
		return errHeader
	}
	if count > maxSections {
		return errSections
	}
	table := make([]byte, peSectionEntry*count)
	if err := b.read(table, at+24+int64(len(optional))); err != nil {
		return err
	}
	f := peFile{machine: o.Uint16(coff[4:]), characteristics: o.Uint16(coff[22:]), dll: o.Uint16(optional[70:]), checksumAt: at + 24 + 64, symbols: symbolsSize > 0}
	b.add("(PE headers)", 0, uint64(o.Uint32(optional[60:])))
	b.add("(time stamp)", uint64(at)+8, 4)
	b.add("(check sum)", uint64(f.checksumAt), 4)

	directories := 96
	b.pointer, f.base = 4, uint64(o.Uint32(optional[28:]))
	if o.Uint16(optional) == 0x20b { // PE32+
		directories = 112
		b.pointer, f.base = 8, o.Uint64(optional[24:])
	}
	const imports, security = 1, 4 // of which the latter's address is an offset in the file
	if d := directories + 8*imports; len(optional) >= d+8 && o.Uint32(optional[d:]) != 0 {
		f.imports = f.base + uint64(o.Uint32(optional[d:]))
	}
	if d := directories + 8*security; len(optional) >= d+8 {
		f.securityAt = at + 24 + int64(d)
		b.add("(certificates)", uint64(o.Uint32(optional[d:])), uint64(o.Uint32(optional[d+4:])))
	}

	// The end of what the headers name tells where a signature may begin.
	end := uint64(0)
	if symbols > 0 {
		b.add("(symbol table)", symbols, symbolsSize)
		var length [4]byte
		if b.readTable(length[:], symbols+symbolsSize) == nil {
			end = symbols + symbolsSize + uint64(o.Uint32(length[:]))
		}
	}

	for h := table; len(h) > 0; h = h[peSectionEntry:] {
		name := cstring(h[:8])
		// A long name is a slash and a decimal offset in the string table, which
		// follows the symbols.
		if n, err := strconv.ParseUint(strings.TrimPrefix(name, "/"), 10, 32); err == nil && name[0] == '/' && symbols > 0 {
			name = b.nameAt(symbols + symbolsSize + n)
		}

		word := func(i int) uint64 { return uint64(o.Uint32(h[i:])) }
		virtualSize, address, size, offset := word(8), f.base+word(12), word(16), word(20)
		b.addAt(name, offset, size, address, strings.HasPrefix(name, ".zdebug_"))
		b.mapped(address, offset, min(size, virtualSize))
		end = max(end, offset+size)
	}

	f.end = int64(min(end, uint64(b.size)))
	b.pe = f
	return nil
}

// libraries returns the names in the import directory.
func (b *Binary) libraries() []string {
	var list []string
	if b.pe.imports == 0 {
		return nil
	}

	for at := b.pe.imports; len(list) < maxNeeded; at += 20 {
		var entry [20]byte
		if b.load(entry[:], at) != nil {
			break
		}
		name := binary.LittleEndian.Uint32(entry[12:])
		if name == 0 {
			break
		}
		list = append(list, b.stringAt(b.pe.base+uint64(name)))
	}
	return list
}
