package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/httpguard"
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

// forever is an endless body.
type forever struct{}

func (forever) Read(p []byte) (int, error) { return len(p), nil }
func (forever) Close() error               { return nil }

func TestRetryAfter(t *testing.T) {
	date := "Tue, 03 Feb 2026 04:05:06 GMT"
	for _, c := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0}, {"5", "", 5 * time.Second}, {" 5 ", "", 5 * time.Second}, {"-5", "", 0}, {"5.5", "", 0}, {"0", "", 0},
		{"99999999999999999999", "", 0}, {"2147483647", "", 2147483647 * time.Second},
		{"Tue, 03 Feb 2026 04:06:06 GMT", date, time.Minute},
		{"Tue, 03 Feb 2026 04:05:00 GMT", date, 0},
		{"Tue, 03 Feb 2026 04:06:06 GMT", "", 0},
		{"soon", date, 0},
	} {
		h := http.Header{"Retry-After": {c.after}, "Date": {c.date}}
		if got := retryAfter(h); got != c.want {
			t.Errorf("%q at %q: %s, want %s", c.after, c.date, got, c.want)
		}
	}
}

// password is a keychain with one password for everybody.
type password struct{}

func (password) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "user", Password: "secret"}, nil
}

// TestCredentials has a registry that sends its clients elsewhere, with a
// redirect or a place to upload to. No credentials go there.
func TestCredentials(t *testing.T) {
	for _, scheme := range []string{"Basic", "Bearer"} {
		t.Run(scheme, func(t *testing.T) {
			inner := registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
			var (
				mu                      sync.Mutex
				here, elsewhere, tokens int
			)
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				elsewhere++
				if a := r.Header.Get("Authorization") + r.Header.Get("Cookie"); a != "" || strings.Contains(r.URL.String(), "secret") {
					t.Errorf("%s %s: %q", r.Method, r.URL, a)
				}
				inner.ServeHTTP(w, r)
			}))
			defer other.Close()
			var host string
			first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				user, pass, basic := r.BasicAuth()
				switch {
				case r.URL.Path == "/token":
					if user != "user" || pass != "secret" {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					tokens++
					_, _ = io.WriteString(w, `{"token":"from-secret"}`)
					return
				case scheme == "Basic" && (!basic || pass != "secret"), scheme == "Bearer" && r.Header.Get("Authorization") != "Bearer from-secret":
					w.Header().Set("WWW-Authenticate", map[string]string{"Basic": `Basic realm="r"`, "Bearer": `Bearer realm="http://` + host + `/token",service="s"`}[scheme])
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				here++
				step := stepOf(r)
				switch {
				case step == "upload POST":
					rec := httptest.NewRecorder()
					inner.ServeHTTP(rec, r)
					w.Header().Set("Location", other.URL+rec.Header().Get("Location"))
					w.WriteHeader(rec.Code)
				case r.Method == http.MethodGet && step != "ping GET" || step == "blob HEAD":
					http.Redirect(w, r, other.URL+r.URL.String(), http.StatusTemporaryRedirect)
				default:
					inner.ServeHTTP(w, r)
				}
			}))
			defer first.Close()
			host = strings.TrimPrefix(first.URL, "http://")
			im := newImage(t)
			opt := patient()
			opt.Keychain = password{}
			to := im.to(host+"/team/tool", "v1")
			if _, err := Push(t.Context(), im.dir, []Image{to}, opt); err != nil {
				t.Fatal(err)
			}
			if got, err := Referrers(t.Context(), to.Repository+"@"+string(im.digest), opt); err != nil || len(got) != 2 {
				t.Errorf("%v, %v", got, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if here == 0 || elsewhere == 0 || (tokens > 0) != (scheme == "Bearer") {
				t.Errorf("%d requests here, %d elsewhere, %d for tokens", here, elsewhere, tokens)
			}
		})
	}
}

func TestDenied(t *testing.T) {
	s := newServer(t, true)
	s.breakWith(func(_ string, w http.ResponseWriter, r *http.Request) bool {
		if _, pass, _ := r.BasicAuth(); pass != "right" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"\u001b[31mlog in\n"}]}`)
			return true
		}
		return false
	})
	im := newImage(t)
	opt := patient()
	opt.Keychain = password{}
	_, err := Push(t.Context(), im.dir, []Image{im.to(s.host+"/team/tool", "v1")}, opt)
	if err == nil || !strings.Contains(fault.RemedyOf(err), "docker login "+s.host) || strings.ContainsAny(err.Error(), "\x1b\n") || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "401 Unauthorized; UNAUTHORIZED ?[31mlog in") {
		t.Errorf("%v, hint %q", err, fault.RemedyOf(err))
	}
	if n := s.count(""); n > 4 {
		t.Errorf("%d requests", n)
	}
	opt.Keychain = broken{}
	if _, err := Push(t.Context(), im.dir, []Image{im.to(s.host+"/team/tool", "v1")}, opt); err == nil || !strings.Contains(err.Error(), "credentials for "+s.host+": helper is missing") {
		t.Error(err)
	}
}

type broken struct{}

func (broken) Resolve(authn.Resource) (authn.Authenticator, error) {
	return nil, errors.New("helper is missing")
}

// TestTLS pushes over TLS, and meets a registry that asks to go on without.
func TestTLS(t *testing.T) {
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	plain := httptest.NewServer(inner)
	defer plain.Close()
	var downgrade bool
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if downgrade && stepOf(r) == "upload POST" {
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, r)
			w.Header().Set("Location", plain.URL+rec.Header().Get("Location"))
			w.WriteHeader(rec.Code)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	pool := x509.NewCertPool()
	pool.AddCert(secure.Certificate())
	host := strings.TrimPrefix(secure.URL, "https://")
	im := newImage(t)
	opt := patient()
	opt.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	if _, err := Push(t.Context(), im.dir, []Image{im.to(host+"/team/tool", "v1")}, opt); err != nil {
		t.Fatal(err)
	}
	// A certificate that nobody vouches for is no reason to try again, or without.
	waited := 0
	bad := opt
	bad.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	bad.Sleep = func(context.Context, time.Duration) error { waited++; return nil }
	if _, err := Resolve(t.Context(), host+"/team/tool:v1", bad); err == nil {
		t.Error("an unknown authority was accepted")
	}
	downgrade = true
	other := newImage(t)
	_, err := Push(t.Context(), other.dir, []Image{other.to(host+"/team/tool", "v2")}, opt)
	if err == nil || !strings.Contains(err.Error(), "plain HTTP") {
		t.Errorf("%v", err)
	}
}

func TestTemporary(t *testing.T) {
	for _, err := range []error{httpguard.Refuse("no"), &url.Error{Err: httpguard.Refuse("no")}, fault.WithRemedy(httpguard.Refuse("no"), "x"), &net.DNSError{IsNotFound: true}, &tls.CertificateVerificationError{Err: errors.New("x")}} {
		if isTemporary(err) {
			t.Errorf("%v is temporary", err)
		}
	}
	for _, err := range []error{httpguard.ErrStalled, errAbsent, io.ErrUnexpectedEOF, &net.DNSError{IsTimeout: true}, &net.OpError{Op: "read", Err: errors.New("reset")}} {
		if !isTemporary(err) {
			t.Errorf("%v is final", err)
		}
	}
	var waits []time.Duration
	s := &session{opt: Options{Sleep: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }}}
	if err := s.retry(t.Context(), "x", func(context.Context) error { return io.EOF }); err == nil || !strings.Contains(err.Error(), "tried 5 times") {
		t.Error(err)
	}
	if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}; !slices.Equal(waits, want) {
		t.Errorf("waited %v, want %v", waits, want)
	}
}
