package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twicebuild/twice/pipeline/fault"
)

// gate is the transport below everything that talks to one registry. It refuses
// requests that must not be made, whoever asks for them: the library follows
// redirects, upload locations and names of token servers that the registry
// chooses. And it bounds answers in size and time.
type gate struct {
	next http.RoundTripper
	// registry is the registry's host, with its port.
	registry string
	insecure bool
	timeout  time.Duration
	// tls tells that the registry answered over TLS. From then on nothing goes
	// over plain HTTP.
	tls atomic.Bool
}

// maxAnswer bounds the body of an answer in bytes, unless withRoom is there for
// more. The largest that is needed is a bundle.
const maxAnswer = MaxBundle

// stretch is how many bytes, sent or answered, have the time of Options.Timeout.
const stretch = 1 << 20

// withRoom lets the answer have size bytes and one more, by which a longer one is
// known.
func withRoom(ctx context.Context, size int64) context.Context {
	return context.WithValue(ctx, roomKey{}, size+1)
}

type roomKey struct{}

// room returns how long an answer may be.
func room(ctx context.Context) int64 {
	size, _ := ctx.Value(roomKey{}).(int64)
	return max(size, maxAnswer)
}

// maxRedirects bounds how many redirects one request may meet.
const maxRedirects = 5

// refusal is an error that no repetition changes.
type refusal struct{ msg string }

func (e *refusal) Error() string { return e.msg }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// errStalled says that a request took longer than Options.Timeout.
var errStalled = errors.New("no answer in time")

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(in *http.Request) (*http.Response, error) {
	if err := g.allow(in); err != nil {
		if in.Body != nil {
			in.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(in.Context())
	timer := time.AfterFunc(g.timeout, func() { cancel(errStalled) })
	alive := func() { timer.Reset(g.timeout) }
	out := in.WithContext(ctx)
	if in.Body != nil && in.Body != http.NoBody {
		out.Body = &pulse{ReadCloser: in.Body, beat: alive}
		if in.GetBody != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				body, err := in.GetBody()
				if err != nil {
					return nil, err
				}
				return &pulse{ReadCloser: body, beat: alive}, nil
			}
		}
	}
	resp, err := g.next.RoundTrip(out)
	if err != nil {
		timer.Stop()
		err = stalled(ctx, err)
		cancel(nil)
		return nil, err
	}
	if in.URL.Scheme == "https" && in.URL.Host == g.registry {
		g.tls.Store(true)
	}
	if p, ok := in.Context().Value(pauseKey{}).(*pause); ok {
		p.note(resp)
	}
	// Each stretch of the answer has the same time as its beginning had.
	alive()
	resp.Request = in
	most := room(in.Context())
	resp.Body = &answer{body: resp.Body, ctx: ctx, most: most, left: most, alive: alive, stop: func() { timer.Stop(); cancel(nil) }}
	return resp, nil
}

// allow decides whether a request may be made.
func (g *gate) allow(in *http.Request) error {
	host, registryHost := in.URL.Hostname(), hostname(g.registry)
	switch in.URL.Scheme {
	case "https":
	case "http":
		if g.tls.Load() {
			return refuse("%s asks to go on over plain HTTP, at %s: refused", g.registry, in.URL.Host)
		}
		if !Loopback(host) && (!g.insecure || in.URL.Host != g.registry) {
			return fault.WithRemedy(refuse("plain HTTP to %s: refused", in.URL.Host), "--insecure permits plain HTTP to registries; everyone on the way can then read the credentials")
		}
	default:
		return refuse("a request with scheme %q: refused", in.URL.Scheme)
	}
	if host != registryHost && Internal(host) && !Internal(registryHost) {
		return refuse("%s sends us to %s, an address of this network: refused", g.registry, host)
	}
	hops := 0
	for resp := in.Response; resp != nil && resp.Request != nil; resp = resp.Request.Response {
		if hops++; hops > maxRedirects {
			return refuse("%s: more than %d redirects", g.registry, maxRedirects)
		}
	}
	if hops > 0 {
		from := in.Response.Request.URL
		if from.Scheme == "https" && in.URL.Scheme != "https" {
			return refuse("%s redirects to plain HTTP, at %s: refused", from.Host, in.URL.Host)
		}
		// A body can be a refresh token.
		if from.Host != in.URL.Host && in.Body != nil && in.Body != http.NoBody {
			return refuse("%s redirects what is sent to it to %s: refused", from.Host, in.URL.Host)
		}
	}
	return nil
}

// hostname returns a registry's host without a port.
func hostname(registry string) string {
	if ap, err := netip.ParseAddrPort(registry); err == nil {
		return ap.Addr().String()
	}
	if i := strings.LastIndexByte(registry, ':'); i >= 0 && !strings.HasSuffix(registry, "]") {
		registry = registry[:i]
	}
	return strings.Trim(registry, "[]")
}

// Loopback tells whether host is this machine by its very name.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Internal tells whether host is an address that means something else on every
// network. Names are not looked up.
func Internal(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return Loopback(host)
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified()
}

// stalled returns errStalled if that is why ctx ended, and err otherwise.
func stalled(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// pulse tells that a stretch of a body was read, and its end. A registry that takes a few
// bytes now and then is one that takes nothing.
type pulse struct {
	io.ReadCloser
	beat func()
	n    int64
}

func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	before := p.n / stretch
	if p.n += int64(n); p.n/stretch != before || err != nil {
		p.beat()
	}
	return n, err
}

// answer is a body that ends with an error where it is too long, or too slow.
type answer struct {
	body       io.ReadCloser
	ctx        context.Context
	most, left int64
	alive      func()
	stop       func()
}

func (a *answer) Read(p []byte) (int, error) {
	if int64(len(p)) > a.left+1 {
		p = p[:a.left+1]
	}
	n, err := a.body.Read(p)
	before := a.left / stretch
	if a.left -= int64(n); a.left < 0 {
		return 0, refuse("an answer of more than %d bytes", a.most)
	}
	if a.left/stretch != before && a.ctx.Err() == nil {
		a.alive()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = stalled(a.ctx, err)
	}
	return n, err
}

func (a *answer) Close() error {
	err := a.body.Close()
	a.stop()
	return err
}

// pause is how long the registry asks to wait, in the context of a request.
type pause struct{ nanoseconds atomic.Int64 }

type pauseKey struct{}

// note remembers what an answer says of waiting.
func (p *pause) note(resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
		return
	}
	p.nanoseconds.Store(int64(retryAfter(resp.Header)))
}

// retryAfter reads a Retry-After header
// (https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after), which is a
// number of seconds or a date. A date counts from the answer's own, so that no
// clock is needed, and none has to be right. What makes no sense is zero.
func retryAfter(h http.Header) time.Duration {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
