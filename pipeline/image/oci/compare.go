package oci

import (
	"fmt"
	"slices"
	"strings"
)

// Compare returns in what two lists of images differ, one line a difference. It returns
// nothing if they are the same. For layers it says whether they differ before
// compression, too.
func Compare(a, b []Image) []string {
	if len(a) != len(b) {
		return []string{fmt.Sprintf("%d images, and %d", len(a), len(b))}
	}
	var d differences
	for i := range a {
		d.compareImages(a[i], b[i])
	}
	return d.list
}

// differences collects the lines of [Compare].
type differences struct{ list []string }

func (d *differences) add(format string, args ...any) {
	d.list = append(d.list, fmt.Sprintf(format, args...))
}

func (d *differences) compareImages(a, b Image) {
	name := a.Repository + ":" + strings.Join(a.Tags, ",")
	if a.Repository != b.Repository || !slices.Equal(a.Tags, b.Tags) || len(a.Manifests) != len(b.Manifests) {
		d.add("%s: not the image that %s:%s is", name, b.Repository, strings.Join(b.Tags, ","))
		return
	}

	// The index names all of this, so it is worth a line only where the rest is the same.
	before := len(d.list)
	for i := range a.Manifests {
		d.compareManifests(name, a.Manifests[i], b.Manifests[i])
	}
	if len(d.list) == before && (a.Digest != b.Digest || a.Size != b.Size || a.Key != b.Key) {
		d.add("%s: index %s and %s", name, a.Digest.Short(), b.Digest.Short())
	}
}

func (d *differences) compareManifests(image string, a, b Manifest) {
	name := image + " " + a.Platform
	if a.Platform != b.Platform || a.Target != b.Target || len(a.Layers) != len(b.Layers) {
		d.add("%s: other platforms or layers", name)
		return
	}

	// The configuration and the manifest name the layers, so they differ where a layer does.
	before := len(d.list)
	for i := range a.Layers {
		d.compareLayers(fmt.Sprintf("%s: layer %d (%s)", name, i, strings.Join(a.Layers[i].Files, ", ")), a.Layers[i], b.Layers[i])
	}
	switch {
	case len(d.list) > before:
	case a.Config != b.Config:
		d.add("%s: configuration %s and %s", name, a.Config.Short(), b.Config.Short())
	case a.Digest != b.Digest || a.Size != b.Size:
		d.add("%s: manifest %s and %s", name, a.Digest.Short(), b.Digest.Short())
	}
}

func (d *differences) compareLayers(name string, a, b Layer) {
	switch {
	case a.DiffID != b.DiffID:
		d.add("%s: %s and %s before compression", name, a.DiffID.Short(), b.DiffID.Short())
	case a.Digest != b.Digest || a.Size != b.Size:
		d.add("%s: the same before compression, %s and %s after it", name, a.Digest.Short(), b.Digest.Short())
	case a.Base != b.Base || !slices.Equal(a.Files, b.Files):
		d.add("%s: other files", name)
	}
}
