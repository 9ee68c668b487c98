// Package httpguard is the transport below everything that talks to a host which
// somebody named, and which can be hostile.
//
// A host chooses where a client goes next, with redirects, upload locations and the
// names of token servers. [Transport] refuses the requests that must not be made,
// whoever asks for them. It ends requests in which nothing moves, and bounds the
// size of answers.
package httpguard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/twicebuild/twice/pipeline/fault"
)

// ErrStalled says that nothing moved in a request for too long.
var ErrStalled = errors.New("no answer in time")

// MaxRedirects bounds how many redirects one request may meet.
const MaxRedirects = 5

// Refusal is an error that no repetition changes.
type Refusal struct{ msg string }

func (e *Refusal) Error() string { return e.msg }

// Refuse returns a [Refusal] with a formatted text.
func Refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// Transport is an [http.RoundTripper] that guards requests to one host, and to
// where that host leads.
type Transport struct {
	Next http.RoundTripper
	// Host is what the user named, with its port.
	Host string
	// Insecure permits plain HTTP to Host. Plain HTTP to this machine needs no
	// permission.
	Insecure bool
	// InsecureRemedy, if there is one, is attached to the refusal of plain HTTP.
	InsecureRemedy string
	// KeepTLS refuses plain HTTP to everything once Host has answered over TLS.
	KeepTLS bool
	// Timeout is how long the beginning of an answer, and each stretch of a body,
	// may take.
	Timeout time.Duration
	// Stretch is a number of bytes, at least 1.
	Stretch int64
	// MaxBody bounds the body of an answer in bytes, unless [WithMaxBody] has a
	// greater bound. Zero is no bound.
	MaxBody int64

	tls atomic.Bool // Host has answered over TLS
}

type maxBodyKey struct{}

// WithMaxBody lets the answer have size bytes and one more, by which a longer
// answer is noticed.
func WithMaxBody(ctx context.Context, size int64) context.Context {
	return context.WithValue(ctx, maxBodyKey{}, size+1)
}

// maxBody returns how long the answer to a request may be.
func (t *Transport) maxBody(ctx context.Context) int64 {
	if t.MaxBody == 0 {
		return math.MaxInt64 - 1
	}
	size, _ := ctx.Value(maxBodyKey{}).(int64)
	return max(size, t.MaxBody)
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(in *http.Request) (*http.Response, error) {
	if err := t.checkRequest(in); err != nil {
		if in.Body != nil {
			in.Body.Close()
		}
		return nil, err
	}

	// The timer starts again whenever a stretch is through.
	ctx, cancel := context.WithCancelCause(in.Context())
	timer := time.AfterFunc(t.Timeout, func() { cancel(ErrStalled) })
	progress := func() { timer.Reset(t.Timeout) }
	out := in.WithContext(ctx)
	if in.Body != nil && in.Body != http.NoBody {
		out.Body = &requestBody{ReadCloser: in.Body, stretch: t.Stretch, progress: progress}
		if in.GetBody != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				body, err := in.GetBody()
				if err != nil {
					return nil, err
				}
				return &requestBody{ReadCloser: body, stretch: t.Stretch, progress: progress}, nil
			}
		}
	}

	resp, err := t.Next.RoundTrip(out)
	if err != nil {
		timer.Stop()
		err = stalledError(ctx, err)
		cancel(nil)
		return nil, err
	}
	if in.URL.Scheme == "https" && in.URL.Host == t.Host {
		t.tls.Store(true)
	}

	progress()
	resp.Request = in
	bound := t.maxBody(in.Context())
	resp.Body = &responseBody{
		ReadCloser: resp.Body, ctx: ctx, bound: bound, left: bound, stretch: t.Stretch, progress: progress,
		stop: func() { timer.Stop(); cancel(nil) },
	}

	return resp, nil
}

// checkRequest returns an error unless the request may be made.
func (t *Transport) checkRequest(in *http.Request) error {
	// Credentials and what was named must not be readable on the way.
	host := in.URL.Hostname()
	switch in.URL.Scheme {
	case "https":
	case "http":
		if t.KeepTLS && t.tls.Load() {
			return Refuse("%s asks to go on over plain HTTP, at %s: refused", t.Host, printable(in.URL.Host))
		}
		if !IsLoopback(host) && (!t.Insecure || in.URL.Host != t.Host) {
			err := Refuse("plain HTTP to %s: refused", printable(in.URL.Host))
			if t.InsecureRemedy != "" {
				err = fault.WithRemedy(err, t.InsecureRemedy)
			}
			return err
		}
	default:
		return Refuse("a request with scheme %q: refused", in.URL.Scheme)
	}

	// A host elsewhere must not make this machine ask its own network.
	named := (&url.URL{Host: t.Host}).Hostname()
	if host != named && IsInternal(host) && !IsInternal(named) {
		return Refuse("%s sends us to %s, an address of this network: refused", t.Host, printable(host))
	}

	hops := 0
	for resp := in.Response; resp != nil && resp.Request != nil; resp = resp.Request.Response {
		if hops++; hops > MaxRedirects {
			return Refuse("more than %d redirects: refused", MaxRedirects)
		}
		if resp.Request.URL.Scheme == "https" && in.URL.Scheme != "https" {
			return Refuse("a redirect to plain HTTP, at %s: refused", printable(in.URL.Host))
		}
	}
	if hops > 0 {
		// A body can be a refresh token.
		from := in.Response.Request.URL
		if from.Host != in.URL.Host && in.Body != nil && in.Body != http.NoBody {
			return Refuse("%s redirects what is sent to it to %s: refused", printable(from.Host), printable(in.URL.Host))
		}
	}

	return nil
}

// IsLoopback reports whether host is this machine by its very name.
func IsLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// IsInternal reports whether host is an address that means something else on every
// network. Names are not looked up.
func IsInternal(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return IsLoopback(host)
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified()
}

// printable returns the name of a host as a terminal can show it.
func printable(host string) string {
	if strings.ContainsFunc(host, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(host)
	}
	return host
}

// stalledError returns ErrStalled if that is why ctx ended, and err otherwise.
func stalledError(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrStalled) {
		return ErrStalled
	}
	return err
}

// requestBody calls progress when a stretch of it was read, and at its end. A host
// that takes a few bytes now and then counts as one that takes nothing.
type requestBody struct {
	io.ReadCloser
	stretch, n int64
	progress   func()
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	before := b.n / b.stretch
	if b.n += int64(n); b.n/b.stretch != before || err != nil {
		b.progress()
	}
	return n, err
}

// responseBody ends with an error where it is too long or too slow.
type responseBody struct {
	io.ReadCloser
	ctx         context.Context
	bound, left int64
	stretch     int64
	progress    func()
	stop        func()
}

func (b *responseBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	before := b.left / b.stretch
	if b.left -= int64(n); b.left < 0 {
		return 0, Refuse("an answer of more than %d bytes", b.bound)
	}
	if b.left/b.stretch != before && b.ctx.Err() == nil {
		b.progress()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = stalledError(b.ctx, err)
	}
	return n, err
}

func (b *responseBody) Close() error {
	err := b.ReadCloser.Close()
	b.stop()
	return err
}
