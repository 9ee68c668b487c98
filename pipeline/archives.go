package pipeline

import (
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/archive"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/record"
)

// writeArchives packs each target's binaries.
func (o *Outcome) writeArchives(ctx context.Context, dir string) ([]artifact.Artifact, error) {
	var made []artifact.Artifact
	for _, planned := range o.run.Plan.Archives {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}

		binaries := o.binariesOf(planned.Target)

		// Without an archive the binaries themselves are published, under the names of the plan.
		if planned.Format == "none" {
			for _, b := range binaries {
				i := slices.Index(planned.Binaries, b.Name)
				a := artifact.Artifact{Name: planned.Raw[i], Kind: artifact.Binary, Digest: b.A, Size: b.Size, Executable: true}
				if err := o.copyOut(a, filepath.Join(dir, a.Name)); err != nil {
					return nil, err
				}
				made = append(made, a)
			}
			continue
		}

		a, err := create(dir, planned.Name, artifact.Archive, func(w io.Writer) error {
			return archive.Write(w, archive.Format(planned.Format), o.run.Inputs.Time, o.members(planned, binaries))
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", planned.Name, err)
		}
		made = append(made, a)
	}

	return made, nil
}

// binariesOf returns the binaries of a target.
func (o *Outcome) binariesOf(t matrix.Target) []record.Binary {
	var list []record.Binary
	for _, b := range o.Binaries {
		if b.Target == t {
			list = append(list, b)
		}
	}
	return list
}

// members returns the files of an archive: the binaries, and the files that its globs match.
func (o *Outcome) members(planned PlannedArchive, binaries []record.Binary) []archive.File {
	var list []archive.File
	add := func(a artifact.Artifact) {
		list = append(list, archive.File{
			Name: path.Join(planned.Wrap, a.Name), Executable: a.Executable, Size: a.Size,
			Open: func() (io.ReadCloser, error) { return openChecked(o.run.local.Store, a) },
		})
	}

	for _, b := range binaries {
		add(artifact.Artifact{Name: b.Name, Digest: b.A, Size: b.Size, Executable: true})
	}

	for _, f := range o.Files {
		if slices.ContainsFunc(planned.Files, func(glob string) bool { return matches(glob, f.Name) }) {
			add(o.files[f.Name])
		}
	}

	return list
}

// matches reports whether a glob matches the name of a file.
func matches(glob, name string) bool {
	ok, err := path.Match(glob, filepath.ToSlash(name))
	return ok && err == nil
}
