package main

import (
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/httpguard"
	"github.com/twicebuild/twice/pipeline/image/oci"
)

// remote returns how bases of images are read.
func (a *app) remote() *oci.Remote {
	return &oci.Remote{Transport: loopbackHTTP{a.transport}, Keychain: authn.DefaultKeychain, UserAgent: "twice/" + toolVersion().Version}
}

// baseSignatures is how the signatures of bases are verified.
func (a *app) baseSignatures() (pipeline.BaseSignatures, error) {
	instance, err := a.publicInstance()
	return pipeline.BaseSignatures{Keys: a.keyOptions(signFlags{}), Instance: instance, Registry: a.registry(false)}, err
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
