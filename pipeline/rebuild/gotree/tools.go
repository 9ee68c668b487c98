package gotree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// tools rebuilds the tools of w.published with w.compiler, and judges each.
func (w *distribution) tools(ctx context.Context) (err error) {
	listed, err := survey(ctx, w.published.Dir)
	if err != nil {
		return err
	}
	w.noteFiles(listed)

	flags, err := toolFlags(w.published.Dir)
	if err != nil {
		return err
	}
	if w.target, err = w.buildTarget(); err != nil {
		return err
	}

	tools, left := matchTools(listed.tools, w.options.Only)
	if len(left) > 0 {
		w.note("left out, as you asked for others alone: %s", strings.Join(left, ", "))
	}
	if len(tools) == 0 {
		return verdict.Because(verdict.Unavailable, "no tool has a name that matches %s", verdict.Quote(strings.Join(w.options.Only, " ")))
	}

	for _, name := range tools {
		if err := w.addResult(name); err != nil {
			return err
		}
	}

	session, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()

	for i, name := range tools {
		w.Stage(fmt.Sprintf("build %s (%d of %d)", name, i+1, len(tools)))
		if err := w.tool(ctx, session, w.results[i], name, flags); err != nil {
			reason := (*verdict.Reason)(nil)
			if ctx.Err() != nil || !errors.As(err, &reason) {
				return err
			}
			reason.Text = w.summary(reason.Text)
			w.results[i].Reason = reason
		}
		w.setSeconds(w.results[i])
	}
	return nil
}

// tool builds one tool and judges it.
func (w *distribution) tool(ctx context.Context, session pass.Session, res *verdict.Result, name string, flags []string) error {
	if w.cross() {
		res.RestsOn = append(res.RestsOn, verdict.Ground{What: "toolchain " + w.Version + " for " + w.compiler.Host + " " + w.compiler.Sum, Why: "checksum database"})
	}
	res.Claimed = append(res.Claimed, w.compilerClaim(w.Version))

	// A package that is absent in the source is a finding about the zip, not a failed build.
	pkg := "cmd/" + toolName(name)
	if info, err := os.Stat(filepath.Join(w.published.Dir, "src", filepath.FromSlash(pkg))); err != nil || !info.IsDir() {
		return verdict.Because(verdict.NotPublic, "the source in the zip has no %s", pkg)
	}

	// A recipe has its environment sorted.
	env := slices.Concat(recipe.ClosedEnv(), w.target.Env(), []string{"CGO_ENABLED=0", "GOEXPERIMENT=", "GOFIPS140=off"})
	slices.Sort(env)
	r := recipe.Recipe{
		Schema: recipe.Schema, Binary: path.Base(name), Target: w.target, Env: env,
		Argv:      slices.Concat([]string{"go", "build"}, flags, []string{pkg}),
		Source:    recipe.Source{Module: distributionPath, Version: w.module(), Sum: w.published.Sum, Dir: "src/cmd"},
		Toolchain: recipe.Toolchain{Version: w.Version},
	}

	var err error
	if res.RecipeDigest, err = r.Digest(); err != nil {
		return err
	}
	res.Recipe, res.Command = &r, w.command(r)
	res.AddChoices(func(recipe.Choice) string { return "the release's own cmd/dist has it" })

	built, err := session.Build(ctx, pass.Job{Binaries: []pass.Binary{{Recipe: r, ImportPath: pkg}}, Share: w.Share()})
	if reason := sandbox.Limited(err); reason != nil {
		return reason
	}
	if failed := (*pass.CommandError)(nil); errors.As(err, &failed) && ctx.Err() == nil {
		return verdict.Because(verdict.BuildFailed, "the source in the zip does not build: %s: %s", failed.What, failed.Complaint())
	}
	if err != nil {
		return err
	}

	if err := w.graphs.Add(built, pkg, w.target); err != nil {
		return err
	}
	return judgeTool(ctx, w.Store, w.dir, res, built.Artifacts[0])
}

// judgeTool compares a published tool with what was built, in any way, from its
// source.
func judgeTool(ctx context.Context, store *artifact.Store, tempDir string, res *verdict.Result, built artifact.Artifact) error {
	res.Rebuilt, res.RebuiltSize = built.Digest, built.Size
	own := artifact.Artifact{Name: res.Name, Kind: artifact.Binary, Digest: res.Digest, Size: res.Size, Executable: true}
	c, err := compare.Files(own, built)
	if err != nil {
		return err
	}
	if c.Verdict.Pass() {
		res.Verdict = c.Verdict
		return nil
	}

	// Published tools may be signed, and a signature cannot be made again.
	if c := unsigned(store, own, built); c.Same {
		res.SetEquivalent(c, inspect.WithoutSignature)
		return nil
	}

	if res.Explanation, err = explain.Artifacts(ctx, store, own, built, explain.Options{TempDir: tempDir}); err != nil {
		return err
	}
	res.Verdict = compare.Differs
	res.Reason = verdict.Because(verdict.BytesDiffer, "%s: source, toolchain and flags are those of the release, and they give other bytes", c.Reason)
	if res.Content == inspect.ContentChanged {
		res.Reason.Text += "; its own build ID tells that it was changed after it was linked"
	}
	return nil
}

// unsigned compares two files without their code signatures. Files that cannot be compared so are
// not the same.
func unsigned(store *artifact.Store, a, b artifact.Artifact) inspect.Comparison {
	var list [2]*inspect.Binary
	for i, art := range []artifact.Artifact{a, b} {
		f, err := store.Open(art.Digest)
		if err != nil {
			return inspect.Comparison{}
		}
		defer f.Close()
		if list[i], err = inspect.Open(f, art.Size); err != nil {
			return inspect.Comparison{}
		}
	}

	c, err := inspect.Compare(list[0], list[1], inspect.WithoutSignature)
	if err != nil {
		return inspect.Comparison{}
	}
	return c
}

// releaseFlags are the flags of the go command that all releases so far have built
// their tools with (toolenv in cmd/dist/build.go).
var releaseFlags = []string{"-trimpath", "-ldflags=-w", "-gcflags=cmd/...=-dwarf=false"}

var goflagsRE = regexp.MustCompile(`"GOFLAGS=(-[^"\n]*)"`)

// toolFlags returns the flags that the release's own cmd/dist builds the tools with. Other flags
// than the known ones are an error: a source decides nothing here that was not thought of.
func toolFlags(goroot string) ([]string, error) {
	data, err := sandbox.ReadSmall(os.DirFS(goroot), "src/cmd/dist/build.go")
	if err != nil {
		return nil, verdict.Because(verdict.Setting, "the zip does not say how its tools were built: %s", err)
	}
	m := goflagsRE.FindAllSubmatch(data, -1)
	if len(m) != 1 || string(m[0][1]) != strings.Join(releaseFlags, " ") {
		return nil, verdict.Because(verdict.Setting, "its cmd/dist does not build tools with %s, as that of the releases up to go1.26 does", strings.Join(releaseFlags, " "))
	}
	return releaseFlags, nil
}

// toolName is the last element of the package that a tool is built from.
func toolName(name string) string { return strings.TrimSuffix(path.Base(name), ".exe") }

// matchTools splits tools into those that match one of some patterns and the others.
func matchTools(tools, only []string) (in, out []string) {
	for _, name := range tools {
		match := len(only) == 0
		for _, glob := range only {
			full, _ := path.Match(glob, name)
			last, _ := path.Match(glob, path.Base(name))
			match = match || full || last
		}
		if match {
			in = append(in, name)
		} else {
			out = append(out, name)
		}
	}
	return in, out
}
