package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/pipeline/inspect"
)

func (a *app) inspectCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect {FILE | DIR}...",
		Short: "Tell what a Go binary says about its making",
		Long: `Inspect reads executables, as a stranger's bytes and without running them, and
tells what is in them: build information, the build ID and whether the file was
changed after linking, flags implied, sizes, signatures, paths of the machine that
built it, embedded files, and the command that may have made it. Of a folder it
reads every executable.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name a file or a folder to inspect")}
			}
			var files []inspect.File
			for _, arg := range args {
				found, err := inspectAll(c.Context(), a.at(arg))
				if err != nil {
					return err
				}
				files = append(files, found...)
			}
			doc := inspect.NewDocument(files...)
			if a.json {
				return printJSON(a.document(), doc)
			}
			return doc.Fprint(a.stdout)
		},
	}
}

// inspectAll reads a file, or the executables below a folder.
func inspectAll(ctx context.Context, root string) ([]inspect.File, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		f, err := inspectFile(ctx, root)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", short(root), err)
		}
		return []inspect.File{f}, nil
	}
	var files []inspect.File
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := inspectFile(ctx, name)
		if errors.Is(err, inspect.ErrFormat) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", short(name), err)
		}
		if len(files) == maxFiles {
			return fmt.Errorf("%s: more than %d executables", short(root), maxFiles)
		}
		files = append(files, f)
		return nil
	})
	if err == nil && len(files) == 0 {
		err = usageError{fmt.Errorf("%s: there are no executables in it", short(root))}
	}
	return files, err
}

func inspectFile(ctx context.Context, name string) (inspect.File, error) {
	f, err := openRegular(name)
	if err != nil {
		return inspect.File{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return inspect.File{}, err
	}
	return inspect.Read(ctx, short(name), f, info.Size())
}
