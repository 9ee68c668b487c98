package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/httpguard"
)

// What a registry does that wears its clients out. Each push ends, in less time than the
// deadline of the test, with words that say why, and no tag moves.
func TestStall(t *testing.T) {
	t.Parallel()
	drip := func(_ *server, w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	}
	endless := func(_ *server, w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 1<<20)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	hang := func(s *server, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		s.silence(r)
	}
	status := func(code int, after string) func(*server, http.ResponseWriter, *http.Request) {
		return func(_ *server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(code)
		}
	}
	const index = "application/vnd.oci.image.index.v1+json"
	pages := func(_ *server, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", index)
		w.Header().Set("Link", fmt.Sprintf(`<%s?n=%d>; rel="next"`, r.URL.Path, time.Now().UnixNano()))
		fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, index)
	}
	large := func(_ *server, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", index)
		fmt.Fprintf(w, `{"schemaVersion":2,"annotations":{"x":%q}}`, strings.Repeat("x", 5<<20))
	}
	other := func(_ *server, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", index)
		fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, index)
	}
	elsewhere := func(_ *server, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+strings.Repeat("x", 20)+".invalid/", http.StatusTemporaryRedirect)
	}
	var second atomic.Int32
	for name, c := range map[string]struct {
		step string
		harm func(*server, http.ResponseWriter, *http.Request)
		want string
	}{
		"an answer that drips":          {"tag GET", drip, httpguard.ErrStalled.Error()},
		"a blob that drips":             {"blob GET", drip, ""},
		"a manifest without end":        {"tag GET", endless, "an answer of more than"},
		"a blob without end":            {"blob GET", endless, ""},
		"a list without end":            {"referrers GET", pages, "more than 20 pages"},
		"headers alone":                 {"manifest GET", hang, httpguard.ErrStalled.Error()},
		"headers of an upload alone":    {"upload POST", hang, ""},
		"500 for years":                 {"upload PUT", status(500, "2147483647"), "asks to come back in"},
		"429 for longer than there are": {"upload POST", status(429, "99999999999999999999"), "tried 5 times"},
		"429 in the past":               {"upload POST", status(429, "-1"), "tried 5 times"},
		"503 on a date":                 {"tag PUT", status(503, "Fri, 31 Dec 9999 23:59:59 GMT"), "asks to come back in"},
		"a manifest of 5 MB":            {"tag GET", large, "a manifest of more than"},
		"a redirect to nobody":          {"tag GET", elsewhere, ""},
		"other bytes under our digest":  {"manifest GET", other, "does not match requested digest"},
		"other bytes, the second time": {"manifest GET", func(s *server, w http.ResponseWriter, r *http.Request) {
			if second.Add(1) == 1 {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			other(s, w, r)
		}, "does not match requested digest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, true)
			im := newImage(t)
			to := im.to(s.host+"/team/tool", "v1")
			s.breakWith(func(step string, w http.ResponseWriter, r *http.Request) bool {
				if step == c.step && (step != "blob GET" || s.holds(r)) {
					c.harm(s, w, r)
					return true
				}
				return false
			})
			opt := patient()
			opt.Timeout, opt.Jobs = 300*time.Millisecond, 1
			if c.want != "" && c.want != httpguard.ErrStalled.Error() {
				opt.Timeout = 20 * time.Second // what ends it is not the time, on a busy machine either
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := Push(ctx, im.dir, []Image{to}, opt)
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if s.has(to.Repository, "v1") {
				t.Error("the tag was moved")
			}
		})
	}
}

// TestSlowUpload has a registry that takes a few bytes now and then: as slow as that it
// is as if it took none.
func TestSlowUpload(t *testing.T) {
	for _, c := range []struct {
		piece int64
		want  string
	}{{2 * stretch, ""}, {stretch / 100, httpguard.ErrStalled.Error()}} {
		g := Options{Timeout: time.Second, Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			for {
				if r.Context().Err() != nil {
					return nil, context.Cause(r.Context())
				}
				_, err := io.CopyN(io.Discard, r.Body, c.piece)
				if err == io.EOF {
					return answerWith(http.StatusCreated), nil
				}
				time.Sleep(30 * time.Millisecond)
			}
		})}.guard("r.example")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://r.example/v2/x", io.LimitReader(forever{}, 20*stretch))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := g.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		if (c.want == "") != (err == nil) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%d bytes at a time: %v, want %q", c.piece, err, c.want)
		}
	}
}

// TestPatience has a registry that asks to wait before each thing, and then does it.
func TestPatience(t *testing.T) {
	s := newServer(t, true)
	im := newImage(t)
	asked := map[string]bool{} // Jobs is 1
	s.breakWith(func(step string, w http.ResponseWriter, r *http.Request) bool {
		what := r.Method + r.URL.Path
		if strings.HasPrefix(step, "upload") || asked[what] {
			return false
		}
		asked[what] = true
		w.Header().Set("Retry-After", "119")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	opt := patient()
	opt.Jobs = 1
	var waited time.Duration
	opt.Sleep = func(_ context.Context, d time.Duration) error { waited += d; return nil }
	to := im.to(s.host+"/team/tool", "v1")
	_, err := Push(t.Context(), im.dir, []Image{to}, opt)
	if err == nil || !strings.Contains(err.Error(), "was waited for 15m0s in all") || waited > 15*time.Minute {
		t.Errorf("waited %s: %v", waited, err)
	}
	if s.has(to.Repository, "v1") {
		t.Error("the tag was moved")
	}
}
