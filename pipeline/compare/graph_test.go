package compare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// graph makes a graph from lines "package actionID/contentID import...", in any
// order. A line that begins with "cached" was not compiled, one that begins with
// "failed" did not end.
func graph(lines ...string) Graph {
	var g Graph
	ids := map[string]int{}
	g.Actions = append(g.Actions, Action{ID: 0, Mode: "link", ActionID: "L", BuildID: "L/x/y/z", Cmd: true})
	for _, l := range lines {
		f := strings.Fields(l)
		a := Action{ID: len(g.Actions), Mode: "build", Cmd: true}
		switch f[0] {
		case "cached":
			a.Cmd, f = false, f[1:]
		case "failed":
			a.Failed, f = true, f[1:]
		}
		a.Package, a.BuildID = f[0], f[1]
		a.ActionID, _, _ = strings.Cut(f[1], "/")
		if a.Failed {
			a.BuildID = ""
		}
		ids[a.Package] = a.ID
		g.Actions[0].Deps = append(g.Actions[0].Deps, a.ID)
		g.Actions = append(g.Actions, a)
	}
	for i, l := range lines {
		for _, dep := range strings.Fields(l)[1:] {
			if id, ok := ids[dep]; ok && id != i+1 {
				g.Actions[i+1].Deps = append(g.Actions[i+1].Deps, id)
			}
		}
		// As in a real graph, something that looks like a compilation of the
		// same package comes before each.
		g.Actions = append(g.Actions, Action{ID: len(g.Actions), Mode: "build check cache", Package: g.Actions[i+1].Package})
		g.Actions[i+1].Deps = append(g.Actions[i+1].Deps, len(g.Actions)-1)
	}
	return g
}

func TestGraphs(t *testing.T) {
	base := []string{"main m/1 fmt lib", "lib l/1 fmt", "fmt f/1 runtime", "runtime r/1"}
	with := func(replace ...string) Graph {
		lines := slices.Clone(base)
		for _, r := range replace {
			f := strings.Fields(r)
			name := f[0]
			if name == "cached" || name == "failed" {
				name = f[1]
			}
			i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+" ") })
			if i < 0 {
				lines = append(lines, r)
			} else {
				lines[i] = r
			}
		}
		return graph(lines...)
	}
	list := func(names ...string) []string { return names }
	tests := []struct {
		name string
		a, b []Graph
		want GraphResult
	}{
		{"nothing", nil, nil, GraphResult{}},
		{"equal", []Graph{with()}, []Graph{with()}, GraphResult{Packages: 4, Reproduced: 4}},
		{"no pass B", []Graph{with()}, nil, GraphResult{Packages: 4, OnlyA: list("runtime", "fmt", "lib", "main"), Culprits: list("runtime")}},
		{"no pass A", nil, []Graph{with()}, GraphResult{Packages: 4, OnlyB: list("runtime", "fmt", "lib", "main"), Culprits: list("runtime")}},
		{"source of the program", []Graph{with()}, []Graph{with("main n/1 fmt lib")},
			GraphResult{Packages: 4, Reproduced: 3, InputsDiffer: list("main"), Culprits: list("main")}},
		{"compiler", []Graph{with()}, []Graph{with("lib l/2 fmt")},
			GraphResult{Packages: 4, Reproduced: 3, ContentDiffers: list("lib"), Culprits: list("lib")}},
		{"compiler and what follows", []Graph{with()}, []Graph{with("fmt f/2 runtime", "lib k/1 fmt", "main n/1 fmt lib")},
			GraphResult{Packages: 4, Reproduced: 1, ContentDiffers: list("fmt"), InputsDiffer: list("lib", "main"), Culprits: list("fmt")}},
		{"several results differ", []Graph{with()}, []Graph{with("main m/2 fmt lib", "runtime r/2", "lib l/2 fmt")},
			GraphResult{Packages: 4, Reproduced: 1, ContentDiffers: list("runtime", "lib", "main"), Culprits: list("runtime", "lib")}},
		{"one more import", []Graph{with()}, []Graph{with("extra x/1 runtime", "main n/1 fmt lib extra")},
			GraphResult{Packages: 5, Reproduced: 3, OnlyB: list("extra"), InputsDiffer: list("main"), Culprits: list("extra")}},
		{"one import less", []Graph{with("extra x/1 runtime", "main n/1 fmt lib extra")}, []Graph{with()},
			GraphResult{Packages: 5, Reproduced: 3, OnlyA: list("extra"), InputsDiffer: list("main"), Culprits: list("extra")}},
		{"second program of the pass", []Graph{with(), graph("cached runtime r/1", "cached fmt f/1 runtime", "other o/1 fmt")}, []Graph{graph("runtime r/1", "fmt f/1 runtime", "other o/1 fmt"), with("cached runtime r/1", "cached fmt f/1 runtime")},
			GraphResult{Packages: 5, Reproduced: 5}},
		{"graphs in another order", []Graph{graph("cached runtime r/1"), with()}, []Graph{with(), graph("cached runtime r/1")},
			GraphResult{Packages: 4, Reproduced: 4}},
		{"other tags for the second program", []Graph{with(), graph("cached runtime r/1", "lib l2/1 runtime")}, []Graph{with(), graph("cached runtime r/1", "lib l2/1 runtime")},
			GraphResult{Packages: 5, Reproduced: 5}},
		{"and only there", []Graph{with(), graph("lib l2/1")}, []Graph{with()},
			GraphResult{Packages: 5, Reproduced: 4, InputsDiffer: list("lib"), Culprits: list("lib")}},
		{"and only there, in B", []Graph{with()}, []Graph{with(), graph("lib l2/1")},
			GraphResult{Packages: 5, Reproduced: 4, InputsDiffer: list("lib"), Culprits: list("lib")}},
		{"compiled twice in one pass, with two results", []Graph{with(), graph("lib l/2")}, []Graph{with()},
			GraphResult{Packages: 4, Reproduced: 3, ContentDiffers: list("lib"), Culprits: list("lib")}},
		{"the same in both passes", []Graph{with(), graph("lib l/2")}, []Graph{with(), graph("lib l/2")},
			GraphResult{Packages: 4, Reproduced: 3, ContentDiffers: list("lib"), Culprits: list("lib")}},
		{"cached in B", []Graph{with()}, []Graph{with("cached fmt f/1 runtime")},
			GraphResult{Packages: 4, Reproduced: 3, NotCompiled: list("fmt")}},
		{"cached in A", []Graph{with("cached fmt f/1 runtime")}, []Graph{with()},
			GraphResult{Packages: 4, Reproduced: 3, NotCompiled: list("fmt")}},
		{"failed", []Graph{with("failed main m/1 fmt lib")}, []Graph{with("failed main m/1 fmt lib")},
			GraphResult{Packages: 4, Reproduced: 3, NotCompiled: list("main")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 5 { // maps have another order each time
				if got := Graphs(tt.a, tt.b); !reflect.DeepEqual(got, tt.want) {
					t.Fatalf("got %+v\nwant %+v", got, tt.want)
				}
			}
		})
	}
}

// TestGraphsOfHands calls with graphs that ParseGraph would not let through.
func TestGraphsOfHands(t *testing.T) {
	cycle := Graph{Actions: []Action{
		{ID: 0, Mode: "build", Package: "a", Deps: []int{1, 7, -1}, ActionID: "a", BuildID: "a/1", Cmd: true},
		{ID: 1, Mode: "build", Package: "b", Deps: []int{0, 1}, ActionID: "b", BuildID: "b/1", Cmd: true},
	}}
	if r := Graphs([]Graph{cycle}, []Graph{cycle}); r.Packages != 2 || r.Reproduced != 2 {
		t.Errorf("%+v", r)
	}
	deep := Graph{}
	for i := range maxActions {
		deep.Actions = append(deep.Actions, Action{ID: i, Mode: "build", Package: fmt.Sprint(i), Deps: []int{min(i+1, maxActions-1)}, ActionID: "a", BuildID: "a/1", Cmd: true})
	}
	if r := Graphs([]Graph{deep}, []Graph{deep}); r.Reproduced != maxActions {
		t.Errorf("%d of %d", r.Reproduced, r.Packages)
	}
}

func TestParseGraph(t *testing.T) {
	const good = `[
	{"ID": 0, "Mode": "link", "Package": "x", "Deps": [1], "ActionID": "L", "BuildID": "L/m/c/d", "Cmd": ["link -o x"]},
	{"ID": 1, "Mode": "build", "Package": "x", "NeedBuild": true, "ActionID": "m", "BuildID": "m/c", "TimeStart": "2026-01-02T03:04:05.5Z", "TimeDone": "2026-01-02T03:04:07Z", "Cmd": ["compile", "asm"], "CmdReal": 1500000000, "CmdUser": 2, "CmdSys": 3, "New": {"in": "Go 1.99"}},
	{"ID": 2, "Mode": "nop", "Package": "", "Cmd": null}
]
`
	g, err := ParseGraph(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	a := g.Actions[1]
	if len(g.Actions) != 3 || a.Package != "x" || !a.Cmd || g.Actions[2].Cmd || a.ActionID != "m" || a.BuildID != "m/c" {
		t.Errorf("%+v", g)
	}

	bad := map[string]string{
		"empty":                  "",
		"null":                   "null",
		"object":                 "{}",
		"not closed":             good[:len(good)-3],
		"something behind":       good + "[]",
		"text behind":            good + "x",
		"ID":                     `[{"ID": 1}]`,
		"ID twice":               `[{"ID": 0}, {"ID": 0}]`,
		"no such dependency":     `[{"ID": 0, "Deps": [1]}]`,
		"negative dependency":    `[{"ID": 0, "Deps": [-1]}]`,
		"text as ID":             `[{"ID": "0"}]`,
		"number as command":      `[{"ID": 0, "Cmd": [1]}]`,
		"text as command":        `[{"ID": 0, "Cmd": "go"}]`,
		"build ID of another":    `[{"ID": 0, "Mode": "build", "ActionID": "a", "BuildID": "b/c"}]`,
		"build ID without hash":  `[{"ID": 0, "Mode": "build", "ActionID": "a", "BuildID": "a/"}]`,
		"build ID, one part":     `[{"ID": 0, "Mode": "build", "ActionID": "a", "BuildID": "a"}]`,
		"build ID, three parts":  `[{"ID": 0, "Mode": "build", "ActionID": "a", "BuildID": "a/b/c"}]`,
		"build ID, no action ID": `[{"ID": 0, "Mode": "build", "BuildID": "/c"}]`,
		"list in list":           `[[]]`,
	}
	for name, text := range bad {
		if g, err := ParseGraph(strings.NewReader(text)); err == nil || g.Actions != nil {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}

	if testing.Short() {
		return // what follows reads much
	}
	// Without end: in an action, between them, and in nesting.
	for _, in := range []*endless{{head: `[{"ID":0,"Package":"`, body: "a"}, {head: "[", body: " "}, {head: "", body: "["}} {
		if _, err := ParseGraph(in); err == nil {
			t.Errorf("%q without end is accepted", in.head+in.body)
		}
	}
	many := &strings.Builder{}
	for i := range maxActions + 1 {
		fmt.Fprintf(many, ",{\"ID\":%d}", i)
	}
	if _, err := ParseGraph(strings.NewReader("[" + many.String()[1:] + "]")); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too many actions: %v", err)
	}
}

type endless struct {
	head, body string
}

func (e *endless) Read(p []byte) (int, error) {
	if n := copy(p, e.head); n > 0 {
		e.head = e.head[n:]
		return n, nil
	}
	for i := range p {
		p[i] = e.body[0]
	}
	return len(p), nil
}

// TestRealGraphs compiles a program, the runtime included, in two directories
// with caches of their own, as two passes do.
func TestRealGraphs(t *testing.T) {
	root := t.TempDir()
	run := func(pass, args string, env ...string) Graph {
		t.Helper()
		dir := filepath.Join(root, pass, "src")
		if _, err := os.Stat(dir); err != nil {
			writeProgram(t, dir)
		}
		file := filepath.Join(root, pass, "graph.json")
		goBuild(t, dir, env, append(strings.Fields(args), "-debug-actiongraph="+file)...)
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		g, err := ParseGraph(f)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	cacheA, cacheB := "GOCACHE="+filepath.Join(root, "cacheA"), "GOCACHE="+filepath.Join(root, "cacheB")
	a := []Graph{run("a", "-trimpath", cacheA), run("a", "-trimpath -ldflags=-s", cacheA)}
	b := []Graph{run("b", "-trimpath", cacheB)}
	r := Graphs(a, b)
	programs := Programs{ImportPaths: []string{"example.test/tiny"}, OS: runtime.GOOS, Arch: runtime.GOARCH}
	if err := cmp.Or(programs.Fit(b), r.Err()); err != nil {
		t.Errorf("with -trimpath: %v", err)
	}
	programs.Arch = "other"
	if err := programs.Fit(b); err == nil {
		t.Error("for another platform: fits")
	}
	if r.Packages < 20 || !reflect.DeepEqual(r, GraphResult{Packages: r.Packages, Reproduced: r.Packages}) {
		t.Errorf("with -trimpath: %+v", r)
	}

	// A pass that found everything in a cache has reproduced nothing.
	again := Graphs(a, []Graph{run("b", "-trimpath", cacheB)})
	if again.Packages != r.Packages || again.Reproduced != 0 || len(again.NotCompiled) != r.Packages {
		t.Errorf("from the cache: %+v", again)
	}

	// Without -trimpath. The runtime has one path for both, and may come from
	// the cache that the tests share; what has a path of its own does not.
	r = Graphs([]Graph{run("a", "")}, []Graph{run("b", "")})
	want := []string{"example.test/tiny/lib", "example.test/tiny"}
	if !slices.Equal(r.InputsDiffer, want) || !slices.Equal(r.Culprits, want[:1]) || r.ContentDiffers != nil || r.OnlyA != nil || r.OnlyB != nil {
		t.Errorf("without -trimpath: %+v", r)
	}
	if r.Reproduced+len(r.NotCompiled)+len(want) != r.Packages {
		t.Errorf("without -trimpath: %d reproduced, %d cached, of %d", r.Reproduced, len(r.NotCompiled), r.Packages)
	}

	// The seeded fault: one package of B came out differently.
	g := Graph{slices.Clone(b[0].Actions)}
	i := slices.IndexFunc(g.Actions, func(a Action) bool { return a.Mode == "build" && a.Package == "internal/abi" })
	g.Actions[i].BuildID = g.Actions[i].ActionID + "/another"
	r = Graphs(a, []Graph{g})
	if !slices.Equal(r.ContentDiffers, []string{"internal/abi"}) || !slices.Equal(r.Culprits, r.ContentDiffers) || r.Reproduced != r.Packages-1 {
		t.Errorf("seeded fault: %+v", r)
	}
}

// FuzzParseGraph: what is accepted compares as equal to itself, and counts.
func FuzzParseGraph(f *testing.F) {
	for _, g := range []Graph{{}, graph("main m/1 lib", "lib l/1"), graph("failed main m/1 lib", "cached lib l/1")} {
		type raw Action // Cmd is written as a list
		list := []any{}
		for _, a := range g.Actions {
			var cmd []string
			if a.Cmd {
				cmd = []string{"compile"}
			}
			list = append(list, struct {
				raw
				Cmd []string
			}{raw(a), cmd})
		}
		data, err := json.Marshal(list)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := ParseGraph(bytes.NewReader(data)); err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`[{"ID":0,"Mode":"build","Deps":[1]},{"ID":1,"Mode":"build","Deps":[0]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := ParseGraph(bytes.NewReader(data))
		if err != nil {
			return
		}
		order := dependencyOrder(g)
		if slices.Sort(order); len(order) != len(g.Actions) || len(slices.Compact(order)) != len(g.Actions) {
			t.Errorf("order %v of %d actions", order, len(g.Actions))
		}
		r := Graphs([]Graph{g}, []Graph{g})
		if r.InputsDiffer != nil || r.OnlyA != nil || r.OnlyB != nil {
			t.Errorf("a graph differs from itself: %+v", r)
		}
		if r.Reproduced > r.Packages || r.Packages > len(g.Actions) || r.Packages == r.Reproduced && (r.ContentDiffers != nil || r.NotCompiled != nil) {
			t.Errorf("%+v", r)
		}
		if empty := Graphs([]Graph{g}, nil); empty.Reproduced != 0 || empty.Packages != r.Packages {
			t.Errorf("against nothing: %+v", empty)
		}
	})
}
