package rebuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/source"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// openModule takes the source from the module proxy.
func (a *attempt) openModule(ctx context.Context, g gocmd.Go, v string) error {
	c := a.claim
	m, err := source.OpenModule(ctx, g, c.main.Path+"@"+v, filepath.Join(a.dir, "scratch"))
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return notHad(err, "the source cannot be had").WithRemedy("is there a network? For a module that no proxy has, name a repository with --source DIR")
	}

	a.source = m.Identity()
	name := c.main.Path + "@" + v
	a.res.Source = name
	addGround(&a.res.RestsOn, "module zip "+name+" "+a.source.Sum, "%s", a.Client.Voucher(c.main.Path))

	revision := ""
	if c.vcs != nil {
		if revision, err = a.claimVCSStamp(ctx, g, v); err != nil {
			return err
		}
	}
	a.unnamed = c.whyNotNamed(a.choice, a.source.Sum, revision)

	a.tree = filepath.Join(a.dir, "tree")
	if err := m.Checkout(ctx, a.tree, source.Sorted); err != nil {
		return err
	}
	a.treeFS = os.DirFS(a.tree)
	a.outside = c.named() && !hasModule(a.treeFS)

	if c.install {
		return nil
	}
	// The go command would take the modules from there. A module's zip has at most a list of what
	// would be in that folder.
	if err := os.RemoveAll(filepath.Join(a.tree, "vendor")); err != nil {
		return err
	}

	for _, file := range []string{"go.work", "go.work.sum"} {
		if err := os.RemoveAll(filepath.Join(a.tree, file)); err != nil {
			return err
		}
	}

	return nil
}

// claimVCSStamp says how far the stamp of version control can be relied upon. It returns the revision
// that the module proxy gives to the version, if it gives one. A guess that the stamp contradicts
// is wrong.
func (a *attempt) claimVCSStamp(ctx context.Context, g gocmd.Go, v string) (revision string, err error) {
	s := a.claim.vcs
	why := "the file's own word: no history was at hand"

	// An error is no obstacle: the stamp then rests on the file alone.
	r, err := g.Resolve(ctx, a.claim.main.Path, v, filepath.Join(a.dir, "resolve"))
	if err == nil && r.Origin != nil {
		revision = r.Origin.Hash
	}

	switch {
	case revision == "":
	case revision == s.revision:
		why = "the file's own word, and the module proxy says the same of the revision; nobody has signed that"
	case a.choice.guess != "":
		return "", &wrongGuess{fmt.Sprintf("the module proxy says that it is revision %s, and the file that it is %s", verdict.Quote(revision), s.revision)}
	default:
		why = fmt.Sprintf("the file's own word, and the module proxy says that %s is revision %s", v, revision)
	}

	// Nobody signs the stamp, so each of its settings is listed as a claim.
	list := []recipe.Choice{{Setting: "vcs.revision", Value: s.revision}, {Setting: "vcs.time", Value: s.time.UTC().Format(time.RFC3339)}}
	if !s.modified { // what else it means depends on the verdict: see claimDirty
		list = append(list, recipe.Choice{Setting: "vcs.modified", Value: "false"})
	}
	for _, c := range list {
		a.res.Claimed = append(a.res.Claimed, verdict.ClaimOf(c, why))
	}
	return revision, nil
}

// notHad returns the reason for err, with which a go command failed to fetch what summary is about.
func notHad(err error, summary string) *verdict.Reason {
	return verdict.Because(sandbox.FetchKind(err), "%s: %s", summary, err)
}

// openFolder takes the source from a repository that the user names.
func (a *attempt) openFolder(ctx context.Context) error {
	c := a.claim
	if c.install {
		return verdict.Because(verdict.NotPublic, "it was installed from the module proxy, not built in a repository").WithRemedy("leave --source out")
	}
	if a.Git == "" {
		return fault.WithRemedy(fault.Usage(errors.New("there is no git in PATH")), "install git 2.32 or newer")
	}

	scratch := filepath.Join(a.dir, "scratch")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	if err := c.checkModule(a.options.SourceDir); err != nil {
		return verdict.Because(verdict.NotPublic, "%s", err)
	}

	if a.res.Source == "" {
		a.res.Source = c.main.Path
	}

	repo, err := source.Open(ctx, source.Git{Path: a.Git, Env: a.SystemEnv, User: a.UserEnv}, a.options.SourceDir, source.Options{Scratch: scratch, NoModule: c.named() && c.main.Path == ""})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return verdict.Because(verdict.NotPublic, "the source cannot be had: %s", err).WithRemedy(fault.RemedyOf(err))
	}

	a.source = repo.Identity()
	if c.vcs != nil && c.vcs.revision != a.source.Commit {
		return verdict.Because(verdict.NotPublic, "the repository is at commit %s, and the file was built from %s", a.source.Commit[:12], c.vcs.revision[:12]).
			WithRemedy("git checkout " + c.vcs.revision)
	}
	if c.vcs == nil {
		a.unnamed = verdict.Because(verdict.SourceNotNamed, "it does not say which revision it is, and that it is commit %s is your word", a.source.Commit[:12]).WithRemedy("ask for a build that says it")
	}

	addGround(&a.res.RestsOn, "commit "+a.source.Commit+" of your repository", "its objects were hashed")
	a.tree = filepath.Join(a.dir, "tree")
	if err := repo.Checkout(ctx, a.tree, source.Sorted); err != nil {
		return err
	}
	a.treeFS = os.DirFS(filepath.Join(a.tree, filepath.FromSlash(a.source.Dir)))
	a.outside = c.named() && !hasModule(a.treeFS)
	return c.placeFolders(a.tree, a.source.Dir)
}

// placeFolders finds the folders that stand in for dependencies in the tree of the source. dir is
// that of the main module in it. From then on a replacement is a path in the tree, as a recipe has it.
func (c *claim) placeFolders(tree, dir string) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()

	for i, d := range c.deps {
		if !c.folders[d.Path] {
			continue
		}
		in := path.Join(dir, d.Replace)
		if !filepath.IsLocal(filepath.FromSlash(in)) {
			return verdict.Because(verdict.LocalReplace, "dependency %s was replaced by %s, which is outside of the repository", verdict.Quote(d.Path), verdict.Quote(d.Replace))
		}
		// Links out of the tree lead nowhere here.
		if info, err := root.Stat(path.Join(in, "go.mod")); err != nil || !info.Mode().IsRegular() {
			return verdict.Because(verdict.LocalReplace, "dependency %s was replaced by %s, which is no folder of a module in the repository", verdict.Quote(d.Path), verdict.Quote(d.Replace))
		}
		c.deps[i].Replace = in
	}
	return nil
}

// hasModule reports whether a tree has a go.mod.
func hasModule(tree fs.FS) bool {
	_, err := fs.Stat(tree, "go.mod")
	return err == nil
}

// obtainToolchain gets the toolchain and has it proved.
func (a *attempt) obtainToolchain(ctx context.Context) error {
	v := a.claim.goVersion
	tc, ok := a.toolchains[v]
	if !ok {
		var err error
		if tc, err = a.Prove(ctx, a.Client.Go, v, a.OS, a.Arch, true); err != nil {
			return err
		}
		a.toolchains[v] = tc
	}
	if err := a.checkNames(tc.Dir); err != nil {
		return err
	}
	a.toolchain = tc
	a.pinned = a.Client.WithToolchain(tc.Dir)
	addGround(&a.res.RestsOn, "toolchain "+v+" "+tc.Sum, "checksum database")
	return nil
}

// checkNames fails if the packages of the main module have names of the standard library's. Then
// nothing tells whose function is whose. A public module's path has a dot in its first part, and
// the standard library has none.
func (a *attempt) checkNames(goroot string) error {
	first, _, _ := strings.Cut(a.claim.main.Path, "/")
	if _, err := os.Stat(filepath.Join(goroot, "src", first)); err == nil && a.claim.private {
		return verdict.Because(verdict.Unreadable, "the main module is called %s, as a part of the standard library is", verdict.Quote(a.claim.main.Path))
	}
	return nil
}

// fillModules downloads the modules, with the go command of the toolchain and the
// network.
func (a *attempt) fillModules(ctx context.Context) (err error) {
	c := a.claim
	a.modCache = filepath.Join(a.dir, "modules")
	if err := os.MkdirAll(a.modCache, 0o755); err != nil {
		return err
	}

	if c.install {
		err = a.fillInstalled(ctx)
	} else {
		err = a.fillLocal(ctx)
	}
	if guess := (*wrongGuess)(nil); err != nil && ctx.Err() == nil && !errors.As(err, &guess) {
		return notHad(err, "the modules cannot be had, or the source does not go with "+c.goVersion).WithRemedy(fault.RemedyOf(err))
	}

	if n := len(c.folders); err == nil && n > 0 {
		addGround(&a.res.RestsOn, plural(n, "dependency", "dependencies")+" in folders of the source", "its commit has them")
	}
	if n := len(c.deps) - len(c.folders); err == nil && n > 0 {
		why := "go.sum of the source"
		if c.vendored && a.source.Module == "" {
			why = "the vendor folder of the source, which nothing holds against go.sum"
		}
		if c.install {
			why = "checksum database"
			if a.Client.SumDB == "off" || a.Client.NoSumDB != "" {
				why += ", but for what GOSUMDB and GONOSUMDB exempt"
			}
		}
		addGround(&a.res.RestsOn, plural(n, "dependency", "dependencies"), "%s", why)
	}
	return err
}

// plural returns a number with what it counts.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// fillInstalled has go install resolve the package: with -n it downloads what it
// would build, and builds nothing.
func (a *attempt) fillInstalled(ctx context.Context) error {
	scratch := filepath.Join(a.dir, "install")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	c := a.claim
	client := a.pinned.WithCache(a.modCache, filepath.Join(a.Work.Dir, "downloads"), a.Client.ModCache)
	g := gocmd.Go{Path: client.Path, Env: slices.Concat(recipe.ClosedEnv(), c.env, client.Env)}.
		With("GO111MODULE=on", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GOPATH="+filepath.Join(a.dir, "gopath"), "GOBIN=", "GOCACHE="+filepath.Join(a.dir, "list-cache"))
	args := slices.Concat([]string{"install", "-n"}, c.flags, []string{"--", c.pkg + "@" + c.main.Version})
	_, err := g.Run(ctx, scratch, args...)
	return err
}

// fillLocal asks what the main package is made of, and downloads it on the way.
func (a *attempt) fillLocal(ctx context.Context) error {
	c := a.claim
	dir := filepath.Join(a.tree, filepath.FromSlash(a.source.Dir))
	if a.outside {
		return a.findSets(ctx, modules.Query{})
	}
	if c.vendored && a.source.Module != "" {
		// A module's zip has no vendor folder; its go.sum says what was in it.
		g := a.pinned.WithCache(filepath.Join(a.dir, "vendored"), a.Client.ModCache).With("GO111MODULE=on", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw")
		if _, err := g.Run(ctx, dir, "mod", "vendor"); err != nil {
			return err
		}
		addGround(&a.res.Recovered, "-mod=vendor", "no dependency has a hash")
	}
	cache, err := modules.FillCache(ctx, modules.Config{Client: a.pinned, SourceDir: dir, Dir: a.modCache, Reuse: a.Client.ModCache, Lazy: true})
	if err != nil {
		return err
	}

	if cache.Vendored != c.vendored {
		return errors.New("the source has a vendor folder, and the file's dependencies have hashes")
	}

	mod := "-mod=readonly"
	if c.vendored {
		mod = "-mod=vendor"
	}
	flags := append([]string{mod}, slices.DeleteFunc(slices.Clone(c.flags), func(f string) bool {
		return !strings.HasPrefix(f, "-tags=") && !strings.HasPrefix(f, "-buildmode=")
	})...)
	query := modules.Query{
		Go:        a.ListGo(a.toolchain.Dir, a.dir, slices.Concat(recipe.ClosedEnv(), c.env, cache.Env)...),
		GoVersion: c.goVersion, Tree: a.tree, Dir: dir, Flags: flags,
	}
	if c.named() {
		return a.findSets(ctx, query)
	}
	query.Packages = []string{c.local()}
	mains, err := modules.Describe(ctx, query)
	if err != nil {
		return err
	}

	main := mains[0]
	if main.ImportPath != c.pkg {
		return fmt.Errorf("the package is called %s in the source, and %s in the file", main.ImportPath, c.pkg)
	}
	if len(main.Cgo) > 0 {
		return fmt.Errorf("package %s takes a C compiler", main.Cgo[0])
	}
	return a.checkGuess(main)
}

// findSets finds the files that the main package may have been made of. Those whose modules are the
// file's come first.
func (a *attempt) findSets(ctx context.Context, query modules.Query) error {
	seen, err := sourceFiles(a.bin)
	if err != nil {
		return err
	}
	sets := fileSets(a.treeFS, seen)
	err = errors.New("no file of a package main in the source is one of those that the file names")

	// Without a go.mod, nothing but the standard library can be imported.
	if a.outside {
		a.sets, sets = sets, nil
	}
	var others [][]string
	for _, files := range sets {
		query.Files = files
		mains, failed := modules.Describe(ctx, query)
		switch {
		case ctx.Err() != nil:
			return failed
		case failed != nil:
			err = failed
		case len(mains[0].Cgo) > 0:
			err = fmt.Errorf("package %s takes a C compiler", mains[0].Cgo[0])
		case a.claim.sameModules(mains[0]):
			a.sets = append(a.sets, files)
		default:
			others = append(others, files)
		}
	}

	if a.sets = append(a.sets, others...); len(a.sets) == 0 {
		return err
	}
	a.files = a.sets[0]
	return nil
}

// mainDir is the folder of the main package, from that of the module.
func (a *attempt) mainDir() string {
	if len(a.files) > 0 {
		return path.Dir(a.files[0])
	}
	return a.claim.local()
}

// checkModule fails if dir is not the folder of the main module. If the file does not say which
// that is, the folder does.
func (c *claim) checkModule(dir string) error {
	data, err := sandbox.ReadSmall(os.DirFS(dir), "go.mod")
	if errors.Is(err, fs.ErrNotExist) && c.named() && c.main.Path == "" {
		return nil // named files need none
	}
	if err != nil {
		return fmt.Errorf("%s is no folder of a module: %w", dir, err)
	}
	got := modfile.ModulePath(data)
	switch {
	case c.main.Path == "" && module.CheckImportPath(got) == nil:
		c.main.Path, c.private = got, module.CheckPath(got) != nil
	case c.main.Path == "" || got != c.main.Path:
		return fmt.Errorf("%s is the folder of module %s, and the file's is %s", dir, verdict.Quote(got), cmp.Or(c.main.Path, "not known"))
	}
	return nil
}

// versions returns the versions of modules and of what they are replaced by, by path.
func versions(list []recipe.Module) map[string]string {
	m := map[string]string{}
	for _, d := range list {
		m[d.Path] = d.Version + " " + d.Replace
	}
	return m
}

// sameModules reports whether main has packages of the modules that the file names.
func (c *claim) sameModules(main *modules.MainPackage) bool {
	return maps.Equal(versions(main.Modules), versions(c.deps))
}

// checkGuess ends a guess that is certain to be wrong before anything is built: the
// source asks for other modules than the file has in it.
func (a *attempt) checkGuess(main *modules.MainPackage) error {
	if a.choice.guess == "" {
		return nil
	}

	have := versions(main.Modules)
	for _, d := range a.claim.deps {
		if v, ok := have[d.Path]; !ok || v != d.Version+" "+d.Replace {
			return &wrongGuess{fmt.Sprintf("the file has %s %s in it, and that source asks for another", d.Path, d.Version)}
		}
	}

	if len(have) > len(a.claim.deps) {
		return &wrongGuess{"that source asks for modules that the file does not have"}
	}
	return nil
}
