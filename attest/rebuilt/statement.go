package rebuilt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/purl"
)

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

// verifier says who rebuilt the file, and with which versions.
type verifier struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// testResult is the predicate of a difference, in the order of the specification. The configuration
// has, in this order, the test (its annotations are the evidence), the verifier, the resource, and
// the attestations that were used.
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

// New returns a statement with one subject about r. If r is undetermined the error is
// [ErrUndetermined].
func New(r Result) (intoto.Statement, error) {
	if r.Verdict == compare.Undetermined || r.Verdict == "" {
		return intoto.Statement{}, ErrUndetermined
	}

	s, err := r.statement()
	// Readers are strict, so what they would refuse is not written.
	if err == nil {
		_, err = decode(s)
	}
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("statement of a rebuild: %w", err)
	}
	return s, nil
}

// statement fills in what r leaves out, and makes the statement. It does not check r.
func (r Result) statement() (s intoto.Statement, err error) {
	if r.Verifier == "" {
		r.Verifier = LocalVerifier
	}
	if r.Resource == "" {
		r.Resource = r.defaultResource()
	}

	// Texts may be a stranger's. JSON would change what is not UTF-8.
	claims := []Claim{}
	for _, c := range r.Claimed {
		claims = append(claims, Claim{validUTF8(c.What), validUTF8(c.Why), validUTF8(c.Setting), validUTF8(c.Value)})
	}
	r.Claimed, r.Recovered, r.RestsOn = claims, validGrounds(r.Recovered), validGrounds(r.RestsOn)
	if r.Reason != nil {
		r.Reason = &Reason{validUTF8(r.Reason.Kind), validUTF8(r.Reason.Text)}
	}
	notes := []string{}
	for _, n := range r.Notes {
		notes = append(notes, validUTF8(n))
	}
	r.Notes = notes

	notNil(&r.Normalizations)
	notNil(&r.Inputs)

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

	// A test result has no members for the verifier and the resource. They are in its
	// configuration.
	test := intoto.Descriptor{Name: testName, URI: testURI}
	if test.Annotations, err = intoto.Annotations(r.Evidence); err != nil {
		return s, err
	}

	verifierPart := intoto.Descriptor{Name: verifierName, URI: r.Verifier}
	if verifierPart.Annotations, err = intoto.Annotations(verifierNotes{at, r.Version}); err != nil {
		return s, err
	}

	s.PredicateType = TestResultType
	s.Predicate, err = intoto.Marshal(testResult{
		Result:        failed,
		Configuration: slices.Concat([]intoto.Descriptor{test, verifierPart, {Name: resourceName, URI: r.Resource}}, r.Inputs),
		PassedTests:   []string{}, WarnedTests: []string{}, FailedTests: []string{testName},
	})
	return s, err
}

// notNil replaces nil by an empty list, so that JSON has a list and no null.
func notNil[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

// validGrounds returns grounds whose texts are UTF-8.
func validGrounds(list []Ground) []Ground {
	out := []Ground{}
	for _, g := range list {
		out = append(out, Ground{validUTF8(g.What), validUTF8(g.Why)})
	}
	return out
}

// validUTF8 makes UTF-8 of a stranger's text, which may be any bytes.
func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// level returns the level of a pass.
func (r *Result) level() string {
	if r.Verdict == compare.Equivalent {
		return LevelEquivalent
	}
	return LevelRebuilt
}

// defaultResource returns the URI of a file whose origin is not known.
func (r *Result) defaultResource() string {
	if path, version, ok := strings.Cut(r.Source, "@"); ok && path != "" && version != "" {
		return purl.Golang(path, version)
	}
	return purl.Generic(r.Name, string(r.Digest))
}

// sha256Set is a DigestSet of one SHA-256.
func sha256Set(d artifact.Digest) map[string]string { return map[string]string{"sha256": d.Hex()} }
