// Package compare decides whether two builds gave the same bytes.
//
// [Files] decides. Two artifacts are the same if their digests are, and nothing that comes after
// can turn a difference into a pass. Package explain says why two files differ. [Graphs] compares
// what the go command reports of its own steps, and so names the package whose compilation
// differed.
package compare

import (
	"fmt"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Verdict is the outcome of a comparison. The zero value is not a pass.
type Verdict string

const (
	// Reproduced: every byte and the mode agree.
	Reproduced Verdict = "reproduced"
	// Equivalent: equal after a named normalization. Files never says so.
	Equivalent Verdict = "equivalent"
	// Differs: not the same.
	Differs Verdict = "differs"
	// Undetermined: there is no answer, and Reason says why.
	Undetermined Verdict = "undetermined"
)

// Pass reports whether v is Reproduced or Equivalent.
func (v Verdict) Pass() bool { return v == Reproduced || v == Equivalent }

// Result is the verdict on two artifacts.
type Result struct {
	Verdict Verdict
	// Reason is why the verdict is not a pass, in a few words. It is empty if the verdict is
	// Reproduced.
	Reason string
}

// Files compares a and b, which the two passes of one recipe built. It compares their modes, and
// the digests and sizes that were computed from their bytes when these were stored.
//
// An error means that there is no verdict. It comes with a Result that says Undetermined. A digest
// is malformed then, or the digests are equal and the sizes are not.
func Files(a, b artifact.Artifact) (Result, error) {
	undetermined := func(err error) (Result, error) {
		return Result{Undetermined, err.Error()}, fmt.Errorf("compare %q and %q: %w", a.Name, b.Name, err)
	}
	for _, art := range []artifact.Artifact{a, b} {
		if _, err := artifact.ParseDigest(string(art.Digest)); err != nil {
			return undetermined(err)
		}
		if art.Size < 0 {
			return undetermined(fmt.Errorf("size %d is negative", art.Size))
		}
	}

	switch {
	case a.Digest != b.Digest && a.Size != b.Size:
		return Result{Differs, fmt.Sprintf("the sizes differ: %d and %d bytes", a.Size, b.Size)}, nil
	case a.Digest != b.Digest:
		return Result{Differs, "the bytes differ"}, nil
	case a.Size != b.Size:
		return undetermined(fmt.Errorf("one digest for %d bytes and for %d", a.Size, b.Size))
	case a.Executable != b.Executable:
		return Result{Differs, "the bytes are equal, but only one of the files is executable"}, nil
	}
	return Result{Verdict: Reproduced}, nil
}
