package fsx

import (
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveAll removes dir and everything below it, read-only folders included.
func RemoveAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}

	// A module cache is read-only, and a hook may have left a folder like that.
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(p, 0o755)
		}
		return nil
	})

	return os.RemoveAll(dir)
}
