package rebuilt

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// IsRebuild reports whether a predicate is about a rebuild. Nothing is verified, and [Decode] may
// refuse it all the same. It serves to decide whose signature has to be on it.
func IsRebuild(predicateType string, predicate []byte) bool {
	return ruleOf(predicateType, predicate) != ""
}

// ruleOf returns the name of the rule that judged, as a predicate says it. It returns nothing if
// the predicate is not about a rebuild. The rule may be unknown: even then the verdict must not be
// overlooked.
func ruleOf(predicateType string, predicate []byte) string {
	type named struct {
		URI string `json:"uri"`
	}

	// An unknown version of the rule counts, too.
	switch predicateType {
	case SummaryType:
		var p struct {
			Policy named `json:"policy"`
		}
		if json.Unmarshal(predicate, &p) == nil && strings.HasPrefix(p.Policy.URI, rulePolicy) {
			return p.Policy.URI
		}
	case TestResultType:
		var p struct {
			Configuration []named `json:"configuration"`
		}
		if json.Unmarshal(predicate, &p) != nil {
			return ""
		}
		for _, n := range p.Configuration {
			if strings.HasPrefix(n.URI, ruleTest) {
				return n.URI
			}
		}
	}
	return ""
}

// checkRule returns an error unless the rule is the current one. Others may have called a file
// different without the ground that this one asks for, or left out what it claims.
func checkRule(rule string) error {
	switch rule {
	case policyURI, testURI:
		return nil
	case rulePolicy, ruleTest:
		return fmt.Errorf("%w: it is of the first version of the rules, and this twice reads the second alone: have the rebuilder rebuild the file with a newer twice, sign anew, and drop this statement", ErrOtherRule)
	}
	return fmt.Errorf("%w: %.200q is not known here: read it with the twice that made it, or have the rebuilder rebuild the file with this one, sign anew, and drop this statement", ErrOtherRule, rule)
}

// Decode reads a statement that [New] has made. The error is [ErrNotRebuild] if it is about
// something else than a rebuild, and wraps [ErrOtherRule] if it has to be made again.
func Decode(s intoto.Statement) (*Result, error) {
	rule := ruleOf(s.PredicateType, s.Predicate)
	if rule == "" {
		return nil, ErrNotRebuild
	}
	r, err := (*Result)(nil), checkRule(rule)
	if err == nil {
		r, err = decode(s)
	}
	if err != nil {
		return nil, fmt.Errorf("statement of a rebuild: %w", err)
	}
	return r, nil
}

// decode reads a statement by the current rule.
func decode(s intoto.Statement) (*Result, error) {
	predicate, err := s.CompactPredicate()
	if err != nil {
		return nil, err
	}

	if len(s.Subjects) != 1 || s.Subjects[0].Name == "" {
		return nil, errors.New("subject: want one, with a name")
	}

	r := &Result{Name: s.Subjects[0].Name, Digest: s.Subjects[0].Digest}
	// The type of the predicate tells a pass from a difference.
	at := ""
	if s.PredicateType == SummaryType {
		at, err = r.readSummary(predicate)
	} else {
		at, err = r.readTestResult(predicate)
	}
	if err != nil {
		return nil, err
	}

	if r.Time, err = time.Parse(timeFormat, at); err != nil {
		return nil, fmt.Errorf("timeVerified %.50q: not a time in UTC", at)
	}
	return r, r.checkResult()
}

// readSummary fills r from the predicate of a pass, and returns the time in it.
func (r *Result) readSummary(predicate []byte) (at string, err error) {
	var p summary
	if err := intoto.Exact(predicate, &p); err != nil {
		return "", err
	}

	r.Verifier, r.Version, r.Resource, r.Inputs, r.Evidence = p.Verifier.ID, p.Verifier.Version, p.ResourceURI, p.InputAttestations, p.Evidence
	switch {
	case !r.Pass():
		return "", fmt.Errorf("verdict %.100q: a summary is about a pass", r.Verdict)
	case p.VerificationResult != passed:
		return "", fmt.Errorf("verificationResult %.100q: want %s", p.VerificationResult, passed)
	case !slices.Equal(p.VerifiedLevels, []string{r.level()}):
		return "", fmt.Errorf("verifiedLevels %.200q: want %s, as it was %s", p.VerifiedLevels, r.level(), r.Verdict)
	}

	return p.TimeVerified, checkDescriptor(p.Policy, intoto.Descriptor{URI: policyURI})
}

// readTestResult fills r from the predicate of a difference, and returns the time in it.
func (r *Result) readTestResult(predicate []byte) (at string, err error) {
	var p testResult
	if err := intoto.Exact(predicate, &p); err != nil {
		return "", err
	}
	if len(p.Configuration) < 3 {
		return "", errors.New("configuration: want the test, the verifier and the resource")
	}

	test, who, resource := p.Configuration[0], p.Configuration[1], p.Configuration[2]
	r.Verifier, r.Resource, r.Inputs = who.URI, resource.URI, p.Configuration[3:]
	if err := intoto.FromAnnotations(test.Annotations, &r.Evidence); err != nil {
		return "", fmt.Errorf("configuration[0]: %w", err)
	}
	var notes verifierNotes
	if err := intoto.FromAnnotations(who.Annotations, &notes); err != nil {
		return "", fmt.Errorf("configuration[1]: %w", err)
	}
	r.Version = notes.Version

	// What was not read above must be as New writes it.
	for i, want := range []intoto.Descriptor{
		{Name: testName, URI: testURI, Annotations: test.Annotations},
		{Name: verifierName, URI: who.URI, Annotations: who.Annotations},
		{Name: resourceName, URI: resource.URI},
	} {
		if err := checkDescriptor(p.Configuration[i], want); err != nil {
			return "", fmt.Errorf("configuration[%d]: %w", i, err)
		}
	}

	// A difference is one failed test and nothing else.
	switch {
	case r.Verdict != compare.Differs:
		return "", fmt.Errorf("verdict %.100q: a test result is about a difference", r.Verdict)
	case p.Result != failed || len(p.PassedTests)+len(p.WarnedTests) > 0 || p.PassedTests == nil || p.WarnedTests == nil || !slices.Equal(p.FailedTests, []string{testName}):
		return "", fmt.Errorf("result %.100q: want %s, with the one test %s", p.Result, failed, testName)
	}

	return notes.TimeVerified, nil
}

// checkDescriptor compares the descriptor in a document with one that was derived.
func checkDescriptor(got, want intoto.Descriptor) error {
	g, err := intoto.Marshal(got)
	if err != nil {
		return err
	}
	w, err := intoto.Marshal(want)
	if err != nil {
		return err
	}

	if string(g) != string(w) {
		return fmt.Errorf("%.300s: want %.300s", g, w)
	}
	return nil
}

// normalizations are those after which a file may be called equivalent.
var normalizations = []inspect.Normalization{inspect.WithoutSignature, inspect.WithoutBuildID, inspect.MembersAlone}

// checkResult checks the parts of r against each other.
func (r *Result) checkResult() error {
	if len(r.Version) != 2 || r.Version["twice"] == "" || r.Version["go"] == "" {
		return fmt.Errorf("verifier: version %v: want those of twice and go", r.Version)
	}

	for name, uri := range map[string]string{"verifier": r.Verifier, "resource": r.Resource} {
		if err := intoto.CheckURI(uri); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}

	// New writes empty lists, and sizes that a file can have.
	switch {
	case r.Inputs == nil || r.Claimed == nil || r.Recovered == nil || r.RestsOn == nil || r.Normalizations == nil || r.Notes == nil:
		return errors.New("null, where a list belongs")
	case r.Size < 0 || r.Uncovered < 0 || r.Uncovered > r.Size:
		return fmt.Errorf("size %d, uncovered %d", r.Size, r.Uncovered)
	case !slices.Contains([]inspect.Content{inspect.ContentIntact, inspect.ContentSigned, inspect.ContentChanged, inspect.ContentUnknown}, r.Content):
		return fmt.Errorf("content %.100q: unknown", r.Content)
	}
	for i, n := range r.Normalizations {
		if !slices.Contains(normalizations, n) || slices.Contains(r.Normalizations[:i], n) {
			return fmt.Errorf("normalization %.100q: unknown, or there twice", n)
		}
	}

	if r.Rebuilt != nil {
		if _, err := artifact.ParseDigest("sha256:" + r.Rebuilt.Digest["sha256"]); err != nil || len(r.Rebuilt.Digest) != 1 || r.Rebuilt.Size < 0 {
			return fmt.Errorf("rebuilt: digest %v, %d bytes: want a sha256 and a size", r.Rebuilt.Digest, r.Rebuilt.Size)
		}
	}

	if err := r.checkVerdict(); err != nil {
		return fmt.Errorf("verdict %s: %w", r.Verdict, err)
	}
	if err := r.checkRecipe(); err != nil {
		return err
	}
	return r.checkClaims()
}

// checkClaims checks the claims against the recipe. Every setting in it that the source does not
// force is claimed, and no other.
func (r *Result) checkClaims() error {
	var claimed []recipe.Choice
	for _, c := range r.Claimed {
		choice := recipe.Choice{Setting: c.Setting, Value: c.Value}
		switch {
		case c.Setting == "" && c.Value != "":
			return fmt.Errorf("claimed: %.200q: a value of no setting", c.What)
		case c.Setting == "":
			continue
		case c.What != choice.String():
			return fmt.Errorf("claimed: %.200q: want %.200q", c.What, choice)
		}
		if !slices.Contains(SettingsBesideRecipe, c.Setting) {
			claimed = append(claimed, choice)
		}
	}

	// A bootstrap of Go has no recipe to compare with.
	if r.Recipe == nil {
		return nil
	}

	// Both are in one order, so a difference has a position.
	inRecipe := r.Recipe.Recipe.Choices()
	for i := range max(len(claimed), len(inRecipe)) {
		switch {
		case i >= len(claimed):
			return fmt.Errorf("claimed: does not say %.200q, which the recipe has and the source does not force", inRecipe[i])
		case i >= len(inRecipe):
			return fmt.Errorf("claimed: %.200q: the recipe has no such setting", claimed[i])
		case claimed[i] != inRecipe[i]:
			return fmt.Errorf("claimed: %.200q: want %.200q, as the recipe has it", claimed[i], inRecipe[i])
		}
	}
	return nil
}

// checkVerdict returns an error unless the verdict is one that the evidence can give.
func (r *Result) checkVerdict() error {
	equal := r.Rebuilt != nil && r.Rebuilt.Digest["sha256"] == r.Digest.Hex()

	switch {
	case r.Pass() != (r.Reason == nil):
		return errors.New("want a reason if and only if the file differs")
	case r.Reason != nil && (r.Reason.Kind == "" || r.Reason.Text == ""):
		return errors.New("reason: empty")
	case r.Pass() && r.Rebuilt == nil:
		return errors.New("nothing was rebuilt")
	case r.Pass() && len(r.RestsOn) == 0:
		return errors.New("restsOn: a pass that rests on nothing")
	case equal != (r.Verdict == compare.Reproduced):
		return errors.New("want the digest of the file in rebuilt if and only if it was reproduced")
	case equal && r.Rebuilt.Size != r.Size:
		return fmt.Errorf("rebuilt has %d bytes and the file %d, with one digest", r.Rebuilt.Size, r.Size)
	case (len(r.Normalizations) > 0) != (r.Verdict == compare.Equivalent):
		return errors.New("want normalizations if and only if the file is equivalent")
	case r.Uncovered > 0 && r.Verdict != compare.Equivalent:
		return fmt.Errorf("uncovered %d, without a normalization", r.Uncovered)
	}
	return nil
}

// checkRecipe checks the recipe against its digest, the target, the toolchain and the source.
func (r *Result) checkRecipe() error {
	if r.Target != "" {
		if t, err := matrix.ParseTarget(r.Target); err != nil || t.String() != r.Target {
			return fmt.Errorf("target %.100q: want one as twice writes it", r.Target)
		}
	}
	if r.Recipe == nil {
		return nil
	}

	rec := r.Recipe.Recipe
	digest, err := rec.Digest()
	switch {
	case err != nil:
		return fmt.Errorf("recipe: %w", err)
	case len(r.Recipe.Digest) != 1 || r.Recipe.Digest["sha256"] != digest.Hex():
		return fmt.Errorf("recipe: digest %v: that of the recipe is %s", r.Recipe.Digest, digest)
	case rec.Target.String() != r.Target:
		return fmt.Errorf("recipe: for %s, not %.100q", rec.Target, r.Target)
	case rec.Toolchain.Version != r.GoVersion:
		return fmt.Errorf("recipe: with %.100q, not %.100q", rec.Toolchain.Version, r.GoVersion)
	case rec.Source.Module != "" && rec.Source.Name() != r.Source:
		return fmt.Errorf("recipe: of %.200q, not %.200q", rec.Source.Name(), r.Source)
	}
	return nil
}
