package compare

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Graph is what the go command did in one run, as "go build -debug-actiongraph=FILE" reports it.
type Graph struct {
	// Actions are the steps. The ID of an action is its index.
	Actions []Action
}

// Action is one step of the go command. The format is undocumented. It is actionJSON in
// cmd/go/internal/work/action.go of the Go tree, without the members that have no use here.
type Action struct {
	ID int
	// Mode says what the step does: "build" compiles a package, "link" links a
	// program, "build check cache" and others prepare.
	Mode string
	// Package is the import path.
	Package string
	// Deps are the IDs of the actions that come before.
	Deps   []int
	Failed bool
	// ActionID is the hash of everything that goes into the step.
	ActionID string
	// BuildID is ActionID, a slash and the hash of what came out ("content ID").
	// A program's has the main package's two hashes in between.
	BuildID string
	// Cmd reports whether commands were run. If none were, the result came from a cache.
	Cmd bool `json:"-"`
	// Platforms are those that the commands were told to work for, as GOOS/GOARCH, each once. Only
	// the assembler is told.
	Platforms []string `json:"-"`
}

// UnmarshalJSON reads an action, with its commands as a list of strings or null.
func (a *Action) UnmarshalJSON(data []byte) error {
	type members Action
	var in struct {
		members
		Cmd []string
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*a = Action(in.members)
	a.Cmd = len(in.Cmd) > 0

	for _, command := range in.Cmd {
		if p := platform(command); p != "" && !slices.Contains(a.Platforms, p) {
			a.Platforms = append(a.Platforms, p)
		}
	}
	return nil
}

// platform returns the platform that the go command tells the assembler to work for, by -D
// GOOS_linux -D GOARCH_amd64 (cmd/go/internal/work/gc.go). It returns "" if command does not call
// the assembler.
func platform(command string) string {
	var goos, goarch string
	words := strings.Fields(command)
	for i, w := range words[:max(0, len(words)-1)] {
		if w != "-D" {
			continue
		}
		if v, ok := strings.CutPrefix(words[i+1], "GOOS_"); ok {
			goos = v
		}
		if v, ok := strings.CutPrefix(words[i+1], "GOARCH_"); ok {
			goarch = v
		}
	}

	if goos == "" || goarch == "" {
		return ""
	}
	return goos + "/" + goarch
}

const (
	maxGraph   = 64 << 20 // bytes
	maxActions = 1 << 17
)

// ParseGraph reads what "go build -debug-actiongraph=FILE" wrote, a JSON array of at most 131072
// actions in at most 64 MiB, with nothing behind it. It ignores members that Action does not have,
// since other versions of Go have others. It is an error if an action's ID is not its index, if a
// dependency does not exist, or if the compilation of a package has a BuildID that is not its
// ActionID, a slash and a content ID.
func ParseGraph(r io.Reader) (Graph, error) {
	lr := &io.LimitedReader{R: r, N: maxGraph + 1}
	g, err := parseGraph(json.NewDecoder(lr))
	if lr.N == 0 {
		err = fmt.Errorf("longer than %d bytes", maxGraph)
	}
	if err != nil {
		return Graph{}, fmt.Errorf("action graph: %w", err)
	}
	return g, nil
}

// parseGraph is ParseGraph without the bound of the length.
func parseGraph(dec *json.Decoder) (Graph, error) {
	var g Graph
	if t, err := dec.Token(); err != nil {
		return g, err
	} else if t != json.Delim('[') {
		return g, errors.New("not a list of actions")
	}

	for dec.More() {
		if len(g.Actions) == maxActions {
			return g, fmt.Errorf("more than %d actions", maxActions)
		}
		var a Action
		if err := dec.Decode(&a); err != nil {
			return g, err
		}
		if a.ID != len(g.Actions) {
			return g, fmt.Errorf("action %d has ID %d", len(g.Actions), a.ID)
		}
		if content, ok := strings.CutPrefix(a.BuildID, a.ActionID+"/"); a.Mode == "build" && a.BuildID != "" &&
			(!ok || a.ActionID == "" || content == "" || strings.Contains(content, "/")) {
			return g, fmt.Errorf("action %d: build ID %.100q is not action ID %.100q and a content ID", a.ID, a.BuildID, a.ActionID)
		}
		g.Actions = append(g.Actions, a)
	}

	// The first token is the end of the list.
	if _, err := dec.Token(); err != nil {
		return g, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return g, errors.New("something follows the list of actions")
	}

	// A dependency may have a higher ID than the action that needs it, so this waits for all.
	for _, a := range g.Actions {
		for _, d := range a.Deps {
			if d < 0 || d >= len(g.Actions) {
				return g, fmt.Errorf("action %d depends on action %d, which does not exist", a.ID, d)
			}
		}
	}
	return g, nil
}

// GraphResult compares the compilations of two passes. Every list is in
// dependency order, a package after those that it imports.
type GraphResult struct {
	// Packages is the number of compilations. A package counts once for each ActionID that it was
	// compiled with in a pass, such as with other tags or another profile, however often it was
	// asked for.
	Packages int `json:"packages"`
	// Reproduced is how many of them both passes carried out, with equal ActionIDs and equal
	// content IDs.
	Reproduced int `json:"reproduced"`
	// InputsDiffer are the packages whose ActionID differs. Something that went into the
	// compilation was not the same, such as a path, a file, or the result of compiling an import.
	InputsDiffer []string `json:"inputsDiffer,omitempty"`
	// ContentDiffers are the packages whose inputs were equal and whose results were not. Their
	// compilation is not deterministic.
	ContentDiffers []string `json:"contentDiffers,omitempty"`
	// OnlyA and OnlyB are the packages that only one pass has.
	OnlyA []string `json:"onlyA,omitempty"`
	OnlyB []string `json:"onlyB,omitempty"`
	// NotCompiled are the packages that cannot count as reproduced because a pass did not compile
	// them. It failed, or the result came from a cache that no graph of the same pass filled.
	NotCompiled []string `json:"notCompiled,omitempty"`
	// Culprits are those of InputsDiffer, ContentDiffers, OnlyA and OnlyB that import none of
	// these. The others may differ as a consequence.
	Culprits []string `json:"culprits,omitempty"`
}

// Err returns nil if what was compared is evidence that both passes compiled the programs.
// Otherwise the error says why it is none. Packages that differ are no error, since the bytes
// decide whether the programs differ.
func (r GraphResult) Err() error {
	if r.Packages == 0 {
		return errors.New("no package was compiled")
	}
	if n := len(r.NotCompiled); n > 0 {
		return fmt.Errorf("%d of %d packages were not compiled, but came from elsewhere, %s among them", n, r.Packages, r.NotCompiled[0])
	}
	return nil
}

// Graphs compares pass A with pass B. Each may have several graphs, one for every run of the go
// command that shared the pass's cache. A compilation counts if one of these runs carried it out.
// It does not count again where the others took it from the cache.
func Graphs(a, b []Graph) GraphResult {
	pa, pb := collect(a), collect(b)

	var r GraphResult
	differing := map[string]bool{}
	for _, name := range mergeOrder(pa.order, pb.order) {
		inA, inB := pa.packages[name], pb.packages[name]
		r.Packages += max(len(inA), len(inB))
		switch {
		case inB == nil:
			r.OnlyA = append(r.OnlyA, name)
			differing[name] = true
			continue
		case inA == nil:
			r.OnlyB = append(r.OnlyB, name)
			differing[name] = true
			continue
		}

		// A package can be compiled several times in a pass, with other inputs each time.
		var inputs, content, missing bool
		for id, ca := range inA {
			cb := inB[id]
			switch {
			case cb == nil:
				inputs = true
			case !ca.compiled || !cb.compiled || ca.failed || cb.failed:
				missing = true
			case len(ca.contents) != 1 || len(cb.contents) != 1 || ca.contents[0] != cb.contents[0]:
				content = true
			default:
				r.Reproduced++
			}
		}

		for id := range inB {
			inputs = inputs || inA[id] == nil
		}

		if inputs {
			r.InputsDiffer = append(r.InputsDiffer, name)
		}
		if content {
			r.ContentDiffers = append(r.ContentDiffers, name)
		}
		if missing {
			r.NotCompiled = append(r.NotCompiled, name)
		}
		if inputs || content {
			differing[name] = true
		}
	}

	// A package that differs changes those that import it, so the ones at the start are to blame.
	for _, name := range mergeOrder(pa.order, pb.order) {
		imports := func(p passGraphs) bool {
			for dep := range p.imports[name] {
				if differing[dep] {
					return true
				}
			}
			return false
		}
		if differing[name] && !imports(pa) && !imports(pb) {
			r.Culprits = append(r.Culprits, name)
		}
	}

	return r
}

// compiles reports whether a is the compilation of a package.
func (a Action) compiles() bool { return a.Mode == "build" }

// compilation is what the graphs of a pass say of one package with one ActionID.
type compilation struct {
	compiled, failed bool
	contents         []string // the content IDs, each once
}

// passGraphs is what the graphs of a pass say together.
type passGraphs struct {
	packages map[string]map[string]*compilation // by import path and ActionID
	imports  map[string]map[string]bool
	order    []string
}

// collect puts the graphs of a pass together.
func collect(graphs []Graph) passGraphs {
	p := passGraphs{packages: map[string]map[string]*compilation{}, imports: map[string]map[string]bool{}}
	for _, g := range graphs {
		for _, i := range dependencyOrder(g) {
			a := g.Actions[i]
			if !a.compiles() {
				continue
			}
			byID := p.packages[a.Package]
			if byID == nil {
				byID = map[string]*compilation{}
				p.packages[a.Package] = byID
				p.imports[a.Package] = map[string]bool{}
				p.order = append(p.order, a.Package)
			}

			c := byID[a.ActionID]
			if c == nil {
				c = &compilation{}
				byID[a.ActionID] = c
			}

			// One run that carried it out is enough: the others may have had it from the cache.
			c.compiled = c.compiled || a.Cmd
			_, content, ok := strings.Cut(a.BuildID, "/")
			if a.Failed || !ok {
				c.failed = true
			} else if !slices.Contains(c.contents, content) {
				c.contents = append(c.contents, content)
			}

			// An import counts once, in whatever graph it is.
			for _, d := range a.Deps {
				if d >= 0 && d < len(g.Actions) && g.Actions[d].compiles() && g.Actions[d].Package != a.Package {
					p.imports[a.Package][g.Actions[d].Package] = true
				}
			}
		}
	}

	return p
}

// dependencyOrder returns the indices of all actions, each after those that it depends on. The
// order is the same for the same graph. A cycle, which the go command does not write, is cut open
// somewhere. The function does not call itself, since whoever wrote the graph decides its depth.
func dependencyOrder(g Graph) []int {
	order := make([]int, 0, len(g.Actions))
	seen := make([]bool, len(g.Actions))
	type frame struct{ action, next int }
	var stack []frame

	for root := range g.Actions {
		if seen[root] {
			continue
		}
		seen[root] = true
		stack = append(stack, frame{root, 0})
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if deps := g.Actions[top.action].Deps; top.next < len(deps) {
				d := deps[top.next]
				top.next++
				if d >= 0 && d < len(seen) && !seen[d] {
					seen[d] = true
					stack = append(stack, frame{d, 0})
				}
				continue
			}
			order = append(order, top.action)
			stack = stack[:len(stack)-1]
		}
	}

	return order
}

// mergeOrder returns the names of a and b, in the order of a. A name that only b has comes behind
// the name that it follows in b.
func mergeOrder(a, b []string) []string {
	after := map[string][]string{} // by the name of a that comes before, "" at the start
	inA := map[string]bool{}
	for _, name := range a {
		inA[name] = true
	}

	last := ""
	for _, name := range b {
		if inA[name] {
			last = name
		} else {
			after[last] = append(after[last], name)
		}
	}

	merged := slices.Clone(after[""])
	for _, name := range a {
		merged = append(merged, name)
		if name != "" {
			merged = append(merged, after[name]...)
		}
	}
	return merged
}
