package artifact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Store keeps bytes in a folder, each file named by the hexadecimal part of
// its digest. It belongs to one run of one process, which may use it from many
// goroutines.
type Store struct{ dir string }

// NewStore returns a store in dir, which must exist.
func NewStore(dir string) *Store { return &Store{dir: dir} }

// path returns where the bytes of d are, whether or not they are there yet.
func (s *Store) path(d Digest) string { return filepath.Join(s.dir, d.Hex()) }

// Open returns the bytes of d for reading. If they are not in the store the error
// is [fs.ErrNotExist].
func (s *Store) Open(d Digest) (*os.File, error) { return os.Open(s.path(d)) }

// Put copies r into the store and returns the digest and the number of bytes.
func (s *Store) Put(r io.Reader) (d Digest, size int64, err error) {
	f, err := os.CreateTemp(s.dir, "put-")
	if err != nil {
		return "", 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	h := NewHasher(f)
	if _, err := io.Copy(h, r); err != nil {
		return "", 0, fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return "", 0, fmt.Errorf("store: %w", err)
	}
	if err := os.Rename(f.Name(), s.path(h.Digest())); err != nil {
		return "", 0, err
	}
	return h.Digest(), h.Size(), nil
}

// Adopt moves the regular file at path, a build's own output, into the store:
// it is read once, to be hashed, and not copied where a rename will do. A
// symbolic link or anything else that is no regular file is refused.
func (s *Store) Adopt(path string) (Digest, int64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%s: not a regular file (%s)", path, info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	h := NewHasher(io.Discard)
	_, err = io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", 0, fmt.Errorf("hash %s: %w", path, err)
	}
	err = os.Rename(path, s.path(h.Digest()))
	if linkErr := (*os.LinkError)(nil); errors.As(err, &linkErr) && !errors.Is(err, fs.ErrPermission) {
		err = s.move(path, h.Digest()) // from another file system, perhaps
	}
	if err != nil {
		return "", 0, err
	}
	return h.Digest(), h.Size(), nil
}

// move copies the file at path and removes it. It insists that what was copied
// is what d names.
func (s *Store) move(path string, d Digest) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	copied, _, err := s.Put(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if copied != d {
		return fmt.Errorf("%s changed while it was read", path)
	}
	return os.Remove(path)
}
