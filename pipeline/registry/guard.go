package registry

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twicebuild/twice/pipeline/httpguard"
)

// maxResponse bounds the body of an answer in bytes, unless a blob that was asked
// for is larger. The largest answer that is needed otherwise is a bundle.
const maxResponse = MaxBundle

// stretch is how many bytes, sent or answered, have the time of Options.Timeout.
const stretch = 1 << 20

// guard returns the transport below everything that talks to a registry.
func (o Options) guard(registry string) *httpguard.Transport {
	return &httpguard.Transport{
		Next: pauseRecorder{o.Transport}, Host: registry,
		Insecure: o.Insecure, KeepTLS: true,
		InsecureRemedy: "--insecure permits plain HTTP to registries; everyone on the way can then read the credentials",
		Timeout:        o.Timeout, Stretch: stretch, MaxBody: maxResponse,
	}
}

// requestedPause is how long the registry asks to wait, in the context of a request.
type requestedPause struct{ nanoseconds atomic.Int64 }

type pauseKey struct{}

// pauseRecorder is a transport that records what answers say of waiting.
type pauseRecorder struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t pauseRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if p, ok := req.Context().Value(pauseKey{}).(*requestedPause); ok && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500) {
		p.nanoseconds.Store(int64(retryAfter(resp.Header)))
	}
	return resp, nil
}

// retryAfter reads a Retry-After header
// (https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after), which is a
// number of seconds or a date. A date counts from the answer's own date, so that no
// clock is needed, and none has to be right. A header that makes no sense means zero.
func retryAfter(h http.Header) time.Duration {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}

	// Without a Date there is nothing to count from.
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
