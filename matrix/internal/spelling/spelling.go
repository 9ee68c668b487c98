// Package spelling puts the names that a file may hold into sentences, and finds
// the one that a misspelt name was meant to be.
package spelling

import (
	"fmt"
	"strings"
)

// Or writes "a, b or c".
func Or(values []string) string {
	n := len(values) - 1
	if n < 1 {
		return strings.Join(values, "")
	}
	return strings.Join(values[:n], ", ") + " or " + values[n]
}

// DidYouMean returns `; did you mean "x"?` for the candidate closest to got, or "".
func DidYouMean(got string, candidates []string) string {
	if best := Closest(got, candidates); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// Closest returns the candidate within two edits of got, or one edit if got is
// short. Two swapped neighbours are one edit. It returns "" where there is none.
func Closest(got string, candidates []string) string {
	if len(got) > 40 {
		return ""
	}
	best, limit := "", 3
	if len(got) < 4 {
		limit = 2
	}

	for _, c := range candidates {
		if d := distance(strings.ToLower(got), c); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance between bytes.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}

	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}

	return rows[len(a)][len(b)]
}
