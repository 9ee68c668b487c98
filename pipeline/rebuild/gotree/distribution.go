// Package gotree judges a published Go toolchain: whether the source in its zip gives
// the tools in it.
//
// [Judge] has two ways. It builds the tools with the release itself, which shows that
// source and tools belong together. Or it rebuilds the whole zip with a compiler that
// an older release made, step by step, which leaves that older release to be believed.
//
// What a zip says of its making is in its own cmd/dist and make.bash. They are read and
// compared with what releases are known to do.
package gotree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/shell"
	"github.com/twicebuild/twice/pipeline/toolchain"
)

// Toolchain is a published Go toolchain as a subject: the module
// golang.org/toolchain at v0.0.1-VERSION.OS-ARCH (https://go.dev/doc/toolchain),
// which holds the tools and the source that they were made of.
type Toolchain struct {
	// Version is a release, such as "go1.26.8".
	Version string
	// OS and Arch are the platform that its tools run on.
	OS, Arch string
}

// oldestToolchain is the first release that is published as a module.
const oldestToolchain = "go1.21"

// Parse reads VERSION or VERSION/OS-ARCH, such as "go1.26.8/darwin-arm64". The default platform is
// the one of the host.
func Parse(s, hostOS, hostArch string) (Toolchain, error) {
	v, platform, given := strings.Cut(s, "/")
	if err := ParseRelease(v); err != nil {
		return Toolchain{}, err
	}

	d := Toolchain{v, hostOS, hostArch}
	if given {
		m := platformRE.FindStringSubmatch(platform)
		if m == nil {
			return Toolchain{}, fault.WithRemedy(fault.Usage(fmt.Errorf("platform %s: want GOOS-GOARCH", verdict.Quote(platform))), "write it as "+v+"/linux-amd64")
		}
		d.OS, d.Arch = m[1], m[2]
	}

	if _, err := d.target(""); err != nil {
		return Toolchain{}, fmt.Errorf("platform %w", err)
	}
	return d, nil
}

var platformRE = regexp.MustCompile(`^([a-z0-9]{1,20})-([a-z0-9]{1,20})$`)

var releaseRE = regexp.MustCompile(`^go1\.(0|[1-9]\d{0,3})(\.\d{1,4})?(rc\d{1,3})?$`)

// IsRelease reports whether v has the form of the name of a release of Go.
func IsRelease(v string) bool { return releaseRE.MatchString(v) }

// ParseRelease accepts the name of a release that is published as a module.
func ParseRelease(v string) error {
	if !IsRelease(v) {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s is no release of Go", verdict.Quote(v))), "write the exact version, such as go1.26.8")
	}
	if version.Compare(v, oldestToolchain) < 0 {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s is older than %s", v, oldestToolchain)), "Go publishes its toolchains as modules since "+oldestToolchain)
	}
	if _, err := toolchain.ParseVersion(v); err != nil {
		return err
	}
	return nil
}

// target is the platform, with a variant where it is given.
func (d Toolchain) target(variant string) (matrix.Target, error) {
	name := d.OS + "/" + d.Arch
	if variant != "" {
		name += "/" + variant
	}
	return matrix.ParseTarget(name)
}

const distributionPath = "golang.org/toolchain"

// module is the version of the module.
func (d Toolchain) module() string {
	return "v0.0.1-" + d.Version + "." + d.OS + "-" + d.Arch
}

// String returns what people call it.
func (d Toolchain) String() string { return "toolchain:" + d.Version + "/" + d.OS + "-" + d.Arch }

// Options say how to judge a Toolchain.
type Options struct {
	// Bootstrap is the older release that the compiler is built from, in as many
	// steps as it takes, such as "go1.24.6". If it is empty the distribution's own
	// compiler does the work.
	Bootstrap string
	// Only are patterns ([path.Match]) for the names of tools, "bin/gofmt", or for their last
	// elements; nil means all. A bootstrap builds all of them in any case.
	Only []string
}

// checkOptions checks the options against the toolchain.
func checkOptions(d Toolchain, o Options) error {
	for _, glob := range o.Only {
		if _, err := path.Match(glob, "x"); err != nil {
			return fault.Usage(fmt.Errorf("pattern %q: %w", glob, err))
		}
	}

	if o.Bootstrap == "" {
		return nil
	}
	if err := ParseRelease(o.Bootstrap); err != nil {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("bootstrap: %w", err)), fault.RemedyOf(err))
	}
	if version.Compare(o.Bootstrap, d.Version) >= 0 {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("bootstrap from %s: it is not older than %s", o.Bootstrap, d.Version)), "name an older release")
	}

	if len(o.Only) > 0 {
		return fault.Usage(errors.New("a bootstrap builds all tools, so it cannot be told to build only some"))
	}
	return nil
}

// Judge judges a published Go toolchain. It returns a result for each tool in it. With a bootstrap
// it also returns one for the whole zip, and notes on the executables in it that are no tools.
//
// Without a bootstrap the tools are built from the source in the zip, by the release itself. The
// compiler is that of this host if the distribution is for another platform. This shows that
// source and tools belong together. A compiler that adds something to the programs it compiles,
// and to itself above all, would do so again (https://dl.acm.org/doi/10.1145/358198.358210). For a
// judgement with a bootstrap, see the method bootstrap.
//
// An error is the context's or a usage error. If anything else keeps a tool from a verdict, the
// tool's Result says so.
func Judge(ctx context.Context, s *sandbox.Sandbox, d Toolchain, o Options) ([]*verdict.Result, []string, error) {
	if err := checkOptions(d, o); err != nil {
		return nil, nil, err
	}

	w := &distribution{Sandbox: s, Toolchain: d, options: o, dir: s.NewDir(), last: s.Now()}
	w.open = w.openPass
	reason, unremoved, err := s.Run(ctx, w.dir, w.run)
	if err != nil {
		return nil, nil, err
	}

	if unremoved != nil {
		w.note("the workspace could not be removed: %s", w.summary(unremoved.Error()))
	}

	if reason != nil {
		w.giveUp(reason)
	}
	return w.results, w.notes, nil
}

// distribution is the work on one Toolchain.
type distribution struct {
	*sandbox.Sandbox
	Toolchain
	options Options
	dir     string
	// published is the toolchain that is judged, and compiler the one that this host compiles
	// with.
	published, compiler toolchain.Toolchain
	target              matrix.Target
	results             []*verdict.Result
	notes               []string
	last                time.Time
	// open sets up the pass that tools are built in. The graphs are those of its builds, which
	// share a cache.
	open   func(context.Context) (pass.Session, error)
	graphs sandbox.Graphs
}

// giveUp gives the reason to every result that has no verdict. If there is no such result, because
// all of them went well, it adds one. So a distribution that was not judged to the end never looks
// like a good one.
func (w *distribution) giveUp(reason *verdict.Reason) {
	reason.Text = w.summary(reason.Text)
	given := false
	for _, res := range w.results {
		if res.Verdict == compare.Undetermined && res.Reason == nil {
			res.Reason, given = reason, true
		}
	}
	if !given {
		w.results = append(w.results, &verdict.Result{Name: w.String(), Verdict: compare.Undetermined, Reason: reason, Content: inspect.ContentUnknown})
	}
}

// summary is a message for a result, without the paths of the workspace.
func (w *distribution) summary(message string) string { return w.Summary(w.dir, message) }

func (w *distribution) note(format string, args ...any) {
	w.notes = append(w.notes, w.String()+": "+fmt.Sprintf(format, args...))
}

func (w *distribution) run(ctx context.Context) error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}

	for _, m := range w.Confinement.Missing {
		w.note("not confined: %s", m)
	}
	if w.options.Bootstrap != "" {
		return w.bootstrap(ctx)
	}

	w.Stage("toolchain " + w.Version)
	var err error
	if w.compiler, err = w.Prove(ctx, w.Client.Go, w.Version, w.Host.OS, w.Host.Arch, true); err != nil {
		return err
	}

	w.published = w.compiler
	if w.cross() {
		w.Stage("toolchain " + w.Version + " for " + w.OS + "-" + w.Arch)
		if w.published, err = w.Prove(ctx, w.Client.Go, w.Version, w.OS, w.Arch, false); err != nil {
			return err
		}
	}
	return w.tools(ctx)
}

// cross reports whether the distribution is for another platform than this one.
func (w *distribution) cross() bool { return w.OS != w.Host.OS || w.Arch != w.Host.Arch }

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

// setSeconds says how long the work on a result took.
func (w *distribution) setSeconds(res *verdict.Result) {
	now := w.Now()
	res.Seconds = now.Sub(w.last).Seconds()
	w.last = now
}

// addResult makes the result of a tool and puts its bytes into the store.
func (w *distribution) addResult(name string) error {
	f, _, err := fsx.OpenNamed(filepath.Join(w.published.Dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	d, size, err := w.Store.Put(io.LimitReader(f, sandbox.MaxSubject))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}

	res := &verdict.Result{
		Name: w.String() + "  " + name, Digest: d, Size: size, Verdict: compare.Undetermined, Content: inspect.ContentUnknown,
		Source: distributionPath + "@" + w.module(), Package: "cmd/" + toolName(name), GoVersion: w.Version, Target: w.target.String(),
		RestsOn: []verdict.Ground{{What: "module zip " + distributionPath + "@" + w.module() + " " + w.published.Sum, Why: "checksum database"}},
	}

	w.content(res)
	w.results = append(w.results, res)
	return nil
}

// content finds out whether a tool is as it was linked.
func (w *distribution) content(res *verdict.Result) {
	f, err := w.Store.Open(res.Digest)
	if err != nil {
		return
	}
	defer f.Close()
	if bin, err := inspect.Open(f, res.Size); err == nil {
		if c, err := bin.CheckContent(); err == nil {
			res.Content = c.State
		}
	}
}

// compilerClaim names what a rebuild with the release's own compiler does not show.
func (w *distribution) compilerClaim(v string) verdict.Claim {
	return verdict.Claim{What: "the compiler of " + v + " is what its source says", Why: "it is what compiled it: name an older release with --bootstrap"}
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

// command returns the same build for a person. The go command looks for package cmd in the
// release's own source.
func (w *distribution) command(r recipe.Recipe) string {
	words := []string{"GOTOOLCHAIN=" + w.Version, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0"}
	words = append(words, w.target.Env()...)
	words = append(words, slices.Insert(slices.Clone(r.Argv), 2, "-o", r.Binary)...)
	return shell.Join(words)
}

// openPass sets up the confined workspace: a GOROOT with the source of the
// distribution and the tools of this host, and an empty module, in which cmd/dist
// builds the tools of a release, too.
func (w *distribution) openPass(ctx context.Context) (pass.Session, error) {
	goroot := w.compiler.Dir
	if w.cross() {
		goroot = filepath.Join(w.dir, "goroot")
		if err := w.composeGOROOT(ctx, goroot); err != nil {
			return nil, err
		}
	}

	passes, modCache := filepath.Join(w.dir, "pass"), filepath.Join(w.dir, "modules")
	if err := errors.Join(os.MkdirAll(passes, 0o755), os.MkdirAll(modCache, 0o755)); err != nil {
		return nil, err
	}

	local := &pass.Local{
		Dir: passes, Store: w.Store, ModuleDir: ".", ConfigDir: ".",
		Checkout: func(_ context.Context, dest string, _ bool) error {
			if err := os.MkdirAll(dest, 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dest, "go.mod"), []byte("module bootstrap\n\ngo "+language(w.Version)+"\n"), 0o644)
		},
		GOROOT: goroot, ModCache: modCache, Path: w.Path, SystemEnv: w.SystemEnv, Confinement: w.Confinement, Limits: w.Limits(),
		Now: w.Now, Log: io.Discard, Foreign: &pass.Foreign{MaxFile: min(w.MaxDisk, 8<<30)},
	}
	return local.Open(ctx, pass.A)
}

// language is the version of the language that a release has: "1.26".
func language(v string) string { return strings.TrimPrefix(version.Lang(v), "go") }

// composeGOROOT lays out the distribution with this host's tools in place of its own, which do not
// run here.
func (w *distribution) composeGOROOT(ctx context.Context, dest string) error {
	err := copyTree(ctx, w.published.Dir, dest, func(name string) bool {
		return name != "bin" && name != "pkg/tool" && !slices.Contains(notPublished, name)
	})
	if err != nil {
		return err
	}
	for _, dir := range []string{"bin", "pkg/tool"} {
		if err := copyTree(ctx, filepath.Join(w.compiler.Dir, filepath.FromSlash(dir)), filepath.Join(dest, filepath.FromSlash(dir)), nil); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies the regular files below src. It leaves out a file if keep is given and says no
// to its name or to the name of one of its folders.
func copyTree(ctx context.Context, src, dest string, keep func(name string) bool) error {
	return filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}

		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}

		to := filepath.Join(dest, rel)
		switch {
		case rel != "." && keep != nil && !keep(filepath.ToSlash(rel)):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no regular file", p)
		}

		return copyFile(p, to)
	})
}

func copyFile(src, dest string) error {
	in, _, err := fsx.OpenNamed(src)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := fsx.CreateNew(dest, 0o644|info.Mode().Perm()&0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// buildTarget returns the target that the tools were built for. The variant of the architecture is
// the default that cmd/dist wrote down for this distribution. It had the variant from the
// environment of the build: linux-arm has another one than a build for linux/arm elsewhere.
func (w *distribution) buildTarget() (matrix.Target, error) {
	t, err := w.Toolchain.target("")
	if err != nil {
		return t, err
	}

	data, err := sandbox.ReadSmall(os.DirFS(w.published.Dir), "src/internal/buildcfg/zbootstrap.go")
	if err != nil {
		return t, verdict.Because(verdict.Setting, "the zip does not say what it was built for: %s", err)
	}

	// The variable with the variant is the only one that the platform's name leaves open.
	for _, kv := range t.Env() {
		name, _, _ := strings.Cut(kv, "=")
		if name == "GOOS" || name == "GOARCH" {
			continue
		}
		m := regexp.MustCompile("(?m)^const [dD]efault"+name+" = `([^`\n]{1,40})`$").FindAllSubmatch(data, -1)
		if len(m) != 1 {
			return t, verdict.Because(verdict.Setting, "the zip does not say which %s it was built for", name)
		}
		if t, err = w.Toolchain.target(string(m[0][1])); err != nil {
			return t, verdict.Because(verdict.Setting, "the zip was built for %s=%s: %s", name, verdict.Quote(string(m[0][1])), verdict.Quote(err.Error()))
		}
	}

	return t, nil
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

// notPublished are the folders of an installed Go that its zip lacks.
var notPublished = []string{"api", "doc", "misc", "test"}

// surveyed are the files of a distribution that a machine executes or links.
type surveyed struct {
	// tools are all files below bin and pkg/tool.
	tools []string
	// objects are the others, and testdata those in folders of that name.
	objects  []string
	testdata []string
	files    int
}

// survey looks at every file of a GOROOT.
func survey(ctx context.Context, goroot string) (surveyed, error) {
	var s surveyed
	head := make([]byte, 16)

	err := filepath.WalkDir(goroot, func(p string, d fs.DirEntry, err error) error {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}

		rel, err := filepath.Rel(goroot, p)
		if err != nil {
			return err
		}

		name := filepath.ToSlash(rel)
		if d.IsDir() {
			if slices.Contains(notPublished, name) {
				return fs.SkipDir
			}
			return nil
		}

		s.files++
		if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") {
			s.tools = append(s.tools, name)
			return nil
		}

		// The first bytes tell an object, because a name in the zip may be anything.
		f, _, err := fsx.OpenNamed(p)
		if err != nil {
			return err
		}
		n, err := io.ReadFull(f, head)
		if err := errors.Join(f.Close(), ignoreEOF(err)); err != nil {
			return err
		}
		switch {
		case !isObject(name, head[:n]):
		case strings.Contains(name, "/testdata/"):
			s.testdata = append(s.testdata, name)
		default:
			s.objects = append(s.objects, name)
		}
		return nil
	})

	return s, err
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// magics are the beginnings of executables, objects and libraries: ELF, Mach-O in
// both orders and universal, PE, WebAssembly, ar, and Go's own objects.
var magics = []string{
	"\x7fELF", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xfe\xed\xfa\xcf", "\xfe\xed\xfa\xce", "\xca\xfe\xba\xbe", "MZ", "\x00asm", "!<arch>\n", "!<bigaf>\n", "go object ",
}

// isObject reports whether a file is one that is executed or linked. Objects of COFF and XCOFF
// have no magic of their own, so their names count.
func isObject(name string, head []byte) bool {
	switch path.Ext(name) {
	case ".syso", ".o", ".obj", ".a", ".lib", ".so", ".dll", ".dylib", ".exe":
		return true
	}
	return slices.ContainsFunc(magics, func(m string) bool { return bytes.HasPrefix(head, []byte(m)) })
}

// foreignObjects are the folders of objects that come from other projects. They go only into
// programs that are built with -race or with GOEXPERIMENT=boringcrypto. No tool is built so.
var foreignObjects = []string{"src/runtime/race/", "src/crypto/internal/boring/syso/"}

// noteFiles says which files in the zip are no source and have no result.
func (w *distribution) noteFiles(s surveyed) {
	var known, others []string
	for _, name := range s.objects {
		if slices.ContainsFunc(foreignObjects, func(dir string) bool { return strings.HasPrefix(name, dir) }) {
			known = append(known, name)
		} else {
			others = append(others, name)
		}
	}

	w.note("of its %d files %d are tools, %d objects that the source has as they are, %d executables and objects in folders for test data; the rest is source and data", s.files, len(s.tools), len(s.objects), len(s.testdata))

	if len(known) > 0 {
		w.note("not judged, since other projects made them; they are linked into programs with -race or GOEXPERIMENT=boringcrypto, and into no tool: %s", strings.Join(known, ", "))
	}
	if len(others) > 0 {
		w.note("not judged, and perhaps linked into what was built here, too: %s", strings.Join(others, ", "))
	}
}
