package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TestCosign makes releases with an image, signed keyless and with a key, and has
// the real cosign judge everything that twice signed and published.
func TestCosign(t *testing.T) {
	large(t)
	s := sigstore(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)))) // without a referrers API
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	public := strings.TrimSuffix(keyFile, ".key") + ".pub"
	wrongKey := s.write(t, "wrong.pub", publicPEM(t, keys(t)["p256"].Public()))

	identity := []string{"--certificate-identity", signerEmail, "--certificate-oidc-issuer", s.issuer, "--trusted-root", s.trustedRoot}
	wrongIdentity := []string{"--certificate-identity", "else@example.com", "--certificate-oidc-issuer", s.issuer, "--trusted-root", s.trustedRoot}
	for _, tt := range []struct {
		name string
		env  []string
		sign []string
		// What verifies with twice, and with cosign; and what must not.
		twice, cosign, wrongTwice, wrongCosign []string
	}{
		{
			"keyless", []string{"SIGSTORE_ID_TOKEN=" + s.token(t, signerEmail)},
			[]string{"--keyless", "--signing-config", s.signingConfig, "--trusted-root", s.trustedRoot},
			identity, identity, wrongIdentity, wrongIdentity,
		},
		{
			"key", nil, []string{"--key", keyFile},
			[]string{"--key", public}, []string{"--key", public, "--insecure-ignore-tlog"},
			[]string{"--key", wrongKey}, []string{"--key", wrongKey, "--insecure-ignore-tlog"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := host + "/acme/" + tt.name
			repo := repository(t, map[string]string{
				"go.mod": tinyMod, "main.go": tinyMain,
				"release.toml": oneTarget + "[[image]]\nrepository = \"" + image + "\"\n",
			}, "v1.0.0")
			command(t, repo, tt.env, append([]string{twiceFile, "release", "--cache", cacheDir}, tt.sign...)...)
			dist := filepath.Join(repo, "dist")
			rec := readRecord(t, dist)
			in := func(name string) string { return filepath.Join(dist, filepath.FromSlash(name)) }

			refs := []string{image + ":1.0.0"}
			for _, img := range rec.Images {
				refs = append(refs, image+"@"+img.Digest)
				for _, m := range img.Manifests {
					refs = append(refs, image+"@"+m.Digest)
				}
			}
			for _, what := range append([]string{dist}, refs...) {
				command(t, "", nil, append([]string{twiceFile, "verify", what}, tt.twice...)...)
				if _, err := try("", nil, append([]string{twiceFile, "verify", what}, tt.wrongTwice...)...); err == nil {
					t.Errorf("twice verify %s accepts another signer", what)
				}
			}

			cosign := func(verb string, what string, args ...string) {
				t.Helper()
				s.run(t, append(append(append([]string{verb}, args...), tt.cosign...), what)...)
				if s.try(append(append(append([]string{verb}, args...), tt.wrongCosign...), what)...) == nil {
					t.Errorf("cosign %s %s accepts another signer", verb, what)
				}
			}
			archive := in("tiny_1.0.0_linux_amd64.tar.gz")
			cosign("verify-blob", in("SHA256SUMS"), "--bundle", in("SHA256SUMS.sigstore.json"))
			cosign("verify-blob", in("release.json"), "--bundle", in("release.json.sigstore.json"))
			cosign("verify-blob-attestation", archive, "--bundle", in("tiny_1.0.0.provenance.sigstore.json"), "--type", "slsaprovenance1")
			cosign("verify-blob-attestation", archive, "--bundle", in("tiny_1.0.0.double-build.sigstore.json"), "--type", "https://in-toto.io/attestation/test-result/v0.1")
			cosign("verify-blob-attestation", in("bin/linux_amd64/tiny"), "--bundle", in("sbom/linux_amd64/tiny.cdx.json.sigstore.json"), "--type", "cyclonedx")
			cosign("verify-blob-attestation", in("bin/linux_amd64/tiny"), "--bundle", in("sbom/linux_amd64/tiny.spdx.json.sigstore.json"), "--type", "https://spdx.dev/Document/v2.3")
			for _, ref := range refs {
				cosign("verify", ref)
				for _, kind := range []string{"slsaprovenance1", "cyclonedx", "https://spdx.dev/Document/v2.3", "https://in-toto.io/attestation/test-result/v0.1"} {
					cosign("verify-attestation", ref, "--type", kind)
				}
			}
		})
	}
}

// TestCosignRebuild rebuilds a public program and one that somebody changed, signs
// what came of it, keyless and with a key, and has the real cosign and a policy
// judge the statements.
func TestCosignRebuild(t *testing.T) {
	large(t)
	s := sigstore(t)
	public := strings.TrimSuffix(keyFile, ".key") + ".pub"
	wrongKey := s.write(t, "wrong.pub", publicPEM(t, keys(t)["p256"].Public()))
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	data, err := os.ReadFile(install(t, "filippo.io/age/cmd/age-keygen@v1.3.2", nil, "-trimpath"))
	must(t, err)
	must(t, os.WriteFile(in("good"), data, 0o755))
	data[len(data)/3] ^= 1
	must(t, os.WriteFile(in("changed"), data, 0o755))

	const summary, result = "https://slsa.dev/verification_summary/v1", "https://in-toto.io/attestation/test-result/v0.1"
	identity := []string{"--certificate-identity", signerEmail, "--certificate-oidc-issuer", s.issuer, "--trusted-root", s.trustedRoot}
	for _, tt := range []struct {
		name          string
		keyless       bool
		sign          []string
		cosign, wrong []string
	}{
		{
			"key", false, []string{"--key", keyFile},
			[]string{"--key", public, "--insecure-ignore-tlog"}, []string{"--key", wrongKey, "--insecure-ignore-tlog"},
		},
		{
			"keyless", true,
			[]string{"--keyless", "--signing-config", s.signingConfig, "--trusted-root", s.trustedRoot},
			identity, []string{"--certificate-identity", "else@example.com", "--certificate-oidc-issuer", s.issuer, "--trusted-root", s.trustedRoot},
		},
	} {
		out := in(tt.name)
		var env []string
		if tt.keyless { // a token is valid for minutes, and a rebuild may take some
			env = []string{"SIGSTORE_ID_TOKEN=" + s.token(t, signerEmail)}
		}
		args := slices.Concat([]string{twiceFile, "rebuild", "--cache", cacheDir, "--attest", "--attest-out", out}, tt.sign, []string{in("good"), in("changed")})
		if text, err := try(dir, env, args...); err == nil || !strings.Contains(text, "\n  statement    ") {
			t.Fatalf("%s: %v\n%s", tt.name, err, text)
		}
		for name, kind := range map[string]string{"good": summary, "changed": result} {
			bundles, err := filepath.Glob(filepath.Join(out, name+"_*.rebuild.sigstore.json"))
			if err != nil || len(bundles) != 1 {
				t.Fatalf("%s: %v, %v", tt.name, bundles, err)
			}
			cosign := func(who []string, kind, what string) error {
				return s.try(slices.Concat([]string{"verify-blob-attestation", "--bundle", bundles[0], "--type", kind}, who, []string{what})...)
			}
			if err := cosign(tt.cosign, kind, in(name)); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			for what, err := range map[string]error{
				"another signer": cosign(tt.wrong, kind, in(name)), "another kind": cosign(tt.cosign, "slsaprovenance1", in(name)),
				"another file": cosign(tt.cosign, kind, in(map[string]string{"good": "changed", "changed": "good"}[name])),
			} {
				if err == nil {
					t.Errorf("%s: %s: cosign accepts %s", tt.name, name, what)
				}
			}
			must(t, os.Rename(bundles[0], in(tt.name+"-"+name+".sigstore.json")))
		}
	}

	// Two who do not depend on each other, for a policy.
	policy := s.write(t, "policy.toml", []byte(fmt.Sprintf(`[rebuilds]
atLeast = 2
module = "filippo.io/age@v1.3.2"
reproduced = true
by = [
    { name = "one", key = %q },
    { name = "two", identity = %q, issuer = %q, trustedRoot = %q },
]
`, public, signerEmail, s.issuer, s.trustedRoot)))
	text := command(t, dir, nil, twiceFile, "verify", in("good"), "--policy", policy)
	if !strings.Contains(text, "rebuilds: met by one, two") {
		t.Error(text)
	}
	if text, err := try(dir, nil, twiceFile, "verify", in("changed"), "--policy", policy); err == nil || !strings.Contains(text, "says that it differs") {
		t.Errorf("%v\n%s", err, text)
	}
}
