package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// server is a registry in this process, behind a proxy that can break it.
type server struct {
	*httptest.Server
	host  string
	inner http.Handler

	mu   sync.Mutex
	seen []string // requests by step and method
	// fault, if set, answers in place of the registry, or returns false.
	fault func(step string, w http.ResponseWriter, r *http.Request) bool
	gone  chan struct{} // closed when the test ends
}

func newServer(t *testing.T, referrers bool) *server {
	t.Helper()
	s := &server{inner: registry.New(registry.WithReferrersSupport(referrers), registry.Logger(log.New(io.Discard, "", 0)))}
	s.Server = httptest.NewServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.gone = make(chan struct{})
	t.Cleanup(func() { close(s.gone); s.Close() })
	s.host = strings.TrimPrefix(s.URL, "http://")
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	step := stepOf(r)
	s.mu.Lock()
	s.seen = append(s.seen, step)
	fault := s.fault
	s.mu.Unlock()
	// The library's registry takes a manifest that is cut short for a whole one.
	if strings.HasSuffix(step, " PUT") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if fault != nil && fault(step, w, r) {
		return
	}
	s.inner.ServeHTTP(w, r)
}

// breakWith sets the fault, or none.
func (s *server) breakWith(f func(step string, w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.seen = f, nil
}

// count returns how many requests there were since breakWith, of the steps that
// have prefix.
func (s *server) count(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, step := range s.seen {
		if strings.HasPrefix(step, prefix) {
			n++
		}
	}
	return n
}

// stepOf names a request by what it is for.
func stepOf(r *http.Request) string {
	kind := "ping"
	if _, rest, ok := strings.Cut(r.URL.Path, "/blobs/"); ok {
		kind = "blob"
		if strings.HasPrefix(rest, "uploads") {
			kind = "upload"
		}
	} else if _, id, ok := strings.Cut(r.URL.Path, "/manifests/"); ok {
		switch {
		case strings.HasPrefix(id, "sha256-"):
			kind = "fallback"
		case strings.HasPrefix(id, "sha256:"):
			kind = "manifest"
		default:
			kind = "tag"
		}
	} else if strings.Contains(r.URL.Path, "/referrers/") {
		kind = "referrers"
	}
	return kind + " " + r.Method
}

// steps are all kinds of requests of a push.
var steps = []string{
	"ping GET", "tag GET", "blob HEAD", "blob GET", "upload POST", "upload PATCH", "upload PUT",
	"manifest GET", "manifest PUT", "referrers GET", "fallback GET", "fallback PUT", "tag PUT",
}

// image is an index of two platforms, in a layout of its own.
type image struct {
	dir     string
	digest  artifact.Digest
	index   v1.ImageIndex
	members []artifact.Digest
}

// newImage makes an image with random layers.
func newImage(t *testing.T) image {
	t.Helper()
	im := image{dir: filepath.Join(t.TempDir(), "dist", "oci"), index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex)}
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := random.Image(3000, 2)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = "linux", arch
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
		im.index = mutate.AppendManifests(im.index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		im.members = append(im.members, artifact.Digest(d.String()))
	}
	lp, err := layout.Write(im.dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := lp.AppendIndex(im.index); err != nil {
		t.Fatal(err)
	}
	d, err := im.index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	im.digest = artifact.Digest(d.String())
	return im
}

// to returns the image with attachments to the index and one platform.
func (im image) to(repository string, tags ...string) Image {
	created := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	return Image{Repository: repository, Tags: tags, Digest: im.digest, Attachments: []Attachment{
		{Subject: im.digest, PredicateType: "https://slsa.dev/provenance/v1", Bundle: []byte(`{"of":"index"}`), Created: created},
		{Subject: im.digest, PredicateType: "https://sigstore.dev/cosign/sign/v1", Bundle: []byte(`{"signs":"index"}`), Created: created},
		{Subject: im.members[0], PredicateType: "https://slsa.dev/provenance/v1", Bundle: []byte(`{"of":"platform"}`), Created: created},
	}}
}

// file returns where the layout has a blob.
func (im image) file(d artifact.Digest) string {
	return filepath.Join(im.dir, "blobs", "sha256", d.Hex())
}

// patient are options that do not wait between attempts.
func patient() Options {
	return Options{Timeout: 5 * time.Second, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

// complete checks that a tag points to the image, with all that belongs to it.
func complete(t *testing.T, s *server, im image, want Image, tag string) {
	t.Helper()
	opt := patient()
	m, err := Resolve(t.Context(), want.Repository+":"+tag, opt)
	if err != nil {
		t.Fatal(err)
	}
	if m.Digest != im.digest || len(m.Platforms) != 2 || m.Platforms[0].Name != "linux/amd64" {
		t.Fatalf("resolved to %+v", m)
	}
	for _, subject := range append([]artifact.Digest{im.digest}, im.members...) {
		got, err := Referrers(t.Context(), want.Repository+"@"+string(subject), opt)
		if err != nil {
			t.Fatal(err)
		}
		var have, expect []string
		for _, a := range got {
			have = append(have, fmt.Sprint(a.PredicateType, " ", string(a.Bundle), " ", a.Created))
		}
		for _, a := range want.Attachments {
			if a.Subject == subject {
				expect = append(expect, fmt.Sprint(a.PredicateType, " ", string(a.Bundle), " ", a.Created))
			}
		}
		if !sameSet(have, expect) {
			t.Errorf("attachments of %s: %q, want %q", subject, have, expect)
		}
	}
	whole(t, s, want.Repository, im)
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !strings.Contains("\n"+strings.Join(b, "\n")+"\n", "\n"+x+"\n") {
			return false
		}
	}
	return true
}

// whole checks that every blob of the image can be fetched.
func whole(t *testing.T, s *server, repository string, im image) {
	t.Helper()
	repo, err := name.NewRepository(repository)
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLayout(im.dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &imagePlan{Image: Image{Digest: im.digest}}
	if err := l.collectImages(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	fetch := func(kind string, d v1.Descriptor) {
		t.Helper()
		rec := httptest.NewRecorder()
		s.inner.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, fmt.Sprintf("/v2/%s/%s/%s", repo.RepositoryStr(), kind, d.Digest), nil))
		if got := artifact.Of(rec.Body.Bytes()); string(got) != d.Digest.String() {
			t.Errorf("%s %s: status %d, digest %s", kind, d.Digest, rec.Code, got)
		}
	}
	for _, b := range p.blobs {
		fetch("blobs", b.desc)
	}
	for _, o := range append(p.manifests, p.index) {
		fetch("manifests", o.desc)
	}
}

// has reports whether the registry has a tag, without the proxy.
func (s *server) has(repository, tag string) bool {
	_, path, _ := strings.Cut(repository, "/")
	rec := httptest.NewRecorder()
	s.inner.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v2/"+path+"/manifests/"+tag, nil))
	return rec.Code == http.StatusOK
}

// silence waits until the client gives up.
func (s *server) silence(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or else nobody notices that
	select {
	case <-r.Context().Done():
	case <-s.gone:
	}
}

// reset ends a connection in the middle.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// record runs the registry for a request, and returns its answer.
func (s *server) record(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.inner.ServeHTTP(rec, r)
	return rec
}

// replay answers as rec does, with another body.
func replay(w http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	if rec.Body.Len() > 0 || len(body) > 0 {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body)
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustWrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
