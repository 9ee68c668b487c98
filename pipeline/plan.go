package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/output"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/source"
	"github.com/twicebuild/twice/pipeline/toolchain"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// Plan is everything that is known before the passes: inputs that were pinned
// and proved, and a recipe for every binary.
type Plan struct {
	File      *matrix.File
	Vars      matrix.Vars
	Toolchain toolchain.Toolchain
	Modules   *modules.Cache
	Source    Source
	// Recipes are in the order of targets and, within one, of the release file.
	Recipes []Planned
	// Warnings are for the user to read.
	Warnings []string
	// Snapshot tells that this is no release: see Record.Snapshot.
	Snapshot bool
	// LeftOut are targets of the release file that were not chosen: see Record.Partial.
	LeftOut []matrix.Target

	cfg       Config
	release   []byte          // the release file
	config    artifact.Digest // of it
	configRel string
	// uncommitted tells that the release file is not the one in the commit.
	uncommitted bool
	hooks       [][]string
	packs       []pack   // in the order of targets
	globs       []string // of the files that archives hold beside the binaries
	confine     pass.Confinement
	images      []matrix.ImagePlan
	bases       map[string]*oci.Base // by ImagePlan.Base
	started     time.Time
	out         *output.Output // nil if nothing is to be written
	work        *workspace.Workspace
	store       *artifact.Store
	local       *pass.Local
	passA       pass.Session // set up already where there are hooks
}

// Source is a source tree that can be laid out.
type Source interface {
	Source() recipe.Source
	Version() string
	Tag() string
	Time() time.Time
	Dirty() bool
	Checkout(ctx context.Context, dest string, order source.Order) error
}

// Planned is one binary to build.
type Planned struct {
	Build      matrix.Build
	Recipe     recipe.Recipe
	Digest     artifact.Digest
	ImportPath string
}

// New reads the release file, pins and proves the inputs, and makes the
// recipes. Hooks, where there are some, run in the workspace of pass A, since
// what they write may decide which packages there are. The caller must Close
// the plan.
func New(ctx context.Context, cfg Config) (_ *Plan, err error) {
	p := &Plan{cfg: cfg, started: cfg.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := p.readFile(); err != nil {
		return nil, err
	}
	if cfg.Write {
		// Whether it can be written is known before anything else is done.
		if err := checkOut(cfg.Out); err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
		if p.out, err = output.Open(ctx, cfg.Out, written); err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
	}
	if p.work, err = workspace.New(ctx, filepath.Join(cfg.Cache, "work")); err != nil {
		return nil, err
	}
	user, err := gocmd.NewClient(ctx, cfg.Go, cfg.Env)
	if err != nil {
		return nil, err
	}
	cfg.Progress.Stage("source")
	if err := p.openSource(ctx, user.Go); err != nil {
		return nil, err
	}
	tree, err := p.layOut(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.checkReleaseFile(tree); err != nil {
		return nil, err
	}
	cfg.Progress.Stage("toolchain")
	if err := p.obtainToolchain(ctx, user, tree); err != nil {
		return nil, err
	}
	pinned := user.WithToolchain(p.Toolchain.Dir)
	ports, err := p.ports(ctx, pinned.Go)
	if err != nil {
		return nil, err
	}
	if err := p.expand(ports, tree); err != nil {
		return nil, err
	}
	cfg.Progress.Stage("modules")
	cacheDir, err := p.work.Sub("modules")
	if err != nil {
		return nil, err
	}
	moduleDir := filepath.Join(tree, filepath.FromSlash(p.Source.Source().Dir))
	if p.Modules, err = modules.Fill(ctx, modules.Config{Client: pinned, SourceDir: moduleDir, Dir: cacheDir, Reuse: user.ModCache, Lazy: len(p.hooks) == 0, Time: p.mtime()}); err != nil {
		if cfg.Module != "" && fault.KindOf(err) == fault.KindUsage {
			err = fault.WithRemedy(fmt.Errorf("%s: %w", cfg.Module, err), "this version cannot be built by itself; choose another")
		}
		return nil, err
	}
	if err := p.setUp(ctx); err != nil {
		return nil, err
	}
	if err := p.readBases(ctx, tree); err != nil {
		return nil, err
	}
	if len(p.hooks) > 0 {
		cfg.Progress.Stage("hooks")
		if p.passA, err = p.local.Open(ctx, pass.A); err != nil {
			return nil, err
		}
		tree = p.passA.Tree()
	}
	cfg.Progress.Stage("recipes")
	if err := p.planFiles(tree); err != nil {
		return nil, err
	}
	return p, p.makeRecipes(ctx, pinned.Go, tree)
}

// readFile reads and parses the release file.
func (p *Plan) readFile() error {
	data, err := artifact.ReadNamed(p.cfg.ConfigFile, matrix.MaxSize)
	if errors.Is(err, os.ErrNotExist) {
		return fault.Usage(err, "run twice in the folder of release.toml, or `twice init` in the root folder of a module without one")
	}
	if err != nil {
		return fault.Usage(err)
	}
	return p.useFile(data)
}

func (p *Plan) useFile(data []byte) error {
	var err error
	p.release, p.config = data, artifact.Of(data)
	if p.File, err = matrix.Parse(filepath.Base(p.cfg.ConfigFile), data); err != nil {
		return fault.Usage(err)
	}
	return nil
}

// checkReleaseFile holds the release file against the one in the commit, which was laid
// out in tree. What git status says does not matter: it passes over what is ignored, and
// over what it was told to take for unchanged. For a module of the proxy the release file
// is the user's own.
func (p *Plan) checkReleaseFile(tree string) error {
	if p.cfg.Module != "" {
		return nil
	}
	root, err := os.OpenRoot(tree) // a link in the commit may not lead out of it
	if err != nil {
		return err
	}
	defer root.Close()
	committed, err := root.ReadFile(filepath.FromSlash(p.configRel))
	switch {
	case err == nil && bytes.Equal(committed, p.release):
		return nil
	case err == nil && bytes.Equal(unconverted(committed), unconverted(p.release)):
		return p.useFile(committed) // only git's conversions of text differ
	case err == nil:
		err = fmt.Errorf("%s is not the one in the commit", p.configRel)
	default:
		err = fmt.Errorf("%s is not in the commit: it is ignored or untracked", p.configRel)
	}
	if p.cfg.Snapshot || p.cfg.Trial {
		p.uncommitted = true
		p.Warnings = append(p.Warnings, err.Error()+", and a release refuses that")
		return nil
	}
	return fault.Usage(err, "commit it (git add -f "+p.configRel+"), or make a snapshot (--snapshot)")
}

// identLine is what git writes for $Id$ where a file has the attribute ident.
var identLine = regexp.MustCompile(`\$Id: [^$\n]*\$`)

// unconverted is a text without what git makes of it when it checks it out: other ends of
// lines, and the name of the file's object (https://git-scm.com/docs/gitattributes). Of two
// checkouts of one commit each may have its own.
func unconverted(text []byte) []byte {
	return identLine.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("$$Id$$"))
}

// Close removes the workspace, and what is not finished.
func (p *Plan) Close() error {
	var errs []error
	if p.passA != nil {
		errs = append(errs, p.passA.Close())
	}
	errs = append(errs, p.Toolchain.Close())
	if p.work != nil {
		errs = append(errs, p.work.Close())
	}
	if p.out != nil {
		errs = append(errs, p.out.Close())
	}
	return errors.Join(errs...)
}

// openSource finds the commit or the module version.
func (p *Plan) openSource(ctx context.Context, client gocmd.Go) error {
	scratch, err := p.work.Sub("source")
	if err != nil {
		return err
	}
	p.configRel = filepath.Base(p.cfg.ConfigFile)
	if p.cfg.Module != "" {
		m, err := source.OpenModule(ctx, client, p.cfg.Module, scratch)
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		p.Source = m
		return nil
	}
	if p.cfg.Git == "" {
		return fault.Usage(fmt.Errorf("git: %w in PATH", exec.ErrNotFound), "install git 2.32 or newer")
	}
	dir := filepath.Dir(p.cfg.ConfigFile)
	repo, err := source.Open(ctx, source.Git{Path: p.cfg.Git, Env: p.cfg.HostEnv, User: p.cfg.Env}, dir, source.Options{
		Dir:         p.File.Source.Dir,
		Snapshot:    p.cfg.Snapshot || p.cfg.Trial,
		LFSPointers: p.File.Source.LFS == "pointers",
		Ignore:      []string{p.cfg.Out, output.Rejected(p.cfg.Out), output.Unfinished(p.cfg.Out)},
		Scratch:     scratch,
	})
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if m := repo.Modified(); len(m) > 0 {
		p.Warnings = append(p.Warnings, "uncommitted changes are built here, and a release refuses them: "+strings.Join(m, ", "))
	}
	if u := repo.Untracked(); len(u) > 0 {
		p.Warnings = append(p.Warnings, "untracked files are left out here, and a release refuses them: "+strings.Join(u, ", "))
	}
	// The release file may lie in a folder of the repository.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(repo.Root(), real)
	if err != nil {
		return err
	}
	p.configRel = path.Join(filepath.ToSlash(rel), p.configRel)
	p.Source = repo
	return nil
}

// layOut makes a checkout that only the coordinator reads.
func (p *Plan) layOut(ctx context.Context) (string, error) {
	tree := filepath.Join(p.work.Dir, "inputs")
	return tree, p.Source.Checkout(ctx, tree, source.Sorted)
}

// obtainToolchain finds the exact version and has it proved.
func (p *Plan) obtainToolchain(ctx context.Context, user gocmd.Client, tree string) error {
	version := p.File.Toolchain.Version
	if version == "go.mod" {
		data, err := artifact.ReadNamed(filepath.Join(tree, filepath.FromSlash(p.Source.Source().Dir), "go.mod"), maxGoMod)
		if err != nil {
			return err
		}
		if version, err = toolchain.ExactVersion(data); err != nil {
			return fault.Usage(err)
		}
	}
	var err error
	p.Toolchain, err = toolchain.Obtain(ctx, user.Go, version, toolchain.Options{
		Installed:        []string{user.Root},
		CacheDir:         filepath.Join(p.cfg.Cache, "toolchains"),
		HostOS:           p.cfg.OS,
		HostArch:         p.cfg.Arch,
		AllowUnpublished: p.File.Toolchain.Unpublished,
		MaxBytes:         p.cfg.CacheMax,
		Waits:            p.cfg.waits,
		Now:              p.cfg.Now,
	})
	return err
}

// ports asks the toolchain for the ports that it has.
func (p *Plan) ports(ctx context.Context, goCmd gocmd.Go) ([]platform.Port, error) {
	out, err := goCmd.Run(ctx, p.work.Dir, "tool", "dist", "list", "-json")
	if err != nil {
		return nil, err
	}
	return platform.ParsePorts(bytes.NewReader(out))
}

// expand settles the version and expands the matrix; nil ports are those that
// package matrix knows.
func (p *Plan) expand(ports []platform.Port, tree string) error {
	src := p.Source.Source()
	p.Vars = matrix.Vars{
		Project:    p.File.Project,
		Version:    p.File.Version,
		Tag:        p.Source.Tag(),
		Commit:     src.Commit,
		CommitTime: p.Source.Time(),
	}
	p.Vars.ShortCommit = src.Commit[:min(12, len(src.Commit))]
	tagged := p.Source.Tag() != "" || p.cfg.Module != ""
	switch {
	case p.File.Version == "auto":
		if !tagged && !p.cfg.Snapshot && !p.cfg.Trial {
			return fault.Usage(errors.New("version: HEAD has no version tag such as v1.2.3"), "tag it with git tag v1.2.3, or make a snapshot (--snapshot)")
		}
		p.Vars.Version = p.Source.Version()
	case p.Source.Tag() != "" && path.Base(p.Source.Tag()) != "v"+p.File.Version:
		return fault.Usage(fmt.Errorf("version: %s says %s, but HEAD is tagged %s", p.configRel, p.File.Version, p.Source.Tag()))
	default:
		tagged = !p.Source.Dirty()
	}
	p.Snapshot = p.cfg.Snapshot || !tagged || p.uncommitted
	p.Vars.Snapshot = p.Snapshot

	builds, err := p.File.Builds(ports, p.Vars)
	if err != nil {
		return fault.Usage(err)
	}
	images, err := p.File.Images(builds, p.Vars)
	if err != nil {
		return fault.Usage(err)
	}
	all := builds
	if builds, err = chosen(all, p.cfg.Targets); err != nil {
		return err
	}
	if err := p.leaveOut(all, builds); err != nil {
		return err
	}
	p.images = buildable(images, builds)
	for _, b := range builds {
		dir := filepath.Join(tree, filepath.FromSlash(src.Dir), filepath.FromSlash(b.Package))
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fault.Usage(fmt.Errorf("%s: binary %q: there is no folder %s in %s", p.configRel, b.Binary, b.Package, src.Name()))
		}
		p.Recipes = append(p.Recipes, Planned{Build: b})
	}
	if p.hooks, err = p.File.Hooks(p.Vars); err != nil {
		return fault.Usage(err)
	}
	return nil
}

// chosen keeps the builds whose targets match one of the globs.
func chosen(builds []matrix.Build, globs []string) ([]matrix.Build, error) {
	if len(globs) == 0 {
		return builds, nil
	}
	var kept []matrix.Build
	for _, glob := range globs {
		found := false
		for _, b := range builds {
			ok, err := b.Target.Match(glob)
			if err != nil {
				return nil, fault.Usage(fmt.Errorf("--target %s: %w", glob, err))
			}
			found = found || ok
		}
		if !found {
			return nil, fault.Usage(fmt.Errorf("--target %s: matches no target of the release file", glob))
		}
	}
	for _, b := range builds {
		if slices.ContainsFunc(globs, func(g string) bool { ok, _ := b.Target.Match(g); return ok }) {
			kept = append(kept, b)
		}
	}
	return kept, nil
}

// leaveOut notes which targets were not chosen. To release a part takes a word of its own.
func (p *Plan) leaveOut(all, chosen []matrix.Build) error {
	of := map[matrix.Target]bool{}
	for _, b := range all {
		left := !slices.ContainsFunc(chosen, func(c matrix.Build) bool { return c.Target == b.Target })
		if left && !of[b.Target] {
			p.LeftOut = append(p.LeftOut, b.Target)
		}
		of[b.Target] = true
	}
	if len(p.LeftOut) == 0 || p.Snapshot || p.cfg.Trial || p.cfg.Partial {
		return nil
	}
	return fault.Usage(fmt.Errorf("--target leaves out %d of %d targets, such as %s, and this is a release", len(p.LeftOut), len(of), p.LeftOut[0]),
		"say --partial if a part of the release is meant, or make a snapshot (--snapshot)")
}

// setUp prepares the executor.
func (p *Plan) setUp(ctx context.Context) error {
	dirs := map[string]string{}
	for _, name := range []string{"store", "passes", "probe"} {
		dir, err := p.work.Sub(name)
		if err != nil {
			return err
		}
		dirs[name] = dir
	}
	var err error
	if p.confine, err = pass.Probe(ctx, dirs["probe"], p.cfg.Path); err != nil {
		return err
	}
	p.store = artifact.NewStore(dirs["store"])
	p.local = &pass.Local{
		Dir: dirs["passes"], Store: p.store,
		Checkout: func(ctx context.Context, dest string, reversed bool) error {
			order := source.Sorted
			if reversed {
				order = source.Reversed
			}
			return p.Source.Checkout(ctx, dest, order)
		},
		ModuleDir: p.Source.Source().Dir, ConfigDir: path.Dir(p.configRel),
		GOROOT: p.Toolchain.Dir, ModCache: p.Modules.Dir,
		Hooks: p.hooks, Epoch: p.mtime().Unix(),
		Path: p.cfg.Path, HostEnv: p.cfg.HostEnv, Confinement: p.confine, Limits: p.limits(),
		Now: p.cfg.Now, Log: p.cfg.HookLog,
	}
	return nil
}

// limits bound each command of a pass.
func (p *Plan) limits() pass.Limits {
	limits := pass.DefaultLimits(p.cfg.Memory)
	limits.Time = p.cfg.Timeout
	return limits
}

// mtime is the time of the files in archives.
func (p *Plan) mtime() time.Time {
	if p.cfg.Epoch != nil {
		return *p.cfg.Epoch
	}
	return p.Source.Time()
}

// makeRecipes asks the go command what each binary is made of and closes the
// recipes.
func (p *Plan) makeRecipes(ctx context.Context, pinned gocmd.Go, tree string) error {
	in := recipe.Inputs{Source: p.Source.Source(), Toolchain: recipe.Toolchain{Version: p.Toolchain.Version}, Hooks: p.hooks, Epoch: p.mtime().Unix(), Vendored: p.Modules.Vendored}
	if !p.Toolchain.Published {
		in.Toolchain.Sum = p.Toolchain.Sum
	}
	mains, err := p.describe(ctx, tree)
	if err != nil {
		return err
	}
	for i, main := range mains {
		r := &p.Recipes[i]
		names := make([]string, len(r.Build.Stamps))
		for j, s := range r.Build.Stamps {
			names[j] = s.Name
		}
		if err := modules.CheckStamps(main, names); err != nil {
			return fault.Usage(fmt.Errorf("%s: %s: %s: %w", p.configRel, r.Build.Binary, r.Build.Target, err))
		}
		in.Modules, in.Compiler = main.Modules, ""
		if r.Build.Options.Cgo && len(main.Cgo) > 0 {
			if in.Compiler, err = p.compiler(ctx, pinned, r.Build); err != nil {
				return fmt.Errorf("%s: %s: %w", r.Build.Target, r.Build.Binary, err)
			}
		}
		r.ImportPath = main.ImportPath
		if r.Recipe, err = recipe.New(r.Build, in); err != nil {
			return fault.Usage(err)
		}
		if r.Digest, err = r.Recipe.Digest(); err != nil {
			return err
		}
	}
	return nil
}

// describe asks the go command about every binary, once for all those that
// share a target and the flags that matter.
func (p *Plan) describe(ctx context.Context, tree string) ([]*modules.Main, error) {
	type query struct {
		flags, env []string
		of         []int
	}
	queries := map[string]*query{}
	for i, r := range p.Recipes {
		flags, err := recipe.ListFlags(r.Build, p.Modules.Vendored)
		if err != nil {
			return nil, fault.Usage(err)
		}
		env := recipe.Environ(r.Build)
		key := strings.Join(append(slices.Clone(flags), env...), "\x00")
		if queries[key] == nil {
			queries[key] = &query{flags: flags, env: env}
		}
		queries[key].of = append(queries[key].of, i)
	}
	mains := make([]*modules.Main, len(p.Recipes))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, p.cfg.CPUs))
	for _, q := range queries {
		g.Go(func() error {
			var packages []string
			for _, i := range q.of {
				if pkg := p.Recipes[i].Build.Package; !slices.Contains(packages, pkg) {
					packages = append(packages, pkg)
				}
			}
			found, err := modules.Describe(ctx, modules.Query{
				Go:   p.cfg.ListGo(p.Toolchain.Dir, p.work.Dir, slices.Concat(q.env, p.Modules.Env)...),
				Tree: tree, Dir: filepath.Join(tree, filepath.FromSlash(p.Source.Source().Dir)),
				Flags: q.flags, Packages: packages,
			})
			if err != nil {
				return fmt.Errorf("%s: %w", p.Recipes[q.of[0]].Build.Target, err)
			}
			for _, i := range q.of {
				mains[i] = found[slices.Index(packages, p.Recipes[i].Build.Package)]
			}
			return nil
		})
	}
	return mains, g.Wait()
}

// compiler identifies the C compiler of a cgo build: what it calls itself and
// the digest of the program. It is a fact of this host; the record says so.
func (p *Plan) compiler(ctx context.Context, pinned gocmd.Go, b matrix.Build) (string, error) {
	cc, ok := recipe.Lookup(b.Env, "CC")
	if !ok {
		out, err := pinned.With(append(b.Target.Env(), "CGO_ENABLED=1")...).Run(ctx, p.work.Dir, "env", "CC")
		if err != nil {
			return "", err
		}
		cc = strings.TrimSpace(string(out))
	}
	fields := strings.Fields(cc)
	if len(fields) == 0 {
		return "", fault.Usage(errors.New("cgo: CC is empty"))
	}
	program, err := findProgram(fields[0], p.cfg.Path)
	if err != nil {
		return "", fault.Usage(fmt.Errorf("cgo: %w", err), "install the C compiler, or name one with env = { CC = \"...\" }")
	}
	f, _, err := artifact.OpenNamed(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := artifact.NewHasher(io.Discard)
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", program, err)
	}
	cmd := exec.CommandContext(ctx, program, append(fields[1:], "--version")...)
	cmd.Env = append(slices.Clone(p.cfg.HostEnv), "LC_ALL=C", "PATH="+strings.Join(p.cfg.Path, string(filepath.ListSeparator)))
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", cc, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line) + " " + string(h.Digest()), nil
}

// findProgram looks name up in the folders of path.
func findProgram(name string, dirs []string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range dirs {
		file := filepath.Join(dir, name+exe())
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: %w in PATH", name, exec.ErrNotFound)
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
