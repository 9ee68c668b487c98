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

// OpenNamed opens a regular file for reading that a user has named, or that something of the user
// names. Links are followed. Only a regular file is opened, so that no pipe or device is waited for
// or begins to act. info is that of the opened file. The file may grow while it is read, so a
// reader has to bound what it reads.
func OpenNamed(name string) (f *os.File, info fs.FileInfo, err error) {
	return openRegular(name, os.Stat, func() (*os.File, error) {
		return os.OpenFile(name, os.O_RDONLY|nonblock, 0)
	})
}

// ReadNamed returns the content of a file that [OpenNamed] opens. A file of more than limit bytes
// is an error.
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

// openRegular opens what stat describes, if it is a regular file. It is an error if what it opened
// is another file, which something may have put in its place.
func openRegular(name string, stat func(string) (fs.FileInfo, error), open func() (*os.File, error)) (*os.File, fs.FileInfo, error) {
	before, err := stat(name)
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

// OpenRegular opens the regular file name, with slashes, below root for reading. It is for what a
// build or a hook has left, which may be anything. No link is followed, in no element of name. Only
// a regular file is opened, so that no pipe or device is waited for. A file of more than limit
// bytes is an error. info is that of the opened file. The file may grow while it is read, so a
// reader has to bound what it reads, too.
func OpenRegular(root *os.Root, name string, limit int64) (f *os.File, info fs.FileInfo, err error) {
	if !fs.ValidPath(name) {
		return nil, nil, fmt.Errorf("%q is no path within a folder", name)
	}

	// A root follows links that stay below it, so each folder on the way is looked at.
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

// AtMost returns a reader of r, the file called name. It fails if there are more than limit bytes
// to read.
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

// tooLarge is the error of a file with more than limit bytes.
func tooLarge(name string, limit int64) error {
	return fmt.Errorf("%s: has more than %d bytes", name, limit)
}

// ErrNotRegular is the error of opening what is no regular file.
var ErrNotRegular = errors.New("no regular file")

// notRegular is [ErrNotRegular] in the words of [kindOf].
type notRegular fs.FileMode

func (n notRegular) Error() string        { return kindOf(fs.FileMode(n), "regular file") }
func (n notRegular) Is(target error) bool { return target == ErrNotRegular }

// kindOf says what a file of mode m is, where a want was wanted.
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

// Until returns a reader of r that fails with the cause of ctx once ctx has ended.
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
