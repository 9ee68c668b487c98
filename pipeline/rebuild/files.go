package rebuild

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
)

// A file that go build FILES made does not say which files these were. It has the names of those
// with functions in it, and the source has the rest. So a few sets are tried. The part of the build
// ID about package main tells whether one was right, and without one the bytes do. A wrong set says
// nothing about the file.

// namedFiles is the import path of a package that is made of files named on the command line.
const namedFiles = "command-line-arguments"

// named reports whether the main package was made of files named on the command line.
func (c *claim) named() bool { return c.pkg == namedFiles }

const (
	maxFileSets = 8   // that are tried
	maxNamed    = 100 // files in one
)

var (
	goFileRE = regexp.MustCompile(`^[\pL\d_][\pL\d_.+-]*\.go$`)
	folderRE = regexp.MustCompile(`^[\pL\d_][\pL\d_.+-]*$`)
)

// fileSets returns sets of files of tree that a main package with these source files may have been
// made of, the likely ones first. A file has a path from the root that begins with "./". seen are
// the paths in the binary: with -trimpath "./main.go", whatever the folder, and else absolute ones.
func fileSets(tree fs.FS, seen []string) [][]string {
	relative := map[string]bool{}
	var absolute []string
	for _, name := range seen {
		if path.IsAbs(name) {
			absolute = append(absolute, name)
		} else {
			relative[name] = true
		}
	}

	// Of each folder, all files of package main, and those of them that the binary has.
	all, own := map[string][]string{}, map[string][]string{}
	var mains []string
	paths, found := map[string]bool{}, map[string]bool{}
	walkMains(tree, func(name string) {
		mains = append(mains, name)
		paths[name] = true
	})
	eachRoot(absolute, paths, func(_, name string) { found[name] = true })
	for _, name := range mains {
		dir := path.Dir(name)
		all[dir] = append(all[dir], "./"+name)
		if relative["./"+path.Base(name)] || found[name] {
			own[dir] = append(own[dir], "./"+name)
		}
	}

	// A folder with more of the binary's files is the likelier one.
	dirs := slices.SortedFunc(maps.Keys(own), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(own[b]), len(own[a])), cmp.Compare(a, b))
	})
	var sets [][]string
	for _, dir := range dirs {
		sets = append(sets, own[dir])
		if len(all[dir]) > len(own[dir]) {
			sets = append(sets, all[dir])
		}
	}
	sets = slices.DeleteFunc(sets, func(set []string) bool { return len(set) > maxNamed })
	return sets[:min(len(sets), maxFileSets)]
}

// hasPlace reports whether a name has a place in a command line.
func hasPlace(re *regexp.Regexp, name string) bool {
	return re.MatchString(name) && !strings.Contains(name, "..")
}

// walkMains calls yield with the path of each file of a package main in tree that is no test. The
// files of another module in it are left out, and so are names that have no place in a command
// line.
func walkMains(tree fs.FS, yield func(name string)) {
	files := 0
	fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // what cannot be read cannot be built
		case d.IsDir() && name != ".":
			if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil || d.Name() == "vendor" || !hasPlace(folderRE, d.Name()) {
				return fs.SkipDir
			}
		case d.Type().IsRegular() && hasPlace(goFileRE, d.Name()) && !strings.HasSuffix(name, "_test.go"):
			if files++; files > maxSource {
				return fs.SkipAll
			}
			if isMain(tree, name) {
				yield(name)
			}
		}
		return nil
	})
}

// isMain reports whether a file is of a package main.
func isMain(tree fs.FS, name string) bool {
	data, err := sandbox.ReadSmall(tree, name)
	if err != nil {
		return false
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, data, parser.PackageClauseOnly)
	return err == nil && f.Name.Name == "main"
}

// sourceFiles returns the paths of the source files that a binary names.
func sourceFiles(b *inspect.Binary) ([]string, error) {
	var files []string
	for name, err := range b.SourceFiles() {
		if err != nil {
			return nil, err
		}
		if len(files) == maxSourceFiles {
			return nil, fmt.Errorf("more than %d source files", maxSourceFiles)
		}
		files = append(files, name)
	}
	return files, nil
}
