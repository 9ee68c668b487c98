package slsa

import (
	"strings"
	"testing"
)

const (
	someCommit = "0123456789abcdef0123456789abcdef01234567"
	// The shapes of what npm, GitHub's attestations and the SLSA generators write.
	npmProvenance = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"pkg:npm/tool@1.2.3","digest":{"sha512":"00"}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1","externalParameters":{"workflow":{"ref":"refs/tags/v1.2.3","repository":"https://example.com/owner/tool","path":".github/workflows/release.yml"}},"internalParameters":{"github":{"event_name":"push"}},"resolvedDependencies":[{"uri":"git+https://example.com/owner/tool@refs/tags/v1.2.3","digest":{"gitCommit":"` + someCommit + `"}}]},"runDetails":{"builder":{"id":"https://example.com/runner"}}}}`
	generator02   = `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2","subject":[{"name":"tool","digest":{"sha256":"00"}}],"predicate":{"builder":{"id":"https://example.com/b"},"buildType":"https://example.com/go@v1","invocation":{"configSource":{"uri":"git+https://example.com/owner/tool@refs/tags/v1.2.3","digest":{"sha1":"` + someCommit + `"},"entryPoint":".github/workflows/release.yml"}},"materials":[{"uri":"git+https://example.com/other@refs/heads/main","digest":{"sha1":"ff"}}]}}`
	generator01   = `{"predicateType":"https://slsa.dev/provenance/v0.1","predicate":{"recipe":{"definedInMaterial":1},"materials":[{"uri":"git+https://example.com/x"},{"uri":"git+https://example.com/owner/tool@refs/tags/v1.2.3","digest":{"sha1":"` + someCommit + `"}}]}}`
	containerized = `{"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"externalParameters":{"source":"git+https://example.com/owner/tool@refs/tags/v1.2.3"},"resolvedDependencies":[{"uri":"git+https://example.com/elsewhere@refs/tags/v9.9.9","digest":{"gitCommit":"ffffffffffffffffffffffffffffffffffffffff"}},{"uri":"git+https://example.com/owner/tool@refs/tags/v1.2.3","digest":{"gitCommit":"` + someCommit + `"}}]}}}`
)

func TestClaimedSource(t *testing.T) {
	want := Source{Repository: "https://example.com/owner/tool", Tag: "v1.2.3", Commit: someCommit}
	for name, statement := range map[string]string{"npm": npmProvenance, "v0.2": generator02, "v0.1": generator01, "containerized": containerized} {
		if got, ok := ClaimedSource([]byte(statement)); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for name, c := range map[string]struct {
		statement string
		want      Source
	}{
		"a branch":              {strings.ReplaceAll(npmProvenance, "refs/tags/v1.2.3", "refs/heads/main"), Source{Repository: want.Repository, Commit: someCommit}},
		"credentials":           {strings.ReplaceAll(generator02, "https://example.com/owner", "https://me:pw@example.com/owner"), Source{Commit: someCommit}},
		"another scheme":        {strings.ReplaceAll(generator02, "git+https:", "git+ssh:"), Source{Tag: "v1.2.3", Commit: someCommit}},
		"a flag for a commit":   {strings.ReplaceAll(generator02, someCommit, "--upload-pack=evil"), Source{Repository: want.Repository, Tag: "v1.2.3"}},
		"a commit cut off":      {strings.ReplaceAll(generator02, someCommit, someCommit[:20]), Source{Repository: want.Repository, Tag: "v1.2.3"}},
		"a tag of two lines":    {strings.ReplaceAll(generator02, "v1.2.3", `v1\n2`), Source{Repository: want.Repository, Commit: someCommit}},
		"a tag that is long":    {strings.ReplaceAll(generator02, "v1.2.3", strings.Repeat("v", 2000)), Source{Commit: someCommit, Repository: want.Repository}},
		"a material of nothing": {strings.ReplaceAll(generator01, `"definedInMaterial":1`, `"definedInMaterial":-1`), Source{}},
		"one too far":           {strings.ReplaceAll(generator01, `"definedInMaterial":1`, `"definedInMaterial":2`), Source{}},
		"another type":          {strings.ReplaceAll(npmProvenance, "provenance/v1", "provenance/v2"), Source{}},
		"no JSON":               {"x", Source{}},
		"no object":             {"[]", Source{}},
		"other kinds":           {`{"predicateType":"https://slsa.dev/provenance/v0.2","predicate":{"invocation":[]}}`, Source{}},
	} {
		if got, ok := ClaimedSource([]byte(c.statement)); got != c.want || ok != (c.want != Source{}) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, c.want)
		}
	}
}

// FuzzClaimedSource: whatever somebody writes, it is short, one line, and a commit is one.
func FuzzClaimedSource(f *testing.F) {
	for _, s := range []string{npmProvenance, generator02, generator01, containerized, `{"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"externalParameters":{"source":{"commit":"x","repository":"https://a","tag":"t"}}}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, statement []byte) {
		s, ok := ClaimedSource(statement)
		if ok != (s != Source{}) {
			t.Error("found, and nothing")
		}
		if s.Commit != "" && !commitRE.MatchString(s.Commit) {
			t.Errorf("commit %q", s.Commit)
		}
		for _, text := range []string{s.Tag, s.Repository} {
			if len(text) > maxClaimed || strings.ContainsAny(text, "\n\r\x00\x1b") {
				t.Errorf("%q", text)
			}
		}
	})
}
