package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/hint"
)

// signFlags are those that say who signs. They win over [sign] in the release
// file.
type signFlags struct {
	matrix.Sign
	passphraseFile string
}

func (f *signFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.Key, "key", "", "sign with the key in a file, or of a KMS (`KEY`)")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "take the key's passphrase from the first line of `FILE`")
	flags.StringVar(&f.Builder, "builder", "", "the `URI` in the provenance for who runs the build")
}

// settle adds what the release file says, whose paths are relative to its folder dir.
func (f signFlags) settle(file matrix.Sign, dir string) signFlags {
	here := func(name string) string {
		if name == "" || filepath.IsAbs(name) || strings.Contains(name, "://") {
			return name
		}
		return filepath.Join(dir, filepath.FromSlash(name))
	}
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

// signer returns who signs, which it tells. Nobody signs a release by accident:
// only a snapshot gets a development key.
func (a *app) signer(ctx context.Context, f signFlags, snapshot bool) (pipeline.Signer, error) {
	switch {
	case f.Key != "":
		k, err := key.Load(ctx, a.reference(f.Key), a.keyOptions(f))
		if err != nil {
			return nil, asUsage(err)
		}
		a.warn(k.Warnings)
		return a.withKey(ctx, k)
	case snapshot:
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil, usageError{fmt.Errorf("no folder for the development key: %w (sign with --key)", err)}
		}
		k, err := key.Development(ctx, filepath.Join(dir, "twice"))
		if err != nil {
			return nil, err
		}
		a.warn(k.Warnings)
		return a.withKey(ctx, k)
	}
	return nil, &pipeline.ConfigError{
		Err:    errors.New("sign: nothing says who signs this release"),
		Remedy: "name a key with --key or [sign] in the release file (twice keygen makes one), or make a --snapshot",
	}
}

func (a *app) withKey(ctx context.Context, k *key.Private) (pipeline.Signer, error) {
	s, err := attest.NewSigner(ctx, k.SignerVerifier())
	if err != nil {
		return nil, err
	}
	a.progress.Line("signing    with the %s key %s", k.Public().Kind(), k.Public().Fingerprint())
	return s, nil
}

func (a *app) keyOptions(f signFlags) key.Options {
	return key.Options{
		Passphrase: a.passphrase("Passphrase for "+f.Key, f.passphraseFile, false),
		Path:       absolute(filepath.SplitList(environment(a.env)["PATH"])), Environ: a.env, Stderr: a.stderr,
	}
}

// asUsage marks an error that has a remedy as the user's.
func asUsage(err error) error {
	if hint.Of(err) == "" && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return &pipeline.ConfigError{Err: err}
}

// readLine returns the first line of a small file.
func readLine(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}
