package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// errDiffer is what explain ends with for files that are not the same.
var errDiffer = fault.Refused(errors.New("differ"))

func (a *app) explainCmd() *cobra.Command {
	var page string
	var insecure bool
	c := &cobra.Command{
		Use:   "explain A B",
		Short: "Say what differs between two files, folders or images, and why",
		Long: `Explain reads two executables or archives, as a stranger's bytes and without
running them, and says what differs and why: causes in words with their remedies,
the most important one first. Of archives it explains the members that differ.
With -v tables follow, of headers, sections, build information, functions, strings
and embedded files. With --html it writes a page that has them too, and a map of
both files; it is complete in itself and loads nothing.

A and B may also be two folders, such as dist, two folders with an OCI image
layout, or two images in registries. Then it lists what one of them alone has, and
explains what differs; of images only the layers that differ are fetched.

It exits with 0 if they are equal and with 1 if they differ.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fault.Usage(errors.New("name two files, folders or images to explain"))
			}
			if c.Flags().Changed("html") {
				if err := checkPage(page, args, a.inDir); err != nil {
					return err
				}
			}

			report, err := a.explain(c.Context(), [2]string(args), a.registry(insecure))
			if err != nil {
				return err
			}

			if page != "" {
				if err := fsx.Replace(a.inDir(page), 0o666, report.HTML); err != nil {
					return fmt.Errorf("write %s: %w", page, err)
				}
			}

			switch {
			case a.json:
				err = printJSON(a.document(), report)
			case a.verbose:
				err = report.FprintTables(a.stdout)
			default:
				err = report.Fprint(a.stdout)
				if err == nil && !report.Equal {
					_, err = fmt.Fprint(a.stdout, "\nmore: -v for tables of what differs, --html FILE for a page with a map, --json for all of it\n")
				}
			}

			if err == nil && !report.Equal {
				err = fmt.Errorf("%s and %s %w", report.A.Name, report.B.Name, errDiffer)
			}
			return err
		},
	}

	c.Flags().StringVar(&page, "html", "", "also write a page to `FILE`")
	insecureFlag(c, &insecure)
	return c
}

// checkPage refuses a value of --html that names no file that may be written, before anything is done:
// a page must not replace a file that is read, or what is no regular file.
func checkPage(page string, files []string, at func(string) string) error {
	switch page {
	case "-":
		return fault.WithRemedy(fault.Usage(errors.New("--html: a page is written to a file, and - is none")), "name a file, or ./- if it is to be called that")
	case "":
		return fault.Usage(errors.New("--html: no name of a file"))
	}

	page = at(page)
	info, err := os.Lstat(page)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		info, err = os.Stat(filepath.Dir(page))
		if err != nil {
			return fault.Usage(fmt.Errorf("--html: %w", err))
		}
		if !info.IsDir() {
			return fault.Usage(fmt.Errorf("--html: %s is no folder", filepath.Dir(page)))
		}
		return nil
	case err != nil:
		return fault.Usage(fmt.Errorf("--html: %w", err))
	case info.IsDir():
		return fault.WithRemedy(fault.Usage(fmt.Errorf("--html: %s is a folder", page)), "name a file in it")
	case !info.Mode().IsRegular():
		return fault.Usage(fmt.Errorf("--html: %s is there, and no regular file", page))
	}

	for _, name := range files {
		if other, err := os.Stat(at(name)); err == nil && os.SameFile(info, other) {
			return fault.Usage(fmt.Errorf("--html: %s is one of the files that are read", page))
		}
	}
	return nil
}
