package inspect

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Normalization names a part of a file that a comparison leaves out.
type Normalization string

// The normalizations.
const (
	// WithoutSignature takes a code signature off: what signing changes in a
	// Mach-O or PE file is put back as Go's linker writes it, and the signature
	// that the linker itself makes for darwin/arm64 is zeroed.
	WithoutSignature Normalization = "code signature removed"
	// WithoutBuildID zeroes the Go build ID, wherever it occurs, and the GNU build
	// ID or LC_UUID, which Go's linker makes from it.
	WithoutBuildID Normalization = "build ID copied"
	// MembersAlone is one of a zip, and nothing that Normal does: its members are
	// compared by name and content, as the hashes of the checksum database name
	// them, and neither their compression nor what the zip says about them.
	MembersAlone Normalization = "members of the zip, by content"
)

// Normal is what is left of a file after some normalizations.
type Normal struct {
	// SHA256 and Size name the bytes.
	SHA256 [sha256.Size]byte
	Size   int64
	// Uncovered is the number of bytes that were left out or replaced.
	Uncovered int64
}

// Same tells whether two files have the same bytes left.
func (n Normal) Same(m Normal) bool { return n.SHA256 == m.SHA256 && n.Size == m.Size }

// Normal applies normalizations. One for which there is nothing to do, because
// the file has no signature or no build ID, changes nothing. A signature that does
// not lie as a signer puts it, at the end of the file, is an error: something may
// hide in it.
func (b *Binary) Normal(list ...Normalization) (Normal, error) {
	n := Normal{Size: b.size}
	var edits []edit
	var id string
	for _, what := range list {
		switch what {
		case WithoutSignature:
			_, ok, err := b.Signature()
			if !ok {
				continue
			}
			if err != nil {
				return Normal{}, err
			}
			e, size, ok := b.unsigned()
			if !ok {
				return Normal{}, errors.New("the signature is not where a signer puts it")
			}
			edits, n.Size = append(edits, e...), size
		case WithoutBuildID:
			if own, err := b.BuildID(); err == nil {
				id = own.ID
			} else if !errors.Is(err, ErrNoBuildID) {
				return Normal{}, err
			}
			if h, ok := b.HostID(); ok {
				edits = append(edits, edit{h.offset, h.size, nil})
			}
		default:
			return Normal{}, fmt.Errorf("unknown normalization %q", what)
		}
	}
	h := &counted{Hash: sha256.New()}
	r := b.edited(edits, n.Size)
	var err error
	if id == "" {
		_, err = io.Copy(struct{ io.Writer }{h}, r)
	} else {
		err = hashZeroed(h, r, []byte(id))
	}
	if err != nil {
		return Normal{}, fmt.Errorf("hash the file: %w", err)
	}
	if h.n != n.Size {
		return Normal{}, fmt.Errorf("hash the file: %w", io.ErrUnexpectedEOF)
	}
	h.Sum(n.SHA256[:0])
	n.Uncovered = max(0, b.size-n.Size) + int64(len(id))
	for _, e := range edits {
		n.Uncovered += max(0, min(e.size, min(b.size, n.Size)-e.offset))
	}
	return n, nil
}

// counted counts what it hashes.
type counted struct {
	hash.Hash
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.Hash.Write(p)
}
