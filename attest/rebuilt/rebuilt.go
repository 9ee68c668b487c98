// Package rebuilt is what somebody says in a statement who has rebuilt a file
// that somebody else published: that it is what its source compiles to, or that
// it is not.
//
// A pass is a Verification Summary Attestation v1
// (https://slsa.dev/spec/v1.0/verification_summary), and a difference is an
// in-toto test result v0.1
// (https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md)
// that says FAILED. Both hold the evidence: the summary in an extension field, as
// in-toto's parsing rules permit it
// (https://github.com/in-toto/attestation/blob/main/spec/v1/README.md#parsing-rules),
// the test result in the annotations of the test. What the members mean, and what
// is not claimed, is written in configs/rebuild/v1.md, whose address is [Page].
//
// A statement depends on its Result alone: equal ones give equal bytes. Reading
// is strict: nothing is accepted that [New] does not write, and what can be
// derived is derived again and compared.
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
	"github.com/twicebuild/twice/pipeline/purl"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// The types of the predicates.
const (
	SummaryType    = "https://slsa.dev/verification_summary/v1"
	TestResultType = "https://in-toto.io/attestation/test-result/v0.1"
)

// Page is the address of the document that defines what is said here, and the
// start of every other name that it defines.
const Page = "https://github.com/twicebuild/twice/blob/main/configs/rebuild/v1.md"

const (
	// LocalVerifier is the verifier of a twice that somebody ran on a machine of
	// their own: who that was, the signature alone can tell.
	LocalVerifier = Page + "#local"

	// rulePolicy and ruleTest begin the names of the rules by which twice judges: the
	// first in a summary, the second in a test result. What follows is the version.
	rulePolicy = Page + "#policy"
	ruleTest   = Page + "#test"
	// policyURI and testURI are the rules of now. Their version goes up with every
	// change of what a verdict takes or of what has to be claimed beside it, so that
	// no statement is read as if another rule had judged. The page says what changed.
	policyURI = rulePolicy + "-2"
	testURI   = ruleTest + "-2"
)

// The levels of a summary. Neither is one of SLSA's, and neither implies one.
const (
	// LevelRebuilt: the source gave the same bytes.
	LevelRebuilt = "TWICE_REBUILT"
	// LevelEquivalent: the source gave bytes that are the same after the
	// normalizations that the evidence names.
	LevelEquivalent = "TWICE_EQUIVALENT"
)

// Results of a predicate. A summary is PASSED and a test result FAILED.
const (
	passed = "PASSED"
	failed = "FAILED"
)

// Result is what came of rebuilding a file.
type Result struct {
	// Name is the name of the file, without folders, and Digest its bytes: the
	// subject of the statement.
	Name   string
	Digest artifact.Digest
	// Resource is the URI from where the file came. If it is empty, New takes the
	// package URL of the module, or one that names the digest alone.
	Resource string
	// Verifier is the URI of who rebuilt, LocalVerifier if it is empty, and Version
	// the versions of the tools by name: of twice and of go.
	Verifier string
	Version  map[string]string
	// Time is when it was rebuilt; whole seconds are kept, in UTC.
	Time time.Time
	// Inputs are the attestations that were used.
	Inputs []intoto.Descriptor
	Evidence
}

// Evidence is what the result rests on. The fields stand in the order of their
// JSON names.
type Evidence struct {
	// Claimed lists what somebody chose or said and nothing vouches for: every setting
	// that the source does not force, those of -X at the end.
	Claimed []Claim `json:"claimed"`
	// Content reports whether the file is as it was linked, after its build ID.
	Content inspect.Content `json:"content"`
	// GoVersion is the toolchain, after what the file says.
	GoVersion string `json:"goVersion"`
	// Normalizations are what had to be left out for an equivalent file.
	Normalizations []inspect.Normalization `json:"normalizations"`
	// Notes are what else a reader should know: what was not confined, for one.
	Notes []string `json:"notes"`
	// Package is the main package.
	Package string `json:"package"`
	// Reason is why the file differs, nil if it does not.
	Reason *Reason `json:"reason,omitempty"`
	// Rebuilt is what the source gave.
	Rebuilt *File `json:"rebuilt,omitempty"`
	// Recipe is how, where it can be said as one.
	Recipe *Recipe `json:"recipe,omitempty"`
	// Recovered lists what was found out by trial.
	Recovered []Ground `json:"recovered"`
	// RestsOn lists what was verified without the file.
	RestsOn []Ground `json:"restsOn"`
	// Size is that of the file in bytes.
	Size int64 `json:"size"`
	// Source is "path@version" of the module.
	Source string `json:"source"`
	Target string `json:"target"`
	// Uncovered is the number of bytes that nothing is said about, because of the
	// normalizations.
	Uncovered int64 `json:"uncovered"`
	// Verdict is Reproduced, Equivalent or Differs.
	Verdict compare.Verdict `json:"verdict"`
}

// Ground is a thing that a verdict rests on, and why it can or cannot be relied
// upon.
type Ground struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Claim is what somebody chose or said, and why that is known or can be believed.
type Claim struct {
	What string `json:"what"`
	Why  string `json:"why"`
	// Setting and Value are those of the [recipe.Choice] that What is, or of one of
	// [Beside]; Setting is empty for what is no setting.
	Setting string `json:"setting,omitempty"`
	Value   string `json:"value,omitempty"`
}

// Beside are the settings that no recipe has: what version control left in the file
// where its history was not at hand, and where the folders of the build were.
var Beside = []string{"vcs.revision", "vcs.time", "vcs.modified", "GOROOT", "GOMODCACHE", "source-folder"}

// Choices are the settings in the claims.
func (e *Evidence) Choices() []recipe.Choice {
	var list []recipe.Choice
	for _, c := range e.Claimed {
		if c.Setting != "" {
			list = append(list, recipe.Choice{Setting: c.Setting, Value: c.Value})
		}
	}
	return list
}

// Reason is why a file differs.
type Reason struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// File names bytes.
type File struct {
	Digest map[string]string `json:"digest"`
	Size   int64             `json:"size"`
}

// Recipe is a recipe and the digest of its canonical encoding.
type Recipe struct {
	Digest map[string]string `json:"digest"`
	Recipe recipe.Recipe     `json:"recipe"`
}

// NewFile returns the name of bytes.
func NewFile(d artifact.Digest, size int64) *File {
	return &File{Digest: sha256Set(d), Size: size}
}

// NewRecipe returns a recipe with its digest.
func NewRecipe(r recipe.Recipe) (*Recipe, error) {
	d, err := r.Digest()
	if err != nil {
		return nil, err
	}
	return &Recipe{Digest: sha256Set(d), Recipe: r}, nil
}

// Pass reports whether the file is what the source gives.
func (r *Result) Pass() bool { return r.Verdict.Pass() }

// ErrUndetermined says that there is nothing to say: a result that is neither a
// pass nor a difference must not look like either.
var ErrUndetermined = errors.New("an undetermined result says nothing about the file")

// ErrOther says that a statement is none of a rebuild: its predicate has another
// type, or is a summary or a test result of something else.
var ErrOther = errors.New("not a statement of a rebuild")

// ErrRule is wrapped by the error about a statement of a rebuild that another rule
// judged than the one that is known here.
var ErrRule = errors.New("another rule judged")

// summary is the predicate of a pass, in the order of the specification.
type summary struct {
	Verifier           verifier            `json:"verifier"`
	TimeVerified       string              `json:"timeVerified"`
	ResourceURI        string              `json:"resourceUri"`
	Policy             intoto.Descriptor   `json:"policy"`
	InputAttestations  []intoto.Descriptor `json:"inputAttestations"`
	VerificationResult string              `json:"verificationResult"`
	VerifiedLevels     []string            `json:"verifiedLevels"`
	Evidence           Evidence            `json:"https://github.com/twicebuild/twice/blob/main/configs/rebuild/v1.md#evidence"`
}

type verifier struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// testResult is the predicate of a difference, in the order of the specification.
// The configuration has, in this order, the test (its annotations are the
// evidence), the verifier, the resource, and the attestations that were used.
type testResult struct {
	Result        string              `json:"result"`
	Configuration []intoto.Descriptor `json:"configuration"`
	PassedTests   []string            `json:"passedTests"`
	WarnedTests   []string            `json:"warnedTests"`
	FailedTests   []string            `json:"failedTests"`
}

// verifierNotes are the annotations of the verifier in a test result.
type verifierNotes struct {
	TimeVerified string            `json:"timeVerified"`
	Version      map[string]string `json:"version"`
}

const (
	testName     = "rebuild"
	verifierName = "verifier"
	resourceName = "resource"

	// timeFormat is that of in-toto's Timestamp, in UTC and to the second.
	timeFormat = "2006-01-02T15:04:05Z"
)

// New returns what r says as a statement with one subject. If r is undetermined
// the error is [ErrUndetermined].
func New(r Result) (intoto.Statement, error) {
	if r.Verdict == compare.Undetermined || r.Verdict == "" {
		return intoto.Statement{}, ErrUndetermined
	}
	s, err := r.statement()
	if err == nil {
		_, err = decode(s)
	}
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("statement of a rebuild: %w", err)
	}
	return s, nil
}

func (r Result) statement() (s intoto.Statement, err error) {
	if r.Verifier == "" {
		r.Verifier = LocalVerifier
	}
	if r.Resource == "" {
		r.Resource = r.resource()
	}
	claims := []Claim{}
	for _, c := range r.Claimed {
		claims = append(claims, Claim{valid(c.What), valid(c.Why), valid(c.Setting), valid(c.Value)})
	}
	r.Claimed, r.Recovered, r.RestsOn = claims, grounds(r.Recovered), grounds(r.RestsOn)
	if r.Reason != nil {
		r.Reason = &Reason{valid(r.Reason.Kind), valid(r.Reason.Text)}
	}
	notes := []string{}
	for _, n := range r.Notes {
		notes = append(notes, valid(n))
	}
	r.Notes = notes
	fill(&r.Normalizations)
	fill(&r.Inputs)
	at := r.Time.UTC().Format(timeFormat)
	s = intoto.Statement{Subjects: []intoto.Subject{{Name: r.Name, Digest: r.Digest}}}
	if r.Pass() {
		s.PredicateType = SummaryType
		s.Predicate, err = intoto.Marshal(summary{
			Verifier: verifier{r.Verifier, r.Version}, TimeVerified: at, ResourceURI: r.Resource,
			Policy: intoto.Descriptor{URI: policyURI}, InputAttestations: r.Inputs,
			VerificationResult: passed, VerifiedLevels: []string{r.level()}, Evidence: r.Evidence,
		})
		return s, err
	}
	test := intoto.Descriptor{Name: testName, URI: testURI}
	if test.Annotations, err = intoto.Annotations(r.Evidence); err != nil {
		return s, err
	}
	who := intoto.Descriptor{Name: verifierName, URI: r.Verifier}
	if who.Annotations, err = intoto.Annotations(verifierNotes{at, r.Version}); err != nil {
		return s, err
	}
	s.PredicateType = TestResultType
	s.Predicate, err = intoto.Marshal(testResult{
		Result:        failed,
		Configuration: slices.Concat([]intoto.Descriptor{test, who, {Name: resourceName, URI: r.Resource}}, r.Inputs),
		PassedTests:   []string{}, WarnedTests: []string{}, FailedTests: []string{testName},
	})
	return s, err
}

// fill makes an empty list of none, so that it is written as one.
func fill[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

// grounds is list as it can be written.
func grounds(list []Ground) []Ground {
	out := []Ground{}
	for _, g := range list {
		out = append(out, Ground{valid(g.What), valid(g.Why)})
	}
	return out
}

// valid makes UTF-8 of a stranger's words, which may be anything.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// level is that of a pass.
func (r *Result) level() string {
	if r.Verdict == compare.Equivalent {
		return LevelEquivalent
	}
	return LevelRebuilt
}

// resource is the URI of a file that came from nowhere in particular.
func (r *Result) resource() string {
	if path, version, ok := strings.Cut(r.Source, "@"); ok && path != "" && version != "" {
		return purl.Golang(path, version)
	}
	return purl.Generic(r.Name, string(r.Digest))
}

// Is reports whether a predicate is about a rebuild, from what names it: nothing is
// verified, and [Decode] may refuse it all the same. It serves to decide whose
// signature has to be on it.
func Is(predicateType string, predicate []byte) bool {
	return ruleOf(predicateType, predicate) != ""
}

// ruleOf returns the name of the rule that a predicate says has judged, and nothing
// if it is not about a rebuild. A rule that is not known is one as well: its verdict
// is not to be overlooked.
func ruleOf(predicateType string, predicate []byte) string {
	type named struct {
		URI string `json:"uri"`
	}
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

// checkRule fails if the rule is not the one of now. Others may have called a file
// different without the ground that this one asks for, or left out what it has claimed.
func checkRule(rule string) error {
	switch rule {
	case policyURI, testURI:
		return nil
	case rulePolicy, ruleTest:
		return fmt.Errorf("%w: it is of the first version of the rules, and this twice reads the second alone: have the rebuilder rebuild the file with a newer twice, sign anew, and drop this statement", ErrRule)
	}
	return fmt.Errorf("%w: %.200q is not known here: read it with the twice that made it, or have the rebuilder rebuild the file with this one, sign anew, and drop this statement", ErrRule, rule)
}

// Decode reads a statement that [New] has made. The error is [ErrOther] if it is
// about something else than a rebuild, and wraps [ErrRule] if it has to be made anew.
func Decode(s intoto.Statement) (*Result, error) {
	rule := ruleOf(s.PredicateType, s.Predicate)
	if rule == "" {
		return nil, ErrOther
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

func decode(s intoto.Statement) (*Result, error) {
	predicate, err := s.CompactPredicate()
	if err != nil {
		return nil, err
	}
	if len(s.Subjects) != 1 || s.Subjects[0].Name == "" {
		return nil, errors.New("subject: want one, with a name")
	}
	r := &Result{Name: s.Subjects[0].Name, Digest: s.Subjects[0].Digest}
	at := ""
	if s.PredicateType == SummaryType {
		at, err = r.fromSummary(predicate)
	} else {
		at, err = r.fromTest(predicate)
	}
	if err != nil {
		return nil, err
	}
	if r.Time, err = time.Parse(timeFormat, at); err != nil {
		return nil, fmt.Errorf("timeVerified %.50q: not a time in UTC", at)
	}
	return r, r.checkResult()
}

func (r *Result) fromSummary(predicate []byte) (at string, err error) {
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
	return p.TimeVerified, same(p.Policy, intoto.Descriptor{URI: policyURI})
}

func (r *Result) fromTest(predicate []byte) (at string, err error) {
	var p testResult
	if err := intoto.Exact(predicate, &p); err != nil {
		return "", err
	}
	if len(p.Configuration) < 3 {
		return "", errors.New("configuration: want the test, the verifier and the resource")
	}
	test, who, where := p.Configuration[0], p.Configuration[1], p.Configuration[2]
	r.Verifier, r.Resource, r.Inputs = who.URI, where.URI, p.Configuration[3:]
	if err := intoto.FromAnnotations(test.Annotations, &r.Evidence); err != nil {
		return "", fmt.Errorf("configuration[0]: %w", err)
	}
	var notes verifierNotes
	if err := intoto.FromAnnotations(who.Annotations, &notes); err != nil {
		return "", fmt.Errorf("configuration[1]: %w", err)
	}
	r.Version = notes.Version
	for i, want := range []intoto.Descriptor{
		{Name: testName, URI: testURI, Annotations: test.Annotations},
		{Name: verifierName, URI: who.URI, Annotations: who.Annotations},
		{Name: resourceName, URI: where.URI},
	} {
		if err := same(p.Configuration[i], want); err != nil {
			return "", fmt.Errorf("configuration[%d]: %w", i, err)
		}
	}
	switch {
	case r.Verdict != compare.Differs:
		return "", fmt.Errorf("verdict %.100q: a test result is about a difference", r.Verdict)
	case p.Result != failed || len(p.PassedTests)+len(p.WarnedTests) > 0 || p.PassedTests == nil || p.WarnedTests == nil || !slices.Equal(p.FailedTests, []string{testName}):
		return "", fmt.Errorf("result %.100q: want %s, with the one test %s", p.Result, failed, testName)
	}
	return notes.TimeVerified, nil
}

// same compares what a document has with what was derived.
func same(got, want intoto.Descriptor) error {
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

// normalizations are those that a file may be equivalent after.
var normalizations = []inspect.Normalization{inspect.WithoutSignature, inspect.WithoutBuildID, inspect.MembersAlone}

// checkResult holds the parts of r against each other.
func (r *Result) checkResult() error {
	if len(r.Version) != 2 || r.Version["twice"] == "" || r.Version["go"] == "" {
		return fmt.Errorf("verifier: version %v: want those of twice and go", r.Version)
	}
	for name, uri := range map[string]string{"verifier": r.Verifier, "resource": r.Resource} {
		if err := intoto.CheckURI(uri); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
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

// checkClaims holds the claims against the recipe: every setting in it that the
// source does not force is claimed, and no other.
func (r *Result) checkClaims() error {
	var said []recipe.Choice
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
		if !slices.Contains(Beside, c.Setting) {
			said = append(said, choice)
		}
	}
	if r.Recipe == nil {
		return nil
	}
	chosen := r.Recipe.Recipe.Choices()
	for i := range max(len(said), len(chosen)) {
		switch {
		case i >= len(said):
			return fmt.Errorf("claimed: does not say %.200q, which the recipe has and the source does not force", chosen[i])
		case i >= len(chosen):
			return fmt.Errorf("claimed: %.200q: the recipe has no such setting", said[i])
		case said[i] != chosen[i]:
			return fmt.Errorf("claimed: %.200q: want %.200q, as the recipe has it", said[i], chosen[i])
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

// checkRecipe holds the recipe against its digest and against what else is said.
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

// sha256Set is a DigestSet of one SHA-256.
func sha256Set(d artifact.Digest) map[string]string { return map[string]string{"sha256": d.Hex()} }
