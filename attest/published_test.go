package attest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// published reads a file of testdata/published. The files are examples of sigstore-go
// (github.com/sigstore/sigstore-go, examples, Apache-2.0): the provenance of the npm package
// sigstore@1.3.0, and what was known of the public Sigstore instance.
func published(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "published", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// npmPackage is the file of sigstore@1.3.0.
var npmPackage = attest.Artifact{
	Digest: artifact.Digest("sha256:d9faa58fd21ab8b4bd22458e0eacf43c47d720ca4e52a9664cc912cd3022ab3b"),
	SHA512: "76176ffa33808b54602c7c35de5c6e9a4deb96066dba6533f50ac234f4f1f4c6" +
		"b3527515dc17c06fbe2860030f410eee69ea20079bd3a2c6f3dcf3b329b10751",
}

// A provenance of npm is a Statement v0.1 that names its subject by its SHA-512 alone.
func TestPublishedNPM(t *testing.T) {
	data := published(t, "npm-provenance.json")
	root, err := attest.ParseRoot(published(t, "trusted-root.json"))
	if err != nil {
		t.Fatal(err)
	}
	trust := func(name string) attest.Trust {
		trust, err := attest.TrustIdentity(root, attest.Identity{Name: name, Issuer: "https://token.actions.githubusercontent.com"})
		if err != nil {
			t.Fatal(err)
		}
		return trust
	}
	signer := trust("https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main")

	v, err := attest.Open(data, signer, npmPackage)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := v.Statement()
	if !ok || !s.Has(npmPackage.Digest) || s.Subjects[0].SHA512 != "" || s.PredicateType != "https://slsa.dev/provenance/v0.2" {
		t.Errorf("%+v", s)
	}
	if c := attest.ReadClaim(data); !c.AboutSHA512(npmPackage.SHA512) || c.About(npmPackage.Digest) || c.AboutSHA512("") {
		t.Errorf("claims %+v", c)
	}

	// Each of these is refused, and for its own reason.
	other := strings.Replace(npmPackage.SHA512, "7", "8", 1)
	for name, test := range map[string]struct {
		data  []byte
		trust attest.Trust
		about attest.Artifact
		want  attest.Reason
	}{
		"another file":          {data, signer, attest.Artifact{Digest: npmPackage.Digest, SHA512: other}, attest.WrongSubject},
		"no SHA-512":            {data, signer, attest.Artifact{Digest: npmPackage.Digest}, attest.WrongSubject},
		"half a SHA-512":        {data, signer, attest.Artifact{Digest: npmPackage.Digest, SHA512: npmPackage.SHA512[:64]}, attest.Undetermined},
		"no hexadecimal":        {data, signer, attest.Artifact{Digest: npmPackage.Digest, SHA512: strings.Repeat("z", 128)}, attest.Undetermined},
		"another signer":        {data, trust("https://github.com/sigstore/sigstore-js/.github/workflows/ci.yml@refs/heads/main"), npmPackage, attest.WrongIdentity},
		"another signature":     {[]byte(strings.Replace(string(data), `"sig":"MEQCIA`, `"sig":"MEQCIB`, 1)), signer, npmPackage, attest.Tampered},
		"another kind of entry": {[]byte(strings.Replace(string(data), `"kind":"intoto"`, `"kind":"dsse"`, 1)), signer, npmPackage, attest.WrongLog},
	} {
		changes := name == "another signature" || name == "another kind of entry"
		if changes && string(test.data) == string(data) {
			t.Fatalf("%s: the bundle has another form", name)
		}
		v, err := attest.Open(test.data, test.trust, test.about)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		refused(t, v, err, test.want)
	}
}
