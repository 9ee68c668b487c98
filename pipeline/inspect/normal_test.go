package inspect

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

var allNormalizations = []Normalization{WithoutSignature, WithoutBuildID}

// compared compares, and checks what holds for every comparison.
func compared(t testing.TB, x, y []byte, list ...Normalization) (Comparison, error) {
	t.Helper()
	c, err := Compare(open(t, x), open(t, y), list...)
	if err == nil {
		checkComparison(t, x, y, c)
	}
	return c, err
}

// checkComparison checks that ranges are in bounds, in order and disjoint, and have
// a name and the same place in both files, and that files which are the same differ
// nowhere else.
func checkComparison(t testing.TB, x, y []byte, c Comparison) {
	t.Helper()
	for _, f := range []struct {
		data  []byte
		list  []Range
		other []Range
	}{{x, c.A, c.B}, {y, c.B, c.A}} {
		at := int64(0)
		for i, r := range f.list {
			if r.Name == "" || r.Offset < at || r.Size <= 0 || r.Offset+r.Size > int64(len(f.data)) {
				t.Fatalf("%+v: out of order, or of %d bytes", f.list, len(f.data))
			}
			at = r.Offset + r.Size
			if at == int64(len(f.data)) {
				continue
			}
			if i >= len(f.other) || f.other[i].Offset != r.Offset || f.other[i].Size != r.Size {
				t.Fatalf("%+v of one file, %+v of the other", f.list, f.other)
			}
		}
	}
	if !c.Same {
		return
	}
	// All ranges but the ends are at the same offsets, so the bytes can be
	// compared where they stand.
	in := func(list []Range, at int) bool {
		return slices.ContainsFunc(list, func(r Range) bool { return r.Offset <= int64(at) && int64(at) < r.Offset+r.Size })
	}
	for i := range max(len(x), len(y)) {
		if i < len(x) && i < len(y) && x[i] == y[i] {
			continue
		}
		if i < len(x) && !in(c.A, i) || i < len(y) && !in(c.B, i) {
			t.Fatalf("the files are the same, and differ at %d, which is in none of %+v, %+v", i, c.A, c.B)
		}
	}
}

func same(t testing.TB, x, y []byte, list ...Normalization) bool {
	t.Helper()
	c, err := compared(t, x, y, list...)
	if err != nil {
		t.Fatal(err)
	}
	return c.Same
}

// differ checks that no normalization makes two files the same, in either order.
func differ(t *testing.T, what string, x, y []byte) {
	t.Helper()
	for _, list := range [][]Normalization{nil, {WithoutSignature}, {WithoutBuildID}, allNormalizations} {
		for _, p := range [][2][]byte{{x, y}, {y, x}} {
			if c, err := compared(t, p[0], p[1], list...); err == nil && c.Same {
				t.Errorf("%s: the same but for %+v", what, c.A)
			}
		}
	}
}

// signed puts a signature on a file, as signing tools do, in the place of the
// linker's if it has one.
func signed(t testing.TB, data []byte, size int) []byte {
	t.Helper()
	o := binary.LittleEndian
	b := open(t, data)
	data = slices.Clone(data)
	if b.Format == PE {
		o.PutUint32(data[b.pe.checksumAt:], 0x1234)
		for len(data)%8 != 0 {
			data = append(data, 0)
		}
		o.PutUint32(data[b.pe.securityAt:], uint32(len(data)))
		o.PutUint32(data[b.pe.securityAt+4:], uint32(size))
		return append(data, certificate(size)...)
	}
	end := b.size
	if sig, ok := b.section("(code signature)"); ok {
		end = sig.Offset
	} else { // of which Go's linker leaves room for load commands
		at := machoHeader + int64(o.Uint32(data[machoCounts+4:]))
		o.PutUint32(data[at:], lcSignature)
		o.PutUint32(data[at+4:], signatureCommand)
		o.PutUint32(data[at+8:], uint32(end))
		o.PutUint32(data[machoCounts:], o.Uint32(data[machoCounts:])+1)
		o.PutUint32(data[machoCounts+4:], o.Uint32(data[machoCounts+4:])+signatureCommand)
	}
	data = append(data[:end:end], superBlob(int64(size))...)
	data = append(data, make([]byte, max(0, int(end)+size-len(data)))...)
	setMachO(t, data, 0, uint32(size), uint64(len(data)))
	return data
}

// certificate is an entry of size bytes for the table of a PE file: a PKCS #7
// signature without a signer.
func certificate(size int) []byte {
	must := func(v any) []byte {
		der, err := asn1.Marshal(v)
		if err != nil {
			panic(err)
		}
		return der
	}
	raw := func(class, tag int, content ...[]byte) []byte {
		return must(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: bytes.Join(content, nil)})
	}
	oid := func(last int) []byte { return must(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, last}) }
	var der []byte
	for filler := size; der == nil || len(der) > size-8; filler-- {
		der = raw(0, asn1.TagSequence, oid(2), raw(2, 0, raw(0, asn1.TagSequence, must(1), raw(0, asn1.TagSet),
			raw(0, asn1.TagSequence), raw(2, 0, make([]byte, filler)), raw(0, asn1.TagSet))))
	}
	cert := binary.LittleEndian.AppendUint32(nil, uint32(size))
	cert = append(cert, 0, 2, 2, 0)
	cert = append(cert, der...)
	return append(cert, make([]byte, size-len(cert))...)
}

// setMachO writes the place and size of a signature (0 leaves them) and adjusts
// __LINKEDIT to a file that ends at end.
func setMachO(t testing.TB, data []byte, at, size uint32, end uint64) {
	t.Helper()
	o := binary.LittleEndian
	b := open(t, data)
	if c, ok := b.macho.command(lcSignature, 16); ok {
		if at != 0 {
			o.PutUint32(data[c.offset+8:], at)
		}
		if size != 0 {
			o.PutUint32(data[c.offset+12:], size)
		}
	}
	link, ok := b.macho.segment("__LINKEDIT")
	if !ok {
		t.Fatal("no __LINKEDIT")
	}
	n := end - o.Uint64(link.data[40:])
	o.PutUint64(data[link.offset+48:], n)
	o.PutUint64(data[link.offset+32:], (n+0x3fff)&^0x3fff)
}

// stripped takes a signature off a Mach-O file, as "codesign --remove-signature".
func stripped(t testing.TB, data []byte) []byte {
	t.Helper()
	o := binary.LittleEndian
	b := open(t, data)
	c, ok := b.macho.command(lcSignature, 16)
	if !ok {
		t.Fatal("no signature")
	}
	end := c.word(8)
	data = slices.Clone(data[:end])
	clear(data[c.offset : c.offset+16])
	o.PutUint32(data[machoCounts:], o.Uint32(data[machoCounts:])-1)
	o.PutUint32(data[machoCounts+4:], o.Uint32(data[machoCounts+4:])-16)
	setMachO(t, data, 0, 0, uint64(end))
	return data
}

func TestCompare(t *testing.T) {
	for _, p := range []struct {
		os, arch string
		resign   bool // the linker signs, so that another build ID means another signature
		signs    bool // there are signatures in the format
	}{{"linux", "amd64", false, false}, {"windows", "amd64", false, true}, {"darwin", "amd64", false, true}, {"darwin", "arm64", true, true}} {
		t.Run(p.os+" "+p.arch, func(t *testing.T) {
			a := build(t, p.os, p.arch, "-trimpath", "-ldflags=-s -w")
			b := build(t, p.os, p.arch, "-trimpath", "-ldflags=-w -s") // the same but for the build ID
			c := build(t, p.os, p.arch, "-trimpath", "-ldflags=-s -w -X main.version=some")
			if same(t, a, b) {
				t.Error("the builds are equal, and should have two build IDs")
			}
			if same(t, a, b, WithoutSignature) {
				t.Error("two build IDs are the same without a signature")
			}
			if got := same(t, a, b, WithoutBuildID); got == p.resign {
				t.Errorf("without build ID: %v", got)
			}
			ids, err := compared(t, a, b, allNormalizations...)
			if want := int64(83); err != nil || !ids.Same || ids.LeftOut() < want || !p.resign && ids.LeftOut() > want+maxHostID {
				t.Errorf("without both: %+v, %v", ids, err)
			}
			differ(t, "another value", a, c)
			flipped := slices.Clone(a)
			flipped[len(a)/3] ^= 1
			differ(t, "a byte that was changed", a, flipped)
			differ(t, "a byte that was added", a, append(slices.Clone(a), 0))
			if !p.signs {
				return
			}
			s, bigger := signed(t, a, 9000), signed(t, a, 30_000)
			for what, pair := range map[string][2][]byte{"signed": {s, a}, "signed the other way round": {a, s}, "signed with something bigger": {bigger, s}} {
				c, err := compared(t, pair[0], pair[1], WithoutSignature)
				if err != nil || !c.Same || c.LeftOut() > 30_100 || c.LeftOut() < int64(len(pair[0])-len(a)) {
					t.Errorf("%s: %+v, %v", what, c, err)
				}
			}
			if same(t, a, s) || same(t, a, s, WithoutBuildID) {
				t.Error("a signature does not show")
			}
			changed := slices.Clone(s)
			changed[len(a)/3] ^= 1
			differ(t, "a byte that was changed under a signature", a, changed)
			differ(t, "bytes behind a signature", a, append(slices.Clone(s), "more"...))
			differ(t, "another value under a signature", c, s)
		})
	}
	data := build(t, "linux", "amd64", "-trimpath", "-ldflags=-s -w")
	module := tinies()["wasm"]
	if !same(t, module, bytes.Replace(module, []byte("AAAA/"), []byte("ZZZZ/"), 1), WithoutBuildID) {
		t.Error("another build ID of a WebAssembly module differs")
	}
	if _, err := compared(t, data, data, "x"); err == nil {
		t.Error("an unknown normalization: accepted")
	}
	if c, err := compared(t, data, build(t, "darwin", "arm64", "-trimpath", "-ldflags=-s -w"), allNormalizations...); err != nil || c.Same {
		t.Errorf("two formats: %+v, %v", c, err)
	}
}

// TestRemovedSignature: the linker signs for darwin/arm64, and somebody takes that
// off again, of a file or of a slice of a universal one.
func TestRemovedSignature(t *testing.T) {
	built := build(t, "darwin", "arm64", "-trimpath", "-ldflags=-s -w")
	bare := stripped(t, built)
	whole := universal(stripped(t, signed(t, build(t, "darwin", "amd64", "-trimpath", "-ldflags=-s -w"), 700)), bare)
	f := open(t, whole)
	slice := whole[f.Slices[1].Offset:][:f.Slices[1].Size]
	for what, published := range map[string][]byte{"file": bare, "slice": slice, "signed after that": signed(t, bare, 5000)} {
		c, err := compared(t, published, built, WithoutSignature)
		if err != nil || !c.Same {
			t.Errorf("%s: %+v, %v", what, c, err)
		}
		// What is left out of a file without a signature are the headers' fields.
		if n := c.LeftOut(); what != "signed after that" && n != 8+16+8+8 {
			t.Errorf("%s: %d bytes left out: %+v", what, n, c.A)
		}
	}
	hidden := slices.Clone(bare)
	at := machoHeader + binary.LittleEndian.Uint32(bare[machoCounts+4:])
	hidden[at+3] = 0x90
	differ(t, "something in the place of the load command", hidden, built)
	setMachO(t, hidden, 0, 0, uint64(len(hidden)))
	hidden[at+3] = 0
	differ(t, "cut short", hidden[:len(hidden)-16], built)
}

// code stands for instructions of an attacker.
var code = bytes.Repeat([]byte{0x90, 0xcc}, 100)

// zeroRun returns the offset of n zeros, more than 64 bytes into a run of them.
func zeroRun(t *testing.T, data []byte, n int) int {
	t.Helper()
	at := bytes.LastIndex(data, make([]byte, n+200))
	if at < 0 {
		t.Fatalf("no run of %d zeros", n+200)
	}
	return at + 64
}

// TestForgedBuildID: nothing that a stranger chooses for an ID lets it leave out
// more than the ID's own place.
func TestForgedBuildID(t *testing.T) {
	const shell = "\x31\xc0\x50\x68//sh\x68/bin"
	for _, p := range [][2]string{{"linux", "amd64"}, {"windows", "amd64"}, {"darwin", "amd64"}, {"darwin", "arm64"}} {
		t.Run(p[0]+" "+p[1], func(t *testing.T) {
			good := build(t, p[0], p[1], "-trimpath", "-ldflags=-s -w")
			_, own, err := open(t, good).buildID()
			if err != nil {
				t.Fatal(err)
			}
			id := good[own.Offset:][:own.Size]
			run := zeroRun(t, good, len(id))
			with := func(at int, text string) []byte {
				data := slices.Clone(good)
				copy(data[at:], text)
				return data
			}
			copied := with(run, string(id))
			differ(t, "the ID over zeros", copied, good)
			// The go command's own hash does not cover them, and that is told.
			before, err := open(t, good).CheckContent()
			after, err2 := open(t, copied).CheckContent()
			if p[1] != "arm64" && (err != nil || err2 != nil || after.Uncovered != before.Uncovered+own.Size) {
				t.Errorf("%+v, %v; %+v, %v", before, err, after, err2)
			}
			payload := (shell + strings.Repeat("\x90", len(id)))[:len(id)]
			forged := with(int(own.Offset), payload)
			differ(t, "code in the place of the ID", forged, good)
			copy(forged[run:], payload)
			differ(t, "code in the place of the ID, and over zeros", forged, good)
			zeros := with(int(own.Offset), string(make([]byte, len(id))))
			copy(zeros[run:], payload)
			differ(t, "an ID of zeros", zeros, good)
			differ(t, "an ID of another form", with(int(own.Offset), strings.Repeat("A", len(id))), good)
			// Of the go command's form it is only left out where it is.
			other := with(int(own.Offset), tinyID)
			if !same(t, other, good, allNormalizations...) && p[1] != "arm64" { // which is signed
				t.Error("another ID in its place differs")
			}
			copy(other[run:], tinyID)
			differ(t, "another ID, and the same over zeros", other, good)

			// Files whose own ID is somewhere else, or is short.
			for _, short := range []string{"\x01", "\x00", "A", tinyID[:len(tinyID)-1]} {
				data := slices.Clone(good)
				if open(t, good).Format == ELF {
					copy(data[own.Offset:], short)
					binary.LittleEndian.PutUint32(data[own.Offset-12:], uint32(len(short))) // the note's size
				} else {
					copy(data[own.Offset:], short+buildIDEnd)
				}
				differ(t, "a short ID", data, good)
				data[run] = 1
				differ(t, "a short ID, and a byte of it elsewhere", data, good)
			}
			if open(t, good).Format == ELF {
				return
			}
			moved := with(int(own.Offset)-10, "xxxx")
			copy(moved[run:], buildIDStart+tinyID+buildIDEnd)
			differ(t, "an ID elsewhere", moved, good)
		})
	}
	// A note that the headers place over code: in the honest file it is not there.
	good := build(t, "linux", "amd64", "-trimpath", "-ldflags=-s -w")
	b := open(t, good)
	text, _ := b.section(".text")
	forged := slices.Clone(good)
	o := binary.LittleEndian
	for i, p := range b.elf.progs {
		if p.kind == ptNote {
			o.PutUint64(forged[64+56*i+8:], uint64(text.Offset))
		}
	}
	for i, n := range []uint32{4, uint32(len(tinyID)), 4} {
		o.PutUint32(forged[text.Offset+4*int64(i):], n)
	}
	copy(forged[text.Offset+12:], "Go\x00\x00"+tinyID)
	if id, where, err := open(t, forged).buildID(); err != nil || id.ID != tinyID || where.Offset != text.Offset+16 {
		t.Fatalf("%+v at %+v, %v: the note is not read where the headers have it", id, where, err)
	}
	differ(t, "a note over code", forged, good)

	// Two files of a stranger cannot leave out a note that is longer than an ID.
	long := func(fill byte) []byte {
		data := slices.Clone(good)
		h, _ := b.HostID()
		o.PutUint32(data[h.offset-12:], 400)
		copy(data[h.offset:], bytes.Repeat([]byte{fill}, 400))
		return data
	}
	differ(t, "a long GNU build ID", long(1), long(2))
}

// TestForgedSignature: a signature is left out only where nothing runs.
func TestForgedSignature(t *testing.T) {
	o := binary.LittleEndian
	for _, arch := range []string{"amd64", "arm64"} {
		good := build(t, "darwin", arch, "-trimpath", "-ldflags=-s -w")
		const size = 20_000
		s := signed(t, good, size)
		at := len(s) - size
		b := open(t, s)
		command, _ := b.macho.command(lcSignature, 16)
		link, _ := b.macho.segment("__LINKEDIT")
		textSegment, _ := b.macho.segment("__TEXT")
		text, _ := b.section("__TEXT,__text")
		forge := func(what string, change func(data []byte) []byte) {
			t.Helper()
			data := slices.Clone(s)
			copy(data[at+9000:], code)
			if !same(t, data, good, WithoutSignature) {
				t.Fatal("what a signature has in it shows")
			}
			differ(t, arch+": "+what, change(data), good)
			differ(t, arch+": "+what+", against a signed one", change(slices.Clone(data)), s)
		}
		forge("over the code", func(data []byte) []byte {
			copy(data[text.Offset+100:], code)
			setMachO(t, data, uint32(text.Offset), uint32(len(data)-int(text.Offset)), uint64(len(data)))
			return data
		})
		forge("the code in its segment", func(data []byte) []byte {
			o.PutUint64(data[textSegment.offset+48:], uint64(len(data)))
			return data
		})
		forge("executable", func(data []byte) []byte {
			o.PutUint32(data[link.offset+segmentProtect:], 7)
			o.PutUint32(data[link.offset+segmentProtect+4:], 5)
			return data
		})
		forge("large in memory", func(data []byte) []byte {
			o.PutUint64(data[link.offset+32:], 1<<30)
			return data
		})
		forge("code behind it", func(data []byte) []byte { return append(data, code...) })
		forge("code behind it, in the segment", func(data []byte) []byte {
			data = append(data, code...)
			setMachO(t, data, 0, 0, uint64(len(data)))
			return data
		})
		forge("code behind what it says that it takes", func(data []byte) []byte {
			binary.BigEndian.PutUint32(data[at+4:], 8000)
			return data
		})
		forge("no signature", func(data []byte) []byte {
			clear(data[at : at+8])
			return data
		})
		forge("two of them", func(data []byte) []byte {
			end := machoHeader + int(o.Uint32(data[machoCounts+4:]))
			copy(data[end:], data[command.offset:command.offset+16])
			o.PutUint32(data[machoCounts:], o.Uint32(data[machoCounts:])+1)
			o.PutUint32(data[machoCounts+4:], o.Uint32(data[machoCounts+4:])+16)
			return data
		})
		forge("another load command in its place", func(data []byte) []byte {
			o.PutUint32(data[command.offset:], lcLoadDylib)
			return data
		})
	}
	good := build(t, "windows", "amd64", "-trimpath", "-ldflags=-s -w")
	s := signed(t, good, 9000)
	b := open(t, s)
	for what, change := range map[string]func(data []byte) []byte{
		"over the data": func(data []byte) []byte {
			at := (uint32(b.pe.end) - 4096) &^ 7
			copy(data[at:], "\x00\x10\x00\x00\x00\x02\x02\x00")
			o.PutUint32(data[b.pe.securityAt:], at)
			o.PutUint32(data[b.pe.securityAt+4:], uint32(len(data))-at)
			return data
		},
		"in a section": func(data []byte) []byte {
			at := bytes.Index(data, []byte(".reloc\x00\x00"))
			o.PutUint32(data[at+16:], o.Uint32(data[at+16:])+20_000)
			return data
		},
		"behind it": func(data []byte) []byte { return append(data, code...) },
		"with code in a signature's place": func(data []byte) []byte {
			copy(data[len(data)-9000+8:], code)
			return data
		},
		"with a byte behind the signature": func(data []byte) []byte {
			data[len(data)-1] = 1
			return data
		},
		"of a shorter length": func(data []byte) []byte {
			o.PutUint32(data[len(data)-9000:], 8900)
			return data
		},
		"of a longer length": func(data []byte) []byte {
			o.PutUint32(data[len(data)-9000:], 9008)
			return data
		},
		"of another type": func(data []byte) []byte {
			o.PutUint16(data[len(data)-9000+6:], 1)
			return data
		},
		"with another behind it that is none": func(data []byte) []byte {
			o.PutUint32(data[b.pe.securityAt+4:], 9000+64)
			return append(data, append(certificate(64)[:8], make([]byte, 56)...)...)
		},
		"not all of the end": func(data []byte) []byte {
			o.PutUint32(data[b.pe.securityAt+4:], 8000)
			return data
		},
	} {
		data := change(slices.Clone(s))
		differ(t, "certificates "+what, data, good)
		differ(t, "certificates "+what+", against signed ones", data, s)
	}
	odd := append(slices.Clone(s[:b.pe.end]), 1, 2, 3, 4, 0, 0, 0, 0)
	odd = append(odd, s[b.pe.end:]...)
	o.PutUint32(odd[b.pe.securityAt:], uint32(b.pe.end)+8)
	differ(t, "bytes before the certificates", odd, good)
}

// FuzzCompare: files that are the same after a normalization differ in the ranges
// that it names alone, and these are in bounds, in order, disjoint and at the same
// place.
func FuzzCompare(f *testing.F) {
	little := newTiny(binary.LittleEndian, 8, magic120)
	add := func(x, y []byte) { f.Add(x, y, uint16(0), uint16(0), []byte{}) }
	for _, x := range tinies() {
		add(x, x)
		add(x, bytes.ReplaceAll(x, []byte("AAAAAAAAAAAAAAAAAAAA"), []byte("ZZZZZZZZZZZZZZZZZZZZ")))
	}
	for _, cpu := range []uint32{cpuAMD64, cpuARM64} {
		plain := little.macho(cpu, 0)
		add(plain, signed(f, plain, 700))
		add(signed(f, plain, 400), signed(f, plain, 700))
		add(stripped(f, signed(f, plain, 700)), signed(f, plain, 300))
	}
	for _, x := range tinies() {
		f.Add(x, []byte{}, uint16(len(x)/2), uint16(len(x)/2), []byte("a patch"))
	}
	add(little.pe(), signed(f, little.pe(), 64))
	add(signed(f, little.pe(), 128), signed(f, little.pe(), 64))
	odd := append(little.pe(), 0, 1)
	add(signed(f, odd, 128), odd)
	f.Fuzz(func(t *testing.T, x, y []byte, at, to uint16, patch []byte) {
		if len(y) == 0 {
			y = x
		}
		// A patch of both files at one place finds more than two inputs that have
		// nothing to do with each other.
		for i, data := range []*[]byte{&x, &y} {
			*data = slices.Clone(*data)
			if n := int([]uint16{at, to}[i]); n < len(*data) {
				copy((*data)[n:], patch)
			}
		}
		a, errA := Open(bytes.NewReader(x), int64(len(x)))
		b, errB := Open(bytes.NewReader(y), int64(len(y)))
		if errA != nil || errB != nil {
			return
		}
		for _, list := range [][]Normalization{nil, {WithoutSignature}, {WithoutBuildID}, allNormalizations} {
			if c, err := Compare(a, b, list...); err == nil {
				checkComparison(t, x, y, c)
				if list == nil && c.Same != bytes.Equal(x, y) {
					t.Fatalf("nothing was left out, and same is %t", c.Same)
				}
			}
		}
	})
}
