// Package lint looks for causes that make two builds of a release differ, or make a
// release other than it was meant, before anything is built.
//
// The input is values: the release file, the source tree, and what is known of the
// repository and of the machine ([Input]). The output is findings, each with the
// identifier of its [Lint], a position where there is one, a message and a remedy.
// Nothing is run, written or fetched, and no Go toolchain is asked: the source is
// read with go/build and go/parser.
//
// So lints do not know everything. They do not look into packages of other modules.
// Where hooks run before the build, a hook may still write what the source lacks,
// so nothing is said about that. `twice plan` asks the pinned Go, and finds both.
//
// To add a lint, name it in package lintid, give it an entry in [All]'s table
// (table.go) and a function that finds it, and add a good and a bad case to
// cases_test.go.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/lintid"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// Severity says what a finding means for a release.
type Severity int

const (
	// Note is good to know, and does not change what twice makes.
	Note Severity = iota + 1
	// Warning is likely to make builds differ, or the release other than it was meant.
	Warning
	// Error stops a release.
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
	// Severity is the greatest severity of its findings. A finding that is less certain
	// may have a lower one.
	Severity Severity
	// Summary says in one line what a finding means. Why is a paragraph about why it
	// matters to reproducible releases. Remedy is a sentence or two about what to do.
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

// Finding is one thing that a lint found.
type Finding struct {
	// ID is the identifier of the lint.
	ID       lintid.ID
	Severity Severity
	// File is the file that the finding is about: the release file, under the name
	// that it was parsed with, or a file of the source, slash-separated and relative
	// to the release file's folder. It is empty where the finding is about no file.
	File string
	// Line is the line in the file, from 1, or 0 for all of the file.
	Line int
	// Key is the path of a key of the release file, such as `override[0].pie`, where
	// the finding is about one.
	Key string
	// Message is the fault. Remedy is what to do about it: that of the lint, unless the finding
	// has a better one.
	Message, Remedy string
}

// String returns the finding on one line, without the remedy, as compilers do:
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

// Input holds the facts that the lints look at. A lint finds nothing where a fact that
// it needs is left out, because it is not known.
type Input struct {
	// File is the release file. Builds and Hooks are its expansion; Builds may be a
	// part of it.
	File   *matrix.File
	Builds []matrix.Build
	Hooks  [][]string
	// Tree is the source to build: the content of the commit or, for a snapshot, of
	// the tracked files. Work is the work tree, or nil if there is none.
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

// Repository holds the facts about the repository. A version from the module proxy
// has none.
type Repository struct {
	// Modified names files that differ from the commit, Untracked files that are not
	// in it. A few of them are enough.
	Modified, Untracked []string
	// Shallow reports whether the history is cut off, Linked whether .git is a file.
	Shallow, Linked bool
	// Tags are all tags at HEAD. Tag is the one that gives the release its version, or
	// "" if there is none.
	Tags []string
	Tag  string
	// HighestVersion is the highest version at HEAD or before it, or "" if there is none.
	HighestVersion string
}

// Machine holds the facts about the machine. No build sees any of it.
type Machine struct {
	// Env is the environment as NAME=value pairs.
	Env []string
	// GoVersion is what the installed Go says of itself: "go1.26.8".
	GoVersion string
	// GoEnvFile is the path of the go command's own settings, and GoEnv its content.
	GoEnvFile string
	GoEnv     []byte
	// GoWork is the path of the go.work file that the go command would use, or "" if
	// there is none.
	GoWork string
}

// Run runs all lints. It returns what they find, sorted by position, and separately
// what the release file silences. The error is that the source could not be read.
func Run(in Input) (found, silenced []Finding, err error) {
	f := &facts{Input: in}
	for _, l := range table {
		for _, finding := range l.find(f) {
			// A lint may leave these to its entry in the table.
			finding.ID = l.ID
			finding.Severity = cmp.Or(finding.Severity, l.Severity)
			finding.Remedy = cmp.Or(finding.Remedy, l.Remedy)

			// A stranger chose the names of files, tags and variables.
			finding.File, finding.Message = safetext.EscapeUnprintable(finding.File), safetext.EscapeUnprintable(finding.Message)
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

// sortFindings sorts a list: findings about no file first, then those about the
// release file, then those about the source. Of several in one place the worst comes
// last. Findings that are equal become one.
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

// facts is an Input, with facts about it that several lints need.
type facts struct {
	Input
	errs    []error
	mod     *modfile.File
	modRead bool
	hooks   *[]hookUse
	src     *sources
}

// addReadError notes why the source could not be read. A file that does not exist is
// no such reason.
func (f *facts) addReadError(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.errs = append(f.errs, err)
	}
}

// displayPath returns the name of a file of the tree in findings: its path, relative
// to the release file's folder.
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
// leads out of the tree, or nowhere, is no file.
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

// buildsPrefix begins a message that is about some of all builds. It is "" where the
// message is about all of them.
func buildsPrefix(some, all []matrix.Build) string {
	if len(some) == len(all) {
		return ""
	}

	// Where there is one binary, nobody has to be told its name.
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

// firstNames lists names: all of them, or the first ones and how many more there are.
func firstNames(names []string, most int) string {
	if len(names) > most+1 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// findInBuilds calls check for every build, and makes one finding of all builds with
// the same key and message. A key "" is no finding.
func (f *facts) findInBuilds(check func(matrix.Build) (key, message string)) []Finding {
	type same struct{ key, message string }
	var order []same
	builds := map[same][]matrix.Build{}
	for _, b := range f.Builds {
		key, message := check(b)
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
