package inspect

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var built struct {
	sync.Mutex
	files map[string][]byte
}

// build compiles a program without imports for a platform, once. The result must
// not be changed.
func build(t testing.TB, goos, goarch string, args ...string) []byte {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	key := strings.Join(append([]string{goos, goarch}, args...), " ")
	if data, ok := built.files[key]; ok {
		return data
	}
	data := compile(t, map[string]string{
		"go.mod":  "module example.test/tiny\n\ngo 1.26\n",
		"main.go": "package main\n\nvar version = \"none\"\n\nfunc main() { println(version) }\n",
	}, goos, goarch, args...)
	if built.files == nil {
		built.files = map[string][]byte{}
	}
	built.files[key] = data
	return data
}

// compile compiles the package of some files.
func compile(t testing.TB, files map[string]string, goos, goarch string, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out")
	cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// standard reads the same with the standard library.
func standard(t *testing.T, f Format, data []byte) []Section {
	var list []Section
	switch r := bytes.NewReader(data); f {
	case ELF:
		f, err := elf.NewFile(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range f.Sections {
			if s.Type != elf.SHT_NULL && s.Type != elf.SHT_NOBITS && s.FileSize > 0 {
				list = append(list, Section{s.Name, int64(s.Offset), int64(s.FileSize), s.Addr, s.Flags&elf.SHF_COMPRESSED != 0})
			}
		}
	case MachO:
		f, err := macho.NewFile(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range f.Sections {
			if s.Flags&0xff != 1 && s.Flags&0xff != 0x12 && s.Size > 0 {
				list = append(list, Section{s.Seg + "," + s.Name, int64(s.Offset), int64(s.Size), s.Addr, strings.HasPrefix(s.Name, "__zdebug_")})
			}
		}
	case PE:
		f, err := pe.NewFile(r)
		if err != nil {
			t.Fatal(err)
		}
		var base uint64
		switch h := f.OptionalHeader.(type) {
		case *pe.OptionalHeader32:
			base = uint64(h.ImageBase)
		case *pe.OptionalHeader64:
			base = h.ImageBase
		}
		for _, s := range f.Sections {
			if s.SectionHeader.Size > 0 {
				list = append(list, Section{s.Name, int64(s.Offset), int64(s.SectionHeader.Size), base + uint64(s.VirtualAddress), strings.HasPrefix(s.Name, ".zdebug_")})
			}
		}
	}
	return list
}

// TestOpen compares with the standard library, which can be trusted with files
// that the Go linker wrote.
func TestOpen(t *testing.T) {
	tests := []struct {
		goos, goarch string
		args         []string
		format       Format
		parts        []string // that the standard library does not list
	}{
		{"linux", "amd64", nil, ELF, []string{"(ELF header)", "(program headers)", "(section headers)"}},
		{"linux", "amd64", []string{"-ldflags=-s -w"}, ELF, nil},
		{"linux", "386", nil, ELF, []string{"(ELF header)", "(program headers)", "(section headers)"}},
		{"linux", "s390x", nil, ELF, []string{"(section headers)"}},
		{"darwin", "arm64", nil, MachO, []string{"(Mach-O header)", "(symbol table)", "(string table)", "(code signature)", "(LC_UUID)", "__LINKEDIT"}},
		{"windows", "amd64", nil, PE, []string{"(PE headers)", "(time stamp)", "(symbol table)"}},
		{"windows", "amd64", []string{"-ldflags=-s -w"}, PE, []string{"(PE headers)"}},
	}
	for _, tt := range tests {
		t.Run(strings.Join(append([]string{tt.goos, tt.goarch}, tt.args...), " "), func(t *testing.T) {
			data := build(t, tt.goos, tt.goarch, tt.args...)
			b, err := Open(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if b.Format != tt.format {
				t.Errorf("format %q", b.Format)
			}
			want := standard(t, tt.format, data)
			for _, s := range want {
				if !slices.Contains(b.Sections, s) {
					t.Errorf("lacks %v", s)
				}
				if got, ok := b.SectionAt(s.Offset + s.Size/2); !ok || got.Size > s.Size {
					t.Errorf("in the middle of %v is %v", s, got)
				}
			}
			named := 0
			for _, s := range b.Sections {
				if !strings.HasPrefix(s.Name, "(") && s.Name != "__LINKEDIT" {
					named++
				}
			}
			if named != len(want) {
				t.Errorf("%d sections, want %d: %v", named, len(want), b.Sections)
			}
			for _, part := range tt.parts {
				if !slices.ContainsFunc(b.Sections, func(s Section) bool { return s.Name == part }) {
					t.Errorf("lacks %s", part)
				}
			}
			if s, ok := b.SectionAt(int64(len(data))); ok {
				t.Errorf("behind the end is %v", s)
			}

			info, err := b.BuildInfo()
			if err != nil {
				t.Fatal(err)
			}
			wantInfo, err := buildinfo.Read(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			text := "go\t" + info.GoVersion + "\n" + strings.Join(info.Lines, "\n") + "\n"
			if text != wantInfo.String() {
				t.Errorf("build information:\n%s\nwant:\n%s", text, wantInfo)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	good := build(t, "linux", "amd64")
	edit := func(f func([]byte) []byte) []byte { return f(slices.Clone(good)) }
	le := binary.LittleEndian
	tests := []struct {
		name   string
		data   []byte
		format bool // ErrFormat is wanted
	}{
		{"empty", nil, true},
		{"one byte", []byte{0x7f}, true},
		{"text", []byte("#!/bin/sh\necho hello\n"), true},
		{"wasm version", []byte("\x00asm\x02\x00\x00\x00"), false},
		{"DOS", append([]byte("MZ"), make([]byte, 200)...), true},
		{"magic alone", []byte("\x7fELF"), false},
		{"half a header", good[:40], false},
		{"section headers out of the file", good[:70], false},
		{"section headers far out", edit(func(b []byte) []byte { le.PutUint64(b[0x28:], 1<<63); return b }), false},
		{"65535 sections", edit(func(b []byte) []byte { le.PutUint16(b[0x3c:], 65535); return b }), false},
		{"string table index", edit(func(b []byte) []byte { le.PutUint16(b[0x3e:], 500); return b }), false},
		{"entry size", edit(func(b []byte) []byte { le.PutUint16(b[0x3a:], 1); return b }), false},
		{"class", edit(func(b []byte) []byte { b[4] = 3; return b }), false},
		{"byte order", edit(func(b []byte) []byte { b[5] = 3; return b }), false},
		{"Mach-O magic", []byte("\xcf\xfa\xed\xfe"), false},
		{"Mach-O commands", append([]byte("\xcf\xfa\xed\xfe............\xff\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 100)...), false},
		{"MZ", []byte("MZ"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(tt.data), int64(len(tt.data)))
			if err == nil || errors.Is(err, ErrFormat) != tt.format {
				t.Errorf("error %v", err)
			}
		})
	}
	// A size that is not the file's is an error as well.
	if _, err := Open(bytes.NewReader(good[:100]), int64(len(good))); err == nil {
		t.Error("reads what is not there")
	}
}

func TestBuildInfoRefuses(t *testing.T) {
	good := build(t, "linux", "amd64")
	at := bytes.Index(good, []byte("\xff Go buildinf:"))
	edit := func(f func(info []byte)) []byte { b := slices.Clone(good); f(b[at:]); return b }
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"no magic", edit(func(b []byte) { b[0] = 0 }), ErrNoBuildInfo},
		{"old format without a version", edit(func(b []byte) { b[15] = 0 }), nil},
		{"long version", edit(func(b []byte) { copy(b[32:], "\xff\xff\xff\xff\x0f") }), nil},
		{"endless varint", edit(func(b []byte) { copy(b[32:], bytes.Repeat([]byte{0xff}, 12)) }), nil},
		{"largest varint", edit(func(b []byte) { copy(b[32:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") }), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Open(bytes.NewReader(tt.data), int64(len(tt.data)))
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.BuildInfo()
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && errors.Is(err, ErrNoBuildInfo) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// FuzzOpen: sections lie in the file and there are not too many.
func FuzzOpen(f *testing.F) {
	for _, p := range [][2]string{{"linux", "amd64"}, {"linux", "386"}, {"darwin", "arm64"}, {"windows", "amd64"}} {
		data := build(f, p[0], p[1], "-ldflags=-s -w")
		for _, n := range []int{60, 200, 1500, 4096} {
			f.Add(data[:n])
		}
		// The headers, with the build information moved next to them.
		small := slices.Clone(data[:4096])
		if at := bytes.Index(data, []byte("\xff Go buildinf:")); at >= 0 {
			small = append(small, data[at:at+512]...)
		}
		f.Add(small)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if len(b.Sections) > maxSections {
			t.Errorf("%d sections", len(b.Sections))
		}
		for _, s := range b.Sections {
			if s.Offset < 0 || s.Size <= 0 || s.Offset+s.Size > int64(len(data)) {
				t.Errorf("%v in %d bytes", s, len(data))
			}
			if got, ok := b.SectionAt(s.Offset); !ok || got.Size > s.Size {
				t.Errorf("at the start of %v is %v", s, got)
			}
		}
		if info, err := b.BuildInfo(); err == nil && len(info.GoVersion) > len(data) {
			t.Errorf("version of %d bytes", len(info.GoVersion))
		}
	})
}
