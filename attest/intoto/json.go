package intoto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// CheckJSON refuses documents of more than [MaxSize] bytes, and those that two programs might read
// differently: with bytes that are not UTF-8, with a member that is there twice, with something
// behind the end. It bounds size and depth on the way, before anything is built from the document.
func CheckJSON(data []byte) error {
	switch {
	case len(data) > MaxSize:
		return fmt.Errorf("more than %d bytes", MaxSize)
	case !utf8.Valid(data):
		return errors.New("not UTF-8")
	}

	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	// For every open object it has its members so far, and nil for a list.
	var open []map[string]bool
	key := false // the next token is the name of a member
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			if len(data) == 0 || len(open) > 0 {
				return io.ErrUnexpectedEOF
			}
			return errors.New("there is no value")
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{', '[':
				if len(open) == maxDepth {
					return fmt.Errorf("nested deeper than %d levels", maxDepth)
				}
				var members map[string]bool
				if token == '{' {
					members = map[string]bool{}
				}
				open = append(open, members)
			default:
				open = open[:len(open)-1]
			}
		case string:
			if key {
				members := open[len(open)-1]
				if members[token] {
					return fmt.Errorf("member %.200q is there twice", token)
				}
				members[token] = true
				key = false
				continue
			}
		}

		if len(open) == 0 {
			break
		}
		key = open[len(open)-1] != nil
	}

	if len(bytes.TrimLeft(data[dec.InputOffset():], " \t\r\n")) > 0 {
		return errors.New("something follows the value")
	}
	return nil
}

// decodeObject takes an object apart. Names must match exactly, which encoding/json does not insist
// on for structs. A name that is not in members, a missing member that is required, and a null are
// errors.
func decodeObject(data []byte, members map[string]any, required ...string) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil || all == nil {
		return errors.New("not an object")
	}

	for name, value := range all {
		to, ok := members[name]
		if !ok {
			return fmt.Errorf("unknown member %.200q", name)
		}
		if string(value) == "null" {
			return fmt.Errorf("%s: null", name)
		}
		if err := json.Unmarshal(value, to); err != nil {
			return fmt.Errorf("%s: %w", name, wrongType(err))
		}
	}

	for _, name := range required {
		if _, ok := all[name]; !ok {
			return fmt.Errorf("no member %q", name)
		}
	}
	return nil
}

// wrongType says in few words what encoding/json says in Go's.
func wrongType(err error) error {
	if t := (*json.UnmarshalTypeError)(nil); errors.As(err, &t) {
		return fmt.Errorf("a JSON %s does not belong here", t.Value)
	}
	return err
}

// Descriptor is a ResourceDescriptor, by which predicates refer to artifacts and other resources
// (https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md). One of URI,
// Digest and Content is there.
type Descriptor struct {
	Name string `json:"name,omitempty"`
	URI  string `json:"uri,omitempty"`
	// Digest is a DigestSet: digests in lower-case hexadecimal, by the names of algorithms
	// (https://github.com/in-toto/attestation/blob/main/spec/v1/digest_set.md).
	Digest           map[string]string `json:"digest,omitempty"`
	Content          []byte            `json:"content,omitempty"` // base64 in JSON
	DownloadLocation string            `json:"downloadLocation,omitempty"`
	MediaType        string            `json:"mediaType,omitempty"`
	// Annotations are values of any kind. The kind of predicate defines their meaning.
	Annotations map[string]json.RawMessage `json:"annotations,omitempty"`
}

// UnmarshalJSON is strict: an unknown member, a null, a digest that is not in
// lower-case hexadecimal (where the algorithm is one of the specification's) and
// a descriptor without URI, Digest and Content are errors.
func (d *Descriptor) UnmarshalJSON(data []byte) error {
	var err error
	if *d, err = decodeDescriptor(data); err != nil {
		return fmt.Errorf("resource descriptor: %w", err)
	}
	return nil
}

// decodeDescriptor reads a descriptor as strictly as UnmarshalJSON promises.
func decodeDescriptor(data []byte) (Descriptor, error) {
	var d Descriptor
	var digests map[string]*string
	if err := decodeObject(data, map[string]any{
		"name": &d.Name, "uri": &d.URI, "digest": &digests, "content": &d.Content,
		"downloadLocation": &d.DownloadLocation, "mediaType": &d.MediaType, "annotations": &d.Annotations,
	}); err != nil {
		return Descriptor{}, err
	}

	for name, value := range digests {
		switch {
		case value == nil || *value == "" || name == "":
			return Descriptor{}, fmt.Errorf("digest: %.200q: empty", name)
		case slices.Contains(hexAlgorithms, name) && !isHex(*value):
			return Descriptor{}, fmt.Errorf("digest: %s: %.200q: not lower-case hexadecimal", name, *value)
		}
		if d.Digest == nil {
			d.Digest = map[string]string{}
		}
		d.Digest[name] = *value
	}

	if d.URI == "" && len(d.Digest) == 0 && len(d.Content) == 0 {
		return Descriptor{}, errors.New("none of uri, digest and content")
	}
	if d.URI != "" {
		if err := CheckURI(d.URI); err != nil {
			return Descriptor{}, fmt.Errorf("uri: %w", err)
		}
	}

	return d, nil
}

// hexAlgorithms are those of the specification that this program writes or reads. The specification
// has more, and allows any name.
var hexAlgorithms = []string{"sha256", "sha384", "sha512", "sha1", "gitCommit", "gitTree", "gitBlob", "gitTag", "dirHash"}

// isHex reports whether s is a digest in lower-case hexadecimal, of 20 bytes at least.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) >= 40 && len(s)%2 == 0
}

// Marshal is [json.Marshal] without escapes for HTML: the form in which this
// module's predicates are written.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Exact decodes the form that [Marshal] gives v, and nothing else: no unknown, absent or additional
// member, no other order, no other case, no white space.
func Exact(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}

	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}

	// encoding/json accepts other cases and orders. Encoding again shows them.
	again, err := Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		at := 0
		for at < min(len(again), len(data)) && again[at] == data[at] {
			at++
		}
		near := func(b []byte) []byte { return b[max(0, min(at-30, len(b))):min(at+30, len(b))] }
		return fmt.Errorf("not as twice writes it: %q instead of %q", near(data), near(again))
	}
	return nil
}

// Annotations turns a struct into a Descriptor's annotations.
func Annotations(v any) (map[string]json.RawMessage, error) {
	data, err := Marshal(v)
	if err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	return m, json.Unmarshal(data, &m)
}

// FromAnnotations is the reverse, and as strict as [Exact]. The fields of v are in the order of
// their names, as encoding/json writes the members of a map.
func FromAnnotations(m map[string]json.RawMessage, v any) error {
	data, err := Marshal(m)
	if err != nil {
		return err
	}
	return Exact(data, v)
}
