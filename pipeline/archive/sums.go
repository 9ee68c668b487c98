package archive

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Sum is one line of a checksum file.
type Sum struct {
	// Name is the slash-separated path of the file, relative to the folder of the checksum
	// file.
	Name string
	// Digest names the file's bytes.
	Digest artifact.Digest
}

// Sums writes the digests of list to w in the form that GNU sha256sum writes and sha256sum -c reads
// (https://www.gnu.org/software/coreutils/manual/html_node/cksum-output-modes.html). Each artifact
// has a line with 64 hexadecimal digits, two spaces and the name. The lines are in bytewise order
// of the names.
//
// The rule for names in archives holds here too, see the package comment. It refuses backslashes
// and newlines, so there is nothing that GNU would escape. Before it writes anything, Sums returns
// an error for an invalid digest and for a name that is there twice. The order of list does not
// matter, and the slice is not changed.
func Sums(w io.Writer, list []artifact.Artifact) error {
	lines := make([]Sum, len(list))
	taken := names{}
	for i, a := range list {
		if err := checkName(a.Name); err != nil {
			return fmt.Errorf("checksums: %w", err)
		}
		if _, err := taken.add(a.Name); err != nil {
			return fmt.Errorf("checksums: %w", err)
		}
		if _, err := artifact.ParseDigest(string(a.Digest)); err != nil {
			return fmt.Errorf("checksums: %q: %w", a.Name, err)
		}
		lines[i] = Sum{a.Name, a.Digest}
	}

	slices.SortFunc(lines, func(a, b Sum) int { return strings.Compare(a.Name, b.Name) })

	b := bufio.NewWriter(w)
	for _, l := range lines {
		fmt.Fprintf(b, "%s  %s\n", l.Digest.Hex(), l.Name)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("checksums: %w", err)
	}
	return nil
}

// Bounds of what ParseSums reads, in bytes.
const (
	maxSumsSize = 16 << 20
	maxSumsLine = 64 + 2 + 1024 // digits, two spaces, the longest name
)

// ParseSums reads a checksum file in the form that [Sums] documents. The lines may be in any order,
// which ParseSums keeps. The second space may be "*", GNU's mark for binary mode. Everything else
// is an error that names the line: a missing last newline, an escaped or refused name, upper-case
// digits, a name that is there twice, more than 16 MiB.
func ParseSums(r io.Reader) ([]Sum, error) {
	var sums []Sum
	taken := names{}
	lr := &io.LimitedReader{R: r, N: maxSumsSize + 1}
	br := bufio.NewReaderSize(lr, maxSumsLine+1)

	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0 && lr.N > 0:
			return sums, nil
		case lr.N == 0:
			return nil, fmt.Errorf("checksums: longer than %d bytes", maxSumsSize)
		case err == bufio.ErrBufferFull:
			return nil, fmt.Errorf("checksums: line %d: longer than %d bytes", n, maxSumsLine)
		case err == io.EOF:
			return nil, fmt.Errorf("checksums: line %d: ends without a newline", n)
		case err != nil:
			return nil, fmt.Errorf("checksums: line %d: %w", n, err)
		}

		s, err := parseSum(string(line[:len(line)-1]))
		if err == nil {
			_, err = taken.add(s.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("checksums: line %d: %w", n, err)
		}
		sums = append(sums, s)
	}
}

// parseSum parses a line without its newline.
func parseSum(line string) (Sum, error) {
	const digits = 64
	if len(line) < digits+3 || line[digits] != ' ' || line[digits+1] != ' ' && line[digits+1] != '*' {
		return Sum{}, fmt.Errorf("%.80q: want 64 hexadecimal digits, two spaces and a name", line)
	}
	d, err := artifact.ParseDigest("sha256:" + line[:digits])
	if err != nil {
		return Sum{}, err
	}
	name := line[digits+2:]
	return Sum{name, d}, checkName(name)
}
