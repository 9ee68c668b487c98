// Package registry moves finished images to registries, and reads back what
// others find there.
//
// The input is a folder with an OCI image layout
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md) and a
// list of the images in it, each with a repository, tags, and attachments: signed
// bundles about the image or one of its platforms. The result is the same bytes in a
// registry that speaks the OCI distribution protocol
// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md).
//
// [Push] checks everything before it sends a byte, sends what is missing, reads
// everything back, and moves the tags last. A blob is there when the registry has
// given back its bytes, and not when it says so. A push therefore moves the bytes of
// what it sends twice, and those of what is there already once. A push that fails or
// is killed leaves no tag that points to something unfinished, and the same push
// again goes on where it ended. Any number of pushes may run at the same time.
//
// The protocol has no conditional writes, so a client cannot prevent two things. A
// push overwrites a tag that somebody moves after the push has read it for the last
// time. In a registry without a referrers API, two processes that attach different
// things to the same image can undo each other's change. The same push again repairs
// that.
//
// [Resolve] and [Referrers] read an image's manifest and attachments.
//
// A registry is not believed. Its answers are bounded in size, number and time, and
// bytes count by their digest alone. Plain HTTP is for loopback addresses,
// unless it is asked for. Credentials go to the registry and to the token server that
// it names, and never to where these redirect.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// BundleType is the media type of a Sigstore bundle, version 0.3, and the type of
// the artifacts that [Referrers] returns
// (https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto).
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// Image is one image of a layout and where it goes.
type Image struct {
	// Repository is a registry's host, with a port if need be, and a path:
	// registry.example/team/tool.
	Repository string
	// Tags are moved to the image. Without tags the image can be found by its
	// digest alone.
	Tags []string
	// Digest is that of the image's index, which the layout's index.json names.
	Digest artifact.Digest
	// Attachments are bundles about the index or about manifests in it.
	Attachments []Attachment
}

// Attachment is a signed document about a manifest. In a registry it is a
// manifest of its own with a subject, in the shape that cosign writes and reads.
type Attachment struct {
	// Subject is an image's index, or a platform's manifest in it.
	Subject artifact.Digest
	// ArtifactType is the media type of Bundle. Empty is [BundleType].
	ArtifactType string
	// PredicateType is the URI that tells what kind of statement Bundle signs.
	PredicateType string
	// Bundle is a JSON document of at most MaxBundle bytes.
	Bundle []byte
	// Created is when it was made, to the second. It is part of the attachment's
	// bytes, so the same push again must say the same.
	Created time.Time
}

// MaxBundle bounds the bytes of an [Attachment]'s Bundle.
const MaxBundle = 16 << 20

// Options say how to reach registries, and what is permitted there.
type Options struct {
	// Transport does the requests. Nil is [http.DefaultTransport].
	Transport http.RoundTripper
	// Keychain has the credentials. Nil has none.
	Keychain authn.Keychain
	// Insecure permits plain HTTP to the registries themselves. To loopback
	// addresses it is always permitted.
	Insecure bool
	// ForceTag permits to move tags that point to something else.
	ForceTag bool
	// Jobs is how many requests run at a time. Zero is 4.
	Jobs int
	// Timeout is how long a registry may take to begin an answer, and for each
	// megabyte of an answer or of what is sent. Zero is two minutes.
	Timeout time.Duration
	// Progress, if set, is called as blobs are dealt with, by one goroutine at a
	// time. It must not block.
	Progress func(Progress)
	// Patience bounds the sum of the waits for one repository's registry, which can ask
	// for them or fail. Zero is fifteen minutes.
	Patience time.Duration
	// Sleep waits before a request is tried again, and returns early with the
	// context's error. Nil waits by the clock.
	Sleep func(context.Context, time.Duration) error
}

// Progress is how far a push has come.
type Progress struct {
	// Blobs of BlobsTotal are in the registry.
	Blobs, BlobsTotal int
	// Bytes of BytesTotal are there, or on the way. It decreases when an upload
	// begins anew.
	Bytes, BytesTotal int64
}

// Result says what a push did.
type Result struct {
	Images []PushedImage
	// Sent is how many blobs were uploaded, and SentBytes their size. Present is
	// how many were in the registry already, or could be mounted from another
	// repository of it.
	Sent, Present int
	SentBytes     int64
	// ReadBytes is the size of the blobs that were read back and compared: of all, each
	// once for each repository, whether they were sent or there.
	ReadBytes int64
}

// PushedImage is one image that is in its registry.
type PushedImage struct {
	Repository string
	Digest     artifact.Digest
	// Moved are the tags that point to the image since this push, Kept those that
	// did so before.
	Moved, Kept []string
}

// TagExistsError says that a tag points to something else than the image, and
// may not be moved.
type TagExistsError struct {
	Repository, Tag string
	// Have is what the tag points to, Want the image.
	Have, Want artifact.Digest

	again string // the command that moves it
}

// Error implements error.
func (e *TagExistsError) Error() string {
	return fmt.Sprintf("%s:%s: the tag points to %s already, not to %s", e.Repository, e.Tag, e.Have, e.Want)
}

// Kind implements what package fault asks for: the answer is no.
func (e *TagExistsError) Kind() fault.Kind { return fault.KindRefused }

// Remedy tells how to move the tag.
func (e *TagExistsError) Remedy() string {
	return fmt.Sprintf("tags of a release do not change as a rule; %s --force-tag moves it from %s to %s", cmp.Or(e.again, "twice publish"), e.Have, e.Want)
}

// Push sends images of the layout in layoutDir to their repositories, with
// their attachments, and moves their tags. A registry is not sent again what it
// has already. The error of a push that went wrong in between has a remedy that says
// how to go on. The error about a tag that points to something else is a
// [*TagExistsError]; nothing was sent if the tag did so from the beginning.
func Push(ctx context.Context, layoutDir string, images []Image, opt Options) (Result, error) {
	plans, err := planImages(ctx, layoutDir, images)
	if err != nil {
		return Result{}, fmt.Errorf("publish: %w", err)
	}

	p := &push{opt: opt.withDefaults(), images: plans, meter: newMeter(opt.Progress, plans)}
	res, err := p.run(ctx)
	if err == nil {
		return res, nil
	}
	err = fmt.Errorf("publish: %w", err)

	// The remedy is the command that goes on.
	again := "twice publish " + filepath.Dir(filepath.Clean(layoutDir))
	if exists := (*TagExistsError)(nil); errors.As(err, &exists) {
		exists.again = again
	} else if fault.RemedyOf(err) == "" {
		err = fault.WithRemedy(err, fmt.Sprintf("no tag points to anything unfinished; %s goes on where this ended", again))
	}

	return Result{}, err
}

// push is the state of one call of Push.
type push struct {
	opt      Options
	images   []*imagePlan
	sessions map[string]*session
	meter    *meter
}

// run takes one step with all images before the next step, so that every tag
// moves after everything else is done.
func (p *push) run(ctx context.Context) (Result, error) {
	var err error
	if p.sessions, err = openSessions(ctx, p.images, p.opt); err != nil {
		return Result{}, err
	}

	steps := []func(context.Context, *imagePlan) error{
		p.checkTags,
		p.pushBlobs,
		func(ctx context.Context, im *imagePlan) error { return p.pushManifests(ctx, im, im.manifests) },
		func(ctx context.Context, im *imagePlan) error {
			return p.pushManifests(ctx, im, []rawManifest{im.index})
		},
		func(ctx context.Context, im *imagePlan) error { return p.pushManifests(ctx, im, im.attached) },
		p.listAttachments,
		p.listAttachments, // again: another process may have been at the same list
		p.checkTags,       // again: that took a while
		p.moveTags,
	}

	for _, step := range steps {
		for _, im := range p.images {
			if err := step(ctx, im); err != nil {
				return Result{}, err
			}
		}
	}

	res := p.meter.result()
	for _, im := range p.images {
		res.Images = append(res.Images, PushedImage{Repository: im.repo.Name(), Digest: im.Digest, Moved: im.toMove, Kept: im.kept})
	}
	return res, nil
}

// forEach calls f for every element, some at a time, until one fails.
func forEach[T any](ctx context.Context, jobs int, list []T, f func(context.Context, T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	for _, x := range list {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(ctx, x)
		})
	}
	return g.Wait()
}

// checkTags finds out which tags are to be moved, and whether they may.
func (p *push) checkTags(ctx context.Context, im *imagePlan) error {
	im.toMove, im.kept = nil, nil
	for _, tag := range im.Tags {
		have, err := p.sessions[im.repo.Name()].findManifest(ctx, tag)
		switch {
		case err != nil:
			return err
		case have != nil && have.digest() == im.Digest:
			im.kept = append(im.kept, tag)
			continue
		case have != nil && !p.opt.ForceTag:
			return &TagExistsError{Repository: im.repo.Name(), Tag: tag, Have: have.digest(), Want: im.Digest}
		}

		im.toMove = append(im.toMove, tag)
	}
	return nil
}

// pushBlobs sends the blobs of an image that the registry lacks. A blob that an earlier
// image brought to another repository of the same registry is mounted. In the end the
// registry has given back every byte of each blob, sent or not, once for each repository.
func (p *push) pushBlobs(ctx context.Context, im *imagePlan) error {
	s := p.sessions[im.repo.Name()]
	return forEach(ctx, p.opt.Jobs, im.blobs, func(ctx context.Context, b *blob) error {
		if s.wasReadBack(b.desc) {
			p.meter.finish(b, false)
			return nil
		}

		// Reading the blob is the only proof that the registry has it.
		there, err := s.hasBlob(ctx, b.desc)
		if err != nil {
			return err
		}
		sent := false
		if !there {
			if sent, err = s.upload(ctx, b, p.mountSource(im, b), p.meter); err != nil {
				return err
			}
			if err := s.confirmBlob(ctx, b.desc); err != nil {
				return err
			}
		}

		s.markReadBack(b.desc)
		p.meter.readBack(b.desc.Size)
		p.meter.finish(b, sent)
		return nil
	})
}

// mountSource returns an earlier repository of the same registry that has b.
func (p *push) mountSource(im *imagePlan, b *blob) *name.Repository {
	for _, other := range p.images {
		if other == im {
			return nil
		}
		if other.repo.RegistryStr() == im.repo.RegistryStr() && other.repo.Name() != im.repo.Name() &&
			slices.ContainsFunc(other.blobs, func(o *blob) bool { return o.desc.Digest == b.desc.Digest }) {
			return &other.repo
		}
	}
	return nil
}

// pushManifests sends the manifests that the registry lacks, by digest. In the end the
// registry has given back every byte of each manifest, sent or not.
func (p *push) pushManifests(ctx context.Context, im *imagePlan, list []rawManifest) error {
	s := p.sessions[im.repo.Name()]
	return forEach(ctx, p.opt.Jobs, list, func(ctx context.Context, o rawManifest) error {
		have, err := s.findManifest(ctx, string(o.digest()))
		if err != nil || have.equals(o) {
			return err
		}
		if err := s.putManifest(ctx, string(o.digest()), o); err != nil {
			return err
		}
		return s.confirmManifest(ctx, string(o.digest()), o)
	})
}

// listAttachments adds the attachments of each manifest to its referrers.
func (p *push) listAttachments(ctx context.Context, im *imagePlan) error {
	s := p.sessions[im.repo.Name()]
	return forEach(ctx, p.opt.Jobs, im.subjects(), func(ctx context.Context, subject artifact.Digest) error {
		return s.ensureListed(ctx, subject, im.referrers[subject])
	})
}

// moveTags moves the tags one by one, and reads each back.
func (p *push) moveTags(ctx context.Context, im *imagePlan) error {
	s := p.sessions[im.repo.Name()]
	for _, tag := range im.toMove {
		if err := s.putManifest(ctx, tag, im.index); err != nil {
			return err
		}
		if err := s.confirmManifest(ctx, tag, im.index); err != nil {
			return p.movedElsewhere(ctx, im, tag, err)
		}
	}
	return nil
}

// movedElsewhere adds a remedy to err where the tag points to something else than the
// image. The same command would only find that the tag is there.
func (p *push) movedElsewhere(ctx context.Context, im *imagePlan, tag string, err error) error {
	have, ferr := p.sessions[im.repo.Name()].findManifest(ctx, tag)
	if ferr != nil || have == nil || have.digest() == im.Digest {
		return err
	}

	return fault.WithRemedy(err, fmt.Sprintf("somebody else has moved the tag, or the registry has not; the same command with --force-tag moves it from %s to %s", have.digest(), im.Digest))
}

// rawManifest is a manifest or an index.
type rawManifest struct {
	desc v1.Descriptor
	raw  []byte
}

func (o rawManifest) digest() artifact.Digest { return artifact.Digest(o.desc.Digest.String()) }

// equals reports whether o is not nil, and has the bytes and the type of other.
func (o *rawManifest) equals(other rawManifest) bool {
	return o != nil && o.desc.Digest == other.desc.Digest && o.desc.MediaType == other.desc.MediaType
}

func (o Options) withDefaults() Options {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Jobs <= 0 {
		o.Jobs = 4
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Patience <= 0 {
		o.Patience = 15 * time.Minute
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return o
}

// sleep waits by the clock.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// errAbsent says that a registry lacks something that it said it took.
var errAbsent = errors.New("the registry does not have it, though it took it")
