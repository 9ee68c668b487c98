package survey

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// Bounds of a list.
const (
	maxReferences = 100_000
	maxReference  = 4096 // bytes
)

// ParseList reads a list of subjects: a reference a line, as [subject.Open] takes it. Lines that begin
// with "#" and empty ones mean nothing. A line with white space in it, one that is there twice and
// text that is not UTF-8 are errors with the line's number. So is a URL with a user or a query, since
// references are kept and printed, and such parts are often secret.
//
// [subject.Open]: https://pkg.go.dev/github.com/twicebuild/twice/pipeline/subject#Open
func ParseList(in io.Reader) ([]string, error) {
	var list []string
	seen := map[string]int{}

	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxReference)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}

		switch {
		case !utf8.ValidString(line) || !safetext.Printable(line):
			return nil, fault.Usage(fmt.Errorf("line %d: %s has characters that are not printable", n, safetext.Quote(line, 80)))
		case strings.ContainsAny(line, " \t"):
			return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("line %d: %s has white space in it", n, safetext.Quote(line, 80))), "write one reference a line, and remarks on lines that begin with #")
		case hasSecrets(line):
			return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("line %d: the URL has a user or a query, which a survey would print", n)), "fetch it by other means, and name the file")
		case seen[line] > 0:
			return nil, fault.Usage(fmt.Errorf("line %d: %s is in line %d already", n, safetext.Quote(line, 80), seen[line]))
		case len(list) == maxReferences:
			return nil, fault.Usage(fmt.Errorf("line %d: more than %d references", n, maxReferences))
		}
		seen[line] = n
		list = append(list, line)
	}

	if err := lines.Err(); err != nil {
		return nil, fault.Usage(fmt.Errorf("line %d: %w", n+1, err))
	}
	if len(list) == 0 {
		return nil, fault.Usage(fmt.Errorf("no reference in it"))
	}
	return list, nil
}

// hasSecrets reports whether a reference is a URL with parts that are often secret.
func hasSecrets(reference string) bool {
	if !strings.Contains(reference, "://") {
		return false
	}
	u, err := url.Parse(reference)
	return err != nil || u.User != nil || u.RawQuery != ""
}
