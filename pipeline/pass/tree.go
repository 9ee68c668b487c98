package pass

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// Bounds of a source tree in which hooks ran.
const (
	maxEntries = 2 << 20
	maxDepth   = 200  // elements of a path
	maxPath    = 4000 // bytes
)

// versionControl are the names, in lower case, by which the go command takes a folder
// for a repository (cmd/go/internal/vcs). It then runs that system's program there,
// which does what the settings of the repository say.
var versionControl = []string{".git", ".hg", ".svn", ".bzr", ".fslckout", "_fossil_"}

// treeState is what a source tree was like before the hooks ran. It has the parts that hooks must
// not change.
type treeState struct {
	tree string
	// links are the targets of symbolic links, by their names.
	links map[string]string
	// repositories are the folders of version control in the tree. kept is the folder with their
	// copies, each under its index.
	repositories []string
	kept         string
}

// survey returns the state of the source tree in folder tree. It copies the folders of version
// control to the folder kept.
func survey(tree, kept string) (*treeState, error) {
	t := &treeState{tree: tree, links: map[string]string{}, kept: kept}

	root, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer root.Close()

	err = walk(root, func(name string, mode fs.FileMode) error {
		if isVersionControl(name) && mode.IsDir() {
			t.repositories = append(t.repositories, name)
			return fs.SkipDir
		}
		if mode&fs.ModeSymlink != 0 {
			t.links[name], err = root.Readlink(name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}

	for i, name := range t.repositories {
		if err := copyRepository(filepath.Join(tree, filepath.FromSlash(name)), t.copyOf(i)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// copyOf is the path of the copy of the i-th repository.
func (t *treeState) copyOf(i int) string { return filepath.Join(t.kept, strconv.Itoa(i)) }

// copyRepository copies a folder of version control.
func copyRepository(from, to string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}

	// Git looks again at files of the work tree that are not older than its index. A younger index
	// would have it trust files that it did not read.
	info, err := os.Stat(filepath.Join(from, "index"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chtimes(filepath.Join(to, "index"), info.ModTime(), info.ModTime())
}

// isVersionControl reports whether the go command takes a folder of that name for a repository.
func isVersionControl(name string) bool {
	return slices.Contains(versionControl, strings.ToLower(path.Base(name)))
}

// restore makes the tree one that the go command and this process may read. Such a tree has files,
// folders, links that lead to these, and the version control that was laid out. What hooks wrote to
// version control is taken back, since the go command asks it what was built, and it can name
// programs to run. Anything else is an error, since removing it would build what no hook meant.
func (t *treeState) restore() error {
	root, err := os.OpenRoot(t.tree)
	if err != nil {
		return err
	}
	defer root.Close()

	err = walk(root, func(name string, mode fs.FileMode) error {
		if isVersionControl(name) {
			if slices.Contains(t.repositories, name) {
				return fs.SkipDir
			}
			return leftoverError(name, "is a repository of its own, whose settings could run programs during a build")
		}
		switch {
		case mode.IsRegular(), mode.IsDir():
			return nil
		case mode&fs.ModeSymlink == 0:
			return leftoverError(name, fmt.Sprintf("is no file and no folder (%s)", mode))
		}

		target, err := root.Readlink(name)
		if before, ok := t.links[name]; err != nil || ok && before == target {
			return err
		}
		// A link to nothing does no harm.
		if _, err := root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return leftoverError(name, fmt.Sprintf("is a link out of the source tree, to %.200q", target))
		}
		return nil
	})
	if err != nil {
		return err
	}

	for i, name := range t.repositories {
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		// A hook may have put anything in the place of a submodule.
		if ok, err := realFolder(root, path.Dir(name)); err != nil || !ok {
			continue
		}
		if err := os.Rename(t.copyOf(i), filepath.Join(t.tree, filepath.FromSlash(name))); err != nil {
			return err
		}
	}

	return fsx.RemoveAll(t.kept)
}

// realFolder reports whether each element of the path of dir is a folder.
func realFolder(root *os.Root, dir string) (bool, error) {
	for ; dir != "."; dir = path.Dir(dir) {
		if info, err := root.Lstat(dir); err != nil || !info.IsDir() {
			return false, err
		}
	}
	return true, nil
}

// leftoverError is an error about something that hooks left in the source tree.
func leftoverError(name, what string) error {
	return fault.WithRemedy(fmt.Errorf("the hooks left %.300q in the source tree, which %s", name, what),
		"let a hook remove it in the end, or put it below $TMPDIR or $HOME")
}

// walk calls visit for everything below root, with its type, and for a folder before what is in it.
// No link is followed. A folder for which visit returns [fs.SkipDir] is not entered.
func walk(root *os.Root, visit func(name string, mode fs.FileMode) error) error {
	left := maxEntries
	folders := []string{"."}
	for len(folders) > 0 {
		dir := folders[len(folders)-1]
		folders = folders[:len(folders)-1]

		f, err := root.Open(dir)
		if err != nil {
			return err
		}
		for err == nil {
			var list []fs.DirEntry
			list, err = f.ReadDir(1024) // a folder may have more entries than fit in memory
			for _, e := range list {
				name := path.Join(dir, e.Name())
				if left--; left < 0 {
					return errors.Join(fmt.Errorf("the source tree has more than %d files", maxEntries), f.Close())
				}
				if strings.Count(name, "/") >= maxDepth || len(name) > maxPath {
					return errors.Join(fmt.Errorf("the source tree is too deep, below %.100s", name), f.Close())
				}

				skip := visit(name, e.Type())
				if skip != nil && skip != fs.SkipDir {
					return errors.Join(skip, f.Close())
				}
				if e.IsDir() && skip == nil {
					folders = append(folders, name)
				}
			}
		}

		if cerr := f.Close(); err != io.EOF || cerr != nil {
			return errors.Join(err, cerr)
		}
	}
	return nil
}
