package pipeline

import (
	"path/filepath"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
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
			if err := o.copyOut(a, filepath.Join(dir, filepath.FromSlash(distfiles.RejectedBinary(pass, b.Target, b.Name)))); err != nil {
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
			if err := o.copyOut(artifact.Artifact{Name: f.Name, Digest: d}, filepath.Join(dir, filepath.FromSlash(distfiles.RejectedFile(pass, f.Name)))); err != nil {
				return err
			}
		}
	}
	return nil
}
