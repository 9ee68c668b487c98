package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// errDiffer is what explain ends with for files that are not the same.
var errDiffer = errors.New("differ")

func (a *app) explainCmd() *cobra.Command {
	var insecure bool
	cmd := &cobra.Command{
		Use:   "explain A B",
		Short: "Say what differs between two files, folders or images, and why",
		Long: `Explain reads two executables or archives, as a stranger's bytes and without
running them, and says what differs and why: causes first, the most important one
first, then headers, sections, build information, functions and embedded files.
Of archives it explains the members that differ.

A and B may also be two folders, such as dist, two folders with an OCI image
layout, or two images in registries. Then it lists what one of them alone has, and
explains what differs; of images only the layers that differ are fetched.

It exits with 0 if they are equal and with 1 if they differ.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{errors.New("name two files, folders or images to explain")}
			}
			report, err := a.explain(c.Context(), [2]string(args), a.registry(insecure))
			if err != nil {
				return err
			}
			if a.json {
				err = printJSON(a.document(), report)
			} else {
				err = report.Fprint(a.stdout)
			}
			if err == nil && !report.Equal {
				err = fmt.Errorf("%s and %s %w", report.A.Name, report.B.Name, errDiffer)
			}
			return err
		},
	}
	insecureFlag(cmd, &insecure)
	return cmd
}
