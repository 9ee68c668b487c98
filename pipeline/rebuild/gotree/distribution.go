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
	"context"
	"errors"
	"fmt"
	"go/version"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/compare"
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

// notPublished are the folders of an installed Go that its zip lacks.
var notPublished = []string{"api", "doc", "misc", "test"}

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
