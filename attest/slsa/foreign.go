package slsa

import (
	"encoding/json"
	"fmt"

	"github.com/twicebuild/twice/attest/intoto"
)

// object is a JSON object of somebody else. Unknown members are ignored. Names match exactly, which
// they do not where encoding/json fills a struct.
type object map[string]json.RawMessage

// required reads a member into to. It is an error if the member is absent or null.
func (o object) required(name string, to any) error {
	if !o.has(name) {
		return fmt.Errorf("no member %q", name)
	}
	return o.optional(name, to)
}

// optional reads a member into to, unless the member is absent or null.
func (o object) optional(name string, to any) error {
	if !o.has(name) {
		return nil
	}
	if err := json.Unmarshal(o[name], to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// has reports whether there is a member, and it is not null.
func (o object) has(name string) bool {
	raw, ok := o[name]
	return ok && string(raw) != "null"
}

// firstError returns the first of the errors, with where it was in front.
func firstError(where string, errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return nil
}

// descriptors reads descriptors of somebody else. Members that a Descriptor does not have are
// ignored, and so are URIs and names that it would refuse. A digest that is no string is an error.
func descriptors(list []object) ([]intoto.Descriptor, error) {
	var out []intoto.Descriptor
	for i, o := range list {
		var d intoto.Descriptor
		if err := firstError(fmt.Sprintf("[%d]", i), o.optional("name", &d.Name), o.optional("uri", &d.URI), o.optional("digest", &d.Digest),
			o.optional("annotations", &d.Annotations)); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// readForeign reads the members that a Provenance has, whoever made the predicate. Unknown members
// are ignored, as the specification demands.
func readForeign(predicate []byte) (*Provenance, error) {
	var p Provenance
	var top, def, run, builder, meta, ext, int object
	if err := json.Unmarshal(predicate, &top); err != nil {
		return nil, err
	}
	if err := firstError("predicate", top.required("buildDefinition", &def), top.required("runDetails", &run)); err != nil {
		return nil, err
	}
	var deps, byproducts []object
	if err := firstError("buildDefinition",
		def.required("buildType", &p.BuildDefinition.BuildType),
		def.required("externalParameters", &ext),
		def.optional("internalParameters", &int),
		def.optional("resolvedDependencies", &deps),
	); err != nil {
		return nil, err
	}
	p.BuildDefinition.ExternalParameters, p.BuildDefinition.InternalParameters = def["externalParameters"], def["internalParameters"]

	if err := firstError("runDetails",
		run.required("builder", &builder),
		run.optional("metadata", &meta),
		run.optional("byproducts", &byproducts),
	); err != nil {
		return nil, err
	}

	if err := firstError("runDetails: builder", builder.required("id", &p.RunDetails.Builder.ID),
		builder.optional("version", &p.RunDetails.Builder.Version)); err != nil {
		return nil, err
	}
	if err := firstError("runDetails: metadata", meta.optional("invocationId", &p.RunDetails.Metadata.InvocationID),
		meta.optional("startedOn", &p.RunDetails.Metadata.StartedOn),
		meta.optional("finishedOn", &p.RunDetails.Metadata.FinishedOn)); err != nil {
		return nil, err
	}

	var err error
	if p.BuildDefinition.ResolvedDependencies, err = descriptors(deps); err != nil {
		return nil, fmt.Errorf("resolvedDependencies%w", err)
	}
	if p.RunDetails.Byproducts, err = descriptors(byproducts); err != nil {
		return nil, fmt.Errorf("byproducts%w", err)
	}

	return &p, firstError("runDetails: builder: id", intoto.CheckURI(p.RunDetails.Builder.ID))
}

// Source returns the source that was built, as the build type defines it. It is an error for build
// types other than ours, those of GitHub's workflows, of the SLSA generators and of the npm client:
// nothing tells which of the dependencies was the source. It is an error, too, if two places of the
// provenance contradict each other.
func (p *Provenance) Source() (Source, error) {
	if p.External != nil {
		return p.External.Source, nil
	}
	r, err := p.run()
	if err != nil {
		return Source{}, err
	}
	return r.source(), nil
}
