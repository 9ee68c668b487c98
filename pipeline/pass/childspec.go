package pass

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// childSpec says what the child process does to itself, and which command it then starts. The
// child gets it as JSON.
type childSpec struct {
	// Root is an empty folder that becomes the mount point of the new root, or
	// empty when there are no namespaces.
	Root  string  `json:"root,omitempty"`
	Mount []mount `json:"mount,omitempty"`
	// Files are written into the new root, by path.
	Files  map[string]string `json:"files,omitempty"`
	Host   string            `json:"host,omitempty"`
	Domain string            `json:"domain,omitempty"`
	Umask  int               `json:"umask"`
	// LeaveOut is the index of a processor not to run on, or -1.
	LeaveOut int  `json:"leaveOut"`
	FixedMap bool `json:"fixedMap"` // no address space layout randomization
	OldName  bool `json:"oldName"`  // uname reports a 2.6 kernel
	// Seccomp forbids system calls. FixedMetadata also forbids those that change modes, owners,
	// times and attributes of files.
	Seccomp       bool `json:"seccomp,omitempty"`
	FixedMetadata bool `json:"fixedMetadata,omitempty"`
	// Landlock is the ABI version to use, 0 for none. Writable are the folders that stay
	// writable, as seen after the root has changed.
	Landlock int      `json:"landlock"`
	Writable []string `json:"writable,omitempty"`
	// MaxFile bounds the size of each file that is written, 0 for no bound.
	MaxFile int64 `json:"maxFile,omitempty"`
	// MaxTasks is the limit of processes and threads, 0 for none.
	MaxTasks int      `json:"maxTasks,omitempty"`
	Dir      string   `json:"dir"`
	Argv     []string `json:"argv"`
	Env      []string `json:"env"`
}

// mount makes From of the host visible at To.
type mount struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Write bool   `json:"write,omitempty"`
}

// newChildSpec describes the process for cmd. The witness has what is chosen here, which the
// process itself does not observe.
func (s *localSession) newChildSpec(cmd invocation) (childSpec, Witness) {
	at := s.inside.forJob(cmd.job)
	user := choose(s.varied(userName), "first", "second-user")
	env, chosen := s.environment(cmd, user)

	spec := childSpec{
		Umask:    choose(s.varied(umask), 0o022, 0o002),
		LeaveOut: choose(s.varied(processors), -1, cmd.slot),
		Landlock: s.Confinement.Landlock, Seccomp: s.Confinement.Seccomp,
		// Builds need none of these calls, and without a root of its own Landlock has to do.
		FixedMetadata: s.Foreign != nil && !s.Confinement.Namespaces,
		MaxTasks:      s.Limits.Tasks,
		Dir:           cmd.dir, Argv: cmd.argv, Env: env, Host: s.inside.hostName, Domain: s.inside.domainName,
		FixedMap: s.varied(addressSpace), OldName: s.varied(kernel),
		Writable: []string{at.cache, at.home, at.temp},
	}

	if cmd.writesSource {
		spec.Writable = append(spec.Writable, s.inside.source)
	}
	if cmd.out != "" {
		spec.Writable = append(spec.Writable, filepath.Join(s.inside.out, filepath.FromSlash(cmd.out)))
	}

	if s.Confinement.Namespaces {
		s.addMounts(&spec, cmd, user)
	}
	if s.Foreign != nil {
		spec.MaxFile = s.Foreign.MaxFile
	}
	return spec, chosen
}

// environment returns the variables of cmd, and the witness of those that are factors. The user
// of the command has the name user.
func (s *localSession) environment(cmd invocation, user string) ([]string, Witness) {
	at := s.inside.forJob(cmd.job)
	dirs := s.Path
	if s.Confinement.Namespaces {
		dirs = visibleFolders(dirs)
	}

	threads := choose(s.varied(gomaxprocs), 1, 2)
	lang := choose(s.varied(locale), "C", "C.UTF-8")
	zone := zoneName("Etc/GMT+12", "<-12>12")
	if s.varied(timeZone) {
		zone = zoneName("Pacific/Kiritimati", "<+14>-14")
	}

	// A user may have these, and no build may depend on them.
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
	pathVar := strings.Join(slices.Concat([]string{bin}, s.programFolders(), dirs), string(filepath.ListSeparator))
	modcache := s.inside.modcache
	if modcache == "" { // vendored: the go command insists on a path
		modcache = filepath.Join(at.home, "mod")
	}

	env := slices.Concat(s.SystemEnv, cmd.env, noise, elsewhere, []string{
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
		"PWD=" + cmd.dir,
		"TZ=" + zone, "LANG=" + lang, "LC_ALL=" + lang,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
	})
	if cmd.share.GOGC > 0 {
		env = append(env, "GOGC="+strconv.Itoa(cmd.share.GOGC))
	}
	if cmd.share.Memory > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(cmd.share.Memory, 10))
	}

	return firstValues(env), Witness{
		timeZone: zone, locale: lang, gomaxprocs: strconv.Itoa(threads), parallel: strconv.Itoa(s.parallelism(cmd.share)),
		environment: strings.Join(noise, " "), pathOrder: pathVar,
	}
}

// zoneName returns name. On a system without zone data it returns rule, which is POSIX for the
// same. The two passes are 26 hours apart, so that no local date is the same in both.
func zoneName(name, rule string) string {
	if _, err := os.Stat(filepath.Join("/usr/share/zoneinfo", name)); err != nil {
		return rule
	}
	return name
}

// firstValues keeps the first value of each variable, so that a recipe wins over the noise.
// Programs do not agree on which of several values counts.
func firstValues(env []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		again := seen[name]
		seen[name] = true
		return again
	})
}

// addMounts fills the new root of a namespace. Of the folders of the pass it has only those of
// the command.
func (s *localSession) addMounts(spec *childSpec, cmd invocation, user string) {
	outside, seen := s.outside.forJob(cmd.job), s.inside.forJob(cmd.job)
	own := []mount{
		{From: s.outside.source, To: s.inside.source, Write: cmd.writesSource},
		{From: outside.cache, To: seen.cache, Write: true},
		{From: outside.home, To: seen.home, Write: true},
		{From: outside.temp, To: seen.temp, Write: true},
		{From: outside.temp, To: "/tmp", Write: true},
		{From: s.outside.goroot, To: s.inside.goroot},
		{From: s.outside.modcache, To: s.inside.modcache},
	}
	if cmd.out != "" {
		out := filepath.FromSlash(cmd.out)
		own = append(own, mount{From: filepath.Join(s.outside.out, out), To: filepath.Join(s.inside.out, out), Write: true})
	}

	spec.Root = s.root
	spec.Mount = s.foreignMounts(systemMounts(s.Path), own)
	spec.Writable = append(spec.Writable, "/tmp")

	id := func(n int) string { return strconv.Itoa(n) }
	spec.Files = map[string]string{
		"/etc/passwd":   user + ":x:" + id(s.inside.user) + ":" + id(s.inside.group) + "::" + s.inside.home + ":/bin/sh\n",
		"/etc/group":    user + ":x:" + id(s.inside.group) + ":\n",
		"/etc/hosts":    "127.0.0.1 localhost " + s.inside.hostName + "." + s.inside.domainName + " " + s.inside.hostName + "\n",
		"/etc/hostname": s.inside.hostName + "\n",
	}
}
