// Package workspace gives a run a folder to work in that no other run uses. If the run is killed, a
// later one removes the folder.
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

// Workspace is the folder that one run works in. It is locked for as long as the run lives, so a
// folder without a lock is that of a run that was killed.
type Workspace struct {
	// Dir is its path.
	Dir  string
	lock *flock.Flock
}

const prefix = "run-"

// namePattern are the names that New makes. Nothing else is ever removed.
var namePattern = regexp.MustCompile(`^` + prefix + `[0-9]+$`)

// New makes a workspace below base, a folder for workspaces alone. It makes base, too, and removes
// the workspaces of runs that are gone.
//
// The name of the workspace is the lowest number that was free. It says nothing else of the run,
// since what is built in it can see the name, in both passes alike.
func New(ctx context.Context, base string) (w *Workspace, err error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}

	err = exclusively(ctx, base, func() error {
		// The name is chosen before the others are removed. Processes of a killed run may still
		// write to a folder of its name, where nothing ended them.
		dir, err := freeName(base)
		if err != nil {
			return err
		}

		if err := visitAll(base, Remove, nil); err != nil {
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

// Visit calls gone for every workspace below base whose run is gone, and alive for the others. No
// run begins meanwhile. A base that is not there has no workspaces.
func Visit(ctx context.Context, base string, gone, alive func(dir string) error) error {
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

	return exclusively(ctx, base, func() error { return visitAll(base, gone, alive) })
}

// exclusively calls do while no other process makes or removes a workspace below base. It is needed
// because a workspace looks abandoned between its creation and its lock.
func exclusively(ctx context.Context, base string, do func() error) (err error) {
	lock, err := fsx.Lock(ctx, filepath.Join(base, "lock"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return do()
}

// visitAll calls gone or alive for the workspaces below base. Links, and folders with other names,
// are no workspaces.
func visitAll(base string, gone, alive func(dir string) error) error {
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
			// The run of one that cannot be locked is not known to be gone.
			err = nil
			if alive != nil {
				err = alive(dir)
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

// Remove removes a workspace whose run is gone, according to [Visit].
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
