package attesttest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/go-openapi/runtime"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"
)

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
