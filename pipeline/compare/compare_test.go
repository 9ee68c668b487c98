package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/inspect"
)

// store puts bytes into a store and hands out artifacts.
type store struct {
	*artifact.Store
	t testing.TB
}

func newStore(t testing.TB) store { return store{artifact.NewStore(t.TempDir()), t} }

func (s store) put(r io.Reader) artifact.Artifact {
	s.t.Helper()
	d, size, err := s.Put(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return artifact.Artifact{Name: "bin/x", Kind: artifact.Binary, Digest: d, Size: size, Executable: true}
}

func (s store) bytes(b []byte) artifact.Artifact { s.t.Helper(); return s.put(bytes.NewReader(b)) }

func (s store) compare(a, b artifact.Artifact, hints ...Hint) Result {
	s.t.Helper()
	r, err := Files(a, b, s.Open, hints...)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// TestSeededFaults shows that the gate closes: whatever is done to the bytes,
// the verdict is no pass and the place is right.
func TestSeededFaults(t *testing.T) {
	// Sizes around the buffer's, so that faults lie at its edges.
	for _, size := range []int{1, 2, 1000, bufferSize - 1, bufferSize, bufferSize + 1, 3*bufferSize + 17} {
		good := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(good)
		edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
		flip := func(at int) []byte { return edit(func(b []byte) []byte { b[at] ^= 1; return b }) }
		type fault struct {
			name              string
			data              []byte
			offset, differing int
		}
		faults := []fault{
			{"first byte", flip(0), 0, 1},
			{"middle byte", flip(size / 2), size / 2, 1},
			{"last byte", flip(size - 1), size - 1, 1},
			{"truncated by one", good[:size-1], size - 1, 1},
			{"empty", nil, 0, size},
			{"one byte more", append(slices.Clone(good), 0), size, 1},
			{"much more", append(slices.Clone(good), make([]byte, bufferSize+1)...), size, bufferSize + 1},
			{"every byte", edit(func(b []byte) []byte {
				for i := range b {
					b[i] = ^b[i]
				}
				return b
			}), 0, size},
		}
		for _, edge := range []int{bufferSize - 1, bufferSize, 2*bufferSize - 1, 2 * bufferSize} {
			if edge < size {
				faults = append(faults, fault{fmt.Sprintf("byte %d", edge), flip(edge), edge, 1})
			}
		}
		if size >= 1000 {
			faults = append(faults,
				fault{"two bytes swapped", edit(func(b []byte) []byte {
					for b[100] == b[900] {
						t.Fatal("the same bytes")
					}
					b[100], b[900] = b[900], b[100]
					return b
				}), 100, 2},
				fault{"zeroed block", edit(func(b []byte) []byte { clear(b[300:301]); b[300] = good[300] + 1; return b }), 300, 1},
			)
		}
		for _, f := range faults {
			for _, swapped := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d/%s/%t", size, f.name, swapped), func(t *testing.T) {
					s := newStore(t)
					a, b := s.bytes(good), s.bytes(f.data)
					if swapped {
						a, b = b, a
					}
					r := s.compare(a, b)
					if r.Verdict != Differs || r.Verdict.Pass() || r.Reason == "" {
						t.Fatalf("verdict %q, reason %q", r.Verdict, r.Reason)
					}
					if r.A != a.Digest || r.B != b.Digest || r.SizeA != a.Size || r.SizeB != b.Size {
						t.Errorf("result %+v", r)
					}
					if e := r.Explanation; e.Offset != int64(f.offset) || e.Differing != int64(f.differing) {
						t.Errorf("offset %d and %d bytes, want %d and %d", e.Offset, e.Differing, f.offset, f.differing)
					}
				})
			}
		}
	}
}

func TestEqual(t *testing.T) {
	a := artifact.Artifact{Name: "x", Digest: artifact.Of([]byte("x")), Size: 1}
	never := func(artifact.Digest) (*os.File, error) {
		t.Error("reads bytes although the digests are equal")
		return nil, errors.New("no")
	}
	r, err := Files(a, a, never)
	if err != nil || r.Verdict != Reproduced || !r.Verdict.Pass() || r.Reason != "" || r.Explanation != nil {
		t.Errorf("%+v, %v", r, err)
	}

	b := a
	b.Executable = true
	r, err = Files(a, b, never)
	if err != nil || r.Verdict != Differs || !strings.Contains(r.Reason, "executable") || r.Explanation != nil {
		t.Errorf("another mode: %+v, %v", r, err)
	}
}

func TestVerdict(t *testing.T) {
	for v, want := range map[Verdict]bool{"": false, Reproduced: true, Equivalent: true, Differs: false, Undetermined: false, "Reproduced": false} {
		if v.Pass() != want {
			t.Errorf("%q passes: %t", v, v.Pass())
		}
	}
	if (Result{}).Verdict.Pass() {
		t.Error("the zero result passes")
	}
}

func TestUndetermined(t *testing.T) {
	s := newStore(t)
	a, b := s.bytes([]byte("aaaa")), s.bytes([]byte("bbbb"))
	with := func(x artifact.Artifact, f func(*artifact.Artifact)) artifact.Artifact { f(&x); return x }
	serve := func(data map[artifact.Digest]string) func(artifact.Digest) (*os.File, error) {
		return func(d artifact.Digest) (*os.File, error) {
			f, err := os.CreateTemp(t.TempDir(), "")
			if err == nil {
				_, err = f.WriteString(data[d])
			}
			return f, err
		}
	}
	tests := []struct {
		name string
		a, b artifact.Artifact
		open func(artifact.Digest) (*os.File, error)
	}{
		{"no digests", artifact.Artifact{}, artifact.Artifact{}, s.Open},
		{"equal malformed digests", artifact.Artifact{Digest: "sha256:00"}, artifact.Artifact{Digest: "sha256:00"}, s.Open},
		{"no digest in B", a, artifact.Artifact{Size: 4}, s.Open},
		{"one digest, two sizes", a, with(a, func(x *artifact.Artifact) { x.Size = 5 }), s.Open},
		{"negative size", with(a, func(x *artifact.Artifact) { x.Size = -1 }), b, s.Open},
		{"shorter than announced", with(a, func(x *artifact.Artifact) { x.Size = 5 }), b, s.Open},
		{"longer than announced", with(a, func(x *artifact.Artifact) { x.Size = 3 }), b, s.Open},
		{"changed in the store", a, b, serve(map[artifact.Digest]string{a.Digest: "aaaa", b.Digest: "bbbc"})},
		{"equal in the store", a, b, serve(map[artifact.Digest]string{a.Digest: "aaaa", b.Digest: "aaaa"})},
		{"grown in the store", a, b, serve(map[artifact.Digest]string{a.Digest: "aaaaa", b.Digest: "bbbb"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Files(tt.a, tt.b, tt.open)
			if err == nil || r.Verdict != Undetermined || r.Verdict.Pass() || r.Reason == "" || r.Explanation != nil {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}

	// What cannot be read cannot be explained, but it differs all the same.
	for _, missing := range []artifact.Digest{a.Digest, b.Digest} {
		r, err := Files(a, b, func(d artifact.Digest) (*os.File, error) {
			if d == missing {
				return nil, errors.New("disk on fire")
			}
			return s.Open(d)
		})
		if err != nil || r.Verdict != Differs || r.Explanation.Offset != -1 || !strings.Contains(r.Explanation.String(), "disk on fire") {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

func TestText(t *testing.T) {
	s := newStore(t)
	tests := []struct{ a, b, wantA, wantB string }{
		{"\x00\x01/home/a/x.go\x00", "\x00\x01/home/b/x.go\x00", "/home/a/x.go", "/home/b/x.go"},
		{"\x00abcd\x00", "\x00abcde\x00", "abcd", "abcde"},
		{"\x00abc\x00", "\x00abd\x00", `c\x00`, `d\x00`}, // too short to be text
		{"\x00\x1b[2J", "\x00\x07[2J", `\x1b[2J`, `\a[2J`},
		{"say \"hi\"\n", "say \"ho\"\n", `say \"hi\"`, `say \"ho\"`},
		{"", "x", "", "x"},
		{strings.Repeat("x", 1000) + "a" + strings.Repeat("y", 1000), strings.Repeat("x", 1000) + "b" + strings.Repeat("y", 1000),
			strings.Repeat("x", textBefore) + "a" + strings.Repeat("y", textAfter-1), strings.Repeat("x", textBefore) + "b" + strings.Repeat("y", textAfter-1)},
		{"\xff\xfe\xfd", "\xff\xfe\xfc", `\xfd`, `\xfc`},
	}
	for _, tt := range tests {
		e := s.compare(s.bytes([]byte(tt.a)), s.bytes([]byte(tt.b))).Explanation
		if e.A != tt.wantA || e.B != tt.wantB {
			t.Errorf("%q and %q: %q and %q", tt.a, tt.b, e.A, e.B)
		}
	}
}

func TestCauses(t *testing.T) {
	s := newStore(t)
	pad := strings.Repeat("\x00", bufferSize-4) // words lie across the buffer's edge
	tests := []struct {
		name  string
		a, b  string
		hints []Hint
		want  []string
	}{
		{"host", pad + "built on alpha\x00", pad + "built on beta\x00", []Hint{{"host name", "alpha", "beta"}, {"user", "root", "nobody"}}, []string{"host name"}},
		{"value of one side only", "alpha", "gamma", []Hint{{"host name", "alpha", "beta"}}, nil},
		{"values exchanged", "beta", "alpha", []Hint{{"host name", "alpha", "beta"}}, nil},
		{"both in both", "alpha beta 1", "alpha beta 2", []Hint{{"host name", "alpha", "beta"}}, nil},
		{"also in both", "alpha beta alpha", "alpha beta beta", []Hint{{"host name", "alpha", "beta"}}, []string{"host name"}},
		{"one is the beginning of the other", pad + "/w/a/x.go", pad + "/w/a-longer/x.go", []Hint{{"source path", "/w/a", "/w/a-longer"}}, []string{"source path"}},
		{"and the other way round", "/w/a-longer/x.go", "/w/a/x.go", []Hint{{"source path", "/w/a-longer", "/w/a"}}, []string{"source path"}},
		{"home folder around the source", "/h1/src/x.go", "/hh2/src/x.go", []Hint{{"HOME", "/h1", "/hh2"}, {"source path", "/h1/src", "/hh2/src"}}, []string{"source path"}},
		{"home folder besides", "/h1/src/x.go /h1", "/hh2/src/x.go /hh2", []Hint{{"HOME", "/h1", "/hh2"}, {"source path", "/h1/src", "/hh2/src"}}, []string{"HOME", "source path"}},
		{"too short", "on 2 processors", "on 1 processors", []Hint{{"processors", "2", "1"}}, nil},
		{"equal values", "UTC 1", "UTC 2", []Hint{{"time zone", "UTC", "UTC"}}, nil},
		{"empty values", "a", "b", []Hint{{"nothing", "", ""}}, nil},
		{"listed twice", "alpha", "beta", []Hint{{"host", "alpha", "beta"}, {"host", "alpha", "beta"}}, []string{"host"}},
		{"RFC 3339", "at 2026-01-02T03:04:05Z.", "at 2026-01-02T03:04:06Z.", nil, []string{"a time"}},
		{"__TIME__", "\x0003:04:05\x00", "\x0003:05:00\x00", nil, []string{"a time"}},
		{"__DATE__", "\x00Jan  2 2026\x00", "\x00Jan  3 2026\x00", nil, []string{"a time"}},
		{"Unix time", "t=1767323045\x00", "t=1767323051\x00", nil, []string{"a time"}},
		{"nanoseconds", "t=1767323045123456789", "t=1767323045123456790", nil, []string{"a time"}},
		{"compact", "20260102-030405", "20260102-030406", nil, []string{"a time"}},
		{"a time beside", "2026-01-02 version 1", "2026-01-02 version 2", nil, nil},
		{"a time on one side", "2026-01-02", "2026-01-xx", nil, nil},
		{"numbers", "12:3456", "12:3457", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := s.compare(s.bytes([]byte(tt.a)), s.bytes([]byte(tt.b)), tt.hints...).Explanation
			var got []string
			for _, c := range e.Causes {
				got = append(got, c.Name)
				if !strings.Contains(e.String(), "likely cause: "+c.Name) {
					t.Errorf("%q lacks %s", e, c.Name)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("causes %q, want %q", e.Causes, tt.want)
			}
		})
	}
}

// program is what the tests below build; it is quick to compile, as it imports
// nothing.
var program = map[string]string{
	"go.mod":     "module example.test/tiny\n\ngo 1.26\n",
	"main.go":    "package main\n\nimport \"example.test/tiny/lib\"\n\nvar version = \"none\"\n\nfunc main() { println(version, lib.Half(int(version[0]))) }\n",
	"lib/lib.go": "package lib\n\n//go:noinline\nfunc Half(n int) int {\n\tif n%2 != 0 {\n\t\tpanic(\"odd\")\n\t}\n\treturn n / 2\n}\n",
}

func writeProgram(t testing.TB, dir string) {
	t.Helper()
	for name, text := range program {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// goBuild builds the program in dir and returns the file.
func goBuild(t testing.TB, dir string, env []string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=")
	cmd.Env = append(cmd.Env, env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	return out
}

// TestGoBinaries builds real programs with one thing different.
func TestGoBinaries(t *testing.T) {
	root := t.TempDir()
	dirA, dirB := filepath.Join(root, "a", "src"), filepath.Join(root, "bb", "another", "src")
	writeProgram(t, dirA)
	writeProgram(t, dirB)
	hints := []Hint{{"source path", dirA, dirB}, {"host name", "alpha-host", "beta-host"}, {"user", "root", "nobody"}}
	platform := func(goos, goarch string) []string { return []string{"GOOS=" + goos, "GOARCH=" + goarch} }

	type side struct {
		env, args []string
	}
	tests := []struct {
		name     string
		a, b     side
		section  string // that must be among those that differ
		text     [2]string
		cause    string
		note     string
		info     LineDifference
		noCauses bool
	}{
		{name: "path in ELF", section: ".gopclntab", text: [2]string{dirA + "/lib/lib.go", dirB + "/lib/lib.go"}, cause: "source path", note: "-trimpath is off"},
		{name: "path in Mach-O", a: side{env: platform("darwin", "arm64")}, b: side{env: platform("darwin", "arm64")},
			section: "__TEXT,__gopclntab", text: [2]string{dirA + "/lib/lib.go", dirB + "/lib/lib.go"}, cause: "source path", note: "-trimpath is off"},
		{name: "path in PE", a: side{env: platform("windows", "amd64")}, b: side{env: platform("windows", "amd64")},
			section: ".rdata", cause: "source path", note: "-trimpath is off"},
		{name: "host name in a stamp",
			a:       side{args: []string{"-trimpath", "-ldflags=-s -w -buildid= -X main.version=on-alpha-host"}},
			b:       side{args: []string{"-trimpath", "-ldflags=-s -w -buildid= -X main.version=on-beta-host"}},
			section: ".rodata", cause: "host name"},
		{name: "time in a stamp",
			a:       side{args: []string{"-trimpath", "-ldflags=-s -w -buildid= -X main.version=2026-01-02T03:04:05Z"}},
			b:       side{args: []string{"-trimpath", "-ldflags=-s -w -buildid= -X main.version=2026-01-02T03:04:06Z"}},
			section: ".rodata", text: [2]string{"2026-01-02T03:04:05", "2026-01-02T03:04:06"}, cause: "a time"},
		{name: "GOAMD64", a: side{args: []string{"-trimpath"}}, b: side{env: []string{"GOAMD64=v3"}, args: []string{"-trimpath"}},
			section: ".text", info: LineDifference{`build\tGOAMD64=v1`, `build\tGOAMD64=v3`}, noCauses: true},
		{name: "trimpath on one side", a: side{args: []string{"-trimpath"}}, b: side{},
			section: ".gopclntab", info: LineDifference{`build\t-trimpath=true`, ""}, noCauses: true},
		{name: "stripped on one side", a: side{args: []string{"-trimpath", "-ldflags=-s -w"}}, b: side{args: []string{"-trimpath"}},
			section: ".symtab", noCauses: true},
		{name: "platforms", a: side{args: []string{"-trimpath"}}, b: side{env: platform("windows", "amd64"), args: []string{"-trimpath"}},
			section: ".text", info: LineDifference{`build\tGOOS=linux`, `build\tGOOS=windows`}, noCauses: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			var arts []artifact.Artifact
			for i, x := range []side{tt.a, tt.b} {
				data, err := os.ReadFile(goBuild(t, []string{dirA, dirB}[i], x.env, x.args...))
				if err != nil {
					t.Fatal(err)
				}
				arts = append(arts, s.bytes(data))
			}
			r := s.compare(arts[0], arts[1], hints...)
			if r.Verdict != Differs {
				t.Fatalf("verdict %q", r.Verdict)
			}
			e := r.Explanation
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("\n%s", e)
				}
			})
			if len(e.Notes) > 0 {
				t.Errorf("notes %q", e.Notes)
			}
			if e.Section == "" {
				t.Errorf("no section at offset %d", e.Offset)
			}
			i := slices.IndexFunc(e.Sections, func(d SectionDifference) bool { return d.Name == tt.section })
			if i < 0 {
				t.Fatalf("section %s is not said to differ", tt.section)
			}
			if tt.text[0] != "" && (len(e.Causes) != 1 || !strings.Contains(e.Causes[0].A, tt.text[0]) || !strings.Contains(e.Causes[0].B, tt.text[1])) {
				t.Errorf("causes show %+v, want %q", e.Causes, tt.text)
			}
			if tt.noCauses && len(e.Causes) > 0 {
				t.Errorf("causes %+v", e.Causes)
			}
			if tt.cause != "" && (len(e.Causes) != 1 || e.Causes[0].Name != tt.cause || e.Causes[0].Note != tt.note) {
				t.Errorf("causes %+v, want %q (%s)", e.Causes, tt.cause, tt.note)
			}
			if tt.info != (LineDifference{}) && !slices.Contains(e.BuildInfo, tt.info) {
				t.Errorf("build info %+v, want %+v", e.BuildInfo, tt.info)
			}
			if tt.info == (LineDifference{}) && tt.cause != "" && tt.name != "time in a stamp" && len(e.BuildInfo) > 0 {
				t.Errorf("build info %+v", e.BuildInfo)
			}
		})
	}

	t.Run("nothing different", func(t *testing.T) {
		s := newStore(t)
		var arts []artifact.Artifact
		for _, dir := range []string{dirA, dirB} {
			data, err := os.ReadFile(goBuild(t, dir, nil, "-trimpath", "-ldflags=-s -w -buildid="))
			if err != nil {
				t.Fatal(err)
			}
			arts = append(arts, s.bytes(data))
		}
		if r := s.compare(arts[0], arts[1], hints...); r.Verdict != Reproduced {
			t.Errorf("%+v\n%s", r, r.Explanation)
		}
	})

	t.Run("a byte of every section", func(t *testing.T) {
		s := newStore(t)
		good, err := os.ReadFile(goBuild(t, dirA, nil, "-trimpath"))
		if err != nil {
			t.Fatal(err)
		}
		bin, err := inspect.Open(bytes.NewReader(good), int64(len(good)))
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, sec := range bin.Sections {
			// Without the headers and the names there are other sections.
			if strings.HasPrefix(sec.Name, "(") || sec.Name == ".shstrtab" {
				continue
			}
			tried++
			at := sec.Size / 2
			bad := slices.Clone(good)
			bad[sec.Offset+at] ^= 1
			e := s.compare(s.bytes(good), s.bytes(bad)).Explanation
			if e.Section != sec.Name || len(e.Sections) != 1 || e.Sections[0].Name != sec.Name || e.Sections[0].Offset != at {
				t.Errorf("%s: %+v", sec.Name, e)
			}
		}
		if tried < 10 {
			t.Errorf("tried %d sections of %v", tried, bin.Sections)
		}
		// A file that was cut off still has its sections.
		e := s.compare(s.bytes(good), s.bytes(good[:len(good)*2/3])).Explanation
		if e.Section == "" || len(e.Sections) == 0 {
			t.Errorf("cut off: %+v", e)
		}
	})
}

// TestHostileSections states one section of the file's length four thousand
// times.
func TestHostileSections(t *testing.T) {
	const n = 4000
	file := make([]byte, 64+64*n+1<<20)
	copy(file, "\x7fELF\x02\x01")
	put := func(at, size int, v uint64) {
		for i := range size {
			file[at+i] = byte(v >> (8 * i))
		}
	}
	put(0x28, 8, 64)
	put(0x3a, 2, 64)
	put(0x3c, 2, n)
	for i := range n {
		put(64+64*i+4, 4, 1)
		put(64+64*i+32, 8, uint64(len(file)))
	}
	other := slices.Clone(file)
	other[len(other)-1] = 1
	s := newStore(t)
	e := s.compare(s.bytes(file), s.bytes(other)).Explanation
	if e.Offset != int64(len(file))-1 || len(e.Notes) == 0 || len(e.Sections) > 10 {
		t.Errorf("offset %d, %d sections, notes %q", e.Offset, len(e.Sections), e.Notes)
	}
}

// TestMemory compares files of 1 and of 100 MB that differ in their last byte.
func TestMemory(t *testing.T) {
	s := newStore(t)
	sparse := func(size int64, last byte) artifact.Artifact {
		return s.put(io.MultiReader(io.LimitReader(zeros{}, size-1), bytes.NewReader([]byte{last})))
	}
	allocated := func(size int64) uint64 {
		a, b := sparse(size, 1), sparse(size, 2)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := s.compare(a, b, Hint{"source path", "/a/src", "/b/other"})
		runtime.ReadMemStats(&after)
		if r.Explanation.Offset != size-1 || r.Explanation.Differing != 1 {
			t.Errorf("%+v", r.Explanation)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	small, large := allocated(1e6), allocated(100e6)
	if small > 4<<20 || large > small+1<<20 {
		t.Errorf("allocates %d bytes for 1 MB and %d for 100 MB", small, large)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzFiles: the verdict is right, and so are offset and count.
func FuzzFiles(f *testing.F) {
	dir := f.TempDir()
	writeProgram(f, dir)
	for _, env := range [][]string{nil, {"GOOS=darwin", "GOARCH=arm64"}, {"GOOS=windows"}} {
		data, err := os.ReadFile(goBuild(f, dir, env, "-trimpath", "-ldflags=-s -w"))
		if err != nil {
			f.Fatal(err)
		}
		for _, n := range []int{40, 300, 4096} {
			flipped := slices.Clone(data[:n])
			flipped[n/2] ^= 0xff
			f.Add(data[:n], flipped)
			f.Add(data[:n], data[:n-7])
		}
	}
	f.Add([]byte(""), []byte("x"))
	f.Add([]byte("2026-01-02"), []byte("2026-01-03"))
	s := artifact.NewStore(dir)
	f.Fuzz(func(t *testing.T, x, y []byte) {
		s := store{s, t}
		a, b := s.bytes(x), s.bytes(y)
		defer os.Remove(filepath.Join(dir, a.Digest.Hex()))
		defer os.Remove(filepath.Join(dir, b.Digest.Hex()))
		r := s.compare(a, b, Hint{"x", "/a/src", "/bb/src"}, Hint{"y", string(x[:min(9, len(x))]), string(y[:min(9, len(y))])})
		if r.Verdict.Pass() != bytes.Equal(x, y) {
			t.Fatalf("verdict %q", r.Verdict)
		}
		if r.Verdict.Pass() {
			return
		}
		first, n := int64(-1), int64(0)
		for i := range max(len(x), len(y)) {
			if i >= len(x) || i >= len(y) || x[i] != y[i] {
				if n++; first < 0 {
					first = int64(i)
				}
			}
		}
		e := r.Explanation
		if e.Offset != first || e.Differing != n {
			t.Errorf("offset %d, %d bytes; want %d, %d", e.Offset, e.Differing, first, n)
		}
		text := e.String()
		for _, c := range text {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Errorf("%q has the character %q", text, c)
			}
		}
		if len(text) > 1<<20 {
			t.Errorf("%d bytes of text", len(text))
		}
		if back, err := json.Marshal(r); err != nil || len(back) == 0 {
			t.Error(err)
		}
	})
}

func BenchmarkFiles(b *testing.B) {
	s := newStore(b)
	const size = 100e6
	x := s.put(io.MultiReader(io.LimitReader(zeros{}, size), strings.NewReader("a")))
	y := s.put(io.MultiReader(io.LimitReader(zeros{}, size), strings.NewReader("b")))
	b.SetBytes(2 * size)
	b.ReportAllocs()
	for b.Loop() {
		s.compare(x, y, Hint{"source path", "/a/src", "/b/other"}, Hint{"host", "alpha", "beta"})
	}
}
