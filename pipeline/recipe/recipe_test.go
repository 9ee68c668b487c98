package recipe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/twicebuild/twice/matrix"
)

// fixed is a recipe with every member, and with text that the canonical form
// treats in a way of its own.
func fixed() Recipe {
	return Recipe{
		Argv:      []string{"go", "build", "-mod=readonly", "-ldflags=-X='main.a=<&> \"\\\t\b\f\x01\x7fé€😀\ufeff'", "./cmd/tool"},
		Binary:    "tool",
		Compiler:  "gcc 15.2.0 sha256:00",
		Env:       []string{"CGO_ENABLED=1", "GOARCH=amd64", "GOOS=linux"},
		Epoch:     1767225600,
		Hooks:     [][]string{{"go", "generate", "./..."}, {"sh", "-c", "echo \n\r/"}},
		Modules:   []Module{{Path: "a.example/m", Sum: "h1:a", Version: "v1.0.0"}, {Path: "b.example/m", Replace: "./b"}},
		Schema:    Schema,
		Source:    Source{Commit: strings.Repeat("1", 40), Dir: ".", Tree: strings.Repeat("2", 40)},
		Target:    matrix.Target{OS: "linux", Arch: "amd64", Variant: "v3"},
		Toolchain: Toolchain{Sum: "h1:t", Version: "go1.26.8"},
	}
}

// TestCanonical holds the encoding against RFC 8785 as written out below.
func TestCanonical(t *testing.T) {
	module := fixed()
	module.Source = Source{Dir: "sub", Module: "c.example/m", Sum: "h1:c", Version: "v2.0.0"}
	for _, r := range []Recipe{fixed(), module} {
		enc, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(enc, &v); err != nil {
			t.Fatal(err)
		}
		if want := jcs(t, v); string(enc) != want {
			t.Errorf("not canonical:\n got %s\nwant %s", enc, want)
		}
	}
}

// jcs is RFC 8785 for what a recipe is made of: objects, lists, text and whole
// numbers.
func jcs(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { // by UTF-16 code units, section 3.2.3
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		})
		for i, name := range names {
			names[i] = jcs(t, name) + ":" + jcs(t, v[name])
		}
		return "{" + strings.Join(names, ",") + "}"
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = jcs(t, v[i])
		}
		return "[" + strings.Join(items, ",") + "]"
	case float64:
		if v != float64(int64(v)) || v > 1<<53 || v < -(1<<53) {
			t.Fatalf("%v is not a whole number that everyone can read", v)
		}
		return fmt.Sprintf("%d", int64(v))
	case string: // section 3.2.2.2
		b.WriteByte('"')
		for _, c := range v {
			switch short := strings.IndexRune("\b\t\n\f\r\"\\", c); {
			case short >= 0:
				b.WriteString([]string{`\b`, `\t`, `\n`, `\f`, `\r`, `\"`, `\\`}[slices.Index([]rune("\b\t\n\f\r\"\\"), c)])
			case c < 0x20:
				fmt.Fprintf(&b, `\u%04x`, c)
			default:
				b.WriteRune(c)
			}
		}
		b.WriteByte('"')
		return b.String()
	}
	t.Fatalf("%T has no place in a recipe", v)
	return ""
}

// TestFieldOrder: encoding/json writes fields in their order, so that order has
// to be the one of their names. A field that is named but never written would
// escape TestCanonical.
func TestFieldOrder(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[Recipe](), reflect.TypeFor[Source](), reflect.TypeFor[Module](), reflect.TypeFor[Toolchain]()} {
		var names []string
		for _, f := range reflect.VisibleFields(typ) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" {
				t.Errorf("%s.%s: no name in JSON", typ, f.Name)
			}
			names = append(names, name)
		}
		if !slices.IsSorted(names) {
			t.Errorf("%s: fields in the order %v", typ, names)
		}
	}
}

// TestDigest pins the format: another digest here means that every recipe ever
// published has another one, and takes another Schema.
func TestDigest(t *testing.T) {
	d, err := fixed().Digest()
	if err != nil {
		t.Fatal(err)
	}
	if want := "sha256:fb990dd9adaca30bfff5c7e41ebee8dd3ff7b78d84087d7f677b7da489d4e890"; string(d) != want {
		t.Errorf("got %s\nwant %s", d, want)
	}
}

func TestRoundTrip(t *testing.T) {
	enc, err := fixed().Encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Decode(enc)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, fixed()) {
		t.Errorf("got %+v", r)
	}
}

func TestDecodeRefuses(t *testing.T) {
	enc, err := fixed().Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(enc)
	for name, bad := range map[string]string{
		"nothing":              "",
		"null":                 "null",
		"a list":               "[]",
		"newline":              good + "\n",
		"white space":          strings.Replace(good, `":`, `": `, 1),
		"something behind it":  good + good,
		"unknown member":       strings.Replace(good, `{"argv"`, `{"a":1,"argv"`, 1),
		"member twice":         strings.Replace(good, `"binary":"tool"`, `"binary":"x","binary":"tool"`, 1),
		"member in capitals":   strings.Replace(good, `"binary"`, `"Binary"`, 1),
		"another order":        strings.Replace(good, `"binary":"tool","compiler":"gcc 15.2.0 sha256:00"`, `"compiler":"gcc 15.2.0 sha256:00","binary":"tool"`, 1),
		"escape":               strings.Replace(good, `<&>`, `\u003c&>`, 1),
		"empty member":         strings.Replace(good, `"binary":"tool"`, `"binary":"tool","compiler":""`, 1),
		"target not canonical": strings.Replace(good, `linux/amd64/v3`, `linux/amd64/v1`, 1),
		"another schema":       strings.Replace(good, Schema, "twice.recipe/v2", 1),
		"invalid UTF-8":        strings.Replace(good, "gcc", "\xff", 1),
	} {
		if bad == good {
			t.Fatalf("%s: no fault planted", name)
		}
		if r, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s: accepted: %+v", name, r)
		}
	}
	if _, err := Decode(bytes.Repeat([]byte(" "), maxSize+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too large: %v", err)
	}
}

func TestCheck(t *testing.T) {
	if err := fixed().checkForm(); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]func(*Recipe){
		"no schema":              func(r *Recipe) { r.Schema = "" },
		"no argv":                func(r *Recipe) { r.Argv = nil },
		"no package":             func(r *Recipe) { r.Argv = r.Argv[:2] },
		"another program":        func(r *Recipe) { r.Argv[0] = "/usr/bin/go" },
		"another verb":           func(r *Recipe) { r.Argv[1] = "run" },
		"no binary":              func(r *Recipe) { r.Binary = "" },
		"binary in a folder":     func(r *Recipe) { r.Binary = "a/b" },
		"binary in a folder too": func(r *Recipe) { r.Binary = `a\b` },
		"binary on a drive":      func(r *Recipe) { r.Binary = "c:tool" },
		"binary is the parent":   func(r *Recipe) { r.Binary = ".." },
		"no source":              func(r *Recipe) { r.Source = Source{Dir: "."} },
		"no tree":                func(r *Recipe) { r.Source.Tree = "" },
		"no commit":              func(r *Recipe) { r.Source.Commit = "" },
		"no folder":              func(r *Recipe) { r.Source.Dir = "" },
		"two sources":            func(r *Recipe) { r.Source.Module = "m.example" },
		"module, no sum":         func(r *Recipe) { r.Source = Source{Dir: ".", Module: "m.example", Version: "v1.0.0"} },
		"module, no version":     func(r *Recipe) { r.Source = Source{Dir: ".", Module: "m.example", Sum: "h1:x"} },
		"no toolchain":           func(r *Recipe) { r.Toolchain.Version = "" },
		"no target":              func(r *Recipe) { r.Target = matrix.Target{} },
		"no env":                 func(r *Recipe) { r.Env = nil },
		"env not sorted":         func(r *Recipe) { slices.Reverse(r.Env) },
		"env twice":              func(r *Recipe) { r.Env = []string{"GOOS=linux", "GOOS=plan9"} },
		"env without value":      func(r *Recipe) { r.Env = []string{"GOOS"} },
		"env without name":       func(r *Recipe) { r.Env = []string{"=C:=C:\\"} },
		"epoch, no hooks":        func(r *Recipe) { r.Hooks = nil },
		"epoch too late":         func(r *Recipe) { r.Epoch = 1<<53 + 1 },
		"epoch too early":        func(r *Recipe) { r.Epoch = -1 << 63 },
		"empty hook":             func(r *Recipe) { r.Hooks[0] = nil },
		"modules not sorted":     func(r *Recipe) { slices.Reverse(r.Modules) },
		"module twice":           func(r *Recipe) { r.Modules[1] = r.Modules[0] },
		"module without path":    func(r *Recipe) { r.Modules[0].Path = "" },
		"NUL in argv":            func(r *Recipe) { r.Argv[2] = "a\x00" },
		"invalid UTF-8 in env":   func(r *Recipe) { r.Env[0] = "A=\xff" },
		"separator in hooks":     func(r *Recipe) { r.Hooks[1][2] = "\u2028" },
		"separator in compiler":  func(r *Recipe) { r.Compiler = "gcc\u2029" },
		"bad text in modules":    func(r *Recipe) { r.Modules[1].Replace = "\xff" },
		"bad text in the source": func(r *Recipe) { r.Source.Dir = "\xff" },
		"bad text in toolchain":  func(r *Recipe) { r.Toolchain.Version = "\xff" },
		"bad text in binary":     func(r *Recipe) { r.Binary = "\xff" },
	} {
		r := fixed()
		fault(&r)
		if _, err := r.Digest(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzDecode: what Decode accepts is what Encode writes of it.
func FuzzDecode(f *testing.F) {
	enc, err := fixed().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enc)
	f.Add([]byte(`{"argv":["go","build","."],"binary":"x","env":["A=b"],"schema":"twice.recipe/v1","source":{"dir":".","module":"m","sum":"s","version":"v1"},"target":"linux/arm/6,softfloat","toolchain":{"version":"go1.26.8"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(data)
		if err != nil {
			return
		}
		enc, err := r.Encode()
		if err != nil || !bytes.Equal(enc, data) {
			t.Errorf("%v\n got %s\nfrom %s", err, enc, data)
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		if want := jcs(t, v); string(data) != want {
			t.Errorf("not canonical:\n got %s\nwant %s", data, want)
		}
	})
}
