package subject

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/httpguard"
)

// url opens the file at a URL.
func (o *opening) url(ref string) error {
	u, err := url.Parse(ref)
	switch {
	case err != nil:
		return errors.New("not a URL") // the error would quote it
	case u.User != nil:
		return fault.WithRemedy(fault.Usage(errors.New("a URL with a name or password in it")), "fetch the file by other means, and name the file")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("URL scheme %q: only https is fetched", u.Scheme)
	case u.Host == "":
		return errors.New("a URL without a host")
	}

	req, err := http.NewRequestWithContext(o.ctx, http.MethodGet, ref, nil)
	if err != nil {
		return withoutURL(err)
	}
	// Without this header the transport would ask for gzip and unpack it. The bytes would then
	// differ from the published ones.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "twice")

	client := &http.Client{
		Transport: o.guard(u.Host, false),
		CheckRedirect: func(req *http.Request, _ []*http.Request) error {
			req.Header.Del("Referer") // has the query
			return nil
		},
	}

	resp, err := client.Do(req)
	if err != nil {
		return o.withoutURL(err)
	}
	defer resp.Body.Close()

	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server says %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}

	b, err := o.spool(resp.Body, o.limits.Spool)
	if err != nil {
		return o.withoutURL(err)
	}
	if resp.ContentLength >= 0 && b.size != resp.ContentLength {
		return fmt.Errorf("the server announced %d bytes and sent %d", resp.ContentLength, b.size)
	}

	o.subject.Kind, o.subject.Digest = URL, b.digest
	name := path.Base(u.Path)
	if name == "/" || name == "." {
		name = u.Hostname()
	}
	return o.openStored(b, Container{Kind: URL, Name: o.subject.Ref}, name)
}

// withoutURL returns why the context ended if it did. Otherwise it returns err without the URL,
// which may have a query.
func (o *opening) withoutURL(err error) error {
	if o.ctx.Err() != nil {
		return context.Cause(o.ctx)
	}
	return withoutURL(err)
}

func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// guard returns a transport for a host, and for the hosts that it redirects to. Any byte counts as
// progress.
func (o *opening) guard(host string, insecure bool) http.RoundTripper {
	next := o.cfg.Registry.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return &httpguard.Transport{Next: next, Host: host, Insecure: insecure, Timeout: o.cfg.Registry.Timeout, Stretch: 1}
}
