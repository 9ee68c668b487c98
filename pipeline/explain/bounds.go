package explain

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// goString is a string of a program: a range of the file.
type goString struct {
	from, to int64
	hash     uint64
	// header is the address of the header in the data that delimits it, or 0 if only instructions do.
	header uint64
}

// goStrings are the strings of a program with their true ends.
//
// Go writes strings one after the other, without an end. Where one ends is known to whoever refers to
// it: a header in the data (an address and a length), or two instructions, of which one loads the
// address and the other the length. So bytes that nobody refers to as a string are none here: the
// letters of instructions, the names of types, and two constants that happen to be neighbours.
type goStrings struct {
	in      input
	blocks  []block
	list    []goString // by start, the longest first; none is part of the one before it
	pointer int        // bytes of an address
	known   bool       // that strings can be told apart in this file
	all     bool       // that all of the data was looked at
}

// block is data of the program in memory.
type block struct {
	span
	address uint64
	data    []byte
}

const (
	minString   = 3
	maxConstant = 1<<16 - 1 // bytes of a string that instructions refer to
	maxString   = 1 << 20   // and of one that a header does, such as an embedded file
	maxGoString = 1 << 18   // strings
	maxData     = 32 << 20
)

// reference is an address in the code, with the numbers that instructions around it load.
type reference struct {
	address uint64
	lengths [4]uint32
}

// readGoStrings reads the strings of a program. They are known for machines whose code is read, and
// for whatever is delimited in the data.
func readGoStrings(in input, bin *inspect.Binary, facts *inspect.Facts) (*goStrings, error) {
	g := &goStrings{in: in, all: true}
	left := int64(maxData)
	for _, s := range bin.Sections {
		if !dataSections[s.Name] || s.Address == 0 {
			continue
		}
		n := min(s.Size, left)
		left -= n
		g.all = g.all && n == s.Size
		data := make([]byte, n)
		if k, err := in.ReadAt(data, s.Offset); int64(k) < n {
			return g, fmt.Errorf("read strings: %w", err)
		}
		g.blocks = append(g.blocks, block{span{s.Name, s.Offset, n}, s.Address, data})
	}
	slices.SortStableFunc(g.blocks, func(x, y block) int { return cmp.Compare(x.address, y.address) })
	if len(g.blocks) == 0 || facts.Bits == 0 {
		return g, nil
	}

	g.pointer = facts.Bits / 8
	starts := g.headers(orderOf(facts), g.pointer)
	if err := g.relocations(bin, orderOf(facts), g.pointer); err != nil {
		return g, err
	}
	if err := g.code(bin, facts.GOARCH, starts); err != nil {
		return g, err
	}

	slices.SortStableFunc(g.list, func(x, y goString) int {
		return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(y.to, x.to))
	})
	end := int64(-1)
	g.list = slices.DeleteFunc(g.list, func(s goString) bool {
		if s.to <= end {
			return true // a part of the one before it
		}
		end = s.to
		return false
	})
	g.known = len(g.list) > 0
	return g, nil
}

func orderOf(facts *inspect.Facts) binary.ByteOrder {
	if facts.ByteOrder == "big" {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// at returns the block that an address is in, and the place in it.
func (g *goStrings) at(address uint64) (*block, int64) {
	i := sort.Search(len(g.blocks), func(i int) bool { return g.blocks[i].address > address }) - 1
	if i < 0 || address-g.blocks[i].address >= uint64(len(g.blocks[i].data)) {
		return nil, 0
	}
	return &g.blocks[i], int64(address - g.blocks[i].address)
}

// text returns the bytes at an address, and where they are in the file, if they are text of at least
// some bytes.
func (g *goStrings) text(address, length, least uint64) (p []byte, from int64) {
	if length < least || length > maxString {
		return nil, 0
	}
	b, at := g.at(address)
	if b == nil || int64(length) > int64(len(b.data))-at {
		return nil, 0
	}
	p = b.data[at : at+int64(length)]
	if !isGoText(p) {
		return nil, 0
	}
	return p, b.offset + at
}

// isGoText reports whether a string is meant for people: UTF-8, with no control characters but those
// of texts.
func isGoText(p []byte) bool {
	for i := 0; i < len(p); {
		if c := p[i]; c < utf8.RuneSelf {
			if !printable(c) && c != '\n' && c != '\t' {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError && n == 1 {
			return false
		}
		i += n
	}
	return true
}

func (g *goStrings) add(p []byte, from int64, header uint64) {
	if len(g.list) == maxGoString {
		g.all = false
		return
	}
	g.list = append(g.list, goString{from, from + int64(len(p)), chunkHash(p), header})
}

const headerCost = 256 // bytes of text that looking at a header counts as

// headers adds the strings that headers in the data delimit. It returns where any of the addresses in
// the data lead to.
func (g *goStrings) headers(order binary.ByteOrder, pointer int) map[uint64]bool {
	starts := map[uint64]bool{}
	budget := int64(4 * maxScanned) // strings may overlap
	for _, b := range g.blocks {
		first := int(-b.address & uint64(pointer-1))
		for i := first; i+2*pointer <= len(b.data); i += pointer {
			address := word(b.data[i:], order, pointer)
			if in, _ := g.at(address); in == nil {
				continue
			}
			if len(starts) < maxGoString {
				starts[address] = true
			}
			if budget -= headerCost; budget < 0 {
				g.all = false
				return starts
			}
			if p, from := g.text(address, word(b.data[i+pointer:], order, pointer), minString); p != nil {
				budget -= int64(len(p))
				g.add(p, from, b.address+uint64(i))
			}
		}
	}
	return starts
}

// relocations adds the strings of a position-independent ELF program. There the address of a header
// is in the relocations (R_*_RELATIVE), and only its length in the data.
func (g *goStrings) relocations(bin *inspect.Binary, order binary.ByteOrder, pointer int) error {
	const entry, relativeAMD64, relativeARM64 = 24, 8, 1027
	if bin.Format != inspect.ELF || pointer != 8 {
		return nil
	}
	budget := int64(4 * maxScanned)
	for _, s := range bin.Sections {
		if s.Name != ".rela" && s.Name != ".rela.dyn" {
			continue
		}

		buf := make([]byte, min(s.Size, 16<<20)/entry*entry)
		if n, err := g.in.ReadAt(buf, s.Offset); n < len(buf) {
			return fmt.Errorf("read strings: %w", err)
		}
		for ; len(buf) > 0 && budget > 0; buf = buf[entry:] {
			if kind := order.Uint32(buf[8:]); kind != relativeAMD64 && kind != relativeARM64 {
				continue
			}
			budget -= headerCost
			b, at := g.at(order.Uint64(buf) + uint64(pointer))
			if b == nil || at+int64(pointer) > int64(len(b.data)) {
				continue
			}
			if p, from := g.text(order.Uint64(buf[16:]), order.Uint64(b.data[at:]), minString); p != nil {
				budget -= int64(len(p))
				g.add(p, from, order.Uint64(buf))
			}
		}
	}
	return nil
}

// codeReaders find references in the code of a machine. base is the address of p.
var codeReaders = map[string]func(p []byte, base uint64, found func(reference)){
	"amd64": amd64References, "arm64": arm64References,
}

// window is how many bytes of code around a reference are looked at.
const window = 32

// code adds the strings that instructions refer to. One counts if it ends where another one begins,
// or where no text follows: else the number may be another one than its length.
func (g *goStrings) code(bin *inspect.Binary, arch string, starts map[uint64]bool) error {
	read, ok := codeReaders[arch]
	if !ok {
		return nil
	}

	var refs []reference
	left := int64(maxScanned)
	for _, s := range bin.Sections {
		if s.Name != ".text" && s.Name != "__TEXT,__text" || s.Address == 0 {
			continue
		}
		n := min(s.Size, left)
		left -= n
		buf := make([]byte, min(bufferSize+2*window, n))
		for at := int64(0); at < n; at += bufferSize {
			p := buf[:min(int64(len(buf)), n-at)]
			if k, err := g.in.ReadAt(p, s.Offset+at); k < len(p) {
				return fmt.Errorf("read strings: %w", err)
			}
			read(p, s.Address+uint64(at), func(r reference) {
				if in, _ := g.at(r.address); in != nil && len(refs) < 2*maxGoString {
					starts[r.address] = true
					refs = append(refs, r)
				}
			})
		}
	}

	for _, r := range refs {
		for _, length := range r.lengths {
			p, from := g.text(r.address, uint64(length), minString)
			if p == nil || length > maxConstant {
				continue
			}
			b, end := g.at(r.address + uint64(length))
			if b == nil || starts[r.address+uint64(length)] || !printable(b.data[end]) {
				g.add(p, from, 0)
				break
			}
		}
	}
	return nil
}

// amd64References finds LEA of an address relative to the next instruction, and loads of a constant
// around it: MOV of 32 bits to a register or to memory.
func amd64References(p []byte, base uint64, found func(reference)) {
	for i := 0; i+7 <= len(p); i++ {
		if p[i]&0xfb != 0x48 || p[i+1] != 0x8d || p[i+2]&0xc7 != 0x05 {
			continue
		}
		r := reference{address: base + uint64(i) + 7 + uint64(int64(int32(binary.LittleEndian.Uint32(p[i+3:]))))}
		n := 0
		add := func(at int) {
			if at+4 <= len(p) && n < len(r.lengths) {
				r.lengths[n] = binary.LittleEndian.Uint32(p[at:])
				n++
			}
		}

		// What follows is looked at first: the length is mostly loaded after the address.
		scan := func(from, to int) {
			for k := max(from, 0); k < min(to, len(p)-4); k++ {
				op, next, sib := p[k], p[k+1], p[k+2] == 0x24 // RSP and no index
				switch {
				case op&0xf8 == 0xb8 && p[k+3] == 0 && p[k+4] == 0: // MOV r32, imm32
					add(k + 1)
				case op == 0xc7 && next&0xf8 == 0xc0: // MOV r64, imm32
					add(k + 2)
				case op == 0xc7 && next == 0x44 && sib: // MOV [RSP+d8], imm32
					add(k + 4)
				case op == 0xc7 && next&0xf8 == 0x40 && next != 0x44: // MOV [r+d8], imm32
					add(k + 3)
				case op == 0xc7 && next == 0x84 && sib: // MOV [RSP+d32], imm32
					add(k + 7)
				}
			}
		}
		scan(i+7, i+7+window)
		scan(i-window/2, i)
		found(r)
	}
}

// arm64References finds pairs of ADRP and ADD, and loads of a constant around them.
func arm64References(p []byte, base uint64, found func(reference)) {
	word := func(at int) uint32 { return binary.LittleEndian.Uint32(p[at:]) }
	first := int(-base & 3)
	for i := first; i+8 <= len(p); i += 4 {
		high, low := word(i), word(i+4)
		register := high & 31
		if high&0x9f000000 != 0x90000000 || low&0xffc00000 != 0x91000000 || low&31 != register || low>>5&31 != register {
			continue
		}

		pages := int64(int32(high<<8)>>13<<2) | int64(high>>29&3)
		r := reference{address: (base+uint64(i))&^0xfff + uint64(pages<<12) + uint64(low>>10&0xfff)}
		n := 0
		scan := func(from, to int) {
			for k := max(from, first); k+4 <= min(to, len(p)) && n < len(r.lengths); k += 4 {
				if v, ok := arm64Constant(word(k)); ok {
					r.lengths[n] = v
					n++
				}
			}
		}
		scan(i+8, i+8+window)
		scan(i-window/2, i)
		found(r)
	}
}

// arm64Constant returns the number that an instruction loads: MOVZ, or ORR of the zero register and a
// run of ones.
func arm64Constant(w uint32) (uint32, bool) {
	if w&0x7fe00000 == 0x52800000 { // MOVZ without a shift
		return w >> 5 & 0xffff, true
	}

	ones := bits.RotateLeft64(1<<(w>>10&63+1)-1, -int(w>>16&63))
	switch {
	case w&0xffc003e0 == 0xb24003e0: // ORR x, xzr, #imm of 64 bits
		return uint32(ones), ones <= maxConstant
	case w&0xffe083e0 == 0x320003e0: // ORR w, wzr, #imm of 32 bits
		n := bits.RotateLeft32(1<<(w>>10&31+1)-1, -int(w>>16&31))
		return n, n <= maxConstant
	}
	return 0, false
}

// ends returns where strings begin and end between two places of the file, sorted.
func (g *goStrings) ends(from, to int64) []int64 {
	if g == nil {
		return nil
	}
	i := sort.Search(len(g.list), func(i int) bool { return g.list[i].to > from })
	var cuts []int64
	for ; i < len(g.list) && g.list[i].from < to; i++ {
		for _, at := range []int64{g.list[i].from, g.list[i].to} {
			if at > from && at < to {
				cuts = append(cuts, at)
			}
		}
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// holds reports whether a text is anywhere in the data.
func (g *goStrings) holds(text []byte) bool {
	return slices.ContainsFunc(g.blocks, func(b block) bool { return bytes.Contains(b.data, text) })
}

// dataText is a string that only one program has.
type dataText struct {
	text, section string
	header        uint64 // see [goString]
	name          string // of the variable, or empty
}

// only returns the strings that the other program does not have. all is false if there are more.
func (g *goStrings) only(o *goStrings, explained func(string) bool) (list []dataText, all bool) {
	hashes := make([]uint64, len(o.list))
	for i, s := range o.list {
		hashes[i] = s.hash
	}
	slices.Sort(hashes)

	seen := map[string]bool{}
	budget := int64(1 << 30) // bytes that are searched
	for _, s := range g.list {
		if _, ok := slices.BinarySearch(hashes, s.hash); ok {
			continue
		}
		text, section := g.read(s)
		if seen[text] || !hasWord(text) || explained(text) {
			continue
		}

		// A short text is found anywhere. So it has to be one that both would delimit in the data.
		if len(text) < minRun && s.header == 0 {
			continue
		}
		if len(text) >= minRun {
			if budget -= o.size(); budget < 0 || len(list) == maxListed {
				return list, false
			}
			if o.holds([]byte(text)) {
				continue
			}
		}
		seen[text] = true
		list = append(list, dataText{text, section, s.header, ""})
	}
	return list, true
}

// symbols calls f with the symbols of a program that have a name of a package, in the order of the file.
func symbols(in input, b *inspect.Binary, order binary.ByteOrder, f func(name []byte, address uint64)) error {
	// Both formats have an index into the table of names first, and the address in the second word.
	entry, prefix := 0, ""
	var table, names inspect.Section
	for _, s := range b.Sections {
		switch s.Name {
		case ".symtab":
			entry, table = 24, s
		case "(symbol table)":
			entry, prefix, table = 16, "_", s
		case ".strtab", "(string table)":
			names = s
		}
	}
	if entry == 0 || b.Format != inspect.ELF && b.Format != inspect.MachO {
		return nil
	}

	texts := make([]byte, min(names.Size, 16<<20))
	if n, err := in.ReadAt(texts, names.Offset); n < len(texts) {
		return fmt.Errorf("read symbols: %w", err)
	}
	buf := make([]byte, bufferSize/48*48)
	for at := int64(0); at+int64(entry) <= min(table.Size, maxScanned); at += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), table.Size-at)]
		if n, err := in.ReadAt(p, table.Offset+at); n < len(p) {
			return fmt.Errorf("read symbols: %w", err)
		}
		for ; len(p) >= entry; p = p[entry:] {
			start := int64(order.Uint32(p))
			if start >= int64(len(texts)) {
				continue
			}
			name := texts[start:min(start+256, int64(len(texts)))]
			end := bytes.IndexByte(name, 0)
			if name = bytes.TrimPrefix(name[:max(end, 0)], []byte(prefix)); bytes.IndexByte(name, '.') > 0 {
				f(name, order.Uint64(p[8:]))
			}
		}
	}
	return nil
}

// nameVariables adds the names of variables, from the symbols at the addresses of their headers.
func nameVariables(s textSource, list []dataText) error {
	places := map[uint64][]int{}
	for i, x := range list {
		if x.header != 0 {
			places[x.header] = append(places[x.header], i)
		}
	}
	if len(places) == 0 {
		return nil
	}
	return symbols(s.in, s.bin, s.order, func(name []byte, address uint64) {
		for _, i := range places[address] {
			list[i].name = cut(string(name))
		}
	})
}

// valuesOf returns the values of variables, by their names.
func valuesOf(s textSource, names map[string]bool) (map[string]string, error) {
	values := map[string]string{}
	if len(names) == 0 {
		return values, nil
	}
	at := map[uint64]string{}
	err := symbols(s.in, s.bin, s.order, func(name []byte, address uint64) {
		if names[string(name)] {
			at[address] = string(name)
		}
	})
	for address, name := range at {
		values[name] = s.known.valueAt(address, s.order)
	}
	return values, err
}

// valueAt returns the text of the string whose header is at an address, or nothing.
func (g *goStrings) valueAt(address uint64, order binary.ByteOrder) string {
	b, at := g.at(address)
	if b == nil || at+int64(2*g.pointer) > int64(len(b.data)) {
		return ""
	}
	head := b.data[at:]
	p, _ := g.text(word(head, order, g.pointer), word(head[g.pointer:], order, g.pointer), 1)
	return string(p)
}

// word reads a word of a pointer's size.
func word(p []byte, order binary.ByteOrder, pointer int) uint64 {
	if pointer == 4 {
		return uint64(order.Uint32(p))
	}
	return order.Uint64(p)
}

// holdsString reports whether a text is in one of the strings.
func (g *goStrings) holdsString(text string) bool {
	return slices.ContainsFunc(g.list, func(s goString) bool {
		whole, _ := g.read(s)
		return strings.Contains(whole, text)
	})
}

func (g *goStrings) size() (n int64) {
	for _, b := range g.blocks {
		n += int64(len(b.data))
	}
	return n
}

// read returns a string and the section that it is in.
func (g *goStrings) read(s goString) (text, section string) {
	for _, b := range g.blocks {
		if s.from >= b.offset && s.to <= b.offset+int64(len(b.data)) {
			return string(b.data[s.from-b.offset : s.to-b.offset]), b.name
		}
	}
	return "", ""
}

// hasWord reports whether a text has two letters or digits in a row.
func hasWord(s string) bool {
	n := 0
	for _, r := range s {
		if isDigit(byte(r)) && r < utf8.RuneSelf || 'a' <= r|0x20 && r|0x20 <= 'z' || r >= utf8.RuneSelf {
			if n++; n == 2 {
				return true
			}
			continue
		}
		n = 0
	}
	return false
}
