// Package rebuilt is about statements of people who have rebuilt a file that somebody else
// published. Such a statement says that the file is what its source compiles to, or that it is not.
//
// A pass is a Verification Summary Attestation v1
// (https://slsa.dev/spec/v1.0/verification_summary). A difference is an in-toto test result v0.1
// (https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md) that says
// FAILED. Both hold the evidence. The summary has it in an extension field, as in-toto's parsing
// rules permit it
// (https://github.com/in-toto/attestation/blob/main/spec/v1/README.md#parsing-rules). The test
// result has it in the annotations of the test. The document configs/rebuild/v1.md says what the
// members mean, and what is not claimed. Its address is [Page].
//
// A statement depends on its Result alone: equal ones give equal bytes. Reading is strict: nothing
// is accepted that [New] does not write, and what can be derived is derived again and compared.
package rebuilt

import (
	"errors"
	"time"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// The types of the predicates.
const (
	SummaryType    = "https://slsa.dev/verification_summary/v1"
	TestResultType = "https://in-toto.io/attestation/test-result/v0.1"
)

// Page is the address of the document that defines these statements. Every other name that it
// defines starts with it.
const Page = "https://github.com/twicebuild/twice/blob/main/configs/rebuild/v1.md"

const (
	// LocalVerifier is the verifier of a twice that somebody ran on a machine of their own. The
	// signature alone can tell who that was.
	LocalVerifier = Page + "#local"

	// rulePolicy and ruleTest begin the names of the rules by which twice judges: the first in a
	// summary, the second in a test result. The version follows.
	rulePolicy = Page + "#policy"
	ruleTest   = Page + "#test"
	// policyURI and testURI are the current rules. Their version goes up with every change of what
	// a verdict takes or of what has to be claimed beside it, so that no statement is read as if
	// another rule had judged. The page says what changed.
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

// Result is the outcome of rebuilding a file.
type Result struct {
	// Name is the name of the file, without folders, and Digest is that of its bytes. They are the
	// subject of the statement.
	Name   string
	Digest artifact.Digest
	// Resource is the URI from where the file came. If it is empty, New takes the package URL of
	// the module, or one that names the digest alone.
	Resource string
	// Verifier is the URI of who rebuilt it. If it is empty, it is LocalVerifier. Version has the
	// versions of twice and of go, by their names.
	Verifier string
	Version  map[string]string
	// Time is when it was rebuilt. Whole seconds are kept, in UTC.
	Time time.Time
	// Inputs are the attestations that were used.
	Inputs []intoto.Descriptor
	Evidence
}

// Evidence is the ground of the result. The fields stand in the order of their JSON names.
type Evidence struct {
	// Claimed lists what somebody chose or said and nothing vouches for: every setting that the
	// source does not force, with those of -X at the end.
	Claimed []Claim `json:"claimed"`
	// Content tells whether the file is as it was linked, according to its build ID.
	Content inspect.Content `json:"content"`
	// GoVersion is the toolchain that the file names.
	GoVersion string `json:"goVersion"`
	// Normalizations are those that an equivalent file needed.
	Normalizations []inspect.Normalization `json:"normalizations"`
	// Notes tell what else a reader should know, such as what was not confined.
	Notes []string `json:"notes"`
	// Package is the main package.
	Package string `json:"package"`
	// Reason is why the file differs, nil if it does not.
	Reason *Reason `json:"reason,omitempty"`
	// Rebuilt is the file that the source gave.
	Rebuilt *File `json:"rebuilt,omitempty"`
	// Recipe is how it was built, nil if no recipe can say it.
	Recipe *Recipe `json:"recipe,omitempty"`
	// Recovered lists what was found by trial.
	Recovered []Ground `json:"recovered"`
	// RestsOn lists what was verified without the file.
	RestsOn []Ground `json:"restsOn"`
	// Size is that of the file in bytes.
	Size int64 `json:"size"`
	// Source is "path@version" of the module.
	Source string `json:"source"`
	Target string `json:"target"`
	// Uncovered is the number of bytes that the verdict does not cover, because of the
	// normalizations.
	Uncovered int64 `json:"uncovered"`
	// Verdict is Reproduced, Equivalent or Differs.
	Verdict compare.Verdict `json:"verdict"`
}

// Ground is a thing that a verdict rests on, and why it can or cannot be relied upon.
type Ground struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Claim is a thing that somebody chose or said, and why it is known or can be believed.
type Claim struct {
	What string `json:"what"`
	Why  string `json:"why"`
	// Setting and Value are those of the [recipe.Choice] that What is, or of one of
	// [SettingsBesideRecipe]. Setting is empty if What is no setting.
	Setting string `json:"setting,omitempty"`
	Value   string `json:"value,omitempty"`
}

// SettingsBesideRecipe are the settings that no recipe has: what version control left in the file
// where its history was not at hand, and where the folders of the build were.
var SettingsBesideRecipe = []string{"vcs.revision", "vcs.time", "vcs.modified", "GOROOT", "GOMODCACHE", "source-folder"}

// Choices returns the settings in the claims.
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

// ErrUndetermined says that there is no statement about an undetermined result. It is neither a
// pass nor a difference, and must not look like either.
var ErrUndetermined = errors.New("an undetermined result says nothing about the file")

// ErrNotRebuild says that a statement is not about a rebuild: its predicate has another type, or is
// a summary or a test result of something else.
var ErrNotRebuild = errors.New("not a statement of a rebuild")

// ErrOtherRule is wrapped by the error about a statement of a rebuild by another rule than the
// current one.
var ErrOtherRule = errors.New("another rule judged")
