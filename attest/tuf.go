package attest

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
)

// Instance is a Sigstore instance that publishes by TUF what to trust
// (https://theupdateframework.github.io/specification/latest/).
type Instance struct {
	// Mirror is the URL of the repository, and Root its first root.json, which must come from
	// somewhere trusted. If both are empty it is the public instance, whose root comes with this
	// program.
	Mirror string
	Root   []byte
	// CacheDir is the absolute path of a folder for what was fetched. Nothing is fetched while that
	// is valid.
	CacheDir string
	// Transport makes the requests. An example is http.DefaultTransport.
	Transport http.RoundTripper
}

// Names of files in a repository
// (https://github.com/sigstore/root-signing/tree/main/targets).
const (
	trustedRootTarget   = "trusted_root.json"
	signingConfigTarget = "signing_config.v0.2.json"
)

// TrustedRoot returns the instance's trusted root, for [ParseRoot]. If it cannot be had, the error
// is an Error of reason Undetermined.
func (i Instance) TrustedRoot(ctx context.Context) ([]byte, error) {
	return i.fetch(ctx, trustedRootTarget)
}

// SigningConfig returns the addresses of the instance's services, for [NewServices].
func (i Instance) SigningConfig(ctx context.Context) ([]byte, error) {
	return i.fetch(ctx, signingConfigTarget)
}

// fetch returns a file of the repository, as TUF verifies it.
func (i Instance) fetch(ctx context.Context, target string) ([]byte, error) {
	if (i.Mirror == "") != (i.Root == nil) {
		return nil, refuse(Undetermined, "trusted root: a mirror needs a root.json of its own, and a root.json its mirror")
	}
	if i.Transport == nil || !filepath.IsAbs(i.CacheDir) {
		return nil, refuse(Undetermined, "trusted root: want a transport and the absolute path of a cache folder")
	}

	mirror, root := i.Mirror, i.Root
	if mirror == "" {
		mirror, root = tuf.DefaultMirror, tuf.DefaultRoot()
	}

	f := fetcher.NewDefaultFetcher()
	f.SetHTTPClient(&http.Client{Transport: &transport{ctx: ctx, base: i.Transport}, Timeout: timeout})
	options := (&tuf.Options{}).WithContext(ctx).WithRoot(root).WithRepositoryBaseURL(mirror).
		WithCachePath(i.CacheDir).WithForceCache().WithFetcher(f)

	client, err := tuf.New(options)
	var data []byte
	if err == nil {
		data, err = client.GetTarget(target)
	}

	// Whoever cancels wants to read that, and not what came of it.
	if cause := ctx.Err(); cause != nil {
		err = cause
	}
	if err != nil {
		return nil, refuse(Undetermined, "fetch %s from %s: %w", target, mirror, err).withRemedy("name the file of a trusted root to work without a network")
	}
	return data, nil
}
