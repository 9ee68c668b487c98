package sbom

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// h1 returns s, and an error unless it is an h1: hash or empty. A module that was vendored or built
// from a folder has none.
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
