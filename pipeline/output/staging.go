package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// acquire makes the staging folder, or takes over one that a killed run has left, and locks it.
func (o *Output) acquire() error {
	// The run that held the lock may remove the marker and the folder before the lock is ours.
	// Then the lock is on a file that is gone, and we begin again.
	for range 100 {
		step("make the folder")
		made := os.Mkdir(o.staging, 0o755)
		if made != nil && !errors.Is(made, fs.ErrExist) {
			return fmt.Errorf("nothing can be written beside %s: %w", o.dir, made)
		}

		var err error
		if made != nil {
			err = o.checkOwner()
		}
		if err == nil {
			err = o.writeMarker()
		}

		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, fs.ErrPermission) {
			err = fault.WithRemedy(fault.Usage(fmt.Errorf("what a run has left cannot be used: %w", err)), MoveAway)
		}
		if err != nil && made == nil {
			_ = os.Remove(o.staging) // which fails if another run has begun in it
		}
		if err != nil {
			return err
		}

		lock := flock.New(o.path(markerName), flock.SetFlag(os.O_RDWR))
		free, err := lock.TryLock()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("lock %s: %w", o.path(markerName), err)
		}
		if !free {
			return o.errBusy()
		}

		// Only the file that has the marker's name now keeps other runs out.
		locked, lerr := lock.Stat()
		there, terr := os.Lstat(o.path(markerName))
		if lerr == nil && terr == nil && os.SameFile(locked, there) {
			o.lock = lock
			return o.checkEntries()
		}
		lock.Close()
	}

	return fmt.Errorf("lock %s: it does not stay", o.path(markerName))
}

// errBusy returns an error that says who has the lock.
func (o *Output) errBusy() error {
	who := ""
	if info, err := os.Lstat(o.path(processName)); err == nil && info.Mode().IsRegular() && info.Size() < 20 {
		data, _ := fsx.ReadNamed(o.path(processName), 20)
		if pid, err := strconv.Atoi(string(data)); err == nil {
			who = fmt.Sprintf(" (process %d)", pid)
		}
	}

	return fmt.Errorf("another run of twice%s is writing %s", who, o.dir)
}

// checkOwner returns an error if the staging folder belongs to another user, who could change
// what becomes dist.
func (o *Output) checkOwner() error {
	info, err := os.Lstat(o.staging)
	if err != nil {
		return err
	}
	if info.IsDir() && !ownedByUser(info) {
		return NotOurs("%s belongs to another user", o.staging)
	}
	return nil
}

// maxMarker bounds the marker, in bytes: it holds a path.
const maxMarker = 64 << 10

// markerText returns the content of the marker: its format, and the folder that it is for.
func (o *Output) markerText() (string, error) {
	parent, err := filepath.EvalSymlinks(filepath.Dir(o.dir))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("twice.unfinished/v1\n%q\n", filepath.Join(parent, filepath.Base(o.dir))), nil
}

// writeMarker writes the marker, unless it is there. A folder that is not empty is ours only if it
// has the marker for this folder.
func (o *Output) writeMarker() error {
	want, err := o.markerText()
	if err != nil {
		return err
	}
	if info, err := os.Lstat(o.staging); err != nil {
		return err
	} else if !info.IsDir() {
		return o.errNotOurs("it is no folder")
	}

	entries, err := os.ReadDir(o.staging)
	if err != nil {
		return err
	}
	marked := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == markerName })
	if marked {
		info, err := os.Lstat(o.path(markerName))
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || info.Size() > maxMarker {
			return o.errNotOurs("its marker is not the one for this folder")
		}

		have, err := fsx.ReadNamed(o.path(markerName), maxMarker)
		if err != nil || string(have) == want {
			return err
		}

		// A run may be killed while it writes the marker. Then there is nothing else.
		if len(entries) > 1 || !strings.HasPrefix(want, string(have)) {
			return o.errNotOurs("its marker is not the one for this folder")
		}
	} else if len(entries) > 0 {
		return o.errNotOurs("it has no marker of an unfinished run")
	}

	step("write the marker")
	f, err := os.OpenFile(o.path(markerName), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}

	// Half a marker in an empty folder is mended by the next run. One that was just made is not left.
	_, err = f.WriteString(want)
	if err := errors.Join(err, flush(f), f.Close()); err != nil {
		if !marked {
			err = errors.Join(err, os.Remove(o.path(markerName)))
		}
		return err
	}

	return syncFolder(o.staging)
}

// errNotOurs returns an error that says why the staging folder cannot be used.
func (o *Output) errNotOurs(why string) error {
	return NotOurs("%s was not written by twice: %s", o.staging, why)
}

// MoveAway is the remedy where a folder of somebody else is in the way.
const MoveAway = "move it away, or name another folder with --out"

// NotOurs returns an error about something that twice must not delete, with the remedy.
func NotOurs(format string, args ...any) error {
	return fault.WithRemedy(fault.Usage(fmt.Errorf(format, args...)), MoveAway)
}

// checkEntries returns an error, and gives up the lock, if there is something in the staging folder
// that no run puts there.
func (o *Output) checkEntries() error {
	entries, err := os.ReadDir(o.staging)
	if err != nil {
		return err
	}

	for _, e := range entries {
		switch e.Name() {
		case markerName, processName, newName, oldPrefix + filepath.Base(o.dir), oldPrefix + filepath.Base(Rejected(o.dir)):
		default:
			err := errors.Join(o.errNotOurs("it has "+e.Name()), o.lock.Close())
			o.lock = nil
			return err
		}
	}

	return nil
}

// writeProcess writes down the number of this process. A file that is there by that name is removed
// and not opened, since a link would lead out of the folder.
func (o *Output) writeProcess() error {
	if err := os.Remove(o.path(processName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	return fsx.WriteNew(o.path(processName), []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// release gives the staging folder free. If tidy is set, nothing of the run is left in it, and
// release removes it.
func (o *Output) release(tidy bool) (err error) {
	if tidy {
		step("remove the process")
		if err = os.Remove(o.path(processName)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		tidy = err == nil
	}

	// The marker goes before the lock, so that nobody locks a marker that is about to go.
	if tidy && runtime.GOOS != "windows" {
		step("remove the marker")
		err = os.Remove(o.path(markerName))
		tidy = err == nil
	}

	err = errors.Join(err, o.lock.Close())
	o.lock = nil
	if tidy && runtime.GOOS == "windows" {
		// Windows removes no file while it is open. Another run may have it open now.
		_ = os.Remove(o.path(markerName))
	}

	step("remove the folder")
	if tidy {
		_ = os.Remove(o.staging) // another run may have begun in it
	}

	return err
}
