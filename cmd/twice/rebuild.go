package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/rebuild"
	"github.com/twicebuild/twice/pipeline/subject"
)

// rebuildFlags are what the user adds to what files say.
type rebuildFlags struct {
	main, source, ldflags string
	timeout               time.Duration
	platforms             []string
	insecure              bool
}

func (a *app) rebuildCmd() *cobra.Command {
	var flags rebuildFlags
	var attesting attestFlags
	c := &cobra.Command{
		Use:   "rebuild SUBJECT...",
		Short: "Rebuild published Go binaries from their public source, and compare",
		Long: `A subject is a file, an archive (tar, zip, deb, apk), a folder, dist or a
release.json of twice, an https:// URL, npm:NAME@VERSION, or an image in a
registry; every Go binary in it counts. Rebuild works out how each binary was made, builds it anew from what the checksum
database vouches for, and compares. Nothing that a binary says is believed: it
chooses the recipe, and the bytes decide whether it was the right one. The build
is confined and has no network.

It exits with 0 if everything was reproduced (or is equivalent after a named
normalization, such as removing a code signature), with 1 if something differs, and
with 3 if there is no answer, for which it gives the reason.

With --attest it signs a statement of each result, for twice verify --policy and
cosign, beside which nothing of the publisher is needed; a result without an answer
gives none. The key's passphrase comes from --passphrase-file, from TWICE_PASSPHRASE
or COSIGN_PASSWORD in the environment, or from the terminal.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name a file, an archive, a URL, a package or an image to rebuild")}
			}
			var ldflags *string
			if c.Flags().Changed("ldflags") {
				ldflags = &flags.ldflags
			}
			if err := attesting.check(c); err != nil {
				return err
			}
			return a.rebuild(c.Context(), args, flags, attesting, ldflags)
		},
	}
	c.Flags().StringVar(&flags.main, "main", "", "the version of the main module, `PATH@VERSION`, of a binary that does not say it")
	c.Flags().StringVar(&flags.source, "source", "", "take the source from the commit of the git repository in `DIR`")
	c.Flags().StringVar(&flags.ldflags, "ldflags", "", "the linker's `FLAGS`, which are not recorded with -trimpath, instead of finding them out")
	c.Flags().DurationVar(&flags.timeout, "timeout", 30*time.Minute, "the time for each file")
	c.Flags().StringArrayVar(&flags.platforms, "platform", nil, "of an image only `PLATFORM`, such as linux/arm64 (may be repeated; default: all of linux)")
	insecureFlag(c, &flags.insecure)
	attesting.add(c)
	c.Flags().StringVar(&a.cache, "cache", "", "the `DIR` for toolchains and workspaces (default: twice in the user's cache folder)")
	return c
}

func (a *app) rebuild(ctx context.Context, files []string, flags rebuildFlags, attesting attestFlags, ldflags *string) (err error) {
	cfg, err := a.rebuildConfig(flags, ldflags)
	if err != nil {
		return err
	}
	attester, err := a.attester(ctx, attesting) // before anything is built
	if err != nil {
		return err
	}
	subjects, err := a.subjects(ctx, cfg.Cache, files, flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, subjects.close()) }()
	if err := attester.free(subjects); err != nil {
		return err
	}
	cfg.Many = len(subjects.list) > 1
	r, err := rebuild.Open(ctx, cfg)
	if option := (*rebuild.OptionError)(nil); errors.As(err, &option) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var results []*rebuild.Result
	for _, s := range subjects.list {
		res, err := r.File(ctx, s)
		if err != nil {
			return err
		}
		results = append(results, res)
	}
	unsigned := attester.attest(ctx, subjects, results) // does not change what was found
	a.progress.Close()                                  // stdout may be the same terminal
	doc := rebuild.NewDocument(results...)
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

// found are the binaries in what the user named.
type found struct {
	list   []rebuild.Subject
	opened []*subject.Subject
	// origins are where those of list come from.
	origins []origin
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
// verdict.
func (a *app) subjects(ctx context.Context, cache string, args []string, flags rebuildFlags) (*found, error) {
	env := environment(a.env)
	cfg := subject.Config{Dir: filepath.Join(cache, "subjects"), WorkDir: a.dir, Registry: a.registry(flags.insecure)}
	for _, p := range flags.platforms {
		platform, err := matrix.ParsePlatform(p)
		if err != nil {
			return nil, usageError{fmt.Errorf("--platform: %w", err)}
		}
		cfg.Platforms = append(cfg.Platforms, platform)
	}
	if npm, err := find("npm", absolute(filepath.SplitList(env["PATH"]))); err == nil {
		cfg.NPM = subject.NPM{Path: npm, Env: a.env}
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	f := &found{}
	for _, arg := range args {
		a.progress.Stage("reading " + clean(arg))
		s, err := subject.Open(ctx, arg, cfg)
		if cause := context.Cause(ctx); cause != nil {
			return nil, errors.Join(cause, f.close())
		}
		if err != nil {
			f.origins = append(f.origins, origin{name: filepath.Base(arg)})
			f.list = append(f.list, rebuild.Subject{Name: arg, Open: func() (io.ReadCloser, error) {
				if file, ferr := openRegular(a.at(arg)); ferr == nil {
					return file, nil // which is no archive, or an empty one: its bytes say why
				}
				return nil, err
			}})
			continue
		}
		f.opened = append(f.opened, s)
		for _, skipped := range s.Skipped {
			a.progress.Line("passed over: %s", skipped.String())
		}
		goes := slices.ContainsFunc(s.Executables, func(e subject.Executable) bool { return e.Go })
		for _, e := range s.Executables {
			if e.Go || !goes {
				f.origins = append(f.origins, originOf(s, e))
				f.list = append(f.list, rebuild.Subject{Name: e.String(), Digest: e.Digest, Open: func() (io.ReadCloser, error) { return e.Open() }})
			}
		}
	}
	return f, nil
}

// rebuildConfig turns flags and the environment into what package rebuild takes.
func (a *app) rebuildConfig(flags rebuildFlags, ldflags *string) (rebuild.Config, error) {
	env := environment(a.env)
	path := absolute(filepath.SplitList(env["PATH"]))
	cfg := rebuild.Config{
		Env: a.env, Path: path, HostEnv: hostEnv(env),
		HostOS: runtime.GOOS, HostArch: runtime.GOARCH, CPUs: runtime.NumCPU(), Memory: memory(),
		Timeout: flags.timeout, Now: a.now, Stage: a.progress.Stage,
		Options: rebuild.Options{Main: flags.main, LDFlags: ldflags},
	}
	if flags.timeout <= 0 {
		return cfg, usageError{fmt.Errorf("--timeout %s: want a time", flags.timeout)}
	}
	var err error
	if cfg.Cache, err = a.cacheDir(); err != nil {
		return cfg, err
	}
	if flags.source != "" {
		if cfg.SourceDir, err = filepath.Abs(a.at(flags.source)); err != nil {
			return cfg, err
		}
	}
	cfg.Go, _ = find("go", path) // their absence is explained by who needs them
	cfg.Git, _ = find("git", path)
	return cfg, nil
}

// errUndetermined is returned when there is no answer.
var errUndetermined = errors.New("no verdict")

// rebuildError is the error that stands for a document's verdict.
func rebuildError(d rebuild.Document) error {
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
