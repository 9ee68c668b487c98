package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CreateNew creates the file name for writing. It fails with [fs.ErrExist] if anything is there,
// a link that leads nowhere included, so nothing is overwritten and no link is followed.
func CreateNew(name string, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// WriteNew writes data to a file that [CreateNew] creates.
func WriteNew(name string, data []byte, mode fs.FileMode) error {
	f, err := CreateNew(name, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Replace writes a file in one step: a reader sees all of it, or what was there before. The new
// file has the permissions mode, as far as the user's umask leaves them.
func Replace(name string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	// The file is made in a new folder beside its place, since nobody else has a name for that.
	dir, err := os.MkdirTemp(filepath.Dir(name), ".twice-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	temp := filepath.Join(dir, filepath.Base(name))
	f, err := CreateNew(temp, mode)
	if err != nil {
		return err
	}

	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, name)
}
