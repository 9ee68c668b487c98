package lint

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/lintid"
)

// scene is an Input as a test writes it.
type scene struct {
	// release is what the release file has after a project, a binary of package
	// "." and a target; with "project" in it, it is the whole file.
	release string
	// files is a txtar archive of the tree; work has more files of the work
	// tree. A file beginning with "go.mod" is added where there is none.
	files, work string
	// in is the rest of the Input; scene.input gives default values to what it leaves empty.
	in Input
}

const (
	start = "project = \"p\"\n[[binary]]\npackage = \".\"\n[matrix]\ninclude = [\"linux/amd64\", \"darwin/arm64\"]\n"
	// cgoStart has the same with cgo, on lines 1 to 6.
	cgoStart = "project = \"p\"\n[[binary]]\npackage = \".\"\ncgo = true\n[matrix]\ninclude = [\"linux/amd64\", \"darwin/arm64\"]\n"
)

// input returns the Input that s describes: the release file, its expansion, the trees and s.in.
func (s scene) input(t testing.TB, silence ...lintid.ID) Input {
	t.Helper()
	text := s.release
	if !strings.Contains(text, "project") {
		text = start + text
	}
	if len(silence) > 0 {
		text += fmt.Sprintf("\n[check]\nsilence = [%q]\n", silence[0])
	}
	file, err := matrix.Parse("release.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	in := s.in
	in.File = file
	if in.Builds, err = file.Builds(nil, matrix.SampleVars("p")); err != nil {
		t.Fatal(err)
	}
	if in.Hooks, err = file.Hooks(matrix.SampleVars("p")); err != nil {
		t.Fatal(err)
	}
	in.ConfigDir = cmp.Or(in.ConfigDir, ".")
	in.ModuleDir = cmp.Or(in.ModuleDir, in.ConfigDir)
	in.Toolchain = cmp.Or(in.Toolchain, "go1.26.8")
	in.LockName = cmp.Or(in.LockName, "images.lock")

	tree := fstest.MapFS{}
	add(tree, s.files)
	if tree["go.mod"] == nil && in.ModuleDir == "." {
		add(tree, "-- go.mod --\nmodule example.com/p\n\ngo 1.26.8\n")
	}
	in.Tree = tree
	if s.work != "" {
		work := fstest.MapFS{}
		for name, f := range tree {
			work[name] = f
		}
		add(work, s.work)
		in.Work = work
	}
	return in
}

func add(tree fstest.MapFS, archive string) {
	for _, f := range txtar.Parse([]byte(archive)).Files {
		tree[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
}

// link adds a symbolic link to a tree.
func link(in Input, name, to string) {
	in.Tree.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink}
}

func run(t testing.TB, in Input) (found, silenced []string) {
	t.Helper()
	f, s, err := Run(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range f {
		found = append(found, finding.String())
	}
	for _, finding := range s {
		silenced = append(silenced, finding.String())
	}
	return found, silenced
}

// only keeps the findings of one lint.
func only(id lintid.ID, list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return !strings.HasSuffix(s, " ["+string(id)+"]") })
}

// Each case has exactly the findings of its lint that it lists, in part of
// their text; a good one has none. A finding of another lint is an error
// unless it is in also.
func TestLints(t *testing.T) {
	fired, quiet := map[lintid.ID]bool{}, map[lintid.ID]bool{}
	for _, tt := range cases {
		t.Run(string(tt.lint)+"/"+tt.name, func(t *testing.T) {
			found, silenced := run(t, tt.scene.input(t))
			if silenced != nil {
				t.Errorf("silenced: %q", silenced)
			}
			got := only(tt.lint, slices.Clone(found))
			for _, f := range found {
				if !slices.Contains(got, f) && !slices.ContainsFunc(tt.also, func(id string) bool { return strings.HasSuffix(f, " ["+id+"]") }) {
					t.Errorf("also found: %s", f)
				}
			}
			ok := len(got) == len(tt.want)
			for i := 0; ok && i < len(got); i++ {
				ok = strings.Contains(got[i], tt.want[i])
			}
			if !ok {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			// The same, silenced.
			found, silenced = run(t, tt.scene.input(t, tt.lint))
			if len(only(tt.lint, found)) > 0 || !slices.Equal(silenced, got) {
				t.Errorf("silenced: still found %q; silenced %q, want %q", found, silenced, got)
			}
		})
		if len(tt.want) > 0 {
			fired[tt.lint] = true
		} else {
			quiet[tt.lint] = true
		}
	}
	for _, l := range All() {
		if !fired[l.ID] || !quiet[l.ID] {
			t.Errorf("%s has a bad case: %v, a good case: %v", l.ID, fired[l.ID], quiet[l.ID])
		}
	}
}

// A lint that finds nothing is noticed by TestLints: this holds its own judgement
// of each bad case against a table without the lint.
func TestSeeded(t *testing.T) {
	whole := table
	defer func() { table = whole }()
	for i, l := range whole {
		table = slices.Delete(slices.Clone(whole), i, i+1)
		missed := false
		for _, tt := range cases {
			if tt.lint == l.ID && len(tt.want) > 0 {
				found, _ := run(t, tt.scene.input(t))
				missed = missed || len(only(l.ID, found)) != len(tt.want)
			}
		}
		if !missed {
			t.Errorf("nobody notices that %s is gone", l.ID)
		}
	}
}

func TestTable(t *testing.T) {
	var ids []lintid.ID
	for _, l := range All() {
		ids = append(ids, l.ID)
		if l.Severity < Note || l.Severity > Error || l.find == nil {
			t.Errorf("%s: severity %v", l.ID, l.Severity)
		}
		if _, err := l.Severity.MarshalText(); err != nil {
			t.Error(err)
		}
		for what, s := range map[string]string{"summary": l.Summary, "remedy": l.Remedy} {
			if s == "" || strings.HasSuffix(s, ".") || strings.Contains(s, "\n") {
				t.Errorf("%s: %s %q", l.ID, what, s)
			}
		}
		if len(l.Why) < 100 || !strings.HasSuffix(l.Why, ".") {
			t.Errorf("%s: why: %q", l.ID, l.Why)
		}
		if got, ok := ByID(l.ID); !ok || got.Summary != l.Summary {
			t.Errorf("ByID(%s) = %v", l.ID, got)
		}
	}
	if !slices.Equal(ids, lintid.All[:]) {
		t.Errorf("lints here\n%q\nin lintid\n%q", ids, lintid.All)
	}
	if _, ok := ByID("nonsense"); ok {
		t.Error("there is a lint called nonsense")
	}
	if _, err := Severity(0).MarshalText(); err == nil {
		t.Error("the zero severity has a name")
	}
}

// Nothing is found where nothing is known, and no finding is worse than its lint.
func TestLittleIsKnown(t *testing.T) {
	file, err := matrix.Parse("release.toml", []byte(start))
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := run(t, Input{File: file}); found != nil {
		t.Errorf("found %q", found)
	}
	found, _ := run(t, Input{File: file, Repository: &Repository{Shallow: true}})
	if len(found) != 1 || !strings.Contains(found[0], "[shallow-clone]") {
		t.Errorf("shallow: found %q", found)
	}
	for _, tt := range cases {
		list, _, err := Run(tt.scene.input(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if l, _ := ByID(f.ID); f.Severity > l.Severity || f.Remedy == "" || f.Message == "" || f.Key != "" && f.Line < 1 {
				t.Errorf("%s/%s: %+v", tt.lint, tt.name, f)
			}
		}
	}
}

// Names are a stranger's, and a tree may have links that lead anywhere.
func TestHostile(t *testing.T) {
	in := scene{files: "-- main.go --\npackage main\n", in: Input{Repository: &Repository{Untracked: []string{"a\x1b[2J\nb", "\xff"}, Tag: "v1.0.0"}}}.input(t)
	link(in, "go.sum", "../../../../etc/passwd")
	link(in, "other.go", "nowhere.go")
	found, _ := run(t, in)
	if len(found) != 1 || !strings.Contains(found[0], `a\x1b[2J\nb, \ufffd`) && !strings.Contains(found[0], `a\x1b[2J\nb, �`) {
		t.Errorf("found %q", found)
	}
	bad := scene{files: "-- go.mod --\nmodule (\n"}.input(t)
	if _, _, err := Run(bad); err == nil || !strings.Contains(err.Error(), "go.mod:1") {
		t.Errorf("a go.mod that is none: %v", err)
	}
}

func TestShown(t *testing.T) {
	for _, tt := range []struct{ dir, name, want string }{
		{".", "a/b.go", "a/b.go"},
		{"a", "a/b.go", "b.go"},
		{"a", "b.go", "../b.go"},
		{"a/c", "a/b.go", "../b.go"},
		{"a/c", "b.go", "../../b.go"},
		{"a", "ab/c.go", "../ab/c.go"},
	} {
		if got := (&facts{Input: Input{ConfigDir: tt.dir}}).displayPath(tt.name); got != tt.want {
			t.Errorf("%s from %s: %s, want %s", tt.name, tt.dir, got, tt.want)
		}
	}
}

func mapFS(files map[string]string) fs.FS {
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return tree
}
