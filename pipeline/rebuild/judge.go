package rebuild

import (
	"context"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/inspect"
)

// sameMain reports whether the parts of the build IDs about package main agree, and
// whether there are such parts.
func (a *attempt) sameMain(b *built) (same, known bool) {
	x, y := a.facts.BuildID, b.facts.BuildID
	if x == nil || y == nil || x.LinkAction == "" || y.LinkAction == "" {
		return false, false
	}
	return x.MainAction == y.MainAction && x.MainContent == y.MainContent, true
}

// judge compares the file with the last build.
func (a *attempt) judge(ctx context.Context, b *built) error {
	own := artifact.Artifact{Name: a.res.Name, Kind: artifact.Binary, Digest: a.res.Digest, Size: a.res.Size, Executable: true}
	a.Stage("compare")
	res, err := compare.Files(own, b.file)
	if err != nil {
		return err
	}

	if res.Verdict.Pass() {
		a.res.Verdict = res.Verdict
		return nil
	}

	// A signature or a build ID that differs is no ground for an explanation.
	if ok, err := a.equivalent(b); ok || err != nil {
		return err
	}

	if same, _ := a.sameMain(b); a.choice.guess != "" && !a.confirms(b) && !same {
		return &wrongGuess{res.Reason}
	}

	explanation, err := explain.Artifacts(ctx, a.Store, own, b.file, explain.Options{TempDir: a.dir})
	if err != nil {
		return err
	}
	d, err := a.collectDifference(b, res.Reason, explanation)
	if err != nil {
		return err
	}

	verdict, reason := d.judge()
	if verdict == compare.Differs {
		a.res.Verdict, a.res.Reason = verdict, reason
	} else {
		a.undetermined(reason)
	}

	a.res.Explanation = explanation
	return nil
}

// normalizations are the combinations that are tried, the least first.
var normalizations = [][]inspect.Normalization{
	{inspect.WithoutSignature},
	{inspect.WithoutBuildID},
	{inspect.WithoutSignature, inspect.WithoutBuildID},
}

// equivalent reports whether nothing differs after a normalization.
func (a *attempt) equivalent(b *built) (bool, error) {
	return a.withBuilt(b, func(other *inspect.Binary) (bool, error) {
		for _, list := range normalizations {
			if c, err := inspect.Compare(a.bin, other, list...); err == nil && c.Same {
				a.res.SetEquivalent(c, list...)
				return true, nil
			} // an error is about a part that cannot be left out, and then the files are not the same
		}
		return false, nil
	})
}

// withBuilt opens the binary that was built and returns what a function says of it.
func (a *attempt) withBuilt(b *built, is func(*inspect.Binary) (bool, error)) (bool, error) {
	f, err := a.Store.Open(b.file.Digest)
	if err != nil {
		return false, err
	}
	defer f.Close()
	other, err := inspect.Open(f, b.file.Size)
	if err != nil {
		return false, err
	}
	return is(other)
}

// confirms reports whether the file's build ID names everything that b was linked from. A guess of
// its version is then confirmed.
func (a *attempt) confirms(b *built) bool {
	x, y := a.facts.BuildID, b.facts.BuildID
	return x != nil && y != nil && x.LinkAction != "" && x.LinkAction == y.LinkAction
}

// textSize is the number of bytes of functions.
func textSize(f inspect.Facts) int64 {
	if f.Code == nil {
		return 0
	}
	return f.Code.Text
}
