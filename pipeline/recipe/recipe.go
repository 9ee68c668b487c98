// Package recipe describes one build of one binary, completely.
//
// A [Recipe] holds everything that determines the bytes of a binary and nothing
// else: the source, the modules with their sums, the toolchain, the argument
// list and the environment of the go command. What must not matter (paths, the
// user, the time zone, the number of processors) is no part of it; package
// build chooses that anew for every pass. So equal recipes must give equal
// bytes, on any host, and the double build is the test of that sentence.
//
// # Encoding and digest
//
// [Recipe.Encode] gives the canonical form: JSON after RFC 8785 (members in
// order of their names, no white space). Every list has one order: Env and
// Modules are sorted, Argv and Hooks are as they are run. The digest is the
// SHA-256 of that encoding. There is nothing in it that depends on the host
// where it was computed, with the two exceptions that are facts about the
// build itself: an unpublished toolchain (Toolchain.Sum) and a C compiler
// (Compiler), which exist on that host alone.
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
	// Argv is the go command line, beginning with "go". The executor adds what
	// has no influence on the bytes: -o, -p and -debug-actiongraph.
	Argv []string `json:"argv"`
	// Binary is the file name of the result, with the target's suffix.
	Binary string `json:"binary"`
	// Compiler identifies the C compiler of a cgo build, and is empty otherwise.
	Compiler string `json:"compiler,omitempty"`
	// Env is the complete environment that decides about bytes, as sorted
	// NAME=value pairs; see [Known] for every variable and why it is here.
	Env []string `json:"env"`
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
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("recipe for %s %s: %w", r.Target, r.Binary, err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Decode reads the canonical form and nothing else: unknown members, another
// order and white space are errors.
func Decode(data []byte) (Recipe, error) {
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

// check holds r to what this package promises of every recipe.
func (r Recipe) check() error {
	switch {
	case r.Schema != Schema:
		return fmt.Errorf("schema %q: want %q", r.Schema, Schema)
	case len(r.Argv) < 3 || r.Argv[0] != "go" || r.Argv[1] != "build":
		return fmt.Errorf("argv %q: want a go build command", r.Argv)
	case r.Binary == "" || strings.ContainsAny(r.Binary, `/\:`) || strings.HasPrefix(r.Binary, "."):
		return fmt.Errorf("binary %q: want a file name", r.Binary)
	case (r.Source.Commit == "") == (r.Source.Module == ""):
		return fmt.Errorf("source: want either a commit or a module")
	case !slices.IsSorted(r.Env):
		return fmt.Errorf("env: not sorted")
	case !slices.IsSortedFunc(r.Modules, func(a, b Module) int { return strings.Compare(a.Path, b.Path) }):
		return fmt.Errorf("modules: not sorted by path")
	}
	seen := map[string]bool{}
	for _, kv := range r.Env {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || seen[name] {
			return fmt.Errorf("env %q: want one NAME=value a variable", kv)
		}
		seen[name] = true
	}
	for _, s := range slices.Concat(append([][]string{r.Argv, r.Env}, r.Hooks...)...) {
		// Invalid UTF-8 would be replaced on the way through JSON, a NUL cannot
		// be handed to a process, and encoding/json escapes the two separators
		// where RFC 8785 does not.
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\u2028\u2029") {
			return fmt.Errorf("%q: not valid UTF-8 text", s)
		}
	}
	return nil
}
