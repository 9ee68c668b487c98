package intoto

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/twicebuild/twice/pipeline/artifact"
)

type document struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate,omitempty"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Encode returns the JSON document of s.
func (s Statement) Encode() ([]byte, error) {
	doc := document{Type: Type, PredicateType: s.PredicateType, Predicate: s.Predicate}
	for _, sub := range s.Subjects {
		doc.Subject = append(doc.Subject, subject{sub.Name, map[string]string{"sha256": sub.Digest.Hex()}})
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return b, nil
}

// Decode reads a JSON document.
func Decode(data []byte) (Statement, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var doc document
	if err := dec.Decode(&doc); err != nil {
		return Statement{}, fmt.Errorf("statement: %w", err)
	}
	if doc.Type != Type {
		return Statement{}, fmt.Errorf("statement: _type %q: want %q", doc.Type, Type)
	}
	s := Statement{PredicateType: doc.PredicateType, Predicate: doc.Predicate}
	for _, sub := range doc.Subject {
		d, err := artifact.ParseDigest("sha256:" + sub.Digest["sha256"])
		if err != nil {
			return Statement{}, fmt.Errorf("statement: subject %q: %w", sub.Name, err)
		}
		s.Subjects = append(s.Subjects, Subject{sub.Name, d})
	}
	return s, nil
}
