package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/gotree"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/toolchain"
)

// Config is what a Rebuilder may use. It takes nothing else from outside.
type Config struct {
	// Host is this machine and its user. Git is needed only with
	// Options.SourceDir. Memory is a soft limit of a build's.
	host.Host
	// Timeout bounds the work on one file. 0 means 30 minutes. MaxDisk bounds the bytes
	// that this work writes. 0 means 16 GiB.
	Timeout time.Duration
	MaxDisk int64
	// Many reports that several files are to come. For files with the same toolchain and
	// target, the standard library is compiled once, and for files of one source that follow each
	// other everything that they have in common.
	Many bool
	// Stage is called with the name of each step that begins, for people. It may be nil.
	Stage func(what string)
	Options
}

// Options are what the user knows, where the files do not say it.
type Options struct {
	// Main is "path@version": the version of the main module.
	Main string
	// SourceDir is a folder in a clean git repository, whose commit is the source.
	SourceDir string
	// LDFlags are the linker's arguments, as the value of -ldflags. They pass the same
	// allow-list as those in a file. If it is nil, the arguments are recovered.
	LDFlags *string
}

// Subject is a file to be judged.
type Subject struct {
	// Name is what people call it.
	Name string
	// Digest is what the file must have, or empty.
	Digest artifact.Digest
	// Hints are versions that were found around the file, the more telling first. They
	// are a stranger's words. At most 32 are looked at.
	Hints []Hint
	// Stated is a recipe that the file was made by, as somebody says, or nil.
	Stated *Stated
	// Open opens the file. It is called once.
	Open func() (io.ReadCloser, error)
}

// Rebuilder judges files. Its methods are not to be called concurrently.
type Rebuilder struct {
	*sandbox.Sandbox
	options Options
	// many reports that several files are to come.
	many    bool
	ldflags []string
	// toolchains are those that were proved in this run, by version.
	toolchains map[string]toolchain.Toolchain
	standards  map[string]*standard
	// left is what the file before left in its cache, or nil.
	left *compiled
}

// Open prepares what all files share. The caller must Close the Rebuilder.
func Open(ctx context.Context, cfg Config) (*Rebuilder, error) {
	r := &Rebuilder{options: cfg.Options, many: cfg.Many, toolchains: map[string]toolchain.Toolchain{}, standards: map[string]*standard{}}
	if cfg.Main != "" {
		modPath, version, _ := strings.Cut(cfg.Main, "@")
		if err := module.Check(modPath, version); err != nil || module.CanonicalVersion(version) != version {
			return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("main module %q: want path@version", cfg.Main)), "write it as github.com/owner/project@v1.2.3")
		}
		if cfg.SourceDir != "" {
			return nil, fault.Usage(errors.New("a main module and a folder with the source exclude each other"))
		}
	}

	var err error
	if cfg.LDFlags != nil {
		if r.ldflags, err = linkerFlags(*cfg.LDFlags); err != nil {
			return nil, fault.Usage(fmt.Errorf("linker flags: %w", err))
		}
	}

	r.Sandbox, err = sandbox.Open(ctx, sandbox.Config{Host: cfg.Host, Timeout: cfg.Timeout, MaxDisk: cfg.MaxDisk, Stage: cfg.Stage})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close removes the workspace.
func (r *Rebuilder) Close() error {
	var errs []error
	for _, s := range r.standards {
		if s.session != nil {
			errs = append(errs, s.session.Close())
		}
	}
	return errors.Join(append(errs, r.Sandbox.Close())...)
}

// Toolchain judges a published Go toolchain: see [gotree.Judge].
func (r *Rebuilder) Toolchain(ctx context.Context, t gotree.Toolchain, o gotree.Options) ([]*verdict.Result, []string, error) {
	return gotree.Judge(ctx, r.Sandbox, t, o)
}

// File judges a file. An error is the context's. If anything else keeps the file from a verdict,
// the Result says so, and its verdict is Undetermined.
func (r *Rebuilder) File(ctx context.Context, s Subject) (*verdict.Result, error) {
	start := r.Now()
	j := &job{Rebuilder: r, dir: r.NewDir(),
		res: &verdict.Result{Name: s.Name, Digest: s.Digest, Verdict: compare.Undetermined, Content: inspect.ContentUnknown}}

	reason, unremoved, err := r.Run(ctx, j.dir, func(ctx context.Context) error { return j.run(ctx, s) })
	if err != nil {
		return nil, err
	}
	if unremoved != nil {
		j.note("the workspace could not be removed: %v", unremoved)
	}
	if reason != nil {
		j.undetermined(reason)
	}

	j.claimDirty()
	j.res.AddChoices(j.howKnown)
	j.res.Seconds = r.Now().Sub(start).Seconds()
	return j.res, nil
}
