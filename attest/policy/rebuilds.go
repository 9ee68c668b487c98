package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
)

// Rebuilt is a statement that was opened under the trust of a rebuilder.
type Rebuilt struct {
	// By is the rebuilder: an index of Rebuilds.By. If several of them could have signed a
	// statement it is there once for each.
	By int
	// Signer names who signed, as the signature tells it. Equal signers are one, however often they
	// are listed.
	Signer string
	// Publisher tells that it is the signer whose word the rest of the policy rests on.
	Publisher bool
	Statement intoto.Statement
}

// RebuildsExpectation is the name of the one finding about rebuilds.
const RebuildsExpectation = "rebuilds"

// distribution is the module of published toolchains. Their own scripts have all settings, and a
// bootstrap has no recipe.
const distribution = "golang.org/toolchain"

// checkRebuilds counts those who have rebuilt the file that subject names.
func (b *Rebuilds) checkRebuilds(subject artifact.Digest, list []Rebuilt) Finding {
	f := Finding{Expectation: RebuildsExpectation, Outcome: NotShown}
	var notCounted []string // why some do not count
	hasStatement := make([]bool, len(b.By))
	signers := map[string]string{}

	// The order of By decides which of two names for one signer counts.
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y Rebuilt) int { return x.By - y.By })

	for _, r := range list {
		if r.By < 0 || r.By >= len(b.By) || !r.Statement.Has(subject) {
			continue
		}

		// A verdict against the file, or a setting that is not allowed, is never outweighed.
		name := b.By[r.By].Name
		result, err := rebuilt.Decode(r.Statement)
		if err != nil {
			return Finding{Expectation: RebuildsExpectation, Outcome: Failed, Reason: fmt.Sprintf("%s: %v", name, err)}
		}

		if !result.Pass() {
			return Finding{Expectation: RebuildsExpectation, Outcome: Failed, Reason: fmt.Sprintf("%s says that it differs from what its source compiles to: %.500s", name, result.Reason.Text)}
		}
		if why := b.refusal(result); why != "" {
			return Finding{Expectation: RebuildsExpectation, Outcome: Failed, Reason: fmt.Sprintf("%s says that it was built with %s", name, why)}
		}

		// A statement that does not count has its reason in the finding.
		hasStatement[r.By] = true
		first, known := signers[r.Signer]
		switch {
		case b.Module != "" && result.Source != b.Module:
			notCounted = append(notCounted, fmt.Sprintf("%s rebuilt it from %.200s", name, result.Source))
		case result.Recipe == nil && !strings.HasPrefix(result.Source, distribution+"@"):
			notCounted = append(notCounted, name+" does not say with which settings: there is no recipe")
		case b.Reproduced && result.Verdict != compare.Reproduced:
			notCounted = append(notCounted, fmt.Sprintf("%s says that it is %s, not reproduced", name, result.Verdict))
		case r.Publisher:
			notCounted = append(notCounted, name+" is the publisher, who is no second witness")
		case known && first != name:
			notCounted = append(notCounted, fmt.Sprintf("%s is the same signer as %s, and counts once", name, first))
		case !known:
			signers[r.Signer] = name
			f.By = append(f.By, name)
		}
	}

	if len(f.By) >= b.AtLeast {
		f.Outcome = Met
		return f
	}

	// Too few count. The finding also names those of whom there is no statement.
	for i, r := range b.By {
		if !hasStatement[i] {
			notCounted = append(notCounted, "nothing of "+r.Name)
		}
	}
	slices.Sort(notCounted)
	f.Reason = fmt.Sprintf("%d of at least %d: %s", len(f.By), b.AtLeast, strings.Join(slices.Compact(notCounted), "; "))
	return f
}
