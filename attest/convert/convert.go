// Package convert turns the forms in which signatures are published into Sigstore bundles, one or
// several for each file. It verifies nothing and adds nothing: [attest.Open] judges what comes out.
// A form that lacks something, such as a time, becomes a bundle that lacks it.
//
// The forms are
//
//   - a Sigstore bundle, which stays as it is;
//   - JSON Lines with a bundle or an envelope a line, as `gh attestation download` and the SLSA
//     generators for GitHub write them;
//   - the answer of an attestation service, with a list of bundles, as GitHub's and npm's are;
//   - a DSSE envelope (https://github.com/secure-systems-lab/dsse/blob/master/envelope.md) whose
//     signature may have its certificate beside it, as older SLSA generators write it;
//   - the bundle that `cosign sign-blob` and `cosign attest-blob` wrote before there were Sigstore
//     bundles (github.com/sigstore/cosign, pkg/cosign, LocalSignedPayload);
//   - the files of `cosign sign-blob` with a signature, a certificate and a log entry.
package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// Limits of a file.
const (
	// MaxFile bounds it in bytes.
	MaxFile = 64 << 20
	// MaxBundles bounds the bundles in it.
	MaxBundles = 1000
)

// ErrUnknown says that something is no signature in one of the forms.
var ErrUnknown = errors.New("no signature in a form that is known")

// olderType is the media type of what is made: the version that asks for the promise of a log, which
// is all that the older forms have.
const olderType = "application/vnd.dev.sigstore.bundle+json;version=0.1"

// Bundle is one bundle of a file.
type Bundle struct {
	// Place says where in the file it is, such as "line 3". It is empty if the file is the bundle.
	Place string
	// Data is the bundle, in JSON.
	Data []byte
}

// Bundles returns the bundles in the content of a file, of which there is one at least. The
// signature of a file in one of cosign's older forms may not say what it is of: then it is taken
// for that of about, which may be empty. The error is [ErrUnknown] if nothing in the content is a
// signature.
func Bundles(content []byte, about artifact.Digest) ([]Bundle, error) {
	if len(content) > MaxFile {
		return nil, fmt.Errorf("more than %d MiB", MaxFile>>20)
	}

	// Whatever is no single value is lines.
	if json.Valid(content) {
		return document(content, about)
	}

	var list []Bundle
	number := 0
	for line := range bytes.Lines(content) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		found, err := document(line, about)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, b := range found {
			list = append(list, Bundle{place(fmt.Sprintf("line %d", number), b.Place), b.Data})
		}
		if len(list) > MaxBundles {
			return nil, fmt.Errorf("more than %d bundles", MaxBundles)
		}
	}
	if len(list) == 0 {
		return nil, ErrUnknown
	}
	return list, nil
}

// place joins the names of a place and of one within it.
func place(outer, inner string) string {
	if inner == "" {
		return outer
	}
	return outer + ", " + inner
}

// document returns the bundles in one JSON value.
func document(data []byte, about artifact.Digest) ([]Bundle, error) {
	var pb *protobundle.Bundle
	var err error
	switch formOf(data) {
	case "mediaType", "media_type":
		if !json.Valid(data) {
			return nil, errors.New("not a bundle: no JSON, or not all of it")
		}
		return []Bundle{{Data: bytes.TrimSpace(data)}}, nil
	case "attestations":
		return serviceAnswer(data)
	case "payloadType", "payload":
		pb, err = envelopeBundle(data)
	case "base64Signature":
		pb, err = cosignBundle(data, about)
	default:
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}

	made, err := encode(pb)
	return []Bundle{{Data: made}}, err
}

// formMembers are the members by which forms are told apart.
var formMembers = []string{"mediaType", "media_type", "attestations", "payloadType", "payload", "base64Signature"}

// formOf returns the first member of an object that tells its form, or nothing. It looks at a few
// members, and keeps none: a stranger may have put any number there.
func formOf(data []byte) string {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}

	const few = 16
	for range few {
		if !d.More() {
			break
		}
		name, err := d.Token()
		if err != nil {
			return ""
		}
		if text, _ := name.(string); slices.Contains(formMembers, text) {
			return text
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return ""
		}
	}
	return ""
}

// encode returns the JSON of a bundle, without white space.
func encode(pb *protobundle.Bundle) ([]byte, error) {
	data, err := protojson.Marshal(pb)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Compact(&b, data)
	return b.Bytes(), err
}

// serviceAnswer returns the bundles in the list of a service's answer
// (https://docs.github.com/rest/repos/attestations,
// https://github.com/npm/attestation). Each has members beside its bundle, which count for nothing.
func serviceAnswer(data []byte) ([]Bundle, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	for range 2 { // the object, and the name of the list if it comes first
		if _, err := d.Token(); err != nil {
			return nil, fmt.Errorf("attestations: %w", err)
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("attestations: want a list in the first member")
	}

	// The attestations are read one by one, since a stranger may have put any number there.
	var bundles []Bundle
	for d.More() {
		if len(bundles) == MaxBundles {
			return nil, fmt.Errorf("attestations: more than %d", MaxBundles)
		}
		var a struct {
			Bundle json.RawMessage `json:"bundle"`
		}
		if err := d.Decode(&a); err != nil {
			return nil, fmt.Errorf("attestations[%d]: %w", len(bundles), err)
		}
		if len(a.Bundle) == 0 || a.Bundle[0] != '{' {
			return nil, fmt.Errorf("attestations[%d]: without a bundle", len(bundles))
		}
		bundles = append(bundles, Bundle{fmt.Sprintf("attestation %d", len(bundles)+1), a.Bundle})
	}
	if len(bundles) == 0 {
		return nil, errors.New("attestations: there is none")
	}
	return bundles, nil
}

// strict decodes an object of a form that has no other members than those of v. A member that is
// there twice is an error, and so is an unknown one. Those are looked for first: then there are
// few members, however large the object is.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	return intoto.CheckJSON(data)
}
