package inspect

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

// wasmFile holds the sections of a WebAssembly module.
type wasmFile struct {
	imports  []string // modules that functions are imported from
	bodies   []body   // of the functions
	producer string   // version of the Go that made it
}

// body is the place of a function's instructions in the file.
type body struct{ offset, size uint32 }

const (
	maxSegments = 100_000 // of data; Go's linker makes no more
	maxBodies   = 1 << 20
)

// readWasm reads the sections (https://webassembly.github.io/spec/core/binary/modules.html). A
// custom section is named by its own name. The others are named in parentheses, as the
// specification names them.
func (b *Binary) readWasm(head []byte) error {
	if len(head) < 8 || binary.LittleEndian.Uint32(head[4:]) != 1 {
		return errHeader
	}
	b.pointer = 8 // for Go, whose wasm port has 64-bit words
	b.add("(wasm header)", 0, 8)
	names := [...]string{"", "(type)", "(import)", "(function)", "(table)", "(memory)", "(global)", "(export)", "(start)", "(element)", "(code)", "(data)", "(data count)"}

	for at := int64(8); at < b.size; {
		d := decoder{b: b, at: at, end: b.size}
		kind, size := d.byte(), d.number()
		if d.err != nil || size > uint64(b.size-d.at) || int(kind) >= len(names) {
			return errHeader
		}

		// The next section starts where this one says it ends, whatever it holds.
		start, name := at, names[kind]
		at = d.at + int64(size)
		d.end = at
		if kind == 0 {
			name = d.name()
		}
		b.add(name, uint64(start), uint64(at-start))
		if len(b.Sections) > maxSections {
			return errSections
		}

		switch name {
		case "(import)":
			b.wasm.imports = d.imports()
		case "(code)":
			b.wasm.bodies = d.bodies()
		case "(data)":
			b.wasmData(&d)
		case "producers":
			b.wasm.producer = d.producer()
		}

		if d.err != nil {
			return d.err
		}
	}
	return nil
}

// wasmData adds the data segments of memory 0. A segment is placed by a constant number, or it is
// not placed until the program runs.
func (b *Binary) wasmData(d *decoder) {
	count := d.number()
	if count > maxSegments {
		d.err = errSections
		return
	}

	for range count {
		mode := d.number()
		if mode == 2 {
			d.number() // the memory
		}
		address := uint64(0)
		if mode != 1 {
			if d.byte() != 0x41 { // i32.const
				d.fail()
				return
			}
			address = uint64(uint32(d.signed()))
			if d.byte() != 0x0b { // end
				d.fail()
				return
			}
		}

		// A segment that is placed later has no address yet, and is only passed over.
		size := d.number()
		if mode > 2 || size > uint64(d.end-d.at) {
			d.fail()
		}
		if d.err != nil {
			return
		}

		if mode != 1 {
			b.mapped(address, uint64(d.at), size)
		}
		d.at += int64(size)
	}
}

// decoder reads the encoding of a module from at to end. After an error it
// returns zeros.
type decoder struct {
	b       *Binary
	at, end int64
	err     error
	buf     [4096]byte
	from    int64 // where the n bytes of buf stand in the file
	n       int64
}

func (d *decoder) fail() { d.err = cmp.Or(d.err, errHeader) }

func (d *decoder) byte() byte {
	if d.at >= d.end {
		d.fail()
	}
	if d.err != nil {
		return 0
	}
	if d.at < d.from || d.at >= d.from+d.n {
		d.from, d.n = d.at, min(int64(len(d.buf)), d.end-d.at)
		if d.err = d.b.read(d.buf[:d.n], d.from); d.err != nil {
			return 0
		}
	}
	c := d.buf[d.at-d.from]
	d.at++
	return c
}

// number reads an unsigned LEB128 number of at most 32 bits.
func (d *decoder) number() uint64 {
	n := uint64(0)
	for shift := 0; shift < 35; shift += 7 {
		c := d.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if n > 1<<32-1 {
				d.fail()
			}
			return n
		}
	}
	d.fail()
	return 0
}

// signed reads a signed LEB128 number of 32 bits.
func (d *decoder) signed() int32 {
	n := int64(0)
	for shift := 0; shift < 35; shift += 7 {
		c := d.byte()
		n |= int64(c&0x7f) << shift
		if c < 0x80 {
			if c&0x40 != 0 {
				n |= -1 << (shift + 7)
			}
			return int32(n)
		}
	}
	d.fail()
	return 0
}

// name reads a string. It returns the first bytes of a long string.
func (d *decoder) name() string {
	n := d.number()
	if n > uint64(d.end-d.at) {
		d.fail()
	}
	if d.err != nil {
		return ""
	}
	p := make([]byte, min(n, maxName))
	if d.err = d.b.read(p, d.at); d.err != nil {
		return ""
	}
	d.at += int64(n)
	return string(p)
}

// imports returns the modules that anything is imported from, in order.
func (d *decoder) imports() []string {
	var list []string
	for range d.number() {
		module, _ := d.name(), d.name()
		if len(list) < maxNeeded && !slices.Contains(list, module) {
			list = append(list, module)
		}

		switch kind := d.byte(); kind {
		case 0: // function
			d.number()
		case 1: // table
			d.byte()
			d.limits()
		case 2: // memory
			d.limits()
		case 3: // global
			d.byte()
			d.byte()
		default:
			d.fail()
		}

		if d.err != nil {
			return nil
		}
	}
	return list
}

func (d *decoder) limits() {
	flags := d.number()
	d.number()
	if flags&1 != 0 {
		d.number()
	}
}

func (d *decoder) bodies() []body {
	count := d.number()

	// A module is far smaller than 4 GiB: its addresses have 32 bits.
	if d.end > 1<<32-1 || count > maxBodies || count > uint64(d.end-d.at) {
		d.err = cmp.Or(d.err, errors.New("too many functions"))
	}
	if d.err != nil {
		return nil
	}

	// The count was checked, so it may decide about the allocation.
	list := make([]body, 0, count)
	for range count {
		size := d.number()
		if size > uint64(d.end-d.at) {
			d.fail()
		}
		if d.err != nil {
			return nil
		}
		list = append(list, body{uint32(d.at), uint32(size)})
		d.at += int64(size)
	}
	return list
}

// producer returns the version of the language Go, see
// https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md.
func (d *decoder) producer() string {
	version := ""
	for range min(d.number(), 16) {
		field := d.name()
		for range min(d.number(), 16) {
			name, v := d.name(), d.name()
			if field == "language" && name == "Go" {
				version = v
			}
		}
	}

	if d.err != nil {
		// It is for information only: the module is none the worse for it.
		d.err = nil
		return ""
	}
	return version
}
