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

// sources are the packages of the main module, as far as the binaries are made
// of them.
type sources struct {
	*facts
	// module is the main module's path; "" where there is no go.mod.
	module string
	// otherImports are the import paths of packages of other modules that they
	// import, sorted.
	otherImports []string

	files       map[string][]byte
	packages    map[string]*build.Package // by setting and folder
	nested      map[string]bool           // by folder: in another module
	declared    map[string]*declarations  // by folder and files
	suggestions map[string]string         // by stamp: a hint
}

// sources reads the packages of every build, once.
func (f *facts) sources() *sources {
	if f.src != nil {
		return f.src
	}
	s := &sources{facts: f, files: map[string][]byte{}, packages: map[string]*build.Package{}, nested: map[string]bool{}, declared: map[string]*declarations{}, suggestions: map[string]string{}}
	f.src = s
	if mod := f.gomod(); mod != nil {
		s.module = mod.Module.Mod.Path
	}
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

// isStandard reports whether an import path is one of the Go distribution, or C.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// folderOf returns the folder in the tree of a package of the main module.
func (s *sources) folderOf(importPath string) (string, bool) {
	rest, ok := strings.CutPrefix(importPath, s.module)
	if !ok || s.module == "" || rest != "" && rest[0] != '/' {
		return "", false
	}
	dir := path.Join(s.ModuleDir, rest)
	return dir, fs.ValidPath(dir) && !s.inNestedModule(dir)
}

// inNestedModule reports whether a folder below the main module's is in another module.
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

// mainFolder is the folder of the main package of a build.
func (s *sources) mainFolder(b matrix.Build) string { return path.Join(s.ModuleDir, b.Package) }

// packagesOf returns the packages of the main module that b is made of, its main
// package first. What packages of other modules import is not known here.
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

// loadPackage reads the package in folder dir as b compiles it. An error in it is the
// compiler's to tell.
func (s *sources) loadPackage(b matrix.Build, dir string) *build.Package {
	o := b.Options
	key := fmt.Sprint(b.Target, o.Cgo, o.Tags, o.Experiments, dir)
	if p := s.packages[key]; p != nil {
		return p
	}
	c := build.Context{
		GOOS: b.Target.OS, GOARCH: b.Target.Arch, Compiler: "gc", CgoEnabled: o.Cgo, BuildTags: o.Tags,
		ToolTags: slices.Clone(build.Default.ToolTags), ReleaseTags: s.releaseTags(),
		// With all of these, go/build neither asks a go command nor sees a disk.
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

// releaseTags are those of the toolchain, or of the Go that built twice.
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

// cachedFile is read, remembered.
func (s *sources) cachedFile(name string) ([]byte, bool) {
	data, known := s.files[name]
	if !known {
		data, _ = s.readFile(name)
		s.files[name] = data
	}
	return data, data != nil
}

// uncertainFiles returns the files of p that were left out because of a tag that only
// the toolchain knows: an experiment, or a feature of a variant such as
// amd64.v3.
func (s *sources) uncertainFiles(p *build.Package) []string {
	var names []string
	for _, name := range p.IgnoredGoFiles {
		data, _ := s.cachedFile(path.Join(p.Dir, name))
		for line := range strings.Lines(string(data)) {
			expr, err := constraint.Parse(strings.TrimSpace(line))
			if err != nil {
				continue
			}
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
