package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/hint"
)

// checkDoc is what `twice check --json` prints.
type checkDoc struct {
	Schema    string       `json:"schema"` // "twice.check/v1"
	OK        bool         `json:"ok"`
	Toolchain string       `json:"toolchain,omitempty"`
	Targets   []string     `json:"targets,omitempty"`
	Errors    []checkFault `json:"errors,omitempty"`
	Warnings  []string     `json:"warnings,omitempty"`
}

type checkFault struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (a *app) checkCmd() *cobra.Command {
	return a.sourceFlags(&cobra.Command{
		Use:   "check",
		Short: "Validate release.toml; builds nothing",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.pipelineConfig()
			if err != nil {
				return err
			}
			found, err := pipeline.Check(c.Context(), cfg)
			if a.json {
				if jerr := printJSON(a.document(), newCheckDoc(found, err)); jerr != nil {
					return jerr
				}
				return err
			}
			if err != nil {
				return err
			}
			for _, w := range found.Warnings {
				fmt.Fprintln(a.stderr, "warning: "+w)
			}
			_, err = fmt.Fprintf(a.stdout, "%s: ok: %s, %s, %s\n", a.config, count(len(targetsOf(found.Builds)), "target"), count(len(found.Builds), "binary"), found.Toolchain)
			return err
		},
	})
}

func newCheckDoc(found *pipeline.Checked, err error) checkDoc {
	doc := checkDoc{Schema: "twice.check/v1", OK: err == nil}
	var faults matrix.Errors
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			doc.Errors = append(doc.Errors, checkFault{f.File, f.Line, f.Key, f.Msg, f.Hint})
		}
	case err != nil:
		doc.Errors = append(doc.Errors, checkFault{Message: err.Error(), Hint: hint.Of(err)})
	default:
		doc.Toolchain, doc.Warnings, doc.Targets = found.Toolchain, found.Warnings, targetsOf(found.Builds)
	}
	return doc
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
