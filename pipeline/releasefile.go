package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// ReleaseFile is a release file and where it comes from.
type ReleaseFile struct {
	*matrix.File
	// Path is the path below the root of the source, with slashes.
	Path   string
	Digest artifact.Digest
	// Uncommitted says why the file is not the one in the commit. It is empty for the
	// one in the commit, and for a module of the proxy.
	Uncommitted string

	data []byte
}

// readReleaseFile reads and parses the release file of that name. Its Path is the
// base of the name.
func readReleaseFile(name string) (ReleaseFile, error) {
	data, err := fsx.ReadNamed(name, matrix.MaxSize)
	if errors.Is(err, os.ErrNotExist) {
		return ReleaseFile{}, fault.WithRemedy(fault.Usage(err), "run twice in the folder of release.toml, or `twice init` in the root folder of a module without one")
	}
	if err != nil {
		return ReleaseFile{}, fault.Usage(err)
	}
	return parseReleaseFile(filepath.Base(name), data)
}

// parseReleaseFile parses a release file. Messages name it by the last element of its path.
func parseReleaseFile(path string, data []byte) (ReleaseFile, error) {
	file, err := matrix.Parse(filepath.Base(path), data)
	if err != nil {
		return ReleaseFile{}, fault.Usage(err)
	}
	return ReleaseFile{File: file, Path: path, Digest: artifact.Of(data), data: data}, nil
}

// committed returns the release file that counts, given the commit laid out in tree. It does not
// ask git status, which passes over ignored files and over files that git was told to take for
// unchanged.
func (f ReleaseFile) committed(tree string, req Request) (ReleaseFile, error) {
	if req.Module != "" {
		return f, nil // a module's release file is the user's own
	}

	root, err := os.OpenRoot(tree) // a link in the commit may not lead out of it
	if err != nil {
		return f, err
	}
	defer root.Close()

	committed, err := root.ReadFile(filepath.FromSlash(f.Path))
	switch {
	case err == nil && bytes.Equal(committed, f.data):
		return f, nil
	case err == nil && bytes.Equal(unconverted(committed), unconverted(f.data)):
		return parseReleaseFile(f.Path, committed) // only git's conversions of text differ
	case err == nil:
		err = fmt.Errorf("%s is not the one in the commit", f.Path)
	default:
		err = fmt.Errorf("%s is not in the commit: it is ignored or untracked", f.Path)
	}

	if req.Snapshot || req.Unreleased {
		f.Uncommitted = err.Error()
		return f, nil
	}
	return f, fault.WithRemedy(fault.Usage(err), "commit it (git add -f "+f.Path+"), or make a snapshot (--snapshot)")
}

// identLine matches what git writes for $Id$ if a file has the attribute ident.
var identLine = regexp.MustCompile(`\$Id: [^$\n]*\$`)

// unconverted returns a text without what git changes when it checks a file out: ends of
// lines, and the name of the file's object (https://git-scm.com/docs/gitattributes). They
// may differ between two checkouts of one commit.
func unconverted(text []byte) []byte {
	return identLine.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("$$Id$$"))
}
