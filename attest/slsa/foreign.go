package slsa

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/intoto"
)

// object is a JSON object of somebody else: unknown members are ignored, but
// names match exactly, as they do not where encoding/json fills a struct.
type object map[string]json.RawMessage

// get reads a member into to. One that is absent or null is an error only if it
// is required.
func (o object) get(name string, required bool, to any) error {
	raw, ok := o[name]
	if !ok || string(raw) == "null" {
		if required {
			return fmt.Errorf("no member %q", name)
		}
		return nil
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// in prefixes the errors of several gets with where they were.
func in(where string, errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return nil
}

// descriptors reads descriptors of somebody else. Members that a Descriptor does
// not have are ignored, and so are URIs and names that it would refuse; a digest
// that is no string is not.
func descriptors(list []object) ([]intoto.Descriptor, error) {
	var out []intoto.Descriptor
	for i, o := range list {
		var d intoto.Descriptor
		if err := in(fmt.Sprintf("[%d]", i), o.get("name", false, &d.Name), o.get("uri", false, &d.URI), o.get("digest", false, &d.Digest),
			o.get("annotations", false, &d.Annotations)); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func readForeign(predicate []byte) (*Provenance, error) {
	var p Provenance
	var top, def, run, builder, meta, ext, int object
	if err := json.Unmarshal(predicate, &top); err != nil {
		return nil, err
	}
	if err := in("predicate", top.get("buildDefinition", true, &def), top.get("runDetails", true, &run)); err != nil {
		return nil, err
	}
	var deps, byproducts []object
	if err := in("buildDefinition",
		def.get("buildType", true, &p.BuildDefinition.BuildType),
		def.get("externalParameters", true, &ext),
		def.get("internalParameters", false, &int),
		def.get("resolvedDependencies", false, &deps),
	); err != nil {
		return nil, err
	}
	p.BuildDefinition.ExternalParameters, p.BuildDefinition.InternalParameters = def["externalParameters"], def["internalParameters"]
	if err := in("runDetails",
		run.get("builder", true, &builder),
		run.get("metadata", false, &meta),
		run.get("byproducts", false, &byproducts),
	); err != nil {
		return nil, err
	}
	if err := in("runDetails: builder", builder.get("id", true, &p.RunDetails.Builder.ID),
		builder.get("version", false, &p.RunDetails.Builder.Version)); err != nil {
		return nil, err
	}
	if err := in("runDetails: metadata", meta.get("invocationId", false, &p.RunDetails.Metadata.InvocationID),
		meta.get("startedOn", false, &p.RunDetails.Metadata.StartedOn),
		meta.get("finishedOn", false, &p.RunDetails.Metadata.FinishedOn)); err != nil {
		return nil, err
	}
	var err error
	if p.BuildDefinition.ResolvedDependencies, err = descriptors(deps); err != nil {
		return nil, fmt.Errorf("resolvedDependencies%w", err)
	}
	if p.RunDetails.Byproducts, err = descriptors(byproducts); err != nil {
		return nil, fmt.Errorf("byproducts%w", err)
	}
	return &p, in("runDetails: builder: id", intoto.CheckURI(p.RunDetails.Builder.ID))
}

// workflowTypes are the build types of a GitHub workflow, which agree about the
// member workflow of their externalParameters
// (https://actions.github.io/buildtypes/workflow/v1,
// https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1).
var workflowTypes = []string{
	"https://actions.github.io/buildtypes/workflow/v1",
	"https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
}

// Source returns what was built from, as the build type defines it. For build
// types other than ours and that of GitHub's workflows it is an error: there is
// no telling which of the dependencies was the source. So it is for parameters
// that the build type's document does not have, or that this program cannot
// judge (inputs of a workflow that was started by hand).
func (p *Provenance) Source() (Source, error) {
	switch {
	case p.External != nil:
		return p.External.Source, nil
	case !slices.Contains(workflowTypes, p.BuildDefinition.BuildType):
		return Source{}, fmt.Errorf("build type %.200q: unknown, so there is no telling what was built from", p.BuildDefinition.BuildType)
	}
	var ext, workflow object
	if err := json.Unmarshal(p.BuildDefinition.ExternalParameters, &ext); err != nil {
		return Source{}, fmt.Errorf("externalParameters: %w", err)
	}
	if err := ext.get("workflow", true, &workflow); err != nil {
		return Source{}, fmt.Errorf("externalParameters: %w", err)
	}
	for name := range ext {
		if name != "workflow" {
			return Source{}, fmt.Errorf("externalParameters: %.200q: cannot be judged", name)
		}
	}
	for name := range workflow {
		if !slices.Contains([]string{"path", "ref", "repository"}, name) {
			return Source{}, fmt.Errorf("externalParameters: workflow: unknown member %.200q", name)
		}
	}
	var s Source
	var ref string
	if err := in("externalParameters: workflow", workflow.get("repository", true, &s.Repository), workflow.get("ref", true, &ref)); err != nil {
		return Source{}, err
	}
	s.Tag, _ = strings.CutPrefix(ref, "refs/tags/")
	if s.Tag == ref {
		s.Tag = ""
	}
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		if d.URI == "git+"+s.Repository+"@"+ref {
			if c := d.Digest["gitCommit"]; s.Commit != "" && c != s.Commit {
				return Source{}, errors.New("resolvedDependencies: the source is there twice")
			} else {
				s.Commit = c
			}
		}
	}
	return s, nil
}
