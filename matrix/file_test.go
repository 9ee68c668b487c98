package matrix

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/matrix/lintid"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

const minimal = `project = "hello"
[[binary]]
package = "."
[matrix]
os = ["linux", "darwin", "windows"]
arch = ["amd64", "arm64"]
`

func mustParse(t testing.TB, text string) *File {
	t.Helper()
	f, err := Parse("release.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustBuild(t testing.TB, text string) []Build {
	t.Helper()
	builds, err := mustParse(t, text).Builds(platform.KnownPorts, SampleVars("hello"))
	if err != nil {
		t.Fatal(err)
	}
	return builds
}

func TestDefaults(t *testing.T) {
	f := mustParse(t, minimal)
	if f.Project != "hello" || f.Version != "auto" || f.Toolchain.Version != "go.mod" || f.Toolchain.Unpublished ||
		f.Source.Dir != "." || f.Source.LFS != "refuse" || f.Checksum.File != "SHA256SUMS" || f.Binaries[0].Name != "hello" {
		t.Errorf("defaults: %+v", f)
	}
	builds := mustBuild(t, minimal)
	if len(builds) != 6 {
		t.Fatalf("%d builds", len(builds))
	}
	want := Build{
		Target: Target{OS: "linux", Arch: "amd64"}, Binary: "hello", Package: ".",
		Options: Options{Trimpath: true, StripSymbols: true, StripDWARF: true, FIPS140: "off", PGO: "auto"},
	}
	if !reflect.DeepEqual(builds[0], want) {
		t.Errorf("builds[0] = %+v\nwant %+v", builds[0], want)
	}
	plan, err := f.Archive(builds[4].Target, SampleVars("hello"))
	if err != nil || plan.Name != "hello_1.2.3_windows_amd64.zip" || plan.Format != "zip" || plan.MustMatch || !slices.Equal(plan.Binaries, []string{"hello.exe"}) {
		t.Errorf("plan = %+v, %v", plan, err)
	}
	if hooks, err := f.Hooks(SampleVars("hello")); len(hooks) != 0 || err != nil {
		t.Errorf("hooks = %q, %v", hooks, err)
	}
}

func TestConfigs(t *testing.T) {
	names, err := filepath.Glob("../configs/*.toml")
	if err != nil || len(names) < 2 {
		t.Fatalf("configs: %v, %v", names, err)
	}
	for _, name := range names {
		if filepath.Base(name) == "policy.toml" {
			continue // no release file
		}
		f, err := load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, ports := range [][]platform.Port{nil, platform.KnownPorts} {
			builds, err := f.Builds(ports, SampleVars(f.Project))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, b := range builds {
				if _, err := b.Flags(); err != nil {
					t.Errorf("%s: %s %s: %v", name, b.Target, b.Binary, err)
				}
			}
		}
		if _, err := f.Hooks(SampleVars(f.Project)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		builds, err := f.Builds(nil, SampleVars(f.Project))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := f.Images(builds, SampleVars(f.Project)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// full.toml shows every key there is.
func TestFullIsFull(t *testing.T) {
	f, err := load("../configs/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	index := regexp.MustCompile(`\[[0-9]+\]`)
	has := func(pattern string) bool {
		for key := range f.lines.Paths() {
			if index.ReplaceAllString(key, "[]") == pattern {
				return true
			}
		}
		return false
	}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		for _, fd := range fieldsOf(typ) {
			key := tomlfile.Key(path, fd.key)
			if fd.typ.Kind() == reflect.Slice && fd.typ.Elem().Kind() == reflect.Struct {
				walk(key+"[]", fd.typ.Elem())
			} else if fd.typ.Kind() == reflect.Struct {
				walk(key, fd.typ)
			} else if !has(key) {
				t.Errorf("full.toml has no %s", key)
			}
		}
	}
	walk("", reflect.TypeFor[File]())
}

// Each file has the errors, and no others. A line "> text" after the file must be
// contained in the error with the same number.
func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"empty file", `
> release.toml:1: binary: missing
> release.toml:1: matrix: missing
> release.toml:1: project: missing`},
		{"syntax", "project = \"x\"\nversion = = 3\n" + `
> release.toml:2: `},
		{"duplicate key", "project = \"x\"\n[matrix]\nos = []\n\nos = []\n" + `
> release.toml:5: `},
		{"duplicate table", "[matrix]\n[build]\n[matrix]\n" + `
> release.toml:3: `},
		{"unknown keys", minimal + "exlude = []\nformat = \"zip\"\n[chcksum]\n[[binary]]\npackage = \"./x\"\n\"a.b\" = 1\n" + `
> release.toml:7: matrix.exlude: unknown key
> release.toml:8: matrix.format: unknown key
> release.toml:9: chcksum: unknown key
> release.toml:12: binary[1]."a.b": unknown key`},
		{"lints", minimal + "[check]\nsilence = [\"hook-clok\",\n\"nonsense\", \"pie-loader\", \"pie-loader\"]\nsilent = true\n" + `
> release.toml:8: check.silence[0]: unknown lint "hook-clok"
> release.toml:9: check.silence[1]: unknown lint "nonsense"
> release.toml:9: check.silence[3]: "pie-loader" is listed twice
> release.toml:10: check.silent: unknown key`},
		{"wrong types", `project = 1
binary = "x"
version = ["auto"]
[matrix]
os = "linux"
arch = ["amd64",
  386, # on a line of its own
  true]
arm = [7]
[build]
trimpath = "true"
cgo = 1
tags = { a = "b" }
buildid = 1979-05-27
[archive]
formats = "zip"
[[override]]
stamps = "x"
[toolchain]
version = 1.26
` + `
> release.toml:1: project: want a string, not an integer
> release.toml:2: binary: want a list of tables, not a string
> release.toml:3: version: want a string, not a list
> release.toml:5: matrix.os: want a list of strings, not a string
> release.toml:7: matrix.arch[1]: want a string, not an integer
> release.toml:8: matrix.arch[2]: want a string, not a boolean
> release.toml:9: matrix.arm[0]: want a string, not an integer
> release.toml:11: build.trimpath: want true or false, not a string
> release.toml:12: build.cgo: want true or false, not an integer
> release.toml:13: build.tags: want a list of strings, not a table
> release.toml:14: build.buildid: want a string, not a date or time
> release.toml:16: archive.formats: want a table, not a string
> release.toml:17: override[0].target: missing
> release.toml:18: override[0].stamps: want a table, not a string
> release.toml:20: toolchain.version: want a string, not a float`},
		{"values", `project = "a b"
version = "1.2"
[toolchain]
version = "1.26"
[source]
dir = "../x"
lfs = "smudge"
[build]
pie = "yes"
pgo = "on"
fips140 = "v2"
tags = ["a,b"]
experiments = ["A"]
buildid = "a'b\"c"
[checksum]
file = "sub/SUMS"
[matrix]
` + `
> release.toml:1: binary: missing
> release.toml:1: project: "a b" is no plain name
> release.toml:2: version: "1.2" is no semantic version
> release.toml:4: toolchain.version: "1.26" is no exact version of Go
> release.toml:6: source.dir: "../x" is no clean relative path
> release.toml:7: source.lfs: unknown value "smudge" (refuse or pointers)
> release.toml:9: build.pie: unknown value "yes" (auto, on or off)
> release.toml:10: build.pgo: unknown value "on" (auto or off)
> release.toml:11: build.fips140: unknown GOFIPS140 "v2"
> release.toml:12: build.tags[0]: "a,b" is no build tag
> release.toml:13: build.experiments[0]: "A" is no experiment
> release.toml:14: build.buildid: "-buildid=a'b\"c" holds both kinds of quotes
> release.toml:16: checksum.file: "sub/SUMS" is no plain name
> release.toml:17: matrix: empty: no targets`},
		{"sign", `project = "x"
binary = [{ package = "." }]
[matrix]
include = ["linux/amd64"]
[sign]
key = ""
keyless = true
trusted_root = "root.json"
builder = "me"
` + `
> release.toml:6: sign.key: empty
> release.toml:8: sign.trusted_root: without signing_config
> release.toml:9: sign.builder: "me" is no URI`},
		{"sign twice", `project = "x"
binary = [{ package = "." }]
[matrix]
include = ["linux/amd64"]
[sign]
key = "k"
keyless = true
` + `
> release.toml:7: sign.keyless: there is a key as well`},
		{"sign with nothing", `project = "x"
binary = [{ package = "." }]
[matrix]
include = ["linux/amd64"]
[sign]
signing_config = "a"
trusted_root = "b"
` + `
> release.toml:6: sign.signing_config: nothing says who signs`},
		{"empty values", `project = ""
version = ""
binary = []
[matrix]
os = ["linux"]
amd64 = []
[toolchain]
version = ""
` + `
> release.toml:1: project: the name is empty
> release.toml:2: version: empty
> release.toml:3: binary: no binaries
> release.toml:5: matrix.os: without arch
> release.toml:6: matrix.amd64: empty
> release.toml:8: toolchain.version: empty`},
		{"matrix", `project = "x"
[[binary]]
package = "."
[matrix]
os = ["linux", "linxu", "linux"]
arch = ["amd64"]
amd64 = ["v3", "v5", "v3"]
arm = ["7", "7,hardfloat"]
include = [
  "freebsd/amd64",
  "linux/*",
  "linux/arm/9",
  "linux/*/v*",
]
exclude = ["linux/[", "linux"]
` + `
> release.toml:5: matrix.os[1]: unknown GOOS "linxu"
> release.toml:5: matrix.os[2]: "linux" is listed twice
> release.toml:7: matrix.amd64[1]: unknown GOAMD64 "v5" (v1, v2, v3 or v4)
> release.toml:7: matrix.amd64[2]: "v3" is listed twice: it is matrix.amd64[0]
> release.toml:8: matrix.arm[1]: "7,hardfloat" is listed twice
> release.toml:12: matrix.include[2]: linux/arm/9: unknown GOARM "9" (5, 6 or 7)
> release.toml:13: matrix.include[3]: linux/*/v*: a glob stands for ports
> release.toml:15: matrix.exclude[0]: "linux/[": bad pattern "["
> release.toml:15: matrix.exclude[1]: "linux": want a glob`},
		{"binaries", `project = "x"
[[binary]]
package = "cmd/x"
[[binary]]
package = "./..."
[[binary]]
package = "-x"
[[binary]]
package = "./../x"
[[binary]]
name = "tool.exe"
package = "."
[[binary]]
package = "./cmd/Tool"
[[binary]]
name = "tool"
package = "./cmd/b/"
targets = []
[[binary]]
name = "TOOL"
package = "./cmd/c"
[[binary]]
name = "con"
package = "./cmd/d"
[[binary]]
name = ".hidden"
package = "./cmd/e"
[matrix]
include = ["linux/amd64"]
` + `
> release.toml:3: binary[0].package: "cmd/x" is not one package
> release.toml:5: binary[1].package: "./..." is not one package
> release.toml:7: binary[2].package: "-x" is not one package
> release.toml:9: binary[3].package: "./../x" is not one package
> release.toml:11: binary[4].name: "tool.exe" has a suffix
> release.toml:16: binary[6].name: "tool" is the name of binary[5] too
> release.toml:17: binary[6].package: "./cmd/b/" is not one package
> release.toml:18: binary[6].targets: empty
> release.toml:20: binary[7].name: "TOOL" is the name of binary[5] too
> release.toml:23: binary[8].name: "con" is a device
> release.toml:26: binary[9].name: ".hidden" is no plain name`},
		{"stamps and env", `project = "x"
[matrix]
include = ["linux/amd64"]
[[binary]]
package = "."
[binary.stamps]
version = "1"
"main.v" = "{{.Verson}}"
"main.w" = "{{"
"main.x" = "a'{{.Project}}\"b"
"main.a b" = ""
"main.y" = """two
lines"""
"main.nul" = "\u0000"
"a=b.c" = ""
[binary.env]
GOFLAGS = "-x"
Path = "/x"
LC_ALL = "C"
GOSSAFUNC = "f"
"A=B" = ""
1X = ""
CC = "{{.Host}}"
CGO_CFLAGS = "-O2"
SOURCE_DATE_EPOCH = "{{.CommitUnix}}"
` + `
> release.toml:7: binary[0].stamps.version: not the name of a variable
> release.toml:8: binary[0].stamps."main.v": template: 
> release.toml:9: binary[0].stamps."main.w": template: 
> release.toml:10: binary[0].stamps."main.x": "-X=main.x=a'x\"b" holds both kinds of quotes
> release.toml:11: binary[0].stamps."main.a b": not the name of a variable
> release.toml:12: binary[0].stamps."main.y": "-X=main.y=two\nlines" holds a line end
> release.toml:14: binary[0].stamps."main.nul": not text
> release.toml:15: binary[0].stamps."a=b.c": not the name of a variable
> release.toml:17: binary[0].env.GOFLAGS: twice sets this variable
> release.toml:18: binary[0].env.Path: twice sets this variable
> release.toml:19: binary[0].env.LC_ALL: twice sets this variable
> release.toml:20: binary[0].env.GOSSAFUNC: twice sets this variable
> release.toml:21: binary[0].env."A=B": not the name of a variable
> release.toml:22: binary[0].env.1X: not the name of a variable
> release.toml:23: binary[0].env.CC: template: `},
		{"flags", minimal + `[build]
gcflags = ["-o=x", "all=-cpuprofile=x", "--memprofile=x", "all=-N -l", "N", "=-N", "-d=ssa/opt/dump=f", "-importcfg", "-N", "all=-l", "-toolexec=x"]
asmflags = ["-o", "-D=X=1", "all=-gensymabis", "-V"]
extldflags = ["-static", "-o", "-Wl,-z,now,-Map=x", "-wrapper", "-Wl,-o,x", "", "@file", "-o/tmp/x"]
[[override]]
target = "linux/*"
extldflags = ["-Wl,-rpath,'a", "b c"]
gcflags = ["-V"]
` + `
> release.toml:8: build.gcflags[0]: -o: the go command sets it
> release.toml:8: build.gcflags[10]: -toolexec: it runs another program
> release.toml:8: build.gcflags[1]: -cpuprofile: it writes a file
> release.toml:8: build.gcflags[2]: -memprofile: it writes a file
> release.toml:8: build.gcflags[3]: "all=-N -l" is not one argument
> release.toml:8: build.gcflags[4]: "N" is no flag
> release.toml:8: build.gcflags[5]: "=-N" is no flag
> release.toml:8: build.gcflags[6]: -d: it writes a file
> release.toml:8: build.gcflags[7]: -importcfg: the go command sets it
> release.toml:9: build.asmflags[0]: -o: 
> release.toml:9: build.asmflags[2]: -gensymabis: 
> release.toml:9: build.asmflags[3]: -V: 
> release.toml:10: build.extldflags[1]: -o: the go command names the output
> release.toml:10: build.extldflags[2]: -Wl,-z,now,-Map=x: it writes a file
> release.toml:10: build.extldflags[3]: -wrapper: 
> release.toml:10: build.extldflags[4]: -Wl,-o,x: 
> release.toml:10: build.extldflags[5]: 
> release.toml:10: build.extldflags[6]: 
> release.toml:10: build.extldflags[7]: 
> release.toml:13: override[0].extldflags: quotes and spaces
> release.toml:14: override[0].gcflags[0]: -V: `},
		{"archive, hooks, override", minimal + `[archive]
format = "rar"
name = "{{.Project}}/{{.Version}}"
wrap = "../{{.Project}}"
formats = { windws = "zip", darwin = "tgz" }
files = ["/etc/passwd", "../x", "a\\b", "[", "doc/**/x", "LICENSE"]
[[before]]
run = []
[[before]]
run = ["gen", "{{.Target}}"]
[[before]]
run = ["{{.Binary}}", ""]
[[before]]
run = ["", "{{.Date}}"]
[[override]]
target = "linux"
binary = "["
` + `
> release.toml:8: archive.format: unknown value "rar"
> release.toml:9: archive.name: "hello/1.2.3" is no plain name
> release.toml:10: archive.wrap: "../hello" is no plain name
> release.toml:11: archive.formats.darwin: unknown value "tgz"
> release.toml:11: archive.formats.windws: unknown GOOS "windws"; did you mean "windows"?
> release.toml:12: archive.files[0]: "/etc/passwd" is no clean path
> release.toml:12: archive.files[1]: "../x" is no clean path
> release.toml:12: archive.files[2]: "a\\b" is no clean path
> release.toml:12: archive.files[3]: bad pattern
> release.toml:12: archive.files[4]: "doc/**/x": **
> release.toml:14: before[0].run: empty
> release.toml:16: before[1].run[1]: template: there is no single .Target here
> release.toml:18: before[2].run[0]: template: there is no single .Binary here
> release.toml:20: before[3].run[0]: the name of the command is empty
> release.toml:20: before[3].run[1]: template: 
> release.toml:22: override[0].target: "linux": want a glob
> release.toml:23: override[0].binary: bad pattern "["`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, list, _ := strings.Cut(tt.text, "\n> ")
			_, err := Parse("release.toml", []byte(text))
			compare(t, err, strings.Split(list, "\n> "))
		})
	}
}

// compare holds the errors to what each of them must contain.
func compare(t *testing.T, err error, want []string) {
	t.Helper()
	var errs tomlfile.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("error is %T %v", err, err)
	}
	for i := range max(len(errs), len(want)) {
		got, w := "", ""
		if i < len(errs) {
			got = errs[i].Error()
		}
		if i < len(want) {
			w = want[i]
		}
		if got == "" || w == "" || !strings.HasPrefix(got, w) {
			t.Errorf("error %d:\n got %s\nwant %s", i, got, w)
		}
	}
}

func TestBuildsErrors(t *testing.T) {
	const head = "project = \"x\"\n[[binary]]\npackage = \".\"\n"
	for _, tt := range []struct{ name, text string }{
		{"no such pair", head + "[matrix]\nos = [\"darwin\", \"windows\"]\narch = [\"amd64\", \"386\",\n\"s390x\"]\n" + `
> release.toml:6: matrix.arch[1]: the toolchain has no port darwin/386
> release.toml:7: matrix.arch[2]: the toolchain has no port darwin/s390x
> release.toml:7: matrix.arch[2]: the toolchain has no port windows/s390x`},
		{"no such pair in include, and a broken one", head + "[matrix]\ninclude = [\"darwin/386\",\n\"linux/sparc64\"]\n" + `
> release.toml:5: matrix.include[0]: the toolchain has no port darwin/386
> release.toml:6: matrix.include[1]: the Go project calls the port linux/sparc64 broken`},
		{"globs for nothing", head + `targets = ["plan9/*", "linux/*"]
[matrix]
os = ["linux"]
arch = ["amd64"]
arm = ["6"]
include = ["linux/amd64/v1", "linux/arm64", "linux/amd*", "linux/386"]
exclude = ["windows/*", "linux/arm64"]
[[override]]
target = "darwin/*"
[[override]]
target = "linux/*"
binary = "y*"
` + `
> release.toml:9: matrix.include[0]: linux/amd64 is already in matrix.arch[0]
> release.toml:9: matrix.include[1]: linux/arm64 is excluded by matrix.exclude[1]
> release.toml:9: matrix.include[2]: linux/amd* adds no target
> release.toml:10: matrix.exclude[0]: windows/* matches no target`},
		{"unused", head + `targets = ["plan9/*", "linux/*"]
[matrix]
os = ["linux"]
arch = ["amd64"]
mips = ["softfloat"]
[[override]]
target = "darwin/*"
[[override]]
target = "linux/*"
binary = "y*"
` + `
> release.toml:4: binary[0].targets[0]: plan9/* matches no target
> release.toml:8: matrix.mips: no target is mips or mipsle
> release.toml:10: override[0].target: darwin/* matches no target
> release.toml:13: override[1].binary: y* matches no binary`},
		{"all excluded", head + "[matrix]\nos = [\"linux\"]\narch = [\"amd64\"]\nexclude = [\"*/*\"]\n" + `
> release.toml:4: matrix: every target is excluded`},
		{"no binary for a target", head + "targets = [\"linux/*\"]\n[matrix]\nos = [\"linux\",\"windows\"]\narch = [\"amd64\"]\n" + `
> release.toml:7: matrix.arch[0]: no binary is built for windows/amd64`},
		{"pie and cgo", head + `[matrix]
include = ["linux/mips", "linux/riscv64", "darwin/amd64", "plan9/386", "android/amd64"]
[[override]]
target = "linux/*"
pie = "on"
[[override]]
target = "darwin/*"
pie = "off"
[[override]]
target = "plan9/*"
cgo = true
` + `
> release.toml:2: binary[0]: android/amd64 cannot be linked without a C compiler
> release.toml:8: override[0].pie: go cannot link a PIE for linux/riscv64 without a C compiler
> release.toml:8: override[0].pie: go has no -buildmode=pie for linux/mips
> release.toml:11: override[1].pie: darwin/amd64 executables are always position independent
> release.toml:14: override[2].cgo: plan9/386 has no cgo`},
		{"archives of one name", head + "[matrix]\nos = [\"linux\"]\narch = [\"amd64\", \"arm64\"]\n[archive]\nname = \"{{.Project}}\"\n" + `
> release.toml:8: archive.name: hello.tar.gz for linux/arm64 is also the name of that for linux/amd64`},
		{"archives of one name but for case", head + "[matrix]\ninclude = [\"linux/amd64\", \"darwin/amd64\"]\n[archive]\nname = \"{{if eq .Target.OS \\\"linux\\\"}}A{{else}}a{{end}}\"\n" + `
> release.toml:7: archive.name: a.tar.gz for darwin/amd64 is also the name of that for linux/amd64`},
		{"archive is the checksum file", head + "[matrix]\ninclude = [\"linux/amd64\"]\n[archive]\nname = \"sums\"\n[checksum]\nfile = \"Sums.tar.gz\"\n" + `
> release.toml:7: archive.name: sums.tar.gz for linux/amd64 is also the name of the list of digests`},
		{"archive is the record", head + "[matrix]\ninclude = [\"linux/amd64\"]\n[archive]\nformat = \"none\"\nname = \"release.json\"\n" + `
> release.toml:8: archive.name: release.json: the name of something else in dist`},
		{"raw binaries of one name", head + "[[binary]]\npackage = \"./y\"\n[matrix]\ninclude = [\"linux/amd64\"]\n[archive]\nformat = \"none\"\n" + `
> release.toml:8: archive.name: hello_1.2.3_linux_amd64 for linux/amd64 is also the name of that for linux/amd64`},
		{"no single binary", head + "[[binary]]\npackage = \"./y\"\n[matrix]\ninclude = [\"linux/amd64\"]\n[archive]\nname = \"{{.Binary}}\"\nwrap = \"{{$.Binary}}\"\n" + `
> release.toml:9: archive.name: there is no single .Binary: 2 binaries are built for linux/amd64
> release.toml:10: archive.wrap: there is no single .Binary`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, list, _ := strings.Cut(tt.text, "\n> ")
			_, err := mustParse(t, text).Builds(platform.KnownPorts, SampleVars("hello"))
			compare(t, err, strings.Split(list, "\n> "))
		})
	}
}

// What only the values of a release can spoil is found when they are known.
func TestValuesAreChecked(t *testing.T) {
	f := mustParse(t, minimal+"[[override]]\ntarget = \"linux/*\"\nstamps = { \"main.tag\" = \"{{.Tag}}\" }\nenv = { X = \"{{.Tag}}\" }\n[archive]\nname = \"{{.Tag}}-{{.Target.Slug}}\"\n[[before]]\nrun = [\"{{.Tag}}\"]\n")
	v := SampleVars("hello")
	v.Tag = "a/'\"\n"
	_, err := f.Builds(nil, v)
	var errs tomlfile.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("Builds: %v", err)
	}
	for _, key := range []string{`override[0].stamps."main.tag"`, "override[0].env.X", "archive.name"} {
		if !slices.ContainsFunc(errs, func(e *tomlfile.Error) bool { return e.Key == key && e.Line > 6 }) {
			t.Errorf("no error at %s in %v", key, errs)
		}
	}
	if _, err := f.Archive(Target{OS: "linux", Arch: "amd64"}, v); err == nil {
		t.Error("Archive accepts a name with a slash")
	}
	v.Tag = ""
	if _, err := f.Hooks(v); err == nil {
		t.Error("Hooks accepts an empty command")
	}
	v.Tag = strings.Repeat("x", maxText+1)
	if _, err := f.Hooks(v); err == nil || !strings.Contains(err.Error(), "more than 4096 bytes") {
		t.Errorf("Hooks with a long tag: %v", err)
	}
}

func TestOverrides(t *testing.T) {
	builds := mustBuild(t, `project = "x"
[build]
tags = ["base"]
gcflags = ["-l"]
[[binary]]
package = "./cmd/a"
tags = ["a", "base"]
stamps = { "main.v" = "{{.Version}} {{.Target}}", "main.a" = "1" }
env = { CC = "gcc" }
[[binary]]
name = "bee"
package = "./cmd/b"
cgo = true
targets = ["linux/amd64"]
[matrix]
os = ["linux"]
arch = ["amd64", "arm64"]
amd64 = ["v1", "v3"]
[[override]]
target = "linux/amd64"
tags = ["first"]
strip_symbols = false
buildid = "keep"
[[override]]
target = "linux/amd64/v3"
binary = "a"
tags = ["second"]
gcflags = []
stamps = { "main.v" = "over" }
env = { CC = "clang", AR = "ar" }
cgo = true
pie = "on"
`)
	var got []string
	for _, b := range builds {
		flags, err := b.Flags("-B=0x00")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(b.Target, " ", b.Binary, " cgo=", b.Options.Cgo, " ", b.Env, " ", strings.Join(flags, " | ")))
	}
	want := []string{
		`linux/amd64 a cgo=false [CC=gcc] -trimpath | -tags=first | -gcflags=-l | -pgo=auto | -ldflags=-w -X=main.a=1 '-X=main.v=1.2.3 linux/amd64' -B=0x00`,
		`linux/amd64 bee cgo=true [] -trimpath | -tags=first | -gcflags=-l | -pgo=auto | -ldflags=-w -B=0x00`,
		`linux/amd64/v3 a cgo=true [AR=ar CC=clang] -trimpath | -buildmode=pie | -tags=second | -pgo=auto | -ldflags=-w -X=main.a=1 -X=main.v=over -B=0x00`,
		`linux/amd64/v3 bee cgo=true [] -trimpath | -tags=first | -gcflags=-l | -pgo=auto | -ldflags=-w -B=0x00`,
		`linux/arm64 a cgo=false [CC=gcc] -trimpath | -tags=base,a | -gcflags=-l | -pgo=auto | -ldflags=-buildid= -s -w -X=main.a=1 '-X=main.v=1.2.3 linux/arm64' -B=0x00`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestInclude(t *testing.T) {
	builds := mustBuild(t, `project = "x"
[[binary]]
package = "."
[matrix]
os = ["linux"]
arch = ["amd64"]
amd64 = ["v1", "v2"]
include = ["freebsd/amd64", "openbsd/*64", "*/amd64/v4", "linux/arm"]
exclude = ["*/amd64/v2", "[^lf]*/*/v4"]
`)
	var got []string
	for _, b := range builds {
		got = append(got, b.Target.String())
	}
	want := strings.Fields(`linux/amd64 freebsd/amd64 openbsd/amd64 openbsd/arm64 openbsd/ppc64 openbsd/riscv64
		freebsd/amd64/v4 linux/amd64/v4 linux/arm/7`)
	slices.Sort(got[6:8])
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestRawBinaries(t *testing.T) {
	f := mustParse(t, `project = "x"
[[binary]]
package = "./a"
[[binary]]
package = "./b"
[matrix]
include = ["windows/amd64"]
[archive]
formats = { windows = "none" }
name = "{{.Binary}}-{{.Target.Slug}}"
`)
	v := SampleVars("x")
	builds, err := f.Builds(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := f.Archive(builds[0].Target, v)
	want := ArchivePlan{Format: "none", Binaries: []string{"a.exe", "b.exe"}, Raw: []string{"a-windows_amd64.exe", "b-windows_amd64.exe"}}
	if err != nil || !reflect.DeepEqual(plan, want) {
		t.Errorf("plan = %+v, %v", plan, err)
	}
}

func TestVersions(t *testing.T) {
	for in, want := range map[string]string{
		"1.26.8": "go1.26.8", "go1.26.8": "go1.26.8", "1.27rc1": "go1.27rc1", "1.21.0": "go1.21.0", "go.mod": "go.mod",
		"1.26": "", "latest": "", "go1.20.1": "", "1.26.x": "", "1.26.08": "", "2.0.0": "", "1.026.1": "", "1.26.8-fork": "", "gogo1.26.8": "", "1.27rc0": "",
	} {
		f, err := Parse("release.toml", []byte(minimal+"[toolchain]\nversion = \""+in+"\"\n"))
		if (err == nil) != (want != "") || err == nil && f.Toolchain.Version != want {
			t.Errorf("toolchain %q: %v, %v", in, f, err)
		}
	}
	for in, want := range map[string]string{
		"1.2.3": "1.2.3", "v1.2.3-rc.1": "1.2.3-rc.1", "1.2.3+x": "1.2.3+x", "auto": "auto",
		"1.2": "", "v1": "", "vv1.2.3": "", "1.2.3 ": "", "01.2.3": "", "latest": "",
	} {
		f, err := Parse("release.toml", []byte("version = \""+in+"\"\n"+minimal))
		if (err == nil) != (want != "") || err == nil && f.Version != want {
			t.Errorf("version %q: %v, %v", in, f, err)
		}
	}
	for in, want := range map[string]bool{
		"off": true, "latest": true, "inprocess": true, "certified": true, "v1.0.0": true, "v1.26.0-rc1": true, "v1.0.0-c2097c7c": true,
		"": false, "on": false, "v1.0": false, "v2.0.0": false, "v1.0.0-": false, "v1.0.0-rc": false, "v1.0.0-x": false, "1.0.0": false,
	} {
		if isFIPS(in) != want {
			t.Errorf("isFIPS(%q) = %v", in, !want)
		}
	}
}

func TestTemplates(t *testing.T) {
	v := SampleVars("Project")
	v.Target = Target{"linux", "arm", "6,softfloat"}
	v.CommitTime = time.Date(2026, 8, 3, 19, 2, 11, 5, time.FixedZone("X", 7200))
	for in, want := range map[string]string{
		"": "", "plain": "plain", "{{/* nothing */}}": "",
		"{{.Project}} {{.Version}} {{.Tag}} {{.ShortCommit}} {{.Binary}}": "Project 1.2.3 v1.2.3 0123456789ab binary",
		"{{.Commit}}":                     "0123456789abcdef0123456789abcdef01234567",
		"{{.CommitTime}} {{.CommitUnix}}": "2026-08-03T17:02:11Z 1785776531",
		"{{.Target}} {{.Target.OS}} {{.Target.Arch}} {{.Target.Variant}} {{.Target.Slug}}": "linux/arm/6,softfloat linux arm 6,softfloat linux_arm_6_softfloat",
		`{{.Tag | trimPrefix "v" | replace "." "_"}}{{lower .Project}}{{upper "x"}}`:       "1_2_3projectX",
		`{{trimSuffix ".3" .Version}}`: "1.2",
		`{{if and .Snapshot (ne .Target.OS "linux")}}a{{else if eq .Target.Arch "arm"}}b{{else}}c{{end}}`: "b",
		`{{with .Target}}{{.OS}}-{{$.Project}}{{end}}`:                                                    "linux-Project",
	} {
		tx, err := parseTemplate(in, fieldScope{target: true, binary: true})
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got, err := tx.expand(v); got != want || err != nil {
			t.Errorf("%q gives %q, %v; want %q", in, got, err, want)
		}
	}
	grow := "{{.Project" + strings.Repeat(` | replace "p" "pppppppppppppppp"`, 60) + "}}"
	for in, want := range map[string]string{
		"{{.Nope}}":                        "can't evaluate field Nope",
		"{{if .Snapshot}}{{.Nope}}{{end}}": "can't evaluate field Nope",
		"{{.CommitTime.Local}}":            "can't evaluate field Local",
		"{{.Target.Env}}":                  "can't evaluate field Env",
		"{{.Target.text}}":                 "text",
		"{{.Target.String}}":               "no field String",
		"{{env \"HOME\"}}":                 `function "env" not defined`,
		"{{now}}":                          `function "now" not defined`,
		"{{printf \"%1000000d\" 1}}":       `function "printf" is not available`,
		"{{len .Project}}":                 `function "len" is not available`,
		"{{range 1000000000}}{{end}}":      "is not available",
		"{{$x := .Project}}{{$x}}":         "variables are not available",
		"{{with $x := .Project}}{{end}}":   "variables are not available",
		`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`: "define is not available",
		`{{template "template"}}`:                               "is not available",
		`{{block "b" .}}x{{end}}`:                               "define is not available",
		"{{.Target":                                             "unclosed action",
		grow:                                                    "comes to more than 4096 bytes",
		strings.Repeat("x", maxText+1):                          "longer than 4096 bytes",
		strings.Repeat("{{.Commit}}", 200):                      "comes to more than 4096 bytes",
	} {
		if _, err := parseTemplate(in, fieldScope{target: true, binary: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v; want %s", in, err, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"-s", "-w"}, "-s -w"},
		{[]string{"-X=a.b=c d", "-w"}, "'-X=a.b=c d' -w"},
		{[]string{"it's"}, `"it's"`},
		{[]string{`say "x"`, ""}, `'say "x"' ''`},
	} {
		if got, err := Quote(tt.args); got != tt.want || err != nil {
			t.Errorf("Quote(%q) = %s, %v; want %s", tt.args, got, err, tt.want)
		}
		if back, err := Split(tt.want); err != nil || !slices.Equal(back, tt.args) {
			t.Errorf("Split(%s) = %q, %v; want %q", tt.want, back, err, tt.args)
		}
	}
	for _, bad := range []string{`'"`, "a\nb", "a\x00b", "a\rb"} {
		if got, err := Quote([]string{bad}); err == nil {
			t.Errorf("Quote(%q) = %s; want an error", bad, got)
		}
	}
	if got, err := Split(`-s "-w`); err == nil {
		t.Errorf("Split without an end = %q; want an error", got)
	}
	b := Build{Options: Options{ExtLDFlags: []string{"-static", "-Wl,-rpath,a b"}, GCFlags: []string{"-N", "all=-l", "std=-B", "all=-N"}, PGO: "off"}}
	flags, err := b.Flags()
	want := []string{"-gcflags=-N", "-gcflags=all=-l -N", "-gcflags=std=-B", "-pgo=off", `-ldflags=-buildid= "-extldflags=-static '-Wl,-rpath,a b'"`}
	if err != nil || !slices.Equal(flags, want) {
		t.Errorf("Flags = %q, %v; want %q", flags, err, want)
	}
}

func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"size":    minimal + strings.Repeat("#", MaxSize),
		"arrays":  "a = " + strings.Repeat("[", 500_000),
		"tables":  "a = " + strings.Repeat("{a=", 300_000),
		"parts":   "[" + strings.Repeat("a.", 500_000) + "a]",
		"key":     strings.Repeat("a", 500_000) + " = 1",
		"element": "a = [" + strings.Repeat("1,", 400_000) + "]",
		"list":    "project = \"x\"\n[matrix]\nos = [" + strings.Repeat(`"linux",`, 1001) + "]",
	} {
		start := time.Now()
		_, err := Parse("release.toml", []byte(text))
		if err == nil || len(err.Error()) > 1000 {
			t.Errorf("%s: %.200v", name, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
	var all []string
	for major, minors := range map[string]int{"v8.": 9, "v9.": 5} {
		for i := range minors + 1 {
			all = append(all, fmt.Sprintf("%q,%q", fmt.Sprint(major, i), fmt.Sprint(major, i, ",crypto")))
		}
	}
	text := "project = \"x\"\n[[binary]]\npackage=\".\"\n[matrix]\nos = [\"linux\"]\narch = [\"arm64\"]\narm64=[" + strings.Join(all, ",") + "]\n"
	for i := range 200 {
		text += fmt.Sprintf("[[binary]]\npackage = \"./c%d\"\n", i)
	}
	if _, err := mustParse(t, text).Builds(nil, SampleVars("x")); err == nil || !strings.Contains(err.Error(), "more than 5000 builds") {
		t.Errorf("6000 builds: %v", err)
	}
}

func TestErrorsText(t *testing.T) {
	_, err := Parse("dir/release.toml", []byte("projct = \"x\"\n"+strings.Replace(minimal, "os", "amd46 = []\nos", 1)))
	want := `dir/release.toml:1: projct: unknown key
  hint: did you mean "project"?
dir/release.toml:6: matrix.amd46: unknown key
  hint: did you mean "amd64"?`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	var one *tomlfile.Error
	if !errors.As(err, &one) || one.Line != 1 || one.Key != "projct" {
		t.Errorf("errors.As gives %+v", one)
	}
}

// load parses a file of this repository.
func load(name string) (*File, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return Parse(name, data)
}

func TestCRLF(t *testing.T) {
	if f, err := Parse("release.toml", []byte(strings.ReplaceAll(minimal, "\n", "\r\n"))); err != nil || f.Project != "hello" {
		t.Errorf("with CRLF: %v", err)
	}
	if _, err := (&File{}).Builds(nil, Vars{}); err == nil {
		t.Error("a File that was not read builds something")
	}
}

func TestSchema(t *testing.T) {
	var s struct {
		Schema     string `json:"$schema"`
		Required   []string
		Properties map[string]struct {
			Type       string
			Properties map[string]struct {
				Type  string
				Enum  []string
				Items struct{ Enum []string }
			}
			Items struct{ Properties map[string]any }
		}
		AdditionalProperties bool
	}
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Required, []string{"project", "binary", "matrix"}) || s.AdditionalProperties ||
		!slices.Equal(s.Properties["build"].Properties["pie"].Enum, []string{"auto", "on", "off"}) ||
		!slices.Equal(s.Properties["check"].Properties["silence"].Items.Enum, lintid.Names()) || !slices.IsSorted(lintid.All[:]) ||
		s.Properties["override"].Items.Properties["trimpath"] == nil || len(s.Properties) != 14 ||
		s.Properties["image"].Items.Properties["file"] == nil {
		t.Errorf("schema: %s", Schema())
	}
}

// Parse does not panic, every error has a line of the file, and an accepted file
// gives the same each time, expansion included.
func FuzzParse(f *testing.F) {
	names, _ := filepath.Glob("../configs/*.toml")
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{
		"", "a", "[", "[[binary]]", "binary = [{package='.'},\n{}]", "project = 1\n[matrix]\nos=[\n1]\n", "a=\"\"\"\n\"\"\"\"\"\n'b'=1",
		minimal + "[[image]]\nrepository='a.b/c'\ntags=['x','{{.Tag}}']\nplatforms=['linux/*']\nports=['1']\n[[image.file]]\nsource='a'\npath='/a'\n",
		minimal + "[archive]\nname=\"{{.Binary}}{{if .Snapshot}}x{{end}}\"\n", "\ufeff[matrix]\r\n\r\n", "\"\\\"[0]\".a=1\n'].'=2",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := strings.Count(strings.TrimSuffix(string(data), "\n"), "\n") + 1
		check := func(err error) {
			var errs tomlfile.Errors
			if err == nil {
				return
			}
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("error of type %T: %v", err, err)
			}
			for _, e := range errs {
				if e.Line < 1 || e.Line > lines || e.Msg == "" {
					t.Fatalf("line %d of %d: %v", e.Line, lines, e)
				}
			}
		}
		run := func() string {
			file, err := Parse("f", data)
			check(err)
			if err != nil {
				return err.Error()
			}
			v := SampleVars(file.Project)
			builds, err := file.Builds(platform.KnownPorts, v)
			check(err)
			out := fmt.Sprint(builds, err)
			for _, b := range builds {
				flags, err := b.Flags()
				if err != nil {
					t.Fatalf("%v: %v", b, err)
				}
				plan, err := file.Archive(b.Target, v)
				if err != nil {
					t.Fatalf("%v: %v", b, err)
				}
				out += fmt.Sprint(flags, plan)
			}
			images, err := file.Images(builds, v)
			check(err)
			out += fmt.Sprint(images, err)
			hooks, err := file.Hooks(v)
			check(err)
			return out + fmt.Sprint(hooks, err)
		}
		if a, b := run(), run(); a != b {
			t.Fatalf("two runs differ:\n%s\n%s", a, b)
		}
	})
}

// A fifth of what the bounds let through stays within seconds, also with -race on
// a busy machine.
func TestWorkIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("project = \"x\"\n[matrix]\nos = [\"linux\", \"freebsd\", \"netbsd\", \"openbsd\"]\narch = [\"arm64\", \"amd64\"]\n")
	b.WriteString("arm64 = [")
	for i := range 10 {
		fmt.Fprintf(&b, "\"v8.%d\", \"v8.%d,crypto\", ", i, i)
	}
	b.WriteString("]\ninclude = [" + strings.Repeat(`"*/arm64", `, maxList/5) + "]\n")
	b.WriteString("exclude = [" + strings.Repeat(`"[diw]*/arm64", "android/arm64", `, maxList/10) + "]\n")
	for i := range 50 {
		fmt.Fprintf(&b, "[[binary]]\npackage = \"./c%d\"\n", i)
	}
	for range maxList / 5 {
		b.WriteString("[[override]]\ntarget = \"*/*\"\ncgo = true\ntags = [\"a\"]\n")
	}
	start := time.Now()
	_, err := mustParse(t, b.String()).Builds(nil, SampleVars("x"))
	if err == nil || !strings.Contains(err.Error(), "adds no target") {
		t.Errorf("%.200v", err)
	}
	text := strings.Replace(b.String(), "include = ["+strings.Repeat(`"*/arm64", `, maxList/5)+"]\n", "", 1)
	text = strings.Replace(text, "exclude = ["+strings.Repeat(`"[diw]*/arm64", "android/arm64", `, maxList/10)+"]\n", "", 1)
	builds, err := mustParse(t, text).Builds(nil, SampleVars("x"))
	if err != nil || len(builds) != 4*21*50 {
		t.Errorf("%d builds, %.200v", len(builds), err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}
