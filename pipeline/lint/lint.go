// Package lint looks for what makes two builds of a release differ, or a release
// other than it was meant, before anything is built.
//
// What goes in is values: the release file, the source tree, what is known of the
// repository and of the machine ([Input]). What comes out are findings, each with
// the identifier of its [Lint], a position where there is one, a message and a
// remedy. Nothing is run, written or fetched, and no Go toolchain is asked: the
// source is read with go/build and go/parser.
//
// So a finding is what can be known that way, and no more. Packages of other
// modules are not looked into, and where hooks run before the build, what the
// source lacks may yet come from a hook: then nothing is said about it. `twice
// plan`, which asks the pinned Go, settles both.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/modfile"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/lintid"
)

// Severity says what a finding means for a release.
type Severity int

const (
	// Note is what is good to know, and has no say in what twice makes.
	Note Severity = iota + 1
	// Warning is what is likely to make builds differ, or the release other than
	// it was meant.
	Warning
	// Error is what a release stops at.
	Error
)

// severities has the name of each severity.
var severities = [...]string{Note: "note", Warning: "warning", Error: "error"}

// String returns "note", "warning" or "error".
func (s Severity) String() string {
	if !s.valid() {
		return fmt.Sprintf("severity %d", int(s))
	}
	return severities[s]
}

func (s Severity) valid() bool { return s >= Note && int(s) < len(severities) }

// MarshalText returns [Severity.String].
func (s Severity) MarshalText() ([]byte, error) {
	if !s.valid() {
		return nil, fmt.Errorf("no severity: %d", int(s))
	}
	return []byte(s.String()), nil
}

// Lint is one thing to look for.
type Lint struct {
	ID lintid.ID
	// Severity is that of its findings; the less certain ones may have a lower
	// one.
	Severity Severity
	// Summary is what a finding means, in one line. Why is a paragraph about why
	// it matters to reproducible releases, Remedy one sentence or two about what
	// to do.
	Summary, Why, Remedy string

	find func(*facts) []Finding
}

// All returns every lint, sorted by ID.
func All() []Lint { return slices.Clone(table) }

// ByID returns the lint with that identifier, and whether there is one.
func ByID(id lintid.ID) (Lint, bool) {
	for _, l := range table {
		if l.ID == id {
			return l, true
		}
	}
	return Lint{}, false
}

// Finding is something that a lint found.
type Finding struct {
	// ID is the identifier of the lint.
	ID       lintid.ID
	Severity Severity
	// File is the file that it is about: the release file, under the name that
	// it was parsed with, or one of the source, slash-separated and relative to
	// the release file's folder. Empty where it is about no file.
	File string
	// Line is where in the file, from 1; 0 where it is about all of it.
	Line int
	// Key is the path of the key of the release file, such as
	// `override[0].pie`, where it is about one.
	Key string
	// Message is the fault, and Hint the remedy where there is more to say than
	// the lint's own.
	Message, Hint string
}

// String returns the finding on one line, without the hint, as compilers do:
//
//	release.toml:14: warning: build.pie: linux/amd64: asks for a loader [pie-loader]
func (f Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File + ":")
		if f.Line > 0 {
			fmt.Fprintf(&b, "%d:", f.Line)
		}
		b.WriteByte(' ')
	}
	b.WriteString(f.Severity.String() + ": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	return b.String() + f.Message + " [" + string(f.ID) + "]"
}

// Input is what the lints look at. What is not known is left out, and the lints
// that need it find nothing.
type Input struct {
	// File is the release file; Builds, which may be a part of it, and Hooks are
	// what it comes to.
	File   *matrix.File
	Builds []matrix.Build
	Hooks  [][]string
	// Tree is what would be built: the content of the commit or, for a snapshot,
	// of the tracked files. Work is the folder in which somebody works on it,
	// nil where there is none.
	Tree, Work fs.FS
	// ConfigDir is the folder of the release file in both, and ModuleDir that of
	// the main module; slash-separated, "." for the tree itself.
	ConfigDir, ModuleDir string
	// Toolchain is the Go that a release would use: "go1.26.8".
	Toolchain  string
	Repository *Repository
	Machine    Machine
	// LockName is the name of the lock file, and Locked are the references of the
	// base images that it has a digest for.
	LockName string
	Locked   []string
}

// Repository is what is known of the repository, which a version of the module
// proxy has not.
type Repository struct {
	// Modified and Untracked name files that are not as in the commit, or not in
	// it; a few of them are enough.
	Modified, Untracked []string
	// Shallow tells that the history is cut off, Linked that .git is a file.
	Shallow, Linked bool
	// Tags are the tags at HEAD, whatever they look like, and Tag that of them
	// which gives the release its version; "" if there is none.
	Tags []string
	Tag  string
	// Before is the highest version at HEAD or before it; "" if there is none.
	Before string
}

// Machine is what is known of the machine, none of which a build sees.
type Machine struct {
	// Env is the environment as NAME=value pairs.
	Env []string
	// GoVersion is what the installed Go says of itself: "go1.26.8".
	GoVersion string
	// GoEnvFile is the path of the go command's own settings, and GoEnv is what
	// stands there.
	GoEnvFile string
	GoEnv     []byte
	// GoWork is the path of the go.work file that the go command would use; ""
	// if there is none.
	GoWork string
}

// Run returns what the lints find, sorted by position, and apart from it what
// the release file silences. The error is that the source could not be read.
func Run(in Input) (found, silenced []Finding, err error) {
	f := &facts{Input: in}
	for _, l := range table {
		for _, finding := range l.find(f) {
			finding.ID = l.ID
			finding.Severity = cmp.Or(finding.Severity, l.Severity)
			finding.Hint = cmp.Or(finding.Hint, l.Remedy)
			// Names of files, tags and variables are a stranger's.
			finding.File, finding.Message = escapeUnprintable(finding.File), escapeUnprintable(finding.Message)
			if finding.Key != "" {
				finding.File, finding.Line = in.File.Name(), in.File.Line(finding.Key)
			}
			if slices.Contains(in.File.Check.Silence, l.ID) {
				silenced = append(silenced, finding)
			} else {
				found = append(found, finding)
			}
		}
	}
	if f.errs != nil {
		return nil, nil, fmt.Errorf("lint: %w", errors.Join(f.errs...))
	}
	return sortFindings(found, in.File.Name()), sortFindings(silenced, in.File.Name()), nil
}

// escapeUnprintable writes what a terminal does not only show as Go escapes it.
func escapeUnprintable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// sortFindings puts what is about no file first, then the release file, then the
// source; of what is in one place the worst comes last.
func sortFindings(list []Finding, release string) []Finding {
	rank := func(f Finding) int {
		switch f.File {
		case "":
			return 0
		case release:
			return 1
		}
		return 2
	}
	slices.SortFunc(list, func(a, b Finding) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(list)
}

// facts is an Input and what the lints have found out about it together.
type facts struct {
	Input
	errs    []error
	mod     *modfile.File
	modRead bool
	hooks   *[]hookUse
	src     *sources
}

// addReadError remembers why the source could not be read. What is not there is no
// such reason.
func (f *facts) addReadError(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.errs = append(f.errs, err)
	}
}

// displayPath is how a finding calls a file of the tree: relative to the release
// file's folder.
func (f *facts) displayPath(name string) string {
	if f.ConfigDir == "." {
		return name
	}
	up := ""
	for dir := f.ConfigDir; dir != "."; dir = path.Dir(dir) {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			return up + rest
		}
		up += "../"
	}
	return up + name
}

// maxRead bounds a file that is read, in bytes.
const maxRead = 16 << 20

// readFile returns the content of a regular file of the tree. A symbolic link that
// leads nowhere in it is no file.
func (f *facts) readFile(name string) ([]byte, bool) {
	info, err := fs.Lstat(f.Tree, name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if info, err = fs.Stat(f.Tree, name); err != nil {
			return nil, false
		}
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxRead) {
		return nil, false
	}
	var data []byte
	if err == nil {
		data, err = fs.ReadFile(f.Tree, name)
	}
	f.addReadError(err)
	return data, err == nil
}

// buildsPrefix says for which of all builds something holds: for all of them it says
// nothing.
func buildsPrefix(some, all []matrix.Build) string {
	if len(some) == len(all) {
		return ""
	}
	var binaries, names []string
	for _, b := range all {
		if !slices.Contains(binaries, b.Binary) {
			binaries = append(binaries, b.Binary)
		}
	}
	for _, b := range some {
		name := b.Target.String()
		if len(binaries) > 1 {
			name = b.Binary + " for " + name
		}
		names = append(names, name)
	}
	return firstNames(names, 3) + ": "
}

// firstNames lists the first names.
func firstNames(names []string, most int) string {
	if len(names) > most+1 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// findInBuilds asks about every build, and makes one finding of those that have
// the key and the message in common. A key "" is no finding.
func (f *facts) findInBuilds(ask func(matrix.Build) (key, message string)) []Finding {
	type same struct{ key, message string }
	var order []same
	builds := map[same][]matrix.Build{}
	for _, b := range f.Builds {
		key, message := ask(b)
		if key == "" {
			continue
		}
		s := same{key, message}
		if builds[s] == nil {
			order = append(order, s)
		}
		builds[s] = append(builds[s], b)
	}
	var list []Finding
	for _, s := range order {
		list = append(list, Finding{Key: s.key, Message: buildsPrefix(builds[s], f.Builds) + s.message})
	}
	return list
}
