package artifact

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// Store keeps bytes in a folder. The name of each file is the hexadecimal part of its digest. A
// store belongs to one run of one process, which may use it from many goroutines.
type Store struct{ dir string }

// NewStore returns a store in dir, which must exist.
func NewStore(dir string) *Store { return &Store{dir: dir} }

// path returns where the bytes of d are, whether or not they are there yet.
func (s *Store) path(d Digest) string { return filepath.Join(s.dir, d.Hex()) }

// Open returns the bytes of d for reading. If the store does not have them, the error is
// [fs.ErrNotExist].
func (s *Store) Open(d Digest) (*os.File, error) {
	f, _, err := fsx.OpenNamed(s.path(d))
	return f, err
}

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

	// The file gets its name last, so a name in the store always stands for all of its bytes.
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

// Take copies a regular file below root into the store. Something else has written the file. name
// has slashes. [fsx.OpenRegular] opens the file, and it is hashed while it is copied. So a process
// that has it open, or has another name for it, has no influence on what is stored. executable
// tells whether its owner may execute it. A file of more than limit bytes is an error.
func (s *Store) Take(root *os.Root, name string, limit int64) (d Digest, size int64, executable bool, err error) {
	f, info, err := fsx.OpenRegular(root, name, limit)
	if err != nil {
		return "", 0, false, err
	}
	defer f.Close()

	if d, size, err = s.Put(fsx.AtMost(f, name, limit)); err != nil {
		return "", 0, false, err
	}
	return d, size, info.Mode()&0o100 != 0, nil
}

// DigestRegular returns the digest of a file that [fsx.OpenRegular] opens.
func DigestRegular(ctx context.Context, root *os.Root, name string, limit int64) (Digest, error) {
	f, _, err := fsx.OpenRegular(root, name, limit)
	if err != nil {
		return "", err
	}
	defer f.Close()

	h := NewHasher(io.Discard)
	if _, err := io.Copy(h, fsx.Until(ctx, fsx.AtMost(f, name, limit))); err != nil {
		return "", fmt.Errorf("hash %s: %w", name, err)
	}
	return h.Digest(), nil
}
