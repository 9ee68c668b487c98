package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// equalRepository compares the addresses of two repositories.
func equalRepository(got, want string) (Outcome, string) {
	g, err := repositoryOf(got)
	if err != nil {
		return Failed, err.Error()
	}
	w, err := repositoryOf(want)
	if err != nil {
		return Failed, err.Error()
	}
	return equal(g, w)
}

// certifies holds what a certificate says against an expectation. Certificates that people got, and
// those of some CI systems, say nothing: then the provenance alone has to show it.
func certifies(got string, show func(string) (Outcome, string)) (Outcome, string) {
	if got == "" {
		return Met, ""
	}
	outcome, reason := show(got)
	if outcome != Met {
		reason = "by the certificate " + reason
	}
	return outcome, reason
}

// versionTag is the ref of a release of a builder.
var versionTag = regexp.MustCompile(`^refs/tags/v[0-9]+\.[0-9]+\.[0-9]+$`)

// isBuilder reports whether id is a builder's. An expectation without a ref is met by each release
// of a workflow.
func isBuilder(id, expected string) bool {
	name, ref, ok := strings.Cut(id, "@")
	return id == expected || ok && name == expected && versionTag.MatchString(ref)
}

// workflowPath is in the address of each definition of a GitHub workflow.
const workflowPath = "/.github/workflows/"

// delegators are workflows that run other builders, and sign with their own identity what those
// say of themselves. They are told of those by GitHub
// (https://github.com/slsa-framework/slsa-github-generator/blob/main/BYOB.md).
var delegators = []string{
	"https://github.com/slsa-framework/slsa-github-generator/.github/workflows/delegator_generic_slsa3.yml",
	"https://github.com/slsa-framework/slsa-github-generator/.github/workflows/delegator_lowperms-generic_slsa3.yml",
}

// hosts are the builders of jobs that no reusable workflow isolates, by what the certificate says of
// the machine.
var hosts = map[string]string{
	"https://github.com/actions/runner":               "github-hosted",
	"https://github.com/actions/runner/github-hosted": "github-hosted",
	"https://github.com/actions/runner/self-hosted":   "self-hosted",
}

// checkBuilder returns Met if the builder is one of those that are expected, and the signer may
// speak for it. A workflow signs for itself alone, and a job for the kind of machine that it ran on.
func (prov signedProvenance) checkBuilder(expected []string) (Outcome, string) {
	id := prov.RunDetails.Builder.ID
	if !slices.ContainsFunc(expected, func(e string) bool { return isBuilder(id, e) }) {
		return Failed, fmt.Sprintf("it is %.200q, not %s", id, strings.Join(expected, " or "))
	}

	c := prov.certificate
	if c == nil {
		return Met, ""
	}
	if host, ok := hosts[id]; ok && c.RunnerEnvironment != host {
		return Failed, fmt.Sprintf("it is %.200q, and the certificate is for a machine that is %.100q", id, c.RunnerEnvironment)
	}
	delegated := slices.ContainsFunc(delegators, func(d string) bool { return isBuilder(c.Name, d) && c.Name != d })
	if strings.Contains(id, workflowPath) && id != c.Name && !delegated {
		return Failed, fmt.Sprintf("it is %.200q, and signed by %.200q", id, c.Name)
	}
	return Met, ""
}

// checkBranch returns Met if the source was built from a branch.
func (prov signedProvenance) checkBranch(expected string) (Outcome, string) {
	branch, err := prov.Branch()
	switch {
	case err != nil:
		return NotShown, err.Error()
	case branch == "":
		return NotShown, "the provenance names no branch"
	}
	if o, reason := equal(branch, expected); o != Met || prov.certificate == nil {
		return o, reason
	}

	// The certificate of a job that ran for a tag does not name its branch.
	ref := prov.certificate.SourceRepositoryRef
	if !strings.HasPrefix(ref, "refs/heads/") {
		return Met, ""
	}
	return certifies(ref, func(got string) (Outcome, string) { return equal(got, "refs/heads/"+expected) })
}

// checkWorkflow returns Met if a workflow built it, by the path of its definition.
func (prov signedProvenance) checkWorkflow(expected string) (Outcome, string) {
	w, err := prov.Workflow()
	switch {
	case err != nil:
		return NotShown, err.Error()
	case w.Path == "":
		return NotShown, "the provenance names no workflow"
	}
	if o, reason := equal(w.Path, expected); o != Met || prov.certificate == nil {
		return o, reason
	}

	// The address has the repository in front and the ref behind.
	return certifies(prov.certificate.BuildConfig, func(got string) (Outcome, string) {
		path, _, _ := strings.Cut(strings.TrimPrefix(got, w.Repository+"/"), "@")
		return equal(path, expected)
	})
}
