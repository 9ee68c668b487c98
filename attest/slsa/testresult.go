package slsa

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// The results of a double build. The specification has WARNED too, which ours never is.
const (
	Passed = "PASSED"
	Failed = "FAILED"
)

// TestResult is the result of a double build, in the form of a test result predicate
// (https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md).
//
// There is a test for each binary, named double-build/<target>/<binary>, and one for each file of
// the source tree that is in archives, named double-build/files/<name>. A test passes if both
// builds gave equal bytes, or bytes that are equal after a named normalization. Otherwise it fails.
// It also fails if the answer could not be determined, since a test without an answer was not
// passed. Verdicts tells which of the two it was. The Result is PASSED if there was a test and
// every test passed, and FAILED otherwise.
//
// What was varied between the builds is no test. It is how the test was made, so it is in the
// configuration, together with what could not be varied and why. Something that was not varied has
// not failed, and is no warning about the artifacts. A policy names the variations that it
// requires.
type TestResult struct {
	Result string `json:"result"`
	// Configuration has, in this order, the test (its annotations are Notes), the release file, and
	// the recipes, named recipe/<target>/<binary>.
	Configuration []intoto.Descriptor `json:"configuration"`
	// URL is that of the run, if it has one.
	URL         string   `json:"url,omitempty"`
	PassedTests []string `json:"passedTests"`
	WarnedTests []string `json:"warnedTests"`
	FailedTests []string `json:"failedTests"`

	// Notes are the annotations of the test.
	Notes Notes `json:"-"`
}

// Notes say how the double build was made, and what came of it.
type Notes struct {
	Circumstances
	// Verdicts are those of the tests, by their names.
	Verdicts map[string]compare.Verdict `json:"verdicts"`
}

// ErrNothingBuilt says that a test result has nothing that it could be about.
var ErrNothingBuilt = errors.New("no pass built anything")

// NewTestResult returns the result of the double build of rec. Its subjects are the artifacts of
// the release if every test passed. Otherwise there is no release, and the subjects are what the
// passes built, by the names that they have below dist.rejected: A/<os>_<arch>/<binary>,
// B/files/<name>. If they built nothing at all, the error is [ErrNothingBuilt]: a statement needs a
// subject. url is that of the run, or empty.
func NewTestResult(rec *record.Record, url string) (intoto.Statement, error) {
	s, err := newTestResult(rec, url)
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("test result: %w", err)
	}
	return s, nil
}

// newTestResult is NewTestResult without the words in front of its errors.
func newTestResult(rec *record.Record, url string) (intoto.Statement, error) {
	// Encoding finds contradictions in the record.
	if _, err := rec.Encode(); err != nil {
		return intoto.Statement{}, err
	}

	test := intoto.Descriptor{Name: "double build", URI: doubleBuild}
	config := intoto.Descriptor{Name: "config", Digest: sha256Set(rec.Source.Config)}
	t := TestResult{Result: Failed, Configuration: []intoto.Descriptor{test, config}, URL: url, PassedTests: []string{}, WarnedTests: []string{}, FailedTests: []string{}}
	t.Notes = Notes{Circumstances: circumstancesOf(rec), Verdicts: map[string]compare.Verdict{}}

	addTest := func(name string, v compare.Verdict) {
		t.Notes.Verdicts[name] = v
		if v.Pass() {
			t.PassedTests = append(t.PassedTests, name)
		} else {
			t.FailedTests = append(t.FailedTests, name)
		}
	}

	s := intoto.Statement{PredicateType: TestResultType}
	addSubject := func(name string, d artifact.Digest) {
		if d != "" {
			s.Subjects = append(s.Subjects, intoto.Subject{Name: name, Digest: d})
		}
	}

	// The subjects are what was built, until it is known that there is a release.
	for _, b := range rec.Binaries {
		addTest(testName(b.Target, b.Name), b.Verdict)
		t.Configuration = append(t.Configuration, intoto.Descriptor{Name: recipeName(b.Target, b.Name), Digest: sha256Set(b.RecipeDigest)})
		addSubject(PassName(pass.A, b.Target, b.Name), b.A)
		addSubject(PassName(pass.B, b.Target, b.Name), b.B)
	}
	for _, f := range rec.Files {
		addTest(filesTest+f.Name, f.Verdict)
		addSubject(PassFile(pass.A, f.Name), f.A)
		addSubject(PassFile(pass.B, f.Name), f.B)
	}

	if rec.Verdict.Pass() {
		t.Result = Passed
		s.Subjects = subjectsOf(rec)
	}
	if len(s.Subjects) == 0 {
		return intoto.Statement{}, ErrNothingBuilt
	}

	var err error
	if t.Configuration[0].Annotations, err = intoto.Annotations(t.Notes); err != nil {
		return intoto.Statement{}, err
	}
	if s.Predicate, err = intoto.Marshal(t); err != nil {
		return intoto.Statement{}, err
	}

	// Readers are strict, so what they would refuse is not written.
	_, err = DecodeTestResult(s)
	return s, err
}

// filesTest begins the name of the test of a file.
const filesTest = "double-build/files/"

// testName returns the name of a binary's test.
func testName(t matrix.Target, binary string) string {
	return "double-build/" + t.String() + "/" + binary
}

// recipeName returns the name of a binary's recipe.
func recipeName(t matrix.Target, binary string) string {
	return "recipe/" + t.String() + "/" + binary
}

// ErrOtherTest says that a test result is of another test than a double build. There may be many of
// those.
var ErrOtherTest = errors.New("test result: of another test than a double build")

// DecodeTestResult reads the result of a double build. It accepts what NewTestResult writes and
// nothing else. The error about the result of another test is [ErrOtherTest].
func DecodeTestResult(s intoto.Statement) (*TestResult, error) {
	if s.PredicateType != TestResultType {
		return nil, fmt.Errorf("test result: predicateType %.200q: want %q", s.PredicateType, TestResultType)
	}

	predicate, err := s.CompactPredicate()
	if err != nil {
		return nil, fmt.Errorf("test result: %w", err)
	}
	if !isDoubleBuild(predicate) {
		return nil, ErrOtherTest
	}

	t := &TestResult{}
	if err := intoto.Exact(predicate, t); err != nil {
		return nil, fmt.Errorf("test result: %w", err)
	}
	if err := t.checkTests(); err != nil {
		return nil, fmt.Errorf("test result: %w", err)
	}
	return t, nil
}

// isDoubleBuild reports whether the double build is the test in the configuration, whatever else is
// there.
func isDoubleBuild(predicate []byte) bool {
	var top object
	var list []object
	if json.Unmarshal(predicate, &top) != nil || top.required("configuration", &list) != nil {
		return false
	}
	return slices.ContainsFunc(list, func(o object) bool {
		var uri string
		return o.required("uri", &uri) == nil && uri == doubleBuild
	})
}

// checkTests checks the notes, the lists of tests and the verdicts against each other.
func (t *TestResult) checkTests() error {
	want := intoto.Descriptor{Name: "double build", URI: doubleBuild, Annotations: t.Configuration[0].Annotations}
	if err := checkDescriptors(t.Configuration[:1], []intoto.Descriptor{want}); err != nil {
		return fmt.Errorf("configuration%w", err)
	}

	if err := intoto.FromAnnotations(t.Configuration[0].Annotations, &t.Notes); err != nil {
		return fmt.Errorf("configuration[0]: %w", err)
	}
	if err := t.Notes.checkCircumstances(); err != nil {
		return fmt.Errorf("configuration[0]: %w", err)
	}

	if t.URL != "" {
		if err := intoto.CheckURI(t.URL); err != nil {
			return fmt.Errorf("url: %w", err)
		}
	}

	if t.PassedTests == nil || t.WarnedTests == nil || t.FailedTests == nil {
		return errors.New("null, where a list of tests belongs")
	}
	if len(t.WarnedTests) > 0 {
		return fmt.Errorf("warnedTests: %.200q: a double build has none", t.WarnedTests)
	}
	if t.Result != Passed && t.Result != Failed {
		return fmt.Errorf("result %.100q: want %s or %s", t.Result, Passed, Failed)
	}
	if (t.Result == Passed) != (len(t.FailedTests) == 0 && len(t.PassedTests) > 0) {
		return fmt.Errorf("result %s: with %d tests passed and %d failed", t.Result, len(t.PassedTests), len(t.FailedTests))
	}

	// Lists and verdicts name the same tests, each once.
	verdicts := t.Notes.Verdicts
	for _, name := range slices.Concat(t.PassedTests, t.FailedTests) {
		v, ok := verdicts[name]
		if !ok || !strings.HasPrefix(name, "double-build/") {
			return fmt.Errorf("test %.200q: without a verdict, or unknown", name)
		}
		if !slices.Contains([]compare.Verdict{compare.Reproduced, compare.Equivalent, compare.Differs, compare.Undetermined}, v) {
			return fmt.Errorf("test %.200q: verdict %.100q: unknown", name, v)
		}
		if v.Pass() != slices.Contains(t.PassedTests, name) {
			return fmt.Errorf("test %.200q: its verdict is %s", name, v)
		}
	}
	// As no name is without a verdict, equal numbers mean that none is there twice.
	if n := len(t.PassedTests) + len(t.FailedTests); n != len(verdicts) {
		return fmt.Errorf("%d verdicts for %d tests", len(verdicts), n)
	}
	return t.checkConfiguration()
}

// checkConfiguration checks the release file and the recipes in the configuration against the
// tests.
func (t *TestResult) checkConfiguration() error {
	if len(t.Configuration) < 2 {
		return errors.New("configuration: no release file")
	}

	// What is derived has the digests as they are, and nothing else of the document.
	sum := func(d intoto.Descriptor) map[string]string { return map[string]string{"sha256": d.Digest["sha256"]} }
	list := []intoto.Descriptor{t.Configuration[0], {Name: "config", Digest: sum(t.Configuration[1])}}
	recipes := map[string]bool{}
	for _, d := range t.Configuration[2:] {
		test, ok := strings.CutPrefix(d.Name, "recipe/")
		if _, known := t.Notes.Verdicts["double-build/"+test]; !ok || !known {
			return fmt.Errorf("configuration: %.200q: a recipe without a test", d.Name)
		}
		list = append(list, intoto.Descriptor{Name: d.Name, Digest: sum(d)})
		recipes["double-build/"+test] = true
	}

	if len(recipes) != len(list)-2 {
		return errors.New("configuration: a recipe is there twice")
	}
	if err := checkDescriptors(t.Configuration, list); err != nil {
		return fmt.Errorf("configuration%w", err)
	}

	for _, d := range list[1:] {
		if len(d.Digest["sha256"]) != 64 {
			return fmt.Errorf("configuration: %s: no sha256", d.Name)
		}
	}

	for name := range t.Notes.Verdicts {
		if recipes[name] == strings.HasPrefix(name, filesTest) {
			return fmt.Errorf("configuration: %.200q: want a recipe for each binary, and for nothing else", name)
		}
	}

	// Builds that did nothing agree, so a pass has to have compiled something.
	if t.Result == Failed {
		return nil // it may be that nothing was compiled
	}

	var targets []string
	for name := range recipes {
		targets = append(targets, path.Dir(strings.TrimPrefix(name, "double-build/")))
	}
	if err := t.Notes.checkCompilations(targets); err != nil {
		return fmt.Errorf("configuration[0]: %w", err)
	}
	return nil
}
