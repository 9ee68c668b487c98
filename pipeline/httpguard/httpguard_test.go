package httpguard

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// transportFunc answers requests without a network.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answerWith(code int, header ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody, ProtoMajor: 1, ProtoMinor: 1}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

func TestCheckRequest(t *testing.T) {
	// from, if set, redirects.
	for _, c := range []struct {
		host     string
		insecure bool
		tls      bool
		from, to string
		body     bool
		want     string // "" is allowed
	}{
		{host: "r.example", to: "https://r.example/v2/"},
		{host: "r.example", to: "http://r.example/v2/", want: "plain HTTP"},
		{host: "r.example", insecure: true, to: "http://r.example/v2/"},
		{host: "r.example", insecure: true, to: "http://other.example/v2/", want: "plain HTTP"},
		{host: "r.example:80", insecure: true, to: "http://r.example/v2/", want: "plain HTTP"},
		{host: "r.example", insecure: true, tls: true, to: "http://r.example/v2/", want: "plain HTTP"},
		{host: "127.0.0.1:5000", to: "http://127.0.0.1:5000/v2/"},
		{host: "localhost:5000", to: "http://localhost:5000/v2/"},
		{host: "[::1]:5000", to: "http://[::1]:5000/v2/"},
		{host: "127.0.0.1:5000", tls: true, to: "http://127.0.0.1:5000/v2/", want: "plain HTTP"},
		{host: "10.0.0.1:5000", to: "http://10.0.0.1:5000/v2/", want: "plain HTTP"},
		{host: "10.0.0.1:5000", to: "https://10.0.0.1:5000/v2/"},
		{host: "box.local", to: "http://box.local/v2/", want: "plain HTTP"},
		{host: "localhost.evil.example", to: "http://localhost.evil.example/", want: "plain HTTP"},
		{host: "127.0.0.1.evil.example", to: "http://127.0.0.1.evil.example/", want: "plain HTTP"},
		{host: "r.example", to: "ftp://r.example/v2/", want: "scheme"},
		{host: "r.example", to: "https://storage.example/blob"},
		{host: "r.example", to: "https://169.254.169.254/latest", want: "an address of this network"},
		{host: "r.example", to: "https://127.0.0.1/", want: "an address of this network"},
		{host: "r.example:443", to: "https://[::1]/", want: "an address of this network"},
		{host: "r.example", to: "https://[::ffff:10.0.0.1]/", want: "an address of this network"},
		{host: "r.example", to: "https://localhost/", want: "an address of this network"},
		{host: "r.example", to: "http://localhost/", want: "an address of this network"},
		{host: "r.example", from: "https://r.example/a", to: "https://storage.example/b"},
		{host: "127.0.0.1:5000", from: "https://127.0.0.1:5000/a", to: "http://127.0.0.1:5001/b", want: "plain HTTP"},
		{host: "r.example", from: "https://token.example/a", to: "https://thief.example/b", body: true, want: "what is sent"},
		{host: "r.example", from: "https://token.example/a", to: "https://token.example/b", body: true},
		{host: "r.example", from: "https://token.example/a", to: "https://token.example:444/b", body: true, want: "what is sent"},
	} {
		called := false
		g := &Transport{Host: c.host, Insecure: c.insecure, KeepTLS: true, Timeout: time.Minute, Stretch: 1, Next: transportFunc(func(r *http.Request) (*http.Response, error) {
			called = true
			return answerWith(200), nil
		})}
		g.tls.Store(c.tls)
		closed := false
		req := &http.Request{Method: http.MethodPut, URL: parseURL(t, c.to), Header: http.Header{}}
		if c.body {
			req.Body = closer{strings.NewReader("secret"), &closed}
		}
		if c.from != "" {
			req.Response = &http.Response{Request: &http.Request{URL: parseURL(t, c.from)}}
		}
		resp, err := g.RoundTrip(req)
		if c.want == "" {
			if err != nil || !called {
				t.Errorf("%+v: %v", c, err)
				continue
			}
			resp.Body.Close()
			continue
		}
		if err == nil || called || !strings.Contains(err.Error(), c.want) || !refused(err) {
			t.Errorf("%+v: %v", c, err)
		}
		if c.body && !closed {
			t.Errorf("%+v: the body is open", c)
		}
	}
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return nil }

// refused reports whether an error is a Refusal.
func refused(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

func parseURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestRedirectLoop(t *testing.T) {
	n := 0
	g := &Transport{Host: "r.example", Timeout: time.Minute, Stretch: 1 << 20, Next: transportFunc(func(r *http.Request) (*http.Response, error) {
		if n++; n > 100 {
			return answerWith(200), nil
		}
		return answerWith(302, "Location", "/again"), nil
	})}
	client := http.Client{Transport: g, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }} // as the library has it
	_, err := client.Get("https://r.example/")
	if err == nil || n != MaxRedirects+1 || !refused(err) {
		t.Errorf("%d requests, %v", n, err)
	}
}

// forever is an endless body.
type forever struct{}

func (forever) Read(p []byte) (int, error) { return len(p), nil }
func (forever) Close() error               { return nil }

func TestBoundedAnswer(t *testing.T) {
	const maxAnswer = 16 << 20
	size := 0
	g := &Transport{Host: "r.example", Timeout: time.Minute, Stretch: 1 << 20, MaxBody: maxAnswer, Next: transportFunc(func(r *http.Request) (*http.Response, error) {
		resp := answerWith(200)
		resp.Body = forever{}
		if size > 0 {
			resp.Body = io.NopCloser(io.LimitReader(forever{}, int64(size)))
		}
		return resp, nil
	})}
	for _, size = range []int{0, maxAnswer, maxAnswer + 1} {
		resp, err := g.RoundTrip(httptest.NewRequest(http.MethodGet, "https://r.example/", nil))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if ok := size == maxAnswer; ok != (err == nil) || n > maxAnswer {
			t.Errorf("size %d: %d, %v", size, n, err)
		}
	}
}
