package output

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// fingerprint is what something looks like without reading it: two that are equal have the
// same files, as far as names, sizes and times tell. The zero value is that of nothing.
type fingerprint [sha256.Size]byte

// maxEntries is how many files and folders are looked at. No release has so many.
const maxEntries = 100_000

// fingerprintOf looks at a folder, or at what is in its place, and at all that is below. No
// link is followed. Where the folder itself is does not matter.
func fingerprintOf(ctx context.Context, dir string) (f fingerprint, err error) {
	h, entries := sha256.New(), 0
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if name == dir && errors.Is(err, fs.ErrNotExist) {
			return fs.SkipAll
		}
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
		if entries++; entries > maxEntries {
			return fmt.Errorf("%s has more than %d files", dir, maxEntries)
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %s", rel, e.Type())
		if !e.IsDir() { // what is in a folder is looked at by itself
			info, err := e.Info()
			if err != nil {
				return err
			}
			fmt.Fprintf(h, " %s %d %d %s", info.Mode(), info.Size(), info.ModTime().UnixNano(), identity(info))
		}
		fmt.Fprintln(h)
		return nil
	})
	if err == nil && entries > 0 {
		h.Sum(f[:0])
	}
	return f, err
}
