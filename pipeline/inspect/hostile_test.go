package inspect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// tiny is what a small program has in memory, made by hand: a build ID, build
// information, a table of two functions, and an embedded file.
type tiny struct {
	order   binary.AppendByteOrder
	pointer int
	base    uint64 // where it is loaded
	magic   uint32
	data    []byte

	info, table, files int // offsets of the parts
}

const (
	tinyID   = "AAAAAAAAAAAAAAAAAAAA/BBBBBBBBBBBBBBBBBBBB/CCCCCCCCCCCCCCCCCCCC/DDDDDDDDDDDDDDDDDDDD"
	tinyBase = 0x10000
)

func (p *tiny) word(n uint64) {
	if p.pointer == 4 {
		p.data = p.order.AppendUint32(p.data, uint32(n))
	} else {
		p.data = p.order.AppendUint64(p.data, n)
	}
}

func (p *tiny) align(n int) int {
	for len(p.data)%n != 0 {
		p.data = append(p.data, 0)
	}
	return len(p.data)
}

// newTiny makes a program whose functions have the given starts and end.
func newTiny(order binary.AppendByteOrder, pointer int, magic uint32, starts ...uint32) *tiny {
	if starts == nil {
		starts = []uint32{0, 16, 48}
	}
	p := &tiny{order: order, pointer: pointer, base: tinyBase, magic: magic}
	p.data = append(p.data, "\xff Go build ID: \""+tinyID+"\"\n \xff"...)

	if l := layouts[magic]; l.absolute {
		p.old(l, starts)
	} else {
		p.current(starts)
	}
	p.embed()
	return p
}

const (
	tinyInfo  = "path\texample.test/m\nmod\texample.test/m\tv1.0.0\th1:x=\n"
	tinyNames = "main.main\x00example.test/m/x.F\x00"
	tinyFiles = "/home/alice/m/main.go\x00\x00\x00"
)

// old adds build information of Go 1.13 to 1.17, and a table of functions of that time.
func (p *tiny) old(l layout, starts []uint32) {
	o := p.order
	big := o.AppendUint16(nil, 1)[1]
	p.info = p.align(16)
	p.data = append(p.data, "\xff Go buildinf:"+string([]byte{byte(p.pointer), big})...)
	version, mod := "go1.16.15", infoStart+tinyInfo+infoEnd
	variables := p.base + uint64(p.info+32)
	texts := variables + uint64(4*p.pointer)
	p.word(variables)
	p.word(variables + uint64(2*p.pointer))
	p.data = append(p.data, make([]byte, p.info+32-len(p.data))...)
	for _, n := range []uint64{texts, uint64(len(version)), texts + uint64(len(version)), uint64(len(mod))} {
		p.word(n)
	}
	p.data = append(p.data, version+mod...)

	// The oldest layout has names and files wherever they are.
	p.table = p.align(16)
	p.data = append(o.AppendUint32(p.data, p.magic), 0, 0, 1, byte(p.pointer))
	header := 8 + l.header*p.pointer
	text := len(tinyNames + tinyFiles)
	funcs, names, start := header, 0, header+text
	if l.parts == 0 {
		names, start = header+5*p.pointer+12, 0
	}
	p.word(2)
	if l.parts > 0 {
		p.word(1)
		for _, n := range []int{header, header + len(tinyNames), header + len(tinyNames), start, start} {
			p.word(uint64(n))
		}
		p.data = append(p.data, tinyNames+tinyFiles...)
		funcs = 0
	}
	records := funcs + 5*p.pointer
	if l.parts == 0 {
		records = names + text
	}
	for i, n := range starts[:2] {
		p.word(p.base + uint64(n))
		p.word(uint64(records + i*(p.pointer+4*int(l.record)+4)))
	}
	p.word(p.base + uint64(starts[2]))
	if l.parts == 0 {
		p.data = o.AppendUint32(p.data, uint32(header+5*p.pointer+4))
		p.data = o.AppendUint32(p.data, 2)
		p.data = o.AppendUint32(p.data, uint32(names+len(tinyNames)))
		p.data = append(p.data, tinyNames+tinyFiles...)
	}
	for i, name := range []int{names, names + 10} {
		p.word(p.base + uint64(starts[i]))
		for w := range l.record + 1 { // with one pcdata
			p.data = o.AppendUint32(p.data, map[int64]uint32{0: uint32(name), 6: 1}[w])
		}
	}
}

// current adds build information of Go 1.18 or later, and a table of functions.
func (p *tiny) current(starts []uint32) {
	order, pointer, magic := p.order, p.pointer, p.magic
	p.info = p.align(16)
	p.data = append(p.data, "\xff Go buildinf:\x08\x02"+strings.Repeat("\x00", 16)...)
	mod := infoStart + tinyInfo + "build\tGOOS=linux\n" + infoEnd
	for _, s := range []string{"go1.26.8", mod} {
		p.data = append(binary.AppendUvarint(p.data, uint64(len(s))), s...)
	}

	p.table = p.align(16)
	names, files := tinyNames, tinyFiles
	record := []uint32{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0} // with one pcdata
	if magic == magic118 {
		record = record[1:]
	}
	header := 8 + 8*pointer
	funcs := header + len(names) + len(files)
	p.data = order.AppendUint32(p.data, magic)
	p.data = append(p.data, 0, 0, 1, byte(pointer))
	for _, w := range []int{2, 1, 0, header, header + len(names), header + len(names), funcs, funcs} {
		p.word(uint64(w))
	}
	p.data = append(p.data, names+files...)
	for i, n := range starts[:2] {
		p.data = order.AppendUint32(p.data, n)
		p.data = order.AppendUint32(p.data, uint32(20+i*4*len(record)))
	}
	p.data = order.AppendUint32(p.data, starts[2])
	for _, name := range []uint32{0, 10} {
		for i, w := range record {
			if i == 1 {
				w = name
			}
			p.data = order.AppendUint32(p.data, w)
		}
	}
}

// embed adds an embedded file.
func (p *tiny) embed() {
	pointer := p.pointer
	content := "some content"
	sum := sha256.Sum256([]byte(content))
	sum[0] ^= 0xff
	at := len(p.data)
	p.data = append(p.data, "dir/dir/file"+content...)
	p.files = p.align(8)
	address := func(offset int) uint64 { return p.base + uint64(offset) }
	p.word(address(p.files + 3*pointer))
	p.word(2)
	p.word(2)
	for _, w := range []uint64{address(at), 4, 0, 0} {
		p.word(w)
	}
	p.data = append(p.data, make([]byte, 16)...)
	for _, w := range []uint64{address(at + 4), 8, address(at + 12), uint64(len(content))} {
		p.word(w)
	}
	p.data = append(p.data, sum[:16]...)
}

// elf wraps the program in a file with some load segments, all of the same.
func (p *tiny) elf(loads int) []byte {
	o := p.order
	names := "\x00.gopclntab\x00.go.buildinfo\x00.shstrtab\x00.note.go.buildid\x00"
	note := o.AppendUint32(o.AppendUint32(o.AppendUint32(nil, 4), uint32(len(tinyID))), 4)
	note = append(note, "Go\x00\x00"+tinyID...)
	word := func(b []byte, n int) []byte {
		if p.pointer == 4 {
			return o.AppendUint32(b, uint32(n))
		}
		return o.AppendUint64(b, uint64(n))
	}
	wide := p.pointer == 8
	ehsize, phsize, shsize := 52, 32, 40
	if wide {
		ehsize, phsize, shsize = 64, 56, 64
	}
	start := ehsize + phsize*loads + shsize*5
	noteAt := start + len(p.data)
	namesAt := noteAt + len(note)
	class, order := byte(1), byte(1)
	if wide {
		class = 2
	}
	if o.AppendUint16(nil, 1)[1] == 1 {
		order = 2
	}
	b := append([]byte("\x7fELF"), class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = o.AppendUint16(b, etExec)
	b = o.AppendUint16(b, 62)
	b = o.AppendUint32(b, 1)
	b = word(b, tinyBase)
	b = word(b, ehsize)
	b = word(b, ehsize+phsize*loads)
	b = o.AppendUint32(b, 0)
	for _, n := range []int{ehsize, phsize, loads, shsize, 5, 3} {
		b = o.AppendUint16(b, uint16(n))
	}
	for range loads {
		b = o.AppendUint32(b, ptLoad)
		if wide {
			b = o.AppendUint32(b, 5)
		}
		for _, n := range []int{start, tinyBase, tinyBase, len(p.data), len(p.data)} {
			b = word(b, n)
		}
		if !wide {
			b = o.AppendUint32(b, 5)
		}
		b = word(b, 16)
	}
	section := func(name string, kind uint32, offset, size, address int) {
		b = o.AppendUint32(b, uint32(max(0, strings.Index(names, name+"\x00"))))
		b = o.AppendUint32(b, kind)
		for _, n := range []int{2, address, offset, size} {
			b = word(b, n)
		}
		b = append(b, make([]byte, 8)...)
		b = word(word(b, 1), 0)
	}
	section("", 0, 0, 0, 0)
	section(".gopclntab", 1, start+p.table, p.files-p.table, tinyBase+p.table)
	section(".go.buildinfo", 1, start+p.info, p.table-p.info, tinyBase+p.info)
	section(".shstrtab", 3, namesAt, len(names), 0)
	section(".note.go.buildid", 7, noteAt, len(note), 0)
	return append(append(append(b, p.data...), note...), names...)
}

// macho wraps the program in a file for a CPU, the __LINKEDIT segment of which
// has 16 bytes and, if it is signed, a signature of sign bytes.
func (p *tiny) macho(cpu uint32, sign int) []byte {
	o := binary.LittleEndian
	const link = 16
	commands, count := 72+2*80+72, uint32(2)
	if sign > 0 {
		commands, count = commands+16, 3
	}
	const start = 512
	end := start + len(p.data) + link
	b := o.AppendUint32(nil, 0xfeedfacf)
	for _, n := range []uint32{cpu, 0, 2, count, uint32(commands), 0x200000, 0} {
		b = o.AppendUint32(b, n)
	}
	name := func(s string) { b = append(b, (s + strings.Repeat("\x00", 16))[:16]...) }
	segment := func(s string, size, address, offset, length, sections int) {
		b = o.AppendUint32(o.AppendUint32(b, lcSegment64), uint32(size))
		name(s)
		for _, n := range []int{address, length, offset, length} {
			b = o.AppendUint64(b, uint64(n))
		}
		b = append(b, make([]byte, 8)...)
		b = o.AppendUint32(o.AppendUint32(b, uint32(sections)), 0)
	}
	section := func(s string, offset, size int) {
		name(s)
		name("__TEXT")
		b = o.AppendUint64(o.AppendUint64(b, uint64(tinyBase+offset)), uint64(size))
		b = o.AppendUint32(b, uint32(start+offset))
		b = append(b, make([]byte, 28)...)
	}
	segment("__TEXT", 72+2*80, tinyBase, start, len(p.data), 2)
	section("__go_buildinfo", p.info, p.table-p.info)
	section("__gopclntab", p.table, p.files-p.table)
	segment("__LINKEDIT", 72, 0x90000, end-link, link+sign, 0)
	if sign > 0 {
		for _, n := range []int{lcSignature, 16, end, sign} {
			b = o.AppendUint32(b, uint32(n))
		}
	}
	b = append(b, make([]byte, start-len(b))...)
	b = append(append(b, p.data...), make([]byte, link)...)
	return append(b, bytes.Repeat([]byte{0xee}, sign)...)
}

// pe wraps the program in a file with one section.
func (p *tiny) pe() []byte {
	o := binary.LittleEndian
	const start = 512
	b := append([]byte("MZ"), make([]byte, 62)...)
	o.PutUint32(b[0x3c:], 64)
	b = append(b, "PE\x00\x00"...)
	b = o.AppendUint16(o.AppendUint16(b, 0x8664), 1)
	b = append(b, make([]byte, 12)...)
	b = o.AppendUint16(o.AppendUint16(b, 240), 0x22)
	optional := make([]byte, 240)
	o.PutUint16(optional, 0x20b)
	o.PutUint64(optional[24:], tinyBase-0x1000)
	o.PutUint32(optional[60:], start)
	o.PutUint16(optional[70:], peNX)
	b = append(b, optional...)
	b = append(b, ".data\x00\x00\x00"...)
	for _, n := range []int{len(p.data), 0x1000, len(p.data), start} {
		b = o.AppendUint32(b, uint32(n))
	}
	b = append(b, make([]byte, start-len(b))...)
	return append(b, p.data...)
}

// module wraps the program in a WebAssembly module with two functions.
func (p *tiny) module() []byte {
	section := func(b []byte, kind byte, body []byte) []byte {
		return append(binary.AppendUvarint(append(b, kind), uint64(len(body))), body...)
	}
	text := func(s string) string { return string(binary.AppendUvarint(nil, uint64(len(s)))) + s }
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = section(b, 0, []byte(text("go:buildid")+"\xff Go build ID: \""+tinyID+"\"\n \xff"))
	b = section(b, 2, []byte("\x01"+text("gojs")+text("f")+"\x00\x00"))
	b = section(b, 10, []byte("\x02\x02\x00\x0b\x03\x00\x01\x0b"))
	// Runs of zeros are left out.
	cut := bytes.Index(p.data, make([]byte, 8))
	next := cut + 8
	data := []byte{2}
	for _, part := range [][2]int{{0, cut}, {next, len(p.data)}} {
		data = append(data, 0, 0x41)
		for n := int64(tinyBase + part[0]); ; n >>= 7 {
			if n < 0x40 {
				data = append(data, byte(n), 0x0b)
				break
			}
			data = append(data, byte(n)|0x80)
		}
		data = append(binary.AppendUvarint(data, uint64(part[1]-part[0])), p.data[part[0]:part[1]]...)
	}
	b = section(b, 11, data)
	return section(b, 0, []byte(text("producers")+"\x01"+text("language")+"\x01"+text("Go")+text("go1.26.8")))
}

// tinies are hand-made files of all formats.
func tinies() map[string][]byte {
	little := newTiny(binary.LittleEndian, 8, magic120)
	return map[string][]byte{
		"elf":         little.elf(1),
		"elf 1.18":    newTiny(binary.LittleEndian, 8, magic118).elf(1),
		"elf 32 big":  newTiny(binary.BigEndian, 4, magic120).elf(1),
		"elf 1.15":    newTiny(binary.LittleEndian, 8, magic12).elf(1),
		"elf 1.16":    newTiny(binary.LittleEndian, 8, magic116).elf(1),
		"elf 32 1.15": newTiny(binary.BigEndian, 4, magic12).elf(1),
		"elf 32 1.16": newTiny(binary.BigEndian, 4, magic116).elf(1),
		"macho 1.15":  newTiny(binary.LittleEndian, 8, magic12).macho(cpuAMD64, 0),
		"pe 1.16":     newTiny(binary.LittleEndian, 8, magic116).pe(),
		"macho":       little.macho(cpuAMD64, 0),
		"pe":          little.pe(),
		"wasm":        newTiny(binary.LittleEndian, 8, magic120, 0x1000, 0x1001, 0x1002).module(),
		"wasm 1.22":   newTiny(binary.LittleEndian, 8, magic120, 0, 1<<16, 2<<16).module(),
	}
}

// universal puts Mach-O files into one.
func universal(files ...[]byte) []byte {
	o := binary.BigEndian
	b := o.AppendUint32(o.AppendUint32(nil, 0xcafebabe), uint32(len(files)))
	at := 4096
	for _, f := range files {
		b = append(b, f[7], f[6], f[5], f[4], 0, 0, 0, 0) // the CPU
		b = o.AppendUint32(o.AppendUint32(o.AppendUint32(b, uint32(at)), uint32(len(f))), 12)
		at += len(f)
	}
	b = append(b, make([]byte, 4096-len(b))...)
	for _, f := range files {
		b = append(b, f...)
	}
	return b
}

// TestTiny shows that the files that are to be damaged are good ones.
func TestTiny(t *testing.T) {
	for name, data := range tinies() {
		t.Run(name, func(t *testing.T) {
			f := read(t, data)
			version := "go1.26.8"
			if strings.HasSuffix(name, " 1.15") || strings.HasSuffix(name, " 1.16") {
				version = "go1.16.15"
			}
			if f.GoVersion != version || f.Build == nil || f.Build.Path != "example.test/m" || f.BuildID == nil || f.BuildID.ID != tinyID {
				t.Errorf("%+v", f)
			}
			if f.Content == nil || f.Content.State != ContentChanged {
				t.Errorf("content %+v", f.Content)
			}
			if f.Code == nil || f.Code.Functions != 2 || f.Code.Packages[0].Path != "example.test/m/x" || f.Code.Packages[1].Path != "example.test/m" || f.Code.Modules[0].Version != "v1.0.0" {
				t.Errorf("code %+v", f.Code)
			}
			if f.Format != Wasm && f.Code.Text != 48 || f.Format == Wasm && f.Code.Text != 5 {
				t.Errorf("text of %d bytes", f.Code.Text)
			}
			if len(f.Embedded) != 1 || f.Embedded[0].Name != "dir/file" || f.Embedded[0].Intact != Yes {
				t.Errorf("embedded %+v", f.Embedded)
			}
			if len(f.Paths) != 1 || f.Paths[0].Text != "/home/alice/m/main.go" || f.Finding(Trimpath).Is != No {
				t.Errorf("paths %+v, %+v", f.Paths, f.Finding(Trimpath))
			}
		})
	}
}

// TestTableRefuses: a table of functions that contradicts itself.
func TestTableRefuses(t *testing.T) {
	good := newTiny(binary.LittleEndian, 8, magic120)
	o := binary.LittleEndian
	table := func(b []byte) []byte { return b[bytes.Index(b, []byte("\xf1\xff\xff\xff\x00\x00")):] }
	funcs := func(b []byte) []byte { return table(b)[o.Uint64(table(b)[64:]):] }
	tests := []struct {
		name string
		edit func(b []byte)
		want error
	}{
		{"magic", func(b []byte) { table(b)[0] = 0xf9 }, ErrNoFunctions},
		{"quantum", func(b []byte) { table(b)[6] = 3 }, ErrNoFunctions},
		{"pointer", func(b []byte) { table(b)[7] = 4 }, ErrNoFunctions},
		{"no functions", func(b []byte) { o.PutUint64(table(b)[8:], 0) }, ErrNoFunctions},
		{"too many functions", func(b []byte) { o.PutUint64(table(b)[8:], 100) }, ErrNoFunctions},
		{"endless functions", func(b []byte) { o.PutUint64(table(b)[8:], 1<<61) }, ErrNoFunctions},
		{"names in the header", func(b []byte) { o.PutUint64(table(b)[32:], 8) }, ErrNoFunctions},
		{"parts in disorder", func(b []byte) { o.PutUint64(table(b)[40:], 1) }, ErrNoFunctions},
		{"functions outside", func(b []byte) { o.PutUint64(table(b)[64:], 1<<40) }, ErrNoFunctions},
		{"end before start", func(b []byte) { o.PutUint32(funcs(b)[8:], 1<<20) }, errTable},
		{"record outside", func(b []byte) { o.PutUint32(funcs(b)[4:], 1<<31) }, errTable},
		{"name outside", func(b []byte) { o.PutUint32(funcs(b)[24:], 1<<20) }, errTable},
		{"name before", func(b []byte) { o.PutUint32(funcs(b)[24:], 1<<32-1) }, errTable},
		{"pcdata", func(b []byte) { o.PutUint32(funcs(b)[20+28:], 1<<31) }, errTable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := good.elf(1)
			tt.edit(data)
			var last error
			n := 0
			for _, err := range open(t, data).Functions() {
				last = err
				if n++; n > 10 {
					t.Fatal("does not end")
				}
			}
			if !errors.Is(last, tt.want) {
				t.Errorf("error %v, want %v", last, tt.want)
			}
		})
	}
}

// withContent sets the hash of the file that the go command would have.
func withContent(t *testing.T, data []byte) []byte {
	t.Helper()
	b := open(t, data)
	standard, host := b.exclusions()
	sum, _, err := contentHash(b.edited(append(standard, host...), b.size), []byte(tinyID))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(data, []byte("DDDDDDDDDDDDDDDDDDDD"), []byte(sum))
}

// TestSigned: what signing tools change is put back before the hash is said to
// be wrong.
func TestSigned(t *testing.T) {
	o := binary.LittleEndian
	check := func(t *testing.T, data []byte, want Content, uncovered int64) {
		t.Helper()
		c, err := open(t, data).CheckContent()
		if err != nil || c.State != want || c.Uncovered != uncovered {
			t.Errorf("%+v, %v; want %s, %d bytes not covered", c, err, want, uncovered)
		}
		// A change elsewhere is found nevertheless, and so are bytes behind it.
		for _, at := range []int{bytes.Index(data, []byte("main.main\x00")), len(data) / 3} {
			data := slices.Clone(data)
			data[at] ^= 1
			if c, err := open(t, data).CheckContent(); err != nil || c.State != ContentChanged {
				t.Errorf("changed at %d: %+v, %v", at, c, err)
			}
		}
		if c, err := open(t, append(slices.Clone(data), 0)).CheckContent(); err != nil || c.State != ContentChanged {
			t.Errorf("appended: %+v, %v", c, err)
		}
	}
	t.Run("darwin/arm64", func(t *testing.T) {
		data := slices.Clone(build(t, "darwin", "arm64"))
		b := open(t, data)
		sig, _ := b.section("(code signature)")
		command, _ := b.macho.command(lcSignature, 16)
		link, _ := b.macho.segment("__LINKEDIT")
		const more = 9000 // the size of a signature with certificates
		size := o.Uint64(data[link.offset+48:]) + more
		o.PutUint64(data[link.offset+48:], size)
		o.PutUint64(data[link.offset+32:], (size+0x3fff)&^0x3fff) // rounded up to pages
		o.PutUint32(data[command.offset+12:], uint32(sig.Size+more))
		data = append(data[:sig.Offset], make([]byte, sig.Size+more)...)
		copy(data[sig.Offset:], superBlob(sig.Size+more))
		check(t, data, ContentSigned, sig.Size+more+4+16+16)
		f := read(t, data)
		if f.Signature == nil || f.Signature.Kind != "CMS" || f.Signature.Team != "TEAM" || f.Signature.Identifier != "org.example" || f.Signature.Linker {
			t.Errorf("signature %+v", f.Signature)
		}
		if f.Content.State != ContentSigned || f.HostID.FromBuildID != Yes {
			t.Errorf("%+v, %+v", f.Content, f.HostID)
		}
	})
	t.Run("darwin/amd64", func(t *testing.T) {
		p := newTiny(binary.LittleEndian, 8, magic120)
		plain := withContent(t, p.macho(cpuAMD64, 0))
		check(t, plain, ContentIntact, 0)
		id, err := open(t, plain).BuildID()
		if err != nil {
			t.Fatal(err)
		}
		const size = 700
		data := bytes.ReplaceAll(p.macho(cpuAMD64, size), []byte(tinyID), []byte(id.ID))
		check(t, data, ContentSigned, size+8+16+16)
		// Nothing is left out of the hash where the signature is in the way of what runs.
		sig, _ := open(t, data).macho.command(lcSignature, 16)
		o.PutUint32(data[sig.offset+8:], 1000)
		o.PutUint32(data[sig.offset+12:], uint32(len(data)-1000))
		if c, err := open(t, data).CheckContent(); err != nil || c.State != ContentChanged {
			t.Errorf("a signature over __TEXT: %+v, %v", c, err)
		}
	})
	t.Run("windows/amd64", func(t *testing.T) {
		for _, args := range [][]string{nil, {"-ldflags=-s -w"}} {
			data := slices.Clone(build(t, "windows", "amd64", args...))
			size := len(data)
			b := open(t, data)
			o.PutUint32(data[b.pe.checksumAt:], 0x1234)
			for len(data)%8 != 0 {
				data = append(data, 0)
			}
			const certificates = 4096
			o.PutUint32(data[b.pe.securityAt:], uint32(len(data)))
			o.PutUint32(data[b.pe.securityAt+4:], certificates)
			data = append(data, certificate(certificates)...)
			check(t, data, ContentSigned, int64(len(data)-size)+4+8)
			if f := read(t, data); f.Signature == nil || f.Signature.Kind != "Authenticode" || f.Signature.Size != certificates {
				t.Errorf("signature %+v", f.Signature)
			}
		}
	})
}

// superBlob returns a signature with a code directory and a CMS blob.
func superBlob(size int64) []byte {
	o := binary.BigEndian
	var b []byte
	for _, n := range []uint32{0xfade0cc0, uint32(size), 2, 0, 28, 0x10000, 128} {
		b = o.AppendUint32(b, n)
	}
	for _, n := range []uint32{0xfade0c02, 100, 0x20400, 0x10000, 0, 56, 0, 0, 0, 0, 0, 0, 70, 0} {
		b = o.AppendUint32(b, n)
	}
	b = append(b, "org.example\x00\x00\x00TEAM\x00"...)
	b = append(b, make([]byte, 128-len(b))...)
	return o.AppendUint32(o.AppendUint32(b, 0xfade0b01), 1000)
}

func TestSignatureRefuses(t *testing.T) {
	p := newTiny(binary.LittleEndian, 8, magic120)
	for name, blob := range map[string]string{
		"nothing":           strings.Repeat("\x00", 64),
		"truncated":         string(superBlob(64)[:30]),
		"many blobs":        "\xfa\xde\x0c\xc0\x00\x00\x00\x40\xff\xff\xff\xff",
		"directory outside": "\xfa\xde\x0c\xc0\x00\x00\x00\x40\x00\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\x00",
	} {
		data := p.macho(cpuARM64, 64)
		copy(data[len(data)-64:], blob)
		if s, ok, err := open(t, data).Signature(); err == nil || !ok {
			t.Errorf("%s: %+v, %t", name, s, ok)
		}
	}
}

func TestUniversal(t *testing.T) {
	arm := build(t, "darwin", "arm64")
	other := withContent(t, newTiny(binary.LittleEndian, 8, magic120).macho(cpuAMD64, 0))
	data := universal(other, arm)
	f, err := Read(context.Background(), "x", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Format != Universal || len(f.Binaries) != 2 {
		t.Fatalf("%+v", f)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		b := f.Binaries[i]
		if b.GOARCH != arch || b.Content == nil || b.Content.State != ContentIntact || b.Offset == 0 || b.Code == nil {
			t.Errorf("%+v", b)
		}
	}
	whole := open(t, data)
	if s, ok := whole.SectionAt(f.Binaries[1].Offset + 1); !ok || s.Name != "(slice arm64)" {
		t.Errorf("%+v", s)
	}
	var page bytes.Buffer
	if err := NewDocument(f).Fprint(&page); err != nil || strings.Count(page.String(), "  slice ") != 2 {
		t.Errorf("%v\n%s", err, &page)
	}
	// A slice that cannot be read is a note, and the others are read.
	broken := slices.Clone(data)
	broken[4096] = 0
	if f, err = Read(context.Background(), "x", bytes.NewReader(broken), int64(len(broken))); err != nil {
		t.Fatal(err)
	}
	if len(f.Binaries) != 2 || len(f.Binaries[0].Notes) != 1 || f.Binaries[1].Content == nil {
		t.Errorf("%+v", f)
	}
	for name, bad := range map[string][]byte{
		"Java class":    []byte("\xca\xfe\xba\xbe\x00\x00\x00\x41\x00\x10some constants and so on"),
		"no slices":     universal(),
		"slice outside": universal(arm)[:100_000],
	} {
		if _, err := Open(bytes.NewReader(bad), int64(len(bad))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// use reads all that can be read of data and checks that it is in bounds.
func use(t *testing.T, data []byte) {
	t.Helper()
	size := int64(len(data))
	f, err := Read(context.Background(), "x", bytes.NewReader(data), size)
	if err != nil {
		return
	}
	for _, b := range f.Binaries {
		if len(b.Sections) > maxSections || len(b.Paths) > maxPaths || len(b.Libraries) > maxNeeded || len(b.Embedded) > maxEmbedded {
			t.Errorf("%d sections, %d paths, %d libraries, %d files", len(b.Sections), len(b.Paths), len(b.Libraries), len(b.Embedded))
		}
		for _, s := range b.Sections {
			if s.Offset < 0 || s.Size <= 0 || s.Offset+s.Size > size {
				t.Errorf("%+v in %d bytes", s, size)
			}
		}
		if c := b.Content; c != nil && (c.Uncovered < 0 || c.Uncovered > size) {
			t.Errorf("%+v in %d bytes", c, size)
		}
		if b.Code != nil && (b.Code.Functions > len(data) || len(b.Code.Packages) > maxPackages) {
			t.Errorf("%d functions in %d bytes", b.Code.Functions, size)
		}
	}
	bin, err := Open(bytes.NewReader(data), size)
	if err != nil {
		t.Fatal(err) // Read could
	}
	n := 0
	for f, err := range bin.Functions() {
		if n++; err == nil && (f.Offset < -1 || f.Offset >= size || f.Size < 0 || len(f.Name) > maxSymbol || n > len(data)) {
			t.Fatalf("function %d is %+v in %d bytes", n, f, size)
		}
	}
	d := NewDocument(f)
	var page bytes.Buffer
	if err := d.Fprint(&page); err != nil {
		t.Fatal(err)
	}
	plain(t, page.Bytes())
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	plain(t, text)
}

// FuzzRead: whatever the file, the page and the JSON are ASCII and all is in
// bounds.
func FuzzRead(f *testing.F) {
	small := tinies()
	for _, data := range small {
		f.Add(data)
		f.Add(data[:len(data)*2/3])
	}
	f.Add(universal(small["macho"], small["macho"]))
	f.Add(newTiny(binary.LittleEndian, 8, magic120).macho(cpuARM64, 700))
	f.Fuzz(func(t *testing.T, data []byte) { use(t, data) })
}

// TestTruncated: a file that is cut off anywhere has fewer facts.
func TestTruncated(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 11
	}
	for _, p := range targets {
		t.Run(p[0]+" "+p[1], func(t *testing.T) {
			data := build(t, p[0], p[1], "-ldflags=-s -w")
			for percent := 0; percent < 100; percent += step {
				cut := data[:len(data)*percent/100]
				use(t, cut)
				if b, err := Open(bytes.NewReader(cut), int64(len(cut))); err == nil {
					if c, err := b.CheckContent(); err == nil && c.State != ContentChanged {
						t.Errorf("%d %%: %+v", percent, c)
					}
				}
			}
		})
	}
}

// TestDamaged changes bytes at random.
func TestDamaged(t *testing.T) {
	rounds := 500
	if testing.Short() {
		rounds = 50
	}
	r := rand.New(rand.NewPCG(1, 2))
	for name, good := range tinies() {
		t.Run(name, func(t *testing.T) {
			for range rounds {
				data := slices.Clone(good)
				for range 1 + r.IntN(4) {
					at := r.IntN(len(data))
					switch r.IntN(3) {
					case 0:
						data[at] = byte(r.Uint32())
					case 1:
						data[at] ^= 1 << r.IntN(8)
					case 2:
						copy(data[at:], "\xff\xff\xff\xff\xff\xff\xff\x7f"[:1+r.IntN(8)])
					}
				}
				use(t, data)
			}
		})
	}
}

// TestBounded: files that state the same range many times do not make the work
// grow with that number.
func TestBounded(t *testing.T) {
	p := newTiny(binary.LittleEndian, 8, magic120)
	p.data = append(p.data, make([]byte, 1<<20)...)
	big := p.elf(4096)
	// Without the section of the table it is searched for in all segments.
	hidden := bytes.ReplaceAll(p.elf(4096), []byte(".gopclntab"), []byte(".otherwise"))
	overlapping := universal(p.macho(cpuAMD64, 0))
	for i := range maxSlices {
		copy(overlapping[8+20*i:], overlapping[8:28])
	}
	binary.BigEndian.PutUint32(overlapping[4:], maxSlices)
	for name, data := range map[string][]byte{"segments": big, "no table": hidden, "slices": overlapping} {
		t.Run(name, func(t *testing.T) {
			counter := &countingReader{r: bytes.NewReader(data)}
			f, err := Read(context.Background(), "x", counter, int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if limit := int64(60 * len(data)); counter.n > limit {
				t.Errorf("%d bytes were read of %d", counter.n, len(data))
			}
			if f.Binaries[0].Code == nil || f.Binaries[0].Code.Functions != 2 {
				t.Errorf("%+v", f.Binaries[0].Code)
			}
		})
	}
}

type countingReader struct {
	r io.ReaderAt
	n int64
}

func (c *countingReader) ReadAt(p []byte, offset int64) (int, error) {
	c.n += int64(len(p))
	return c.r.ReadAt(p, offset)
}

// TestNameBudget: functions that all have the same long name are a contradiction,
// since names do not overlap.
func TestNameBudget(t *testing.T) {
	o := binary.LittleEndian
	const count = 20_000
	name := "example.test/m." + strings.Repeat("x", 4000) + "\x00"
	b := o.AppendUint32(nil, magic120)
	b = append(b, 0, 0, 1, 8)
	header := 8 + 8*8
	funcs := header + len(name)
	for _, w := range []int{count, 0, 0, header, funcs, funcs, funcs, funcs} {
		b = o.AppendUint64(b, uint64(w))
	}
	b = append(b, name...)
	for i := range count {
		b = o.AppendUint32(o.AppendUint32(b, uint32(i)), 8*count+4)
	}
	b = append(o.AppendUint32(b, count), make([]byte, 44)...)
	table, ok := newPclntab(bytes.NewReader(b), int64(len(b)), &Binary{order: o, pointer: 8})
	if !ok {
		t.Fatal("no table")
	}
	n := 0
	err := table.functions(&Binary{}, func(f Function, err error) bool {
		if n++; !strings.HasPrefix(name, f.Name) || len(f.Name) < 4000 {
			t.Fatal(fmt.Errorf("%+v, %w", f, err))
		}
		return true
	})
	if !errors.Is(err, errTable) || n > count/10 {
		t.Errorf("%d functions, %v", n, err)
	}
}
