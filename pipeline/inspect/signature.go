package inspect

import (
	"encoding/binary"
	"fmt"
)

// Signature is a code signature in a file. Its presence does not say whether it is valid.
type Signature struct {
	// Kind is "ad hoc" for a Mach-O signature without a signer, as Go's linker makes it for
	// darwin/arm64. It is "CMS" for a Mach-O signature with a signer, and "Authenticode" in PE
	// files.
	Kind string `json:"kind"`
	// Linker reports whether the signature says it was made by a linker.
	Linker bool `json:"linker,omitempty"`
	// Identifier and Team are those that a Mach-O signature states.
	Identifier string `json:"identifier,omitempty"`
	Team       string `json:"team,omitempty"`
	// Offset and Size are the range in bytes.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`

	end int64 // of what the signature says that it takes
}

const maxBlobs = 64

// Signature returns the signature, and whether there is one. An error means that it
// cannot be read.
func (b *Binary) Signature() (Signature, bool, error) {
	switch b.Format {
	case MachO:
		s, ok := b.section("(code signature)")
		if !ok {
			return Signature{}, false, nil
		}

		sig, err := b.codeSignature(s)
		return sig, true, err
	case PE:
		s, ok := b.section("(certificates)")
		if !ok {
			return Signature{}, false, nil
		}

		sig := Signature{Offset: s.Offset, Size: s.Size}
		var head [8]byte
		if err := b.read(head[:], s.Offset); err != nil || s.Size < 8 {
			return sig, true, errSignature
		}
		sig.end = s.Offset + s.Size

		// Signers write no other type.
		const pkcs7 = 2
		if kind := binary.LittleEndian.Uint16(head[6:]); kind != pkcs7 {
			return sig, true, fmt.Errorf("read signature: certificate of type %d", kind)
		}
		sig.Kind = "Authenticode"
		return sig, true, nil
	}
	return Signature{}, false, nil
}

var errSignature = fmt.Errorf("read signature: %w", errHeader)

// codeSignature reads the blobs of the signature, see osfmk/kern/cs_blobs.h of
// Apple's XNU. They are big-endian.
func (b *Binary) codeSignature(s Section) (Signature, error) {
	sig := Signature{Offset: s.Offset, Size: s.Size}
	const (
		magic           = 0xfade0cc0
		directory       = 0
		cms             = 0x10000
		adhoc, byLinker = 0x2, 0x20000
		teamVersion     = 0x20200
	)

	o := binary.BigEndian
	read := func(at uint32, n int) ([]byte, bool) {
		if int64(at)+int64(n) > s.Size {
			return nil, false
		}
		p := make([]byte, n)
		return p, b.read(p, s.Offset+int64(at)) == nil
	}

	// Nothing after the header is read before its lengths fit the section.
	head, ok := read(0, 12)
	if !ok || o.Uint32(head) != magic || o.Uint32(head[8:]) > maxBlobs {
		return sig, errSignature
	}
	if sig.end = s.Offset + int64(o.Uint32(head[4:])); sig.end > s.Offset+s.Size {
		return sig, errSignature
	}

	index, ok := read(12, 8*int(o.Uint32(head[8:])))
	if !ok {
		return sig, errSignature
	}

	// The directory and the signer's blob may stand in any order.
	for ; len(index) > 0; index = index[8:] {
		kind, at := o.Uint32(index), o.Uint32(index[4:])
		switch kind {
		case directory:
			d, ok := read(at, 52)
			if !ok {
				return sig, errSignature
			}
			flags := o.Uint32(d[12:])
			sig.Linker = flags&byLinker != 0
			if sig.Kind == "" && flags&adhoc != 0 {
				sig.Kind = "ad hoc"
			}

			sig.Identifier = b.signatureText(s, at, o.Uint32(d[20:]))
			if o.Uint32(d[8:]) >= teamVersion {
				sig.Team = b.signatureText(s, at, o.Uint32(d[48:]))
			}
		case cms:
			blob, ok := read(at, 8)
			if !ok {
				return sig, errSignature
			}
			if o.Uint32(blob[4:]) > 8 { // else it is empty, as in ad hoc signatures of other tools
				sig.Kind = "CMS"
			}
		}
	}

	if sig.Kind == "" {
		return sig, errSignature
	}
	return sig, nil
}

// signatureText returns the text at an offset in a blob. The offset 0 stands for no text.
func (b *Binary) signatureText(s Section, blob, offset uint32) string {
	at := int64(blob) + int64(offset)
	if offset == 0 || at >= s.Size {
		return ""
	}
	text := b.nameAt(uint64(s.Offset + at))
	return text[:min(int64(len(text)), s.Size-at)]
}
