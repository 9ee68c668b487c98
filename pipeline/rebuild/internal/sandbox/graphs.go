package sandbox

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// Graphs are the action graphs of the builds that filled a cache, without those that compiled
// nothing.
type Graphs []compare.Graph

// Add takes the graphs of one more build, which was to link a program for a target. The error is a
// Reason. A build is no evidence if its graphs are of something else. It is none either if it
// contains a package that none of these builds compiled, or one that came out differently before.
func (g *Graphs) Add(res pass.Result, pkg string, target matrix.Target) error {
	all := slices.Clone(*g)

	var own []compare.Graph
	for _, data := range res.Graphs {
		graph, err := compare.ParseGraph(bytes.NewReader(data))
		if err != nil {
			return verdict.Because(verdict.NoEvidence, "the build does not tell what it did: %s", err)
		}
		own = append(own, graph)
	}

	if err := (compare.Programs{ImportPaths: []string{pkg}, OS: target.OS, Arch: target.Arch}).Fit(own); err != nil {
		return verdict.Because(verdict.NoEvidence, "what was built is not what was asked for: %s", err)
	}
	all = append(all, own...)

	// All builds share the cache, so a package is sound only if they all agree on it.
	together := compare.Graphs(all, all)
	err := together.Err()
	if len(together.ContentDiffers) > 0 {
		err = fmt.Errorf("package %s was compiled twice from equal inputs, to different results", together.ContentDiffers[0])
	}
	if err != nil {
		return verdict.Because(verdict.NoEvidence, "what was built is no evidence: %s", err)
	}

	// Only a graph that compiled something can vouch for a package in a later build.
	*g = slices.DeleteFunc(all, func(one compare.Graph) bool {
		return !slices.ContainsFunc(one.Actions, func(a compare.Action) bool { return a.Mode == "build" && a.Cmd })
	})
	return nil
}
