package pipeline

import (
	"path"
	"path/filepath"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/pass"
)

// writeRejected writes the binaries of both passes, and the files that differ, to dir.
func (o *Outcome) writeRejected(dir string) error {
	// Both binaries are kept even where they agree: a failure may concern the whole target.
	for _, b := range o.Binaries {
		for pass, d := range map[pass.Pass]artifact.Digest{pass.A: b.A, pass.B: b.B} {
			if d == "" {
				continue
			}
			a := artifact.Artifact{Name: b.Name, Digest: d, Executable: true}
			if err := o.copyOut(a, filepath.Join(dir, filepath.FromSlash(rejectedBinary(pass, b.Target, b.Name)))); err != nil {
				return err
			}
		}
	}

	for _, f := range o.Files {
		if f.Verdict.Pass() {
			continue
		}

		for pass, d := range map[pass.Pass]artifact.Digest{pass.A: f.A, pass.B: f.B} {
			if d == "" {
				continue
			}
			if err := o.copyOut(artifact.Artifact{Name: f.Name, Digest: d}, filepath.Join(dir, filepath.FromSlash(rejectedFile(pass, f.Name)))); err != nil {
				return err
			}
		}
	}
	return nil
}

// rejectedBinary returns the path of a pass's binary below dist.rejected.
func rejectedBinary(pass pass.Pass, t matrix.Target, name string) string {
	return path.Join(string(pass), t.Slug(), name)
}

// rejectedFile returns the path of a pass's file below dist.rejected.
func rejectedFile(pass pass.Pass, name string) string {
	return path.Join(string(pass), "files", name)
}
