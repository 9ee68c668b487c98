// Package output writes a folder such as dist so that there is always the old one
// or the new one, complete. It never deletes what somebody else has put there.
//
// All that is not finished is in one folder beside it, the staging folder:
//
//	dist.staging/
//	    .twice-unfinished    the marker, locked while a run lives: made first, removed last
//	    process              the number of that run's process, for messages
//	    new/                 what becomes dist, or what is being removed
//	    old-dist/            the former dist until it is judged once more; shortly before the
//	                         exchange, what becomes dist
//
// The marker names the folder that it is for. So a copy of it elsewhere, for instance in
// somebody's repository, counts for nothing. The lock is the system's and ends with the
// process. So a marker without a lock is what a killed run has left, and the next run mends
// that. The lock lies where the output is, so two runs meet in it even if they have nothing
// else in common.
package output

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// Output is a folder that this process alone may write, until it is closed.
type Output struct {
	// NewDir is the folder to fill. It is empty at first.
	NewDir string

	dir            string // what is written
	staging        string // dist.staging
	checkDeletable func(ctx context.Context, dir string) error
	// judged holds the fingerprint that a folder had when it was judged last, by the path
	// where the folder belongs.
	judged map[string]fingerprint
	lock   *flock.Flock
}

// Staging returns the path of the folder beside dir that holds what is not finished.
func Staging(dir string) string { return dir + ".staging" }

// Rejected returns the path of the folder beside dir for what must not become dir.
func Rejected(dir string) string { return dir + ".rejected" }

// Names in the staging folder.
const (
	markerName  = ".twice-unfinished"
	processName = "process"
	newName     = "new"
	oldPrefix   = "old-" // and the name of what was replaced
)

// Open reserves dir, an absolute path, for this process, and mends what a killed run has left.
// The folder dir and the one of [Rejected] must be deletable. checkDeletable returns an error
// unless a folder may be deleted; one that does not exist may. It can take its time, so it gets
// the context. After an error nothing is left behind.
func Open(ctx context.Context, dir string, checkDeletable func(ctx context.Context, dir string) error) (_ *Output, err error) {
	o := &Output{dir: dir, staging: Staging(dir), checkDeletable: checkDeletable, judged: map[string]fingerprint{}}
	o.NewDir = o.path(newName)
	if info, err := os.Stat(filepath.Dir(dir)); err != nil || !info.IsDir() {
		return nil, fault.Usage(fmt.Errorf("%s: its parent folder does not exist", dir))
	}

	for _, dest := range []string{dir, Rejected(dir), o.staging} {
		if mounted(dest) {
			return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("%s is a mount point, which no rename replaces", dest)), "name a folder below it with --out")
		}
	}

	// A folder of somebody else is refused before anything is written beside it.
	if err := o.judgeAll(ctx); err != nil {
		return nil, err
	}

	if err := o.acquire(); err != nil {
		return nil, err
	}
	if err := o.mend(ctx); err != nil {
		return nil, errors.Join(err, o.release(false))
	}

	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()

	// Another run may have written before the lock was ours, and mending brings folders back.
	if err := o.judgeAll(ctx); err != nil {
		return nil, err
	}

	if err := o.writeProcess(); err != nil {
		return nil, err
	}
	return o, os.Mkdir(o.NewDir, 0o755)
}

// path returns the path of a name in the staging folder.
func (o *Output) path(name string) string { return filepath.Join(o.staging, name) }

// oldPath returns where the former dest waits until it is removed.
func (o *Output) oldPath(dest string) string { return o.path(oldPrefix + filepath.Base(dest)) }

// judgeAll returns an error unless both folders that may be replaced may be deleted.
func (o *Output) judgeAll(ctx context.Context) error {
	return errors.Join(o.judge(ctx, o.dir, o.dir), o.judge(ctx, Rejected(o.dir), Rejected(o.dir)))
}

// judge returns an error unless the folder at a path may be deleted. The folder is dest, or was
// dest before it was moved. Judging it takes reading all of it. So a folder with the fingerprint
// that it had when it was judged last is not judged again.
func (o *Output) judge(ctx context.Context, dest, at string) error {
	before, readErr := fingerprintOf(ctx, at)
	if last, ok := o.judged[dest]; ok && readErr == nil && last == before {
		return nil
	}

	// A folder of somebody else may be one that has no fingerprint, so its own error comes first.
	if err := cmp.Or(o.checkDeletable(ctx, at), readErr); err != nil {
		return err
	}

	// What was written while the folder was read may not have been judged.
	after, err := fingerprintOf(ctx, at)
	if err == nil && after != before {
		err = fault.WithRemedy(fmt.Errorf("%s changes while it is read", at), "wait until nothing writes there, or name another folder with --out")
	}

	if err == nil {
		o.judged[dest] = before
	}
	return err
}

// step is told what comes next. Tests end the process there.
var step = func(what string) {}

// mend brings each folder back that was moved away and that nothing replaced. It removes what is
// of no use any more.
func (o *Output) mend(ctx context.Context) error {
	for _, dest := range []string{o.dir, Rejected(o.dir)} {
		old := o.oldPath(dest)
		if !exists(old) {
			continue
		}

		// The run ended between its two renames, so the old folder is the only one.
		if !exists(dest) {
			step("bring back")
			if err := os.Rename(old, dest); err != nil {
				return err
			}
			if err := syncFolder(filepath.Dir(dest)); err != nil {
				return err
			}
			continue
		}

		if err := o.judge(ctx, dest, old); err != nil {
			return err
		}
		if err := o.removeOld(old); err != nil {
			return err
		}
	}

	step("remove what is unfinished")
	return fsx.RemoveAll(o.NewDir)
}

// removeOld removes a folder that was replaced. It moves the folder first. If the process ends in
// between, nobody takes half of the folder for the whole.
func (o *Output) removeOld(old string) error {
	step("remove what is unfinished")
	if err := fsx.RemoveAll(o.NewDir); err != nil {
		return err
	}

	step("move away")
	if err := os.Rename(old, o.NewDir); err != nil {
		return err
	}

	step("remove the old one")
	return fsx.RemoveAll(o.NewDir)
}

// Replace puts NewDir in the place of dest and removes what was there. dest is the output folder
// or the one of [Rejected]. A build takes its time, so Replace judges the old folder twice more:
// right before the exchange, and after it, where nobody else puts anything any more. If the
// old folder must not be deleted, all of it goes back to its place.
func (o *Output) Replace(ctx context.Context, dest string) error {
	step("sync")
	if err := syncTree(o.NewDir); err != nil {
		return err
	}

	if err := o.judge(ctx, dest, dest); err != nil {
		return err
	}

	if !exists(dest) {
		step("rename")
		return errors.Join(os.Rename(o.NewDir, dest), syncFolder(filepath.Dir(dest)), syncFolder(o.staging))
	}

	if err := o.swap(dest); err != nil {
		return err
	}
	return o.discard(ctx, dest, o.swapBack)
}

// discard removes the former dest, which was moved out of the way. If that must not be deleted
// after all, back undoes the move.
func (o *Output) discard(ctx context.Context, dest string, back func(dest string) error) error {
	// Nothing old is removed before the new names are on the disk.
	if err := errors.Join(syncFolder(filepath.Dir(dest)), syncFolder(o.staging)); err != nil {
		return err
	}

	err := o.judge(ctx, dest, o.oldPath(dest))
	if err == nil {
		return o.removeOld(o.oldPath(dest))
	}

	if err := errors.Join(back(dest), syncFolder(filepath.Dir(dest))); err != nil {
		return err
	}
	return cmp.Or(o.judge(ctx, dest, dest), err) // by the name that it has again
}

// swap puts NewDir in the place of dest, and the former dest at oldPath. In between, dest is the
// old folder or the new one. Where the system cannot exchange two folders, there may be no dest
// for a moment, which mend repairs.
func (o *Output) swap(dest string) error {
	old := o.oldPath(dest)
	step("set aside")
	if err := os.Rename(o.NewDir, old); err != nil {
		return err
	}

	step("exchange")
	if exchange(old, dest) == nil {
		return nil
	}

	// Without an exchange it takes two renames. The old path has to be free for the first.
	step("take again")
	if err := os.Rename(old, o.NewDir); err != nil {
		return err
	}

	step("move away")
	if err := os.Rename(dest, old); err != nil {
		return err
	}

	step("rename")
	if err := os.Rename(o.NewDir, dest); err != nil {
		return errors.Join(err, os.Rename(old, dest))
	}
	return nil
}

// swapBack undoes what swap has done.
func (o *Output) swapBack(dest string) error {
	old := o.oldPath(dest)
	step("exchange back")
	if exchange(old, dest) == nil {
		step("take again")
		return os.Rename(old, o.NewDir)
	}

	step("take away")
	if err := os.Rename(dest, o.NewDir); err != nil {
		return err
	}

	step("bring back")
	return os.Rename(old, dest)
}

// Remove removes dest if it may be deleted, and what is in NewDir. dest is the output folder or
// the one of [Rejected].
func (o *Output) Remove(ctx context.Context, dest string) error {
	if err := o.judge(ctx, dest, dest); err != nil || !exists(dest) {
		return err
	}

	step("move out of the way")
	if err := os.Rename(dest, o.oldPath(dest)); err != nil {
		return err
	}

	return o.discard(ctx, dest, func(dest string) error {
		step("bring back")
		return os.Rename(o.oldPath(dest), dest)
	})
}

// Close removes what is not finished, and gives the folder free.
func (o *Output) Close() error {
	if o.lock == nil {
		return nil
	}
	// What is left to be removed was judged already.
	err := o.mend(context.Background())
	return errors.Join(err, o.release(err == nil))
}

// exists reports whether there is something by that name, a link included.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// exchange swaps two folders in one step, where the system can. Tests have it fail.
var exchange = fsx.ExchangeFolders
