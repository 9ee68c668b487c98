// Package attesttest is a Sigstore instance in a test's own process: a certificate authority, a
// certificate log, a transparency log and a time stamp authority. They answer on loopback as the
// real ones do, and have made-up keys. Their faults can be chosen. It proves that bundles are made
// and judged as the specifications say. The tests in e2e prove that the real servers agree.
package attesttest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/digitorus/timestamp"
	"github.com/go-openapi/runtime"
	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"
	ctx509util "github.com/google/certificate-transparency-go/x509util"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	prototrust "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
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

// Token returns an identity token for an email address. It has no good signature: this certificate
// authority believes everybody.
func Token(email string) string {
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(map[string]string{"alg": "none"}) + "." +
		part(map[string]any{"iss": Issuer, "sub": email, "email": email, "email_verified": true, "aud": "sigstore"}) + "." + part("nobody")
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

// certify answers Fulcio's POST /api/v2/signingCert.
func (s *Stack) certify(body []byte, r *http.Request) ([]byte, error) {
	var req struct {
		PublicKeyRequest struct {
			PublicKey struct{ Content string }
		}
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, err
	}

	// The claims of the token are believed as they are.
	block, _ := pem.Decode([]byte(req.PublicKeyRequest.PublicKey.Content))
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if block == nil || len(parts) != 3 {
		return nil, errors.New("want a public key and a token")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}

	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims struct{ Email, Iss string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}

	issuer, err := asn1.MarshalWithParams(claims.Iss, "utf8")
	if err != nil {
		return nil, err
	}
	now := time.Now().Add(s.Issued)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Second), NotAfter: now.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		EmailAddresses: []string{claims.Email},
		ExtraExtensions: append([]pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(claims.Iss)},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer},
		}, s.Extensions...),
	}

	der, err := x509.CreateCertificate(rand.Reader, template, s.inter, pub, s.interKey)
	if err != nil {
		return nil, err
	}
	if !s.NoSCT {
		plain, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		list, err := SCTList(s.ctKey, s.inter, plain.RawTBSCertificate, now)
		if err != nil {
			return nil, err
		}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: list})
		if der, err = x509.CreateCertificate(rand.Reader, template, s.inter, pub, s.interKey); err != nil {
			return nil, err
		}
	}

	var chain []string
	for _, raw := range [][]byte{der, s.inter.Raw, s.root.Raw} {
		chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})))
	}
	return json.Marshal(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
}

// SCT signs the promise of a log to log a certificate that has no such promise in it yet (RFC 6962,
// section 3.2).
func SCT(key *ecdsa.PrivateKey, issuer *x509.Certificate, tbs []byte, now time.Time) (*ct.SignedCertificateTimestamp, error) {
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}

	sct := &ct.SignedCertificateTimestamp{SCTVersion: ct.V1, LogID: ct.LogID{KeyID: sha256.Sum256(pub)}, Timestamp: uint64(now.UnixMilli())}

	entry := ct.LogEntry{Leaf: ct.MerkleTreeLeaf{TimestampedEntry: &ct.TimestampedEntry{
		EntryType:    ct.PrecertLogEntryType,
		PrecertEntry: &ct.PreCert{IssuerKeyHash: sha256.Sum256(issuer.RawSubjectPublicKeyInfo), TBSCertificate: tbs},
	}}}
	input, err := ct.SerializeSCTSignatureInput(*sct, entry)
	if err != nil {
		return nil, err
	}

	sum := sha256.Sum256(input)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return nil, err
	}
	sct.Signature = ct.DigitallySigned{
		Algorithm: cttls.SignatureAndHashAlgorithm{Hash: cttls.SHA256, Signature: cttls.ECDSA}, Signature: sig,
	}
	return sct, nil
}

// SCTList returns the certificate extension with an [SCT].
func SCTList(key *ecdsa.PrivateKey, issuer *x509.Certificate, tbs []byte, now time.Time) ([]byte, error) {
	sct, err := SCT(key, issuer, tbs, now)
	if err != nil {
		return nil, err
	}

	list, err := ctx509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{sct})
	if err != nil {
		return nil, err
	}
	raw, err := cttls.Marshal(*list)
	if err != nil {
		return nil, err
	}

	return asn1.Marshal(raw)
}

// stamp answers RFC 3161 over HTTP.
func (s *Stack) stamp(body []byte, _ *http.Request) ([]byte, error) {
	req, err := timestamp.ParseRequest(body)
	if err != nil {
		return nil, err
	}

	stamp := timestamp.Timestamp{
		HashAlgorithm: req.HashAlgorithm, HashedMessage: req.HashedMessage, Time: time.Now().Add(s.Stamped),
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, ExtraExtensions: req.Extensions,
	}
	return stamp.CreateResponseWithOpts(s.tsa, s.tsaKey, crypto.SHA256)
}

// host is the name in which checkpoints are signed.
const host = "127.0.0.1"

// sibling is the first leaf of the log's tree. The entry is the second.
var sibling = leafHash([]byte("somebody else's entry"))

// leafHash returns the hash of a leaf of the tree.
func leafHash(b []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, b...))
	return sum[:]
}

// proof proves that body is the second of two leaves.
func (s *Stack) proof(body []byte, origin string) (*protorekor.InclusionProof, error) {
	sum := sha256.Sum256(append(append([]byte{1}, sibling...), leafHash(body)...))

	signer, err := signature.LoadECDSASigner(s.logKey, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	ns, err := rekornote.NewNoteSigner(s.t.Context(), host, signer)
	if err != nil {
		return nil, err
	}

	checkpoint, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n2\n%s\n", origin, base64.StdEncoding.EncodeToString(sum[:]))}, ns)
	if err != nil {
		return nil, err
	}
	return &protorekor.InclusionProof{
		LogIndex: 1, TreeSize: 2, RootHash: sum[:], Hashes: [][]byte{sibling},
		Checkpoint: &protorekor.Checkpoint{Envelope: string(checkpoint)},
	}, nil
}

// enterV2 answers Rekor v2's POST /api/v2/log/entries.
func (s *Stack) enterV2(body []byte, _ *http.Request) ([]byte, error) {
	var req protobuf.CreateEntryRequest
	if err := protojson.Unmarshal(body, &req); err != nil {
		return nil, err
	}

	hr := req.GetHashedRekordRequestV002()
	raw, err := protojson.Marshal(&protobuf.Entry{Kind: "hashedrekord", ApiVersion: "0.0.2", Spec: &protobuf.Spec{
		Spec: &protobuf.Spec_HashedRekordV002{HashedRekordV002: &protobuf.HashedRekordLogEntryV002{
			Signature: hr.GetSignature(), Data: &protocommon.HashOutput{Digest: hr.GetDigest(), Algorithm: protocommon.HashAlgorithm_SHA2_256},
		}}}})
	if err != nil {
		return nil, err
	}

	// Rekor v2 logs the canonical form of the entry, and returns that.
	canonical, err := jsoncanonicalizer.Transform(raw)
	if err != nil {
		return nil, err
	}

	proof, err := s.proof(canonical, host)
	if err != nil {
		return nil, err
	}
	return protojson.Marshal(&protorekor.TransparencyLogEntry{
		LogIndex: 1, LogId: &protocommon.LogId{KeyId: s.logID()},
		KindVersion:    &protorekor.KindVersion{Kind: "hashedrekord", Version: "0.0.2"},
		InclusionProof: proof, CanonicalizedBody: canonical,
	})
}

// logID returns the SHA-256 of the transparency log's key.
func (s *Stack) logID() []byte { return keyID(s.t, s.logKey) }

// keyID returns the SHA-256 of a key's PKIX form, by which a log is known.
func keyID(t testing.TB, key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return sum[:]
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

// enterV1 answers Rekor v1's POST /api/v1/log/entries.
func (s *Stack) enterV1(body []byte, r *http.Request) ([]byte, error) {
	proposed, err := models.UnmarshalProposedEntry(bytes.NewReader(body), runtime.JSONConsumer())
	if err != nil {
		return nil, err
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		return nil, err
	}

	canonical, err := types.CanonicalizeEntry(r.Context(), entry)
	if err != nil {
		return nil, err
	}

	proof, err := s.proof(canonical, host+" - 123456")
	if err != nil {
		return nil, err
	}

	// The log promises with its signature over these members in canonical form.
	promised := map[string]any{
		"body": base64.StdEncoding.EncodeToString(canonical), "integratedTime": time.Now().Add(s.Logged).Unix(),
		"logID": hex.EncodeToString(s.logID()), "logIndex": 1001, // in all trees that the log ever had
	}
	raw, err := json.Marshal(promised)
	if err != nil {
		return nil, err
	}
	if raw, err = jsoncanonicalizer.Transform(raw); err != nil {
		return nil, err
	}

	// The signature is over the canonical form (RFC 8785).
	sum := sha256.Sum256(raw)
	set, err := ecdsa.SignASN1(rand.Reader, s.logKey, sum[:])
	if err != nil {
		return nil, err
	}

	promised["verification"] = map[string]any{
		"signedEntryTimestamp": base64.StdEncoding.EncodeToString(set),
		"inclusionProof": map[string]any{
			"logIndex": proof.LogIndex, "treeSize": proof.TreeSize, "rootHash": hex.EncodeToString(proof.RootHash),
			"hashes": []string{hex.EncodeToString(sibling)}, "checkpoint": proof.Checkpoint.Envelope,
		},
	}
	return json.Marshal(map[string]any{entryUUID: promised})
}

// entryUUID is the name of the only entry of a log.
const entryUUID = "24296fb24b8ad77a0000000000000000000000000000000000000000000000000000000000000000"
