package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// errRefused is returned when something was verified and found wanting.
var errRefused = fault.Refused(errors.New("refused"))

func (a *app) verifyCmd() *cobra.Command {
	var trust trustFlags
	var policyFile string
	var bundles []string
	var insecure bool
	c := &cobra.Command{
		Use:   "verify {FILE | DIR | IMAGE}...",
		Short: "Check signatures, signers and statements of files; never builds",
		Long: `Verify checks that somebody you trust signed what is said
about each file, and that it is about these bytes. Bundles are found by themselves
in the file's folder and the two above it, as *.sigstore.json; every one that says
it is about the file has to be good. A file that its statements call something else is
told. Of an image (registry/name:tag or @digest) the bundles are what is attached to it.

A folder with a release is held against its signed release.json: every file of the
release has to be there, under its name, and nothing else. In any other folder each file
is verified by itself. A policy is about the files of the release, and not about
release.json; rebuilds are asked of its binaries, archives and images.

A policy can ask for rebuilds: statements of twice rebuild --attest by people whom it
lists, each with a key or an identity of their own. If it asks for nothing else,
it does not matter who published the file, and no --key is needed. A rebuild by
somebody else is named and does not count, either way.

Else the network is used only to learn what the public Sigstore instance trusts, when
an identity is given and no --trusted-root, and to ask a KMS for its key.

It exits with 0 if every file is verified, 1 if one is refused, 3 if it could
not be determined.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.Usage(errors.New("name a file or a folder to verify"))
			}
			v := a.verifier(c.Context(), insecure)
			if policyFile != "" {
				data, err := artifact.ReadNamed(a.at(policyFile), policy.MaxSize+1)
				if err == nil {
					v.policy, err = policy.Parse(policyFile, data)
				}
				if err != nil {
					return fault.Usage(err)
				}
			}
			var err error
			if v.trust, v.rebuilders, err = a.signers(c.Context(), trust, v.policy, policyFile); err != nil {
				return err
			}
			for _, name := range bundles {
				b, err := v.index.given(a.at(name))
				if err != nil {
					return err
				}
				v.given = append(v.given, b)
			}
			return a.verify(c.Context(), v, args)
		},
	}
	trust.add(c)
	c.Flags().StringArrayVar(&bundles, "bundle", nil, "use the bundle in `FILE` and no others (may be repeated)")
	insecureFlag(c, &insecure)
	c.Flags().StringVar(&policyFile, "policy", "", "hold what is said against the expectations in `FILE` (TOML)")
	return c
}

// developmentKey is the digest of this machine's development key, or empty. That of
// another machine is a key like any other.
func (a *app) developmentKey(ctx context.Context) artifact.Digest {
	dir, err := userDir(os.UserConfigDir())
	if err != nil {
		return ""
	}
	public, err := key.LoadPublic(ctx, filepath.Join(dir, "twice", "development.pub"), key.Options{})
	if err != nil {
		return "" // there is none, as a rule
	}
	return public.Fingerprint()
}

// verifier returns a verifier that trusts nobody yet.
func (a *app) verifier(ctx context.Context, insecure bool) *verifier {
	v := newVerifier()
	v.registry, v.display, v.development = a.registry(insecure), short, a.developmentKey(ctx)
	return v
}

// verify prints what v says of args, and returns an error unless all of it is verified.
func (a *app) verify(ctx context.Context, v *verifier, args []string) error {
	var subjects []subjectArg
	for _, arg := range args {
		subjects = append(subjects, subjectArg{arg, a.at(arg)})
	}
	doc, err := v.judgeAll(ctx, subjects)
	if err != nil {
		return err
	}
	bad := 0
	for _, f := range doc.Files {
		if f.Verdict != verified {
			bad++
		}
	}
	if a.json {
		if err := printJSON(a.document(), doc); err != nil {
			return err
		}
	} else {
		a.printReport(doc, v.policy)
	}
	switch doc.Verdict {
	case refused:
		return fmt.Errorf("verify: %d of %s %w", bad, count(len(doc.Files), "file"), errRefused)
	case undetermined:
		return fmt.Errorf("verify: %d of %s could not be determined", bad, count(len(doc.Files), "file"))
	}
	return nil
}
