package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/safetext"
	"github.com/twicebuild/twice/pipeline/sbom"
)

// printReport prints a line for each file. Below all files it prints once what was said, and who
// said it. expected is the policy, or nil.
func (a *app) printReport(doc verify.Report, expected *policy.Policy) {
	// What is said of several files is shown once, below all of them.
	var said []string
	say := func(format string, args ...any) {
		if line := safetext.Clean(fmt.Sprintf(format, args...)); !slices.Contains(said, line) {
			said = append(said, line)
		}
	}

	for _, w := range doc.Warnings {
		say("warning       %s", w)
	}

	for _, f := range doc.Files {
		a.printFile(f, a.verbose || len(doc.Files) == 1)
		describeFile(f, expected, say)
	}

	for _, n := range doc.Notes {
		say("not checked   %s", n)
	}

	if len(said) > 0 {
		fmt.Fprintf(a.stdout, "\n%s\n", strings.Join(said, "\n"))
	}
}

// printFile prints the verdict on a file, the kinds of what was said about it, and its problems.
func (a *app) printFile(f verify.File, withDigest bool) {
	out := a.stdout
	fmt.Fprintf(out, "%-12s  %s\n", f.Verdict, safetext.Clean(f.Name))
	if f.Digest != "" && withDigest {
		fmt.Fprintf(out, "              %s\n", f.Digest)
	}

	var kinds []string
	for _, b := range f.Bundles {
		if kind := kindOf(b.PredicateType); !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(f.Rebuilds) > 0 {
		kinds = append(kinds, count(len(f.Rebuilds), "rebuild"))
	}
	if len(kinds) > 0 && f.Verdict == verify.Verified {
		fmt.Fprintf(out, "              %s\n", safetext.Clean(strings.Join(kinds, ", ")))
	}

	for _, p := range f.Problems {
		where := ""
		if p.Bundle != "" {
			where = p.Bundle + ": "
		}
		fmt.Fprintf(out, "              %s\n", safetext.Clean(where+p.Error))
		if p.Remedy != "" {
			fmt.Fprintf(out, "              hint: %s\n", safetext.Clean(p.Remedy))
		}
	}
	for _, n := range f.Notes {
		fmt.Fprintf(out, "              note: %s\n", safetext.Clean(n))
	}
}

// describeFile says what was said about a file, by whom, and what of the policy it meets.
func describeFile(f verify.File, expected *policy.Policy, say func(string, ...any)) {
	for _, s := range f.Statements {
		describe(s.Statement, say)
	}
	for _, list := range f.ListedIn {
		say("listed in     %s, which is signed", list)
	}
	for _, b := range f.Bundles {
		describeSigner(b.Signature, say)
	}

	// The policy lists these rebuilders. Statements by others are among those that are not counted.
	for _, r := range f.RebuildStatements {
		if said, err := rebuilt.Decode(r.Statement); err == nil {
			say("rebuilt by    %s (%s): %s", expected.Rebuilds.By[r.By].Name, r.Signer, rebuildLine(said))
			describeChoices(said, say)
		}
	}
	for _, n := range f.NotCounted {
		say("not counted   %s: %s", n.Bundle, n.Error)
	}

	for _, p := range f.Policy {
		if p.Outcome == policy.Met {
			say("policy        %s", p)
		}
	}
}

// kindOf returns the name that people have for a statement.
func kindOf(predicateType string) string {
	if slsa.IsProvenance(predicateType) {
		return "provenance"
	}

	switch predicateType {
	case "":
		return "signature"
	case slsa.TestResultType:
		return "test result"
	case rebuilt.SummaryType:
		return "verification summary"
	case sbom.CycloneDXPredicateType:
		return "CycloneDX"
	case sbom.SPDXPredicateType:
		return "SPDX"
	}
	return predicateType
}

// describe says in words what a statement says.
func describe(s intoto.Statement, say func(string, ...any)) {
	if r, err := rebuilt.Decode(s); err == nil {
		say("rebuilt       %s", rebuildLine(r))
		describeChoices(r, say)
		return
	}

	switch {
	case slsa.IsProvenance(s.PredicateType):
		p, err := slsa.DecodeProvenance(s)
		if err != nil {
			return // it was printed as a problem
		}

		from := "a source that it does not name"
		if src, err := p.Source(); err == nil {
			from = sourceName(src)
		}

		with := ""
		if p.Internal != nil && len(p.Internal.Recipes) > 0 {
			with = " with " + p.Internal.Recipes[0].Recipe.Toolchain.Version
		}

		say("built from    %s%s", from, with)
		say("built by      %s", p.RunDetails.Builder.ID)
		if w, err := p.Workflow(); err == nil && w.Path != "" {
			say("workflow      %s at %s", w.Path, w.Ref)
		}
	case s.PredicateType == slsa.TestResultType:
		t, err := slsa.DecodeTestResult(s)
		if err != nil {
			return
		}

		varied, not := 0, []string{}
		for _, v := range t.Notes.Variations {
			if v.Varied {
				varied++
			} else {
				not = append(not, v.Name)
			}
		}

		say("double build  %s, %d things varied; not varied: %s", strings.ToLower(string(t.Result)), varied, strings.Join(not, ", "))
	}
}

// rebuildLine returns in one line what a rebuild found.
func rebuildLine(r *rebuilt.Result) string {
	line := string(r.Verdict)
	if r.Source != "" {
		line += ", " + r.Source
	}

	if r.GoVersion != "" {
		line += " with " + r.GoVersion
	}

	for i, n := range r.Normalizations {
		line += map[bool]string{true: ", but for ", false: " and "}[i == 0] + string(n)
	}

	return line
}

// describeChoices says what the publisher chose and the source does not force. A choice that has a
// meaning for a user has a line of its own, and so have the first values of -X. The others share a
// line.
func describeChoices(r *rebuilt.Result, say func(string, ...any)) {
	const most = 12
	var plain []string
	stamps := 0

	for _, c := range r.Choices() {
		meaning := c.Meaning()
		stamp := c.Setting == recipe.StampSetting

		switch {
		case stamp && stamps >= most:
			stamps++
		case stamp:
			stamps++
			say("chosen        %.300q%s", c, inParentheses(meaning))
		case meaning != "":
			say("chosen        %.300q%s", c, inParentheses(meaning))
		default:
			plain = append(plain, fmt.Sprintf("%.300q", c))
		}
	}

	if len(plain) > 0 {
		say("chosen        %s", strings.Join(plain, ", "))
	}

	if stamps > most {
		say("chosen        and %d more of -X", stamps-most)
	}
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// sourceName returns a source in one line.
func sourceName(s slsa.Source) string {
	name := "commit " + s.Commit
	switch {
	case s.Module != "":
		return s.Module + "@" + s.Version
	case s.Repository != "":
		name = s.Repository + " at " + name
	}

	if s.Tag != "" {
		name += ", tag " + s.Tag
	}
	if s.Uncommitted {
		name += ", with uncommitted changes"
	}

	return name
}

// describeSigner says who signed, and what that rests on.
func describeSigner(s attest.Signature, say func(string, ...any)) {
	if c := s.Certificate; c != nil {
		say("signed by     %s, says %s (certificate of %s)", c.Name, c.Issuer, c.Authority)
		if c.SourceRepository != "" {
			say("              in a job of %s at %s", c.SourceRepository, c.SourceRepositoryRef)
		}
	} else {
		say("signed by     %s", strings.TrimSpace(s.Format+" key "+string(s.Key)))
	}

	for _, l := range s.Logs {
		say("logged in     %s", l.Log)
	}
	for _, t := range s.Times {
		say("signed when   %s tells by a %s", t.By, t.Kind)
	}
	for _, u := range s.Unknown {
		say("not counted   %s, which the trusted root does not know", u)
	}

	switch {
	case s.Format != "":
		say("not checked   when it was signed: its signature has no time")
	case len(s.Logs)+len(s.Times) == 0:
		say("not checked   when it was signed, and whether a log knows of it (that takes --trusted-root)")
	}
}
