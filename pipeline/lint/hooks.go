package lint

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/matrix/lintid"
)

// Short names of the lints about hooks, for the tables below. Each says what a hook
// must not depend on.
const (
	onClock  = lintid.HookClock
	onHost   = lintid.HookHost
	onRandom = lintid.HookRandom
	onGit    = lintid.HookGit
)

func hookClock(f *facts) []Finding  { return f.hookFindings(onClock) }
func hookHost(f *facts) []Finding   { return f.hookFindings(onHost) }
func hookRandom(f *facts) []Finding { return f.hookFindings(onRandom) }
func hookGit(f *facts) []Finding    { return f.hookFindings(onGit) }

// noteFunc notes that something on a line makes a hook depend on what the lint id is
// about.
type noteFunc func(id lintid.ID, what string, line int)

// hookUse is one thing in a hook that a lint is about.
type hookUse struct {
	id   lintid.ID
	what string
	file string // of the source, with line; if it is empty, the hook at key
	line int
	key  string
}

// hookFindings returns the findings of one lint.
func (f *facts) hookFindings(id lintid.ID) []Finding {
	var list []Finding
	for _, u := range f.hookUses() {
		if u.id == id {
			list = append(list, Finding{File: u.file, Line: u.line, Key: u.key, Message: u.what})
		}
	}
	return list
}

// hookUses returns what the lints about hooks find. The hooks are read once.
func (f *facts) hookUses() []hookUse {
	if f.hooks != nil {
		return *f.hooks
	}
	r := hookReader{facts: f, readFiles: map[string]bool{}}
	for i, argv := range f.Hooks {
		r.readHook(argv, fmt.Sprintf("before[%d].run", i))
	}
	f.hooks = &r.uses
	return r.uses
}

// hookReader follows a hook into the scripts and directives that it runs.
type hookReader struct {
	*facts
	uses      []hookUse
	readFiles map[string]bool // by name
}

// shells are the programs whose scripts readShell reads.
var shells = []string{"sh", "bash", "dash", "ash", "ksh", "zsh"}

// readHook reads the command at key of the release file.
func (r *hookReader) readHook(argv []string, key string) {
	note := func(id lintid.ID, what string, _ int) { r.uses = append(r.uses, hookUse{id: id, what: what, key: key}) }
	r.readCommand(argv, r.ModuleDir, note)
}

// readCommand reads a command that runs in folder dir of the tree, and follows it
// into scripts.
func (r *hookReader) readCommand(argv []string, dir string, note noteFunc) {
	if argv = dropPrefixes(argv); len(argv) == 0 {
		return
	}

	name := path.Base(argv[0])
	switch {
	case slices.Contains(shells, name):
		args := argv[1:]
		for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
			if args[0][1] != '-' && strings.HasSuffix(args[0], "c") && len(args) > 1 {
				judgeScript(args[1], 0, note)
				return
			}
			args = args[1:]
		}
		if len(args) > 0 {
			r.readScript(path.Join(dir, args[0]))
		}
	case name == "go" && len(argv) > 1 && argv[1] == "generate":
		r.readDirectives()
	case strings.Contains(argv[0], "/") && !path.IsAbs(argv[0]):
		r.readScript(path.Join(dir, argv[0]))
	}

	judgeCommand(command{argv, 0}, note)
}

// readScript reads a shell script of the tree, unless it was read before.
func (r *hookReader) readScript(name string) {
	if r.Tree == nil || !fs.ValidPath(name) || r.readFiles[name] {
		return
	}
	r.readFiles[name] = true
	data, ok := r.readFile(name)
	if !ok {
		return
	}

	// A script names its interpreter. Without one, it is a shell that runs it.
	if line, _, _ := bytes.Cut(data, []byte("\n")); bytes.HasPrefix(line, []byte("#!")) {
		interpreter := strings.Fields(string(line[2:]))
		if !slices.ContainsFunc(interpreter, func(s string) bool { return slices.Contains(shells, path.Base(s)) }) {
			return
		}
	} else if bytes.IndexByte(data, 0) >= 0 {
		return // a program
	}
	judgeScript(string(data), 1, r.noteIn(name))
}

// noteIn returns a function that notes what is found in a file of the tree.
func (r *hookReader) noteIn(name string) noteFunc {
	return func(id lintid.ID, what string, line int) {
		r.uses = append(r.uses, hookUse{id: id, what: what, file: r.displayPath(name), line: line})
	}
}

// readDirectives reads the directives of go generate in the whole module, whichever
// packages the hook names.
func (r *hookReader) readDirectives() {
	if r.Tree == nil || r.readFiles["go:generate"] {
		return
	}
	r.readFiles["go:generate"] = true

	err := fs.WalkDir(r.Tree, r.ModuleDir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != r.ModuleDir && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || slices.Contains([]string{"testdata", "vendor"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}

		data, ok := r.readFile(name)
		if !ok || !bytes.Contains(data, []byte("//go:generate ")) {
			return nil
		}

		// The line of the directive counts, and not that in the command.
		line := 0
		for text := range strings.Lines(string(data)) {
			line++
			if args, ok := strings.CutPrefix(strings.TrimSpace(text), "//go:generate "); ok && strings.HasPrefix(text, "//") {
				note := r.noteIn(name)
				r.readCommand(splitDirective(args), path.Dir(name), func(id lintid.ID, what string, _ int) { note(id, what, line) })
			}
		}
		return nil
	})
	r.addReadError(err)
}

// splitDirective splits the arguments of a go:generate line, as go generate does:
// at spaces, where a word that begins with a double quote is a Go string.
func splitDirective(s string) []string {
	var words []string
	for s = strings.TrimLeft(s, " \t"); s != ""; s = strings.TrimLeft(s, " \t") {
		if prefix, err := strconv.QuotedPrefix(s); err == nil && s[0] == '"' {
			word, _ := strconv.Unquote(prefix)
			words, s = append(words, word), s[len(prefix):]
			continue
		}

		n := strings.IndexAny(s, " \t")
		if n < 0 {
			n = len(s)
		}
		words, s = append(words, s[:n]), s[n:]
	}
	return words
}

// judgeScript notes what the commands and variables of a script depend on. The
// script begins at line.
func judgeScript(script string, line int, note noteFunc) {
	commands, variables := readShell(script, line)
	for _, c := range commands {
		judgeCommand(c, note)
	}
	for _, v := range variables {
		if id := hookVariables[v.name]; id != "" {
			note(id, "$"+v.name+" "+dependencyMeanings[id], v.line)
		}
	}
}

// dependencyMeanings says what is wrong about a dependency, after the name of what was found.
var dependencyMeanings = map[lintid.ID]string{
	onClock:  "is another in every run",
	onHost:   "tells of the machine, and pass B is made to look like another one",
	onRandom: "is another in every run",
	onGit:    "depends on the clone and not on the commit alone",
}

// hookVariables are shell variables whose value is never the same.
var hookVariables = map[string]lintid.ID{
	"EPOCHSECONDS": onClock, "EPOCHREALTIME": onClock, "SECONDS": onClock,
	"HOSTNAME": onHost, "HOSTTYPE": onHost, "MACHTYPE": onHost, "OSTYPE": onHost, "USER": onHost, "LOGNAME": onHost, "UID": onHost, "EUID": onHost,
	"RANDOM": onRandom, "SRANDOM": onRandom,
}

// hookCommands are commands whose output is never the same, whatever their
// arguments.
var hookCommands = map[string]lintid.ID{
	"gdate": onClock, "uptime": onClock, "hwclock": onClock,
	"hostname": onHost, "hostnamectl": onHost, "dnsdomainname": onHost, "whoami": onHost, "uname": onHost, "id": onHost, "logname": onHost,
	"who": onHost, "users": onHost, "groups": onHost, "nproc": onHost, "lscpu": onHost, "lsb_release": onHost, "sw_vers": onHost,
	"ifconfig": onHost, "locale": onHost,
	"uuidgen": onRandom, "shuf": onRandom, "pwgen": onRandom,
}

// hookFiles are files whose content is never the same.
var hookFiles = map[string]lintid.ID{
	"/etc/hostname": onHost, "/etc/machine-id": onHost, "/etc/os-release": onHost, "/etc/passwd": onHost,
	"/proc/version": onHost, "/proc/cpuinfo": onHost, "/proc/sys/kernel/hostname": onHost,
	"/proc/uptime": onClock,
	"/dev/urandom": onRandom, "/dev/random": onRandom, "/proc/sys/kernel/random/uuid": onRandom,
}

// judgeCommand notes what a single command depends on.
func judgeCommand(c command, note noteFunc) {
	name, args := path.Base(c.words[0]), c.words[1:]
	has := func(options ...string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return slices.Contains(options, a) })
	}

	// The arguments of some commands decide.
	id := hookCommands[name]
	switch name {
	case "date":
		if !isFixedDate(args) {
			id = onClock
		}
	case "printf":
		if slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "%(") && strings.Contains(a, ")T") }) {
			id = onClock
		}
	case "openssl":
		if has("rand") {
			id = onRandom
		}
	case "sort":
		if has("-R", "--random-sort") {
			id = onRandom
		}
	case "git":
		if verb, rest := splitGitVerb(args); gitVaries(verb, rest) {
			name, id = "git "+verb, onGit
		}
	}

	if id != "" {
		note(id, name+" "+dependencyMeanings[id], c.line)
	}
	for _, a := range args {
		if id := hookFiles[strings.TrimLeft(a, "@")]; id != "" {
			note(id, a+" "+dependencyMeanings[id], c.line)
		}
	}
}

// isFixedDate reports whether the arguments of date give it the time to print.
func isFixedDate(args []string) bool {
	for i, a := range args {
		value := ""
		switch {
		case (a == "-d" || a == "--date" || a == "-r") && i+1 < len(args):
			value = args[i+1]
		case strings.HasPrefix(a, "--date="):
			value = a[len("--date="):]
		case strings.HasPrefix(a, "-d"), strings.HasPrefix(a, "-r"):
			value = a[2:]
		case strings.Contains(a, "SOURCE_DATE_EPOCH"):
			return true
		}
		// Seconds are fixed. A variable or a command is judged by itself.
		if value = strings.TrimPrefix(value, "@"); value != "" && strings.IndexByte("0123456789$`", value[0]) >= 0 {
			return true
		}
	}
	return false
}

// splitGitVerb returns the verb of git and its arguments, without the options before
// the verb.
func splitGitVerb(args []string) (string, []string) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case slices.Contains([]string{"-C", "-c", "--git-dir", "--work-tree", "--namespace"}, a):
			i++
		case !strings.HasPrefix(a, "-"):
			return a, args[i+1:]
		}
	}
	return "", nil
}

// gitVaries reports whether the answer of git depends on more than the commit, such
// as on tags and branches, on how many objects there are (the length of an
// abbreviated name), on remotes and settings.
func gitVaries(verb string, args []string) bool {
	switch verb {
	case "describe", "status", "branch", "symbolic-ref", "name-rev", "remote", "var", "tag":
		return true
	case "rev-parse":
		return slices.ContainsFunc(args, func(a string) bool { return a == "--short" || a == "--abbrev-ref" })
	case "log", "show":
		return slices.ContainsFunc(args, func(a string) bool {
			return a == "--oneline" || a == "--decorate" || strings.Contains(a, "%h") || strings.Contains(a, "%d") || strings.Contains(a, "%D")
		})
	}
	return false
}
