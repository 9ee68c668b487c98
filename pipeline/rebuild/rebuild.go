package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/toolchain"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// Config is what a Rebuilder may use. Nothing else comes in from the outside.
type Config struct {
	// Host is this machine and its user. Git is needed only with
	// Options.SourceDir. Memory is a soft limit of a build's.
	host.Host
	// Timeout bounds the work on one file, 0 means 30 minutes. MaxDisk bounds what
	// it writes, in bytes, and 0 means 16 GiB.
	Timeout time.Duration
	MaxDisk int64
	// Many tells that several files are to come, for which the standard library
	// is compiled once where they have a toolchain and a target in common.
	Many bool
	// Stage is told what begins, for people; it may be nil.
	Stage func(what string)
	Options
}

// Options are what the user knows, where the files do not say it.
type Options struct {
	// Main is "path@version": the version of the main module.
	Main string
	// SourceDir is a folder in a clean git repository, whose commit is the source.
	SourceDir string
	// LDFlags are the linker's arguments, as the value of -ldflags; nil leaves it
	// to be found out. They pass the same allow-list as those in a file.
	LDFlags *string
}

// Subject is a file to be judged.
type Subject struct {
	// Name is what people call it.
	Name string
	// Digest is what the file must have, or empty.
	Digest artifact.Digest
	// Hints are what is around the file, the more telling first. They are a
	// stranger's words, of which at most 32 are looked at.
	Hints []Hint
	// Stated is how somebody says that the file was made, or nil.
	Stated *Stated
	// Open opens it. What it returns is read once.
	Open func() (io.ReadCloser, error)
}

// maxSubject bounds a file, in bytes.
const maxSubject = 2 << 30

// Rebuilder judges files. Its methods are not to be called concurrently.
type Rebuilder struct {
	cfg     Config
	ldflags []string
	work    *workspace.Workspace
	client  gocmd.Client
	confine pass.Confinement
	store   *artifact.Store
	// toolchains are those that were proved in this run, by version.
	toolchains map[string]toolchain.Toolchain
	// held are all that are in use until the end.
	held      []toolchain.Toolchain
	standards map[string]*standard
	files     int
}

// Open prepares what all files share. The caller must Close the Rebuilder.
func Open(ctx context.Context, cfg Config) (_ *Rebuilder, err error) {
	r := &Rebuilder{cfg: cfg, toolchains: map[string]toolchain.Toolchain{}, standards: map[string]*standard{}}
	if r.cfg.Timeout == 0 {
		r.cfg.Timeout = 30 * time.Minute
	}
	if r.cfg.MaxDisk == 0 {
		r.cfg.MaxDisk = 16 << 30
	}
	if cfg.Stage == nil {
		r.cfg.Stage = func(string) {}
	}
	if cfg.Main != "" {
		modPath, version, _ := strings.Cut(cfg.Main, "@")
		if err := module.Check(modPath, version); err != nil || module.CanonicalVersion(version) != version {
			return nil, fault.Usage(fmt.Errorf("main module %q: want path@version", cfg.Main), "write it as github.com/owner/project@v1.2.3")
		}
		if cfg.SourceDir != "" {
			return nil, fault.Usage(errors.New("a main module and a folder with the source exclude each other"))
		}
	}
	if cfg.LDFlags != nil {
		if r.ldflags, err = linkerFlags(*cfg.LDFlags); err != nil {
			return nil, fault.Usage(fmt.Errorf("linker flags: %w", err))
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	client, err := gocmd.NewClient(ctx, cfg.Go, cfg.Env)
	if err != nil {
		return nil, err
	}
	if r.client, err = client.ProxyOnly(); err != nil {
		return nil, err
	}
	if r.work, err = workspace.New(ctx, filepath.Join(cfg.Cache, "rebuild")); err != nil {
		return nil, err
	}
	probe, err := r.work.Sub("probe")
	if err != nil {
		return nil, err
	}
	if r.confine, err = pass.Probe(ctx, probe, cfg.Path); err != nil {
		return nil, err
	}
	// What go commands leave that are killed with this process is in the workspace.
	temp, err := r.work.Sub("temp")
	if err != nil {
		return nil, err
	}
	r.client.Go = r.client.With("GOTMPDIR=" + temp)
	store, err := r.work.Sub("store")
	if err != nil {
		return nil, err
	}
	r.store = artifact.NewStore(store)
	return r, nil
}

// Close removes the workspace.
func (r *Rebuilder) Close() error {
	if r.work == nil {
		return nil
	}
	var errs []error
	for _, s := range r.standards {
		if s.session != nil {
			errs = append(errs, s.session.Close())
		}
	}
	for _, tc := range r.held {
		errs = append(errs, tc.Close())
	}
	return errors.Join(append(errs, r.work.Close())...)
}

// The causes of a context that ends by a limit.
var (
	errTimeout = errors.New("the time for one file is over")
	errDisk    = errors.New("the space for one file is used up")
)

// File judges a file. An error is the context's; whatever else keeps the file from
// a verdict is in the Result, whose verdict then is Undetermined.
func (r *Rebuilder) File(ctx context.Context, s Subject) (*verdict.Result, error) {
	start := r.cfg.Now()
	r.files++
	j := &job{Rebuilder: r, dir: filepath.Join(r.work.Dir, fmt.Sprintf("file-%d", r.files)),
		res: &verdict.Result{Name: s.Name, Digest: s.Digest, Verdict: compare.Undetermined, Content: inspect.ContentUnknown}}
	within, stop := context.WithTimeoutCause(ctx, r.cfg.Timeout, errTimeout)
	defer stop()
	within, cancel := context.WithCancelCause(within)
	defer cancel(nil)
	watched := r.watch(within, cancel, j.dir)
	err := j.run(within, s) // which may have had folders below j.dir, and is back
	cause := context.Cause(within)
	cancel(nil)
	watched.Wait()
	if ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), pass.RemoveAll(j.dir))
	}
	if err == nil {
		err = pass.RemoveAll(j.dir)
	} else if rerr := pass.RemoveAll(j.dir); rerr != nil {
		j.note("the workspace could not be removed: %v", rerr)
	}
	var reason *verdict.Reason
	switch {
	case err == nil:
	case errors.Is(cause, errTimeout) || errors.Is(cause, errDisk):
		j.undetermined(verdict.Because(verdict.Limits, "%s", cause))
	case errors.As(err, &reason):
		j.undetermined(reason)
	default:
		j.undetermined(verdict.Because(verdict.Unavailable, "%s", err).WithRemedy(fault.RemedyOf(err)))
	}
	j.res.AddChoices(j.chosen)
	j.res.Seconds = r.cfg.Now().Sub(start).Seconds()
	return j.res, nil
}

// watchPause is how long watch waits between two looks, at least.
const watchPause = 2 * time.Second

// watch cancels a context when the files below dir take too much space. The
// returned group ends with the context.
func (r *Rebuilder) watch(ctx context.Context, cancel context.CancelCauseFunc, dir string) *sync.WaitGroup {
	var group sync.WaitGroup
	group.Go(func() {
		pause := time.NewTimer(watchPause)
		defer pause.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
			start := r.cfg.Now()
			total := int64(0)
			filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if ctx.Err() != nil {
					return fs.SkipAll
				}
				if err == nil && d.Type().IsRegular() {
					if info, err := d.Info(); err == nil {
						total += info.Size()
					}
				}
				return nil // what was removed meanwhile takes no space
			})
			if total > r.cfg.MaxDisk {
				cancel(errDisk)
				return
			}
			// Of ten thousands of files the sizes take a while, and are not to take the
			// processor from what writes them.
			pause.Reset(watchPause + min(time.Minute, 20*max(0, r.cfg.Now().Sub(start))))
		}
	})
	return &group
}
