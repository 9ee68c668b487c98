package attest

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/twicebuild/twice/attest/filesig"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// Trust is what [Open] judges a bundle by: a public key, or certificate authorities and an
// identity. The zero value trusts nothing.
type Trust struct {
	key  *publicKey
	root *Root
	// logs is the number of transparency logs that must know the signature.
	logs int
	// identity is that of the certificate. It is nil where key is set.
	identity *Identity
	// anyone accepts all identities. A Signer sets it, since it looks at its own certificates.
	anyone bool
	// fileKey is a key whose signatures are no bundles. If it is set, nothing else is.
	fileKey *filesig.Key
}

// publicKey is a key with the hash that Sigstore has for its kind
// (https://github.com/sigstore/architecture-docs/blob/main/algorithm-registry.md).
type publicKey struct {
	verifier signature.Verifier
	// fingerprint is the SHA-256 of the key's PKIX form.
	fingerprint artifact.Digest
	// hint is the fingerprint as sigstore's clients write it into bundles.
	hint string
}

// newPublicKey returns a key with the verifier that Sigstore has for its kind.
func newPublicKey(pub crypto.PublicKey) (*publicKey, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	verifier, err := signature.LoadDefaultVerifier(pub)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}

	sum := sha256.Sum256(der)
	return &publicKey{verifier: verifier, fingerprint: artifact.Of(der), hint: base64.StdEncoding.EncodeToString(sum[:])}, nil
}

// prehashes reports whether the key signs a digest. An Ed25519 key signs the
// message itself.
func (k *publicKey) prehashes() bool {
	_, plain := k.verifier.(*signature.ED25519Verifier)
	return !plain
}

// readers returns b in the form that sigstore-go takes.
func readers(b []byte) []io.Reader { return []io.Reader{bytes.NewReader(b)} }

// TrustKey trusts signatures of one key: ECDSA on P-256, P-384 or P-521, RSA of 2048, 3072 or 4096
// bits (PKCS #1 v1.5), or Ed25519. Log entries and time stamps in a bundle are not looked at, and a
// Verified value does not rest on them.
func TrustKey(pub crypto.PublicKey) (Trust, error) {
	key, err := newPublicKey(pub)
	if err != nil {
		return Trust{}, err
	}
	return Trust{key: key}, nil
}

// TrustLoggedKey is like TrustKey. In addition a transparency log of r must know every signature.
func TrustLoggedKey(pub crypto.PublicKey, r *Root) (Trust, error) {
	t, err := TrustKey(pub)
	if err != nil {
		return Trust{}, err
	}
	if r == nil || len(r.material.RekorLogs()) == 0 {
		return Trust{}, refuse(Undetermined, "the trusted root has no transparency log")
	}
	t.root, t.logs = r, 1
	return t, nil
}

// TrustFileKey trusts signatures of files by a key of minisign or SSH. They are no bundles, and Open
// opens none for it.
func TrustFileKey(k *filesig.Key) Trust { return Trust{fileKey: k} }

// FileKey returns the key of [TrustFileKey], or nil.
func (t Trust) FileKey() *filesig.Key { return t.fileKey }

// Identity says for whom a certificate must be, and who must have vouched for them. One of the
// first two fields must be set, and one of the last two.
type Identity struct {
	// Name is the certificate's subject alternative name: an email address, or
	// the URL of a CI job's definition.
	Name string
	// NameRegexp must match all of it, not only a part.
	NameRegexp string
	// Issuer is the URL of the OIDC issuer.
	Issuer string
	// IssuerRegexp must match all of it, not only a part.
	IssuerRegexp string

	name, issuer *regexp.Regexp
}

// TrustIdentity trusts signatures of keys that a certificate authority of r certified for id. The
// certificate must be in a certificate log of r, and the signature in a transparency log of r. A
// log or a time stamp authority of r must say when it was made.
func TrustIdentity(r *Root, id Identity) (Trust, error) {
	if r == nil {
		return Trust{}, refuse(Undetermined, "no trusted root").withRemedy("name its file, or fetch that of the public instance")
	}

	if (id.Name == "") == (id.NameRegexp == "") {
		return Trust{}, errors.New("identity: want either a name or a regular expression for it")
	}
	if (id.Issuer == "") == (id.IssuerRegexp == "") {
		return Trust{}, errors.New("identity: want either an issuer or a regular expression for it")
	}

	// Each pattern has to match the whole name.
	var err error
	if id.name, err = wholeMatch(id.Name, id.NameRegexp); err != nil {
		return Trust{}, fmt.Errorf("identity: name: %w", err)
	}
	if id.issuer, err = wholeMatch(id.Issuer, id.IssuerRegexp); err != nil {
		return Trust{}, fmt.Errorf("identity: issuer: %w", err)
	}
	t := Trust{root: r, logs: 1, identity: &id}
	return t, r.checkComplete()
}

// wholeMatch returns an expression for exact or, if that is empty, for texts that expr matches from
// start to end.
func wholeMatch(exact, expr string) (*regexp.Regexp, error) {
	if expr == "" {
		expr = regexp.QuoteMeta(exact)
	} else if _, err := regexp.Compile(expr); err != nil {
		return nil, err // before wrapping, which might repair it: "a)(b"
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// MatchesSigner reports whether s, which is a verified signature, is one of the key or the identity
// that t trusts. It ignores what else t asks for: a log that must know it, or certain certificate
// authorities.
func (t Trust) MatchesSigner(s Signature) bool {
	switch id := t.identity; {
	case t.fileKey != nil:
		return s.Format == t.fileKey.Format() && s.Key == t.fileKey.Fingerprint()
	case t.key != nil:
		return s.Format == "" && s.Key == t.key.fingerprint
	case id != nil && s.Certificate != nil:
		return id.name.MatchString(s.Certificate.Name) && id.issuer.MatchString(s.Certificate.Issuer)
	}
	return false
}

// Root holds certificate authorities, logs and time stamp authorities that are
// trusted.
type Root struct{ material root.TrustedMaterial }

// ParseRoot reads a trusted root in JSON, media type
// application/vnd.dev.sigstore.trustedroot+json;version=0.1
// (https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto). An
// unknown form is an error, of reason Undetermined.
func ParseRoot(data []byte) (*Root, error) {
	material, err := root.NewTrustedRootFromJSON(data)
	if err != nil {
		return nil, refuse(Undetermined, "trusted root: %w", err)
	}
	return &Root{material}, nil
}

// checkComplete returns an error unless r has all that it takes to judge an identity.
func (r *Root) checkComplete() error {
	missing := func(what string) error { return refuse(Undetermined, "the trusted root has no %s", what) }
	switch m := r.material; {
	case len(m.FulcioCertificateAuthorities()) == 0:
		return missing("certificate authority")
	case len(m.CTLogs()) == 0:
		return missing("certificate log")
	case len(m.RekorLogs()) == 0:
		return missing("transparency log")
	}
	return nil
}

// material returns what t knows, in the form that sigstore-go takes.
func (t Trust) material() root.TrustedMaterial {
	var all root.TrustedMaterialCollection
	if t.root != nil {
		all = append(all, t.root.material)
	}

	if t.key != nil {
		// Whatever hint a bundle has: there is one key.
		all = append(all, root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
			return root.NewExpiringKey(t.key.verifier, time.Time{}, time.Time{}), nil
		}))
	}

	return all
}

// shortLogID returns how messages call a log: by the start of its key's ID.
func shortLogID(id []byte) string { return hex.EncodeToString(id[:min(len(id), 8)]) }
