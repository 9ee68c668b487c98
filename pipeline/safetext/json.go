package safetext

import (
	"encoding/json"
	"fmt"
	"strings"
)

// JSON returns v as [json.Marshal] does, and escapes every character of its strings that is not
// printable ASCII.
func JSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}

	// Outside of strings JSON is ASCII, so only what is in a string is escaped.
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case ' ' <= r && r <= '~':
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}

	return []byte(b.String()), nil
}
