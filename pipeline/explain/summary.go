package explain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// Summary is the part of a [Report] that goes into the record of a build: where
// two files differ, and why. Its JSON has ASCII characters alone, the others
// escaped.
type Summary struct {
	// Offset, Section and Differing are those of [Comparison]. Offset is -1 if the
	// files could not be read.
	Offset    int64  `json:"offset"`
	Section   string `json:"section,omitempty"`
	Differing int64  `json:"differing"`
	// Causes are the reasons, the most useful one first. There are at most 16, the heaviest of each
	// kind.
	Causes []Cause `json:"causes,omitempty"`
	// Notes say what could not be looked at, and why. There are at most 16.
	Notes []string `json:"notes,omitempty"`

	functions *Functions
}

// Functions returns the differences between the functions of two programs that are files of their
// own. It returns nil if the files are something else, if one has no table of functions, or if the
// summary was read from a record.
func (s *Summary) Functions() *Functions {
	if s == nil {
		return nil
	}
	return s.functions
}

const maxSummary = 16 // causes, and notes

// MarshalJSON implements [json.Marshaler].
func (s Summary) MarshalJSON() ([]byte, error) {
	type plain Summary
	return safetext.JSON(plain(s))
}

// Summary returns the part of c that goes into a record.
func (c *Comparison) Summary() *Summary {
	var functions *Functions
	if len(c.Binaries) == 1 {
		functions = c.Binaries[0].Functions
	}
	return &Summary{
		functions: functions,
		Offset:    c.Offset, Section: cut(c.Section), Differing: c.Differing,
		Causes: heaviest(c.Causes, maxSummary), Notes: c.Notes[:min(len(c.Notes), maxSummary)],
	}
}

// Shows reports whether a hint with these values was found, in whatever cause. A
// nil summary shows nothing.
func (s *Summary) Shows(a, b string) bool {
	return s != nil && slices.ContainsFunc(s.Causes, func(c Cause) bool { return c.A == a && c.B == b })
}

// String returns the summary as lines for a person, escaped and without a final
// newline.
func (s *Summary) String() string {
	var b strings.Builder
	p := page{w: bufio.NewWriter(&b)}
	if s.Offset >= 0 {
		in := ""
		if s.Section != "" {
			in = ", in " + s.Section
		}
		p.line("%d bytes differ, the first at offset %d (0x%x)%s", s.Differing, s.Offset, s.Offset, in)
	}
	p.list(s.Causes)
	for _, n := range s.Notes {
		p.line("note: %s", n)
	}
	p.w.Flush() // to a builder
	return strings.TrimSuffix(b.String(), "\n")
}

// ErrStored is the error of [Artifacts] about stored bytes that do not have their digest.
var ErrStored = errors.New("stored bytes have changed")

// Artifacts explains why two builds of one thing differ, if their digests do. It reads them from
// the store. If they cannot be read, that is a note and no error. An error wraps [ErrStored], or is
// the context's.
func Artifacts(ctx context.Context, store *artifact.Store, a, b artifact.Artifact, o Options) (*Summary, error) {
	report, err := stored(ctx, store, a, b, o)
	switch {
	case err == nil:
		return report.Summary(), nil
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, ErrStored):
		return nil, err
	}
	return &Summary{Offset: -1, Notes: []string{"no explanation: " + err.Error()}}, nil
}

func stored(ctx context.Context, store *artifact.Store, a, b artifact.Artifact, o Options) (*Report, error) {
	var files [2]File
	for i, art := range []artifact.Artifact{a, b} {
		f, err := store.Open(art.Digest)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := sized(f, art); err != nil {
			return nil, err
		}
		files[i] = File{Name: art.Name, Content: f, Size: art.Size}
	}

	report, err := Files(ctx, files[0], files[1], o)
	if err != nil {
		return nil, err
	}

	// The store may be damaged, and then the explanation is about other bytes.
	if report.A.SHA256 != a.Digest.Hex() {
		return nil, fmt.Errorf("%w: %s", ErrStored, a.Digest)
	}
	if report.B.SHA256 != b.Digest.Hex() {
		return nil, fmt.Errorf("%w: %s", ErrStored, b.Digest)
	}
	return report, nil
}

// sized holds a file against its announced size.
func sized(f *os.File, a artifact.Artifact) error {
	info, err := f.Stat()
	if err == nil && info.Size() != a.Size {
		err = fmt.Errorf("%w: %s has %d bytes, not %d", ErrStored, a.Digest, info.Size(), a.Size)
	}
	return err
}
