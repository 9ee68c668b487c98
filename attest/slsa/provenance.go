package slsa

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
)

// Provenance is a provenance predicate (https://slsa.dev/spec/v1.0/provenance#schema). Of a foreign
// one only the members that are here are read. One of version 0.2 has its materials as dependencies
// and no parameters (https://slsa.dev/spec/v0.2/provenance).
type Provenance struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`

	// External and Internal are the parameters, and Circumstances those of the
	// double build, if the build type is ours, and nil otherwise.
	External      *ExternalParameters `json:"-"`
	Internal      *InternalParameters `json:"-"`
	Circumstances *Circumstances      `json:"-"`

	// invocation is that of version 0.2, nil for version 1.
	invocation *invocation
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

// Builder is trusted to have built, and to have told the truth about it.
type Builder struct {
	// ID is a URI.
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// Metadata are an identifier of the execution and its times, as RFC 3339 writes them.
type Metadata struct {
	InvocationID string `json:"invocationId,omitempty"`
	StartedOn    string `json:"startedOn,omitempty"`
	FinishedOn   string `json:"finishedOn,omitempty"`
}

// ExternalParameters are what the caller of twice chose. The fields of these types stand in the
// order of their JSON names.
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
	// Path is its path in the repository, with slashes. If the source is a module it is the name of
	// the file.
	Path string `json:"path"`
	// Uncommitted tells that it is not the one in the commit.
	Uncommitted bool `json:"uncommitted,omitempty"`
}

// Source is a git commit, or a module version.
type Source struct {
	Commit string `json:"commit,omitempty"`
	Module string `json:"module,omitempty"`
	// Repository is the URL of the clone's origin, without credentials. It is empty if there is no
	// origin.
	Repository string `json:"repository,omitempty"`
	// Tag is the git tag that the version comes from.
	Tag string `json:"tag,omitempty"`
	// Uncommitted tells that there were uncommitted changes, so that Commit is not quite what was
	// built.
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

// Invocation says who ran twice. The record does not know it.
type Invocation struct {
	// Builder is the builder.id, a URI. If it is empty, it is LocalBuilder.
	Builder string
	// ID identifies the run among all others: the address of a CI job, or something random. It may
	// be empty.
	ID string
}

// NewProvenance returns the provenance of a release. Its subjects are the artifacts of rec, its
// images and their manifests. The digest of rec is among the byproducts, so rec has to be what is
// written as release.json, byte for byte. A record of builds that were not reproduced has no
// artifacts, and so no provenance.
func NewProvenance(rec *record.Record, invocation Invocation) (intoto.Statement, error) {
	s, err := newProvenance(rec, invocation)
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("provenance: %w", err)
	}
	return s, nil
}

// newProvenance is NewProvenance without the word in front of its errors.
func newProvenance(rec *record.Record, invocation Invocation) (intoto.Statement, error) {
	encoded, err := rec.Encode()
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

	// A module version is the whole name of its source.
	if rec.Source.Module != "" { // the version is all that there is
		ext.Source = Source{Module: rec.Source.Module, Version: rec.Source.Version}
	}
	if rec.Epoch != rec.Source.Time.Unix() {
		ext.SourceDateEpoch = &rec.Epoch
	}

	// Byproducts are what each pass made, so that a reader sees both.
	in := &InternalParameters{Bases: rec.Bases, Epoch: rec.Epoch, Project: rec.Project, ReleaseVersion: rec.Version}
	var byproducts []intoto.Descriptor
	for _, b := range rec.Binaries {
		in.Recipes = append(in.Recipes, Recipe{Digest: sha256Set(b.RecipeDigest), Recipe: b.Recipe})
		byproducts = append(byproducts,
			passDescriptor(PassName(pass.A, b.Target, b.Name), b.A, b.Verdict),
			passDescriptor(PassName(pass.B, b.Target, b.Name), b.B, b.Verdict))
	}
	for _, f := range rec.Files {
		byproducts = append(byproducts,
			passDescriptor(PassFile(pass.A, f.Name), f.A, f.Verdict),
			passDescriptor(PassFile(pass.B, f.Name), f.B, f.Verdict))
	}

	ext.Targets = in.targets()
	notes, err := intoto.Annotations(circumstancesOf(rec))
	if err != nil {
		return intoto.Statement{}, err
	}
	byproducts = append(byproducts, intoto.Descriptor{
		Name: recordName, Digest: sha256Set(artifact.Of(encoded)), MediaType: "application/json", Annotations: notes,
	})

	toolchain, err := toolchainDescriptor(rec)
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
				ID:      cmp.Or(invocation.Builder, LocalBuilder),
				Version: map[string]string{"twice": rec.Tool.Version, "go": rec.Tool.Go},
			},
			Metadata: Metadata{
				InvocationID: invocation.ID,
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

	s := intoto.Statement{Subjects: subjectsOf(rec), PredicateType: ProvenanceType}
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

// subjectsOf returns the artifacts and, of each image, its index and its manifests. They are named
// repository:tag and repository:tag#platform.
func subjectsOf(rec *record.Record) []intoto.Subject {
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
