package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/httpguard"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// maxAttempts bounds how often something is tried.
const maxAttempts = 5

// maxPause bounds how long one wait may be.
const maxPause = 2 * time.Minute

// backoff returns how long to wait after the given number of failures: one
// second, two, four, eight.
func backoff(failures int) time.Duration { return time.Second << (failures - 1) }

// retry calls f until it succeeds, fails for good, or has failed too often. The
// error names what.
func (s *session) retry(ctx context.Context, what string, f func(context.Context) error) error {
	for failures := 1; ; failures++ {
		var asked requestedPause
		err := f(context.WithValue(ctx, pauseKey{}, &asked))
		if err == nil {
			return nil
		}

		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}

		if !isTemporary(err) {
			return s.describeError(what, err)
		}
		if failures == maxAttempts {
			return s.describeError(fmt.Sprintf("%s: tried %d times", what, maxAttempts), err)
		}

		wait := time.Duration(asked.nanoseconds.Load())
		if wait > maxPause {
			return s.describeError(fmt.Sprintf("%s: the registry asks to come back in %s", what, wait), err)
		}

		// The sum of the waits is bounded too, since a registry can ask for a wait after each
		// request.
		wait = max(wait, backoff(failures))
		if s.opt.Patience > 0 && time.Duration(s.waited.Add(int64(wait))) > s.opt.Patience {
			return s.describeError(fmt.Sprintf("%s: the registry was waited for %s in all", what, s.opt.Patience), err)
		}

		if err := s.opt.Sleep(ctx, wait); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// isTemporary reports whether trying again may help. An error that is not known to be
// final counts as temporary: connections end in many ways, and answers are cut short.
func isTemporary(err error) bool {
	var (
		denied  *httpguard.Refusal
		status  *transport.Error
		badCert *tls.CertificateVerificationError
		unknown *net.DNSError
	)

	switch {
	case errors.As(err, &denied), errors.As(err, &badCert):
		return false
	case errors.As(err, &status):
		switch code := status.StatusCode; code {
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			return true
		case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
			return false
		default:
			return code >= 500
		}
	case errors.As(err, &unknown):
		return !unknown.IsNotFound
	}
	return true
}

// describeError says what failed, and why. Errors of the library have URLs in them, with
// tokens at times, and up to 64 KiB of what the registry said.
func (s *session) describeError(what string, err error) error {
	f := &describedError{msg: what + ": " + printable(causeText(err)), err: err}
	var status *transport.Error
	if fault.RemedyOf(err) == "" && errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden) {
		return fault.WithRemedy(f, fmt.Sprintf("docker login %s, or give the account you use the right to push there; then type the same again", s.repo.RegistryStr()))
	}
	return f
}

// describedError is an error with a text of its own.
type describedError struct {
	msg string
	err error
}

func (f *describedError) Error() string { return f.msg }
func (f *describedError) Unwrap() error { return f.err }

// causeText returns the part of an error that matters.
func causeText(err error) string {
	var (
		denied *httpguard.Refusal
		status *transport.Error
		where  *url.Error
	)
	switch {
	case errors.As(err, &denied):
		return denied.Error()
	case errors.As(err, &status):
		text := fmt.Sprintf("%d %s", status.StatusCode, http.StatusText(status.StatusCode))
		for _, d := range status.Errors {
			text += "; " + strings.TrimSpace(fmt.Sprintf("%s %s", d.Code, d.Message))
		}
		return text
	case errors.As(err, &where):
		return where.Err.Error()
	}
	return err.Error()
}

// maxText bounds how much of an error's text is shown, in bytes.
const maxText = 400

// printable returns s fit for a terminal: without control characters, and not long.
func printable(s string) string { return safetext.Replace(safetext.Cut(s, maxText, " ..."), '?') }
