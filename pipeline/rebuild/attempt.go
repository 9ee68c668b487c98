package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/source"
)

// openModule takes the source from the module proxy.
func (j *job) openModule(ctx context.Context, g gocmd.Go, v string) error {
	c := j.claim
	m, err := source.OpenModule(ctx, g, c.main.Path+"@"+v, filepath.Join(j.dir, "scratch"))
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return verdict.Because(verdict.NotPublic, "the source cannot be had: %s", err).WithRemedy("is there a network? For a module that no proxy has, name a repository with --source DIR")
	}
	j.source = m.Source()
	name := c.main.Path + "@" + v
	j.res.Source = name
	j.ground(&j.res.RestsOn, "module zip "+name+" "+j.source.Sum, "%s", j.client.Voucher(c.main.Path))
	revision := ""
	if c.vcs != nil {
		if revision, err = j.claimStamp(ctx, g, v); err != nil {
			return err
		}
	}
	j.unnamed = c.naming(j.choice, j.source.Sum, revision)
	j.tree = filepath.Join(j.dir, "tree")
	if err := m.Checkout(ctx, j.tree, source.Sorted); err != nil {
		return err
	}
	j.treeFS = os.DirFS(j.tree)
	if c.install {
		return nil
	}
	// The go command would take the modules from there, and a module's zip has at
	// most a list of what would be in it.
	if err := os.RemoveAll(filepath.Join(j.tree, "vendor")); err != nil {
		return err
	}
	for _, file := range []string{"go.work", "go.work.sum"} {
		if err := os.RemoveAll(filepath.Join(j.tree, file)); err != nil {
			return err
		}
	}
	return nil
}

// claimStamp says how far the stamp of version control can be relied upon, and
// returns the revision that the module proxy gives to the version, if it does. A guess
// that the stamp contradicts is wrong.
func (j *job) claimStamp(ctx context.Context, g gocmd.Go, v string) (revision string, err error) {
	s := j.claim.vcs
	why := "the file's own word: no history was at hand"
	r, err := g.Resolve(ctx, j.claim.main.Path, v, filepath.Join(j.dir, "resolve"))
	if err == nil && r.Origin != nil {
		revision = r.Origin.Hash
	}
	switch {
	case revision == "":
	case revision == s.revision:
		why = "the file's own word, and the module proxy says the same of the revision; nobody has signed that"
	case j.choice.guess != "":
		return "", &wrongGuess{fmt.Sprintf("the module proxy says that it is revision %s, and the file that it is %s", verdict.Quote(revision), s.revision)}
	default:
		why = fmt.Sprintf("the file's own word, and the module proxy says that %s is revision %s", v, revision)
	}
	for _, c := range []recipe.Choice{{Setting: "vcs.revision", Value: s.revision}, {Setting: "vcs.time", Value: s.time.UTC().Format(time.RFC3339)}, {Setting: "vcs.modified", Value: "false"}} {
		j.res.Claimed = append(j.res.Claimed, verdict.ClaimOf(c, why))
	}
	return revision, nil
}

// openFolder takes the source from a repository that the user names.
func (j *job) openFolder(ctx context.Context) error {
	c := j.claim
	if c.install {
		return verdict.Because(verdict.NotPublic, "it was installed from the module proxy, not built in a repository").WithRemedy("leave --source out")
	}
	if j.cfg.Git == "" {
		return fault.Usage(errors.New("there is no git in PATH"), "install git 2.32 or newer")
	}
	scratch := filepath.Join(j.dir, "scratch")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	if err := checkModule(j.cfg.SourceDir, c.main.Path); err != nil {
		return verdict.Because(verdict.NotPublic, "%s", err)
	}
	repo, err := source.Open(ctx, source.Git{Path: j.cfg.Git, Env: j.cfg.HostEnv, User: j.cfg.Env}, j.cfg.SourceDir, source.Options{Scratch: scratch})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return verdict.Because(verdict.NotPublic, "the source cannot be had: %s", err).WithRemedy(fault.RemedyOf(err))
	}
	j.source = repo.Source()
	if c.vcs != nil && c.vcs.revision != j.source.Commit {
		return verdict.Because(verdict.NotPublic, "the repository is at commit %s, and the file was built from %s", j.source.Commit[:12], c.vcs.revision[:12]).
			WithRemedy("git checkout " + c.vcs.revision)
	}
	if c.vcs == nil {
		j.unnamed = verdict.Because(verdict.SourceNotNamed, "it does not say which revision it is, and that it is commit %s is your word", j.source.Commit[:12]).WithRemedy("ask for a build that says it")
	}
	j.ground(&j.res.RestsOn, "commit "+j.source.Commit+" of your repository", "its objects were hashed")
	j.tree = filepath.Join(j.dir, "tree")
	if err := repo.Checkout(ctx, j.tree, source.Sorted); err != nil {
		return err
	}
	j.treeFS = os.DirFS(filepath.Join(j.tree, filepath.FromSlash(j.source.Dir)))
	return nil
}

// obtain gets the toolchain and has it proved.
func (j *job) obtain(ctx context.Context) error {
	v := j.claim.goVersion
	tc, ok := j.toolchains[v]
	if !ok {
		var err error
		if tc, err = j.prove(ctx, j.client.Go, v, j.cfg.OS, j.cfg.Arch, true); err != nil {
			return err
		}
		j.toolchains[v] = tc
	}
	j.toolchain = tc
	j.pinned = j.client.WithToolchain(tc.Dir)
	j.ground(&j.res.RestsOn, "toolchain "+v+" "+tc.Sum, "checksum database")
	return nil
}

// fill downloads the modules, with the go command of the toolchain and the
// network.
func (j *job) fill(ctx context.Context) (err error) {
	c := j.claim
	j.modCache = filepath.Join(j.dir, "modules")
	if err := os.MkdirAll(j.modCache, 0o755); err != nil {
		return err
	}
	if c.install {
		err = j.fillInstalled(ctx)
	} else {
		err = j.fillLocal(ctx)
	}
	if guess := (*wrongGuess)(nil); err != nil && ctx.Err() == nil && !errors.As(err, &guess) {
		return verdict.Because(verdict.NotPublic, "the modules cannot be had, or the source does not go with %s: %s", c.goVersion, err).WithRemedy(fault.RemedyOf(err))
	}
	if err == nil && len(c.deps) > 0 {
		why := "go.sum of the source"
		if c.install {
			why = "checksum database"
			if j.client.SumDB == "off" || j.client.NoSumDB != "" {
				why += ", but for what GOSUMDB and GONOSUMDB exempt"
			}
		}
		what := "1 dependency"
		if len(c.deps) > 1 {
			what = fmt.Sprintf("%d dependencies", len(c.deps))
		}
		j.ground(&j.res.RestsOn, what, "%s", why)
	}
	return err
}

// fillInstalled has go install resolve the package: with -n it downloads what it
// would build, and builds nothing.
func (j *job) fillInstalled(ctx context.Context) error {
	scratch := filepath.Join(j.dir, "install")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	c := j.claim
	client := j.pinned.WithCache(j.modCache, filepath.Join(j.work.Dir, "downloads"), j.client.ModCache)
	g := gocmd.Go{Path: client.Path, Env: slices.Concat(recipe.Closed(), c.env, client.Env)}.
		With("GO111MODULE=on", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GOPATH="+filepath.Join(j.dir, "gopath"), "GOBIN=", "GOCACHE="+filepath.Join(j.dir, "list-cache"))
	args := slices.Concat([]string{"install", "-n"}, c.flags, []string{"--", c.pkg + "@" + c.main.Version})
	_, err := g.Run(ctx, scratch, args...)
	return err
}

// fillLocal asks what the main package is made of, and downloads it on the way.
func (j *job) fillLocal(ctx context.Context) error {
	c := j.claim
	dir := filepath.Join(j.tree, filepath.FromSlash(j.source.Dir))
	if c.vendored && j.source.Module != "" {
		// A module's zip has no vendor folder; its go.sum says what was in it.
		g := j.pinned.WithCache(filepath.Join(j.dir, "vendored"), j.client.ModCache).With("GO111MODULE=on", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw")
		if _, err := g.Run(ctx, dir, "mod", "vendor"); err != nil {
			return err
		}
		j.ground(&j.res.Recovered, "-mod=vendor", "no dependency has a hash")
	}
	cache, err := modules.Fill(ctx, modules.Config{Client: j.pinned, SourceDir: dir, Dir: j.modCache, Reuse: j.client.ModCache, Lazy: true})
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
	mains, err := modules.Describe(ctx, modules.Query{
		Go:   j.cfg.ListGo(j.toolchain.Dir, j.dir, slices.Concat(recipe.Closed(), c.env, cache.Env)...),
		Tree: j.tree, Dir: dir, Flags: flags, Packages: []string{c.local()},
	})
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
	return j.doubt(main)
}

// open sets up the confined workspace.
func (j *job) open(ctx context.Context) error {
	c := j.claim
	f := &pass.Foreign{}
	if !c.trimpath {
		tree := j.treeFS
		if c.install {
			tree = nil
		}
		var reason *verdict.Reason
		if f, reason = c.places(j.bin, tree); reason != nil {
			return reason
		}
		// The toolchain may lie in the module cache, which is read-only there.
		if rel, ok := strings.CutPrefix(f.GOROOT, f.ModCache+"/"); ok && f.ModCache != "" {
			if !filepath.IsLocal(filepath.FromSlash(rel)) {
				return verdict.Because(verdict.Place, "the toolchain was at %s", verdict.Quote(f.GOROOT))
			}
			if err := os.MkdirAll(filepath.Join(j.modCache, filepath.FromSlash(rel)), 0o755); err != nil {
				return err
			}
		}
		j.goroot = f.GOROOT
		what := "GOROOT " + f.GOROOT
		if f.ModCache != "" {
			what += ", GOMODCACHE " + f.ModCache
		}
		if f.Source != "" {
			what += ", source " + f.Source
		}
		j.ground(&j.res.Recovered, what, "the paths of source files")
		for _, c := range []recipe.Choice{{Setting: "GOROOT", Value: f.GOROOT}, {Setting: "GOMODCACHE", Value: f.ModCache}, {Setting: "source-folder", Value: f.Source}} {
			if c.Value != "" {
				j.res.Claimed = append(j.res.Claimed, verdict.ClaimOf(c, "where it was built: -trimpath would have left it out"))
			}
		}
	}
	f.MaxFile = min(j.cfg.MaxDisk, 8<<30)
	moduleDir := j.source.Dir
	if c.stray {
		moduleDir = "module"
		if f.Source != "" {
			return verdict.Because(verdict.Place, "its repository's root is not its module's, and paths were not trimmed")
		}
	}
	stamped := c.vcs != nil && j.source.Module != ""
	if stamped {
		f.Programs = filepath.Join(j.dir, "programs")
		if err := writeGit(f.Programs, c); err != nil {
			return err
		}
	}
	if !c.pgo {
		// A profile in the main package's folder is used unless it was refused.
		if _, err := fs.Stat(j.treeFS, path.Join(c.local(), "default.pgo")); err == nil {
			j.pgoOff = true
			j.ground(&j.res.Recovered, "-pgo=off", "there is a default.pgo, and the file was built without it")
		}
	}
	passes := filepath.Join(j.dir, "pass")
	if err := os.MkdirAll(passes, 0o755); err != nil {
		return err
	}
	local := &pass.Local{
		Dir: passes, Store: j.store, ModuleDir: moduleDir, ConfigDir: ".",
		Checkout: func(ctx context.Context, dest string, _ bool) error { return j.checkout(dest, moduleDir, stamped) },
		GOROOT:   j.toolchain.Dir, ModCache: j.modCache,
		Path: j.cfg.Path, HostEnv: j.cfg.HostEnv, Confinement: j.confine, Limits: j.limits(),
		Now: j.cfg.Now, Log: io.Discard, Foreign: f,
	}
	for _, m := range j.confine.Missing {
		j.note("not confined: %s", m)
	}
	err := j.warm(ctx, f)
	if err != nil {
		return err
	}
	j.session, err = local.Open(ctx, pass.A)
	if place := (*pass.PlaceError)(nil); errors.As(err, &place) {
		return verdict.Because(verdict.Place, "the build must have its folders where the file says: %s", place)
	}
	return err
}

// checkout lays the source out for the build.
func (j *job) checkout(dest, moduleDir string, stamped bool) error {
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return err
	}
	if j.claim.install {
		return nil
	}
	at := dest
	if j.source.Module != "" {
		at = filepath.Join(dest, filepath.FromSlash(moduleDir))
	}
	if err := os.CopyFS(at, os.DirFS(j.tree)); err != nil {
		return err
	}
	if stamped {
		return os.MkdirAll(filepath.Join(dest, ".git"), 0o755)
	}
	return nil
}

// checkModule fails if dir is not the folder of a module.
func checkModule(dir, path string) error {
	data, err := readSmall(os.DirFS(dir), "go.mod")
	if err != nil {
		return fmt.Errorf("%s is no folder of a module: %w", dir, err)
	}
	if got := modfile.ModulePath(data); got != path {
		return fmt.Errorf("%s is the folder of module %s, and the file's is %s", dir, verdict.Quote(got), path)
	}
	return nil
}
