package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/httpguard"
)

// lies are what a registry says that has a blob, or says so.
var lies = map[string]struct {
	tell func(w http.ResponseWriter, r *http.Request, good []byte)
	// want is in the error; empty is for what is overcome.
	want string
}{
	"nothing":     {func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusNotFound) }, "does not have it"},
	"empty":       {func(http.ResponseWriter, *http.Request, []byte) {}, "0 bytes"},
	"other bytes": {func(w http.ResponseWriter, _ *http.Request, good []byte) { w.Write(flipped(good)) }, "of digest"},
	"shorter":     {func(w http.ResponseWriter, _ *http.Request, good []byte) { w.Write(good[:len(good)-1]) }, "of digest"},
	"longer":      {func(w http.ResponseWriter, _ *http.Request, good []byte) { w.Write(append(good, 0)) }, "more than"},
	"endless": {func(w http.ResponseWriter, r *http.Request, good []byte) {
		for r.Context().Err() == nil {
			if _, err := w.Write(good); err != nil {
				return
			}
		}
	}, "more than"},
	"promises more": {func(w http.ResponseWriter, _ *http.Request, good []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(good)+1))
		w.Write(good)
	}, "unexpected EOF"},
	"promises less": {func(w http.ResponseWriter, _ *http.Request, good []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(good)-1))
		w.Write(good[:len(good)-1])
	}, "of digest"},
	"a part": {func(w http.ResponseWriter, _ *http.Request, good []byte) {
		w.WriteHeader(http.StatusPartialContent)
		w.Write(good)
	}, "206"},
	"compressed": {func(w http.ResponseWriter, r *http.Request, good []byte) {
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			panic("asked for it")
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(flipped(good))
	}, "of digest"},
	"to nowhere": {func(w http.ResponseWriter, r *http.Request, _ []byte) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	}, "redirects"},
	"to plain HTTP elsewhere": {func(w http.ResponseWriter, r *http.Request, _ []byte) {
		http.Redirect(w, r, "http://storage.example/blob", http.StatusTemporaryRedirect)
	}, "plain HTTP to storage.example"},
}

func flipped(b []byte) []byte { b = slices.Clone(b); b[len(b)/2] ^= 1; return b }

// TestReadBack has a registry lie about one blob: of one that it was sent, and of
// one that was there. No tag moves, until the registry does better.
func TestReadBack(t *testing.T) {
	t.Parallel()
	for name, lie := range lies {
		for _, before := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/there before %t", name, before), func(t *testing.T) {
				t.Parallel()
				im := newImage(t)
				for i, victim := range kinds(t, im) {
					s := newServer(t, true)
					to := im.to(s.host+"/team/tool", "v1")
					good := content(t, victim)
					path := "/blobs/" + victim.desc.Digest.String()
					if before {
						if _, err := Push(t.Context(), im.dir, []Image{im.to(to.Repository, "old")}, patient()); err != nil {
							t.Fatal(err)
						}
					}
					s.breakWith(func(step string, w http.ResponseWriter, r *http.Request) bool {
						if !strings.HasSuffix(r.URL.Path, path) {
							return false
						}
						switch {
						case step == "blob HEAD" && before:
							w.Header().Set("Content-Length", fmt.Sprint(len(good)))
							return true
						case step == "blob GET" && (before || s.holds(r)):
							lie.tell(w, r, slices.Clone(good))
							return true
						}
						return false
					})
					_, err := Push(t.Context(), im.dir, []Image{to}, patient())
					if err == nil || !strings.Contains(err.Error(), lie.want) || !strings.Contains(err.Error(), victim.desc.Digest.String()) {
						t.Errorf("blob %d: %v, want %q", i, err, lie.want)
					}
					if s.has(to.Repository, "v1") {
						t.Errorf("blob %d: the tag was moved", i)
					}
					s.breakWith(nil)
					if i > 0 {
						continue
					}
					if _, err := Push(t.Context(), im.dir, []Image{to}, patient()); err != nil {
						t.Fatal(err)
					}
					complete(t, s, im, to, "v1")
				}
			})
		}
	}
}

// holds reports whether the registry has the blob that a request names.
func (s *server) holds(r *http.Request) bool {
	rec := httptest.NewRecorder()
	s.inner.ServeHTTP(rec, httptest.NewRequest(http.MethodHead, r.URL.Path, nil))
	return rec.Code == http.StatusOK
}

// kinds are a blob of each media type: a layer, a config, a bundle, an empty config.
func kinds(t *testing.T, im image) (list []*blob) {
	t.Helper()
	for _, b := range blobsOf(t, im, im.to("r.example/x")) {
		if !slices.ContainsFunc(list, func(o *blob) bool { return o.desc.MediaType == b.desc.MediaType }) {
			list = append(list, b)
		}
	}
	return list
}

// blobsOf are the blobs of an image with its attachments.
func blobsOf(t *testing.T, im image, to Image) []*blob {
	t.Helper()
	plans, err := planImages(t.Context(), im.dir, []Image{to})
	if err != nil {
		t.Fatal(err)
	}
	return plans[0].blobs
}

func content(t *testing.T, b *blob) []byte {
	t.Helper()
	rc, err := b.open()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	data, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestHole has a registry that says of every blob that it is there, and one that
// forgets what it was sent.
func TestHole(t *testing.T) {
	for name, fault := range map[string]func(step string, w http.ResponseWriter) bool{
		"every HEAD is 200": func(step string, w http.ResponseWriter) bool { return step == "blob HEAD" },
		"every mount is done": func(step string, w http.ResponseWriter) bool {
			if step == "upload POST" {
				w.WriteHeader(http.StatusCreated)
			}
			return step == "upload POST"
		},
		"uploads are forgotten": func(step string, w http.ResponseWriter) bool {
			if step == "upload PUT" {
				w.WriteHeader(http.StatusCreated)
			}
			return step == "upload PUT"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, true)
			im := newImage(t)
			s.breakWith(func(step string, w http.ResponseWriter, _ *http.Request) bool { return fault(step, w) })
			_, err := Push(t.Context(), im.dir, []Image{im.to(s.host+"/one", "v1"), im.to(s.host+"/two", "v1")}, patient())
			if err == nil || !strings.Contains(err.Error(), "does not have it") {
				t.Errorf("%v", err)
			}
			if n := s.count("tag PUT") + s.count("manifest PUT"); n > 0 {
				t.Errorf("%d manifests were pushed", n)
			}
		})
	}
}

// TestReadOnce counts what is read back: each blob of a repository once, however
// many images hold it.
func TestReadOnce(t *testing.T) {
	s := newServer(t, true)
	im := newImage(t)
	one, two := im.to(s.host+"/one", "v1"), im.to(s.host+"/one", "v2")
	total := int64(0)
	blobs := blobsOf(t, im, one)
	for _, b := range blobs {
		total += b.desc.Size
	}
	for _, again := range []bool{false, true} {
		got := map[string]int{}
		var mu sync.Mutex
		s.breakWith(func(step string, _ http.ResponseWriter, r *http.Request) bool {
			if step == "blob GET" && s.holds(r) {
				mu.Lock()
				defer mu.Unlock()
				got[r.URL.Path]++
			}
			return false
		})
		res, err := Push(t.Context(), im.dir, []Image{one, two}, patient())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(blobs) || res.ReadBytes != total {
			t.Errorf("again %t: %d blobs and %d bytes read back, want %d and %d", again, len(got), res.ReadBytes, len(blobs), total)
		}
		for path, n := range got {
			if n != 1 {
				t.Errorf("again %t: %s was read %d times", again, path, n)
			}
		}
	}
}

// TestLargeBlob reads a blob that is larger than any other answer may be, from a
// registry that takes its time.
func TestLargeBlob(t *testing.T) {
	const size = 2*maxResponse + 1
	h := artifact.NewHasher(io.Discard)
	if _, err := io.CopyN(h, forever{}, size); err != nil {
		t.Fatal(err)
	}
	desc := v1.Descriptor{Size: size, Digest: v1.Hash{Algorithm: "sha256", Hex: h.Digest().Hex()}}
	for _, c := range []struct {
		pace int64 // how many bytes come before each wait
		want string
	}{{size / 4, ""}, {size / 100_000, httpguard.ErrStalled.Error()}} {
		repo, err := name.NewRepository("r.example/tool")
		if err != nil {
			t.Fatal(err)
		}
		g := Options{Timeout: 500 * time.Millisecond, Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			resp := answerWith(200)
			resp.Body = io.NopCloser(io.LimitReader(&slow{ctx: r.Context(), pace: c.pace}, size))
			return resp, nil
		})}.guard("r.example")
		s := &session{repo: repo, client: &http.Client{Transport: g}}
		err = s.readBlob(t.Context(), desc, io.Discard)
		if got := fmt.Sprint(err); (c.want == "") != (err == nil) || !strings.Contains(got, c.want) {
			t.Errorf("pace %d: %v, want %q", c.pace, err, c.want)
		}
	}
}

// slow is a body that waits a moment now and then.
type slow struct {
	ctx     context.Context
	pace, n int64
}

func (b *slow) Read(p []byte) (int, error) {
	if b.n += int64(len(p)); b.n >= b.pace {
		b.n = 0
		select {
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	clear(p)
	return len(p), nil
}
