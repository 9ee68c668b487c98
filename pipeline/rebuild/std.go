package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// standard compiles packages of the standard library for all files of one toolchain and target.
// Nothing else is ever compiled in its workspace. Only the names of packages come near it from a
// stranger's file. A proved toolchain compiles them in this run, and the result is copied to the
// workspace of each file before its build. So no file's build can change what one of another source
// begins with (see compiled). The go command finds in it what its own hash of source, flags and toolchain names, and
// compiles the rest.
type standard struct {
	session pass.Session
	cache   string         // the folder with the caches of the targets
	graphs  sandbox.Graphs // of the builds that filled it
	err     error          // why it cannot be used
}

// standardModule is the module whose main package imports the packages to compile.
const standardModule = "standard.invalid"

var stdPackageRE = regexp.MustCompile(`^[a-z][a-z0-9]*(/[a-z][a-z0-9]*)*$`)

// stdPackages returns the packages of the standard library that a program may import and of which
// the file has functions.
func (a *attempt) stdPackages() []string {
	if a.facts.Code == nil {
		return nil
	}

	var list []string
	for _, p := range a.facts.Code.Packages {
		elements := strings.Split(p.Path, "/")
		if p.Module != "std" || !stdPackageRE.MatchString(p.Path) || slices.Contains(elements, "internal") || slices.Contains(elements, "vendor") || elements[0] == "cmd" || p.Path == "runtime/cgo" || p.Path == "main" {
			continue
		}
		// A name in a stranger's file is not reliable, so the package must exist.
		if info, err := os.Stat(filepath.Join(a.toolchain.Dir, "src", filepath.FromSlash(p.Path))); err == nil && info.IsDir() {
			list = append(list, p.Path)
		}
	}

	slices.Sort(list)
	return list
}

// warm gives the build of a file a cache with what the file before left there, if both are of one
// source, and otherwise with the standard library in it. It is of use only if other files want the
// same, and does no harm if it fails.
func (a *attempt) warm(ctx context.Context, f *pass.Foreign) error {
	c := a.claim
	packages := a.stdPackages()
	if !a.many || c.pgo || len(packages) == 0 { // with a profile all packages are compiled anew
		return nil
	}
	if ok, err := a.takeCompiled(f); ok || err != nil {
		return err
	}

	// The path of GOROOT is compiled in, so the same toolchain elsewhere needs a cache of its own.
	key := c.goVersion + " " + f.GOROOT
	s := a.standards[key]
	if s == nil {
		s = a.newStandard(ctx, f.GOROOT)
		a.standards[key] = s
	}
	if s.err != nil {
		return ctx.Err()
	}

	var main strings.Builder
	main.WriteString("package main\n\nimport (\n")
	for _, p := range packages {
		fmt.Fprintf(&main, "\t_ %q\n", p)
	}
	main.WriteString(")\n\nfunc main() {}\n")
	if err := os.WriteFile(filepath.Join(s.session.Tree(), "main.go"), []byte(main.String()), 0o644); err != nil {
		return err
	}

	a.Stage("standard library")
	env := slices.Concat(recipe.ClosedEnv(), c.env)
	slices.Sort(env)
	buildvcs := c.buildVCS()
	if buildvcs != nil {
		buildvcs = []string{"-buildvcs=false"}
	}
	res, err := s.session.Build(ctx, pass.Job{
		Binaries: []pass.Binary{{ImportPath: standardModule, Recipe: recipe.Recipe{
			Argv:   slices.Concat([]string{"go", "build"}, buildvcs, c.flags, []string{"."}),
			Binary: "std", Env: env, Target: c.target,
		}}},
		Share: a.Share(),
		All:   !c.since(knowsProfiles),
	})
	if err == nil {
		err = s.graphs.Add(res, standardModule, c.target)
	}
	if err != nil {
		return ctx.Err() // the file's own build will tell what is wrong
	}

	// The copy has the graphs with it, as the evidence for the packages in it.
	a.graphs = slices.Clone(s.graphs)
	slug := c.target.Slug()
	f.Cache = filepath.Join(a.dir, "cache")
	return os.CopyFS(filepath.Join(f.Cache, slug), os.DirFS(filepath.Join(s.cache, slug)))
}

// newStandard sets up the workspace for one toolchain at a path.
func (a *attempt) newStandard(ctx context.Context, goroot string) *standard {
	r := a.Rebuilder
	s := &standard{}
	dir, err := r.Work.Sub(fmt.Sprintf("standard-%d", len(r.standards)))
	if err != nil {
		s.err = err
		return s
	}

	empty := filepath.Join(dir, "modules")
	s.cache = filepath.Join(dir, "cache")
	if s.err = errors.Join(os.MkdirAll(empty, 0o755), os.MkdirAll(filepath.Join(dir, "pass"), 0o755)); s.err != nil {
		return s
	}

	local := &pass.Local{
		Dir: filepath.Join(dir, "pass"), Store: r.Store, ModuleDir: ".", ConfigDir: ".",
		Checkout: func(_ context.Context, dest string, _ bool) error {
			if err := os.MkdirAll(dest, 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dest, "go.mod"), []byte("module "+standardModule+"\n\ngo 1.20\n"), 0o644)
		},
		GOROOT: a.toolchain.Dir, ModCache: empty, Path: r.Path, SystemEnv: r.SystemEnv, Confinement: r.Confinement, Limits: r.Limits(),
		Now: r.Now, Log: io.Discard, Foreign: &pass.Foreign{GOROOT: goroot, Cache: s.cache},
	}

	s.session, s.err = local.Open(ctx, pass.A)
	return s
}
