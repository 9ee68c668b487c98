package attest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

const hello = "hello\n"

func statement() intoto.Statement {
	return intoto.Statement{
		Subjects: []intoto.Subject{
			{Name: "other", Digest: artifact.Of([]byte("other"))},
			{Name: "hello.txt", Digest: artifact.Of([]byte(hello))},
		},
		PredicateType: "https://example.com/predicate/v1",
		Predicate:     []byte(`{"is":"good"}`),
	}
}

// newKey returns a private key of a kind.
func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "P-256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "RSA":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatal(kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSigner(t testing.TB, key crypto.Signer) *Signer {
	t.Helper()
	sv, err := signature.LoadDefaultSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(t.Context(), sv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trustKey(t testing.TB, pub crypto.PublicKey) Trust {
	t.Helper()
	trust, err := TrustKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// helloArtifact is about the second subject of statement.
var helloArtifact = Artifact{Digest: artifact.Of([]byte(hello))}

// refused fails the test unless err is an Error of that reason.
func refused(t testing.TB, v *Verified, err error, want Reason) {
	t.Helper()
	var e *Error
	if v != nil || !errors.As(err, &e) || e.Reason != want {
		t.Errorf("got %v, %v; want %s", v, err, want)
	}
}

func TestKeys(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "P-521", "RSA", "Ed25519"} {
		t.Run(kind, func(t *testing.T) {
			key := newKey(t, kind)
			s, trust := newSigner(t, key), trustKey(t, key.Public())
			data, err := s.Sign(t.Context(), statement())
			if err != nil {
				t.Fatal(err)
			}
			v, err := Open(data, trust, helloArtifact)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := v.Statement()
			if want := statement(); !ok || got.PredicateType != want.PredicateType || string(got.Predicate) != string(want.Predicate) || len(got.Subjects) != 2 {
				t.Errorf("statement %+v", got)
			}
			if sig := v.Signature(); sig.Key != trust.key.fingerprint || sig.Certificate != nil || len(sig.Logs)+len(sig.Times) != 0 {
				t.Errorf("signature %+v", sig)
			}
			if v.Artifact() != helloArtifact.Digest {
				t.Errorf("artifact %s", v.Artifact())
			}
			v, err = Open(data, trust, Artifact{Digest: artifact.Of([]byte("another"))})
			refused(t, v, err, WrongSubject)
			v, err = Open(data, trustKey(t, newKey(t, kind).Public()), helloArtifact)
			refused(t, v, err, WrongKey)

			data, err = s.SignFile(t.Context(), "hello.txt", []byte(hello))
			if err != nil {
				t.Fatal(err)
			}
			full := Artifact{Digest: helloArtifact.Digest, Content: []byte(hello)}
			if v, err = Open(data, trust, full); err != nil {
				t.Fatal(err)
			}
			if s, ok := v.Statement(); ok || len(s.Subjects) > 0 {
				t.Errorf("a statement %+v from nowhere", s)
			}
			v, err = Open(data, trust, helloArtifact)
			switch kind {
			case "P-256", "RSA":
				if err != nil {
					t.Error(err)
				}
			default:
				refused(t, v, err, Undetermined)
			}
			v, err = Open(data, trustKey(t, newKey(t, kind).Public()), full)
			refused(t, v, err, WrongKey)
			other := []byte("jello\n")
			v, err = Open(data, trust, Artifact{Digest: artifact.Of(other), Content: other})
			switch kind {
			case "P-384", "P-521":
				refused(t, v, err, Tampered) // no SHA-256 to tell the file by
			default:
				refused(t, v, err, WrongSubject)
			}
		})
	}
}

func TestSignCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if data, err := newSigner(t, newKey(t, "P-256")).Sign(ctx, statement()); !errors.Is(err, context.Canceled) || data != nil {
		t.Errorf("%s, %v", data, err)
	}
}

func TestSignNothing(t *testing.T) {
	if data, err := newSigner(t, newKey(t, "P-256")).Sign(t.Context(), intoto.Statement{PredicateType: "x"}); err == nil {
		t.Errorf("%s", data)
	}
}
