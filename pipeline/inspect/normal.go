package inspect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Normalization names a part of a file that a comparison leaves out.
type Normalization string

// The normalizations.
const (
	// WithoutSignature leaves a code signature out: the signature itself, which is
	// the end of the file, and the fields of the headers that say where it is.
	WithoutSignature Normalization = "code signature removed"
	// WithoutBuildID leaves out the Go build ID where the linker puts it, and the
	// GNU build ID or LC_UUID, which Go's linker makes from it.
	WithoutBuildID Normalization = "build ID copied"
	// MembersAlone compares the members of a zip by name and content, as the hashes of
	// the checksum database do. It leaves out their compression and their headers.
	// Compare does not know it.
	MembersAlone Normalization = "members of the zip, by content"
)

// Range is a part of a file that has a name in its format.
type Range struct {
	Name string `json:"name"`
	// Offset and Size are in bytes.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
}

func (r Range) end() int64 { return r.Offset + r.Size }

// Comparison is the outcome of [Compare].
type Comparison struct {
	// Same reports whether the files have the same bytes outside of the ranges.
	Same bool
	// A and B are the ranges that are left out of each file. They are in order and
	// disjoint. The last range of a file may have another size than its counterpart,
	// if it ends with the file.
	A, B []Range
}

// LeftOut returns how many bytes of the first file the comparison leaves out.
func (c Comparison) LeftOut() int64 {
	n := int64(0)
	for _, r := range c.A {
		n += r.Size
	}
	return n
}

// Compare compares two files without the parts that some normalizations name.
//
// The structure of both files says where a part is, and both have to say the same. The
// content of a part has no influence, nor have similar bytes elsewhere. So a stranger's
// file can leave out no more than a file of Go's linker has for that part. A
// normalization that finds no such part leaves nothing out.
//
// An error means that a file could not be read, or that a signature is not where a
// signer puts it: something may hide in it.
func Compare(a, b *Binary, list ...Normalization) (Comparison, error) {
	if a.Format != b.Format {
		return Comparison{}, nil
	}
	var c Comparison

	// Each normalization sees both files whole, so their order does not matter.
	for _, what := range list {
		find, ok := normalizers[what]
		if !ok {
			return Comparison{}, fmt.Errorf("unknown normalization %q", what)
		}
		x, y, err := find(a, b)
		if err != nil {
			return Comparison{}, fmt.Errorf("%s: %w", what, err)
		}
		c.A, c.B = append(c.A, x...), append(c.B, y...)
	}

	if err := errors.Join(tidy(c.A, a.size), tidy(c.B, b.size)); err != nil {
		return Comparison{}, err
	}
	var err error
	c.Same, err = sameOutside(a, b, c.A, c.B)
	return c, err
}

// normalizers holds the normalizations that Compare knows. Each returns the ranges to
// leave out of each file.
var normalizers = map[Normalization]func(a, b *Binary) (x, y []Range, err error){
	WithoutSignature: signatureRanges,
	WithoutBuildID:   idRanges,
}

// tidy sorts ranges, and fails if they are not in the file or not disjoint.
func tidy(list []Range, size int64) error {
	slices.SortFunc(list, func(a, b Range) int { return cmp.Compare(a.Offset, b.Offset) })
	at := int64(0)
	for _, r := range list {
		if r.Offset < at || r.Size <= 0 || r.Size > size-r.Offset {
			return fmt.Errorf("%s: it is out of the file, or in something else", r.Name)
		}
		at = r.end()
	}
	return nil
}

// sameOutside reports whether a and b are equal outside of the ranges.
func sameOutside(a, b *Binary, x, y []Range) (bool, error) {
	ra, rb := outside(a, x), outside(b, y)
	p, q := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(ra, p)
		m, errB := io.ReadFull(rb, q)
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, fmt.Errorf("read the file: %w", err)
			}
		}
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}

		if n < len(p) {
			return true, nil
		}
	}
}

// outside reads a file without some ranges. The ranges are in order and disjoint.
func outside(b *Binary, ranges []Range) io.Reader {
	var parts []io.Reader
	at := int64(0)
	for _, r := range append(slices.Clip(ranges), Range{Offset: b.size}) {
		parts = append(parts, io.NewSectionReader(b.r, at, r.Offset-at))
		at = r.end()
	}
	return io.MultiReader(parts...)
}

// maxHostID is the size of the longest identifier that linkers make: a SHA-1.
const maxHostID = 20

// idRanges returns the build IDs that a and b have at the same place.
func idRanges(a, b *Binary) (x, y []Range, err error) {
	var both []Range
	for _, find := range []func(*Binary) (Range, bool){goIDRange, hostIDRange} {
		r, ok := find(a)
		if s, there := find(b); ok && there && r == s {
			both = append(both, r)
		}
	}
	return both, slices.Clone(both), nil
}

// goIDRange returns where a Go build ID is. It returns false if the ID is not of the go command's
// form, or is not where the linker puts it: in a note, or as the first thing in the code.
func goIDRange(b *Binary) (Range, bool) {
	id, r, err := b.buildID()
	if err != nil || id.LinkAction == "" {
		return Range{}, false
	}
	start := r.Offset - int64(len(buildIDStart))
	switch b.Format {
	case ELF:
		return r, true
	case MachO, PE:
		text, ok := b.section("__TEXT,__text", ".text")
		return r, ok && start == text.Offset && r.end()+int64(len(buildIDEnd)) <= text.Offset+text.Size
	case Wasm:
		s, ok := b.section("go:buildid")
		return r, ok && s.Offset < start && r.end()+int64(len(buildIDEnd)) == s.Offset+s.Size
	}

	return Range{}, false
}

// hostIDRange returns where the GNU build ID or the LC_UUID is.
func hostIDRange(b *Binary) (Range, bool) {
	h, ok := b.HostID()
	return Range{h.Kind, h.offset, h.size}, ok && 0 < h.size && h.size <= maxHostID
}
