// Package workspace gives a run a folder to work in that nobody else uses, and
// that a later run removes if this one is killed.
package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/twicebuild/twice/pipeline/build"
)

// Workspace is the folder that one run works in. It is locked for as long as
// the run lives, and that is how a later run knows one that was killed.
type Workspace struct {
	// Dir is its path.
	Dir  string
	lock *flock.Flock
}

const prefix = "run-"

// New makes a workspace below base, a folder for workspaces alone, which it
// makes too, after removing those whose runs are gone.
func New(ctx context.Context, base string) (_ *Workspace, err error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	// Between its creation and its lock a workspace looks abandoned, so that
	// moment has a lock of its own.
	gate := flock.New(filepath.Join(base, "lock"))
	if _, err := gate.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock %s: %w", gate.Path(), err)
	}
	defer func() { err = errors.Join(err, gate.Close()) }()
	old, err := filepath.Glob(filepath.Join(base, prefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range old {
		l := flock.New(filepath.Join(dir, "lock"))
		if free, err := l.TryLock(); err != nil || !free {
			continue
		}
		l.Close()
		if err := build.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("remove what an earlier run left: %w", err)
		}
	}
	dir, err := os.MkdirTemp(base, prefix)
	if err != nil {
		return nil, err
	}
	w := &Workspace{Dir: dir, lock: flock.New(filepath.Join(dir, "lock"))}
	if _, err := w.lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return w, nil
}

// Sub makes a folder in the workspace and returns its path.
func (w *Workspace) Sub(name string) (string, error) {
	dir := filepath.Join(w.Dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// Close removes the workspace.
func (w *Workspace) Close() error {
	return errors.Join(w.lock.Close(), build.RemoveAll(w.Dir))
}
