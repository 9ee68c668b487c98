package inspect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// TestNature calls each kind of file what it is, and files like them not.
func TestNature(t *testing.T) {
	o := binary.LittleEndian
	tiny := newTiny(o, 8, magic120)
	oldest := newTiny(o, 8, magic12).elf(1)
	elf := build(t, "linux", "amd64")
	edit := func(data []byte, f func(b []byte)) []byte { b := bytes.Clone(data); f(b); return b }
	noInfo := func(b []byte) { b[bytes.Index(b, []byte("\xff Go buildinf:"))] = 0 }
	versionAlone := func(b []byte) {
		at := bytes.Index(b, []byte("\xff Go buildinf:")) + 32
		n := int(b[at])
		b[at+1+n] = 0 // the length of the module information
	}
	noID := func(b []byte) {
		note := b[bytes.Index(b, []byte("Go\x00\x00"+tinyID)):]
		copy(note, "No")
	}
	dyn := func(b []byte) { o.PutUint16(b[16:], etDyn) }
	rename := func(name string) func([]byte) {
		return func(b []byte) { copy(b[bytes.Index(b, []byte("example.test/m/x.F\x00")):], name+"\x00") }
	}
	// An ELF file as UPX leaves it: no sections, and the packer's header.
	upx := edit(tiny.elf(1), func(b []byte) { o.PutUint64(b[40:], 0); o.PutUint16(b[60:], 0); o.PutUint16(b[62:], 0) })

	tests := []struct {
		name string
		data []byte
		want NatureKind
	}{
		{"go build", elf, Program},
		{"go build -s", build(t, "linux", "amd64", "-ldflags=-s -w"), Program},
		{"windows", build(t, "windows", "amd64"), Program},
		{"darwin", build(t, "darwin", "arm64"), Program},
		{"wasm", build(t, "js", "wasm"), Program},
		{"pie", build(t, "linux", "amd64", "-buildmode=pie"), Program},
		{"older", newTiny(o, 8, magic116).elf(1), Program},
		{"UPX after the headers", edit(upx, func(b []byte) { copy(b[64+56+4:], "UPX!") }), Packed},
		{"UPX at the end", append(bytes.Clone(upx), "UPX!\x00\x00"+strings.Repeat("\x01", 30)...), Packed},
		{"UPX in windows", edit(tiny.pe(), func(b []byte) { copy(b[bytes.Index(b, []byte(".data")):], "UPX1\x00") }), Packed},
		{"UPX among the texts", edit(elf, func(b []byte) { copy(b[bytes.Index(b, []byte("runtime: ")):], "UPX!") }), Program},
		{"UPX behind sections", append(tiny.elf(1), "UPX!"...), Program},
		{"long version", edit(elf, func(b []byte) { copy(b[bytes.Index(b, []byte("\xff Go buildinf:"))+32:], "\xff\xff\xff\x0f") }), Damaged},
		{"unknown lines", edit(tiny.elf(1), func(b []byte) { copy(b[bytes.Index(b, []byte("build\tGOOS")):], "built") }), Damaged},
		{"text", edit(tiny.elf(1), func(b []byte) { noInfo(b); noID(b); copy(b[bytes.Index(b, []byte("\xf1\xff\xff\xff\x00\x00")):], "x") }), NotGo},
		{"an ID alone", edit(tiny.elf(1), func(b []byte) { noInfo(b); copy(b[bytes.Index(b, []byte("\xf1\xff\xff\xff\x00\x00")):], "x") }), Hidden},
		{"no build information", edit(elf, noInfo), Hidden},
		{"before build information", edit(edit(oldest, noInfo), func(b []byte) { copy(b[bytes.Index(b, []byte(".go.buildinfo")):], ".text\x00") }), TooOld},
		{"table of old, with build information", edit(oldest, func(b []byte) { copy(b[bytes.Index(b, []byte(".shstrtab")):], ".text\x00") }), Program},
		{"table of old, no sections named", edit(oldest, noInfo), Hidden},
		{"version alone", edit(tiny.elf(1), versionAlone), OtherBuild},
		{"redacted", edit(tiny.elf(1), func(b []byte) {
			versionAlone(b)
			at := bytes.LastIndex(b, []byte(tinyID)) // in the note
			o.PutUint32(b[at-12:], 8)
			copy(b[at:], "redacted")
		}), Bazel},
		{"redacted with modules", edit(tiny.elf(1), func(b []byte) {
			at := bytes.LastIndex(b, []byte(tinyID))
			o.PutUint32(b[at-12:], 8)
			copy(b[at:], "redacted")
		}), Program},
		{"library", edit(tiny.elf(1), dyn), SharedLibrary},
		{"object", edit(tiny.elf(1), func(b []byte) { o.PutUint16(b[16:], etRel) }), ObjectFile},
		{"C archive in a program", edit(tiny.elf(1), rename("_rt0_x_lib")), LinkedByC},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := read(t, tt.data)
			if f.Nature.Is != tt.want || f.Nature.Why == "" {
				t.Errorf("%+v, want %q", f.Nature, tt.want)
			}
			var page strings.Builder
			if err := NewDocument(File{Binaries: []Facts{f}}).Fprint(&page); err != nil {
				t.Fatal(err)
			}
			if shown := strings.Contains(page.String(), "what it is   "+string(tt.want)+": "); shown != (tt.want != Program) {
				t.Errorf("shown: %t\n%s", shown, page.String())
			}
		})
	}
}

// TestLibraryOf tells libraries of Go by their setting, and by functions where it is not recorded.
func TestLibraryOf(t *testing.T) {
	mode := func(m string) *Build { return &Build{Settings: []Setting{{"-compiler", "gc"}, {"-buildmode", m}}} }
	old := &Build{Settings: []Setting{{"-compiler", "gc"}}}
	tests := []struct {
		name  string
		facts Facts
		want  NatureKind
	}{
		{"c-shared", Facts{GoVersion: "go1.26.8", Kind: library, Build: mode("c-shared")}, SharedLibrary},
		{"plugin", Facts{GoVersion: "go1.26.8", Kind: library, Build: mode("plugin")}, Plugin},
		{"plugin of old", Facts{GoVersion: "go1.19.13", Kind: library, Build: old, Code: &Code{marks: marks{module: true}}}, Plugin},
		{"c-shared of old", Facts{GoVersion: "go1.19.13", Kind: library, Build: old, Code: &Code{marks: marks{library: true}}}, SharedLibrary},
		{"c-shared without functions", Facts{GoVersion: "go1.19.13", Kind: library, Build: old}, SharedLibrary},
		{"exe", Facts{GoVersion: "go1.26.8", Kind: executable, Build: mode("exe")}, Program},
		{"c-archive", Facts{GoVersion: "go1.26.8", Kind: independent, Build: mode("c-archive"), Code: &Code{marks: marks{library: true}}}, LinkedByC},
	}
	b := open(t, build(t, "linux", "amd64"))
	for _, tt := range tests {
		if got := tt.facts.nature(b); got.Is != tt.want {
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.want)
		}
	}
}

// TestMarks tells the functions of build modes from others.
func TestMarks(t *testing.T) {
	for name, want := range map[string]marks{
		"_rt0_amd64_linux_lib": {library: true}, "_rt0_arm64_darwin_lib": {library: true}, "_rt0_amd64_linux": {}, "main._rt0_x_lib": {},
		"go:link.addmoduledata": {module: true}, "go.link.addmoduledata": {module: true}, "runtime.addmoduledata": {},
	} {
		var m marks
		if m.add(name); m != want {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestTraceOfCgo tells what cgo leaves from what other packages call alike.
func TestTraceOfCgo(t *testing.T) {
	for name, want := range map[string]cgoTrace{
		"main._Cfunc_puts": {"the function main._Cfunc_puts", true}, "net._C2func_getaddrinfo": {"the function net._C2func_getaddrinfo", true},
		"example.com/a.b/c._Cfunc__CMalloc": {"the function example.com/a.b/c._Cfunc__CMalloc", true},
		"_cgoexp_98f87784abd2_Twice":        {"the function _cgoexp_98f87784abd2_Twice", true},
		"crosscall2":                        {"the function crosscall2", false}, "_cgo_panic": {"the function _cgo_panic", false},
		"runtime/cgo.set_crosscall2": {"package runtime/cgo", false},
		"runtime/cgo.Handle.Value":   {}, "runtime/cgo.NewHandle": {}, "runtime/cgo.init": {},
		"runtime.cgocall": {}, "runtime._cgo_panic_internal": {}, "main.not_Cfunc_x": {}, "_Cfunc_x": {}, "net._C_getaddrinfo": {},
	} {
		if got := traceOfCgo(name, PackageOf(name)); got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestCgo answers by what was found, what is recorded and what the file asks for.
func TestCgo(t *testing.T) {
	b := open(t, build(t, "linux", "amd64"))
	enabled := func(v string) *Build { return &Build{Settings: []Setting{{"-compiler", "gc"}, {"CGO_ENABLED", v}}} }
	generated, loose := cgoTrace{"x", true}, cgoTrace{"x", false}
	tests := []struct {
		name  string
		facts Facts
		want  Answer
	}{
		{"no functions", Facts{Build: enabled("1")}, Unknown},
		{"nothing", Facts{Build: enabled("1"), Code: &Code{}}, No},
		{"generated", Facts{Build: enabled("1"), Code: &Code{cgo: generated}}, Yes},
		{"generated, not recorded", Facts{GoVersion: "go1.16", Code: &Code{cgo: generated}}, Yes},
		{"generated, although off", Facts{Build: enabled("0"), Code: &Code{cgo: generated}}, Yes},
		{"runtime", Facts{Build: enabled("1"), Code: &Code{cgo: loose}}, Yes},
		{"imitated", Facts{Build: enabled("0"), Code: &Code{cgo: loose}}, No},
		{"a library", Facts{Build: enabled("1"), Code: &Code{}, Libraries: []string{"libc.so.6"}, GOOS: "linux"}, Unknown},
		{"a library without cgo", Facts{Build: enabled("0"), Code: &Code{}, Libraries: []string{"libc.so.6"}, GOOS: "linux"}, No},
		{"openbsd", Facts{Build: enabled("1"), Code: &Code{}, Libraries: []string{"libc.so.96.0"}, GOOS: "openbsd"}, No},
	}
	for _, tt := range tests {
		if got, why := tt.facts.cgo(b); got != tt.want || why == "" {
			t.Errorf("%s: %s, %s; want %s", tt.name, got, why, tt.want)
		}
	}
}

// TestHostIDOrigin says where an LC_UUID comes from, as each release makes it.
func TestHostIDOrigin(t *testing.T) {
	// These are of programs that the releases made.
	for release, tt := range map[string]struct{ id, uuid string }{
		"go1.24.0": {"Tx_ptn_zlsDfJOCfOQ4H/q-ZvwoTWvuCXP-Hr87Ph/H4t6JGbF8mzFna-Scy6P/wz-fOhkgDMffmTXD35Yr", "ae17d009ab4338d0ef7fe7f92b8103ac"},
		"go1.27.1": {"7gQw9ZFtV0aJX5mp3_UQ/EgWcAdbzjg0nEn9_SrUR/UOOPBfogSfSUfhzBkaGI/P2_5EnepH77i-GrXIEhg", "571289e904ba3007aa56ddfff61f3584"},
	} {
		parts := strings.Split(tt.id, "/")
		uuid := unhex(t, tt.uuid)
		if got := derived(BuildID{tt.id, parts[0], parts[1], parts[2], parts[3]}, uuid, true); got != Yes {
			t.Errorf("%s: %s", release, got)
		}
		uuid[15] ^= 1
		if got := derived(BuildID{tt.id, parts[0], parts[1], parts[2], parts[3]}, uuid, true); got != No {
			t.Errorf("%s with another UUID: %s", release, got)
		}
	}

	origin := func(data []byte) string {
		if f := read(t, data); f.HostID != nil {
			return f.HostID.Origin
		}
		return "none"
	}
	const given = "0x000102030405060708090a0b0c0d0e0f"
	noID := build(t, "darwin", "amd64", "-ldflags=-buildid= -B "+given)
	// Go 1.27 hashes the file without its headers where there is no build ID.
	hashed := bytes.Clone(noID)
	h, _ := open(t, noID).HostID()
	header, _ := open(t, noID).section("(Mach-O header)")
	sum := sha256.Sum256(append(make([]byte, header.Size), noID[header.Size:]...))
	sum[0] ^= 0xff
	sum[6], sum[8] = sum[6]&0x0f|0x30, sum[8]&0x3f|0x80
	copy(hashed[h.offset:], sum[:16])
	changed := bytes.Clone(hashed)
	changed[len(changed)-1] ^= 1

	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"this release", build(t, "darwin", "amd64"), "made from the Go build ID"},
		{"an ID of one's own", build(t, "darwin", "amd64", "-ldflags=-buildid=mine"), "made from the Go build ID"},
		{"GNU", build(t, "linux", "amd64"), "made from the Go build ID"},
		{"given", build(t, "darwin", "amd64", "-ldflags=-B "+given), "not made from the Go build ID: given by -B, or by another linker"},
		{"given without an ID", noID, "there is no Go build ID that it could be made from"},
		{"hashed", hashed, "made of the file's content, as there is no Go build ID"},
		{"hashed and changed", changed, "there is no Go build ID that it could be made from"},
		{"left out", build(t, "darwin", "amd64", "-ldflags=-buildid="), "none"},
	} {
		if got := origin(tt.data); got != tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
