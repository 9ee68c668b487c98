package slsa

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
)

// Provenance is a provenance predicate
// (https://slsa.dev/spec/v1.0/provenance#schema). Of a foreign one only the
// members that are here are read.
type Provenance struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`

	// External and Internal are the parameters, and Circumstances those of the
	// double build, if the build type is ours, and nil otherwise.
	External      *ExternalParameters `json:"-"`
	Internal      *InternalParameters `json:"-"`
	Circumstances *Circumstances      `json:"-"`
}

// BuildDefinition is what went into a build.
type BuildDefinition struct {
	BuildType string `json:"buildType"`
	// ExternalParameters are a JSON object, which BuildType gives its meaning.
	ExternalParameters   json.RawMessage     `json:"externalParameters"`
	InternalParameters   json.RawMessage     `json:"internalParameters,omitempty"`
	ResolvedDependencies []intoto.Descriptor `json:"resolvedDependencies,omitempty"`
}

// RunDetails is about one execution.
type RunDetails struct {
	Builder    Builder             `json:"builder"`
	Metadata   Metadata            `json:"metadata,omitzero"`
	Byproducts []intoto.Descriptor `json:"byproducts,omitempty"`
}

// Builder is who is trusted to have built and to have told the truth about it.
type Builder struct {
	// ID is a URI.
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// Metadata are an identifier of the execution and its times, after RFC 3339.
type Metadata struct {
	InvocationID string `json:"invocationId,omitempty"`
	StartedOn    string `json:"startedOn,omitempty"`
	FinishedOn   string `json:"finishedOn,omitempty"`
}

// ExternalParameters are what the caller of twice chose. The fields of these
// types stand in the order of their JSON names.
type ExternalParameters struct {
	Config ConfigFile `json:"config"`
	// Partial is there if Targets are not all of the release file.
	Partial  *record.Partial `json:"partial,omitempty"`
	Snapshot bool            `json:"snapshot"`
	Source   Source          `json:"source"`
	// SourceDateEpoch is there if the user's environment set SOURCE_DATE_EPOCH
	// to another time than the source's: seconds since 1970.
	SourceDateEpoch *int64 `json:"sourceDateEpoch,omitempty"`
	// Targets are those that were built, in the order of the release file.
	Targets []matrix.Target `json:"targets"`
}

// ConfigFile is the release file.
type ConfigFile struct {
	Digest map[string]string `json:"digest"`
	// Path is its path in the repository, with slashes; its name, if the source
	// is a module.
	Path string `json:"path"`
	// Uncommitted tells that it is not the one in the commit.
	Uncommitted bool `json:"uncommitted,omitempty"`
}

// Source is a git commit, or a module version.
type Source struct {
	Commit string `json:"commit,omitempty"`
	Module string `json:"module,omitempty"`
	// Repository is the URL of the clone's origin, without credentials, if it has
	// one.
	Repository string `json:"repository,omitempty"`
	// Tag is the git tag that the version comes from.
	Tag string `json:"tag,omitempty"`
	// Uncommitted tells that there were uncommitted changes, so that Commit is
	// not quite what was built.
	Uncommitted bool   `json:"uncommitted,omitempty"`
	Version     string `json:"version,omitempty"`
}

// InternalParameters are what twice made of the release file.
type InternalParameters struct {
	// Bases are the images that images of the release were added to.
	Bases []image.Base `json:"bases,omitempty"`
	// Epoch is the time of the files in archives, in seconds since 1970.
	Epoch   int64    `json:"epoch"`
	Project string   `json:"project"`
	Recipes []Recipe `json:"recipes"`
	// ReleaseVersion is the version of what was released, without a leading v.
	ReleaseVersion string `json:"releaseVersion"`
}

// Recipe is a recipe and the digest of its canonical encoding.
type Recipe struct {
	Digest map[string]string `json:"digest"`
	Recipe recipe.Recipe     `json:"recipe"`
}

// Run is what the record does not know about a run.
type Run struct {
	// Builder is the builder.id, a URI; LocalBuilder if it is empty.
	Builder string
	// Invocation identifies the run among all others: the address of a CI job, or
	// something random. It may be empty.
	Invocation string
}

// toolchainNotes are the annotations of the toolchain.
type toolchainNotes struct {
	Arch      string `json:"arch"`
	From      string `json:"from"`
	GoEnv     string `json:"goEnv,omitempty"`
	OS        string `json:"os"`
	Published bool   `json:"published"`
	Version   string `json:"version"`
}

// NewProvenance returns the provenance of a release. Its subjects are the
// artifacts of rec, its images and their manifests. rec has to be what is written as release.json, byte for byte,
// since its digest is among the byproducts. A record of builds that were not
// reproduced has no artifacts, and so no provenance.
func NewProvenance(rec *record.Record, run Run) (intoto.Statement, error) {
	s, err := newProvenance(rec, run)
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("provenance: %w", err)
	}
	return s, nil
}

func newProvenance(rec *record.Record, run Run) (intoto.Statement, error) {
	record, err := rec.Encode()
	if err != nil {
		return intoto.Statement{}, err
	}
	if !rec.Verdict.Pass() || len(rec.Artifacts) == 0 {
		return intoto.Statement{}, fmt.Errorf("no release: the verdict is %q, and there are %d artifacts", rec.Verdict, len(rec.Artifacts))
	}
	ext := &ExternalParameters{
		Config:   ConfigFile{Digest: sha256Set(rec.Source.Config), Path: rec.Source.ConfigFile, Uncommitted: rec.Source.ConfigUncommitted},
		Partial:  rec.Partial,
		Snapshot: rec.Snapshot,
		Source: Source{
			Commit: rec.Source.Commit, Module: rec.Source.Module, Repository: rec.Varying.Repository, Tag: rec.Tag,
			Uncommitted: rec.Source.Dirty, Version: rec.Source.Version,
		},
	}
	if rec.Source.Module != "" { // the version is all that there is
		ext.Source = Source{Module: rec.Source.Module, Version: rec.Source.Version}
	}
	if rec.Epoch != rec.Source.Time.Unix() {
		ext.SourceDateEpoch = &rec.Epoch
	}
	in := &InternalParameters{Bases: rec.Bases, Epoch: rec.Epoch, Project: rec.Project, ReleaseVersion: rec.Version}
	var byproducts []intoto.Descriptor
	for _, b := range rec.Binaries {
		in.Recipes = append(in.Recipes, Recipe{Digest: sha256Set(b.RecipeDigest), Recipe: b.Recipe})
		byproducts = append(byproducts,
			passDescriptor(passName(pass.A, b.Target, b.Name), b.A, b.Verdict),
			passDescriptor(passName(pass.B, b.Target, b.Name), b.B, b.Verdict))
	}
	for _, f := range rec.Files {
		byproducts = append(byproducts,
			passDescriptor(fileName(pass.A, f.Name), f.A, f.Verdict),
			passDescriptor(fileName(pass.B, f.Name), f.B, f.Verdict))
	}
	ext.Targets = in.targets()
	notes, err := intoto.Annotations(circumstances(rec))
	if err != nil {
		return intoto.Statement{}, err
	}
	byproducts = append(byproducts, intoto.Descriptor{
		Name: recordName, Digest: sha256Set(artifact.Of(record)), MediaType: "application/json", Annotations: notes,
	})
	toolchain, err := toolchainOf(rec)
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("toolchain: %w", err)
	}
	deps, err := dependencies(ext, in, toolchain)
	if err != nil {
		return intoto.Statement{}, err
	}

	p := Provenance{
		BuildDefinition: BuildDefinition{BuildType: BuildType, ResolvedDependencies: deps},
		RunDetails: RunDetails{
			Builder: Builder{
				ID:      cmp.Or(run.Builder, LocalBuilder),
				Version: map[string]string{"twice": rec.Tool.Version, "go": rec.Tool.Go},
			},
			Metadata: Metadata{
				InvocationID: run.Invocation,
				StartedOn:    rec.Varying.Started.UTC().Format(timeFormat),
				FinishedOn:   rec.Varying.Finished.UTC().Format(timeFormat),
			},
			Byproducts: byproducts,
		},
	}
	if p.BuildDefinition.ExternalParameters, err = intoto.Marshal(ext); err != nil {
		return intoto.Statement{}, err
	}
	if p.BuildDefinition.InternalParameters, err = intoto.Marshal(in); err != nil {
		return intoto.Statement{}, err
	}
	s := intoto.Statement{Subjects: subjects(rec), PredicateType: ProvenanceType}
	if s.Predicate, err = intoto.Marshal(p); err != nil {
		return intoto.Statement{}, err
	}
	// Whoever reads it will be strict, so be so now.
	_, err = DecodeProvenance(s)
	return s, err
}

// recordName is the name of the release record in dist.
const recordName = "release.json"

// timeFormat is that of in-toto's Timestamp, in UTC and to the second.
const timeFormat = "2006-01-02T15:04:05Z"

// subjects are the artifacts and, of each image, its index and its manifests,
// named repository:tag and repository:tag#platform.
func subjects(rec *record.Record) []intoto.Subject {
	var s []intoto.Subject
	for _, a := range rec.Artifacts {
		s = append(s, intoto.Subject{Name: a.Name, Digest: a.Digest})
	}
	for _, img := range rec.Images {
		name := img.Repository + ":" + img.Tags[0]
		s = append(s, intoto.Subject{Name: name, Digest: img.Digest})
		for _, m := range img.Manifests {
			s = append(s, intoto.Subject{Name: name + "#" + m.Platform, Digest: m.Digest})
		}
	}
	return s
}

// targets returns the targets of the recipes, each once.
func (in *InternalParameters) targets() []matrix.Target {
	list := []matrix.Target{}
	for _, r := range in.Recipes {
		if !slices.Contains(list, r.Recipe.Target) {
			list = append(list, r.Recipe.Target)
		}
	}
	return list
}

func toolchainOf(rec *record.Record) (intoto.Descriptor, error) {
	tc := rec.Varying.Toolchain
	d := intoto.Descriptor{Name: "toolchain"}
	var err error
	if d.Digest, err = dirHash(tc.Sum); err != nil {
		return d, err
	}
	d.Annotations, err = intoto.Annotations(toolchainNotes{
		Arch: rec.Varying.Host.Arch, From: tc.From, GoEnv: tc.GoEnv, OS: rec.Varying.Host.OS,
		Published: tc.Published, Version: rec.Toolchain.Version,
	})
	if err == nil && tc.Published {
		d.URI, err = toolchainPURL(rec.Toolchain.Version, rec.Varying.Host.OS, rec.Varying.Host.Arch)
	}
	return d, err
}

// checkToolchain holds d, which is as toolchainOf makes it, against the recipes.
func checkToolchain(d intoto.Descriptor, in *InternalParameters) error {
	var notes toolchainNotes
	if err := intoto.FromAnnotations(d.Annotations, &notes); err != nil {
		return err
	}
	want := intoto.Descriptor{Name: "toolchain", Digest: map[string]string{"dirHash": d.Digest["dirHash"]}, Annotations: d.Annotations}
	if notes.Published {
		var err error
		if want.URI, err = toolchainPURL(notes.Version, notes.OS, notes.Arch); err != nil {
			return err
		}
	}
	if err := same([]intoto.Descriptor{d}, []intoto.Descriptor{want}); err != nil || len(d.Digest["dirHash"]) != 64 {
		return fmt.Errorf("not %s for %s/%s, published %t, by its name, uri and dirHash", notes.Version, notes.OS, notes.Arch, notes.Published)
	}
	if !slices.Contains([]string{"installed", "cache", "downloaded"}, notes.From) {
		return fmt.Errorf("from %.100q: unknown", notes.From)
	}
	for _, r := range in.Recipes {
		tc := r.Recipe.Toolchain
		if tc.Version != notes.Version || (tc.Sum == "") != notes.Published {
			return fmt.Errorf("version %q, published %t: the recipe of %s for %s says something else", notes.Version, notes.Published, r.Recipe.Binary, r.Recipe.Target)
		}
		if tc.Sum != "" {
			if sum, err := dirHash(tc.Sum); err != nil || sum["dirHash"] != d.Digest["dirHash"] {
				return fmt.Errorf("digest %v: the recipe of %s for %s says something else", d.Digest, r.Recipe.Binary, r.Recipe.Target)
			}
		}
	}
	return nil
}

// dependencies derives everything that was fetched: the source, the release
// file, the toolchain (which is handed through), and the modules by their names.
func dependencies(ext *ExternalParameters, in *InternalParameters, toolchain intoto.Descriptor) ([]intoto.Descriptor, error) {
	if len(in.Recipes) == 0 {
		return nil, errors.New("recipes: there is none")
	}
	src := in.Recipes[0].Recipe.Source
	source, config := intoto.Descriptor{Name: "source"}, intoto.Descriptor{Name: "config", Digest: ext.Config.Digest}
	var err error
	if src.Module != "" {
		if source.Digest, err = dirHash(src.Sum); err != nil {
			return nil, fmt.Errorf("source: %w", err)
		}
		if source.URI, err = modulePURL(src.Module, src.Version); err != nil {
			return nil, fmt.Errorf("source: %w", err)
		}
	} else {
		source.Digest = map[string]string{"gitCommit": src.Commit, "gitTree": src.Tree}
		if ext.Source.Repository != "" {
			if source.URI, err = gitURI(ext.Source.Repository, src.Commit); err != nil {
				return nil, fmt.Errorf("source: %w", err)
			}
		}
		if ext.Source.Uncommitted {
			source.Annotations = map[string]json.RawMessage{"uncommitted": json.RawMessage("true")}
		}
	}
	list := []intoto.Descriptor{source, config, toolchain}
	byName := map[string]intoto.Descriptor{}
	for _, r := range in.Recipes {
		for _, m := range r.Recipe.Modules {
			d, ok, err := moduleOf(m)
			if err != nil {
				return nil, fmt.Errorf("module %.200q: %w", m.Path, err)
			}
			if !ok {
				continue
			}
			if known, ok := byName[d.Name]; ok && known.Digest["dirHash"] != d.Digest["dirHash"] {
				return nil, fmt.Errorf("module %s: the recipes have different hashes of it", d.Name)
			}
			byName[d.Name] = d
		}
	}
	var modules []intoto.Descriptor
	for _, d := range byName {
		modules = append(modules, d)
	}
	slices.SortFunc(modules, func(a, b intoto.Descriptor) int { return strings.Compare(a.Name, b.Name) })
	list = append(list, modules...)
	for _, b := range in.Bases {
		if _, err := artifact.ParseDigest(string(b.Digest)); err != nil || b.Reference == "" {
			return nil, fmt.Errorf("base %.200q: %q is no digest", b.Reference, b.Digest)
		}
		list = append(list, intoto.Descriptor{Name: b.Reference, Digest: sha256Set(b.Digest)})
	}
	return list, nil
}

// moduleOf describes a module, or its replacement where it has one, by its name
// in the form path@version. It is false for what has no version: a module in a
// folder of the source tree, which the source covers.
func moduleOf(m recipe.Module) (intoto.Descriptor, bool, error) {
	path, version := m.Path, m.Version
	if m.Replace != "" {
		i := strings.LastIndexByte(m.Replace, '@')
		if i < 0 || !semver.IsValid(m.Replace[i+1:]) || module.CheckPath(m.Replace[:i]) != nil {
			if m.Sum != "" {
				return intoto.Descriptor{}, false, fmt.Errorf("replaced by %.200q, which is no module, but has a hash", m.Replace)
			}
			return intoto.Descriptor{}, false, nil
		}
		path, version = m.Replace[:i], m.Replace[i+1:]
	}
	if version == "" {
		if m.Sum != "" {
			return intoto.Descriptor{}, false, errors.New("a hash without a version")
		}
		return intoto.Descriptor{}, false, nil
	}
	d := intoto.Descriptor{Name: path + "@" + version}
	var err error
	if d.URI, err = modulePURL(path, version); err != nil {
		return d, false, err
	}
	if m.Sum == "" {
		// Vendored: its bytes are those of the source.
		d.Annotations = map[string]json.RawMessage{"vendored": json.RawMessage("true")}
		return d, true, nil
	}
	d.Digest, err = dirHash(m.Sum)
	return d, true, err
}

// DecodeProvenance reads a provenance. For [BuildType] it is what NewProvenance
// writes or an error: unknown members, absent ones and values that contradict
// each other are refused. For a foreign build type the members that Provenance
// has must be of the right kind and there where the specification requires
// them, and others are ignored, as it demands.
func DecodeProvenance(s intoto.Statement) (*Provenance, error) {
	p, err := decodeProvenance(s)
	if err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	return p, nil
}

func decodeProvenance(s intoto.Statement) (*Provenance, error) {
	if s.PredicateType != ProvenanceType {
		return nil, fmt.Errorf("predicateType %.200q: want %q", s.PredicateType, ProvenanceType)
	}
	predicate, err := s.CompactPredicate()
	if err != nil {
		return nil, err
	}
	p, err := readForeign(predicate)
	if err != nil || p.BuildDefinition.BuildType != BuildType {
		return p, err
	}
	p = &Provenance{}
	if err := intoto.Exact(predicate, p); err != nil {
		return nil, err
	}
	p.External, p.Internal = &ExternalParameters{}, &InternalParameters{}
	if err := intoto.Exact(p.BuildDefinition.ExternalParameters, p.External); err != nil {
		return nil, fmt.Errorf("externalParameters: %w", err)
	}
	if err := intoto.Exact(p.BuildDefinition.InternalParameters, p.Internal); err != nil {
		return nil, fmt.Errorf("internalParameters: %w", err)
	}
	return p, p.checkProvenance(s)
}

// check holds the parts of a provenance of ours against each other.
func (p *Provenance) checkProvenance(s intoto.Statement) error {
	ext, in := p.External, p.Internal
	if err := ext.checkParameters(in); err != nil {
		return fmt.Errorf("externalParameters: %w", err)
	}
	if in.Project == "" || in.ReleaseVersion == "" {
		return errors.New("internalParameters: without a project or a version")
	}
	for i, r := range in.Recipes {
		switch digest, err := r.Recipe.Digest(); {
		case err != nil:
			return fmt.Errorf("internalParameters: recipes[%d]: %w", i, err)
		case len(r.Digest) != 1 || r.Digest["sha256"] != digest.Hex():
			return fmt.Errorf("internalParameters: recipes[%d]: digest %v: that of the recipe is %s", i, r.Digest, digest)
		case r.Recipe.Source != in.Recipes[0].Recipe.Source:
			return fmt.Errorf("internalParameters: recipes[%d]: another source", i)
		case len(r.Recipe.Hooks) > 0 && r.Recipe.Epoch != in.Epoch:
			return fmt.Errorf("internalParameters: recipes[%d]: another epoch", i)
		}
	}
	deps := p.BuildDefinition.ResolvedDependencies
	if len(deps) < 3 {
		return errors.New("resolvedDependencies: want the source, the release file and the toolchain at least")
	}
	if err := checkToolchain(deps[2], in); err != nil {
		return fmt.Errorf("resolvedDependencies[2]: %w", err)
	}
	want, err := dependencies(ext, in, deps[2])
	if err != nil {
		return fmt.Errorf("resolvedDependencies: %w", err)
	}
	if err := same(deps, want); err != nil {
		return fmt.Errorf("resolvedDependencies%w", err)
	}
	return p.RunDetails.checkRun(p, s)
}

func (ext *ExternalParameters) checkParameters(in *InternalParameters) error {
	if len(in.Recipes) == 0 {
		return errors.New("internalParameters: recipes: there is none")
	}
	src, claimed := in.Recipes[0].Recipe.Source, ext.Source
	_, digestErr := artifact.ParseDigest("sha256:" + ext.Config.Digest["sha256"])
	switch {
	case len(ext.Config.Digest) != 1 || digestErr != nil:
		return fmt.Errorf("config: digest %v: want one sha256", ext.Config.Digest)
	case ext.Config.Path == "":
		return errors.New("config: no path")
	case claimed.Commit != src.Commit || claimed.Module != src.Module || claimed.Version != src.Version:
		return fmt.Errorf("source: the recipes are for %s", src.Name())
	case claimed.Commit == "" && (claimed.Repository+claimed.Tag != "" || claimed.Uncommitted):
		return errors.New("source: a module has no repository, tag or changes")
	case claimed.Commit != "" && (!isObject(src.Commit) || !isObject(src.Tree)):
		return fmt.Errorf("source: commit %.100q, tree %.100q: want full names of git objects", src.Commit, src.Tree)
	case ext.Config.Uncommitted && (!ext.Snapshot || claimed.Commit == ""):
		return errors.New("config: not the one in the commit, and no snapshot")
	case claimed.Uncommitted && !ext.Snapshot:
		return errors.New("source: a release of uncommitted changes, and no snapshot")
	case !slices.Equal(ext.Targets, in.targets()):
		return fmt.Errorf("targets: the recipes are for %v", in.targets())
	case ext.SourceDateEpoch != nil && *ext.SourceDateEpoch != in.Epoch:
		return fmt.Errorf("sourceDateEpoch %d: the epoch is %d", *ext.SourceDateEpoch, in.Epoch)
	case ext.Partial != nil:
		return ext.Partial.Check(ext.Targets)
	}
	return nil
}

// isObject reports whether s is the full name of a git object.
func isObject(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

func (d *RunDetails) checkRun(p *Provenance, s intoto.Statement) error {
	if v := d.Builder.Version; len(v) != 2 || v["twice"] == "" || v["go"] == "" {
		return fmt.Errorf("builder: version %v: want those of twice and go", v)
	}
	start, err1 := time.Parse(timeFormat, d.Metadata.StartedOn)
	end, err2 := time.Parse(timeFormat, d.Metadata.FinishedOn)
	if err := errors.Join(err1, err2); err != nil || end.Before(start) {
		return fmt.Errorf("metadata: from %.50q to %.50q: not times in order", d.Metadata.StartedOn, d.Metadata.FinishedOn)
	}
	subject := map[string]artifact.Digest{}
	for _, sub := range s.Subjects {
		subject[sub.Name] = sub.Digest
	}
	rest := d.Byproducts
	for _, r := range p.Internal.Recipes {
		t, name := r.Recipe.Target, r.Recipe.Binary
		a, err := checkPasses(rest, passName(pass.A, t, name), passName(pass.B, t, name))
		if err != nil {
			return err
		}
		if path := "bin/" + t.Slug() + "/" + name; subject[path] != a {
			return fmt.Errorf("byproducts: %s: pass A built %s, and the subject is %s", path, a, cmp.Or(subject[path], "not there"))
		}
		rest = rest[2:]
	}
	for ; len(rest) > 1; rest = rest[2:] {
		name, ok := strings.CutPrefix(rest[0].Name, fileName(pass.A, ""))
		if !ok {
			return fmt.Errorf("byproducts: %.200q: unknown", rest[0].Name)
		}
		if _, err := checkPasses(rest, fileName(pass.A, name), fileName(pass.B, name)); err != nil {
			return err
		}
	}
	if len(rest) != 1 || rest[0].Name != recordName || rest[0].URI+rest[0].DownloadLocation != "" || rest[0].MediaType != "application/json" ||
		len(rest[0].Digest) != 1 || len(rest[0].Digest["sha256"]) != 64 || len(rest[0].Content) > 0 {
		return fmt.Errorf("byproducts: want %s and its sha256 at the end", recordName)
	}
	p.Circumstances = &Circumstances{}
	if err := intoto.FromAnnotations(rest[0].Annotations, p.Circumstances); err != nil {
		return fmt.Errorf("byproducts: %s: %w", recordName, err)
	}
	if err := p.Circumstances.checkCircumstances(); err != nil {
		return fmt.Errorf("byproducts: %s: %w", recordName, err)
	}
	var counted []matrix.Target
	var names []string
	for _, c := range p.Circumstances.Compilations {
		counted = append(counted, c.Target)
	}
	for _, t := range p.External.Targets {
		names = append(names, t.String())
	}
	if !slices.Equal(counted, p.External.Targets) {
		return fmt.Errorf("byproducts: %s: compilations of %v: want the targets", recordName, counted)
	}
	if err := p.Circumstances.compiled(names); err != nil {
		return fmt.Errorf("byproducts: %s: %w", recordName, err)
	}
	return nil
}

// checkPasses reads the two descriptors of what the passes made and returns the
// digest of the first.
func checkPasses(list []intoto.Descriptor, nameA, nameB string) (artifact.Digest, error) {
	if len(list) < 2 {
		return "", fmt.Errorf("byproducts: no %s", nameA)
	}
	a, b := artifact.Digest("sha256:"+list[0].Digest["sha256"]), artifact.Digest("sha256:"+list[1].Digest["sha256"])
	for _, v := range []compare.Verdict{compare.Reproduced, compare.Equivalent} {
		if same(list[:2], []intoto.Descriptor{passDescriptor(nameA, a, v), passDescriptor(nameB, b, v)}) == nil &&
			len(a.Hex()) == 64 && len(b.Hex()) == 64 && (a == b || v == compare.Equivalent) {
			return a, nil
		}
	}
	return "", fmt.Errorf("byproducts: want %s and %s with equal digests, or a verdict that explains why not", nameA, nameB)
}

// same compares what a document has with what was derived.
func same(got, want []intoto.Descriptor) error {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Errorf(": no %s", want[i].Name)
		case i >= len(want):
			return fmt.Errorf("[%d]: %.200q: unknown", i, got[i].Name)
		}
		g, err := intoto.Marshal(got[i])
		if err != nil {
			return err
		}
		w, err := intoto.Marshal(want[i])
		if err != nil {
			return err
		}
		if string(g) != string(w) {
			return fmt.Errorf("[%d]: %.500s, where the parameters give %.500s", i, g, w)
		}
	}
	return nil
}

// Record is the digest of the release record that p, which is of our build type, is
// about. It is empty for a provenance of another.
func (p *Provenance) Record() artifact.Digest {
	if p.Internal == nil || len(p.RunDetails.Byproducts) == 0 {
		return ""
	}
	last := p.RunDetails.Byproducts[len(p.RunDetails.Byproducts)-1] // check has seen to it
	return artifact.Digest("sha256:" + last.Digest["sha256"])
}
