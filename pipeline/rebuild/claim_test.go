package rebuild

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Confined children are this binary.
func TestMain(m *testing.M) {
	pass.Main()
	os.Exit(m.Run())
}

const (
	sumA = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	sumB = "h1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="
	rev  = "0123456789abcdef0123456789abcdef01234567"
)

// Build information of a module that was installed with go install, and of one
// that was built in a clone.
const (
	installed = `path	example.com/tool/cmd/tool
mod	example.com/tool	v1.2.3	` + sumA + `
dep	example.com/dep	v1.0.0	` + sumB + `
build	-buildmode=exe
build	-compiler=gc
build	-trimpath=true
build	DefaultGODEBUG=tlskyber=0
build	CGO_ENABLED=0
build	GOARCH=amd64
build	GOOS=linux
build	GOAMD64=v1
`
	local = `path	example.com/tool
mod	example.com/tool	v1.2.3	
build	-buildmode=pie
build	-compiler=gc
build	-tags=netgo,osusergo
build	-ldflags="-s -w"
build	CGO_ENABLED=0
build	GOARCH=arm
build	GOOS=linux
build	GOARM=7,hardfloat
build	vcs=git
build	vcs.revision=` + rev + `
build	vcs.time=2026-02-01T12:00:00Z
build	vcs.modified=false
`
)

// named is the build information of a program of named files, which does not say their module but
// among the dependencies.
const named = `path	command-line-arguments
dep	example.com/dep	v1.0.0	` + sumB + `
dep	tool	(devel)	
build	-compiler=gc
build	CGO_ENABLED=0
build	GOARCH=amd64
build	GOOS=linux
`

// facts are those of a binary with some build information.
func facts(version, info string) inspect.Facts {
	f := inspect.Facts{GoVersion: version, Findings: []inspect.Finding{{Name: "cgo", Is: inspect.No}, {Name: "-s", Is: inspect.Yes}, {Name: "-w", Is: inspect.Yes}}}
	if info == "" {
		return f
	}
	b, err := inspect.BuildInfo{GoVersion: version, Lines: strings.Split(strings.TrimSuffix(info, "\n"), "\n")}.Parse()
	if err == nil {
		f.Build = &b
	} else {
		f.Notes = []string{err.Error()}
	}
	return f
}

func recipeOf(t *testing.T, c *claim, args ...string) recipe.Recipe {
	t.Helper()
	r, err := c.recipe(recipe.Source{Module: c.main.Path, Version: "v1.2.3", Sum: sumA, Dir: "."}, recipe.Toolchain{Version: c.goVersion}, linking{args: args}, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRead(t *testing.T) {
	c, reason := parseClaim(facts("go1.26.8", installed))
	if reason != nil {
		t.Fatal(reason)
	}
	if !c.install || c.main.String() != "example.com/tool@v1.2.3" || c.sum != sumA || c.target != (matrix.Target{OS: "linux", Arch: "amd64"}) || c.ldflagsKnown || len(c.deps) != 1 {
		t.Errorf("%+v", c)
	}
	r := recipeOf(t, c, "-s", "-X", "main.v=a b")
	if got, want := strings.Join(r.Argv, "|"), "go|install|-trimpath|-ldflags=-s -X 'main.v=a b'|example.com/tool/cmd/tool@v1.2.3"; got != want {
		t.Errorf("argv %s, want %s", got, want)
	}
	if r.Binary != "tool" || !slices.Contains(r.Env, "GOAMD64=v1") || !slices.Contains(r.Env, "GOFLAGS=") || !slices.Contains(r.Env, "CGO_ENABLED=0") {
		t.Errorf("%+v", r)
	}
	if got, want := c.command(r), "GOTOOLCHAIN=go1.26.8 GOFLAGS= GOWORK=off GOAMD64=v1 GOARCH=amd64 GOOS=linux CGO_ENABLED=0 go install -trimpath '-ldflags=-s -X '\\''main.v=a b'\\''' example.com/tool/cmd/tool@v1.2.3"; got != want {
		t.Errorf("command\n%s, want\n%s", got, want)
	}

	if c, reason = parseClaim(facts("go1.26.8", local)); reason != nil {
		t.Fatal(reason)
	}
	if c.install || c.vcs == nil || c.vcs.revision != rev || c.nested || !c.ldflagsKnown || !slices.Equal(c.ldflags, []string{"-s", "-w"}) {
		t.Errorf("%+v", c)
	}
	r = recipeOf(t, c, c.ldflags...)
	if got, want := strings.Join(r.Argv, "|"), "go|build|-mod=readonly|-buildvcs=true|-buildmode=pie|-tags=netgo,osusergo|-ldflags=-s -w|."; got != want {
		t.Errorf("argv %s, want %s", got, want)
	}
	if !slices.Contains(r.Env, "GOARM=7,hardfloat") { // as it is recorded
		t.Errorf("env %q", r.Env)
	}
}

// TestReadKinds: other shapes that are honest.
func TestReadKinds(t *testing.T) {
	devel := strings.Replace(local, "v1.2.3\t\n", "(devel)\t\n", 1)
	for _, x := range []struct {
		name, version, info string
		check               func(*claim) bool
	}{
		{"before Go 1.24 a clone has no version", "go1.23.5", devel, func(c *claim) bool { return c.main.Version == "" && !c.nested && c.vcs != nil }},
		{"since then only without go.mod at the root", "go1.26.8", devel, func(c *claim) bool { return c.main.Version == "" && c.nested }},
		{"vendored", "go1.26.8", strings.Replace(local, "build\t-buildmode", "dep\texample.com/dep\tv1.0.0\t\nbuild\t-buildmode", 1), func(c *claim) bool { return c.vendored }},
		{"replaced by a version", "go1.26.8", strings.Replace(installed, "dep\texample.com/dep\tv1.0.0\t"+sumB, "dep\texample.com/dep\tv1.0.0\n=>\texample.com/fork\tv1.0.1\t"+sumB, 1),
			func(c *claim) bool { return c.deps[0].Replace == "example.com/fork@v1.0.1" && c.deps[0].Sum == sumB }},
		{"an experiment", "go1.26.8 X:synctest", strings.Replace(installed, "GOARCH=amd64", "GOARCH=amd64\nbuild\tGOEXPERIMENT=synctest", 1), func(c *claim) bool { return slices.Contains(c.env, "GOEXPERIMENT=synctest") }},
		{"a release candidate", "go1.27rc1", installed, func(c *claim) bool { return c.goVersion == "go1.27rc1" }},
		{"cgo on and not used", "go1.26.8", strings.Replace(installed, "CGO_ENABLED=0", "CGO_ENABLED=1", 1), func(c *claim) bool { return c.cgo && slices.Contains(c.env, "CC=no-c-compiler") }},
		{"the compiler's known flags", "go1.26.8", strings.Replace(installed, "build\t-trimpath", "build\t-gcflags=\"all=-N -l\"\nbuild\t-trimpath", 1), func(c *claim) bool { return slices.Contains(c.flags, "-gcflags=all=-N -l") }},
		{"files", "go1.26.8", named, func(c *claim) bool { return c.named() && c.main.String() == "tool" && len(c.deps) == 1 && c.private }},
		{"files that import nothing of their module", "go1.26.8", strings.Replace(named, "dep\ttool\t(devel)\t\n", "", 1), func(c *claim) bool { return c.named() && c.main.Path == "" && len(c.deps) == 1 }},
		{"a private module", "go1.26.8", strings.ReplaceAll(local, "example.com/tool", "tool"), func(c *claim) bool { return c.private && c.main.String() == "tool@v1.2.3" && c.local() == "." }},
		{"uncommitted changes", "go1.26.8", strings.NewReplacer("v1.2.3", "v1.2.3+dirty", "modified=false", "modified=true").Replace(local), func(c *claim) bool { return c.dirty() && c.main.Version == "v1.2.3" }},
		{"of a version without a go.mod", "go1.26.8", strings.NewReplacer("v1.2.3", "v2.0.0+incompatible.dirty", "modified=false", "modified=true").Replace(local), func(c *claim) bool { return c.dirty() && c.main.Version == "v2.0.0+incompatible" }},
		{"of a revision", "go1.26.8", strings.NewReplacer("v1.2.3", "v1.2.4-0.20260201120000-"+rev[:12]+"+dirty", "modified=false", "modified=true").Replace(local), func(c *claim) bool { return c.dirty() && c.main.Version == "v1.2.4-0.20260201120000-"+rev[:12] }},
		{"before Go 1.24", "go1.23.5", strings.Replace(devel, "modified=false", "modified=true", 1), func(c *claim) bool { return c.dirty() && c.main.Version == "" }},
		{"a profile", "go1.26.8", strings.Replace(installed, "build\t-trimpath=true", "build\t-pgo=default.pgo\nbuild\t-trimpath=true", 1), func(c *claim) bool { return c.pgo }},
	} {
		c, reason := parseClaim(facts(x.version, x.info))
		if reason != nil || !x.check(c) {
			t.Errorf("%s: %+v, %+v", x.name, c, reason)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	change := func(info, old, new string) string {
		t.Helper()
		if !strings.Contains(info, old) {
			t.Fatalf("%q is not in it", old)
		}
		return strings.Replace(info, old, new, 1)
	}
	setting := func(kv string) string {
		return change(installed, "build\tCGO_ENABLED", "build\t"+kv+"\nbuild\tCGO_ENABLED")
	}
	linked := func(flags string) string {
		return change(local, `-ldflags="-s -w"`, "-ldflags="+flags)
	}
	for _, x := range []struct {
		name, version, info string
		kind                verdict.Kind
	}{
		{"nothing", "", "", verdict.NoBuildInfo},
		{"rules_go", "go1.26.8", "", verdict.NoBuildInfo},
		{"the Go distribution", "go1.26.8", "path\tcmd/gofmt\nbuild\tCGO_ENABLED=0\n", verdict.Distribution},
		{"files of an installed module", "go1.26.8", change(installed, "path\texample.com/tool/cmd/tool", "path\tcommand-line-arguments"), verdict.Unreadable},
		{"files, and two folders of the builder", "go1.26.8", change(named, "dep\ttool", "dep\tother\t(devel)\t\ndep\ttool"), verdict.LocalReplace},
		{"files of a module with ..", "go1.26.8", change(named, "dep\ttool", "dep\ttool/.."), verdict.NotPublic},
		{"files, and a stamp", "go1.26.8", named + "build\tvcs=git\nbuild\tvcs.revision=" + rev + "\nbuild\tvcs.time=2026-02-01T12:00:00Z\nbuild\tvcs.modified=false\n", verdict.Unreadable},
		{"no module", "go1.26.8", "path\texample.com/x\nbuild\tCGO_ENABLED=0\n", verdict.NoModule},
		{"a fork", "go1.26.4-microsoft", installed, verdict.UnknownToolchain},
		{"a fork's setting", "go1.26.4", setting("microsoft_toolset_version=go1.26.4-1"), verdict.Setting},
		{"an experimental toolchain", "go1.26.8 X:nocoverageredesign", installed, verdict.UnknownToolchain},
		{"a development version", "devel go1.27-abcdef Mon Jan 1 00:00:00 2026 +0000", installed, verdict.UnknownToolchain},
		{"too old", "go1.14.15", installed, verdict.UnknownToolchain},
		{"settings of a release that records none", "go1.17.13", installed, verdict.Unreadable},
		{"a setting of a later release", "go1.19.13", installed, verdict.Unreadable},
		{"gccgo", "go1.26.8", change(installed, "-compiler=gc", "-compiler=gccgo"), verdict.UnknownToolchain},
		{"a port that is not known", "go1.26.8", change(installed, "GOOS=linux", "GOOS=nacl"), verdict.UnknownPlatform},
		{"a variant that is not known", "go1.26.8", change(installed, "GOAMD64=v1", "GOAMD64=v9"), verdict.UnknownPlatform},
		{"a library", "go1.26.8", change(installed, "-buildmode=exe", "-buildmode=c-shared"), verdict.Setting},
		{"a private module with a hash", "go1.26.8", change(change(installed, "mod\texample.com/tool", "mod\ttool"), "path\texample.com/tool", "path\ttool"), verdict.Unreadable},
		{"a private module with ..", "go1.26.8", change(change(local, "mod\texample.com/tool", "mod\ttool/.."), "path\texample.com/tool", "path\ttool/.."), verdict.NotPublic},
		{"a private module that is a folder", "go1.26.8", change(change(local, "mod\texample.com/tool", "mod\t./tool"), "path\texample.com/tool", "path\t./tool"), verdict.NotPublic},
		{"a private module at /", "go1.26.8", change(change(local, "mod\texample.com/tool", "mod\t/etc"), "path\texample.com/tool", "path\t/etc"), verdict.NotPublic},
		{"a private module of no version", "go1.26.8", change(change(change(local, "mod\texample.com/tool", "mod\ttool"), "path\texample.com/tool", "path\ttool"), "v1.2.3", "latest"), verdict.Unreadable},
		{"uncommitted changes in the stamp alone", "go1.26.8", change(local, "vcs.modified=false", "vcs.modified=true"), verdict.Unreadable},
		{"uncommitted changes in the version alone", "go1.26.8", change(local, "v1.2.3", "v1.2.3+dirty"), verdict.Unreadable},
		{"uncommitted changes, twice", "go1.26.8", change(change(local, "v1.2.3", "v1.2.3+dirty+dirty"), "vcs.modified=false", "vcs.modified=true"), verdict.Unreadable},
		{"uncommitted changes of what was installed", "go1.26.8", change(installed, "v1.2.3", "v1.2.3+dirty"), verdict.Unreadable},
		{"uncommitted changes, of no commit", "go1.26.8", "path\texample.com/tool\nmod\texample.com/tool\t(devel)\t\nbuild\tCGO_ENABLED=0\nbuild\tGOARCH=amd64\nbuild\tGOOS=linux\nbuild\tvcs=git\nbuild\tvcs.modified=true\n", verdict.Dirty},
		{"neither with changes nor without", "go1.26.8", change(local, "vcs.modified=false", "vcs.modified=maybe"), verdict.Unreadable},
		{"another version control", "go1.26.8", change(local, "vcs=git", "vcs=hg"), verdict.Setting},
		{"a workspace", "go1.26.8", change(local, "build\t-buildmode", "dep\texample.com/a\tv1.0.0\t"+sumA+"\ndep\texample.com/dep\t(devel)\t\nbuild\t-buildmode"), verdict.LocalReplace},
		{"the race detector", "go1.26.8", setting("-race=true"), verdict.Cgo},
		{"a version without ground", "go1.26.8", change(local, "build\tvcs=git\nbuild\tvcs.revision="+rev+"\nbuild\tvcs.time=2026-02-01T12:00:00Z\nbuild\tvcs.modified=false\n", ""), verdict.Unreadable},
		{"a version before there were any", "go1.22.1", local, verdict.Unreadable},

		{"build information that no Go writes", "go1.26.8", installed + "what\n", verdict.Unreadable},
		{"a setting twice", "go1.26.8", setting("GOOS=windows"), verdict.Unreadable},

		// Attacks.
		{"a toolchain that is a path", "/tmp/evil", installed, verdict.UnknownToolchain},
		{"a toolchain out of the folder", "go1.26/../../evil", installed, verdict.UnknownToolchain},
		{"a toolchain with a flag", "go1.26.8 -toolexec=x", installed, verdict.UnknownToolchain},
		{"a toolchain with lines", "go1.26.8\n", installed, verdict.UnknownToolchain},
		{"-o", "go1.26.8", linked("-o=/tmp/evil"), verdict.Setting},
		{"-o, apart", "go1.26.8", linked(`"-o /tmp/evil"`), verdict.Setting},
		{"-cpuprofile", "go1.26.8", linked("-cpuprofile=/tmp/evil"), verdict.Setting},
		{"-extld", "go1.26.8", linked(`"-linkmode=external -extld=/tmp/evil"`), verdict.Setting},
		{"-extld behind -X", "go1.26.8", linked(`"-X main.a=b -extld /tmp/evil"`), verdict.Setting},
		{"-extldflags", "go1.26.8", linked("-extldflags=-fplugin=/tmp/evil.so"), verdict.Setting},
		{"-linkmode", "go1.26.8", linked("-linkmode=external"), verdict.Setting},
		{"-I, -r, -L", "go1.26.8", linked(`"-r /tmp/evil"`), verdict.Setting},
		{"-capturehostobjs", "go1.26.8", linked("-capturehostobjs=/tmp/evil"), verdict.Setting},
		{"-tmpdir", "go1.26.8", linked("-tmpdir=/tmp/evil"), verdict.Setting},
		{"-importcfg", "go1.26.8", linked("-importcfg=/etc/passwd"), verdict.Setting},
		{"a response file", "go1.26.8", linked("@/tmp/evil"), verdict.Setting},
		{"a flag with three dashes", "go1.26.8", linked("---s"), verdict.Setting},
		{"a package path with a flag", "go1.26.8", linked(`"-X -o=/tmp/evil"`), verdict.Setting},
		{"-ldflags beside -trimpath", "go1.26.8", setting("-ldflags=-s"), verdict.Unreadable},
		{"the compiler's -cpuprofile", "go1.26.8", setting("-gcflags=-cpuprofile=/tmp/evil"), verdict.Setting},
		{"of all packages", "go1.26.8", setting("-gcflags=all=-cpuprofile=/tmp/evil"), verdict.Setting},
		{"the compiler's -o", "go1.26.8", setting("-gcflags=-o=/tmp/evil"), verdict.Setting},
		{"the compiler's -d", "go1.26.8", setting("-gcflags=-d=ssa/all/dump=x"), verdict.Setting},
		{"the compiler's -embedcfg", "go1.26.8", setting("-gcflags=-embedcfg=/tmp/evil"), verdict.Setting},
		{"the assembler's -o", "go1.26.8", setting("-asmflags=-o=/tmp/evil"), verdict.Setting},
		{"the assembler's -I", "go1.26.8", setting("-asmflags=-I=/etc"), verdict.Setting},
		{"-toolexec", "go1.26.8", setting("-toolexec=/tmp/evil"), verdict.Setting},
		{"-overlay", "go1.26.8", setting("-overlay=/tmp/evil.json"), verdict.Setting},
		{"-modfile", "go1.26.8", setting("-modfile=/tmp/evil.mod"), verdict.Setting},
		{"-mod", "go1.26.8", setting("-mod=mod"), verdict.Setting},
		{"-C", "go1.26.8", setting("-C=/tmp"), verdict.Setting},
		{"GOFLAGS", "go1.26.8", setting("GOFLAGS=-toolexec=/tmp/evil"), verdict.Setting},
		{"GOPROXY", "go1.26.8", setting("GOPROXY=https://evil.example"), verdict.Setting},
		{"GONOSUMDB", "go1.26.8", setting("GONOSUMDB=*"), verdict.Setting},
		{"PATH", "go1.26.8", setting("PATH=/tmp"), verdict.Setting},
		{"CC", "go1.26.8", setting("CC=/tmp/evil"), verdict.Setting},
		{"the C compiler's flags", "go1.26.8", setting("CGO_CFLAGS=-fplugin=/tmp/evil.so"), verdict.Cgo},
		{"the C linker's flags", "go1.26.8", setting("CGO_LDFLAGS=-fuse-ld=/tmp/evil"), verdict.Cgo},
		{"another platform's variable", "go1.26.8", setting("GOARM=7"), verdict.Setting},
		{"tags with a flag", "go1.26.8", setting(`-tags="a -toolexec=/tmp/evil"`), verdict.Setting},
		{"tags with a quote", "go1.26.8", setting("-tags=a'b"), verdict.Setting},
		{"an experiment with a flag", "go1.26.8", setting(`GOEXPERIMENT="x -y"`), verdict.Setting},
		{"a module for FIPS out of the folder", "go1.26.8", setting("GOFIPS140=../../evil"), verdict.Setting},
		{"a profile", "go1.26.8", setting("-pgo=/etc/passwd"), verdict.Setting},
		{"a build mode", "go1.26.8", change(installed, "-buildmode=exe", `-buildmode="exe -toolexec=x"`), verdict.Setting},
		{"a local replace", "go1.26.8", change(installed, "\t"+sumB, "\n=>\t../../etc\t\t"), verdict.LocalReplace},
		{"a local replace with a version", "go1.26.8", change(installed, "\t"+sumB, "\n=>\t/etc\tv1.0.0\t"+sumB), verdict.LocalReplace},
		{"a replaced main module", "go1.26.8", change(installed, "v1.2.3\t"+sumA, "v1.2.3\n=>\t./x\t\t"), verdict.LocalReplace},
		{"a module path with ..", "go1.26.8", change(change(installed, "mod\texample.com/tool", "mod\texample.com/../tool"), "path\texample.com/tool", "path\texample.com/../tool"), verdict.NotPublic},
		{"a package path with ..", "go1.26.8", change(installed, "path\texample.com/tool/cmd/tool", "path\texample.com/tool/../../evil"), verdict.NoModule},
		{"a package that is a flag", "go1.26.8", change(installed, "path\texample.com/tool/cmd/tool", "path\t-toolexec=x"), verdict.NoModule},
		{"a module that is a flag", "go1.26.8", change(installed, "mod\texample.com/tool", "mod\t-modfile=x"), verdict.NotPublic},
		{"a pattern", "go1.26.8", change(installed, "path\texample.com/tool/cmd/tool", "path\texample.com/tool/..."), verdict.NoModule},
		{"a version that is a query", "go1.26.8", change(installed, "v1.2.3", "latest"), verdict.Unreadable},
		{"a version with a path", "go1.26.8", change(installed, "v1.2.3", "v1.2.3/../x"), verdict.Unreadable},
		{"a dependency with ..", "go1.26.8", change(installed, "example.com/dep", "example.com/../dep"), verdict.LocalReplace},
		{"a hash that is none", "go1.26.8", change(installed, sumA, "h1:x"), verdict.Unreadable},
		{"a revision that is a flag", "go1.26.8", change(local, rev, "--upload-pack=evil"), verdict.Unreadable},
		{"a revision with a quote", "go1.26.8", change(local, rev, "';evil;'"+rev[8:]), verdict.Unreadable},
		{"a time with a quote", "go1.26.8", change(local, "2026-02-01T12:00:00Z", "2026-02-01T12:00:00Z';evil"), verdict.Unreadable},
		{"a time before 1970", "go1.26.8", change(local, "2026-02-01T12:00:00Z", "0001-02-01T12:00:00Z"), verdict.Unreadable},
	} {
		c, reason := parseClaim(facts(x.version, x.info))
		if reason == nil || c != nil {
			t.Errorf("%s: accepted as %+v", x.name, c)
			continue
		}
		if reason.Kind != x.kind || reason.Text == "" {
			t.Errorf("%s: %q (%s), want %q", x.name, reason.Kind, reason.Text, x.kind)
		}
	}
	f := facts("go1.26.8", installed)
	f.Findings[0].Is = inspect.Yes
	if _, reason := parseClaim(f); reason == nil || reason.Kind != verdict.Cgo {
		t.Errorf("runtime/cgo: %+v", reason)
	}
}

// allowed are the arguments of the go command that may come out of a claim.
var allowed = []string{
	"go", "build", "install", "-mod=readonly", "-mod=vendor", "-buildvcs=true", "-buildvcs=false", "-trimpath", "-buildmode=pie",
}

// FuzzRead: whatever a file says, nothing but what is on the list comes out, and
// the recipe is one.
func FuzzRead(f *testing.F) {
	for _, info := range []string{installed, local, named, "", "path\tx\n"} {
		f.Add("go1.17.13", strings.Split(info, "build\t")[0], "-w")
		f.Add("go1.18.10", info, "-s")
		f.Add("go1.26.8", info, "-s -w -X main.v=1")
		f.Add("go1.20", info, "-extldflags=-static")
		f.Add("go1.26.8", strings.NewReplacer("v1.2.3", "v1.2.3+dirty", "modified=false", "modified=true").Replace(info), "-s")
		f.Add("go1.26.8 X:a", strings.ReplaceAll(info, "example.com", ".."), "-o=x")
	}
	f.Add("go1.26.8", strings.Replace(installed, "build\t-trimpath", "build\t-gcflags=all=-l -d=x\nbuild\t-asmflags=-e\nbuild\t-trimpath", 1), "-B gobuildid")
	f.Fuzz(func(t *testing.T, version, info, ldflags string) {
		args, err := linkerFlags(ldflags)
		if err != nil {
			args = nil
		}
		for i, a := range args {
			name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
			value := i > 0 && slices.Contains([]string{"X", "B", "buildid", "extldflags"}, strings.TrimLeft(args[i-1], "-"))
			if !value && !slices.Contains([]string{"s", "w", "X", "B", "buildid", "extldflags"}, name) {
				t.Fatalf("%q got through", a)
			}
		}
		c, reason := parseClaim(facts(version, info))
		if (c == nil) == (reason == nil) {
			t.Fatal("neither or both")
		}
		if reason != nil {
			return
		}
		c.main.Version = "v1.2.3"
		r, err := c.recipe(recipe.Source{Module: c.main.Path, Version: "v1.2.3", Sum: sumA, Dir: "."}, recipe.Toolchain{Version: c.goVersion}, linking{args: args}, false)
		if err != nil {
			return
		}
		last := r.Argv[len(r.Argv)-1]
		if strings.HasPrefix(last, "-") || strings.Contains(last, "..") && !c.install || strings.HasPrefix(last, "/") {
			t.Errorf("package %q", last)
		}
		for _, a := range r.Argv[:len(r.Argv)-1] {
			switch {
			case slices.Contains(allowed, a):
			case strings.HasPrefix(a, "-tags=") && tagsRE.MatchString(a[6:]):
			case strings.HasPrefix(a, "-ldflags="):
				if again, err := linkerFlags(a[9:]); err != nil || !slices.Equal(again, args) {
					t.Errorf("%q: %q, %v", a, again, err)
				}
			case strings.HasPrefix(a, "-gcflags=") && compilerFlags(a[9:], knownGCFlags):
			case strings.HasPrefix(a, "-asmflags=") && compilerFlags(a[10:], knownASMFlags):
			default:
				t.Errorf("%q got through", a)
			}
		}
		for _, kv := range r.Env {
			name, _, _ := strings.Cut(kv, "=")
			if !slices.ContainsFunc(recipe.KnownVariables, func(v recipe.Variable) bool { return v.Name == name }) {
				t.Errorf("%q got through", kv)
			}
		}
		c.command(r)
		if c.vcs != nil {
			if s, err := gitScript(c); err == nil && strings.Count(s, "'")%2 != 0 {
				t.Errorf("%s", s)
			}
		}
	})
}

// placed are the folders of somebody else's build.
func placed(goroot, modCache string) *pass.Foreign {
	return &pass.Foreign{GOROOT: goroot, ModCache: modCache}
}
