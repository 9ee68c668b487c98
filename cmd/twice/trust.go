package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/filesig"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// maxTrust is the size in bytes of the largest file that says whom to trust.
const maxTrust = 16 << 20

// trustFlags say whose signatures count.
type trustFlags struct {
	key, trustedRoot string
	identity         attest.Identity
}

func (f *trustFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.key, "key", "", "trust signatures of the public key in a file (PEM, minisign, SSH), or of a KMS (`KEY`)")
	flags.StringVar(&f.identity.Name, "certificate-identity", "", "trust certificates for `NAME`: an email address, or the URL of a CI job's definition")
	flags.StringVar(&f.identity.NameRegexp, "certificate-identity-regexp", "", "as --certificate-identity, a regular `EXPR` that matches all of it")
	flags.StringVar(&f.identity.Issuer, "certificate-oidc-issuer", "", "trust certificates for identities that `URL` vouched for")
	flags.StringVar(&f.identity.IssuerRegexp, "certificate-oidc-issuer-regexp", "", "as --certificate-oidc-issuer, a regular `EXPR` that matches all of it")
	flags.StringVar(&f.trustedRoot, "trusted-root", "", "the Sigstore instance that `FILE` describes (trusted_root.json; default: the public one)")
}

// addForProvenance adds the flags that say whose provenance counts. The names --key and
// --trusted-root are not among them: they are about whoever signs.
func (f *trustFlags) addForProvenance(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.key, "trust-key", "", "take recipes from provenance that is signed with the key in a file, or of a KMS (`KEY`)")
	flags.StringVar(&f.identity.Name, "certificate-identity", "", "take recipes from provenance that `NAME` signed: an email address, or the URL of a CI job's definition")
	flags.StringVar(&f.identity.NameRegexp, "certificate-identity-regexp", "", "as --certificate-identity, a regular `EXPR` that matches all of it")
	flags.StringVar(&f.identity.Issuer, "certificate-oidc-issuer", "", "with --certificate-identity, the `URL` of who vouched for it")
	flags.StringVar(&f.identity.IssuerRegexp, "certificate-oidc-issuer-regexp", "", "as --certificate-oidc-issuer, a regular `EXPR` that matches all of it")
	flags.StringVar(&f.trustedRoot, "trust-root", "", "the Sigstore instance of those signatures, in `FILE` (trusted_root.json; default: the public one)")
}

// isSet reports whether any of the flags was given.
func (f trustFlags) isSet() bool {
	return f.key != "" || f.trustedRoot != "" || f.identity != (attest.Identity{})
}

// trust returns whom to trust.
func (a *app) trust(ctx context.Context, f trustFlags) (attest.Trust, error) {
	id := f.identity
	byIdentity := id != (attest.Identity{})
	switch {
	case f.key == "" && !byIdentity:
		return attest.Trust{}, fault.Usage(errors.New("nothing says whom to trust: give --key, or --certificate-identity with --certificate-oidc-issuer"))
	case f.key != "" && byIdentity:
		return attest.Trust{}, fault.Usage(errors.New("--key and --certificate-... exclude each other: a signature is a key's or a certificate's"))
	case byIdentity && ((id.Name == "") == (id.NameRegexp == "") || (id.Issuer == "") == (id.IssuerRegexp == "")):
		return attest.Trust{}, fault.Usage(errors.New("an identity is --certificate-identity and --certificate-oidc-issuer, or their -regexp forms: give one of each"))
	}

	var root *attest.Root
	if f.trustedRoot != "" {
		data, err := fsx.ReadNamed(a.inDir(f.trustedRoot), maxTrust)
		if err != nil {
			return attest.Trust{}, fault.Usage(fmt.Errorf("trusted root: %w", err))
		}
		if root, err = attest.ParseRoot(data); err != nil {
			return attest.Trust{}, fault.Usage(fmt.Errorf("trusted root %s: %w", f.trustedRoot, err))
		}
	}

	if f.key != "" {
		public, err := key.LoadPublic(ctx, a.keyReference(f.key), a.keyOptions(signFlags{}))
		if err != nil {
			return attest.Trust{}, err
		}
		if root != nil {
			return attest.TrustLoggedKey(public.Key(), root)
		}
		return attest.TrustKey(public.Key())
	}

	// Without a root of one's own, identities are those of the public instance.
	if root == nil {
		public, err := a.publicInstance()
		if err != nil {
			return attest.Trust{}, err
		}
		data, err := public.TrustedRoot(ctx)
		if err != nil {
			return attest.Trust{}, err
		}
		if root, err = attest.ParseRoot(data); err != nil {
			return attest.Trust{}, err
		}
	}

	t, err := attest.TrustIdentity(root, f.identity)
	if failed := (*attest.Error)(nil); err != nil && !errors.As(err, &failed) {
		err = fault.Usage(err) // a regular expression that is none
	}
	return t, err
}

// fileTrust returns the trust in a key of minisign or SSH, whose signatures are no bundles. It is nil
// if the flags name none.
func (a *app) fileTrust(f trustFlags) (*attest.Trust, error) {
	data, err := fsx.ReadNamed(a.inDir(f.key), filesig.MaxSize)
	if f.key == "" || err != nil {
		return nil, nil // whoever loads it as another key tells what is wrong
	}
	k, err := filesig.ParseKey(data)
	switch {
	case errors.Is(err, filesig.ErrUnknown):
		return nil, nil
	case err != nil:
		return nil, fault.Usage(fmt.Errorf("%s: %w", f.key, err))
	case f.trustedRoot != "" || f.identity != (attest.Identity{}):
		return nil, fault.Usage(fmt.Errorf("%s is a key of %s: no log and no certificate knows its signatures, so --trusted-root and --certificate-... say nothing", f.key, k.Format()))
	}
	t := attest.TrustFileKey(k)
	return &t, nil
}

// signers returns whose word counts. That is the publisher, unless the policy asks for rebuilds and
// nothing else, and each rebuilder whom the policy lists. expected is the policy in policyFile, or
// nil.
func (a *app) signers(ctx context.Context, f trustFlags, expected *policy.Policy, policyFile string) (publisher *attest.Trust, rebuilders []attest.Trust, err error) {
	if expected == nil || !expected.OnlyRebuilds() || f.key != "" || f.identity != (attest.Identity{}) {
		t, err := a.fileTrust(f)
		if t == nil && err == nil {
			var other attest.Trust
			other, err = a.trust(ctx, f)
			t = &other
		}
		if err != nil {
			return nil, nil, err
		}
		publisher = t
	}
	if expected == nil || expected.Rebuilds == nil {
		return publisher, nil, nil
	}

	// The paths in a policy are relative to its folder.
	dir, err := filepath.Abs(filepath.Dir(a.inDir(policyFile)))
	if err != nil {
		return nil, nil, err
	}
	root := f.trustedRoot
	if root != "" {
		if root, err = filepath.Abs(a.inDir(root)); err != nil {
			return nil, nil, err
		}
	}

	for _, r := range expected.Rebuilds.By {
		flags := trustFlags{key: resolveBeside(dir, r.Key), trustedRoot: resolveBeside(dir, r.TrustedRoot), identity: attest.Identity{Name: r.Identity, Issuer: r.Issuer}}
		if flags.trustedRoot == "" && r.Key == "" {
			flags.trustedRoot = root
		}

		t, err := a.trust(ctx, flags)
		if err != nil {
			return nil, nil, fmt.Errorf("policy: rebuilds.by: %s: %w", r.Name, err)
		}
		rebuilders = append(rebuilders, t)
	}

	return publisher, rebuilders, nil
}
