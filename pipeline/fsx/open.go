package fsx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// OpenNamed opens the regular file that a user has named, or something that a user
// has written, for reading. Links are followed. Nothing but a regular file is opened,
// so that neither a pipe nor a device is waited for or begins to act, and info is that
// of the opened file. It may grow while it is read: a reader has to bound what it reads.
func OpenNamed(name string) (f *os.File, info fs.FileInfo, err error) {
	return openRegular(name, os.Stat, func() (*os.File, error) {
		return os.OpenFile(name, os.O_RDONLY|nonblock, 0)
	})
}

// ReadNamed returns the content of a file that [OpenNamed] opens. One of more than
// limit bytes is an error.
func ReadNamed(name string, limit int64) ([]byte, error) {
	f, info, err := OpenNamed(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, tooLarge(name, limit)
	}
	return io.ReadAll(AtMost(f, name, limit))
}

// openRegular opens what look describes, if it is a regular file, and insists on
// having opened that: something may put another in its place.
func openRegular(name string, look func(string) (fs.FileInfo, error), open func() (*os.File, error)) (*os.File, fs.FileInfo, error) {
	before, err := look(name)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", name, notRegular(before.Mode()))
	}
	f, err := open()
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || !os.SameFile(before, info)) {
		err = fmt.Errorf("%s: changed while it was opened", name)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// OpenRegular opens the regular file name, with slashes, below root for reading. It
// is for what a build or a hook has left, which may be anything: no link is followed,
// in no element of name, nothing but a regular file is opened, so that neither a pipe
// nor a device is waited for, and one of more than limit bytes is an error. info is
// that of the opened file. Files may grow while they are read: a reader has to bound
// what it reads, too.
func OpenRegular(root *os.Root, name string, limit int64) (f *os.File, info fs.FileInfo, err error) {
	if !fs.ValidPath(name) {
		return nil, nil, fmt.Errorf("%q is no path within a folder", name)
	}

	// Each folder on the way is one, and not a link to one.
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		info, err := root.Lstat(dir)
		if err != nil {
			return nil, nil, err
		}
		if !info.IsDir() {
			return nil, nil, fmt.Errorf("%s: %s", dir, kindOf(info.Mode(), "folder"))
		}
	}
	f, info, err = openRegular(name, root.Lstat, func() (*os.File, error) {
		return root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	})
	if err == nil && info.Size() > limit {
		f.Close()
		return nil, nil, tooLarge(name, limit)
	}
	return f, info, err
}

// ReadRegular returns the content of a file that [OpenRegular] opens.
func ReadRegular(root *os.Root, name string, limit int64) ([]byte, error) {
	f, _, err := OpenRegular(root, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(AtMost(f, name, limit))
}

// AtMost returns a reader of r, the file called name, that fails when there are more than
// limit bytes to read.
func AtMost(r io.Reader, name string, limit int64) io.Reader { return &atMost{r, name, limit} }

type atMost struct {
	r    io.Reader
	name string
	left int64
}

// Read implements [io.Reader].
func (a *atMost) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, fmt.Errorf("%s: grew while it was read", a.name)
	}
	return n, err
}

func tooLarge(name string, limit int64) error {
	return fmt.Errorf("%s: has more than %d bytes", name, limit)
}

// ErrNotRegular is an error of what is no regular file.
var ErrNotRegular = errors.New("no regular file")

// notRegular is [ErrNotRegular] in the words of [kindOf].
type notRegular fs.FileMode

func (n notRegular) Error() string        { return kindOf(fs.FileMode(n), "regular file") }
func (n notRegular) Is(target error) bool { return target == ErrNotRegular }

// kindOf says what something is that is not wanted.
func kindOf(m fs.FileMode, want string) string {
	if m&fs.ModeSymlink != 0 {
		return "is a link, which is not followed; want a " + want
	}
	is := "is no " + want
	switch {
	case m.IsDir():
		is += ", but a folder"
	case m&fs.ModeNamedPipe != 0:
		is += ", but a pipe"
	case m&fs.ModeSocket != 0:
		is += ", but a socket"
	case m&fs.ModeDevice != 0:
		is += ", but a device"
	}
	return is
}

// Until returns a reader of r that fails with the context's cause once it has ended.
func Until(ctx context.Context, r io.Reader) io.Reader { return &until{ctx, r} }

type until struct {
	ctx context.Context
	r   io.Reader
}

// Read implements [io.Reader].
func (u *until) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
