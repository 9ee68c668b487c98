package attest

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Claim is what a bundle says before anything of it is verified. It serves to
// choose, among bundles that lie about, those which [Open] has to judge, and to
// put them where they belong.
type Claim struct {
	// PredicateType is that of the statement, and empty for a file's signature.
	PredicateType string
	// Predicate is what is said, as it stands there.
	Predicate json.RawMessage
	// Subjects are the digests of what it is about.
	Subjects []artifact.Digest
	// Payload is the statement, as it is in the bundle.
	Payload []byte
}

// About tells whether d is among the subjects.
func (c Claim) About(d artifact.Digest) bool { return slices.Contains(c.Subjects, d) }

// ReadClaim reads what a bundle says. Bytes that are no bundle claim nothing.
func ReadClaim(data []byte) (c Claim) {
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
		return c
	}
	add := func(sha256 string) {
		if d, err := artifact.ParseDigest("sha256:" + strings.ToLower(sha256)); err == nil {
			c.Subjects = append(c.Subjects, d)
		}
	}
	if d := b.Message.Digest.Digest; d != nil {
		add(hex.EncodeToString(d))
	}
	var s struct {
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
		Subject       []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if json.Unmarshal(b.Envelope.Payload, &s) != nil {
		return c
	}
	c.PredicateType, c.Predicate, c.Payload = s.PredicateType, s.Predicate, b.Envelope.Payload
	for _, subject := range s.Subject {
		add(subject.Digest["sha256"])
	}
	return c
}
