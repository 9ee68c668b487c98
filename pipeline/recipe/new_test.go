package recipe

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goroot is the toolchain that runs the tests.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestKnown holds the list against that of the toolchain.
func TestKnown(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(goroot(t), "src", "internal", "cfg", "cfg.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(src), "const KnownEnv = `")
	text, _, ok := strings.Cut(rest, "`")
	theirs := strings.Fields(text)
	if !ok || len(theirs) < 60 {
		t.Fatalf("KnownEnv was not found: %q", theirs)
	}
	// Read by the runtime of every Go program, and printed by go env.
	theirs = append(theirs, "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTELEMETRY")
	slices.Sort(theirs)
	var ours []string
	for _, v := range KnownVariables {
		ours = append(ours, v.Name)
		if v.Role != Fixed && v.Value != "" {
			t.Errorf("%s: a value that nobody uses", v.Name)
		}
	}
	for _, name := range theirs {
		if !slices.Contains(ours, name) {
			t.Errorf("%s: known to the toolchain and not dealt with", name)
		}
	}
	for _, name := range ours {
		if !slices.Contains(theirs, name) {
			t.Errorf("%s: not known to the toolchain", name)
		}
	}
	if !slices.IsSorted(ours) || len(slices.Compact(slices.Clone(ours))) != len(ours) {
		t.Error("Known is not sorted, or has a name twice")
	}
	if !slices.IsSorted(ClosedEnv()) {
		t.Error("Closed is not sorted")
	}
}

func TestLookup(t *testing.T) {
	env := []string{"AB=1", "A=2=3", "C="}
	for name, want := range map[string]string{"A": "2=3", "AB": "1", "C": "", "B": "none"} {
		got, ok := Lookup(env, name)
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

const releaseFile = `
project = "tool"

[[binary]]
package = "./cmd/tool"
stamps = { "main.version" = "{{.Version}}" }
env = { FOO = "bar" }

[[binary]]
package = "./cmd/other"

[[binary]]
package = "./cmd/native"
cgo = true
env = { CC = "musl-gcc" }
targets = ["linux/*"]

[matrix]
os = ["linux", "darwin", "windows"]
arch = ["amd64"]
amd64 = ["v1", "v3"]
include = ["linux/arm/6,softfloat", "wasip1/wasm"]
exclude = ["darwin/amd64/v1", "windows/amd64/v1"]
`

// builds expands the release file with more lines in [build].
func builds(t *testing.T, options string) []matrix.Build {
	t.Helper()
	f, err := matrix.Parse("release.toml", []byte(releaseFile+"\n[build]\n"+options+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.Builds(nil, matrix.SampleVars("tool"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// build returns the one of name for target.
func build(t *testing.T, options, name, target string) matrix.Build {
	t.Helper()
	for _, b := range builds(t, options) {
		if b.Binary == name && b.Target.String() == target {
			return b
		}
	}
	t.Fatalf("no %s for %s", name, target)
	return matrix.Build{}
}

func commitInputs() Inputs {
	return Inputs{Source: fixed().Source, Toolchain: Toolchain{Version: "go1.26.8"}}
}

func moduleInputs() Inputs {
	in := commitInputs()
	in.Source = Source{Dir: ".", Module: "m.example/tool", Sum: "h1:x", Version: "v1.0.0"}
	return in
}

func newRecipe(t *testing.T, b matrix.Build, in Inputs) Recipe {
	t.Helper()
	r, err := New(b, in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ldflags returns the value of -ldflags.
func ldflags(r Recipe) string {
	for _, arg := range r.Argv {
		if v, ok := strings.CutPrefix(arg, "-ldflags="); ok {
			return v
		}
	}
	return ""
}

// TestGolden shows what recipes look like, and that they are the same on every
// host, whatever its environment says.
func TestGolden(t *testing.T) {
	for _, kv := range []string{"GOFLAGS=-race", "GOAMD64=v4", "GOEXPERIMENT=none", "GOOS=plan9", "CGO_ENABLED=1", "CC=cc", "TZ=Pacific/Kiritimati"} {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	var got bytes.Buffer
	for _, b := range builds(t, "") {
		enc, err := newRecipe(t, b, commitInputs()).Encode()
		if err != nil {
			t.Fatal(err)
		}
		got.Write(append(enc, '\n'))
	}
	file := filepath.Join("testdata", "recipes.golden")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("recipes changed, and with them their digests; if that is meant, run the test with -update\n%s", got.Bytes())
	}
}

func TestNew(t *testing.T) {
	vendored, hooked, unsorted := commitInputs(), commitInputs(), commitInputs()
	vendored.Vendored = true
	hooked.Hooks, hooked.Epoch = [][]string{{"go", "generate"}}, 7
	unsorted.Epoch = 7
	unsorted.Modules = []Module{{Path: "b.example"}, {Path: "a.example"}}
	for name, tc := range map[string]struct {
		build matrix.Build
		in    Inputs
		ok    func(Recipe) bool
	}{
		"commit": {build(t, "", "tool", "linux/amd64"), commitInputs(), func(r Recipe) bool {
			return slices.Equal(r.Argv[:4], []string{"go", "build", "-mod=readonly", "-buildvcs=true"}) && r.Argv[len(r.Argv)-1] == "./cmd/tool" &&
				ldflags(r) == "-buildid= -s -w -X=main.version=1.2.3" && r.Binary == "tool" && r.Epoch == 0
		}},
		"module":   {build(t, "", "tool", "linux/amd64"), moduleInputs(), func(r Recipe) bool { return r.Argv[3] == "-buildvcs=false" }},
		"vendored": {build(t, "", "tool", "linux/amd64"), vendored, func(r Recipe) bool { return r.Argv[2] == "-mod=vendor" }},
		"hooks":    {build(t, "", "tool", "linux/amd64"), hooked, func(r Recipe) bool { return r.Epoch == 7 && len(r.Hooks) == 1 }},
		"modules": {build(t, "", "tool", "linux/amd64"), unsorted, func(r Recipe) bool {
			return r.Modules[0].Path == "a.example" && unsorted.Modules[0].Path == "b.example" && r.Epoch == 0
		}},
		"windows":               {build(t, "", "tool", "windows/amd64/v3"), commitInputs(), func(r Recipe) bool { return r.Binary == "tool.exe" }},
		"wasm":                  {build(t, "", "tool", "wasip1/wasm"), commitInputs(), func(r Recipe) bool { return r.Binary == "tool.wasm" }},
		"strip both":            {build(t, "strip_symbols = true\nstrip_dwarf = true", "other", "linux/amd64"), commitInputs(), func(r Recipe) bool { return ldflags(r) == "-buildid= -s -w" }},
		"strip symbols only":    {build(t, "strip_dwarf = false", "other", "linux/amd64"), commitInputs(), func(r Recipe) bool { return ldflags(r) == "-buildid= -s -w=0" }},
		"strip DWARF only":      {build(t, "strip_symbols = false", "other", "linux/amd64"), commitInputs(), func(r Recipe) bool { return ldflags(r) == "-buildid= -w" }},
		"strip nothing":         {build(t, "strip_symbols = false\nstrip_dwarf = false", "other", "linux/amd64"), commitInputs(), func(r Recipe) bool { return ldflags(r) == "-buildid=" }},
		"build ID kept":         {build(t, "buildid = \"keep\"\nstrip_symbols = false\nstrip_dwarf = false", "other", "linux/amd64"), commitInputs(), func(r Recipe) bool { return ldflags(r) == "" }},
		"build ID of darwin":    {build(t, "buildid = \"keep\"", "other", "darwin/amd64/v3"), commitInputs(), func(r Recipe) bool { return ldflags(r) == "-s -w" }},
		"a build ID for darwin": {build(t, "buildid = \"mine\"", "other", "darwin/amd64/v3"), commitInputs(), func(r Recipe) bool { return ldflags(r) == "-buildid=mine -s -w" }},
		"darwin": {build(t, "", "other", "darwin/amd64/v3"), commitInputs(), func(r Recipe) bool {
			return regexp.MustCompile(`^-buildid= -s -w -B=0x[0-9a-f]{32}$`).MatchString(ldflags(r))
		}},
	} {
		if r := newRecipe(t, tc.build, tc.in); !tc.ok(r) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	b := build(t, "", "tool", "linux/amd64")
	b.Stamps = []matrix.Stamp{{Name: "main.version", Value: `both ' and "`}}
	if r, err := New(b, commitInputs()); err == nil {
		t.Errorf("a stamp that cannot be quoted: %q", r.Argv)
	}
	if r, err := New(build(t, "", "tool", "linux/amd64"), Inputs{}); err == nil {
		t.Errorf("no source: %+v", r)
	}
}

// TestUUID: it follows from all of the recipe, and from nothing else.
func TestUUID(t *testing.T) {
	tool := build(t, "", "tool", "darwin/amd64/v3")
	tagged := tool
	tagged.Options.Tags = []string{"x"}
	other := commitInputs()
	other.Source.Tree = strings.Repeat("3", 40)
	seen := map[string]string{}
	for _, r := range []Recipe{
		newRecipe(t, tool, commitInputs()), newRecipe(t, tagged, commitInputs()), newRecipe(t, tool, other),
		newRecipe(t, build(t, "", "other", "darwin/amd64/v3"), commitInputs()),
	} {
		_, uuid, ok := strings.Cut(ldflags(r), "-B=0x")
		if !ok || seen[uuid] != "" {
			t.Errorf("%s: uuid %q, which is also that of %s", r.Binary, uuid, seen[uuid])
		}
		seen[uuid] = r.Binary
	}
	if a, b := ldflags(newRecipe(t, tool, commitInputs())), ldflags(newRecipe(t, tool, commitInputs())); a != b {
		t.Errorf("equal recipes: %s and %s", a, b)
	}
}

// TestEnviron: every fixed variable has its value, every choice is made, and
// what is placed by a pass or must be absent is not there.
func TestEnviron(t *testing.T) {
	role := map[string]Role{}
	for _, v := range KnownVariables {
		role[v.Name] = v.Role
	}
	for _, b := range builds(t, "") {
		env := BuildEnv(b)
		if !slices.IsSorted(env) {
			t.Errorf("%s: not sorted", b.Target)
		}
		want := []string{"CGO_ENABLED", "GOARCH", "GOEXPERIMENT", "GOFIPS140", "GOOS"}
		for _, kv := range slices.Concat(ClosedEnv(), b.Target.Env(), b.Env) {
			name, _, _ := strings.Cut(kv, "=")
			if !slices.Contains(env, kv) {
				t.Errorf("%s: no %s", b.Target, kv)
			}
			want = append(want, name)
		}
		var got []string
		for _, kv := range env {
			name, _, _ := strings.Cut(kv, "=")
			got = append(got, name)
			if r, ok := role[name]; ok && (r == Placement || r == Absent || r == CgoOnly && !b.Options.Cgo) {
				t.Errorf("%s: %s has no place in a recipe", b.Target, kv)
			}
		}
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("%s:\n got %v\nwant %v", b.Target, got, want)
		}
		if cgo, _ := Lookup(env, "CGO_ENABLED"); (cgo == "1") != b.Options.Cgo {
			t.Errorf("%s: %s: CGO_ENABLED=%s", b.Target, b.Binary, cgo)
		}
	}
	b := build(t, "experiments = [\"jsonv2\", \"noregabi\"]\nfips140 = \"latest\"", "tool", "linux/amd64")
	for name, want := range map[string]string{"GOEXPERIMENT": "jsonv2,noregabi", "GOFIPS140": "latest", "GOAMD64": "v1", "FOO": "bar"} {
		if got, _ := Lookup(BuildEnv(b), name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
}

func TestListFlags(t *testing.T) {
	b := build(t, "tags = [\"a\", \"b\"]\ngcflags = [\"-N\"]\n[[override]]\ntarget = \"linux/amd64\"\npie = \"on\"", "tool", "linux/amd64")
	got, err := ListFlags(b, true)
	if want := []string{"-mod=vendor", "-buildmode=pie", "-tags=a,b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// TestDarwin builds a program as its recipe says and looks at what is in it: no
// build ID, and an LC_UUID all the same.
func TestDarwin(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the runtime")
	}
	root, dir, cache := goroot(t), t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m.example/tool\n\ngo 1.21\n", "main.go": "package main\n\nfunc main() { println(\"hello\") }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(env []string, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(root, "bin", "go"), args...)
		cmd.Dir, cmd.Env = dir, slices.Concat(env, []string{"GOCACHE=" + cache, "GOPATH=" + cache, "HOME=" + cache, "GOROOT=" + root})
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, stderr.String())
		}
	}
	b := build(t, "", "other", "darwin/amd64/v3")
	b.Package = "."
	r := newRecipe(t, b, moduleInputs())
	_, want, _ := strings.Cut(ldflags(r), "-B=0x")
	file := filepath.Join(dir, r.Binary)
	run(r.Env, "build", "-trimpath", "-o", file, ".")
	if id := buildID(t, file); id == "" {
		t.Error("a plain build has no build ID either: this test cannot fail")
	}
	run(r.Env, slices.Insert(slices.Clone(r.Argv[1:]), 1, "-o", file)...)
	if id := buildID(t, file); id != "" {
		t.Errorf("build ID %q", id)
	}
	if got := uuidOf(t, file); got != want {
		t.Errorf("LC_UUID %s, want %s", got, want)
	}
	run(r.Env, "build", "-trimpath", "-o", file, "-ldflags=-buildid=", ".")
	if got := uuidOf(t, file); got != "" {
		t.Errorf("an empty build ID does not cost LC_UUID (%s) any more: -B is not needed", got)
	}
}

// buildID asks the toolchain, whose tool is in the ordinary build cache.
func buildID(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("go", "tool", "buildid", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// uuidOf returns the LC_UUID of a Mach-O file in hexadecimal, or "".
func uuidOf(t *testing.T, file string) string {
	t.Helper()
	f, err := macho.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, l := range f.Loads {
		const lcUUID = 0x1b // mach-o/loader.h
		if raw := l.Raw(); binary.LittleEndian.Uint32(raw) == lcUUID {
			return hex.EncodeToString(raw[8:24])
		}
	}
	return ""
}
