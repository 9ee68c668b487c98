package slsa

import (
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest/intoto"
)

// generated02 is a provenance v0.2 as the SLSA generator for Go writes it.
const generated02 = `{
	"builder": {"id": "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_go_slsa3.yml@refs/tags/v1.2.0"},
	"buildType": "https://github.com/slsa-framework/slsa-github-generator/go@v1",
	"invocation": {
		"configSource": {
			"uri": "git+https://github.com/o/r@refs/tags/v1.0.0", "digest": {"sha1": "64d3f795e189e3af5afbb288d50217603092bd49"},
			"entryPoint": ".github/workflows/release.yml"
		},
		"parameters": {},
		"environment": {
			"github_event_name": "push", "github_event_payload": {"base_ref": "refs/heads/main"},
			"github_ref": "refs/tags/v1.0.0", "github_ref_type": "tag"
		}
	},
	"buildConfig": {"steps": [{"command": ["go", "build"]}], "version": 1},
	"metadata": {"buildInvocationId": "1-1", "completeness": {"parameters": true}, "reproducible": false},
	"materials": [
		{"uri": "git+https://github.com/o/r@refs/tags/v1.0.0", "digest": {"sha1": "64d3f795e189e3af5afbb288d50217603092bd49"}},
		{"uri": "https://github.com/actions/virtual-environments/releases/tag/ubuntu22/20230219.1"}
	]
}`

// delegated is a provenance v1 as a builder writes it that the SLSA generators run.
const delegated = `{
	"buildDefinition": {
		"buildType": "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0",
		"externalParameters": {"inputs": {"rekor-log-public": false}, "workflow": {"path": ".github/workflows/release.yml", "ref": "refs/tags/v1.0.0", "repository": "git+https://github.com/o/r"}},
		"internalParameters": {
			"GITHUB_EVENT_NAME": "release", "GITHUB_EVENT_PAYLOAD": {"release": {"target_commitish": "main"}},
			"GITHUB_REF": "refs/tags/v1.0.0", "GITHUB_REF_TYPE": "tag",
			"GITHUB_WORKFLOW_REF": "o/r/.github/workflows/release.yml@refs/tags/v1.0.0"
		},
		"resolvedDependencies": [{"uri": "git+https://github.com/o/r@refs/tags/v1.0.0", "digest": {"gitCommit": "64d3f795e189e3af5afbb288d50217603092bd49"}}]
	},
	"runDetails": {"builder": {"id": "https://github.com/o/b/.github/workflows/builder.yml@refs/tags/v0.1.0"}}
}`

// foreignExamples are provenance of one build, in the forms of four producers. The one of npm has no
// event.
var foreignExamples = map[string]struct{ predicateType, predicate string }{
	"workflow":  {ProvenanceType, workflow},
	"generator": {provenanceType02, generated02},
	"delegator": {ProvenanceType, delegated},
	"npm": {provenanceType02, strings.NewReplacer("https://github.com/slsa-framework/slsa-github-generator/go@v1", npmType1,
		`"github_`, `"GITHUB_`, `, "GITHUB_event_payload": {"base_ref": "refs/heads/main"}`, "", "_ref", "_REF").Replace(generated02)},
}

// readForeignExample decodes an example with a change, which has to be possible.
func readForeignExample(t testing.TB, name, old, new string) (*Provenance, error) {
	t.Helper()
	e := foreignExamples[name]
	if !strings.Contains(e.predicate, old) {
		t.Fatalf("%s: %q is not in the example", name, old)
	}
	return DecodeProvenance(intoto.Statement{
		Subjects: []intoto.Subject{{Name: "x", Digest: digest("x")}}, PredicateType: e.predicateType,
		Predicate: []byte(strings.ReplaceAll(e.predicate, old, new)),
	})
}

func TestWorkflow(t *testing.T) {
	source := Source{Commit: commit, Repository: "https://github.com/o/r", Tag: "v1.0.0"}
	job := Workflow{Repository: "https://github.com/o/r", Ref: "refs/tags/v1.0.0", Path: ".github/workflows/release.yml"}
	for name := range foreignExamples {
		p, err := readForeignExample(t, name, "", "")
		if err != nil {
			t.Fatal(err)
		}
		s, serr := p.Source()
		w, werr := p.Workflow()
		if s != source || w != job || serr != nil || werr != nil || p.External != nil {
			t.Errorf("%s: %+v, %v; %+v, %v", name, s, serr, w, werr)
		}
		want := map[string]string{"generator": "main", "delegator": "main"}[name]
		if branch, err := p.Branch(); branch != want || err != nil {
			t.Errorf("%s: branch %q, %v", name, branch, err)
		}

		// Of what is built from a branch there is no tag.
		p, err = readForeignExample(t, name, "refs/tags/v1.0.0", "refs/heads/next")
		if err != nil {
			t.Fatal(err)
		}
		s, serr = p.Source()
		branch, berr := p.Branch()
		if s.Tag != "" || s.Commit != commit || branch != "next" || serr != nil || berr != nil {
			t.Errorf("%s: %+v, %v; branch %q, %v", name, s, serr, branch, berr)
		}
	}
}

// TestWorkflowRefuses shows that nothing is taken for the source where two places contradict each
// other, or where it is not known what they mean.
func TestWorkflowRefuses(t *testing.T) {
	const uri = `"uri": "git+https://github.com/o/r@refs/tags/v1.0.0"`
	for _, fault := range []struct{ name, old, new, want string }{
		{"generator", "generator/go@v1", "generator/rust@v1", "no telling"},
		{"generator", `"materials": [`, `"materials": [{"uri": "git+https://github.com/o/other@refs/tags/v1.0.0"}, `, "the workflow that built it is of"},
		{"generator", `"materials": [`, `"materials": [{"uri": "git+https://github.com/o/r@refs/tags/v1.0.1"}, `, "ran for"},
		{"generator", `"materials": [`, `"materials": [{"uri": "git+https://github.com/o/r"}, `, "without a ref"},
		{"generator", `"materials": [`, `"materials": [{"uri": "https://github.com/o/r@refs/tags/v1.0.0"}, `, "want git+https"},
		{"generator", `"digest": {"sha1": "64d3f795e189e3af5afbb288d50217603092bd49"},
			"entryPoint"`, `"digest": {"sha1": "77d3f795e189e3af5afbb288d50217603092bd49"}, "entryPoint"`, "the source is commit"},
		{"generator", `"materials"`, `"Materials"`, "names no source"},
		{"generator", `"configSource"`, `"ConfigSource"`, "want git+https"},
		{"generator", `"github_ref": "refs/tags/v1.0.0"`, `"github_ref": "refs/tags/v1.0.1"`, "the environment says"},
		{"generator", `"github_ref": "refs/tags/v1.0.0"`, `"github_ref": 1`, "github_ref"},
		{"generator", `"github_ref_type"`, `"GITHUB_REF"`, "there twice"},
		{"generator", "@refs/tags/v1.0.0", "", "without a ref"},
		{"generator", `"builder"`, `"Builder"`, `no member "builder"`},
		{"generator", `"buildType"`, `"BuildType"`, `no member "buildType"`},
		{"generator", `"id": "https://`, `"id": "`, "not a URI"},
		{"generator", `"environment": {`, `"environment": 7, "more": {`, "environment"},
		{"generator", `"materials": [`, `"materials": [7, `, "materials"},
		{"npm", uri, `"uri": "git+https://github.com/o/r"`, "ref is missing"},
		{"delegator", `"GITHUB_WORKFLOW_REF"`, `"WORKFLOW_REF"`, "github_workflow_ref"},
		{"delegator", `"o/r/.github/workflows/release.yml@refs/tags/v1.0.0"`, `"o/r"`, "want OWNER/NAME/PATH@REF"},
		{"delegator", `"o/r/.github/workflows/release.yml@refs/tags/v1.0.0"`, `"o/other/.github/workflows/release.yml@refs/tags/v1.0.0"`, "the workflow that built it is of"},
		{"delegator", `"internalParameters"`, `"parameters"`, "internalParameters"},
		{"delegator", `"GITHUB_REF": "refs/tags/v1.0.0"`, `"GITHUB_REF": "refs/heads/main"`, "the environment says"},
		{"workflow", `"ref": "refs/tags/v1.0.0"`, `"ref": ""`, "ref is missing"},
	} {
		p, err := readForeignExample(t, fault.name, fault.old, fault.new)
		if err == nil {
			_, err = p.Source()
		}
		if err == nil || !strings.Contains(err.Error(), fault.want) {
			t.Errorf("%s: %s: %v", fault.name, fault.new, err)
		}
	}

	// A provenance of ours has no CI job that defines it.
	ours, err := DecodeProvenance(provenance(t, release(t), Invocation{}))
	if err != nil {
		t.Fatal(err)
	}
	if w, err := ours.Workflow(); err == nil {
		t.Errorf("%+v", w)
	}
}

// Some generators leave out the ref of the source.
func TestSourceWithoutRef(t *testing.T) {
	for _, name := range []string{"delegator", "npm"} {
		list := map[string]string{"delegator": "resolvedDependencies", "npm": "materials"}[name]
		p, err := readForeignExample(t, name, `"`+list+`": [`, `"`+list+`": [{"uri": "git+https://github.com/o/r", "digest": {"sha1": "`+commit+`"}}, `)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := p.Source(); err != nil || s.Commit != commit {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}
