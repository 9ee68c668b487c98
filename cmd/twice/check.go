package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/lintid"
	"github.com/twicebuild/twice/matrix/tomlfile"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/lint"
)

// checkDoc is what `twice check --json` prints. OK tells that the exit status is 0. Errors are
// what makes a release file unusable. If there are none, Findings has what the lints found, and
// Silenced has the findings that the release file silences.
type checkDoc struct {
	Schema    string       `json:"schema"` // "twice.check/v1"
	OK        bool         `json:"ok"`
	Toolchain string       `json:"toolchain,omitempty"`
	Targets   []string     `json:"targets,omitempty"`
	Errors    []checkFault `json:"errors,omitempty"`
	Findings  []findingDoc `json:"findings,omitempty"`
	Silenced  []findingDoc `json:"silenced,omitempty"`
}

type checkFault struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// findingDoc is a fault that a lint found.
type findingDoc struct {
	Lint     lintid.ID     `json:"lint"`
	Severity lint.Severity `json:"severity"` // "note", "warning" or "error"
	checkFault
}

// lintsDoc is what `twice check --explain ID --json` prints.
type lintsDoc struct {
	Schema string    `json:"schema"` // "twice.lints/v1"
	Lints  []lintDoc `json:"lints"`
}

type lintDoc struct {
	ID       lintid.ID     `json:"id"`
	Severity lint.Severity `json:"severity"`
	Summary  string        `json:"summary"`
	Why      string        `json:"why"`
	Remedy   string        `json:"remedy"`
	Silence  string        `json:"silence"` // what to write into release.toml
}

func (a *app) checkCmd() *cobra.Command {
	var strict bool
	var explain string
	c := a.sourceFlags(&cobra.Command{
		Use:   "check",
		Short: "Validate release.toml and look for known causes of difference; builds nothing",
		Long: `Check holds release.toml against itself and against the source, and looks for
what is known to make two builds differ, or a release other than it was meant.
It builds nothing and uses no network.

An error is what a release stops at: the exit status is 2. A warning is worth
a look, and with --strict the exit status is then 1. A note is good to know.
Each has the identifier of its lint in brackets: --explain ID tells why it
matters, what to do, and how to silence it; --explain all tells of every lint.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("explain") {
				return a.explainLint(explain)
			}
			return a.check(c.Context(), strict)
		},
	})
	c.Flags().BoolVar(&strict, "strict", false, "exit with status 1 if there are warnings")
	c.Flags().StringVar(&explain, "explain", "", "tell about the lint `ID`, or about all of them")

	// Only the name of the flag is fixed, so this cannot fail.
	_ = c.RegisterFlagCompletionFunc("explain", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return append([]string{"all"}, lintid.Names()...), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// check prints what is wrong with the release file, and returns an error if a release would stop
// at it.
func (a *app) check(ctx context.Context, strict bool) error {
	cfg, err := a.pipelineConfig()
	if err != nil {
		return err
	}

	found, err := pipeline.Check(ctx, cfg)
	verdict := err
	if err == nil {
		verdict = findingsError(found.Findings, strict)
	}

	// A release file that is not valid is what the document is about, so it has one all the same.
	if a.json {
		if err := printJSON(a.document(), newCheckDoc(found, verdict)); err != nil {
			return err
		}
		return verdict
	}
	if err != nil {
		return err
	}

	printFindings(a.stderr, "", found.Findings)
	if a.verbose {
		printFindings(a.stderr, "silenced: ", found.Silenced)
	}
	if fault.KindOf(verdict) == fault.KindUsage {
		return verdict
	}

	fmt.Fprintf(a.stdout, "%s: ok: %s, %s, %s%s\n", a.config, count(len(targetsOf(found.Builds)), "target"), count(len(found.Builds), "binary"), found.Toolchain, countsText(found))
	return verdict
}

// findingsError returns the error that the findings end the verb with, or nil.
func findingsError(findings []lint.Finding, strict bool) error {
	n := countBySeverity(findings)
	switch {
	case n[lint.Error] > 0:
		return fault.Usage(fmt.Errorf("no release can be made: %s", count(n[lint.Error], "error")))
	case n[lint.Warning] > 0 && strict:
		return fmt.Errorf("--strict: %s: %w", count(n[lint.Warning], "warning"), errRefused)
	}
	return nil
}

func countBySeverity(findings []lint.Finding) map[lint.Severity]int {
	n := map[lint.Severity]int{}
	for _, f := range findings {
		n[f.Severity]++
	}
	return n
}

// countsText is the end of the line about a good release file.
func countsText(found *pipeline.Checked) string {
	s := ""
	if n := countBySeverity(found.Findings)[lint.Warning]; n > 0 {
		s += ", " + count(n, "warning")
	}

	if n := len(found.Silenced); n > 0 {
		s += fmt.Sprintf(", %d silenced", n)
	}
	return s
}

// printFindings prints each finding on a line. The remedy stands on a line below, once for
// findings in a row that share it.
func printFindings(w io.Writer, prefix string, findings []lint.Finding) {
	for i, f := range findings {
		fmt.Fprintln(w, prefix+f.String())
		if i+1 == len(findings) || findings[i+1].Remedy != f.Remedy {
			fmt.Fprintln(w, "  hint: "+f.Remedy)
		}
	}
}

// explainLint prints why a lint matters, what to do and how to silence it. The ID may be "all".
func (a *app) explainLint(id string) error {
	lints := lint.All()
	if id != "all" {
		l, ok := lint.ByID(lintid.ID(id))
		if !ok {
			return fault.WithRemedy(fault.Usage(fmt.Errorf("--explain %s: no such lint", id)), "write all, or one of "+strings.Join(lintid.Names(), ", "))
		}
		lints = []lint.Lint{l}
	}

	doc := lintsDoc{Schema: "twice.lints/v1"}
	for _, l := range lints {
		doc.Lints = append(doc.Lints, lintDoc{l.ID, l.Severity, l.Summary, strings.Join(strings.Fields(l.Why), " "), l.Remedy, silencing(l.ID)})
	}

	if a.json {
		return printJSON(a.document(), doc)
	}

	for i, l := range doc.Lints {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintf(a.stdout, "%s (%s)\n%s.\n\n%s\n\n%s\n\nTo silence it, once you have looked at it, write into release.toml:\n\n    %s\n",
			l.ID, l.Severity, capital(l.Summary), wrap(l.Why, 80), wrap("Remedy: "+l.Remedy+".", 80), strings.ReplaceAll(l.Silence, "\n", "\n    "))
	}
	return nil
}

// silencing returns the lines of a release file that silence a lint.
func silencing(id lintid.ID) string { return fmt.Sprintf("[check]\nsilence = [%q]", id) }

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// wrap breaks text between words into lines of at most width bytes.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}

		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func newCheckDoc(found *pipeline.Checked, err error) checkDoc {
	doc := checkDoc{Schema: "twice.check/v1", OK: err == nil}

	var faults tomlfile.Errors
	switch {
	case found != nil:
		doc.Toolchain, doc.Targets = found.Toolchain, targetsOf(found.Builds)
		doc.Findings, doc.Silenced = findingDocs(found.Findings), findingDocs(found.Silenced)
	case errors.As(err, &faults):
		for _, f := range faults {
			doc.Errors = append(doc.Errors, checkFault{f.File, f.Line, f.Key, f.Msg, f.Remedy})
		}
	case err != nil:
		doc.Errors = append(doc.Errors, checkFault{Message: err.Error(), Hint: fault.RemedyOf(err)})
	}

	return doc
}

func findingDocs(list []lint.Finding) []findingDoc {
	var docs []findingDoc
	for _, f := range list {
		docs = append(docs, findingDoc{f.ID, f.Severity, checkFault{f.File, f.Line, f.Key, f.Message, f.Remedy}})
	}
	return docs
}

func targetsOf(builds []matrix.Build) []string {
	var list []string
	for _, b := range builds {
		if t := b.Target.String(); len(list) == 0 || list[len(list)-1] != t {
			list = append(list, t)
		}
	}
	return list
}
