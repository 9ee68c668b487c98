package record

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MaxSize bounds what [Decode] reads and Encode writes, in bytes. A release of
// a hundred binaries with a hundred modules each takes 3 MB.
const MaxSize = 256 << 20

// Encode returns the document, indented and with a final newline. It returns an error for a record
// that contradicts itself.
func (r *Record) Encode() ([]byte, error) {
	// Readers get an empty list where there is nothing, and not null.
	doc := *r
	doc.Binaries, doc.Files, doc.Artifacts = list(r.Binaries), list(r.Files), list(r.Artifacts)
	doc.Varying.Variations, doc.Varying.Jobs = list(r.Varying.Variations), list(r.Varying.Jobs)
	doc.Varying.Confinement.Missing = list(r.Varying.Confinement.Missing)

	if err := doc.check(); err != nil {
		return nil, fmt.Errorf("release record: %w", err)
	}

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("release record: %w", err)
	}

	if b.Len() > MaxSize {
		return nil, fmt.Errorf("release record: more than %d bytes", MaxSize)
	}
	return b.Bytes(), nil
}

// list returns s, or an empty list if s is nil, which would become null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Decode reads what Encode writes and nothing else. An unknown member, one that is there twice,
// another schema version or another layout is an error. Two programs might read such a document
// differently.
func Decode(data []byte) (*Record, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("release record: more than %d bytes", MaxSize)
	}

	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r Record
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("release record: %w", err)
	}

	// What is left, such as a member that is there twice, shows when the record is written again.
	enc, err := r.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(enc, data) {
		return nil, fmt.Errorf("release record: not laid out as twice writes it")
	}

	return &r, nil
}
