package policy

import (
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

const (
	goBuilder = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_go_slsa3.yml"
	delegator = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/delegator_generic_slsa3.yml"
	runner    = "https://github.com/actions/runner/github-hosted"
	commit    = "64d3f795e189e3af5afbb288d50217603092bd49"
)

// generated is provenance v0.2 by a builder, with a ref of the source.
func generated(builder, ref string) Statement {
	return Statement{Statement: intoto.Statement{
		Subjects: []intoto.Subject{{Name: "x", Digest: artifact.Of([]byte("x"))}}, PredicateType: "https://slsa.dev/provenance/v0.2",
		Predicate: []byte(strings.NewReplacer("BUILDER", builder, "REF", ref, "COMMIT", commit).Replace(`{
			"builder": {"id": "BUILDER"}, "buildType": "https://github.com/slsa-framework/slsa-github-generator/go@v1",
			"invocation": {
				"configSource": {"uri": "git+https://github.com/o/r@REF", "entryPoint": ".github/workflows/release.yml"},
				"environment": {"github_event_name": "push", "github_event_payload": {"base_ref": "refs/heads/main"}}
			},
			"materials": [{"uri": "git+https://github.com/o/r@REF", "digest": {"sha1": "COMMIT"}}]
		}`)),
	}}
}

// certificate is one that a CI job got which called the Go builder for a tag.
func certificate() attest.Certificate {
	return attest.Certificate{
		Name: goBuilder + "@refs/tags/v2.0.0", Issuer: "https://token.actions.githubusercontent.com",
		SourceRepository: "https://github.com/o/r", SourceRepositoryRef: "refs/tags/v1.0.0", SourceRepositoryDigest: commit,
		BuildConfig: "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1.0.0", RunnerEnvironment: "github-hosted",
	}
}

const generatedPolicy = `builder = ["` + goBuilder + `"]
[source]
repository = "https://github.com/o/r"
tag = "v1.0.0"
commit = "` + commit + `"
branch = "main"
[build]
workflow = ".github/workflows/release.yml"
`

// A policy asks provenance of somebody else for its builder, source and workflow, and the
// certificate has to say the same.
func TestForeignProvenance(t *testing.T) {
	const builder = goBuilder + "@refs/tags/v2.0.0"
	for name, test := range map[string]struct {
		builder, ref string
		old, new     string
		certify      func(*attest.Certificate)
		want         string
	}{
		"as it is": {builder, "refs/tags/v1.0.0", "", "", nil, ""},
		"a key":    {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { c.Name = "" }, ""},
		"an old certificate": {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) {
			*c = attest.Certificate{Name: c.Name, SourceRepository: c.SourceRepository}
		}, ""},
		"no repository":               {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { c.SourceRepository = "" }, "source.repository: not shown"},
		"the release of the builder":  {builder, "refs/tags/v1.0.0", goBuilder, builder, nil, ""},
		"another release of it":       {builder, "refs/tags/v1.0.0", goBuilder, goBuilder + "@refs/tags/v2.0.1", nil, "builder: failed: it is"},
		"a branch of the builder":     {goBuilder + "@refs/heads/main", "refs/tags/v1.0.0", "", "", nil, "builder: failed: it is"},
		"no release of the builder":   {goBuilder + "@refs/tags/v2.0.0-rc.1", "refs/tags/v1.0.0", "", "", nil, "builder: failed: it is"},
		"a builder that begins alike": {goBuilder + ".evil@refs/tags/v2.0.0", "refs/tags/v1.0.0", "", "", nil, "builder: failed: it is"},
		"another signer": {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) {
			c.Name = "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1.0.0"
		}, "builder: failed: it is"},
		"a person":                   {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { *c = attest.Certificate{Name: "me@example.com"} }, "signed by \"me@example.com\""},
		"a delegator":                {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { c.Name = delegator + "@refs/tags/v2.0.0" }, ""},
		"a delegator's branch":       {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { c.Name = delegator + "@refs/heads/main" }, "builder: failed"},
		"a delegator without a ref":  {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { c.Name = delegator }, "builder: failed"},
		"the runner":                 {runner, "refs/tags/v1.0.0", goBuilder, runner, nil, ""},
		"a machine of their own":     {runner, "refs/tags/v1.0.0", goBuilder, runner, func(c *attest.Certificate) { c.RunnerEnvironment = "self-hosted" }, "builder: failed: it is"},
		"a machine that is not told": {runner, "refs/tags/v1.0.0", goBuilder, runner, func(c *attest.Certificate) { c.RunnerEnvironment = "" }, "builder: failed: it is"},

		"another repository":     {builder, "refs/tags/v1.0.0", "github.com/o/r", "github.com/o/x", nil, "source.repository: failed"},
		"a certificate's":        {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { c.SourceRepository = "https://github.com/o/x" }, `source.repository: failed: by the certificate it is "github.com/o/x"`},
		"another tag":            {builder, "refs/tags/v1.0.1", "", "", nil, "source.tag: failed"},
		"a tag of a certificate": {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { c.SourceRepositoryRef = "refs/tags/v1.0.1" }, "source.tag: failed: by the certificate"},
		"a branch called so":     {builder, "refs/heads/v1.0.0", "", "", nil, "source.tag: failed"},
		"another commit":         {builder, "refs/tags/v1.0.0", commit, strings.Repeat("a", 40), nil, "source.commit: failed"},
		"a certificate's commit": {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) { c.SourceRepositoryDigest = strings.Repeat("a", 40) }, "source.commit: failed: by the certificate"},
		"another branch":         {builder, "refs/tags/v1.0.0", `branch = "main"`, `branch = "next"`, nil, "source.branch: failed"},
		"a branch":               {builder, "refs/heads/main", `tag = "v1.0.0"`, "", func(c *attest.Certificate) { c.SourceRepositoryRef = "refs/heads/main" }, ""},
		"a branch of another":    {builder, "refs/heads/main", `tag = "v1.0.0"`, "", func(c *attest.Certificate) { c.SourceRepositoryRef = "refs/heads/next" }, "source.branch: failed: by the certificate"},
		"another workflow":       {builder, "refs/tags/v1.0.0", "release.yml", "test.yml", nil, "build.workflow: failed"},
		"a certified workflow": {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) {
			c.BuildConfig = "https://github.com/o/r/.github/workflows/x.yml@refs/tags/v1.0.0"
		}, "build.workflow: failed: by the certificate"},
		"a workflow of elsewhere": {builder, "refs/tags/v1.0.0", "", "", func(c *attest.Certificate) {
			c.BuildConfig = "https://github.com/o/x/.github/workflows/release.yml@refs/tags/v1.0.0"
		}, "build.workflow: failed: by the certificate"},
		"more than it can show": {builder, "refs/tags/v1.0.0", "[build]", "[build]\nsnapshot = false", nil, "build.snapshot: not shown"},
	} {
		p, err := Parse("p", []byte(strings.Replace(generatedPolicy, test.old, test.new, 1)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := generated(test.builder, test.ref)
		c := certificate()
		if test.certify != nil {
			test.certify(&c)
		}
		if s.Certificate = &c; c.Name == "" {
			s.Certificate = nil
		}
		if test.certify == nil && strings.Contains(test.builder, "/.github/workflows/") {
			c.Name = test.builder
		}

		got := ""
		if err := p.Check(s.Subjects[0].Digest, []Statement{s}).Err(); err != nil {
			got = err.Error()
		}
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// What a provenance does not say is not shown, and a build type that is not known says nothing.
func TestForeignNotShown(t *testing.T) {
	p, err := Parse("p", []byte(generatedPolicy))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"generator/go@v1", "generator/other@v1", "source.repository: not shown: build type"},
		{"generator/go@v1", "generator/other@v1", "build.workflow: not shown"},
		{`"entryPoint"`, `"entry"`, "build.workflow: not shown: the provenance names no workflow"},
		{`"base_ref"`, `"base"`, "source.branch: not shown: the provenance names no branch"},
		{`"materials"`, `"more"`, "source.commit: not shown: it names no source"},
		{`"id"`, `"ID"`, "builder: failed: provenance: builder: no member"},
	} {
		s := generated(goBuilder+"@refs/tags/v2.0.0", "refs/tags/v1.0.0")
		if !strings.Contains(string(s.Predicate), c.old) {
			t.Fatalf("no %s", c.old)
		}
		s.Predicate = []byte(strings.Replace(string(s.Predicate), c.old, c.new, 1))
		if err := p.Check(s.Subjects[0].Digest, []Statement{s}).Err(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
}
