package attesttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/digitorus/timestamp"
	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"
	ctx509util "github.com/google/certificate-transparency-go/x509util"
)

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
		ExtraExtensions: append([]pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(claims.Iss)},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer},
		}, s.Extensions...),
	}

	// CI jobs are named by the address of what defines them.
	template.EmailAddresses = []string{claims.Email}
	if strings.Contains(claims.Email, "://") {
		job, err := url.Parse(claims.Email)
		if err != nil {
			return nil, err
		}
		template.EmailAddresses, template.URIs = nil, []*url.URL{job}
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
