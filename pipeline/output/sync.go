package output

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// syncTree writes all files below dir to the disk, and then the folders. A folder is written after
// what is in it.
func syncTree(dir string) error {
	var folders []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			folders = append(folders, name)
			return nil
		}

		// Windows flushes only a file that is open for writing.
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrPermission) {
			f, err = os.Open(name)
		}
		if err != nil {
			return err
		}
		return errors.Join(flush(f), f.Close())
	})

	slices.Reverse(folders)
	for _, name := range folders {
		err = errors.Join(err, syncFolder(name))
	}

	return err
}

// syncFolder writes the names in a folder to the disk. Windows does so by itself. If the folder
// may not be read, or its file system cannot do that, it is left to the system.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err == nil {
		err = errors.Join(flush(f), f.Close())
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// flush writes a file to the disk. Tests leave it out, since no power fails in them.
var flush = (*os.File).Sync
