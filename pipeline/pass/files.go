package pass

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"slices"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// Files implements [Session].
func (s *localSession) Files(globs []string) ([]artifact.Artifact, error) {
	names, err := MatchFiles(s.outside.source, s.ConfigDir, globs)
	if err != nil {
		return nil, err
	}

	root, err := OpenFolder(s.outside.source, s.ConfigDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()

	var list []artifact.Artifact
	left := int64(maxFileBytes)
	for _, name := range names {
		a := artifact.Artifact{Name: name, Kind: artifact.File}
		if a.Digest, a.Size, a.Executable, err = s.Store.Take(root, name, left); err != nil {
			return nil, packError(err)
		}
		left -= a.Size
		list = append(list, a)
	}

	return list, nil
}

// OpenFolder opens the folder dir, with slashes, of a source tree. Nothing outside of the tree is
// opened, whatever the tree holds.
func OpenFolder(tree, dir string) (*os.Root, error) {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenRoot(dir)
}

// Bounds of what goes into archives and images beside the binaries: the number of files, and the
// bytes of all of them.
const (
	maxFiles     = 1 << 16
	maxFileBytes = 16 << 30
)

// MatchFiles returns the names of the files that match globs, sorted. Globs and names are relative
// to the folder dir of a source tree. It checks what [Session.Files] checks without reading a file,
// so that a file that cannot be packed is an error before anything is built.
func MatchFiles(tree, dir string, globs []string) ([]string, error) {
	top, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer top.Close()

	if ok, err := realFolder(top, dir); err != nil || !ok {
		return nil, errors.Join(err, packError(fmt.Errorf("%s: is no folder of the source tree", dir)))
	}

	root, err := top.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()

	sizes, left := map[string]int64{}, int64(maxFileBytes)
	for _, glob := range globs {
		found, err := fs.Glob(root.FS(), glob)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", glob, err)
		}
		for _, name := range found {
			info, err := root.Lstat(name)
			if err != nil {
				return nil, err
			}
			if _, again := sizes[name]; again || info.IsDir() {
				continue
			}

			if sizes[name], err = packable(root, dir, name); err != nil {
				return nil, packError(err)
			}
			if len(sizes) > maxFiles {
				return nil, packError(fmt.Errorf("%s: there are more than %d files, the limit for all archives and images together", glob, maxFiles))
			}
			if sizes[name] > left {
				return nil, packError(fmt.Errorf("%s: with it there is more than %s, the limit for all archives and images together", name, gib(maxFileBytes)))
			}

			left -= sizes[name]
		}
	}

	return slices.Sorted(maps.Keys(sizes)), nil
}

// packable returns the size of the file name below root, the folder dir of the source tree. It is
// an error if the file may not be in an archive.
func packable(root *os.Root, dir, name string) (int64, error) {
	for at := path.Join(dir, name); at != "."; at = path.Dir(at) {
		if isVersionControl(at) {
			return 0, fmt.Errorf("%s: belongs to version control, and is no part of the source", name)
		}
	}

	f, info, err := fsx.OpenRegular(root, name, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	return info.Size(), f.Close()
}

// packError says of an error that it is about a file for archives and images.
func packError(err error) error {
	return fmt.Errorf("it cannot go into an archive or an image: %w", err)
}
