// Package key loads and makes the keys that sign releases. Keys in files and keys that a KMS keeps
// have the same types: [Private] and [Public].
//
// # Keys
//
// ECDSA on P-256 (the default, which every client accepts) and P-384, Ed25519, and RSA of 2048,
// 3072 or 4096 bits with the exponent 65537. Each is used with the one signature algorithm that
// Sigstore's registry gives it
// (https://github.com/sigstore/architecture-docs/blob/main/algorithm-registry.md): P-256 with
// SHA-256, P-384 with SHA-384, pure Ed25519, RSA PKCS#1 v1.5 with SHA-256. Every other key is
// refused by name.
//
// # Files
//
// A key file is at most [MaxFile] bytes and holds one PEM block (RFC 7468). Nothing else may be
// there, except the EC PARAMETERS that openssl puts before a key. A private key is PRIVATE KEY
// (PKCS#8), EC PRIVATE KEY (SEC 1), RSA PRIVATE KEY (PKCS#1), or PKCS#8 in cosign's encryption:
// ENCRYPTED SIGSTORE PRIVATE KEY, earlier called ENCRYPTED COSIGN PRIVATE KEY. That is scrypt and
// NaCl's secretbox
// (https://pkg.go.dev/github.com/secure-systems-lab/go-securesystemslib/encrypted). A public key is
// PUBLIC KEY (PKIX).
//
// # KMS
//
// A reference scheme://id names a key that the executable sigstore-kms-scheme reaches, by
// Sigstore's plugin protocol
// (https://github.com/sigstore/sigstore/blob/main/pkg/signature/kms/cliplugin/README.md). Module
// github.com/twicebuild/twice/cmd/kms has such executables for awskms, azurekms, gcpkms and
// hashivault.
//
// # Randomness
//
// No argument chooses it. Since Go 1.26 the standard library makes keys from the system's
// randomness whatever reader it is given, and so does the encryption above. Tests replace it with
// testing/cryptotest.
package key

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// Options are what loading a key may need besides its reference. The zero value loads unencrypted
// files.
type Options struct {
	// Passphrase returns the passphrase of an encrypted key, as its bytes. A line that was read has
	// no line end any more. It is called at most once, and only when the key is encrypted and the
	// file is sound.
	Passphrase func(context.Context) ([]byte, error)
	// Path lists the folders where plugins are looked for, in order. Those that are not absolute
	// are passed over.
	Path []string
	// Environ is the complete environment of a plugin, as NAME=value pairs. A
	// plugin finds its credentials there, so it is commonly the user's own.
	Environ []string
	// Stderr gets the messages of a plugin, if it is not nil.
	Stderr io.Writer
}

// Private is a key that can sign. [Load], [Generate] and [Development] make one.
type Private struct {
	// Warnings are what the user should know about this key each time it is used, one sentence
	// each.
	Warnings []string
	// Development tells that the key is the one of [Development]: what it signs
	// proves nothing about who built it.
	Development bool

	public *Public
	signer signature.SignerVerifier
}

// Public returns the public half.
func (p *Private) Public() *Public { return p.public }

// SignerVerifier returns the key in the form that Sigstore's libraries take. Signing with it ends
// early only if it is given options.WithContext.
func (p *Private) SignerVerifier() signature.SignerVerifier { return p.signer }

// Sign returns the signature of message: ASN.1 for ECDSA, as it is for the
// others. The error is the context's, or a plugin's.
func (p *Private) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("sign: %w", context.Cause(ctx))
	}
	sig, err := p.signer.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

// Public is a public key of a kind that is accepted. [LoadPublic] and
// [ParsePublic] make one.
type Public struct {
	key       crypto.PublicKey
	kind      string
	der       []byte
	algorithm signature.AlgorithmDetails
	verifier  signature.Verifier
}

// Key returns the key: *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey.
func (p *Public) Key() crypto.PublicKey { return p.key }

// Kind returns the kind of key for people to read, such as "ECDSA P-256".
func (p *Public) Kind() string { return p.kind }

// Algorithm returns the signature algorithm that the key is used with.
func (p *Public) Algorithm() signature.AlgorithmDetails { return p.algorithm }

// Hint returns the identifier of the key in a bundle, its publicKey.hint, as cosign and sigstore-go
// write it. It is standard base64 of the SHA-256 of the DER of the PKIX form.
func (p *Public) Hint() string {
	sum := sha256.Sum256(p.der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Fingerprint returns the same hash for people to compare, as
// "openssl pkey -pubin -outform der -in NAME.pub | sha256sum" prints it.
func (p *Public) Fingerprint() artifact.Digest { return artifact.Of(p.der) }

// PEM returns the key as a PUBLIC KEY block.
func (p *Public) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: p.der})
}

// Verifier returns the key in the form that Sigstore's libraries take.
func (p *Public) Verifier() signature.Verifier { return p.verifier }

// Verify returns nil if sig is the key's signature of message.
func (p *Public) Verify(message, sig []byte) error {
	return p.verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message))
}

// newPublic returns a key that the package comment lists. Others are an error.
func newPublic(key crypto.PublicKey) (*Public, error) {
	kind, err := kindOf(key)
	if err != nil {
		return nil, err
	}

	p := &Public{key: key, kind: kind}
	if p.der, err = x509.MarshalPKIXPublicKey(key); err != nil {
		return nil, err
	}
	if p.algorithm, err = signature.GetDefaultAlgorithmDetails(key); err != nil {
		return nil, err
	}
	if p.verifier, err = signature.LoadDefaultVerifier(key); err != nil {
		return nil, err
	}

	return p, nil
}

// newPrivate returns a key of one of the types that crypto/x509 returns.
func newPrivate(key crypto.PrivateKey) (*Private, error) {
	// An ecdh.PrivateKey is no crypto.Signer. Its public half gets an error that names the kind.
	var publicKey crypto.PublicKey
	switch key := key.(type) {
	case *ecdh.PrivateKey:
		publicKey = key.PublicKey()
	case crypto.Signer:
		publicKey = key.Public()
	default:
		return nil, unsupported(fmt.Sprintf("%T", key))
	}

	public, err := newPublic(publicKey)
	if err != nil {
		return nil, err
	}

	signer, err := signature.LoadDefaultSignerVerifier(key)
	if err != nil {
		return nil, err
	}
	return &Private{public: public, signer: signer}, nil
}

// exponent is the only one that Sigstore's services accept.
const exponent = 65537

// kindOf names the kinds of key that are accepted, and refuses the others.
func kindOf(key crypto.PublicKey) (string, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		kind := "ECDSA " + key.Params().Name
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return "", unsupported(kind)
		}
		return kind, nil
	case ed25519.PublicKey:
		return "Ed25519", nil
	case *rsa.PublicKey:
		// Size would round up to bytes.
		bits := key.N.BitLen()
		kind := fmt.Sprintf("RSA %d", bits)
		if bits != 2048 && bits != 3072 && bits != 4096 {
			return "", unsupported(kind)
		}
		if key.E != exponent {
			return "", unsupported(fmt.Sprintf("%s with the exponent %d", kind, key.E))
		}
		return kind, nil
	case *ecdh.PublicKey:
		return "", unsupported(fmt.Sprintf("%v, which cannot sign,", key.Curve()))
	default:
		return "", unsupported(fmt.Sprintf("%T", key))
	}
}

// unsupported returns the error about a key of another kind.
func unsupported(kind string) error {
	return fault.WithRemedy(fault.Usage(fmt.Errorf("a key of kind %s is not accepted", kind)),
		"take ECDSA P-256 (twice keygen makes one); P-384, Ed25519, and RSA 2048, 3072 and 4096 are accepted too")
}

// Load returns the key that ref names: a path of a PEM file, or scheme://id.
//
// A key file that others may read is loaded with a warning, since a CI system's mounted secrets
// often are like that and cannot be changed there. For a KMS key its plugin runs once, for the
// public half. Errors name the reference, and have a remedy where there is one.
func Load(ctx context.Context, ref string, opts Options) (*Private, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("signing key %s: %w", ref, context.Cause(ctx))
	}

	var private *Private
	var err error
	// Only a KMS has a scheme. A path with :// in it cannot be named.
	if strings.Contains(ref, "://") {
		private, err = loadPlugin(ctx, ref, opts)
	} else if private, err = loadFile(ctx, ref, opts); err != nil {
		err = fault.Usage(err) // whoever named the file can name another
	}
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", ref, err)
	}
	return private, nil
}

// LoadPublic returns the public key that ref names: a path of a PEM file, or scheme://id. For the
// latter it asks the plugin. Neither takes a passphrase.
func LoadPublic(ctx context.Context, ref string, opts Options) (*Public, error) {
	public, err := loadPublic(ctx, ref, opts)
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", ref, err)
	}
	return public, nil
}

// loadPublic is LoadPublic without the words in front of its errors.
func loadPublic(ctx context.Context, ref string, opts Options) (*Public, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if strings.Contains(ref, "://") {
		private, err := loadPlugin(ctx, ref, opts)
		if err != nil {
			return nil, err
		}
		return private.public, nil
	}

	data, _, err := readFile(ref)
	if err != nil {
		return nil, fault.Usage(err)
	}
	public, err := ParsePublic(data)
	return public, fault.Usage(err)
}
