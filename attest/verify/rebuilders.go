package verify

import (
	"errors"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/rebuilt"
)

// asksRebuilders reports whether a bundle says that it is about a rebuild. If so, somebody else
// than the publisher may have signed it. The claim is not verified. It decides who is asked, and a
// bundle that nobody trusted has signed speaks for nothing. A bundle that the user names has to be
// good, unless a rebuilder may have signed it.
func (v *Verifier) asksRebuilders(b LoadedBundle) bool {
	return (v.namedBundles == nil || len(v.opt.Rebuilders) > 0) && rebuilt.IsRebuild(b.claim.PredicateType, b.claim.Predicate)
}

// judgeRebuild opens a bundle under the trust of the publisher and of each rebuilder. If another
// signer made the bundle it is passed over. Any other fault speaks against the file.
func (v *Verifier) judgeRebuild(f *File, about attest.Artifact, b LoadedBundle) {
	var faults []error
	opened := false
	if v.opt.Publisher != nil {
		o, err := attest.Open(b.data, *v.opt.Publisher, about)
		if err == nil {
			opened = true
			v.addPublished(f, b, o)
		} else {
			faults = append(faults, err)
		}
	}

	// The same signer may be listed under several names.
	for i, trust := range v.opt.Rebuilders {
		o, err := attest.Open(b.data, trust, about)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		opened = true
		v.addRebuild(f, i, b, o)
	}
	if opened {
		return
	}

	for _, err := range faults {
		if !isOtherSigner(err) {
			f.addUnopened(v.shownBundle(b.name, b.place), err)
			return
		}
	}
	f.NotCounted = append(f.NotCounted, Problem{Bundle: v.shownBundle(b.name, b.place), Reason: Reason(attest.WrongKey), Error: "a rebuild, signed by none of " + v.trustedNames()})
}

// addRebuild adds a bundle of a rebuilder to the verdict on a file. position is that of the
// rebuilder in the policy.
func (v *Verifier) addRebuild(f *File, position int, b LoadedBundle, opened *attest.Verified) {
	bundle := v.bundleOf(b, opened)
	f.Rebuilds = append(f.Rebuilds, Rebuild{v.opt.Policy.Rebuilds.By[position].Name, bundle, position})

	s, ok := opened.Statement()
	if !ok || !rebuilt.IsRebuild(s.PredicateType, s.Predicate) {
		f.addProblem(bundle.Name, BadStatement, errors.New("it is not about a rebuild, and about nothing else is a rebuilder believed"))
		return
	}

	f.RebuildStatements = append(f.RebuildStatements, policy.Rebuilt{
		By: position, Signer: signerName(bundle.Signature), Publisher: v.opt.Publisher != nil && v.opt.Publisher.MatchesSigner(bundle.Signature), Statement: s,
	})
}

// isOtherSigner reports whether a bundle could not be opened because another signer than
// the trusted one made it.
func isOtherSigner(err error) bool {
	failed := (*attest.Error)(nil)
	return errors.As(err, &failed) && slices.Contains([]attest.Reason{attest.WrongKey, attest.WrongIdentity, attest.WrongIssuer}, failed.Reason)
}

// trustedNames lists the names of those whose word counts.
func (v *Verifier) trustedNames() string {
	var names []string
	if v.opt.Publisher != nil {
		names = append(names, "the publisher")
	}
	if v.opt.Policy != nil && v.opt.Policy.Rebuilds != nil {
		for _, r := range v.opt.Policy.Rebuilds.By {
			names = append(names, r.Name)
		}
	}

	return strings.Join(names, ", ")
}

// signerName returns the name of the maker of a verified signature. Equal names are one signer.
func signerName(s attest.Signature) string {
	if c := s.Certificate; c != nil {
		return c.Name + ", says " + c.Issuer
	}
	return "key " + string(s.Key)
}
