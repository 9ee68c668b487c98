package pipeline

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/registry"
)

// fetchBases fetches the locked base images into store.
func fetchBases(ctx context.Context, cfg Config, s SourceTree, images []matrix.ImagePlan, store *artifact.Store) (map[string]*oci.Base, error) {
	platforms := basePlatforms(images)
	if len(platforms) == 0 {
		return nil, nil
	}

	cfg.Progress.Stage("base images")
	dir := filepath.Join(s.Tree, filepath.FromSlash(s.configDir()))

	lock, err := readBaseLock(dir)
	if err != nil {
		return nil, err
	}

	// A fixed order makes the first error the same in each run.
	bases := map[string]*oci.Base{}
	for _, base := range slices.Sorted(maps.Keys(platforms)) {
		digest, err := lock.Digest(base)
		if err != nil {
			return nil, err
		}
		// A base that is not trusted is not even fetched.
		if err := checkBaseTrust(ctx, cfg, dir, images, base, digest); err != nil {
			return nil, err
		}
		if bases[base], err = cfg.Remote.ReadBase(ctx, store, base, digest, platforms[base]); err != nil {
			return nil, err
		}
	}

	return bases, nil
}

// basePlatforms returns the platforms that are needed of each base.
func basePlatforms(images []matrix.ImagePlan) map[string][]platform.Platform {
	platforms := map[string][]platform.Platform{}
	for _, img := range images {
		if img.Base == matrix.Scratch {
			continue
		}
		for _, p := range img.Platforms {
			if !slices.Contains(platforms[img.Base], p.Platform) {
				platforms[img.Base] = append(platforms[img.Base], p.Platform)
			}
		}
	}
	return platforms
}

// checkBaseTrust insists on the signatures that images want their base to have. Paths
// of keys are relative to dir.
func checkBaseTrust(ctx context.Context, cfg Config, dir string, images []matrix.ImagePlan, base string, digest artifact.Digest) error {
	ref, err := reference.Parse(base)
	if err != nil {
		return err
	}

	// Images that ask for the same trust share one check of it.
	var done []matrix.BaseTrust
	for _, img := range images {
		trust := img.BaseTrust
		if img.Base != base || trust == (matrix.BaseTrust{}) || slices.Contains(done, trust) {
			continue
		}
		done = append(done, trust)

		if trust.Key != "" {
			trust.Key = filepath.Join(dir, filepath.FromSlash(trust.Key))
		}

		if err := cfg.BaseSignatures.check(ctx, trust, ref.Repository+"@"+string(digest)); err != nil {
			return fmt.Errorf("base %s: %w", base, err)
		}
	}

	return nil
}

// BaseSignatures is how the signatures of base images are verified.
type BaseSignatures struct {
	// Keys is how the public keys are loaded that a release file names.
	Keys key.Options
	// Instance is where the trusted root comes from, for bases signed with a certificate.
	Instance attest.Instance
	// Registry is how the signatures are fetched.
	Registry registry.Options
}

// check returns an error unless an image, by its digest, has a signature that is trusted. The
// path of trust's key is absolute.
func (s BaseSignatures) check(ctx context.Context, trust matrix.BaseTrust, reference string) error {
	publisher, err := s.publisher(ctx, trust)
	if err != nil {
		return err
	}

	image := verify.New(verify.Options{Publisher: &publisher, Registry: s.Registry}).Image(ctx, reference)
	if image.Verdict == verify.Verified {
		return nil
	}

	err = fault.WithRemedy(fmt.Errorf("its signature: %s", image.Problems[0].Error), image.Problems[0].Remedy)
	if image.Verdict == verify.Refused {
		return fault.Refused(err)
	}
	return err
}

// publisher returns who has to have signed a base: the holder of a key or of a certificate.
func (s BaseSignatures) publisher(ctx context.Context, trust matrix.BaseTrust) (attest.Trust, error) {
	if trust.Key != "" {
		public, err := key.LoadPublic(ctx, trust.Key, s.Keys)
		if err != nil {
			return attest.Trust{}, err
		}
		return attest.TrustKey(public.Key())
	}

	data, err := s.Instance.TrustedRoot(ctx)
	if err != nil {
		return attest.Trust{}, err
	}
	root, err := attest.ParseRoot(data)
	if err != nil {
		return attest.Trust{}, err
	}
	return attest.TrustIdentity(root, attest.Identity{Name: trust.Identity, Issuer: trust.Issuer})
}
