// Conformance speaks the command line of
// https://github.com/sigstore/sigstore-conformance, through the code with which
// twice signs and verifies:
//
//	conformance sign-bundle [--staging] [--in-toto] --identity-token TOKEN --bundle BUNDLE
//	    [--trusted-root FILE] [--signing-config FILE] FILE
//	conformance verify-bundle [--staging] --bundle BUNDLE
//	    (--certificate-identity ID --certificate-oidc-issuer URL | --key FILE)
//	    [--trusted-root FILE] FILE|sha256:HEX
//
// Without files, what to trust is fetched from the public (or staging) instance.
// With a key, a trusted root asks for a log entry. With --in-toto, FILE is a statement. The exit
// status is 0 for success and 1 for everything else. TestSuite runs the suite's cases.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// options are all flags of both commands.
type options struct {
	staging, intoto                                 bool
	token, bundle, trustedRoot, signingConfig       string
	certificateIdentity, certificateOIDCIssuer, key string
	file                                            string
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("want sign-bundle or verify-bundle")
	}

	var o options
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.BoolVar(&o.staging, "staging", false, "take the staging instance instead of the public one")
	f.StringVar(&o.bundle, "bundle", "", "the bundle's `file`")
	f.StringVar(&o.trustedRoot, "trusted-root", "", "a trusted root's `file`")

	command := map[string]func(context.Context, options) error{"sign-bundle": sign, "verify-bundle": verify}[args[0]]

	switch args[0] {
	case "sign-bundle":
		f.BoolVar(&o.intoto, "in-toto", false, "the file is a statement")
		f.StringVar(&o.token, "identity-token", "", "an identity `token`")
		f.StringVar(&o.signingConfig, "signing-config", "", "a signing configuration's `file`")
	case "verify-bundle":
		f.StringVar(&o.certificateIdentity, "certificate-identity", "", "who signed")
		f.StringVar(&o.certificateOIDCIssuer, "certificate-oidc-issuer", "", "who vouched for them")
		f.StringVar(&o.key, "key", "", "a public key's `file`")
	default:
		return fmt.Errorf("%s: want sign-bundle or verify-bundle", args[0])
	}

	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if f.NArg() != 1 || o.bundle == "" {
		return errors.New("want --bundle and one file")
	}

	o.file = f.Arg(0)
	return command(ctx, o)
}

func sign(ctx context.Context, o options) error {
	root, err := o.root(ctx)
	if err != nil {
		return err
	}

	config, err := o.read(ctx, o.signingConfig, attest.Instance.SigningConfig)
	if err != nil {
		return err
	}

	services, err := attest.NewServices(config, root, time.Now, http.DefaultTransport)
	if err != nil {
		return err
	}

	signer, err := attest.NewKeylessSigner(services, func(context.Context) (string, error) { return o.token, nil })
	if err != nil {
		return err
	}

	content, err := os.ReadFile(o.file)
	if err != nil {
		return err
	}

	var bundle []byte
	if o.intoto {
		statement, err := intoto.Decode(content)
		if err != nil {
			return err
		}
		bundle, err = signer.Sign(ctx, statement)
		if err != nil {
			return err
		}
	} else if bundle, err = signer.SignFile(ctx, o.file, content); err != nil {
		return err
	}

	return os.WriteFile(o.bundle, bundle, 0o644)
}

func verify(ctx context.Context, o options) error {
	trust, err := o.trust(ctx)
	if err != nil {
		return err
	}

	bundle, err := os.ReadFile(o.bundle)
	if err != nil {
		return err
	}

	// The suite names a file, or the digest of one that it does not give.
	var about attest.Artifact
	if about.Digest, err = artifact.ParseDigest(o.file); err != nil {
		if about.Content, err = os.ReadFile(o.file); err != nil {
			return err
		}
		about.Digest = artifact.Of(about.Content)
	}

	_, err = attest.Open(bundle, trust, about)
	return err
}

func (o options) trust(ctx context.Context) (attest.Trust, error) {
	if o.key == "" {
		root, err := o.root(ctx)
		if err != nil {
			return attest.Trust{}, err
		}
		return attest.TrustIdentity(root, attest.Identity{Name: o.certificateIdentity, Issuer: o.certificateOIDCIssuer})
	}

	if o.certificateIdentity != "" || o.certificateOIDCIssuer != "" {
		return attest.Trust{}, errors.New("want a key or an identity, not both")
	}

	text, err := os.ReadFile(o.key)
	if err != nil {
		return attest.Trust{}, err
	}
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return attest.Trust{}, fmt.Errorf("%s: %w", o.key, err)
	}

	if o.trustedRoot == "" {
		return attest.TrustKey(pub)
	}
	root, err := o.root(ctx)
	if err != nil {
		return attest.Trust{}, err
	}
	return attest.TrustLoggedKey(pub, root)
}

func (o options) root(ctx context.Context) (*attest.Root, error) {
	data, err := o.read(ctx, o.trustedRoot, attest.Instance.TrustedRoot)
	if err != nil {
		return nil, err
	}
	return attest.ParseRoot(data)
}

// read reads a file, or what fetch gets from an instance if there is none.
func (o options) read(ctx context.Context, name string, fetch func(attest.Instance, context.Context) ([]byte, error)) ([]byte, error) {
	if name != "" {
		return os.ReadFile(name)
	}

	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}

	instance := attest.Instance{CacheDir: filepath.Join(cache, "twice-conformance"), Transport: http.DefaultTransport}
	if o.staging {
		instance.Mirror, instance.Root = tuf.StagingMirror, tuf.StagingRoot()
	}

	return fetch(instance, ctx)
}
