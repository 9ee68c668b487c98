// Package policy holds statements against what somebody expects of them.
//
// # File
//
// A policy is a small TOML file. Every key is an expectation, every key may be
// left out, and one at least must be there:
//
//	# Any of these builders. A workflow without a ref is each release of it.
//	builder = ["https://github.com/twicebuild/twice/blob/main/configs/buildtype/v1.md#local"]
//
//	[source]
//	repository = "https://github.com/FiloSottile/age"
//	tag = "v1.3.2"
//	commit = "<40 or 64 hexadecimal digits>"
//	branch = "main"                     # what was built, or where the tag was
//	module = "filippo.io/age@v1.3.2"    # instead, for what was built from the module proxy
//
//	[build]
//	workflow = ".github/workflows/release.yml" # the CI job that built it
//	toolchain = "go1.26.5"              # at least; "=go1.26.5" is just this one
//	snapshot = false                    # a release, no snapshot
//	partial = true                      # a release of some targets alone will do
//	double = true                       # the double build passed
//	variations = ["source path", "user"] # and these were varied
//
//	[rebuilds]
//	atLeast = 2                         # of these rebuilt it, and got the same
//	by = [
//	    { name = "ada", key = "ada.pub" },
//	    { name = "ci", identity = "https://ci.example.com/rebuild", issuer = "https://issuer.example.com" },
//	]
//	module = "filippo.io/age@v1.3.2"    # from this source
//	reproduced = true                   # byte for byte
//
//	[rebuilds.allow]                    # of what the publisher chose
//	-X = ["main.version=v1.3.2", "main.commit"]
//	-tags = ["netgo", "osusergo"]
//	-gcflags = []
//
// Some keys allow something instead: rebuilds.allow, and build.partial, without which a
// part of a release, made with --target, is refused.
//
// [Policy] says what each of them means. Reading is strict: an unknown key, a
// wrong type and a value that cannot be meant are errors, all of them told at
// once with their lines. Only lists of [rebuilds.allow] may be empty.
package policy

import (
	"bytes"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// Policy is what somebody expects. A field with its zero value expects nothing.
type Policy struct {
	// Builders are URIs. The builder.id of the provenance is one of them (builder). One of a
	// workflow without @REF is met by each release of the workflow: @refs/tags/vX.Y.Z. A
	// certificate for a workflow vouches for that workflow alone.
	Builders []string
	// Repository is the address of the git repository that was built (source.repository). Addresses
	// are the same if host and path are. The scheme, a user, and a final slash or .git do not
	// matter.
	Repository string
	// Tag is the git tag that was built, exactly (source.tag), and Commit the full
	// name of the commit (source.commit). Neither is met by a tree with
	// uncommitted changes.
	Tag, Commit string
	// Branch is the git branch that was built or, of a tag, that the event names which started the
	// build (source.branch). Provenance of ours has none.
	Branch string
	// Workflow is the path, in the repository, of the file that defines the CI job which built it
	// (build.workflow). Provenance of ours has none.
	Workflow string
	// Module is path@version of the module that was built (source.module).
	Module string
	// Toolchain is the oldest release of Go that may have built it, such as go1.26.5, or the only
	// one, such as =go1.26.5 (build.toolchain). Only a published toolchain without experiments
	// (GOEXPERIMENT) meets it: the name of another one says nothing.
	Toolchain string
	// NoSnapshot: it is a release (build.snapshot = false).
	NoSnapshot bool
	// Partial: it may be from a release of some targets of the release file alone (build.partial =
	// true). Without it none may, unless rebuilds are all that is expected.
	Partial bool
	// Double: it was built twice, and every binary and file agreed (build.double
	// = true).
	Double bool
	// Variations are names of things that were seen to differ between the two
	// builds (build.variations), as in release.json.
	Variations []string
	// Rebuilds is what people who are no part of the release have to have found (rebuilds).
	Rebuilds *Rebuilds
}

// Rebuilds expects that people have rebuilt the file from its source.
type Rebuilds struct {
	// AtLeast is how many of By have to have rebuilt it (rebuilds.atLeast). If two of them are one
	// signer they count once. The signer whose word the rest of the policy rests on does not count.
	// If one of By says that the file differs, no number of others outweighs that.
	AtLeast int
	// By are those whose word counts (rebuilds.by).
	By []Rebuilder
	// Module is path@version of the module that it has to be rebuilt from (rebuilds.module), as the
	// module proxy has it: a repository may have any tags. If it is empty, any source that gives the
	// file will do.
	Module string
	// Reproduced: it is not enough that the file is equivalent after a
	// normalization (rebuilds.reproduced = true).
	Reproduced bool
	// Allow bounds what the publisher chose and the source does not force (rebuilds.allow). By
	// setting, as [recipe.Choice] has it, it has the patterns of the values that are allowed. A
	// star stands for any text. Of -tags and GOEXPERIMENT each element has to match a pattern, of
	// -ldflags each flag (with its value behind a "=", and without -X), of files each file, and then
	// each pattern has to match one, of the others the whole value. For -X the pattern is the name
	// of a variable, with any value, or "name=value".
	//
	// If a setting is not in Allow it may still be one that changes nothing that the program does:
	// of -ldflags -s, -w, -buildid, -B and -extldflags=-static; -buildmode=exe and pie; -pgo=off;
	// -trimpath; CGO_ENABLED; the level of the processor (GOAMD64 and its kin); the stamp of
	// version control; where the folders of the build were. Nothing else may be there: no -X,
	// -tags, -gcflags, -asmflags, GOEXPERIMENT, GOFIPS140, and no setting that this version does
	// not know. One rebuilder who says that the file takes such a setting is enough to refuse it.
	Allow map[string][]string
}

// Rebuilder is somebody whose statements about rebuilds count. It has either a key, or an identity
// and its issuer.
type Rebuilder struct {
	// Name is how messages call the rebuilder. No two have the same.
	Name string
	// Key is the file of a public key, or the reference of one in a KMS.
	Key string
	// Identity is the one that a certificate must be for, exactly: an email address, or the URL of
	// a CI job's definition. Issuer is the URL of the OIDC issuer that vouched for it.
	Identity, Issuer string
	// TrustedRoot is the file that describes a Sigstore instance: the one that an identity is of,
	// or the one that has to have logged what a key signed. It may be empty.
	TrustedRoot string
}

const (
	// MaxSize bounds a policy file, in bytes.
	MaxSize  = 16 << 10
	maxLines = 500
)

// Parse reads a policy file. Errors call it name. They are of the type [tomlfile.Errors], like
// those of a release file: everything that is wrong, in the order of lines.
func Parse(name string, data []byte) (*Policy, error) {
	r := reader{file: name}
	if len(data) > MaxSize || bytes.Count(data, []byte("\n")) > maxLines {
		return nil, tomlfile.Errors{{File: name, Line: 1, Msg: fmt.Sprintf("more than %d bytes or %d lines", MaxSize, maxLines)}}
	}
	tree, err := tomlfile.Decode(name, string(data))
	if err != nil {
		return nil, err
	}
	// What is behind a limit of the index has the line of what is around it.
	r.lines, _ = tomlfile.ReadIndex(string(data))

	p := &Policy{}
	r.table(nil, tree, p.readers())

	// Keys that could not be read would be called missing.
	if p.Rebuilds != nil && len(r.list) == 0 {
		r.checkRebuilds(p.Rebuilds)
	}

	if len(tree) == 0 || len(r.list) == 0 && p.isEmpty() {
		r.addError(nil, "write builder, or a key of [source], [build] or [rebuilds]", "nothing is expected, so anything would pass")
	}
	if len(r.list) > 0 {
		slices.SortStableFunc(r.list, func(a, b *tomlfile.Error) int { return a.Line - b.Line })
		return nil, r.list
	}
	return p, nil
}

// isEmpty reports whether nothing is expected.
func (p *Policy) isEmpty() bool { return p.Rebuilds == nil && len(p.expectations()) == 0 }

// OnlyRebuilds reports whether rebuilds are all that is expected, so that it does not matter who
// published the file.
func (p *Policy) OnlyRebuilds() bool { return p.Rebuilds != nil && len(p.expectations()) == 0 }

// checkRebuilds checks the keys of [rebuilds] against each other.
func (r *reader) checkRebuilds(b *Rebuilds) {
	at := []string{"rebuilds"}
	switch {
	case b.AtLeast == 0:
		r.addError(at, "how many of them have to have rebuilt it?", "without atLeast")
	case len(b.By) == 0:
		r.addError(at, `whose word counts? Such as by = [{ name = "ada", key = "ada.pub" }]`, "without by")
	case b.AtLeast > len(b.By):
		r.addError(append(at, "atLeast"), "", "%d, and only %d in by: it can never be met", b.AtLeast, len(b.By))
	}
}

// readers returns a function for each key, which reads its value. A key that begins with a table's
// name and a dot belongs to that table.
func (p *Policy) readers() map[string]func(any) error {
	return p.addAllowReaders(map[string]func(any) error{
		"builder": func(v any) error {
			return readList(v, &p.Builders, intoto.CheckURI)
		},
		"source.repository": func(v any) error {
			return readText(v, &p.Repository, func(s string) error { _, err := repositoryOf(s); return err })
		},
		"source.tag":    func(v any) error { return readText(v, &p.Tag, checkRef("tag", "v1.2.3")) },
		"source.branch": func(v any) error { return readText(v, &p.Branch, checkRef("branch", "main")) },
		"source.commit": func(v any) error {
			return readText(v, &p.Commit, func(s string) error {
				if len(s) != 40 && len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
					return fmt.Errorf("%q: want a full commit, of 40 or 64 lower-case hexadecimal digits", s)
				}
				return nil
			})
		},
		"source.module": func(v any) error {
			return readText(v, &p.Module, checkModule)
		},
		"build.workflow": func(v any) error {
			return readText(v, &p.Workflow, func(s string) error {
				if !fs.ValidPath(s) || strings.Contains(s, "@") {
					return fmt.Errorf("%q: want the path of a file in the repository, such as .github/workflows/release.yml", s)
				}
				return nil
			})
		},
		"build.toolchain": func(v any) error {
			return readText(v, &p.Toolchain, func(s string) error {
				if !isRelease(strings.TrimPrefix(s, "=")) {
					return fmt.Errorf("%q: want a version of Go, such as go1.26.5", s)
				}
				return nil
			})
		},
		"build.snapshot": func(v any) error { return readFlag(false, v, &p.NoSnapshot) },
		"build.partial":  func(v any) error { return readFlag(true, v, &p.Partial) },
		"build.double":   func(v any) error { return readFlag(true, v, &p.Double) },
		"build.variations": func(v any) error {
			return readList(v, &p.Variations, func(string) error { return nil })
		},
		"rebuilds.atLeast": func(v any) error {
			n, ok := v.(int64)
			if !ok || n < 1 || n > maxRebuilders {
				return fmt.Errorf("want a number from 1 to %d", maxRebuilders)
			}
			p.rebuilds().AtLeast = int(n)
			return nil
		},
		"rebuilds.by": func(v any) error { return readRebuilders(v, &p.rebuilds().By) },
		"rebuilds.module": func(v any) error {
			return readText(v, &p.rebuilds().Module, checkModule)
		},
		"rebuilds.reproduced": func(v any) error { return readFlag(true, v, &p.rebuilds().Reproduced) },
	})
}

// checkRef returns a function that returns an error unless a text is the short name of a git ref of
// a kind, such as the example.
func checkRef(kind, example string) func(string) error {
	return func(s string) error {
		if strings.HasPrefix(s, "refs/") || strings.ContainsAny(s, " ~^:?*[\\") {
			return fmt.Errorf("%q: want the name of a %s, such as %s", s, kind, example)
		}
		return nil
	}
}

// isRelease reports whether v is the name of a release of Go. Package version accepts
// go1.26.5-mine, too, and takes it for the same.
func isRelease(v string) bool { return version.IsValid(v) && !strings.Contains(v, "-") }

// maxRebuilders bounds rebuilds.by.
const maxRebuilders = 100

// rebuilds returns p.Rebuilds. It is there as soon as one of its keys is.
func (p *Policy) rebuilds() *Rebuilds {
	if p.Rebuilds == nil {
		p.Rebuilds = &Rebuilds{}
	}
	return p.Rebuilds
}

// checkModule returns an error unless s is path@version of a module.
func checkModule(s string) error {
	path, version, _ := strings.Cut(s, "@")
	return module.Check(path, version)
}

// readFlag reads a boolean that expects something with one of its values. The other value could be
// misread as the contrary, so it is an error: the key is to be left out instead.
func readFlag(want bool, v any, to *bool) error {
	b, ok := v.(bool)
	switch {
	case !ok:
		return fmt.Errorf("want %t, not %T", want, v)
	case b != want:
		return fmt.Errorf("%t expects nothing: leave the key out", b)
	}
	*to = true
	return nil
}

// readText reads a string that is not empty, and checks it.
func readText(v any, to *string, check func(string) error) error {
	s, ok := v.(string)
	switch {
	case !ok:
		return fmt.Errorf("want a string, not %s", typeName(v))
	case s == "":
		return errors.New("empty: leave the key out if nothing is expected")
	}
	*to = s
	return check(s)
}

// readList reads a list of different strings, and checks each.
func readList(v any, to *[]string, check func(string) error) error {
	l, ok := v.([]any)
	switch {
	case !ok:
		return fmt.Errorf("want a list of strings, not %s", typeName(v))
	case len(l) == 0:
		return errors.New("empty: leave the key out if nothing is expected")
	}

	for _, e := range l {
		var s string
		if err := readText(e, &s, check); err != nil {
			return err
		}
		if slices.Contains(*to, s) {
			return fmt.Errorf("%q is there twice", s)
		}
		*to = append(*to, s)
	}
	return nil
}

// typeName returns the name of a value's type, as TOML has it.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return "a date or time"
}

// repositoryOf reduces the address of a repository to its host and path.
func repositoryOf(s string) (string, error) {
	s = strings.TrimPrefix(s, "git+")
	if !strings.Contains(s, "://") { // user@host:path, git's short form of ssh
		host, path, ok := strings.Cut(s, ":")
		if !ok {
			return "", fmt.Errorf("%q: want the address of a repository, such as https://example.com/project", s)
		}
		s = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}

	// Two addresses of one repository may differ in scheme, user and suffix.
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") == "" {
		return "", fmt.Errorf("%q: want the address of a repository, such as https://example.com/project", s)
	}
	// What is escaped stays so: a slash in a name is another one than between names.
	return strings.ToLower(u.Host) + "/" + strings.TrimSuffix(strings.Trim(u.EscapedPath(), "/"), ".git"), nil
}

// reader collects the faults of a file.
type reader struct {
	file  string
	lines *tomlfile.Index
	list  tomlfile.Errors
}

// table reads a table and the tables in it.
func (r *reader) table(path []string, tree map[string]any, keys map[string]func(any) error) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		here := append(slices.Clone(path), name)
		joined := strings.Join(here, ".")

		// A name with a dot in it is one key, and not a path of several.
		read := keys[joined]
		inner, isTable := tree[name].(map[string]any)
		holds := func(key string) bool { return strings.HasPrefix(key, joined+".") }

		switch {
		case read != nil && !strings.Contains(name, "."):
			if err := read(tree[name]); err != nil {
				r.addError(here, "", "%v", err)
			}
		case slices.ContainsFunc(slices.Collect(maps.Keys(keys)), holds) && isTable:
			r.table(here, inner, keys)
		case slices.ContainsFunc(slices.Collect(maps.Keys(keys)), holds):
			r.addError(here, "write ["+joined+"]", "want a table, not %s", typeName(tree[name]))
		default:
			r.addError(here, "the keys are "+strings.Join(knownKeys(keys, path), ", "), "unknown key")
		}
	}
}

// knownKeys returns the keys that a message about a table lists. Those of another table with many
// keys stand there as one.
func knownKeys(keys map[string]func(any) error, table []string) []string {
	const many = "rebuilds.allow"
	var list []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		name, in := strings.CutPrefix(key, many+".")
		inside := strings.HasPrefix(strings.Join(table, ".")+".", many+".")
		switch {
		case in && !inside:
			name = many
		case in != inside:
			continue
		}
		list = append(list, name)
	}
	return slices.Compact(list)
}

// addError adds a fault of a key.
func (r *reader) addError(key []string, hint, format string, args ...any) {
	path := ""
	for _, name := range key {
		path = tomlfile.Key(path, name)
	}
	r.list = append(r.list, &tomlfile.Error{File: r.file, Line: r.lines.Line(path), Key: toml.Key(key).String(), Msg: fmt.Sprintf(format, args...), Remedy: hint})
}
