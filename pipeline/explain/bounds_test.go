package explain

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// TestCodeReferences reads instructions that refer to a string, and such that do not.
func TestCodeReferences(t *testing.T) {
	for _, x := range []struct {
		arch, code string
		address    uint64
		length     uint32 // 0: there is no reference
	}{
		{"amd64", "488d0510000000bb09000000", 0x1017, 9},         // LEAQ 0x10(IP), AX; MOVL $9, BX
		{"amd64", "bb09000000488d0510000000", 0x101c, 9},         // the other way round
		{"amd64", "488d0d1000000048c744240809000000", 0x1017, 9}, // MOVQ $9, 8(SP)
		{"amd64", "4c8d05f0ffffff41b809000000", 0x0ff7, 9},       // a negative distance, R8
		{"amd64", "488b0510000000bb09000000", 0, 0},              // MOVQ, not LEAQ
		{"amd64", "488d0424bb09000000", 0, 0},                    // LEAQ (SP), AX
		{"arm64", "00000090008000912101" + "8052", 0x1020, 9},    // ADRP, ADD $32, MOVW $9
		{"arm64", "0000009000800091e1071db2", 0, 0},              // another register follows, and no small number
		{"arm64", "0000009021800091210180d2", 0, 0},              // ADD of another register
	} {
		code, err := hex.DecodeString(x.code)
		if err != nil {
			t.Fatal(err)
		}
		var got []reference
		codeReaders[x.arch](code, 0x1000, func(r reference) { got = append(got, r) })
		switch found := len(got) == 1 && got[0].address == x.address && slices.Contains(got[0].lengths[:], x.length); {
		case x.length > 0 && !found:
			t.Errorf("%s %s: %+v, want %#x and %d", x.arch, x.code, got, x.address, x.length)
		case x.length == 0 && len(got) > 0 && got[0].lengths != [4]uint32{}:
			t.Errorf("%s %s: %+v, want none", x.arch, x.code, got)
		}
	}
}

func TestARM64Constant(t *testing.T) {
	for _, x := range []struct {
		word uint32
		want uint32
		ok   bool
	}{
		{0xd2800121, 9, true},         // MOVZ X1, #9
		{0x52800121, 9, true},         // MOVZ W1, #9
		{0xb2400be1, 7, true},         // ORR X1, XZR, #7
		{0xb27d03e1, 8, true},         // ORR X1, XZR, #8
		{0x320003e1, 1, true},         // ORR W1, WZR, #1
		{0xd2a00121, 0, false},        // MOVZ X1, #9, LSL #16
		{0xb24003e1 ^ 1<<5, 0, false}, // ORR of another register
		{0xb240f3e1, 0, false},        // ORR X1, XZR, #0x1fff...: no length
	} {
		if got, ok := arm64Constant(x.word); ok != x.ok || ok && got != x.want {
			t.Errorf("%#x: %d, %t, want %d, %t", x.word, got, ok, x.want, x.ok)
		}
	}
}

// TestGoStrings shows that the strings of a program have their true ends on each machine whose code is
// read, and that nothing else is one.
func TestGoStrings(t *testing.T) {
	const source = `package main

import "os"

var variable = "a variable of it"

func main() {
	show("first constant")
	show("other constant")
	show(variable)
	show("with a line\n")
	if len(os.Args) > 3 {
		variable = os.Args[1]
	}
}

//go:noinline
func show(s string) { println(s) }
`
	want := []string{"a variable of it", "first constant", "other constant", "with a line\n"}
	for _, env := range [][]string{{"GOOS=linux", "GOARCH=amd64"}, {"GOOS=darwin", "GOARCH=arm64"}, {"GOOS=windows", "GOARCH=amd64"}} {
		if testing.Short() && env[0] != "GOOS=linux" {
			continue
		}
		data := build(t, program{args: args("-ldflags=-s -w"), env: env, files: map[string]string{"main.go": source}})
		bin := open(t, data)
		facts := bin.Facts()
		g, err := readGoStrings(input{t.Context(), bytes.NewReader(data), "x", int64(len(data))}, bin, &facts)
		if err != nil || !g.known || !g.all {
			t.Fatalf("%v: %v, known %t, all %t", env, err, g.known, g.all)
		}

		found := map[string]bool{}
		for _, s := range g.list {
			text, _ := g.read(s)
			found[text] = true
		}
		for _, s := range want {
			if !found[s] {
				t.Errorf("%v: no %q", env, s)
			}
		}
		for s := range found {
			if s != "first constant" && s != "other constant" && (bytes.Contains([]byte(s), []byte("first constant")) || bytes.Contains([]byte(s), []byte("constantother"))) {
				t.Errorf("%v: joined: %q", env, s)
			}
		}
	}
}

// FuzzReferences shows that code is read without a panic, and no instruction twice.
func FuzzReferences(f *testing.F) {
	f.Add([]byte("\x48\x8d\x05\x10\x00\x00\x00\xbb\x09\x00\x00\x00"), uint64(0x1000))
	f.Add([]byte("\x4c\x8d\x05\xff\xff\xff\xff\xc7\x84\x24\x00\x00\x00\x00\x01\x02\x03\x04"), ^uint64(0))
	f.Add([]byte("\x00\x00\x00\x90\x00\x80\x00\x91\x21\x01\x80\x52"), uint64(0x1001))
	f.Fuzz(func(t *testing.T, code []byte, base uint64) {
		for arch, read := range codeReaders {
			n := 0
			read(code, base, func(reference) { n++ })
			if n > len(code) {
				t.Errorf("%s: %d references in %d bytes", arch, n, len(code))
			}
		}
	})
}

// FuzzGoStrings gives data of which all words may be addresses to the reader of headers.
func FuzzGoStrings(f *testing.F) {
	f.Add([]byte("\x10\x10\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00a text"))
	f.Add([]byte("\x08\x10\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x08\x10\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, pointer := range []int{4, 8} {
			b := block{span{"x", 0, int64(len(data))}, 0x1000, data}
			g := &goStrings{blocks: []block{b}, all: true}
			g.headers(orderOf(&inspect.Facts{}), pointer)
			for _, s := range g.list {
				if text, _ := g.read(s); int64(len(text)) != s.to-s.from || !isGoText([]byte(text)) {
					t.Errorf("%q", text)
				}
			}
		}
	})
}
