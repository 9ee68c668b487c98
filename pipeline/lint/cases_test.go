package lint

import "github.com/twicebuild/twice/matrix/lintid"

// cases are bad and good ones of every lint.
var cases = []struct {
	lint  lintid.ID
	name  string
	scene scene
	want  []string // parts of the findings, in order
	also  []string // lints that find something, too
}{
	{"ambient-environment", "none", scene{in: Input{Machine: Machine{Env: []string{"HOME=/home/ada", "GOPROXY=direct", "GOFLAGS=", "GOENV=off", "GOWORK=off", "CC=clang", "GOBIN=/bin"}}}}, nil, nil},
	{"ambient-environment", "flags", scene{in: Input{Machine: Machine{Env: []string{"GOFLAGS=-tags=x", "GOAMD64=v3", "GOEXPERIMENT=jsonv2", "CC=clang"}}}},
		[]string{"note: the environment has GOAMD64=v3, GOEXPERIMENT=jsonv2, GOFLAGS=-tags=x, which twice does not heed"}, nil},
	{"ambient-environment", "C compiler", scene{release: cgoStart + "[[override]]\ntarget = \"*/*\"\nenv = { CC = \"gcc-14\" }\n", in: Input{Machine: Machine{Env: []string{"CC=clang", "CGO_CFLAGS=-O3"}}}},
		[]string{"has CC=clang, CGO_CFLAGS=-O3, which"}, nil},

	{"ambient-goenv", "fetching", scene{in: Input{Machine: Machine{GoEnvFile: "/home/ada/.config/go/env", GoEnv: []byte("# mine\nGOPROXY=direct\nGOPRIVATE=example.com\n")}}}, nil, nil},
	{"ambient-goenv", "flags", scene{in: Input{Machine: Machine{GoEnvFile: "/home/ada/.config/go/env", GoEnv: []byte("GOTOOLCHAIN=local\r\nGOFLAGS=-buildvcs=false\n")}}},
		[]string{"note: /home/ada/.config/go/env has GOFLAGS=-buildvcs=false, GOTOOLCHAIN=local, which"}, nil},

	{"ambient-gowork", "none", scene{}, nil, nil},
	{"ambient-gowork", "above", scene{in: Input{Machine: Machine{GoWork: "/src/go.work"}}}, []string{"note: /src/go.work takes no part"}, nil},

	{"cgo-compiler", "no cgo", scene{}, nil, nil},
	{"cgo-compiler", "with a version", scene{release: cgoStart + "[[override]]\ntarget = \"*/*\"\nenv = { CC = \"/usr/bin/x86_64-linux-gnu-gcc-14 -m64\" }\n"}, nil, nil},
	{"cgo-compiler", "the machine's", scene{release: cgoStart}, []string{"release.toml:4: warning: binary[0].cgo: cgo compiles with whatever"}, nil},
	{"cgo-compiler", "without a version, for one", scene{release: cgoStart + "[[override]]\ntarget = \"linux/*\"\nenv = { CC = \"musl-gcc\" }\n[[override]]\ntarget = \"darwin/*\"\nenv = { CC = \"clang-19\" }\n"},
		[]string{"release.toml:9: warning: override[0].env.CC: linux/amd64: musl-gcc is another compiler"}, nil},

	{"cgo-paths", "none", scene{release: cgoStart + "[[override]]\ntarget = \"*/*\"\nenv = { CC = \"gcc-14\", CGO_CFLAGS = \"-O2 -I/usr/include/x -Ic\", CGO_LDFLAGS = \"-Wl,-rpath,/opt/lib\" }\n"}, nil, nil},
	{"cgo-paths", "no cgo", scene{release: "[build]\ntrimpath = false\n"}, nil, []string{"trimpath-off"}},
	{"cgo-paths", "no map", scene{release: cgoStart + "[build]\ntrimpath = false\n"}, []string{"release.toml:8: warning: build.trimpath: cgo without trimpath"}, []string{"trimpath-off", "cgo-compiler"}},
	{"cgo-paths", "folders", scene{release: cgoStart + "[build]\nextldflags = [\"-L/opt/x/lib\"]\n[[override]]\ntarget = \"linux/*\"\nenv = { CC = \"gcc-14\", CGO_CFLAGS = \"-O2 -ffile-prefix-map=/home/ada/p=/p\" }\n"},
		[]string{"release.toml:8: warning: build.extldflags: -L/opt/x/lib names a folder", "release.toml:11: warning: override[0].env.CGO_CFLAGS: linux/amd64: -ffile-prefix-map=/home/ada/p=/p names"}, []string{"cgo-compiler"}},
	{"cgo-paths", "windows", scene{release: cgoStart + "[build]\nextldflags = ['-LC:\\x\\lib']\n"}, []string{`-LC:\x\lib names a folder`}, []string{"cgo-compiler"}},

	{"dirty-tree", "clean", scene{in: Input{Repository: &Repository{Tag: "v1.0.0"}}}, nil, nil},
	{"dirty-tree", "both", scene{in: Input{Repository: &Repository{Tags: []string{"v1.0.0"}, Modified: []string{"a", "b"}, Untracked: []string{"c", "d", "e", "f", "g", "h", "i"}}}},
		[]string{"warning: uncommitted changes are built here, and a release refuses them: a, b", "warning: untracked files are left out here, and a release refuses them: c, d, e, f, g and 2 more"}, nil},

	{"embed-ignored", "committed", scene{files: embedding + "-- static/a --\na\n-- static/.hidden --\n", work: "-- static/.ignored --\n-- static/_x --\n-- static/m/go.mod --\n-- static/m/a --\n-- other/a --\n"}, nil, nil},
	{"embed-ignored", "hooks may write them", scene{release: "[[before]]\nrun = [\"go\", \"generate\"]\n", files: embedding, work: "-- static/a --\n"}, nil, nil},
	{"embed-ignored", "not reached", scene{files: "-- main.go --\npackage main\n-- x/main.go --\npackage x\nimport _ \"embed\"\n//go:embed nothing\nvar x string\n"}, nil, nil},
	{"embed-ignored", "no others", scene{files: embedding, work: "-- static/a --\na\n-- static/b/c --\nc\n"}, []string{"main.go:5: error: go:embed static matches files that git does not track, and no others: static/a, static/b/c"}, nil},
	{"embed-ignored", "others, in another package", scene{
		files: "-- main.go --\npackage main\nimport _ \"example.com/p/x\"\n-- x/x.go --\npackage x\nimport \"embed\"\n//go:embed all:*.txt t\nvar x embed.FS\n-- x/a.txt --\n-- x/t/a --\n",
		work:  "-- x/b.txt --\n-- x/t/.b --\n-- x/t/c --\n"},
		[]string{"x/x.go:3: warning: go:embed all:*.txt also matches files that git does not track, which a build by hand embeds and a release does not: b.txt", "x/x.go:3: warning: go:embed t also matches files that git does not track, which a build by hand embeds and a release does not: t/c"}, nil},
	{"embed-ignored", "nothing at all", scene{files: embedding}, []string{"error: go:embed static matches no file"}, nil},
	{"embed-ignored", "for a target that is not built", scene{files: "-- main.go --\npackage main\n-- e_windows.go --\npackage main\nimport _ \"embed\"\n//go:embed nothing\nvar x string\n"}, nil, nil},

	{"gosum-incomplete", "complete", scene{files: requiring + "-- go.sum --\nexample.com/a v1.0.0 h1:x=\nexample.com/a v1.0.0/go.mod h1:x=\nexample.com/b v1.0.0/go.mod h1:x=\nexample.com/c v1.1.0 h1:x=\n"}, nil, nil},
	{"gosum-incomplete", "vendored", scene{files: requiring + "-- vendor/modules.txt --\n"}, nil, nil},
	{"gosum-incomplete", "imported", scene{files: requiring + "-- go.sum --\nexample.com/a v1.0.0/go.mod h1:x=\nexample.com/b v1.0.0/go.mod h1:x=\n"},
		[]string{"go.sum: warning: lacks the hash of example.com/c@v1.1.0: the go command refuses a binary that", "go.sum: error: lacks the hash of example.com/a@v1.0.0: without it"}, nil},
	{"gosum-incomplete", "no file", scene{files: requiring}, []string{"go.sum: warning: lacks the hash of example.com/b@v1.0.0, example.com/c@v1.1.0: ", "go.sum: error: lacks the hash of example.com/a@v1.0.0: "}, nil},

	{"hook-clock", "the commit's time", scene{release: "[[before]]\nrun = [\"sh\", \"-c\", \"date -u -d @$SOURCE_DATE_EPOCH >t; date -d \\\"@{{.CommitUnix}}\\\"; echo 'what a date'; ./update date # date\"]\n[[before]]\nrun = [\"gen\", \"-date={{.CommitTime}}\"]\n"}, nil, nil},
	{"hook-clock", "date", scene{release: "[[before]]\nrun = [\"sh\", \"-ec\", \"echo $(date +%F) $EPOCHSECONDS\"]\n[[before]]\nrun = [\"date\"]\n"},
		[]string{"release.toml:7: warning: before[0].run: $EPOCHSECONDS is another", "release.toml:7: warning: before[0].run: date is another", "release.toml:9: warning: before[1].run: date"}, nil},
	{"hook-clock", "a script", scene{release: "[[before]]\nrun = [\"./gen.sh\"]\n[[before]]\nrun = [\"bash\", \"-e\", \"sub/gen\"]\n",
		files: "-- gen.sh --\n#!/usr/bin/env bash\nset -e\n\necho \"built $(date)\" > version.go\n-- sub/gen --\nprintf '%(%s)T' -1\n"},
		[]string{"gen.sh:4: warning: date", "sub/gen:1: warning: printf"}, nil},
	{"hook-clock", "a script in another language", scene{release: "[[before]]\nrun = [\"./gen.py\"]\n", files: "-- gen.py --\n#!/usr/bin/python3\ndate = 1\ndate\n"}, nil, nil},
	{"hook-clock", "go:generate", scene{release: "[[before]]\nrun = [\"go\", \"generate\", \"./...\"]\n",
		files: "-- main.go --\npackage main\n//go:generate sh -c \"date > t\"\n\t//go:generate date\n// go:generate date\n-- vendor/x/x.go --\npackage x\n//go:generate date\n"}, []string{"main.go:2: warning: date"}, nil},

	{"hook-git", "what the commit says", scene{release: "[[before]]\nrun = [\"sh\", \"-c\", \"git rev-parse HEAD; git -C . log -1 --format=%H\"]\n"}, nil, nil},
	{"hook-git", "describe", scene{release: "[[before]]\nrun = [\"sh\", \"-c\", \"V=$(git -C . describe --tags --dirty || git rev-parse --short HEAD)\"]\n"},
		[]string{"release.toml:7: warning: before[0].run: git describe depends", "release.toml:7: warning: before[0].run: git rev-parse depends"}, nil},

	{"hook-host", "nothing of it", scene{release: "[[before]]\nrun = [\"echo\", \"hostname\", \"$USER\"]\n[[before]]\nrun = [\"sh\", \"-c\", \"cat <<E >uname\\nuname -a\\nE\\n\"]\n"}, nil, nil},
	{"hook-host", "host and user", scene{release: "[[before]]\nrun = [\"sh\", \"-c\", \"\"\"\nif true; then\n  X=$(uname -n) `whoami` y\nfi; cat /etc/hostname\necho \"${HOSTNAME:-$USER}\" | tr a b\n\"\"\"]\n"},
		[]string{"before[0].run: $HOSTNAME", "before[0].run: $USER", "before[0].run: /etc/hostname", "before[0].run: uname", "before[0].run: whoami"}, nil},

	{"hook-random", "nothing of it", scene{release: "[[before]]\nrun = [\"sh\", \"-c\", \"mktemp; sort -u x\"]\n"}, nil, nil},
	{"hook-random", "all of it", scene{release: "[[before]]\nrun = [\"sh\", \"-c\", \"echo $((RANDOM)) $RANDOM; head -c8 </dev/urandom | od; env A=b openssl rand 8; sudo uuidgen\"]\n"},
		[]string{"$RANDOM", "/dev/urandom", "openssl", "uuidgen"}, nil},

	{"lc-uuid", "none and kept", scene{release: "[build]\nbuildid = \"\"\n[[override]]\ntarget = \"darwin/*\"\nbuildid = \"keep\"\n"}, nil, nil},
	{"lc-uuid", "a literal elsewhere", scene{release: "[[override]]\ntarget = \"linux/*\"\nbuildid = \"mine\"\n"}, nil, nil},
	{"lc-uuid", "a literal", scene{release: "[build]\nbuildid = \"mine\"\n"}, []string{"release.toml:7: warning: build.buildid: darwin/arm64: the linker makes LC_UUID from the build ID alone"}, nil},
	{"lc-uuid", "taken away", scene{release: cgoStart + "[build]\nextldflags = [\"-Wl,-no_uuid\"]\n"}, []string{"release.toml:8: warning: build.extldflags: darwin/arm64: -Wl,-no_uuid takes"}, []string{"cgo-compiler"}},
	{"lc-uuid", "taken away by cgo", scene{release: cgoStart + "[[override]]\ntarget = \"*/*\"\nenv = { CC = \"clang-19\", CGO_LDFLAGS = \"-lx -Wl,-no_uuid\" }\n"}, []string{"override[0].env.CGO_LDFLAGS: darwin/arm64: -no_uuid takes"}, nil},

	{"linked-worktree", "main", scene{in: Input{Repository: &Repository{Tag: "v1.0.0"}}}, nil, nil},
	{"linked-worktree", "linked", scene{in: Input{Repository: &Repository{Tag: "v1.0.0", Linked: true}}}, []string{"note: the work tree has no .git folder"}, nil},

	{"patched-go", "published", scene{in: Input{Machine: Machine{GoVersion: "go1.27rc1"}}}, nil, nil},
	{"patched-go", "patched", scene{in: Input{Machine: Machine{GoVersion: "go1.26.8-acme"}}}, []string{`note: the installed Go calls itself "go1.26.8-acme", which nobody published: twice fetches go1.26.8`}, nil},
	{"patched-go", "accepted", scene{release: "[toolchain]\nunpublished = true\n", in: Input{Machine: Machine{GoVersion: "devel go1.27-abcdef"}}}, []string{"release.toml:7: warning: toolchain.unpublished: the installed Go calls itself"}, []string{"unpublished-go"}},

	{"pie-loader", "auto", scene{}, nil, nil},
	{"pie-loader", "darwin", scene{release: "[[override]]\ntarget = \"darwin/*\"\npie = \"on\"\n"}, nil, nil},
	{"pie-loader", "static", scene{release: cgoStart + "[build]\npie = \"on\"\nextldflags = [\"-static-pie\"]\n"}, nil, []string{"cgo-compiler"}},
	{"pie-loader", "linux", scene{release: "[build]\npie = \"on\"\n"}, []string{"release.toml:7: warning: build.pie: linux/amd64: a PIE asks for the loader of a C library, although nothing else of it needs one: it does not start on Alpine"}, nil},
	{"pie-loader", "in an image", scene{release: "[[override]]\ntarget = \"linux/*\"\npie = \"on\"\n[[image]]\nrepository = \"registry.example.com/p\"\n"}, []string{"override[0].pie: linux/amd64: a PIE asks for the loader of a C library, although nothing else of it needs one, and image[0], made from scratch, has none"}, nil},

	{"replace-local", "a version", scene{files: "-- go.mod --\nmodule example.com/p\ngo 1.26.8\nreplace example.com/a => example.com/b v1.0.0\n"}, nil, nil},
	{"replace-local", "outside and missing", scene{files: replacing("../a", "./b") + sums}, []string{"go.mod:5: error: example.com/a is replaced by ../a, outside of the source tree", "go.mod:6: error: example.com/b is replaced by ./b, which has no go.mod in the source tree"}, nil},
	{"replace-local", "absolute, vendored", scene{files: replacing("/src/a", "../b") + sums + "-- vendor/modules.txt --\n"}, []string{"go.mod:5: warning: example.com/a is replaced by /src/a, outside", `go.mod:6: warning: example.com/b is replaced by ../b, outside`}, nil},
	{"replace-local", "in the tree", scene{files: replacing("./a", "./sub/b") + sums + "-- a/go.mod --\n-- sub/b/go.mod --\n"}, []string{"go.mod:5: warning: example.com/a is replaced by the folder ./a, so the build info has no hash", "go.mod:6: warning: "}, nil},

	{"shallow-clone", "whole", scene{in: Input{Repository: &Repository{Tag: "v1.0.0"}}}, nil, nil},
	{"shallow-clone", "shallow", scene{in: Input{Repository: &Repository{Shallow: true}}}, []string{"error: a shallow clone"}, nil},

	{"stamp-no-effect", "good ones", scene{release: stamps(`"main.a"`, `"main.b"`, `"main.c"`, `"main.d"`, `"example.com/p/x.V"`, `"example.com/other/x.V"`, `"main.onDarwin"`), files: stamped}, []string{"linux/amd64: there is no such variable"}, nil},
	{"stamp-no-effect", "only good ones", scene{release: stamps(`"main.a"`, `"main.b"`, `"main.c"`, `"main.d"`, `"main.tagged"`, `"example.com/p/x.V"`, `"example.com/other/x.V"`), files: stamped}, nil, nil},
	{"stamp-no-effect", "bad ones", scene{release: stamps(`"main.Nope"`, `"main.k"`, `"main.f"`, `"main.t"`, `"main.n"`, `"main.s"`, `"main.call"`, `"main.two"`, `"main.expr"`, `"main.e"`, `"example.com/p.a"`, `"example.com/p/x.W"`, `"example.com/p/unused.V"`), files: stamped},
		[]string{
			`release.toml:8: error: binary[0].stamps."main.Nope": there is no such variable`, `:9: error: binary[0].stamps."main.k": is a constant`, `:10: error: binary[0].stamps."main.f": is a function`,
			`"main.t": is a type`, `"main.n": has type int, not string`, `"main.s": has type str, not string`, `"main.call": is initialised by a call`, `"main.two": is initialised by a call`,
			`"main.expr": is initialised by an expression`, `"main.e": is filled by go:embed`, `"example.com/p.a": the linker knows the main package as main, so this is main.a`,
			`"example.com/p/x.W": there is no such variable`, `:20: error: binary[0].stamps."example.com/p/unused.V": package example.com/p/unused is no part of p`,
		}, []string{"embed-ignored"}},
	{"stamp-no-effect", "perhaps no part", scene{release: stamps(`"example.com/p/unused.V"`), files: stamped + "-- more.go --\npackage main\nimport _ \"example.com/other\"\n"}, []string{`: warning: binary[0].stamps."example.com/p/unused.V": package example.com/p/unused is no part of p`}, nil},
	{"stamp-no-effect", "a hook may write it", scene{release: stamps(`"main.Nope"`, `"main.n"`) + "[[before]]\nrun = [\"gen\"]\n", files: stamped}, []string{`"main.n": has type int`}, nil},

	{"subfolder-module", "at the top", scene{in: Input{Repository: &Repository{Tag: "v1.0.0"}}}, nil, nil},
	{"subfolder-module", "beside one", scene{release: "[source]\ndir = \"sub\"\n", files: "-- go.mod --\n-- sub/go.mod --\nmodule example.com/p/sub\n", in: Input{ModuleDir: "sub", Repository: &Repository{Tag: "sub/v1.0.0"}}}, nil, nil},
	{"subfolder-module", "alone", scene{files: "-- sub/go.mod --\nmodule example.com/p/sub\n", in: Input{ConfigDir: "sub", Repository: &Repository{Tag: "sub/v1.0.0"}}}, []string{"go.mod: note: the module is in a folder"}, nil},

	{"tag-missing", "tagged", scene{in: Input{Repository: &Repository{Tags: []string{"v1.0.0", "nightly"}, Tag: "v1.0.0"}}}, nil, nil},
	{"tag-missing", "tagged, with changes", scene{in: Input{Repository: &Repository{Tags: []string{"sub/v1.0.0"}, Modified: []string{"a"}}}}, nil, []string{"dirty-tree"}},
	{"tag-missing", "none", scene{in: Input{Repository: &Repository{Tags: []string{"nightly"}, HighestVersion: "v0.9.0"}}}, []string{"note: HEAD has no version tag: only a snapshot can be made of it (the last one before it is v0.9.0)"}, nil},
	{"tag-missing", "a version of its own", scene{release: "version = \"1.2.3\"\n" + start, in: Input{Repository: &Repository{}}}, []string{"release.toml:1: note: version: HEAD has no tag v1.2.3"}, nil},

	{"tag-no-semver", "a good one beside", scene{in: Input{Repository: &Repository{Tags: []string{"v1", "v1.0.0"}, Tag: "v1.0.0"}}}, nil, nil},
	{"tag-no-semver", "no versions", scene{in: Input{Repository: &Repository{Tags: []string{"nightly", "build", "backup/old"}}}}, nil, []string{"tag-missing"}},
	{"tag-no-semver", "versions", scene{in: Input{Repository: &Repository{Tags: []string{"1.2.3", "release-1.4", "sub/v1.0", "v1.2.3+meta", "v1.02.3"}}}},
		[]string{"the tag 1.2.3 at HEAD is no version to the go command, which would be v1.2.3", "release-1.4 at HEAD is no version to the go command, which would be v1.4.0", "sub/v1.0 at HEAD is no whole version, which would be v1.0.0", "the tag v1.02.3 at HEAD is no semantic version", "v1.2.3+meta at HEAD has build metadata (+meta)"}, []string{"tag-missing"}},

	{"trimpath-off", "on", scene{release: "[build]\ntrimpath = true\n"}, nil, nil},
	{"trimpath-off", "off for one", scene{release: "[[override]]\ntarget = \"darwin/*\"\ntrimpath = false\n"}, []string{"release.toml:8: warning: override[0].trimpath: darwin/arm64: trimpath is off"}, nil},

	{"unpinned-base", "scratch, digest, locked", scene{release: image("scratch") + image("r.example.com/a@sha256:0000000000000000000000000000000000000000000000000000000000000000") + image("r.example.com/a:b"), in: Input{Locked: []string{"r.example.com/a:b"}}}, nil, nil},
	{"unpinned-base", "a tag", scene{release: image("r.example.com/a:b"), in: Input{Locked: []string{"r.example.com/a:c"}}}, []string{"release.toml:8: error: image[0].base: r.example.com/a:b is a tag, which somebody can move, and images.lock has no digest for it"}, nil},

	{"unpublished-go", "published", scene{release: "[toolchain]\nunpublished = false\n"}, nil, nil},
	{"unpublished-go", "any", scene{release: "[toolchain]\nunpublished = true\n"}, []string{"release.toml:7: warning: toolchain.unpublished: a Go that nobody published"}, nil},
}

const embedding = `-- main.go --
package main

import "embed"

//go:embed static
var files embed.FS
`

const requiring = `-- go.mod --
module example.com/p
go 1.26.8
require (
	example.com/a v1.0.0
	example.com/b v1.0.0 // indirect
	example.com/c v1.0.0
)
replace example.com/c => example.com/c v1.1.0
-- main.go --
package main
import _ "example.com/p/x"
-- x/x.go --
package x
import _ "example.com/a/b"
`

const sums = "-- go.sum --\nexample.com/a v1.0.0 h1:x=\nexample.com/b v1.0.0 h1:x=\n"

func replacing(a, b string) string {
	return "-- go.mod --\nmodule example.com/p\ngo 1.26.8\nrequire example.com/a v1.0.0\nrequire example.com/b v1.0.0\n" +
		"replace example.com/a => " + a + "\nreplace example.com/b => " + b + "\n"
}

// image names its base on the third line.
func image(base string) string {
	name := "i"
	for _, c := range base {
		name += string('a' + c%26)
	}
	return "[[image]]\nrepository = \"registry.example.com/" + name + "\"\nbase = \"" + base + "\"\n"
}

// stamps has the first name on line 8.
func stamps(names ...string) string {
	s := "project = \"p\"\n[matrix]\ninclude = [\"linux/amd64\", \"darwin/arm64\"]\n\n[[binary]]\npackage = \".\"\n[binary.stamps]\n"
	for _, n := range names {
		s += n + " = \"v\"\n"
	}
	return s
}

const stamped = `-- main.go --
package main

import (
	_ "embed"
	"runtime"

	"example.com/p/x"
)

type str string
type t struct{}

const k = "k"

//go:embed main.go
var e string

var (
	a          string
	b          = "b" + k
	c, n       = "c", 1
	d          = runtime.GOOS + k // known to the toolchain
	s          str
	call       = f()
	one, two   = g()
	expr       = a + b
	perhaps    = x.V // could be a constant, as far as is known here
)

func f() string           { return "" }
func g() (string, string) { return "", "" }
-- main_darwin.go --
package main

var onDarwin string
-- main_v3.go --
//go:build amd64.v3 || goexperiment.x

package main

var tagged string
-- x/x.go --
package x

var V string
-- unused/unused.go --
package unused

var V string
`
