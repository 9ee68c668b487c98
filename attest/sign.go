package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// Signer makes bundles. It may be used by several goroutines.
type Signer struct {
	// keypair is the key. It is nil where each certificate gets a new one.
	keypair  *keypair
	services *Services
	token    Token
	// trust opens the bundles of this Signer.
	trust Trust

	mu sync.Mutex
	// current is the certified key in use, if any.
	current *certifiedKey
}

// NewSigner returns a Signer with a key, in a file or a key management system: ECDSA on P-256,
// P-384 or P-521, RSA of 2048, 3072 or 4096 bits, or Ed25519. The key must sign with the hash that
// Sigstore has for its kind. Nothing is logged. ctx is for asking a key management system for the
// public key.
func NewSigner(ctx context.Context, key signature.Signer) (*Signer, error) {
	pub, err := key.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	kp, err := newKeypair(key, pub)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}

	trust, err := TrustKey(pub)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return &Signer{keypair: kp, trust: trust}, nil
}

// NewLoggedSigner returns a Signer with a key whose signatures go to the
// transparency logs and time stamp authorities of s.
func NewLoggedSigner(ctx context.Context, key signature.Signer, s *Services) (*Signer, error) {
	signer, err := NewSigner(ctx, key)
	if err != nil {
		return nil, err
	}

	if !signer.trust.key.prehashes() {
		return nil, fault.WithRemedy(fault.Usage(errors.New("signing key: transparency logs take no Ed25519 signatures")), "take a P-256 key, or no log")
	}

	// The Signer opens its bundles with the same demand for a log.
	signer.services, signer.trust.root = s, s.root
	signer.trust.logs = min(1, len(s.config.RekorLogURLs()))
	return signer, nil
}

// NewKeylessSigner returns a Signer whose keys live for minutes. The certificate authority of s
// certifies each for the identity in a token. Logs and time stamps say that it was used while the
// certificate was valid.
func NewKeylessSigner(s *Services, token Token) (*Signer, error) {
	if err := s.root.checkComplete(); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}

	if len(s.config.FulcioCertificateAuthorityURLs()) == 0 || len(s.config.RekorLogURLs()) == 0 {
		return nil, errors.New("signing configuration: want a certificate authority and a transparency log")
	}
	return &Signer{services: s, token: token, trust: Trust{root: s.root, logs: 1, anyone: true}}, nil
}

// Trust returns the trust that opens the bundles of this Signer. For a key it opens those of nobody
// else. For keyless signatures it opens those of everybody whom the same certificate authorities
// know.
func (s *Signer) Trust() Trust { return s.trust }

// Sign returns a bundle, in JSON, with a statement. The statement must have a subject, and the
// SHA-256 of each.
func (s *Signer) Sign(ctx context.Context, statement intoto.Statement) ([]byte, error) {
	if len(statement.Subjects) == 0 {
		return nil, errors.New("sign: a statement without subjects")
	}
	if slices.ContainsFunc(statement.Subjects, func(sub intoto.Subject) bool { return sub.Digest == "" }) {
		return nil, errors.New("sign: a subject without a SHA-256")
	}

	payload, err := statement.Encode()
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	content := &sign.DSSEData{Data: payload, PayloadType: intoto.PayloadType}
	b, err := s.sign(ctx, content, Artifact{Digest: statement.Subjects[0].Digest})
	if err != nil {
		return nil, fmt.Errorf("sign the statement %s: %w", statement.PredicateType, err)
	}
	return b, nil
}

// SignFile returns a bundle, in JSON, with a signature of content. The name is for errors, and is
// not signed.
func (s *Signer) SignFile(ctx context.Context, name string, content []byte) ([]byte, error) {
	if content == nil {
		content = []byte{}
	}
	b, err := s.sign(ctx, &sign.PlainData{Data: content}, Artifact{Digest: artifact.Of(content), Content: content})
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", name, err)
	}
	return b, nil
}

// sign makes a bundle, and opens it before anybody gets it.
func (s *Signer) sign(ctx context.Context, content sign.Content, about Artifact) ([]byte, error) {
	opts := sign.BundleOptions{Context: ctx}
	var kp sign.Keypair = s.keypair
	if s.services != nil {
		done, err := s.services.addWitnesses(ctx, &opts)
		if err != nil {
			return nil, err
		}
		defer done()
	}

	// Without a key of its own the Signer takes one that is certified for minutes.
	if s.keypair == nil {
		certified, err := s.currentKey(ctx)
		if err != nil {
			return nil, err
		}
		kp, opts.CertificateProvider = certified.keypair, certified
	}

	pb, err := sign.Bundle(content, kp, opts)
	if err != nil {
		return nil, err
	}

	data, err := protojson.Marshal(pb)
	if err != nil {
		return nil, err
	}
	// protojson varies its spacing on purpose. One form is enough for us.
	data, err = compactJSON(data)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	// A bundle that its own Signer cannot open would fail everywhere else.
	v, err := Open(data, s.trust, about)
	if err != nil {
		return nil, fmt.Errorf("the new bundle does not verify: %w", err)
	}
	if u := v.signature.Unknown; len(u) > 0 {
		return nil, fault.WithRemedy(fmt.Errorf("the new bundle has %s, which the trusted root does not know", u[0]),
			"give the signing configuration and the trusted root of one instance")
	}

	return data, nil
}

// certifiedKey is a key with a certificate. It lives in memory alone.
type certifiedKey struct {
	keypair     *sign.EphemeralKeypair
	certificate []byte
	notAfter    time.Time
}

// GetCertificate returns the certificate to sign.Bundle.
func (s *certifiedKey) GetCertificate(context.Context, sign.Keypair, *sign.CertificateProviderOptions) ([]byte, error) {
	return s.certificate, nil
}

// minRemaining is how long a certificate must still be valid to be used once more.
const minRemaining = time.Minute

// currentKey returns a key with a certificate. The statements of a release share it while it is
// valid, so that a person is asked for a token once.
func (s *Signer) currentKey(ctx context.Context) (*certifiedKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.services.now().Add(minRemaining).Before(s.current.notAfter) {
		return s.current, nil
	}

	token, err := s.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("identity token: %w", err)
	}

	kp, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, err
	}
	der, err := s.services.certify(ctx, kp, token)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	s.current = &certifiedKey{kp, der, cert.NotAfter}
	return s.current, nil
}

// keypair is a signature.Signer in the form that sign.Bundle takes.
type keypair struct {
	signer  signature.Signer
	public  crypto.PublicKey
	details signature.AlgorithmDetails
	hint    string
}

// newKeypair returns a key with the algorithm that Sigstore has for its kind.
func newKeypair(signer signature.Signer, pub crypto.PublicKey) (*keypair, error) {
	key, err := newPublicKey(pub)
	if err != nil {
		return nil, err
	}

	details, err := signature.GetDefaultAlgorithmDetails(pub)
	if err != nil {
		return nil, err
	}
	return &keypair{signer, pub, details, key.hint}, nil
}

// GetHashAlgorithm returns the algorithm of the digest that SignData returns.
func (k *keypair) GetHashAlgorithm() protocommon.HashAlgorithm {
	if k.details.GetHashType() == 0 {
		return protocommon.HashAlgorithm_SHA2_256
	}
	return k.details.GetProtoHashType()
}

// GetSigningAlgorithm returns the algorithm of the signatures.
func (k *keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	return k.details.GetSignatureAlgorithm()
}

// GetHint returns what bundles have in place of the key.
func (k *keypair) GetHint() []byte { return []byte(k.hint) }

// GetKeyAlgorithm is for certificate authorities, which such a key never sees.
func (k *keypair) GetKeyAlgorithm() string { return "" }

// GetPublicKey returns the public half.
func (k *keypair) GetPublicKey() crypto.PublicKey { return k.public }

// GetPublicKeyPem returns the public half in PEM.
func (k *keypair) GetPublicKeyPem() (string, error) {
	b, err := cryptoutils.MarshalPublicKeyToPEM(k.public)
	return string(b), err
}

// SignData returns a signature of data, and a digest for a bundle. Ed25519 signs data itself. Its
// bundles have the SHA-256, for people who look for the file.
func (k *keypair) SignData(ctx context.Context, data []byte) ([]byte, []byte, error) {
	sig, err := k.signer.SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}

	hash := k.details.GetHashType()
	if hash == 0 {
		sum := sha256.Sum256(data)
		return sig, sum[:], nil
	}

	h := hash.New()
	h.Write(data)
	return sig, h.Sum(nil), nil
}
