package compare

import (
	"slices"
	"strings"
	"testing"
)

// linked is a graph of go build for programs, each of which has a package lib and the
// runtime.
func linked(platform string, programs ...string) Graph {
	g := Graph{Actions: []Action{{Mode: "go build"}}}
	add := func(a Action) int {
		a.ID = len(g.Actions)
		g.Actions = append(g.Actions, a)
		return a.ID
	}
	runtime := add(Action{Mode: "build", Package: "runtime", ActionID: "r", BuildID: "r/1", Cmd: true, Platforms: []string{platform}})
	for _, p := range programs {
		main := add(Action{Mode: "build", Package: p, ActionID: p, BuildID: p + "/1", Cmd: true, Deps: []int{runtime}})
		link := add(Action{Mode: "link", Package: p, ActionID: "L", BuildID: "L/x/y/z", Cmd: true, Deps: []int{main, runtime}})
		add(Action{Mode: "link-install", Package: p, Deps: []int{link}})
	}
	return g
}

// TestFit: each graph that is not of what the recipes ask for is told apart, by what
// is wrong with it.
func TestFit(t *testing.T) {
	const platform = "linux/amd64"
	spoilt := func(change func(*Action) bool) []Graph {
		g := linked(platform, "m/a", "m/b")
		i := slices.IndexFunc(g.Actions, func(a Action) bool { return change(&a) })
		change(&g.Actions[i])
		return []Graph{g}
	}
	is := func(a *Action, mode, pkg string) bool { return a.Mode == mode && a.Package == pkg }
	for name, c := range map[string]struct {
		graphs []Graph
		want   string
	}{
		"both at once":      {[]Graph{linked(platform, "m/a", "m/b")}, ""},
		"each by itself":    {[]Graph{linked(platform, "m/b"), linked(platform, "m/a")}, ""},
		"none":              {nil, "no action graph"},
		"empty":             {[]Graph{{}}, "links no program"},
		"one empty":         {[]Graph{linked(platform, "m/a", "m/b"), {}}, "links no program"},
		"more than there":   {[]Graph{linked(platform, "m/a"), linked(platform, "m/b"), linked(platform, "m/a")}, "3 action graphs for 2 programs"},
		"one is missing":    {[]Graph{linked(platform, "m/a")}, "no action graph links m/b"},
		"one twice":         {[]Graph{linked(platform, "m/a"), linked(platform, "m/a")}, "links m/a, which no recipe asks for"},
		"another":           {[]Graph{linked(platform, "m/a", "m/c")}, "links m/c, which no recipe asks for"},
		"one more":          {[]Graph{linked(platform, "m/a", "m/b", "m/c")}, "links m/c, which no recipe asks for"},
		"another system":    {[]Graph{linked("darwin/amd64", "m/a", "m/b")}, "is for darwin/amd64, and the recipe for linux/amd64"},
		"another processor": {[]Graph{linked(platform, "m/a"), linked("linux/arm64", "m/b")}, "is for linux/arm64"},
		"no platform": {spoilt(func(a *Action) bool {
			a.Platforms = nil
			return is(a, "build", "runtime")
		}), "does not say for which platform"},
		"no link": {spoilt(func(a *Action) bool {
			ok := is(a, "link", "m/a")
			if ok {
				a.Mode = "nop"
			}
			return ok
		}), "no action graph links m/a"},
		"not linked": {spoilt(func(a *Action) bool {
			a.Cmd = a.Cmd && !is(a, "link", "m/a")
			return is(a, "link", "m/a")
		}), "m/a was not linked"},
		"not compiled": {spoilt(func(a *Action) bool {
			ok := is(a, "build", "m/a")
			if ok {
				a.Package = "m/other"
			}
			return ok
		}), "links m/a without compiling it"},
		"failed": {spoilt(func(a *Action) bool {
			a.Failed = is(a, "link", "m/b")
			return a.Failed
		}), `"link" of m/b failed`},
		"dependency of nowhere": {spoilt(func(a *Action) bool {
			if is(a, "link", "m/b") {
				a.Deps = []int{-1, 99}
			}
			return is(a, "link", "m/b")
		}), "links m/b without compiling it"},
	} {
		err := Programs{ImportPaths: []string{"m/a", "m/b"}, OS: "linux", Arch: "amd64"}.Fit(c.graphs)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}

	// A package can be linked twice, with other flags.
	twice := Programs{ImportPaths: []string{"m/a", "m/a"}, OS: "linux", Arch: "amd64"}
	if err := twice.Fit([]Graph{linked(platform, "m/a"), linked(platform, "m/a")}); err != nil {
		t.Error(err)
	}
	if err := twice.Fit([]Graph{linked(platform, "m/a")}); err == nil {
		t.Error("one of two")
	}
}

// TestEvidence: what was not compiled in both passes is no evidence.
func TestEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		a, b []Graph
		want string
	}{
		"compiled":      {[]Graph{graph("main m/1 lib", "lib l/1")}, []Graph{graph("main m/1 lib", "lib l/1")}, ""},
		"by another":    {[]Graph{graph("main m/1 lib", "lib l/1")}, []Graph{graph("other o/1 lib", "lib l/1"), graph("main m/1 lib", "cached lib l/1")}, ""},
		"inputs differ": {[]Graph{graph("main m/1")}, []Graph{graph("main n/1")}, ""}, // for the bytes to say
		"nothing":       {nil, nil, "no package"},
		"empty":         {[]Graph{{}}, []Graph{{}}, "no package"},
		"cached":        {[]Graph{graph("main m/1 lib", "lib l/1")}, []Graph{graph("main m/1 lib", "cached lib l/1")}, "1 of 2 packages were not compiled, but came from elsewhere, lib among them"},
		"main cached":   {[]Graph{graph("cached main m/1")}, []Graph{graph("cached main m/1")}, "1 of 1"},
		"failed":        {[]Graph{graph("main m/1 lib", "lib l/1")}, []Graph{graph("main m/1 lib", "failed lib l/1")}, "1 of 2"},
	} {
		err := Graphs(c.a, c.b).Err()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// TestPlatform reads what the go command prints.
func TestPlatform(t *testing.T) {
	for command, want := range map[string]string{
		`/go/pkg/tool/linux_amd64/asm -p runtime -trimpath "$WORK=>" -I $WORK/b011/ -I /go/pkg/include -D GOOS_windows -D GOARCH_amd64 -D GOAMD64_v1 -o $WORK/asm.o ./asm.s`: "windows/amd64",
		`asm -D GOARCH_wasm -D GOOS_js`: "js/wasm", "asm -D GOOS_linux": "", "asm -D GOARCH_arm": "", "compile -o x -p main": "", "-D": "", "": "", "x GOOS_linux GOARCH_arm": "",
	} {
		if got := platform(command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}
