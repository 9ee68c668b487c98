package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

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

// Planned is one binary to build.
type Planned struct {
	Build      matrix.Build
	Recipe     recipe.Recipe
	Digest     artifact.Digest
	ImportPath string
}

// pack is an archive to be made.
type pack struct {
	target matrix.Target
	plan   matrix.ArchivePlan
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

// buildable leaves out of images what the builds, of which some may not have
// been chosen, have no binaries for.
func buildable(images []matrix.ImagePlan, builds []matrix.Build) []matrix.ImagePlan {
	var kept []matrix.ImagePlan
	for _, img := range images {
		img.Platforms = slices.DeleteFunc(slices.Clone(img.Platforms), func(p matrix.ImagePlatform) bool {
			return !slices.ContainsFunc(builds, func(b matrix.Build) bool { return b.Target == p.Target })
		})
		if len(img.Platforms) > 0 {
			kept = append(kept, img)
		}
	}
	return kept
}

// planFiles finds out what archives hold beside the binaries. tree is the source
// as the hooks of pass A left it, where each glob that must match does.
func (p *Plan) planFiles(tree string) error {
	root, err := pass.OpenFolder(tree, path.Dir(p.configRel))
	if err != nil {
		return err
	}
	defer root.Close()
	folder := root.FS()
	for _, pair := range p.pairs() {
		plan, err := p.File.Archive(pair.a.target, p.Vars)
		if err != nil {
			return fault.Usage(err)
		}
		p.packs = append(p.packs, pack{pair.a.target, plan})
		for _, g := range plan.Files {
			if slices.Contains(p.globs, g) {
				continue
			}
			p.globs = append(p.globs, g)
			found, err := fs.Glob(folder, g)
			if err == nil && len(found) == 0 && plan.MustMatch {
				err = errors.New("matches no file")
			}
			if err != nil {
				return fault.Usage(fmt.Errorf("%s: archive.files: %s: %w", p.configRel, g, err))
			}
		}
	}
	for _, img := range p.images {
		for _, f := range img.Files {
			if info, err := fs.Stat(folder, f.Source); err != nil || !info.Mode().IsRegular() {
				return fault.Usage(fmt.Errorf("%s: %s.file: there is no file %s", p.configRel, img.Key, f.Source))
			}
			if g := literal(f.Source); !slices.Contains(p.globs, g) {
				p.globs = append(p.globs, g)
			}
		}
	}
	if _, err := pass.Match(tree, path.Dir(p.configRel), p.globs); err != nil {
		return fault.Usage(fmt.Errorf("%s: %w", p.configRel, err))
	}
	return nil
}

// literal returns the glob that matches name alone.
func literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
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
