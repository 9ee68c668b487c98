package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/httpguard"
)

// Bounds of what is read about one subject.
const (
	maxPages     = 20
	maxReferrers = 2000
	maxBundles   = 100
	maxBytes     = 64 << 20 // of all bundles
)

// referrersFromAPI returns all pages of the answer of the referrers API about a subject
// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers).
// A registry without that API is no error: ok is false.
func (s *session) referrersFromAPI(ctx context.Context, subject artifact.Digest) (list []v1.Descriptor, ok bool, err error) {
	next := s.urlOf("referrers", string(subject))
	for range maxPages {
		var page *manifest
		err := s.retry(ctx, fmt.Sprintf("list the referrers of %s@%s", s.repo, subject), func(ctx context.Context) (err error) {
			page, next, err = s.fetchPage(ctx, next)
			return err
		})
		if err != nil {
			return nil, false, err
		}

		// Only the first page tells that there is no such API.
		if page == nil {
			if list != nil {
				return nil, false, fmt.Errorf("list the referrers of %s@%s: the first pages are there, and then one is not", s.repo, subject)
			}
			return nil, false, nil
		}

		if list = append(list, page.Manifests...); len(list) > maxReferrers {
			break
		}
		if next == nil {
			return list, true, nil
		}
	}

	return nil, false, fmt.Errorf("list the referrers of %s@%s: more than %d, or more than %d pages", s.repo, subject, maxReferrers, maxPages)
}

// fetchPage fetches one page, and returns the URL of the next one. With an error it
// returns the URL of this page. The page is nil if there is no referrers API.
func (s *session) fetchPage(ctx context.Context, at *url.URL) (*manifest, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, at, err
	}

	req.Header.Set("Accept", string(types.OCIImageIndex))
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, at, err
	}
	defer drain(resp)

	// Registries without this API answer in many ways.
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return nil, nil, nil
	default:
		return nil, at, transport.CheckError(resp, http.StatusOK)
	}

	if mediaType(resp.Header.Get("Content-Type")) != types.OCIImageIndex {
		return nil, nil, nil // somebody's start page
	}

	raw, err := readBounded(resp.Body, maxManifest)
	if err != nil {
		return nil, at, err
	}
	page, err := parseManifest(raw, types.OCIImageIndex)
	if err != nil {
		return nil, at, err
	}

	next, err := nextPage(at, resp.Header.Values("Link"))
	if err != nil {
		return nil, at, err
	}
	return page, next, nil
}

// mediaType returns a Content-Type without its parameters.
func mediaType(header string) types.MediaType {
	mt, _, err := mime.ParseMediaType(header)
	if err != nil {
		return types.MediaType(header) // equals nothing that is known
	}
	return types.MediaType(mt)
}

// nextPage returns the target of the Link header (RFC 8288) of relation next, or
// nil if there is none. It must be on the host of at, which the request goes to
// with credentials. Its scheme does not count: the transport below knows whether
// the registry speaks TLS.
func nextPage(at *url.URL, headers []string) (*url.URL, error) {
	for _, link := range headers {
		target, params, ok := strings.Cut(strings.TrimSpace(link), ">")
		if !ok || !strings.HasPrefix(target, "<") {
			return nil, fmt.Errorf("header Link: %q", printable(link))
		}

		next := false
		for p := range strings.SplitSeq(params, ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			next = next || strings.EqualFold(key, "rel") && strings.EqualFold(strings.Trim(value, `"`), "next")
		}
		if !next {
			continue
		}

		u, err := at.Parse(target[1:])
		if err != nil {
			return nil, fmt.Errorf("header Link: %q", printable(link))
		}

		// The request has credentials, which are for this host alone.
		if u.Host != at.Host || u.User != nil || u.Opaque != "" {
			return nil, httpguard.Refuse("header Link: %q is not on %s", printable(u.Redacted()), at.Host)
		}

		u.Scheme = at.Scheme
		return u, nil
	}
	return nil, nil
}

// fallbackTag is the tag of an index of the referrers of subject, in registries
// without referrers API
// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema).
func fallbackTag(subject artifact.Digest) string {
	return strings.Replace(string(subject), ":", "-", 1)
}

// referrersFromTag returns what the fallback tag lists, and the tag's object, or nil.
func (s *session) referrersFromTag(ctx context.Context, subject artifact.Digest) ([]v1.Descriptor, *rawManifest, error) {
	tag := fallbackTag(subject)
	o, err := s.findManifest(ctx, tag)
	if err != nil || o == nil {
		return nil, nil, err
	}

	if o.desc.MediaType != types.OCIImageIndex {
		return nil, nil, fmt.Errorf("%s: not a list of referrers but %q", s.repo.Tag(tag), o.desc.MediaType)
	}

	m, err := parseManifest(o.raw, types.OCIImageIndex)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.repo.Tag(tag), err)
	}
	if len(m.Manifests) > maxReferrers {
		return nil, nil, fmt.Errorf("%s: more than %d referrers", s.repo.Tag(tag), maxReferrers)
	}

	return m.Manifests, o, nil
}

// missingFrom returns those of want that are not in have.
func missingFrom(have, want []v1.Descriptor) []v1.Descriptor {
	return slices.DeleteFunc(slices.Clone(want), func(w v1.Descriptor) bool {
		return slices.ContainsFunc(have, func(h v1.Descriptor) bool { return h.Digest == w.Digest })
	})
}

// ensureListed returns when the referrers of subject include want. A referrers API
// lists them by itself, if not at once. Without that API the fallback tag's index is
// extended and read back, until no other process has undone the change.
func (s *session) ensureListed(ctx context.Context, subject artifact.Digest, want []v1.Descriptor) error {
	unlock, err := lockList(ctx, s.repo.Name()+"@"+string(subject))
	if err != nil {
		return err
	}
	defer unlock()

	const rounds = 8
	for round := range rounds {
		if round > 1 { // the first repetition reads back
			if err := s.opt.Sleep(ctx, min(backoff(round-1), 8*time.Second)); err != nil {
				return err
			}
		}

		have, ok, err := s.referrersFromAPI(ctx, subject)
		if err != nil {
			return err
		}
		if ok {
			if len(missingFrom(have, want)) == 0 {
				return nil
			}
			continue
		}

		// Without the API the list is an index under a tag, which everyone changes as a whole.
		have, o, err := s.referrersFromTag(ctx, subject)
		if err != nil {
			return err
		}
		add := missingFrom(have, want)
		if len(add) == 0 {
			return nil
		}
		merged, err := extendIndex(o, add)
		if err != nil {
			return fmt.Errorf("%s: %w", s.repo.Tag(fallbackTag(subject)), err)
		}
		if err := s.putManifest(ctx, fallbackTag(subject), merged); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s@%s: the registry's list of referrers does not have all of its %d attachments, after %d looks", s.repo, subject, len(want), rounds)
}

// extendIndex returns the index o with add at its end. Everything else of o stays, also
// members that are not known here.
func extendIndex(o *rawManifest, add []v1.Descriptor) (rawManifest, error) {
	index := map[string]json.RawMessage{"schemaVersion": json.RawMessage("2"), "mediaType": json.RawMessage(`"` + types.OCIImageIndex + `"`)}
	var list []json.RawMessage
	if o != nil {
		if err := json.Unmarshal(o.raw, &index); err != nil {
			return rawManifest{}, err
		}
		if old, ok := index["manifests"]; ok {
			if err := json.Unmarshal(old, &list); err != nil {
				return rawManifest{}, err
			}
		}
	}

	for _, d := range add {
		raw, err := json.Marshal(d)
		if err != nil {
			return rawManifest{}, err
		}
		list = append(list, raw)
	}

	var err error
	if index["manifests"], err = json.Marshal(list); err != nil {
		return rawManifest{}, err
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return rawManifest{}, err
	}

	// The index that was there may hold what this package refuses to read.
	if _, err := parseManifest(raw, types.OCIImageIndex); err != nil {
		return rawManifest{}, err
	}
	return newRawManifest(raw, types.OCIImageIndex), nil
}

// listLocks has a lock for each fallback tag that this process changes.
var listLocks sync.Map

// lockList waits until nobody else in this process changes the list key.
func lockList(ctx context.Context, key string) (unlock func(), err error) {
	v, _ := listLocks.LoadOrStore(key, make(chan struct{}, 1))
	lock := v.(chan struct{})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	}
}

// Referrers returns the Sigstore bundles that are attached to ref, which names a
// manifest by digest, in the order of their manifests' digests. Other things that
// are attached are left out. That a bundle is attached to ref is all that is
// verified of it. An attachment that says it is a bundle and does not have the shape
// of one is an error. So are more than a hundred bundles, and more than 64 MiB.
func Referrers(ctx context.Context, ref string, opt Options) ([]Attachment, error) {
	r, err := parseReference(ref, opt)
	if err != nil {
		return nil, err
	}
	if _, ok := r.(name.Digest); !ok {
		return nil, fmt.Errorf("%q: want a digest, as a tag can move", ref)
	}

	subject := artifact.Digest(r.Identifier())
	s, err := openSession(ctx, r.Context(), opt.withDefaults(), r.Context().Scope(transport.PullScope))
	if err != nil {
		return nil, err
	}

	list, ok, err := s.referrersFromAPI(ctx, subject)
	if err == nil && !ok {
		list, _, err = s.referrersFromTag(ctx, subject)
	}
	if err != nil {
		return nil, err
	}

	// Only bundles count against the bound, and each of them once.
	list = slices.DeleteFunc(list, func(d v1.Descriptor) bool { return !mayBeBundle(d) })
	slices.SortFunc(list, func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.Hex, b.Digest.Hex) })
	list = slices.CompactFunc(list, func(a, b v1.Descriptor) bool { return a.Digest == b.Digest })
	if len(list) > maxBundles {
		return nil, fmt.Errorf("%s: more than %d attachments", r.Name(), maxBundles)
	}

	var (
		found []Attachment
		left  int64 = maxBytes
	)
	for _, d := range list {
		a, err := s.attachment(ctx, subject, artifact.Digest(d.Digest.String()), min(left, MaxBundle))
		if err != nil {
			return nil, fmt.Errorf("attachment of %s: %w", r.Name(), err)
		}
		if a != nil {
			left -= int64(len(a.Bundle))
			found = append(found, *a)
		}
	}

	return found, nil
}

// mayBeBundle reports whether a manifest must be read to know whether it is a bundle.
// Some registries give the config's type for the artifact's, or none.
func mayBeBundle(d v1.Descriptor) bool {
	return d.MediaType == types.OCIManifestSchema1 && slices.Contains([]string{BundleType, string(types.OCIEmptyJSON), ""}, d.ArtifactType)
}

// attachment fetches what the manifest at digest attaches to subject. It is nil
// if that is no bundle.
func (s *session) attachment(ctx context.Context, subject, digest artifact.Digest, limit int64) (*Attachment, error) {
	o, err := s.findManifest(ctx, string(digest))
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("%s: listed, and not there", digest)
	}

	m, err := parseManifest(o.raw, o.desc.MediaType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", digest, err)
	}

	// The list said that it may be a bundle. The manifest decides.
	if m.ArtifactType != BundleType {
		return nil, nil
	}

	a, err := asAttachment(m, subject)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", digest, err)
	}
	if a.Bundle, err = s.fetchBlob(ctx, m.Layers[0], limit); err != nil {
		return nil, err
	}

	if !json.Valid(a.Bundle) {
		return nil, fmt.Errorf("%s: the bundle is not JSON", digest)
	}
	return a, nil
}

// asAttachment reads a manifest as an attachment to subject, without its bytes.
func asAttachment(m *manifest, subject artifact.Digest) (*Attachment, error) {
	switch {
	case m.Subject == nil || m.Subject.Digest.String() != string(subject):
		return nil, fmt.Errorf("not about %s", subject)
	case len(m.Layers) != 1 || m.Layers[0].MediaType != types.MediaType(m.ArtifactType):
		return nil, fmt.Errorf("want one layer of type %s", m.ArtifactType)
	}

	a := &Attachment{Subject: subject, ArtifactType: m.ArtifactType, PredicateType: m.Annotations[predicateAnnotation]}
	if text, ok := m.Annotations[createdAnnotation]; ok {
		created, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %q is no time", createdAnnotation, printable(text))
		}
		a.Created = created.UTC()
	}

	return a, nil
}
