package pipeline

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// writeImages makes the images of pass A in dir, and compares them with those of pass B.
func (o *Outcome) writeImages(ctx context.Context, dir string, rec *record.Record) error {
	run := o.run
	if len(run.Plan.Images) == 0 {
		return nil
	}

	run.cfg.Progress.Stage("images")
	in, err := o.imageInput()
	if err != nil {
		return err
	}

	in.Binaries = o.imageBinaries(pass.A)
	if rec.Images, err = oci.Write(ctx, dir, in); err != nil {
		return err
	}

	// Pass B gets its binaries in another order and is made by one job, which must not matter.
	in.Binaries = o.imageBinaries(pass.B)
	slices.Reverse(in.Binaries)
	in.Jobs = 1
	again, err := oci.Digests(ctx, in)
	if err != nil {
		return err
	}
	if d := oci.Compare(rec.Images, again); len(d) > 0 {
		return fault.Refused(fmt.Errorf("images: those of pass A and of pass B differ:\n%s", strings.Join(d, "\n")))
	}

	for _, base := range slices.Sorted(maps.Keys(run.Inputs.Bases)) {
		rec.Bases = append(rec.Bases, image.Base{Reference: base, Digest: run.Inputs.Bases[base].Digest})
	}
	return nil
}

// imageBinaries returns the binaries of a pass.
func (o *Outcome) imageBinaries(p pass.Pass) []oci.Binary {
	var list []oci.Binary
	for _, b := range o.Binaries {
		digest := b.A
		if p == pass.B {
			digest = b.B
		}
		list = append(list, oci.Binary{Target: b.Target, Name: b.Name, Content: o.stored(digest, b.Size)})
	}
	return list
}

// stored returns the content of a file in the store. Package oci holds the bytes against the digest
// itself.
func (o *Outcome) stored(d artifact.Digest, size int64) oci.Content {
	return oci.Content{Digest: d, Size: size, Open: func() (oci.Reader, error) { return o.run.local.Store.Open(d) }}
}

// imageInput returns what goes into images beside the binaries.
func (o *Outcome) imageInput() (oci.Input, error) {
	run := o.run
	in := oci.Input{
		Images: run.Plan.Images, Bases: run.Inputs.Bases, Files: map[string]oci.Content{},
		Title: run.Inputs.Release.Project, Revision: run.Plan.Vars.Commit, Version: run.Plan.Vars.Version,
		Created: run.Inputs.Time, Jobs: max(1, run.cfg.CPUs),
	}

	zones := false
	for _, img := range run.Plan.Images {
		zones = zones || img.Timezones
		for _, f := range img.Files {
			a := o.files[f.Source]
			in.Files[f.Source] = o.stored(a.Digest, a.Size)
		}
	}

	if zones {
		var err error
		if in.Zoneinfo, err = fsx.ReadNamed(filepath.Join(run.Inputs.Toolchain.Dir, "lib", "time", "zoneinfo.zip"), oci.MaxZoneinfo); err != nil {
			return in, err
		}
	}
	return in, nil
}
