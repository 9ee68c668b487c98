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
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/output"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/source"
	"github.com/twicebuild/twice/pipeline/toolchain"
)

// Source is a source tree that can be laid out.
type Source interface {
	Source() recipe.Source
	Version() string
	Tag() string
	Time() time.Time
	Dirty() bool
	Checkout(ctx context.Context, dest string, order source.Order) error
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

// maxGoMod bounds a go.mod, as the go command does for those of dependencies.
const maxGoMod = 16 << 20

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

// mtime is the time of the files in archives.
func (p *Plan) mtime() time.Time {
	if p.cfg.Epoch != nil {
		return *p.cfg.Epoch
	}
	return p.Source.Time()
}
