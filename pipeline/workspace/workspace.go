// Package workspace gives a run a folder to work in that nobody else uses, and
// that a later run removes if this one is killed.
package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/gofrs/flock"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// Workspace is the folder that one run works in. It is locked for as long as
// the run lives, and that is how a later run knows one that was killed.
type Workspace struct {
	// Dir is its path.
	Dir  string
	lock *flock.Flock
}

const prefix = "run-"

// namePattern are the names that New makes. Nothing else is ever removed.
var namePattern = regexp.MustCompile(`^` + prefix + `[0-9]+$`)

// New makes a workspace below base, a folder for workspaces alone, which it
// makes too, after removing those whose runs are gone.
//
// Its name says nothing of the run, since what is built in it can see the name, in
// both passes alike: it is the lowest number that was free.
func New(ctx context.Context, base string) (w *Workspace, err error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	err = alone(ctx, base, func() error {
		// A name that is only now getting free is left for the next run: where
		// nothing ends the processes of a killed run, they may still write there.
		dir, err := freeName(base)
		if err != nil {
			return err
		}
		if err := each(base, Remove, nil); err != nil {
			return fmt.Errorf("remove what an earlier run left: %w", err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		w = &Workspace{Dir: dir, lock: fsx.NewLock(filepath.Join(dir, "lock"))}
		if _, err := w.lock.TryLock(); err != nil {
			return fmt.Errorf("lock %s: %w", dir, err)
		}
		return nil
	})
	return w, err
}

// freeName returns the path of the workspace with the lowest number that is not there.
func freeName(base string) (string, error) {
	for n := 1; ; n++ {
		dir := filepath.Join(base, prefix+strconv.Itoa(n))
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return dir, nil
		} else if err != nil {
			return "", err
		}
	}
}

// Visit calls gone for every workspace below base whose run is gone, and lives for
// the others. No run begins meanwhile. A base that is not there has none.
func Visit(ctx context.Context, base string, gone, lives func(dir string) error) error {
	info, err := os.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a folder", base)
	}
	return alone(ctx, base, func() error { return each(base, gone, lives) })
}

// alone calls do while no other process makes or removes a workspace below base:
// between its creation and its lock a workspace looks abandoned.
func alone(ctx context.Context, base string, do func() error) (err error) {
	gate, err := fsx.Lock(ctx, filepath.Join(base, "lock"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gate.Close()) }()
	return do()
}

// each calls gone or lives for the workspaces below base. Links, and folders with
// other names, are none.
func each(base string, gone, lives func(dir string) error) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !namePattern.MatchString(e.Name()) {
			continue
		}
		dir := filepath.Join(base, e.Name())
		l := fsx.NewLock(filepath.Join(dir, "lock"))
		free, err := l.TryLock()
		if err == nil && free {
			err = l.Close()
		}
		switch {
		case err != nil || !free:
			// One that cannot be locked is not known to be dead.
			err = nil
			if lives != nil {
				err = lives(dir)
			}
		default:
			err = gone(dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Remove removes a workspace whose run is gone, as [Visit] tells.
func Remove(dir string) error { return fsx.RemoveAll(dir) }

// Sub makes a folder in the workspace and returns its path.
func (w *Workspace) Sub(name string) (string, error) {
	dir := filepath.Join(w.Dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// Close removes the workspace.
func (w *Workspace) Close() error {
	return errors.Join(w.lock.Close(), fsx.RemoveAll(w.Dir))
}
