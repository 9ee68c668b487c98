package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/safetext"
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
		case b.Module != "" && result.Recipe != nil && result.Recipe.Recipe.Source.Module == "":
			notCounted = append(notCounted, fmt.Sprintf("%s rebuilt it from a repository that calls itself %.200s, which need not be the published module", name, result.Source))
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

// readRebuilders reads rebuilds.by.
func readRebuilders(v any, to *[]Rebuilder) error {
	var tables []map[string]any
	switch v := v.(type) {
	case []map[string]any: // [[rebuilds.by]]
		tables = v
	case []any:
		for i, e := range v {
			t, ok := e.(map[string]any)
			if !ok {
				return fmt.Errorf("[%d]: want a table with a name and a key, or with a name, an identity and an issuer, not %s", i, typeName(e))
			}
			tables = append(tables, t)
		}
	default:
		return fmt.Errorf("want a list of tables, not %s", typeName(v))
	}

	if len(tables) == 0 || len(tables) > maxRebuilders {
		return fmt.Errorf("%d of them: want 1 to %d", len(tables), maxRebuilders)
	}

	// Findings name people, so each needs a name of its own.
	for i, t := range tables {
		r, err := readRebuilder(t)
		if err == nil && slices.ContainsFunc(*to, func(other Rebuilder) bool { return other.Name == r.Name }) {
			err = fmt.Errorf("name: %q is there twice", r.Name)
		}
		if err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		*to = append(*to, r)
	}
	return nil
}

// readRebuilder reads one table of rebuilds.by.
func readRebuilder(t map[string]any) (Rebuilder, error) {
	var r Rebuilder
	members := map[string]*string{"name": &r.Name, "key": &r.Key, "identity": &r.Identity, "issuer": &r.Issuer, "trustedRoot": &r.TrustedRoot}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		to, ok := members[name]
		if !ok {
			return r, fmt.Errorf("%s: unknown key; there are %s", name, strings.Join(slices.Sorted(maps.Keys(members)), ", "))
		}
		if err := readText(t[name], to, printable); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}

	// An identity means nothing without the issuer that vouched for it.
	byIdentity := r.Identity != "" && r.Issuer != ""
	switch {
	case r.Name == "":
		return r, errors.New("without a name")
	case r.Key != "" && r.Identity+r.Issuer != "":
		return r, fmt.Errorf("%s: key and identity exclude each other: a signature is a key's or a certificate's", r.Name)
	case r.Key == "" && !byIdentity:
		return r, fmt.Errorf("%s: want a key, or an identity and its issuer", r.Name)
	}
	return r, nil
}

// printable refuses text that a terminal does not show as it is.
func printable(s string) error {
	const limit = 1000
	if len(s) > limit || !safetext.Printable(s) {
		return fmt.Errorf("%.100q: longer than %d bytes, or a character that cannot be printed", s, limit)
	}
	return nil
}
