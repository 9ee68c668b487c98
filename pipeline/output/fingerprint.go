package output

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// fingerprint tells whether a folder has changed, without reading its files. Two folders with equal
// fingerprints have the same files, as far as names, sizes and times tell. The zero value stands
// for no folder.
type fingerprint [sha256.Size]byte

// maxEntries bounds the files and folders of a fingerprint. No release has so many.
const maxEntries = 100_000

// fingerprintOf returns the fingerprint of a folder, or of a file in its place. It follows no link.
// The path of the folder has no influence, so that a folder can be moved.
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

		// A folder adds no more than its name, since what is in it is listed too.
		if !e.IsDir() {
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
