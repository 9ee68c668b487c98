package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/safetext"
	"github.com/twicebuild/twice/pipeline/subject"
)

// inspectFlags say which platforms of an image are meant, and how to reach it.
type inspectFlags struct {
	platforms []string
	insecure  bool
}

func (a *app) inspectCmd() *cobra.Command {
	var flags inspectFlags
	c := &cobra.Command{
		Use:   "inspect {FILE | ARCHIVE | DIR | IMAGE | URL}...",
		Short: "Tell what a Go binary says about its making",
		Long: `Inspect reads executables, as a stranger's bytes and without running them, and
tells what is in them: build information, the build ID and whether the file was
changed after linking, flags implied, sizes, signatures, paths of the machine that
built it, embedded files, and the command that may have made it.

Of a folder, an archive (tar, zip, deb, apk), an image in a registry or an OCI image
layout, an https:// URL or npm:NAME@VERSION it shows all executables in a table, and with -v each of
them as it does a single file.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.Usage(errors.New("name a file, an archive, a folder or an image to inspect"))
			}
			return a.inspect(c.Context(), args, flags)
		},
	}
	c.Flags().StringArrayVar(&flags.platforms, "platform", nil, "of an image only `PLATFORM`, such as linux/arm64 (may be repeated; default: all of linux)")
	insecureFlag(c, &flags.insecure)
	return c
}

func (a *app) inspect(ctx context.Context, args []string, flags inspectFlags) error {
	platforms, err := parsePlatforms(flags.platforms)
	if err != nil {
		return err
	}

	var all []inspect.File
	var tables []inspectTable
	var damaged error // what could be read is shown all the same

	for _, arg := range args {
		list, err := a.inspectAll(ctx, arg, platforms, flags.insecure)
		if errors.Is(err, errDamaged) {
			damaged = errors.Join(damaged, err)
		} else if err != nil {
			return err
		}
		for _, t := range list {
			for i, f := range t.files {
				if t.names != nil {
					f.Name = t.names[i]
				}
				all = append(all, f)
			}
		}
		tables = append(tables, list...)
	}

	a.progress.Close() // stdout may be the same terminal
	doc := inspect.NewDocument(all...)
	if a.json {
		return errors.Join(printJSON(a.document(), doc), damaged)
	}
	if a.verbose {
		return errors.Join(doc.Fprint(a.stdout), damaged)
	}

	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		doc, write := inspect.NewDocument(t.files...), inspect.Document.Fprint
		if t.title != "" {
			fmt.Fprintln(a.stdout, t.title)
			write = inspect.Document.FprintTable
		}
		if err := write(doc, a.stdout); err != nil {
			return err
		}
	}

	return damaged
}

// errDamaged says of a subject that it could not be read to its end.
var errDamaged = errors.New("there may be other files in it than those")

// inspectTable are the executables of one thing that was named.
type inspectTable struct {
	// title names what they are in, and is safe to show. A single file has none, and is not
	// shown as a table.
	title string
	files []inspect.File
	// names are those that the files have where no title stands above them. It is nil if
	// they are the same.
	names []string
}

// inspectAll reads an executable, or all of those in the subject that arg names.
func (a *app) inspectAll(ctx context.Context, arg string, platforms []platform.Platform, insecure bool) ([]inspectTable, error) {
	root := a.inDir(arg)
	info, err := os.Stat(root)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err == nil && info.IsDir():
		if _, err := os.Stat(filepath.Join(root, "oci-layout")); err == nil {
			break
		}
		return a.inspectFolder(ctx, root)
	case err == nil:
		f, err := inspectFile(ctx, root)
		if err == nil {
			return []inspectTable{{files: []inspect.File{f}}}, nil
		}
		if !errors.Is(err, inspect.ErrFormat) {
			return nil, fmt.Errorf("%s: %w", displayPath(root), err)
		}
	}
	return a.inspectSubject(ctx, arg, platforms, insecure)
}

// inspectFolder reads the executables below a folder. Nothing is copied.
func (a *app) inspectFolder(ctx context.Context, root string) ([]inspectTable, error) {
	t := inspectTable{title: safetext.Clean(displayPath(root))}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}

		f, err := inspectFile(ctx, name)
		if errors.Is(err, inspect.ErrFormat) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			a.progress.Line("passed over: %s: %s", safetext.Clean(displayPath(name)), safetext.Clean(err.Error()))
			return nil
		}

		if len(t.files) == maxInspected {
			return fmt.Errorf("%s: more than %d executables", displayPath(root), maxInspected)
		}

		t.names = append(t.names, f.Name)
		if rel, err := filepath.Rel(root, name); err == nil {
			f.Name = rel
		}
		t.files = append(t.files, f)
		return nil
	})

	if err == nil && len(t.files) == 0 {
		err = fault.Usage(fmt.Errorf("%s: there are no executables in it", displayPath(root)))
	}
	return []inspectTable{t}, err
}

// maxInspected bounds the executables of one thing, all of whose facts are kept.
const maxInspected = 10_000

// inspectSubject reads the executables of an archive, an image and the like. It returns a table for
// each platform.
func (a *app) inspectSubject(ctx context.Context, ref string, platforms []platform.Platform, insecure bool) (tables []inspectTable, err error) {
	dir, err := os.MkdirTemp("", "twice-inspect-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	cfg := subject.Config{
		Dir: dir, WorkDir: a.dir, Platforms: platforms, Registry: a.registry(insecure),
		NPM: a.npm(), Limits: subject.Limits{Executables: maxInspected},
	}
	a.progress.Stage("reading " + safetext.Clean(ref))

	var damaged error
	s, err := subject.Open(ctx, ref, cfg)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		if errors.Is(err, subject.ErrNoExecutables) {
			err = fault.Usage(err)
		}
		return nil, err
	}

	for _, skipped := range s.Skipped {
		a.progress.Line("passed over: %s", skipped.String())
		if skipped.Whole {
			damaged = fmt.Errorf("%s: %w", safetext.Clean(s.Ref), errDamaged)
		}
	}

	for i := range s.Executables {
		e := &s.Executables[i]
		title := safetext.Clean(s.Ref)
		if e.Platform != "" {
			title += "  " + safetext.Clean(e.Platform)
		}
		if n := len(tables); n == 0 || tables[n-1].title != title {
			tables = append(tables, inspectTable{title: title})
		}

		t := &tables[len(tables)-1]
		f, err := inspectExecutable(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e, err)
		}
		t.files, t.names = append(t.files, f), append(t.names, e.String())
	}
	return tables, damaged
}

func inspectExecutable(ctx context.Context, e *subject.Executable) (inspect.File, error) {
	f, err := e.Open()
	if err != nil {
		return inspect.File{}, err
	}
	defer f.Close()
	name := e.Name
	if e.Nth > 1 {
		name += fmt.Sprintf(" (number %d of this name)", e.Nth)
	}
	return inspect.Read(ctx, name, f, e.Size)
}

func inspectFile(ctx context.Context, name string) (inspect.File, error) {
	f, info, err := fsx.OpenNamed(name)
	if err != nil {
		return inspect.File{}, err
	}
	defer f.Close()
	return inspect.Read(ctx, displayPath(name), f, info.Size())
}
