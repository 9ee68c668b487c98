package explain

import (
	"bytes"
	"encoding/binary"
)

// codePair compares the instructions of functions of two programs.
type codePair struct{ a, b *image }

// compare returns stateSame if the instructions are equal but for references to
// the same thing.
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
		same = p.words(a, b, p.a.text+fa.start, p.b.text+fb.start)
	}
	if same {
		return stateSame
	}
	return stateChanged
}

// sameTarget tells whether two addresses lead to the same thing.
func (p *codePair) sameTarget(a, b uint64) bool {
	ta, okA := p.a.resolve(a)
	tb, okB := p.b.resolve(b)
	return okA && okB && ta == tb
}

// x86 compares instructions of amd64 and 386 without decoding them: where they
// differ, four bytes must be the operand of a call or jump, or of an instruction
// that addresses memory relative to the next (amd64), or an address (386).
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

// operand tells whether the four bytes at an index are an operand that leads to
// the same thing in both.
func (p *codePair) operand(a, b []byte, at int, startA, startB uint64) bool {
	va, vb := binary.LittleEndian.Uint32(a[at:]), binary.LittleEndian.Uint32(b[at:])
	wrap := func(x uint64) uint64 { return x }
	if p.a.arch == "386" {
		wrap = func(x uint64) uint64 { return uint64(uint32(x)) }
	}
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

// words compares instructions of four bytes each.
func (p *codePair) words(a, b []byte, startA, startB uint64) bool {
	whole := len(a) &^ 3
	if !bytes.Equal(a[whole:], b[whole:]) {
		return false
	}
	mask := masks[p.a.arch]
	var pages [32]int // arm64: where each register was last given the address of a page
	for i := range pages {
		pages[i] = -1000
	}
	previous := uint32(0)
	for i := 0; i < whole; i += 4 {
		wa, wb := p.a.order.Uint32(a[i:]), p.b.order.Uint32(b[i:])
		same := wa == wb
		addrA, addrB := startA+uint64(i), startB+uint64(i)
		switch {
		case p.a.arch == "arm64":
			if wa&0x9f000000 == 0x90000000 { // ADRP
				pages[wa&31] = i
			}
			same = same || p.arm64(wa, wb, addrA, addrB, i, &pages)
		case same:
		case p.a.arch == "arm" && wa>>24 == wb>>24 && wa>>25&7 == 5: // B, BL
			branch := func(w uint32, at uint64) uint64 { return at + 8 + uint64(int64(int32(w<<8)>>6)) }
			same = p.sameTarget(branch(wa, addrA), branch(wb, addrB))
		case p.a.arch == "arm": // constants stand between the instructions
			same = p.sameTarget(uint64(wa), uint64(wb))
		case mask != nil:
			same = (wa^wb)&^mask(wa, previous) == 0
		}
		if !same {
			return false
		}
		previous = wa
	}
	return true
}

// arm64 tells whether two instructions refer to the same thing.
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
			if okA && okB && ta.function == tb.function && (ta.function || ta == tb) {
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

// masks return the bits of an instruction that refer to something, by machine:
// operands of calls, and of pairs of instructions that make an address. The
// second argument is the instruction before.
var masks = map[string]func(w, previous uint32) uint32{
	"riscv64": func(w, previous uint32) uint32 {
		switch w & 0x7f {
		case 0x6f, 0x17: // JAL, AUIPC
			return 0xfffff000
		}
		if previous&0x7f != 0x17 {
			return 0
		}
		if w&0x7f == 0x23 || w&0x7f == 0x27 { // stores
			return 0xfe000f80
		}
		return 0xfff00000
	},
	"ppc64":   ppc64Mask,
	"ppc64le": ppc64Mask,
	"loong64": func(w, previous uint32) uint32 {
		switch {
		case w>>26 == 0x14, w>>26 == 0x15: // B, BL
			return 0x03ffffff
		case w>>25 == 0x0d: // PCALAU12I
			return 0x01ffffe0
		case previous>>25 == 0x0d:
			return 0x003ffc00
		}
		return 0
	},
	"mips": mipsMask, "mipsle": mipsMask, "mips64": mipsMask, "mips64le": mipsMask,
	// Instructions have two, four or six bytes; six in those with an address
	// (LARL, BRASL and kin), so that the operand begins in the middle of a word.
	"s390x": func(w, previous uint32) uint32 {
		relative := func(op uint32) bool { return op>>8 == 0xc0 || op>>8 == 0xc4 || op>>8 == 0xc6 }
		switch {
		case relative(w >> 16):
			return 0x0000ffff
		case relative(previous >> 16):
			return 0xffff0000
		case relative(previous & 0xffff):
			return 0xffffffff
		}
		return 0
	},
}

func ppc64Mask(w, previous uint32) uint32 {
	switch {
	case w>>26 == 18: // B, BL
		return 0x03fffffc
	case w>>26 == 15: // ADDIS
		return 0x0000ffff
	case previous>>26 == 15:
		return 0x0000ffff
	}
	return 0
}

func mipsMask(w, previous uint32) uint32 {
	switch {
	case w>>26 == 2, w>>26 == 3: // J, JAL
		return 0x03ffffff
	case w>>26 == 15, previous>>26 == 15: // LUI
		return 0x0000ffff
	}
	return 0
}

// wasmCode returns the instructions of a function without the operands of calls
// and without constants of 4096 and more, which may be addresses
// (https://webassembly.github.io/spec/core/binary/instructions.html). What it
// cannot decode stays as it is.
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
