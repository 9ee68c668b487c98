package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// The documents of `twice verify --json`.
type (
	Report struct {
		Schema  string `json:"schema"` // "twice.verify/v1"
		Verdict string `json:"verdict"`
		Files   []File `json:"files"`
		// Warnings are what is signed and well, and what a reader may take for more than
		// it is: a snapshot, a part of a release, uncommitted changes, a development key.
		Warnings []string `json:"warnings,omitempty"`
		// Notes are what was not checked.
		Notes []string `json:"notes,omitempty"`
	}
	File struct {
		Name   string          `json:"name"`
		Digest artifact.Digest `json:"digest,omitempty"`
		// Verdict is verified, refused, or undetermined if the file or a bundle
		// could not be read.
		Verdict string `json:"verdict"`
		// Bundles are those that were verified.
		Bundles []Bundle `json:"bundles"`
		// Problems are what speaks against the file.
		Problems []Problem `json:"problems"`
		// Rebuilds are statements of rebuilds by those whom the policy lists. Which of
		// them count is in Policy.
		Rebuilds []Rebuild `json:"rebuilds,omitempty"`
		// NotCounted are bundles that were found and passed over: they speak neither
		// for nor against the file.
		NotCounted []Problem `json:"notCounted,omitempty"`
		// Policy is what came of the policy's expectations.
		Policy policy.Findings `json:"policy,omitempty"`
		// Notes are what a reader should know, and speaks neither for nor against it.
		Notes []string `json:"notes,omitempty"`

		// Statements are those of Bundles, and RebuildStatements those of Rebuilds.
		Statements        []intoto.Statement `json:"-"`
		RebuildStatements []policy.Rebuilt   `json:"-"`
	}
	Bundle struct {
		Name string `json:"name"`
		// PredicateType and Predicate are what is said about the file. They are absent
		// if it is merely signed.
		PredicateType string           `json:"predicateType,omitempty"`
		Predicate     json.RawMessage  `json:"predicate,omitempty"`
		Signature     attest.Signature `json:"signature"`
	}
	Rebuild struct {
		// By is the rebuilder's name in the policy.
		By string `json:"by"`
		Bundle
		nth int // in the policy
	}
	Problem struct {
		Bundle string `json:"bundle,omitempty"`
		// Reason is one of attest.Reason, or: unsigned, failed double build, failed
		// rebuild, statement, policy, unreadable; of a folder with a release one of
		// missing, foreign, copy, hard link, link, swapped, changed, mode, record; and of what is
		// not counted: nobody asked.
		Reason string `json:"reason"`
		Error  string `json:"error"`
		Hint   string `json:"hint,omitempty"`
	}
)

const (
	Verified     = "verified"
	Refused      = "refused"
	Undetermined = "undetermined"
)

// Reasons of a problem beside those of package attest.
const (
	unreadableBundle = "unreadable"
	nobodyAsked      = "nobody asked"
)

// add adds a file, whose verdict counts unless there is a worse one.
func (doc *Report) add(f File) {
	doc.Files = append(doc.Files, f)
	if f.Verdict == Refused || f.Verdict == Undetermined && doc.Verdict == Verified {
		doc.Verdict = f.Verdict
	}
}

// warn says, once for all files, what is less than a release that somebody vouches for.
// development is the digest of this machine's development key, empty if there is none.
func (doc *Report) warn(development artifact.Digest) {
	say := func(format string, args ...any) {
		if w := fmt.Sprintf(format, args...); !slices.Contains(doc.Warnings, w) {
			doc.Warnings = append(doc.Warnings, w)
		}
	}
	for _, f := range doc.Files {
		for _, s := range f.Statements {
			p, err := slsa.DecodeProvenance(s)
			if err != nil || p.External == nil {
				continue
			}
			if p.External.Snapshot {
				say("a snapshot, not a release")
			}
			if p.External.Partial != nil {
				say("partial: %s", p.External.Partial.Of(len(p.External.Targets)))
			}
			if p.External.Source.Uncommitted {
				say("built with uncommitted changes: the commit is not quite its source")
			}
			if p.External.Config.Uncommitted {
				say("its release file %s is not the one in the commit", p.External.Config.Path)
			}
		}
		for _, b := range f.Bundles {
			if development != "" && b.Signature.Key == development {
				say("%s", key.DevelopmentWarning)
			}
		}
	}
}

// noteStrange tells of what is called a bundle and is none, unless that was told with a
// file.
func (doc *Report) noteStrange(list []bundleFile, display func(string) string) {
	told := map[string]bool{}
	for _, f := range doc.Files {
		told[f.Name] = true
		for _, p := range f.Problems {
			told[p.Bundle] = true
		}
	}
	list = slices.DeleteFunc(list, func(b bundleFile) bool { return told[display(b.name)] })
	const few = 20
	for _, b := range list[:min(few, len(list))] {
		doc.Notes = append(doc.Notes, fmt.Sprintf("%s, which is called a bundle and is none: %s", display(b.name), b.why()))
	}
	if n := len(list) - few; n > 0 {
		doc.Notes = append(doc.Notes, fmt.Sprintf("%d more that are called bundles and are none", n))
	}
}

func (doc *File) problem(bundle, reason string, err error) {
	doc.Problems = append(doc.Problems, Problem{bundle, reason, err.Error(), fault.RemedyOf(err)})
}

// unopened notes that a bundle, by the name that is shown, is not good.
func (doc *File) unopened(name string, err error) {
	reason := unreadableBundle
	if failed := (*attest.Error)(nil); errors.As(err, &failed) {
		reason = string(failed.Reason)
	}
	doc.problem(name, reason, err)
}

// settle draws the verdict from the problems.
func (doc *File) settle() {
	speaksAgainst := func(p Problem) bool {
		return p.Reason != string(attest.Undetermined) && p.Reason != unreadableBundle
	}
	switch {
	case len(doc.Problems) == 0:
		doc.Verdict = Verified
	case slices.ContainsFunc(doc.Problems, speaksAgainst):
		doc.Verdict = Refused
	default:
		doc.Verdict = Undetermined
	}
}

// noteName tells of a name that no statement gives the file.
func (doc *File) noteName(is func(string) bool) {
	var names []string
	for _, s := range doc.Statements {
		for _, sub := range s.Subjects {
			if sub.Digest == doc.Digest && sub.Name != "" && !slices.Contains(names, sub.Name) {
				names = append(names, sub.Name)
			}
		}
	}
	if len(names) > 0 && !slices.ContainsFunc(names, is) {
		doc.Notes = append(doc.Notes, fmt.Sprintf("it has another name: what is signed calls it %.500s", strings.Join(names[:min(3, len(names))], ", ")))
	}
}

// unreadable is the verdict on what could not be read.
func unreadable(name string, err error) File {
	return File{Name: name, Verdict: Undetermined, Bundles: []Bundle{}, Problems: []Problem{{Reason: "unreadable", Error: err.Error(), Hint: fault.RemedyOf(err)}}}
}

// count is a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
