package attest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/attesttest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

const signer = "signer@example.com"

var (
	hello = []byte("hello\n")
	about = attest.Artifact{Digest: artifact.Of(hello)}
	said  = intoto.Statement{
		Subjects:      []intoto.Subject{{Name: "hello.txt", Digest: artifact.Of(hello)}},
		PredicateType: "https://example.com/predicate/v1",
		Predicate:     []byte(`{"is":"good"}`),
	}
)

func parseRoot(t testing.TB, s *attesttest.Stack) *attest.Root {
	t.Helper()
	r, err := attest.ParseRoot(s.TrustedRoot)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func services(t testing.TB, s *attesttest.Stack) *attest.Services {
	t.Helper()
	services, err := attest.NewServices(s.SigningConfig, parseRoot(t, s), time.Now, http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	return services
}

func keyless(t testing.TB, s *attesttest.Stack) *attest.Signer {
	t.Helper()
	k, err := attest.NewKeylessSigner(services(t, s), func(context.Context) (string, error) { return attesttest.Token(signer), nil })
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func trustSigner(t testing.TB, s *attesttest.Stack) attest.Trust {
	t.Helper()
	trust, err := attest.TrustIdentity(parseRoot(t, s), attest.Identity{Name: signer, Issuer: attesttest.Issuer})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func refused(t testing.TB, v *attest.Verified, err error, want attest.Reason) {
	t.Helper()
	var e *attest.Error
	if v != nil || !errors.As(err, &e) || e.Reason != want {
		t.Errorf("got %v, %v; want %s", v, err, want)
	}
}

func TestKeyless(t *testing.T) {
	for _, version := range []uint32{1, 2} {
		t.Run(fmt.Sprint("rekor v", version), func(t *testing.T) {
			s := attesttest.New(t, version)
			utf8 := func(text string) []byte {
				b, err := asn1.MarshalWithParams(text, "utf8")
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			s.Extensions = []pkix.Extension{
				{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 12}, Value: utf8("https://example.com/repo")},
				{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 14}, Value: utf8("refs/tags/v1.0.0")},
			}
			k, trust := keyless(t, s), trustSigner(t, s)
			data, err := k.Sign(t.Context(), said)
			if err != nil {
				t.Fatal(err)
			}
			v, err := attest.Open(data, trust, about)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := v.Statement(); !ok || !bytes.Equal(got.Predicate, said.Predicate) {
				t.Errorf("%+v", got)
			}
			sig := v.Signature()
			if c := sig.Certificate; sig.Key != "" || c == nil || c.Name != signer || c.Issuer != attesttest.Issuer ||
				c.SourceRepository != "https://example.com/repo" || c.SourceRepositoryRef != "refs/tags/v1.0.0" {
				t.Errorf("%+v", c)
			}
			if len(sig.Logs) != 1 || sig.Logs[0].Index != 1 {
				t.Errorf("%+v", sig.Logs)
			}
			kind := map[uint32]string{1: "log", 2: "timestamp"}[version]
			if len(sig.Times) != 1 || sig.Times[0].Kind != kind || time.Since(sig.Times[0].Time) > time.Minute {
				t.Errorf("%+v", sig.Times)
			}
			// A file, with the same certificate.
			data, err = k.SignFile(t.Context(), "hello.txt", hello)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := attest.Open(data, trust, about); err != nil {
				t.Error(err)
			}
			var certified int
			for _, path := range s.Requests() {
				if path == attesttest.CertifyPath {
					certified++
				}
			}
			if certified != 1 {
				t.Errorf("%d certificates for a person", certified)
			}
		})
	}
}

// TestKeylessFaults signs with a fault somewhere: the Signer itself must notice.
func TestKeylessFaults(t *testing.T) {
	for name, test := range map[string]struct {
		version uint32
		fault   func(*attesttest.Stack)
		want    attest.Reason
	}{
		"stamped after the certificate expired": {2, func(s *attesttest.Stack) { s.Stamped = time.Hour }, attest.WrongTime},
		"stamped before the certificate":        {2, func(s *attesttest.Stack) { s.Stamped = -time.Hour }, attest.WrongTime},
		"logged after the certificate expired":  {1, func(s *attesttest.Stack) { s.Logged = time.Hour }, attest.WrongTime},
		"logged before the certificate":         {1, func(s *attesttest.Stack) { s.Logged = -time.Hour }, attest.WrongTime},
		"not in a certificate log":              {2, func(s *attesttest.Stack) { s.NoSCT = true }, attest.WrongAuthority},
		"the authorities are not those of the root": {2, func(s *attesttest.Stack) {
			other := attesttest.New(t, 2)
			s.TrustedRoot = other.TrustedRoot
		}, attest.WrongAuthority},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := attesttest.New(t, test.version)
			test.fault(s)
			data, err := keyless(t, s).Sign(t.Context(), said)
			var e *attest.Error
			if data != nil || !errors.As(err, &e) || e.Reason != test.want {
				t.Errorf("%s, %v; want %s", data, err, test.want)
			}
		})
	}
}

func TestServiceDown(t *testing.T) {
	for _, path := range []string{attesttest.CertifyPath, attesttest.StampPath, attesttest.LogPath} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := attesttest.New(t, 2)
			s.Down = []string{path}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			if data, err := keyless(t, s).Sign(ctx, said); err == nil {
				t.Errorf("signed without %s: %s", path, data)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("cancelled, and went on for %v", d)
			}
		})
	}
}

// TestIdentity holds a good bundle against wrong expectations.
func TestIdentity(t *testing.T) {
	s := attesttest.New(t, 2)
	data, err := keyless(t, s).Sign(t.Context(), said)
	if err != nil {
		t.Fatal(err)
	}
	root := parseRoot(t, s)
	for _, test := range []struct {
		id   attest.Identity
		want attest.Reason
	}{
		{attest.Identity{Name: signer, Issuer: attesttest.Issuer}, ""},
		{attest.Identity{NameRegexp: `[a-z]+@example\.com`, IssuerRegexp: `https://issuer\..*`}, ""},
		{attest.Identity{NameRegexp: `x|signer@example\.com`, Issuer: attesttest.Issuer}, ""},
		{attest.Identity{Name: "signer@example.co", Issuer: attesttest.Issuer}, attest.WrongIdentity},
		{attest.Identity{Name: "signer@exampleXcom", Issuer: attesttest.Issuer}, attest.WrongIdentity},
		{attest.Identity{NameRegexp: `example\.com`, Issuer: attesttest.Issuer}, attest.WrongIdentity},
		{attest.Identity{NameRegexp: `signer@example|.*\.org`, Issuer: attesttest.Issuer}, attest.WrongIdentity},
		{attest.Identity{Name: signer, Issuer: attesttest.Issuer + "/"}, attest.WrongIssuer},
		{attest.Identity{Name: signer, IssuerRegexp: "https"}, attest.WrongIssuer},
	} {
		trust, err := attest.TrustIdentity(root, test.id)
		if err != nil {
			t.Fatal(err)
		}
		v, err := attest.Open(data, trust, about)
		if test.want != "" {
			refused(t, v, err, test.want)
		} else if err != nil {
			t.Errorf("%+v: %v", test.id, err)
		}
	}
	for _, bad := range []attest.Identity{
		{}, {Name: signer}, {Issuer: attesttest.Issuer}, {NameRegexp: ".*"},
		{Name: signer, NameRegexp: ".*", Issuer: attesttest.Issuer},
		{Name: signer, Issuer: attesttest.Issuer, IssuerRegexp: ".*"},
		{NameRegexp: "(", Issuer: attesttest.Issuer}, {NameRegexp: "a)|(b", Issuer: attesttest.Issuer},
	} {
		if _, err := attest.TrustIdentity(root, bad); err == nil {
			t.Errorf("%+v: accepted", bad)
		}
	}
}

// TestOtherTrust opens bundles with what does not fit them.
func TestOtherTrust(t *testing.T) {
	s, other := attesttest.New(t, 2), attesttest.New(t, 2)
	certified, err := keyless(t, s).Sign(t.Context(), said)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sv, err := signature.LoadDefaultSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := attest.NewSigner(t.Context(), sv)
	if err != nil {
		t.Fatal(err)
	}
	unlogged, err := plain.Sign(t.Context(), said)
	if err != nil {
		t.Fatal(err)
	}
	logging, err := attest.NewLoggedSigner(t.Context(), sv, services(t, s))
	if err != nil {
		t.Fatal(err)
	}
	logged, err := logging.Sign(t.Context(), said)
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := attest.TrustKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	byLoggedKey, err := attest.TrustLoggedKey(key.Public(), parseRoot(t, s))
	if err != nil {
		t.Fatal(err)
	}
	byOtherLog, err := attest.TrustLoggedKey(key.Public(), parseRoot(t, other))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		data  []byte
		trust attest.Trust
		want  attest.Reason
	}{
		{"certificate, by its identity", certified, trustSigner(t, s), ""},
		{"key", unlogged, byKey, ""},
		{"logged key", logged, byLoggedKey, ""},
		{"logged key, log ignored", logged, byKey, ""},
		{"no trust", unlogged, attest.Trust{}, attest.Undetermined},
		{"certificate, by a key", certified, byKey, attest.WrongKey},
		{"key, by identity", unlogged, trustSigner(t, s), attest.WrongIdentity},
		{"certificate, another root", certified, trustSigner(t, other), attest.WrongAuthority},
		{"key, not logged", unlogged, byLoggedKey, attest.WrongLog},
		{"key, another log", logged, byOtherLog, attest.WrongLog},
	} {
		v, err := attest.Open(test.data, test.trust, about)
		if test.want != "" {
			t.Log(test.name, err)
			refused(t, v, err, test.want)
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	sig := func() attest.Signature {
		v, err := attest.Open(logged, byLoggedKey, about)
		if err != nil {
			t.Fatal(err)
		}
		return v.Signature()
	}()
	if sig.Key == "" || len(sig.Logs) != 1 || len(sig.Times) != 1 {
		t.Errorf("%+v", sig)
	}
}

func TestParseRoot(t *testing.T) {
	s := attesttest.New(t, 2)
	for _, bad := range []string{
		"", "{}", "null", "[]", `{"mediaType":"x"}`,
		string(bytes.Replace(s.TrustedRoot, []byte(`"tlogs"`), []byte(`"unknown"`), 1)),
	} {
		r, err := attest.ParseRoot([]byte(bad))
		var e *attest.Error
		if r != nil || !errors.As(err, &e) || e.Reason != attest.Undetermined {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	empty, err := attest.ParseRoot([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*attest.Root{nil, empty} {
		_, err := attest.TrustIdentity(r, attest.Identity{Name: signer, Issuer: attesttest.Issuer})
		var e *attest.Error
		if !errors.As(err, &e) || e.Reason != attest.Undetermined {
			t.Errorf("%v", err)
		}
	}
}

func TestParseServices(t *testing.T) {
	s := attesttest.New(t, 2)
	for _, bad := range []string{
		"", "{}", `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.1+json"}`,
		`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogUrls":[{"url":"https://example.com"}]}`,
		string(bytes.Replace(s.SigningConfig, []byte(`"caUrls"`), []byte(`"unknown"`), 1)),
	} {
		if _, err := attest.NewServices([]byte(bad), parseRoot(t, s), time.Now, http.DefaultTransport); err == nil {
			t.Errorf("%.60q: accepted", bad)
		}
	}
	if _, err := attest.NewServices(s.SigningConfig, nil, time.Now, http.DefaultTransport); err == nil {
		t.Error("no trusted root: accepted")
	}
}
