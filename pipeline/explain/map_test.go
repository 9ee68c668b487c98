package explain

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// levelAt is the level of the part that an offset is in.
func levelAt(m *fileMap, side int, offset int64) string {
	return levelNames[m.sides[side][offset/m.size].level]
}

// checkMap checks what holds of any map: every byte is in one stretch.
func checkMap(t testing.TB, m *fileMap) {
	t.Helper()
	for side, size := range m.ends {
		if len(m.sides[side]) > mapParts {
			t.Errorf("%d parts", len(m.sides[side]))
		}
		for _, bySection := range []bool{false, true} {
			at := int64(0)
			for _, x := range m.stretches(side, bySection) {
				if x.from != at || x.to <= x.from {
					t.Errorf("stretch %+v after %d", x, at)
				}
				at = x.to
				if x.level == levelNone {
					t.Errorf("nothing is known of %+v", x)
				}
			}
			if at != size {
				t.Errorf("the map ends at %d of %d", at, size)
			}
		}
	}
}

func TestPieces(t *testing.T) {
	for _, x := range []struct {
		sections []span
		want     []piece
	}{
		{nil, []piece{{0, 100, -1}}},
		{[]span{{"a", 10, 20}}, []piece{{0, 10, -1}, {10, 30, 0}, {30, 100, -1}}},
		{[]span{{"segment", 0, 100}, {"a", 10, 20}, {"b", 30, 70}}, []piece{{0, 10, 0}, {10, 30, 1}, {30, 100, 2}}},
		{[]span{{"a", 10, 20}, {"b", 20, 20}}, []piece{{0, 10, -1}, {10, 30, 0}, {30, 40, 1}, {40, 100, -1}}},
		{[]span{{"gone", -1, 0}, {"empty", 50, 0}, {"a", 90, 10}}, []piece{{0, 90, -1}, {90, 100, 2}}},
		{[]span{{"a", 90, 100}}, []piece{{0, 90, -1}, {90, 100, 0}}},
	} {
		if got := pieces(100, x.sections); !slices.Equal(got, x.want) {
			t.Errorf("%v: %v, want %v", x.sections, got, x.want)
		}
	}
}

func TestPlainMap(t *testing.T) {
	data := bytes.Repeat([]byte("\x00\x01\x02\x03"), 64<<10)
	other := slices.Clone(data)
	other[100_000] ^= 1
	for _, x := range []struct {
		name string
		a, b []byte
		want map[int64]string // levels of A or, below zero, of B
	}{
		{"a byte", data, other, map[int64]string{0: "equal", 100_000: "changed", -100_000: "changed", 102_000: "equal", -200_000: "equal"}},
		{"appended", data, append(slices.Clone(data), data...), map[int64]string{0: "equal", 200_000: "equal", -200_000: "equal", -300_000: "only"}},
		{"short", []byte{1}, []byte{2, 3}, map[int64]string{0: "changed", -1: "only"}},
	} {
		m := explainBytes(t, x.a, x.b, Options{}).drawn
		checkMap(t, m)
		for at, want := range x.want {
			side := 0
			if at < 0 {
				side, at = 1, -at
			}
			if got := levelAt(m, side, at); got != want {
				t.Errorf("%s: at %d of %d it is %s, want %s", x.name, at, side, got, want)
			}
		}
	}
}

// TestMap changes real programs and looks where that shows.
func TestMap(t *testing.T) {
	for _, env := range [][]string{nil, {"GOOS=darwin", "GOARCH=arm64"}, {"GOOS=windows"}, {"GOOS=js", "GOARCH=wasm"}} {
		a := build(t, program{args: args(), env: env})
		m := func(b []byte) *fileMap {
			r := explainBytes(t, a, b, Options{})
			m := r.drawn
			if len(r.Binaries) > 0 { // what follows a module is no part of it
				m = r.Binaries[0].drawn
			}
			checkMap(t, m)
			return m
		}
		changedParts := func(m *fileMap, side int) (n int) {
			for _, c := range m.sides[side] {
				if c.level >= levelChanged {
					n++
				}
			}
			return n
		}
		// One byte of data.
		b := slices.Clone(a)
		at := int64(bytes.Index(b, []byte("none")))
		b[at] ^= 1
		if got := m(b); levelAt(got, 0, at) != "changed" || levelAt(got, 1, at) != "changed" || changedParts(got, 0) > 3 {
			t.Errorf("%v: a byte of data: %s, %d parts", env, levelAt(got, 0, at), changedParts(got, 0))
		}
		// One byte of code.
		b = slices.Clone(a)
		at = functionAt(t, b, "main.work").Offset + 4
		b[at] ^= 1
		if got := m(b); levelAt(got, 0, at) != "changed" || changedParts(got, 0) > 3 {
			t.Errorf("%v: a byte of code: %s, %d parts", env, levelAt(got, 0, at), changedParts(got, 0))
		}
		// Something behind the end.
		b = append(slices.Clone(a), bytes.Repeat([]byte("payload"), 20_000)...)
		if got := m(b); levelAt(got, 1, int64(len(b)-1)) != "only" || changedParts(got, 0) > 2 {
			t.Errorf("%v: behind the end: %s, %d parts", env, levelAt(got, 1, int64(len(b)-1)), changedParts(got, 0))
		}
	}
}

// TestMapShift shows that on a map code that moved is not what changed.
func TestMapShift(t *testing.T) {
	a := build(t, program{args: args("-ldflags=-s -w")})
	b := build(t, program{args: args("-ldflags=-s -w"), files: map[string]string{"main.go": "package main\n\nfunc main() {\n" + strings.Repeat("\tprintln(len(x), x)\n\tx += x\n", 300) + "}\n\nvar x = \"y\"\n"}})
	r := explainBytes(t, a, b, Options{})
	m := r.Binaries[0].drawn
	checkMap(t, m)
	i := slices.IndexFunc(r.Binaries[0].Sections, func(s Section) bool { return s.Name == ".text" })
	text := r.Binaries[0].Sections[i]
	if text.State != "changed" {
		t.Fatalf(".text is %s", text.State)
	}
	total, changed := 0, 0
	for at := text.OffsetB; at < text.OffsetB+text.SizeB; at += m.size {
		total++
		if l := m.sides[1][at/m.size].level; l >= levelChanged {
			changed++
		}
	}
	at := functionAt(t, b, "main.main").Offset + 100
	if levelAt(m, 1, at) != "changed" || changed*3 > total || changed == 0 {
		t.Errorf("main.main is %s; %d of %d parts of .text changed", levelAt(m, 1, at), changed, total)
	}
}
