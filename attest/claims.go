package attest

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Claims tells whether a bundle says that it is about the bytes with the digest
// d. Nothing of it is verified: it serves to choose, among bundles that lie
// about, those which [Open] has to judge. Bytes that are no bundle claim nothing.
func Claims(data []byte, d artifact.Digest) bool {
	var b struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
		Message struct {
			Digest struct {
				Digest []byte `json:"digest"`
			} `json:"messageDigest"`
		} `json:"messageSignature"`
	}
	if len(data) > MaxSize || json.Unmarshal(data, &b) != nil {
		return false
	}
	if hex.EncodeToString(b.Message.Digest.Digest) == d.Hex() {
		return true
	}
	var s struct {
		Subject []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if json.Unmarshal(b.Envelope.Payload, &s) != nil {
		return false
	}
	for _, subject := range s.Subject {
		if strings.EqualFold(subject.Digest["sha256"], d.Hex()) {
			return true
		}
	}
	return false
}
