package explain

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Text holds the differences between two text files.
type Text struct {
	// Line is the number of the first line that differs, from 1. A and B are that line in the two
	// files.
	Line int    `json:"line"`
	A    string `json:"a"`
	B    string `json:"b"`
	// LineEndings reports whether nothing but carriage returns differ. LineOrder reports whether
	// the same lines are in another order.
	LineEndings bool `json:"lineEndings,omitempty"`
	LineOrder   bool `json:"lineOrder,omitempty"`
}

const (
	maxText  = 64 << 20 // bytes that are read line by line
	maxLines = 1 << 20
)

// isText reports whether p is UTF-8 without control characters, except those of texts. The last
// character may be cut off unless p is all there is.
func isText(p []byte, all bool) bool {
	if !all {
		for i := 0; i < utf8.UTFMax && len(p) > 0; i++ {
			if r, n := utf8.DecodeLastRune(p); r != utf8.RuneError || n > 1 {
				break
			}
			p = p[:len(p)-1]
		}
	}
	return utf8.Valid(p) && !bytes.ContainsFunc(p, func(r rune) bool {
		return r < ' ' && !strings.ContainsRune("\t\n\r\f\b\x1b", r)
	})
}

// lines is a text file by lines.
type lines struct {
	hashes []uint64 // of the lines without their ends
	ends   []bool   // that a carriage return is at the end
	whole  bool
}

func readLines(in input) (lines, error) {
	l := lines{whole: true}
	r := bufio.NewReaderSize(in.section(0, min(in.size, maxText)), 64<<10)
	if in.size > maxText {
		l.whole = false
	}
	h := fnv.New64a()
	last, any := byte(0), false

	// A line may be longer than the buffer, so it is hashed in pieces.
	for {
		p, err := r.ReadSlice('\n')
		end := len(p) > 0 && p[len(p)-1] == '\n'
		if end {
			p = p[:len(p)-1]
		}

		if len(p) > 0 {
			if any && last == '\r' {
				h.Write([]byte{last}) // it was not at the end of the line
			}
			any, last = true, p[len(p)-1]
			if last == '\r' {
				p = p[:len(p)-1]
			}
			h.Write(p)
		}

		if end || errors.Is(err, io.EOF) && any {
			if len(l.hashes) == maxLines {
				l.whole = false
				return l, nil
			}
			l.hashes, l.ends = append(l.hashes, h.Sum64()), append(l.ends, any && last == '\r')
			h.Reset()
			last, any = 0, false
		}

		switch {
		case errors.Is(err, io.EOF):
			return l, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return l, fmt.Errorf("read text: %w", err)
		}
	}
}

// explainTexts explains two text files.
func (c *Comparison) explainTexts(a, b input) {
	c.Text = &Text{}
	c.Text.Line, c.Text.A, c.Text.B = firstLine(a, b, c.Offset)
	la, errA := readLines(a)
	lb, errB := readLines(b)
	if err := cmp.Or(errA, errB); err != nil {
		c.note(err)
		return
	}
	same := slices.Equal(la.hashes, lb.hashes)
	complete := la.whole && lb.whole

	// Hashes are compared in place of lines, which need not fit into memory.
	switch {
	case complete && same && !slices.Equal(la.ends, lb.ends):
		c.Text.LineEndings = true
		c.addCause(causeLineEndings, Certain, Cause{})
		return
	case complete && !same && len(la.hashes) == len(lb.hashes):
		slices.Sort(la.hashes)
		slices.Sort(lb.hashes)
		if slices.Equal(la.hashes, lb.hashes) {
			c.Text.LineOrder = true
			c.addCause(causeLineOrder, Certain, Cause{Text: fmt.Sprintf("the same lines in another order, from line %d", c.Text.Line), A: c.Text.A, B: c.Text.B})
			return
		}
	}

	c.compareTokens(textSource{in: a, spans: whole(a)}, textSource{in: b, spans: whole(b)})
	c.stampCauses(false)
	pa, pb := pathsOf(c.Text.A), pathsOf(c.Text.B)
	if pa != pb && pa != "" && pb != "" {
		c.addString(StringDifference{Kind: KindPath, A: pa, B: pb})
		c.addCause(causeHostPath, Possible, Cause{Text: "a path is in the file", A: pa, B: pb})
	}

	c.addCause(causeContent, Certain, Cause{Text: fmt.Sprintf("the text differs from line %d", c.Text.Line), A: c.Text.A, B: c.Text.B})
}

var pathPattern = regexp.MustCompile(`(?:/[\w.@+-]+){2,}|[A-Za-z]:[\\/][\w.@+\\/-]+`)

func pathsOf(line string) string { return pathPattern.FindString(line) }

// firstLine returns the number of the line that an offset is in, and the line in
// both files, cut.
func firstLine(a, b input, offset int64) (number int, lineA, lineB string) {
	number = 1
	start := int64(0) // of the line
	buf := make([]byte, 64<<10)
	for at := int64(0); at < offset; {
		p := buf[:min(int64(len(buf)), offset-at)]
		if n, _ := a.ReadAt(p, at); n < len(p) {
			break
		}
		number += bytes.Count(p, []byte{'\n'})
		if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
			start = at + int64(i) + 1
		}
		at += int64(len(p))
	}

	// A long line is cut, but keeps the place that differs.
	const before, after = 120, 400
	start = max(start, offset-before)
	line := func(in input) string {
		p := make([]byte, max(0, min(after, in.size-start)))
		n, _ := in.ReadAt(p, start) // what can be read is shown
		text, _, _ := bytes.Cut(p[:n], []byte{'\n'})
		return cut(strings.ToValidUTF8(string(text), ""))
	}

	return number, line(a), line(b)
}
