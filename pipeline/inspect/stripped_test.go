package inspect

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// withoutTables is what is left of an ELF file for 64 bits when all that is not loaded
// is cut off, as sstrip and llvm-strip --strip-sections do.
func withoutTables(t testing.TB, file []byte) []byte {
	t.Helper()
	b, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	end := int64(0)
	for _, m := range b.maps {
		end = max(end, m.offset+m.size)
	}
	file = slices.Clone(file[:end])
	clear(file[0x28:0x30]) // e_shoff
	clear(file[0x3a:0x40]) // e_shentsize, e_shnum, e_shstrndx
	return file
}

// TestStripped has files that a tool has taken symbols from, and those that are more
// or less than that.
func TestStripped(t *testing.T) {
	elf := build(t, "linux", "amd64", "-trimpath")
	short := build(t, "linux", "amd64", "-trimpath", "-ldflags=-s -w")
	pe := build(t, "windows", "amd64", "-trimpath")
	cut := withoutTables(t, elf)
	open := func(file []byte) *Binary {
		t.Helper()
		b, err := Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	flipped := func(file []byte, at int64) []byte {
		file = slices.Clone(file)
		file[at] ^= 1
		return file
	}
	place := func(name string) int64 {
		t.Helper()
		s, ok := open(elf).section(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		return s.Offset + s.Size/2
	}
	phoff := int64(binary.LittleEndian.Uint64(elf[0x20:]))
	load := phoff
	for ; binary.LittleEndian.Uint32(elf[load:]) != ptLoad; load += 56 {
	}
	for what, c := range map[string]struct {
		a, b []byte
		want bool
	}{
		"itself":                     {elf, elf, true},
		"cut off":                    {cut, elf, true},
		"a symbol renamed":           {flipped(elf, place(".strtab")), elf, true},
		"a zero behind":              {append(slices.Clone(elf), 0), elf, false},
		"cut off, a byte behind":     {append(slices.Clone(cut), 'x'), elf, false},
		"zeros behind a PE file":     {append(slices.Clone(pe), make([]byte, 100)...), pe, true},
		"too many of them":           {append(slices.Clone(pe), make([]byte, 600)...), pe, false},
		"a byte behind a PE file":    {append(slices.Clone(pe), 'x'), pe, false},
		"cut off, another start":     {flipped(cut, 0x18), elf, false},
		"cut off, it may be written": {flipped(cut, load+4), elf, false},
		"cut off, other code":        {flipped(cut, place(".text")), elf, false},
		"cut off, other data":        {flipped(cut, place(".noptrdata")), elf, false},
		"another program":            {build(t, "linux", "arm64", "-trimpath"), elf, false},
		"another format":             {pe, elf, false},
		"a section cut off":          {cut[:len(cut)-0x2000], elf, false},
		"other flags":                {short, elf, false}, // the build ID is loaded
	} {
		got, err := Stripped(open(c.a), open(c.b))
		if err != nil || got != c.want {
			t.Errorf("%s: %t, %v", what, got, err)
		}
	}

	// What the usual tools make, where they are.
	payload := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(payload, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []struct {
		argv    []string
		targets string
		want    bool
	}{
		{[]string{"strip"}, "linux/amd64 windows/amd64", true},
		{[]string{"strip", "-g"}, "linux/amd64", true},
		{[]string{"objcopy", "-R", ".symtab", "-R", ".strtab"}, "linux/amd64", true},
		{[]string{"objcopy", "--add-section", ".payload=" + payload}, "linux/amd64", false},
		{[]string{"llvm-strip"}, "linux/amd64 linux/arm64 windows/amd64 darwin/amd64 darwin/arm64", true},
		{[]string{"llvm-strip", "--strip-sections"}, "linux/amd64", true},
		{[]string{"llvm-strip", "-S"}, "darwin/amd64 darwin/arm64", true},
	} {
		path, err := exec.LookPath(tool.argv[0])
		if err != nil {
			t.Logf("there is no %s here", tool.argv[0])
			continue
		}
		for _, flags := range [][]string{{"-trimpath"}, {"-trimpath", "-ldflags=-s -w"}} {
			for target := range bytes.FieldsSeq([]byte(tool.targets)) {
				goos, goarch, _ := bytes.Cut(target, []byte("/"))
				file := build(t, string(goos), string(goarch), flags...)
				name := filepath.Join(t.TempDir(), "tool")
				if err := os.WriteFile(name, file, 0o755); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command(path, append(tool.argv[1:len(tool.argv):len(tool.argv)], name)...).CombinedOutput(); err != nil {
					t.Logf("%q for %s: %v\n%s", tool.argv, target, err, out)
					continue
				}
				made, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := Stripped(open(made), open(file)); err != nil || got != tool.want {
					t.Errorf("%q for %s %q: %t, %v", tool.argv, target, flags, got, err)
				}
			}
		}
	}
}
