package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/shell"
)

// planDoc is what `twice plan --json` prints.
type planDoc struct {
	Schema   string       `json:"schema"` // "twice.plan/v1"
	Project  string       `json:"project"`
	Version  string       `json:"version"`
	Snapshot bool         `json:"snapshot"`
	Recipes  []plannedDoc `json:"recipes"`
	Warnings []string     `json:"warnings,omitempty"`
}

type plannedDoc struct {
	Digest artifact.Digest `json:"digest"`
	Recipe recipe.Recipe   `json:"recipe"`
}

func (a *app) planCmd() *cobra.Command {
	return a.sourceFlags(&cobra.Command{
		Use:   "plan",
		Short: "Print targets and recipes, with digests",
		Long: `Plan pins and proves the inputs as a release does, and prints the recipe of
every binary. It compiles nothing; before-hooks, if there are any, run in a
confined workspace, since what they write may be part of the source.`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			cfg, err := a.pipelineConfig()
			if err != nil {
				return err
			}
			cfg.Unreleased = true
			run, err := pipeline.Prepare(c.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, run.Close()) }()

			a.progress.Close()
			p := run.Plan
			if a.json {
				doc := planDoc{Schema: "twice.plan/v1", Project: p.Vars.Project, Version: p.Vars.Version, Snapshot: p.IsSnapshot, Warnings: p.Warnings}
				for _, r := range p.Recipes {
					doc.Recipes = append(doc.Recipes, plannedDoc{r.Digest, r.Recipe})
				}
				return printJSON(a.document(), doc)
			}

			a.warn(p.Warnings)
			fmt.Fprintf(a.stdout, "%s %s, %s, %s\n\n", p.Vars.Project, p.Vars.Version, run.Inputs.Source.Identity().Name(), run.Inputs.Toolchain.Version)

			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TARGET\tBINARY\tRECIPE")
			for _, r := range p.Recipes {
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Build.Target, r.Recipe.Binary, r.Digest)
				if a.verbose {
					fmt.Fprintf(w, "\t\t%s\n", shell.Join(r.Recipe.Argv))
				}
			}
			return w.Flush()
		},
	})
}

func (a *app) warn(list []string) {
	for _, w := range list {
		a.progress.Line("warning: %s", w)
	}
}
