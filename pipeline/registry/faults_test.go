package registry

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/fault"
)

// faults are ways in which a registry, or what is in between, goes wrong at one
// request.
var faults = map[string]struct {
	harm func(s *server, w http.ResponseWriter, r *http.Request)
	// final tells that it is no use to try again.
	final bool
	// lie tells that there is nothing to notice at first, so that once is as bad as
	// always.
	lie bool
	// unless names steps at which the fault is none.
	unless string
}{
	"500": {harm: func(_ *server, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "sorry", http.StatusInternalServerError)
	}},
	"503 after all": {harm: func(s *server, w http.ResponseWriter, r *http.Request) {
		s.record(r) // it is done, and nobody is told
		http.Error(w, "sorry", http.StatusServiceUnavailable)
	}},
	"429": {harm: func(_ *server, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	}},
	"403":   {harm: func(_ *server, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, final: true},
	"418":   {harm: func(_ *server, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, final: true},
	"reset": {harm: func(_ *server, w http.ResponseWriter, _ *http.Request) { reset(w) }},
	"reset after all": {harm: func(s *server, w http.ResponseWriter, r *http.Request) {
		s.record(r)
		reset(w)
	}},
	"silence": {harm: func(s *server, _ http.ResponseWriter, r *http.Request) { s.silence(r) }},
	"slow body": {harm: func(s *server, w http.ResponseWriter, r *http.Request) {
		rec := s.record(r)
		body := rec.Body.Bytes()
		replayHead(w, rec.Header(), rec.Code, len(body)+1)
		for {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}, unless: "HEAD PUT POST PATCH"}, // whose answers' bodies do not matter
	"truncated body": {harm: func(s *server, w http.ResponseWriter, r *http.Request) {
		rec := s.record(r)
		body := rec.Body.Bytes()
		replayHead(w, rec.Header(), rec.Code, len(body)+1)
		_, _ = w.Write(body[:len(body)/2])
		w.(http.Flusher).Flush()
		reset(w)
	}, unless: "HEAD PUT POST PATCH ping"},
	"another document": {harm: func(s *server, w http.ResponseWriter, r *http.Request) {
		rec := s.record(r)
		if rec.Code == http.StatusOK {
			w.Header().Set("Docker-Content-Digest", rec.Header().Get("Docker-Content-Digest"))
			w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
			_, _ = w.Write([]byte(`{"schemaVersion":1}`))
			return
		}
		replay(w, rec, rec.Body.Bytes())
	}, lie: true, unless: "HEAD PUT POST PATCH ping tag fallback"},
	"another digest": {harm: func(s *server, w http.ResponseWriter, r *http.Request) {
		rec := s.record(r)
		rec.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
		replay(w, rec, rec.Body.Bytes())
	}, unless: "HEAD GET POST PATCH upload"}, // where the header is not believed anyway
	"there already": {harm: func(*server, http.ResponseWriter, *http.Request) {}, lie: true, unless: "GET PUT POST PATCH"},
	"empty list": {harm: func(_ *server, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		_, _ = w.Write([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
	}, unless: "ping tag blob upload manifest fallback"},
	"says done": {harm: func(_ *server, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }, lie: true, unless: "HEAD GET POST PATCH"},
}

func replayHead(w http.ResponseWriter, h http.Header, code, length int) {
	for k, v := range h {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(length))
	w.WriteHeader(code)
	w.(http.Flusher).Flush()
}

// TestFaults breaks each kind of request in each way: once, which is to be
// overcome, and always. What fails leaves no tag, or one that points to something
// complete, and the next push completes it.
func TestFaults(t *testing.T) {
	t.Parallel()
	for kind, f := range faults {
		for _, step := range steps {
			if excluded(f.unless, step) {
				continue
			}
			for _, times := range []int32{1, 1000} {
				for _, api := range []bool{false, true} {
					if api && step != "referrers GET" {
						continue // no difference
					}
					t.Run(fmt.Sprintf("%s/%s/%d/%t", kind, step, times, api), func(t *testing.T) {
						t.Parallel()
						testFault(t, kind, step, times, api)
					})
				}
			}
		}
	}
}

func testFault(t *testing.T, kind, step string, times int32, api bool) {
	f := faults[kind]
	s := newServer(t, api)
	im := newImage(t)
	to := im.to(s.host+"/team/tool", "v1")
	var done atomic.Int32
	s.breakWith(func(at string, w http.ResponseWriter, r *http.Request) bool {
		if at != step || done.Add(1) > times {
			return false
		}
		f.harm(s, w, r)
		return true
	})
	opt := patient()
	if kind == "silence" || kind == "slow body" { // which take that time
		opt.Timeout = 300 * time.Millisecond
		if times > 1 {
			opt.Timeout /= 3
		}
	}
	var longest atomic.Int64
	opt.Sleep = func(ctx context.Context, d time.Duration) error {
		longest.Store(max(longest.Load(), int64(d)))
		return ctx.Err()
	}
	_, err := Push(t.Context(), im.dir, []Image{to}, opt)
	if done.Load() == 0 {
		t.Fatal("the fault was not met")
	}
	s.breakWith(nil)
	switch {
	case err == nil && (f.final || times > 1) && !harmless(kind, step, api):
		t.Error("success")
	case err != nil && times == 1 && !f.final && !f.lie:
		t.Errorf("not overcome: %v", err)
	case err != nil:
		if h := fault.RemedyOf(err); !strings.Contains(h, "twice publish "+filepath.Dir(im.dir)+" ") && !strings.Contains(h, "docker login "+s.host) {
			t.Errorf("hint %q of %v", h, err)
		}
		if strings.ContainsAny(err.Error(), "\n\x00") || len(err.Error()) > 1000 {
			t.Errorf("error %q", err)
		}
	}
	if kind == "429" && longest.Load() < int64(7*time.Second) {
		t.Errorf("waited %s", time.Duration(longest.Load()))
	}
	if s.has(to.Repository, "v1") {
		complete(t, s, im, to, "v1")
	} else if err == nil {
		t.Error("no tag")
	}
	if _, err := Push(t.Context(), im.dir, []Image{to}, patient()); err != nil {
		t.Fatalf("second push: %v", err)
	}
	complete(t, s, im, to, "v1")
}

func excluded(list, step string) bool {
	kind, method, _ := strings.Cut(step, " ")
	for word := range strings.FieldsSeq(list) {
		if word == kind || word == method {
			return true
		}
	}
	return false
}

// harmless lists what changes nothing even if it lasts.
func harmless(kind, step string, api bool) bool {
	switch kind + "/" + step {
	case "another document/referrers GET": // no list: there is no such API then
		return true
	case "truncated body/referrers GET", "slow body/referrers GET": // a 404 is one without a body, too
		return !api
	case "slow body/ping GET": // the body says nothing
		return true
	case "reset after all/upload PUT", "503 after all/upload PUT": // the blob is there when one looks again
		return true
	}
	return false
}

// TestTooLong has a registry that asks for more patience than there is.
func TestTooLong(t *testing.T) {
	s := newServer(t, true)
	im := newImage(t)
	s.breakWith(func(step string, w http.ResponseWriter, _ *http.Request) bool {
		if step == "upload POST" {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		return false
	})
	opt := patient()
	opt.Jobs = 1
	_, err := Push(t.Context(), im.dir, []Image{im.to(s.host+"/tool", "v1")}, opt)
	if err == nil || !strings.Contains(err.Error(), "24h0m0s") || s.count("upload POST") != 1 {
		t.Errorf("%v, %d requests", err, s.count("upload POST"))
	}
}
