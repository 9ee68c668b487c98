package pass

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// Local executes passes on this machine.
type Local struct {
	// Dir is an empty folder for the workspaces, on the file system of Store.
	Dir string
	// Store receives the artifacts.
	Store *artifact.Store
	// Checkout lays out the source in dest, a folder that does not exist yet. It creates the files
	// in one order, or in the reverse.
	Checkout func(ctx context.Context, dest string, reversed bool) error
	// ModuleDir is the folder of the main module in the source, where the hooks and the go command
	// run. ConfigDir is the folder of the release file, to which [Session.Files] is relative. Both
	// have slashes.
	ModuleDir, ConfigDir string
	// GOROOT is the proved toolchain. ModCache is the module cache, which is an empty folder for a
	// vendored build.
	GOROOT, ModCache string
	// Hooks run in ModuleDir before the first build of a pass.
	Hooks [][]string
	// CPUs is how many processors this machine has, for the hooks.
	CPUs int
	// Epoch is SOURCE_DATE_EPOCH for the hooks: seconds since 1970.
	Epoch int64
	// Path are the folders where programs such as git and the C compiler are.
	Path []string
	// SystemEnv is what every process of this operating system needs, as NAME=value, such as
	// SystemRoot on Windows.
	SystemEnv []string
	// Confinement is what [Probe] found.
	Confinement Confinement
	// Limits bound each hook and each build.
	Limits Limits
	// Now is the clock.
	Now func() time.Time
	// Log gets the hooks' output while they run.
	Log io.Writer
	// Foreign is set to repeat somebody else's build. What a job compiled is then kept for the next
	// job, until the session is closed.
	Foreign *Foreign
}

// localSession is a [Session] of [Local].
type localSession struct {
	*Local
	pass   Pass
	varied func(Factor) bool // whether a factor is as in pass B
	// outside says where things are for this process, and inside where they are for the commands.
	outside, inside layout
	root            string   // mount point of the new root
	dirs            []string // all that the session has on disk
	keepCache       bool

	mu      sync.Mutex
	witness Witness
}

// Open sets up a pass: it lays out the source, runs the hooks and returns the session, in which
// jobs can be built. On an error it removes the workspace.
func (l *Local) Open(ctx context.Context, pass Pass) (Session, error) {
	return l.open(ctx, pass, func(Factor) bool { return pass == B }, "")
}

// OpenTrial sets up a pass that is like pass B in the factors varied, and like pass A otherwise. So
// without any factor it repeats pass A, and with all of them pass B. It has the folders of both, so
// no other session may be open.
//
// cache is a folder for what jobs compile, or "". It is kept for the next trial, and no hook sees
// it. It serves where compiling is known to depend on its inputs alone. It is used only in a root
// of its own, since it would be another path elsewhere.
func (l *Local) OpenTrial(ctx context.Context, varied []Factor, cache string) (Session, error) {
	return l.open(ctx, Trial, func(f Factor) bool { return slices.Contains(varied, f) }, cache)
}

// open sets up a pass, for which varied says what is as in pass B. cache is that of OpenTrial.
func (l *Local) open(ctx context.Context, pass Pass, varied func(Factor) bool, cache string) (_ Session, err error) {
	if l.Foreign != nil && len(l.Hooks) > 0 {
		return nil, errors.New("a foreign build has no hooks")
	}
	if l.Foreign != nil {
		if err := l.Confinement.AllowStrangers(); err != nil {
			return nil, err
		}
	}

	s := &localSession{Local: l, pass: pass, varied: varied, witness: Witness{}}
	s.chooseLayout()

	defer func() {
		if err != nil {
			s.Close()
		}
	}()

	if err := s.placeForeign(); err != nil {
		return nil, err
	}
	for _, dir := range []string{s.root, filepath.Dir(s.outside.source)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}

	if err := l.Checkout(ctx, s.outside.source, varied(fileOrder)); err != nil {
		return nil, fmt.Errorf("lay out the source of pass %s: %w", pass, err)
	}

	// Without a mount namespace another path means another copy.
	if s.outside.goroot != l.GOROOT {
		if err := os.CopyFS(s.outside.goroot, os.DirFS(l.GOROOT)); err != nil {
			return nil, fmt.Errorf("copy the toolchain for pass %s: %w", pass, err)
		}
	}
	if s.outside.modcache != l.ModCache {
		if err := os.CopyFS(s.outside.modcache, os.DirFS(l.ModCache)); err != nil {
			return nil, fmt.Errorf("copy the module cache for pass %s: %w", pass, err)
		}
	}

	s.addWitness(Witness{
		sourcePath: s.inside.source, gorootPath: s.inside.goroot, modulePath: s.inside.modcache,
		cachePath: s.inside.cache, homePath: s.inside.home, tempPath: s.inside.temp,
		fileOrder: choose(varied(fileOrder), "sorted", "reversed"),
		grouping:  choose(varied(grouping), "all that a recipe allows", "one"),
		clock:     l.Now().UTC().Format(time.RFC3339),
	})

	if len(l.Hooks) > 0 {
		if err := s.runHooks(ctx); err != nil {
			return nil, err
		}
	}

	// Only now, so that the hooks of a trial cannot see the cache that outlives it.
	if cache != "" && l.Confinement.Namespaces {
		s.outside.cache, s.keepCache = cache, true
	}
	return s, nil
}

// addWitness adds w to the witness of the pass.
func (s *localSession) addWitness(w Witness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.witness, w)
}

// Witness implements [Session].
func (s *localSession) Witness() Witness {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.witness)
}

// Tree implements [Session].
func (s *localSession) Tree() string { return s.outside.source }

// Close implements [Session].
func (s *localSession) Close() error {
	var errs []error
	for _, dir := range s.dirs {
		errs = append(errs, fsx.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
