package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/archive"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/output"
	"github.com/twicebuild/twice/pipeline/record"
)

// Rejected returns the folder where the two builds are kept if they differ.
func (run *Run) Rejected() string { return output.Rejected(run.cfg.Out) }

// WriteOptions say what is made of the binaries, in addition to checksums and the record.
type WriteOptions struct {
	// Package asks for archives, images, and a list of what each binary is made of. Without it
	// there are binaries alone.
	Package bool
	// Signer signs the statements about the release, or about why there is none. Nil
	// leaves it unsigned.
	Signer Signer
	// Invocation is what the provenance says about who ran the build.
	Invocation slsa.Invocation
}

// Write writes the binaries and what opt asks for, with checksums and the record. It fills a
// folder beside dist. The folder is exchanged for dist when it is complete: see package output. If
// something was not reproduced, which [Outcome.Err] says, both builds go to dist.rejected instead,
// and dist stays as it was. The error is about the writing alone. After one, the record is nil.
func (o *Outcome) Write(ctx context.Context, opt WriteOptions) (*record.Record, error) {
	rec := o.record()
	if err := o.write(ctx, rec, opt); err != nil {
		return nil, err
	}
	return rec, nil
}

// write fills the new folder, and exchanges it with dist or dist.rejected.
func (o *Outcome) write(ctx context.Context, rec *record.Record, opt WriteOptions) error {
	run := o.run
	if run.out == nil {
		return errors.New("the output folder was not reserved")
	}

	rejected := o.Err() != nil
	dir, dest := run.out.NewDir, run.cfg.Out
	fill := func() error { return o.writeDist(ctx, dir, rec, opt.Package) }
	if rejected {
		dest, fill = run.Rejected(), func() error { return o.writeRejected(dir) }
	}

	run.cfg.Progress.Stage("write " + filepath.Base(dest))
	if err := fill(); err != nil {
		return err
	}

	rec.Varying.Finished = run.cfg.Now().UTC()
	data, err := rec.Encode()
	if err != nil {
		return err
	}
	if err := fsx.WriteNew(filepath.Join(dir, distfiles.RecordName), data, 0o644); err != nil {
		return err
	}

	// A signature covers the bytes of the record, so the record is complete before it.
	// Two builds that differ are kept even if they could not be signed.
	signErr := o.sign(ctx, dir, rec, data, opt)
	if !rejected && signErr != nil {
		return signErr
	}

	if err := context.Cause(ctx); err != nil {
		return err
	}

	if err := run.out.Replace(ctx, dest); err != nil {
		return err
	}
	if rejected {
		return signErr
	}
	// An earlier rejected build is out of date now.
	return run.out.Remove(ctx, run.Rejected())
}

// record returns the record of the run, without the artifacts of dist.
func (o *Outcome) record() *record.Record {
	run := o.run
	src := record.Source{
		Source: run.Inputs.Source.Identity(), Time: run.Inputs.Source.Time().UTC(), Dirty: run.Inputs.Source.Dirty(),
		ConfigFile: run.Inputs.Release.Path, Config: run.Inputs.Release.Digest, ConfigUncommitted: run.Inputs.Release.Uncommitted != "",
	}

	tc := run.Inputs.Toolchain
	rec := &record.Record{
		Schema: record.SchemaName, Project: run.Inputs.Release.Project, Version: run.Plan.Vars.Version, Tag: run.Inputs.Source.Tag(), Snapshot: run.Plan.IsSnapshot,
		Tool: run.cfg.Tool, Source: src, Epoch: run.Inputs.Time.Unix(), Toolchain: run.Plan.Recipes[0].Recipe.Toolchain,
		Verdict: o.Verdict(), Binaries: o.Binaries, Files: o.Files,
		Varying: record.Varying{
			Host:        record.Host{OS: run.cfg.OS, Arch: run.cfg.Arch, CPUs: run.cfg.CPUs},
			Toolchain:   record.Toolchain{From: string(tc.Origin), Published: tc.Published, Sum: tc.Sum, GoEnv: tc.GoEnv},
			Modules:     record.Modules{Vendored: run.Inputs.Modules.Vendored, SumDB: run.Inputs.Modules.SumDB, NoSumDB: run.Inputs.Modules.NoSumDB},
			Confinement: run.local.Confinement, Variations: o.variations, Started: run.started.UTC(), Jobs: o.jobs,
		},
	}

	if len(run.Plan.LeftOut) > 0 {
		rec.Partial = &record.Partial{LeftOut: run.Plan.LeftOut}
	}

	if repo := run.Inputs.repo(); repo != nil {
		rec.Varying.Repository = repo.Remote()
	}
	return rec
}

// writeDist fills dir and lists the artifacts in rec.
func (o *Outcome) writeDist(ctx context.Context, dir string, rec *record.Record, packaged bool) error {
	run := o.run
	for _, b := range o.Binaries {
		a := artifact.Artifact{Name: distfiles.Binary(b), Kind: artifact.Binary, Digest: b.A, Size: b.Size, Executable: true}
		if err := o.copyOut(a, filepath.Join(dir, filepath.FromSlash(a.Name))); err != nil {
			return err
		}
		rec.Artifacts = append(rec.Artifacts, a)
	}

	// Checksums are of the files that are published: archives, if there are some.
	listed := rec.Artifacts
	if packaged {
		made, err := o.writeArchives(ctx, dir)
		if err != nil {
			return err
		}
		sboms, err := o.writeSBOMs(ctx, dir)
		if err != nil {
			return err
		}
		rec.Artifacts = slices.Concat(rec.Artifacts, made, sboms)
		listed = made
		if err := o.writeImages(ctx, filepath.Join(dir, distfiles.ImagesName), rec); err != nil {
			return err
		}
	}

	name := run.Inputs.Release.Checksum.File
	sums, err := create(dir, name, artifact.Checksums, func(w io.Writer) error { return archive.Sums(w, listed) })
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}

	rec.Artifacts = append(rec.Artifacts, sums)
	slices.SortFunc(rec.Artifacts, func(a, b artifact.Artifact) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// create writes a file of dist. It hashes the file while it writes it.
func create(dir, name string, kind artifact.Kind, write func(io.Writer) error) (artifact.Artifact, error) {
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return artifact.Artifact{}, err
	}

	f, err := fsx.CreateNew(file, 0o644)
	if err != nil {
		return artifact.Artifact{}, err
	}

	h := artifact.NewHasher(f)
	if err := errors.Join(write(h), f.Close()); err != nil {
		return artifact.Artifact{}, err
	}
	return artifact.Artifact{Name: name, Kind: kind, Digest: h.Digest(), Size: h.Size()}, nil
}
