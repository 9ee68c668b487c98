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
	var list []string
	differ := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if len(a) != len(b) {
		return []string{fmt.Sprintf("%d images, and %d", len(a), len(b))}
	}
	for i := range a {
		x, y := a[i], b[i]
		name := x.Repository + ":" + strings.Join(x.Tags, ",")
		if x.Repository != y.Repository || !slices.Equal(x.Tags, y.Tags) || len(x.Manifests) != len(y.Manifests) {
			differ("%s: not the image that %s:%s is", name, y.Repository, strings.Join(y.Tags, ","))
			continue
		}
		n := len(list)
		for j := range x.Manifests {
			m, o := x.Manifests[j], y.Manifests[j]
			at := name + " " + m.Platform
			if m.Platform != o.Platform || m.Target != o.Target || len(m.Layers) != len(o.Layers) {
				differ("%s: other platforms or layers", at)
				continue
			}
			k := len(list)
			for l := range m.Layers {
				p, q := m.Layers[l], o.Layers[l]
				what := fmt.Sprintf("%s: layer %d (%s)", at, l, strings.Join(p.Files, ", "))
				switch {
				case p.DiffID != q.DiffID:
					differ("%s: %s and %s before compression", what, p.DiffID.Short(), q.DiffID.Short())
				case p.Digest != q.Digest || p.Size != q.Size:
					differ("%s: the same before compression, %s and %s after it", what, p.Digest.Short(), q.Digest.Short())
				case p.Base != q.Base || !slices.Equal(p.Files, q.Files):
					differ("%s: other files", what)
				}
			}
			switch {
			case len(list) > k:
			case m.Config != o.Config:
				differ("%s: configuration %s and %s", at, m.Config.Short(), o.Config.Short())
			case m.Digest != o.Digest || m.Size != o.Size:
				differ("%s: manifest %s and %s", at, m.Digest.Short(), o.Digest.Short())
			}
		}
		if len(list) == n && (x.Digest != y.Digest || x.Size != y.Size || x.Key != y.Key) {
			differ("%s: index %s and %s", name, x.Digest.Short(), y.Digest.Short())
		}
	}
	return list
}
