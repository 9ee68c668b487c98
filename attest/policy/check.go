package policy

import (
	"errors"
	"fmt"
	"go/version"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// Outcome says whether an expectation was met. The zero value is not a pass.
type Outcome string

const (
	// Met: every statement that can show it does.
	Met Outcome = "met"
	// Failed: a statement shows the contrary, or cannot be read.
	Failed Outcome = "failed"
	// NotShown: no statement says anything about it.
	NotShown Outcome = "not shown"
)

// Finding is the outcome of one expectation.
type Finding struct {
	// Expectation is the key of the policy file; build.variations is followed by
	// ": " and the name of a variation.
	Expectation string  `json:"expectation"`
	Outcome     Outcome `json:"outcome"`
	// Reason says why it was not met.
	Reason string `json:"reason,omitempty"`
	// By are those who show it, where several can. They are the names of rebuilders.
	By []string `json:"by,omitempty"`
}

// String returns the finding on one line.
func (f Finding) String() string {
	if f.Outcome == Met {
		met := f.Expectation + ": met"
		if len(f.By) > 0 {
			met += " by " + strings.Join(f.By, ", ")
		}
		return met
	}
	return fmt.Sprintf("%s: %s: %s", f.Expectation, f.Outcome, f.Reason)
}

// Findings has one for each expectation of a policy, in the order of the file's documentation.
type Findings []Finding

// Err returns nil if there are findings and each of them is Met. Otherwise it names those that are
// not.
func (fs Findings) Err() error {
	if len(fs) == 0 {
		return errors.New("policy: nothing was expected")
	}
	var bad []error
	for _, f := range fs {
		if f.Outcome != Met {
			bad = append(bad, fmt.Errorf("policy: %s", f))
		}
	}
	return errors.Join(bad...)
}

// Statement is one that the publisher signed.
type Statement struct {
	intoto.Statement
	// Certificate is the one that it was signed with, nil if a key signed it.
	Certificate *attest.Certificate
}

// signedProvenance is provenance, and the certificate that it was signed with, or nil.
type signedProvenance struct {
	*slsa.Provenance
	certificate *attest.Certificate
}

// expectation is one of a policy's, and how a statement shows it. It has one of the two functions.
// They return Met, or another outcome and the reason.
type expectation struct {
	name       string
	provenance func(signedProvenance) (Outcome, string)
	test       func(*slsa.TestResult) (Outcome, string)
}

// Check holds the statements against the policy. They must have been opened: their signatures are
// those of somebody who is believed, also about the builder that they name. A builder.id is worth
// what its signer is. subject is the digest of the file that is to be used. Statements that are not
// about it show nothing.
//
// SLSA provenance shows what is expected of the source and the build. The certificate that it is
// signed with, if a CI job got one, has to say the same. The test result of the double
// build shows what is expected of it and of its variations. If there are several statements of a
// kind, every one has to show it, so that an expectation is never met by one statement and the next
// one by another that contradicts it. A statement of such a kind that cannot be read fails what it
// could have shown. Other kinds are ignored, and so are results of other tests.
//
// Rebuilds alone show what is expected of rebuilders, and they show nothing else.
func (p *Policy) Check(subject artifact.Digest, statements []Statement, rebuilds ...Rebuilt) Findings {
	// What is not about these bytes shows nothing.
	var provenances []signedProvenance
	var tests []*slsa.TestResult
	var badProvenance, badTest error
	for _, s := range statements {
		if !s.Has(subject) {
			continue
		}
		switch {
		case slsa.IsProvenance(s.PredicateType):
			prov, err := slsa.DecodeProvenance(s.Statement)
			if err != nil {
				badProvenance = errors.Join(badProvenance, err)
				continue
			}
			provenances = append(provenances, signedProvenance{prov, s.Certificate})
		case s.PredicateType == slsa.TestResultType:
			t, err := slsa.DecodeTestResult(s.Statement)
			if errors.Is(err, slsa.ErrOtherTest) {
				continue
			}
			if err != nil {
				badTest = errors.Join(badTest, err)
				continue
			}
			tests = append(tests, t)
		}
	}

	// Each expectation is held against every statement that could show it.
	var all Findings
	for _, e := range p.expectations() {
		f := Finding{Expectation: e.name}
		if e.provenance != nil {
			f.Outcome, f.Reason = evaluate(provenances, badProvenance, "provenance", e.provenance)
		} else {
			f.Outcome, f.Reason = evaluate(tests, badTest, "result of a double build", e.test)
		}
		all = append(all, f)
	}

	if f, ok := p.checkPartial(provenances); ok {
		all = append(all, f)
	}
	if p.Rebuilds != nil {
		all = append(all, p.Rebuilds.checkRebuilds(subject, rebuilds))
	}
	return all
}

// checkPartial returns a finding if provenance is of a part of a release, and nobody allowed that.
// A file does not show that there is more of its release, so this does not wait to be asked for.
func (p *Policy) checkPartial(provenances []signedProvenance) (Finding, bool) {
	for _, prov := range provenances {
		if ext := prov.External; ext != nil && ext.Partial != nil && !p.Partial && !p.OnlyRebuilds() {
			return Finding{Expectation: "build.partial", Outcome: Failed, Reason: "it is a part of a release, " + ext.Partial.Describe(len(ext.Targets)) + ", and the policy does not say partial = true"}, true
		}
	}
	return Finding{}, false
}

// evaluate returns Met if there are statements, all could be read, and show says Met of each.
// Failed wins over NotShown.
func evaluate[T any](list []T, bad error, what string, show func(T) (Outcome, string)) (Outcome, string) {
	if bad != nil {
		return Failed, bad.Error()
	}
	if len(list) == 0 {
		return NotShown, "there is no " + what + " of these bytes"
	}

	// One statement that shows the contrary is enough.
	outcome, reason := Met, ""
	for _, s := range list {
		switch o, r := show(s); {
		case o == Failed:
			return o, r
		case o != Met:
			outcome, reason = NotShown, r
		}
	}

	return outcome, reason
}

// equal compares a statement's value with the expected one.
func equal(got, want string) (Outcome, string) {
	if got == want {
		return Met, ""
	}
	return Failed, fmt.Sprintf("it is %.200q, not %q", got, want)
}

// expectations returns what p expects, in the order of the file's documentation.
func (p *Policy) expectations() []expectation {
	var list []expectation
	provenance := func(wanted bool, name string, show func(signedProvenance) (Outcome, string)) {
		if wanted {
			list = append(list, expectation{name: name, provenance: show})
		}
	}
	source := func(wanted bool, name string, show func(slsa.Source) (Outcome, string), certified func(*attest.Certificate) (Outcome, string)) {
		provenance(wanted, name, func(prov signedProvenance) (Outcome, string) {
			s, err := prov.Source()
			if err != nil {
				return NotShown, err.Error()
			}
			if o, reason := show(s); o != Met || certified == nil || prov.certificate == nil {
				return o, reason
			}
			return certified(prov.certificate)
		})
	}

	provenance(len(p.Builders) > 0, "builder", func(prov signedProvenance) (Outcome, string) {
		return prov.checkBuilder(p.Builders)
	})

	source(p.Repository != "", "source.repository", func(s slsa.Source) (Outcome, string) {
		if s.Repository == "" {
			return NotShown, "the provenance names no repository"
		}
		return equalRepository(s.Repository, p.Repository)
	}, func(c *attest.Certificate) (Outcome, string) {
		if c.SourceRepository == "" && strings.Contains(c.Name, workflowPath) {
			return NotShown, "the certificate of a workflow that does not say for which repository it ran"
		}
		return certifies(c.SourceRepository, func(got string) (Outcome, string) { return equalRepository(got, p.Repository) })
	})

	// A commit does not say what was built if there were changes on top of it.
	committed := func(got, want string, s slsa.Source) (Outcome, string) {
		if s.Uncommitted {
			return Failed, "there were uncommitted changes"
		}
		return equal(got, want)
	}
	source(p.Tag != "", "source.tag", func(s slsa.Source) (Outcome, string) { return committed(s.Tag, p.Tag, s) },
		func(c *attest.Certificate) (Outcome, string) {
			return certifies(c.SourceRepositoryRef, func(got string) (Outcome, string) { return equal(got, "refs/tags/"+p.Tag) })
		})
	source(p.Commit != "", "source.commit", func(s slsa.Source) (Outcome, string) { return committed(s.Commit, p.Commit, s) },
		func(c *attest.Certificate) (Outcome, string) {
			return certifies(c.SourceRepositoryDigest, func(got string) (Outcome, string) { return equal(got, p.Commit) })
		})

	provenance(p.Branch != "", "source.branch", func(prov signedProvenance) (Outcome, string) { return prov.checkBranch(p.Branch) })

	source(p.Module != "", "source.module", func(s slsa.Source) (Outcome, string) {
		if s.Module == "" {
			return Failed, "no module of the module proxy was built"
		}
		return equal(s.Module+"@"+s.Version, p.Module)
	}, nil)

	provenance(p.Workflow != "", "build.workflow", func(prov signedProvenance) (Outcome, string) { return prov.checkWorkflow(p.Workflow) })

	provenance(p.Toolchain != "", "build.toolchain", func(prov signedProvenance) (Outcome, string) {
		if prov.Internal == nil {
			return NotShown, fmt.Sprintf("build type %.200q: it is not known to tell", prov.BuildDefinition.BuildType)
		}
		for _, r := range prov.Internal.Recipes {
			exact, isExact := strings.CutPrefix(p.Toolchain, "=")
			experiment := slices.IndexFunc(r.Recipe.Env, func(kv string) bool {
				v, ok := strings.CutPrefix(kv, "GOEXPERIMENT=")
				return ok && v != ""
			})
			switch tc := r.Recipe.Toolchain; {
			case tc.Sum != "" || !isRelease(tc.Version):
				return Failed, fmt.Sprintf("%.100s is not a published toolchain", tc.Version)
			case isExact && tc.Version != exact:
				return Failed, fmt.Sprintf("it is %.100s, not %s", tc.Version, exact)
			case !isExact && version.Compare(tc.Version, p.Toolchain) < 0:
				return Failed, fmt.Sprintf("it is %.100s, not at least %s", tc.Version, p.Toolchain)
			case experiment >= 0:
				return Failed, fmt.Sprintf("%s with %.200s, an experiment", tc.Version, r.Recipe.Env[experiment])
			}
		}
		return Met, ""
	})

	// Foreign build types do not tell a snapshot from a release.
	provenance(p.NoSnapshot, "build.snapshot", func(prov signedProvenance) (Outcome, string) {
		switch {
		case prov.External == nil:
			return NotShown, fmt.Sprintf("build type %.200q: it is not known to tell", prov.BuildDefinition.BuildType)
		case prov.External.Snapshot:
			return Failed, "it is a snapshot, not a release"
		}
		return Met, ""
	})

	if p.Double {
		list = append(list, expectation{name: "build.double", test: func(t *slsa.TestResult) (Outcome, string) {
			if t.Result != slsa.Passed {
				return Failed, fmt.Sprintf("the double build %s: %.500s", t.Result, strings.Join(t.FailedTests, ", "))
			}
			return Met, ""
		}})
	}

	for _, name := range p.Variations {
		list = append(list, expectation{name: "build.variations: " + name, test: func(t *slsa.TestResult) (Outcome, string) {
			if !t.Notes.Varied(name) {
				return Failed, "it was not varied"
			}
			return Met, ""
		}})
	}

	return list
}
