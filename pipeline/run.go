package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/output"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/source"
	"github.com/twicebuild/twice/pipeline/workspace"
)

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
