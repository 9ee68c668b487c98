package registry

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Puller reads the parts of images of one repository.
type Puller struct{ s *session }

// OpenPuller returns a Puller for a repository, which has its full name, as
// [Manifest.Repository] has it.
func OpenPuller(ctx context.Context, repository string, opt Options) (*Puller, error) {
	var options []name.Option
	if opt.Insecure {
		options = append(options, name.Insecure)
	}

	repo, err := name.NewRepository(repository, options...)
	if err != nil {
		return nil, err
	}

	s, err := openSession(ctx, repo, opt.withDefaults(), repo.Scope(transport.PullScope))
	if err != nil {
		return nil, err
	}
	return &Puller{s}, nil
}

// Manifest returns the bytes of the manifest or index that digest names. The error
// is [ErrNotFound] if there is none.
func (p *Puller) Manifest(ctx context.Context, digest artifact.Digest) ([]byte, error) {
	if _, err := artifact.ParseDigest(string(digest)); err != nil {
		return nil, err
	}
	o, err := p.s.findManifest(ctx, string(digest))
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("%s: %w", digest, ErrNotFound)
	}
	return o.raw, nil
}

// ScratchFile is an empty file.
type ScratchFile interface {
	io.WriteSeeker
	Truncate(size int64) error
}

// Blob writes the blob that digest names to dst, which holds nothing else. It is
// an error if the blob does not have that digest and size.
func (p *Puller) Blob(ctx context.Context, digest artifact.Digest, size int64, dst ScratchFile) error {
	if _, err := artifact.ParseDigest(string(digest)); err != nil {
		return err
	}

	desc := v1.Descriptor{Size: size, Digest: v1.Hash{Algorithm: "sha256", Hex: digest.Hex()}}

	// An attempt that failed may have left a part of the blob in the file.
	return p.s.retry(ctx, "fetch blob "+p.s.repo.Digest(string(digest)).Name(), func(ctx context.Context) error {
		if _, err := dst.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := dst.Truncate(0); err != nil {
			return err
		}
		return p.s.readBlob(ctx, desc, dst)
	})
}
