package subject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/httpguard"
	"github.com/twicebuild/twice/pipeline/registry"
)

// network is a transport without a network: its pages are by URL.
type network map[string]http.HandlerFunc

func (n network) RoundTrip(req *http.Request) (*http.Response, error) {
	page := n[req.URL.String()]
	if page == nil {
		page = http.NotFound
	}
	w := httptest.NewRecorder()
	page(w, req)
	resp := w.Result()
	resp.Request = req
	if resp.Header.Get("X-Length") != "" {
		resp.ContentLength = 1000
	}
	return resp, nil
}

func serve(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, content) }
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

func TestURL(t *testing.T) {
	tgz := gz(tarOf(member{name: "bin/a", body: program('a')}))
	var seen http.Header
	pages := network{
		"https://example.com/dl/tool":        serve(program('t')),
		"https://example.com/x.tgz?sig=s3cr": serve(tgz),
		"https://example.com/":               serve(program('r')),
		"https://example.com/moved":          redirect("https://cdn.example/y?sig=s3cr"),
		"https://cdn.example/y?sig=s3cr":     func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Clone(); serve(tgz)(w, r) },
		"https://example.com/page":           serve("<!doctype html>"),
		"https://example.com/short": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Length", "1")
			serve(program('s'))(w, r)
		},
		"https://example.com/plain":    redirect("http://cdn.example/y"),
		"https://example.com/local":    redirect("http://127.0.0.1/y"),
		"https://example.com/metadata": redirect("https://169.254.169.254/latest"),
		"https://example.com/private":  redirect("https://10.0.0.7/y"),
		"https://example.com/v6":       redirect("https://[::1]/y"),
		"https://example.com/file":     redirect("file:///etc/passwd"),
		"http://127.0.0.1/up":          redirect("https://example.com/dl/tool"),
		"http://127.0.0.1/tool":        serve(program('l')),
		"https://example.com/down":     redirect("https://127.0.0.1/x"),
		"http://127.0.0.1/out":         redirect("http://example.com/dl/tool"),
	}
	for i := range 8 {
		pages[fmt.Sprintf("https://example.com/hop%d", i)] = redirect(fmt.Sprintf("https://example.com/hop%d", i+1))
	}
	pages["https://example.com/hop8"] = serve(program('h'))
	cfg := Config{Registry: registry.Options{Transport: pages}}
	for ref, list := range map[string][]string{
		"https://example.com/dl/tool":        {"tool t"},
		"https://example.com/x.tgz?sig=s3cr": {"bin/a a"},
		"https://example.com/moved":          {"bin/a a"},
		"https://example.com/":               {"example.com r"},
		"https://example.com/hop3":           {"hop3 h"},
		"http://127.0.0.1/tool":              {"tool l"},
		"http://127.0.0.1/up":                {"up t"},
	} {
		s, err := opened(t, ref, cfg)
		want(t, s, err, list...)
		if err != nil {
			continue
		}
		c := s.Executables[0].Containers
		if s.Kind != URL || len(c) != 1 || c[0].Kind != URL || c[0].Digest != s.Digest || strings.Contains(c[0].Name+s.Ref, "s3cr") {
			t.Errorf("%+v", s)
		}
	}
	if seen.Get("Referer") != "" || seen.Get("Accept-Encoding") != "identity" {
		t.Errorf("%v", seen)
	}
	for ref, say := range map[string]string{
		"https://example.com/missing?sig=s3cr": "the server says 404 Not Found",
		"https://example.com/page":             "neither an executable nor an archive",
		"https://example.com/short":            "announced 1000 bytes and sent",
		"https://example.com/plain":            "plain HTTP to cdn.example: refused",
		"https://example.com/local":            "refused",
		"https://example.com/metadata":         "an address of this network: refused",
		"https://example.com/private":          "an address of this network: refused",
		"https://example.com/v6":               "an address of this network: refused",
		"https://example.com/file":             "refused",
		"https://example.com/down":             "an address of this network: refused",
		"https://example.com/hop2":             "more than 5 redirects",
		"http://127.0.0.1/out":                 "plain HTTP to example.com: refused",
	} {
		_, err := opened(t, ref, cfg)
		refused(t, err, say)
		if err != nil && strings.Contains(err.Error(), "s3cr") {
			t.Errorf("%v", err)
		}
	}
	cfg.Limits.Spool = 10
	if _, err := opened(t, "https://example.com/dl/tool", cfg); !errors.Is(err, ErrLimit) {
		t.Errorf("%v", err)
	}
}

// A redirect from TLS to plain HTTP is refused on this machine, too.
func TestDowngrade(t *testing.T) {
	plain := httptest.NewServer(serve(program('p')))
	defer plain.Close()
	tls := httptest.NewTLSServer(redirect(plain.URL))
	defer tls.Close()
	_, err := opened(t, tls.URL, Config{Registry: registry.Options{Transport: tls.Client().Transport}})
	refused(t, err, "a redirect to plain HTTP")
}

// What a server sends compressed is not unpacked on the way.
func TestEncoding(t *testing.T) {
	content := gz(program('e'))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, content)
	}))
	defer srv.Close()
	s, err := opened(t, srv.URL+"/tool.gz", Config{})
	want(t, s, err, "tool e")
	if err == nil && s.Digest != artifact.Of([]byte(content)) {
		t.Errorf("digest %s", s.Digest)
	}
}

func TestStalled(t *testing.T) {
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "MZ")
			w.(http.Flusher).Flush()
		}
		<-done
	}))
	defer srv.Close()
	defer close(done)
	for _, path := range []string{"/head", "/body"} {
		_, err := opened(t, srv.URL+path, Config{Registry: registry.Options{Timeout: 100 * time.Millisecond}})
		if !errors.Is(err, httpguard.ErrStalled) {
			t.Errorf("%s: %v", path, err)
		}
	}
	stop := errors.New("stopped by hand")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if _, err := Open(ctx, srv.URL+"/body", Config{Dir: t.TempDir()}); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}
