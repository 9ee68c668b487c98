// Package compare decides whether two builds gave the same bytes, and says at
// first sight why they did not.
//
// The decision is [Files]: two artifacts are the same if their digests are, and
// nothing that comes after can turn a difference into a pass. The explanation of
// a difference is for people, is best effort, and reads both files as hostile
// input: in one streaming pass with buffers of a fixed size, then section by
// section. [Graphs] compares what the go command reports of its own steps, and
// so names the package whose compilation differed.
package compare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Verdict is the outcome of a comparison. The zero value is not a pass.
type Verdict string

const (
	// Reproduced: every byte and the mode agree.
	Reproduced Verdict = "reproduced"
	// Equivalent: equal after a named normalization. Files never says so.
	Equivalent Verdict = "equivalent"
	// Differs: not the same.
	Differs Verdict = "differs"
	// Undetermined: there is no answer, Reason tells why.
	Undetermined Verdict = "undetermined"
)

// Pass tells whether v is Reproduced or Equivalent.
func (v Verdict) Pass() bool { return v == Reproduced || v == Equivalent }

// Result is the verdict on two artifacts.
type Result struct {
	Verdict Verdict `json:"verdict"`
	// A and B name the bytes that were compared, SizeA and SizeB their number.
	A     artifact.Digest `json:"a"`
	B     artifact.Digest `json:"b"`
	SizeA int64           `json:"sizeA"`
	SizeB int64           `json:"sizeB"`
	// Reason is why the verdict is not a pass, in a few words. It is empty if
	// the verdict is Reproduced.
	Reason string `json:"reason,omitempty"`
	// Explanation is nil unless the bytes differ.
	Explanation *Explanation `json:"explanation,omitempty"`
}

// Hint is one thing that was different in the two passes on purpose, and must
// not show in what they built: the source path, the host name, the user.
type Hint struct {
	// Name says what it is, in lower case: "source path".
	Name string
	// A and B are its values in the two passes. A hint whose values are equal,
	// or shorter than three bytes or longer than 4096, is not looked for.
	A, B string
}

// Files compares a and b, which the two passes of one recipe built. Equal
// digests are enough to call them equal: they were computed from the bytes when
// these were stored, and open is not called. On a difference the bytes that open
// returns are read, for the explanation; at most 32 hints are looked for in it.
//
// An error means that there is no verdict, and comes with a Result that says
// Undetermined: a digest is malformed; the digests are equal but the sizes are
// not; the bytes that open returned are not those that the digest names. Files
// that cannot be read, on the other hand, leave the verdict at Differs, which
// the digests alone have shown, with a note in the explanation.
func Files(a, b artifact.Artifact, open func(artifact.Digest) (*os.File, error), hints ...Hint) (Result, error) {
	r := Result{A: a.Digest, B: b.Digest, SizeA: a.Size, SizeB: b.Size}
	undetermined := func(err error) (Result, error) {
		r.Verdict, r.Reason, r.Explanation = Undetermined, err.Error(), nil
		return r, fmt.Errorf("compare %q and %q: %w", a.Name, b.Name, err)
	}
	for _, art := range []artifact.Artifact{a, b} {
		if _, err := artifact.ParseDigest(string(art.Digest)); err != nil {
			return undetermined(err)
		}
		if art.Size < 0 {
			return undetermined(fmt.Errorf("size %d is negative", art.Size))
		}
	}
	if a.Digest == b.Digest {
		switch {
		case a.Size != b.Size:
			return undetermined(fmt.Errorf("one digest for %d bytes and for %d", a.Size, b.Size))
		case a.Executable != b.Executable:
			r.Verdict, r.Reason = Differs, "the bytes are equal, but only one of the files is executable"
		default:
			r.Verdict = Reproduced
		}
		return r, nil
	}
	r.Verdict, r.Reason = Differs, "the bytes differ"
	if a.Size != b.Size {
		r.Reason = fmt.Sprintf("the sizes differ: %d and %d bytes", a.Size, b.Size)
	}
	e, err := explain(a, b, open, hints)
	if errors.Is(err, errStore) {
		return undetermined(err)
	}
	if err != nil {
		e = &Explanation{Offset: -1, Notes: []string{"no explanation: " + err.Error()}}
	}
	r.Explanation = e
	return r, nil
}

// errStore says that stored bytes are not what their digest names.
var errStore = errors.New("stored bytes have changed")

// input is one of the two files while it is read.
type input struct {
	artifact.Artifact
	f *os.File
}

func openInput(a artifact.Artifact, open func(artifact.Digest) (*os.File, error)) (input, error) {
	f, err := open(a.Digest)
	if err != nil {
		return input{}, err
	}
	return input{a, f}, nil
}

const bufferSize = 256 << 10

// scan is what one pass over both files finds.
type scan struct {
	offset    int64 // of the first difference
	differing int64 // bytes that differ, and those that only the longer file has
	a, b      *counter
}

// scanBoth reads both files once, from start to end.
func scanBoth(a, b input, words [][]byte) (scan, error) {
	s := scan{offset: -1, a: newCounter(words), b: newCounter(words)}
	hashA, hashB := artifact.NewHasher(s.a), artifact.NewHasher(s.b)
	// One byte beyond the size is asked for, to notice a file that grew.
	ra, rb := io.NewSectionReader(a.f, 0, a.Size+1), io.NewSectionReader(b.f, 0, b.Size+1)
	bufA, bufB := make([]byte, bufferSize), make([]byte, bufferSize)
	for at := int64(0); ; at += bufferSize {
		pa, err := fill(ra, bufA)
		if err != nil {
			return s, err
		}
		pb, err := fill(rb, bufB)
		if err != nil {
			return s, err
		}
		hashA.Write(pa)
		hashB.Write(pb)
		if first, n := differ(pa, pb); n > 0 {
			if s.offset < 0 {
				s.offset = at + int64(first)
			}
			s.differing += int64(n)
		}
		if len(pa) < bufferSize && len(pb) < bufferSize {
			break
		}
	}
	for _, x := range []struct {
		in input
		h  *artifact.Hasher
	}{{a, hashA}, {b, hashB}} {
		if x.h.Digest() != x.in.Digest || x.h.Size() != x.in.Size {
			return s, fmt.Errorf("%w: %s", errStore, x.in.Digest)
		}
	}
	return s, nil
}

// fill reads until buf is full or r ends.
func fill(r io.Reader, buf []byte) ([]byte, error) {
	n, err := io.ReadFull(r, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return buf[:n], err
}

// differ returns the index of the first difference and the number of bytes that
// differ; what only the longer slice has differs.
func differ(a, b []byte) (first, n int) {
	short := min(len(a), len(b))
	n = max(len(a), len(b)) - short
	first = short
	if bytes.Equal(a[:short], b[:short]) {
		return first, n
	}
	for i := short - 1; i >= 0; i-- {
		if a[i] != b[i] {
			first = i
			n++
		}
	}
	return first, n
}

// counter counts words in what is written to it.
type counter struct {
	words [][]byte
	count []int
	first []int64 // where each word was first, if count is not 0
	keep  int     // bytes that are kept between writes: the longest word less one
	buf   []byte  // those bytes, with room for a write behind them
	start int64   // the offset of buf
}

func newCounter(words [][]byte) *counter {
	c := &counter{words: words, count: make([]int, len(words)), first: make([]int64, len(words))}
	for _, w := range words {
		c.keep = max(c.keep, len(w)-1)
	}
	return c
}

func (c *counter) Write(p []byte) (int, error) {
	if len(c.words) == 0 {
		return len(p), nil
	}
	kept := len(c.buf)
	c.buf = append(c.buf, p...)
	for i, w := range c.words {
		from := max(0, kept-len(w)+1) // only what ends in p is new
		n := bytes.Count(c.buf[from:], w)
		if n > 0 && c.count[i] == 0 {
			c.first[i] = c.start + int64(from+bytes.Index(c.buf[from:], w))
		}
		c.count[i] += n
	}
	drop := max(0, len(c.buf)-c.keep)
	c.start += int64(drop)
	c.buf = c.buf[:copy(c.buf, c.buf[drop:])]
	return len(p), nil
}
