// Package rebuild is the reverse flow: from a Go binary that somebody published
// to a verdict on whether its public source compiles to it.
//
//	file -> inspect (evidence) -> claim -> toolchain, source, modules
//	    -> recipe.Recipe -> build -> compare -> verdict
//
// [Open] prepares what all files share, [Rebuilder.File] judges one.
//
// # What is believed
//
// Nothing that the file says. What it says chooses a recipe, and only if the
// bytes that the recipe gives are those of the file is the choice known to be
// right. The source is the module's zip and the toolchain is the published one,
// both as the checksum database has them, so a pass means that the file is what
// that source compiles to. [Result.RestsOn] lists that.
//
// # What is chosen
//
// A source compiles to many files: to one without bounds checks, to one with other
// texts in its variables. So what the publisher chose and the source does not force
// is listed in [Result.Claimed], by the name of the setting: all that the recipe has
// ([recipe.Recipe.Choices]), the folders of a build that did not trim them, and the
// revision and the time that version control left in the file where its history is
// not at hand.
//
// # What is hidden
//
// With -trimpath the go command does not record the linker's flags. They are
// recovered by trial, with the first part of the build ID as an oracle: see
// oracle and sets. Every recovery is listed in [Result.Recovered], and in the
// end the bytes decide, not the oracle.
//
// # A stranger's input
//
// The file, the source and the dependencies may be made to do harm. Every word of
// the build information passes an allow-list (read); a setting that is not on it
// is a reason for Undetermined. Modules come from the module proxy alone. Cgo is
// off, so nothing is executed but the go command, the compiler, the assembler and
// the linker of a proved toolchain. They run as the passes of a release do,
// confined and without network, in bounded time and space.
//
// # Go itself
//
// [Rebuilder.Toolchain] takes a published Go toolchain. What its zip says of its
// making is in its own cmd/dist and make.bash, which are read and held against what
// releases are known to do, and a compiler that compiled itself is what no such
// check sees behind: see there, and bootstrap.
//
// # Verdicts
//
// Reproduced: every byte is the same. Equivalent: so it is after one or more
// [inspect.Normalization], which are named; bytes that these leave out are counted.
// Differs: the bytes are others, and there is a ground to say that the file is not
// what its source compiles to. Undetermined: there is no answer, and a [Reason] says
// why.
//
// # An accusation needs ground
//
// Of a file whose bytes are others the first line that fits decides:
//
//	ground      source     toolchain  content    differs    verdict
//	any         any        any        stripped   any        undetermined: stripped
//	none        any        any        changed    any        undetermined: changed
//	none        any        any        any        any        undetermined: linker flags
//	any         not named  any        any        any        undetermined: source not named
//	any         named      other      any        any        undetermined: toolchain not published
//	dependency  named      published  any        any        differs
//	build       named      published  changed    any        differs
//	build       named      published  any        modules    differs
//	build       named      published  any        std        undetermined: toolchain not published
//	build       named      published  any        unknown    undetermined: toolchain not published
//
// The ground rules out that flags which a file need not record, or not as they were
// given, explain the difference: there is none where -gcflags or -asmflags are recorded, of
// which a file has the last alone, or -ldflags with spaces in a value, which may have been
// line ends, unless the build ID names exactly what was built. It is a dependency if the
// file names another module, or another content of one, than the source asks for. It is the
// build if the file's build ID
// names exactly what was built, if its package main was compiled from something else,
// if the flags are known otherwise, or if there is more or less machine code.
//
// The source is named if the first part of the build ID, a hash of all that was
// linked, is that of the rebuild, or else if nothing that the file says of its making
// contradicts the rebuild and one of these holds: the part about package main, a hash
// of all that it was compiled from, is the same; the file has the module's h1: hash;
// the file has a revision of version control, and that is the commit of the user's
// clone, or the one that the module proxy gives to the version. A version that was
// guessed, or that the user named, is not: it can win, and not lose.
//
// The toolchain is another if the file calls it more than a release of Go ("X:" and
// experiments), or if paths that were not trimmed show it where distributions put
// theirs (/usr/lib/go, /nix/store). One that was changed and calls itself published is
// seen by what it leaves in the file alone, which may be anywhere: functions and data of
// the standard library, and what is inlined from there in the packages of others. So
// it takes evidence that packages of modules differ, not merely that something does:
//
//   - functions that these declare start at other lines of their source, or
//   - such functions in which nothing is inlined have other instructions, but for
//     references, while the functions of the standard library that both files have are
//     the same, or
//   - the first part of the build ID is that of the rebuild, so that all packages were
//     compiled to the same, and the functions of the standard library are the same and
//     as many.
//
// Without such evidence nothing is said against the file. That a text differs is none:
// nothing in a file says whose it is. What remains is a constant of the standard library
// that only the modules' functions use: a toolchain with another one is taken for
// another source.
//
// The content is stripped if the file's build ID names exactly what was built, the file
// loads the same code and data at the same addresses, and it has no more in it than what
// was built but headers and symbols ([inspect.Stripped]). Packagers do that to programs,
// and what was taken away is no evidence against a source. It is no pass either: nothing
// places what a tool has written anew.
//
// The content is changed if the last part of the file's build ID, a hash of the file,
// is wrong. That no toolchain does, so then it does not matter where the change is.
// Who tampers with a file can compute that hash anew, but then finds no way to a pass:
// the worst that follows is that there is no verdict.
package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/source"
	"github.com/twicebuild/twice/pipeline/toolchain"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// Config is what a Rebuilder may use. Nothing else comes in from the outside.
type Config struct {
	// Host is this machine and its user. Git is needed only with
	// Options.SourceDir. Memory is a soft limit of a build's.
	host.Host
	// Timeout bounds the work on one file, 0 means 30 minutes. MaxDisk bounds what
	// it writes, in bytes, and 0 means 16 GiB.
	Timeout time.Duration
	MaxDisk int64
	// Many tells that several files are to come, for which the standard library
	// is compiled once where they have a toolchain and a target in common.
	Many bool
	// Stage is told what begins, for people; it may be nil.
	Stage func(what string)
	Options
}

// Options are what the user knows, where the files do not say it.
type Options struct {
	// Main is "path@version": the version of the main module.
	Main string
	// SourceDir is a folder in a clean git repository, whose commit is the source.
	SourceDir string
	// LDFlags are the linker's arguments, as the value of -ldflags; nil leaves it
	// to be found out. They pass the same allow-list as those in a file.
	LDFlags *string
}

// Subject is a file to be judged.
type Subject struct {
	// Name is what people call it.
	Name string
	// Digest is what the file must have, or empty.
	Digest artifact.Digest
	// Hints are what is around the file, the more telling first. They are a
	// stranger's words, of which at most 32 are looked at.
	Hints []Hint
	// Stated is how somebody says that the file was made, or nil.
	Stated *Stated
	// Open opens it. What it returns is read once.
	Open func() (io.ReadCloser, error)
}

// maxSubject bounds a file, in bytes.
const maxSubject = 2 << 30

// Rebuilder judges files. Its methods are not to be called concurrently.
type Rebuilder struct {
	cfg     Config
	ldflags []string
	work    *workspace.Workspace
	client  gocmd.Client
	confine pass.Confinement
	store   *artifact.Store
	// toolchains are those that were proved in this run, by version.
	toolchains map[string]toolchain.Toolchain
	// held are all that are in use until the end.
	held      []toolchain.Toolchain
	standards map[string]*standard
	files     int
}

// Open prepares what all files share. The caller must Close the Rebuilder.
func Open(ctx context.Context, cfg Config) (_ *Rebuilder, err error) {
	r := &Rebuilder{cfg: cfg, toolchains: map[string]toolchain.Toolchain{}, standards: map[string]*standard{}}
	if r.cfg.Timeout == 0 {
		r.cfg.Timeout = 30 * time.Minute
	}
	if r.cfg.MaxDisk == 0 {
		r.cfg.MaxDisk = 16 << 30
	}
	if cfg.Stage == nil {
		r.cfg.Stage = func(string) {}
	}
	if cfg.Main != "" {
		modPath, version, _ := strings.Cut(cfg.Main, "@")
		if err := module.Check(modPath, version); err != nil || module.CanonicalVersion(version) != version {
			return nil, fault.Usage(fmt.Errorf("main module %q: want path@version", cfg.Main), "write it as github.com/owner/project@v1.2.3")
		}
		if cfg.SourceDir != "" {
			return nil, fault.Usage(errors.New("a main module and a folder with the source exclude each other"))
		}
	}
	if cfg.LDFlags != nil {
		if r.ldflags, err = linkerFlags(*cfg.LDFlags); err != nil {
			return nil, fault.Usage(fmt.Errorf("linker flags: %w", err))
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	client, err := gocmd.NewClient(ctx, cfg.Go, cfg.Env)
	if err != nil {
		return nil, err
	}
	if r.client, err = client.ProxyOnly(); err != nil {
		return nil, err
	}
	if r.work, err = workspace.New(ctx, filepath.Join(cfg.Cache, "rebuild")); err != nil {
		return nil, err
	}
	probe, err := r.work.Sub("probe")
	if err != nil {
		return nil, err
	}
	if r.confine, err = pass.Probe(ctx, probe, cfg.Path); err != nil {
		return nil, err
	}
	// What go commands leave that are killed with this process is in the workspace.
	temp, err := r.work.Sub("temp")
	if err != nil {
		return nil, err
	}
	r.client.Go = r.client.With("GOTMPDIR=" + temp)
	store, err := r.work.Sub("store")
	if err != nil {
		return nil, err
	}
	r.store = artifact.NewStore(store)
	return r, nil
}

// Close removes the workspace.
func (r *Rebuilder) Close() error {
	if r.work == nil {
		return nil
	}
	var errs []error
	for _, s := range r.standards {
		if s.session != nil {
			errs = append(errs, s.session.Close())
		}
	}
	for _, tc := range r.held {
		errs = append(errs, tc.Close())
	}
	return errors.Join(append(errs, r.work.Close())...)
}

// The causes of a context that ends by a limit.
var (
	errTimeout = errors.New("the time for one file is over")
	errDisk    = errors.New("the space for one file is used up")
)

// File judges a file. An error is the context's; whatever else keeps the file from
// a verdict is in the Result, whose verdict then is Undetermined.
func (r *Rebuilder) File(ctx context.Context, s Subject) (*verdict.Result, error) {
	start := r.cfg.Now()
	r.files++
	j := &job{Rebuilder: r, dir: filepath.Join(r.work.Dir, fmt.Sprintf("file-%d", r.files)),
		res: &verdict.Result{Name: s.Name, Digest: s.Digest, Verdict: compare.Undetermined, Content: inspect.ContentUnknown}}
	within, stop := context.WithTimeoutCause(ctx, r.cfg.Timeout, errTimeout)
	defer stop()
	within, cancel := context.WithCancelCause(within)
	defer cancel(nil)
	watched := r.watch(within, cancel, j.dir)
	err := j.run(within, s) // which may have had folders below j.dir, and is back
	cause := context.Cause(within)
	cancel(nil)
	watched.Wait()
	if ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), pass.RemoveAll(j.dir))
	}
	if err == nil {
		err = pass.RemoveAll(j.dir)
	} else if rerr := pass.RemoveAll(j.dir); rerr != nil {
		j.note("the workspace could not be removed: %v", rerr)
	}
	var reason *verdict.Reason
	switch {
	case err == nil:
	case errors.Is(cause, errTimeout) || errors.Is(cause, errDisk):
		j.undetermined(verdict.Because(verdict.Limits, "%s", cause))
	case errors.As(err, &reason):
		j.undetermined(reason)
	default:
		j.undetermined(verdict.Because(verdict.Unavailable, "%s", err).WithRemedy(fault.RemedyOf(err)))
	}
	j.res.AddChoices(j.chosen)
	j.res.Seconds = r.cfg.Now().Sub(start).Seconds()
	return j.res, nil
}

// watchPause is how long watch waits between two looks, at least.
const watchPause = 2 * time.Second

// watch cancels a context when the files below dir take too much space. The
// returned group ends with the context.
func (r *Rebuilder) watch(ctx context.Context, cancel context.CancelCauseFunc, dir string) *sync.WaitGroup {
	var group sync.WaitGroup
	group.Go(func() {
		pause := time.NewTimer(watchPause)
		defer pause.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
			start := r.cfg.Now()
			total := int64(0)
			filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if ctx.Err() != nil {
					return fs.SkipAll
				}
				if err == nil && d.Type().IsRegular() {
					if info, err := d.Info(); err == nil {
						total += info.Size()
					}
				}
				return nil // what was removed meanwhile takes no space
			})
			if total > r.cfg.MaxDisk {
				cancel(errDisk)
				return
			}
			// Of ten thousands of files the sizes take a while, and are not to take the
			// processor from what writes them.
			pause.Reset(watchPause + min(time.Minute, 20*max(0, r.cfg.Now().Sub(start))))
		}
	})
	return &group
}

// job is the work on one file.
type job struct {
	*Rebuilder
	dir   string
	res   *verdict.Result
	file  *os.File // in the store
	facts inspect.Facts
	bin   *inspect.Binary
	claim *claim
	// stated is a recipe that is used, and statedFlags are its arguments of the
	// linker.
	stated      *Stated
	statedFlags linking
	// missing is why the file's word is not enough to find its source.
	missing *verdict.Reason
	// choice is the source that is tried, and all below belong to the attempt.
	choice    choice
	toolchain toolchain.Toolchain
	pinned    gocmd.Client
	source    recipe.Source
	tree      string // the source, for reading; empty if it lies in the module cache
	treeFS    fs.FS
	modCache  string
	pgoOff    bool
	session   pass.Session
	// graphs are those of all that is in the cache of session.
	graphs graphs
	// fallbacks are flags to try that the oracle does not confirm.
	fallbacks []linking
	// known tells that the linker's flags are known to be the file's.
	known bool
	// unnamed says why the source is not known to be the one that the file names,
	// and goroot is where its toolchain was, if the file tells.
	unnamed *verdict.Reason
	goroot  string
}

func (j *job) note(format string, args ...any) {
	j.res.Notes = append(j.res.Notes, j.summary(fmt.Sprintf(format, args...)))
}

// summary is a message for the result: one line, without the paths of the
// workspace, which no other run has.
func (j *job) summary(message string) string {
	message = strings.ReplaceAll(message, j.dir, "workspace")
	message = strings.ReplaceAll(message, j.work.Dir, "workspace")
	message = strings.Join(strings.Fields(message), " ")
	return verdict.Quote(message)
}

func (j *job) undetermined(r *verdict.Reason) {
	r.Text = j.summary(r.Text)
	j.res.Verdict, j.res.Reason, j.res.Explanation = compare.Undetermined, r, nil
	if j.res.Content == inspect.ContentChanged {
		r.Text += "; and it was changed after it was linked"
	}
}

func (j *job) run(ctx context.Context, s Subject) error {
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		return err
	}
	if err := j.inspect(ctx, s); err != nil {
		return err
	}
	defer j.file.Close()
	var reason *verdict.Reason
	if j.claim, reason = read(j.facts); reason != nil {
		return j.silent(reason)
	}
	j.describe()
	if err := j.confine.Strangers(); err != nil {
		return err
	}
	if s.Stated != nil {
		if err := j.heed(*s.Stated); err != nil {
			return err
		}
	}
	choices, err := j.choose(ctx, slices.Concat(j.stated.hints(), s.Hints))
	if err != nil {
		return err
	}
	return j.tryEach(ctx, choices)
}

// inspect takes the file into the store and reads what it says. Whether it is as
// it was linked is known from then on.
func (j *job) inspect(ctx context.Context, s Subject) error {
	in, err := s.Open()
	if err != nil {
		return verdict.Because(verdict.Unavailable, "%s", err)
	}
	limited := &io.LimitedReader{R: in, N: maxSubject + 1}
	d, size, err := j.store.Put(limited)
	if err := errors.Join(err, in.Close()); err != nil {
		return verdict.Because(verdict.Unavailable, "%s", err)
	}
	if size > maxSubject {
		return verdict.Because(verdict.Limits, "it has more than %d bytes", maxSubject)
	}
	if s.Digest != "" && d != s.Digest {
		return verdict.Because(verdict.Unavailable, "its digest is %s, want %s", d, s.Digest)
	}
	j.res.Digest, j.res.Size = d, size
	if j.file, err = j.store.Open(d); err != nil {
		return err
	}
	f, err := inspect.Read(ctx, s.Name, j.file, size)
	if err == nil && f.Format == inspect.Universal {
		err = verdict.Because(verdict.Universal, "it is a Universal file of %d binaries", len(f.Binaries)).WithRemedy("take each out with lipo -thin, and rebuild that")
	}
	if err == nil {
		j.bin, err = inspect.Open(j.file, size)
	}
	if err != nil {
		j.file.Close()
		reason := (*verdict.Reason)(nil)
		if ctx.Err() != nil || errors.As(err, &reason) {
			return err
		}
		return verdict.Because(verdict.NotExecutable, "%s", err)
	}
	j.facts = f.Binaries[0]
	j.res.GoVersion = j.facts.GoVersion
	j.res.Content = inspect.ContentUnknown
	if c := j.facts.Content; c != nil {
		j.res.Content = c.State
		if c.State == inspect.ContentChanged {
			j.cfg.Stage("it was changed after it was linked, as its build ID tells")
		}
	}
	return nil
}

// silent adds to the reason about a file without build information which release of
// Go a text in it names: the linker writes runtime.buildVersion as it does what -X
// sets. Nothing more can be done with that, for it is no word about the source.
func (j *job) silent(r *verdict.Reason) error {
	if r.Kind != verdict.NoBuildInfo || j.facts.GoVersion != "" || j.facts.BuildID == nil && j.facts.Code == nil {
		return r
	}
	var list []string
	if err := texts(j.file, j.facts.Sections, readOnlyData, func(s string) bool {
		if releaseRE.MatchString(s) {
			list = append(list, s)
		}
		return len(list) < 100
	}); err != nil {
		return errors.Join(r, err)
	}
	if list = unique(list); len(list) != 1 {
		return r
	}
	j.res.GoVersion = list[0]
	r.Text += fmt.Sprintf(", and it is a Go program, of %s by a text in it: a linker that leaves the information out made it, or somebody took it out", list[0])
	return r
}

// describe says what the file claims to be.
func (j *job) describe() {
	c := j.claim
	j.res.Package, j.res.Target, j.res.GoVersion = c.pkg, c.target.String(), c.goVersion
	j.res.Source = c.main.Path
	if c.main.Version != "" {
		j.res.Source += "@" + c.main.Version
	}
}

func (j *job) ground(list *[]verdict.Ground, what, why string, args ...any) {
	*list = append(*list, verdict.Ground{What: what, Why: fmt.Sprintf(why, args...)})
}

// openModule takes the source from the module proxy.
func (j *job) openModule(ctx context.Context, g gocmd.Go, v string) error {
	c := j.claim
	m, err := source.OpenModule(ctx, g, c.main.Path+"@"+v, filepath.Join(j.dir, "scratch"))
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return verdict.Because(verdict.NotPublic, "the source cannot be had: %s", err).WithRemedy("is there a network? For a module that no proxy has, name a repository with --source DIR")
	}
	j.source = m.Source()
	name := c.main.Path + "@" + v
	j.res.Source = name
	j.ground(&j.res.RestsOn, "module zip "+name+" "+j.source.Sum, "%s", j.client.Voucher(c.main.Path))
	revision := ""
	if c.vcs != nil {
		if revision, err = j.claimStamp(ctx, g, v); err != nil {
			return err
		}
	}
	j.unnamed = c.naming(j.choice, j.source.Sum, revision)
	j.tree = filepath.Join(j.dir, "tree")
	if err := m.Checkout(ctx, j.tree, source.Sorted); err != nil {
		return err
	}
	j.treeFS = os.DirFS(j.tree)
	if c.install {
		return nil
	}
	// The go command would take the modules from there, and a module's zip has at
	// most a list of what would be in it.
	if err := os.RemoveAll(filepath.Join(j.tree, "vendor")); err != nil {
		return err
	}
	for _, file := range []string{"go.work", "go.work.sum"} {
		if err := os.RemoveAll(filepath.Join(j.tree, file)); err != nil {
			return err
		}
	}
	return nil
}

// claimStamp says how far the stamp of version control can be relied upon, and
// returns the revision that the module proxy gives to the version, if it does. A guess
// that the stamp contradicts is wrong.
func (j *job) claimStamp(ctx context.Context, g gocmd.Go, v string) (revision string, err error) {
	s := j.claim.vcs
	why := "the file's own word: no history was at hand"
	r, err := g.Resolve(ctx, j.claim.main.Path, v, filepath.Join(j.dir, "resolve"))
	if err == nil && r.Origin != nil {
		revision = r.Origin.Hash
	}
	switch {
	case revision == "":
	case revision == s.revision:
		why = "the file's own word, and the module proxy says the same of the revision; nobody has signed that"
	case j.choice.guess != "":
		return "", &wrongGuess{fmt.Sprintf("the module proxy says that it is revision %s, and the file that it is %s", verdict.Quote(revision), s.revision)}
	default:
		why = fmt.Sprintf("the file's own word, and the module proxy says that %s is revision %s", v, revision)
	}
	for _, c := range []recipe.Choice{{Setting: "vcs.revision", Value: s.revision}, {Setting: "vcs.time", Value: s.time.UTC().Format(time.RFC3339)}, {Setting: "vcs.modified", Value: "false"}} {
		j.res.Claimed = append(j.res.Claimed, verdict.ClaimOf(c, why))
	}
	return revision, nil
}

// openFolder takes the source from a repository that the user names.
func (j *job) openFolder(ctx context.Context) error {
	c := j.claim
	if c.install {
		return verdict.Because(verdict.NotPublic, "it was installed from the module proxy, not built in a repository").WithRemedy("leave --source out")
	}
	if j.cfg.Git == "" {
		return fault.Usage(errors.New("there is no git in PATH"), "install git 2.32 or newer")
	}
	scratch := filepath.Join(j.dir, "scratch")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	if err := checkModule(j.cfg.SourceDir, c.main.Path); err != nil {
		return verdict.Because(verdict.NotPublic, "%s", err)
	}
	repo, err := source.Open(ctx, source.Git{Path: j.cfg.Git, Env: j.cfg.HostEnv, User: j.cfg.Env}, j.cfg.SourceDir, source.Options{Scratch: scratch})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return verdict.Because(verdict.NotPublic, "the source cannot be had: %s", err).WithRemedy(fault.RemedyOf(err))
	}
	j.source = repo.Source()
	if c.vcs != nil && c.vcs.revision != j.source.Commit {
		return verdict.Because(verdict.NotPublic, "the repository is at commit %s, and the file was built from %s", j.source.Commit[:12], c.vcs.revision[:12]).
			WithRemedy("git checkout " + c.vcs.revision)
	}
	if c.vcs == nil {
		j.unnamed = verdict.Because(verdict.SourceNotNamed, "it does not say which revision it is, and that it is commit %s is your word", j.source.Commit[:12]).WithRemedy("ask for a build that says it")
	}
	j.ground(&j.res.RestsOn, "commit "+j.source.Commit+" of your repository", "its objects were hashed")
	j.tree = filepath.Join(j.dir, "tree")
	if err := repo.Checkout(ctx, j.tree, source.Sorted); err != nil {
		return err
	}
	j.treeFS = os.DirFS(filepath.Join(j.tree, filepath.FromSlash(j.source.Dir)))
	return nil
}

// obtain gets the toolchain and has it proved.
func (j *job) obtain(ctx context.Context) error {
	v := j.claim.goVersion
	tc, ok := j.toolchains[v]
	if !ok {
		var err error
		if tc, err = j.prove(ctx, j.client.Go, v, j.cfg.OS, j.cfg.Arch, true); err != nil {
			return err
		}
		j.toolchains[v] = tc
	}
	j.toolchain = tc
	j.pinned = j.client.WithToolchain(tc.Dir)
	j.ground(&j.res.RestsOn, "toolchain "+v+" "+tc.Sum, "checksum database")
	return nil
}

// fill downloads the modules, with the go command of the toolchain and the
// network.
func (j *job) fill(ctx context.Context) (err error) {
	c := j.claim
	j.modCache = filepath.Join(j.dir, "modules")
	if err := os.MkdirAll(j.modCache, 0o755); err != nil {
		return err
	}
	if c.install {
		err = j.fillInstalled(ctx)
	} else {
		err = j.fillLocal(ctx)
	}
	if guess := (*wrongGuess)(nil); err != nil && ctx.Err() == nil && !errors.As(err, &guess) {
		return verdict.Because(verdict.NotPublic, "the modules cannot be had, or the source does not go with %s: %s", c.goVersion, err).WithRemedy(fault.RemedyOf(err))
	}
	if err == nil && len(c.deps) > 0 {
		why := "go.sum of the source"
		if c.install {
			why = "checksum database"
			if j.client.SumDB == "off" || j.client.NoSumDB != "" {
				why += ", but for what GOSUMDB and GONOSUMDB exempt"
			}
		}
		what := "1 dependency"
		if len(c.deps) > 1 {
			what = fmt.Sprintf("%d dependencies", len(c.deps))
		}
		j.ground(&j.res.RestsOn, what, "%s", why)
	}
	return err
}

// fillInstalled has go install resolve the package: with -n it downloads what it
// would build, and builds nothing.
func (j *job) fillInstalled(ctx context.Context) error {
	scratch := filepath.Join(j.dir, "install")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	c := j.claim
	client := j.pinned.WithCache(j.modCache, filepath.Join(j.work.Dir, "downloads"), j.client.ModCache)
	g := gocmd.Go{Path: client.Path, Env: slices.Concat(recipe.Closed(), c.env, client.Env)}.
		With("GO111MODULE=on", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GOPATH="+filepath.Join(j.dir, "gopath"), "GOBIN=", "GOCACHE="+filepath.Join(j.dir, "list-cache"))
	args := slices.Concat([]string{"install", "-n"}, c.flags, []string{"--", c.pkg + "@" + c.main.Version})
	_, err := g.Run(ctx, scratch, args...)
	return err
}

// fillLocal asks what the main package is made of, and downloads it on the way.
func (j *job) fillLocal(ctx context.Context) error {
	c := j.claim
	dir := filepath.Join(j.tree, filepath.FromSlash(j.source.Dir))
	if c.vendored && j.source.Module != "" {
		// A module's zip has no vendor folder; its go.sum says what was in it.
		g := j.pinned.WithCache(filepath.Join(j.dir, "vendored"), j.client.ModCache).With("GO111MODULE=on", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw")
		if _, err := g.Run(ctx, dir, "mod", "vendor"); err != nil {
			return err
		}
		j.ground(&j.res.Recovered, "-mod=vendor", "no dependency has a hash")
	}
	cache, err := modules.Fill(ctx, modules.Config{Client: j.pinned, SourceDir: dir, Dir: j.modCache, Reuse: j.client.ModCache, Lazy: true})
	if err != nil {
		return err
	}
	if cache.Vendored != c.vendored {
		return errors.New("the source has a vendor folder, and the file's dependencies have hashes")
	}
	mod := "-mod=readonly"
	if c.vendored {
		mod = "-mod=vendor"
	}
	flags := append([]string{mod}, slices.DeleteFunc(slices.Clone(c.flags), func(f string) bool {
		return !strings.HasPrefix(f, "-tags=") && !strings.HasPrefix(f, "-buildmode=")
	})...)
	mains, err := modules.Describe(ctx, modules.Query{
		Go:   j.cfg.ListGo(j.toolchain.Dir, j.dir, slices.Concat(recipe.Closed(), c.env, cache.Env)...),
		Tree: j.tree, Dir: dir, Flags: flags, Packages: []string{c.local()},
	})
	if err != nil {
		return err
	}
	main := mains[0]
	if main.ImportPath != c.pkg {
		return fmt.Errorf("the package is called %s in the source, and %s in the file", main.ImportPath, c.pkg)
	}
	if len(main.Cgo) > 0 {
		return fmt.Errorf("package %s takes a C compiler", main.Cgo[0])
	}
	return j.doubt(main)
}

// open sets up the confined workspace.
func (j *job) open(ctx context.Context) error {
	c := j.claim
	f := &pass.Foreign{}
	if !c.trimpath {
		tree := j.treeFS
		if c.install {
			tree = nil
		}
		var reason *verdict.Reason
		if f, reason = c.places(j.bin, tree); reason != nil {
			return reason
		}
		// The toolchain may lie in the module cache, which is read-only there.
		if rel, ok := strings.CutPrefix(f.GOROOT, f.ModCache+"/"); ok && f.ModCache != "" {
			if !filepath.IsLocal(filepath.FromSlash(rel)) {
				return verdict.Because(verdict.Place, "the toolchain was at %s", verdict.Quote(f.GOROOT))
			}
			if err := os.MkdirAll(filepath.Join(j.modCache, filepath.FromSlash(rel)), 0o755); err != nil {
				return err
			}
		}
		j.goroot = f.GOROOT
		what := "GOROOT " + f.GOROOT
		if f.ModCache != "" {
			what += ", GOMODCACHE " + f.ModCache
		}
		if f.Source != "" {
			what += ", source " + f.Source
		}
		j.ground(&j.res.Recovered, what, "the paths of source files")
		for _, c := range []recipe.Choice{{Setting: "GOROOT", Value: f.GOROOT}, {Setting: "GOMODCACHE", Value: f.ModCache}, {Setting: "source-folder", Value: f.Source}} {
			if c.Value != "" {
				j.res.Claimed = append(j.res.Claimed, verdict.ClaimOf(c, "where it was built: -trimpath would have left it out"))
			}
		}
	}
	f.MaxFile = min(j.cfg.MaxDisk, 8<<30)
	moduleDir := j.source.Dir
	if c.stray {
		moduleDir = "module"
		if f.Source != "" {
			return verdict.Because(verdict.Place, "its repository's root is not its module's, and paths were not trimmed")
		}
	}
	stamped := c.vcs != nil && j.source.Module != ""
	if stamped {
		f.Programs = filepath.Join(j.dir, "programs")
		if err := writeGit(f.Programs, c); err != nil {
			return err
		}
	}
	if !c.pgo {
		// A profile in the main package's folder is used unless it was refused.
		if _, err := fs.Stat(j.treeFS, path.Join(c.local(), "default.pgo")); err == nil {
			j.pgoOff = true
			j.ground(&j.res.Recovered, "-pgo=off", "there is a default.pgo, and the file was built without it")
		}
	}
	passes := filepath.Join(j.dir, "pass")
	if err := os.MkdirAll(passes, 0o755); err != nil {
		return err
	}
	local := &pass.Local{
		Dir: passes, Store: j.store, ModuleDir: moduleDir, ConfigDir: ".",
		Checkout: func(ctx context.Context, dest string, _ bool) error { return j.checkout(dest, moduleDir, stamped) },
		GOROOT:   j.toolchain.Dir, ModCache: j.modCache,
		Path: j.cfg.Path, HostEnv: j.cfg.HostEnv, Confinement: j.confine, Limits: j.limits(),
		Now: j.cfg.Now, Log: io.Discard, Foreign: f,
	}
	for _, m := range j.confine.Missing {
		j.note("not confined: %s", m)
	}
	err := j.warm(ctx, f)
	if err != nil {
		return err
	}
	j.session, err = local.Open(ctx, pass.A)
	if place := (*pass.PlaceError)(nil); errors.As(err, &place) {
		return verdict.Because(verdict.Place, "the build must have its folders where the file says: %s", place)
	}
	return err
}

// checkout lays the source out for the build.
func (j *job) checkout(dest, moduleDir string, stamped bool) error {
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return err
	}
	if j.claim.install {
		return nil
	}
	at := dest
	if j.source.Module != "" {
		at = filepath.Join(dest, filepath.FromSlash(moduleDir))
	}
	if err := os.CopyFS(at, os.DirFS(j.tree)); err != nil {
		return err
	}
	if stamped {
		return os.MkdirAll(filepath.Join(dest, ".git"), 0o755)
	}
	return nil
}

// checkModule fails if dir is not the folder of a module.
func checkModule(dir, path string) error {
	data, err := readSmall(os.DirFS(dir), "go.mod")
	if err != nil {
		return fmt.Errorf("%s is no folder of a module: %w", dir, err)
	}
	if got := modfile.ModulePath(data); got != path {
		return fmt.Errorf("%s is the folder of module %s, and the file's is %s", dir, verdict.Quote(got), path)
	}
	return nil
}
