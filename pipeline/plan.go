package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Plan says what a release consists of, before anything is built.
type Plan struct {
	Selection
	Packaging
	// Recipes are in the order of Selection.Builds.
	Recipes []PlannedBinary
	// Warnings are for the user to read.
	Warnings []string
}

// Selection is the part of the release file that a run builds, with a version.
type Selection struct {
	Vars matrix.Vars
	// IsSnapshot tells that this is no release: see Record.Snapshot.
	IsSnapshot bool
	// Builds are in the order of targets and, within one, of the release file.
	Builds []matrix.Build
	// Images are those that have binaries among Builds.
	Images []matrix.ImagePlan
	// LeftOut are targets of the release file that were not chosen: see Record.Partial.
	LeftOut []matrix.Target
	// Hooks are the commands that run before the builds.
	Hooks [][]string
}

// Packaging is what is made of the binaries, and of which files beside them.
type Packaging struct {
	// Archives are in the order of targets.
	Archives []PlannedArchive
	// Globs match the files that archives and images hold beside the binaries.
	Globs []string
}

// PlannedArchive is the archive to make for a target.
type PlannedArchive struct {
	Target matrix.Target
	matrix.ArchivePlan
}

// PlannedBinary is one binary to build.
type PlannedBinary struct {
	Build      matrix.Build
	Recipe     recipe.Recipe
	Digest     artifact.Digest
	ImportPath string
}

// selectBuilds decides on the version, expands the matrix, and keeps the targets that are asked
// for. If ports is nil, they are those that package matrix knows. treeFS is the root of the source,
// where the folder of each binary has to be.
func selectBuilds(req Request, s SourceTree, ports []platform.Port, treeFS fs.FS) (Selection, error) {
	file, src := s.Release, s.Source.Identity()
	version, released, err := decideVersion(req, s)
	if err != nil {
		return Selection{}, err
	}

	sel := Selection{IsSnapshot: req.Snapshot || !released || file.Uncommitted != ""}
	sel.Vars = matrix.Vars{
		Project: file.Project, Version: version, Tag: s.Source.Tag(), Snapshot: sel.IsSnapshot,
		Commit: src.Commit, ShortCommit: src.Commit[:min(12, len(src.Commit))], CommitTime: s.Source.Time(),
	}

	// The whole matrix has to be valid, whatever part of it is chosen.
	all, err := file.Builds(ports, sel.Vars)
	if err != nil {
		return sel, fault.Usage(err)
	}
	images, err := file.Images(all, sel.Vars)
	if err != nil {
		return sel, fault.Usage(err)
	}
	if sel.Builds, err = chooseBuilds(all, req.Targets); err != nil {
		return sel, err
	}
	if sel.LeftOut, err = leaveOut(req, sel.IsSnapshot, targetsOf(all), sel.Targets()); err != nil {
		return sel, err
	}
	sel.Images = imagesOf(images, sel.Builds)

	for _, b := range sel.Builds {
		if info, err := fs.Stat(treeFS, path.Join(src.Dir, b.Package)); err != nil || !info.IsDir() {
			return sel, fault.Usage(fmt.Errorf("%s: binary %q: there is no folder %s in %s", file.Path, b.Binary, b.Package, src.Name()))
		}
	}

	if sel.Hooks, err = file.Hooks(sel.Vars); err != nil {
		return sel, fault.Usage(err)
	}
	return sel, nil
}

// decideVersion returns the version, and whether the source can be released under it.
func decideVersion(req Request, s SourceTree) (version string, released bool, err error) {
	file, tag := s.Release, s.Source.Tag()

	if file.Version == "auto" {
		released = tag != "" || req.Module != ""
		if !released && !req.Snapshot && !req.Unreleased {
			return "", false, fault.WithRemedy(fault.Usage(errors.New("version: HEAD has no version tag such as v1.2.3")), "tag it with git tag v1.2.3, or make a snapshot (--snapshot)")
		}
		return s.Source.Version(), released, nil
	}

	if tag != "" && path.Base(tag) != "v"+file.Version {
		return "", false, fault.Usage(fmt.Errorf("version: %s says %s, but HEAD is tagged %s", file.Path, file.Version, tag))
	}
	return file.Version, !s.Source.Dirty(), nil
}

// chooseBuilds keeps the builds whose targets match one of the globs.
func chooseBuilds(builds []matrix.Build, globs []string) ([]matrix.Build, error) {
	if len(globs) == 0 {
		return builds, nil
	}

	// A glob that matches nothing is a typing error, so each is tried by itself.
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

// leaveOut returns the targets of all that are not among those chosen. A release of a part is an
// error, unless the request allows it.
func leaveOut(req Request, snapshot bool, all, chosen []matrix.Target) ([]matrix.Target, error) {
	var left []matrix.Target
	for _, t := range all {
		if !slices.Contains(chosen, t) {
			left = append(left, t)
		}
	}

	if len(left) == 0 || snapshot || req.Unreleased || req.Partial {
		return left, nil
	}
	return left, fault.WithRemedy(fault.Usage(fmt.Errorf("--target leaves out %d of %d targets, such as %s, and this is a release", len(left), len(all), left[0])),
		"say --partial if a part of the release is meant, or make a snapshot (--snapshot)")
}

// Targets returns the targets of the builds, each once.
func (s Selection) Targets() []matrix.Target { return targetsOf(s.Builds) }

// targetsOf returns the targets of builds, each once.
func targetsOf(builds []matrix.Build) []matrix.Target {
	var list []matrix.Target
	for _, b := range builds {
		if !slices.Contains(list, b.Target) {
			list = append(list, b.Target)
		}
	}
	return list
}

// imagesOf returns the images without the platforms that the builds have no binaries for. Which
// builds there are depends on the targets that were chosen.
func imagesOf(images []matrix.ImagePlan, builds []matrix.Build) []matrix.ImagePlan {
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

// planPackaging plans the archives and finds out what archives and images hold beside
// the binaries. tree is the source as the hooks of pass A left it.
func planPackaging(file ReleaseFile, sel Selection, tree string) (Packaging, error) {
	dir := path.Dir(file.Path)

	root, err := pass.OpenFolder(tree, dir)
	if err != nil {
		return Packaging{}, err
	}
	defer root.Close()

	p, err := packagingOf(file, sel, root.FS())
	if err != nil {
		return p, err
	}
	if _, err := pass.MatchFiles(tree, dir, p.Globs); err != nil {
		return p, fault.Usage(fmt.Errorf("%s: %w", file.Path, err))
	}
	return p, nil
}

// packagingOf plans the archives. A glob that must match has to match in folder, which is the
// folder of the release file.
func packagingOf(file ReleaseFile, sel Selection, folder fs.FS) (Packaging, error) {
	var p Packaging

	for _, target := range sel.Targets() {
		plan, err := file.Archive(target, sel.Vars)
		if err != nil {
			return p, fault.Usage(err)
		}

		p.Archives = append(p.Archives, PlannedArchive{target, plan})

		for _, g := range plan.Files {
			if slices.Contains(p.Globs, g) {
				continue
			}

			p.Globs = append(p.Globs, g)
			found, err := fs.Glob(folder, g)
			if err == nil && len(found) == 0 && plan.MustMatch {
				err = errors.New("matches no file")
			}
			if err != nil {
				return p, fault.Usage(fmt.Errorf("%s: archive.files: %s: %w", file.Path, g, err))
			}
		}
	}

	for _, img := range sel.Images {
		for _, f := range img.Files {
			if info, err := fs.Stat(folder, f.Source); err != nil || !info.Mode().IsRegular() {
				return p, fault.Usage(fmt.Errorf("%s: %s.file: there is no file %s", file.Path, img.Key, f.Source))
			}

			if g := literalGlob(f.Source); !slices.Contains(p.Globs, g) {
				p.Globs = append(p.Globs, g)
			}
		}
	}
	return p, nil
}

// literalGlob returns the glob that matches name alone.
func literalGlob(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// planRecipes asks the go command what each binary is made of, and makes the recipes.
func planRecipes(ctx context.Context, cfg Config, in Inputs, sel Selection, pinned gocmd.Go, tree, workDir string) ([]PlannedBinary, error) {
	mains, err := describe(ctx, cfg.Host, in, sel.Builds, tree, workDir)
	if err != nil {
		return nil, err
	}
	return recipesOf(in, sel, mains, func(b matrix.Build) (string, error) {
		return compiler(ctx, cfg.Host, pinned, b, workDir)
	})
}

// recipesOf makes the recipes of the selected builds. mains are their main packages, in the same
// order. compiler identifies the C compiler of a build.
func recipesOf(in Inputs, sel Selection, mains []*modules.MainPackage, compiler func(matrix.Build) (string, error)) ([]PlannedBinary, error) {
	inputs := recipe.Inputs{
		Source: in.Source.Identity(), Toolchain: recipe.Toolchain{Version: in.Toolchain.Version},
		Hooks: sel.Hooks, Epoch: in.Time.Unix(), Vendored: in.Modules.Vendored,
	}
	if !in.Toolchain.Published {
		inputs.Toolchain.Sum = in.Toolchain.Sum // the version does not say which it is
	}

	var list []PlannedBinary
	for i, b := range sel.Builds {
		main := mains[i]

		// A stamp on a variable that is not there has no effect and no error, so it is refused here.
		var names []string
		for _, s := range b.Stamps {
			names = append(names, s.Name)
		}
		if err := modules.CheckStamps(main, names); err != nil {
			return nil, fault.Usage(fmt.Errorf("%s: %s: %s: %w", in.Release.Path, b.Binary, b.Target, err))
		}

		var err error
		inputs.Modules, inputs.Compiler = main.Modules, ""
		if b.Options.Cgo && len(main.Cgo) > 0 {
			if inputs.Compiler, err = compiler(b); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", b.Target, b.Binary, err)
			}
		}

		p := PlannedBinary{Build: b, ImportPath: main.ImportPath}
		if p.Recipe, err = recipe.New(b, inputs); err != nil {
			return nil, fault.Usage(err)
		}
		if p.Digest, err = p.Recipe.Digest(); err != nil {
			return nil, err
		}

		list = append(list, p)
	}
	return list, nil
}
