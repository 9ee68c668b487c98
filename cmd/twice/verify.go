package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/purl"
	"github.com/twicebuild/twice/pipeline/subject"
)

// errRefused says that something was verified, and is not what it has to be.
var errRefused = fault.Refused(errors.New("refused"))

func (a *app) verifyCmd() *cobra.Command {
	var trust trustFlags
	var policyFile string
	var bundles []string
	var insecure bool
	c := &cobra.Command{
		Use:   "verify {FILE | DIR | IMAGE | npm:NAME@VERSION}...",
		Short: "Check signatures, signers and statements of files; never builds",
		Long: `Verify checks that somebody you trust signed what is said
about each file, and that it is about these bytes. Bundles are found by themselves
in the file's folder and the two above it, as *.sigstore.json; every one that says
it is about the file has to be good. So are those of other tools: *.jsonl, *.sigstore,
*.slsa and *.bundle with bundles, envelopes or what cosign wrote, and FILE.sig. A file
that nobody signed is verified by a signed list of checksums in its folder. A file that
its statements call something else is told. Of an image (registry/name:tag or @digest)
the bundles are what is attached to it.

A folder with a release is held against its signed release.json: every file of the
release has to be there, under its name, and nothing else. In any other folder each file
is verified by itself. A policy is about the files of the release, and not about
release.json; rebuilds are asked of its binaries, archives and images.

A policy can ask for rebuilds: statements of twice rebuild --attest by people whom it
lists, each with a key or an identity of their own. If it asks for nothing else,
it does not matter who published the file, and no --key is needed. A rebuild by
somebody else is named and does not count, either way.

A package of npm is fetched by the npm client, and verified by the attestations of its
registry. Of such a collection, what others than the trusted one signed does not count.

Else the network is used only to learn what the public Sigstore instance trusts, when
an identity is given and no --trusted-root, and to ask a KMS for its key.

It exits with 0 if every file is verified, 1 if one is refused, 3 if it could
not be determined.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.Usage(errors.New("name a file or a folder to verify"))
			}

			opt := a.verifyOptions(c.Context(), insecure)
			if policyFile != "" {
				data, err := fsx.ReadNamed(a.inDir(policyFile), policy.MaxSize+1)
				if err == nil {
					opt.Policy, err = policy.Parse(policyFile, data)
				}
				if err != nil {
					return fault.Usage(err)
				}
			}

			var err error
			if opt.Publisher, opt.Rebuilders, err = a.signers(c.Context(), trust, opt.Policy, policyFile); err != nil {
				return err
			}

			v := verify.New(opt)
			for _, name := range bundles {
				if err := v.AddBundle(a.inDir(name)); err != nil {
					return err
				}
			}
			return a.verify(c.Context(), v, opt.Policy, args)
		},
	}
	trust.add(c)
	c.Flags().StringArrayVar(&bundles, "bundle", nil, "use the bundles in `FILE`, in any of these forms, and no others (may be repeated)")
	insecureFlag(c, &insecure)
	c.Flags().StringVar(&policyFile, "policy", "", "hold what is said against the expectations in `FILE` (TOML)")
	return c
}

// developmentKey returns the digest of this machine's development key, or nothing. The development
// key of another machine is a key like any other.
func (a *app) developmentKey(ctx context.Context) artifact.Digest {
	dir, err := userDir(os.UserConfigDir())
	if err != nil {
		return ""
	}
	public, err := key.LoadPublic(ctx, filepath.Join(dir, "twice", "development.pub"), key.Options{})
	if err != nil {
		return "" // most machines have none
	}
	return public.Fingerprint()
}

// verifyOptions returns what all verifications on this machine have in common. Nobody is trusted
// yet.
func (a *app) verifyOptions(ctx context.Context, insecure bool) verify.Options {
	return verify.Options{Registry: a.registry(insecure), Display: displayPath, DevelopmentKey: a.developmentKey(ctx)}
}

// verify prints what v says of args, and returns an error unless all of it is verified. expected
// is the policy of v, or nil.
func (a *app) verify(ctx context.Context, v *verify.Verifier, expected *policy.Policy, args []string) error {
	subjects, clean, err := a.verifySubjects(ctx, args)
	defer clean()
	if err != nil {
		return err
	}
	doc, err := v.Verify(ctx, subjects)
	if err != nil {
		return err
	}

	bad := 0
	for _, f := range doc.Files {
		if f.Verdict != verify.Verified {
			bad++
		}
	}

	if a.json {
		if err := printJSON(a.document(), doc); err != nil {
			return err
		}
	} else {
		a.printReport(doc, expected)
	}

	switch doc.Verdict {
	case verify.Refused:
		return fmt.Errorf("verify: %d of %s %w", bad, count(len(doc.Files), "file"), errRefused)
	case verify.Undetermined:
		return fmt.Errorf("verify: %d of %s could not be determined", bad, count(len(doc.Files), "file"))
	}
	return nil
}

// verifySubjects returns the subjects that args name, with packages of npm fetched. The function
// removes what was fetched.
func (a *app) verifySubjects(ctx context.Context, args []string) (subjects []verify.Subject, clean func(), err error) {
	clean = func() {}
	dir := ""
	for i, arg := range args {
		spec, ok := strings.CutPrefix(arg, "npm:")
		if !ok {
			subjects = append(subjects, verify.Subject{Name: arg, Path: a.inDir(arg)})
			continue
		}

		if dir == "" {
			if dir, err = os.MkdirTemp("", "twice-verify-"); err != nil {
				return nil, clean, err
			}
			clean = func() { os.RemoveAll(dir) }
		}
		to := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(to, 0o700); err != nil {
			return nil, clean, err
		}
		p, err := subject.FetchNPM(ctx, a.npm(), a.registry(false), to, spec)
		switch {
		case context.Cause(ctx) != nil:
			return nil, clean, context.Cause(ctx)
		case fault.KindOf(err) == fault.KindUsage:
			return nil, clean, fmt.Errorf("%s: %w", arg, err)
		case err != nil: // the others get a verdict all the same
			subjects = append(subjects, verify.Subject{Name: arg, Err: err})
			continue
		}
		subjects = append(subjects, verify.Subject{
			Name: arg, Path: p.File, Package: &verify.Package{PURL: purl.NPM(p.Name, p.Version), Attestations: p.Attestations},
		})
	}
	return subjects, clean, nil
}
