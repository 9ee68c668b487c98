package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// imagePlan is one image, with everything that has to be in its repository.
type imagePlan struct {
	Image
	repo      name.Repository
	blobs     []*blob       // of all manifests, each digest once
	manifests []rawManifest // one for each platform
	index     rawManifest
	attached  []rawManifest // the attachments' own manifests
	// referrers are the descriptors that must be listed for each subject.
	referrers map[artifact.Digest][]v1.Descriptor
	// toMove are the tags to be moved, and kept those that point to the image already.
	toMove, kept []string
}

// subjects returns the digests of the manifests with attachments, sorted.
func (im *imagePlan) subjects() []artifact.Digest { return slices.Sorted(maps.Keys(im.referrers)) }

// addBlob puts b on the list of blobs to send, unless it is there.
func (im *imagePlan) addBlob(b *blob) {
	if !slices.ContainsFunc(im.blobs, func(o *blob) bool { return o.desc.Digest == b.desc.Digest }) {
		im.blobs = append(im.blobs, b)
	}
}

// The grammar of the distribution specification
// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests),
// which is narrower than the library's.
var (
	pathPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	// fallbackPattern are tags that stand for the referrers of a digest.
	fallbackPattern = regexp.MustCompile(`^sha256-[0-9a-f]{64}`)
	typePattern     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,126}/[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,126}$`)
)

// maxPlatforms bounds the manifests in an index.
const maxPlatforms = 1000

// planImages turns images into plans. It reads every byte of the layout that they
// need, and no network.
func planImages(ctx context.Context, dir string, images []Image) ([]*imagePlan, error) {
	if len(images) == 0 {
		return nil, errors.New("no images")
	}
	l, err := openLayout(dir)
	if err != nil {
		return nil, err
	}

	var plans []*imagePlan
	tags := map[string]artifact.Digest{}
	for i, im := range images {
		p, err := l.planImage(ctx, im)
		if err != nil {
			return nil, fmt.Errorf("images[%d]: %w", i, err)
		}

		// Two images under one tag would overrule each other.
		for _, tag := range p.Tags {
			ref := p.repo.Name() + ":" + tag
			if _, twice := tags[ref]; twice {
				return nil, fmt.Errorf("images[%d]: %s: the tag is there twice", i, ref)
			}
			tags[ref] = im.Digest
		}

		plans = append(plans, p)
	}
	return plans, nil
}

// parseRepository accepts what names a registry and a path in it.
func parseRepository(s string) (name.Repository, error) {
	repo, err := name.NewRepository(s, name.StrictValidation)
	if err != nil {
		return repo, fmt.Errorf("repository %q: want a registry's host and a path, as registry.example/team/tool", s)
	}
	if p := repo.RepositoryStr(); len(p) > 255 || !pathPattern.MatchString(p) {
		return repo, fmt.Errorf("repository %q: %q is no path: lower-case letters and digits, with single . _ - between, and slashes", s, p)
	}
	return repo, nil
}

// planImage checks one image, and collects all that belongs to it.
func (l *imageLayout) planImage(ctx context.Context, im Image) (*imagePlan, error) {
	repo, err := parseRepository(im.Repository)
	if err != nil {
		return nil, err
	}

	// A registry would refuse these only after everything was sent.
	for _, tag := range im.Tags {
		if !tagPattern.MatchString(tag) {
			return nil, fmt.Errorf("%s: tag %q: want at most 128 of letters, digits and . _ -, and not . or - first", repo, tag)
		}
		if fallbackPattern.MatchString(tag) {
			return nil, fmt.Errorf("%s: tag %q: such tags list what is attached to an image", repo, tag)
		}
	}

	p := &imagePlan{Image: im, repo: repo, referrers: map[artifact.Digest][]v1.Descriptor{}}
	if err := l.collectImages(ctx, p); err != nil {
		return nil, fmt.Errorf("%s: %w", repo, err)
	}
	for i, a := range im.Attachments {
		if err := p.attach(a); err != nil {
			return nil, fmt.Errorf("%s: attachments[%d]: %w", repo, i, err)
		}
	}
	return p, nil
}

// collectImages collects the index, the platforms' manifests and their blobs.
func (l *imageLayout) collectImages(ctx context.Context, p *imagePlan) error {
	if _, err := artifact.ParseDigest(string(p.Digest)); err != nil {
		return err
	}

	i := slices.IndexFunc(l.roots, func(d v1.Descriptor) bool { return d.Digest.String() == string(p.Digest) })
	if i < 0 {
		return fmt.Errorf("index %s is not in the layout's index.json", p.Digest)
	}

	root := l.roots[i]
	if root.MediaType != types.OCIImageIndex {
		return fmt.Errorf("%s is not an image index but %q", p.Digest, root.MediaType)
	}

	index, m, err := l.readManifest(root)
	if err != nil {
		return err
	}
	if n := len(m.Manifests); n == 0 || n > maxPlatforms {
		return fmt.Errorf("index %s has %d manifests", p.Digest, n)
	}

	p.index = index

	for _, desc := range m.Manifests {
		if !desc.MediaType.IsImage() {
			return fmt.Errorf("index %s: %s is not an image manifest but %q", p.Digest, desc.Digest, desc.MediaType)
		}
		if slices.ContainsFunc(p.manifests, func(o rawManifest) bool { return o.desc.Digest == desc.Digest }) {
			continue
		}

		o, m, err := l.readManifest(desc)
		if err != nil {
			return err
		}
		p.manifests = append(p.manifests, o)

		// Everything is read now, so that a damaged layout is found before a byte is sent.
		for _, d := range append([]v1.Descriptor{*m.Config}, m.Layers...) {
			if !d.MediaType.IsDistributable() {
				return fmt.Errorf("manifest %s: layer %s may not be distributed (%s)", desc.Digest, d.Digest, d.MediaType)
			}
			if err := l.verifyBlob(ctx, d); err != nil {
				return fmt.Errorf("manifest %s: %w", desc.Digest, err)
			}
			p.addBlob(&blob{desc: d, open: func() (io.ReadCloser, error) { return l.openBlob(d) }})
		}
	}
	return nil
}

// newRawManifest returns raw with the descriptor that fits it.
func newRawManifest(raw []byte, mt types.MediaType) rawManifest {
	return rawManifest{raw: raw, desc: v1.Descriptor{MediaType: mt, Size: int64(len(raw)), Digest: v1.Hash{Algorithm: "sha256", Hex: artifact.Of(raw).Hex()}}}
}

// The annotations of an attachment, as cosign sets and reads them.
const (
	contentAnnotation   = "dev.sigstore.bundle.content"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
	createdAnnotation   = "org.opencontainers.image.created"
)

// emptyConfig is the config of a manifest that needs none
// (https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidance-for-an-empty-descriptor).
var emptyConfig = []byte("{}")

// attach adds an attachment to the plan: its manifest, its blobs and its descriptor.
func (im *imagePlan) attach(a Attachment) error {
	a.ArtifactType = cmp.Or(a.ArtifactType, BundleType)
	all := append([]rawManifest{im.index}, im.manifests...)

	i := slices.IndexFunc(all, func(o rawManifest) bool { return o.digest() == a.Subject })
	switch {
	case i < 0:
		return fmt.Errorf("subject %q is neither the index %s nor a manifest in it", a.Subject, im.Digest)
	case !typePattern.MatchString(a.ArtifactType):
		return fmt.Errorf("artifact type %q: not a media type", a.ArtifactType)
	case a.PredicateType == "" || len(a.PredicateType) > 1024 || !safetext.Printable(a.PredicateType):
		return fmt.Errorf("predicate type %q: not a URI", a.PredicateType)
	case a.Created.IsZero():
		return errors.New("no time of creation")
	case len(a.Bundle) > MaxBundle:
		return fmt.Errorf("the bundle has more than %d bytes", MaxBundle)
	case !json.Valid(a.Bundle):
		return errors.New("the bundle is not JSON")
	}

	config, bundle := newBlob(emptyConfig, types.OCIEmptyJSON), newBlob(a.Bundle, types.MediaType(a.ArtifactType))
	m := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		ArtifactType:  a.ArtifactType,
		Config:        config.desc,
		Layers:        []v1.Descriptor{bundle.desc},
		Subject:       &v1.Descriptor{MediaType: all[i].desc.MediaType, Size: all[i].desc.Size, Digest: all[i].desc.Digest},
		Annotations: map[string]string{
			contentAnnotation:   "dsse-envelope",
			predicateAnnotation: a.PredicateType,
			createdAnnotation:   a.Created.UTC().Format(time.RFC3339),
		},
	}

	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}

	o := newRawManifest(raw, m.MediaType)
	if slices.ContainsFunc(im.attached, func(other rawManifest) bool { return o.equals(other) }) {
		return errors.New("the same is attached already")
	}

	im.addBlob(config)
	im.addBlob(bundle)
	im.attached = append(im.attached, o)

	// A registry without a referrers API gets the list from us, always in one order.
	ref := o.desc
	ref.ArtifactType, ref.Annotations = a.ArtifactType, m.Annotations
	im.referrers[a.Subject] = append(im.referrers[a.Subject], ref)
	slices.SortFunc(im.referrers[a.Subject], func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	return nil
}

// blob is bytes to upload. It is a layer to the library.
type blob struct {
	desc v1.Descriptor
	open func() (io.ReadCloser, error)
}

func newBlob(data []byte, mt types.MediaType) *blob {
	return &blob{
		desc: newRawManifest(data, mt).desc,
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}
