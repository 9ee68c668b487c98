package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/hint"
)

// errDiffer is what explain ends with for files that are not the same.
var errDiffer = errors.New("differ")

func (a *app) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain A B",
		Short: "Say what differs between two files, and why",
		Long: `Explain reads two executables or archives, as a stranger's bytes and without
running them, and says what differs and why: causes first, the most important one
first, then headers, sections, build information, functions and embedded files.
Of archives it explains the members that differ.

It exits with 0 if the files are equal and with 1 if they differ.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{errors.New("name two files to explain")}
			}
			var files [2]explain.File
			for i, arg := range args {
				name := a.at(arg)
				if info, err := os.Stat(name); err == nil && info.IsDir() {
					return hint.Add(usageError{fmt.Errorf("%s is a folder", arg)}, "name a file in each of the folders")
				}
				f, err := openRegular(name)
				if err != nil {
					return err
				}
				defer f.Close()
				info, err := f.Stat()
				if err != nil {
					return err
				}
				files[i] = explain.File{Name: short(name), Content: f, Size: info.Size()}
			}
			report, err := explain.Files(c.Context(), files[0], files[1], explain.Options{TempDir: os.TempDir()})
			if err != nil {
				return err
			}
			if a.json {
				err = printJSON(a.document(), report)
			} else {
				err = report.Fprint(a.stdout)
			}
			if err == nil && !report.Equal {
				err = fmt.Errorf("%s and %s %w", files[0].Name, files[1].Name, errDiffer)
			}
			return err
		},
	}
}
