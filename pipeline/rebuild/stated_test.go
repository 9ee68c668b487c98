package rebuild

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// trimmed is build information that hides the linker's flags.
var trimmed = strings.NewReplacer("build\t-ldflags=\"-s -w\"\n", "build\t-trimpath=true\n").Replace(local)

// statedRecipe is what provenance says of the file with that information.
func statedRecipe(t testing.TB, change func(*recipe.Recipe), flags ...string) (*claim, recipe.Recipe) {
	t.Helper()
	c, reason := parseClaim(facts("go1.26.8", trimmed))
	if reason != nil {
		t.Fatal(reason)
	}
	r, err := c.recipe(recipe.Source{Commit: rev, Dir: ".", Tree: rev}, recipe.Toolchain{Version: c.goVersion}, linking{}, false)
	if err != nil {
		t.Fatal(err)
	}
	r.Argv = slices.Insert(r.Argv, 2, flags...)
	if change != nil {
		change(&r)
	}
	return c, r
}

func TestTake(t *testing.T) {
	for _, x := range []struct {
		flags []string
		want  linking
	}{
		{nil, linking{}},
		{[]string{"-ldflags=-s -w -buildid= -X 'main.v=a b'"}, linking{args: []string{"-s", "-w", "-buildid=", "-X", "main.v=a b"}, raw: "-s -w -buildid= -X 'main.v=a b'"}},
		{[]string{"-buildmode=exe", "-pgo=off"}, linking{mode: "exe"}},
		{[]string{"-ldflags=-X main.v=-o=/tmp/x"}, linking{args: []string{"-X", "main.v=-o=/tmp/x"}, raw: "-X main.v=-o=/tmp/x"}},
	} {
		c, r := statedRecipe(t, nil, x.flags...)
		got, err := c.checkStated(r)
		if err != nil || !slices.Equal(got.args, x.want.args) || got.raw != x.want.raw || got.mode != x.want.mode {
			t.Errorf("%q: %+v, %v; want %+v", x.flags, got, err, x.want)
		}
	}
	// What is seen to do harm, or contradicts the file.
	for _, flag := range []string{
		"-ldflags=-o=/tmp/x", "-ldflags=-extld=/tmp/x -linkmode=external", "-ldflags=-s -cpuprofile=/tmp/x", "-ldflags='-s", "-toolexec=/tmp/x", "-exec=/tmp/x",
		"-gcflags=-cpuprofile=/tmp/x", "-gcflags=all=-N", "-asmflags=-o=/tmp/x", "-overlay=/tmp/x", "-modfile=/tmp/x", "-modcacherw", "-mod=mod", "-o=/tmp/x", "-o", "-C=/tmp",
		"-pkgdir=/tmp/x", "-installsuffix=x", "-compiler=gccgo", "-race", "-buildmode=plugin", "-buildmode=c-shared", "-buildvcs=false", "-tags=other", "-n", "-a", "-x", "-work", "-cover",
		"-pgo=/tmp/x", "-trimpath=false", "-linkshared", "-gccgoflags=x", "-json", "-p=9999", "./other", "example.com/evil@v1.0.0", "--", "",
	} {
		c, r := statedRecipe(t, nil, flag)
		if got, err := c.checkStated(r); err == nil || len(got.args) > 0 || got.mode != "" {
			t.Errorf("%q: accepted as %+v", flag, got)
		}
	}
	for what, change := range map[string]func(*recipe.Recipe){
		"hooks":             func(r *recipe.Recipe) { r.Hooks = [][]string{{"sh", "-c", "evil"}} },
		"another target":    func(r *recipe.Recipe) { r.Target.Arch = "amd64" },
		"another toolchain": func(r *recipe.Recipe) { r.Toolchain.Version = "go1.26.7" },
		"a toolchain path":  func(r *recipe.Recipe) { r.Toolchain.Version = "../../evil" },
		"a C compiler":      func(r *recipe.Recipe) { r.Compiler = "gcc" },
		"another module":    func(r *recipe.Recipe) { r.Source = recipe.Source{Module: "example.com/evil", Version: "v1.0.0"} },
		"another commit":    func(r *recipe.Recipe) { r.Source.Commit = strings.Repeat("f", 40) },
		"another command":   func(r *recipe.Recipe) { r.Argv[1] = "run" },
		"another program":   func(r *recipe.Recipe) { r.Argv[0] = "/tmp/x" },
		"no package":        func(r *recipe.Recipe) { r.Argv = r.Argv[:2] },
		"another package":   func(r *recipe.Recipe) { r.Argv[len(r.Argv)-1] = "./cmd/evil" },
		"no -trimpath": func(r *recipe.Recipe) {
			r.Argv = slices.DeleteFunc(r.Argv, func(a string) bool { return a == "-trimpath" })
		},
	} {
		c, r := statedRecipe(t, change, "-ldflags=-s")
		if got, err := c.checkStated(r); err == nil || len(got.args) > 0 || errors.Is(err, errHooks) != (what == "hooks") {
			t.Errorf("%s: accepted as %+v, %v", what, got, err)
		}
	}
}

// FuzzTake: whatever a recipe says, nothing but flags on the list comes out of it.
func FuzzTake(f *testing.F) {
	for _, flags := range []string{"-ldflags=-s -w", "-ldflags=-o=x", "-toolexec=x\n-ldflags=-s", "-buildmode=exe", "-ldflags=-X main.v=1\n-ldflags=-extld=x"} {
		f.Add(flags, ".")
	}
	f.Fuzz(func(t *testing.T, flags, pkg string) {
		c, r := statedRecipe(t, nil, strings.Split(flags, "\n")...)
		r.Argv[len(r.Argv)-1] = pkg
		l, err := c.checkStated(r)
		if err != nil {
			return
		}
		if err := checkLinkerFlags(l.args); err != nil || l.mode != "" && l.mode != "exe" {
			t.Errorf("%+v: %v", l, err)
		}
		again, err := c.recipe(r.Source, r.Toolchain, l, false)
		if err != nil {
			return
		}
		for _, a := range again.Argv[:len(again.Argv)-1] {
			if !slices.Contains(allowed, a) && !strings.HasPrefix(a, "-ldflags=") && !slices.Contains(c.flags, a) && a != "-buildmode=exe" {
				t.Errorf("%q got through", a)
			}
		}
	})
}

// TestGuesses: of what is around a file, only versions of its module are tried, and
// few of them.
func TestGuesses(t *testing.T) {
	j := &job{Rebuilder: &Rebuilder{}, res: &verdict.Result{}, claim: &claim{vcs: &vcsStamp{revision: rev}}}
	j.claim.main.Path = "example.com/tool"
	hints := []Hint{
		{Version: "v1.2.3", From: "a"}, {Version: "v1.2.3", From: "again"}, {Version: "v2.0.0", From: "another major"}, {Version: "1.2.3"}, {Version: "latest"}, {Version: "v1.2"},
		{Version: "v1.2.3/../x"}, {Version: "--upload-pack=evil"}, {Version: "v1.2.3+meta"}, {Revision: "--evil"}, {Revision: rev}, {},
		{Version: "v1.2.4"}, {Version: "v1.2.5"}, {Version: "v1.2.6"}, {Version: "v1.2.7"},
	}
	list, err := j.guessedSources(t.Context(), hints)
	var got []string
	for _, ch := range list {
		got = append(got, ch.version)
	}
	if want := []string{"v1.2.3", "v1.2.4", "v1.2.5", "v1.2.6"}; err != nil || !slices.Equal(got, want) || list[0].guess != "a" {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if list, _ := j.guessedSources(t.Context(), append(slices.Repeat([]Hint{{Version: "no"}}, maxHints), hints...)); len(list) > 0 {
		t.Errorf("%d of too many", len(list))
	}
}

// TestDoubt: a guess is given up where the modules say that it is wrong, and
// nothing but a guess is.
func TestDoubt(t *testing.T) {
	a, b := recipe.Module{Path: "example.com/a", Version: "v1.0.0", Sum: sumA}, recipe.Module{Path: "example.com/b", Version: "v1.0.0", Sum: sumB}
	newer, forked := a, a
	newer.Version, forked.Replace = "v1.1.0", "example.com/fork@v1.0.0"
	for _, x := range []struct {
		what      string
		in, asked []recipe.Module
		wrong     bool
	}{
		{"the same", []recipe.Module{a, b}, []recipe.Module{a, b}, false},
		{"none", nil, nil, false},
		{"newer", []recipe.Module{a, b}, []recipe.Module{newer, b}, true},
		{"missing", []recipe.Module{a, b}, []recipe.Module{a}, true},
		{"more", []recipe.Module{a}, []recipe.Module{a, b}, true},
		{"replaced", []recipe.Module{a}, []recipe.Module{forked}, true},
	} {
		a := &attempt{job: &job{claim: &claim{deps: x.in}}, choice: sourceChoice{guess: "a name"}}
		err := a.checkGuess(&modules.MainPackage{Modules: x.asked})
		if guess := (*wrongGuess)(nil); errors.As(err, &guess) != x.wrong {
			t.Errorf("%s: %v", x.what, err)
		}
		a.choice.guess = ""
		if err := a.checkGuess(&modules.MainPackage{Modules: x.asked}); err != nil {
			t.Errorf("%s, no guess: %v", x.what, err)
		}
	}
}
