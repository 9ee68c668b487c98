// Package attesttest is a Sigstore instance in a test's own process: a certificate authority, a
// certificate log, a transparency log and a time stamp authority. They answer on loopback as the
// real ones do, and have made-up keys. Their faults can be chosen. It proves that bundles are made
// and judged as the specifications say. The tests in e2e prove that the real servers agree.
package attesttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	prototrust "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Stack is a running instance. Its fields are set before it is used.
type Stack struct {
	// TrustedRoot and SigningConfig are JSON, for attest.ParseRoot and attest.NewServices.
	TrustedRoot, SigningConfig []byte

	// Issued, Stamped and Logged are how far from now the authorities' clocks
	// are.
	Issued, Stamped, Logged time.Duration
	// NoSCT leaves the certificate log out.
	NoSCT bool
	// Extensions are further ones of certificates, as the certificate of a CI job has them.
	Extensions []pkix.Extension
	// Down lists paths that answer with status 503.
	Down []string

	mu       sync.Mutex
	requests []string

	t           testing.TB
	server      *httptest.Server
	root, inter *x509.Certificate
	interKey    *ecdsa.PrivateKey
	tsa         *x509.Certificate
	tsaKey      *ecdsa.PrivateKey
	ctKey       *ecdsa.PrivateKey
	logKey      *ecdsa.PrivateKey
}

// Issuer is the OIDC issuer in certificates.
const Issuer = "https://issuer.example"

// year is the validity of everything except a signer's certificate.
const year = 365 * 24 * time.Hour

// New starts an instance with a transparency log of version 1 or 2. It ends with
// the test.
func New(t testing.TB, version uint32) *Stack {
	t.Helper()

	// Every part has a key of its own.
	s := &Stack{t: t}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		s.must(err)
		return k
	}

	// One root certifies both the signers' authority and that of the time stamps.
	rootKey := key()
	s.interKey, s.tsaKey, s.ctKey, s.logKey = key(), key(), key(), key()
	s.root = s.certificate(authority("test root"), nil, rootKey.Public(), rootKey)
	s.inter = s.certificate(authority("test intermediate"), s.root, s.interKey.Public(), rootKey)

	tsa := authority("test time stamps")
	tsa.IsCA, tsa.KeyUsage = false, x509.KeyUsageDigitalSignature
	stamping, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	s.must(err)
	// Extended key usage must be critical (RFC 3161, section 2.3).
	tsa.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: stamping}}
	s.tsa = s.certificate(tsa, s.root, s.tsaKey.Public(), rootKey)

	mux := http.NewServeMux()
	handle := func(path string, f func([]byte, *http.Request) ([]byte, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.requests = append(s.requests, path)
			s.mu.Unlock()
			for _, down := range s.Down {
				if down == path {
					http.Error(w, "down", http.StatusServiceUnavailable)
					return
				}
			}
			body, err := io.ReadAll(r.Body)
			if err == nil {
				body, err = f(body, r)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if strings.HasSuffix(path, "/log/entries") {
				w.Header().Set("ETag", entryUUID)
				w.Header().Set("Location", path+"/"+entryUUID)
				w.WriteHeader(http.StatusCreated)
			}
			w.Write(body)
		})
	}

	handle(CertifyPath, s.certify)
	handle(StampPath, s.stamp)
	handle(LogPath, s.enterV2)
	handle("/api/v1/log/entries", s.enterV1)
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)

	s.TrustedRoot, s.SigningConfig = s.trustedRoot(), s.signingConfig(version)
	return s
}

// Paths of services, for Down and Requests.
const (
	CertifyPath = "/api/v2/signingCert"
	StampPath   = "/api/v1/timestamp"
	LogPath     = "/api/v2/log/entries"
)

// Requests returns the paths that were asked for.
func (s *Stack) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// Token returns an identity token for an email address, by [Issuer]. It has no good signature: this
// certificate authority believes everybody.
func Token(email string) string { return TokenOf(Issuer, email) }

// TokenOf is like Token, for an email address or the URL of a CI job, by any issuer.
func TokenOf(issuer, name string) string {
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(map[string]string{"alg": "none"}) + "." +
		part(map[string]any{"iss": issuer, "sub": name, "email": name, "email_verified": true, "aud": "sigstore"}) + "." + part("nobody")
}

// must ends the test if there is an error.
func (s *Stack) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// authority returns the template of a certificate authority's certificate.
func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"twice test"}},
		NotBefore: time.Now().Add(-year), NotAfter: time.Now().Add(year),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
}

// certificate makes a certificate of template. Without a parent it signs itself.
func (s *Stack) certificate(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	s.must(err)
	c, err := x509.ParseCertificate(der)
	s.must(err)
	return c
}

// trustedRoot returns the JSON that describes the keys and certificates of this instance.
func (s *Stack) trustedRoot() []byte {
	valid := &protocommon.TimeRange{Start: timestamppb.New(time.Now().Add(-year))}

	chain := func(certs ...*x509.Certificate) *protocommon.X509CertificateChain {
		c := &protocommon.X509CertificateChain{}
		for _, cert := range certs {
			c.Certificates = append(c.Certificates, &protocommon.X509Certificate{RawBytes: cert.Raw})
		}
		return c
	}

	log := func(key *ecdsa.PrivateKey) *prototrust.TransparencyLogInstance {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		s.must(err)
		return &prototrust.TransparencyLogInstance{
			BaseUrl: s.server.URL, HashAlgorithm: protocommon.HashAlgorithm_SHA2_256,
			PublicKey: &protocommon.PublicKey{RawBytes: der, KeyDetails: protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, ValidFor: valid},
			LogId:     &protocommon.LogId{KeyId: keyID(s.t, key)},
		}
	}

	b, err := protojson.Marshal(&prototrust.TrustedRoot{
		MediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		Tlogs:     []*prototrust.TransparencyLogInstance{log(s.logKey)},
		Ctlogs:    []*prototrust.TransparencyLogInstance{log(s.ctKey)},
		CertificateAuthorities: []*prototrust.CertificateAuthority{{
			Uri: s.server.URL, CertChain: chain(s.inter, s.root), ValidFor: valid,
		}},
		TimestampAuthorities: []*prototrust.CertificateAuthority{{
			Uri: s.server.URL + StampPath, CertChain: chain(s.tsa, s.root), ValidFor: valid,
		}},
	})
	s.must(err)
	return b
}

// signingConfig returns the JSON that describes the services of this instance.
func (s *Stack) signingConfig(version uint32) []byte {
	service := func(path string, version uint32) []*prototrust.Service {
		return []*prototrust.Service{{Url: s.server.URL + path, MajorApiVersion: version, Operator: "test",
			ValidFor: &protocommon.TimeRange{Start: timestamppb.New(time.Now().Add(-year))}}}
	}

	anyOf := &prototrust.ServiceConfiguration{Selector: prototrust.ServiceSelector_ANY}
	pb := &prototrust.SigningConfig{
		MediaType:     "application/vnd.dev.sigstore.signingconfig.v0.2+json",
		CaUrls:        service("", 1),
		RekorTlogUrls: service("", version), RekorTlogConfig: anyOf,
	}

	if version != 1 {
		pb.TsaUrls, pb.TsaConfig = service(StampPath, 1), anyOf
	}
	b, err := protojson.Marshal(pb)
	s.must(err)
	return b
}
