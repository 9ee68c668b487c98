package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
)

// Function is a function of a program, as its runtime knows it.
type Function struct {
	// Name is the symbol's name, "example.com/m/pkg.(*T).Method"; see [PackageOf]. A name of more
	// than 4096 bytes is cut.
	Name string
	// Offset is where its instructions start in the file. It is -1 if that is unknown.
	Offset int64
	// Start is where they start in the program, in bytes from the start of Go's
	// code (runtime.text). In WebAssembly it is the number of the function among
	// those with a body.
	Start uint64
	// Size is the size in bytes, padding included.
	Size int64
	// Table is the number of bytes that the function tables of the runtime need
	// for it alone, its name included.
	Table int64
	// Line is where it starts in its source file. It is 0 if the table does not say it.
	Line int
	// Inlines reports whether code of other functions may be among its instructions.
	Inlines bool
}

// ErrNoFunctions is the error about a program that has no table of functions. It is no Go
// program, or one of Go 1.1 and earlier.
var ErrNoFunctions = errors.New("no function table of Go")

var errTable = errors.New("read function table: it contradicts itself")

const maxSymbol = 4096 // bytes of a function's name

// pclntab is the table of functions that every Go program needs to run. So stripped programs have
// it as well. The format is that of Go 1.12 to 1.27, see runtime.pcHeader and debug/gosym in the Go
// tree.
type pclntab struct {
	r       io.ReaderAt
	size    int64  // of the section; more than the table if it has none of its own
	owned   bool   // whether it has
	address uint64 // where it is loaded
	order   binary.ByteOrder
	pointer int
	layout  layout

	count                           int64 // of functions
	text                            uint64
	names, units, files, pcs, funcs int64 // offsets of the parts
	end                             int64 // of the records that were read
}

const (
	magic12  = 0xfffffffb // Go 1.2 to 1.15
	magic116 = 0xfffffffa // Go 1.16 and 1.17
	magic118 = 0xfffffff0 // Go 1.18 and 1.19
	magic120 = 0xfffffff1 // Go 1.20 and later
)

// layout is what differs between the versions of the table.
type layout struct {
	// header is the number of words of a pointer's size behind the magic.
	header int
	// parts is the first of those words that is the offset of a part. The parts follow each other
	// in the order of the header. Without parts, all offsets count from the start of the table.
	parts int
	// absolute reports whether functions are given by address. Then their starts and the references
	// to their data have a pointer's size, and 4 bytes otherwise.
	absolute bool
	// record is the number of 4-byte words of a function's record, without its start.
	record int64
	// line reports whether a record has the line where the function starts.
	line bool
}

// layouts holds the layout for each magic.
var layouts = map[uint32]layout{
	magic12:  {header: 1, absolute: true, record: 8},
	magic116: {header: 7, parts: 2, absolute: true, record: 9},
	magic118: {header: 8, parts: 3, record: 9},
	magic120: {header: 8, parts: 3, record: 10, line: true},
}

// width is the size of a function's start in the table, in bytes.
func (t *pclntab) width() int64 {
	if t.layout.absolute {
		return int64(t.pointer)
	}
	return 4
}

// start reads a function's start, or another number of that size.
func (t *pclntab) start(p []byte) uint64 {
	if t.width() == 8 {
		return t.order.Uint64(p)
	}
	return uint64(t.order.Uint32(p))
}

// pclntab finds the table.
func (b *Binary) pclntab() (*pclntab, error) {
	if s, ok := b.section(".gopclntab", ".data.rel.ro.gopclntab", "__TEXT,__gopclntab", "__DATA_CONST,__gopclntab", "__DATA,__gopclntab"); ok {
		t, ok := newPclntab(io.NewSectionReader(b.r, s.Offset, s.Size), s.Size, b)
		if !ok {
			return nil, ErrNoFunctions
		}
		t.owned, t.address = true, s.Address
		return t, nil
	}

	// It has no section of its own in PE and WebAssembly files. Its first word
	// is looked for in what is loaded.
	var found *pclntab
	budget := 2 * b.size // mappings may overlap
	for _, m := range b.maps {
		if budget -= m.size; budget < 0 || found != nil {
			break
		}
		word := "\xff\xff\xff\x00\x00" // and before it the byte that tells the version
		before := int64(1)
		if b.order == binary.BigEndian {
			word, before = "\xff\xff\xff\xf1\x00\x00", 0
		}

		err := b.find(Section{Offset: m.offset, Size: m.size}, []byte(word), func(offset int64) bool {
			at := offset - before
			if at < m.offset {
				return true
			}
			var r io.ReaderAt
			size := m.offset + m.size - at

			// In WebAssembly the table may go on in further mappings, with zeros left out between
			// them.
			if b.Format == Wasm {
				last := b.maps[len(b.maps)-1]
				start := m.address + uint64(at-m.offset)
				size = int64(last.address + uint64(last.size) - start)
				r = io.NewSectionReader(memory{b}, int64(start), size)
			} else {
				r = io.NewSectionReader(b.r, at, size)
			}

			if t, ok := newPclntab(r, size, b); ok {
				t.address = m.address + uint64(at-m.offset)
				found = t
			}
			return found == nil
		})
		if err != nil {
			return nil, fmt.Errorf("find function table: %w", err)
		}
	}

	if found == nil {
		return nil, ErrNoFunctions
	}
	return found, nil
}

// newPclntab reads the header of the table and reports whether there is one.
func newPclntab(r io.ReaderAt, size int64, b *Binary) (*pclntab, bool) {
	head := make([]byte, 8+8*b.pointer)
	if n, err := r.ReadAt(head, 0); n < 8+b.pointer || err != nil && !errors.Is(err, io.EOF) {
		return nil, false
	}
	l, known := layouts[b.order.Uint32(head)]
	quantum, pointer := head[6], int(head[7])
	if !known || head[4] != 0 || head[5] != 0 || quantum != 1 && quantum != 2 && quantum != 4 || pointer != b.pointer {
		return nil, false
	}
	t := &pclntab{r: r, size: size, order: b.order, pointer: pointer, layout: l}

	// After the magic come words of the pointer's size, of which the first is the number of functions.
	head = head[:8+l.header*pointer]
	if size < int64(len(head)) {
		return nil, false
	}
	word := func(i int) uint64 { return b.word(head[8+i*pointer:]) }

	// The order of the parts is that of the header.
	last := uint64(len(head))
	if l.parts > 0 {
		for i := l.parts; i < l.header; i++ {
			if word(i) < last || word(i) > uint64(size) {
				return nil, false
			}
			last = word(i)
		}
		part := func(i int) int64 { return int64(word(l.parts + i)) }
		t.names, t.units, t.files, t.pcs = part(0), part(1), part(2), part(3)
	}
	t.funcs, t.end = int64(last), int64(last)

	n, width := word(0), t.width()
	if n == 0 || n > uint64(size)/8 || int64(n)*2*width+width > size-t.funcs {
		return nil, false
	}
	t.count = int64(n)
	return t, t.readText(word)
}

// readText finds out where functions start, and in the oldest layout where the files are. It reports
// whether it could be read.
func (t *pclntab) readText(word func(int) uint64) bool {
	if !t.layout.absolute {
		t.text = word(2)
		return true
	}

	first := make([]byte, t.pointer)
	if _, err := t.r.ReadAt(first, t.funcs); err != nil {
		return false
	}
	t.text = t.start(first)
	if t.layout.parts > 0 {
		return true
	}

	// Behind the end of the last function is the offset of the list of files. Names and records stand
	// anywhere.
	var offset [4]byte
	if _, err := t.r.ReadAt(offset[:], t.funcs+(2*t.count+1)*t.width()); err != nil {
		return false
	}
	t.files, t.units, t.pcs = int64(t.order.Uint32(offset[:])), t.size, t.size
	return t.files < t.size
}

const maxWindow = 32 << 10

// window reads a few bytes at a time from places that are near each other.
type window struct {
	r        io.ReaderAt
	size     int64
	buf      []byte
	from, to int64 // what buf has
}

// at returns n bytes at offset. They are valid until the next call.
func (w *window) at(offset, n int64) ([]byte, error) {
	if w.buf == nil {
		w.buf = make([]byte, min(maxWindow, w.size))
	}
	if offset < 0 || n > int64(len(w.buf)) || offset > w.size-n {
		return nil, errTable
	}
	if offset < w.from || offset+n > w.to {
		w.from, w.to = offset, offset
		p := w.buf[:min(int64(len(w.buf)), w.size-offset)]
		if _, err := w.r.ReadAt(p, offset); err != nil {
			return nil, fmt.Errorf("read function table: %w", err)
		}
		w.to = offset + int64(len(p))
	}
	return w.buf[offset-w.from:][:n], nil
}

// Functions returns the functions by address. The sequence ends after the first
// error: [ErrNoFunctions], a table that contradicts itself, an error of reading.
func (b *Binary) Functions() iter.Seq2[Function, error] {
	return func(yield func(Function, error) bool) {
		t, err := b.pclntab()
		if err != nil {
			yield(Function{}, err)
			return
		}
		if err := t.functions(b, yield); err != nil {
			yield(Function{}, err)
		}
	}
}

// functions calls yield with the functions of b until it returns false.
func (t *pclntab) functions(b *Binary, yield func(Function, error) bool) error {
	table, records, names := &window{r: t.r, size: t.size}, &window{r: t.r, size: t.size}, &window{r: t.r, size: t.size}

	// An entry is a function's start and the offset of its record. Behind the
	// last is the end of the last function alone.
	width := t.width()
	p, err := table.at(t.funcs+2*width*t.count, width)
	if err != nil {
		return err
	}
	last := t.start(p)
	if p, err = table.at(t.funcs, width); err != nil {
		return err
	}
	first := t.start(p)

	// Addresses count from the first function, as starts do.
	base := uint64(0)
	if t.layout.absolute {
		base = first
	}

	// On WebAssembly the starts are numbers of functions, in earlier releases
	// shifted.
	shift := 0
	if b.Format == Wasm && last >= first && int64((last-first)>>16) >= t.count-1 {
		shift = 16
	}

	// Records are counted from the functions, or from the start of the table.
	text, located := t.textStart(b, last-base)
	origin := t.funcs
	if t.layout.parts == 0 {
		origin = 0
	}
	words := t.layout.record
	budget := 2*t.size + maxSymbol // names do not overlap

	for i := range t.count {
		entry, err := table.at(t.funcs+2*width*i, 3*width)
		if err != nil {
			return err
		}
		start, record, end := t.start(entry), int64(t.start(entry[width:])), t.start(entry[2*width:])
		if end < start || start < base || end-start > math.MaxInt64 || record < 0 || record > t.size {
			return errTable
		}
		f := Function{Offset: -1, Start: start - base, Size: int64(end - start), Inlines: true}
		if located {
			f.Offset = b.fileOffset(text + f.Start)
		}

		// WebAssembly has no code in its memory, so the place comes from the code section.
		if b.Format == Wasm {
			f.Start, f.Size = (start-first)>>shift, 0
			if start >= first && f.Start < uint64(len(b.wasm.bodies)) {
				body := b.wasm.bodies[f.Start]
				f.Offset, f.Size = int64(body.offset), int64(body.size)
			}
		}

		// Behind the start, the first word of the record is the name, the seventh the number of
		// pcdata, and the last byte of its last that of funcdata.
		head, err := records.at(origin+record+width, 4*words)
		if err != nil {
			return err
		}
		pcdata, funcdata := t.order.Uint32(head[24:]), head[4*words-1]
		size := width + 4*(words+int64(pcdata)) + width*int64(funcdata)
		f.Table = 2*width + size
		t.end = max(t.end, min(origin+record+size, t.size))

		// Earlier releases have no line in the record.
		if t.layout.line {
			f.Line = int(int32(t.order.Uint32(head[32:])))
		}
		if f.Name, err = t.name(names, int64(int32(t.order.Uint32(head)))); err != nil {
			return err
		}

		// The pcdata follow. The third of them is the table of inlined calls.
		const inlined = 2
		f.Inlines = pcdata > inlined
		if f.Inlines {
			offset, err := records.at(origin+record+width+4*words+4*inlined, 4)
			if err != nil {
				return err
			}
			f.Inlines = t.order.Uint32(offset) != 0
		}

		f.Table += int64(len(f.Name)) + 1
		if budget -= int64(len(f.Name)); budget < 0 || f.Table > t.size {
			return errTable
		}

		if !yield(f, nil) {
			return nil
		}
	}
	return nil
}

// textStart returns the address that functions are counted from. last is the end of the last one.
// Up to Go 1.25 the table states the address, if the program is not relocated. Otherwise it is in
// the runtime's own data, or it is the start of the section if the section has the right size. A
// section with C code has another size, as C's linker puts that code first.
func (t *pclntab) textStart(b *Binary, last uint64) (uint64, bool) {
	if b.Format == Wasm {
		return 0, false
	}
	if t.text != 0 && b.fileOffset(t.text) >= 0 {
		return t.text, true
	}
	if text, ok := t.moduleData(b); ok {
		return text, true
	}
	const padding = 64
	s, ok := b.section(".text", "__TEXT,__text")
	return s.Address, ok && last <= uint64(s.Size) && uint64(s.Size)-last < padding
}

// moduleData finds runtime.firstmoduledata, and returns its member text. The first words of
// runtime.firstmoduledata are the address of the table and the address of the names in it.
func (t *pclntab) moduleData(b *Binary) (uint64, bool) {
	const words, text, etext = 24, 22, 23
	p := int64(b.pointer)
	start := t.address
	if start == 0 {
		return 0, false
	}
	word := make([]byte, p)
	if p == 4 {
		b.order.PutUint32(word, uint32(start))
	} else {
		b.order.PutUint64(word, start)
	}

	// The address of the table is looked for as a word in all loaded data.
	var found uint64
	budget := 2 * b.size
	for _, m := range b.maps {
		if budget -= m.size; budget < 0 || found != 0 {
			break
		}
		data := make([]byte, words*p)

		err := b.find(Section{Offset: m.offset, Size: m.size}, word, func(offset int64) bool {
			if b.load(data, m.address+uint64(offset-m.offset)) != nil || b.word(data[p:]) != start+uint64(t.names) {
				return true
			}
			if a := b.word(data[text*p:]); a < b.word(data[etext*p:]) && b.fileOffset(a) >= 0 {
				found = a
			}
			return found == 0
		})
		if err != nil {
			break
		}
	}

	return found, found != 0
}

// name reads a name.
func (t *pclntab) name(w *window, offset int64) (string, error) {
	offset += t.names
	if offset < t.names || offset >= t.units {
		return "", errTable
	}

	// Most names are short, so a long read is the second try.
	for n := int64(64); ; n *= 4 {
		n = min(n, maxSymbol, t.units-offset)
		p, err := w.at(offset, n)
		if err != nil {
			return "", err
		}
		if i := bytes.IndexByte(p, 0); i >= 0 {
			return string(p[:i]), nil
		}

		if n == maxSymbol || n == t.units-offset {
			return string(p), nil
		}
	}
}

// SourceFiles returns the paths of the files that functions came from, each once, as the compiler
// recorded them. With -trimpath they are "runtime/proc.go" and "example.com/m@v1.0.0/x.go",
// otherwise they are absolute. The sequence ends after the first error, as that of
// [Binary.Functions] does. A path of more than 4096 bytes is cut.
func (b *Binary) SourceFiles() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		t, err := b.pclntab()
		if err != nil {
			yield("", err)
			return
		}

		if t.layout.parts == 0 {
			t.listedFiles(yield)
			return
		}

		// The paths stand one after the other, each with a zero at its end.
		w := &window{r: t.r, size: t.size}
		for at := t.files; at < t.pcs; {
			p, err := w.at(at, min(maxSymbol, t.pcs-at))
			if err != nil {
				yield("", err)
				return
			}

			name, _, _ := bytes.Cut(p, []byte{0})
			// The end is padded with zeros.
			if len(name) > 0 && !yield(string(name), nil) {
				return
			}
			at += int64(len(name)) + 1
		}
	}
}

// listedFiles calls yield with the files of the oldest layout: their number, counted from 1, and the
// offset of each name.
func (t *pclntab) listedFiles(yield func(string, error) bool) {
	list, names := &window{r: t.r, size: t.size}, &window{r: t.r, size: t.size}
	p, err := list.at(t.files, 4)
	if err != nil {
		yield("", err)
		return
	}
	count := int64(t.order.Uint32(p))
	budget := 2*t.size + maxSymbol // names do not overlap

	for i := int64(1); i < count; i++ {
		p, err := list.at(t.files+4*i, 4)
		if err != nil {
			yield("", err)
			return
		}
		name, err := t.name(names, int64(t.order.Uint32(p)))
		if budget -= int64(len(name)) + 1; err == nil && budget < 0 {
			err = errTable
		}
		if err != nil {
			yield("", err)
			return
		}
		if name != "" && !yield(name, nil) {
			return
		}
	}
}

// PackageOf returns the import path of the package that a function of the name belongs to. It
// returns "main" for any package main. It returns "" for functions that the compiler and linker
// generate for several packages ("type:.eq.[2]string", "go:buildid"), and for names without a
// package, as C functions have.
func PackageOf(function string) string {
	name := function
	// With a dot in the place of the colon up to Go 1.19.
	for _, prefix := range []string{"type:", "type..", "go:", "go.struct {", "go.(*struct {", "go.buildid"} {
		if strings.HasPrefix(name, prefix) {
			return ""
		}
	}
	// Type arguments may contain slashes.
	name, _, _ = strings.Cut(name, "[")
	slash := strings.LastIndexByte(name, '/') + 1
	dot := strings.IndexByte(name[slash:], '.')
	if dot < 0 {
		return ""
	}
	return unescape(name[:slash+dot])
}

// unescape undoes cmd/internal/objabi.PathToPrefix, which writes a dot in the
// last element of a path as %2e.
func unescape(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}

	// A percent sign that is no escape stays as it is.
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			hi, lo := hexDigit(path[i+1]), hexDigit(path[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789abcdef", c) }
