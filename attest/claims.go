package attest

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Claim is what a bundle says before anything of it is verified. It serves to choose, among the
// bundles in a folder, those which [Open] has to judge, and to put them where they belong.
type Claim struct {
	// PredicateType is that of the statement. It is empty for a file's signature.
	PredicateType string
	// Predicate is that of the statement, as it stands there.
	Predicate json.RawMessage
	// Subjects are the digests of what it is about. There are 1024 at most, since Open opens no
	// bundle that has more.
	Subjects []artifact.Digest
	// SHA512 are those of subjects that have no SHA-256, in hexadecimal. They are among the 1024.
	SHA512 []string
	// Payload is the statement, as it is in the bundle.
	Payload []byte
}

// About reports whether d is among the subjects.
func (c Claim) About(d artifact.Digest) bool { return slices.Contains(c.Subjects, d) }

// AboutSHA512 reports whether a subject without a SHA-256 has this SHA-512, in hexadecimal.
func (c Claim) AboutSHA512(sum string) bool { return sum != "" && slices.Contains(c.SHA512, sum) }

// ReadClaim reads what a bundle says. Bytes that are no bundle claim nothing. If [Open] accepts a
// bundle about an artifact, its claim is About the digest, or AboutSHA512 the other one.
func ReadClaim(data []byte) (c Claim) {
	type envelope struct {
		Payload base64Text `json:"payload"`
	}
	type digest struct {
		Digest base64Text `json:"digest"`
	}
	type message struct {
		Digest  digest `json:"messageDigest"`
		Digest2 digest `json:"message_digest"`
	}
	// Members have two names each (https://protobuf.dev/programming-guides/json).
	var b struct {
		Envelope  envelope `json:"dsseEnvelope"`
		Envelope2 envelope `json:"dsse_envelope"`
		Message   message  `json:"messageSignature"`
		Message2  message  `json:"message_signature"`
	}

	if len(data) > MaxSize || json.Unmarshal(data, &b) != nil {
		return c
	}

	// A file's signature has the digest of the file.
	for _, d := range []digest{b.Message.Digest, b.Message.Digest2, b.Message2.Digest, b.Message2.Digest2} {
		if d.Digest != nil {
			c.Subjects = withSHA256(c.Subjects, hex.EncodeToString(d.Digest))
		}
	}

	payload := b.Envelope.Payload
	if payload == nil {
		payload = b.Envelope2.Payload
	}

	// A statement is read without a check of its form: it decides nothing yet.
	var s struct {
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
		Subject       subjectDigests  `json:"subject"`
	}
	if json.Unmarshal(payload, &s) != nil {
		return c
	}

	c.PredicateType, c.Predicate, c.Payload = s.PredicateType, s.Predicate, payload
	c.Subjects = append(c.Subjects, s.Subject.sha256...)
	c.SHA512 = s.Subject.sha512
	return c
}

// withSHA256 appends a digest in hexadecimal, if it is one.
func withSHA256(list []artifact.Digest, sha256 string) []artifact.Digest {
	if d, err := artifact.ParseDigest("sha256:" + strings.ToLower(sha256)); err == nil {
		return append(list, d)
	}
	return list
}

// base64Text is bytes in any of the forms of base64 that protobuf's JSON takes.
type base64Text []byte

// UnmarshalJSON implements json.Unmarshaler.
func (b *base64Text) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}

	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	var err error
	*b, err = base64.RawStdEncoding.DecodeString(text)
	return err
}

// subjectDigests are the digests of a statement's first subjects: their SHA-256, and the SHA-512 of
// those that have none. They are read one by one, since a stranger may have put any number there.
type subjectDigests struct {
	sha256 []artifact.Digest
	sha512 []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *subjectDigests) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return err // null, or something that is no list
	}

	for range maxSubjects {
		if !d.More() {
			break
		}
		var subject struct {
			Digest struct {
				SHA256 string `json:"sha256"`
				SHA512 string `json:"sha512"`
			} `json:"digest"`
		}
		if err := d.Decode(&subject); err != nil {
			return err
		}
		l.sha256 = withSHA256(l.sha256, subject.Digest.SHA256)
		if sum := subject.Digest.SHA512; subject.Digest.SHA256 == "" && len(sum) == hex.EncodedLen(sha512.Size) {
			l.sha512 = append(l.sha512, sum)
		}
	}

	return nil
}
