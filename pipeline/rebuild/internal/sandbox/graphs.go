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

// Graphs are the action graphs of the builds that filled a cache, those that compiled
// nothing left out.
type Graphs []compare.Graph

// Add takes those of one more build, which was to link a program for a target. The
// error is a Reason: what was built is no evidence if its graphs are of something
// else, or if it has a package in it that none of these builds compiled, or that came
// out as something else before.
func (l *Graphs) Add(res pass.Result, pkg string, target matrix.Target) error {
	all := slices.Clone(*l)
	var own []compare.Graph
	for _, data := range res.Graphs {
		g, err := compare.ParseGraph(bytes.NewReader(data))
		if err != nil {
			return verdict.Because(verdict.NoEvidence, "the build does not tell what it did: %s", err)
		}
		own = append(own, g)
	}
	if err := (compare.Programs{ImportPaths: []string{pkg}, OS: target.OS, Arch: target.Arch}).Fit(own); err != nil {
		return verdict.Because(verdict.NoEvidence, "what was built is not what was asked for: %s", err)
	}

	all = append(all, own...)
	together := compare.Graphs(all, all)
	err := together.Err()
	if len(together.ContentDiffers) > 0 {
		err = fmt.Errorf("package %s was compiled twice from equal inputs, to different results", together.ContentDiffers[0])
	}
	if err != nil {
		return verdict.Because(verdict.NoEvidence, "what was built is no evidence: %s", err)
	}
	*l = slices.DeleteFunc(all, func(g compare.Graph) bool {
		return !slices.ContainsFunc(g.Actions, func(a compare.Action) bool { return a.Mode == "build" && a.Cmd })
	})
	return nil
}
