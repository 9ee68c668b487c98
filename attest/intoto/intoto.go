// Package intoto is the in-toto Statement v1, the thing that is signed: which
// bytes, and what is said about them
// (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md).
//
// It knows nothing of keys and signatures: those are package attest's.
package intoto

import (
	"encoding/json"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Type is the value of a Statement's _type member.
const Type = "https://in-toto.io/Statement/v1"

// PayloadType is the media type of a Statement in an envelope.
const PayloadType = "application/vnd.in-toto+json"

// Subject is an artifact that a Statement is about.
type Subject struct {
	// Name tells the subjects of one Statement apart: a path below dist, with
	// slashes, or the repository of an image.
	Name   string
	Digest artifact.Digest
}

// Statement says something about its subjects.
type Statement struct {
	Subjects []Subject
	// PredicateType is the URI of the kind of statement, which gives Predicate
	// its meaning.
	PredicateType string
	// Predicate is one JSON object.
	Predicate json.RawMessage
}
