package e2e

import (
	"context"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/attesttest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

const (
	generators   = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/"
	goGenerator  = generators + "builder_go_slsa3.yml"
	gitHubIssuer = "https://token.actions.githubusercontent.com"
	aCommit      = "64d3f795e189e3af5afbb288d50217603092bd49"
)

// generatedProvenance is what the SLSA generator for Go writes for a tag of github.com/o/r.
const generatedProvenance = `{
	"builder": {"id": "` + goGenerator + `@refs/tags/v2.0.0"},
	"buildType": "https://github.com/slsa-framework/slsa-github-generator/go@v1",
	"invocation": {
		"configSource": {"uri": "git+https://github.com/o/r@refs/tags/v1.0.0", "digest": {"sha1": "` + aCommit + `"}, "entryPoint": ".github/workflows/release.yml"},
		"parameters": {},
		"environment": {
			"github_base_ref": "", "github_event_name": "push", "github_event_payload": {"base_ref": "refs/heads/main"},
			"github_ref": "refs/tags/v1.0.0", "github_ref_type": "tag"
		}
	},
	"metadata": {"buildInvocationId": "1-1", "completeness": {"parameters": true, "environment": false, "materials": false}, "reproducible": false},
	"materials": [{"uri": "git+https://github.com/o/r@refs/tags/v1.0.0", "digest": {"sha1": "` + aCommit + `"}}]
}`

// signedByWorkflow is a provenance, and the certificate that a CI job got for it.
type signedByWorkflow struct {
	predicate string
	name      string // of the certificate
	issuer    string
	// extensions of the certificate, by the last number of their identifier.
	extensions map[int]string
}

// TestSLSATable holds provenance that a Sigstore of this test signs against expectations. With
// TWICE_E2E=everything the verifier of the SLSA project judges the same files, and has to say the same.
func TestSLSATable(t *testing.T) {
	stack := attesttest.New(t, 1)
	verifier := ""
	if os.Getenv("TWICE_E2E") == "everything" {
		verifier = slsaVerifier(t)
	}
	dir := t.TempDir()
	root, file, other := filepath.Join(dir, "trusted-root.json"), filepath.Join(dir, "file"), filepath.Join(dir, "other")
	must(t, os.WriteFile(root, stack.TrustedRoot, 0o600))
	must(t, os.WriteFile(file, []byte("the file\n"), 0o600))
	must(t, os.WriteFile(other, []byte("another\n"), 0o600))

	asked := expected{source: "github.com/o/r", tag: "v1.0.0", branch: "main", builder: goGenerator}
	for name, test := range map[string]struct {
		sign func(*signedByWorkflow)
		ask  func(*expected)
		file string
		good bool
	}{
		"as it is":                {good: true},
		"no builder":              {ask: func(x *expected) { x.builder = "" }, good: true},
		"a release of it":         {ask: func(x *expected) { x.builder += "@refs/tags/v2.0.0" }, good: true},
		"no tag":                  {ask: func(x *expected) { x.tag = "" }, good: true},
		"no branch":               {ask: func(x *expected) { x.branch = "" }, good: true},
		"only the source":         {ask: func(x *expected) { *x = expected{source: x.source} }, good: true},
		"another file":            {file: other},
		"another repository":      {ask: func(x *expected) { x.source = "github.com/o/r2" }},
		"another owner":           {ask: func(x *expected) { x.source = "github.com/p/r" }},
		"another tag":             {ask: func(x *expected) { x.tag = "v1.0.1" }},
		"a shorter tag":           {ask: func(x *expected) { x.tag = "v1.0" }},
		"another branch":          {ask: func(x *expected) { x.branch = "next" }},
		"another builder":         {ask: func(x *expected) { x.builder = generators + "generator_generic_slsa3.yml" }},
		"another release of it":   {ask: func(x *expected) { x.builder += "@refs/tags/v2.0.1" }},
		"a builder that is alike": {ask: func(x *expected) { x.builder += "x" }},

		"a branch":                 {sign: replace("refs/tags/v1.0.0", "refs/heads/main", `"tag"`, `"branch"`), ask: func(x *expected) { x.tag = "" }, good: true},
		"a branch for a tag":       {sign: replace("refs/tags/v1.0.0", "refs/heads/v1.0.0", `"tag"`, `"branch"`), ask: func(x *expected) { x.branch = "" }},
		"another branch was built": {sign: replace("refs/tags/v1.0.0", "refs/heads/next", `"tag"`, `"branch"`), ask: func(x *expected) { x.tag = "" }},
		"no branch in the event":   {sign: replace(`{"base_ref": "refs/heads/main"}`, `{"base_ref": null}`)},
		"a release":                {sign: replace(`"push"`, `"release"`, `{"base_ref": "refs/heads/main"}`, `{"release": {"target_commitish": "main"}}`), good: true},
		"a release of a branch":    {sign: replace(`"push"`, `"release"`, `{"base_ref": "refs/heads/main"}`, `{"release": {"target_commitish": "next"}}`)},

		"a workflow of another":     {sign: replace(`"configSource": {"uri": "git+https://github.com/o/r@`, `"configSource": {"uri": "git+https://github.com/o/x@`)},
		"a source of another":       {sign: replace(`"materials": [{"uri": "git+https://github.com/o/r@`, `"materials": [{"uri": "git+https://github.com/o/x@`)},
		"a source at another ref":   {sign: replace(`"materials": [{"uri": "git+https://github.com/o/r@refs/tags/v1.0.0`, `"materials": [{"uri": "git+https://github.com/o/r@refs/tags/v1.0.1`)},
		"a source without a ref":    {sign: replace(`"materials": [{"uri": "git+https://github.com/o/r@refs/tags/v1.0.0`, `"materials": [{"uri": "git+https://github.com/o/r`)},
		"no source":                 {sign: replace(`"materials": [{`, `"materials": [], "x": [{`)},
		"a build type of nobody":    {sign: replace("slsa-github-generator/go@v1", "slsa-github-generator/rust@v1")},
		"an environment of another": {sign: replace(`"github_ref": "refs/tags/v1.0.0"`, `"github_ref": "refs/tags/v1.0.1"`)},
		"another builder's word":    {sign: replace(`"builder": {"id": "`+goGenerator+`@refs/tags/v2.0.0"}`, `"builder": {"id": "`+goGenerator+`@refs/tags/v2.0.1"}`)},

		"a builder's branch":        {sign: as(goGenerator + "@refs/heads/main")},
		"a builder's candidate":     {sign: as(goGenerator + "@refs/tags/v2.0.0-rc.1")},
		"a workflow that is alike":  {sign: as(strings.Replace(goGenerator, "slsa-framework", "slsa-frameworks", 1) + "@refs/tags/v2.0.0")},
		"the project's workflow":    {sign: as("https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1.0.0")},
		"another issuer":            {sign: func(s *signedByWorkflow) { s.issuer = "https://issuer.example" }},
		"certified for another":     {sign: func(s *signedByWorkflow) { s.extensions[5], s.extensions[12] = "o/x", "https://github.com/o/x" }},
		"certified for nobody":      {sign: without(5, 12)},
		"certified in the old form": {sign: without(11, 12, 13, 14, 18, 19, 20), good: true},
		"certified in the new form": {sign: without(2, 3, 5, 6), good: true},
		"certified for an old one": {sign: func(s *signedByWorkflow) {
			without(11, 12, 13, 14, 18, 19, 20)(s)
			s.extensions[5] = "o/x"
		}},
	} {
		s := signedByWorkflow{generatedProvenance, goGenerator + "@refs/tags/v2.0.0", gitHubIssuer, map[int]string{
			2: "push", 3: aCommit, 5: "o/r", 6: "refs/tags/v1.0.0",
			11: "github-hosted", 12: "https://github.com/o/r", 13: aCommit, 14: "refs/tags/v1.0.0",
			18: "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1.0.0", 19: aCommit, 20: "push",
		}}
		if test.sign != nil {
			test.sign(&s)
		}
		x := asked
		if test.ask != nil {
			test.ask(&x)
		}
		subject := file
		if test.file != "" {
			subject = test.file
		}

		bundle, policy := filepath.Join(t.TempDir(), "x.intoto.jsonl"), filepath.Join(t.TempDir(), "policy.toml")
		must(t, os.WriteFile(bundle, s.bundle(t, stack, file), 0o600))
		must(t, os.WriteFile(policy, []byte(x.policy()), 0o600))
		_, err := try("", nil, twiceFile, "verify", subject, "--bundle", bundle, "--policy", policy, "--trusted-root", root,
			"--certificate-oidc-issuer", gitHubIssuer, "--certificate-identity-regexp", generatorName)
		if (err == nil) != test.good {
			t.Errorf("%s: twice says %v", name, err)
		}
		if verifier == "" {
			continue
		}
		_, err = try("", []string{"TRUSTED_ROOT=" + root}, append([]string{verifier, "verify-artifact", subject, "--provenance-path", bundle}, x.flags()...)...)
		if (err == nil) != test.good {
			t.Errorf("%s: slsa-verifier says %v", name, err)
		}
	}
}

// replace changes a provenance, and the refs in its certificate. Every old text has to be there.
func replace(pairs ...string) func(*signedByWorkflow) {
	return func(s *signedByWorkflow) {
		for i := 0; i < len(pairs); i += 2 {
			changed := strings.ReplaceAll(s.predicate, pairs[i], pairs[i+1])
			if changed == s.predicate {
				panic("not in the provenance: " + pairs[i])
			}
			s.predicate = changed
			if pairs[i] == s.extensions[14] {
				s.extensions[18] = strings.ReplaceAll(s.extensions[18], pairs[i], pairs[i+1])
				s.extensions[6], s.extensions[14] = pairs[i+1], pairs[i+1]
			}
		}
	}
}

// without takes extensions out of the certificate.
func without(ids ...int) func(*signedByWorkflow) {
	return func(s *signedByWorkflow) {
		for _, id := range ids {
			delete(s.extensions, id)
		}
	}
}

// as has somebody else sign, who says so in the provenance.
func as(name string) func(*signedByWorkflow) {
	return func(s *signedByWorkflow) {
		s.predicate = strings.Replace(s.predicate, s.name, name, 1)
		s.name = name
	}
}

// bundle signs the provenance of a file.
func (s signedByWorkflow) bundle(t *testing.T, stack *attesttest.Stack, file string) []byte {
	t.Helper()
	stack.Extensions = nil
	for id, text := range s.extensions {
		value := []byte(text)
		if id > 8 { // the older ones are plain bytes (https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md)
			var err error
			value, err = asn1.MarshalWithParams(text, "utf8")
			must(t, err)
		}
		stack.Extensions = append(stack.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, id}, Value: value})
	}

	root, err := attest.ParseRoot(stack.TrustedRoot)
	must(t, err)
	services, err := attest.NewServices(stack.SigningConfig, root, time.Now, http.DefaultTransport)
	must(t, err)
	signer, err := attest.NewKeylessSigner(services, func(context.Context) (string, error) { return attesttest.TokenOf(s.issuer, s.name), nil })
	must(t, err)
	content, err := os.ReadFile(file)
	must(t, err)
	data, err := signer.Sign(t.Context(), intoto.Statement{
		Subjects:      []intoto.Subject{{Name: "file", Digest: artifact.Of(content)}},
		PredicateType: "https://slsa.dev/provenance/v0.2", Predicate: []byte(s.predicate),
	})
	must(t, err)
	return data
}
