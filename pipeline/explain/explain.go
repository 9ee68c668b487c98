// Package explain says what differs between two files, and why.
//
// It works from the top down. For archives (tar, tar.gz, tar.zst, gzip, zip) it compares parameters
// and members first. It explains each member that differs as a file of its own, one level deep. For
// executables (ELF, Mach-O and its slices, PE, WebAssembly) it compares headers, sections, build
// information, the build ID, functions, packages, embedded files, and strings: those that the program
// delimits, with their true ends, and paths, times and users in them. From that follow the causes,
// which a reader is shown first, the most useful one on top. [Kinds] lists all of them. A cause is
// derived from the content of the files, and has a confidence. It is no verdict on whether two files
// are the same: only their bytes decide that. Between two platforms, or two versions of Go, nearly
// everything differs, so that functions and strings are counted or left out.
//
// # Functions
//
// One byte more in a program moves nearly all others, and every reference to them changes. So two
// functions count as the same if their instructions differ only in references that lead to the same
// thing. On amd64, 386, arm64 and arm a reference is resolved in both files. It must lead to the
// same place in the function of the same name, or into the section of the same name. On other
// machines the operands of calls and of the instructions that build addresses are not compared. In
// WebAssembly, the operands of calls and constants of 4096 and more are not compared. So a function
// may do something else although nothing is reported: it then refers to another place in the same
// section. A function that is reported does have other instructions.
//
// # Hostile input
//
// Both files are read as hostile input, through io.ReaderAt, in bounded memory and time. The memory
// is about 200 MB at worst, and a tenth of that for ordinary files. The time is bounded by the
// sizes of the files and by 4 GiB of uncompressed archive content. Nothing is executed. A part that
// cannot be read is a note.
//
// Texts in a [Report] are as they are in the files. [Report.Fprint] and its JSON
// escape them, so that they can be shown on a terminal, and so does the page of
// [Report.HTML].
package explain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// SchemaName is the value of Report.Schema.
const SchemaName = "twice.explain/v1"

// File is one of the two files.
type File struct {
	// Name is what the caller calls it.
	Name string
	// Content are its bytes, and Size their number. They must not change while
	// they are read.
	Content io.ReaderAt
	Size    int64
}

// Hint is one thing that is known to have been different where the two files
// were made: a folder, the host's name, the user.
type Hint struct {
	// Name says what it is, in lower case: "source path".
	Name string
	// A and B are its values. A hint whose values are equal, or shorter than three
	// bytes or longer than 4096, is not looked for.
	A, B string
}

// Options are the means that an explanation may use.
type Options struct {
	// Hints are looked for in the bytes. At most 32 are.
	Hints []Hint
	// TempDir is the folder for members of archives while they are explained. If it is empty, they
	// are kept in memory, and members of more than 16 MiB are not explained.
	TempDir string
	// SameToolchain says that one toolchain is known to have built both.
	SameToolchain bool
}

// Report says what differs between two files. Its JSON has ASCII characters
// alone, the others escaped. Within a schema version members may be added and
// are never removed or given another meaning.
type Report struct {
	Schema string `json:"schema"`
	Comparison
}

// Comparison holds the differences between two files or members of archives.
type Comparison struct {
	A     Side `json:"a"`
	B     Side `json:"b"`
	Equal bool `json:"equal"`
	// Offset is where the first difference is: the size of the shorter file if
	// that is the beginning of the other, -1 if they are equal or no files.
	Offset int64 `json:"offset"`
	// Section is the section of the executable that Offset lies in. It is a section of A or, behind
	// A's end, of B. It is empty if Offset lies in none.
	Section string `json:"section,omitempty"`
	// Differing is the number of offsets at which they differ. It includes those that
	// only the longer file has.
	Differing int64 `json:"differing"`
	// Causes say why they differ, in the order of their rank. There is at least one
	// unless the files are equal.
	Causes []Cause `json:"causes"`

	// Archive is there if both are archives, folders or images, Binaries if both are
	// executables, and Text if both are text.
	Archive  *Archive `json:"archive,omitempty"`
	Binaries []Binary `json:"binaries,omitempty"`
	Text     *Text    `json:"text,omitempty"`
	// Strings are texts that look like paths, times, or users, and hints, that are
	// in one file more often than in the other.
	Strings []StringDifference `json:"strings,omitempty"`
	// Notes say what could not be compared, and why.
	Notes []string `json:"notes,omitempty"`

	drawn *fileMap // of files without sections
}

// Side is one of the two files.
type Side struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	// SHA256 is the sum in hexadecimal. For an image it is the sum of the index or manifest. It is
	// empty for a folder, and for a layout with images.
	SHA256 string `json:"sha256"`
	// Kind is an archive's format ("tar", "tar+gzip", "tar+zstd", "gzip", "zstd",
	// "zip"), an executable's (see inspect.Format), a tree's ("folder", "image"),
	// "text", "empty" or "data".
	Kind string `json:"kind"`
}

// Value is a named value that differs. A value that one side does not have is
// empty there, with InA or InB false.
type Value struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
	InA  bool   `json:"inA"`
	InB  bool   `json:"inB"`
}

// MarshalJSON implements [json.Marshaler].
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return safetext.JSON(plain(r))
}

const (
	maxHints   = 32
	maxHint    = 4096 // bytes
	maxListed  = 256  // of anything that is listed
	bufferSize = 256 << 10
)

// Files explains the difference between a and b. An error means that there is
// no explanation: the bytes could not be read, or the context ended. Damaged files, and
// files that are neither archives nor executables, are explained without an error.
func Files(ctx context.Context, a, b File, o Options) (*Report, error) {
	e := &explainer{ctx: ctx, options: o.withUsableHints()}
	c, err := e.compare(e.input(a), e.input(b), true)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("explain %q and %q: %w", a.Name, b.Name, err)
	}
	return &Report{SchemaName, *c}, nil
}

// withUsableHints returns the options with those hints that are looked for.
func (o Options) withUsableHints() Options {
	o.Hints = slices.DeleteFunc(slices.Clone(o.Hints), func(h Hint) bool {
		return h.A == h.B || min(len(h.A), len(h.B)) < 3 || max(len(h.A), len(h.B)) > maxHint
	})
	o.Hints = o.Hints[:min(len(o.Hints), maxHints)]
	return o
}

// explainer holds the state of one call of [Files] or [Trees].
type explainer struct {
	ctx     context.Context
	options Options
}

// input is a file whose reads fail when the context ends.
type input struct {
	ctx  context.Context
	r    io.ReaderAt
	name string
	size int64
}

func (e *explainer) input(f File) input {
	return input{e.ctx, f.Content, f.Name, max(0, f.Size)}
}

func (in input) ReadAt(p []byte, offset int64) (int, error) {
	if err := context.Cause(in.ctx); err != nil {
		return 0, err
	}
	return in.r.ReadAt(p, offset)
}

// section returns a range as a reader.
func (in input) section(offset, size int64) *io.SectionReader {
	return io.NewSectionReader(in, offset, size)
}

// compare explains two files, and the members of archives only at the top.
func (e *explainer) compare(a, b input, top bool) (*Comparison, error) {
	c := &Comparison{A: Side{Name: a.name, Size: a.size}, B: Side{Name: b.name, Size: b.size}, Offset: -1, Causes: []Cause{}}
	hints, err := e.scan(c, a, b)
	if err != nil {
		return nil, err
	}

	binA, errA := inspect.Open(a, a.size)
	binB, errB := inspect.Open(b, b.size)
	c.A.Kind, c.B.Kind = fileKind(a, binA), fileKind(b, binB)
	if c.Equal {
		return c, nil
	}

	for _, err := range []error{errA, errB} {
		if err != nil && !errors.Is(err, inspect.ErrFormat) {
			c.note(err)
		}
	}

	c.addAppendedCause()
	c.Section = sectionAt(binA, c.Offset)
	if c.Offset >= a.size {
		c.Section = sectionAt(binB, c.Offset)
	}
	for _, h := range hints {
		c.Strings = append(c.Strings, StringDifference{Kind: KindHint, Name: h.Name, A: h.A, B: h.B})
		c.addCause(causeVaried, Likely, Cause{Text: fmt.Sprintf("the %s, which was another on purpose, is in the file", h.Name), A: h.A, B: h.B})
	}

	// An explanation of the content depends on what both files are.
	switch {
	case top && isArchive(c.A.Kind) && isArchive(c.B.Kind):
		e.explainArchives(c, a, b)
	case binA != nil && binB != nil:
		e.explainBinaries(c, a, b, binA, binB)
	case c.A.Kind == "text" && c.B.Kind == "text":
		c.explainTexts(a, b)
	case c.A.Kind != c.B.Kind:
		c.addCause(causeFileType, Certain, Cause{Text: "the files are of different kinds", A: c.A.Kind, B: c.B.Kind})
	case isArchive(c.A.Kind):
		c.addCause(causeContent, Certain, Cause{Text: "the content of an archive within an archive, which is not opened"})
	default:
		c.compareTokens(textSource{in: a, spans: whole(a)}, textSource{in: b, spans: whole(b)})
		// Bytes that mean nothing look like user@host now and then.
		c.Strings = slices.DeleteFunc(c.Strings, func(s StringDifference) bool { return s.Kind == KindUser })
		c.stampCauses(false)
	}

	c.rankCauses()
	return c, nil
}

// sectionAt names the section of b, which may be nil, that offset lies in.
func sectionAt(b *inspect.Binary, offset int64) string {
	if b == nil {
		return ""
	}
	s, _ := b.SectionAt(offset)
	return s.Name
}

func (c *Comparison) note(err error) { c.noteText(err.Error()) }

func (c *Comparison) noteText(text string) {
	if !slices.Contains(c.Notes, text) && len(c.Notes) < maxListed {
		c.Notes = append(c.Notes, text)
	}
}

// addAppendedCause adds a cause if one file begins with all of the other.
func (c *Comparison) addAppendedCause() {
	switch c.Offset {
	case c.A.Size:
		c.addCause(causeAppended, Certain, Cause{Text: fmt.Sprintf("B is A and %d bytes more: A was cut off, or something was added to B", c.B.Size-c.A.Size)})
	case c.B.Size:
		c.addCause(causeAppended, Certain, Cause{Text: fmt.Sprintf("A is B and %d bytes more: B was cut off, or something was added to A", c.A.Size-c.B.Size)})
	}
}

// fileKind returns the kind of a file, see [Side.Kind]. bin is nil if the file is no
// executable.
func fileKind(in input, bin *inspect.Binary) string {
	if in.size == 0 {
		return "empty"
	}
	if bin != nil {
		return string(bin.Format)
	}
	if k := archiveFormat(in); k != "" {
		return k
	}
	head := make([]byte, min(64<<10, in.size))
	if n, _ := in.ReadAt(head, 0); n < len(head) {
		return "data"
	}
	if isText(head, int64(len(head)) == in.size) {
		return "text"
	}
	return "data"
}

// scan reads both files once, from start to end, and returns the hints whose
// values are in them.
func (e *explainer) scan(c *Comparison, a, b input) ([]Hint, error) {
	var words [][]byte
	for _, h := range e.options.Hints {
		words = append(words, []byte(h.A), []byte(h.B))
	}
	sides := [2]struct {
		in    input
		hash  hash.Hash
		count *counter
		buf   []byte
		p     []byte
	}{{in: a}, {in: b}}

	for i := range sides {
		s := &sides[i]
		s.hash, s.count, s.buf = sha256.New(), newCounter(words), make([]byte, bufferSize)
	}

	size, where := newMap(a.size, b.size).size, make([]bool, mapParts)
	for at := int64(0); at < max(a.size, b.size); at += bufferSize {
		for i := range sides {
			s := &sides[i]
			s.p = s.buf[:max(0, min(bufferSize, s.in.size-at))]
			if n, err := s.in.ReadAt(s.p, at); n < len(s.p) {
				return nil, fmt.Errorf("read %q: %w", s.in.name, err)
			}
			s.hash.Write(s.p)
			s.count.Write(s.p)
		}
		if first, n := compareBytes(sides[0].p, sides[1].p); n > 0 {
			if c.Offset < 0 {
				c.Offset = at + int64(first)
			}
			c.Differing += int64(n)
			both := min(len(sides[0].p), len(sides[1].p))
			mark(where, size, at, sides[0].p[:both], sides[1].p[:both])
		}
	}

	c.drawn = plainMap(a.size, b.size, where)
	c.A.SHA256, c.B.SHA256 = hex.EncodeToString(sides[0].hash.Sum(nil)), hex.EncodeToString(sides[1].hash.Sum(nil))
	c.Equal = c.Offset < 0

	// A value that another value contains is counted without these occurrences.
	var found []Hint
	for i, h := range e.options.Hints {
		inA, inB := sides[0].count.count, sides[1].count.count
		// "/w/a" is in "/w/ab" as well, without meaning to be.
		ab, ba := strings.Count(h.B, h.A), strings.Count(h.A, h.B)
		if inA[2*i]-ab*inA[2*i+1] > inB[2*i]-ab*inB[2*i+1] && inB[2*i+1]-ba*inB[2*i] > inA[2*i+1]-ba*inA[2*i] {
			found = append(found, h)
		}
	}

	// The home folder /w/1 is in the source path /w/1/src.
	return slices.DeleteFunc(slices.Clone(found), func(h Hint) bool {
		return slices.ContainsFunc(found, func(o Hint) bool {
			return len(o.A) > len(h.A) && strings.Contains(o.A, h.A) && strings.Contains(o.B, h.B)
		})
	}), nil
}

// compareBytes returns the index of the first difference and the number of bytes that differ. Bytes
// that only the longer slice has count as different.
func compareBytes(a, b []byte) (first, n int) {
	short := min(len(a), len(b))
	n, first = max(len(a), len(b))-short, short
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

// counter counts words in the bytes that are written to it.
type counter struct {
	words [][]byte
	count []int
	keep  int    // bytes that are kept between writes: the longest word less one
	buf   []byte // those bytes, with room for a write behind them
}

func newCounter(words [][]byte) *counter {
	c := &counter{words: words, count: make([]int, len(words))}
	for _, w := range words {
		c.keep = max(c.keep, len(w)-1)
	}
	return c
}

func (c *counter) Write(p []byte) {
	if len(c.words) == 0 {
		return
	}
	kept := len(c.buf)
	c.buf = append(c.buf, p...)
	for i, w := range c.words {
		c.count[i] += bytes.Count(c.buf[max(0, kept-len(w)+1):], w) // only what ends in p is new
	}
	drop := max(0, len(c.buf)-c.keep)
	c.buf = c.buf[:copy(c.buf, c.buf[drop:])]
}

// span is a range of a file, with its name.
type span struct {
	name         string
	offset, size int64
}

func whole(in input) []span { return []span{{"", 0, in.size}} }
