package pipeline

import (
	"context"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/image/oci"
)

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
