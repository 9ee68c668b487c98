package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/httpguard"
	"github.com/twicebuild/twice/pipeline/image/oci"
)

// remote is how bases of images are read.
func (a *app) remote() *oci.Remote {
	return &oci.Remote{Transport: loopbackHTTP{a.transport}, Keychain: authn.DefaultKeychain, UserAgent: "twice/" + toolVersion().Version}
}

// checkBase is pipeline.Config.CheckBase.
func (a *app) checkBase(ctx context.Context, t matrix.BaseTrust, reference string) error {
	trust, err := a.trust(ctx, trustFlags{key: t.Key, identity: attest.Identity{Name: t.Identity, Issuer: t.Issuer}})
	if err != nil {
		return err
	}
	opt := a.verifyOptions(ctx, false)
	opt.Publisher = &trust
	doc := verify.New(opt).Image(ctx, reference)
	if doc.Verdict == verify.Verified {
		return nil
	}
	err = fault.WithRemedy(fmt.Errorf("its signature: %s", doc.Problems[0].Error), doc.Problems[0].Remedy)
	if doc.Verdict == verify.Refused {
		return fault.Refused(err)
	}
	return err
}

// loopbackHTTP lets plain HTTP through to this machine only.
type loopbackHTTP struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t loopbackHTTP) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !httpguard.IsLoopback(r.URL.Hostname()) {
		return nil, fmt.Errorf("plain HTTP to %s: refused", r.URL.Host)
	}
	return t.RoundTripper.RoundTrip(r)
}
