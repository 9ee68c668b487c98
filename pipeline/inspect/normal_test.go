package inspect

import (
	"encoding/binary"
	"slices"
	"testing"
)

// signed puts a signature on a file, as signing tools do.
func signed(t *testing.T, data []byte, size int) []byte {
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
		cert := make([]byte, size)
		o.PutUint32(cert, uint32(size))
		o.PutUint16(cert[4:], 0x200)
		o.PutUint16(cert[6:], 2)
		return append(data, cert...)
	}
	sig, _ := b.section("(code signature)")
	command, _ := b.macho.command(lcSignature, 16)
	link, _ := b.macho.segment("__LINKEDIT")
	o.PutUint64(data[link.offset+48:], o.Uint64(data[link.offset+48:])-uint64(sig.Size)+uint64(size))
	o.PutUint32(data[command.offset+12:], uint32(size))
	data = append(data[:sig.Offset], make([]byte, size)...)
	copy(data[sig.Offset:], superBlob(int64(size)))
	return data
}

func TestNormal(t *testing.T) {
	normal := func(data []byte, list ...Normalization) Normal {
		t.Helper()
		n, err := open(t, data).Normal(list...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	both := []Normalization{WithoutSignature, WithoutBuildID}
	for _, p := range []struct {
		os, arch  string
		resign    bool          // the linker signs, so that another build ID means another signature
		container Normalization // what takes a later signature off, or ""
	}{{"linux", "amd64", false, ""}, {"windows", "amd64", false, WithoutSignature}, {"darwin", "arm64", true, WithoutSignature}} {
		t.Run(p.os, func(t *testing.T) {
			a := build(t, p.os, p.arch, "-trimpath", "-ldflags=-s -w")
			b := build(t, p.os, p.arch, "-trimpath", "-ldflags=-w -s") // the same but for the build ID
			c := build(t, p.os, p.arch, "-trimpath", "-ldflags=-s -w -X main.version=some")
			if normal(a).Same(normal(b)) {
				t.Error("the builds are equal, and should have two build IDs")
			}
			if normal(a, WithoutSignature).Same(normal(b, WithoutSignature)) {
				t.Error("two build IDs are the same without a signature")
			}
			if got := normal(a, WithoutBuildID).Same(normal(b, WithoutBuildID)); got == p.resign {
				t.Errorf("without build ID: %v", got)
			}
			if x, y := normal(a, both...), normal(b, both...); !x.Same(y) || x.Uncovered < 83 || x.Uncovered > 50_000 {
				t.Errorf("without both: %+v, %+v", x, y)
			}
			if normal(a, both...).Same(normal(c, both...)) {
				t.Error("another value is the same")
			}
			flipped := slices.Clone(a)
			flipped[len(a)/3] ^= 1
			if normal(a, both...).Same(normal(flipped, both...)) {
				t.Error("a byte that was changed is the same")
			}
			if longer := append(slices.Clone(a), 0); !p.resign && normal(a, both...).Same(normal(longer, both...)) {
				t.Error("a byte that was added is the same")
			}
			if p.container == "" {
				return
			}
			s := signed(t, a, 9000)
			if x, y := normal(a, WithoutSignature), normal(s, WithoutSignature); !x.Same(y) || y.Uncovered < 9000 || y.Uncovered > 30_000 {
				t.Errorf("signed: %+v, %+v", x, y)
			}
			if normal(a).Same(normal(s)) || normal(a, WithoutBuildID).Same(normal(s, WithoutBuildID)) {
				t.Error("a signature does not show")
			}
			at := len(a) / 3
			s[at] ^= 1
			if normal(a, both...).Same(normal(s, both...)) {
				t.Error("a byte that was changed under a signature is the same")
			}
			s[at] ^= 1
			// Nothing can hide behind a signature.
			if n, err := open(t, append(s, "more"...)).Normal(WithoutSignature); err == nil && n.Same(normal(a, WithoutSignature)) {
				t.Error("bytes behind a signature are the same")
			}
		})
	}
	if _, err := open(t, build(t, "linux", "amd64", "-trimpath", "-ldflags=-s -w")).Normal("x"); err == nil {
		t.Error("an unknown normalization: accepted")
	}
}
