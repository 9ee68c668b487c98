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
	// Name is the slash-separated path of the file, relative to the folder that
	// the checksum file is in.
	Name string
	// Digest names the file's bytes.
	Digest artifact.Digest
}

// Sums writes the digests of list to w as GNU sha256sum does and sha256sum -c
// reads: a line per artifact with 64 hexadecimal digits, two spaces and the
// name, in bytewise order of the names
// (https://www.gnu.org/software/coreutils/manual/html_node/cksum-output-modes.html).
//
// Names are subject to the rule for names in archives, see the package comment.
// So there is nothing that GNU would have to escape; a backslash or a newline is
// refused. An invalid digest and a name that is there twice are errors, found
// before anything is written. The order of list does not matter, and the slice
// is not changed.
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

const (
	maxSumsSize = 16 << 20 // bytes that ParseSums reads
	maxSumsLine = 64 + 2 + 1024
)

// ParseSums reads a checksum file in the form that [Sums] documents, in any
// order, and keeps that order. "*" (GNU's mark for binary mode) may stand in the
// place of the second space. Everything else that is not in that form is an
// error that names the line: a missing last newline, an escaped or refused name,
// upper-case digits, a name that is there twice, more than 16 MiB.
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
