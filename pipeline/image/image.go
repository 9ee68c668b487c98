// Package image describes OCI images that were made: which layers, manifests and
// index, by their digests.
package image

import (
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// Image is an image that was made.
type Image struct {
	// Key is that of its plan.
	Key        string          `json:"key"`
	Repository string          `json:"repository"`
	Tags       []string        `json:"tags"`
	Digest     artifact.Digest `json:"digest"` // of the index
	Size       int64           `json:"size"`   // of the index, in bytes
	Manifests  []Manifest      `json:"manifests"`
}

// Manifest is an image for one platform.
type Manifest struct {
	// Platform is written as registries do: linux/arm/v7.
	Platform string          `json:"platform"`
	Target   matrix.Target   `json:"target"`
	Digest   artifact.Digest `json:"digest"`
	Size     int64           `json:"size"`
	Config   artifact.Digest `json:"config"`
	// Layers are in order, those of the base first.
	Layers []Layer `json:"layers"`
}

// Layer is a layer of an image.
type Layer struct {
	Digest artifact.Digest `json:"digest"`
	Size   int64           `json:"size"`
	// DiffID is the digest of the uncompressed layer.
	DiffID artifact.Digest `json:"diffID"`
	// Base reports whether the layer is the base's.
	Base bool `json:"base,omitempty"`
	// Files are the paths of the files that this package put there, sorted. Of the
	// time zones only the folder is named.
	Files []string `json:"files,omitempty"`
}

// Base is an image that others were added to.
type Base struct {
	// Reference is written as in the release file.
	Reference string `json:"reference"`
	// Digest is that of its index, or of its manifest where it has no index.
	Digest artifact.Digest `json:"digest"`
}
