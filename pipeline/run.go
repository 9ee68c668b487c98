package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/olddist"
	"github.com/twicebuild/twice/pipeline/output"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/source"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// Run is a run whose inputs are proved and whose plan is made. It holds the lock on the output
// folder, the workspace, and the toolchain, until it is closed.
type Run struct {
	Inputs Inputs
	Plan   Plan

	cfg     Config
	started time.Time
	out     *output.Output // nil if nothing is to be written
	work    *workspace.Workspace
	local   *pass.Local  // what the passes run with
	passA   pass.Session // set up before Build where there are hooks
}

// Prepare reads the release file, pins and proves the inputs, and makes the plan.
// Hooks run in the workspace of pass A, since what they write may decide which
// packages there are. The caller must Close the run.
func Prepare(ctx context.Context, cfg Config) (_ *Run, err error) {
	run := &Run{cfg: cfg, started: cfg.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, run.Close())
		}
	}()

	file, err := readReleaseFile(cfg.ConfigFile)
	if err != nil {
		return nil, err
	}

	if cfg.Write {
		// A folder that cannot be written is refused before anything else is done.
		if run.out, err = reserve(ctx, cfg.Out); err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
	}

	if run.work, err = workspace.New(ctx, filepath.Join(cfg.Cache, "work")); err != nil {
		return nil, err
	}
	client, err := gocmd.NewClient(ctx, cfg.Go, cfg.UserEnv)
	if err != nil {
		return nil, err
	}

	cfg.Progress.Stage("source")
	in := &run.Inputs
	if in.SourceTree, err = pinSource(ctx, cfg, client.Go, file, run.work); err != nil {
		return nil, err
	}

	in.Time = in.Source.Time()
	if cfg.Epoch != nil {
		in.Time = *cfg.Epoch
	}

	cfg.Progress.Stage("toolchain")
	if in.Toolchain, err = obtainToolchain(ctx, cfg, client, in.SourceTree); err != nil {
		return nil, err
	}

	// Which targets there are decides what else is needed.
	pinned := client.WithToolchain(in.Toolchain.Dir)
	ports, err := listPorts(ctx, pinned.Go, run.work.Dir)
	if err != nil {
		return nil, err
	}
	selection, err := selectBuilds(cfg.Request, in.SourceTree, ports, os.DirFS(in.Tree))
	if err != nil {
		return nil, err
	}

	cfg.Progress.Stage("modules")
	if in.Modules, err = fillModules(ctx, cfg, pinned, *in, run.work, len(selection.Hooks) == 0); err != nil {
		return nil, err
	}

	if run.local, err = newLocal(ctx, cfg, *in, selection.Hooks, run.work); err != nil {
		return nil, err
	}

	if in.Bases, err = fetchBases(ctx, cfg, in.SourceTree, selection.Images, run.local.Store); err != nil {
		return nil, err
	}

	// The rest of the plan is made from the source as the hooks leave it.
	tree := in.Tree
	if len(selection.Hooks) > 0 {
		cfg.Progress.Stage("hooks")
		if run.passA, err = run.local.Open(ctx, pass.A); err != nil {
			return nil, err
		}
		tree = run.passA.Tree()
	}

	cfg.Progress.Stage("recipes")
	packaging, err := planPackaging(in.Release, selection, tree)
	if err != nil {
		return nil, err
	}
	recipes, err := planRecipes(ctx, cfg, *in, selection, pinned.Go, tree, run.work.Dir)
	if err != nil {
		return nil, err
	}

	run.Plan = Plan{Selection: selection, Packaging: packaging, Recipes: recipes, Warnings: in.warnings()}
	return run, nil
}

// reserve locks the folder to write, unless it must not be deleted.
func reserve(ctx context.Context, dir string) (*output.Output, error) {
	if err := refuseGitFolder(dir); err != nil {
		return nil, err
	}
	return output.Open(ctx, dir, olddist.CheckDeletable)
}

// refuseGitFolder returns an error if dir is in a folder of git or would be one, whether or
// not it exists.
func refuseGitFolder(dir string) error {
	real, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return nil // told when it is opened
	}

	for _, name := range append(strings.Split(real, string(filepath.Separator)), filepath.Base(dir)) {
		if strings.EqualFold(name, ".git") {
			return fault.WithRemedy(fault.Usage(fmt.Errorf("%s is in a folder of git", dir)), "name another folder")
		}
	}
	return nil
}

// newLocal finds out what this system can confine and prepares the passes.
func newLocal(ctx context.Context, cfg Config, in Inputs, hooks [][]string, work *workspace.Workspace) (*pass.Local, error) {
	dirs := map[string]string{}
	for _, name := range []string{"store", "passes", "probe"} {
		dir, err := work.Sub(name)
		if err != nil {
			return nil, err
		}
		dirs[name] = dir
	}

	confine, err := pass.Probe(ctx, dirs["probe"], cfg.Path)
	if err != nil {
		return nil, err
	}

	limits := pass.DefaultLimits(cfg.Memory)
	limits.Time = cfg.Timeout

	return &pass.Local{
		Dir: dirs["passes"], Store: artifact.NewStore(dirs["store"]),
		Checkout: func(ctx context.Context, dest string, reversed bool) error {
			order := source.Sorted
			if reversed {
				order = source.Reversed
			}
			return in.Source.Checkout(ctx, dest, order)
		},
		ModuleDir: in.Source.Identity().Dir, ConfigDir: in.configDir(),
		GOROOT: in.Toolchain.Dir, ModCache: in.Modules.Dir,
		Hooks: hooks, CPUs: cfg.CPUs, Epoch: in.Time.Unix(),
		Path: cfg.Path, SystemEnv: cfg.SystemEnv, Confinement: confine, Limits: limits,
		Now: cfg.Now, Log: cfg.HookLog,
	}, nil
}

// Close removes the workspace and an unfinished output, and gives the toolchain back.
func (run *Run) Close() error {
	var errs []error
	if run.passA != nil {
		errs = append(errs, run.passA.Close())
	}

	errs = append(errs, run.Inputs.Toolchain.Close())
	if run.work != nil {
		errs = append(errs, run.work.Close())
	}
	if run.out != nil {
		errs = append(errs, run.out.Close())
	}

	return errors.Join(errs...)
}
