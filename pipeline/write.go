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
	"github.com/twicebuild/twice/pipeline/build"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/report"
)

// RecordName is the name of the release record in dist.
const RecordName = "release.json"

// ImagesName is the name of the folder with OCI images in dist.
const ImagesName = "oci"

// Beside dist there may be, for a while or after a difference, these folders.
func stagingDir(out string) string  { return out + ".staging" }
func oldDir(out string) string      { return out + ".old" }
func rejectedDir(out string) string { return out + ".rejected" }

// Rejected is where the two builds are kept when they differ.
func (p *Plan) Rejected() string { return rejectedDir(p.cfg.Out) }

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
func (o *Outcome) Write(ctx context.Context, pkg Package) (*report.Record, error) {
	rec := o.record()
	if err := o.write(ctx, rec, pkg); err != nil {
		// The verdict stands, whether or not it could be written down.
		return nil, errors.Join(o.Err(), err)
	}
	return rec, o.Err()
}

func (o *Outcome) write(ctx context.Context, rec *report.Record, pkg Package) error {
	p := o.plan
	staging, dest := stagingDir(p.cfg.Out), p.cfg.Out
	fill := func() error { return o.writeDist(ctx, staging, rec, pkg.Archives) }
	if o.Err() != nil {
		dest, fill = rejectedDir(dest), func() error { return o.writeRejected(staging) }
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
	if err := replace(dest, staging); err != nil {
		return err
	}
	p.staged = false
	if o.Err() != nil {
		return signErr // the two builds are kept all the same
	}
	// What was rejected before is of no interest any more.
	return discard(rejectedDir(p.cfg.Out))
}

// record gathers what is known, without the artifacts of dist.
func (o *Outcome) record() *report.Record {
	p := o.plan
	src := report.Source{
		Source: p.Source.Source(), Time: p.Source.Time().UTC(), Dirty: p.Source.Dirty(),
		ConfigFile: p.configRel, Config: p.config,
	}
	tc := p.Toolchain
	rec := &report.Record{
		Schema: report.SchemaName, Project: p.File.Project, Version: p.Vars.Version, Tag: p.Source.Tag(), Snapshot: p.Snapshot,
		Tool: p.cfg.Tool, Source: src, Epoch: p.mtime().Unix(), Toolchain: p.Recipes[0].Recipe.Toolchain,
		Verdict: o.Verdict(), Binaries: o.Binaries, Files: o.Files,
		Varying: report.Varying{
			Host:        p.cfg.Host,
			Toolchain:   report.Toolchain{From: string(tc.From), Published: tc.Published, Sum: tc.Sum, GoEnv: tc.GoEnv},
			Modules:     report.Modules{Vendored: p.Modules.Vendored, SumDB: p.Modules.SumDB, NoSumDB: p.Modules.NoSumDB},
			Confinement: p.confine, Variations: o.variations, Started: p.started.UTC(), Jobs: o.jobs,
		},
	}
	if r, ok := p.Source.(interface{ Remote() string }); ok {
		rec.Varying.Repository = r.Remote()
	}
	return rec
}

// writeDist fills dir and lists the artifacts in rec.
func (o *Outcome) writeDist(ctx context.Context, dir string, rec *report.Record, archives bool) error {
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
func binaryPath(b report.Binary) string { return path.Join("bin", b.Target.Slug(), b.Name) }

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

func (o *Outcome) binariesOf(t matrix.Target) []report.Binary {
	var list []report.Binary
	for _, b := range o.Binaries {
		if b.Target == t {
			list = append(list, b)
		}
	}
	return list
}

// members lists what goes into an archive.
func (o *Outcome) members(pack pack, binaries []report.Binary) []archive.File {
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
		for pass, d := range map[build.Pass]artifact.Digest{build.A: b.A, build.B: b.B} {
			if d == "" {
				continue
			}
			a := artifact.Artifact{Name: b.Name, Digest: d, Executable: true}
			if err := o.copyOut(a, filepath.Join(dir, string(pass), b.Target.Slug(), b.Name)); err != nil {
				return err
			}
		}
	}
	for _, f := range o.Files {
		if f.Verdict.Pass() {
			continue
		}
		for pass, d := range map[build.Pass]artifact.Digest{build.A: f.A, build.B: f.B} {
			if d == "" {
				continue
			}
			if err := o.copyOut(artifact.Artifact{Name: f.Name, Digest: d}, filepath.Join(dir, string(pass), "files", filepath.FromSlash(f.Name))); err != nil {
				return err
			}
		}
	}
	return nil
}

// marker is in every folder that this package writes and has not finished.
const marker = ".twice-unfinished"

// stage makes the empty folder that becomes dist, after removing what an
// earlier run left there. A folder that no run made is not touched. It is made
// before the passes, so that a place that cannot be written is known by then.
func (p *Plan) stage() error {
	dir := stagingDir(p.cfg.Out)
	if err := discard(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("--out: nothing can be written beside %s: %w", p.cfg.Out, err)
	}
	p.staged = true
	return os.WriteFile(filepath.Join(dir, marker), nil, 0o644)
}

// discard removes dir if it is provably ours: unfinished, or with a record.
func discard(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) > 0 && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == marker }) {
		if err := isOurs(dir); err != nil {
			return err
		}
	}
	return build.RemoveAll(dir)
}

// isOurs tells whether dir holds a release of ours.
func isOurs(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, RecordName))
	if err == nil && strings.Contains(string(data[:min(200, len(data))]), `"schema": "twice.release/`) {
		return nil
	}
	return fault.Usage(fmt.Errorf("%s was not written by twice: it has no %s", dir, RecordName), "move it away, or name another folder with --out")
}

// checkOut tells early whether dist can be replaced, and brings back a dist
// that a killed run left renamed.
func checkOut(out string) error {
	if info, err := os.Stat(filepath.Dir(out)); err != nil || !info.IsDir() {
		return fault.Usage(fmt.Errorf("--out %s: its parent folder does not exist", out))
	}
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Rename(oldDir(out), out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	case err != nil:
		return fault.Usage(fmt.Errorf("--out: %w", err))
	case len(entries) > 0:
		return isOurs(out)
	}
	return nil
}

// replace puts staging in the place of dest.
func replace(dest, staging string) error {
	if err := os.Remove(filepath.Join(staging, marker)); err != nil {
		return err
	}
	if err := discard(oldDir(dest)); err != nil {
		return err
	}
	if _, err := os.Lstat(dest); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(staging, dest)
	}
	if exchange(staging, dest) == nil {
		return build.RemoveAll(staging)
	}
	if err := os.Rename(dest, oldDir(dest)); err != nil {
		return err
	}
	if err := os.Rename(staging, dest); err != nil {
		return errors.Join(err, os.Rename(oldDir(dest), dest))
	}
	return build.RemoveAll(oldDir(dest))
}
