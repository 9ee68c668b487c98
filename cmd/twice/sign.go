package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/identity"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// signFlags say who signs. They win over [sign] in the release file. For a snapshot that table does
// not count, since whoever makes one need not have the key.
type signFlags struct {
	matrix.Sign
	passphraseFile string
	deviceCode     bool
}

func (f *signFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.Key, "key", "", "sign with the key in a file, or of a KMS (`KEY`)")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "take the key's passphrase from the first line of `FILE`")
	flags.BoolVar(&f.Keyless, "keyless", false, "sign with a certificate that lives for minutes, for whom you, or this CI job, can prove to be")
	flags.BoolVar(&f.deviceCode, "device-code", false, "prove who you are in a browser on another device")

	flags.StringVar(&f.SigningConfig, "signing-config", "", "the services of one's own Sigstore instance (signing_config.json in `FILE`)")
	flags.StringVar(&f.TrustedRoot, "trusted-root", "", "what to trust of that instance (trusted_root.json in `FILE`)")
	flags.StringVar(&f.Builder, "builder", "", "the `URI` in the provenance for who runs the build")
}

// withDefaults adds what the release file says. Its paths are relative to its folder, which is dir.
func (f signFlags) withDefaults(file matrix.Sign, dir string) signFlags {
	here := func(name string) string { return resolveBeside(dir, name) }
	if f.Key == "" && !f.Keyless {
		f.Key, f.Keyless = here(file.Key), file.Keyless
	}

	if f.SigningConfig == "" && f.TrustedRoot == "" {
		f.SigningConfig, f.TrustedRoot = here(file.SigningConfig), here(file.TrustedRoot)
	}

	if f.Builder == "" {
		f.Builder = file.Builder
	}
	return f
}

// resolveBeside returns the path that a file in dir names. A reference of a KMS key stays as it is.
func resolveBeside(dir, name string) string {
	if name == "" || filepath.IsAbs(name) || strings.Contains(name, "://") {
		return name
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

// signer returns the signer, and prints who that is. Only a snapshot gets a development key, so that
// nobody signs a release with one by accident.
func (a *app) signer(ctx context.Context, f signFlags, snapshot bool) (*attest.Signer, error) {
	switch {
	case f.Key != "" && f.Keyless:
		return nil, fault.Usage(errors.New("--key and --keyless exclude each other"))
	case (f.SigningConfig == "") != (f.TrustedRoot == ""):
		return nil, fault.Usage(errors.New("--signing-config and --trusted-root go together"))
	case f.Keyless:
		return a.keylessSigner(ctx, f)
	case f.Key != "":
		k, err := key.Load(ctx, a.keyReference(f.Key), a.keyOptions(f))
		if err != nil {
			return nil, err
		}
		a.warn(k.Warnings)
		return a.keySigner(ctx, k, f)
	case snapshot:
		dir, err := userDir(os.UserConfigDir())
		if err != nil {
			return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("no folder for the development key: %w", err)), "sign with --key")
		}
		k, err := key.Development(ctx, filepath.Join(dir, "twice"))
		if err != nil {
			return nil, err
		}
		a.warn(k.Warnings)
		return a.keySigner(ctx, k, signFlags{})
	}
	return nil, fault.WithRemedy(fault.Usage(errors.New("sign: nothing says who signs this release")), "name a key with --key or [sign] in the release file (twice keygen makes one), or make a --snapshot")
}

// keySigner returns a signer with k. If there is a signing configuration, its logs record each
// signature.
func (a *app) keySigner(ctx context.Context, k *key.Private, f signFlags) (s *attest.Signer, err error) {
	logged := ""
	if f.SigningConfig == "" {
		s, err = attest.NewSigner(ctx, k.SignerVerifier())
	} else {
		services, serr := a.services(ctx, f)
		if serr != nil {
			return nil, serr
		}
		s, err = attest.NewLoggedSigner(ctx, k.SignerVerifier(), services)
		logged = ", and in the logs of " + displayPath(f.SigningConfig)
	}
	if err != nil {
		return nil, err
	}

	a.progress.Line("signing    with the %s key %s%s", k.Public().Kind(), k.Public().Fingerprint(), logged)
	return s, nil
}

// keylessSigner returns a signer for the CI job that this is, or for the person at the terminal.
func (a *app) keylessSigner(ctx context.Context, f signFlags) (*attest.Signer, error) {
	services, err := a.services(ctx, f)
	if err != nil {
		return nil, err
	}

	client := &http.Client{Transport: a.transport, Timeout: identityTimeout}
	who := "the identity of this job"
	// A CI job is asked for its token first, so that nobody is asked there.
	token, err := identity.Ambient(environment(a.env), client)
	if errors.Is(err, identity.ErrNone) {
		who = "your identity, for which you will be asked"
		token, err = a.personToken(services, client, f.deviceCode)
	}
	if err != nil {
		return nil, err
	}

	s, err := attest.NewKeylessSigner(services, token)
	if err != nil {
		return nil, err
	}
	a.progress.Line("signing    with %s", who)
	return s, nil
}

// identityTimeout bounds one question to an issuer of identities.
const identityTimeout = 30 * time.Second

// personToken returns a function that asks the person at the terminal for a proof of identity.
func (a *app) personToken(services *attest.Services, client *http.Client, deviceCode bool) (attest.Token, error) {
	if a.ask == nil {
		return nil, fault.WithRemedy(fault.Usage(errors.New("keyless: no identity token in the environment, and nobody at a terminal")),
			"run it in a CI job that may have an identity token, or set SIGSTORE_ID_TOKEN")
	}

	issuer, err := services.Issuer()
	if err != nil {
		return nil, err
	}

	p := identity.Person{Issuer: issuer, Client: client, Tell: func(line string) { a.progress.Line("%s", line) }}

	if deviceCode {
		return p.Device, nil
	}
	return p.Browser, nil
}

// services returns those of the Sigstore instance that the flags name, or of the public one.
func (a *app) services(ctx context.Context, f signFlags) (*attest.Services, error) {
	var config, trusted []byte
	var err error

	if f.SigningConfig != "" {
		if config, err = fsx.ReadNamed(a.inDir(f.SigningConfig), maxTrust); err != nil {
			return nil, fault.Usage(fmt.Errorf("signing configuration: %w", err))
		}
		if trusted, err = fsx.ReadNamed(a.inDir(f.TrustedRoot), maxTrust); err != nil {
			return nil, fault.Usage(fmt.Errorf("trusted root: %w", err))
		}
	} else {
		public, err := a.publicInstance()
		if err != nil {
			return nil, err
		}
		if config, err = public.SigningConfig(ctx); err != nil {
			return nil, err
		}
		if trusted, err = public.TrustedRoot(ctx); err != nil {
			return nil, err
		}
	}

	root, err := attest.ParseRoot(trusted)
	if err != nil {
		return nil, err
	}
	return attest.NewServices(config, root, a.now, a.transport)
}

// publicInstance returns the public Sigstore instance.
func (a *app) publicInstance() (attest.Instance, error) {
	dir, err := a.cacheDir()
	return attest.Instance{CacheDir: filepath.Join(dir, "sigstore"), Transport: a.transport}, err
}

func (a *app) keyOptions(f signFlags) key.Options {
	return key.Options{
		Passphrase: a.passphrase("Passphrase for "+f.Key, f.passphraseFile, false),
		Path:       absolute(filepath.SplitList(environment(a.env)["PATH"])), Environ: a.env, Stderr: a.stderr,
	}
}

// readLine returns the first line of a small file, or of a pipe such as /dev/stdin or <(command).
func readLine(ctx context.Context, name string) ([]byte, error) {
	f, err := openPipe(name)
	if err != nil {
		return nil, fault.Usage(err)
	}
	defer f.Close()

	// Whoever writes to the pipe may be slow, and the user may not want to wait.
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	data, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}

	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}
