package recipe

import (
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
)

// Choice is a setting that the source does not force. The builder chooses it, and it
// decides about the bytes.
type Choice struct {
	// Setting is a flag of the go command ("-gcflags"), a variable of its environment
	// ("GOEXPERIMENT"), or "-X", which is a part of -ldflags.
	Setting string
	// Value is its value: of -X "main.version=v1.2.3", of a flag without one "".
	Value string
}

// Settings that more than one package knows.
const (
	StampSetting = "-X"
	LinkSetting  = "-ldflags"
	// FilesSetting is which files the main package is made of, if go build was given files: their
	// paths, with spaces between them.
	FilesSetting = "files"
)

// String returns the setting as a command line has it.
func (c Choice) String() string {
	switch {
	case c.Setting == StampSetting:
		return c.Setting + " " + c.Value
	case c.Value == "":
		return c.Setting
	}
	return c.Setting + "=" + c.Value
}

// Choices returns every setting of r that its source does not force, those of -X at
// the end. It leaves out only settings that are named in this file, and only with the
// values named here: the target, the defaults of a go command on every host, and how
// the executor keeps it from its user's settings. So a setting that nobody thought of
// is listed.
//
// DefaultGODEBUG is not among them: go.mod and the source decide about it. A build
// that overrides it uses -X.
func (r Recipe) Choices() []Choice {
	var list, stamps []Choice
	add := func(setting, value string) { list = append(list, Choice{setting, value}) }

	// The command line, without "go build" and the package. Files may stand in its place.
	flags, files := r.splitArgv()
	if len(files) > 0 {
		add(FilesSetting, strings.Join(files, " "))
	}
	for _, arg := range flags {
		name, value, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(name, "--") {
			name = name[1:]
		}
		switch {
		case slices.Contains(forcedFlags, arg):
		case name == LinkSetting:
			rest, x := splitLinkFlags(value)
			if rest != "" {
				add(name, rest)
			}
			stamps = append(stamps, x...)
		default:
			add(name, value)
		}
	}

	// The environment. The default variant of an architecture goes with the target.
	forced := slices.Concat(ClosedEnv(), r.Target.Env(), forcedEnv)
	standard := matrix.Target{OS: r.Target.OS, Arch: r.Target.Arch}.Env()
	for _, kv := range r.Env {
		name, value, _ := strings.Cut(kv, "=")
		variant := slices.Contains(r.Target.Env(), kv) && name != "GOOS" && name != "GOARCH"
		if slices.Contains(forced, kv) && (!variant || slices.Contains(standard, kv)) {
			continue
		}
		add(name, value)
	}

	// The recipe of a rebuild has none of these.
	if r.Compiler != "" {
		add("CC", r.Compiler)
	}
	for _, argv := range r.Hooks {
		add("hook", strings.Join(argv, " "))
	}
	if r.Toolchain.Sum != "" {
		add("toolchain", r.Toolchain.Sum)
	}
	return append(list, stamps...)
}

// splitArgv returns the flags of a go command, and the files that its main package is made of if
// there are some.
func (r Recipe) splitArgv() (flags, files []string) {
	if len(r.Argv) < 3 {
		return nil, nil
	}
	flags = r.Argv[2:]
	end := len(flags)
	for end > 0 && strings.HasSuffix(flags[end-1], ".go") && !strings.HasPrefix(flags[end-1], "-") {
		end--
	}
	if end == len(flags) {
		return flags[:end-1], nil
	}
	return flags[:end], flags[end:]
}

var (
	// forcedFlags say where dependencies and the stamp of version control come from,
	// whose content is listed elsewhere: in Modules, and in the claims of a rebuild.
	forcedFlags = []string{"-mod=readonly", "-mod=vendor", "-buildvcs=true", "-buildvcs=false"}
	// forcedEnv are defaults, and what says that there is no C compiler.
	forcedEnv = []string{"GOEXPERIMENT=", "GOFIPS140=off", "CC=no-c-compiler", "CXX=no-c-compiler", "FC=no-c-compiler"}
)

// splitLinkFlags takes the value of -ldflags apart: what -X sets, and the rest with
// each value behind a "=". A value that cannot be taken apart is the rest.
func splitLinkFlags(value string) (rest string, stamps []Choice) {
	args, err := matrix.Split(value)
	if err != nil {
		return value, nil
	}

	var others []string
	for i := 0; i < len(args); i++ {
		name, v, has := strings.Cut(args[i], "=")
		if strings.HasPrefix(name, "--") {
			name = name[1:]
		}
		if !has && name != "-s" && name != "-w" && i+1 < len(args) {
			i++
			v, has = args[i], true
		}

		switch {
		case name == StampSetting:
			stamps = append(stamps, Choice{name, v})
		case has:
			others = append(others, name+"="+v)
		default:
			others = append(others, name)
		}
	}

	if rest, err = matrix.Quote(others); err != nil {
		rest = strings.Join(others, " ") // which is shown, and runs nowhere
	}
	return rest, stamps
}

// Meaning explains what a setting does, as far as a user of the program should know
// it. It returns "" where the setting's name says enough.
func (c Choice) Meaning() string {
	switch c.Setting {
	case "-gcflags", "-asmflags":
		return compilerMeaning(c.Value)
	case StampSetting:
		name, _, _ := strings.Cut(c.Value, "=")
		name = name[:max(0, strings.LastIndexByte(name, '.'))]
		first, _, _ := strings.Cut(name, "/")
		switch {
		case strings.HasPrefix(c.Value, "runtime.godebugDefault="):
			return "settings of GODEBUG, which change how the standard library behaves"
		case name != "main" && !strings.Contains(first, "."):
			return "a variable of the standard library"
		}
	}
	return settingMeanings[c.Setting]
}

var settingMeanings = map[string]string{
	"-tags":        "chooses files of the source",
	FilesSetting:   "chooses files of the source",
	"-race":        "the race detector",
	"-msan":        "the memory sanitizer",
	"-asan":        "the address sanitizer",
	"-cover":       "counts and writes which code runs",
	"-overlay":     "compiles other files than the source has",
	"-toolexec":    "runs another program in place of the compiler",
	"-pgo":         "another choice of optimizations",
	"GOEXPERIMENT": "features of Go that are not finished",
	"GOFIPS140":    "another version of the cryptographic packages",
}

var compilerMeanings = map[string]string{
	"-B":       "no bounds checks: an index out of range reads or writes other memory",
	"-N":       "no optimization",
	"-l":       "another choice of what is inlined",
	"-spectre": "mitigations of Spectre",
}

// compilerMeaning explains flags of the compiler and the assembler.
func compilerMeaning(value string) string {
	if value = strings.TrimLeft(value, " \t"); value != "" && value[0] != '-' {
		_, value, _ = strings.Cut(value, "=") // behind a pattern of packages
	}
	args, err := matrix.Split(value)
	if err != nil {
		return ""
	}

	var list []string
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(name, "--") {
			name = name[1:]
		}
		if meaning := compilerMeanings[name]; meaning != "" {
			list = append(list, name+" means "+meaning)
		}
	}
	return strings.Join(list, "; ")
}
