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
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, ErrUnknown
	}
	has := func(name string) bool { _, ok := members[name]; return ok }

	var pb *protobundle.Bundle
	var err error
	switch {
	case has("mediaType") || has("media_type"):
		return []Bundle{{Data: bytes.TrimSpace(data)}}, nil
	case has("attestations"):
		return serviceAnswer(members["attestations"])
	case has("payloadType"):
		pb, err = envelopeBundle(data)
	case has("base64Signature"):
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
func serviceAnswer(list json.RawMessage) ([]Bundle, error) {
	var attestations []struct {
		Bundle json.RawMessage `json:"bundle"`
	}
	switch err := json.Unmarshal(list, &attestations); {
	case err != nil:
		return nil, fmt.Errorf("attestations: %w", err)
	case len(attestations) == 0:
		return nil, errors.New("attestations: there is none")
	case len(attestations) > MaxBundles:
		return nil, fmt.Errorf("attestations: more than %d", MaxBundles)
	}

	var bundles []Bundle
	for i, a := range attestations {
		if len(a.Bundle) == 0 || a.Bundle[0] != '{' {
			return nil, fmt.Errorf("attestations[%d]: without a bundle", i)
		}
		bundles = append(bundles, Bundle{fmt.Sprintf("attestation %d", i+1), a.Bundle})
	}
	return bundles, nil
}

// strict decodes an object of a form that has no other members than those of v. A member that is
// there twice is an error, and so is an unknown one.
func strict(data []byte, v any) error {
	if err := intoto.CheckJSON(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
