package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// Verdict is what was found of a file, or of all files.
type Verdict string

// The verdicts.
const (
	Verified Verdict = "verified"
	// Refused: something speaks against it.
	Refused Verdict = "refused"
	// Undetermined: the file or a bundle could not be read, and nothing speaks against it.
	Undetermined Verdict = "undetermined"
)

// Reason is the kind of a [Problem]: one of those below, or an [attest.Reason].
type Reason string

// The reasons of problems with any file.
const (
	Unsigned          Reason = "unsigned"
	FailedDoubleBuild Reason = "failed double build"
	FailedRebuild     Reason = "failed rebuild"
	BadStatement      Reason = "statement"
	PolicyNotMet      Reason = "policy"
	// Unreadable: the file or a bundle could not be read. It does not speak against the file.
	Unreadable Reason = "unreadable"
	// NotAsked: the policy asks nothing that this bundle could say. It is not counted.
	NotAsked Reason = "nobody asked"
)

// The reasons of problems in a folder with a release.
const (
	MissingFile  Reason = "missing"
	ForeignFile  Reason = "foreign"
	CopiedFile   Reason = "copy"
	HardLink     Reason = "hard link"
	SymbolicLink Reason = "link"
	SwappedFile  Reason = "swapped"
	ChangedFile  Reason = "changed"
	BadMode      Reason = "mode"
	BadRecord    Reason = "record"
)

// Report is the document of `twice verify --json`.
type Report struct {
	Schema  string  `json:"schema"` // "twice.verify/v1"
	Verdict Verdict `json:"verdict"`
	Files   []File  `json:"files"`
	// Warnings tell where a verified release is less than it may seem: a snapshot, a part of a
	// release, uncommitted changes, a development key.
	Warnings []string `json:"warnings,omitempty"`
	// Notes tell what was not checked.
	Notes []string `json:"notes,omitempty"`
}

// File is the verdict on one file or image, and its grounds.
type File struct {
	Name    string          `json:"name"`
	Digest  artifact.Digest `json:"digest,omitempty"`
	Verdict Verdict         `json:"verdict"`
	// Bundles are those that were verified.
	Bundles []Bundle `json:"bundles"`
	// ListedIn are signed lists of checksums that have the file with its digest. Then Bundles are
	// about the lists.
	ListedIn []string `json:"listedIn,omitempty"`
	// Problems speak against the file, or tell what could not be read.
	Problems []Problem `json:"problems"`
	// Rebuilds are statements of rebuilds by those whom the policy lists. Policy says
	// which of them count.
	Rebuilds []Rebuild `json:"rebuilds,omitempty"`
	// NotCounted are bundles that were found and passed over. They speak neither for nor
	// against the file.
	NotCounted []Problem `json:"notCounted,omitempty"`
	// Policy has the outcome of each expectation of the policy.
	Policy policy.Findings `json:"policy,omitempty"`
	// Notes tell what a reader should know. They speak neither for nor against the file.
	Notes []string `json:"notes,omitempty"`

	// Statements are those of Bundles, and RebuildStatements those of Rebuilds.
	Statements        []policy.Statement `json:"-"`
	RebuildStatements []policy.Rebuilt   `json:"-"`
}

// Bundle is a verified bundle.
type Bundle struct {
	Name string `json:"name"`
	// PredicateType and Predicate are those of the statement. They are absent if the file is merely
	// signed.
	PredicateType string           `json:"predicateType,omitempty"`
	Predicate     json.RawMessage  `json:"predicate,omitempty"`
	Signature     attest.Signature `json:"signature"`
}

// Rebuild is the verified statement of a rebuilder.
type Rebuild struct {
	// By is the rebuilder's name in the policy.
	By string `json:"by"`
	Bundle

	position int // of the rebuilder in the policy
}

// Problem says what is wrong with a file or with a bundle.
type Problem struct {
	Bundle string `json:"bundle,omitempty"`
	Reason Reason `json:"reason"`
	Error  string `json:"error"`
	Remedy string `json:"hint,omitempty"`
}

// add adds files. The worst verdict is that of the report.
func (r *Report) add(files ...File) {
	for _, f := range files {
		r.Files = append(r.Files, f)
		if f.Verdict == Refused || f.Verdict == Undetermined && r.Verdict == Verified {
			r.Verdict = f.Verdict
		}
	}
}

// addWarnings says once, for all files, where one is less than a release that somebody vouches for.
// development is the digest of this machine's development key, empty if there is none.
func (r *Report) addWarnings(development artifact.Digest) {
	warn := func(format string, args ...any) {
		if w := fmt.Sprintf(format, args...); !slices.Contains(r.Warnings, w) {
			r.Warnings = append(r.Warnings, w)
		}
	}

	for _, f := range r.Files {
		for _, s := range f.Statements {
			p, err := slsa.DecodeProvenance(s.Statement)
			if err != nil || p.External == nil {
				continue
			}
			if p.External.Snapshot {
				warn("a snapshot, not a release")
			}
			if p.External.Partial != nil {
				warn("partial: %s", p.External.Partial.Describe(len(p.External.Targets)))
			}
			if p.External.Source.Uncommitted {
				warn("built with uncommitted changes: the commit is not quite its source")
			}
			if p.External.Config.Uncommitted {
				warn("its release file %s is not the one in the commit", p.External.Config.Path)
			}
		}
		for _, b := range f.Bundles {
			if development != "" && b.Signature.Key == development {
				warn("%s", key.DevelopmentWarning)
			}
		}
	}
}

// noteNonBundles adds notes on files that are called bundles and are none, unless a file
// of the report tells of them.
func (r *Report) noteNonBundles(list []bundleFile, display func(string) string) {
	told := map[string]bool{}
	for _, f := range r.Files {
		told[f.Name] = true
		for _, p := range f.Problems {
			told[p.Bundle] = true
		}
	}

	list = slices.DeleteFunc(list, func(b bundleFile) bool { return told[display(b.name)] })

	// Anybody can put any number of them there.
	const few = 20
	for _, b := range list[:min(few, len(list))] {
		r.Notes = append(r.Notes, fmt.Sprintf("%s, which is called a bundle and is none: %s", display(b.name), b.reason()))
	}
	if n := len(list) - few; n > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d more that are called bundles and are none", n))
	}
}

// addProblem adds a problem. bundle is empty if it is not one of a bundle.
func (f *File) addProblem(bundle string, reason Reason, err error) {
	f.Problems = append(f.Problems, Problem{bundle, reason, err.Error(), fault.RemedyOf(err)})
}

// addUnopened adds the problem of a bundle that could not be opened. name is how the bundle is
// shown.
func (f *File) addUnopened(name string, err error) {
	reason := Unreadable
	if failed := (*attest.Error)(nil); errors.As(err, &failed) {
		reason = Reason(failed.Reason)
	}
	f.addProblem(name, reason, err)
}

// setVerdict derives the verdict from the problems.
func (f *File) setVerdict() {
	speaksAgainst := func(p Problem) bool {
		return p.Reason != Reason(attest.Undetermined) && p.Reason != Unreadable
	}

	switch {
	case len(f.Problems) == 0:
		f.Verdict = Verified
	case slices.ContainsFunc(f.Problems, speaksAgainst):
		f.Verdict = Refused
	default:
		f.Verdict = Undetermined
	}
}

// noteName adds a note if the statements call the file by other names alone.
func (f *File) noteName(is func(string) bool) {
	var names []string
	for _, s := range f.Statements {
		for _, sub := range s.Subjects {
			if sub.Digest == f.Digest && sub.Name != "" && !slices.Contains(names, sub.Name) {
				names = append(names, sub.Name)
			}
		}
	}

	if len(names) > 0 && !slices.ContainsFunc(names, is) {
		f.Notes = append(f.Notes, fmt.Sprintf("it has another name: what is signed calls it %.500s", strings.Join(names[:min(3, len(names))], ", ")))
	}
}

// unreadable returns the verdict on a file that could not be read.
func unreadable(name string, err error) File {
	f := File{Name: name, Verdict: Undetermined, Bundles: []Bundle{}}
	f.addProblem("", Unreadable, err)
	return f
}

// plural returns a number of things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
