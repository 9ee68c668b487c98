package modules

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Query asks what main packages are made of, for one target.
type Query struct {
	// Go is the go command of the pinned toolchain with the complete
	// environment of the build (GOOS, GOARCH, CGO_ENABLED ...) and, after it,
	// Cache.Env.
	Go gocmd.Go
	// GoVersion is its release if that may be older than Go 1.20, and else empty. Flags that it
	// does not know are left out then.
	GoVersion string
	// Tree is the absolute path of the source tree, and Dir that of the main
	// module's folder in it. Hooks that write source files must have run.
	Tree, Dir string
	// Flags are the build flags that have a say in which files are compiled,
	// such as -tags=x, -mod=vendor and -race.
	Flags []string
	// Packages are the main packages, each as one folder relative to Dir
	// ("./cmd/x") or as an import path; patterns with "..." and files are errors.
	Packages []string
	// Files are those of one more main package, relative to Dir, as go build FILES takes them.
	// They are used whatever their build constraints are. There must be no Packages beside them.
	Files []string
}

// Package is a package as the go command sees it for the query's target.
type Package struct {
	// ImportPath is its import path, and Name the one in its package clause.
	ImportPath, Name string
	// Dir is the absolute path of its folder.
	Dir string
	// Standard tells that it belongs to the Go distribution.
	Standard bool
	// GoFiles and CgoFiles are the file names of what is compiled, without and
	// with import "C". EmbedFiles are the files it embeds, slash-separated
	// below Dir.
	GoFiles, CgoFiles, EmbedFiles []string
}

// MainPackage is a main package and all it is made of.
type MainPackage struct {
	Package
	// Pattern is the member of Query.Packages that named it.
	Pattern string
	// Modules are those from which it has packages, sorted by path, without
	// the main module.
	Modules []recipe.Module
	// Cgo are the import paths of packages with cgo files, sorted, among them
	// those of the Go distribution (runtime/cgo, net ...). If there is one, the
	// C compiler and linker have a part in the binary.
	Cgo []string
	// deps are its dependencies and itself, by import path.
	deps map[string]*listedPackage
}

// Dependency returns the package of that import path, and whether it is a part of m.
// The main package itself is one.
func (m *MainPackage) Dependency(importPath string) (Package, bool) {
	if p := m.deps[importPath]; p != nil {
		return p.Package, true
	}
	return Package{}, false
}

// listedPackage is a package as go list describes it.
type listedPackage struct {
	Package
	Module     *listedModule
	Match      []string
	DepOnly    bool
	Deps       []string
	Error      *listedError
	DepsErrors []*listedError
}

const listedFields = "ImportPath,Name,Dir,Standard,GoFiles,CgoFiles,EmbedFiles,Module,Match,DepOnly,Deps,Error,DepsErrors"

type listedModule struct {
	Path, Version string
	Main          bool
	Replace       *listedModule
}

type listedError struct{ Pos, Err string }

func (e *listedError) String() string {
	if e.Pos == "" {
		return e.Err
	}
	return e.Pos + ": " + e.Err
}

// Describe returns what q asks for, in the order of q.Packages.
//
// A package that is missing, not a main package, excluded by build
// constraints or part of an import cycle, and whatever else the go command
// finds wrong with it or its dependencies (a line that go.sum lacks, a module
// that the cache lacks), is an error with the go command's own words; the
// error tells of all packages at once. So is a dependency that is replaced by
// a folder outside of the source tree.
func Describe(ctx context.Context, q Query) ([]*MainPackage, error) {
	for _, p := range q.Packages {
		if err := checkPattern(p); err != nil {
			return nil, err
		}
	}

	asked := q.Packages
	if len(q.Files) > 0 {
		asked = q.Files
	}
	if len(asked) == 0 || len(q.Packages) > 0 && len(q.Files) > 0 {
		return nil, errors.New("no main package is named, or files beside one")
	}
	for _, name := range q.Files {
		if !strings.HasPrefix(name, "./") || !strings.HasSuffix(name, ".go") || strings.Contains(name, "..") {
			return nil, fmt.Errorf("file %q: want the path of a Go file in the module", name)
		}
	}

	// A profile would split packages in one per main package, and has no say
	// in what is compiled. A stamp has no say either, and for it the go command would
	// run git, as hooks may have set it up.
	args := []string{"list", "-e", "-deps"}
	if q.since("go1.19") {
		args = append(args, "-json="+listedFields)
	} else {
		args = append(args, "-json")
	}
	args = append(args, q.Flags...)
	if q.since("go1.20") {
		args = append(args, "-pgo=off")
	}
	if q.since("go1.18") {
		args = append(args, "-buildvcs=false")
	}
	args = slices.Concat(args, []string{"--"}, asked)
	out, err := q.Go.Run(ctx, q.Dir, args...)
	if err != nil {
		return nil, withTidy(err)
	}

	byPath := map[string]*listedPackage{}
	byPattern := map[string][]*listedPackage{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listedPackage)
		if err := dec.Decode(p); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		byPath[p.ImportPath] = p
		for _, pattern := range p.Match {
			byPattern[pattern] = append(byPattern[pattern], p)
		}
	}

	// A recipe names each module by its hash.
	sums, err := readSums(filepath.Join(q.Dir, "go.sum"))
	if err != nil {
		return nil, err
	}

	// A package of files matches each of their names.
	if len(q.Files) > 0 {
		m, err := q.describeMain(namedFiles, []*listedPackage{cmp.Or(byPath[namedFiles], &listedPackage{})}, byPath, sums)
		if err != nil {
			return nil, fmt.Errorf("package of %s: %w", strings.Join(truncateList(q.Files, 10), " "), err)
		}
		return []*MainPackage{m}, nil
	}

	var mains []*MainPackage
	var errs []error
	for _, pattern := range q.Packages {
		m, err := q.describeMain(pattern, byPattern[pattern], byPath, sums)
		if err != nil {
			errs = append(errs, fmt.Errorf("package %s: %w", pattern, err))
		}
		mains = append(mains, m)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return mains, nil
}

// since reports whether the go command is of a release, or of a later one.
func (q Query) since(release string) bool {
	return q.GoVersion == "" || version.Compare(q.GoVersion, release) >= 0
}

// namedFiles is the import path of a package that is made of files named on the command line.
const namedFiles = "command-line-arguments"

// checkPattern returns an error unless p names one package.
func checkPattern(p string) error {
	switch {
	case p == "", strings.HasPrefix(p, "-"), strings.Contains(p, "..."), strings.Contains(p, "@"),
		strings.HasSuffix(p, ".go"), p == "all", p == "std", p == "cmd", p == "tool", p == "work":
		return fault.WithRemedy(fault.Usage(fmt.Errorf("package %q: want one package", p)), `write its folder, such as "./cmd/x"`)
	}
	return nil
}

func (q Query) describeMain(pattern string, matched []*listedPackage, byPath map[string]*listedPackage, sums map[module.Version]string) (*MainPackage, error) {
	if len(matched) != 1 {
		return nil, fmt.Errorf("the go command finds %d packages", len(matched))
	}

	p := matched[0]
	if err := p.err(); err != nil {
		return nil, err
	}

	if p.Name != "main" {
		return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("is package %s, not a main package", p.Name)), "name the folder of a command")
	}

	m := &MainPackage{Package: p.Package, Pattern: pattern, deps: map[string]*listedPackage{p.ImportPath: p}}
	for _, path := range p.Deps {
		if path == "C" || path == "unsafe" { // no packages that are compiled
			continue
		}
		dep := byPath[path]
		if dep == nil {
			return nil, fmt.Errorf("go list does not tell about its dependency %s", path)
		}
		if err := dep.err(); err != nil {
			return nil, err
		}
		m.deps[path] = dep
	}

	// Any dependency decides about the bytes, so cgo and modules are those of all of them.
	seen := map[string]bool{}
	for path, dep := range m.deps {
		if len(dep.CgoFiles) > 0 {
			m.Cgo = append(m.Cgo, path)
		}
		if dep.Module == nil || dep.Module.Main || seen[dep.Module.Path] {
			continue
		}

		seen[dep.Module.Path] = true
		mod, err := q.moduleOf(dep, sums)
		if err != nil {
			return nil, err
		}
		m.Modules = append(m.Modules, mod)
	}

	slices.Sort(m.Cgo)
	slices.SortFunc(m.Modules, func(a, b recipe.Module) int { return strings.Compare(a.Path, b.Path) })
	return m, nil
}

// err returns the faults that the go command finds in p or its dependencies.
func (p *listedPackage) err() error {
	var said []string
	if p.Error != nil {
		said = append(said, p.Error.String())
	}
	for _, e := range p.DepsErrors {
		if s := e.String(); !slices.Contains(said, s) {
			said = append(said, s)
		}
	}

	if len(said) == 0 {
		return nil
	}
	return withTidy(errors.New(strings.Join(truncateList(said, 10), "\n")))
}

// withTidy adds the remedy for a go.mod or go.sum that lacks something to an
// error in the go command's own words.
func withTidy(err error) error {
	for _, lack := range []string{"missing go.sum entry", "updates to go.mod needed"} {
		if strings.Contains(err.Error(), lack) {
			return fault.WithRemedy(fault.Usage(err), tidyRemedy)
		}
	}
	return err
}

// moduleOf returns the module that dep comes from, as a recipe names it.
func (q Query) moduleOf(dep *listedPackage, sums map[module.Version]string) (recipe.Module, error) {
	mod := recipe.Module{Path: dep.Module.Path, Version: dep.Module.Version}
	content := module.Version{Path: mod.Path, Version: mod.Version}

	r := dep.Module.Replace
	if r != nil && r.Version != "" {
		mod.Replace = r.Path + "@" + r.Version
		content = module.Version{Path: r.Path, Version: r.Version}
	}

	if isPathBelow(filepath.Join(q.Dir, "vendor"), dep.Dir) {
		return mod, nil // its content is in the source tree, wherever it came from
	}
	if r != nil && r.Version == "" {
		rel, err := q.pathInTree(r.Path)
		if err != nil {
			return mod, fmt.Errorf("module %s: %w", mod.Path, err)
		}
		mod.Replace = rel
		return mod, nil
	}

	if mod.Sum = sums[content]; mod.Sum == "" {
		return mod, fault.WithRemedy(fault.Usage(fmt.Errorf("go.sum lacks the hash of %s", content)), tidyRemedy)
	}
	return mod, nil
}

// pathInTree returns the path of the folder dir, which is absolute or relative to
// the main module, relative to the source tree and with slashes.
func (q Query) pathInTree(dir string) (string, error) {
	abs := filepath.FromSlash(dir)
	if !filepath.IsAbs(abs) {
		abs = filepath.Join(q.Dir, abs)
	}

	// Links on the way must not hide that the folder is outside.
	tree, err := filepath.EvalSymlinks(q.Tree)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", err
	}

	if real != tree && !isPathBelow(tree, real) {
		return "", fault.WithRemedy(fault.Usage(fmt.Errorf("is replaced by %s: a local replace outside of the source tree", dir)),
			"a release is built from the source tree alone: publish the replacement, or move it into the tree")
	}

	rel, err := filepath.Rel(tree, real)
	return filepath.ToSlash(rel), err
}

// isPathBelow reports whether path is in the folder dir, by their names.
func isPathBelow(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// readSums reads the modules' hashes of a go.sum file, without those of go.mod
// files: https://go.dev/ref/mod#go-sum-files. A missing file has none. Of a
// module with more than one, none counts.
func readSums(name string) (map[module.Version]string, error) {
	data, err := fsx.ReadNamed(name, maxGoSum)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}

	sums := map[module.Version]string{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 || !strings.HasPrefix(f[2], "h1:") || strings.HasSuffix(f[1], "/go.mod") {
			continue // the go command has complained, or will
		}

		m := module.Version{Path: f[0], Version: f[1]}
		if sum, ok := sums[m]; ok && sum != f[2] {
			f[2] = ""
		}
		sums[m] = f[2]
	}

	return sums, nil
}
