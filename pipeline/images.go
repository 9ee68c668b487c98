package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// buildable leaves out of images what the builds, of which some may not have
// been chosen, have no binaries for.
func buildable(images []matrix.ImagePlan, builds []matrix.Build) []matrix.ImagePlan {
	var kept []matrix.ImagePlan
	for _, img := range images {
		img.Platforms = slices.DeleteFunc(slices.Clone(img.Platforms), func(p matrix.ImagePlatform) bool {
			return !slices.ContainsFunc(builds, func(b matrix.Build) bool { return b.Target == p.Target })
		})
		if len(img.Platforms) > 0 {
			kept = append(kept, img)
		}
	}
	return kept
}

// maxZoneinfo bounds the time zones that come with Go, in bytes: they are less than 1 MB.
const maxZoneinfo = 16 << 20

// readLock reads the lock file that is committed beside the release file; nil if
// there is none. tree is the source.
func (p *Plan) readLock(tree string) (*oci.Lock, error) {
	name := filepath.Join(tree, filepath.FromSlash(path.Join(path.Dir(p.configRel), oci.LockName)))
	data, err := artifact.ReadNamed(name, oci.MaxLock)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lock, err := oci.DecodeLock(data)
	if err != nil {
		return nil, fault.Usage(fmt.Errorf("%s: %w", oci.LockName, err))
	}
	return lock, nil
}

// Lock writes the lock file beside the release file: the digests of the bases
// that are named by a tag. What is locked stays, unless update is set and the
// tag was moved; the tags that were moved are returned.
func Lock(ctx context.Context, cfg Config, update bool) (*oci.Lock, []oci.Moved, error) {
	p := &Plan{cfg: cfg, configRel: filepath.Base(cfg.ConfigFile)}
	if err := p.readFile(); err != nil {
		return nil, nil, err
	}
	dir := filepath.Dir(cfg.ConfigFile)
	old, err := p.readLock(dir)
	if err != nil {
		return nil, nil, err
	}
	var bases []string
	for _, img := range p.File.Containers {
		bases = append(bases, img.Base)
	}
	next, moved, err := old.Resolve(ctx, bases, cfg.Remote.Resolve)
	if err != nil {
		return nil, nil, err
	}
	if len(next.Images) == 0 && old == nil {
		return next, nil, nil // there is nothing to say, and no file says it best
	}
	if update {
		next.Follow(moved)
	}
	data, err := next.Encode()
	if err != nil {
		return nil, nil, err
	}
	return next, moved, replaceFile(filepath.Join(dir, oci.LockName), data)
}

// replaceFile writes a file so that there is all of it or what was there before. It is
// made in a folder of its own beside it, whose name nobody else has.
func replaceFile(name string, data []byte) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(name), ".twice-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	temp := filepath.Join(dir, filepath.Base(name))
	if err := os.WriteFile(temp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, name)
}

// readBases fetches the images that others are added to, as they are locked.
func (p *Plan) readBases(ctx context.Context, tree string) error {
	platforms := map[string][]platform.Platform{}
	for _, img := range p.images {
		if img.Base == matrix.Scratch {
			continue
		}
		for _, platform := range img.Platforms {
			if !slices.Contains(platforms[img.Base], platform.Platform) {
				platforms[img.Base] = append(platforms[img.Base], platform.Platform)
			}
		}
	}
	if len(platforms) == 0 {
		return nil
	}
	p.cfg.Progress.Stage("base images")
	lock, err := p.readLock(tree)
	if err != nil {
		return err
	}
	p.bases = map[string]*oci.Base{}
	for _, base := range slices.Sorted(maps.Keys(platforms)) {
		digest, err := lock.Digest(base)
		if err != nil {
			return err
		}
		if err := p.checkBase(ctx, tree, base, digest); err != nil {
			return err
		}
		if p.bases[base], err = p.cfg.Remote.Base(ctx, p.store, base, digest, platforms[base]); err != nil {
			return err
		}
	}
	return nil
}

// checkBase insists on the signatures that images want their base to have.
func (p *Plan) checkBase(ctx context.Context, tree, base string, digest artifact.Digest) error {
	ref, err := reference.Parse(base)
	if err != nil {
		return err
	}
	var done []matrix.BaseTrust
	for _, img := range p.images {
		trust := img.BaseTrust
		if img.Base != base || trust == (matrix.BaseTrust{}) || slices.Contains(done, trust) {
			continue
		}
		done = append(done, trust)
		if trust.Key != "" {
			trust.Key = filepath.Join(tree, filepath.FromSlash(path.Join(path.Dir(p.configRel), trust.Key)))
		}
		if err := p.cfg.CheckBase(ctx, trust, ref.Repository+"@"+string(digest)); err != nil {
			return fmt.Errorf("base %s: %w", base, err)
		}
	}
	return nil
}

// writeImages makes the images of pass A in dir, and those of pass B to compare
// them with.
func (o *Outcome) writeImages(ctx context.Context, dir string, rec *record.Record) error {
	p := o.plan
	if len(p.images) == 0 {
		return nil
	}
	p.cfg.Progress.Stage("images")
	in, err := o.imageInput()
	if err != nil {
		return err
	}
	in.Binaries = o.imageBinaries(pass.A)
	if rec.Images, err = oci.Write(ctx, dir, in); err != nil {
		return err
	}
	in.Binaries = o.imageBinaries(pass.B)
	// Nor may it matter in which order things are given, or done.
	slices.Reverse(in.Binaries)
	in.Jobs = 1
	again, err := oci.Digests(ctx, in)
	if err != nil {
		return err
	}
	if d := oci.Compare(rec.Images, again); len(d) > 0 {
		return fmt.Errorf("images: those of pass A and of pass B differ:\n%s", strings.Join(d, "\n"))
	}
	for _, base := range slices.Sorted(maps.Keys(p.bases)) {
		rec.Bases = append(rec.Bases, image.Base{Reference: base, Digest: p.bases[base].Digest})
	}
	return nil
}

// imageBinaries are what a pass made.
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

// stored is the content of what is in the store.
func (o *Outcome) stored(d artifact.Digest, size int64) oci.Content {
	return oci.Content{Digest: d, Size: size, Open: func() (oci.Reader, error) { return o.plan.store.Open(d) }}
}

// imageInput gathers what goes into images beside the binaries.
func (o *Outcome) imageInput() (oci.Input, error) {
	p := o.plan
	in := oci.Input{
		Images: p.images, Bases: p.bases, Files: map[string]oci.Content{},
		Title: p.File.Project, Revision: p.Vars.Commit, Version: p.Vars.Version,
		Created: p.mtime(), Jobs: max(1, p.cfg.CPUs),
	}
	zones := false
	for _, img := range p.images {
		zones = zones || img.Timezones
		for _, f := range img.Files {
			a := o.files[f.Source]
			in.Files[f.Source] = o.stored(a.Digest, a.Size)
		}
	}
	if zones {
		var err error
		if in.Zoneinfo, err = artifact.ReadNamed(filepath.Join(p.Toolchain.Dir, "lib", "time", "zoneinfo.zip"), maxZoneinfo); err != nil {
			return in, err
		}
	}
	return in, nil
}
