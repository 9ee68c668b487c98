package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// graphOf is the action graph of a go command that builds programs for linux/amd64.
func graphOf(programs ...string) string {
	list := []string{`{"ID": 0, "Mode": "build", "Package": "runtime", "ActionID": "r", "BuildID": "r/1", "Cmd": ["asm -D GOOS_linux -D GOARCH_amd64"]}`}
	for _, p := range programs {
		n := len(list)
		list = append(list,
			fmt.Sprintf(`{"ID": %d, "Mode": "build", "Package": %q, "Deps": [0], "ActionID": "m", "BuildID": "m/1", "Cmd": ["compile"]}`, n, p),
			fmt.Sprintf(`{"ID": %d, "Mode": "link", "Package": %q, "Deps": [%d, 0], "ActionID": "l", "BuildID": "l/m/1/p", "Cmd": ["link"]}`, n+1, p, n))
	}
	return "[" + strings.Join(list, ",\n") + "]"
}

// TestJudge: equal files are reproduced only if the action graphs of both passes are
// of what the recipes say, and different ones differ whatever the graphs are.
func TestJudge(t *testing.T) {
	both, x, y := graphOf("m/x", "m/y"), graphOf("m/x"), graphOf("m/y")
	replaced := func(graph, old, new string) string {
		if !strings.Contains(graph, old) {
			t.Fatalf("no %q in %s", old, graph)
		}
		return strings.ReplaceAll(graph, old, new)
	}
	cached := func(graph string) string { return replaced(graph, `"Cmd": ["compile"]`, `"Cmd": null`) }
	for name, c := range map[string]struct {
		a, b    []string
		differ  bool
		verdict compare.Verdict
		reason  string
	}{
		"as it is":             {[]string{both}, []string{x, y}, false, compare.Reproduced, ""},
		"as it is elsewhere":   {[]string{x, y}, []string{y, x}, false, compare.Reproduced, ""},
		"other bytes":          {[]string{both}, []string{x, y}, true, compare.Differs, "the bytes differ"},
		"other bytes, no work": {[]string{cached(both)}, []string{cached(x), cached(y)}, true, compare.Differs, "the bytes differ"},
		"no graph":             {nil, []string{x, y}, false, compare.Undetermined, "pass A: there is no action graph"},
		"no graph in B":        {[]string{both}, nil, false, compare.Undetermined, "pass B: there is no action graph"},
		"empty":                {[]string{"[]"}, []string{"[]", "[]"}, false, compare.Undetermined, "pass A: the action graph links no program"},
		"no list":              {[]string{"{}"}, []string{x, y}, false, compare.Undetermined, "action graph: "},
		"too many":             {[]string{x, y, both}, []string{x, y}, false, compare.Undetermined, "3 action graphs for 2 programs"},
		"B at once":            {[]string{both}, []string{both}, false, compare.Undetermined, "pass B: 1 action graphs for 2 binaries"},
		"another program":      {[]string{both}, []string{x, graphOf("m/z")}, false, compare.Undetermined, "pass B: the action graph links m/z"},
		"one is missing":       {[]string{x}, []string{x, y}, false, compare.Undetermined, "pass A: no action graph links m/y"},
		"no link":              {[]string{replaced(both, `"Mode": "link"`, `"Mode": "nop"`)}, []string{x, y}, false, compare.Undetermined, "links no program"},
		"another system":       {[]string{both}, []string{x, replaced(y, "GOOS_linux", "GOOS_plan9")}, false, compare.Undetermined, "is for plan9/amd64"},
		"another processor":    {[]string{replaced(both, "GOARCH_amd64", "GOARCH_arm64")}, []string{x, y}, false, compare.Undetermined, "is for linux/arm64"},
		"from a cache":         {[]string{both}, []string{cached(x), cached(y)}, false, compare.Undetermined, "2 of 3 packages were not compiled"},
		"both from a cache":    {[]string{cached(both)}, []string{cached(x), cached(y)}, false, compare.Undetermined, "2 of 3 packages were not compiled"},
		"failed":               {[]string{replaced(both, `"Mode": "link"`, `"Failed": true, "Mode": "link"`)}, []string{x, y}, false, compare.Undetermined, "failed"},
	} {
		run := &Run{local: &pass.Local{Store: artifact.NewStore(t.TempDir())}, work: &workspace.Workspace{Dir: t.TempDir()}}
		target := matrix.Target{OS: "linux", Arch: "amd64"}
		jobs := pair{a: &job{target: target, pass: pass.A}, b: &job{target: target, pass: pass.B}}
		for i, name := range []string{"x", "y"} {
			run.Plan.Recipes = append(run.Plan.Recipes, PlannedBinary{Build: matrix.Build{Binary: name, Target: target}, Recipe: recipe.Recipe{Binary: name}, ImportPath: "m/" + name})
			for _, j := range []*job{jobs.a, jobs.b} {
				text := "program " + name
				if c.differ && j == jobs.b {
					text = "another " + name
				}
				d, size, err := run.local.Store.Put(strings.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				j.recipes = append(j.recipes, i)
				j.result.Artifacts = append(j.result.Artifacts, artifact.Artifact{Name: name, Kind: artifact.Binary, Digest: d, Size: size, Executable: true})
			}
		}
		for _, g := range c.a {
			jobs.a.result.Graphs = append(jobs.a.result.Graphs, []byte(g))
		}
		for _, g := range c.b {
			jobs.b.result.Graphs = append(jobs.b.result.Graphs, []byte(g))
		}

		o := &Outcome{run: run}
		o.compareBinaries(t.Context(), jobs)
		for _, b := range o.Binaries {
			if b.Verdict != c.verdict || !strings.Contains(b.Reason, c.reason) || (b.Reason == "") != (c.reason == "") {
				t.Errorf("%s: %s: %q, want %s: %q", name, b.Verdict, b.Reason, c.verdict, c.reason)
			}
		}
		err := o.Err()
		if len(o.Binaries) != 2 || (err == nil) != (c.verdict == compare.Reproduced) || errors.Is(err, ErrDiffers) != (c.verdict == compare.Differs) {
			t.Errorf("%s: %d binaries, %v", name, len(o.Binaries), err)
		}
		if c.verdict == compare.Undetermined && !strings.Contains(err.Error(), "linux/amd64: ") {
			t.Errorf("%s: the run's error is %v", name, err)
		}
	}
}

// TestNotExplained: a difference that cannot be explained, since the stored bytes changed, leaves
// the other binaries of the target their verdicts.
func TestNotExplained(t *testing.T) {
	store := t.TempDir()
	run := &Run{local: &pass.Local{Store: artifact.NewStore(store)}, work: &workspace.Workspace{Dir: t.TempDir()}}
	target := matrix.Target{OS: "linux", Arch: "amd64"}
	put := func(name, text string) artifact.Artifact {
		d, size, err := run.local.Store.Put(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return artifact.Artifact{Name: name, Kind: artifact.Binary, Digest: d, Size: size, Executable: true}
	}
	jobs := pair{a: &job{target: target, pass: pass.A}, b: &job{target: target, pass: pass.B}}
	for i, name := range []string{"x", "y"} {
		run.Plan.Recipes = append(run.Plan.Recipes, PlannedBinary{Build: matrix.Build{Binary: name, Target: target}, Recipe: recipe.Recipe{Binary: name}, ImportPath: "m/" + name})
		for _, j := range []*job{jobs.a, jobs.b} {
			j.recipes = append(j.recipes, i)
			j.result.Graphs = append(j.result.Graphs, []byte(graphOf("m/"+name)))
		}
	}
	x := put("x", "another x")
	jobs.a.result.Artifacts = []artifact.Artifact{put("x", "program x"), put("y", "program y")}
	jobs.b.result.Artifacts = []artifact.Artifact{x, put("y", "program y")}
	if err := os.WriteFile(filepath.Join(store, x.Digest.Hex()), []byte("cut"), 0o644); err != nil {
		t.Fatal(err)
	}

	o := &Outcome{run: run}
	o.compareBinaries(t.Context(), jobs)
	if x, y := o.Binaries[0], o.Binaries[1]; x.Verdict != compare.Undetermined || x.Reason == "" || y.Verdict != compare.Reproduced || y.Reason != "" {
		t.Errorf("x: %s: %q, y: %s: %q", x.Verdict, x.Reason, y.Verdict, y.Reason)
	}
	if err := o.Err(); err == nil || !strings.HasPrefix(err.Error(), "linux/amd64: ") {
		t.Errorf("the run's error is %v", err)
	}
}
