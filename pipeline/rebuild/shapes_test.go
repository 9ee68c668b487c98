package rebuild

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/twicebuild/twice/pipeline/inspect"
)

func showShapes(shapes [][]piece) string {
	var lines []string
	for _, s := range shapes {
		var words []string
		for _, p := range s {
			switch {
			case p.name == "":
				words = append(words, p.words...)
			case p.joined:
				words = append(words, "-X="+p.name+"="+p.value)
			default:
				words = append(words, "-X", p.name+"="+p.value)
			}
		}
		lines = append(lines, strings.ReplaceAll(strings.Join(words, " "), hole, "*"))
	}
	return strings.Join(lines, "\n")
}

func TestShapes(t *testing.T) {
	for _, x := range []struct{ name, text, want string }{
		{"goreleaser", "builds:\n  - main: ./cmd/x\n    ldflags:\n      - -s -w\n      - -X main.version={{.Version}} -X main.commit={{ .Commit }}\n      - -X=main.builtBy=goreleaser\n    env:\n      - CGO_ENABLED=0\n",
			"-s -w -X main.version=* -X main.commit=* -X=main.builtBy=goreleaser"},
		{"one line", `    ldflags: "-w -s -X main.version=v{{ .Version }}"` + "\n", "-w -s -X main.version=v*"},
		{"a list in brackets", `    ldflags: ["-s", "-w", "-X=main.v={{.Tag}}"]` + "\n", "-s -w -X=main.v=*"},
		{"make", "VERSION := $(shell git describe --tags)\nLDFLAGS := -s -w -X main.version=$(VERSION) \\\n\t-X '$(PKG)/internal/v.Commit=$(shell git rev-parse HEAD)'\nbuild:\n\tgo build -trimpath -ldflags \"$(LDFLAGS)\" ./cmd/x\n",
			"-s -w -X main.version=* -X */internal/v.Commit=*"},
		{"make, added to", "LDFLAGS=-w\nLDFLAGS+=-X main.a=$(A)\nLDFLAGS += -s\n", "-w -X main.a=* -s"},
		{"a script", "go build -ldflags=\"-buildid= -X main.version=${TAG} -extldflags '-static'\" -o x .\n", "-buildid= -X main.version=* -extldflags -static"},
		{"two in a file", "go build -ldflags='-s -w' a\ngo build -ldflags='-w -s -X main.x=1' b\n", "-s -w\n-w -s -X main.x=1"},
		{"json", "{\"run\": \"go build -ldflags \\\"-s -w -X main.v=$V\\\" .\"}", "-s -w -X main.v=*"},
		{"nothing to tell", "ldflags: -s\nstrip -s x\n", ""},
		{"none", "grep -w x y && rm -X\n", ""},
		{"what is not honoured", "go build -ldflags='-X main.a=1 -extld=/tmp/evil -X main.b=2'\n", "-X main.a=1\n-X main.b=2"},
	} {
		if got := showShapes(shapesIn([]byte(x.text))); got != x.want {
			t.Errorf("%s:\n%s\nwant\n%s", x.name, got, x.want)
		}
	}
	tree := fstest.MapFS{
		".goreleaser.yml":    {Data: []byte("ldflags: -s -w -X main.version={{.Version}}\n")},
		"main.go":            {Data: []byte("// -ldflags=-X main.evil=1\n")},
		"testdata/Makefile":  {Data: []byte("LDFLAGS=-X main.evil=1\n")},
		"scripts/build.sh":   {Data: []byte("go build -ldflags \"-w -s -X main.a=$A\"\n")},
		"vendor/m/Makefile":  {Data: []byte("LDFLAGS=-X main.evil=1\n")},
		"scripts/longer.mk":  {Data: []byte("LDFLAGS=" + strings.Repeat("-X main.a=1 ", 100) + "\n")},
		"scripts/garbage.mk": {Data: []byte("\x01\x00-X \x01.\x01=\x01 {{{{ $($($( ${${")},
	}
	if got, want := showShapes(shapes(tree)), "-s -w -X main.version=*\n-w -s -X main.a=*"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestShaped: flags that no guess without the build file would find are found with
// it.
func TestShaped(t *testing.T) {
	if testing.Short() {
		t.Skip("it hashes much, in one goroutine")
	}
	f := inspect.Facts{Findings: []inspect.Finding{{Name: "-s", Is: inspect.Yes}, {Name: "-w", Is: inspect.Yes}}}
	c := candidates{values: []string{"1.2.3", rev, "v1.2.3", "2026-02-01T12:00:00Z"}, names: []string{"main.version", "example.com/p/internal/v.Commit"}}
	for _, x := range []struct {
		file string
		args []string
	}{
		{"ldflags: -s -X main.version={{.V}} -w -X=$(P)/internal/v.Commit=$C -X main.by=robot", []string{"-s", "-X", "main.version=1.2.3", "-w", "-X=example.com/p/internal/v.Commit=" + rev, "-X", "main.by=robot"}},
		{"LDFLAGS = -X main.version=v$(V) -X main.mode=release", []string{"-X", "main.version=v1.2.3", "-X", "main.mode=release", "-w", "-s"}},
		{"LDFLAGS = -X main.mode=release -X main.other=x", []string{"-X", "main.mode=release", "-X", "main.other=x"}},
	} {
		trace, action := hashTrace("example.com/p", linkPieces("exe")...)
		o, err := newOracle(trace, "example.com/p", action)
		if err != nil {
			t.Fatal(err)
		}
		_, want := hashTrace("example.com/p", linkPieces("exe", x.args...)...)
		few := func(yield func(linking) bool) { // of so many guesses as another test tries in a second
			n := 0
			for l := range linkerGuesses(f, c.sets()) {
				if n++; n == 20_000 || !yield(l) {
					return
				}
			}
		}
		if without, _, _, ok := o.search(context.Background(), want, []string{"exe"}, few); ok {
			t.Errorf("%q is found without the file: %q", x.args, without.args)
		}
		got, _, tried, ok := o.search(context.Background(), want, []string{"exe"}, shapedGuesses(f, c, shapesIn([]byte(x.file))))
		if !ok || !slices.Equal(got.args, x.args) || tried > 100 {
			t.Errorf("%q: found %q, %v, %d", x.args, got.args, ok, tried)
		}
	}

	// A file that would give more than can be tried.
	many := candidates{names: []string{"main.a"}}
	for i := range 500 {
		many.values = append(many.values, fmt.Sprintf("value-%d", i))
	}
	n := 0
	for l := range shapedGuesses(f, many, shapesIn([]byte("LDFLAGS = "+strings.Repeat("-X main.a=$(A) ", maxPieces)))) {
		if n++; n%1000 == 1 && checkLinkerFlags(l.args) != nil {
			t.Fatalf("%q", l.args)
		}
	}
	if n != maxShapeTried {
		t.Errorf("%d were tried", n)
	}
}

// FuzzShapes: whatever a build file says, the flags are on the list, and there are
// few.
func FuzzShapes(f *testing.F) {
	f.Add("ldflags:\n - -s -w\n - -X main.version={{.Version}} -X=a/b.C=$(D)\n")
	f.Add("LDFLAGS += -extldflags '-static' -buildid= \\\n -X $(PKG).A=`date` -o /tmp/x -extld=x\n")
	facts := inspect.Facts{Findings: []inspect.Finding{{Name: "-s", Is: inspect.Yes}, {Name: "-w", Is: inspect.Yes}}}
	f.Fuzz(func(t *testing.T, text string) {
		list := shapesIn([]byte(text))
		if len(list) > maxShapes {
			t.Errorf("%d shapes", len(list))
		}
		n := 0
		for l := range shapedGuesses(facts, candidates{values: []string{"1.2.3", rev}, names: []string{"main.version", "example.com/x.Commit"}}, list) {
			if err := checkLinkerFlags(l.args); err != nil {
				t.Fatalf("%q: %v", l.args, err)
			}
			if n++; n == 1000 {
				break
			}
		}
	})
}

// TestTextsBounded: sections that are said to have 4 GB, or to be the same range
// many times, are searched no further than there are bytes and than is allowed.
func TestTextsBounded(t *testing.T) {
	o := binary.LittleEndian
	names := "\x00.rodata\x00.shstrtab\x00"
	file := make([]byte, 64, 512)
	copy(file, "\x7fELF\x02\x01\x01")
	for at, n := range map[int]uint16{16: 2, 18: 62, 52: 64, 54: 56, 58: 64, 60: 3, 62: 2} {
		o.PutUint16(file[at:], n)
	}
	o.PutUint64(file[40:], 128)
	file = append(file, names...)
	file = append(file, make([]byte, 128-len(file))...)
	section := func(name uint32, kind uint32, offset, size uint64) {
		h := make([]byte, 64)
		o.PutUint32(h, name)
		o.PutUint32(h[4:], kind)
		o.PutUint64(h[24:], offset)
		o.PutUint64(h[32:], size)
		file = append(file, h...)
	}
	section(0, 0, 0, 0)
	section(1, 1, 320, 4<<30)
	section(9, 3, 64, uint64(len(names)))
	file = append(file, "go1.26.8\x00"...)
	counter := &countingReader{data: file}
	b, err := inspect.Open(counter, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := texts(counter, b.Sections, readOnlyData, func(s string) bool { got = append(got, s); return true }); err != nil || !slices.Equal(got, []string{"go1.26.8"}) {
		t.Errorf("%q, %v", got, err)
	}
	if counter.n > 100_000 {
		t.Errorf("%d bytes were read", counter.n)
	}
	many := slices.Repeat([]inspect.Section{{Name: ".rodata", Size: maxScanned / 4}}, 4000)
	counter = &countingReader{data: file}
	if err := texts(counter, many, readOnlyData, func(string) bool { return true }); err != nil || counter.n > 100*int64(len(file)) {
		t.Errorf("%d bytes were read, %v", counter.n, err)
	}
}

type countingReader struct {
	data []byte
	n    int64
}

func (c *countingReader) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(len(c.data)) {
		return 0, io.EOF
	}
	n := copy(p, c.data[at:])
	c.n += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// TestFillBounded: a shape whose last hole nothing fits in is no work, however many
// ways there are to fill the others.
func TestFillBounded(t *testing.T) {
	c := candidates{}
	for i := range maxShapeValues {
		c.values = append(c.values, fmt.Sprintf("1.2.%d", i))
	}
	var shape []piece
	var names []string
	for i := range maxPieces - 1 {
		names = append(names, fmt.Sprintf("main.version%d", i))
		shape = append(shape, piece{name: names[i], value: hole})
	}
	found := func([]string) bool { t.Error("found"); return false }
	if !c.fill(append(shape, piece{name: "main.date", value: hole}), found) {
		t.Error("ended")
	}
	dates := candidates{values: c.values}
	for i := range maxNames {
		dates.names = append(dates.names, fmt.Sprintf("main.date%d", i))
	}
	dates.hinted = append(names[:maxOrdered-1:maxOrdered-1], "main.date")
	n := 0
	for range dates.sets() {
		if n++; n > 1000 {
			break
		}
	}
	if n < 2 {
		t.Errorf("%d sets", n)
	}
}
