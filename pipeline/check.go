package pipeline

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/lint"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/source"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// Checked is what [Check] found.
type Checked struct {
	Builds []matrix.Build
	// Toolchain is the version that a release would use.
	Toolchain string
	// Findings are what the lints found, sorted. Silenced are the findings that the
	// release file silences.
	Findings, Silenced []lint.Finding
}

// Check finds out whether the release file is consistent and fits the source. It expands the
// matrix, looks for the main packages, pins the version of Go, and runs the lints. It builds
// nothing, proves no toolchain, and downloads nothing unless cfg.Module is set. The ports are those
// of the Go release that twice was written for.
func Check(ctx context.Context, cfg Config) (_ *Checked, err error) {
	cfg.Unreleased = true // what a release refuses is a finding here
	file, err := readReleaseFile(cfg.ConfigFile)
	if err != nil {
		return nil, err
	}

	work, err := workspace.New(ctx, filepath.Join(cfg.Cache, "work"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, work.Close()) }()

	client, err := gocmd.NewClient(ctx, cfg.Go, cfg.UserEnv)
	if err != nil {
		return nil, err
	}

	src, err := openSource(ctx, cfg, client.Go, file, work)
	if errors.Is(err, source.ErrShallow) {
		// Without history there is no version, so nothing else can be checked.
		return runLints(file, lint.Input{Repository: &lint.Repository{Shallow: true}})
	} else if err != nil {
		return nil, err
	}

	repo := src.repo()
	if repo != nil {
		err = repo.Extract(ctx, src.Tree)
	} else {
		err = src.Source.Checkout(ctx, src.Tree, source.Sorted)
	}
	if err != nil {
		return nil, err
	}

	sel, err := selectBuilds(cfg.Request, src, nil, os.DirFS(src.Tree))
	if err != nil {
		return nil, err
	}
	// Hooks could make the files that archives name, and do not run here.
	if len(sel.Hooks) == 0 {
		if _, err := planPackaging(src.Release, sel, src.Tree); err != nil {
			return nil, err
		}
	}

	in, err := lintInput(src, sel)
	if err != nil {
		return nil, err
	}

	// A root does not follow symbolic links that lead out of the tree.
	root, err := os.OpenRoot(src.Tree)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	in.Tree = root.FS()

	if repo != nil {
		checkout, openErr := os.OpenRoot(repo.Root())
		if openErr != nil {
			return nil, openErr
		}
		defer func() { err = errors.Join(err, checkout.Close()) }()
		in.Work = checkout.FS()
		in.Repository = &lint.Repository{
			Modified: repo.Modified(), Untracked: repo.Untracked(), Linked: repo.Linked(),
			Tags: repo.TagsAtHead(), Tag: repo.Tag(), HighestVersion: repo.HighestVersion(),
		}
		if in.Machine, err = userSettings(cfg, client.Settings, filepath.Join(repo.Root(), filepath.FromSlash(in.ModuleDir))); err != nil {
			return nil, err
		}
	}

	return runLints(src.Release, in)
}

// lintInput returns what the lints look at, without the trees.
func lintInput(src SourceTree, sel Selection) (lint.Input, error) {
	in := lint.Input{
		Hooks: sel.Hooks, Builds: sel.Builds, LockName: oci.LockName,
		ModuleDir: path.Clean(src.Source.Identity().Dir), ConfigDir: src.configDir(),
	}

	var err error
	if in.Toolchain, err = src.goVersion(); err != nil {
		return in, err
	}
	lock, err := readBaseLock(filepath.Join(src.Tree, filepath.FromSlash(in.ConfigDir)))
	if err != nil || lock == nil {
		return in, err
	}
	for _, img := range lock.Images {
		in.Locked = append(in.Locked, img.Reference)
	}

	return in, nil
}

// runLints runs the lints on a release file and what is known about its source.
func runLints(file ReleaseFile, in lint.Input) (*Checked, error) {
	in.File = file.File
	c := &Checked{Builds: in.Builds, Toolchain: in.Toolchain}
	var err error
	if c.Findings, c.Silenced, err = lint.Run(in); err != nil {
		return nil, fault.Usage(err)
	}
	return c, nil
}

// maxSettings bounds the go command's own settings file, in bytes.
const maxSettings = 1 << 20

// userSettings returns the settings of the machine and its user that a go build in folder dir would
// obey.
func userSettings(cfg Config, user gocmd.Settings, dir string) (lint.Machine, error) {
	m := lint.Machine{Env: cfg.UserEnv, GoVersion: user.Version}

	// The environment wins over the go command's own settings file.
	work, _ := recipe.Lookup(cfg.UserEnv, "GOWORK")
	if user.File != "" && user.File != "off" {
		// A file that is no regular one could block the reader, and one too large is no settings file.
		info, err := os.Stat(user.File)
		if err == nil && info.Mode().IsRegular() && info.Size() <= maxSettings {
			m.GoEnvFile = user.File
			if m.GoEnv, err = fsx.ReadNamed(user.File, maxSettings); err != nil {
				return m, err
			}
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, err
		}

		own, _ := recipe.Lookup(strings.Split(string(m.GoEnv), "\n"), "GOWORK")
		work = cmp.Or(work, strings.TrimSpace(own))
	}

	if work != "" && work != "auto" {
		if work != "off" {
			m.GoWork = work
		}
		return m, nil
	}

	// Without a setting, the next go.work in a folder above counts.
	for {
		name := filepath.Join(dir, "go.work")
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			m.GoWork = name
			return m, nil
		}

		parent := filepath.Dir(dir)
		if parent == dir {
			return m, nil
		}
		dir = parent
	}
}
