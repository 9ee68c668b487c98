package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/archive"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/output"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// RecordName is the name of the release record in dist.
const RecordName = "release.json"

// ImagesName is the name of the folder with OCI images in dist.
const ImagesName = "oci"

// Rejected is where the two builds are kept when they differ.
func (p *Plan) Rejected() string { return output.Rejected(p.cfg.Out) }

// Package says what is made of the binaries, beside their checksums and the
// record.
type Package struct {
	// Archives asks for archives, and for a list of what each binary is made of.
	Archives bool
	// Signer signs what is known of the release, or of why there is none; nil
	// leaves it unsigned.
	Signer Signer
	// Run is what the provenance says about who ran the build.
	Run slsa.Run
}

// Write writes what was built: binaries and what pkg asks for, with checksums
// and the record. All of it goes to a folder beside dist
// first, which takes dist's place by one rename when it is complete. If not
// everything was reproduced, both builds go to dist.rejected instead, dist
// stays as it was, and the error is that of [Outcome.Err]. Without a record
// nothing was written.
func (o *Outcome) Write(ctx context.Context, pkg Package) (*record.Record, error) {
	rec := o.record()
	if err := o.write(ctx, rec, pkg); err != nil {
		// The verdict stands, whether or not it could be written down.
		return nil, errors.Join(o.Err(), err)
	}
	return rec, o.Err()
}

func (o *Outcome) write(ctx context.Context, rec *record.Record, pkg Package) error {
	p := o.plan
	if p.out == nil {
		return errors.New("the output folder was not reserved")
	}
	staging, dest := p.out.Staging, p.cfg.Out
	fill := func() error { return o.writeDist(ctx, staging, rec, pkg.Archives) }
	if o.Err() != nil {
		dest, fill = p.Rejected(), func() error { return o.writeRejected(staging) }
	}
	p.cfg.Progress.Stage("write " + filepath.Base(dest))
	if err := fill(); err != nil {
		return err
	}
	rec.Varying.Finished = p.cfg.Now().UTC()
	data, err := rec.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(staging, RecordName), data, 0o644); err != nil {
		return err
	}
	signErr := o.sign(ctx, staging, rec, data, pkg)
	if o.Err() == nil && signErr != nil {
		return signErr
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := p.out.Replace(ctx, dest); err != nil {
		return err
	}
	if o.Err() != nil {
		return signErr // the two builds are kept all the same
	}
	// What was rejected before is of no interest any more.
	return p.out.Remove(ctx, p.Rejected())
}

// record gathers what is known, without the artifacts of dist.
func (o *Outcome) record() *record.Record {
	p := o.plan
	src := record.Source{
		Source: p.Source.Source(), Time: p.Source.Time().UTC(), Dirty: p.Source.Dirty(),
		ConfigFile: p.configRel, Config: p.config, ConfigUncommitted: p.uncommitted,
	}
	tc := p.Toolchain
	rec := &record.Record{
		Schema: record.SchemaName, Project: p.File.Project, Version: p.Vars.Version, Tag: p.Source.Tag(), Snapshot: p.Snapshot,
		Tool: p.cfg.Tool, Source: src, Epoch: p.mtime().Unix(), Toolchain: p.Recipes[0].Recipe.Toolchain,
		Verdict: o.Verdict(), Binaries: o.Binaries, Files: o.Files,
		Varying: record.Varying{
			Host:        record.Host{OS: p.cfg.OS, Arch: p.cfg.Arch, CPUs: p.cfg.CPUs},
			Toolchain:   record.Toolchain{From: string(tc.From), Published: tc.Published, Sum: tc.Sum, GoEnv: tc.GoEnv},
			Modules:     record.Modules{Vendored: p.Modules.Vendored, SumDB: p.Modules.SumDB, NoSumDB: p.Modules.NoSumDB},
			Confinement: p.confine, Variations: o.variations, Started: p.started.UTC(), Jobs: o.jobs,
		},
	}
	if len(p.LeftOut) > 0 {
		rec.Partial = &record.Partial{LeftOut: p.LeftOut}
	}
	if r, ok := p.Source.(interface{ Remote() string }); ok {
		rec.Varying.Repository = r.Remote()
	}
	return rec
}

// writeDist fills dir and lists the artifacts in rec.
func (o *Outcome) writeDist(ctx context.Context, dir string, rec *record.Record, archives bool) error {
	p := o.plan
	for _, b := range o.Binaries {
		a := artifact.Artifact{Name: binaryPath(b), Kind: artifact.Binary, Digest: b.A, Size: b.Size, Executable: true}
		if err := o.copyOut(a, filepath.Join(dir, filepath.FromSlash(a.Name))); err != nil {
			return err
		}
		rec.Artifacts = append(rec.Artifacts, a)
	}
	listed := rec.Artifacts
	if archives {
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
		if err := o.writeImages(ctx, filepath.Join(dir, ImagesName), rec); err != nil {
			return err
		}
	}
	name := p.File.Checksum.File
	sums, err := o.create(dir, name, artifact.Checksums, func(w io.Writer) error { return archive.Sums(w, listed) })
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	rec.Artifacts = append(rec.Artifacts, sums)
	slices.SortFunc(rec.Artifacts, func(a, b artifact.Artifact) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// binaryPath is where a binary lies below dist.
func binaryPath(b record.Binary) string { return path.Join("bin", b.Target.Slug(), b.Name) }

// writeArchives packs each target's binaries.
func (o *Outcome) writeArchives(ctx context.Context, dir string) ([]artifact.Artifact, error) {
	var made []artifact.Artifact
	for _, pack := range o.plan.packs {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		binaries := o.binariesOf(pack.target)
		if pack.plan.Format == "none" {
			for _, b := range binaries {
				i := slices.Index(pack.plan.Binaries, b.Name)
				a := artifact.Artifact{Name: pack.plan.Raw[i], Kind: artifact.Binary, Digest: b.A, Size: b.Size, Executable: true}
				if err := o.copyOut(a, filepath.Join(dir, a.Name)); err != nil {
					return nil, err
				}
				made = append(made, a)
			}
			continue
		}
		a, err := o.create(dir, pack.plan.Name, artifact.Archive, func(w io.Writer) error {
			return archive.Write(w, archive.Format(pack.plan.Format), o.plan.mtime(), o.members(pack, binaries))
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pack.plan.Name, err)
		}
		made = append(made, a)
	}
	return made, nil
}

func (o *Outcome) binariesOf(t matrix.Target) []record.Binary {
	var list []record.Binary
	for _, b := range o.Binaries {
		if b.Target == t {
			list = append(list, b)
		}
	}
	return list
}

// members lists what goes into an archive.
func (o *Outcome) members(pack pack, binaries []record.Binary) []archive.File {
	var list []archive.File
	add := func(a artifact.Artifact) {
		list = append(list, archive.File{
			Name: path.Join(pack.plan.Wrap, a.Name), Executable: a.Executable, Size: a.Size,
			Open: func() (io.ReadCloser, error) { return openVerified(o.plan.store, a) },
		})
	}
	for _, b := range binaries {
		add(artifact.Artifact{Name: b.Name, Digest: b.A, Size: b.Size, Executable: true})
	}
	for _, f := range o.Files {
		if slices.ContainsFunc(pack.plan.Files, func(glob string) bool { return matches(glob, f.Name) }) {
			add(o.files[f.Name])
		}
	}
	return list
}

// verified reads stored bytes and fails at their end if they are not those that
// were compared.
type verified struct {
	a artifact.Artifact
	f *os.File
	h *artifact.Hasher
}

func openVerified(s *artifact.Store, a artifact.Artifact) (*verified, error) {
	f, err := s.Open(a.Digest)
	if err != nil {
		return nil, err
	}
	return &verified{a, f, artifact.NewHasher(io.Discard)}, nil
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.f.Read(p)
	v.h.Write(p[:n])
	if err == io.EOF && v.h.Digest() != v.a.Digest {
		err = fmt.Errorf("%s changed in the workspace: it was %s and is %s", v.a.Name, v.a.Digest.Short(), v.h.Digest().Short())
	}
	return n, err
}

func (v *verified) Close() error { return v.f.Close() }

// create writes a file of dist and hashes it on the way.
func (o *Outcome) create(dir, name string, kind artifact.Kind, write func(io.Writer) error) (artifact.Artifact, error) {
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return artifact.Artifact{}, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return artifact.Artifact{}, err
	}
	h := artifact.NewHasher(f)
	if err := errors.Join(write(h), f.Close()); err != nil {
		return artifact.Artifact{}, err
	}
	return artifact.Artifact{Name: name, Kind: kind, Digest: h.Digest(), Size: h.Size()}, nil
}

// copyOut copies a stored artifact to file and insists that the bytes are
// still those that were compared.
func (o *Outcome) copyOut(a artifact.Artifact, file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	in, err := openVerified(o.plan.store, a)
	if err != nil {
		return err
	}
	defer in.Close()
	mode := fs.FileMode(0o644)
	if a.Executable {
		mode = 0o755
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// writeRejected keeps whatever the passes built, apart.
func (o *Outcome) writeRejected(dir string) error {
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

// rejectedBinary and rejectedFile are where what a pass built lies below what was
// rejected.
func rejectedBinary(pass pass.Pass, t matrix.Target, name string) string {
	return path.Join(string(pass), t.Slug(), name)
}

func rejectedFile(pass pass.Pass, name string) string {
	return path.Join(string(pass), "files", name)
}
