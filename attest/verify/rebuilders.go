package verify

import (
	"errors"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/rebuilt"
)

// asksRebuilders tells whether a bundle says that it is about a rebuild, which
// somebody else than the publisher may have signed. What is said is not verified:
// it decides who is asked, and a bundle that nobody who is trusted has signed
// speaks for nothing. A bundle that the user names has to be good, unless there
// are rebuilders whose it may be.
func (v *Verifier) asksRebuilders(b LoadedBundle) bool {
	return (v.given == nil || len(v.opt.Rebuilders) > 0) && rebuilt.Is(b.claim.PredicateType, b.claim.Predicate)
}

// judgeRebuild opens a bundle under everybody's own trust. It is passed over if
// it is somebody else's; any other fault speaks against the file.
func (v *Verifier) judgeRebuild(doc *File, about attest.Artifact, b LoadedBundle) {
	var faults []error
	opened := false
	if v.opt.Publisher != nil {
		o, err := attest.Open(b.data, *v.opt.Publisher, about)
		if err == nil {
			opened = true
			doc.published(v, b, o)
		} else {
			faults = append(faults, err)
		}
	}
	for i, t := range v.opt.Rebuilders {
		o, err := attest.Open(b.data, t, about)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		opened = true
		said := v.bundleOf(b, o)
		doc.Rebuilds = append(doc.Rebuilds, Rebuild{v.opt.Policy.Rebuilds.By[i].Name, said, i})
		s, ok := o.Statement()
		if !ok || !rebuilt.Is(s.PredicateType, s.Predicate) {
			doc.problem(said.Name, "statement", errors.New("it is not about a rebuild, and about nothing else is a rebuilder believed"))
			continue
		}
		doc.RebuildStatements = append(doc.RebuildStatements, policy.Rebuilt{
			By: i, Signer: signerName(said.Signature), Publisher: v.opt.Publisher != nil && v.opt.Publisher.Names(said.Signature), Statement: s,
		})
	}
	if opened {
		return
	}
	for _, err := range faults {
		if !somebodyElses(err) {
			doc.unopened(v.opt.Display(b.name), err)
			return
		}
	}
	doc.NotCounted = append(doc.NotCounted, Problem{v.opt.Display(b.name), string(attest.WrongKey), "a rebuild, signed by none of " + v.everybody(), ""})
}

// somebodyElses tells whether a bundle could not be opened because another signer
// than the one that is trusted made it.
func somebodyElses(err error) bool {
	failed := (*attest.Error)(nil)
	return errors.As(err, &failed) && slices.Contains([]attest.Reason{attest.WrongKey, attest.WrongIdentity, attest.WrongIssuer}, failed.Reason)
}

// everybody lists whose word counts.
func (v *Verifier) everybody() string {
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

// signerName says who made a verified signature: equal names are one signer.
func signerName(s attest.Signature) string {
	if c := s.Certificate; c != nil {
		return c.Name + ", says " + c.Issuer
	}
	return "key " + string(s.Key)
}
