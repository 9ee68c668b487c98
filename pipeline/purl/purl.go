// Package purl writes package URLs
// (https://github.com/package-url/purl-spec/blob/main/PURL-SPECIFICATION.rst).
package purl

import (
	"fmt"
	"strings"
)

// Golang returns the package URL of a module, or of the distribution's stdlib
// or toolchain. The version may be empty.
//
// Segments and version are percent-encoded but for letters, digits, and
// ".-_~:". The type "golang" wants the path in lower case, although Go tells
// modules apart by case
// (https://github.com/package-url/purl-spec/blob/main/types/golang-definition.json):
// so two modules can have one package URL, and whatever names a module by it
// needs the path as it is beside it.
func Golang(path, version string) string {
	segments := strings.Split(strings.ToLower(path), "/")
	for i, s := range segments {
		segments[i] = percent(s)
	}
	url := "pkg:golang/" + strings.Join(segments, "/")
	if version != "" {
		url += "@" + percent(version)
	}
	return url
}

// NPM returns the package URL of a package of npm, whose name may have a scope:
// @scope/name
// (https://github.com/package-url/purl-spec/blob/main/types/npm-definition.json).
func NPM(name, version string) string {
	segments := strings.Split(strings.ToLower(name), "/")
	for i, s := range segments {
		segments[i] = percent(s)
	}
	return "pkg:npm/" + strings.Join(segments, "/") + "@" + percent(version)
}

// OCI returns the package URL of an image: its repository, with the registry's
// host, and the digest of its index or manifest
// (https://github.com/package-url/purl-spec/blob/main/types/oci-definition.json).
func OCI(repository, digest string) string {
	segments := strings.Split(strings.ToLower(repository), "/")
	for i, s := range segments {
		segments[i] = percent(s)
	}
	return "pkg:oci/" + segments[len(segments)-1] + "@" + percent(digest) + "?repository_url=" + strings.Join(segments, "/")
}

// Subpath returns what follows a package URL to name a file in the package, whose
// path has slashes.
func Subpath(file string) string {
	var segments []string
	for _, s := range strings.Split(file, "/") {
		if s != "" && s != "." && s != ".." {
			segments = append(segments, percent(s))
		}
	}
	return "#" + strings.Join(segments, "/")
}

// Generic returns the package URL of a file that nothing but its name and digest
// is known of
// (https://github.com/package-url/purl-spec/blob/main/types/generic-definition.json).
func Generic(name, digest string) string {
	return "pkg:generic/" + percent(name) + "?checksum=" + percent(digest)
}

func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; alphanumeric(c) || strings.IndexByte(".-_~:", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
