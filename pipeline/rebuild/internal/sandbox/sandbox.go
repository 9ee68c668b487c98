// Package sandbox holds what every judgement of a stranger's file needs: a workspace, proved
// toolchains, confinement, and bounds of time and space. Package rebuild judges one binary with
// it, and package gotree a toolchain.
package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/toolchain"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// MaxSubject bounds a file that is judged, in bytes.
const MaxSubject = 2 << 30

// The causes of a context that ends by a limit.
var (
	ErrTimeout = errors.New("the time for one file is over")
	errDisk    = errors.New("the space for one file is used up")
)

// Config is what a Sandbox may use.
type Config struct {
	host.Host
	// Timeout bounds the work on one subject, 0 means 30 minutes. MaxDisk bounds what
	// it writes, in bytes, and 0 means 16 GiB.
	Timeout time.Duration
	MaxDisk int64
	// Stage is told what begins, for people; it may be nil.
	Stage func(what string)
}

// Sandbox is what all subjects of a run share. Its methods are not to be called
// concurrently.
type Sandbox struct {
	Config
	Work        *workspace.Workspace
	Client      gocmd.Client
	Confinement pass.Confinement
	Store       *artifact.Store

	// held are the toolchains that are in use until the end.
	held     []toolchain.Toolchain
	subjects int
}

// Open prepares a Sandbox. The caller must Close it.
func Open(ctx context.Context, cfg Config) (_ *Sandbox, err error) {
	s := &Sandbox{Config: cfg}
	if s.Timeout == 0 {
		s.Timeout = 30 * time.Minute
	}
	if s.MaxDisk == 0 {
		s.MaxDisk = 16 << 30
	}
	if s.Stage == nil {
		s.Stage = func(string) {}
	}

	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()

	client, err := gocmd.NewClient(ctx, cfg.Go, cfg.UserEnv)
	if err != nil {
		return nil, err
	}
	if s.Client, err = client.ProxyOnly(); err != nil {
		return nil, err
	}
	if s.Work, err = workspace.New(ctx, filepath.Join(cfg.Cache, "rebuild")); err != nil {
		return nil, err
	}
	probe, err := s.Work.Sub("probe")
	if err != nil {
		return nil, err
	}
	if s.Confinement, err = pass.Probe(ctx, probe, cfg.Path); err != nil {
		return nil, err
	}

	// A go command that is killed with this process leaves its files in the workspace.
	temp, err := s.Work.Sub("temp")
	if err != nil {
		return nil, err
	}
	s.Client.Go = s.Client.With("GOTMPDIR=" + temp)
	store, err := s.Work.Sub("store")
	if err != nil {
		return nil, err
	}
	s.Store = artifact.NewStore(store)
	return s, nil
}

// Close gives the toolchains back and removes the workspace.
func (s *Sandbox) Close() error {
	if s.Work == nil {
		return nil
	}
	var errs []error
	for _, tc := range s.held {
		errs = append(errs, tc.Close())
	}
	return errors.Join(append(errs, s.Work.Close())...)
}

// Prove gets a toolchain and has it proved. It can be used until s is closed. An installed
// toolchain may have another go.env.
func (s *Sandbox) Prove(ctx context.Context, client gocmd.Go, v, goos, goarch string, installed bool) (toolchain.Toolchain, error) {
	o := toolchain.Options{CacheDir: filepath.Join(s.Cache, "toolchains"), HostOS: goos, HostArch: goarch, MaxBytes: s.CacheMax, Now: s.Now}
	if installed {
		o.Installed = []string{s.Client.Root}
	}
	tc, err := toolchain.Obtain(ctx, client, v, o)
	if err != nil && ctx.Err() == nil {
		kind := verdict.ToolchainUnavailable
		if FetchKind(err) == verdict.Unavailable { // it may be had tomorrow
			kind = verdict.Unavailable
		}
		return tc, verdict.Because(kind, "%s", err).
			WithRemedy(cmp.Or(fault.RemedyOf(err), "is there a network? A release that the module proxy does not have can only be used by hand"))
	}
	if err == nil {
		s.held = append(s.held, tc)
	}
	return tc, err
}

// NewDir returns a path in the workspace for the next subject. Run makes a folder of it.
func (s *Sandbox) NewDir() string {
	s.subjects++
	return filepath.Join(s.Work.Dir, fmt.Sprintf("file-%d", s.subjects))
}

// Run does the work on one subject within the bounds of time and space, and removes dir after it.
// The reason says why the work came to nothing. In that case unremoved says why dir is still
// there. An error is the context's.
func (s *Sandbox) Run(ctx context.Context, dir string, work func(context.Context) error) (reason *verdict.Reason, unremoved, err error) {
	within, stop := context.WithTimeoutCause(ctx, s.Timeout, ErrTimeout)
	defer stop()
	within, cancel := context.WithCancelCause(within)
	defer cancel(nil)
	watched := s.watch(within, cancel, dir)
	failed := work(within)

	// The cause must be read before the cancellation replaces it.
	cause := context.Cause(within)
	cancel(nil)
	watched.Wait()

	removed := fsx.RemoveAll(dir)
	if ctx.Err() != nil {
		return nil, nil, errors.Join(context.Cause(ctx), removed)
	}
	if failed == nil {
		failed, removed = removed, nil
	}

	// The kind of the reason follows from what ended the work, a limit first.
	var unconfined *pass.UnconfinedError
	switch {
	case failed == nil:
	case errors.Is(cause, ErrTimeout) || errors.Is(cause, errDisk):
		reason = verdict.Because(verdict.Limits, "%s", cause)
	case errors.As(failed, &reason): // it has its kind
	case errors.As(failed, &unconfined):
		reason = verdict.Because(verdict.NotConfined, "%s", failed).WithRemedy(fault.RemedyOf(failed))
	default:
		reason = verdict.Because(verdict.Unavailable, "%s", failed).WithRemedy(fault.RemedyOf(failed))
	}
	return reason, removed, nil
}

// Summary returns a message for a result: one line, without dir and the paths of the workspace,
// which no other run has.
func (s *Sandbox) Summary(dir, message string) string {
	message = strings.ReplaceAll(message, dir, "workspace")
	message = strings.ReplaceAll(message, s.Work.Dir, "workspace")
	return verdict.Quote(strings.Join(strings.Fields(message), " "))
}

// watchPause is how long watch waits between two looks, at least.
const watchPause = 2 * time.Second

// watch cancels a context when the files below dir take too much space. The
// returned group ends with the context.
func (s *Sandbox) watch(ctx context.Context, cancel context.CancelCauseFunc, dir string) *sync.WaitGroup {
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

			start := s.Now()
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
			if total > s.MaxDisk {
				cancel(errDisk)
				return
			}
			// With tens of thousands of files a look at the sizes takes a while. It must not take
			// the processor from the commands that write them.
			pause.Reset(watchPause + min(time.Minute, 20*max(0, s.Now().Sub(start))))
		}
	})
	return &group
}

// Share returns a build's part of the machine.
func (s *Sandbox) Share() pass.Share {
	return pass.ShareOf(s.CPUs, s.Memory, 1)
}

// Limits returns the limits of each command. Its time is bounded by that of the file.
func (s *Sandbox) Limits() pass.Limits {
	limits := pass.DefaultLimits(s.Memory)
	limits.Time = 0
	return limits
}

// Limited returns the reason if a command took too much, according to err. Otherwise it returns
// nil.
func Limited(err error) *verdict.Reason {
	failed, limit := (*pass.CommandError)(nil), (*pass.LimitError)(nil)
	if errors.As(err, &failed) && errors.As(err, &limit) {
		return verdict.Because(verdict.Limits, "%s: %s", failed.What, limit).WithRemedy(limit.Remedy())
	}
	return nil
}

// MaxSmall bounds a file that is read as a whole, in bytes.
const MaxSmall = 1 << 20

// ReadSmall reads a regular file of a stranger's tree, or one that a link there leads to. Whoever
// opened a pipe would wait for ever.
func ReadSmall(tree fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(tree, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}

	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSmall+1))
	if err == nil && len(data) > MaxSmall {
		err = fmt.Errorf("%s: more than %d bytes", name, MaxSmall)
	}
	return data, err
}
