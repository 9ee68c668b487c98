package explain

import (
	"bytes"
	"encoding/binary"
)

// codePair compares the instructions of functions of two programs.
type codePair struct {
	a, b *loadedProgram
	// anyData has all references to data be the same. Which section a variable of another package
	// is in depends on how that package initializes it.
	anyData bool
}

// compare returns stateSame if the instructions are equal, or differ only in references to the same
// thing.
func (p *codePair) compare(a, b []byte, fa, fb *function) state {
	if bytes.Equal(a, b) {
		return stateSame
	}
	if p.a.arch == p.b.arch && p.a.arch == "wasm" {
		// Operands take as many bytes as they need.
		if bytes.Equal(wasmCode(a), wasmCode(b)) {
			return stateSame
		}
	}

	// References have a fixed size on all other machines.
	if len(a) != len(b) {
		return stateResized
	}
	if p.a.arch != p.b.arch {
		return stateChanged
	}

	same := false
	switch p.a.arch {
	case "amd64", "386":
		same = p.x86(a, b, p.a.text+fa.start, p.b.text+fb.start)
	case "wasm":
	default:
		same = p.fixed(a, b, p.a.text+fa.start, p.b.text+fb.start)
	}

	if same {
		return stateSame
	}
	return stateChanged
}

// sameTarget reports whether two addresses lead to the same thing.
func (p *codePair) sameTarget(a, b uint64) bool {
	ta, okA := p.a.resolve(a)
	tb, okB := p.b.resolve(b)
	return okA && okB && (ta == tb || p.anyData && !ta.function && !tb.function)
}

// x86 compares instructions of amd64 and 386 without decoding them. Where they differ, four bytes
// must be an operand: of a call or jump, of an instruction that addresses memory relative to the
// next one (amd64), or an address (386).
func (p *codePair) x86(a, b []byte, startA, startB uint64) bool {
	free := 0 // bytes from here are not part of an operand
	for i := 0; i < len(a); i++ {
		if a[i] == b[i] {
			continue
		}
		found := false
		// An operand begins where it differs if its low byte does.
		for at := i; at >= max(free, i-3) && !found; at-- {
			if at+4 <= len(a) && p.operand(a, b, at, startA, startB) {
				i, free, found = at+3, at+4, true
			}
		}

		if !found {
			return false
		}
	}
	return true
}

// operand reports whether the four bytes at an index are an operand that leads to
// the same thing in both.
func (p *codePair) operand(a, b []byte, at int, startA, startB uint64) bool {
	va, vb := binary.LittleEndian.Uint32(a[at:]), binary.LittleEndian.Uint32(b[at:])
	wrap := func(x uint64) uint64 { return x }
	if p.a.arch == "386" {
		wrap = func(x uint64) uint64 { return uint64(uint32(x)) }
	}

	// Calls and jumps count from the end of their operand.
	ta := wrap(startA + uint64(at) + 4 + uint64(int64(int32(va))))
	tb := wrap(startB + uint64(at) + 4 + uint64(int64(int32(vb))))
	if at >= 1 && a[at-1] == b[at-1] {
		op := a[at-1]
		call := op == 0xe8 || op == 0xe9
		jump := at >= 2 && op&0xf0 == 0x80 && a[at-2] == 0x0f && b[at-2] == 0x0f
		relative := p.a.arch == "amd64" && op&0xc7 == 0x05 // ModRM: 32 bits from the next instruction
		if (call || jump || relative) && p.sameTarget(ta, tb) {
			return true
		}

		// An immediate operand of up to four bytes may follow, and so the next
		// instruction is further on: behind the end of a section, for instance.
		if relative && p.sameTarget(ta+4, tb+4) {
			return true
		}
	}

	return p.a.arch == "386" && p.sameTarget(uint64(va), uint64(vb))
}

// fixed compares instructions of the other machines, which take two, four or six bytes.
func (p *codePair) fixed(a, b []byte, startA, startB uint64) bool {
	o := p.a.order
	m, paired := pairs[p.a.arch]
	var pages [32]int // arm64: where each register was last given the address of a page
	for i := range pages {
		pages[i] = -1000
	}

	high := 0 // how many instructions from here may have the lower half of an address
	for i := 0; i < len(a); {
		n := length(p.a.arch, a[i:])
		if n > len(a)-i {
			return bytes.Equal(a[i:], b[i:])
		}

		same := bytes.Equal(a[i:i+n], b[i:i+n])
		addrA, addrB := startA+uint64(i), startB+uint64(i)
		var wa, wb uint32
		if n == 4 {
			wa, wb = o.Uint32(a[i:]), o.Uint32(b[i:])
		}

		// Only instructions that can hold a reference may differ.
		switch {
		case p.a.arch == "s390x":
			same = same || n == 6 && p.s390x(a[i:i+n], b[i:i+n], addrA, addrB)
		case n != 4:
		case p.a.arch == "arm64":
			if wa&0x9f000000 == 0x90000000 { // ADRP
				pages[wa&31] = i
			}
			same = same || p.arm64(wa, wb, addrA, addrB, i, &pages)
		case p.a.arch == "arm" && !same && wa>>24 == wb>>24 && wa>>25&7 == 5: // B, BL
			branch := func(w uint32, at uint64) uint64 { return at + 8 + uint64(int64(int32(w<<8)>>6)) }
			same = p.sameTarget(branch(wa, addrA), branch(wb, addrB))
		case p.a.arch == "arm": // constants stand between the instructions
			same = same || p.sameTarget(uint64(wa), uint64(wb))
		case paired:
			mask, first := m.high(wa)
			if !first && mask == 0 && high > 0 {
				mask = m.low(wa)
			}
			same = (wa^wb)&^mask == 0
			if high--; first {
				high = m.distance
			}
		}

		if !same {
			return false
		}
		i += n
	}

	return true
}

// length returns the number of bytes of an instruction.
func length(arch string, p []byte) int {
	switch arch {
	case "riscv64": // https://docs.riscv.org/reference/isa/unpriv/intro.html: compressed ones have two
		if p[0]&3 != 3 {
			return 2
		}
	case "s390x": // Principles of Operation, "Instruction Formats"
		return [4]int{2, 4, 4, 6}[p[0]>>6]
	}
	return 4
}

// s390x reports whether two instructions of six bytes with a relative operand
// (LARL, BRASL, BRCL; loads, stores and compares) refer to the same thing.
func (p *codePair) s390x(a, b []byte, addrA, addrB uint64) bool {
	switch op, sub := a[0], a[1]&15; {
	case op == 0xc0 && (sub == 0 || sub == 4 || sub == 5), op == 0xc4, op == 0xc6:
	default:
		return false
	}
	if a[0] != b[0] || a[1] != b[1] {
		return false
	}
	to := func(p []byte, at uint64) uint64 { return at + uint64(2*int64(int32(binary.BigEndian.Uint32(p[2:])))) }
	return p.sameTarget(to(a, addrA), to(b, addrB))
}

// arm64 reports whether two instructions refer to the same thing.
func (p *codePair) arm64(wa, wb uint32, addrA, addrB uint64, at int, pages *[32]int) bool {
	const near = 16 * 4 // bytes from an ADRP to the instruction that completes the address

	switch {
	case wa>>26 == wb>>26 && (wa>>26 == 0x25 || wa>>26 == 0x05): // BL, B
		branch := func(w uint32, at uint64) uint64 { return at + uint64(int64(int32(w<<6)>>4)) }
		return p.sameTarget(branch(wa, addrA), branch(wb, addrB))
	case wa&0x9f00001f == wb&0x9f00001f && wa&0x9f000000 == 0x90000000: // ADRP
		page := func(w uint32, at uint64) uint64 {
			n := int64(int32(w<<8)>>13<<2) | int64(w>>29&3)
			return at&^0xfff + uint64(n<<12)
		}

		// The page may begin before the section that the address is in.
		pa, pb := page(wa, addrA), page(wb, addrB)
		for _, d := range [][2]uint64{{0, 0}, {0xfff, 0xfff}, {0, 0xfff}, {0xfff, 0}} {
			ta, okA := p.a.resolve(pa + d[0])
			tb, okB := p.b.resolve(pb + d[1])
			if okA && okB && ta.function == tb.function && (ta.function || ta == tb || p.anyData) {
				return true
			}
		}
		return false
	case (wa^wb)&^0x003ffc00 == 0: // nothing but the immediate of ADD, LDR, STR
		add := wa&0x7f800000 == 0x11000000
		memory := wa&0x3b000000 == 0x39000000
		return (add || memory) && at-pages[wa>>5&31] <= near
	}

	return false
}

// pairing says which bits of instructions refer to something: the operands of calls, and of pairs
// of instructions that make an address.
type pairing struct {
	// high returns the bits of a call or of the first of a pair. It also reports whether the
	// instruction is the first of a pair.
	high func(w uint32) (mask uint32, first bool)
	// low returns the bits of the second of a pair. It is at most distance instructions further on.
	low      func(w uint32) uint32
	distance int
}

var pairs = map[string]pairing{
	"riscv64": {func(w uint32) (uint32, bool) {
		switch w & 0x7f {
		case 0x6f: // JAL
			return 0xfffff000, false
		case 0x17: // AUIPC
			return 0xfffff000, true
		}
		return 0, false
	}, func(w uint32) uint32 {
		switch w & 0x7f {
		case 0x23, 0x27: // stores
			return 0xfe000f80
		case 0x03, 0x07, 0x13, 0x1b, 0x67: // loads, ADDI, ADDIW, JALR
			return 0xfff00000
		}
		return 0
	}, 1},
	"ppc64": ppc64, "ppc64le": ppc64,
	"loong64": {func(w uint32) (uint32, bool) {
		switch {
		case w>>26 == 0x14, w>>26 == 0x15: // B, BL
			return 0x03ffffff, false
		case w>>25 == 0x0d: // PCALAU12I
			return 0x01ffffe0, true
		}
		return 0, false
	}, func(uint32) uint32 { return 0x003ffc00 }, 1},
	"mips": mips, "mipsle": mips, "mips64": mips, "mips64le": mips,
}

var ppc64 = pairing{func(w uint32) (uint32, bool) {
	switch w >> 26 {
	case 18: // B, BL
		return 0x03fffffc, false
	case 15: // ADDIS
		return 0x0000ffff, true
	}
	return 0, false
}, func(uint32) uint32 { return 0x0000ffff }, 1}

var mips = pairing{func(w uint32) (uint32, bool) {
	switch w >> 26 {
	case 2, 3: // J, JAL
		return 0x03ffffff, false
	case 15: // LUI
		return 0x0000ffff, true
	}
	return 0, false
}, func(w uint32) uint32 {
	if w>>26 == 0 { // an addition in between
		return 0
	}
	return 0x0000ffff
}, 2}

// wasmCode returns the instructions of a function without the operands of calls and without
// constants of 4096 and more, which may be addresses
// (https://webassembly.github.io/spec/core/binary/instructions.html). Bytes that it cannot decode
// stay as they are.
func wasmCode(body []byte) []byte {
	const firstAddress = 4096
	d := &leb{p: body}

	out := make([]byte, 0, len(body))
	for range d.number() { // locals
		d.number()
		d.skip(1)
		if d.bad {
			return body
		}
	}

	out = append(out, body[:d.at]...)
	for d.at < len(d.p) && !d.bad {
		start := d.at
		op := d.p[d.at]
		d.at++

		// An instruction takes one byte, and its operands follow.
		switch {
		case op == 0x10: // call
			d.number()
			out = append(out, op)
			continue
		case op == 0x41 || op == 0x42: // i32.const, i64.const
			if n := d.signed(); n >= firstAddress {
				out = append(out, op)
				continue
			}
		case op == 0x02 || op == 0x03 || op == 0x04: // block, loop, if
			d.signed()
		case op == 0x0c || op == 0x0d || op == 0xd2 || 0x20 <= op && op <= 0x26: // br, br_if, ref.func, variables and tables
			d.number()
		case op == 0x0e: // br_table
			for range d.number() {
				d.number()
				if d.bad {
					break
				}
			}
			d.number()
		case op == 0x11: // call_indirect
			d.number()
			d.number()
		case 0x28 <= op && op <= 0x3e: // loads and stores
			d.number()
			d.number()
		case op == 0x3f || op == 0x40: // memory.size, memory.grow
			d.skip(1)
		case op == 0x43: // f32.const
			d.skip(4)
		case op == 0x44: // f64.const
			d.skip(8)
		case op == 0xfc:
			switch sub := d.number(); {
			case sub == 8 || sub == 10 || sub == 12 || sub == 14:
				d.number()
				d.number()
			case sub > 7:
				d.number()
			}
		case op <= 0x01 || op == 0x05 || op == 0x0b || op == 0x0f || op == 0x1a || op == 0x1b || 0x45 <= op && op <= 0xc4:
		default:
			d.bad = true
		}

		// Without the length of one instruction, the start of the next one is unknown.
		if d.bad {
			return append(out, d.p[start:]...)
		}
		out = append(out, d.p[start:d.at]...)
	}

	return out
}

// leb reads numbers of the LEB128 encoding.
type leb struct {
	p   []byte
	at  int
	bad bool
}

func (d *leb) skip(n int) {
	if n > len(d.p)-d.at {
		n, d.bad = len(d.p)-d.at, true
	}
	d.at += n
}

func (d *leb) number() uint64 {
	n := uint64(0)
	for shift := 0; shift < 64 && d.at < len(d.p); shift += 7 {
		c := d.p[d.at]
		d.at++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	d.bad = true
	return 0
}

func (d *leb) signed() int64 {
	n := int64(0)
	for shift := 0; shift < 70 && d.at < len(d.p); {
		c := d.p[d.at]
		d.at++
		n |= int64(c&0x7f) << shift
		shift += 7
		if c < 0x80 {
			if c&0x40 != 0 && shift < 64 {
				n |= -1 << shift
			}
			return n
		}
	}
	d.bad = true
	return 0
}
