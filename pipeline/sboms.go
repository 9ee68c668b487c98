package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/sbom"
)

// writeSBOMs writes the lists of components of each binary, from its own build information.
func (o *Outcome) writeSBOMs(ctx context.Context, dir string) ([]artifact.Artifact, error) {
	var made []artifact.Artifact
	for _, b := range o.Binaries {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}

		doc, err := o.sbom(b)
		if errors.Is(err, sbom.ErrNoBuildInfo) {
			o.run.cfg.Progress.Line("no list of components for %s: %v", distfiles.Binary(b), err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("components of %s: %w", distfiles.Binary(b), err)
		}

		for _, format := range sbom.Formats {
			a, err := create(dir, distfiles.SBOM(b, format.Suffix), artifact.SBOM, func(w io.Writer) error {
				data, err := format.Encode(doc)
				if err != nil {
					return err
				}
				_, err = w.Write(data)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", distfiles.SBOM(b, format.Suffix), err)
			}

			made = append(made, a)
		}
	}

	return made, nil
}

// sbom reads the components of a binary.
func (o *Outcome) sbom(b record.Binary) (*sbom.Document, error) {
	f, err := o.run.local.Store.Open(b.A)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return sbom.New(f, sbom.Binary{
		Name: b.Name, Version: o.run.Plan.Vars.Version, Digest: b.A, Size: b.Size, Time: o.run.Inputs.Time, Tool: o.run.cfg.Tool.Version,
	})
}
