package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestShift shows that what moved is not reported: one function is changed, one
// is new, and all others must be the same. The new one makes the code longer, so
// that on all machines data moves, and every reference to it changes.
func TestShift(t *testing.T) {
	longer := changed("work(len(version)))", "work(len(version)), extra(3))") + `
//go:noinline
func extra(n int) int {
	for i := range n {
		n = n*13 + i<<2 ^ n
		n -= i*i + n%7
		version += "more"
	}
	for i := range n {
		n = n*17 + i<<3 ^ n
		n -= i*i*i + n%11
		date += version
	}
	return n
}
`
	longer = strings.Replace(longer, "i * 7", "i * 9", 1)
	for _, p := range []struct {
		goos, goarch string
		slow         bool
	}{
		{"linux", "amd64", false}, {"darwin", "arm64", false}, {"windows", "amd64", false}, {"js", "wasm", false},
		{"linux", "386", true}, {"linux", "arm64", true}, {"linux", "arm", true}, {"linux", "riscv64", true}, {"linux", "ppc64le", true}, {"linux", "s390x", true},
		{"linux", "mips", true}, {"linux", "mips64le", true}, {"linux", "loong64", true}, {"darwin", "amd64", true}, {"windows", "arm64", true},
	} {
		t.Run(p.goos+"-"+p.goarch, func(t *testing.T) {
			if p.slow && testing.Short() {
				t.Skip("slow")
			}
			env := []string{"GOOS=" + p.goos, "GOARCH=" + p.goarch}
			a := build(t, program{args: args("-ldflags=-s -w"), env: env})
			b := build(t, program{args: args("-ldflags=-s -w"), env: env, files: map[string]string{"main.go": longer}})
			r := explainBytes(t, a, b, Options{})
			if top(r) != "source" || len(r.Notes) > 0 {
				t.Errorf("causes %+v, notes %q", r.Causes, r.Notes)
			}
			if len(r.Binaries) != 1 || r.Binaries[0].Functions == nil {
				t.Fatal("no functions")
			}
			f := r.Binaries[0].Functions
			t.Logf("%d same, %d moved", f.Same, f.Moved)
			var got []string
			for _, x := range f.List {
				got = append(got, x.Name+" "+x.State)
			}
			slices.Sort(got)
			want := []string{"main.extra added", "main.main resized", "main.work changed"}
			if len(got) == 3 {
				want[2] = "main.work " + strings.TrimPrefix(got[2], "main.work ") // its size depends on the machine
			}
			// Functions of the runtime that only the new one calls are new as well.
			got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "runtime.") && strings.HasSuffix(s, " added") })
			if !slices.Equal(got, want) {
				t.Errorf("functions %q, want %q", got, want)
			}
			if f.Same+f.Moved < 800 || f.A != f.Same+f.Moved+f.Changed+f.Resized+f.Removed || f.B != f.Same+f.Moved+f.Changed+f.Resized+f.Added {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestReferences shows that a reference to something else is a change, on the
// machines where references are resolved.
func TestReferences(t *testing.T) {
	two := strings.Replace(mainGo, "work(len(version)))", "work(len(version)), other(3))", 1) + `
//go:noinline
func other(n int) int { return n + 1 }
`
	a := strings.Replace(two, "func main() {", "func main() {\n\tprintln(work(1))\n", 1)
	b := strings.Replace(two, "func main() {", "func main() {\n\tprintln(other(1))\n", 1)
	for _, p := range [][2]string{{"linux", "amd64"}, {"darwin", "arm64"}} {
		env := []string{"GOOS=" + p[0], "GOARCH=" + p[1]}
		x := build(t, program{args: args(), env: env, files: map[string]string{"main.go": a}})
		y := build(t, program{args: args(), env: env, files: map[string]string{"main.go": b}})
		f := explainBytes(t, x, y, Options{}).Binaries[0].Functions
		if len(f.List) != 1 || f.List[0].Name != "main.main" {
			t.Errorf("%v: %+v", p, f.List)
		}
	}
}

// TestPadding: only the bytes that the linker fills up with are no part of a function.
// A jump backwards ends in 0xff, and is compared as any other.
func TestPadding(t *testing.T) {
	const code = "\x48\xe9\x10\xae\xff\xff"
	m := &loadedProgram{arch: "amd64", in: input{ctx: t.Context(), r: strings.NewReader(code + "\xcc\xcc"), size: 8}}
	if got, err := m.code(nil, &function{size: 8}); err != nil || string(got) != code {
		t.Errorf("%x, %v, want %x", got, err, code)
	}
}

func TestEqual(t *testing.T) {
	for _, data := range [][]byte{nil, []byte("text"), build(t, plain)} {
		r := explainBytes(t, data, slices.Clone(data), Options{Hints: []Hint{{"x", "text", "tent"}}})
		if !r.Equal || r.A.SHA256 != r.B.SHA256 || r.A.Size != int64(len(data)) {
			t.Errorf("%+v", r)
		}
	}
}

// TestUnknown shows what is said of files of which nothing is known.
func TestUnknown(t *testing.T) {
	r := explainBytes(t, []byte("\x00\x01\x02"), []byte("\x00\x01\x03"), Options{})
	if len(r.Causes) != 1 || r.Causes[0].ID != "unknown" || r.Causes[0].Confidence != Possible || r.Offset != 2 || r.Differing != 1 {
		t.Errorf("%+v", r)
	}
}

// TestHiddenFlags shows what is said of a link that differs while nothing else
// does and no value is to be seen.
func TestHiddenFlags(t *testing.T) {
	a := build(t, program{args: args()})
	b := build(t, program{args: args("-ldflags=-X main.version=none")}) // as it is without
	r := explainBytes(t, a, b, Options{})
	if !slices.Contains([]string{"ldflags", "ldflags-x", "build-id-only"}, top(r)) {
		t.Errorf("%+v", r.Causes)
	}
}

// TestChangedLater shows that a byte of code that was changed after linking is not
// taken for another source as well: the build ID says that the same was compiled.
func TestChangedLater(t *testing.T) {
	a := build(t, plain)
	b := slices.Clone(a)
	b[functionAt(t, b, "main.work").Offset+3] ^= 0x10
	r := explainBytes(t, a, b, Options{})
	if len(r.Causes) != 1 || top(r) != "changed-after-linking" || r.Binaries[0].Functions.Changed != 1 {
		t.Errorf("%+v, functions %+v", r.Causes, r.Binaries[0].Functions)
	}
	// The same of another build: that is another source, and a change.
	c := build(t, program{args: args(), files: map[string]string{"main.go": strings.Replace(mainGo, "i * 7", "i * 9", 1)}})
	c[functionAt(t, c, "runtime.printnl").Offset+3] ^= 0x10
	r = explainBytes(t, a, c, Options{})
	if !slices.ContainsFunc(r.Causes, func(x Cause) bool { return x.ID == "source" }) {
		t.Errorf("%+v", r.Causes)
	}
}

// TestMember shows how a member of an archive is told from the archive.
func TestMember(t *testing.T) {
	files := tarFiles()
	a := tarball(t, files)
	files[0].text = "other\n"
	files[0].ModTime = files[0].ModTime.Add(time.Hour)
	b := tarball(t, files)
	for _, dir := range []string{"", t.TempDir()} {
		r := explainBytes(t, a, b, Options{TempDir: dir})
		if top(r) != "content" || r.Causes[0].Where != "README" || len(r.Causes) != 2 || r.Causes[1].ID != "archive-mtime" {
			t.Errorf("causes %+v", r.Causes)
		}
		if r.Archive == nil || len(r.Archive.Members) != 1 || r.Archive.Members[0].State != "changed" || r.Archive.Members[0].Content == nil || r.Archive.Members[0].Content.Text == nil {
			t.Errorf("archive %+v", r.Archive)
		}
		if dir != "" {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		}
	}
}

// failing is a file that cannot be read beyond a limit.
type failing struct{ limit int64 }

var errDisk = errors.New("bad sector")

func (f failing) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > f.limit {
		return 0, errDisk
	}
	return len(p), nil
}

func TestErrors(t *testing.T) {
	good := File{"good", strings.NewReader("good"), 4}
	if _, err := Files(context.Background(), good, File{"bad", failing{}, 4}, Options{}); !errors.Is(err, errDisk) {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if _, err := Files(context.Background(), good, File{"short", strings.NewReader("goo"), 4}, Options{}); !errors.Is(err, io.EOF) {
		t.Errorf("a file that is shorter than stated: %v", err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if _, err := Files(ctx, good, good, Options{}); !errors.Is(err, why) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// TestEscape shows that names from files cannot write to the terminal.
func TestEscape(t *testing.T) {
	const evil = "\x1b[31mred\r\u202e"
	files := tarFiles()
	files[0].Name = evil
	a := tarball(t, files)
	files[0].text = "other" + evil
	files[1].Name += evil
	r := explainBytes(t, a, tarball(t, files), Options{})
	var back struct {
		Schema  string
		Archive struct{ Members []struct{ Name string } }
	}
	text, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || back.Schema != SchemaName || back.Archive.Members[0].Name != evil {
		t.Errorf("%+v, %v", back, err)
	}
}

// TestHints shows that a hint is found only where its values are.
func TestHints(t *testing.T) {
	a, b := []byte("made on alpha in /w/1/src"), []byte("made on bravo in /w/2/src")
	for _, x := range []struct {
		hint Hint
		want bool
	}{
		{Hint{"host", "alpha", "bravo"}, true},
		{Hint{"source path", "/w/1/src", "/w/2/src"}, true},
		{Hint{"host", "bravo", "alpha"}, false},
		{Hint{"host", "alpha", "delta"}, false},
		{Hint{"umask", "1", "2"}, false},
		{Hint{"same", "made", "made"}, false},
	} {
		r := explainBytes(t, a, b, Options{Hints: []Hint{x.hint}})
		if got := top(r) == "varied"; got != x.want {
			t.Errorf("%+v: %+v", x.hint, r.Causes)
		}
	}
	r := explainBytes(t, a, b, Options{Hints: []Hint{{"home", "/w/1", "/w/2"}, {"source path", "/w/1/src", "/w/2/src"}}})
	if n := len(r.Causes); n < 1 || !strings.Contains(r.Causes[0].Text, "source path") || n > 1 && r.Causes[1].ID == "varied" {
		t.Errorf("%+v", r.Causes)
	}
}

func TestLdflags(t *testing.T) {
	for _, x := range []struct{ flags, rest, vars string }{
		{"", "", ""},
		{"-s -w", "-s,-w", ""},
		{"-X main.a=1 -s", "-s", "main.a=1"},
		{"-X=main.a=1 --X main.b=2", "", "main.a=1,main.b=2"},
		{`"-X 'main.a=x y' -s"`, "-s", "main.a=x y"},
		{`-X "main.a=x y"`, "", "main.a=x y"},
		{"-X", "-X", ""},
		{"-X main.a", "main.a", ""},
		{"'unclosed", "unclosed", ""},
	} {
		rest, vars := splitLdflags(x.flags)
		var list []string
		for k, v := range vars {
			list = append(list, k+"="+v)
		}
		slices.Sort(list)
		if strings.Join(rest, ",") != x.rest || strings.Join(list, ",") != x.vars {
			t.Errorf("%s: %q, %q", x.flags, rest, list)
		}
	}
}

// TestTimes shows that looking for the beginnings of times first loses none.
func TestTimes(t *testing.T) {
	parts := []string{"2026-01-02", "T10:11:12", " 10:11:12.123Z", "+02:00", "10:11:12", "20260102", "-101112", "Jan  2 2026", "Mar 12 10:11", "Mar 12 10:11:12 UTC 2026", "1767312000", "1767312000123", "1767312000123456789",
		"x", " ", "1", "20", "9", "-", "/", ":", "Feb", "2026/1", "19", "@", ".5", "\t"}
	rng := rand.New(rand.NewPCG(5, 6))
	found := 0
	for range 20_000 {
		var b strings.Builder
		for range 1 + rng.IntN(8) {
			b.WriteString(parts[rng.IntN(len(parts))])
		}
		var want [][2]int
		for _, at := range timePattern.FindAllStringIndex(b.String(), -1) {
			want = append(want, [2]int{at[0], at[1]})
		}
		found += len(want)
		if got := times([]byte(b.String())); !slices.Equal(got, want) {
			t.Fatalf("%q: %v, want %v", b.String(), got, want)
		}
	}
	if found < 20_000 {
		t.Errorf("only %d times", found)
	}
}

func TestCommonEnd(t *testing.T) {
	for _, x := range [][3]string{
		{"/a/b/main.go", "/c/b/main.go", "/b/main.go"},
		{"/a/main.go", "/ba/main.go", "/main.go"},
		{`C:\x\m\main.go`, "/y/m/main.go", "/m/main.go"},
		{"/a/x.go", "/a/y.go", ""},
	} {
		if got := commonEnd(x[0], x[1]); got != x[2] {
			t.Errorf("%s, %s: %s", x[0], x[1], got)
		}
	}
}

// hostile are files to damage.
func hostile(t testing.TB) map[string][2][]byte {
	pairs := map[string][2][]byte{}
	for _, env := range [][]string{nil, {"GOOS=darwin", "GOARCH=arm64"}, {"GOOS=windows"}, {"GOOS=js", "GOARCH=wasm"}} {
		p := func(v string) []byte {
			return build(t, program{args: args("-ldflags=-s -w -X main.version=" + v), env: env})
		}
		pairs[strings.Join(append(env, "x"), " ")] = [2][]byte{p("release-one"), p("release-three")}
	}
	tar := tarball(t, tarFiles())
	files := tarFiles()
	files[0].text = "other"
	other := tarball(t, files)
	pairs["tar"] = [2][]byte{tar, other}
	pairs["zip"] = [2][]byte{zipped(t, 6, nil), zipped(t, 6, []byte("binary"))}
	pairs["universal"] = [2][]byte{universal(0x100000c, pairs["GOOS=darwin GOARCH=arm64 x"][0]), pairs["GOOS=darwin GOARCH=arm64 x"][0]}
	return pairs
}

// TestDamaged damages files at random, from a fixed seed.
func TestDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	rounds := 12
	if testing.Short() {
		rounds = 1
	}
	for name, pair := range hostile(t) {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			for range rounds {
				a := slices.Clone(pair[0])
				if rng.IntN(3) == 0 {
					a = a[:rng.IntN(len(a))]
				}
				for range rng.IntN(20) {
					if len(a) > 0 {
						// The headers are where damage does most.
						at := rng.IntN(len(a))
						if rng.IntN(2) == 0 {
							at = rng.IntN(min(len(a), 4096))
						}
						a[at] = byte(rng.IntN(256))
					}
				}
				explainBytes(t, a, pair[1], Options{})
			}
		})
	}
}

// FuzzFiles explains any two files.
func FuzzFiles(f *testing.F) {
	add := func(a, b string) { f.Add([]byte(a), []byte(b)) }
	add("", "x")
	add("one\ntwo\n", "two\r\none")
	add("2026-01-01 10:00:00", "2026-01-01 10:00:01")
	tar := tarball(f, tarFiles()[2:])
	f.Add(tar, tar[:1000])
	f.Add(zipped(f, 6, nil), zipped(f, 1, []byte("x")))
	add("\x1f\x8b\x08\x00", "\x28\xb5\x2f\xfd")
	add("\x7fELF\x02\x01\x01", "MZ")
	add("\xca\xfe\xba\xbe\x00\x00\x00\x01", "\xcf\xfa\xed\xfe")
	add("\x00asm\x01\x00\x00\x00", "\x00asm\x01\x00\x00\x00\x0a\x01\x00")
	f.Fuzz(func(t *testing.T, a, b []byte) {
		explainBytes(t, a, b, Options{Hints: []Hint{{"x", "one", "two"}}})
	})
}

// FuzzDamage damages real files at one place.
func FuzzDamage(f *testing.F) {
	pairs := hostile(f)
	var names []string
	for name := range pairs {
		names = append(names, name)
	}
	slices.Sort(names)
	for i := range names {
		f.Add(uint8(i), uint32(16), uint64(0xffffffff), uint32(0))
		f.Add(uint8(i), uint32(60), uint64(1), uint32(5000))
	}
	f.Fuzz(func(t *testing.T, i uint8, at uint32, value uint64, size uint32) {
		pair := pairs[names[int(i)%len(names)]]
		a := slices.Clone(pair[0])
		if size != 0 {
			a = a[:int(size)%len(a)]
		}
		for k := range 8 {
			if n := int(at) + k; n < len(a) {
				a[n] ^= byte(value >> (8 * k))
			}
		}
		explainBytes(t, a, pair[1], Options{})
	})
}

// FuzzWasm shows that code is decoded without a panic, and that what it keeps is
// from the code, in its order.
func FuzzWasm(f *testing.F) {
	f.Add([]byte{0, 0x41, 0x80, 0x80, 0x04, 0x10, 0x07, 0x0b})
	f.Add([]byte{1, 2, 0x7e, 0x0e, 2, 0, 1, 2, 0xfc, 0x0a, 0, 0, 0x0b})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		rest := body
		for _, c := range wasmCode(body) {
			i := bytes.IndexByte(rest, c)
			if i < 0 {
				t.Fatalf("%x became %x", body, wasmCode(body))
			}
			rest = rest[i+1:]
		}
	})
}

// TestTrampoline shows what a call leads to by way of a stop that the linker puts in between.
func TestTrampoline(t *testing.T) {
	type end struct {
		name string
		into uint64
	}
	for name, want := range map[string]end{
		"runtime.morestack+0-tramp0": {"runtime.morestack", 0},
		"runtime.duffzero+f8-tramp1": {"runtime.duffzero", 0xf8},
		"a.F-tramp":                  {"a.F", 0},
		"a.F":                        {"a.F", 0},
		"a.Tramp-tramp.F":            {"a.Tramp-tramp.F", 0},
		"a.F+123456789-tramp0":       {"a.F+123456789", 0},
	} {
		if s, n := throughTrampoline(name); s != want.name || n != want.into {
			t.Errorf("%s: %s+%x, want %s+%x", name, s, n, want.name, want.into)
		}
	}
}
