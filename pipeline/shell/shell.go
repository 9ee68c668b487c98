// Package shell writes command lines that a person can paste into a POSIX shell.
package shell

import (
	"regexp"
	"strings"
)

var plain = regexp.MustCompile(`^[a-zA-Z0-9_@%+=:,./-]+$`)

// Quote returns word as a shell reads it: as it is where no character is special,
// and in single quotes otherwise.
func Quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Join quotes each word, and returns them with spaces between.
func Join(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = Quote(word)
	}
	return strings.Join(quoted, " ")
}
