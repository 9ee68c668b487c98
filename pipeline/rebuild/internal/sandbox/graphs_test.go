package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// graphOf is the action graph of a build of a program and a package lib, of which
// those in cached were not compiled.
func graphOf(program string, cached ...string) string {
	command := func(name string) string {
		if strings.Contains(strings.Join(cached, " "), name) {
			return "null"
		}
		return `["compile"]`
	}
	return fmt.Sprintf(`[{"ID": 0, "Mode": "build", "Package": "lib", "ActionID": "l", "BuildID": "l/1", "Cmd": %s},
		{"ID": 1, "Mode": "build", "Package": %q, "Deps": [0], "ActionID": "m", "BuildID": "m/1", "Cmd": %s},
		{"ID": 2, "Mode": "link", "Package": %[2]q, "Deps": [1], "ActionID": "x", "BuildID": "x/m/1/p", "Cmd": ["link"]}]`,
		command("lib"), program, command(program))
}

// TestEvidenceOfBuilds: a build counts if its graph is of what was asked for and all
// that it is made of was compiled in this run, by it or by those before it.
func TestEvidenceOfBuilds(t *testing.T) {
	for name, c := range map[string]struct {
		before []string
		graphs []string
		want   string
	}{
		"compiled":          {nil, []string{graphOf("m/x")}, ""},
		"linked again":      {[]string{graphOf("m/x")}, []string{graphOf("m/x", "lib", "m/x")}, ""},
		"lib from before":   {[]string{graphOf("standard")}, []string{graphOf("m/x", "lib")}, ""},
		"from nowhere":      {nil, []string{graphOf("m/x", "lib")}, "1 of 2 packages were not compiled"},
		"main from nowhere": {[]string{graphOf("standard")}, []string{strings.ReplaceAll(graphOf("m/x", "lib", "m/x"), `"m/1"`, `"m/2"`)}, "not compiled"},
		"poisoned":          {[]string{graphOf("standard")}, []string{strings.ReplaceAll(graphOf("m/x", "lib"), `"l/1"`, `"l/2"`)}, "package lib was compiled twice from equal inputs"},
		"of other inputs":   {[]string{graphOf("standard")}, []string{strings.NewReplacer(`"l/1"`, `"k/1"`, `"l"`, `"k"`).Replace(graphOf("m/x", "lib"))}, "not compiled"},
		"no graph":          {nil, nil, "there is no action graph"},
		"two":               {nil, []string{graphOf("m/x"), graphOf("m/x")}, "2 action graphs for 1 programs"},
		"another":           {nil, []string{graphOf("m/y")}, "links m/y"},
		"no link":           {nil, []string{strings.ReplaceAll(graphOf("m/x"), "link", "nop")}, "links no program"},
		"another platform":  {nil, []string{strings.Replace(graphOf("m/x"), "compile", "asm -D GOOS_linux -D GOARCH_arm64", 1)}, "for linux/arm64"},
		"no JSON":           {nil, []string{"x"}, "does not tell"},
	} {
		var l Graphs
		target := matrix.Target{OS: "linux", Arch: "amd64"}
		for _, g := range c.before {
			program := "m/x"
			if strings.Contains(g, "standard") {
				program = "standard"
			}
			if err := l.Add(pass.Result{Graphs: [][]byte{[]byte(g)}}, program, target); err != nil {
				t.Fatal(err)
			}
		}
		var res pass.Result
		for _, g := range c.graphs {
			res.Graphs = append(res.Graphs, []byte(g))
		}
		n := len(l)
		err := l.Add(res, "m/x", target)
		reason := (*verdict.Reason)(nil)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.As(err, &reason) || reason.Kind != verdict.NoEvidence || len(l) != n) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}
