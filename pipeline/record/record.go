// Package record holds the release record: what a run did, written down for programs.
//
// # release.json
//
// A [Record] is one JSON document. Its member schema names its format, and release.schema.json
// ([Schema]; JSON Schema draft 2020-12) describes it. Within a schema version members may be
// added. They are never removed, and their meaning never changes.
//
// The member "varying" holds all that may differ when the same release is made again elsewhere.
// Everything else is the same, byte for byte, if the same version of twice makes it. A record
// shows paths of the host only if builds were not reproduced, as text found in binaries.
package record

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// SchemaPrefix is how Record.Schema begins in every version of the format.
const SchemaPrefix = "twice.release/"

// SchemaName is the value of Record.Schema that this package writes.
const SchemaName = SchemaPrefix + "v1"

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
	// Snapshot tells that this is no release. The user asked for a snapshot; or the version
	// comes from tags, and HEAD has none; or there are uncommitted changes, the release file
	// included.
	Snapshot bool `json:"snapshot"`
	// Partial says which targets of the release file were not built. It is nil if all were.
	Partial *Partial `json:"partial,omitempty"`
	Tool    Tool     `json:"tool"`
	Source  Source   `json:"source"`
	// Epoch is the time of the files in archives, and SOURCE_DATE_EPOCH for hooks, in seconds
	// since 1970. It is that of Source.Time unless the user's environment set another.
	Epoch     int64            `json:"epoch"`
	Toolchain recipe.Toolchain `json:"toolchain"`
	// Verdict is reproduced if every binary and file is. It is differs if one differs, and
	// undetermined otherwise.
	Verdict  compare.Verdict `json:"verdict"`
	Binaries []Binary        `json:"binaries"`
	// Files are files of the source tree that archives and images hold.
	Files []File `json:"files"`
	// Artifacts are the files of the release, by their paths below dist.
	Artifacts []artifact.Artifact `json:"artifacts"`
	// Images are the OCI images in dist/oci. Bases are the images that some were added to.
	Images  []image.Image `json:"images,omitempty"`
	Bases   []image.Base  `json:"bases,omitempty"`
	Varying Varying       `json:"varying"`
}

// Tool is the twice that made the record. The compressors of the archives come with it, so equal
// archives need the same Tool.
type Tool struct {
	Version string `json:"version"`
	// Go is the release of Go that it was built with.
	Go string `json:"go"`
}

// Partial says that only some targets of the release file were built, those of the binaries.
type Partial struct {
	// LeftOut are all other targets, in the order of the release file.
	LeftOut []matrix.Target `json:"leftOut"`
}

// Describe says what was left out, and how many targets were built of how many in all.
func (p *Partial) Describe(built int) string {
	names := make([]string, len(p.LeftOut))
	for i, t := range p.LeftOut {
		names[i] = t.String()
	}

	const few = 5
	if n := len(names) - few; n > 1 {
		names = append(names[:few], fmt.Sprintf("%d more", n))
	}
	return fmt.Sprintf("%d of %d targets, without %s", built, built+len(p.LeftOut), strings.Join(names, ", "))
}

// Source is what was built.
type Source struct {
	recipe.Source
	// Time is the commit's (for a module: the version's), in UTC.
	Time time.Time `json:"time"`
	// Dirty tells that there were uncommitted changes, which are in Tree.
	Dirty bool `json:"dirty"`
	// ConfigFile is the path of the release file. If the file is part of the source tree, the
	// path is relative to the tree. Config is the digest of its bytes.
	ConfigFile string          `json:"configFile"`
	Config     artifact.Digest `json:"config"`
	// ConfigUncommitted tells that the release file is not the one in the commit, or that the
	// commit has none.
	ConfigUncommitted bool `json:"configUncommitted,omitempty"`
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
	// A and B are what the passes built. A pass that built nothing has none.
	A artifact.Digest `json:"a,omitempty"`
	B artifact.Digest `json:"b,omitempty"`
	// Size is that of A in bytes.
	Size int64 `json:"size,omitempty"`
	// Explanation says where A and B differ, and why. It is nil unless their bytes differ.
	Explanation *explain.Summary `json:"explanation,omitempty"`
	// Bisection is what repeating the build told of a difference. It is nil if that was not
	// tried.
	Bisection *Bisection `json:"bisection,omitempty"`
	// Compilations compares the action graphs of the passes for the target. All binaries of a
	// target share them.
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
	// Explanation and Bisection are as those of a Binary.
	Explanation *explain.Summary `json:"explanation,omitempty"`
	Bisection   *Bisection       `json:"bisection,omitempty"`
}

// Bisection is what was found out about a difference by repeating pass A with some
// of the variations of pass B.
type Bisection struct {
	// Variations are those that make the difference, by the names in Varying.Variations. Each
	// list is a set that makes a difference together. Of several lists, each makes one of its
	// own.
	Variations [][]pass.Factor `json:"variations,omitempty"`
	// Itself tells that a pass did not give the same when it was repeated. No variation
	// explains that.
	Itself bool `json:"itself"`
	// Reason says why the answer is not complete. It is empty if it is.
	Reason string `json:"reason,omitempty"`
	// Trials is how many builds it took.
	Trials int `json:"trials"`
}

// String returns the finding in one line.
func (b *Bisection) String() string {
	var parts []string
	for _, set := range b.Variations {
		var names []string
		for _, factor := range set {
			names = append(names, "`"+string(factor)+"`")
		}
		if len(set) == 1 {
			parts = append(parts, "when "+names[0]+" differs")
		} else {
			parts = append(parts, "when "+strings.Join(names, " and ")+" differ together")
		}
	}

	if b.Itself {
		parts = append(parts, "from itself: not a variation, but something such as randomness or the clock")
	}

	s := "which variation it is was not found"
	if len(parts) > 0 {
		s = "differs " + strings.Join(parts, ", and ")
	}
	if b.Reason != "" {
		s += " (" + b.Reason + ")"
	}

	return s
}

// Varying is what may differ when the same release is made elsewhere.
type Varying struct {
	// Repository is the URL of the clone's origin, without credentials. Another
	// clone of the same commit may have another.
	Repository string `json:"repository,omitempty"`
	Host       Host   `json:"host"`
	// Toolchain is the Go distribution of this host.
	Toolchain Toolchain `json:"toolchain"`
	// Modules says where trust in the modules' hashes comes from, beside go.sum.
	Modules     Modules          `json:"modules"`
	Confinement pass.Confinement `json:"confinement"`
	// Variations are all things in which the passes should differ, even those that could not
	// be varied here.
	Variations []pass.Variation `json:"variations"`
	Started    time.Time        `json:"started"`
	Finished   time.Time        `json:"finished"`
	Jobs       []Job            `json:"jobs"`
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
	Pass   pass.Pass     `json:"pass"`
	Start  time.Time     `json:"start"`
	// Seconds is wall-clock time, CPUSeconds processor time of all processes.
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
}

// Targets returns the targets that were built, in the order of the release file.
func (r *Record) Targets() []matrix.Target {
	var list []matrix.Target
	for _, b := range r.Binaries {
		if !slices.Contains(list, b.Target) {
			list = append(list, b.Target)
		}
	}
	return list
}

// PackageCompilations returns how many compilations of packages there were, and how many of them
// were reproduced. All binaries of a target share its compilations.
func (r *Record) PackageCompilations() (reproduced, packages int) {
	counted := map[matrix.Target]bool{}
	for _, b := range r.Binaries {
		if !counted[b.Target] {
			counted[b.Target] = true
			reproduced += b.Compilations.Reproduced
			packages += b.Compilations.Packages
		}
	}
	return reproduced, packages
}
