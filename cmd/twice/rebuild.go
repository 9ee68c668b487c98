package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/rebuild"
	"github.com/twicebuild/twice/pipeline/rebuild/gotree"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/subject"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// rebuildFlags are what the user adds to what files say.
type rebuildFlags struct {
	main, source, ldflags string
	timeout               time.Duration
	platforms             []string
	insecure              bool
	bootstrap             string
	only                  []string
	goOnly                bool
	trust                 trustFlags // whose provenance counts
}

func (a *app) rebuildCmd() *cobra.Command {
	var flags rebuildFlags
	var attesting attestFlags
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

With --attest it signs a statement of each result, for twice verify --policy and
cosign, beside which nothing of the publisher is needed; a result without an answer
gives none. The key's passphrase comes from --passphrase-file, from TWICE_PASSPHRASE
or COSIGN_PASSWORD in the environment, or from the terminal.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.Usage(errors.New("name a file, an archive, a URL, a package or an image to rebuild"))
			}
			var ldflags *string
			if c.Flags().Changed("ldflags") {
				ldflags = &flags.ldflags
			}
			if err := attesting.checkFlags(c); err != nil {
				return err
			}
			if flags.bootstrap != "" && !c.Flags().Changed("timeout") {
				flags.timeout = bootstrapTime
			}
			return a.rebuild(c.Context(), args, flags, attesting, ldflags)
		},
	}
	c.Flags().StringVar(&flags.main, "main", "", "the version of the main module, `PATH@VERSION`, of a binary that does not say it")
	c.Flags().StringVar(&flags.source, "source", "", "take the source from the commit of the git repository in `DIR`")
	c.Flags().StringVar(&flags.ldflags, "ldflags", "", "the linker's `FLAGS`, which are not recorded with -trimpath, instead of finding them out")
	c.Flags().DurationVar(&flags.timeout, "timeout", 30*time.Minute, "the time for each file or toolchain, which is 4h with --bootstrap")
	c.Flags().StringVar(&flags.bootstrap, "bootstrap", "", "build a toolchain by way of an older `RELEASE`, such as go1.24.6, and compare all of it")
	c.Flags().StringArrayVar(&flags.only, "only", nil, "only the files in the subject, or the tools of a toolchain, whose path matches `GLOB`, such as bin/gofmt (may be repeated)")
	c.Flags().BoolVar(&flags.goOnly, "go", false, "only the Go programs in the subject")
	c.Flags().StringArrayVar(&flags.platforms, "platform", nil, "of an image only `PLATFORM`, such as linux/arm64 (may be repeated; default: all of linux)")
	insecureFlag(c, &flags.insecure)
	flags.trust.addForProvenance(c)
	attesting.add(c)
	c.Flags().StringVar(&a.cache, "cache", "", "the `DIR` for toolchains and workspaces (default: twice in the user's cache folder)")
	return c
}

func (a *app) rebuild(ctx context.Context, args []string, flags rebuildFlags, attesting attestFlags, ldflags *string) (err error) {
	cfg, err := a.rebuildConfig(flags, ldflags)
	if err != nil {
		return err
	}
	files, toolchains, err := splitToolchains(args, flags, ldflags)
	if err != nil {
		return err
	}
	attester, err := a.attester(ctx, attesting) // before anything is built
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
	if err := attester.free(subjects); err != nil {
		return err
	}
	for n, s := range subjects.list {
		cfg.Many = cfg.Many || n > 0 && s.beside == nil
	}
	r, err := rebuild.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var results []result
	for _, s := range subjects.list {
		res := s.beside
		if res == nil {
			if res, err = r.File(ctx, s.Subject); err != nil {
				return err
			}
		}
		results = append(results, result{s.origin, res})
	}
	var notes []string
	for _, t := range toolchains {
		list, about, err := r.Toolchain(ctx, t, gotree.Options{Bootstrap: flags.bootstrap, Only: flags.only})
		if err != nil {
			return err
		}
		for _, res := range list {
			results = append(results, result{origin{name: path.Base(res.Name)}, res})
		}
		notes = append(notes, about...)
	}
	unsigned := attester.attest(ctx, results) // does not change what was found
	a.progress.Close()                        // stdout may be the same terminal
	var all []*verdict.Result
	for _, res := range results {
		all = append(all, res.Result)
	}
	doc := verdict.NewDocument(all...)
	doc.Notes, doc.Subjects, doc.Verbose = notes, subjects.contents, a.verbose
	if a.json {
		err = printJSON(a.document(), doc)
	} else {
		err = doc.Fprint(a.stdout)
	}
	if err != nil {
		return err
	}
	return errors.Join(rebuildError(doc), unsigned)
}

// bootstrapTime is the time for a toolchain by way of others: each of them takes a
// quarter of an hour on a fast machine.
const bootstrapTime = 4 * time.Hour

// splitToolchains takes the toolchains out of what the user named.
func splitToolchains(args []string, flags rebuildFlags, ldflags *string) (files []string, toolchains []gotree.Toolchain, err error) {
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
	switch {
	case len(toolchains) == 0 && flags.bootstrap != "":
		return nil, nil, fault.Usage(errors.New("--bootstrap is for toolchains, such as toolchain:go1.26.8"))
	case len(toolchains) > 0 && len(files) > 0 && len(flags.only) > 0:
		return nil, nil, fault.Usage(errors.New("--only does not say whether it is about the toolchain or about the other subjects: name them in two commands"))
	case len(files) == 0 && flags.goOnly:
		return nil, nil, fault.Usage(errors.New("--go says nothing about a toolchain"))
	case len(files) == 0 && (flags.main != "" || flags.source != "" || ldflags != nil):
		return nil, nil, fault.Usage(errors.New("--main, --source and --ldflags say nothing about a toolchain"))
	}
	return files, toolchains, nil
}

// A candidate is to be rebuilt, unless beside is the result already, and a result is
// what came of that.
type (
	candidate struct {
		rebuild.Subject
		origin
		beside *verdict.Result
	}
	result struct {
		origin
		*verdict.Result
	}
)

// found are the binaries in what the user named.
type found struct {
	list     []candidate
	opened   []*subject.Subject
	contents []verdict.Contents
	choice   choice
	failed   bool // something could not be opened
}

// choice is which files in subjects the user asks about: all, or those that one of
// the patterns matches.
type choice struct {
	globs   []string
	matched []bool
	goOnly  bool
}

func newChoice(flags rebuildFlags) (choice, error) {
	for _, g := range flags.only {
		if _, err := path.Match(g, ""); err != nil {
			return choice{}, fault.Usage(fmt.Errorf("--only %q: %w", g, err))
		}
	}
	return choice{flags.only, make([]bool, len(flags.only)), flags.goOnly}, nil
}

// takes reports whether the user asks about a file, whose path in the subject has
// slashes.
func (c *choice) takes(name string, isGo bool) bool {
	found := len(c.globs) == 0
	for i, g := range c.globs {
		if ok, _ := path.Match(g, name); ok {
			found, c.matched[i] = true, true
		}
	}
	return found && (isGo || !c.goOnly)
}

// unmatched returns an error about a pattern that matches nothing.
func (c *choice) unmatched() error {
	if i := slices.Index(c.matched, false); i >= 0 {
		return fault.Usage(fmt.Errorf("--only %q: matches the path of no executable in what you named", c.globs[i]))
	}
	return nil
}

// inside returns the path of a file in the subject: of a slice that of the universal
// file, and of what is in nothing its name.
func inside(name string, containers []subject.Container) string {
	if n := len(containers); n > 0 && containers[n-1].Kind == subject.Universal {
		name, containers = containers[n-1].Name, containers[:n-1]
	}
	name = filepath.ToSlash(name)
	if len(containers) == 0 {
		return path.Base(name)
	}
	return name
}

// unreadable adds what cannot be opened, or holds no binary, under its name.
func (f *found) unreadable(arg string, open func() (io.ReadCloser, error)) {
	f.list = append(f.list, candidate{rebuild.Subject{Name: arg, Open: open}, origin{name: filepath.Base(arg)}, nil})
	f.failed = true
}

// notOpened adds what is no subject. A file that is damaged, or that exceeds a limit,
// has that for a reason, and one that is of no kind that is known says itself why.
func (a *app) notOpened(f *found, arg string, err error) {
	file, _, ferr := fsx.OpenNamed(a.at(arg))
	switch {
	case ferr != nil:
		f.unreadable(arg, func() (io.ReadCloser, error) { return nil, err })
	case errors.Is(err, subject.ErrUnknown) || errors.Is(err, subject.ErrNoExecutables):
		f.unreadable(arg, func() (io.ReadCloser, error) { return file, nil })
	default:
		file.Close()
		f.list = append(f.list, candidate{rebuild.Subject{Name: arg}, origin{name: filepath.Base(arg)}, verdict.Unexamined(arg, err.Error())})
		f.failed = true
	}
}

func (f *found) close() error {
	var errs []error
	for _, s := range f.opened {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// subjects finds the Go binaries in what args name. What cannot be read becomes a
// subject that cannot be opened, so that it does not keep the others from a
// verdict. What has to be fetched or unpacked goes to dir.
func (a *app) subjects(ctx context.Context, dir string, args []string, flags rebuildFlags) (*found, error) {
	cfg := subject.Config{Dir: dir, WorkDir: a.dir, Registry: a.registry(flags.insecure), NPM: a.npm()}
	for _, p := range flags.platforms {
		parsed, err := platform.Parse(p)
		if err != nil {
			return nil, fault.Usage(fmt.Errorf("--platform: %w", err))
		}
		cfg.Platforms = append(cfg.Platforms, parsed)
	}
	chosen, err := newChoice(flags)
	if err != nil {
		return nil, err
	}
	said, err := a.provenanceReader(ctx, flags.trust)
	if err != nil {
		return nil, err
	}
	f := &found{choice: chosen}
	for _, arg := range args {
		a.progress.Stage("reading " + clean(arg))
		var names []string
		bundle := false
		if strings.HasSuffix(arg, distfiles.BundleSuffix) {
			names, bundle, err = said.SubjectsOf(ctx, a.at(arg))
		}
		if err != nil {
			f.unreadable(arg, func() (io.ReadCloser, error) { return nil, err })
			continue
		}
		if !bundle {
			names = []string{arg}
		}
		before := len(f.list)
		for _, name := range names {
			s, err := subject.Open(ctx, name, cfg)
			if cause := context.Cause(ctx); cause != nil {
				return nil, errors.Join(cause, f.close())
			}
			if err != nil && bundle { // it is about other things than binaries, too
				a.progress.Line("passed over: %s", clean(err.Error()))
				continue
			}
			if fault.KindOf(err) == fault.KindUsage && len(args) == 1 { // no other waits for a verdict
				return nil, errors.Join(err, f.close())
			}
			if err != nil {
				a.notOpened(f, arg, err)
				continue
			}
			f.opened = append(f.opened, s)
			f.add(s, said, said.Near(a.at(name)), before, bundle)
		}
		if bundle && len(f.list) == before {
			f.unreadable(arg, func() (io.ReadCloser, error) {
				return nil, errors.New("nothing that it is about is an executable")
			})
		}
	}
	// Of toolchains alone --only names tools, which are not looked for here.
	if err := f.choice.unmatched(); err != nil && !f.failed && len(args) > 0 { // else who knows
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// add adds the executables of s. With once, one that is among the list from there
// on is not added again.
func (f *found) add(s *subject.Subject, said *verify.ProvenanceReader, bundles []verify.LoadedBundle, from int, once bool) {
	in := verdict.Contents{Name: s.Ref, Scripts: s.Scripts, Archives: s.Archives, Unknown: s.Unknown, Links: s.Links, Unreadable: len(s.Skipped)}
	before := len(f.list)
	var beside []candidate // what is not built
	for _, e := range s.Executables {
		if e.Go {
			in.Go++
		} else {
			in.Others++
		}
		again := once && slices.ContainsFunc(f.list[from:], func(o candidate) bool { return o.Digest == e.Digest })
		if !f.choice.takes(inside(e.Name, e.Containers), e.Go) {
			in.NotAsked++
			continue
		}
		if again {
			continue
		}
		r := rebuild.Subject{Name: e.String(), Digest: e.Digest, Hints: hints(e.Versions), Open: func() (io.ReadCloser, error) { return e.Open() }}
		if !e.Go {
			beside = append(beside, candidate{r, originOf(s, e), verdict.NoGo(r.Name, e.Digest, e.Size)})
			continue
		}
		from := originOf(s, e)
		from.inputs = addProvenance(&r, &e, said, bundles)
		f.list = append(f.list, candidate{r, from, nil})
	}
	noGo := len(beside)
	for _, skipped := range s.Skipped {
		if !skipped.Whole && !f.choice.takes(inside(skipped.Name, skipped.Containers), false) {
			in.NotAsked++
			continue
		}
		name := skipped.File()
		beside = append(beside, candidate{rebuild.Subject{Name: name}, origin{name: path.Base(name)}, verdict.Unexamined(name, skipped.Reason)})
	}

	// An image is a whole system, of which nobody reads a row for each file.
	if len(beside) > 0 && (s.Kind == subject.Image || len(beside) > maxBesideRows) {
		var names []string
		for _, c := range beside {
			names = append(names, c.Name)
		}
		beside = []candidate{{rebuild.Subject{Name: s.Ref}, origin{name: path.Base(s.Ref)}, verdict.Beside(s.Ref, names, noGo, len(names)-noGo)}}
	}
	if in.Go > 0 {
		for _, c := range beside {
			if slices.ContainsFunc(s.Skipped, func(s subject.Skipped) bool { return s.Whole && s.File() == c.Name }) {
				c.beside.Reason.Remedy = "unpack it, and name the folder with what came out"
				continue
			}
			c.beside.Reason.Remedy = "say which files matter with --only GLOB, or --go for the Go programs alone"
		}
	}
	f.list = append(f.list, beside...)
	if len(f.list) == before && !once {
		f.list = append(f.list, candidate{rebuild.Subject{Name: s.Ref}, origin{name: path.Base(s.Ref)}, verdict.NothingAsked(s.Ref)})
	}
	f.contents = append(f.contents, in)
}

// maxBesideRows is how many files without Go have a row each.
const maxBesideRows = 16

// hints are the versions that are around a file.
func hints(versions []subject.Version) []rebuild.Hint {
	var list []rebuild.Hint
	for _, v := range versions {
		list = append(list, rebuild.Hint{Version: v.Version, From: v.From})
	}
	return list
}

// npm is the npm client, if there is one.
func (a *app) npm() subject.NPM {
	path, err := find("npm", absolute(filepath.SplitList(environment(a.env)["PATH"])))
	if err != nil {
		return subject.NPM{}
	}
	return subject.NPM{Path: path, Env: a.env}
}

// rebuildConfig turns flags and the environment into what package rebuild takes.
func (a *app) rebuildConfig(flags rebuildFlags, ldflags *string) (rebuild.Config, error) {
	h, err := a.host()
	if err != nil {
		return rebuild.Config{}, err
	}
	cfg := rebuild.Config{
		Host: h, Timeout: flags.timeout, Stage: a.progress.Stage,
		Options: rebuild.Options{Main: flags.main, LDFlags: ldflags},
	}
	if flags.timeout <= 0 {
		return cfg, fault.Usage(fmt.Errorf("--timeout %s: want a time", flags.timeout))
	}
	if flags.source != "" {
		if cfg.SourceDir, err = filepath.Abs(a.at(flags.source)); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// errUndetermined is returned when there is no answer.
var errUndetermined = errors.New("no verdict")

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

// errRebuildDiffers is returned when a file is not what its source compiles to.
var errRebuildDiffers = fmt.Errorf("not what the source compiles to (%w)", errRefused)
