package inspect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/safetext"
	"github.com/twicebuild/twice/pipeline/shell"
)

// Recipe is the command that likely made a binary, derived from the binary's own words.
// It is a stranger's claim and must not be run as it stands: flags can write
// files and start programs.
type Recipe struct {
	// Source is the place of the source: "path@version" of a module, or a revision. It is empty if
	// the binary does not name one.
	Source string `json:"source,omitempty"`
	// Env are the variables that matter, as KEY=VALUE.
	Env []string `json:"env"`
	// Args are the command and its arguments. They start with "go".
	Args []string `json:"args"`
	// Inferred says which of the arguments are not recorded, and why they are assumed.
	Inferred []string `json:"inferred,omitempty"`
	// Unknown lists the inputs that the binary does not tell.
	Unknown []string `json:"unknown"`
}

var release = regexp.MustCompile(`^go1(\.\d+){1,2}(rc\d+|beta\d+)?$`)

func (f *Facts) recipe() *Recipe {
	r := &Recipe{Env: []string{}, Unknown: []string{}}
	b := f.Build
	unknown := func(format string, args ...any) { r.Unknown = append(r.Unknown, fmt.Sprintf(format, args...)) }
	if version, _, _ := strings.Cut(f.GoVersion, " "); release.MatchString(version) {
		r.Env = append(r.Env, "GOTOOLCHAIN="+version)
	} else {
		unknown("the toolchain: %q is not a release of Go", f.GoVersion)
	}

	// The main module has a sum only if it was built as path@version.
	install := b.Main != nil && b.Main.Sum != ""
	r.Args = []string{"go", "build"}
	if install {
		r.Args[1] = "install"
	}
	var flags []string
	vcs := map[string]string{}
	cgo := false

	for _, s := range b.Settings {
		switch key := s.Key; {
		case key == "-compiler" && s.Value == "gc", key == "-buildmode" && s.Value == "exe", key == "DefaultGODEBUG", s.Value == "":
			// The default, or what go.mod and the source say.
		case key == "-trimpath" && s.Value == "true", key == "-race" && s.Value == "true", key == "-msan" && s.Value == "true", key == "-asan" && s.Value == "true":
			flags = append(flags, key)
		case key == "vcs" || strings.HasPrefix(key, "vcs."):
			vcs[key] = s.Value
		case strings.HasPrefix(key, "-"):
			flags = append(flags, key+"="+s.Value)
			if key == "-pgo" {
				unknown("the profile %s: its content is not recorded", s.Value)
			}
		case strings.HasPrefix(key, "GO") || strings.HasPrefix(key, "CGO_"):
			r.Env = append(r.Env, key+"="+s.Value)
			cgo = cgo || key == "CGO_ENABLED" && s.Value == "1"
		default:
			unknown("what setting %s means: no release of Go up to 1.27 has it", s.Key)
		}
	}

	if f.Finding(Trimpath).Is == Yes && !slices.Contains(flags, "-trimpath") {
		flags = append(flags, "-trimpath")
		r.Inferred = append(r.Inferred, "-trimpath: no source path is absolute")
	}

	if !slices.ContainsFunc(flags, func(s string) bool { return strings.HasPrefix(s, "-ldflags=") }) {
		flags = append(flags, f.ldflags(r, slices.Contains(flags, "-trimpath"))...)
	}

	// The platform is in the headers where a release does not record it.
	for _, kv := range [][2]string{{"GOOS", f.GOOS}, {"GOARCH", f.GOARCH}} {
		if _, ok := b.Setting(kv[0]); !ok && kv[1] != "" {
			r.Env = append(r.Env, kv[0]+"="+kv[1])
			r.Inferred = append(r.Inferred, kv[0]+"="+kv[1]+": the file is made for that")
		}
	}
	if list := f.unrecorded(); len(list) > 0 {
		unknown("%s: not recorded by %s", strings.Join(list, ", "), releaseOf(f.GoVersion))
	}

	// Outside of a module proxy, the go command stamps the revision if it finds one (Go 1.18 and later).
	if !install && f.Records("vcs") != No {
		flag := fmt.Sprintf("-buildvcs=%t", len(vcs) > 0)
		flags = append(flags, flag)
		r.Inferred = append(r.Inferred, flag+": "+presence(len(vcs) > 0, "stamp of a version control system"))
	}
	r.Args = append(r.Args, flags...)
	f.source(r, vcs, install)

	if cgo && f.Finding(Cgo).Is != No {
		unknown("the C compiler, its flags, headers and libraries")
	}
	unknown("-mod, -modfile, -overlay, -toolexec: they are never recorded")
	return r
}

// unrecorded returns the settings that are not recorded and that the file does not show.
func (f *Facts) unrecorded() []string {
	shown := []string{"GOOS", "GOARCH", "-trimpath", "-compiler"}
	return slices.DeleteFunc(slices.Clone(f.NotRecorded), func(key string) bool {
		return slices.Contains(shown, key) || f.Records(strings.TrimSuffix(key, "*")) != No
	})
}

// ldflags returns the linker flags that the file shows. They are recorded only if
// paths are not trimmed.
func (f *Facts) ldflags(r *Recipe, trimmed bool) []string {
	var flags []string
	infer := func(flag, why string) {
		flags = append(flags, flag)
		r.Inferred = append(r.Inferred, "-ldflags="+flag+": "+why)
	}

	if q := f.Finding(NoSymbols); q.Is == Yes {
		infer("-s", q.Why)
	}
	if q := f.Finding(NoDWARF); q.Is == Yes {
		infer("-w", q.Why)
	}
	if f.KeepsSymbols() {
		r.Unknown = append(r.Unknown, "-ldflags=-s: it has no effect on macOS before Go 1.22")
	}
	if f.BuildID == nil {
		infer("-buildid=", ErrNoBuildID.Error())
	}
	if trimmed && f.Records("-ldflags") != No {
		r.Unknown = append(r.Unknown, "-ldflags with their order and -X values, CGO_*FLAGS: they are not recorded with -trimpath (golang/go#63432)")
	}

	if len(flags) == 0 {
		return nil
	}
	return []string{"-ldflags=" + strings.Join(flags, " ")}
}

// source fills in where the source is, and the package.
func (f *Facts) source(r *Recipe, vcs map[string]string, install bool) {
	b := f.Build
	unknown := func(format string, args ...any) { r.Unknown = append(r.Unknown, fmt.Sprintf(format, args...)) }
	revision := vcs["vcs.revision"]

	// A module version can be fetched again, so it is better than a revision.
	switch {
	case b.Main == nil:
		unknown("the source: there is no main module")
	case b.Main.Version != "" && b.Main.Version != "(devel)" && !strings.Contains(b.Main.Version, "+dirty"):
		r.Source = b.Main.Path + "@" + b.Main.Version
	case revision != "":
		r.Source = b.Main.Path + " at " + vcs["vcs"] + " revision " + revision
	default:
		unknown("the version of %s", b.Main.Path)
	}
	if vcs["vcs.modified"] == "true" {
		unknown("what was changed in the source since revision %s", revision)
	}

	summed, unsummed := 0, 0
	for _, d := range b.Deps {
		used := d
		if d.Replace != nil {
			used = *d.Replace
		}

		switch {
		case d.Replace != nil && used.Version == "":
			unknown("the content of %s, which replaces %s", used.Path, d.Path)
		case used.Sum == "":
			unsummed++
		default:
			summed++
		}
	}

	switch {
	case unsummed > 0 && summed == 0:
		r.Inferred = append(r.Inferred, fmt.Sprintf("-mod=vendor: none of %d dependencies has a sum", unsummed))
		r.Args = append(r.Args, "-mod=vendor")
	case unsummed > 0:
		unknown("the content of %d dependencies without a sum", unsummed)
	}

	switch {
	case b.Path == "" || b.Path == "command-line-arguments":
		unknown("the source files of package main")
	case install:
		r.Args = append(r.Args, b.Path+"@"+b.Main.Version)
	case b.Main != nil && b.Path == b.Main.Path:
		r.Args = append(r.Args, ".")
	case b.Main != nil && strings.HasPrefix(b.Path, b.Main.Path+"/"):
		r.Args = append(r.Args, "./"+b.Path[len(b.Main.Path)+1:])
	default:
		r.Args = append(r.Args, b.Path)
	}
}

// String returns the recipe as a line for a shell.
func (r *Recipe) String() string {
	var words []string
	for _, w := range append(slices.Clone(r.Env), r.Args...) {
		words = append(words, shellWord(w))
	}
	return strings.Join(words, " ")
}

// shellWord quotes a word for a POSIX shell. A word with characters that cannot be
// shown is quoted as in Go, and a shell reads another word then.
func shellWord(s string) string {
	quoted := shell.Quote(s)
	if quoted == s {
		return s
	}
	if q := safetext.Escape(s, maxCommands); q != s {
		return `"` + q + `"`
	}
	return quoted
}
