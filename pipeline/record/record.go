// Package record writes down what a run did, for programs: the release record.
//
// # release.json
//
// A [Record] is one JSON document whose format is named by its schema member
// and described by release.schema.json ([Schema]; JSON Schema draft 2020-12).
// Within a schema version members may be added and are never removed or given
// another meaning. All that may differ when the same release is made again
// elsewhere is in the member "varying"; everything else is the same, byte for
// byte, if the same version of twice makes it. Only a record of builds that
// were not reproduced may show paths of the host, as text found in binaries.
package record

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	"github.com/twicebuild/twice/pipeline/safetext"
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
	Snapshot bool `json:"snapshot"`
	// Partial says that not all of the release file was built, nil if all was.
	Partial *Partial `json:"partial,omitempty"`
	Tool    Tool     `json:"tool"`
	Source  Source   `json:"source"`
	// Epoch is the time of the files in archives, and SOURCE_DATE_EPOCH for
	// hooks, in seconds since 1970: that of Source.Time unless the user's
	// environment set another.
	Epoch     int64            `json:"epoch"`
	Toolchain recipe.Toolchain `json:"toolchain"`
	// Verdict is reproduced if every binary and file is, differs if one
	// differs, and undetermined otherwise.
	Verdict  compare.Verdict `json:"verdict"`
	Binaries []Binary        `json:"binaries"`
	// Files are files of the source tree that archives hold.
	Files []File `json:"files"`
	// Artifacts are the files of the release, by their paths below dist.
	Artifacts []artifact.Artifact `json:"artifacts"`
	// Images are the OCI images in dist/oci, and Bases what some were added to.
	Images  []image.Image `json:"images,omitempty"`
	Bases   []image.Base  `json:"bases,omitempty"`
	Varying Varying       `json:"varying"`
}

// Tool is the twice that made the record. The compressors of the archives come
// with it, so equal archives need an equal one.
type Tool struct {
	Version string `json:"version"`
	// Go is the release of Go that it was built with.
	Go string `json:"go"`
}

// Partial says that a part of the release file's targets was built: those of the
// binaries.
type Partial struct {
	// LeftOut are all other targets, in the order of the release file.
	LeftOut []matrix.Target `json:"leftOut"`
}

// Of names what was left out, of how many targets in all.
func (p *Partial) Of(built int) string {
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

// Check holds what was left out against the targets that were built.
func (p *Partial) Check(built []matrix.Target) error {
	if len(p.LeftOut) == 0 {
		return errors.New("partial: nothing is left out")
	}
	for i, t := range p.LeftOut {
		if slices.Contains(p.LeftOut[:i], t) || slices.Contains(built, t) {
			return fmt.Errorf("partial: leftOut[%d]: %s was built, or is there twice", i, t)
		}
	}
	return nil
}

// Source is what was built.
type Source struct {
	recipe.Source
	// Time is the commit's (for a module: the version's), in UTC.
	Time time.Time `json:"time"`
	// Dirty tells that there were uncommitted changes, which are in Tree.
	Dirty bool `json:"dirty"`
	// ConfigFile is the release file, as a path in the source tree where it is
	// part of it, and Config the digest of its bytes.
	ConfigFile string          `json:"configFile"`
	Config     artifact.Digest `json:"config"`
	// ConfigUncommitted tells that the release file is not the one in the commit, or
	// that there is none in it.
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
	// A and B are what the passes built; absent where a pass built nothing.
	A artifact.Digest `json:"a,omitempty"`
	B artifact.Digest `json:"b,omitempty"`
	// Size is that of A in bytes.
	Size int64 `json:"size,omitempty"`
	// Explanation says where A and B differ, and why, nil unless their bytes do.
	Explanation *explain.Summary `json:"explanation,omitempty"`
	// Bisection is what repeating the build told of a difference, nil where that
	// was not tried.
	Bisection *Bisection `json:"bisection,omitempty"`
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
	// Explanation and Bisection are as those of a Binary.
	Explanation *explain.Summary `json:"explanation,omitempty"`
	Bisection   *Bisection       `json:"bisection,omitempty"`
}

// Bisection is what was found out about a difference by repeating pass A with some
// of the variations of pass B.
type Bisection struct {
	// Variations are those that make the difference, by the names that
	// Varying.Variations has. Each list is a set that is needed together; of several
	// lists each makes a difference of its own.
	Variations [][]string `json:"variations,omitempty"`
	// Itself tells that a pass that was repeated, with nothing else varied, gave
	// something else than it had: no variation explains that.
	Itself bool `json:"itself"`
	// Reason says why the answer is not complete, empty if it is.
	Reason string `json:"reason,omitempty"`
	// Trials is how many builds it took.
	Trials int `json:"trials"`
}

// String says it in a line.
func (b *Bisection) String() string {
	var parts []string
	for _, set := range b.Variations {
		names := "`" + strings.Join(set, "` and `") + "`"
		if len(set) == 1 {
			parts = append(parts, "when "+names+" differs")
		} else {
			parts = append(parts, "when "+names+" differ together")
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
	// Variations are all things that the passes are meant to differ in, those
	// included that could not be varied here.
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

// MaxSize bounds what [Decode] reads and Encode writes, in bytes. A release of
// a hundred binaries with a hundred modules each takes 3 MB.
const MaxSize = 256 << 20

// Encode returns the document, indented and with a final newline. A record that
// contradicts itself is an error.
func (r *Record) Encode() ([]byte, error) {
	doc := *r
	doc.Binaries, doc.Files, doc.Artifacts = list(r.Binaries), list(r.Files), list(r.Artifacts)
	doc.Varying.Variations, doc.Varying.Jobs = list(r.Varying.Variations), list(r.Varying.Jobs)
	doc.Varying.Confinement.Missing = list(r.Varying.Confinement.Missing)
	if err := doc.check(); err != nil {
		return nil, fmt.Errorf("release record: %w", err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("release record: %w", err)
	}
	if b.Len() > MaxSize {
		return nil, fmt.Errorf("release record: more than %d bytes", MaxSize)
	}
	return b.Bytes(), nil
}

// list makes [] of a list that would be null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Decode reads what Encode writes and nothing else: an unknown member, one that
// is there twice, another schema version or another layout is an error, as two
// programs might read such a document differently.
func Decode(data []byte) (*Record, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("release record: more than %d bytes", MaxSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r Record
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("release record: %w", err)
	}
	enc, err := r.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(enc, data) {
		return nil, fmt.Errorf("release record: not laid out as twice writes it")
	}
	return &r, nil
}

// check looks for what no run of twice can have come to.
func (r *Record) check() error {
	if r.Schema != SchemaName {
		return fmt.Errorf("schema %q: want %q", r.Schema, SchemaName)
	}
	if _, err := artifact.ParseDigest(string(r.Source.Config)); err != nil {
		return fmt.Errorf("source.config: %w", err)
	}
	if r.Source.ConfigUncommitted && !r.Snapshot {
		return errors.New("source.configUncommitted: and no snapshot")
	}
	if r.Partial != nil {
		if err := r.Partial.Check(r.Targets()); err != nil {
			return err
		}
	}
	pass := len(r.Binaries) > 0
	for i, b := range r.Binaries {
		if err := b.check(); err != nil {
			return fmt.Errorf("binaries[%d]: %w", i, err)
		}
		pass = pass && b.Verdict.Pass()
	}
	for i, f := range r.Files {
		if err := cmp.Or(checkVerdict(f.Verdict, f.A, f.B), checkBisection(f.Verdict, f.Bisection)); err != nil {
			return fmt.Errorf("files[%d]: %w", i, err)
		}
		pass = pass && f.Verdict.Pass()
	}
	if err := known(r.Verdict); err != nil {
		return err
	}
	if r.Verdict.Pass() != pass {
		return fmt.Errorf("verdict %q: that is not what the binaries and files say", r.Verdict)
	}
	if len(r.Artifacts)+len(r.Images) > 0 && !pass {
		return fmt.Errorf("artifacts: there are some, but the verdict is %q", r.Verdict)
	}
	for i, img := range r.Images {
		if err := checkImage(img); err != nil {
			return fmt.Errorf("images[%d]: %w", i, err)
		}
	}
	for i, b := range r.Bases {
		if _, err := artifact.ParseDigest(string(b.Digest)); err != nil || b.Reference == "" {
			return fmt.Errorf("bases[%d]: %q %q: no image", i, b.Reference, b.Digest)
		}
	}
	folded := map[string]string{}
	for i, a := range r.Artifacts {
		if err := checkArtifact(a); err != nil {
			return fmt.Errorf("artifacts[%d]: %w", i, err)
		}
		if i > 0 && r.Artifacts[i-1].Name >= a.Name {
			return fmt.Errorf("artifacts[%d]: %q: not sorted by name", i, a.Name)
		}
		// Where names are one whatever their case is, one file would replace the other.
		if other, same := folded[strings.ToLower(a.Name)]; same {
			return fmt.Errorf("artifacts[%d]: %q: differs from %q in its case alone", i, a.Name, other)
		}
		folded[strings.ToLower(a.Name)] = a.Name
	}
	return nil
}

// Targets are those that were built, in the order of the release file.
func (r *Record) Targets() []matrix.Target {
	var list []matrix.Target
	for _, b := range r.Binaries {
		if !slices.Contains(list, b.Target) {
			list = append(list, b.Target)
		}
	}
	return list
}

func (b Binary) check() error {
	digest, err := b.Recipe.Digest()
	switch {
	case err != nil:
		return err
	case b.RecipeDigest != digest:
		return fmt.Errorf("recipeDigest %q: the recipe's is %s", b.RecipeDigest, digest)
	case b.Name != b.Recipe.Binary || b.Target != b.Recipe.Target:
		return fmt.Errorf("%s for %s: the recipe is for another binary", b.Name, b.Target)
	}
	if err := checkBisection(b.Verdict, b.Bisection); err != nil {
		return err
	}
	if err := b.Compilations.Err(); err != nil && b.Verdict.Pass() {
		return fmt.Errorf("verdict %q: compilations: %w", b.Verdict, err)
	}
	return checkVerdict(b.Verdict, b.A, b.B)
}

// checkBisection holds what was found out about a difference against the verdict.
func checkBisection(v compare.Verdict, b *Bisection) error {
	switch {
	case b == nil:
		return nil
	case v != compare.Differs:
		return fmt.Errorf("bisection: there is one, but the verdict is %q", v)
	case slices.ContainsFunc(b.Variations, func(set []string) bool { return len(set) == 0 }):
		return errors.New("bisection: an empty list of variations")
	case !b.Itself && len(b.Variations) == 0 && b.Reason == "":
		return errors.New("bisection: no variation, and no reason")
	}
	return nil
}

// checkVerdict holds a verdict against the digests that it is about.
func checkVerdict(v compare.Verdict, a, b artifact.Digest) error {
	if err := known(v); err != nil {
		return err
	}
	for _, d := range []artifact.Digest{a, b} {
		if _, err := artifact.ParseDigest(string(d)); err != nil && (d != "" || v.Pass()) {
			return err
		}
	}
	if v == compare.Reproduced && a != b {
		return fmt.Errorf("verdict %q: the digests differ", v)
	}
	return nil
}

func known(v compare.Verdict) error {
	if !slices.Contains([]compare.Verdict{compare.Reproduced, compare.Equivalent, compare.Differs, compare.Undetermined}, v) {
		return fmt.Errorf("verdict %q: unknown", v)
	}
	return nil
}

func checkArtifact(a artifact.Artifact) error {
	if !fs.ValidPath(a.Name) || a.Name == "." || strings.ContainsAny(a.Name, `\:`) {
		return fmt.Errorf("name %q: not a path below dist", a.Name)
	}
	if !safetext.Printable(a.Name) {
		return fmt.Errorf("name %q: a character that cannot be printed", a.Name)
	}
	if !slices.Contains([]artifact.Kind{artifact.Binary, artifact.Archive, artifact.SBOM, artifact.Checksums, artifact.File}, a.Kind) {
		return fmt.Errorf("%s: kind %q: unknown", a.Name, a.Kind)
	}
	if a.Size < 0 {
		return fmt.Errorf("%s: size %d", a.Name, a.Size)
	}
	_, err := artifact.ParseDigest(string(a.Digest))
	return err
}

func checkImage(img image.Image) error {
	if img.Repository == "" || len(img.Tags) == 0 || len(img.Manifests) == 0 {
		return fmt.Errorf("without a repository, a tag or a platform")
	}
	digests := []artifact.Digest{img.Digest}
	for _, m := range img.Manifests {
		digests = append(digests, m.Digest, m.Config)
		for _, l := range m.Layers {
			digests = append(digests, l.Digest, l.DiffID)
		}
	}
	for _, d := range digests {
		if _, err := artifact.ParseDigest(string(d)); err != nil {
			return err
		}
	}
	return nil
}
