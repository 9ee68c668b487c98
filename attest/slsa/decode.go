package slsa

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/pass"
)

// IsProvenance reports whether DecodeProvenance reads predicates of a type: SLSA provenance of the
// versions 1 and 0.2.
func IsProvenance(predicateType string) bool {
	return predicateType == ProvenanceType || predicateType == provenanceType02
}

// DecodeProvenance reads a provenance. For [BuildType] it accepts what NewProvenance writes and
// nothing else: unknown members, absent ones and values that contradict each other are refused. For
// a foreign build type the members that Provenance has must be of the right kind, and must be there
// where the specification requires them. Others are ignored, as it demands.
func DecodeProvenance(s intoto.Statement) (*Provenance, error) {
	p, err := decodeProvenance(s)
	if err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	return p, nil
}

// decodeProvenance is DecodeProvenance without the word in front of its errors.
func decodeProvenance(s intoto.Statement) (*Provenance, error) {
	if !IsProvenance(s.PredicateType) {
		return nil, fmt.Errorf("predicateType %.200q: want %q", s.PredicateType, ProvenanceType)
	}

	predicate, err := s.CompactPredicate()
	if err != nil {
		return nil, err
	}

	// Nothing of ours has the older version.
	if s.PredicateType == provenanceType02 {
		return readForeign02(predicate)
	}

	// The build type decides how strict the rest is.
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

// checkProvenance checks the parts of a provenance of ours against each other.
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

	// The toolchain is the one thing that the parameters do not tell. All others are derived.
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
	if err := checkDescriptors(deps, want); err != nil {
		return fmt.Errorf("resolvedDependencies%w", err)
	}
	return p.RunDetails.checkRunDetails(p, s)
}

// checkParameters checks what the caller chose against the recipes.
func (ext *ExternalParameters) checkParameters(in *InternalParameters) error {
	if len(in.Recipes) == 0 {
		return errors.New("internalParameters: recipes: there is none")
	}

	// All recipes have the first one's source.
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
	case claimed.Commit != "" && (!isObjectName(src.Commit) || !isObjectName(src.Tree)):
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

// isObjectName reports whether s is the full name of a git object.
func isObjectName(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// checkRunDetails checks what the run says of itself: its times, what each pass made, and the
// record at the end.
func (d *RunDetails) checkRunDetails(p *Provenance, s intoto.Statement) error {
	if v := d.Builder.Version; len(v) != 2 || v["twice"] == "" || v["go"] == "" {
		return fmt.Errorf("builder: version %v: want those of twice and go", v)
	}

	start, err1 := time.Parse(timeFormat, d.Metadata.StartedOn)
	end, err2 := time.Parse(timeFormat, d.Metadata.FinishedOn)
	if err := errors.Join(err1, err2); err != nil || end.Before(start) {
		return fmt.Errorf("metadata: from %.50q to %.50q: not times in order", d.Metadata.StartedOn, d.Metadata.FinishedOn)
	}

	// What pass A built is the subject of that name.
	subject := map[string]artifact.Digest{}
	for _, sub := range s.Subjects {
		subject[sub.Name] = sub.Digest
	}

	rest := d.Byproducts
	for _, r := range p.Internal.Recipes {
		t, name := r.Recipe.Target, r.Recipe.Binary
		a, err := checkPasses(rest, PassName(pass.A, t, name), PassName(pass.B, t, name))
		if err != nil {
			return err
		}
		if path := "bin/" + t.Slug() + "/" + name; subject[path] != a {
			return fmt.Errorf("byproducts: %s: pass A built %s, and the subject is %s", path, a, cmp.Or(subject[path], "not there"))
		}
		rest = rest[2:]
	}

	// Files of the source tree come next, in archives alone.
	for ; len(rest) > 1; rest = rest[2:] {
		name, ok := strings.CutPrefix(rest[0].Name, PassFile(pass.A, ""))
		if !ok {
			return fmt.Errorf("byproducts: %.200q: unknown", rest[0].Name)
		}
		if _, err := checkPasses(rest, PassFile(pass.A, name), PassFile(pass.B, name)); err != nil {
			return err
		}
	}

	// The record is last, and its annotations are the circumstances.
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
	if err := p.Circumstances.checkCompilations(names); err != nil {
		return fmt.Errorf("byproducts: %s: %w", recordName, err)
	}

	return nil
}

// checkPasses reads the two descriptors of what the passes made. It returns the digest of the
// first.
func checkPasses(list []intoto.Descriptor, nameA, nameB string) (artifact.Digest, error) {
	if len(list) < 2 {
		return "", fmt.Errorf("byproducts: no %s", nameA)
	}

	// Nothing else in the document tells which of the passing verdicts it was.
	a, b := artifact.Digest("sha256:"+list[0].Digest["sha256"]), artifact.Digest("sha256:"+list[1].Digest["sha256"])
	for _, v := range []compare.Verdict{compare.Reproduced, compare.Equivalent} {
		if checkDescriptors(list[:2], []intoto.Descriptor{passDescriptor(nameA, a, v), passDescriptor(nameB, b, v)}) == nil &&
			len(a.Hex()) == 64 && len(b.Hex()) == 64 && (a == b || v == compare.Equivalent) {
			return a, nil
		}
	}

	return "", fmt.Errorf("byproducts: want %s and %s with equal digests, or a verdict that explains why not", nameA, nameB)
}

// checkDescriptors compares the descriptors of a document with those that were derived.
func checkDescriptors(got, want []intoto.Descriptor) error {
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

// RecordDigest returns the digest of the release record that p is about. It is empty for provenance
// of a foreign build type.
func (p *Provenance) RecordDigest() artifact.Digest {
	if p.Internal == nil || len(p.RunDetails.Byproducts) == 0 {
		return ""
	}
	last := p.RunDetails.Byproducts[len(p.RunDetails.Byproducts)-1] // check has seen to it
	return artifact.Digest("sha256:" + last.Digest["sha256"])
}
