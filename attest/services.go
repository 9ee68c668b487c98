package attest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
)

// Token returns an OIDC identity token, a JWT for the audience that the
// certificate authority wants ("sigstore" for the public instance).
type Token func(context.Context) (string, error)

// Services are the servers that take part in signing: a certificate authority (Fulcio),
// transparency logs (Rekor v1 and v2) and time stamp authorities (RFC 3161).
type Services struct {
	config    *root.SigningConfig
	root      *Root
	now       func() time.Time
	transport http.RoundTripper
}

// NewServices reads a signing configuration in JSON, media type
// application/vnd.dev.sigstore.signingconfig.v0.2+json
// (https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto). The
// trusted root must know these services, as every bundle is verified with it right after signing.
// The clock chooses among services by their validity. The transport is for the certificate and time
// stamp authorities. The clients of the logs bring their own.
func NewServices(config []byte, r *Root, now func() time.Time, transport http.RoundTripper) (*Services, error) {
	pb, err := root.NewSigningConfigProtobuf(config)
	if err != nil {
		return nil, fmt.Errorf("signing configuration: %w", err)
	}

	if len(pb.GetRekorTlogUrls()) > 0 && pb.GetRekorTlogConfig() == nil || len(pb.GetTsaUrls()) > 0 && pb.GetTsaConfig() == nil {
		return nil, errors.New("signing configuration: does not say how many of the logs or time stamp authorities to use")
	}
	c, err := root.NewSigningConfigFromProtobuf(pb)
	if err != nil {
		return nil, fmt.Errorf("signing configuration: %w", err)
	}

	if r == nil {
		return nil, refuse(Undetermined, "no trusted root")
	}
	if now == nil || transport == nil {
		return nil, errors.New("signing configuration: want a clock and a transport to use it with")
	}
	return &Services{c, r, now, transport}, nil
}

// Issuer returns the URL of the OpenID Connect issuer whose identity tokens the
// certificate authority takes from people.
func (s *Services) Issuer() (string, error) {
	issuer, err := root.SelectService(s.config.OIDCProviderURLs(), []uint32{1}, s.now())
	if err != nil {
		return "", fmt.Errorf("signing configuration: issuer of identities: %w", err)
	}
	return issuer.URL, nil
}

// Bounds of the requests to a service: how often it is asked again after a server's error, and how
// long an answer may take.
const (
	retries = 2
	timeout = 30 * time.Second
)

// addWitnesses adds the logs and time stamp authorities to opts. done ends their requests.
func (s *Services) addWitnesses(ctx context.Context, opts *sign.BundleOptions) (done func(), err error) {
	ctx, done = context.WithCancel(ctx)
	now := s.now()

	if urls := s.config.TimestampAuthorityURLs(); len(urls) > 0 {
		chosen, err := root.SelectServices(urls, s.config.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, now)
		if err != nil {
			done()
			return nil, fmt.Errorf("time stamp authorities: %w", err)
		}
		for _, c := range chosen {
			opts.TimestampAuthorities = append(opts.TimestampAuthorities, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{
				URL: c.URL, Timeout: timeout, Retries: retries, Transport: &transport{ctx: ctx, base: s.transport},
			}))
		}
	}

	// The clients of the logs bring their own transport.
	if urls := s.config.RekorLogURLs(); len(urls) > 0 {
		chosen, err := root.SelectServices(urls, s.config.RekorLogURLsConfig(), sign.RekorAPIVersions, now)
		if err != nil {
			done()
			return nil, fmt.Errorf("transparency logs: %w", err)
		}
		for _, c := range chosen {
			opts.TransparencyLogs = append(opts.TransparencyLogs, sign.NewRekor(&sign.RekorOptions{
				BaseURL: c.URL, Timeout: timeout, Retries: retries, Version: c.MajorAPIVersion,
			}))
		}
	}

	return done, nil
}

// certify returns a certificate in DER for the identity in token.
func (s *Services) certify(ctx context.Context, kp sign.Keypair, token string) ([]byte, error) {
	c, err := root.SelectService(s.config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, s.now())
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}

	t := &transport{ctx: ctx, base: s.transport}
	f := sign.NewFulcio(&sign.FulcioOptions{BaseURL: c.URL, Timeout: timeout, Retries: retries, Transport: t})

	der, err := f.GetCertificate(ctx, kp, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w%s", c.URL, err, t.lastFault)
	}
	return der, nil
}

// transport gives requests the context that sigstore-go makes them without.
type transport struct {
	ctx  context.Context
	base http.RoundTripper
	// lastFault is the last answer that reported a server's fault. When sigstore-go gives up it has
	// closed that answer.
	lastFault string
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	// The timeout of the client is in the request's own context.
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(t.ctx, cancel)

	resp, err := t.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		if cause := t.ctx.Err(); cause != nil {
			return nil, cause
		}
		return nil, err
	}

	if resp.StatusCode >= http.StatusInternalServerError {
		t.lastFault = " (the server said " + resp.Status + ")"
	}
	resp.Body = &cancelingBody{resp.Body, func() { stop(); cancel() }}
	return resp, nil
}

// compactJSON removes insignificant space.
func compactJSON(data []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// cancelingBody is the body of an answer. Closing it ends the request's context.
type cancelingBody struct {
	io.ReadCloser
	done func()
}

// Close closes the body.
func (b *cancelingBody) Close() error {
	b.done()
	return b.ReadCloser.Close()
}
