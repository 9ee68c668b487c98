package convert

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// envelope is a DSSE envelope. The certificate of a signature is an addition of the SLSA generators.
type envelope struct {
	PayloadType string     `json:"payloadType"`
	Payload     string     `json:"payload"`
	Signatures  signatures `json:"signatures"`
}

// envelopeSignature is a signature of an envelope.
type envelopeSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
	Cert  string `json:"cert"`
}

// signatures is the one signature of an envelope. A stranger may have put any number there.
type signatures []envelopeSignature

// UnmarshalJSON implements json.Unmarshaler. More than one signature is an error.
func (l *signatures) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("signatures: want a list")
	}
	for d.More() {
		if len(*l) == 1 {
			return errors.New("more than one signature")
		}
		var s envelopeSignature
		if err := d.Decode(&s); err != nil {
			return err
		}
		*l = append(*l, s)
	}
	return nil
}

// envelopeBundle returns a bundle with an envelope.
func envelopeBundle(data []byte) (*protobundle.Bundle, error) {
	var e envelope
	if err := strict(data, &e); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	content, err := e.content()
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	material, err := material([]byte(e.Signatures[0].Cert), e.Signatures[0].KeyID)
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return &protobundle.Bundle{MediaType: olderType, VerificationMaterial: material, Content: content}, nil
}

// content returns the envelope of a bundle. It has to have one signature.
func (e *envelope) content() (*protobundle.Bundle_DsseEnvelope, error) {
	if len(e.Signatures) != 1 {
		return nil, errors.New("without a signature")
	}
	payload, err := decodeBase64(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	sig, err := decodeBase64(e.Signatures[0].Sig)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}

	return &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
		Payload: payload, PayloadType: e.PayloadType,
		Signatures: []*protodsse.Signature{{Sig: sig, Keyid: e.Signatures[0].KeyID}},
	}}, nil
}

// decodeBase64 decodes either alphabet, as the specification of envelopes demands.
func decodeBase64(s string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(s))
}

// localPayload is the older bundle of cosign.
type localPayload struct {
	Base64Signature string       `json:"base64Signature"`
	Cert            string       `json:"cert"`
	Bundle          *rekorBundle `json:"rekorBundle"`
}

// rekorBundle is a log entry and the log's promise to include it. The log signs the canonical form of
// the payload (https://docs.sigstore.dev/logging/overview).
type rekorBundle struct {
	SignedEntryTimestamp []byte `json:"SignedEntryTimestamp"`
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	} `json:"Payload"`
}

// cosignBundle converts an older bundle of cosign.
func cosignBundle(data []byte, about artifact.Digest) (*protobundle.Bundle, error) {
	var p localPayload
	if err := strict(data, &p); err != nil {
		return nil, fmt.Errorf("bundle of cosign: %w", err)
	}
	pb, err := p.bundle(about)
	if err != nil {
		return nil, fmt.Errorf("bundle of cosign: %w", err)
	}
	return pb, nil
}

// Detached returns the bundle that the files of `cosign sign-blob` stand for: the signature in
// base64, the certificate in PEM or in base64 of that, and the log entry as in cosign's older
// bundle. The certificate may be missing for a key, and the entry may be missing. about is the
// digest of the file that was signed.
func Detached(about artifact.Digest, signature, certificate, entry []byte) ([]byte, error) {
	p := localPayload{Base64Signature: string(bytes.TrimSpace(signature)), Cert: string(certificate)}
	if len(entry) > 0 {
		p.Bundle = &rekorBundle{}
		if err := strict(entry, p.Bundle); err != nil {
			return nil, fmt.Errorf("log entry: %w", err)
		}
	}
	pb, err := p.bundle(about)
	if err != nil {
		return nil, err
	}
	return encode(pb)
}

// bundle returns the bundle with what p has.
func (p *localPayload) bundle(about artifact.Digest) (*protobundle.Bundle, error) {
	material, err := material([]byte(p.Cert), "")
	if err != nil {
		return nil, err
	}
	pb := &protobundle.Bundle{MediaType: olderType, VerificationMaterial: material}

	var logged artifact.Digest
	if p.Bundle != nil {
		var entry *protorekor.TransparencyLogEntry
		if entry, logged, err = p.Bundle.entry(); err != nil {
			return nil, fmt.Errorf("log entry: %w", err)
		}
		material.TlogEntries = []*protorekor.TransparencyLogEntry{entry}
	}

	sig, err := decodeBase64(p.Base64Signature)
	if err != nil || len(sig) == 0 {
		return nil, errors.New("signature: want base64")
	}

	// What attest-blob signs is an envelope, which stands where the signature of a file does.
	if bytes.HasPrefix(bytes.TrimSpace(sig), []byte("{")) {
		var e envelope
		if err := strict(sig, &e); err != nil {
			return nil, fmt.Errorf("envelope: %w", err)
		}
		pb.Content, err = e.content()
		return pb, err
	}

	if logged == "" {
		logged = about
	}
	sum, err := hex.DecodeString(logged.Hex())
	if err != nil || len(sum) == 0 {
		return nil, errors.New("it does not say which file it is the signature of")
	}
	pb.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
		MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum},
		Signature:     sig,
	}}
	return pb, nil
}

// entry returns the entry as a bundle has it and, if it is about a file, the SHA-256 of that.
func (b *rekorBundle) entry() (*protorekor.TransparencyLogEntry, artifact.Digest, error) {
	var body struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
		Spec    struct {
			Data struct {
				Hash struct {
					Algorithm string `json:"algorithm"`
					Value     string `json:"value"`
				} `json:"hash"`
			} `json:"data"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(b.Payload.Body, &body); err != nil {
		return nil, "", fmt.Errorf("body: %w", err)
	}
	id, err := hex.DecodeString(b.Payload.LogID)
	if err != nil {
		return nil, "", fmt.Errorf("log ID: %w", err)
	}

	var logged artifact.Digest
	if h := body.Spec.Data.Hash; h.Algorithm == "sha256" {
		if logged, err = artifact.ParseDigest("sha256:" + h.Value); err != nil {
			return nil, "", fmt.Errorf("body: %w", err)
		}
	}

	return &protorekor.TransparencyLogEntry{
		LogIndex: b.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: id}, IntegratedTime: b.Payload.IntegratedTime,
		KindVersion:       &protorekor.KindVersion{Kind: body.Kind, Version: body.Version},
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: b.SignedEntryTimestamp},
		CanonicalizedBody: b.Payload.Body,
	}, logged, nil
}

// material returns what names the signer: the certificates of a PEM text, or of base64 of one, and
// otherwise a hint at a key. A public key, which cosign writes in the place of a certificate, is
// not one that anybody trusts for being there.
func material(certificate []byte, hint string) (*protobundle.VerificationMaterial, error) {
	text := bytes.TrimSpace(certificate)
	if decoded, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
		text = bytes.TrimSpace(decoded)
	}

	chain := &protocommon.X509CertificateChain{}
	for len(text) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("certificate: not PEM")
		}
		switch {
		case block.Type == "CERTIFICATE":
			chain.Certificates = append(chain.Certificates, &protocommon.X509Certificate{RawBytes: block.Bytes})
		case block.Type != "PUBLIC KEY" || len(chain.Certificates) > 0:
			return nil, fmt.Errorf("certificate: %.40q in PEM", block.Type)
		}
		text = bytes.TrimSpace(rest)
	}

	if len(chain.Certificates) == 0 {
		return &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
			PublicKey: &protocommon.PublicKeyIdentifier{Hint: hint},
		}}, nil
	}
	return &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: chain}}, nil
}
