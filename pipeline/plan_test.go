package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/source"
)

// fakeSource is a source that says what a test wants.
type fakeSource struct {
	tag, version string
	dirty        bool
}

func (s fakeSource) Identity() recipe.Source {
	return recipe.Source{Commit: strings.Repeat("6", 40), Tree: strings.Repeat("7", 40), Dir: "."}
}
func (s fakeSource) Version() string { return s.version }
func (s fakeSource) Tag() string     { return s.tag }
func (s fakeSource) Time() time.Time { return time.Unix(1e9, 0).UTC() }
func (s fakeSource) Dirty() bool     { return s.dirty }
func (s fakeSource) Checkout(context.Context, string, source.Order) error {
	return errors.New("a plan needs no checkout")
}

// planFile is a release file for two binaries and three targets, of which one has an image.
const planFile = `project = "p"
[[binary]]
package = "./cmd/p"
[[binary]]
package = "./cmd/q"
[matrix]
include = ["linux/amd64", "linux/arm64", "windows/amd64"]
[[image]]
repository = "registry.example/p"
tags = ["{{.Version}}"]
platforms = ["linux/amd64"]
binaries = ["p"]
`

// planTree holds the folders of the binaries, and files beside them.
var planTree = fstest.MapFS{
	"cmd/p/main.go": {}, "cmd/q/main.go": {}, "LICENSE": {}, "doc/a.md": {}, "doc/b.md": {}, "p.conf": {},
}

// sourceTree is a release file in a source.
func sourceTree(t *testing.T, text string, src fakeSource) SourceTree {
	t.Helper()
	file, err := parseReleaseFile("sub/release.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return SourceTree{Source: src, Release: file}
}

// TestVersion: a release needs a commit with a tag or a version in the release file, which
// agree; all else is a snapshot, which has to be asked for.
func TestVersion(t *testing.T) {
	tagged := fakeSource{tag: "v1.2.3", version: "1.2.3"}
	untagged := fakeSource{version: "0.0.0-20010909014640-666666666666"}
	const fixed = "version = \"1.2.3\"\n"
	for name, c := range map[string]struct {
		text     string
		source   fakeSource
		req      Request
		version  string
		snapshot bool
		err      string
	}{
		"tagged":                     {"", tagged, Request{}, "1.2.3", false, ""},
		"tagged, tried":              {"", tagged, Request{Unreleased: true}, "1.2.3", false, ""},
		"tagged, snapshot":           {"", tagged, Request{Snapshot: true}, "1.2.3", true, ""},
		"not tagged":                 {"", untagged, Request{}, "", false, "HEAD has no version tag"},
		"not tagged, tried":          {"", untagged, Request{Unreleased: true}, untagged.version, true, ""},
		"not tagged, snapshot":       {"", untagged, Request{Snapshot: true}, untagged.version, true, ""},
		"module":                     {"", fakeSource{version: "1.2.3"}, Request{Module: "example.com/p@v1.2.3"}, "1.2.3", false, ""},
		"fixed":                      {fixed, untagged, Request{}, "1.2.3", false, ""},
		"fixed, with changes":        {fixed, fakeSource{dirty: true}, Request{Unreleased: true}, "1.2.3", true, ""},
		"fixed, tagged":              {fixed, tagged, Request{}, "1.2.3", false, ""},
		"fixed, tagged in a folder":  {fixed, fakeSource{tag: "sub/v1.2.3"}, Request{}, "1.2.3", false, ""},
		"fixed, tagged as another":   {fixed, fakeSource{tag: "v1.2.4"}, Request{}, "", false, "release.toml says 1.2.3, but HEAD is tagged v1.2.4"},
		"fixed, another, snapshot":   {fixed, fakeSource{tag: "v1.2.4"}, Request{Snapshot: true}, "", false, "HEAD is tagged v1.2.4"},
		"fixed, tagged, as snapshot": {fixed, tagged, Request{Snapshot: true}, "1.2.3", true, ""},
	} {
		sel, err := selectBuilds(c.req, sourceTree(t, c.text+planFile, c.source), nil, planTree)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || fault.KindOf(err) != fault.KindUsage {
				t.Errorf("%s: %v, want %s", name, err, c.err)
			}
			continue
		}
		if err != nil || sel.Vars.Version != c.version || sel.IsSnapshot != c.snapshot || sel.Vars.Snapshot != c.snapshot {
			t.Errorf("%s: version %s, snapshot %t, %v; want %s, %t", name, sel.Vars.Version, sel.IsSnapshot, err, c.version, c.snapshot)
		}
	}
}

// TestUncommitted: a release file that is not in the commit makes a snapshot, with a warning.
func TestUncommitted(t *testing.T) {
	s := sourceTree(t, planFile, fakeSource{tag: "v1.2.3", version: "1.2.3"})
	s.Release.Uncommitted = "release.toml is not in the commit"
	sel, err := selectBuilds(Request{Unreleased: true}, s, nil, planTree)
	if err != nil || !sel.IsSnapshot {
		t.Errorf("snapshot %t, %v", sel.IsSnapshot, err)
	}
	want := []string{
		"uncommitted changes are built here, and a release refuses them: x, y",
		"untracked files are left out here, and a release refuses them: z",
		"release.toml is not in the commit, and a release refuses that",
	}
	if got := changeWarnings([]string{"x", "y"}, []string{"z"}, s.Release.Uncommitted); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestChosenTargets: globs choose targets, each has to match, and a release of a part
// takes a flag of its own. An image stays if one of its platforms does.
func TestChosenTargets(t *testing.T) {
	s := sourceTree(t, planFile, fakeSource{tag: "v1.2.3", version: "1.2.3"})
	for name, c := range map[string]struct {
		req            Request
		builds, images int
		leftOut        string
		err            string
	}{
		"all":              {Request{}, 6, 1, "", ""},
		"all by a glob":    {Request{Targets: []string{"*/*"}}, 6, 1, "", ""},
		"part":             {Request{Targets: []string{"linux/*"}}, 4, 1, "", "leaves out 1 of 3 targets, such as windows/amd64"},
		"part, partial":    {Request{Targets: []string{"linux/*"}, Partial: true}, 4, 1, "windows/amd64", ""},
		"part, tried":      {Request{Targets: []string{"linux/arm64"}, Unreleased: true}, 2, 0, "linux/amd64 windows/amd64", ""},
		"part, snapshot":   {Request{Targets: []string{"windows/*", "linux/arm64"}, Snapshot: true}, 4, 0, "linux/amd64", ""},
		"none":             {Request{Targets: []string{"plan9/*"}, Unreleased: true}, 0, 0, "", "--target plan9/*: matches no target"},
		"one matches none": {Request{Targets: []string{"linux/*", "plan9/*"}, Unreleased: true}, 0, 0, "", "--target plan9/*: matches no target"},
		"not a glob":       {Request{Targets: []string{"linux/["}, Unreleased: true}, 0, 0, "", "--target linux/["},
	} {
		sel, err := selectBuilds(c.req, s, nil, planTree)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || fault.KindOf(err) != fault.KindUsage {
				t.Errorf("%s: %v, want %s", name, err, c.err)
			}
			continue
		}
		var left []string
		for _, target := range sel.LeftOut {
			left = append(left, target.String())
		}
		if err != nil || len(sel.Builds) != c.builds || len(sel.Images) != c.images || strings.Join(left, " ") != c.leftOut {
			t.Errorf("%s: %d builds, %d images, left out %q, %v", name, len(sel.Builds), len(sel.Images), left, err)
		}
	}
}

// TestNoFolder: a binary without a folder in the source is refused before anything is built.
func TestNoFolder(t *testing.T) {
	s := sourceTree(t, planFile, fakeSource{tag: "v1.2.3", version: "1.2.3"})
	_, err := selectBuilds(Request{}, s, nil, fstest.MapFS{"cmd/p/main.go": {}, "cmd/q": {}})
	if err == nil || !strings.Contains(err.Error(), `sub/release.toml: binary "q": there is no folder ./cmd/q in`) {
		t.Error(err)
	}
}

// TestPackaging: a target has one archive; a file that the release file names is there, or
// it is an error; what images hold needs no archive to hold it.
func TestPackaging(t *testing.T) {
	src := fakeSource{tag: "v1.2.3", version: "1.2.3"}
	const imageFile = "[[image.file]]\nsource = \"p.conf\"\npath = \"/etc/p.conf\"\n"
	for name, c := range map[string]struct {
		text  string
		globs []string // the last ones
		err   string
	}{
		"default":            {"", []string{"README*", "readme*"}, ""},
		"named":              {"[archive]\nfiles = [\"LICENSE\", \"doc/*.md\"]\n", []string{"LICENSE", "doc/*.md"}, ""},
		"named, not there":   {"[archive]\nfiles = [\"CHANGES\"]\n", nil, "sub/release.toml: archive.files: CHANGES: matches no file"},
		"of an image alone":  {imageFile + "[archive]\nformat = \"none\"\nformats = { windows = \"none\" }\nname = \"{{.Binary}}-{{.Target.OS}}-{{.Target.Arch}}\"\n", []string{"p.conf"}, ""},
		"image, not there":   {strings.ReplaceAll(imageFile, "p.conf\"\np", "q.conf\"\np"), nil, "there is no file q.conf"},
		"image, a folder":    {strings.ReplaceAll(imageFile, "p.conf\"\np", "doc\"\np"), nil, "there is no file doc"},
		"image and archives": {imageFile + "[archive]\nfiles = [\"p.conf\"]\n", []string{"p.conf"}, ""},
	} {
		s := sourceTree(t, planFile+c.text, src)
		sel, err := selectBuilds(Request{}, s, nil, planTree)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := packagingOf(s.Release, sel, planTree)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || fault.KindOf(err) != fault.KindUsage {
				t.Errorf("%s: %v, want %s", name, err, c.err)
			}
			continue
		}
		if err != nil || len(p.Archives) != 3 || len(p.Globs) < len(c.globs) || !slices.Equal(p.Globs[len(p.Globs)-len(c.globs):], c.globs) {
			t.Errorf("%s: %d archives, %q, %v", name, len(p.Archives), p.Globs, err)
		}
	}
	if got := literalGlob(`a*b?[c]\d`); got != `a\*b\?\[c]\\d` {
		t.Error(got)
	}
}

// TestRecipes: a recipe names the sum of a toolchain only if it is unpublished, and a C
// compiler only if there is work for it.
func TestRecipes(t *testing.T) {
	s := sourceTree(t, strings.Replace(planFile, "[matrix]", "[build]\ncgo = true\n[matrix]", 1), fakeSource{tag: "v1.2.3", version: "1.2.3"})
	sel, err := selectBuilds(Request{Targets: []string{"linux/amd64"}, Partial: true}, s, nil, planTree)
	if err != nil {
		t.Fatal(err)
	}
	mains := []*modules.MainPackage{{}, {Cgo: []string{"net"}}}
	mains[0].ImportPath, mains[1].ImportPath = "m/p", "m/q"
	in := Inputs{SourceTree: s, Modules: &modules.Cache{}, Time: time.Unix(1e9, 0)}
	in.Toolchain.Version, in.Toolchain.Sum = "go1.26.8", "h1:sum"
	compiler := func(b matrix.Build) (string, error) { return "cc of " + b.Binary, nil }

	for _, published := range []bool{true, false} {
		in.Toolchain.Published = published
		recipes, err := recipesOf(in, sel, mains, compiler)
		if err != nil || len(recipes) != 2 {
			t.Fatalf("%d recipes, %v", len(recipes), err)
		}
		for i, r := range recipes {
			wantCompiler := []string{"", "cc of q"}[i]
			if r.Recipe.Compiler != wantCompiler || (r.Recipe.Toolchain.Sum == "") != published || r.ImportPath != mains[i].ImportPath || r.Digest == "" {
				t.Errorf("published %t: %+v", published, r)
			}
		}
	}

	failed := errors.New("no compiler")
	if _, err := recipesOf(in, sel, mains, func(matrix.Build) (string, error) { return "", failed }); !errors.Is(err, failed) || !strings.HasPrefix(err.Error(), "linux/amd64: q: ") {
		t.Error(err)
	}
}

// TestGoVersion: the version of Go is the release file's, where it names one.
func TestGoVersion(t *testing.T) {
	s := sourceTree(t, planFile+"[toolchain]\nversion = \"go1.26.8\"\n", fakeSource{})
	if v, err := s.goVersion(); err != nil || v != "go1.26.8" {
		t.Error(v, err)
	}
	s.Tree = t.TempDir()
	s.Release.Toolchain.Version = "go.mod"
	if _, err := s.goVersion(); err == nil {
		t.Error("there is no go.mod")
	}
}
