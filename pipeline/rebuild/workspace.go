package rebuild

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

// workspace is the folder that a Rebuilder works in. It is locked for as long as
// that lives, which is how a later one knows what a killed one has left.
type workspace struct {
	dir  string
	lock *flock.Flock
}

// newWorkspace makes a workspace below cache, after removing those whose
// processes are gone.
func newWorkspace(ctx context.Context, cache string) (_ *workspace, err error) {
	base := filepath.Join(cache, "rebuild")
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
	old, err := filepath.Glob(filepath.Join(base, "run-*"))
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
	dir, err := os.MkdirTemp(base, "run-")
	if err != nil {
		return nil, err
	}
	w := &workspace{dir: dir, lock: flock.New(filepath.Join(dir, "lock"))}
	if _, err := w.lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return w, nil
}

// sub makes an empty folder in the workspace.
func (w *workspace) sub(name string) (string, error) {
	dir := filepath.Join(w.dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

func (w *workspace) close() error { return errors.Join(w.lock.Close(), build.RemoveAll(w.dir)) }
