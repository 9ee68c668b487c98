package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/image/oci"
)

// lockDoc is what `twice lock --json` prints.
type lockDoc struct {
	Schema string           `json:"schema"` // "twice.locked/v1"
	Images []oci.LockedBase `json:"images"`
	Moved  []movedDoc       `json:"moved"`
}

type movedDoc struct {
	Reference string          `json:"reference"`
	Locked    artifact.Digest `json:"locked"`
	Now       artifact.Digest `json:"now"`
}

func (a *app) lockCmd() *cobra.Command {
	var update bool
	c := &cobra.Command{
		Use:   "lock",
		Short: "Write down which images the bases of images are",
		Long: `Lock asks the registries what the tags of bases in the release file mean, and
writes their digests to release.lock beside it, to be committed. What is locked
stays as it is: a tag that was moved is reported, and followed with --update.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.pipelineConfig()
			if err != nil {
				return err
			}

			next, moved, err := pipeline.LockBases(c.Context(), cfg, update)
			if err != nil {
				return err
			}

			a.progress.Close()
			if a.json {
				doc := lockDoc{Schema: "twice.locked/v1", Images: append([]oci.LockedBase{}, next.Images...), Moved: []movedDoc{}}

				for _, m := range moved {
					doc.Moved = append(doc.Moved, movedDoc{m.Reference, m.Locked, m.Now})
				}
				return printJSON(a.document(), doc)
			}
			for _, m := range moved {
				fmt.Fprintf(a.stderr, "moved: %s\n", m)
			}

			if len(next.Images) == 0 {
				fmt.Fprintln(a.stdout, "no image has a base with a tag: there is nothing to lock")
			}
			for _, img := range next.Images {
				fmt.Fprintf(a.stdout, "%s  %s\n", img.Digest, img.Reference)
			}
			return nil
		},
	}
	c.Flags().StringVar(&a.config, "config", "release.toml", "the release `FILE`")
	c.Flags().BoolVar(&update, "update", false, "follow tags that were moved")
	return c
}
