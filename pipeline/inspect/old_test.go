package inspect

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
)

// TestOldVariables: the addresses and sizes in build information of Go 1.13 to 1.17 may be anything. They
// lead to an error or to a bounded text, and little is read.
func TestOldVariables(t *testing.T) {
	for _, pointer := range []int{4, 8} {
		p := newTiny(binary.LittleEndian, pointer, magic116)
		good := p.elf(1)
		header := bytes.Index(good, []byte("\xff Go buildinf:"))
		if header < 0 {
			t.Fatal("no header")
		}
		put := func(data []byte, at int, n uint64) {
			if pointer == 4 {
				binary.LittleEndian.PutUint32(data[at:], uint32(n))
			} else {
				binary.LittleEndian.PutUint64(data[at:], n)
			}
		}
		self := p.base + uint64(p.info+16)
		for field := range 6 { // two addresses of variables, and an address and a size in each of these
			at := header + 16 + field*pointer
			if field >= 2 {
				at = header + 32 + (field-2)*pointer
			}
			for _, n := range []uint64{0, 1, self, self + 1, p.base, p.base - 1, p.base + uint64(len(p.data)), 1 << 20, 1 << 31, math.MaxInt32, math.MaxUint32, 1 << 62, math.MaxInt64, math.MaxUint64, math.MaxUint64 - 15} {
				data := bytes.Clone(good)
				put(data, at, n)
				use(t, data)
				counter := &countingReader{r: bytes.NewReader(data)}
				b, err := Open(counter, int64(len(data)))
				if err != nil {
					continue
				}
				if info, err := b.BuildInfo(); err == nil && len(info.GoVersion) > maxBuildInfo {
					t.Errorf("field %d is %#x: a version of %d bytes", field, n, len(info.GoVersion))
				}
				if counter.n > 10*int64(len(data)) {
					t.Errorf("field %d is %#x: %d bytes were read of %d", field, n, counter.n, len(data))
				}
			}
		}
		for what, change := range map[string]func([]byte){
			"another size of pointers": func(d []byte) { d[header+14] = 255 }, "none": func(d []byte) { d[header+14] = 0 },
			"another order": func(d []byte) { d[header+15] ^= 1 }, "an unknown flag": func(d []byte) { d[header+15] |= 0x80 },
		} {
			data := bytes.Clone(good)
			change(data)
			use(t, data)
			if b, err := Open(bytes.NewReader(data), int64(len(data))); err != nil {
				t.Errorf("%s: %v", what, err)
			} else if _, err := b.BuildInfo(); err == nil || err == ErrNoBuildInfo {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// TestMagicHidesNothing: the magic of UPX in a Go program does not take its build information away, so that
// the program is still known as one.
func TestMagicHidesNothing(t *testing.T) {
	good := newTiny(binary.LittleEndian, 8, magic120).elf(1)
	data := append(bytes.Clone(good), "UPX!"...)
	b, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := b.BuildInfo(); err != nil || info.GoVersion != "go1.26.8" {
		t.Errorf("%+v, %v", info, err)
	}
	if f := read(t, data); f.Nature.Is != Program {
		t.Errorf("%+v", f.Nature)
	}
}
