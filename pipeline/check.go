package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/toolchain"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// Checked is what [Check] found in order.
type Checked struct {
	Builds []matrix.Build
	// Toolchain is the version that a release would use.
	Toolchain string
	Warnings  []string
}

// Check holds the release file against itself and against the source: it
// expands the matrix, looks for the main packages and pins the version of Go.
// It builds nothing, downloads nothing (unless cfg.Module is set) and proves
// no toolchain; ports are those of the Go release that twice was written for.
func Check(ctx context.Context, cfg Config) (_ *Checked, err error) {
	cfg.Trial = true // what a release refuses is a warning here
	p := &Plan{cfg: cfg}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := p.readFile(); err != nil {
		return nil, err
	}
	if p.work, err = workspace.New(ctx, filepath.Join(cfg.Cache, "work")); err != nil {
		return nil, err
	}
	user, err := userGo(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := p.openSource(ctx, user.client); err != nil {
		return nil, err
	}
	tree, err := p.layOut(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.expand(nil, tree); err != nil {
		return nil, err
	}
	c := &Checked{Toolchain: p.File.Toolchain.Version, Warnings: p.Warnings}
	if c.Toolchain == "go.mod" {
		data, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(p.Source.Source().Dir), "go.mod"))
		if err != nil {
			return nil, err
		}
		if c.Toolchain, err = toolchain.ExactVersion(data); err != nil {
			return nil, &ConfigError{Err: err}
		}
	}
	if p.Source.Tag() == "" && p.File.Version == "auto" && cfg.Module == "" {
		c.Warnings = append(c.Warnings, "HEAD has no version tag: only a snapshot can be made of it")
	}
	for _, r := range p.Recipes {
		if !r.Build.Options.Trimpath {
			c.Warnings = append(c.Warnings, r.Build.Target.String()+": "+r.Build.Binary+": trimpath is off, so the binary holds the paths of the build and the passes will differ")
		}
		c.Builds = append(c.Builds, r.Build)
	}
	return c, nil
}
