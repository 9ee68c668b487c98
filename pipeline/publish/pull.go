package publish

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
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
	s, err := open(ctx, repo, opt.withDefaults(), repo.Scope(transport.PullScope))
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
	o, err := p.s.find(ctx, string(digest))
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("%s: %w", digest, ErrNotFound)
	}
	return o.raw, nil
}

// Scratch is an empty file.
type Scratch interface {
	io.WriteSeeker
	Truncate(size int64) error
}

// Blob writes the blob that digest names to dst, which holds nothing else. It is
// an error if it has not that digest and size.
func (p *Puller) Blob(ctx context.Context, digest artifact.Digest, size int64, dst Scratch) error {
	if _, err := artifact.ParseDigest(string(digest)); err != nil {
		return err
	}
	ref := p.s.repo.Digest(string(digest))
	return p.s.retry(ctx, "fetch blob "+ref.Name(), func(ctx context.Context) error {
		if _, err := dst.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := dst.Truncate(0); err != nil {
			return err
		}
		l, err := p.s.puller.Layer(ctx, ref)
		if err != nil {
			return err
		}
		rc, err := l.Compressed()
		if err != nil {
			return err
		}
		h := artifact.NewHasher(dst)
		// One byte more than there should be, so that more is noticed.
		_, err = io.Copy(h, io.LimitReader(rc, size+1))
		if err = errors.Join(err, rc.Close()); err != nil {
			return err
		}
		if h.Digest() != digest || h.Size() != size {
			return fmt.Errorf("the registry answers with %d bytes of digest %s", h.Size(), h.Digest())
		}
		return nil
	})
}
