// Package safetext makes a stranger's text safe to show on a terminal. Names, messages and
// documents may hold control characters, other directions of writing or invalid UTF-8. They are
// shown as text and do nothing else.
//
// Escape and Quote return ASCII, for reports whose other columns come from the same file.
// EscapeUnprintable, QuoteUnprintable and QuoteWord keep the letters of all languages. Replace and
// Clean return a line for a person to read.
package safetext

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable reports whether a terminal shows s as it is.
func Printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Cut returns s, or the first limit bytes and mark if s is longer.
func Cut(s string, limit int, mark string) string {
	if len(s) > limit {
		return s[:limit] + mark
	}
	return s
}

// Escape returns the first limit bytes of s, with Go's escapes for characters that are not
// printable ASCII.
func Escape(s string, limit int) string {
	s = Cut(s, limit, "...")

	q := strconv.QuoteToASCII(s)
	q = q[1 : len(q)-1]

	// Quotes do no harm. A backslash stays escaped, since it would look like the start of an escape.
	if strings.ReplaceAll(q, `\"`, `"`) == s {
		return s
	}
	return q
}

// EscapeUnprintable returns s with Go's escapes for characters that are not printable.
func EscapeUnprintable(s string) string {
	if Printable(s) {
		return s
	}

	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}

	return b.String()
}

// Quote returns the first limit bytes of s. It quotes them as Go does unless they are plain ASCII
// with no space at the ends.
func Quote(s string, limit int) string {
	s = Cut(s, limit, "...")
	if q := strconv.QuoteToASCII(s); q[1:len(q)-1] != s || s == "" || strings.TrimSpace(s) != s {
		return q
	}
	return s
}

// QuoteLines returns s with those of its lines quoted that are not printable ASCII.
func QuoteLines(s string) string {
	lines := strings.Split(s, "\n")

	for i, l := range lines {
		q := strconv.QuoteToASCII(l)
		if plain := strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(q[1 : len(q)-1]); plain == l {
			continue
		}
		lines[i] = q
	}

	return strings.Join(lines, "\n")
}

// QuoteUnprintable returns s if it is [Printable], and quotes it as Go does otherwise.
func QuoteUnprintable(s string) string {
	if !Printable(s) {
		return strconv.Quote(s)
	}
	return s
}

// QuoteWord returns s if it is one printable word, and quotes it as Go does otherwise.
func QuoteWord(s string) string {
	if s == "" || strings.ContainsAny(s, ` "`) {
		return strconv.Quote(s)
	}
	return QuoteUnprintable(s)
}

// Replace returns s with by in the place of each character that is not printable, and of each byte
// that is no UTF-8.
func Replace(s string, by rune) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return by
		}
		return r
	}, s)
}

// Clean returns s with U+FFFD in the place of characters that control a terminal, end a line or
// turn the direction of writing.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// CleanLines returns s as [Clean] does, but keeps line ends and tabs.
func CleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		parts := strings.Split(line, "\t")
		for j := range parts {
			parts[j] = Clean(parts[j])
		}
		lines[i] = strings.Join(parts, "\t")
	}

	return strings.Join(lines, "\n")
}
