package explain

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// misses are the pairs of the corpus whose first cause is another one than it
// should be, and what it is.
var misses = map[string]string{}

// untested are the kinds of causes without a pair, and why.
var untested = map[string]string{
	"msan": "needs clang", "asan": "needs a C compiler with the run-time library",
	"cover": "compiles packages of the standard library with counters", "pgo": "needs a profile, and compiles all anew",
	"buildmode": "compiles all anew; as pie", "compiler": "needs gccgo", "gccgoflags": "needs gccgo",
	"go386": "as goamd64", "goarm": "as goamd64", "goarm64": "as goamd64", "gomips": "as goamd64", "gomips64": "as goamd64", "goppc64": "as goamd64",
	"goriscv64": "as goamd64", "gowasm": "as goamd64",
	"ldflags": "see TestHiddenFlags: the flags that show have causes of their own", "c-compiler": "needs two C compilers",
	"unknown": "see TestUnknown",
}

// keep is how e2e/bench gets the corpus.
var keep = flag.String("keep", "", "write the pairs of the corpus to this folder, each with a, b and the identifier of its cause")

var pages = flag.Bool("pages", false, "show what Fprint writes of each pair of the corpus")

// example is a pair of files, and the cause that should come first.
type example struct {
	name string
	want string
	// text is in the first cause's text, a and b are in what it was seen by.
	text, a, b string
	hints      []Hint
	slow       bool // it compiles all of the runtime anew
	// not are causes that must not be there, and more those that must be, behind the first.
	not, more []string
	// exact has a and b be all of what the first cause was seen by, and texts all texts that are
	// listed, each as "A|B".
	exact bool
	texts []string
	// summarized is in what says why nothing is listed.
	summarized string
	make       func(t *testing.T) (a, b []byte)
}

var trim = []string{"-trimpath", "-buildvcs=false"}

func args(more ...string) []string { return append(slices.Clone(trim), more...) }

// flags is an example of two lists of arguments, with -trimpath.
func flags(a, b []string) func(t *testing.T) (x, y []byte) {
	return func(t *testing.T) (x, y []byte) {
		return build(t, program{args: args(a...)}), build(t, program{args: args(b...)})
	}
}

// settings is an example of two environments.
func settings(a, b []string, more ...string) func(t *testing.T) (x, y []byte) {
	return func(t *testing.T) (x, y []byte) {
		return build(t, program{args: args(more...), env: a}), build(t, program{args: args(more...), env: b})
	}
}

// sources is an example of two sources of main.go.
func sources(a, b string) func(t *testing.T) (x, y []byte) {
	return func(t *testing.T) (x, y []byte) {
		return build(t, program{args: args(), files: map[string]string{"main.go": a}}), build(t, program{args: args(), files: map[string]string{"main.go": b}})
	}
}

// changed is mainGo with something replaced.
func changed(old, new string) string {
	s := strings.Replace(mainGo, old, new, 1)
	if s == mainGo {
		panic("nothing to replace: " + old)
	}
	return s
}

// recorded is an example of flags that are recorded, as -trimpath is off; the
// folder is the same.
func recorded(a, b []string) func(t *testing.T) (x, y []byte) {
	return func(t *testing.T) (x, y []byte) {
		dir := t.TempDir()
		return build(t, program{args: append([]string{"-buildvcs=false"}, a...), dir: dir}), build(t, program{args: append([]string{"-buildvcs=false"}, b...), dir: dir})
	}
}

// patched is an example of a program and of the same with something done to it.
func patched(p program, patch func(t *testing.T, data []byte) []byte) func(t *testing.T) (a, b []byte) {
	return func(t *testing.T) (a, b []byte) {
		a = build(t, p)
		return a, patch(t, slices.Clone(a))
	}
}

// replace replaces all of a text by another of the same length.
func replace(old, new string) func(t *testing.T, data []byte) []byte {
	return func(t *testing.T, data []byte) []byte {
		if len(old) != len(new) || !bytes.Contains(data, []byte(old)) {
			t.Fatalf("cannot replace %q", old)
		}
		return bytes.ReplaceAll(data, []byte(old), []byte(new))
	}
}

func open(t testing.TB, data []byte) *inspect.Binary {
	t.Helper()
	b, err := inspect.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// functionAt returns where a function is in a file.
func functionAt(t testing.TB, data []byte, name string) inspect.Function {
	t.Helper()
	for f, err := range open(t, data).Functions() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == name && f.Offset >= 0 {
			return f
		}
	}
	t.Fatalf("there is no function %s", name)
	return inspect.Function{}
}

func sectionOf(t testing.TB, data []byte, name string) inspect.Section {
	t.Helper()
	for _, s := range open(t, data).Sections {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no section %s", name)
	return inspect.Section{}
}

// rehash makes the build ID's hash of the file right again.
func rehash(t *testing.T, data []byte) []byte {
	name := filepath.Join(t.TempDir(), "x")
	write(t, name, string(data))
	run(t, t.TempDir(), nil, "go", "tool", "buildid", "-w", name)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var (
	plain  = program{args: args()}
	darwin = program{args: args(), env: []string{"GOOS=darwin", "GOARCH=arm64"}}
)

const tagged = "//go:build special\n\npackage main\n\nfunc init() { version = \"special\" }\n"

const embedding = `package main

import "embed"

//go:embed assets
var assets embed.FS

func main() {
	b, _ := assets.ReadFile("assets/x.txt")
	println(string(b))
}
`

const (
	twoA = "-X main.date=2026-01-02T03:04:05Z -X main.version=release-one"
	twoB = "-X main.date=2026-01-02T03:09:05Z -X main.version=release-two"
)

var twoTexts = []string{"2026-01-02T03:04:05Z|2026-01-02T03:09:05Z", "release-one|release-two"}

// embedsAs is an example of a file that is embedded in a variable of a type.
func embedsAs(kind string) func(t *testing.T) (x, y []byte) {
	source := "package main\n\nimport _ \"embed\"\n\n//go:embed x.txt\nvar text " + kind + "\n\nfunc main() { println(string(text)) }\n"
	return func(t *testing.T) (x, y []byte) {
		p := func(text string) program {
			return program{args: args(), files: map[string]string{"main.go": source, "x.txt": text}}
		}
		return build(t, p("one text")), build(t, p("another text"))
	}
}

// numbers is a program with a constant among others of the same length.
func numbers(s string) string {
	list := []string{s}
	for i := range 8 {
		list = append(list, fmt.Sprintf("%0*d", len(s), 5550000000+i*7)[:len(s)])
	}
	slices.Sort(list[1:])
	// The compiler joins what one call of println prints.
	return "package main\n\nfunc main() {\n\tshow(\"" + strings.Join(list, "\")\n\tshow(\"") + "\")\n}\n\n//go:noinline\nfunc show(s string) { println(s) }\n"
}

// manyModules is a program with 15 dependencies, of which the last has the most functions that differ
// from version to version.
func manyModules(t *testing.T, version, date string) program {
	t.Helper()
	modules := map[string]map[string]string{}
	mod, imports, calls := goMod+"\n", "", ""
	for i := range 15 {
		name, functions := fmt.Sprintf("m%02d", i), 1
		if i == 14 {
			name, functions = "zheavy", 5
		}
		for _, v := range []string{"v1.0.0", "v1.1.0"} {
			text := "package " + name + "\n"
			for k := range functions {
				text += fmt.Sprintf("\n//go:noinline\nfunc F%d(n int) int { return n*%d + len(%q) }\n", k, k+i+len(v), v+strings.Repeat("x", k))
			}
			text = strings.ReplaceAll(text, "return n*", map[bool]string{true: "return n*", false: "return n/3*"}[v == "v1.0.0"])
			modules["example.test/"+name+"@"+v] = map[string]string{"go.mod": "module example.test/" + name + "\n\ngo 1.26\n", name + ".go": text}
		}
		mod += "require example.test/" + name + " " + version + "\n"
		imports += "import \"example.test/" + name + "\"\n"
		for k := range functions {
			calls += fmt.Sprintf("\tprintln(%s.F%d(n))\n", name, k)
		}
	}

	// The sums have to be there before the commit.
	p := stamped(date, nil, version)
	p.files = map[string]string{"go.mod": mod, "main.go": "package main\n\n" + imports + "\nvar n = 3\n\nfunc main() {\n" + calls + "}\n"}
	p.env = proxy(t, modules)
	commit := p.out
	p.out = func(t testing.TB, dir string) {
		run(t, dir, p.env, "go", "mod", "tidy")
		commit(t, dir)
	}
	return p
}

func embeds(a, b string) func(t *testing.T) (x, y []byte) {
	return func(t *testing.T) (x, y []byte) {
		p := func(text string) program {
			return program{args: args(), files: map[string]string{"main.go": embedding, "assets/x.txt": text, "assets/y.txt": "the same"}}
		}
		return build(t, p(a)), build(t, p(b))
	}
}

const (
	userGo = "package main\n\nimport \"example.test/dep\"\n\nfunc main() { println(dep.Name()) }\n"
	depMod = "module example.test/dep\n\ngo 1.26\n"
	depGo  = "package dep\n\nfunc Name() string { return \"dep\" }\n"
)

// dependent is a program with a dependency, by the rest of its go.mod.
func dependent(rest string, env []string) program {
	return program{args: args(), env: env, files: map[string]string{"main.go": userGo, "go.mod": goMod + "\n" + rest + "\n"}}
}

func depModules(text string) map[string]map[string]string {
	return map[string]map[string]string{
		"example.test/dep@v1.0.0":  {"go.mod": depMod, "dep.go": depGo + text},
		"example.test/dep@v1.1.0":  {"go.mod": depMod, "dep.go": depGo},
		"example.test/fork@v1.0.0": {"go.mod": strings.ReplaceAll(depMod, "dep", "fork"), "dep.go": depGo},
	}
}

var corpus = []example{
	// Settings.
	{name: "platform", want: "platform", a: "linux/amd64", b: "darwin/arm64", summarized: "different platforms", texts: []string{}, not: []string{"time-stamp", "user-or-host", "host-path"}, make: func(t *testing.T) (a, b []byte) { return build(t, plain), build(t, darwin) }},
	{name: "GOAMD64", want: "goamd64", a: "GOAMD64=v1", b: "GOAMD64=v3", slow: true, make: settings([]string{"GOAMD64=v1"}, []string{"GOAMD64=v3"})},
	{name: "experiment", want: "goexperiment", b: "arenas", slow: true, make: settings(nil, []string{"GOEXPERIMENT=arenas"})},
	{name: "fips140", want: "gofips140", make: settings([]string{"GOFIPS140=off"}, []string{"GOFIPS140=latest"})},
	{name: "godebug", want: "godebug", b: "panicnil", make: sources(mainGo, "//go:debug panicnil=1\n"+mainGo)},
	{name: "race", want: "race", slow: true, make: func(t *testing.T) (a, b []byte) {
		needC(t)
		return build(t, program{args: args(), env: []string{"CGO_ENABLED=1"}}), build(t, program{args: args("-race"), env: []string{"CGO_ENABLED=1"}})
	}},
	{name: "pie", want: "pie", slow: true, make: flags(nil, []string{"-buildmode=pie"})},
	{name: "tags", want: "tags", b: "special", make: func(t *testing.T) (a, b []byte) {
		files := map[string]string{"special.go": tagged}
		return build(t, program{args: args(), files: files}), build(t, program{args: args("-tags=special"), files: files})
	}},
	{name: "gcflags", want: "gcflags", b: "-N -l", make: flags(nil, []string{"-gcflags=-N -l"})},
	{name: "asmflags", want: "asmflags", make: flags(nil, []string{"-asmflags=-D=x"})},
	{name: "cgo", want: "cgo", a: "CGO_ENABLED=0", make: settings(nil, []string{"CGO_ENABLED=1"})},
	{name: "cgo in one", want: "cgo", slow: true, make: func(t *testing.T) (a, b []byte) {
		needC(t)
		c := "package main\n\n// int one(void) { return 1; }\nimport \"C\"\n\nfunc init() { println(C.one()) }\n"
		return build(t, plain), build(t, program{args: args(), files: map[string]string{"c.go": c}, env: []string{"CGO_ENABLED=1"}})
	}},
	{name: "cgo flags", want: "cgo-flags", a: "-O1", b: "-O2", make: func(t *testing.T) (a, b []byte) {
		dir := t.TempDir()
		p := func(f string) program {
			return program{dir: dir, args: []string{"-buildvcs=false"}, env: []string{"CGO_ENABLED=1", "CGO_CFLAGS=" + f}}
		}
		return build(t, p("-O1")), build(t, p("-O2"))
	}},
	{name: "unknown setting", want: "setting", text: "-compilex", make: func(t *testing.T) (a, b []byte) {
		data := build(t, plain)
		return replace("\nbuild\t-compiler=gc", "\nbuild\t-compilex=gc")(t, data), replace("\nbuild\t-compiler=gc", "\nbuild\t-compilex=gx")(t, data)
	}},

	// Toolchains.
	{name: "Go version", want: "other-go-version", make: patched(plain, func(t *testing.T, data []byte) []byte {
		info, err := open(t, data).BuildInfo()
		if err != nil {
			t.Fatal(err)
		}
		v := info.GoVersion
		return rehash(t, replace(v, v[:len(v)-1]+map[bool]string{true: "8", false: "9"}[strings.HasSuffix(v, "9")])(t, data))
	})},
	{name: "another Go", want: "other-go-version", b: "go1.25.5", slow: true, summarized: "different versions of Go", texts: []string{}, make: func(t *testing.T) (a, b []byte) {
		env := []string{"GOTOOLCHAIN=go1.25.5"}
		cmd := exec.Command("go", "version")
		cmd.Env = environ(env...)
		if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "go1.25.5 ") {
			t.Skip("go1.25.5 is not in the module cache")
		}
		files := map[string]string{"go.mod": "module example.test/tiny\n\ngo 1.25.0\n"}
		return build(t, program{args: args(), files: files}), build(t, program{args: args(), files: files, env: env})
	}},
	{name: "overlay", want: "other-toolchain-same-version", slow: true, make: func(t *testing.T) (a, b []byte) {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(strings.TrimSpace(string(out)), "src", "runtime", "print.go")
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		other := strings.Replace(string(text), "func printbool(v bool) {", "func printbool(v bool) {\n\tif v {\n\t\tprintstring(\"indeed \")\n\t}", 1)
		other = strings.Replace(other, "func printnl() {", "func printnl() {\n\tprintstring(\" \")", 1)
		if other == string(text) {
			t.Fatal("nothing to replace")
		}
		write(t, filepath.Join(dir, "print.go"), other)
		write(t, filepath.Join(dir, "overlay.json"), fmt.Sprintf("{\"Replace\": {%q: %q}}", name, filepath.Join(dir, "print.go")))
		return build(t, plain), build(t, program{args: args("-overlay=" + filepath.Join(dir, "overlay.json"))})
	}},
	{name: "no build info", want: "no-build-info", make: patched(plain, replace("\xff Go buildinf:", "\xff No buildinf:"))},
	{name: "compiler output", want: "compiler-output", make: patched(plain, func(t *testing.T, data []byte) []byte {
		id, err := open(t, data).BuildID()
		if err != nil {
			t.Fatal(err)
		}
		data[functionAt(t, data, "main.work").Offset+3] ^= 0x10
		data = replace(id.ID, strings.Replace(id.ID, "/"+id.MainContent+"/", "/"+strings.Repeat("x", 20)+"/", 1))(t, data)
		return rehash(t, data)
	})},
	{name: "linker output", want: "linker-output", make: patched(plain, func(t *testing.T, data []byte) []byte {
		s := sectionOf(t, data, ".debug_info")
		data[s.Offset+s.Size-1] ^= 1
		return rehash(t, data)
	})},

	// Modules and version control.
	{name: "module version", want: "module-version", a: "v1.0.0", b: "v1.1.0", make: func(t *testing.T) (a, b []byte) {
		env := proxy(t, depModules("\n// other\n"))
		return build(t, dependent("require example.test/dep v1.0.0", env)), build(t, dependent("require example.test/dep v1.1.0", env))
	}},
	{name: "module replaced", want: "module-replaced", b: "example.test/fork", make: func(t *testing.T) (a, b []byte) {
		env := proxy(t, depModules(""))
		return build(t, dependent("require example.test/dep v1.0.0", env)), build(t, dependent("require example.test/dep v1.0.0\n\nreplace example.test/dep => example.test/fork v1.0.0", env))
	}},
	{name: "module sum", want: "module-sum", make: func(t *testing.T) (a, b []byte) {
		const rest = "require example.test/dep v1.0.0"
		return build(t, dependent(rest, proxy(t, depModules("")))), build(t, dependent(rest, proxy(t, depModules("\nfunc Evil() {}\n"))))
	}},
	{name: "vendored", want: "dependency-sums-missing", make: func(t *testing.T) (a, b []byte) {
		env := proxy(t, depModules(""))
		p := dependent("require example.test/dep v1.0.0", env)
		a = build(t, p)
		p.out = func(t testing.TB, dir string) {
			run(t, dir, env, "go", "mod", "tidy")
			run(t, dir, env, "go", "mod", "vendor")
		}
		p.args = args("-mod=vendor")
		return a, build(t, p)
	}},
	{name: "installed", want: "module-source", make: func(t *testing.T) (a, b []byte) {
		modules := map[string]map[string]string{"example.test/tiny@v1.0.0": {"go.mod": goMod, "main.go": mainGo}}
		env := proxy(t, modules)
		bin := t.TempDir()
		run(t, t.TempDir(), append(env, "GOBIN="+bin), "go", "install", "-trimpath", "example.test/tiny@v1.0.0")
		b, err := os.ReadFile(filepath.Join(bin, "tiny"))
		if err != nil {
			t.Fatal(err)
		}
		return build(t, plain), b
	}},
	{name: "package by file", want: "main-package", b: "command-line-arguments", make: flags(nil, []string{"main.go"})},
	{name: "another commit", want: "vcs-stamp", make: func(t *testing.T) (a, b []byte) {
		return build(t, stamped("2026-01-01T00:00:00Z", nil)), build(t, stamped("2026-02-01T00:00:00Z", nil))
	}},
	{name: "dirty", want: "vcs-modified", make: func(t *testing.T) (a, b []byte) {
		return build(t, stamped("2026-01-01T00:00:00Z", nil)), build(t, stamped("2026-01-01T00:00:00Z", func(t testing.TB, dir string) {
			write(t, filepath.Join(dir, "new.txt"), "new")
		}))
	}},
	{name: "no repository", want: "vcs-missing", make: func(t *testing.T) (a, b []byte) {
		return build(t, plain), build(t, stamped("2026-01-01T00:00:00Z", nil))
	}},
	{name: "many modules", want: "module-version", text: "example.test/zheavy", more: []string{"vcs-stamp", "main-version"}, make: func(t *testing.T) (a, b []byte) {
		return build(t, manyModules(t, "v1.0.0", "2026-01-01T00:00:00Z")), build(t, manyModules(t, "v1.1.0", "2026-02-01T00:00:00Z"))
	}},
	{name: "no tag", want: "main-version", a: "v1.2.3", make: func(t *testing.T) (a, b []byte) {
		// The go command remembers in the module cache what version a commit has.
		p := func(tags ...string) program {
			p := stamped("2026-01-01T00:00:00Z", nil, tags...)
			p.env = []string{"GOMODCACHE=" + t.TempDir(), "GOFLAGS=-modcacherw"}
			return p
		}
		return build(t, p("v1.2.3")), build(t, p())
	}},

	// Paths, stamps and what is embedded.
	{name: "build folder", want: "path-of-build-folder", text: "-trimpath is off", make: func(t *testing.T) (a, b []byte) {
		p := func() program { return program{args: []string{"-buildvcs=false"}, dir: t.TempDir()} }
		return build(t, p()), build(t, p())
	}},
	{name: "trimpath", want: "trimpath", make: func(t *testing.T) (a, b []byte) {
		return build(t, program{args: []string{"-buildvcs=false"}}), build(t, plain)
	}},
	{name: "trimpath and ldflags", want: "trimpath", make: func(t *testing.T) (a, b []byte) {
		return build(t, program{args: []string{"-buildvcs=false", "-ldflags=-X main.version=1"}}), build(t, program{args: args("-ldflags=-X main.version=1")})
	}},
	{name: "GOROOT", want: "path-of-goroot", slow: true, make: func(t *testing.T) (a, b []byte) {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		root := filepath.Join(dir, "another", "go")
		if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(strings.TrimSpace(string(out)), root); err != nil {
			t.Skip(err)
		}
		p := func(env ...string) program { return program{args: []string{"-buildvcs=false"}, dir: dir, env: env} }
		return build(t, p()), build(t, p("GOROOT="+root))
	}},
	{name: "module cache", want: "path-of-module-cache", make: func(t *testing.T) (a, b []byte) {
		dir := t.TempDir()
		p := func() program {
			p := dependent("require example.test/dep v1.0.0", proxy(t, depModules("\n//go:noinline\nfunc Do() { println(1) }\n")))
			p.files["main.go"] = strings.Replace(userGo, "println(dep.Name())", "dep.Do()", 1)
			p.args, p.dir = []string{"-buildvcs=false"}, dir
			return p
		}
		return build(t, p()), build(t, p())
	}},
	{name: "time, recorded", want: "time-stamp", text: "main.date", a: "2026-01-01T00:00:00Z", make: recorded([]string{"-ldflags=-X main.date=2026-01-01T00:00:00Z"}, []string{"-ldflags=-X main.date=2026-01-02T03:04:05Z"})},
	{name: "time, not recorded", want: "time-stamp", a: "2026-01-01T00:00:00Z", make: flags([]string{"-ldflags=-X main.date=2026-01-01T00:00:00Z"}, []string{"-ldflags=-X main.date=2026-01-02T03:04:05Z"})},
	{name: "time, not recorded, stripped", want: "time-stamp", a: "1767225600", make: flags([]string{"-ldflags=-s -w -X main.date=1767225600"}, []string{"-ldflags=-s -w -X main.date=1767312245"})},
	{name: "time, no build ID", want: "time-stamp", make: flags([]string{"-ldflags=-s -w -buildid= -X main.date=2026-01-01_10:00:00"}, []string{"-ldflags=-s -w -buildid= -X main.date=2026-01-01_10:00:01"})},
	{name: "time in the source", want: "time-stamp", make: sources(changed("unknown", "built Jan  2 2026 15:04:05"), changed("unknown", "built Jan  3 2026 16:05:06"))},
	{name: "-X, recorded", want: "ldflags-x", text: "main.version", a: "one", b: "two", make: recorded([]string{"-ldflags=-X main.version=one -s"}, []string{"-ldflags=-X 'main.version=two' -s"})},
	{name: "-X, not recorded", want: "ldflags-x", text: "main.version", a: "release-one", b: "release-three", make: flags([]string{"-ldflags=-X main.version=release-one"}, []string{"-ldflags=-X main.version=release-three"})},
	{name: "-X, stripped", want: "ldflags-x", a: "release-one", make: flags([]string{"-ldflags=-s -w -X main.version=release-one"}, []string{"-ldflags=-s -w -X main.version=release-three"})},
	// A constant follows the value without an end between them.
	{name: "time among numbers", want: "time-stamp", a: "1767225600", b: "1767312245", exact: true, make: sources(numbers("1767225600"), numbers("1767312245"))},
	{name: "constants that are neighbours", want: "source", a: "wonderful", b: "marvelous", exact: true, texts: []string{"wonderful|marvelous"}, make: sources(numbers("wonderful"), numbers("marvelous"))},
	{name: "map of the standard library", want: "source", not: []string{"other-toolchain-same-version", "compiler-output"}, make: sources(
		"package main\n\nimport \"unicode\"\n\nfunc main() { println(len(unicode.Categories)) }\n",
		"package main\n\nimport \"unicode\"\n\nfunc main() { println(len(unicode.Scripts), len(unicode.Properties)) }\n")},
	{name: "-X, two variables", want: "time-stamp", text: "main.date", a: "2026-01-02T03:04:05Z", b: "2026-01-02T03:09:05Z", exact: true, texts: twoTexts, more: []string{"ldflags-x"},
		make: flags([]string{"-ldflags=" + twoA}, []string{"-ldflags=" + twoB})},
	{name: "-X, two variables, stripped", want: "time-stamp", a: "2026-01-02T03:04:05Z", b: "2026-01-02T03:09:05Z", exact: true, more: []string{"ldflags-x"},
		make: flags([]string{"-ldflags=-s -w " + twoA}, []string{"-ldflags=-s -w " + twoB})},
	{name: "-X in one", want: "ldflags-x", text: "main.version", a: "none", b: "release-one", exact: true, make: flags(nil, []string{"-ldflags=-X main.version=release-one"})},
	{name: "-X, darwin", want: "ldflags-x", text: "main.version", make: platformX("darwin", "arm64")},
	{name: "-X, windows", want: "ldflags-x", make: platformX("windows", "amd64")},
	{name: "-X, wasm", want: "ldflags-x", make: platformX("js", "wasm")},
	{name: "embedded file", want: "embedded-file", text: "assets/x.txt", make: embeds("one text", "another text")},
	{name: "embedded in a PIE", want: "embedded-file", text: "assets/x.txt", slow: true, make: func(t *testing.T) (a, b []byte) {
		p := func(text string) program {
			return program{args: args("-buildmode=pie"), files: map[string]string{"main.go": embedding, "assets/x.txt": text, "assets/y.txt": "the same"}}
		}
		return build(t, p("one text")), build(t, p("another text"))
	}},
	{name: "embedded as a string", want: "source", text: "main.text", a: "one text", b: "another text", exact: true, make: embedsAs("string")},
	{name: "embedded as bytes", want: "source", text: "main.text", a: "one text", b: "another text", exact: true, make: embedsAs("[]byte")},
	{name: "embedded time", want: "embedded-file", text: "assets/x.txt", make: embeds("built 2026-01-01T00:00:00Z", "built 2026-01-01T00:00:07Z")},
	{name: "path in the source", want: "host-path", a: "/home/alice/src", make: sources(changed("unknown", "/home/alice/src/project"), changed("unknown", "/home/bobby/src/project"))},
	{name: "user in the source", want: "user-or-host", a: "alice@build-one", make: sources(changed("unknown", "by alice@build-one"), changed("unknown", "by root@another-host"))},
	{name: "varied", want: "varied", text: "host name", hints: []Hint{{"host name", "quarkhost", "leptonhst"}}, make: sources(changed("unknown", "on quarkhost"), changed("unknown", "on leptonhst"))},
	{name: "function", want: "source", text: "example.test/tiny", make: sources(mainGo, changed("i * 7", "i*9 + n/3"))},
	{name: "immediate", want: "source", text: "example.test/tiny", make: sources(changed("i * 7", "i * 1000003"), changed("i * 7", "i * 1000033"))},
	{name: "constant", want: "source", a: "some text", b: "other text that is longer", exact: true, texts: []string{"some text|other text that is longer"}, make: sources(changed("none", "some text"), changed("none", "other text that is longer"))},

	// After linking, and linked with flags that show.
	{name: "symbol table", want: "stripped", text: "symbol table", make: flags(nil, []string{"-ldflags=-s"})},
	{name: "debug information", want: "stripped", text: "debug information", make: recorded(nil, []string{"-ldflags=-w"})},
	{name: "strip", want: "stripped", text: "stripped after it was linked", make: patched(plain, func(t *testing.T, data []byte) []byte {
		strip, err := exec.LookPath("strip")
		if err != nil {
			t.Skip("no strip")
		}
		name := filepath.Join(t.TempDir(), "x")
		write(t, name, string(data))
		run(t, t.TempDir(), nil, strip, name)
		data, err = os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	})},
	{name: "compressed DWARF", want: "debug-compression", make: flags(nil, []string{"-ldflags=-compressdwarf=false"})},
	{name: "build ID", want: "build-id-only", a: "one", make: flags([]string{"-ldflags=-buildid=one"}, []string{"-ldflags=-buildid=two"})},
	{name: "no build ID", want: "build-id-only", make: flags(nil, []string{"-ldflags=-buildid="})},
	{name: "order of flags", want: "build-id-only", make: flags([]string{"-ldflags=-s -w"}, []string{"-ldflags=-w -s"})},
	{name: "LC_UUID", want: "build-id-only", make: func(t *testing.T) (a, b []byte) {
		p := func(id string) program {
			p := darwin
			p.args = args("-ldflags=-buildid= -B " + id)
			return p
		}
		return build(t, p("0x00112233445566778899aabbccddeeff")), build(t, p("0x10112233445566778899aabbccddeeff"))
	}},
	{name: "LC_UUID, changed later", want: "build-id-only", text: "LC_UUID", make: patched(darwin, func(t *testing.T, data []byte) []byte {
		data[sectionOf(t, data, "(LC_UUID)").Offset+9] ^= 1
		return data
	})},
	{name: "changed later", want: "changed-after-linking", text: "only B", make: patched(plain, func(t *testing.T, data []byte) []byte {
		data[functionAt(t, data, "main.work").Offset+3] ^= 0x10
		return data
	})},
	{name: "signature, darwin", want: "signature-only", make: patched(darwin, func(t *testing.T, data []byte) []byte {
		s := sectionOf(t, data, "(code signature)")
		data[s.Offset+s.Size-1] ^= 1 // a hash of the last page
		return data
	})},
	{name: "signature, windows", want: "signature-only", b: "Authenticode", make: patched(program{args: args(), env: []string{"GOOS=windows"}}, authenticode)},
	{name: "PE time stamp", want: "pe-header", make: patched(program{args: args("-ldflags=-buildid="), env: []string{"GOOS=windows"}}, func(t *testing.T, data []byte) []byte {
		data[sectionOf(t, data, "(time stamp)").Offset] = 7
		return data
	})},
	{name: "packed", want: "packed", make: patched(program{args: args(), env: []string{"GOOS=windows"}}, func(t *testing.T, data []byte) []byte {
		return bytes.Replace(data, []byte(".text\x00\x00\x00"), []byte("UPX0\x00\x00\x00\x00"), 1)
	})},
	{name: "appended", want: "appended", make: patched(program{args: args("-ldflags=-buildid=")}, func(t *testing.T, data []byte) []byte {
		return append(data, "a payload"...)
	})},
	{name: "universal", want: "universal-slices", make: func(t *testing.T) (a, b []byte) {
		d := build(t, darwin)
		return d, universal(0x100000c, d)
	}},
	{name: "in a slice", want: "ldflags-x", make: func(t *testing.T) (a, b []byte) {
		a, b = platformX("darwin", "arm64")(t)
		return universal(0x100000c, a), universal(0x100000c, b)
	}},

	// Texts.
	{name: "kinds of files", want: "file-type", make: texts("a text\n", "\x00\x01\x02\x03")},
	{name: "line ends", want: "line-endings", make: texts("one\ntwo\n", "one\r\ntwo\r\n")},
	{name: "order of lines", want: "line-order", make: texts("one\ntwo\nthree\n", "two\none\nthree\n")},
	{name: "text", want: "content", a: "two", make: texts("one\ntwo\n", "one\n2\n")},
	{name: "times that both have", want: "content", not: []string{"time-stamp", "user-or-host"}, make: texts("2026-01-01 by a.user@some-host\nx\n", "2026-01-01 2026-01-01 by a.user@some-host, a.user@some-host\ny\n")},
	{name: "path that both have", want: "platform", not: []string{"host-path", "time-stamp"}, make: func(t *testing.T) (a, b []byte) {
		files := map[string]string{"main.go": changed("unknown", "/home/alice/src/project 2026-01-01T10:00:00Z")}
		return build(t, program{args: args(), files: files}), build(t, program{args: args(), files: files, env: darwin.env})
	}},
	{name: "time in a text", want: "time-stamp", make: texts("# built at 2026-01-01 10:00:00\n", "# built at 2026-01-01 10:00:03\n")},

	// Archives.
	{name: "members", want: "archive-members", a: "README", make: tarballs(func(m []tarFile) []tarFile { return m[1:] })},
	{name: "order", want: "archive-order", make: tarballs(func(m []tarFile) []tarFile { slices.Reverse(m); return m })},
	{name: "mtime", want: "archive-mtime", make: tarballs(func(m []tarFile) []tarFile { m[1].ModTime = m[1].ModTime.Add(time.Second); return m })},
	{name: "mode", want: "archive-mode", a: "0644", b: "0664", make: tarballs(func(m []tarFile) []tarFile { m[0].Mode = 0o664; return m })},
	{name: "owner", want: "archive-owner", b: "1000", make: tarballs(func(m []tarFile) []tarFile { m[0].Uid, m[0].Uname = 1000, "user"; return m })},
	{name: "link", want: "archive-type", make: tarballs(func(m []tarFile) []tarFile {
		m[0] = tarFile{Header: tar.Header{Name: m[0].Name, Typeflag: tar.TypeSymlink, Linkname: "x", ModTime: m[0].ModTime, Mode: 0o644}}
		return m
	})},
	{name: "PAX record", want: "archive-header", make: tarballs(func(m []tarFile) []tarFile {
		m[0].PAXRecords = map[string]string{"EXAMPLE.x": "y"}
		return m
	})},
	{name: "text in a tar", want: "content", make: tarballs(func(m []tarFile) []tarFile { m[0].text = "another text\n"; return m })},
	{name: "level", want: "compressor", make: func(t *testing.T) (a, b []byte) {
		data := tarball(t, tarFiles())
		return gzipped(t, data, 9, gzip.Header{}), gzipped(t, data, 6, gzip.Header{})
	}},
	{name: "gzip header", want: "compressor-header", b: "x.tar", make: func(t *testing.T) (a, b []byte) {
		data := tarball(t, tarFiles())
		return gzipped(t, data, 9, gzip.Header{}), gzipped(t, data, 9, gzip.Header{Name: "x.tar"})
	}},
	{name: "zstd level", want: "compressor", make: func(t *testing.T) (a, b []byte) {
		data := tarball(t, tarFiles())
		return zstandard(t, data, zstd.SpeedFastest), zstandard(t, data, zstd.SpeedBestCompression)
	}},
	{name: "format", want: "archive-format", make: func(t *testing.T) (a, b []byte) {
		data := tarball(t, tarFiles())
		return gzipped(t, data, 9, gzip.Header{}), zstandard(t, data, zstd.SpeedDefault)
	}},
	{name: "padding", want: "archive-padding", make: func(t *testing.T) (a, b []byte) {
		data := tarball(t, tarFiles())
		other := append(slices.Clone(data), make([]byte, 4096)...)
		other[len(other)-1] = 1
		return gzipped(t, data, 9, gzip.Header{}), gzipped(t, other, 9, gzip.Header{})
	}},
	{name: "zip time", want: "archive-mtime", make: zips(func(h []*zip.FileHeader) { h[0].Modified = h[0].Modified.Add(2 * time.Second) })},
	{name: "zip mode", want: "archive-mode", make: zips(func(h []*zip.FileHeader) { h[0].SetMode(0o755) })},
	{name: "zip method", want: "compressor", make: zips(func(h []*zip.FileHeader) { h[0].Method = zip.Store })},
	{name: "zip level", want: "compressor", make: func(t *testing.T) (a, b []byte) {
		return zipped(t, flate.BestSpeed, nil), zipped(t, flate.BestCompression, nil)
	}},
	{name: "binary in a tar.gz", want: "ldflags-x", a: "release-one", make: func(t *testing.T) (a, b []byte) {
		x, y := flags([]string{"-ldflags=-s -w -X main.version=release-one"}, []string{"-ldflags=-s -w -X main.version=release-three"})(t)
		pack := func(data []byte) []byte {
			m := tarFiles()
			m[1].text = string(data)
			return gzipped(t, tarball(t, m), 6, gzip.Header{})
		}
		return pack(x), pack(y)
	}},
	{name: "archive in an archive", want: "content", make: func(t *testing.T) (a, b []byte) {
		pack := func(level int) []byte {
			m := tarFiles()
			m[0].text = string(zipped(t, level, nil))
			return tarball(t, m)
		}
		return pack(1), pack(9)
	}},
	{name: "binary in a zip", want: "embedded-file", make: func(t *testing.T) (a, b []byte) {
		x, y := embeds("one text", "another text")(t)
		return zipped(t, 6, x), zipped(t, 6, y)
	}},
}

func needC(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no C compiler")
	}
}

// stamped is a program from a repository with one commit.
func stamped(date string, after func(t testing.TB, dir string), tags ...string) program {
	return program{args: []string{"-trimpath", "-buildvcs=true"}, out: func(t testing.TB, dir string) {
		commit(t, dir, date, tags...)
		if after != nil {
			after(t, dir)
		}
	}}
}

func platformX(goos, goarch string) func(t *testing.T) (a, b []byte) {
	p := func(v string) program {
		return program{args: args("-ldflags=-X main.version=" + v), env: []string{"GOOS=" + goos, "GOARCH=" + goarch}}
	}
	return func(t *testing.T) (a, b []byte) { return build(t, p("release-one")), build(t, p("release-three")) }
}

// authenticode appends what looks like a signature to a PE file.
func authenticode(t *testing.T, data []byte) []byte {
	for len(data)%8 != 0 {
		data = append(data, 0)
	}
	// A PKCS #7 signature without anything in it.
	cert := []byte("\x28\x00\x00\x00\x00\x02\x02\x00" +
		"\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x0d\x30\x0b\x02\x01\x01\x31\x00\x30\x02\x05\x00\x31\x00" + "\x00\x00\x00\x00")
	o := binary.LittleEndian
	optional := o.Uint32(data[0x3c:]) + 24
	o.PutUint32(data[optional+112+8*4:], uint32(len(data)))
	o.PutUint32(data[optional+112+8*4+4:], uint32(len(cert)))
	o.PutUint32(data[optional+64:], 0x12345)
	return append(data, cert...)
}

// universal makes a universal file of one slice.
func universal(cpu uint32, slice []byte) []byte {
	const offset = 0x4000
	data := make([]byte, offset, offset+len(slice))
	for i, w := range []uint32{0xcafebabe, 1, cpu, 0, offset, uint32(len(slice)), 14} {
		binary.BigEndian.PutUint32(data[4*i:], w)
	}
	return append(data, slice...)
}

func texts(a, b string) func(t *testing.T) (x, y []byte) {
	return func(*testing.T) (x, y []byte) { return []byte(a), []byte(b) }
}

type tarFile struct {
	tar.Header
	text string
}

func tarFiles() []tarFile {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	long := strings.Repeat("a text that can be compressed, number of it\n", 2000)
	return []tarFile{
		{tar.Header{Name: "README", Mode: 0o644, ModTime: at}, "read me\n" + long},
		{tar.Header{Name: "bin/x", Mode: 0o755, ModTime: at}, "#!/bin/sh\n" + long},
		{tar.Header{Name: "doc/y", Mode: 0o644, ModTime: at}, "y\n"},
	}
}

func tarball(t testing.TB, files []tarFile) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		f.Size = int64(len(f.text))
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func tarballs(change func([]tarFile) []tarFile) func(t *testing.T) (a, b []byte) {
	return func(t *testing.T) (a, b []byte) {
		return gzipped(t, tarball(t, tarFiles()), 6, gzip.Header{}), gzipped(t, tarball(t, change(tarFiles())), 6, gzip.Header{})
	}
}

func gzipped(t testing.TB, data []byte, level int, h gzip.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Name = h.Name
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zstandard(t testing.TB, data []byte, level zstd.EncoderLevel) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level))
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func zips(change func([]*zip.FileHeader)) func(t *testing.T) (a, b []byte) {
	return func(t *testing.T) (a, b []byte) {
		return zipArchive(t, 6, nil, func([]*zip.FileHeader) {}), zipArchive(t, 6, nil, change)
	}
}

func zipped(t testing.TB, level int, binary []byte) []byte {
	t.Helper()
	return zipArchive(t, level, binary, func([]*zip.FileHeader) {})
}

func zipArchive(t testing.TB, level int, binary []byte, change func([]*zip.FileHeader)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, level) })
	var headers []*zip.FileHeader
	var texts []string
	for _, f := range tarFiles() {
		h := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: f.ModTime}
		h.SetMode(f.FileInfo().Mode())
		text := f.text
		if f.Name == "bin/x" && binary != nil {
			text = string(binary)
		}
		headers, texts = append(headers, h), append(texts, text)
	}
	change(headers)
	for i, h := range headers {
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, texts[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestCorpus explains pairs of files with one known cause each. At least nine of
// ten must have it first.
func TestCorpus(t *testing.T) {
	total, right := 0, 0
	tested := map[string]bool{}
	for i, x := range corpus {
		tested[x.want] = true
		t.Run(strings.ReplaceAll(x.name, " ", "-"), func(t *testing.T) {
			if testing.Short() && (x.slow || i%5 > 0) {
				t.Skip("with -short one pair of five is enough")
			}
			a, b := x.make(t)
			if *keep != "" {
				dir := filepath.Join(*keep, strings.NewReplacer(" ", "-", ",", "").Replace(x.name))
				write(t, filepath.Join(dir, "a"), string(a))
				write(t, filepath.Join(dir, "b"), string(b))
				write(t, filepath.Join(dir, "cause"), x.want)
				return
			}
			r := explainBytes(t, a, b, Options{Hints: x.hints, TempDir: t.TempDir()})
			if *pages {
				var page bytes.Buffer
				_ = r.Fprint(&page) // to a buffer
				t.Logf("\n%s", &page)
			}
			total++
			got := top(r)
			if got == x.want {
				right++
			}
			missed, ok := misses[x.name]
			switch {
			case ok && got == x.want:
				t.Errorf("no longer missed: remove it from the list")
			case ok && got != missed, !ok && got != x.want:
				var page bytes.Buffer
				_ = r.Fprint(&page) // to a buffer
				t.Errorf("first cause %s, want %s\n%s", got, x.want, &page)
			case !ok:
				c := r.Causes[0]
				if !strings.Contains(c.Text, x.text) || !strings.Contains(c.A, x.a) || !strings.Contains(c.B, x.b) {
					t.Errorf("cause %+v, want %q, %q, %q", c, x.text, x.a, x.b)
				}
				if c.Confidence == Possible {
					t.Errorf("%s is only possible", c.ID)
				}
				if x.exact && (c.A != x.a || c.B != x.b) {
					t.Errorf("seen by %q and %q, want %q and %q", c.A, c.B, x.a, x.b)
				}
			}
			checkMore(t, x, r)
			// The other way round the same must come out.
			if back := explainBytes(t, b, a, Options{Hints: swapped(x.hints), TempDir: t.TempDir()}); top(back) != got {
				t.Errorf("the other way round the first cause is %s, not %s", top(back), got)
			}
			// No file is unlike itself.
			if r := explainBytes(t, b, slices.Clone(b), Options{Hints: x.hints}); !r.Equal {
				t.Error("a file differs from itself")
			}
		})
	}
	if *keep != "" {
		return
	}
	t.Logf("%d of %d right", right, total)
	if total > 0 && right*10 < total*9 {
		t.Errorf("%d of %d right: fewer than nine of ten", right, total)
	}
	if len(tested) < 25 {
		t.Errorf("%d causes", len(tested))
	}
	for _, k := range Kinds() {
		if _, not := untested[k.ID]; not == tested[k.ID] {
			t.Errorf("cause %s: tested %t, in the list of those that are not %t", k.ID, tested[k.ID], not)
		}
	}
}

// checkMore checks what an example says beyond its first cause.
func checkMore(t *testing.T, x example, r *Report) {
	t.Helper()
	shown := heaviest(r.Causes, maxOfTable)
	has := func(list []Cause, id string) bool {
		return slices.ContainsFunc(list, func(c Cause) bool { return c.ID == id })
	}
	for _, id := range x.not {
		if has(r.Causes, id) {
			t.Errorf("there is a cause %s: %+v", id, r.Causes)
		}
	}
	for _, id := range x.more {
		if !has(shown, id) {
			t.Errorf("there is no cause %s: %+v", id, shown)
		}
	}

	if x.texts != nil {
		listed := []string{}
		for _, s := range r.Strings {
			if s.Kind == KindText {
				listed = append(listed, s.A+"|"+s.B)
			}
		}
		slices.Sort(listed)
		if !slices.Equal(listed, x.texts) {
			t.Errorf("texts %q, want %q", listed, x.texts)
		}
	}
	for _, b := range r.Binaries {
		other := x.want == "other-go-version" || x.want == "platform"
		if !strings.Contains(b.Summarized, x.summarized) || b.Summarized != "" && !other {
			t.Errorf("summarized %q, want %q", b.Summarized, x.summarized)
		}
		if f := b.Functions; b.Summarized != "" && (f == nil || len(f.List) > 0 || f.More == 0 && f.Same < f.A) {
			t.Errorf("%s, and yet functions are listed, or not counted: %+v", b.Summarized, b.Functions)
		}
	}

	// A terminal of 24 lines shows the first causes, and one of 80 lines all of it.
	var page bytes.Buffer
	_ = r.Fprint(&page) // to a buffer
	lines := strings.Split(page.String(), "\n")
	if at := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "1. ") }); at < 0 || at > 12 || len(lines) > 80 {
		t.Errorf("the first cause is in line %d of %d\n%s", at+1, len(lines), &page)
	}
}

func swapped(hints []Hint) []Hint {
	var list []Hint
	for _, h := range hints {
		list = append(list, Hint{h.Name, h.B, h.A})
	}
	return list
}
