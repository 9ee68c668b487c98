package inspect

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// targets are one platform of each format and, for ELF, of each size and byte
// order.
var targets = [][2]string{{"linux", "amd64"}, {"linux", "386"}, {"linux", "s390x"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"js", "wasm"}}

func open(t testing.TB, data []byte) *Binary {
	t.Helper()
	b, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t testing.TB, data []byte) Facts {
	t.Helper()
	f, err := Read(context.Background(), "x", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len(data)) {
		t.Errorf("file of %d bytes and sum %s", f.Size, f.SHA256)
	}
	if len(f.Binaries) != 1 {
		t.Fatalf("%d binaries", len(f.Binaries))
	}
	return f.Binaries[0]
}

// goTool runs a tool of the go command on data.
func goTool(t *testing.T, data []byte, args ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(name, data, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", append(args, name)...).Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	return string(out)
}

func TestFacts(t *testing.T) {
	tests := []struct {
		goos, goarch string
		args         []string
		bits         int
		order, kind  string
		findings     string
		host         string
		libraries    string
		signature    string
	}{
		{"linux", "amd64", nil, 64, "little", executable,
			"-s=no -w=no zdwarf=yes -trimpath=no pie=no static=yes nx=yes relro=no cgo=no -race=no -msan=no -asan=no", "GNU build ID", "", ""},
		{"linux", "amd64", []string{"-ldflags=-compressdwarf=false"}, 64, "little", executable,
			"-s=no -w=no zdwarf=no -trimpath=no pie=no static=yes nx=yes relro=no cgo=no -race=no -msan=no -asan=no", "GNU build ID", "", ""},
		{"linux", "amd64", []string{"-ldflags=-w"}, 64, "little", executable,
			"-s=no -w=yes zdwarf=unknown -trimpath=no pie=no static=yes nx=yes relro=no cgo=no -race=no -msan=no -asan=no", "GNU build ID", "", ""},
		{"linux", "amd64", []string{"-trimpath", "-ldflags=-s -w -B none"}, 64, "little", executable,
			"-s=yes -w=yes zdwarf=unknown -trimpath=yes pie=no static=yes nx=yes relro=no cgo=no -race=no -msan=no -asan=no", "", "", ""},
		{"linux", "amd64", []string{"-buildmode=pie"}, 64, "little", independent,
			"-s=no -w=no zdwarf=yes -trimpath=no pie=yes static=no nx=yes relro=yes cgo=no -race=no -msan=no -asan=no", "GNU build ID", "", ""},
		{"linux", "386", nil, 32, "little", executable,
			"-s=no -w=no zdwarf=yes -trimpath=no pie=no static=yes nx=yes relro=no cgo=no -race=no -msan=no -asan=no", "GNU build ID", "", ""},
		{"linux", "s390x", []string{"-ldflags=-s -w"}, 64, "big", executable,
			"-s=yes -w=yes zdwarf=unknown -trimpath=no pie=no static=yes nx=yes relro=no cgo=no -race=no -msan=no -asan=no", "GNU build ID", "", ""},
		{"darwin", "arm64", nil, 64, "little", independent,
			"-s=no -w=no zdwarf=yes -trimpath=no pie=yes static=no nx=yes relro=yes cgo=no -race=no -msan=no -asan=no", "LC_UUID", "/usr/lib/libSystem.B.dylib", "ad hoc"},
		{"darwin", "arm64", []string{"-trimpath", "-ldflags=-s -w"}, 64, "little", independent,
			"-s=yes -w=yes zdwarf=unknown -trimpath=yes pie=yes static=no nx=yes relro=yes cgo=no -race=no -msan=no -asan=no", "LC_UUID", "/usr/lib/libSystem.B.dylib", "ad hoc"},
		{"windows", "amd64", nil, 64, "little", independent,
			"-s=no -w=no zdwarf=yes -trimpath=no pie=yes static=no nx=yes relro=unknown cgo=no -race=no -msan=no -asan=no", "", "kernel32.dll", ""},
		{"windows", "amd64", []string{"-trimpath", "-ldflags=-s -w"}, 64, "little", independent,
			"-s=yes -w=yes zdwarf=unknown -trimpath=yes pie=yes static=no nx=yes relro=unknown cgo=no -race=no -msan=no -asan=no", "", "kernel32.dll", ""},
		{"js", "wasm", nil, 64, "little", "module",
			"-s=no -w=unknown zdwarf=unknown -trimpath=no pie=unknown static=no nx=unknown relro=unknown cgo=no -race=no -msan=no -asan=no", "", "gojs", ""},
		{"js", "wasm", []string{"-trimpath", "-ldflags=-s -w"}, 64, "little", "module",
			"-s=yes -w=unknown zdwarf=unknown -trimpath=yes pie=unknown static=no nx=unknown relro=unknown cgo=no -race=no -msan=no -asan=no", "", "gojs", ""},
	}
	for _, tt := range tests {
		t.Run(strings.Join(append([]string{tt.goos, tt.goarch}, tt.args...), " "), func(t *testing.T) {
			data := build(t, tt.goos, tt.goarch, tt.args...)
			f := read(t, data)
			if f.GOOS != tt.goos || f.GOARCH != tt.goarch || f.Bits != tt.bits || f.ByteOrder != tt.order || f.Kind != tt.kind {
				t.Errorf("%s/%s, %d bits, %s, %q", f.GOOS, f.GOARCH, f.Bits, f.ByteOrder, f.Kind)
			}
			var findings []string
			for _, q := range f.Findings {
				findings = append(findings, string(q.Name)+"="+string(q.Is))
				if q.Why == "" {
					t.Errorf("%s=%s without a reason", q.Name, q.Is)
				}
			}
			if got := strings.Join(findings, " "); got != tt.findings {
				t.Errorf("findings\n%s, want\n%s", got, tt.findings)
			}
			if id := strings.TrimSpace(goTool(t, data, "tool", "buildid")); f.BuildID == nil || f.BuildID.ID != id {
				t.Errorf("build ID %v, want %s", f.BuildID, id)
			} else if joined := strings.Join([]string{f.BuildID.LinkAction, f.BuildID.MainAction, f.BuildID.MainContent, f.BuildID.FileContent}, "/"); joined != id {
				t.Errorf("parts %s of build ID %s", joined, id)
			}
			if f.Content == nil || f.Content.State != ContentIntact || f.Content.Hash != f.BuildID.FileContent {
				t.Errorf("content %+v", f.Content)
			}
			switch {
			case tt.host == "" && f.HostID != nil, tt.host != "" && (f.HostID == nil || f.HostID.Kind != tt.host || f.HostID.FromBuildID != Yes):
				t.Errorf("host ID %+v, want %q", f.HostID, tt.host)
			}
			if got := strings.Join(f.Libraries, " "); got != tt.libraries {
				t.Errorf("libraries %q", got)
			}
			if got := f.Interpreter != ""; got != (tt.goos == "darwin" || f.Finding(PIE).Is == Yes && tt.goos == "linux") {
				t.Errorf("interpreter %q", f.Interpreter)
			}
			if f.Signature != nil && (f.Signature.Kind != tt.signature || !f.Signature.Linker || f.Signature.Identifier != "a.out") || f.Signature == nil && tt.signature != "" {
				t.Errorf("signature %+v", f.Signature)
			}
			if len(f.Notes) > 0 {
				t.Errorf("notes %q", f.Notes)
			}
			if f.Build == nil || f.Build.Path != "example.test/tiny" || f.Build.Main == nil || f.Build.Main.Version != "(devel)" {
				t.Errorf("build %+v", f.Build)
			} else if goos, _ := f.Build.Setting("GOOS"); goos != tt.goos {
				t.Errorf("setting GOOS=%s", goos)
			}
			// Without -trimpath the place of the source is in the file.
			leak := slices.ContainsFunc(f.Paths, func(p HostPath) bool { return strings.HasSuffix(p.Text, "/main.go") })
			if trimmed := f.Finding(Trimpath).Is == Yes; leak == trimmed || trimmed && len(f.Paths) > 0 {
				t.Errorf("paths %v", f.Paths)
			}
			var page bytes.Buffer
			if err := NewDocument(File{Name: "x", Binaries: []Facts{f}}).Fprint(&page); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{f.BuildID.FileContent, "intact", "go1.", "example.test/tiny (devel)", "runtime", f.Recipe.String()} {
				if !strings.Contains(page.String(), want) {
					t.Errorf("the page lacks %q:\n%s", want, &page)
				}
			}
		})
	}
}

// TestVersion compares with "go version -m", which does not know WebAssembly.
func TestVersion(t *testing.T) {
	for _, p := range targets[:5] {
		data := build(t, p[0], p[1], "-ldflags=-s -w")
		f := read(t, data)
		text := "\t" + "path\t" + f.Build.Path + "\n\tmod\t" + f.Build.Main.Path + "\t" + f.Build.Main.Version + "\t\n"
		for _, s := range f.Build.Settings {
			value := s.Value
			if strings.Contains(value, " ") {
				value = strconv.Quote(value)
			}
			text += "\tbuild\t" + s.Key + "=" + value + "\n"
		}
		_, want, _ := strings.Cut(goTool(t, data, "version", "-m"), "\n")
		if text != want {
			t.Errorf("%v:\n%s\nwant\n%s", p, text, want)
		}
	}
}

// TestFunctions compares with the symbol table, as "go tool nm" reads it.
func TestFunctions(t *testing.T) {
	for _, p := range targets {
		t.Run(p[0]+" "+p[1], func(t *testing.T) {
			data := build(t, p[0], p[1])
			b := open(t, data)
			all := map[string]Function{}
			var code Function // the sum
			for f, err := range b.Functions() {
				if err != nil {
					t.Fatal(err)
				}
				if f.Offset < 0 || f.Size < 0 || f.Offset+f.Size > int64(len(data)) {
					t.Fatalf("%+v in %d bytes", f, len(data))
				}
				all[fmt.Sprintf("%s@%d", f.Name, f.Offset)] = f
				code.Size += f.Size
			}
			if c, err := b.code(nil); err != nil || c.Text != code.Size || c.Functions != len(all) {
				t.Errorf("%d functions of %d bytes in %+v, %v", len(all), code.Size, c, err)
			}
			if p[1] != "wasm" { // which nm does not know
				text, ok := b.section(".text", "__TEXT,__text")
				if !ok {
					t.Fatal("no text")
				}
				n := 0
				packages := map[string][3]int64{}
				for _, s := range nm(t, data) {
					offset := int64(s.address-text.Address) + text.Offset
					f, ok := all[fmt.Sprintf("%s@%d", s.name, offset)]
					for key := range all {
						// Symbol tables decorate some names.
						if !ok && strings.HasSuffix(key, fmt.Sprintf("@%d", offset)) {
							f, ok = all[key], s.name == "_"+all[key].Name || s.name == strings.ReplaceAll(all[key].Name, "·", ".")
						}
					}
					if !ok {
						t.Errorf("lacks %+v", s)
						continue
					}
					const padding = 64
					if f.Name != "go:textfipsend" && (f.Size < s.size || f.Size-s.size >= padding) {
						t.Errorf("%+v for %+v", f, s)
					}
					name := PackageOf(f.Name)
					sums := packages[name]
					packages[name] = [3]int64{sums[0] + f.Size, sums[1] + s.size, sums[2] + 1}
					n++
				}
				if n < len(all)*9/10 || n < 500 {
					t.Errorf("%d of %d functions are symbols", n, len(all))
				}
				for name, sums := range packages {
					if padding := sums[0] - sums[1]; padding > 32*sums[2] {
						t.Errorf("%s has %d bytes, by its symbols %d", name, sums[0], sums[1])
					}
				}
			}
			// A stripped program has the same functions.
			rest := maps.Clone(all)
			stripped := open(t, build(t, p[0], p[1], "-ldflags=-s -w"))
			for f, err := range stripped.Functions() {
				if err != nil {
					t.Fatal(err)
				}
				for key, other := range rest {
					if other.Name == f.Name && other.Size == f.Size && other.Start == f.Start {
						delete(rest, key)
						break
					}
				}
			}
			if len(rest) > 0 {
				t.Errorf("the stripped program lacks %d functions: %v", len(rest), rest)
			}
			_, err := b.code(&Build{Path: "example.test/tiny", Main: &Module{Path: "example.test/tiny"}})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

type symbol struct {
	name    string
	address uint64
	size    int64
}

// nm returns the symbols of code that have a size.
func nm(t *testing.T, data []byte) []symbol {
	var list []symbol
	for s := bufio.NewScanner(strings.NewReader(goTool(t, data, "tool", "nm", "-size"))); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 4 || strings.ToUpper(fields[2]) != "T" {
			continue
		}
		address, err := strconv.ParseUint(fields[0], 16, 64)
		size, err2 := strconv.ParseInt(fields[1], 10, 64)
		name := strings.TrimSuffix(strings.Join(fields[3:], " "), ".abi0")
		if err != nil || err2 != nil {
			t.Fatalf("nm: %q", s.Text())
		}
		// The marks of the start and end.
		if name == "runtime.text" || name == "runtime.etext" || size == 0 {
			continue
		}
		list = append(list, symbol{name, address, size})
	}
	return list
}

// TestTampered shows that a change of a file after the link is found, wherever it
// is.
func TestTampered(t *testing.T) {
	for _, p := range targets {
		t.Run(p[0]+" "+p[1], func(t *testing.T) {
			good := build(t, p[0], p[1])
			b := open(t, good)
			check := func(what string, data []byte, want Content) {
				t.Helper()
				b, err := Open(bytes.NewReader(data), int64(len(data)))
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				c, err := b.CheckContent()
				if err != nil || c.State != want || c.Why == "" {
					t.Errorf("%s: %+v, %v", what, c, err)
				}
			}
			check("as it was", good, ContentIntact)
			for _, s := range b.Sections {
				switch s.Name {
				case ".text", ".rodata", ".data", ".rdata", ".gopclntab", ".go.buildinfo", "__TEXT,__text", "__DATA,__data", "__LINKEDIT", "(code)", "(data)", ".symtab":
					data := slices.Clone(good)
					data[s.Offset+s.Size/2] ^= 1
					want := ContentChanged
					if sig, ok := b.section("(code signature)"); ok && s.Offset+s.Size/2 >= sig.Offset {
						want = ContentIntact
					}
					check(s.Name, data, want)
				case ".note.gnu.build-id", "(LC_UUID)":
					// What the hash does not cover is found otherwise.
					data := slices.Clone(good)
					data[s.Offset+s.Size-1] ^= 1
					check(s.Name, data, ContentIntact)
					if h, ok := open(t, data).HostID(); !ok || h.FromBuildID != No {
						t.Errorf("host ID %+v", h)
					}
				}
			}
			if p[1] != "wasm" {
				check("appended", append(slices.Clone(good), 0), ContentChanged)
			}
			id, err := b.BuildID()
			if err != nil {
				t.Fatal(err)
			}
			other := strings.Repeat("A", 20)
			check("build ID", bytes.ReplaceAll(good, []byte(id.FileContent), []byte(other)), ContentChanged)
		})
	}
	data := build(t, "linux", "amd64", "-ldflags=-buildid=")
	if c, err := open(t, data).CheckContent(); !errors.Is(err, ErrNoBuildID) || c.State != ContentUnknown {
		t.Errorf("without a build ID: %+v, %v", c, err)
	}
	data = build(t, "linux", "amd64", "-ldflags=-buildid=redacted")
	if c, err := open(t, data).CheckContent(); err != nil || c.State != ContentUnknown {
		t.Errorf("with another build ID: %+v, %v", c, err)
	}
	if h, ok := open(t, data).HostID(); !ok || h.FromBuildID != Yes { // the linker hashes any ID
		t.Errorf("with another build ID: %+v", h)
	}
}

// TestContentHash compares the search over the edges of buffers with the simple
// way.
func TestContentHash(t *testing.T) {
	id := []byte("0123456789/0123456789")
	data := bytes.Repeat([]byte("some bytes 0123456789/"), 40_000) // ends in what could be a beginning
	for _, at := range []int{0, 64<<10 - 10, 64<<10 - 21, 128<<10 - 30, 300_000, 300_021, len(data) - len(id)} {
		copy(data[at:], id)
	}
	want, _, err := contentHash(bytes.NewReader(bytes.ReplaceAll(data, id, make([]byte, len(id)))), []byte("absent"))
	if err != nil {
		t.Fatal(err)
	}
	if got, n, err := contentHash(bytes.NewReader(data), id); err != nil || got != want || n != bytes.Count(data, id) {
		t.Errorf("%s, %d times, want %s, %v", got, n, want, err)
	}
}

func TestEmbedded(t *testing.T) {
	big := strings.Repeat("more than a kilobyte ", 100)
	files := map[string]string{
		"go.mod":         "module example.test/embeds\n\ngo 1.26\n",
		"main.go":        "package main\n\nimport \"embed\"\n\n//go:embed data\nvar data embed.FS\n\n//go:embed one.txt\nvar one string\n\nfunc main() { f, _ := data.ReadFile(\"data/a\"); println(string(f), one) }\n",
		"data/a":         "small",
		"data/empty":     "",
		"data/sub/b.txt": big,
		"one.txt":        "not in a file system",
	}
	for _, args := range [][]string{{"-ldflags=-s -w"}, {"-ldflags=-s -w", "-buildmode=pie"}} {
		data := compile(t, files, "linux", "amd64", args...)
		got, err := open(t, data).Embedded()
		if err != nil {
			t.Fatal(err)
		}
		var want []EmbeddedFile
		for _, name := range []string{"data/a", "data/empty", "data/sub/b.txt"} {
			sum := sha256.Sum256([]byte(files[name]))
			want = append(want, EmbeddedFile{name, int64(len(files[name])), hex.EncodeToString(sum[:]), Yes})
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", args, got, want)
		}
		at := bytes.Index(data, []byte(big))
		if at < 0 {
			t.Fatal("no content")
		}
		data[at] ^= 1
		got, err = open(t, data).Embedded()
		if err != nil || len(got) != 3 || got[2].Intact != No || got[1].Intact != Yes {
			t.Errorf("changed content: %v, %v", got, err)
		}
	}
	// A program that embeds nothing.
	for _, p := range targets {
		if got, err := open(t, build(t, p[0], p[1])).Embedded(); err != nil || len(got) != 0 {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
}

func TestPaths(t *testing.T) {
	data := build(t, "linux", "amd64", "-trimpath", "-ldflags=-X main.version=/home/alice/secret/project")
	f := read(t, data)
	if len(f.Paths) != 1 || !strings.HasPrefix(f.Paths[0].Text, "/home/alice/secret/project") || f.Paths[0].Section != ".rodata" {
		t.Errorf("paths %v", f.Paths)
	}
	tests := []struct{ text, want string }{
		{"\x00/home/alice/x.go\x00", "/home/alice/x.go"},
		{"the end/Users/bob/src/y", "/Users/bob/src/y"},
		{`"C:\Users\bob\x"`, `C:\Users\bob\x`},
		{"d:/a/repo/repo/x.go", "d:/a/repo/repo/x.go"},
		{"see /tmp/go-build123/b001", "/tmp/go-build123/b001"},
		{"/root/go/pkg/mod/example.com@v1.0.0/x.go", "/root/go/pkg/mod/example.com@v1.0.0/x.go"},
		{"/go/pkg/mod/example.com@v1.0.0/x.go", "/go/pkg/mod/example.com@v1.0.0/x.go"},
		{"/usr/local/go/src/fmt/print.go", "/usr/local/go/src/fmt/print.go"},
		{"/home/a\x1b]0;x", "/home/a"},
		{"https://example.com/home/alice", ""},
		{"example.com/m/build/x", ""},
		{"/tmp/", ""},
		{"/tmp/%s", ""},
		{"$HOME/tmp/x", ""},
		{"/etc/passwd", ""},
		{"/home/", ""},
		{"home/alice", ""},
	}
	for _, tt := range tests {
		for _, pad := range []int{0, 3, 256<<10 - 5, 256<<10 - 520, 300_000} {
			data := append(bytes.Repeat([]byte{0}, pad), tt.text...)
			b := &Binary{r: bytes.NewReader(data), size: int64(len(data))}
			list, more, err := b.Paths()
			if err != nil || more != 0 {
				t.Fatal(more, err)
			}
			switch {
			case tt.want == "" && len(list) == 0:
			case len(list) == 1 && list[0].Text == tt.want && list[0].Count == 1 && list[0].Offset == int64(pad+strings.Index(tt.text, tt.want)):
			default:
				t.Errorf("%q at %d: %v, want %q", tt.text, pad, list, tt.want)
			}
		}
	}
	// The list is bounded.
	var many bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&many, "\x00/home/user%d/x", i)
	}
	b := &Binary{r: bytes.NewReader(many.Bytes()), size: int64(many.Len())}
	if list, more, err := b.Paths(); err != nil || len(list) != maxPaths || more != 1000-maxPaths {
		t.Errorf("%d paths and %d more, %v", len(list), more, err)
	}
}

func TestPackageOf(t *testing.T) {
	tests := []struct{ name, want string }{
		{"main.main", "main"},
		{"runtime.(*mheap).alloc", "runtime"},
		{"example.com/m/pkg.(*T).Method-fm", "example.com/m/pkg"},
		{"example.com/m/pkg.F.func1.2", "example.com/m/pkg"},
		{"gopkg.in/yaml%2ev3.Marshal", "gopkg.in/yaml.v3"},
		{"slices.SortFunc[go.shape.[]example.com/x.T,go.shape.int]", "slices"},
		{"example.com/m.(*List[example.com/other/x.T]).Push", "example.com/m"},
		{"vendor/golang.org/x/net/idna.init", "vendor/golang.org/x/net/idna"},
		{"go.uber.org/zap.New", "go.uber.org/zap"},
		{"type:.eq.example.com/m.T", ""},
		{"type..eq.[2]string", ""},
		{"go:buildid", ""},
		{"go:struct { example.com/m.T }.Method", ""},
		{"go.struct { example.com/m.T }.Method", ""},
		{"_cgo_init", ""},
		{"", ""},
		{"/", ""},
		{"%2", ""},
		{"a%zz.b", "a%zz"},
	}
	for _, tt := range tests {
		if got := PackageOf(tt.name); got != tt.want {
			t.Errorf("PackageOf(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestModules(t *testing.T) {
	b := Build{
		Path: "example.com/m/cmd/x",
		Main: &Module{Path: "example.com/m", Version: "v1.0.0"},
		Deps: []Module{{Path: "example.com/m/sub", Version: "v2.0.0"}, {Path: "example.com/other", Version: "v3.0.0", Replace: &Module{Path: "../fork"}}},
	}
	m := b.modules()
	tests := []struct{ pkg, module, version string }{
		{"example.com/m/cmd/x", "example.com/m", "v1.0.0"},
		{"example.com/m", "example.com/m", "v1.0.0"},
		{"example.com/m/sub/y", "example.com/m/sub", "v2.0.0"},
		{"example.com/m/submarine", "example.com/m", "v1.0.0"},
		{"example.com/other/z", "example.com/other", "=> ../fork"},
		{"example.com/unknown", "", ""},
		{"net/http", "std", ""},
		{"vendor/golang.org/x/net/idna", "std", ""},
		{"main", "", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		if got := m.of(tt.pkg); got != tt.module || m[got] != tt.version {
			t.Errorf("%q is of %q %q, want %q %q", tt.pkg, got, m[got], tt.module, tt.version)
		}
	}
}

func TestParseBuildInfo(t *testing.T) {
	good := []string{
		"path\texample.com/m", "mod\texample.com/m\tv1.0.0\th1:x=",
		"dep\ta.test/a\tv1.0.0", "=>\t../a\t\t", "dep\tb.test/b\tv1.0.0\th1:y=",
		"build\t-ldflags=\"-X main.v=1 -s\"", "build\tGOOS=linux",
	}
	b, err := BuildInfo{"go1.26.8", good}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Deps) != 2 || b.Deps[0].Replace == nil || b.Deps[0].Replace.Path != "../a" || b.Deps[1].Sum != "h1:y=" || b.Main.Sum != "h1:x=" {
		t.Errorf("%+v", b)
	}
	if v, _ := b.Setting("-ldflags"); v != "-X main.v=1 -s" {
		t.Errorf("-ldflags=%s", v)
	}
	for _, bad := range [][]string{
		{"what\tis this"},
		{"mod\ta"},
		{"=>\ta\tb\tc"},
		{"build\tnothing"},
		{"build\tGOOS=linux", "build\tGOOS=darwin"},
		{"path\ta", "path\tb"},
		{"build\tGOOS=linux", "path\tb"},
		{"build\tx=a b"},
	} {
		if b, err := (BuildInfo{"go1.26.8", bad}).Parse(); err == nil {
			t.Errorf("%q: %+v", bad, b)
		}
	}
}

func TestRecipe(t *testing.T) {
	settings := func(s ...string) (list []Setting) {
		for _, kv := range s {
			k, v, _ := strings.Cut(kv, "=")
			list = append(list, Setting{k, v})
		}
		return list
	}
	main := func(version, sum string) *Module { return &Module{Path: "example.com/m", Version: version, Sum: sum} }
	tests := []struct {
		name    string
		version string
		build   Build
		want    string
		source  string
		unknown string // a part of what is
	}{
		{"local", "go1.26.8", Build{Path: "example.com/m/cmd/x", Main: main("(devel)", ""), Settings: settings("-buildmode=exe", "-compiler=gc", "-ldflags=-s -X 'main.v=a b'", "-tags=a,b", "-race=true", "GOOS=linux", "GOAMD64=v3", "CGO_CFLAGS=")},
			`GOTOOLCHAIN=go1.26.8 GOOS=linux GOAMD64=v3 go build '-ldflags=-s -X '\''main.v=a b'\''' -tags=a,b -race -buildvcs=false ./cmd/x`, "", "the version of example.com/m"},
		{"installed", "go1.26.8", Build{Path: "example.com/m/cmd/x", Main: main("v1.2.3", "h1:x"), Settings: settings("-trimpath=true", "CGO_ENABLED=0")},
			"GOTOOLCHAIN=go1.26.8 CGO_ENABLED=0 go install -trimpath -ldflags=-buildid= example.com/m/cmd/x@v1.2.3", "example.com/m@v1.2.3", "-ldflags"},
		{"stamped", "go1.26.8", Build{Path: "example.com/m", Main: main("v0.0.0-20250101000000-0123456789ab+dirty", ""), Settings: settings("-ldflags=", "vcs=git", "vcs.revision=0123", "vcs.modified=true")},
			"GOTOOLCHAIN=go1.26.8 go build -ldflags=-buildid= -buildvcs=true .", "example.com/m at git revision 0123", "changed in the source"},
		{"fork", "go1.26.4 X:thing", Build{Path: "command-line-arguments", Settings: settings("microsoft_toolset_version=1", "-ldflags=-s")},
			"GOTOOLCHAIN=go1.26.4 go build -ldflags=-s -buildvcs=false", "", "microsoft_toolset_version"},
		{"another Go", "devel go1.27-abc", Build{Path: "example.com/m", Main: main("v1.0.0", ""), Deps: []Module{{Path: "a.test/a", Version: "v1.0.0"}}, Settings: settings("-ldflags=-s")},
			"go build -ldflags=-s -buildvcs=false -mod=vendor .", "example.com/m@v1.0.0", "not a release of Go"},
		{"path as a version", "go1.26/../../tmp", Build{Path: "example.com/m", Main: main("v1.0.0", ""), Deps: []Module{{Path: "a.test/a", Version: "v1.0.0", Replace: &Module{Path: "../a"}}}, Settings: settings("-ldflags=-s")},
			"go build -ldflags=-s -buildvcs=false .", "example.com/m@v1.0.0", "the content of ../a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := Facts{GoVersion: tt.version, Build: &tt.build}
			r := f.recipe()
			if got := r.String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if r.Source != tt.source {
				t.Errorf("source %q", r.Source)
			}
			if !strings.Contains(strings.Join(r.Unknown, "\n"), tt.unknown) {
				t.Errorf("unknown %q", r.Unknown)
			}
		})
	}
}

// TestEscaped: nothing that a file says reaches a terminal as it is.
func TestEscaped(t *testing.T) {
	evil := "\x1b]0;evil\x07\u202e\u009b31m\n\r\t\x00\xff\U0001f600"
	module := Module{Path: evil, Version: evil, Sum: evil, Replace: &Module{Path: evil}}
	f := Facts{
		Format: MachO, GOOS: evil, GOARCH: evil, ByteOrder: "little", Kind: evil, GoVersion: evil, Experiments: []string{evil},
		Build:   &Build{Path: evil, Main: &module, Deps: []Module{module}, Settings: []Setting{{evil, evil}, {"-tags", evil}, {"GO" + evil, evil}}},
		BuildID: &BuildID{ID: evil}, Content: &ContentCheck{State: ContentChanged, Hash: evil, Why: evil}, HostID: &HostID{Kind: "LC_UUID", Value: evil},
		Findings: []Finding{{"-s", Yes, evil}}, Interpreter: evil, Libraries: []string{evil},
		Signature: &Signature{Kind: "CMS", Identifier: evil, Team: evil},
		Sections:  []Section{{Name: evil, Size: 1}},
		Code:      &Code{Tables: []Size{{"x", 1}}, Modules: []ModuleSize{{Path: evil, Version: evil}}, Packages: []PackageSize{{Path: evil}}},
		Paths:     []HostPath{{Text: evil, Section: evil}}, Embedded: []EmbeddedFile{{Name: evil}}, Notes: []string{evil},
	}
	f.Recipe = f.recipe()
	d := NewDocument(File{Name: evil, Format: Universal, Binaries: []Facts{f}})
	var page bytes.Buffer
	if err := d.Fprint(&page); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	plain(t, page.Bytes())
	plain(t, text)
	if n := strings.Count(page.String(), `\x1b]0;evil\a`); n < 20 {
		t.Errorf("%d texts in\n%s", n, &page)
	}
	// JSON has them all the same.
	var back Document
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := back.Files[0].Binaries[0].Libraries[0]; got != strings.ToValidUTF8(evil, "\ufffd") || back.Schema != SchemaName {
		t.Errorf("%q", got)
	}
}

// plain fails unless p is lines of printable ASCII.
func plain(t *testing.T, p []byte) {
	t.Helper()
	for i, c := range p {
		if c != '\n' && (c < ' ' || c > '~') {
			t.Fatalf("byte %#x in %q", c, p[max(0, i-20):min(len(p), i+20)])
		}
	}
}

func TestCancel(t *testing.T) {
	data := build(t, "linux", "amd64")
	ctx, cancel := context.WithCancel(context.Background())
	r := readerFunc(func(p []byte, offset int64) (int, error) {
		if offset > 100_000 {
			cancel()
		}
		return bytes.NewReader(data).ReadAt(p, offset)
	})
	if _, err := Read(ctx, "x", r, int64(len(data))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := Read(context.Background(), "x", strings.NewReader("#!/bin/sh"), 9); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	// A file that shrank while it was read.
	if _, err := Read(context.Background(), "x", bytes.NewReader(data[:len(data)/2]), int64(len(data))); err == nil {
		t.Error("reads what is not there")
	}
}

type readerFunc func(p []byte, offset int64) (int, error)

func (f readerFunc) ReadAt(p []byte, offset int64) (int, error) { return f(p, offset) }
