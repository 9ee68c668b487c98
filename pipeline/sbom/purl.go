package sbom

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// purl returns the package URL of a module, or of stdlib or toolchain. The
// version may be empty.
//
// Segments and version are percent-encoded but for letters, digits, and ".-_~:"
// (https://github.com/package-url/purl-spec/blob/main/PURL-SPECIFICATION.rst).
// The type "golang" wants the path in lower case, although Go tells modules apart
// by case (https://github.com/package-url/purl-spec/blob/main/types/golang-definition.json):
// so two modules can have one package URL, and the component's name has the path
// as it is.
func purl(path, version string) string {
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

// h1 checks an h1: hash. A module that was vendored or built from a folder has
// none.
func h1(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	text, ok := strings.CutPrefix(s, "h1:")
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(sum) != 32 || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("hash %q: want h1: and the base64 of a SHA-256", s)
	}
	return s, nil
}
