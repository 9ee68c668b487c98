// Package report writes down what a run did: the release record for programs
// and the narration for people.
//
// # release.json
//
// A [Record] is one JSON document whose format is named by its schema member
// and described by release.schema.json ([Schema]; JSON Schema draft 2020-12).
// Within a schema version members may be added and are never removed or given
// another meaning. All that may differ when the same release is made again
// elsewhere is in the member "varying"; everything else is the same, byte for
// byte, if the same version of twice makes it.
package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/build"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// SchemaName is the value of Record.Schema that this package writes.
const SchemaName = "twice.release/v1"

//go:embed release.schema.json
var schema []byte

// Schema returns the JSON Schema of release.json.
func Schema() []byte { return bytes.Clone(schema) }

// Record is what release.json says.
type Record struct {
	Schema  string `json:"schema"`
	Project string `json:"project"`
	Version string `json:"version"`
	// Tag is the git tag that the version comes from.
	Tag string `json:"tag,omitempty"`
	// Snapshot tells that this is no release: it was asked for as a snapshot,
	// or its commit has no version tag.
	Snapshot  bool             `json:"snapshot"`
	Tool      Tool             `json:"tool"`
	Source    Source           `json:"source"`
	Toolchain recipe.Toolchain `json:"toolchain"`
	// Verdict is reproduced if every binary and file is, differs if one
	// differs, and undetermined otherwise.
	Verdict  compare.Verdict `json:"verdict"`
	Binaries []Binary        `json:"binaries"`
	// Files are files of the source tree that archives hold.
	Files []File `json:"files"`
	// Artifacts are the files of the release, by their paths below dist.
	Artifacts []artifact.Artifact `json:"artifacts"`
	Varying   Varying             `json:"varying"`
}

// Tool is the twice that made the record. The compressors of the archives come
// with it, so equal archives need an equal one.
type Tool struct {
	Version string `json:"version"`
	// Go is the release of Go that it was built with.
	Go string `json:"go"`
}

// Source is what was built.
type Source struct {
	recipe.Source
	// Repository is the URL of the repository's origin, without credentials.
	Repository string `json:"repository,omitempty"`
	// Time is the commit's (for a module: the version's), in UTC.
	Time time.Time `json:"time"`
	// Dirty tells that there were uncommitted changes, which are in Tree.
	Dirty bool `json:"dirty"`
	// ConfigFile is the release file, as a path in the source tree where it is
	// part of it, and Config the digest of its bytes.
	ConfigFile string          `json:"configFile"`
	Config     artifact.Digest `json:"config"`
}

// Binary is one binary and what the two passes made of it.
type Binary struct {
	Name   string        `json:"name"`
	Target matrix.Target `json:"target"`
	// RecipeDigest is that of the canonical encoding of Recipe.
	RecipeDigest artifact.Digest `json:"recipeDigest"`
	Recipe       recipe.Recipe   `json:"recipe"`
	Stamps       []Stamp         `json:"stamps,omitempty"`
	Verdict      compare.Verdict `json:"verdict"`
	// Reason says why the verdict is not reproduced.
	Reason string `json:"reason,omitempty"`
	// A and B are what the passes built; absent where a pass built nothing.
	A artifact.Digest `json:"a,omitempty"`
	B artifact.Digest `json:"b,omitempty"`
	// Size is that of A in bytes.
	Size        int64                `json:"size,omitempty"`
	Explanation *compare.Explanation `json:"explanation,omitempty"`
	// Compilations compares the action graphs of the passes for the target,
	// which all its binaries share.
	Compilations compare.GraphResult `json:"compilations"`
}

// Stamp is a string variable that the linker set.
type Stamp struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// File is a file of the source tree, as the hooks of each pass left it.
type File struct {
	Name    string          `json:"name"`
	Verdict compare.Verdict `json:"verdict"`
	Reason  string          `json:"reason,omitempty"`
	A       artifact.Digest `json:"a,omitempty"`
	B       artifact.Digest `json:"b,omitempty"`
}

// Varying is what may differ when the same release is made elsewhere.
type Varying struct {
	Host Host `json:"host"`
	// Toolchain is the Go distribution of this host.
	Toolchain Toolchain `json:"toolchain"`
	// Modules says where trust in the modules' hashes comes from, beside go.sum.
	Modules     Modules           `json:"modules"`
	Confinement build.Confinement `json:"confinement"`
	// Variations are all things that the passes are meant to differ in, those
	// included that could not be varied here.
	Variations []build.Variation `json:"variations"`
	Started    time.Time         `json:"started"`
	Finished   time.Time         `json:"finished"`
	Jobs       []Job             `json:"jobs"`
}

// Host is the machine.
type Host struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
}

// Toolchain is where the Go distribution of a host came from.
type Toolchain struct {
	// From is installed, cache or downloaded.
	From string `json:"from"`
	// Published tells that its hash is that of the checksum database.
	Published bool `json:"published"`
	// Sum is its h1: hash.
	Sum string `json:"sum"`
	// GoEnv is an edited line of its go.env, whose defaults do not count here.
	GoEnv string `json:"goEnv,omitempty"`
}

// Modules is how modules were checked.
type Modules struct {
	Vendored bool   `json:"vendored"`
	SumDB    string `json:"sumdb,omitempty"`
	NoSumDB  string `json:"noSumdb,omitempty"`
}

// Job is what building one target in one pass took.
type Job struct {
	Target matrix.Target `json:"target"`
	Pass   build.Pass    `json:"pass"`
	Start  time.Time     `json:"start"`
	// Seconds is wall-clock time, CPUSeconds processor time of all processes.
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
}

// Encode returns the document, indented and with a final newline.
func (r *Record) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("release record: %w", err)
	}
	return b.Bytes(), nil
}

// Decode reads a document of this schema version; unknown members are errors.
func Decode(data []byte) (*Record, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r Record
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("release record: %w", err)
	}
	if r.Schema != SchemaName {
		return nil, fmt.Errorf("release record: schema %q: want %q", r.Schema, SchemaName)
	}
	return &r, nil
}
