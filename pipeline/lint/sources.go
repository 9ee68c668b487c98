package lint

import (
	"bytes"
	"fmt"
	"go/build"
	"go/build/constraint"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
)

// sources are those packages of the main module that binaries are made of.
type sources struct {
	*facts
	// module is the main module's path, or "" if there is no go.mod.
	module string
	// otherImports are the packages of other modules that they import, sorted.
	otherImports []string

	files       map[string][]byte         // by name; nil if it cannot be read
	packages    map[string]*build.Package // by setting and folder
	nested      map[string]bool           // by folder: in another module
	declared    map[string]*declarations  // by folder and files
	suggestions map[string]string         // by stamp: a remedy
}

// sources returns the packages of every build. They are read once.
func (f *facts) sources() *sources {
	if f.src != nil {
		return f.src
	}
	s := &sources{
		facts: f, files: map[string][]byte{}, packages: map[string]*build.Package{}, nested: map[string]bool{},
		declared: map[string]*declarations{}, suggestions: map[string]string{},
	}
	f.src = s
	if mod := f.gomod(); mod != nil {
		s.module = mod.Module.Mod.Path
	}

	// An import that is neither own nor standard shows which required modules are needed.
	for _, b := range f.Builds {
		for _, p := range s.packagesOf(b) {
			for _, imported := range p.Imports {
				if _, own := s.folderOf(imported); !own && !isStandard(imported) {
					s.otherImports = append(s.otherImports, imported)
				}
			}
		}
	}
	slices.Sort(s.otherImports)
	s.otherImports = slices.Compact(s.otherImports)
	return s
}

// isStandard reports whether an import path is of the Go distribution, or "C".
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// folderOf returns the folder of a package in the tree, and whether the package is
// one of the main module.
func (s *sources) folderOf(importPath string) (string, bool) {
	rest, ok := strings.CutPrefix(importPath, s.module)
	if !ok || s.module == "" || rest != "" && rest[0] != '/' {
		return "", false
	}
	dir := path.Join(s.ModuleDir, rest)
	return dir, fs.ValidPath(dir) && !s.inNestedModule(dir)
}

// inNestedModule reports whether a folder below that of the main module is in
// another module.
func (s *sources) inNestedModule(dir string) bool {
	if dir == s.ModuleDir || dir == "." {
		return false
	}
	nested, known := s.nested[dir]
	if !known {
		_, err := fs.Stat(s.Tree, path.Join(dir, "go.mod"))
		nested = err == nil || s.inNestedModule(path.Dir(dir))
		s.nested[dir] = nested
	}
	return nested
}

// mainFolder returns the folder of the main package of a build.
func (s *sources) mainFolder(b matrix.Build) string { return path.Join(s.ModuleDir, b.Package) }

// packagesOf returns the packages of the main module that b is made of, the main
// package first. Imports of other modules' packages are not followed.
func (s *sources) packagesOf(b matrix.Build) []*build.Package {
	if s.Tree == nil {
		return nil
	}

	var list []*build.Package
	dirs := []string{s.mainFolder(b)}
	for i := 0; i < len(dirs); i++ {
		p := s.loadPackage(b, dirs[i])
		list = append(list, p)

		for _, imported := range p.Imports {
			if dir, own := s.folderOf(imported); own && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return list
}

// loadPackage reads the package in folder dir as b compiles it. It ignores errors in
// the package, which the compiler reports.
func (s *sources) loadPackage(b matrix.Build, dir string) *build.Package {
	o := b.Options
	key := fmt.Sprint(b.Target, o.Cgo, o.Tags, o.Experiments, dir)
	if p := s.packages[key]; p != nil {
		return p
	}

	c := build.Context{
		GOOS: b.Target.OS, GOARCH: b.Target.Arch, Compiler: "gc", CgoEnabled: o.Cgo, BuildTags: o.Tags,
		ToolTags: slices.Clone(build.Default.ToolTags), ReleaseTags: s.releaseTags(),
		// With these functions, go/build neither runs a go command nor sees a disk.
		JoinPath: path.Join, SplitPathList: func(string) []string { return nil }, IsAbsPath: path.IsAbs,
		HasSubdir: func(string, string) (string, bool) { return "", false },
		IsDir: func(name string) bool {
			info, err := fs.Stat(s.Tree, name)
			return err == nil && info.IsDir()
		},
		ReadDir: func(name string) ([]fs.FileInfo, error) {
			entries, err := fs.ReadDir(s.Tree, name)
			var list []fs.FileInfo
			for _, e := range entries {
				info, err := e.Info()
				if err != nil {
					return nil, err
				}
				list = append(list, info)
			}
			return list, err
		},
		OpenFile: func(name string) (io.ReadCloser, error) {
			data, ok := s.cachedFile(name)
			if !ok {
				return nil, fs.ErrNotExist
			}
			return io.NopCloser(bytes.NewReader(data)), nil
		},
	}

	for _, e := range o.Experiments {
		c.ToolTags = append(c.ToolTags, "goexperiment."+e)
	}

	p, _ := c.ImportDir(dir, 0)
	s.packages[key] = p
	return p
}

// releaseTags returns the release tags of the toolchain. Where its version is not
// known, they are those of the Go that built twice.
func (s *sources) releaseTags() []string {
	minor := 0
	if _, err := fmt.Sscanf(s.Toolchain, "go1.%d", &minor); err != nil || minor < 1 || minor > 999 {
		return build.Default.ReleaseTags
	}

	var tags []string
	for i := 1; i <= minor; i++ {
		tags = append(tags, fmt.Sprintf("go1.%d", i))
	}
	return tags
}

// cachedFile works like readFile, and reads every file once.
func (s *sources) cachedFile(name string) ([]byte, bool) {
	data, known := s.files[name]
	if !known {
		data, _ = s.readFile(name)
		s.files[name] = data
	}
	return data, data != nil
}

// uncertainFiles returns the files of p that were left out because of a tag that only
// the toolchain knows: an experiment, or a feature of a variant such as amd64.v3.
func (s *sources) uncertainFiles(p *build.Package) []string {
	var names []string
	for _, name := range p.IgnoredGoFiles {
		data, _ := s.cachedFile(path.Join(p.Dir, name))
		for line := range strings.Lines(string(data)) {
			expr, err := constraint.Parse(strings.TrimSpace(line))
			if err != nil {
				continue
			}

			// Such tags have a dot, and only those of releases are known here.
			unsure := false
			expr.Eval(func(tag string) bool {
				unsure = unsure || strings.Contains(tag, ".") && !strings.HasPrefix(tag, "go1.")
				return false
			})

			if unsure {
				names = append(names, name)
				break
			}
		}
	}
	return names
}
