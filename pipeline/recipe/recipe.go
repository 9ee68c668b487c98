// Package recipe describes one build of one binary, completely.
//
// A [Recipe] holds everything that determines the bytes of a binary and nothing
// else: the source, the modules with their sums, the toolchain, the argument
// list and the environment of the go command. What must not matter (paths, the
// user, the time zone, the number of processors) is no part of it. Package
// pass chooses that anew for every pass. So equal recipes must give equal
// bytes, on any host, and the double build is the test of that sentence.
//
// # Encoding and digest
//
// [Recipe.Encode] gives the canonical form: JSON after RFC 8785 (members in
// order of their names, no white space). Every list has one order: Env and
// Modules are sorted, Argv and Hooks are as they are run. The digest is the
// SHA-256 of that encoding. Only two things in it depend on the host where it
// was computed, and both are facts about the build itself: an unpublished
// toolchain (Toolchain.Sum) and a C compiler (Compiler) exist on that host alone.
package recipe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// Schema is the value of Recipe.Schema that this package reads and writes.
const Schema = "twice.recipe/v1"

// Recipe is the closed description of one build of one binary. The fields
// stand in the order of their JSON names, which is what makes encoding/json
// produce the canonical form.
type Recipe struct {
	// Argv is the go command line, beginning with "go build" or, only for what
	// somebody else has built, "go install". The executor adds what has no
	// influence on the bytes: -o, -p and -debug-actiongraph, and the packages of
	// other recipes that differ from this one in the package alone.
	Argv []string `json:"argv"`
	// Binary is the file name of the result, with the target's suffix.
	Binary string `json:"binary"`
	// Compiler identifies the C compiler of a cgo build, and is empty otherwise.
	Compiler string `json:"compiler,omitempty"`
	// Env is the complete environment that decides about bytes, as sorted
	// NAME=value pairs; see [KnownVariables] for every variable and why it is here.
	Env []string `json:"env"`
	// Epoch is the SOURCE_DATE_EPOCH of the hooks, in seconds since 1970. It is
	// 0 without hooks: the go command does not read it.
	Epoch int64 `json:"epoch,omitempty"`
	// Hooks are the commands that run in the source tree before the build.
	Hooks [][]string `json:"hooks,omitempty"`
	// Modules are the modules that packages of the binary come from, sorted by
	// path; the main module is not among them.
	Modules []Module `json:"modules,omitempty"`
	// Schema names this format.
	Schema    string        `json:"schema"`
	Source    Source        `json:"source"`
	Target    matrix.Target `json:"target"`
	Toolchain Toolchain     `json:"toolchain"`
}

// Source identifies a source tree: a git commit or a module version, never both.
type Source struct {
	// Commit is the git commit, in full hexadecimal.
	Commit string `json:"commit,omitempty"`
	// Dir is the folder of the main module in the tree, with slashes; "." is
	// the root.
	Dir string `json:"dir"`
	// Module, Sum and Version name a module of the module proxy: its path, its
	// h1: hash (golang.org/x/mod/sumdb/dirhash), and its version.
	Module string `json:"module,omitempty"`
	Sum    string `json:"sum,omitempty"`
	// Tree is the git tree that was built. It is the tree of Commit unless
	// there were uncommitted changes.
	Tree    string `json:"tree,omitempty"`
	Version string `json:"version,omitempty"`
}

// Name returns what people call the source: the commit or module@version.
func (s Source) Name() string {
	if s.Module != "" {
		return s.Module + "@" + s.Version
	}
	return "commit " + s.Commit[:min(12, len(s.Commit))]
}

// Module is a dependency and the hash of its content.
type Module struct {
	Path string `json:"path"`
	// Replace is "path@version" of what stands in for the module, or a folder
	// in the source tree.
	Replace string `json:"replace,omitempty"`
	// Sum is the h1: hash of the module (of its replacement where there is
	// one). It is empty for what lies in the source tree, vendored or replaced
	// by a folder: Source covers that.
	Sum     string `json:"sum,omitempty"`
	Version string `json:"version,omitempty"`
}

// Toolchain identifies a Go distribution.
type Toolchain struct {
	// Sum is the h1: hash of an unpublished distribution on this host. For the
	// published one it is empty: all hosts' published toolchains of a version
	// give the same bytes, which is why recipes can be compared across hosts.
	Sum string `json:"sum,omitempty"`
	// Version is what the go command calls itself, such as "go1.26.8".
	Version string `json:"version"`
}

// Encode returns the canonical form.
func (r Recipe) Encode() ([]byte, error) {
	if err := r.checkForm(); err != nil {
		return nil, fmt.Errorf("recipe for %s %s: %w", r.Target, r.Binary, err)
	}

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}

	if b.Len() > maxSize {
		return nil, fmt.Errorf("recipe for %s %s: more than %d bytes", r.Target, r.Binary, maxSize)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// maxSize bounds an encoding in bytes. The arguments and the environment of a
// process are limited to less; modules take some hundred bytes each.
const maxSize = 16 << 20

// Decode reads the canonical form and nothing else: unknown members, another
// order, white space and more than 16 MiB are errors.
func Decode(data []byte) (Recipe, error) {
	if len(data) > maxSize {
		return Recipe{}, fmt.Errorf("recipe: more than %d bytes", maxSize)
	}

	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r Recipe
	if err := dec.Decode(&r); err != nil {
		return Recipe{}, fmt.Errorf("recipe: %w", err)
	}

	enc, err := r.Encode()
	if err != nil {
		return Recipe{}, err
	}
	if !bytes.Equal(enc, data) {
		return Recipe{}, fmt.Errorf("recipe: not in canonical form")
	}
	return r, nil
}

// Digest returns the digest of the canonical form.
func (r Recipe) Digest() (artifact.Digest, error) {
	enc, err := r.Encode()
	if err != nil {
		return "", err
	}
	return artifact.Of(enc), nil
}

// checkForm returns an error unless r has the form that this package promises.
func (r Recipe) checkForm() error {
	src := r.Source
	commit := src.Commit != "" && src.Tree != "" && src.Module+src.Sum+src.Version == ""
	module := src.Module != "" && src.Sum != "" && src.Version != "" && src.Commit+src.Tree == ""
	switch {
	case r.Schema != Schema:
		return fmt.Errorf("schema %q: want %q", r.Schema, Schema)
	case len(r.Argv) < 3 || r.Argv[0] != "go" || r.Argv[1] != "build" && r.Argv[1] != "install":
		return fmt.Errorf("argv %q: want a go build or go install command", r.Argv)
	case r.Argv[1] == "install" && (!module || !strings.HasSuffix(r.Argv[len(r.Argv)-1], "@"+src.Version)):
		return fmt.Errorf("argv %q: only a package of a module, path@%s, can be installed", r.Argv, src.Version)
	case r.Binary == "" || strings.ContainsAny(r.Binary, `/\:`) || strings.HasPrefix(r.Binary, "."):
		return fmt.Errorf("binary %q: want a file name", r.Binary)
	case !commit && !module:
		return fmt.Errorf("source: want either a commit and a tree, or a module, a version and a sum")
	case src.Dir == "":
		return fmt.Errorf("source: want the folder of the main module")
	case r.Toolchain.Version == "":
		return fmt.Errorf("toolchain: want a version")
	case len(r.Env) == 0 || !slices.IsSorted(r.Env):
		return fmt.Errorf("env: empty or not sorted")
	case len(r.Hooks) == 0 && r.Epoch != 0 || r.Epoch > 1<<53 || r.Epoch < -1<<53: // RFC 8785 has no larger numbers
		return fmt.Errorf("epoch %d: without hooks, or not a time", r.Epoch)
	case slices.ContainsFunc(r.Hooks, func(argv []string) bool { return len(argv) == 0 }):
		return fmt.Errorf("hooks: a command without a name")
	}

	seen := map[string]bool{}
	for _, kv := range r.Env {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" || seen[name] {
			return fmt.Errorf("env %q: want one NAME=value a variable", kv)
		}
		seen[name] = true
	}

	text := slices.Concat(append([][]string{r.Argv, r.Env, {
		r.Binary, r.Compiler, src.Commit, src.Dir, src.Module, src.Sum, src.Tree, src.Version, r.Toolchain.Sum, r.Toolchain.Version,
	}}, r.Hooks...)...)
	for i, m := range r.Modules {
		if m.Path == "" || i > 0 && r.Modules[i-1].Path >= m.Path {
			return fmt.Errorf("modules: %q: without a path, or not sorted by it", m.Path)
		}
		text = append(text, m.Path, m.Replace, m.Sum, m.Version)
	}

	for _, s := range text {
		// Invalid UTF-8 would be replaced on the way through JSON, a NUL cannot
		// be handed to a process, and encoding/json escapes the two separators
		// where RFC 8785 does not.
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\u2028\u2029") {
			return fmt.Errorf("%q: a NUL, a line separator or no UTF-8", s)
		}
	}

	return nil
}
