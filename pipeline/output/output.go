// Package output writes a folder such as dist so that there is always the old one
// or the new one, complete, and never deletes what somebody else has put there.
//
// Everything unfinished is in one folder beside it, dist.staging:
//
//	dist.staging/
//	    .twice-unfinished    the marker, locked while a run lives: first there, last to go
//	    process              the number of that run's process, for messages
//	    new/                 what becomes dist, or what is being removed
//	    old-dist/            what was dist, all of it, until it was looked at once more; for a
//	                         moment before the exchange what becomes dist, all of it
//
// The marker names the folder that it is for, so that a copy of it elsewhere, in
// somebody's repository for instance, is not taken for one. The lock is the
// system's and ends with the process, and so a marker without a lock is what a
// killed run has left, which the next one mends. It is where the output is, so
// it holds whatever else the two runs have in common.
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
	// judged is what a folder looked like when it was judged last, by where it belongs.
	judged map[string]fingerprint
	lock   *flock.Flock
}

// Staging is the folder beside dir that holds what is not finished.
func Staging(dir string) string { return dir + ".staging" }

// Rejected is the folder beside dir for what must not become dir.
func Rejected(dir string) string { return dir + ".rejected" }

// What is in the folder of what is unfinished.
const (
	markerName  = ".twice-unfinished"
	processName = "process"
	newName     = "new"
	oldPrefix   = "old-" // and the name of what was replaced
)

// Open reserves dir, an absolute path, for this process, and mends what a killed
// one has left. ours returns an error unless a folder may be deleted, which it
// may if it is not there; dir and what is [Rejected] must be such. It may take its
// time, and hears the context. An error leaves nothing behind.
func Open(ctx context.Context, dir string, checkDeletable func(ctx context.Context, dir string) error) (_ *Output, err error) {
	o := &Output{dir: dir, staging: Staging(dir), checkDeletable: checkDeletable, judged: map[string]fingerprint{}}
	o.NewDir = o.path(newName)
	if info, err := os.Stat(filepath.Dir(dir)); err != nil || !info.IsDir() {
		return nil, fault.Usage(fmt.Errorf("%s: its parent folder does not exist", dir))
	}
	for _, dest := range []string{dir, Rejected(dir), o.staging} {
		if mounted(dest) {
			return nil, fault.Usage(fmt.Errorf("%s is a mount point, which no rename replaces", dest), "name a folder below it with --out")
		}
	}
	// Before anything is written, as far as that can be told.
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
	if err := o.judgeAll(ctx); err != nil {
		return nil, err
	}
	if err := o.writeProcess(); err != nil {
		return nil, err
	}
	return o, os.Mkdir(o.NewDir, 0o755)
}

func (o *Output) path(name string) string { return filepath.Join(o.staging, name) }

// oldPath is where what was dest waits until it is removed.
func (o *Output) oldPath(dest string) string { return o.path(oldPrefix + filepath.Base(dest)) }

// judgeAll returns an error unless all that may be replaced is ours.
func (o *Output) judgeAll(ctx context.Context) error {
	return errors.Join(o.judge(ctx, o.dir, o.dir), o.judge(ctx, Rejected(o.dir), Rejected(o.dir)))
}

// judge returns an error unless the folder at a path may be deleted: dest, or what was
// dest. To judge it takes reading it; one that looks as it did when it was judged is
// not judged again.
func (o *Output) judge(ctx context.Context, dest, at string) error {
	before, readErr := fingerprintOf(ctx, at)
	if last, ok := o.judged[dest]; ok && readErr == nil && last == before {
		return nil
	}
	// What somebody else has may be anything, also what cannot be looked at.
	if err := cmp.Or(o.checkDeletable(ctx, at), readErr); err != nil {
		return err
	}
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

// mend brings dir back where it was moved away and nothing took its place, and
// removes what is of no use any more.
func (o *Output) mend(ctx context.Context) error {
	for _, dest := range []string{o.dir, Rejected(o.dir)} {
		old := o.oldPath(dest)
		if !exists(old) {
			continue
		}
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

// Replace puts what is in NewDir in the place of dest, which is the output
// folder or what is [Rejected] of it, and removes what was there. A build takes its
// time, so that is looked at again: right before, and where nobody else puts anything
// any more. If it is not ours any more, all of it is back in its place.
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

// discard removes what was dest and is out of the way. back undoes that, if it is not
// ours after all.
func (o *Output) discard(ctx context.Context, dest string, back func(dest string) error) error {
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

// removeOld removes what waits to be removed, from a place where nobody takes half of it
// for the whole, if the process ends in between.
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

// swap puts what is in NewDir in the place of dest, and what was there beside. Of dest
// there is the old one or the new one in between; where the system cannot exchange two
// folders, or none, which mend repairs.
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

// Remove removes dest, the output folder or what is [Rejected] of it, if it is
// ours, and what is in NewDir.
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

func exists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// exchange swaps two folders in one step, where the system can. Tests have it fail.
var exchange = fsx.ExchangeFolders
