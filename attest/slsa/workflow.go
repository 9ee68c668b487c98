package slsa

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Workflow is the job of a CI system that a build ran in.
type Workflow struct {
	// Repository is the URL of the repository that defines it.
	Repository string
	// Ref is the git ref that it ran for, such as refs/tags/v1.2.3.
	Ref string
	// Path is that of its definition in the repository, such as .github/workflows/release.yml.
	Path string
}

// workflowTypes are the build types of a GitHub workflow. They agree about the member workflow of
// their externalParameters (https://actions.github.io/buildtypes/workflow/v1,
// https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1).
var workflowTypes = []string{
	"https://actions.github.io/buildtypes/workflow/v1",
	"https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
}

// The build types of the SLSA generators for GitHub (github.com/slsa-framework/slsa-github-generator,
// internal/builders) and of the npm client (github.com/npm/cli, workspaces/libnpmpublish).
const (
	delegatorType = "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0"
	npmType1      = "https://github.com/npm/cli/gha@v1"
)

// generatorTypes are those of version 1 whose internalParameters have the variables of GitHub's
// environment, and whose first dependency is the source.
var generatorTypes = []string{delegatorType, "https://slsa.dev/container-based-build/v0.1?draft"}

// generatorTypes02 are those of version 0.2. Their configSource is the workflow, and the first
// material is the source.
var generatorTypes02 = []string{
	delegatorType,
	"https://github.com/slsa-framework/slsa-github-generator/go@v1",
	"https://github.com/slsa-framework/slsa-github-generator/generic@v1",
	"https://github.com/slsa-framework/slsa-github-generator/container@v1",
	"https://github.com/slsa-framework/slsa-github-generator-go@v1",
	"https://github.com/slsa-framework/slsa-github-generator@v1",
	npmType1,
	"https://github.com/npm/cli/gha/v2",
}

// run is what a provenance says of the CI job that it is of.
type run struct {
	workflow Workflow
	// sourceURI and commit name what was built. The URI may lack a ref.
	sourceURI, commit string
	// variables are those of GitHub's environment, by their names in lower case. They may be
	// missing.
	variables object
}

// Workflow returns the CI job that made the build, as the build type defines it. It is an error for
// build types that are not known, and for ours, which no CI job defines.
func (p *Provenance) Workflow() (Workflow, error) {
	r, err := p.run()
	return r.workflow, err
}

// Branch returns the branch that the source was built from, without refs/heads/. For a tag it is
// the branch that the event was about which started the job, if the provenance has the event, or
// empty. Errors are those of Source.
func (p *Provenance) Branch() (string, error) {
	r, err := p.run()
	if err != nil {
		return "", err
	}
	if branch, ok := strings.CutPrefix(r.workflow.Ref, "refs/heads/"); ok {
		return branch, nil
	}
	return r.branchOfEvent()
}

// run reads what p says of its CI job, by the rules of its build type.
func (p *Provenance) run() (run, error) {
	known, read := workflowTypes, p.workflowRun
	switch {
	case p.invocation != nil:
		known, read = generatorTypes02, p.generatorRun02
	case slices.Contains(generatorTypes, p.BuildDefinition.BuildType):
		known, read = generatorTypes, p.generatorRun
	}
	if !slices.Contains(known, p.BuildDefinition.BuildType) {
		return run{}, fmt.Errorf("build type %.200q: unknown, so there is no telling what was built from", p.BuildDefinition.BuildType)
	}

	r, err := read()
	if err != nil {
		return run{}, err
	}
	return r, r.checkRun()
}

// workflowRun reads the parameters of a GitHub workflow. Parameters that the build type's document
// does not have are an error, and so are those that this program cannot judge (inputs of a workflow
// that was started by hand): they may have changed what was built.
func (p *Provenance) workflowRun() (run, error) {
	var ext object
	if err := json.Unmarshal(p.BuildDefinition.ExternalParameters, &ext); err != nil {
		return run{}, fmt.Errorf("externalParameters: %w", err)
	}
	var r run
	if err := r.readWorkflow(ext); err != nil {
		return run{}, err
	}
	for name := range ext {
		if name != "workflow" {
			return run{}, fmt.Errorf("externalParameters: %.200q: cannot be judged", name)
		}
	}

	// The workflow's repository and ref name the dependency that has the commit.
	r.sourceURI = "git+" + r.workflow.Repository + "@" + r.workflow.Ref
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		if d.URI != r.sourceURI {
			continue
		}
		c := d.Digest["gitCommit"]
		if r.commit != "" && c != r.commit {
			return run{}, errors.New("resolvedDependencies: the source is there twice")
		}
		r.commit = c
	}
	return r, nil
}

// readWorkflow reads the member workflow of external parameters.
func (r *run) readWorkflow(ext object) error {
	var workflow object
	if err := firstError("externalParameters", ext.required("workflow", &workflow)); err != nil {
		return err
	}
	for name := range workflow {
		if !slices.Contains([]string{"path", "ref", "repository"}, name) {
			return fmt.Errorf("externalParameters: workflow: unknown member %.200q", name)
		}
	}
	return firstError("externalParameters: workflow",
		workflow.required("repository", &r.workflow.Repository),
		workflow.required("ref", &r.workflow.Ref),
		workflow.optional("path", &r.workflow.Path))
}

// generatorRun reads what the SLSA generators write in version 1.
func (p *Provenance) generatorRun() (run, error) {
	var internal object
	if err := json.Unmarshal(p.BuildDefinition.InternalParameters, &internal); err != nil {
		return run{}, fmt.Errorf("internalParameters: %w", err)
	}
	variables, err := internal.lower()
	if err != nil {
		return run{}, err
	}

	// OWNER/NAME/PATH@REF names the workflow that called the generator.
	r := run{variables: variables}
	var ref string
	if err := firstError("internalParameters", r.variables.required("github_workflow_ref", &ref)); err != nil {
		return run{}, err
	}
	definition, ref, ok := strings.Cut(ref, "@")
	parts := strings.SplitN(definition, "/", 3)
	if !ok || len(parts) < 3 {
		return run{}, fmt.Errorf("internalParameters: GITHUB_WORKFLOW_REF %.200q: want OWNER/NAME/PATH@REF", definition)
	}
	r.workflow = Workflow{Repository: gitHub + parts[0] + "/" + parts[1], Ref: ref, Path: parts[2]}
	return r, r.takeSource(p)
}

// generatorRun02 reads what the SLSA generators and the npm client write in version 0.2.
func (p *Provenance) generatorRun02() (run, error) {
	repository, ref, err := splitGitURI(p.invocation.uri)
	if err != nil {
		return run{}, fmt.Errorf("invocation: configSource: %w", err)
	}
	variables, err := p.invocation.environment.lower()
	if err != nil {
		return run{}, err
	}
	r := run{workflow: Workflow{Repository: repository, Ref: ref, Path: p.invocation.entryPoint}, variables: variables}
	if err := r.takeSource(p); err != nil {
		return run{}, err
	}

	// The commit of the workflow is that of the source, unless a job of the generator's made one.
	config := material{Digest: p.invocation.digest}.commit()
	if _, ref, _ := splitGitURI(r.sourceURI); ref != "" && config != "" && r.commit != "" && config != r.commit {
		return run{}, fmt.Errorf("the source is commit %.64q, and the workflow that built it is of %.64q", r.commit, config)
	}
	return r, nil
}

// takeSource takes the source from the first dependency. It has to be the workflow's repository at
// the same ref. Some generators leave the ref out, since a job of theirs may commit something first.
func (r *run) takeSource(p *Provenance) error {
	deps := p.BuildDefinition.ResolvedDependencies
	if len(deps) == 0 {
		return errors.New("it names no source")
	}
	r.sourceURI = deps[0].URI
	r.commit = material{URI: deps[0].URI, Digest: deps[0].Digest}.commit()

	repository, ref, err := splitGitURI(r.sourceURI)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	withoutRef := []string{delegatorType, npmType1}
	switch {
	case repository != r.workflow.Repository:
		return fmt.Errorf("the source is %.200q, and the workflow that built it is of %.200q", repository, r.workflow.Repository)
	case ref == "" && !slices.Contains(withoutRef, p.BuildDefinition.BuildType):
		return fmt.Errorf("source %.200q: without a ref", r.sourceURI)
	case ref != "" && ref != r.workflow.Ref:
		return fmt.Errorf("the source is at %.200q, and the workflow that built it ran for %.200q", ref, r.workflow.Ref)
	}
	return nil
}

// gitHub is the address that owners and names of repositories are relative to.
const gitHub = "https://github.com/"

// splitGitURI splits git+https://HOST/OWNER/NAME@REF. The ref may be missing.
func splitGitURI(uri string) (repository, ref string, err error) {
	repository, ref = splitURI(uri)
	if !strings.HasPrefix(uri, "git+https://") || repository == "" {
		return "", "", fmt.Errorf("%.200q: want git+https://HOST/OWNER/NAME@REF", uri)
	}
	return repository, ref, nil
}

// checkRun returns an error unless the parts of a run agree.
func (r run) checkRun() error {
	if r.workflow.Ref == "" {
		return errors.New("the workflow's ref is missing")
	}

	// The environment has the ref a second time.
	var ref string
	if err := firstError("environment", r.variables.optional("github_ref", &ref)); err != nil {
		return err
	}
	if ref != "" && ref != r.workflow.Ref {
		return fmt.Errorf("the workflow ran for %.200q, and the environment says %.200q", r.workflow.Ref, ref)
	}
	return nil
}

// source returns the source of a run.
func (r run) source() Source {
	s := Source{Repository: r.workflow.Repository, Commit: r.commit}
	if tag, ok := strings.CutPrefix(r.workflow.Ref, "refs/tags/"); ok {
		s.Tag = tag
	}
	return s
}

// branchOfEvent returns the branch that the event was about: the base of a push, or the target of a
// release. It is empty if the event tells none
// (https://docs.github.com/webhooks/webhook-events-and-payloads).
func (r run) branchOfEvent() (string, error) {
	var kind, base string
	var event, release object
	if err := firstError("environment",
		r.variables.optional("github_base_ref", &base),
		r.variables.optional("github_event_name", &kind),
		r.variables.optional("github_event_payload", &event),
	); err != nil {
		return "", err
	}

	switch {
	case base != "":
	case kind == "push":
		if err := firstError("environment: event", event.optional("base_ref", &base)); err != nil {
			return "", err
		}
	case kind == "release":
		if err := firstError("environment: event", event.optional("release", &release)); err != nil {
			return "", err
		}
		if err := firstError("environment: event: release", release.optional("target_commitish", &base)); err != nil {
			return "", err
		}
		return base, nil
	}
	branch, _ := strings.CutPrefix(base, "refs/heads/")
	return branch, nil
}

// lower returns an object with the names of its members in lower case, since the generators write
// the names of variables either way. It is an error if one is there both ways: it says two things.
func (o object) lower() (object, error) {
	low := make(object, len(o))
	for name, value := range o {
		if name = strings.ToLower(name); low.has(name) {
			return nil, fmt.Errorf("environment: %.200q is there twice", name)
		}
		low[name] = value
	}
	return low, nil
}
