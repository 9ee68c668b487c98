package slsa

import (
	"encoding/json"
	"fmt"

	"github.com/twicebuild/twice/attest/intoto"
)

// invocation is the part of a provenance v0.2 that says what started the build
// (https://slsa.dev/spec/v0.2/provenance#invocation).
type invocation struct {
	// uri and digest name the source of the file that defines the build, and entryPoint is that
	// file's path, or what the build type takes for it.
	uri        string
	digest     map[string]string
	entryPoint string
	// environment is what the builder knew of the run. It is nil if there is none.
	environment object
}

// readForeign02 reads the members of a provenance v0.2 that a Provenance has, whoever made it.
// Unknown members are ignored, as the specification demands.
func readForeign02(predicate []byte) (*Provenance, error) {
	p := &Provenance{invocation: &invocation{}}
	var top, builder, started, config, meta object
	var materials []object
	if err := json.Unmarshal(predicate, &top); err != nil {
		return nil, err
	}

	if err := firstError("predicate",
		top.required("builder", &builder),
		top.required("buildType", &p.BuildDefinition.BuildType),
		top.optional("invocation", &started),
		top.optional("metadata", &meta),
		top.optional("materials", &materials),
	); err != nil {
		return nil, err
	}
	if err := firstError("builder", builder.required("id", &p.RunDetails.Builder.ID)); err != nil {
		return nil, err
	}

	if err := firstError("invocation",
		started.optional("configSource", &config),
		started.optional("environment", &p.invocation.environment),
	); err != nil {
		return nil, err
	}
	if err := firstError("invocation: configSource",
		config.optional("uri", &p.invocation.uri),
		config.optional("digest", &p.invocation.digest),
		config.optional("entryPoint", &p.invocation.entryPoint),
	); err != nil {
		return nil, err
	}

	if err := firstError("metadata",
		meta.optional("buildInvocationId", &p.RunDetails.Metadata.InvocationID),
		meta.optional("buildStartedOn", &p.RunDetails.Metadata.StartedOn),
		meta.optional("buildFinishedOn", &p.RunDetails.Metadata.FinishedOn),
	); err != nil {
		return nil, err
	}

	// What version 1 calls dependencies are the materials here.
	var err error
	if p.BuildDefinition.ResolvedDependencies, err = descriptors(materials); err != nil {
		return nil, fmt.Errorf("materials%w", err)
	}
	return p, firstError("builder: id", intoto.CheckURI(p.RunDetails.Builder.ID))
}
