package artifact

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

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
	before, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %s", name, kindOf(before.Mode(), "regular file"))
	}

	// What is opened is what was looked at: something may put another in its place.
	if f, err = root.OpenFile(name, os.O_RDONLY|nonblock, 0); err != nil {
		return nil, nil, err
	}
	info, err = f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular() || !os.SameFile(before, info):
		err = fmt.Errorf("%s: changed while it was opened", name)
	case info.Size() > limit:
		err = tooLarge(name, limit)
	default:
		return f, info, nil
	}
	f.Close()
	return nil, nil, err
}

// ReadRegular returns the content of a file that [OpenRegular] opens.
func ReadRegular(root *os.Root, name string, limit int64) ([]byte, error) {
	f, _, err := OpenRegular(root, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(&atMost{f, name, limit})
}

// atMost fails when there is more to read than left bytes.
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

// kindOf says what something is that is not wanted.
func kindOf(m fs.FileMode, want string) string {
	if m&fs.ModeSymlink != 0 {
		return "is a link, which is not followed; want a " + want
	}
	if m.IsRegular() {
		return "is no " + want
	}
	return fmt.Sprintf("is no %s (%s)", want, m.Type())
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
