// Package matrix reads the release file, release.toml, and expands it into
// targets and builds.
package matrix

// Target is one platform of the matrix: an operating system, an architecture
// and, where it is not the default, a variant.
type Target struct{ OS, Arch, Variant string }
