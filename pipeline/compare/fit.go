package compare

import (
	"errors"
	"fmt"
	"slices"
)

// Programs are the programs that a pass was to build for one target.
type Programs struct {
	// ImportPaths are the import paths of the main packages, each as often as it was to be linked.
	ImportPaths []string
	// OS and Arch are the target's GOOS and GOARCH.
	OS, Arch string
}

// Fit returns nil if the graphs that a pass left are those of go commands that linked these
// programs and no others, for their target. Otherwise the error says what does not fit. A graph
// that does not fit is no evidence for the programs that the pass left. Compilations from a cache
// fit: see [GraphResult].NotCompiled.
func (p Programs) Fit(graphs []Graph) error {
	switch {
	case len(graphs) == 0:
		return errors.New("there is no action graph")
	case len(graphs) > len(p.ImportPaths):
		return fmt.Errorf("there are %d action graphs for %d programs", len(graphs), len(p.ImportPaths))
	}

	// Each program has to be linked as often as it was asked for, and not once more.
	left := slices.Clone(p.ImportPaths)
	for _, g := range graphs {
		linked, err := p.links(g)
		if err != nil {
			return err
		}
		for _, name := range linked {
			i := slices.Index(left, name)
			if i < 0 {
				return fmt.Errorf("the action graph links %s, which no recipe asks for", name)
			}
			left = slices.Delete(left, i, i+1)
		}
	}

	if len(left) > 0 {
		return fmt.Errorf("no action graph links %s", left[0])
	}
	return nil
}

// links returns the programs that a graph links.
func (p Programs) links(g Graph) (linked []string, err error) {
	want := p.OS + "/" + p.Arch
	for _, a := range g.Actions {
		for _, platform := range a.Platforms {
			if platform != want {
				return nil, fmt.Errorf("the action graph is for %s, and the recipe for %s", platform, want)
			}
		}

		switch {
		case a.Failed:
			return nil, fmt.Errorf("the action graph says that %q of %s failed", a.Mode, a.Package)
		case a.compiles() && a.Package == "runtime" && a.Cmd && len(a.Platforms) == 0:
			return nil, errors.New("the action graph does not say for which platform it is") // the runtime is assembled, too
		case a.Mode != "link":
			continue
		case !a.Cmd:
			return nil, fmt.Errorf("the action graph says that %s was not linked", a.Package)
		case !slices.ContainsFunc(a.Deps, func(d int) bool {
			return d >= 0 && d < len(g.Actions) && g.Actions[d].compiles() && g.Actions[d].Package == a.Package
		}):
			return nil, fmt.Errorf("the action graph links %s without compiling it", a.Package)
		}
		linked = append(linked, a.Package)
	}
	if len(linked) == 0 {
		return nil, errors.New("the action graph links no program")
	}
	return linked, nil
}
