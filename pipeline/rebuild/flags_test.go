package rebuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
)

func TestLinkerFlags(t *testing.T) {
	for value, want := range map[string][]string{
		"":                                 nil,
		" -s  -w ":                         {"-s", "-w"},
		"-s=true -w=0":                     {"-s=true", "-w=0"},
		"--s":                              {"--s"},
		"-X main.v=1 -X=main.w=2":          {"-X", "main.v=1", "-X=main.w=2"},
		"-X 'main.v=a b' -s":               {"-X", "main.v=a b", "-s"},
		`-X "example.com/a-b/c.V=it's"`:    {"-X", "example.com/a-b/c.V=it's"},
		"-X main.v=":                       {"-X", "main.v="},
		"-X main.v=-o=/tmp/x":              {"-X", "main.v=-o=/tmp/x"},
		"-buildid=":                        {"-buildid="},
		"-buildid x":                       {"-buildid", "x"},
		"-B gobuildid":                     {"-B", "gobuildid"},
		"-B=0x00ff":                        {"-B=0x00ff"},
		"-extldflags -static":              {"-extldflags", "-static"},
		`-s -w -extldflags "-static"`:      {"-s", "-w", "-extldflags", "-static"},
		"-X example.com/x/v2/y%20z.V=1 -s": nil, // % is no part of a name
	} {
		got, err := linkerFlags(value)
		if strings.Contains(value, "%") {
			if err == nil {
				t.Errorf("%q: accepted", value)
			}
			continue
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{
		"-o=x", "-o x", "--o=x", "-s -o x", "-X", "-X main.v", "-X =1", "-X main.1=2", "-X -s=1", "-X main.v=1 x", "x", "-", "--", "-=", "-s=x", "-w=/tmp",
		"-B", "-B 1", "-B=0x", "-B=/tmp/x", "-buildid", "-extldflags=-static -o", "'-extldflags=-static -o x'", "-extldflags -fplugin=x", "-extldflags", "-extld=x",
		"-linkmode=external", "-linkmode internal", "-cpuprofile=x", "-memprofile=x", "-benchmark=mem", "-benchmarkprofile=x", "-dumpdep", "-c", "-V", "-h", "-help",
		"-I x", "-r x", "-L x", "-k x", "-T 1", "-E main", "-H windowsgui", "-race", "-msan", "-asan", "-plugin=x", "-installsuffix=x", "-tmpdir=x", "-v", "-n",
		"-capturehostobjs=x", "-extar=x", "-fipso=x", "-importcfg=x", "-buildmode=pie", "-linkshared", "-libgcc=x", "-pruneweakmap=false", "-randlayout=1", "-d",
		"'-s", `"-w`, "-X 'main.v=\n'", "-X main.v=\x00", "@x", "-s;-w", "-s -\u200bw",
	} {
		if args, err := linkerFlags(value); err == nil {
			t.Errorf("%q: accepted as %q", value, args)
		}
	}
	if err := checkLinkerFlags(slices.Repeat([]string{"-s"}, 2000)); err == nil {
		t.Error("2000 flags: accepted")
	}
}

func TestCompilerFlags(t *testing.T) {
	for value, want := range map[string]bool{
		"": true, "-N -l": true, "all=-N -l": true, "all=-l=4": true, "example.com/...=-B": true, "std=-spectre=all": true, "-dwarf=false": true, "all=": true,
		"all": false, "=-N": false, "-o=x": false, "all=-o x": false, "-N x": false, "../x=-N": false, "/etc/...=-N": false, "-d=panic": false, "-cpuprofile=x": false,
		"all=-trimpath=/x": false, "-l=99": false, "-N\x00": false, "'-N": false, "./x=-N": false, "-importcfg=x": false, "-asmhdr=x": false, "-linkobj=x": false,
		"all=-N all=-o=x": false, "all=all=-o=x": false,
	} {
		if got := compilerFlags(value, knownGCFlags); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// hashTrace is what the go command prints of a link.
func hashTrace(pkg string, pieces ...string) (trace, action string) {
	var b strings.Builder
	all := strings.Join(pieces, "")
	sum := sha256.Sum256([]byte(all))
	fmt.Fprintf(&b, "HASH[build runtime]\nHASH[build runtime]: %q\nHASH[link %s]\n", "go1.26.8", pkg)
	for i, p := range pieces {
		fmt.Fprintf(&b, "HASH[link %s]: %q\n", pkg, p)
		if i == 0 {
			fmt.Fprintf(&b, "HASH[link %s/other]: %q\nsome warning\n", pkg, "elsewhere\n")
		}
	}
	fmt.Fprintf(&b, "HASH[link %s]: %s\nHASH[build after]\n", pkg, hex.EncodeToString(sum[:]))
	return b.String(), hashToString([]byte(all))
}

func linkPieces(mode string, flags ...string) []string {
	return []string{"go1.26.8", "link\n", "buildmode " + mode + " goos linux goarch amd64\n", "import \"p\"\n", "trimpath\n",
		"link link version go1.26.8 \"\" exe\n", fmt.Sprintf("linkflags %q\n", flags), "GOAMD64=v1\n", "packagefile p=x\n"}
}

func TestOracle(t *testing.T) {
	trace, action := hashTrace("example.com/p", linkPieces("default")...)
	o, err := newOracle(trace, "example.com/p", action)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []linking{{}, {args: []string{"-s", "-w"}}, {args: []string{"-X", `main.v=]"`}}, {args: []string{"-s"}, mode: "exe"}} {
		mode := "default"
		if x.mode != "" {
			mode = x.mode
		}
		if _, want := hashTrace("example.com/p", linkPieces(mode, x.args...)...); o.linkAction(x, mode) != want {
			t.Errorf("%+v: %s, want %s", x, o.linkAction(x, mode), want)
		}
	}

	// What was linked with -X is found, with the order and form of its flags.
	f := inspect.Facts{Findings: []inspect.Finding{{Name: "-s", Is: inspect.Yes}, {Name: "-w", Is: inspect.Yes}}}
	vals := []string{"v1.2.3", rev, "2026-02-01T12:00:00Z"}
	names := []string{"main.commit", "main.date", "main.version", "example.com/p/other.Name"}
	for _, args := range [][]string{
		{}, {"-s"}, {"-w", "-s"}, {"-s", "-w"},
		{"-s", "-w", "-extldflags", "-static"},
		{"-s", "-w", "-X", "main.version=v1.2.3", "-X", "main.commit=" + rev, "-X", "main.date=2026-02-01T12:00:00Z"},
		{"-X=main.version=v1.2.3", "-s", "-w"},
		{"-w", "-s", "-X", "main.date=2026-02-01T12:00:00Z"},
	} {
		_, want := hashTrace("example.com/p", linkPieces("exe", args...)...)
		got, mode, _, ok := o.search(context.Background(), want, []string{"default", "exe"}, linkerGuesses(f, candidates{values: vals, names: names}.sets()))
		if !ok || mode != "exe" || !slices.Equal(got.args, args) {
			t.Errorf("%q: found %q, %s, %v", args, got.args, mode, ok)
		}
	}
	// What is not among the guesses is not found, in bounded time.
	if got, _, tried, ok := o.search(context.Background(), strings.Repeat("x", 20), []string{"default"}, linkerGuesses(f, candidates{values: vals, names: names}.sets())); ok || tried < 100 {
		t.Errorf("found %+v after %d", got, tried)
	}

	for name, x := range map[string][2]string{
		"empty":             {"", action},
		"another package":   {strings.ReplaceAll(trace, "example.com/p]", "example.com/q]"), action},
		"another action":    {trace, strings.Repeat("x", 20)},
		"a changed piece":   {strings.Replace(trace, "GOAMD64=v1", "GOAMD64=v2", 1), action},
		"no sum":            {trace[:strings.LastIndex(trace, "HASH[link")], action},
		"a piece unquoted":  {strings.Replace(trace, `"trimpath\n"`, `"trimpath`, 1), action},
		"without its start": {strings.Replace(trace, "HASH[link example.com/p]\n", "", 1), action},
	} {
		if _, err := newOracle(x[0], "example.com/p", x[1]); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	odd, action := hashTrace("example.com/p", "go9.9", "link\n", "flags first []\n")
	if _, err := newOracle(odd, "example.com/p", action); err == nil {
		t.Error("another form: accepted")
	}
}

func TestVariables(t *testing.T) {
	tree := fstest.MapFS{
		"go.mod":               {Data: []byte("module example.com/m\n")},
		"cmd/x/main.go":        {Data: []byte("package main\n\nvar (\n\tversion string\n\tcommit, date = \"none\", \"\"\n\tnumber = 1\n\tcall = f()\n\tother string\n\tx, y string\n\t_ = \"a\"\n)\n\nfunc f() string { return \"\" }\n")},
		"cmd/x/main_test.go":   {Data: []byte("package main\n\nvar testVersion string\n")},
		"internal/v/v.go":      {Data: []byte("package v\n\nvar Version = \"dev\"\nvar Name string\nconst Build = \"\"\n")},
		"broken.go":            {Data: []byte("package\n")},
		"vendor/a/a.go":        {Data: []byte("package a\n\nvar Version string\n")},
		".goreleaser.yaml":     {Data: []byte("ldflags:\n - -s -w -X main.version={{.Version}} -X=example.com/m/internal/v.Version=x -X 'main.date={{.Date}}'\n")},
		"Makefile":             {Data: []byte("build:\n\tgo build -ldflags \"-X main.version=$(V) -X $(PKG).Foo=1 -X ../evil.X=1\"\n")},
		"testdata/Makefile":    {Data: []byte("-X main.poison=1\n")},
		"docs/version/file.go": {Data: []byte(strings.Repeat("x", sandbox.MaxSmall+1))},
	}
	names, hinted := variables(tree, "example.com/m", "example.com/m/cmd/x")
	if want := []string{"main.version", "main.commit", "main.date", "main.other", "main.x", "main.y", "example.com/m/internal/v.Version"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if want := []string{"main.version", "example.com/m/internal/v.Version", "main.date"}; !slices.Equal(hinted, want) {
		t.Errorf("hinted %q, want %q", hinted, want)
	}
}

// TestSets: every set that is yielded fits, none comes twice, and the first is
// nothing.
func TestSets(t *testing.T) {
	seen := map[string]bool{}
	n := 0
	for set := range (candidates{values: []string{"1.2.3", rev[:7], "goreleaser"}, names: []string{"main.version", "main.commit", "main.by"}, hinted: []string{"main.commit", "main.version"}}).sets() {
		if n++; n == 1 && len(set) > 0 {
			t.Errorf("first %v", set)
		}
		if key := fmt.Sprint(set); seen[key] {
			t.Errorf("%s twice", key)
		} else {
			seen[key] = true
		}
		for _, a := range set {
			if !fits(a.name, a.value) {
				t.Errorf("%v does not fit", a)
			}
		}
	}
	for set := range (candidates{values: []string{"anything"}, hinted: []string{"main.version"}, certain: true}).sets() {
		seen[fmt.Sprint(set)] = true
	}
	if !seen["[{main.version anything}]"] {
		t.Error("a name that is certain must fit")
	}
	if !seen[fmt.Sprint([]assignment{{"main.commit", rev[:7]}, {"main.version", "1.2.3"}})] {
		t.Errorf("%v", seen)
	}
}

// TestGit: git answers as git does, of the claim alone.
func TestGit(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("takes a shell")
	}
	dir := t.TempDir()
	c := &claim{main: module.Version{Path: "example.com/m", Version: "v1.2.3"}, vcs: &vcsStamp{revision: rev, time: time.Unix(1700000000, 0)}}
	if err := writeGit(dir, c); err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "go.mod"), []byte("module example.com/m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, "git"), args...)
		cmd.Dir = tree
		out, err := cmd.Output()
		if err != nil {
			return "error"
		}
		return string(out)
	}
	for _, x := range []struct {
		want string
		args []string
	}{
		{"", []string{"status", "--porcelain"}},
		{rev + ":1700000000\n", []string{"-c", "log.showsignature=false", "log", "-1", "--format=%H:%ct"}},
		{rev + ":1700000000\n", []string{"-c", "log.showsignature=false", "show", "-s", "--format=%H:%ct"}},
		{rev + " 1700000000 tag: v1.2.3\n", []string{"-c", "log.showsignature=false", "log", "--no-decorate", "-n1", "--format=format:%H %ct %D", "--end-of-options", rev, "--"}},
		{"error", []string{"config", "extensions.objectformat"}},
		{"v1.2.3\n", []string{"tag", "-l"}},
		{"refs/tags/v1.2.3\n", []string{"for-each-ref", "--format=%(refname)", "--merged=" + rev}},
		{"module example.com/m\n", []string{"cat-file", "--end-of-options", "blob", rev + ":go.mod"}},
		{"error", []string{"cat-file", "--end-of-options", "blob", rev + ":main.go"}},
		{"error", []string{"fetch", "evil"}},
	} {
		if got := git(x.args...); got != x.want {
			t.Errorf("git %q: %q, want %q", x.args, got, x.want)
		}
	}
	c.vcs.modified = true
	if err := writeGit(dir, c); err != nil {
		t.Fatal(err)
	}
	if got := git("status", "--porcelain"); got != " M go.mod\n" {
		t.Errorf("git status of a tree with changes: %q", got)
	}
	c.main.Version = "v1.2.4-0.20260201120000-0123456789ab"
	if s, err := gitScript(c); err != nil || !strings.Contains(s, "'refs/tags/v1.2.3'") || strings.Contains(s, "tag: ") {
		t.Errorf("%v\n%s", err, s)
	}
	c.vcs.revision = "';evil;'"
	if _, err := gitScript(c); err == nil {
		t.Error("a revision with a quote: accepted")
	}
	c.vcs.revision, c.main.Version = rev, "v1.2.3';evil;'"
	if _, err := gitScript(c); err == nil {
		t.Error("a version with a quote: accepted")
	}
}

func TestSourceRoot(t *testing.T) {
	tree := fstest.MapFS{"main.go": {}, "cmd/x/main.go": {}, "internal/v/v.go": {}}
	files := []string{"/usr/local/go/src/runtime/main.go", "/home/ada/mod/example.com/d@v1.0.0/main.go", "/home/ada/tool/cmd/x/main.go", "/home/ada/tool/internal/v/v.go", "<autogenerated>"}
	if got := sourceRoot(files, placed("/usr/local/go", "/home/ada/mod"), tree); got != "/home/ada/tool" {
		t.Errorf("%q", got)
	}
	if got := sourceRoot(files[:2], placed("/usr/local/go", "/home/ada/mod"), tree); got != "" {
		t.Errorf("of no file: %q", got)
	}
}

func TestBinaryName(t *testing.T) {
	c := &claim{pkg: "example.com/m/cmd/tool/v2", target: matrix.Target{OS: "windows", Arch: "amd64"}}
	if got := c.binary(); got != "tool.exe" {
		t.Errorf("%q", got)
	}
}

// FuzzOracle: a trace that is accepted accounts for the link action, and other
// arguments than those in it give another one.
func FuzzOracle(f *testing.F) {
	for _, args := range [][]string{nil, {"-s", "-w"}, {"-X", "main.v=]\n\"x"}} {
		trace, _ := hashTrace("example.com/p", linkPieces("default", args...)...)
		f.Add(trace, "example.com/p", "link\n", "-s")
	}
	trace, _ := hashTrace("example.com/p", "link\n", "buildmode  goos ", "\nbuildmode a goos x\nlinkflags []\nlinkflags []\n")
	f.Add(trace, "example.com/p", "", "]\n")
	f.Add("HASH[link p]\nHASH[link p]: \"\\x00\"\nHASH[link p]: 00", "p", "\nbuildmode exe goos linux\nlinkflags [\"a\"]\n", "")
	f.Fuzz(func(t *testing.T, trace, pkg, more, arg string) {
		check := func(trace string) {
			hashed, err := hashedText(trace, "link "+pkg)
			if err != nil {
				if o, err := newOracle(trace, pkg, hashToString(nil)); err == nil {
					t.Fatalf("%+v of no hash", o)
				}
				return
			}
			if o, err := newOracle(trace, pkg, hashToString(append(slices.Clone(hashed), 'x'))); err == nil {
				t.Fatalf("%+v of another hash", o)
			}
			o, err := newOracle(trace, pkg, hashToString(hashed))
			if err != nil {
				return
			}
			// What is left are the mode and the arguments: with those that are there the
			// oracle gives what the file has.
			rest, ok := bytes.CutPrefix(hashed, o.beforeMode)
			mode, rest, ok2 := bytes.Cut(rest, o.beforeFlags)
			args, ok3 := bytes.CutSuffix(rest, slices.Concat([]byte("]\n"), o.afterFlags))
			if !ok || !ok2 || !ok3 || !bytes.HasPrefix(args, []byte("[")) || bytes.ContainsAny(mode, "\n ") {
				t.Fatalf("%q is not in %q", hashed, o)
			}
			own := hashToString(slices.Concat(o.beforeMode, mode, o.beforeFlags, args, []byte("]\n"), o.afterFlags))
			if own != hashToString(hashed) {
				t.Fatalf("%s, not %s", own, hashToString(hashed))
			}
			given := linking{args: []string{arg}}
			if same := bytes.Equal(quoteList(given.args), args); (o.linkAction(given, string(mode)) == own) != same {
				t.Fatalf("%q as %q", arg, args)
			}
		}
		check(trace)
		// And with a sum that is right.
		made, _ := hashTrace(pkg, "go1.26.8", more, arg)
		if !strings.ContainsAny(pkg, "\n\r]") {
			check(made)
		}
	})
}

// FuzzStamps: whatever a file has in its data and a source in its files, what is
// tried are flags on the list, for variables that have a name and values that are in
// the file, in the build files, or the claim's own.
func FuzzStamps(f *testing.F) {
	f.Add([]byte("v1.2.3\x000123456789abcdef\x00"), []byte("other\x00"), "package main\n\nvar version, commit string\n", "go build -ldflags \"-s -w -X main.version=$(V) -X main.commit=x\"\n", "cmd/x", uint8(0))
	f.Add([]byte("2026-02-01T12:00:00Z\x00 -extld=/tmp/evil\x00"), []byte{}, "package main\n\nvar date = \"\"\nvar ünder string\n", "ldflags: -X={{.P}}.date={{.Date}} -extldflags -static\n", "a b/c", uint8(1))
	f.Add([]byte("main.version.str\x00v1\n.2\x00"), []byte{}, "package x\n", "-X 'main.a=b -o x' -X \"a/b.c=$(D)\"\n", "-o=x", uint8(3))
	f.Fuzz(func(t *testing.T, a, b []byte, source, script, dir string, how uint8) {
		section := func(p []byte) []inspect.Section {
			return []inspect.Section{{Name: ".rodata", Size: int64(len(p))}, {Name: ".strtab", Size: int64(len(p))}}
		}
		is := func(bit uint8) inspect.Answer {
			if how&bit != 0 {
				return inspect.Yes
			}
			return inspect.No
		}
		facts := inspect.Facts{Format: inspect.ELF, Sections: section(a), Findings: []inspect.Finding{{Name: "-s", Is: is(1)}, {Name: "-w", Is: is(2)}}}
		found, err := values(bytes.NewReader(a), bytes.NewReader(b), section(a), section(b))
		if err != nil || len(found) > maxValues {
			t.Fatalf("%d values, %v", len(found), err)
		}
		for _, v := range found {
			if !bytes.Contains(a, []byte(v+"\x00")) || len(v) < minValue || len(v) > maxValue || likelihood(v) == 0 {
				t.Fatalf("%q is no text of the file", v)
			}
		}
		tree := fstest.MapFS{"Makefile": {Data: []byte(script)}, "main.go": {Data: []byte(source)}}
		if fs.ValidPath(dir) && dir != "." && dir != "main.go" && dir != "Makefile" && !strings.HasPrefix(dir, "main.go/") && !strings.HasPrefix(dir, "Makefile/") {
			tree[dir+"/x.go"] = &fstest.MapFile{Data: []byte(source)}
		}
		c := candidates{values: found}
		c.names, c.hinted = variables(tree, "example.com/m", "example.com/m")
		if list, ok := symbolVariables(bytes.NewReader(a), facts); ok && len(list) > 0 {
			c.names, c.hinted, c.certain = unique(slices.Concat(list, c.hinted)), list, true
		}
		claim := &claim{vcs: &vcsStamp{revision: rev, time: time.Unix(1700000000, 0)}}
		more := c
		more.values = claim.likelyValues("v1.2.3", c.values)
		tried := 0
		for l := range inTurn(shapedGuesses(facts, more, shapes(tree)), linkerGuesses(facts, more.sets())) {
			if tried++; tried > 200 {
				break
			}
			if err := checkLinkerFlags(l.args); err != nil {
				t.Fatalf("%q: %v", l.args, err)
			}
			if value, err := matrix.Quote(l.args); err == nil {
				if back, err := matrix.Split(value); err != nil || !slices.Equal(back, l.args) {
					t.Fatalf("%q: %q, %v", l.args, back, err)
				}
			}
		}
	})
}
