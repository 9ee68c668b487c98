package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/rebuild"
	"github.com/twicebuild/twice/pipeline/rebuild/gotree"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// The errors that stand for a verdict which is no pass.
var (
	// errRebuildDiffers says that a file is not what its source compiles to.
	errRebuildDiffers = fmt.Errorf("not what the source compiles to (%w)", errRefused)
	// errUndetermined says that there is no answer.
	errUndetermined = errors.New("no verdict")
)

// rebuildFlags are what the user adds to what files say.
type rebuildFlags struct {
	main, source string
	ldflags      *string // nil if it was not given: an empty one says that there were none
	timeout      time.Duration
	platforms    []string
	insecure     bool
	bootstrap    string
	only         []string
	goOnly       bool
	trust        trustFlags // whose provenance counts
	jsonLines    bool
}

func (a *app) rebuildCmd() *cobra.Command {
	var flags rebuildFlags
	var attesting attestFlags
	var ldflags string
	c := &cobra.Command{
		Use:   "rebuild SUBJECT...",
		Short: "Rebuild published Go binaries from their public source, and compare",
		Long: `A subject is a file, an archive (tar, zip, deb, apk), a folder, dist or a
release.json of twice, an https:// URL, npm:NAME@VERSION, an image in a registry, or
a *.sigstore.json with provenance, which stands for the files beside it that it is
about. Every native executable in it counts, and so does every slice of a universal
one: there is no answer about one without Go, nor about all of the subject then,
unless --only or --go say which files matter. Scripts, other files that may be
executed and links out of it are counted.
toolchain:VERSION[/GOOS-GOARCH] is a published Go toolchain, whose tools are built
from its own source.

Rebuild works out how each binary was made, builds it anew from what the checksum
database vouches for, and compares. Nothing that a binary says is believed: it
chooses the recipe, and the bytes decide whether it was the right one. The build
is confined and has no network. Where a binary does not say its version, those that
are around it (of the package, the image, the archive) are tried as guesses; a
wrong guess says nothing about the binary.

Provenance beside a file tells what the file hides, such as the linker's flags.
With --trust-key or --certificate-identity only provenance counts that is signed so.

What the publisher chose and the source does not force, such as -X, -tags and
-gcflags, is listed as claimed; a policy of twice verify bounds it.

It exits with 0 if everything was reproduced (or is equivalent after a named
normalization, such as removing a code signature), with 1 if something differs, and
with 3 if there is no answer, for which it gives the reason. A file is said to differ
only if the source that was built is the one that it names and a published toolchain
made it.

Each result is printed as soon as it is there, with --json-lines as a line of JSON, and
the last line is about all of them. An interrupt keeps what is finished, and says what
is not. With --json, and with --attest, all results are printed at the end.

With --attest it signs a statement of each result, for twice verify --policy and
cosign, beside which nothing of the publisher is needed; a result without an answer
gives none. The key's passphrase comes from --passphrase-file, from TWICE_PASSPHRASE
or COSIGN_PASSWORD in the environment, or from the terminal.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.Usage(errors.New("name a file, an archive, a URL, a package or an image to rebuild"))
			}
			if err := attesting.checkFlags(c); err != nil {
				return err
			}

			if flags.jsonLines && a.json {
				return fault.Usage(errors.New("--json and --json-lines exclude each other"))
			}
			a.json = a.json || flags.jsonLines // a failure is a document, too

			if c.Flags().Changed("ldflags") {
				flags.ldflags = &ldflags
			}
			if flags.bootstrap != "" && !c.Flags().Changed("timeout") {
				flags.timeout = bootstrapTime
			}
			return a.rebuild(c.Context(), args, flags, attesting)
		},
	}

	c.Flags().StringVar(&flags.main, "main", "", "the version of the main module, `PATH@VERSION`, of a binary that does not say it")
	c.Flags().StringVar(&flags.source, "source", "", "take the source from the commit of the git repository in `DIR`")
	c.Flags().StringVar(&ldflags, "ldflags", "", "the linker's `FLAGS`, which are not recorded with -trimpath, instead of finding them out")
	c.Flags().DurationVar(&flags.timeout, "timeout", 30*time.Minute, "the time for each file or toolchain, which is 4h with --bootstrap")
	c.Flags().StringVar(&flags.bootstrap, "bootstrap", "", "build a toolchain by way of an older `RELEASE`, such as go1.24.6, and compare all of it")
	c.Flags().StringArrayVar(&flags.only, "only", nil, "only the files in the subject, or the tools of a toolchain, whose path matches `GLOB`, such as bin/gofmt (may be repeated)")
	c.Flags().BoolVar(&flags.goOnly, "go", false, "only the Go programs in the subject, and what cannot be read and may be one")
	c.Flags().StringArrayVar(&flags.platforms, "platform", nil, "of an image only `PLATFORM`, such as linux/arm64 (may be repeated; default: all of linux)")
	insecureFlag(c, &flags.insecure)
	c.Flags().BoolVar(&flags.jsonLines, "json-lines", false, "print a line of JSON for each result, as soon as it is there")

	flags.trust.addForProvenance(c)
	attesting.add(c)
	c.Flags().StringVar(&a.cache, "cache", "", "the `DIR` for toolchains and workspaces (default: twice in the user's cache folder)")
	return c
}

// rebuild finds the binaries in what args name, rebuilds them, signs what came of it if
// that was asked for, and prints it.
func (a *app) rebuild(ctx context.Context, args []string, flags rebuildFlags, attesting attestFlags) (err error) {
	cfg, err := a.rebuildConfig(flags)
	if err != nil {
		return err
	}
	files, toolchains, err := splitToolchains(args, flags)
	if err != nil {
		return err
	}

	// A key that cannot be used, or a statement that is there, is told before anything is built.
	attester, err := a.attester(ctx, attesting)
	if err != nil {
		return err
	}

	spool, err := workspace.New(ctx, filepath.Join(cfg.Cache, "subjects"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()

	subjects, err := a.subjects(ctx, spool.Dir, files, flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, subjects.close()) }()

	if err := attester.refuseOverwriting(subjects); err != nil {
		return err
	}

	for n, s := range subjects.list {
		cfg.Many = cfg.Many || n > 0 && s.withoutBuild == nil
	}
	r, err := rebuild.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()

	// A signature goes into the result that is printed, so that of signed ones none comes early.
	out := &resultPrinter{app: a, lines: flags.jsonLines, early: attester == nil && (flags.jsonLines || !a.json)}
	results, stopped := rebuildFiles(ctx, r, subjects.list, out.print)
	tools, notes, err := rebuildToolchains(ctx, r, toolchains, flags, out.print)
	results, stopped = append(results, tools...), cmp.Or(stopped, err)

	// What was found is printed also if it cannot be signed.
	var unsigned error
	if stopped == nil {
		unsigned = attester.attest(ctx, results)
	}

	a.progress.Close() // stdout may be the same terminal
	doc := newRebuildDoc(results)
	doc.Notes, doc.Subjects, doc.Verbose = notes, subjects.contents, a.verbose
	if err := out.end(doc); err != nil || stopped != nil {
		return cmp.Or(stopped, err)
	}

	return errors.Join(rebuildError(doc), unsigned)
}

// rebuildFiles returns the result on each of the files, and has each printed. If ctx ends first, the
// error is why, and the files that are left have a result that says so.
func rebuildFiles(ctx context.Context, r *rebuild.Rebuilder, files []candidate, print func(*verdict.Result) error) ([]result, error) {
	var results []result
	for i, f := range files {
		res := f.withoutBuild
		if res == nil {
			var err error
			if res, err = r.File(ctx, f.Subject); err != nil {
				return append(results, notJudged(files[i:])...), err
			}
		}
		results = append(results, result{f.origin, res})
		if err := print(res); err != nil {
			return append(results, notJudged(files[i+1:])...), err
		}
	}
	return results, nil
}

// notJudged returns the results on files that there was no time for.
func notJudged(files []candidate) []result {
	var results []result
	for _, f := range files {
		results = append(results, result{f.origin, cmp.Or(f.withoutBuild, verdict.NotJudged(f.Name, f.Digest))})
	}
	return results
}

// rebuildToolchains returns the results on the files of each toolchain, and notes on the
// toolchains themselves. It has each result printed. If ctx ends first, the error is why, and the
// toolchains that are left have a result that says so.
func rebuildToolchains(ctx context.Context, r *rebuild.Rebuilder, toolchains []gotree.Toolchain, flags rebuildFlags, print func(*verdict.Result) error) (results []result, notes []string, err error) {
	for _, t := range toolchains {
		var list []*verdict.Result
		var about []string
		if err = cmp.Or(err, context.Cause(ctx)); err == nil {
			list, about, err = r.Toolchain(ctx, t, gotree.Options{Bootstrap: flags.bootstrap, Only: flags.only})
		}
		if err != nil {
			results = append(results, result{origin{name: t.String()}, verdict.NotJudged("toolchain:"+t.String(), "")})
			continue
		}
		for _, res := range list {
			results = append(results, result{origin{name: path.Base(res.Name)}, res})
			err = cmp.Or(err, print(res))
		}
		notes = append(notes, about...)
	}
	return results, notes, err
}

// newRebuildDoc returns the document on all results.
func newRebuildDoc(results []result) verdict.Document {
	var list []*verdict.Result
	for _, res := range results {
		list = append(list, res.Result)
	}
	return verdict.NewDocument(list...)
}

// bootstrapTime is the time for a toolchain that is built by way of older releases. Each of
// them takes a quarter of an hour on a fast machine.
const bootstrapTime = 4 * time.Hour

// splitToolchains takes the toolchains out of what the user named.
func splitToolchains(args []string, flags rebuildFlags) (files []string, toolchains []gotree.Toolchain, err error) {
	for _, arg := range args {
		name, ok := strings.CutPrefix(arg, "toolchain:")
		if !ok {
			files = append(files, arg)
			continue
		}
		t, err := gotree.Parse(name, runtime.GOOS, runtime.GOARCH)
		if err != nil {
			return nil, nil, fault.Usage(fmt.Errorf("toolchain: %w", err))
		}
		toolchains = append(toolchains, t)
	}

	// A flag that would have no effect is refused: the user would take it for obeyed.
	switch {
	case len(toolchains) == 0 && flags.bootstrap != "":
		return nil, nil, fault.Usage(errors.New("--bootstrap is for toolchains, such as toolchain:go1.26.8"))
	case len(toolchains) > 0 && len(files) > 0 && len(flags.only) > 0:
		return nil, nil, fault.Usage(errors.New("--only does not say whether it is about the toolchain or about the other subjects: name them in two commands"))
	case len(files) == 0 && flags.goOnly:
		return nil, nil, fault.Usage(errors.New("--go says nothing about a toolchain"))
	case len(files) == 0 && (flags.main != "" || flags.source != "" || flags.ldflags != nil):
		return nil, nil, fault.Usage(errors.New("--main, --source and --ldflags say nothing about a toolchain"))
	}

	return files, toolchains, nil
}

// rebuildConfig turns flags and the environment into what package rebuild takes.
func (a *app) rebuildConfig(flags rebuildFlags) (rebuild.Config, error) {
	h, err := a.host()
	if err != nil {
		return rebuild.Config{}, err
	}
	cfg := rebuild.Config{
		Host: h, Timeout: flags.timeout, Stage: a.progress.Stage,
		Options: rebuild.Options{Main: flags.main, LDFlags: flags.ldflags},
	}

	if flags.timeout <= 0 {
		return cfg, fault.Usage(fmt.Errorf("--timeout %s: want a time", flags.timeout))
	}
	if flags.source != "" {
		if cfg.SourceDir, err = filepath.Abs(a.inDir(flags.source)); err != nil {
			return cfg, err
		}
	}

	return cfg, nil
}

// rebuildError is the error that stands for a document's verdict.
func rebuildError(d verdict.Document) error {
	n := 0
	for _, f := range d.Files {
		if f.Verdict == d.Verdict {
			n++
		}
	}

	switch d.Verdict {
	case compare.Reproduced, compare.Equivalent:
		return nil
	case compare.Differs:
		return fmt.Errorf("%s: %w", count(n, "file"), errRebuildDiffers)
	}
	return fmt.Errorf("%s: %w", count(n, "file"), errUndetermined)
}
