package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

const signerEmail = "maintainer@example.com"

// TestSigstore signs keyless and with keys, against the real servers, and has
// the bundles judged by this code, by cosign, and through the command line of the
// conformance tests.
func TestSigstore(t *testing.T) {
	large(t)
	s := sigstore(t)
	content := []byte("the release\n")
	blob, other := s.write(t, "blob", content), s.write(t, "other", []byte("another\n"))
	about := attest.Artifact{Digest: artifact.Of(content), Content: content}
	statement := intoto.Statement{
		Subjects:      []intoto.Subject{{Name: "blob", Digest: about.Digest}},
		PredicateType: "https://slsa.dev/provenance/v1",
		Predicate: []byte(`{"buildDefinition":{"buildType":"https://example.com/build/v1","externalParameters":{}},` +
			`"runDetails":{"builder":{"id":"https://example.com/builder"}}}`),
	}
	payload, err := statement.Encode()
	must(t, err)
	statementFile := s.write(t, "statement.json", payload)

	read := func(file string) []byte {
		b, err := os.ReadFile(file)
		must(t, err)
		return b
	}
	root, err := attest.ParseRoot(read(s.trustedRoot))
	must(t, err)
	byIdentity, err := attest.TrustIdentity(root, attest.Identity{Name: signerEmail, Issuer: s.issuer})
	must(t, err)
	services, err := attest.NewServices(read(s.signingConfig), root, time.Now, http.DefaultTransport)
	must(t, err)

	conformance := filepath.Join(s.dir, "conformance")
	command(t, repoRoot, nil, "go", "build", "-o", conformance, "./e2e/conformance")

	t.Run("keyless", func(t *testing.T) {
		expect := []string{"--certificate-identity", signerEmail, "--certificate-oidc-issuer", s.issuer}
		trust := append([]string{"--trusted-root", s.trustedRoot}, expect...)
		for kind, sign := range map[string][]string{
			"verify-blob-attestation": {"--in-toto", statementFile},
			"verify-blob":             {blob},
		} {
			bundle := filepath.Join(s.dir, kind+".sigstore.json")
			command(t, "", nil, append([]string{conformance, "sign-bundle", "--identity-token", s.token(t, signerEmail), "--bundle", bundle,
				"--trusted-root", s.trustedRoot, "--signing-config", s.signingConfig}, sign...)...)

			v, err := attest.Open(read(bundle), byIdentity, about)
			must(t, err)
			if sig := v.Signature(); sig.Certificate.Name != signerEmail || len(sig.Logs) != 1 || len(sig.Times) != 1 {
				t.Errorf("%+v", sig)
			}
			verify := append([]string{conformance, "verify-bundle", "--bundle", bundle}, trust...)
			command(t, "", nil, append(verify, blob)...)
			command(t, "", nil, append(verify, string(about.Digest))...)
			if _, err := try("", nil, append(verify, other)...); err == nil {
				t.Errorf("%s: conformance accepts another file", kind)
			}

			args := append([]string{kind, "--bundle", bundle}, trust...)
			if kind == "verify-blob-attestation" {
				args = append(args, "--type", "slsaprovenance1")
			}
			s.both(t, args, blob, other)
		}
		// Not the token's holder.
		wrong, err := attest.TrustIdentity(root, attest.Identity{Name: "else@example.com", Issuer: s.issuer})
		must(t, err)
		_, err = attest.Open(read(filepath.Join(s.dir, "verify-blob.sigstore.json")), wrong, about)
		var e *attest.Error
		if !errors.As(err, &e) || e.Reason != attest.WrongIdentity {
			t.Errorf("%v", err)
		}
	})

	for name, key := range keys(t) {
		t.Run(name, func(t *testing.T) {
			sv, err := signature.LoadDefaultSigner(key)
			must(t, err)
			pub := s.write(t, name+".pub", publicPEM(t, key.Public()))
			plain, err := attest.NewSigner(t.Context(), sv)
			must(t, err)
			byKey, err := attest.TrustKey(key.Public())
			must(t, err)
			check := func(what string, signer *attest.Signer, trust attest.Trust, cosign ...string) {
				data, err := signer.Sign(t.Context(), statement)
				must(t, err)
				_, err = attest.Open(data, trust, about)
				must(t, err)
				bundle := s.write(t, name+what+"-statement.sigstore.json", data)
				args := append([]string{"--bundle", bundle, "--key", pub}, cosign...)
				args = append(append([]string{"verify-blob-attestation"}, args...), "--type", "slsaprovenance1")
				s.both(t, args, blob, other)

				data, err = signer.SignFile(t.Context(), "blob", content)
				must(t, err)
				_, err = attest.Open(data, trust, about)
				must(t, err)
				bundle = s.write(t, name+what+"-file.sigstore.json", data)
				command(t, "", nil, conformance, "verify-bundle", "--bundle", bundle, "--key", pub, blob)
				args = append([]string{"verify-blob", "--bundle", bundle, "--key", pub}, cosign...)
				s.both(t, args, blob, other)
			}
			check("", plain, byKey, "--insecure-ignore-tlog")

			logging, err := attest.NewLoggedSigner(t.Context(), sv, services)
			if name == "ed25519" {
				if err == nil {
					t.Error("a log that takes Ed25519?")
				}
				return
			}
			must(t, err)
			byLog, err := attest.TrustLoggedKey(key.Public(), root)
			must(t, err)
			check("-logged", logging, byLog, "--trusted-root", s.trustedRoot)
		})
	}
}

// keys are those that cosign takes, too. It fails on P-384.
func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	r, err := rsa.GenerateKey(rand.Reader, 3072)
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return map[string]crypto.Signer{"p256": p256, "rsa": r, "ed25519": ed}
}
