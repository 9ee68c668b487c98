package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/httpguard"
)

// session talks to one repository. The library authenticates, uploads, mounts and
// fetches. It never retries here, since it does so without regard for contexts.
type session struct {
	repo      name.Repository
	opt       Options
	transport http.RoundTripper // authenticates
	client    *http.Client
	puller    *remote.Puller
	pusher    *remote.Pusher

	// waited is the sum of the waits before something was tried again.
	waited atomic.Int64

	mu sync.Mutex
	// readBack are the blobs that the registry has given back during this push.
	readBack map[v1.Hash]bool
}

// openSession returns a session that has the rights in scopes.
func openSession(ctx context.Context, repo name.Repository, opt Options, scopes ...string) (*session, error) {
	s := &session{repo: repo, opt: opt, readBack: map[v1.Hash]bool{}}
	auth := authn.Anonymous
	if opt.Keychain != nil {
		var err error
		if auth, err = authn.Resolve(ctx, opt.Keychain, repo); err != nil {
			return nil, s.describeError("credentials for "+repo.RegistryStr(), err)
		}
	}

	guard := opt.guard(repo.RegistryStr())
	if err := s.retry(ctx, "reach "+repo.RegistryStr(), func(ctx context.Context) (err error) {
		s.transport, err = transport.NewWithContext(ctx, repo.Registry, auth, transport.NewUserAgent(guard, "twice"), scopes)
		return err
	}); err != nil {
		return nil, err
	}

	// Retries are this package's, with the caller's context.
	s.client = &http.Client{Transport: s.transport}
	options := []remote.Option{
		remote.WithTransport(s.transport),
		remote.WithJobs(opt.Jobs),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}

	var err, err2 error
	s.puller, err = remote.NewPuller(options...)
	s.pusher, err2 = remote.NewPusher(options...)
	return s, errors.Join(err, err2)
}

// openSessions opens a session for each repository, with the right to read the others
// in the same registry, for mounting.
func openSessions(ctx context.Context, images []*imagePlan, opt Options) (map[string]*session, error) {
	sessions := map[string]*session{}
	for _, im := range images {
		if sessions[im.repo.Name()] != nil {
			continue
		}
		// Some registries look at the first alone.
		scopes := []string{im.repo.Scope(transport.PushScope)}
		for _, other := range images {
			if other.repo.RegistryStr() == im.repo.RegistryStr() && other.repo.Name() != im.repo.Name() {
				scopes = append(scopes, other.repo.Scope(transport.PullScope))
			}
		}

		repo := im.repo
		if opt.Insecure {
			var err error
			if repo, err = name.NewRepository(repo.Name(), name.Insecure); err != nil {
				return nil, err
			}
		}

		s, err := openSession(ctx, repo, opt, scopes...)
		if err != nil {
			return nil, err
		}
		sessions[im.repo.Name()] = s
	}
	return sessions, nil
}

// reference returns identifier, a tag or a digest, in the repository.
func (s *session) reference(identifier string) name.Reference {
	if _, err := artifact.ParseDigest(identifier); err == nil {
		return s.repo.Digest(identifier)
	}
	return s.repo.Tag(identifier)
}

// isNotFound reports whether err is a registry's word that something is not there.
func isNotFound(err error) bool {
	var status *transport.Error
	return errors.As(err, &status) && status.StatusCode == http.StatusNotFound
}

// findManifest returns the manifest that identifier, a tag or a digest, names, or nil.
func (s *session) findManifest(ctx context.Context, identifier string) (*rawManifest, error) {
	var found *rawManifest
	ref := s.reference(identifier)
	err := s.retry(ctx, "fetch "+ref.Name(), func(ctx context.Context) error {
		o, err := s.fetchManifest(ctx, ref)
		if isNotFound(err) {
			return nil
		}
		found = o
		return err
	})
	return found, err
}

// confirmManifest returns an error unless identifier names o in the registry.
func (s *session) confirmManifest(ctx context.Context, identifier string, o rawManifest) error {
	ref := s.reference(identifier)
	return s.retry(ctx, "read back "+ref.Name(), func(ctx context.Context) error {
		have, err := s.fetchManifest(ctx, ref)
		switch {
		case isNotFound(err):
			return errAbsent
		case err != nil:
			return err
		case !have.equals(o):
			return fmt.Errorf("the registry has %s (%s), and was given %s (%s)", have.digest(), have.desc.MediaType, o.digest(), o.desc.MediaType)
		}
		return nil
	})
}

// fetchManifest fetches a manifest once.
func (s *session) fetchManifest(ctx context.Context, ref name.Reference) (*rawManifest, error) {
	desc, err := s.puller.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(desc.Manifest) > maxManifest {
		return nil, httpguard.Refuse("a manifest of more than %d bytes", maxManifest)
	}
	// The library takes the registry's word for the digest of a manifest in the
	// signed format of old. Here the bytes decide.
	o := newRawManifest(desc.Manifest, mediaType(string(desc.MediaType)))
	if d, ok := ref.(name.Digest); ok && d.DigestStr() != string(o.digest()) {
		return nil, fmt.Errorf("the registry answers with bytes of digest %s", o.digest())
	}

	return &o, nil
}

// putManifest sends a manifest as identifier, a tag or its digest.
func (s *session) putManifest(ctx context.Context, identifier string, o rawManifest) error {
	ref := s.reference(identifier)
	return s.retry(ctx, "push "+ref.Name(), func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.urlOf("manifests", identifier).String(), bytes.NewReader(o.raw))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", string(o.desc.MediaType))

		resp, err := s.client.Do(req)
		if err != nil {
			return err
		}
		defer drain(resp)
		if err := transport.CheckError(resp, http.StatusOK, http.StatusCreated, http.StatusAccepted); err != nil {
			return err
		}

		// A digest that differs means that the registry has changed the bytes.
		if d := resp.Header.Get("Docker-Content-Digest"); d != "" && d != string(o.digest()) {
			return fmt.Errorf("the registry says it took %q instead of %s", d, o.digest())
		}
		return nil
	})
}

// urlOf returns the URL of a manifest, a blob or the like of the repository.
func (s *session) urlOf(kind, identifier string) *url.URL {
	return &url.URL{Scheme: s.repo.Scheme(), Host: s.repo.RegistryStr(), Path: fmt.Sprintf("/v2/%s/%s/%s", s.repo.RepositoryStr(), kind, identifier)}
}

// drain reads the rest of a short answer, so that the connection can serve
// again, and closes it.
func drain(resp *http.Response) {
	// The part that counts was read, so an error in the rest does not matter.
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}

// readBlob writes a blob to dst. It is an error if the registry answers with anything
// else than the bytes that desc names. The content of dst must not be used then.
func (s *session) readBlob(ctx context.Context, desc v1.Descriptor, dst io.Writer) error {
	req, err := http.NewRequestWithContext(httpguard.WithMaxBody(ctx, desc.Size), http.MethodGet, s.urlOf("blobs", desc.Digest.String()).String(), nil)
	if err != nil {
		return err
	}

	req.Header.Set("Accept-Encoding", "identity") // or else the client unpacks what was packed on the way
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return err
	}

	h := artifact.NewHasher(dst)
	// One byte more than there should be, so that more is noticed.
	if _, err := io.Copy(h, io.LimitReader(resp.Body, desc.Size+1)); err != nil {
		return err
	}

	switch got := h.Digest(); {
	case h.Size() > desc.Size:
		return fmt.Errorf("%w: more than %d bytes", errOtherBytes, desc.Size)
	case string(got) != desc.Digest.String() || h.Size() != desc.Size:
		return fmt.Errorf("%w: %d bytes of digest %s", errOtherBytes, h.Size(), got)
	}
	return nil
}

// errOtherBytes says that an answer is not what was asked for.
var errOtherBytes = errors.New("the registry answers with something else")

// hasBlob reports whether the registry gives back a blob. Its word without the bytes
// does not count.
func (s *session) hasBlob(ctx context.Context, desc v1.Descriptor) (there bool, err error) {
	err = s.retry(ctx, "look for blob "+s.repo.Digest(desc.Digest.String()).Name(), func(ctx context.Context) error {
		err := s.readBlob(ctx, desc, io.Discard)
		there = err == nil
		if isNotFound(err) || errors.Is(err, errOtherBytes) {
			return nil
		}
		return err
	})
	return there, err
}

// confirmBlob returns an error unless the registry gives back a blob.
func (s *session) confirmBlob(ctx context.Context, desc v1.Descriptor) error {
	return s.retry(ctx, "read back blob "+s.repo.Digest(desc.Digest.String()).Name(), func(ctx context.Context) error {
		err := s.readBlob(ctx, desc, io.Discard)
		if isNotFound(err) {
			return errAbsent
		}
		return err
	})
}

// wasReadBack reports whether the registry has given back a blob during this push.
func (s *session) wasReadBack(desc v1.Descriptor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readBack[desc.Digest]
}

func (s *session) markReadBack(desc v1.Descriptor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readBack[desc.Digest] = true
}

// fetchBlob fetches a blob of at most limit bytes.
func (s *session) fetchBlob(ctx context.Context, desc v1.Descriptor, limit int64) (data []byte, err error) {
	ref := s.repo.Digest(desc.Digest.String())
	if desc.Size > limit {
		return nil, s.describeError("fetch "+ref.Name(), httpguard.Refuse("a blob of %d bytes, of more than %d", desc.Size, limit))
	}
	err = s.retry(ctx, "fetch blob "+ref.Name(), func(ctx context.Context) error {
		var buf bytes.Buffer
		err := s.readBlob(ctx, desc, &buf)
		data = buf.Bytes()
		return err
	})
	return data, err
}
