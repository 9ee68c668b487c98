package main

import (
	"context"
	"slices"

	"github.com/twicebuild/twice/matrix/lintid"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/lint"
)

// warnedOf says of which causes a lint warns. What a hook writes is source, is embedded, or is a file
// of its own, so that any of these can be its work.
var warnedOf = map[lintid.ID][]string{
	lintid.CgoCompiler: {"c-compiler", "linker-output"},
	lintid.CgoPaths:    {"host-path", "path-of-build-folder", "varied"},
	lintid.HookClock:   {"time-stamp", "source", "embedded-file", "content", "varied"},
	lintid.HookGit:     {"ldflags-x", "source", "embedded-file", "content"},
	lintid.HookHost:    {"user-or-host", "host-path", "source", "embedded-file", "content", "varied"},
	lintid.HookRandom:  {"source", "embedded-file", "content", "ldflags-x"},
	lintid.TrimpathOff: {"path-of-build-folder", "path-of-goroot", "path-of-module-cache", "host-path", "varied"},
}

// printRecalled tells which findings of `twice check` fit the causes of a difference. The lints run only now:
// a release that is reproduced has no need of them.
func (a *app) printRecalled(ctx context.Context, cfg pipeline.Config, o *pipeline.Outcome) {
	causes := map[string]bool{}
	note := func(v compare.Verdict, x *explain.Summary) {
		if v == compare.Differs && x != nil {
			for _, c := range x.Causes {
				causes[c.ID] = true
			}
		}
	}
	for _, b := range o.Binaries {
		note(b.Verdict, b.Explanation)
	}
	for _, f := range o.Files {
		note(f.Verdict, f.Explanation)
	}
	if len(causes) == 0 {
		return
	}

	// The difference is what the run ends with, so that a check which cannot be made takes nothing
	// away from it.
	found, err := pipeline.Check(ctx, cfg)
	if err != nil {
		return
	}
	a.recalled("twice check warns of it: ", fitting(found.Findings, causes))
	a.recalled("twice check would warn of it, and is silenced: ", fitting(found.Silenced, causes))
}

// recalled prints findings, each with its remedy unless the next one has the same.
func (a *app) recalled(prefix string, list []lint.Finding) {
	for i, f := range list {
		a.progress.Line("%s%s", prefix, f)
		if i+1 == len(list) || list[i+1].Remedy != f.Remedy {
			a.progress.Line("    hint: %s", f.Remedy)
		}
	}
}

// fitting returns the findings whose lint warns of one of the causes.
func fitting(list []lint.Finding, causes map[string]bool) []lint.Finding {
	return slices.DeleteFunc(slices.Clone(list), func(f lint.Finding) bool {
		return !slices.ContainsFunc(warnedOf[f.ID], func(id string) bool { return causes[id] })
	})
}
