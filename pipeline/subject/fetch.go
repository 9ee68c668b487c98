package subject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/registry"
)

// url opens what is at a URL.
func (o *opening) url(ref string) error {
	u, err := url.Parse(ref)
	switch {
	case err != nil:
		return errors.New("not a URL") // the error would quote it
	case u.User != nil:
		return fault.Usage(errors.New("a URL with a name or password in it"), "fetch the file by other means, and name the file")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("URL scheme %q: only https is fetched", u.Scheme)
	case u.Host == "":
		return errors.New("a URL without a host")
	}
	req, err := http.NewRequestWithContext(o.ctx, http.MethodGet, ref, nil)
	if err != nil {
		return cause(err)
	}
	// Without this the transport would ask for gzip and unpack it, and the
	// bytes would not be those that were published.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "twice")
	client := &http.Client{
		Transport: o.gate(u.Host, false),
		CheckRedirect: func(req *http.Request, _ []*http.Request) error {
			req.Header.Del("Referer") // has the query
			return nil
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return o.cause(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server says %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	b, err := o.spool(resp.Body, o.limits.Spool)
	if err != nil {
		return o.cause(err)
	}
	if resp.ContentLength >= 0 && b.size != resp.ContentLength {
		return fmt.Errorf("the server announced %d bytes and sent %d", resp.ContentLength, b.size)
	}
	o.subject.Kind, o.subject.Digest = URL, b.digest
	name := path.Base(u.Path)
	if name == "/" || name == "." {
		name = u.Hostname()
	}
	return o.top(b, Container{Kind: URL, Name: o.subject.Ref}, name)
}

// cause returns why the context ended if it did, and else err without the URL,
// which may have a query.
func (o *opening) cause(err error) error {
	if o.ctx.Err() != nil {
		return context.Cause(o.ctx)
	}
	return cause(err)
}

func cause(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// maxRedirects bounds how many redirects one request may meet.
const maxRedirects = 5

// errStalled says that a server sent nothing for too long.
var errStalled = errors.New("no answer in time")

// gate returns a transport for what a host has, and for where that host redirects
// to.
func (o *opening) gate(host string, insecure bool) *gate {
	next := o.cfg.Registry.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return &gate{next: next, host: host, insecure: insecure, timeout: o.cfg.Registry.Timeout}
}

// gate refuses requests that must not be made, whoever asks for them, and ends
// those in which nothing moves. Its rules are those of package registry.
type gate struct {
	next http.RoundTripper
	// host is what the user named, with its port.
	host     string
	insecure bool
	timeout  time.Duration
}

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
	resp, err := g.next.RoundTrip(in.WithContext(ctx))
	if err != nil {
		timer.Stop()
		err = stalled(ctx, err)
		cancel(nil)
		return nil, err
	}
	resp.Request = in
	resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, alive: func() { timer.Reset(g.timeout) }, stop: func() { timer.Stop(); cancel(nil) }}
	return resp, nil
}

// allow decides whether a request may be made.
func (g *gate) allow(in *http.Request) error {
	host := in.URL.Hostname()
	switch {
	case in.URL.Scheme == "https":
	case in.URL.Scheme != "http":
		return fmt.Errorf("a request with scheme %q: refused", in.URL.Scheme)
	case !registry.Loopback(host) && (!g.insecure || in.URL.Host != g.host):
		return fmt.Errorf("plain HTTP to %s: refused", printable(in.URL.Host, false))
	}
	if own := (&url.URL{Host: g.host}).Hostname(); host != own && registry.Internal(host) && !registry.Internal(own) {
		return fmt.Errorf("%s sends us to %s, an address of this network: refused", g.host, printable(host, false))
	}
	hops := 0
	for resp := in.Response; resp != nil && resp.Request != nil; resp = resp.Request.Response {
		if hops++; hops > maxRedirects {
			return fmt.Errorf("more than %d redirects: refused", maxRedirects)
		}
		if resp.Request.URL.Scheme == "https" && in.URL.Scheme != "https" {
			return fmt.Errorf("a redirect to plain HTTP, at %s: refused", printable(in.URL.Host, false))
		}
	}
	return nil
}

func stalled(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// body is an answer that must not stall.
type body struct {
	io.ReadCloser
	ctx         context.Context
	alive, stop func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.alive()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = stalled(b.ctx, err)
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.stop()
	return err
}
