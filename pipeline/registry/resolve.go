package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Manifest is the manifest or index that a reference stands for.
type Manifest struct {
	// Repository is the full name, with the registry's host.
	Repository string
	Digest     artifact.Digest
	MediaType  string
	Size       int64
	// Raw are the bytes that Digest names.
	Raw []byte
	// Platforms are the manifests of an index. An image has none.
	Platforms []Platform
}

// Platform is a manifest in an index.
type Platform struct {
	// Name is os/architecture or os/architecture/variant, and empty where the
	// index does not say.
	Name      string
	Digest    artifact.Digest
	MediaType string
	Size      int64
}

// Reference returns the manifest's name by digest, which [Referrers] takes.
func (m *Manifest) Reference() string { return m.Repository + "@" + string(m.Digest) }

// parseReference reads a reference as people write them.
func parseReference(ref string, opt Options) (name.Reference, error) {
	var options []name.Option
	if opt.Insecure {
		options = append(options, name.Insecure)
	}

	r, err := name.ParseReference(ref, options...)
	if err != nil {
		return nil, fmt.Errorf("%q: not a reference to an image: want host/path:tag or host/path@sha256:digest", ref)
	}

	// The library lets more through than the specification does.
	if path := r.Context().RepositoryStr(); !pathPattern.MatchString(path) {
		return nil, fmt.Errorf("%q: not a reference to an image: %q is no path", ref, path)
	}

	if d, ok := r.(name.Digest); ok {
		if _, err := artifact.ParseDigest(d.DigestStr()); err != nil {
			return nil, err
		}
	} else if !tagPattern.MatchString(r.Identifier()) {
		return nil, fmt.Errorf("%q: not a reference to an image: %q is no tag", ref, r.Identifier())
	}

	return r, nil
}

// ErrNotFound says that there is no such image.
var ErrNotFound = errors.New("there is no such image")

// Resolve fetches the manifest or index that ref names: host/path:tag or
// host/path@sha256:..., where short forms mean what they mean to docker. A digest
// wins over a tag. The error is [ErrNotFound] if there is none.
func Resolve(ctx context.Context, ref string, opt Options) (*Manifest, error) {
	r, err := parseReference(ref, opt)
	if err != nil {
		return nil, err
	}

	s, err := openSession(ctx, r.Context(), opt.withDefaults(), r.Context().Scope(transport.PullScope))
	if err != nil {
		return nil, err
	}

	o, err := s.findManifest(ctx, r.Identifier())
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("%s: %w", r.Name(), ErrNotFound)
	}

	m, err := ParseManifest(o.raw, string(o.desc.MediaType))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name(), err)
	}
	m.Repository = r.Context().Name()
	return m, nil
}

// ParseManifest reads the manifest of an image, or an index, of a media type. It
// refuses what two readers could understand in two ways. The Repository is empty.
func ParseManifest(raw []byte, mediaType string) (*Manifest, error) {
	parsed, err := parseManifest(raw, types.MediaType(mediaType))
	if err != nil {
		return nil, err
	}
	if len(parsed.Manifests) > maxPlatforms {
		return nil, fmt.Errorf("an index of more than %d manifests", maxPlatforms)
	}

	m := &Manifest{Digest: artifact.Of(raw), MediaType: mediaType, Size: int64(len(raw)), Raw: raw}
	for _, d := range parsed.Manifests {
		p := Platform{Digest: artifact.Digest(d.Digest.String()), MediaType: string(d.MediaType), Size: d.Size}

		if d.Platform != nil {
			p.Name = d.Platform.OS + "/" + d.Platform.Architecture
			if d.Platform.Variant != "" {
				p.Name += "/" + d.Platform.Variant
			}
		}
		m.Platforms = append(m.Platforms, p)
	}

	return m, nil
}
