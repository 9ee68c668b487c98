package pass

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Local executes passes on this machine.
type Local struct {
	// Dir is an empty folder for the workspaces, on the file system of Store.
	Dir string
	// Store receives the artifacts.
	Store *artifact.Store
	// Checkout lays out the source in dest, a folder that does not exist yet,
	// creating its files in one order or the reverse.
	Checkout func(ctx context.Context, dest string, reversed bool) error
	// ModuleDir is the folder of the main module in the source, where the hooks
	// and the go command run; ConfigDir is that of the release file, to which
	// [Session.Files] is relative. Both have slashes.
	ModuleDir, ConfigDir string
	// GOROOT and ModCache are the proved toolchain and the module cache, an
	// empty folder for a vendored build.
	GOROOT, ModCache string
	// Hooks run in ModuleDir before the first build of a pass.
	Hooks [][]string
	// Epoch is SOURCE_DATE_EPOCH for the hooks: seconds since 1970.
	Epoch int64
	// Path are the folders where programs such as git and the C compiler are.
	Path []string
	// HostEnv is what every process of this system needs (SystemRoot on
	// Windows), as NAME=value.
	HostEnv []string
	// Confinement is what [Probe] found.
	Confinement Confinement
	// Limits bound each hook and each build.
	Limits Limits
	// Now is the clock.
	Now func() time.Time
	// Log gets the hooks' output while they run.
	Log io.Writer
	// Foreign is set to repeat somebody else's build. Then what a job compiled
	// is kept for the next job, until the session is closed.
	Foreign *Foreign
}

// layout says where things are in one pass, as its commands see them. Below cache,
// home, temp and out each job has a folder of its own: see in.
type layout struct {
	source, goroot, modcache, cache, home, temp, out string
	user, group                                      int
	host, domain                                     string
}

// in returns l with the folders of the job of that name in the places of those that
// hold the folders of all jobs.
func (l layout) in(job string) layout {
	for _, dir := range []*string{&l.cache, &l.home, &l.temp, &l.out} {
		*dir = filepath.Join(*dir, job)
	}
	return l
}

// local is a Session of Local.
type local struct {
	*Local
	pass   Pass
	varied func(Factor) bool // whether it is as in pass B
	// host is where things are for this process, inside for the commands.
	host, inside layout
	root         string   // mount point of the new root
	dirs         []string // all that the session has on disk
	keepCache    bool

	mu      sync.Mutex
	witness Witness
}

// Open sets up a pass: it lays out the source, runs the hooks and returns the
// session, in which jobs can be built. On an error the workspace is removed.
func (l *Local) Open(ctx context.Context, pass Pass) (Session, error) {
	return l.open(ctx, pass, func(Factor) bool { return pass == B }, "")
}

// OpenTrial sets up a pass that is like pass A, but for the variations of the
// given names, in which it is like pass B. So without any it repeats pass A, and
// with all pass B. It has their folders, so no other session may be open. cache
// is a folder for what jobs compile, which is kept for the next trial, and which no
// hook sees; it serves where compiling is known to depend on its inputs alone, and
// only in a root of its own, as it would be another path elsewhere. It may be empty.
func (l *Local) OpenTrial(ctx context.Context, varied []Factor, cache string) (Session, error) {
	return l.open(ctx, Trial, func(f Factor) bool { return slices.Contains(varied, f) }, cache)
}

func (l *Local) open(ctx context.Context, pass Pass, varied func(Factor) bool, cache string) (_ Session, err error) {
	if l.Foreign != nil && len(l.Hooks) > 0 {
		return nil, errors.New("a foreign build has no hooks")
	}
	if l.Foreign != nil {
		if err := l.Confinement.Strangers(); err != nil {
			return nil, err
		}
	}
	s := &local{Local: l, pass: pass, varied: varied, witness: Witness{}}
	s.chooseLayout()
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := s.placeForeign(); err != nil {
		return nil, err
	}
	for _, dir := range []string{s.root, filepath.Dir(s.host.source)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := l.Checkout(ctx, s.host.source, varied(fileOrder)); err != nil {
		return nil, fmt.Errorf("lay out the source of pass %s: %w", pass, err)
	}
	// Without a mount namespace another path means another copy.
	if s.host.goroot != l.GOROOT {
		if err := os.CopyFS(s.host.goroot, os.DirFS(l.GOROOT)); err != nil {
			return nil, fmt.Errorf("copy the toolchain for pass %s: %w", pass, err)
		}
	}
	if s.host.modcache != l.ModCache {
		if err := os.CopyFS(s.host.modcache, os.DirFS(l.ModCache)); err != nil {
			return nil, fmt.Errorf("copy the module cache for pass %s: %w", pass, err)
		}
	}
	s.note(Witness{
		sourcePath: s.inside.source, gorootPath: s.inside.goroot, modulePath: s.inside.modcache,
		cachePath: s.inside.cache, homePath: s.inside.home, tempPath: s.inside.temp,
		fileOrder: choose(varied(fileOrder), "sorted", "reversed"),
		grouping:  choose(varied(grouping), "all that a recipe allows", "one"),
		clock:     l.Now().UTC().Format(time.RFC3339),
	})
	if len(l.Hooks) > 0 {
		if err := s.hooks(ctx); err != nil {
			return nil, err
		}
	}
	// The hooks of a trial have not seen what outlives it.
	if cache != "" && l.Confinement.Namespaces {
		s.host.cache, s.keepCache = cache, true
	}
	return s, nil
}

// hooksJob is the name of the hooks as a job.
const hooksJob = "hooks"

// hooks runs the hooks. What they write in the source tree stays, as far as restore
// lets it. All else goes: their folders are dropped before the first one of a build
// is made, and with them whatever a hook may have put in the way of these.
func (s *local) hooks(ctx context.Context) (err error) {
	before, err := survey(s.host.source, filepath.Join(s.dirs[0], "version-control"))
	if err != nil {
		return fmt.Errorf("pass %s: source: %w", s.pass, err)
	}
	drop, err := s.prepare(hooksJob)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	for i, argv := range s.Hooks {
		env := append(recipe.ClosedEnv(), "CGO_ENABLED=0", "SOURCE_DATE_EPOCH="+strconv.FormatInt(s.Epoch, 10))
		if _, err := s.run(ctx, run{
			what: fmt.Sprintf("hook %d: %s", i+1, strings.Join(argv, " ")), job: hooksJob, writesSource: true,
			dir: s.moduleDir(), argv: argv, env: env, share: Share{Processes: runtime.NumCPU()}, live: s.Log,
		}); err != nil {
			return err
		}
	}
	for _, dir := range []string{s.host.cache, s.host.home, s.host.temp, s.host.out} {
		if err := fsx.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := before.restore(); err != nil {
		return fmt.Errorf("pass %s: %w", s.pass, err)
	}
	return nil
}

// prepare makes the folders of a job, which nothing has seen before, but for a cache
// that is kept for jobs of the same name. drop removes them.
func (s *local) prepare(job string) (drop func() error, err error) {
	at := s.host.in(job)
	own := []string{at.home, at.temp, at.out}
	if s.keepCache || s.Foreign != nil {
		if err := os.MkdirAll(at.cache, 0o755); err != nil {
			return nil, err
		}
	} else {
		// What was compiled for one target serves no other: giving each its own
		// cache and dropping it at once bounds the space on disk.
		own = append(own, at.cache)
	}
	drop = func() error {
		var errs []error
		for _, dir := range own {
			errs = append(errs, fsx.RemoveAll(dir))
		}
		return errors.Join(errs...)
	}
	for _, dir := range own {
		err := os.MkdirAll(filepath.Dir(dir), 0o755)
		if err == nil {
			err = os.Mkdir(dir, 0o755)
		}
		if err != nil {
			return nil, errors.Join(err, drop())
		}
	}
	if err := s.settings(at.home); err != nil {
		return nil, errors.Join(err, drop())
	}
	return drop, nil
}

// choose returns what a pass has: a as in pass A, b where it is varied.
func choose[T any](varied bool, a, b T) T {
	if varied {
		return b
	}
	return a
}

// Where things are in the two passes. The paths differ in every component and in
// length.
var (
	layoutA = layout{
		source: "src", goroot: "go", modcache: "mod", cache: "cache", home: "home", temp: "tmp", out: "out",
		user: 1000, group: 1000, host: "twice-a", domain: "first.invalid",
	}
	layoutB = layout{
		source: "work/tree-of-the-second-pass", goroot: "toolchain/golang", modcache: "module-downloads", cache: "compiled/objects",
		home: "users/second", temp: "scratch", out: "results",
		user: 4242, group: 2424, host: "the-host-of-pass-b", domain: "second.invalid",
	}
)

// chooseLayout decides on the paths, names and ids of the pass.
func (s *local) chooseLayout() {
	dirA, dirB := filepath.Join(s.Dir, "a"), filepath.Join(s.Dir, "b-second-pass")
	switch s.pass {
	case A:
		s.dirs = []string{dirA}
	case B:
		s.dirs = []string{dirB}
	default:
		s.dirs = []string{dirA, dirB}
	}
	s.root = filepath.Join(s.dirs[0], "root")
	below := func(a, b string) layout {
		at := func(name Factor, inA, inB string) string {
			return choose(s.varied(name), filepath.Join(a, inA), filepath.Join(b, filepath.FromSlash(inB)))
		}
		return layout{
			source: at(sourcePath, layoutA.source, layoutB.source), goroot: at(gorootPath, layoutA.goroot, layoutB.goroot),
			modcache: at(modulePath, layoutA.modcache, layoutB.modcache), cache: at(cachePath, layoutA.cache, layoutB.cache),
			home: at(homePath, layoutA.home, layoutB.home), temp: at(tempPath, layoutA.temp, layoutB.temp),
			out: at(tempPath, layoutA.out, layoutB.out),
		}
	}
	s.host = below(dirA, dirB)
	if !s.Confinement.Namespaces {
		if !s.varied(gorootPath) {
			s.host.goroot = s.GOROOT
		}
		if !s.varied(modulePath) {
			s.host.modcache = s.ModCache
		}
		s.inside = s.host
		return
	}
	s.host.goroot, s.host.modcache = s.GOROOT, s.ModCache
	s.inside = below("/a", "/var/lib/second-pass")
	s.inside.user, s.inside.group = choose(s.varied(userName), layoutA.user, layoutB.user), choose(s.varied(groupName), layoutA.group, layoutB.group)
	s.inside.host, s.inside.domain = choose(s.varied(hostName), layoutA.host, layoutB.host), choose(s.varied(domainName), layoutA.domain, layoutB.domain)
}

// settings writes what a go command finds in its user's home folder.
func (s *local) settings(home string) error {
	if err := NoTelemetry(home); err != nil || !s.varied(environment) {
		return err
	}
	// A go command that read its user's settings would fail on these.
	return os.WriteFile(filepath.Join(configDir(home), "env"), []byte("GOFLAGS=-tags=poison -race\nGOEXPERIMENT=none_such\n"), 0o644)
}

// NoTelemetry keeps go commands whose HOME (on Windows AppData) is the folder
// home from collecting telemetry: they would start a process that outlives them
// and writes there.
func NoTelemetry(home string) error {
	dir := filepath.Join(configDir(home), "telemetry")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "mode"), []byte("off"), 0o644)
}

// configDir is where the go command looks for its user's settings: go below
// [os.UserConfigDir].
func configDir(home string) string {
	switch runtime.GOOS {
	case "windows":
		return filepath.Join(home, "go")
	case "darwin", "ios":
		return filepath.Join(home, "Library", "Application Support", "go")
	}
	return filepath.Join(home, ".config", "go")
}

// note adds what was observed.
func (s *local) note(w Witness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.witness, w)
}

// Witness implements [Session].
func (s *local) Witness() Witness {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.witness)
}

// Close implements [Session]. What cannot be removed at once, because a module
// cache or a hook made it read-only, is made writable first.
func (s *local) Close() error {
	var errs []error
	for _, dir := range s.dirs {
		errs = append(errs, fsx.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// Bounds of what a build leaves, in bytes.
const (
	maxBinary = 4 << 30
	maxGraph  = 64 << 20
)

// Build implements [Session].
func (s *local) Build(ctx context.Context, job Job) (res Result, err error) {
	target := job.Binaries[0].Recipe.Target
	slug := target.Slug()
	res.Usage.Start = s.Now()
	defer func() { res.Usage.Wall = s.Now().Sub(res.Usage.Start) }()
	drop, err := s.prepare(slug)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	res.Artifacts = make([]artifact.Artifact, len(job.Binaries))
	var log strings.Builder
	defer func() { res.Log = log.String() }()

	for i, group := range s.groups(job.Binaries) {
		binaries := make([]Binary, len(group))
		for k, j := range group {
			binaries[k] = job.Binaries[j]
		}
		r, files := s.goCommand(job, binaries, path.Join(slug, strconv.Itoa(i)))
		out := filepath.Join(s.host.out, filepath.FromSlash(r.out))
		if err := os.MkdirAll(filepath.Join(out, outBinaries), 0o755); err != nil {
			return res, err
		}
		ran, err := s.run(ctx, r)
		log.WriteString(ran.output)
		res.Usage.CPU += ran.cpu
		if err != nil {
			return res, err
		}

		// It is over, and what it left is a stranger's: any code that a command
		// ran may have written it.
		graph, artifacts, err := s.collect(out, binaries, files)
		if err != nil {
			return res, fmt.Errorf("%s: %w", target, err)
		}
		res.Graphs = append(res.Graphs, graph)
		for k, j := range group {
			res.Artifacts[j] = artifacts[k]
		}
	}
	return res, nil
}

// What a go command writes, in a folder of its own.
const (
	outBinaries = "bin"
	outGraph    = "graph.json"
)

// goCommand returns the go command that builds some binaries at once, with out as its
// folder, and for each binary the names of the files, relative to out, of which one
// is it.
func (s *local) goCommand(job Job, binaries []Binary, out string) (run, [][]string) {
	first := binaries[0].Recipe
	seen := filepath.Join(s.inside.out, filepath.FromSlash(out))
	bin := filepath.Join(seen, outBinaries)
	argv := slices.Concat([]string{"go", "build", "-o", bin + string(filepath.Separator), "-p", strconv.Itoa(s.processes(job.Share)),
		"-debug-actiongraph=" + filepath.Join(seen, outGraph)}, first.Argv[2:len(first.Argv)-1])
	files := make([][]string, len(binaries))
	for k, b := range binaries {
		argv = append(argv, b.Recipe.Argv[len(b.Recipe.Argv)-1])
		files[k] = []string{path.Join(outBinaries, execName(b.ImportPath)+b.Recipe.Target.Exe())}
	}
	if len(binaries) == 1 {
		argv[3] = filepath.Join(bin, first.Binary)
		files[0] = []string{path.Join(outBinaries, first.Binary)}
	}
	env := first.Env
	if first.Argv[1] == "install" {
		argv, env = s.install(argv, env, seen)
		files[0] = installed(binaries[0])
	}
	if job.Trace {
		env = slices.Concat([]string{"GODEBUG=gocachehash=1"}, env)
	}
	return run{
		what: "go " + first.Argv[1], job: first.Target.Slug(), out: out,
		dir: s.moduleDir(), argv: argv, env: env, slot: job.Slot, share: job.Share, trace: job.Trace,
	}, files
}

// collect reads what a go command left in the folder out.
func (s *local) collect(out string, binaries []Binary, files [][]string) (graph []byte, list []artifact.Artifact, err error) {
	root, err := os.OpenRoot(out)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	if graph, err = fsx.ReadRegular(root, outGraph, maxGraph); err != nil {
		return nil, nil, fmt.Errorf("action graph: %w", err)
	}
	for k, b := range binaries {
		a := artifact.Artifact{Name: b.Recipe.Binary, Kind: artifact.Binary, Executable: true}
		for _, name := range files[k] {
			if a.Digest, a.Size, _, err = s.Store.Take(root, name, maxBinary); !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", b.Recipe.Binary, err)
		}
		list = append(list, a)
	}
	return graph, list, nil
}

func (s *local) moduleDir() string {
	return filepath.Join(s.inside.source, filepath.FromSlash(s.ModuleDir))
}

// processes is what -p gets: pass B has one more.
func (s *local) processes(share Share) int {
	n := max(1, share.Processes)
	if s.varied(parallel) {
		n++
	}
	return n
}

// groups splits the binaries of a target into those that one go command may
// build: their recipes differ in the package alone. Pass B takes each by
// itself, exactly as its recipe says, so that the comparison also shows that
// building several at once makes no difference.
func (s *local) groups(list []Binary) [][]int {
	var groups [][]int
	for i, b := range list {
		j := slices.IndexFunc(groups, func(g []int) bool {
			if s.varied(grouping) || s.Foreign != nil || !sameBuild(list[g[0]].Recipe, b.Recipe) {
				return false
			}
			return !slices.ContainsFunc(g, func(k int) bool { return execName(list[k].ImportPath) == execName(b.ImportPath) })
		})
		if j < 0 {
			groups = append(groups, []int{i})
		} else {
			groups[j] = append(groups[j], i)
		}
	}
	return groups
}

func sameBuild(a, b recipe.Recipe) bool {
	return slices.Equal(a.Argv[:len(a.Argv)-1], b.Argv[:len(b.Argv)-1]) && slices.Equal(a.Env, b.Env)
}

// execName is the file name that the go command gives to a main package when
// it is not told: cmd/go/internal/load.Package.DefaultExecName.
func execName(importPath string) string {
	dir, elem := path.Split(importPath)
	if n, ok := strings.CutPrefix(elem, "v"); ok && dir != "" && n != "" && n != "1" && n[0] != '0' && strings.Trim(n, "0123456789") == "" {
		return path.Base(dir)
	}
	return elem
}

// run is one command of a pass.
type run struct {
	what string
	dir  string // as the command sees it
	argv []string
	env  []string // the recipe's part
	job  string   // whose folders it has
	// out is a folder below layout.out to write to, with slashes, or "".
	out string
	// writesSource tells that it may change the source tree.
	writesSource bool
	slot         int
	share        Share
	live         io.Writer // gets the output at once, or nil
	trace        bool      // the output is long
}

// Limits of what is kept of a command's output. With a trace, the go command
// prints some hundred bytes for each file of each package.
const (
	maxLog   = 1 << 20
	maxTrace = 128 << 20
)

type ran struct {
	output string
	cpu    time.Duration
}

// run executes r in the workspace.
func (s *local) run(ctx context.Context, r run) (ran, error) {
	c, w := s.sandbox(r)
	out := &tail{limit: maxLog}
	if r.trace {
		out.limit = maxTrace
	}
	dst := io.Writer(out)
	if r.live != nil {
		dst = io.MultiWriter(out, r.live)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if limit := s.Limits.Time; limit > 0 {
		timer := time.AfterFunc(limit, func() { stop(outOfTime(limit)) })
		defer timer.Stop()
	}
	seen, cpu, err := s.execute(ctx, c, dst, stop)
	s.note(w)
	s.note(seen)
	result := ran{output: out.String(), cpu: cpu}
	if cause := context.Cause(ctx); cause != nil && err != nil {
		if errors.As(cause, new(*LimitError)) {
			return result, &CommandError{Pass: s.pass, What: r.what, Output: withoutNoise(result.output), Err: cause}
		}
		return result, cause
	}
	if exit, ended := (*exec.ExitError)(nil), (*signalError)(nil); errors.As(err, &exit) || errors.As(err, &ended) {
		return result, &CommandError{Pass: s.pass, What: r.what, Output: withoutNoise(result.output), Confined: s.Confinement.writesConfined(), Err: err}
	}
	if err != nil {
		return result, fmt.Errorf("pass %s: %s: %w", s.pass, r.what, err)
	}
	return result, nil
}

// withoutNoise leaves out what the go command says of every module cache that
// it may not write to, and a trace of hashes.
func withoutNoise(output string) string {
	var kept strings.Builder
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "go: writing stat cache: ") && !strings.HasPrefix(line, "HASH") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// sandbox describes the process for r, and the witness of what is chosen here and
// not observed by the process itself.
func (s *local) sandbox(r run) (sandbox, Witness) {
	at := s.inside.in(r.job)
	dirs := s.Path
	if s.Confinement.Namespaces {
		dirs = visible(dirs)
	}
	threads := choose(s.varied(gomaxprocs), 1, 2)
	lang := choose(s.varied(locale), "C", "C.UTF-8")
	zone := zoneName("Etc/GMT+12", "<-12>12")
	if s.varied(timeZone) {
		zone = zoneName("Pacific/Kiritimati", "<+14>-14")
	}
	noise := []string{"EDITOR=ed"}
	var elsewhere []string
	if s.varied(environment) {
		noise = []string{"EDITOR=vi", "COLUMNS=132", "CI=false", "TERM=vt220", "MAKEFLAGS=-j9", "LANGUAGE=tr:de"}
		elsewhere = []string{"XDG_CACHE_HOME=" + filepath.Join(at.home, "elsewhere")}
	}
	if s.varied(pathOrder) {
		dirs = slices.Clone(dirs)
		slices.Reverse(dirs)
	}
	bin := filepath.Join(s.inside.goroot, "bin")
	pathVar := strings.Join(slices.Concat([]string{bin}, s.programs(), dirs), string(filepath.ListSeparator))
	user := choose(s.varied(userName), "first", "second-user")
	modcache := s.inside.modcache
	if modcache == "" { // vendored: the go command insists on a path
		modcache = filepath.Join(at.home, "mod")
	}
	env := slices.Concat(s.HostEnv, r.env, noise, elsewhere, []string{
		"GOROOT=" + s.inside.goroot,
		"GOPATH=" + filepath.Join(at.home, "go"),
		"GOMODCACHE=" + modcache,
		"GOCACHE=" + at.cache,
		"GOTMPDIR=" + at.temp,
		"GOMAXPROCS=" + strconv.Itoa(threads),
		"HOME=" + at.home, "USERPROFILE=" + at.home, "LocalAppData=" + at.home, "AppData=" + at.home,
		"USER=" + user, "LOGNAME=" + user,
		"TMPDIR=" + at.temp, "TMP=" + at.temp, "TEMP=" + at.temp,
		"PATH=" + pathVar,
		"PWD=" + r.dir,
		"TZ=" + zone, "LANG=" + lang, "LC_ALL=" + lang,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
	})
	if r.share.GOGC > 0 {
		env = append(env, "GOGC="+strconv.Itoa(r.share.GOGC))
	}
	if r.share.Memory > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(r.share.Memory, 10))
	}
	env = once(env)
	c := sandbox{
		Umask: choose(s.varied(umask), 0o022, 0o002), LeaveOut: choose(s.varied(processors), -1, r.slot), Landlock: s.Confinement.Landlock, Seccomp: s.Confinement.Seccomp,
		// Builds need none of these calls, and without a root of its own Landlock has to do.
		FixedMarks: s.Foreign != nil && !s.Confinement.Namespaces,
		MaxTasks:   s.Limits.Tasks,
		Dir:        r.dir, Argv: r.argv, Env: env, Host: s.inside.host, Domain: s.inside.domain,
		FixedMap: s.varied(addressSpace), OldName: s.varied(kernel),
		Writable: []string{at.cache, at.home, at.temp},
	}
	if r.writesSource {
		c.Writable = append(c.Writable, s.inside.source)
	}
	if r.out != "" {
		c.Writable = append(c.Writable, filepath.Join(s.inside.out, filepath.FromSlash(r.out)))
	}
	if s.Confinement.Namespaces {
		s.addMounts(&c, r, user)
	}
	if s.Foreign != nil {
		c.MaxFile = s.Foreign.MaxFile
	}
	return c, Witness{
		timeZone: zone, locale: lang, gomaxprocs: strconv.Itoa(threads), parallel: strconv.Itoa(s.processes(r.share)),
		environment: strings.Join(noise, " "), pathOrder: pathVar,
	}
}

// zoneName returns name, or without zone data on this system the rule of POSIX
// that means the same. The two passes are 26 hours apart, so that no local
// date is the same in both.
func zoneName(name, rule string) string {
	if _, err := os.Stat(filepath.Join("/usr/share/zoneinfo", name)); err != nil {
		return rule
	}
	return name
}

// once keeps the first value of each variable, so that what a recipe says wins
// over the noise. Programs do not agree on which of several values counts.
func once(env []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		again := seen[name]
		seen[name] = true
		return again
	})
}

// addMounts fills the new root of a namespace: of the pass's folders it has those of
// the command alone.
func (s *local) addMounts(c *sandbox, r run, user string) {
	host, seen := s.host.in(r.job), s.inside.in(r.job)
	own := []mount{
		{From: s.host.source, To: s.inside.source, Write: r.writesSource},
		{From: host.cache, To: seen.cache, Write: true},
		{From: host.home, To: seen.home, Write: true},
		{From: host.temp, To: seen.temp, Write: true},
		{From: host.temp, To: "/tmp", Write: true},
		{From: s.host.goroot, To: s.inside.goroot},
		{From: s.host.modcache, To: s.inside.modcache},
	}
	if r.out != "" {
		out := filepath.FromSlash(r.out)
		own = append(own, mount{From: filepath.Join(s.host.out, out), To: filepath.Join(s.inside.out, out), Write: true})
	}
	c.Root = s.root
	c.Mount = s.foreignMounts(systemMounts(s.Path), own)
	c.Writable = append(c.Writable, "/tmp")
	id := func(n int) string { return strconv.Itoa(n) }
	c.Files = map[string]string{
		"/etc/passwd":   user + ":x:" + id(s.inside.user) + ":" + id(s.inside.group) + "::" + s.inside.home + ":/bin/sh\n",
		"/etc/group":    user + ":x:" + id(s.inside.group) + ":\n",
		"/etc/hosts":    "127.0.0.1 localhost " + s.inside.host + "." + s.inside.domain + " " + s.inside.host + "\n",
		"/etc/hostname": s.inside.host + "\n",
	}
}

// Tree implements [Session].
func (s *local) Tree() string { return s.host.source }

// Files implements [Session].
func (s *local) Files(globs []string) ([]artifact.Artifact, error) {
	names, err := Match(s.host.source, s.ConfigDir, globs)
	if err != nil {
		return nil, err
	}
	root, err := OpenFolder(s.host.source, s.ConfigDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var list []artifact.Artifact
	left := int64(maxFileBytes)
	for _, name := range names {
		a := artifact.Artifact{Name: name, Kind: artifact.File}
		if a.Digest, a.Size, a.Executable, err = s.Store.Take(root, name, left); err != nil {
			return nil, notPacked(err)
		}
		left -= a.Size
		list = append(list, a)
	}
	return list, nil
}

// tail keeps the first and the last part of what is written to it.
type tail struct {
	limit   int
	head    bytes.Buffer
	rest    []byte
	dropped int
	sync.Mutex
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.Lock()
	defer t.Unlock()
	n := len(p)
	if room := t.limit/2 - t.head.Len(); room > 0 {
		k := min(room, len(p))
		t.head.Write(p[:k])
		p = p[k:]
	}
	t.rest = append(t.rest, p...)
	if over := len(t.rest) - t.limit/2; over > t.limit/2 {
		t.dropped += over
		t.rest = slices.Clone(t.rest[over:])
	}
	return n, nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.Lock()
	defer t.Unlock()
	if t.dropped == 0 {
		return t.head.String() + string(t.rest)
	}
	return fmt.Sprintf("%s\n... %d bytes left out ...\n%s", t.head.String(), t.dropped, t.rest)
}
