// Package sbom lists what a Go binary was made of, in the two usual formats:
// CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/) and SPDX 2.3
// (https://spdx.github.io/spdx-spec/v2.3/), both as JSON.
//
// The only source is the build information that the linker stored in the binary
// (see runtime/debug.BuildInfo), so the list is of what was linked, not of what a
// go.mod asks for. Equal bytes and an equal [Binary] give equal documents: there
// is no clock in them, and their serial number is a digest of the rest.
//
// # What the documents say
//
//   - The binary: name, version, SHA-256, path of its main package, and every
//     build setting (GOOS, CGO_ENABLED, -tags, vcs.revision and the rest).
//   - The main module, and every module that packages were linked from, with
//     its version and its h1: hash. A module without a version is one that was
//     built from a folder: "(devel)" in the build information.
//   - A replaced module is listed as what was built, its replacement; what was
//     replaced is a property. If a folder replaced it, it keeps its name and has
//     neither version nor package URL, because nobody published that.
//   - The standard library ("stdlib") and the toolchain ("toolchain"): these are
//     the names that the Go vulnerability database has for them
//     (https://go.dev/doc/security/vuln/database), and by which scanners find
//     what is known about them: they do not find a library that is called "std"
//     (https://github.com/golang/go/issues/71567). The toolchain was used to
//     build the binary and is no part of it.
//
// The h1: hash is the SHA-256 of a list of the hashes of a module's files
// (golang.org/x/mod/sumdb/dirhash) and of no file that anybody could hash, so it
// is not given as a hash of the component: CycloneDX has it as the property
// golang:h1, SPDX as an external reference of the type golang-h1.
//
// # What they do not say
//
// Build information has a flat list. The binary depends on each module of it;
// which module needs which is not known and not made up: CycloneDX leaves the
// modules out of its graph and calls its completeness "unknown". The binary's
// own list is "complete" where the gc compiler built a main module without cgo,
// and "unknown" otherwise, since C code leaves no trace in build information (in
// SPDX: the binary depends on NOASSERTION too). That is about what was linked:
// libraries of the operating system that are loaded when the binary starts are
// not in the list. Licences are unknown: absent in CycloneDX, NOASSERTION in SPDX.
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
// The binary is read as hostile input, see package inspect. Build information
// that the go command would not have written is an error, and so is a version of
// more than 1024 bytes, which CycloneDX does not allow. The most build information
// that package inspect reads, 1 MiB, makes documents of some 40 MB.
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

// ErrNoBuildInfo is what [New] returns for a file that has no build information:
// one that Go did not link, or not with modules, or of a format that package
// inspect does not read (WebAssembly).
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
	// Time is the time of both documents, in seconds: the commit's.
	Time time.Time
	// Tool is the version of twice, which the documents name as their maker. It
	// may be empty.
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
	// path and version are those of what was built; version is empty if it was
	// a folder.
	path, version string
	// folder is the path of that folder, for a module that one replaced.
	folder string
	// h1 is the h1: hash, or empty.
	h1 string
	// replaces is path@version of the module that this one replaced, or empty.
	replaces string
}

// maxVersion is CycloneDX's bound of a version, in bytes rather than characters.
const maxVersion = 1024

// New reads the build information of the binary in r and holds r's content
// against b.Digest. An error is [ErrNoBuildInfo], or about a file that cannot be
// read, is not the one of the digest, or has malformed build information.
func New(r io.ReaderAt, b Binary) (*Document, error) {
	d, err := newDocument(r, b)
	if err != nil {
		return nil, fmt.Errorf("sbom of %q: %w", b.Name, err)
	}
	return d, nil
}

func newDocument(r io.ReaderAt, b Binary) (*Document, error) {
	if err := b.checkFields(); err != nil {
		return nil, err
	}

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

// parse makes the list from the two strings of build information: the
// toolchain's version, and the text that debug.ParseBuildInfo reads.
func parse(b Binary, goVersion, text string) (*Document, error) {
	if goVersion == "" || len(goVersion) > maxVersion || !utf8.ValidString(goVersion) || !utf8.ValidString(text) {
		return nil, fmt.Errorf("build information: no Go version, one of more than %d bytes, or not UTF-8", maxVersion)
	}
	info, err := debug.ParseBuildInfo(text)
	if err != nil {
		return nil, err // which says what it is about
	}
	// ParseBuildInfo skips lines that it does not know and takes the last of
	// those that may be there once.
	if info.String() != text {
		return nil, errors.New("build information: not as the go command writes it")
	}
	d := &Document{binary: b, goVersion: goVersion, pkg: info.Path, settings: info.Settings}
	// The binaries of the Go distribution do not list what was vendored for
	// them; they have no main module.
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

// setting returns the value of a build setting, and nothing for one that is
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

// version returns a version as modules have it, and an empty one for a module
// that was built from a folder.
func version(v string) (string, error) {
	if v == "" || v == "(devel)" {
		return "", nil
	}
	if !semver.IsValid(v) || len(v) > maxVersion {
		return "", fmt.Errorf("version %q: not a version of a module", v)
	}
	return v, nil
}

// release returns the number of a Go version without the experiments that it was
// built with: 1.26.8 of "go1.26.8 X:nodwarf5".
func release(goVersion string) string {
	v, _, _ := strings.Cut(goVersion, " X:")
	v, _, _ = strings.Cut(v, "-X:")
	return strings.TrimPrefix(v, "go")
}

// property is a name and a value, see the package comment.
type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (d *Document) binaryProperties() []property {
	list := []property{{"golang:package", d.pkg}}
	for _, s := range d.settings {
		list = append(list, property{"golang:build:" + s.Key, s.Value})
	}
	return list
}

func (d *Document) goProperties() []property { return []property{{"golang:version", d.goVersion}} }

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

const (
	stdlibText    = "The Go standard library and runtime."
	toolchainText = "The Go compiler and linker, which built the binary and are no part of it."
)

// time is the documents' time as both formats want it.
func (d *Document) time() string { return d.binary.Time.UTC().Format("2006-01-02T15:04:05Z") }

// serial makes a UUID of a document without one: of version 8, whose content is
// the maker's choice (https://www.rfc-editor.org/rfc/rfc9562#section-5.8), here
// the beginning of the SHA-256. So two documents have the same only if they are
// the same.
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
