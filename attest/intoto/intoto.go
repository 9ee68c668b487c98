// Package intoto is the in-toto Statement, the thing that is signed. It says which bytes it is
// about, and what is said about them
// (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md). Version 1 is written.
// Version 0.1, which other producers still write, is read as well: it has the same members
// (https://github.com/in-toto/attestation/blob/main/spec/v0.1.0/statement.md).
//
// It knows nothing of keys and signatures. Those belong to package attest.
//
// # Form
//
// [Statement.Encode] writes one form for each Statement: JSON without white space, members in the
// order of the specification, subjects in the order of the value, and for each of them one digest,
// the SHA-256 unless there is only a SHA-512.
//
// [Decode] reads that form, and what other producers write as far as it can be read in one way
// only. The specification asks a consumer to ignore what it does not know. Decode is stricter, and
// refuses
//
//   - members that the specification does not have, and members that are there
//     twice, at any depth and also within the predicate: two programs may read
//     such a document differently;
//   - a _type other than those of the versions 1 and 0.1;
//   - a subject without a SHA-256 and without a SHA-512. Other digests beside
//     them are allowed, as strangers write them, but are neither compared nor
//     kept: one digest is enough to name bytes. The SHA-512 is kept where there
//     is no SHA-256, as in what the npm client signs;
//   - more than one subject without a name, or with the same one;
//   - a predicate that is absent or null. The specification has that mean the
//     same as an empty object, which is to be written.
//
// The other members of a subject (uri, content, downloadLocation, mediaType, annotations) do not
// say which bytes are meant. They are checked and dropped.
package intoto

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// Type is the value of a Statement's _type member.
const Type = "https://in-toto.io/Statement/v1"

// type01 is that of version 0.1.
const type01 = "https://in-toto.io/Statement/v0.1"

// PayloadType is the media type of a Statement in an envelope.
const PayloadType = "application/vnd.in-toto+json"

// MaxSize bounds an encoded Statement, in bytes. The provenance of a release of
// a hundred binaries with a hundred modules each takes 3 MB.
const MaxSize = 64 << 20

const (
	maxDepth = 64   // objects and lists within each other
	maxText  = 4096 // bytes of a subject's name, and of a URI
)

// Subject is an artifact that a Statement is about.
type Subject struct {
	// Name tells the subjects of one Statement apart. It is a path below dist, with slashes, or the
	// repository of an image. It may be empty if there is one subject only.
	Name string
	// Digest names the bytes. It is empty if only SHA512 does.
	Digest artifact.Digest
	// SHA512 is in lower-case hexadecimal. It is empty unless there is no Digest.
	SHA512 string
}

// checkDigest returns an error unless the subject has one digest of the right form.
func (s Subject) checkDigest() error {
	if s.Digest == "" && len(s.SHA512) == hex.EncodedLen(sha512.Size) && isHex(s.SHA512) {
		return nil
	}
	if s.SHA512 != "" {
		return fmt.Errorf("digest: sha512: %.200q: not 64 bytes in hexadecimal, or beside a sha256", s.SHA512)
	}
	_, err := artifact.ParseDigest(string(s.Digest))
	return err
}

// digestSet returns the digest as the specification writes it.
func (s Subject) digestSet() map[string]string {
	if s.SHA512 != "" {
		return map[string]string{"sha512": s.SHA512}
	}
	return map[string]string{"sha256": s.Digest.Hex()}
}

// Statement says something about its subjects.
type Statement struct {
	Subjects []Subject
	// PredicateType is the URI of the kind of statement. It gives Predicate its meaning.
	PredicateType string
	// Predicate is one JSON object.
	Predicate json.RawMessage
}

// Has reports whether d is the digest of one of the subjects. The empty digest is that of none.
func (s Statement) Has(d artifact.Digest) bool {
	for _, sub := range s.Subjects {
		if sub.Digest == d && d != "" {
			return true
		}
	}
	return false
}

// statement is the JSON form, in the order of the specification.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// Encode returns the form that the package comment describes. A Statement that Decode would refuse
// is an error.
func (s Statement) Encode() ([]byte, error) {
	if err := s.checkStatement(); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}

	doc := statement{Type: Type, PredicateType: s.PredicateType, Predicate: s.Predicate}
	for _, sub := range s.Subjects {
		doc.Subject = append(doc.Subject, subject{sub.Name, sub.digestSet()})
	}
	data, err := Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	// Marshal has seen that the predicate is JSON. Whether it can be read in one way only, and how
	// large and deep the whole is, shows now.
	if err := CheckJSON(data); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return data, nil
}

// Decode reads one encoded Statement of at most [MaxSize] bytes. The package comment lists what it
// refuses. White space and the order of members are free. The Predicate that it returns has no
// white space.
func Decode(data []byte) (Statement, error) {
	s, err := decode(data)
	if err != nil {
		return Statement{}, fmt.Errorf("statement: %w", err)
	}
	return s, nil
}

// decode is Decode without the words in front of its errors.
func decode(data []byte) (Statement, error) {
	if err := CheckJSON(data); err != nil {
		return Statement{}, err
	}

	var typ string
	var subjects []json.RawMessage
	var s Statement
	if err := decodeObject(data, map[string]any{
		"_type": &typ, "subject": &subjects, "predicateType": &s.PredicateType, "predicate": &s.Predicate,
	}, "_type", "subject", "predicateType", "predicate"); err != nil {
		return Statement{}, err
	}
	if typ != Type && typ != type01 {
		return Statement{}, fmt.Errorf("_type %.200q: want %q", typ, Type)
	}

	for i, raw := range subjects {
		sub, err := decodeSubject(raw)
		if err != nil {
			return Statement{}, fmt.Errorf("subject[%d]: %w", i, err)
		}
		s.Subjects = append(s.Subjects, sub)
	}

	// White space is free in what is read, and is not kept.
	var compact bytes.Buffer
	if err := json.Compact(&compact, s.Predicate); err != nil {
		return Statement{}, fmt.Errorf("predicate: %w", err)
	}
	s.Predicate = compact.Bytes()
	return s, s.checkStatement()
}

// decodeSubject reads one subject, and keeps its name and its SHA-256, or else its SHA-512.
func decodeSubject(raw json.RawMessage) (Subject, error) {
	d, err := decodeDescriptor(raw)
	if err != nil {
		return Subject{}, err
	}
	if sum, ok := d.Digest["sha256"]; ok {
		return Subject{Name: d.Name, Digest: artifact.Digest("sha256:" + sum)}, nil
	}
	if sum, ok := d.Digest["sha512"]; ok {
		return Subject{Name: d.Name, SHA512: sum}, nil
	}
	return Subject{}, errors.New("digest: no sha256 and no sha512 among them")
}

// checkStatement returns an error unless s is what the package comment promises of every Statement.
// It does not look into the predicate.
func (s Statement) checkStatement() error {
	if len(s.Subjects) == 0 {
		return errors.New("subject: there is none")
	}

	// Names tell subjects apart, so no two may be the same.
	seen := make(map[string]bool, len(s.Subjects))
	for i, sub := range s.Subjects {
		if err := checkText(sub.Name); err != nil {
			return fmt.Errorf("subject[%d]: name: %w", i, err)
		}
		if sub.Name == "" && len(s.Subjects) > 1 {
			return fmt.Errorf("subject[%d]: without a name, and not the only subject", i)
		}
		if seen[sub.Name] {
			return fmt.Errorf("subject[%d]: a second one is named %q", i, sub.Name)
		}
		seen[sub.Name] = true
		if err := sub.checkDigest(); err != nil {
			return fmt.Errorf("subject[%d]: %w", i, err)
		}
	}

	if err := CheckURI(s.PredicateType); err != nil {
		return fmt.Errorf("predicateType: %w", err)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(s.Predicate, " \t\r\n"), []byte("{")) {
		return errors.New("predicate: not an object")
	}
	return nil
}

// CheckURI returns an error unless s is a URI with a scheme, as in-toto's TypeURI and ResourceURI
// are (https://github.com/in-toto/attestation/blob/main/spec/v1/field_types.md).
func CheckURI(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	u, err := url.Parse(s)
	if err != nil || !u.IsAbs() || u.Host+u.Opaque+u.Path == "" || strings.ContainsFunc(s, unicode.IsSpace) {
		return fmt.Errorf("%.200q: not a URI with a scheme", s)
	}
	return nil
}

// checkText refuses a text that would not survive a way through JSON, or could deceive its reader
// on a terminal.
func checkText(s string) error {
	switch {
	case len(s) > maxText:
		return fmt.Errorf("longer than %d bytes", maxText)
	case !utf8.ValidString(s):
		return fmt.Errorf("%q: not UTF-8", s)
	case !safetext.Printable(s):
		return fmt.Errorf("%q: a character that cannot be printed", s)
	}
	return nil
}

// CompactPredicate returns the predicate without white space. A Statement that must not be is an
// error, such as one with members that are there twice.
func (s Statement) CompactPredicate() ([]byte, error) {
	if _, err := s.Encode(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err := json.Compact(&b, s.Predicate)
	return b.Bytes(), err
}
