package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// maxManifest bounds a manifest in bytes. Registries have to accept that much, and
// many accept no more
// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests).
const maxManifest = 4 << 20

// manifest is an image manifest or an index, as far as it matters here.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *v1.Descriptor    `json:"config"`
	Layers        []v1.Descriptor   `json:"layers"`
	Manifests     []v1.Descriptor   `json:"manifests"`
	Subject       *v1.Descriptor    `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// parseManifest reads raw as a document of the media type mt. It refuses bytes that
// two programs could take for two different things: an image that is an index too
// (CVE-2021-41190), another media type inside than outside, members that are
// there twice. Members that it does not know are no fault, as the specification
// lets everyone add some
// (https://github.com/opencontainers/image-spec/blob/main/manifest.md).
func parseManifest(raw []byte, mt types.MediaType) (*manifest, error) {
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("more than %d bytes", maxManifest)
	}
	if err := uniqueMembers(raw); err != nil {
		return nil, err
	}

	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}

	switch {
	case m.SchemaVersion != 2:
		return nil, fmt.Errorf("schema version %d: want 2", m.SchemaVersion)
	case m.MediaType != "" && m.MediaType != mt:
		return nil, fmt.Errorf("media type %q inside, %q outside", m.MediaType, mt)
	case mt.IsIndex() && (m.Config != nil || m.Layers != nil):
		return nil, errors.New("an index with a config or layers")
	case mt.IsImage() && m.Manifests != nil:
		return nil, errors.New("an image manifest with manifests")
	case mt.IsImage() && m.Config == nil:
		return nil, errors.New("an image manifest without config")
	case !mt.IsImage() && !mt.IsIndex():
		return nil, fmt.Errorf("media type %q: neither an image manifest nor an index", mt)
	}

	// Paths are made of the digests later, and bounds of the sizes.
	for _, list := range [][]v1.Descriptor{listOptional(m.Config), listOptional(m.Subject), m.Layers, m.Manifests} {
		for _, d := range list {
			if _, err := artifact.ParseDigest(d.Digest.String()); err != nil {
				return nil, err
			}
			if d.Size < 0 || d.MediaType == "" {
				return nil, fmt.Errorf("descriptor of %s: size %d, media type %q", d.Digest, d.Size, d.MediaType)
			}
		}
	}

	return &m, nil
}

func listOptional(d *v1.Descriptor) []v1.Descriptor {
	if d == nil {
		return nil
	}
	return []v1.Descriptor{*d}
}

// memberSpelling has the proper spelling of each member of a manifest, by its folded
// name.
var memberSpelling = func() map[string]string {
	names := map[string]string{}
	for f := range reflect.TypeFor[manifest]().Fields() {
		names[foldName(f.Tag.Get("json"))] = f.Tag.Get("json")
	}
	return names
}()

// foldName returns the same text for names that encoding/json takes for the same member.
func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, s)
}

// maxDepth bounds how deep JSON may be nested.
const maxDepth = 64

// uniqueMembers returns an error unless raw is one JSON document in which no
// object has two members of the same name, by the rule of encoding/json, which
// does not tell upper from lower case, and in which the members of a manifest
// are spelled as they should be.
func uniqueMembers(raw []byte) error {
	type frame struct {
		members map[string]bool // nil: an array
		value   bool            // a member's value comes next
	}
	var stack []frame
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	for first := true; first || len(stack) > 0; first = false {
		tok, err := dec.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if tok == json.Delim('}') || tok == json.Delim(']') {
			stack = stack[:len(stack)-1]
			continue
		}

		// Tokens of an object are a name and its value by turns.
		if n := len(stack); n > 0 && stack[n-1].members != nil {
			top := &stack[n-1]
			if !top.value {
				name, _ := tok.(string)
				key := foldName(name)
				if top.members[key] {
					return fmt.Errorf("member %q is there twice", name)
				}
				if want, known := memberSpelling[key]; n == 1 && known && name != want {
					return fmt.Errorf("member %q: want %q", name, want)
				}
				top.members[key], top.value = true, true
				continue
			}
			top.value = false
		}

		switch tok {
		case json.Delim('{'):
			stack = append(stack, frame{members: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, frame{})
		}
		if len(stack) > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
	}

	// Another program could read a second document, and see another image.
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}

	return nil
}
