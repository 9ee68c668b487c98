package rebuild

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// TestDecisions holds the table in the package's documentation against the code, for
// every combination of what can be known.
func TestDecisions(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(source), "//\tground      source     toolchain  content    differs    verdict\n")
	if !ok {
		t.Fatal("there is no table")
	}
	type row struct {
		cells   []string
		verdict string
	}
	var rows []row
	for line := range strings.Lines(table) {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "//\t")
		if !ok {
			break
		}
		var cells []string
		for _, width := range []int{12, 11, 11, 11, 11} {
			cells, line = append(cells, strings.TrimSpace(line[:width])), line[width:]
		}
		rows = append(rows, row{cells, line})
	}

	used := map[string]bool{}
	for _, ground := range []groundKind{groundNone, groundDependency, groundBuild} {
		for _, unnamed := range []*verdict.Reason{nil, verdict.Because(verdict.SourceNotNamed, "why").WithRemedy("help")} {
			for _, foreign := range []*verdict.Reason{nil, verdict.Because(verdict.ToolchainNotPublished, "why").WithRemedy("help")} {
				for _, content := range []string{"as linked", "changed", "stripped"} {
					for _, whose := range []owner{ownerModules, ownerStandard, ownerUnknown} {
						d := difference{what: "the bytes differ", ground: ground, why: "a ground", unnamed: unnamed, foreign: foreign, changed: content != "as linked", stripped: content == "stripped", whose: whose}
						is := []string{string(ground), "named", "published", content, string(whose)}
						if unnamed != nil {
							is[1] = "not named"
						}
						if foreign != nil {
							is[2] = "other"
						}
						want := "no row"
						for _, r := range rows {
							fits := true
							for i, cell := range r.cells {
								fits = fits && (cell == "any" || cell == is[i])
							}
							if fits {
								want, used[strings.Join(r.cells, " ")] = r.verdict, true
								break
							}
						}
						verdict, reason := d.judge()
						got := string(verdict)
						if verdict != compare.Differs {
							got += ": " + string(reason.Kind)
							if reason.Remedy == "" {
								t.Errorf("%q: no remedy", is)
							}
						}
						if got != want || !strings.Contains(reason.Text, "the bytes differ") {
							t.Errorf("%q: %s (%s), want %s", is, got, reason.Text, want)
						}
					}
				}
			}
		}
	}
	if len(used) != len(rows) {
		t.Errorf("%d of %d rows decide anything", len(used), len(rows))
	}
}

func TestNaming(t *testing.T) {
	pseudo := "v1.2.4-0.20260201120000-" + rev[:12]
	local := func() *claim { return &claim{vcs: &vcsStamp{revision: rev}} }
	for what, x := range map[string]struct {
		c             *claim
		ch            sourceChoice
		sum, revision string
		want          string
	}{
		"installed":               {&claim{install: true, sum: sumA}, sourceChoice{version: "v1.2.3"}, sumA, "", ""},
		"installed, another hash": {&claim{install: true, sum: sumA}, sourceChoice{version: "v1.2.3"}, sumB, "", "the file says that example.com/tool@v1.2.3 is " + sumA},
		"a guess":                 {&claim{}, sourceChoice{version: "v1.2.3", guess: "the archive"}, sumA, "", "is a guess, after the version of the archive"},
		"the user's word":         {&claim{}, sourceChoice{version: "v1.2.3"}, sumA, "", "is your word"},
		"the proxy says so":       {local(), sourceChoice{version: "v1.2.3"}, sumA, rev, ""},
		"of a guess, too":         {local(), sourceChoice{version: "v1.2.3", guess: "the archive"}, sumA, rev, ""},
		"the proxy says another":  {local(), sourceChoice{version: "v1.2.3"}, sumA, strings.Repeat("0", 40), "the module proxy that example.com/tool@v1.2.3 is revision 0000"},
		"the proxy contradicts":   {local(), sourceChoice{version: "v1.2.3", resolved: true}, sumA, strings.Repeat("0", 40), "the module proxy that"},
		"the proxy found it":      {local(), sourceChoice{version: "v1.2.3", resolved: true}, sumA, "", ""},
		"the proxy says nothing":  {local(), sourceChoice{version: "v1.2.3"}, sumA, "", "nothing tells whether example.com/tool@v1.2.3 is that"},
		"a version that says it":  {local(), sourceChoice{version: pseudo}, sumA, "", ""},
		"one that says another":   {local(), sourceChoice{version: strings.Replace(pseudo, rev[:12], "ffffffffffff", 1)}, sumA, "", "nothing tells whether"},
	} {
		x.c.main = module.Version{Path: "example.com/tool", Version: ""}
		got := ""
		if r := x.c.whyNotNamed(x.ch, x.sum, x.revision); r != nil {
			got = r.Text
			if r.Kind != verdict.SourceNotNamed || r.Remedy == "" {
				t.Errorf("%s: %+v", what, r)
			}
		}
		if (got == "") != (x.want == "") || !strings.Contains(got, x.want) {
			t.Errorf("%s: %q, want %q", what, got, x.want)
		}
	}
}

func TestDistributor(t *testing.T) {
	for goroot, want := range map[string]string{
		"": "", "/usr/local/go": "", "/home/ada/sdk/go1.26.8": "", "/opt/hostedtoolcache/go/1.26.8/x64": "", "/usr/library/go": "",
		"/root/go/pkg/mod/golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64": "",
		"/usr/lib/mod/golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64":     "",
		"/usr/lib/go": "/usr/lib", "/usr/lib/go-1.26": "/usr/lib", "/usr/lib/golang": "/usr/lib", "/usr/lib64/go/1.26": "/usr/lib64", "/usr/share/go-1.26": "/usr/share",
		"/nix/store/abc-go-1.26.8/share/go": "/nix/store", "/opt/homebrew/Cellar/go/1.26.8/libexec": "/opt/homebrew", "/usr/local/Cellar/go/1.26.8/libexec": "/usr/local/Cellar",
	} {
		if got := distributor(goroot); got != want {
			t.Errorf("%s: %q, want %q", goroot, got, want)
		}
	}
}

// program is a file that was built here, for TestAccusations.
type program struct {
	data []byte
	t    *testing.T
}

// facts are the program's.
func (p program) facts() inspect.Facts {
	p.t.Helper()
	f, err := inspect.Read(p.t.Context(), "program", bytes.NewReader(p.data), int64(len(p.data)))
	if err != nil {
		p.t.Fatal(err)
	}
	return f.Binaries[0]
}

// patched is the program with a byte of a function changed.
func (p program) patched(function string) program {
	p.t.Helper()
	bin, err := inspect.Open(bytes.NewReader(p.data), int64(len(p.data)))
	if err != nil {
		p.t.Fatal(err)
	}
	for f, err := range bin.Functions() {
		if err == nil && f.Name == function {
			return p.flipped(int(f.Offset) + 4)
		}
	}
	p.t.Fatalf("there is no function %s", function)
	return p
}

func (p program) flipped(at int) program {
	p.data = slices.Clone(p.data)
	p.data[at] ^= 1
	return p
}

// stripped is the program after llvm-strip --strip-sections: without all that is not
// loaded.
func (p program) stripped() program {
	p.t.Helper()
	f, err := elf.NewFile(bytes.NewReader(p.data))
	if err != nil {
		p.t.Fatal(err)
	}
	end := uint64(0)
	for _, s := range f.Progs {
		if s.Type == elf.PT_LOAD {
			end = max(end, s.Off+s.Filesz)
		}
	}
	p.data = slices.Clone(p.data[:end])
	clear(p.data[0x28:0x30]) // where the section headers are
	clear(p.data[0x3a:0x40]) // and how many
	return p
}

// hashed is the program with a hash in its build ID that is right: anybody who
// tampers with a file can do that.
func (p program) hashed() program {
	p.t.Helper()
	f := p.facts()
	p.data = bytes.ReplaceAll(p.data, []byte(f.BuildID.ID), []byte(strings.TrimSuffix(f.BuildID.ID, f.BuildID.FileContent)+f.Content.Hash))
	if got := p.facts().Content.State; got != inspect.ContentIntact {
		p.t.Fatalf("content %s", got)
	}
	return p
}

// TestAccusations judges files that were tampered with, made from another source, or
// made by another toolchain, against an honest build.
func TestAccusations(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles much")
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs go")
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(goCommand, args...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %q: %v\n%s", args, err, err.(*exec.ExitError).Stderr)
		}
		return strings.TrimSpace(string(out))
	}
	build := func(flags ...string) program {
		t.Helper()
		out := filepath.Join(dir, "out")
		run(slices.Concat([]string{"build", "-trimpath=true", "-buildvcs=false", "-o", out}, flags, []string{"."})...)
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return program{data, t}
	}
	const source = "package main\n\nimport \"errors\"\n\n//go:noinline\nfunc allowed(user string) bool { return user == \"root\" }\n\nvar version string\n\nfunc main() { println(version, allowed(\"ada\"), \"the text of the tool\", errors.ErrUnsupported.Error()) }\n"
	write("go.mod", "module example.com/tool\n\ngo 1.26\n")
	write("main.go", source)
	honest := build()
	noID := build("-ldflags=-buildid=")

	// Another source, and another standard library, as a distribution's may be.
	write("main.go", strings.Replace(source, "return user ==", "for i := range user {\n\t\tprintln(user[i], user[:i], user[i:])\n\t}\n\treturn len(user) > 0 || user ==", 1))
	evil := build()
	evilNoID := build("-ldflags=-buildid=")
	write("main.go", source)
	const function = "func printbool(v bool) {\n\tif v {"
	name := filepath.Join(run("env", "GOROOT"), "src", "runtime", "print.go")
	text, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(text), function) {
		t.Fatalf("%s is another than is known: %v", name, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "testdata"), 0o755); err != nil {
		t.Fatal(err)
	}
	print := write("testdata/print.go", strings.Replace(string(text), function, "func printbool(v bool) {\n\tprintnl()\n\tif v {", 1))
	write("overlay.json", `{"Replace": {"`+name+`": "`+print+`"}}`)
	foreign := build("-overlay=overlay.json")

	// Go as somebody changed it, who left it its version.
	file := filepath.Join(run("env", "GOROOT"), "src", "errors", "errors.go")
	errorsGo, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	patchedGo := func(name, path, old, new string) []string {
		t.Helper()
		if !strings.Contains(string(errorsGo), old) {
			t.Fatalf("%s is another than is known", file)
		}
		to := write("testdata/"+name+".go", strings.Replace(string(errorsGo), old, new, 1))
		return []string{"-overlay=" + write(name+".json", `{"Replace": {"`+path+`": "`+to+`"}}`)}
	}
	goText := patchedGo("text", file, "unsupported operation", "unsupported 0peration")
	goFile := patchedGo("file", filepath.Join(filepath.Dir(file), "added.go"), string(errorsGo), "package errors\n\nvar Added = 7\n\n//go:noinline\nfunc more() { Added++ }\n\nfunc init() { more() }\n")
	goInlined := patchedGo("inlined", file, "return &errorString{text}", "println(len(text)); return &errorString{text}")
	untrimmed := build("-trimpath=false")
	spaced := build("-trimpath=false", "-ldflags=-X 'main.version=a b'")
	readClaim := func(a *attempt) {
		t.Helper()
		c, reason := parseClaim(a.facts)
		if reason != nil {
			t.Fatal(reason)
		}
		a.claim = c
		a.firstLinking() // says what is known
	}
	unoptimized := build("-gcflags=-N")

	evilDep := []inspect.Module{{Path: "example.com/evil", Version: "v1.0.0", Sum: sumA}}
	text1 := bytes.Index(honest.data, []byte("the text of the tool"))

	store := artifact.NewStore(t.TempDir())
	put := func(p program) artifact.Artifact {
		t.Helper()
		d, size, err := store.Put(bytes.NewReader(p.data))
		if err != nil {
			t.Fatal(err)
		}
		return artifact.Artifact{Name: "tool", Kind: artifact.Binary, Digest: d, Size: size, Executable: true}
	}
	for what, x := range map[string]struct {
		file   program
		change func(*attempt)
		base   *program // what was rebuilt, honest if nil
		want   verdict.Kind
	}{
		"a function of package main is patched": {file: honest.patched("main.allowed"), want: verdict.BytesDiffer},
		"and the hash is right":                 {file: honest.patched("main.allowed").hashed(), want: verdict.BytesDiffer},
		"a byte of data is patched":             {file: honest.flipped(text1), want: verdict.BytesDiffer},
		"and its hash is right":                 {file: honest.flipped(text1).hashed(), want: verdict.BytesDiffer},
		"a byte at the end":                     {file: program{append(slices.Clone(honest.data), 0), t}, want: verdict.BytesDiffer},
		"the entry point":                       {file: honest.flipped(24).hashed(), want: verdict.BytesDiffer},
		"a function of the runtime is patched":  {file: honest.patched("runtime.printbool"), want: verdict.BytesDiffer},
		// Then it is as a distribution's toolchain may have left it.
		"and its hash is right, too":                 {file: honest.patched("runtime.printbool").hashed(), want: verdict.ToolchainNotPublished},
		"another source":                             {file: evil, want: verdict.BytesDiffer},
		"another source without a build ID":          {file: evilNoID, base: &noID, want: verdict.BytesDiffer},
		"another standard library":                   {file: foreign, want: verdict.ToolchainNotPublished},
		"another standard library, and tampered":     {file: foreign.flipped(text1), want: verdict.BytesDiffer},
		"another standard library, by a distributor": {file: foreign.flipped(text1), change: func(a *attempt) { a.goroot = "/usr/lib/go" }, want: verdict.ToolchainNotPublished},
		"made at a distributor's":                    {file: evil, change: func(a *attempt) { a.goroot = "/nix/store/x-go-1.26.8/share/go" }, want: verdict.ToolchainNotPublished},
		"made with an experiment":                    {file: evil, change: func(a *attempt) { a.facts.GoVersion += " X:synctest" }, want: verdict.ToolchainNotPublished},
		"a source that is your word":                 {file: evil, change: func(a *attempt) { a.unnamed = verdict.Because(verdict.SourceNotNamed, "your word") }, want: verdict.SourceNotNamed},
		// The build ID names the source, whatever else does not.
		"a source that only the build ID names": {file: honest.patched("main.allowed"), change: func(a *attempt) { a.unnamed = verdict.Because(verdict.SourceNotNamed, "your word") }, want: verdict.BytesDiffer},
		// What is not recorded may have been anything.
		"settings that are not recorded":         {file: evil, change: func(a *attempt) { a.claim.unrecorded = "go1.16 records no settings" }, want: verdict.Flags},
		"not recorded, without a build ID":       {file: evilNoID, base: &noID, change: func(a *attempt) { a.claim.unrecorded = "go1.16 records no settings" }, want: verdict.Flags},
		"not recorded, and another dependency":   {file: foreign, change: func(a *attempt) { a.claim.unrecorded, a.facts.Build.Deps = "go1.16 records no settings", evilDep }, want: verdict.Flags},
		"not recorded, and patched":              {file: honest.patched("main.allowed"), change: func(a *attempt) { a.claim.unrecorded = "go1.16 records no settings" }, want: verdict.BytesDiffer},
		"files that are not recorded":            {file: evil, change: func(a *attempt) { a.claim.pkg = namedFiles }, want: verdict.Flags},
		"files, and another dependency":          {file: evil, change: func(a *attempt) { a.claim.pkg, a.facts.Build.Deps = namedFiles, evilDep }, want: verdict.Flags},
		"files that the build ID names, patched": {file: honest.patched("main.allowed"), change: func(a *attempt) { a.claim.pkg = namedFiles }, want: verdict.BytesDiffer},
		// A tree with changes is no revision, whatever the build ID says.
		"uncommitted changes":               {file: evil, change: func(a *attempt) { a.claim.vcs = &vcsStamp{modified: true} }, want: verdict.Dirty},
		"uncommitted changes, and tampered": {file: honest.patched("main.allowed"), change: func(a *attempt) { a.claim.vcs = &vcsStamp{modified: true} }, want: verdict.Dirty},
		"other tags in a clone":             {file: evil, change: func(a *attempt) { a.facts.Build.Main.Version = "v1.2.3" }, want: verdict.SourceNotNamed},
		"a workspace": {file: evil, change: func(a *attempt) {
			a.facts.Build.Settings = append(a.facts.Build.Settings, inspect.Setting{Key: "DefaultGODEBUG", Value: "x=1"})
		}, want: verdict.SourceNotNamed},
		"another dependency": {file: foreign, change: func(a *attempt) {
			a.facts.Build.Deps = []inspect.Module{{Path: "example.com/evil", Version: "v1.0.0", Sum: sumA}}
		}, want: verdict.OtherDependencies},
		"another dependency, installed": {file: foreign, change: func(a *attempt) {
			a.claim.install = true
			a.facts.Build.Deps = []inspect.Module{{Path: "example.com/evil", Version: "v1.0.0", Sum: sumA}}
		}, want: verdict.BytesDiffer},
		"a vendor folder that a zip lacks": {file: foreign, change: func(a *attempt) {
			a.claim.vendored, a.source.Module = true, "example.com/tool"
		}, want: verdict.OtherDependencies},
		"flags that are not known, without an ID": {file: noID.flipped(text1), base: &noID, want: verdict.Flags},
		"flags that you named, without an ID":     {file: noID.flipped(text1), base: &noID, change: func(a *attempt) { a.options.LDFlags = new(string) }, want: verdict.Flags},
		// What is recorded is not what was given.
		"the end of a line in -X": {file: build("-trimpath=false", "-ldflags=-X 'main.version=a\nb'"), base: &spaced, change: readClaim, want: verdict.Flags},
		"a patch beside a space":  {file: spaced.patched("main.allowed"), base: &spaced, change: readClaim, want: verdict.BytesDiffer},
		"-gcflags for two":        {file: build("-gcflags=all=-l", "-gcflags=-N"), base: &unoptimized, change: readClaim, want: verdict.Flags},
		// Whose text that is, nothing tells.
		"flags that are recorded, without an ID":   {file: noID.flipped(text1), base: &noID, change: func(a *attempt) { a.flagsKnown = true }, want: verdict.ToolchainNotPublished},
		"a function, with flags that are recorded": {file: noID.patched("main.allowed"), base: &noID, change: func(a *attempt) { a.flagsKnown = true }, want: verdict.BytesDiffer},
		"a Go with another text":                   {file: build(goText...), want: verdict.ToolchainNotPublished},
		"a Go with another text, untrimmed":        {file: build(append(goText, "-trimpath=false")...), base: &untrimmed, change: func(a *attempt) { a.flagsKnown = true }, want: verdict.ToolchainNotPublished},
		"a Go with one more file":                  {file: build(goFile...), want: verdict.ToolchainNotPublished},
		"a Go with one more file, untrimmed":       {file: build(append(goFile, "-trimpath=false")...), base: &untrimmed, change: func(a *attempt) { a.flagsKnown = true }, want: verdict.ToolchainNotPublished},
		"a Go with another function, inlined":      {file: build(goInlined...), want: verdict.ToolchainNotPublished},
		"a Go with another function, no ID":        {file: build(append(goInlined, "-ldflags=-buildid=")...), base: &noID, change: func(a *attempt) { a.flagsKnown = true }, want: verdict.ToolchainNotPublished},
		// Symbols that are gone are nobody's other source, and what is loaded counts.
		"stripped":                                {file: honest.stripped(), want: verdict.Stripped},
		"stripped, with its hash made right":      {file: honest.stripped().hashed(), want: verdict.BytesDiffer},
		"stripped, and something behind":          {file: program{append(honest.stripped().data, "payload"...), t}, want: verdict.BytesDiffer},
		"stripped, and a function patched":        {file: honest.patched("main.allowed").stripped(), want: verdict.BytesDiffer},
		"stripped, and a text patched":            {file: honest.flipped(text1).stripped(), want: verdict.BytesDiffer},
		"stripped, and the entry point":           {file: honest.flipped(24).stripped(), want: verdict.BytesDiffer},
		"stripped, at a distributor's":            {file: honest.stripped(), change: func(a *attempt) { a.goroot = "/usr/lib/go" }, want: verdict.Stripped},
		"stripped, of another source":             {file: evil.stripped(), want: verdict.BytesDiffer},
		"stripped, without an ID":                 {file: noID.stripped(), base: &noID, change: func(a *attempt) { a.flagsKnown = true }, want: verdict.ToolchainNotPublished},
		"a runtime, with flags that are recorded": {file: noID.patched("runtime.printbool"), base: &noID, change: func(a *attempt) { a.flagsKnown = true }, want: verdict.ToolchainNotPublished},
	} {
		base := honest
		if x.base != nil {
			base = *x.base
		}
		own, other := put(x.file), put(base)
		r := &Rebuilder{Sandbox: &sandbox.Sandbox{Config: sandbox.Config{Stage: func(string) {}}, Store: store, Work: &workspace.Workspace{Dir: dir}}}
		j := &job{Rebuilder: r, dir: t.TempDir(), res: &verdict.Result{Name: "tool", Digest: own.Digest, Size: own.Size}, facts: x.file.facts(), claim: &claim{}}
		a := &attempt{job: j, dir: j.dir}
		a.claim.goVersion = a.facts.GoVersion
		if c := a.facts.Content; c != nil {
			a.res.Content = c.State
		}
		if a.file, err = store.Open(own.Digest); err == nil {
			a.bin, err = inspect.Open(a.file, own.Size)
		}
		if err != nil {
			t.Fatal(err)
		}
		if x.change != nil {
			x.change(a)
		}
		err := a.judge(t.Context(), &built{file: other, facts: base.facts()})
		a.file.Close()
		want := compare.Undetermined
		if x.want == verdict.BytesDiffer {
			want = compare.Differs
		}
		if want == compare.Undetermined && a.res.Reason != nil && strings.Contains(a.res.Reason.Text, "package main was") {
			t.Errorf("%s: a cause that nothing shows: %s", what, a.res.Reason.Text)
		}
		if err != nil || a.res.Verdict != want || a.res.Reason == nil || a.res.Reason.Kind != x.want || a.res.Explanation == nil {
			t.Errorf("%s: %v, %s, %+v, want %s", what, err, a.res.Verdict, a.res.Reason, x.want)
		}
	}
}

// Of one version of a module there is one content. Which version it is proves nothing.
func TestOtherContents(t *testing.T) {
	module := func(version, sum string) inspect.Module {
		return inspect.Module{Path: "example.com/dep", Version: version, Sum: sum}
	}
	replaced := module("v1.0.0", "h1:a")
	replaced.Replace = &inspect.Module{Path: "../dep"}
	for name, test := range map[string]struct {
		a, b inspect.Module
		want int
	}{
		"the same":          {module("v1.0.0", "h1:a"), module("v1.0.0", "h1:a"), 0},
		"another content":   {module("v1.0.0", "h1:a"), module("v1.0.0", "h1:b"), 1},
		"another version":   {module("v1.0.0", "h1:a"), module("v1.1.0", "h1:b"), 0},
		"without a hash":    {module("v1.0.0", ""), module("v1.0.0", "h1:b"), 0},
		"what was replaced": {replaced, module("v1.0.0", "h1:b"), 0},
	} {
		if got := otherContents(&inspect.Build{Deps: []inspect.Module{test.a}}, &inspect.Build{Deps: []inspect.Module{test.b}}); len(got) != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
