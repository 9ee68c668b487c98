package rebuild

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// openSession sets up the confined workspace.
func (a *attempt) openSession(ctx context.Context) error {
	c := a.claim
	f, err := a.foreignPlaces()
	if err != nil {
		return err
	}

	f.MaxFile = min(a.MaxDisk, 8<<30)
	moduleDir := a.source.Dir
	if c.nested {
		moduleDir = "module"
		if f.Source != "" {
			return verdict.Because(verdict.Place, "its repository's root is not its module's, and paths were not trimmed")
		}
	}

	stamped := c.vcs != nil && a.source.Module != ""

	// A module's zip has no history, so a stand-in for git answers with the stamp.
	if stamped {
		f.Programs = filepath.Join(a.dir, "programs")
		if err := writeGit(f.Programs, c); err != nil {
			return err
		}
	}
	a.refuseProfile()

	passes := filepath.Join(a.dir, "pass")
	if err := os.MkdirAll(passes, 0o755); err != nil {
		return err
	}
	local := &pass.Local{
		Dir: passes, Store: a.Store, ModuleDir: moduleDir, ConfigDir: ".",
		Checkout: func(ctx context.Context, dest string, _ bool) error { return a.copySource(dest, moduleDir, stamped) },
		GOROOT:   a.toolchain.Dir, ModCache: a.modCache,
		Path: a.Path, SystemEnv: a.SystemEnv, Confinement: a.Confinement, Limits: a.Limits(),
		Now: a.Now, Log: io.Discard, Foreign: f,
	}

	for _, m := range a.Confinement.Missing {
		a.note("not confined: %s", m)
	}

	// The standard library is built ahead, before the session takes its folders.
	a.foreign = f
	if err := a.warm(ctx, f); err != nil {
		return err
	}

	a.session, err = local.Open(ctx, pass.A)
	if place := (*pass.PlaceError)(nil); errors.As(err, &place) {
		return verdict.Because(verdict.Place, "the build must have its folders where the file says: %s", place)
	}
	return err
}

// foreignPlaces returns where a build that did not trim paths had its folders. Each is listed as
// recovered and claimed. For a build that did trim them it is empty.
func (a *attempt) foreignPlaces() (*pass.Foreign, error) {
	c := a.claim
	if c.trimpath {
		return &pass.Foreign{}, nil
	}

	tree := a.treeFS
	if c.install {
		tree = nil
	}
	f, reason := c.places(a.bin, tree)
	if reason != nil {
		return nil, reason
	}
	// The toolchain may lie in the module cache. That is read-only inside, so its folder must
	// exist.
	if rel, ok := strings.CutPrefix(f.GOROOT, f.ModCache+"/"); ok && f.ModCache != "" {
		if !filepath.IsLocal(filepath.FromSlash(rel)) {
			return nil, verdict.Because(verdict.Place, "the toolchain was at %s", verdict.Quote(f.GOROOT))
		}
		if err := os.MkdirAll(filepath.Join(a.modCache, filepath.FromSlash(rel)), 0o755); err != nil {
			return nil, err
		}
	}

	a.goroot = f.GOROOT
	what := "GOROOT " + f.GOROOT
	if f.ModCache != "" {
		what += ", GOMODCACHE " + f.ModCache
	}
	if f.Source != "" {
		what += ", source " + f.Source
	}
	addGround(&a.res.Recovered, what, "the paths of source files")

	for _, c := range []recipe.Choice{{Setting: "GOROOT", Value: f.GOROOT}, {Setting: "GOMODCACHE", Value: f.ModCache}, {Setting: "source-folder", Value: f.Source}} {
		if c.Value != "" {
			a.res.Claimed = append(a.res.Claimed, verdict.ClaimOf(c, "where it was built: -trimpath would have left it out"))
		}
	}
	return f, nil
}

// refuseProfile has a profile in the main package's folder left out if the file was built without it.
// The go command would use it otherwise.
func (a *attempt) refuseProfile() {
	if a.claim.pgo || !a.claim.since(knowsProfiles) {
		return
	}
	if _, err := fs.Stat(a.treeFS, path.Join(a.mainDir(), "default.pgo")); err == nil {
		a.pgoOff = true
		addGround(&a.res.Recovered, "-pgo=off", "there is a default.pgo, and the file was built without it")
	}
}

// copySource lays the source out for the build.
func (a *attempt) copySource(dest, moduleDir string, stamped bool) error {
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return err
	}
	if a.claim.install {
		return nil
	}

	at := dest
	if a.source.Module != "" {
		at = filepath.Join(dest, filepath.FromSlash(moduleDir))
	}

	if err := os.CopyFS(at, os.DirFS(a.tree)); err != nil {
		return err
	}
	switch {
	case stamped:
		return os.MkdirAll(filepath.Join(dest, ".git"), 0o755)
	case a.claim.dirty():
		// Without an index git takes every file for a change, and none of them has to be one.
		return os.Remove(filepath.Join(dest, ".git", "index"))
	}
	return nil
}
