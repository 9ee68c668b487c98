package attest_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/attesttest"
	"github.com/twicebuild/twice/attest/intoto"
)

// FuzzOpen asks that hostile bytes end in a reason, and that what is accepted is
// about what was asked for. The seeds are good bundles, refreshed by -update.
func FuzzOpen(f *testing.F) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", "open", name))
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	var trusts []attest.Trust
	for _, version := range []string{"v1", "v2"} {
		root, err := attest.ParseRoot(read("root-" + version + ".json"))
		if err != nil {
			f.Fatal(err)
		}
		identity, err := attest.TrustIdentity(root, attest.Identity{Name: signer, Issuer: attesttest.Issuer})
		if err != nil {
			f.Fatal(err)
		}
		pub, err := cryptoutils.UnmarshalPEMToPublicKey(read("key.pem"))
		if err != nil {
			f.Fatal(err)
		}
		key, err := attest.TrustKey(pub)
		if err != nil {
			f.Fatal(err)
		}
		logged, err := attest.TrustLoggedKey(pub, root)
		if err != nil {
			f.Fatal(err)
		}
		trusts = append(trusts, identity, key, logged)
	}
	seeds, err := filepath.Glob(filepath.Join("testdata", "open", "*.sigstore.json"))
	if err != nil || len(seeds) < 6 {
		f.Fatal(seeds, err)
	}
	good := 0
	for _, name := range seeds {
		data := read(filepath.Base(name))
		f.Add(data)
		for _, trust := range trusts {
			if _, err := attest.Open(data, trust, about); err == nil {
				good++
			}
		}
	}
	if good < len(seeds) {
		f.Fatalf("%d seeds, and %d are good for somebody", len(seeds), good)
	}
	for _, s := range []string{"", "{}", "null", "[]", `{"mediaType":"` + attest.MediaType + `"}`,
		`{"mediaType":"` + attest.MediaType + `","verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payload":"e30=","payloadType":"` + intoto.PayloadType + `","signatures":[{"sig":"AAAA"}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, trust := range trusts {
			v, err := attest.Open(data, trust, about)
			var e *attest.Error
			switch {
			case (v == nil) == (err == nil):
				t.Fatalf("%v, %v", v, err)
			case err != nil:
				if !errors.As(err, &e) || e.Reason == "" || e.Error() == "" {
					t.Fatalf("no reason: %v", err)
				}
			default:
				if v.Artifact() != about.Digest || !json.Valid(data) {
					t.Fatalf("accepted %q", data)
				}
				if s, ok := v.Statement(); ok && s.Subjects[0].Digest != about.Digest {
					t.Fatalf("accepted %q", data)
				}
			}
		}
	})
}
