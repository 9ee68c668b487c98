// Package sbom lists what a Go binary was made of, in the two usual formats:
// CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/) and SPDX 2.3
// (https://spdx.github.io/spdx-spec/v2.3/), both as JSON.
//
// The only source is the build information that the linker stored in the binary
// (see runtime/debug.BuildInfo). So the list is of what was linked, not of what a go.mod asks for.
// Equal bytes and an equal [Binary] give equal documents. No clock is in them, and their serial
// number is a digest of the rest.
//
// # What the documents say
//
//   - The binary: name, version, SHA-256, path of its main package, and every
//     build setting (GOOS, CGO_ENABLED, -tags, vcs.revision and the rest).
//   - The main module, and every module that packages were linked from, with its version and its
//     h1: hash. A module without a version was built from a folder: "(devel)" in the build
//     information.
//   - A replaced module is listed as what was built, its replacement. What was replaced is a
//     property. If a folder replaced it, it keeps its name and has neither version nor package
//     URL, because nobody published that.
//   - The standard library ("stdlib") and the toolchain ("toolchain"). These are their names in
//     the Go vulnerability database (https://go.dev/doc/security/vuln/database). Scanners find
//     by them what is known. They do not find a library that is called "std"
//     (https://github.com/golang/go/issues/71567). The toolchain was used to build the binary
//     and is no part of it.
//
// The h1: hash is the SHA-256 of a list of the hashes of a module's files
// (golang.org/x/mod/sumdb/dirhash). It is not given as a hash of the component, since no file has
// it. CycloneDX has it as the property golang:h1, SPDX as an external reference of the type
// golang-h1.
//
// # What they do not say
//
// Build information has a flat list. The binary depends on each module of it. Nobody knows which
// module needs which, so the documents do not say it: CycloneDX leaves the modules out of its graph
// and calls its completeness "unknown".
//
// The list of the binary itself is "complete" if the gc compiler built a main module without cgo.
// Otherwise it is "unknown", since C code leaves no trace in build information. In SPDX the binary
// depends on NOASSERTION too. That is about what was linked. Libraries of the operating system that
// are loaded when the binary starts are not in the list.
//
// Licences are unknown: absent in CycloneDX, NOASSERTION in SPDX.
//
// # Names of properties
//
// CycloneDX has them as properties, SPDX as annotations "name=value":
//
//	golang:package     import path of the binary's main package
//	golang:build:KEY   a build setting
//	golang:version     the toolchain's whole version, such as "go1.26.8"
//	golang:h1          the h1: hash of a module (CycloneDX only)
//	golang:replaces    path@version of the module that this one replaced
//	golang:folder      the folder that was built instead, as go.mod has it
//
// # Limits
//
// The binary is read as hostile input, see package inspect. Build information that the go command
// would not have written is an error. So is a version of more than 1024 bytes, which CycloneDX does
// not allow. Package inspect reads at most 1 MiB of build information, which makes documents of
// some 40 MB.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/inspect"
)

// Predicate types of in-toto statements whose predicate is such a document
// (https://github.com/in-toto/attestation/tree/main/spec/predicates).
const (
	CycloneDXPredicateType = "https://cyclonedx.org/bom"
	SPDXPredicateType      = "https://spdx.dev/Document/v2.3"
)

// Format is one of the two forms of a [Document].
type Format struct {
	// Suffix is what a file's name gets after that of the binary.
	Suffix        string
	PredicateType string
	Encode        func(*Document) ([]byte, error)
}

// Formats are all formats that a Document can be written in.
var Formats = []Format{
	{".cdx.json", CycloneDXPredicateType, (*Document).CycloneDX},
	{".spdx.json", SPDXPredicateType, (*Document).SPDX},
}

// ErrNoBuildInfo is what [New] returns for a file that has no build information. Go did not link
// it, or not with modules, or package inspect does not read its format (WebAssembly).
var ErrNoBuildInfo = errors.New("no Go build information")

// Binary is what the caller knows of a binary.
type Binary struct {
	// Name is the file's name.
	Name string
	// Version is the release's, in any form. It may be empty.
	Version string
	// Digest and Size are those of the file.
	Digest artifact.Digest
	// Size is in bytes.
	Size int64
	// Time is the time of both documents, in seconds. It is that of the commit.
	Time time.Time
	// Tool is the version of twice, which the documents name as their tool. It may be empty.
	Tool string
}

// Document is the list of one binary. [New] makes it.
type Document struct {
	binary    Binary
	goVersion string
	pkg       string
	settings  []debug.BuildSetting
	main      *component // nil if packages were built from files
	modules   []component
	complete  bool
}

// component is a module as it was built.
type component struct {
	// ref tells the components of a document apart.
	ref string
	// path and version are those of what was built. The version of a folder is empty.
	path, version string
	// folder is the path of the folder that replaced a module, or empty.
	folder string
	// h1 is the h1: hash, or empty.
	h1 string
	// replaces is path@version of the module that this one replaced, or empty.
	replaces string
}

// maxVersion is the longest version that CycloneDX allows, in bytes rather than characters.
const maxVersion = 1024

// New reads the build information of the binary in r. It returns [ErrNoBuildInfo] if there is none,
// and another error if r cannot be read, does not have b.Digest, or has malformed build
// information.
func New(r io.ReaderAt, b Binary) (*Document, error) {
	d, err := newDocument(r, b)
	if err != nil {
		return nil, fmt.Errorf("sbom of %q: %w", b.Name, err)
	}
	return d, nil
}

// newDocument is New with errors that do not name the binary.
func newDocument(r io.ReaderAt, b Binary) (*Document, error) {
	if err := b.checkFields(); err != nil {
		return nil, err
	}

	// The list is about the bytes of the digest, so nothing else is read.
	hash := artifact.NewHasher(io.Discard)
	if n, err := io.Copy(hash, io.NewSectionReader(r, 0, b.Size)); err != nil {
		return nil, err
	} else if n != b.Size || hash.Digest() != b.Digest {
		return nil, fmt.Errorf("it is not the file of %s", b.Digest)
	}

	file, err := inspect.Open(r, b.Size)
	if errors.Is(err, inspect.ErrFormat) {
		return nil, fmt.Errorf("%w: %w", ErrNoBuildInfo, err)
	} else if err != nil {
		return nil, err
	}

	info, err := file.BuildInfo()
	if errors.Is(err, inspect.ErrNoBuildInfo) {
		return nil, ErrNoBuildInfo
	} else if err != nil {
		return nil, err
	}
	if len(info.Lines) == 0 {
		return nil, fmt.Errorf("%w: it was not built with modules", ErrNoBuildInfo)
	}
	return parse(b, info.GoVersion, strings.Join(info.Lines, "\n")+"\n")
}

// checkFields returns an error if a document could not hold what the caller says.
func (b Binary) checkFields() error {
	for _, s := range []string{b.Name, b.Version, b.Tool} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q: not UTF-8", s)
		}
	}

	_, err := artifact.ParseDigest(string(b.Digest))
	switch {
	case err != nil:
		return err
	case b.Name == "":
		return errors.New("it has no name")
	case len(b.Version) > maxVersion || len(b.Tool) > maxVersion:
		return fmt.Errorf("a version of more than %d bytes", maxVersion)
	case b.Size < 0:
		return fmt.Errorf("size %d", b.Size)
	case b.Time.IsZero() || b.Time.UTC().Year() < 0 || b.Time.UTC().Year() > 9999:
		return fmt.Errorf("time %v: want the commit's", b.Time)
	}
	return nil
}

// parse makes the list from the two strings of build information: the version of the toolchain,
// and the text that debug.ParseBuildInfo reads.
func parse(b Binary, goVersion, text string) (*Document, error) {
	if goVersion == "" || len(goVersion) > maxVersion || !utf8.ValidString(goVersion) || !utf8.ValidString(text) {
		return nil, fmt.Errorf("build information: no Go version, one of more than %d bytes, or not UTF-8", maxVersion)
	}

	info, err := debug.ParseBuildInfo(text)
	if err != nil {
		return nil, err // which says what it is about
	}

	// ParseBuildInfo skips lines that it does not know. Of lines that should be there once, it
	// keeps the last.
	if info.String() != text {
		return nil, errors.New("build information: not as the go command writes it")
	}

	d := &Document{binary: b, goVersion: goVersion, pkg: info.Path, settings: info.Settings}
	// The binaries of the Go distribution have no main module. They do not list what was vendored
	// for them.
	d.complete = info.Main.Path != "" && setting(info, "-compiler") == "gc" && setting(info, "CGO_ENABLED") == "0"
	if info.Main.Path != "" {
		c, err := newComponent(&info.Main)
		if err != nil {
			return nil, fmt.Errorf("build information: main module: %w", err)
		}
		c.ref = "main"
		d.main = &c
	}

	seen := map[string]bool{}
	for _, m := range info.Deps {
		c, err := newComponent(m)
		if err == nil && seen[m.Path] {
			err = errors.New("it is there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("build information: module %q: %w", m.Path, err)
		}
		seen[m.Path] = true
		d.modules = append(d.modules, c)
	}

	return d, nil
}

// setting returns the value of a build setting. It is empty if the setting is not there, or is
// there twice with different values.
func setting(info *debug.BuildInfo, key string) string {
	value, found := "", false
	for _, s := range info.Settings {
		if s.Key == key {
			if found && s.Value != value {
				return ""
			}
			value, found = s.Value, true
		}
	}
	return value
}

// newComponent returns a module of build information as a component.
func newComponent(m *debug.Module) (component, error) {
	if err := module.CheckImportPath(m.Path); err != nil {
		return component{}, err
	}

	// A path has no @, so this is as unique as the path.
	c := component{ref: m.Path + "@" + m.Version}
	built := m
	if m.Replace != nil {
		c.replaces = m.Path + "@" + m.Version
		built = m.Replace
	}

	if _, err := version(m.Version); err != nil {
		return component{}, err
	}
	var err error
	if c.version, err = version(built.Version); err != nil {
		return component{}, err
	}

	// A folder has no module path, so the module keeps the one that it replaces.
	c.path = built.Path
	if m.Replace != nil && c.version == "" {
		c.path, c.folder = m.Path, built.Path
	} else if err := module.CheckImportPath(c.path); err != nil {
		return component{}, err
	}

	if c.h1, err = h1(built.Sum); err != nil {
		return component{}, err
	}
	return c, nil
}

// version returns a version as modules have it. It is empty for a module that was built from a
// folder.
func version(v string) (string, error) {
	if v == "" || v == "(devel)" {
		return "", nil
	}
	if !semver.IsValid(v) || len(v) > maxVersion {
		return "", fmt.Errorf("version %q: not a version of a module", v)
	}
	return v, nil
}

// release returns the number of a Go version, without experiments: 1.26.8 of
// "go1.26.8 X:nodwarf5".
func release(goVersion string) string {
	v, _, _ := strings.Cut(goVersion, " X:")
	v, _, _ = strings.Cut(v, "-X:")
	return strings.TrimPrefix(v, "go")
}

// property is a name and a value. The package comment lists the names.
type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// binaryProperties returns the properties of the binary.
func (d *Document) binaryProperties() []property {
	list := []property{{"golang:package", d.pkg}}
	for _, s := range d.settings {
		list = append(list, property{"golang:build:" + s.Key, s.Value})
	}
	return list
}

// goProperties returns the properties of the standard library and the toolchain.
func (d *Document) goProperties() []property { return []property{{"golang:version", d.goVersion}} }

// properties returns what is said of a replaced module.
func (c component) properties() []property {
	var list []property
	if c.replaces != "" {
		list = append(list, property{"golang:replaces", c.replaces})
	}
	if c.folder != "" {
		list = append(list, property{"golang:folder", c.folder})
	}
	return list
}

// components returns the modules, the main module first.
func (d *Document) components() []component {
	if d.main == nil {
		return d.modules
	}
	return append([]component{*d.main}, d.modules...)
}

// Descriptions of what is no module.
const (
	stdlibText    = "The Go standard library and runtime."
	toolchainText = "The Go compiler and linker, which built the binary and are no part of it."
)

// time returns the time of the documents in the form that both formats ask for.
func (d *Document) time() string { return d.binary.Time.UTC().Format("2006-01-02T15:04:05Z") }

// serial makes a UUID from a document that has none yet. It is the beginning of the SHA-256, as a
// UUID of version 8, whose content is free
// (https://www.rfc-editor.org/rfc/rfc9562#section-5.8). So only equal documents have equal UUIDs.
func serial(document []byte) string {
	u := sha256.Sum256(document)
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	h := hex.EncodeToString(u[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// encode returns JSON, indented and with a final newline.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
