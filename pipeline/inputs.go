package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/output"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/source"
	"github.com/twicebuild/twice/pipeline/toolchain"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// Inputs are what a release is made of, pinned and proved.
type Inputs struct {
	SourceTree
	Toolchain toolchain.Toolchain
	Modules   *modules.Cache
	// Bases are the images that others are added to, by ImagePlan.Base.
	Bases map[string]*oci.Base
	// Time is the time of the files in archives and images.
	Time time.Time
}

// SourceTree is a source, its release file, and a checkout of it.
type SourceTree struct {
	Source  Source
	Release ReleaseFile
	// Tree is the folder of a checkout that no build sees.
	Tree string
}

// Source is a source tree that can be laid out.
type Source interface {
	Identity() recipe.Source
	Version() string
	Tag() string
	Time() time.Time
	Dirty() bool
	Checkout(ctx context.Context, dest string, order source.Order) error
}

// moduleDir returns the folder of the main module in a checkout in tree.
func (s SourceTree) moduleDir(tree string) string {
	return filepath.Join(tree, filepath.FromSlash(s.Source.Identity().Dir))
}

// configDir returns the folder of the release file in the source, with slashes.
func (s SourceTree) configDir() string { return path.Dir(s.Release.Path) }

// openSource finds the commit or the module version. It lays nothing out yet.
func openSource(ctx context.Context, cfg Config, client gocmd.Go, file ReleaseFile, work *workspace.Workspace) (SourceTree, error) {
	s := SourceTree{Release: file, Tree: filepath.Join(work.Dir, "inputs")}

	scratch, err := work.Sub("source")
	if err != nil {
		return s, err
	}

	// A version of the proxy needs no git and no repository.
	if cfg.Module != "" {
		m, err := source.OpenModule(ctx, client, cfg.Module, scratch)
		if err != nil {
			return s, fmt.Errorf("source: %w", err)
		}
		s.Source = m
		return s, nil
	}

	if cfg.Git == "" {
		return s, fault.WithRemedy(fault.Usage(fmt.Errorf("git: %w in PATH", exec.ErrNotFound)), "install git 2.32 or newer")
	}

	dir := filepath.Dir(cfg.ConfigFile)
	repo, err := source.Open(ctx, source.Git{Path: cfg.Git, Env: cfg.SystemEnv, User: cfg.UserEnv}, dir, source.Options{
		Dir:         file.Source.Dir,
		Snapshot:    cfg.Snapshot || cfg.Unreleased,
		LFSPointers: file.Source.LFS == "pointers",
		Ignore:      []string{cfg.Out, output.Rejected(cfg.Out), output.Staging(cfg.Out)},
		Scratch:     scratch,
	})
	if err != nil {
		return s, fmt.Errorf("source: %w", err)
	}
	s.Source = repo

	// The release file may lie in a folder of the repository.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return s, err
	}

	rel, err := filepath.Rel(repo.Root(), real)
	if err != nil {
		return s, err
	}
	s.Release.Path = path.Join(filepath.ToSlash(rel), s.Release.Path)
	return s, nil
}

// pinSource finds the source, lays it out, and takes the release file of the commit.
func pinSource(ctx context.Context, cfg Config, client gocmd.Go, file ReleaseFile, work *workspace.Workspace) (SourceTree, error) {
	s, err := openSource(ctx, cfg, client, file, work)
	if err != nil {
		return s, err
	}
	if err := s.Source.Checkout(ctx, s.Tree, source.Sorted); err != nil {
		return s, err
	}
	s.Release, err = s.Release.committed(s.Tree, cfg.Request)
	return s, err
}

// repo returns the repository that the source is a commit of, or nil if it is a module version.
func (s SourceTree) repo() *source.Repo {
	repo, _ := s.Source.(*source.Repo)
	return repo
}

// warnings returns warnings about what a release refuses: changes that are in the source, and files
// that are left out of it.
func (s SourceTree) warnings() []string {
	var modified, untracked []string
	if repo := s.repo(); repo != nil {
		modified, untracked = repo.Modified(), repo.Untracked()
	}
	return changeWarnings(modified, untracked, s.Release.Uncommitted)
}

// changeWarnings is warnings for files of a work tree. uncommitted says what is wrong with the
// release file.
func changeWarnings(modified, untracked []string, uncommitted string) (list []string) {
	if len(modified) > 0 {
		list = append(list, "uncommitted changes are built here, and a release refuses them: "+strings.Join(modified, ", "))
	}
	if len(untracked) > 0 {
		list = append(list, "untracked files are left out here, and a release refuses them: "+strings.Join(untracked, ", "))
	}
	if uncommitted != "" {
		list = append(list, uncommitted+", and a release refuses that")
	}
	return list
}

// goVersion returns the exact version of Go that the release file or go.mod names.
func (s SourceTree) goVersion() (string, error) {
	if s.Release.Toolchain.Version != "go.mod" {
		return s.Release.Toolchain.Version, nil
	}

	data, err := fsx.ReadNamed(filepath.Join(s.moduleDir(s.Tree), "go.mod"), gocmd.MaxGoMod)
	if err != nil {
		return "", err
	}

	version, err := toolchain.ExactVersion(data)
	if err != nil {
		return "", fault.Usage(err)
	}
	return version, nil
}

// obtainToolchain obtains the exact version of Go that the source asks for, and proves it.
func obtainToolchain(ctx context.Context, cfg Config, client gocmd.Client, s SourceTree) (toolchain.Toolchain, error) {
	version, err := s.goVersion()
	if err != nil {
		return toolchain.Toolchain{}, err
	}
	return toolchain.Obtain(ctx, client.Go, version, toolchain.Options{
		Installed:        []string{client.Root},
		CacheDir:         filepath.Join(cfg.Cache, "toolchains"),
		HostOS:           cfg.OS,
		HostArch:         cfg.Arch,
		AllowUnpublished: s.Release.Toolchain.Unpublished,
		MaxBytes:         cfg.CacheMax,
		OnWait:           cfg.waits,
		Now:              cfg.Now,
	})
}

// listPorts asks the toolchain for the ports that it has. The command runs in dir.
func listPorts(ctx context.Context, goCmd gocmd.Go, dir string) ([]platform.Port, error) {
	out, err := goCmd.Run(ctx, dir, "tool", "dist", "list", "-json")
	if err != nil {
		return nil, err
	}
	return platform.ParsePorts(bytes.NewReader(out))
}

// fillModules fills the module cache of the run. If lazy is set, the cache gets the modules of the
// main packages when these are described. Hooks may need any module, so lazy is not set for them.
func fillModules(ctx context.Context, cfg Config, pinned gocmd.Client, in Inputs, work *workspace.Workspace, lazy bool) (*modules.Cache, error) {
	dir, err := work.Sub("modules")
	if err != nil {
		return nil, err
	}
	cache, err := modules.FillCache(ctx, modules.Config{
		Client: pinned, SourceDir: in.moduleDir(in.Tree), Dir: dir, Reuse: pinned.ModCache, Lazy: lazy, Time: in.Time,
	})
	if err != nil && cfg.Module != "" && fault.KindOf(err) == fault.KindUsage {
		err = fault.WithRemedy(fmt.Errorf("%s: %w", cfg.Module, err), "this version cannot be built by itself; choose another")
	}
	return cache, err
}
