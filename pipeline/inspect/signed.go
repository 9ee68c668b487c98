package inspect

import (
	"bytes"
	"cmp"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
)

// Of a 64-bit Mach-O header, in bytes.
const (
	machoHeader      = 32 // its size
	machoCounts      = 16 // offset of the number and the size of the load commands
	signatureCommand = 16 // size of LC_CODE_SIGNATURE
	segmentProtect   = 56 // offset of the highest and the initial protection in LC_SEGMENT_64
)

// signedMachO is the place of the code signature in a Mach-O file.
type signedMachO struct {
	command command // LC_CODE_SIGNATURE
	link    command // the __LINKEDIT segment
	at      int64   // of the signature, which ends with the file
}

// machoSigned returns where the code signature is, and false for a file without one. It returns an
// error if the signature is not where signers put it. The last load command has to announce it, and
// it has to be the end of the file and of __LINKEDIT. Nothing is executed from that segment, and it
// shares no byte with another.
func (b *Binary) machoSigned() (s signedMachO, ok bool, err error) {
	n := len(b.macho.commands)
	for i, c := range b.macho.commands {
		switch {
		case c.kind != lcSignature:
			continue
		case i < n-1 || len(c.data) != signatureCommand || b.pointer != 8:
			return s, true, errPlace
		}
		s.command, s.at = c, int64(c.word(8))
	}

	if s.command.data == nil {
		return s, false, nil
	}
	if s.link, err = b.linkedit(); err != nil {
		return s, true, err
	}

	o := binary.LittleEndian
	if start := int64(o.Uint64(s.link.data[40:])); s.at < start || s.at+int64(s.command.word(12)) != b.size {
		return s, true, errPlace
	}
	return s, true, nil
}

var errPlace = errors.New("the signature is not where a signer puts it")

// linkedit returns the command of the one __LINKEDIT segment of a 64-bit file. The segment is the
// end of the file, has no sections, can only be read, and shares no byte with another segment.
func (b *Binary) linkedit() (link command, err error) {
	o := binary.LittleEndian
	bad := func(what string) (command, error) { return link, fmt.Errorf("segment __LINKEDIT: %s", what) }
	for _, c := range b.macho.commands {
		switch {
		case c.kind == lcSegment32 || c.kind == lcSegment64 && len(c.data) < 72:
			return bad("beside one of another kind")
		case c.kind == lcSegment64 && cstring(c.data[8:24]) == "__LINKEDIT":
			if link.data != nil {
				return bad("more than one")
			}
			link = c
		}
	}

	if link.data == nil {
		return bad("none")
	}

	memory, offset, size := o.Uint64(link.data[32:]), o.Uint64(link.data[40:]), o.Uint64(link.data[48:])
	const execute, page = 4, 64 << 10 // the sizes in memory are rounded up, to at most that
	switch {
	case offset > uint64(b.size) || size != uint64(b.size)-offset:
		return bad("not the end of the file")
	case memory < size || memory-size >= page:
		return bad("another size in memory than in the file")
	case (o.Uint32(link.data[segmentProtect:])|o.Uint32(link.data[segmentProtect+4:]))&execute != 0:
		return bad("it can be executed")
	case o.Uint32(link.data[machoSections:]) != 0:
		return bad("it has sections")
	}

	// Another segment could load the signature as code or data.
	for _, c := range b.macho.commands {
		if c.kind != lcSegment64 || c.offset == link.offset {
			continue
		}

		start, size := o.Uint64(c.data[40:]), o.Uint64(c.data[48:])
		if size > 0 && (start > offset || size > offset-start) {
			return bad("in another segment")
		}
	}
	return link, nil
}

// peSigned returns where the certificates of a PE file start. They end with the file. It returns
// false for a file without certificates. It returns an error if they are not where signers put
// them: behind everything that is loaded.
func (b *Binary) peSigned() (at int64, ok bool, err error) {
	if b.Format != PE || b.pe.securityAt == 0 {
		return 0, false, nil
	}
	var entry [8]byte
	if err := b.read(entry[:], b.pe.securityAt); err != nil {
		return 0, false, err
	}
	o := binary.LittleEndian
	at, size := int64(o.Uint32(entry[:])), int64(o.Uint32(entry[4:]))

	switch {
	case at == 0 && size == 0:
		return 0, false, nil
	case size < 8 || at%8 != 0 || at < b.pe.end || at+size != b.size:
		return 0, true, errPlace
	}
	return at, true, b.certificateTable(at)
}

// maxCertificate bounds an entry of the certificate table in bytes. Entries that signers make have
// some ten thousand.
const maxCertificate = 1 << 20

// certificateTable checks the table that starts at at and ends with the file. The table
// may hold signatures in PKCS #7, and zeros that fill them up to multiples of 8. Anything
// else is an error: a loader ignores it, so it could be anything. The parts of a
// signature that are not signed themselves are not checked.
func (b *Binary) certificateTable(at int64) error {
	bad := func(what string) error { return fmt.Errorf("read certificates: %s", what) }
	const head, pkcs7 = 8, 2
	for at < b.size {
		var p [head]byte
		if err := b.read(p[:], at); err != nil {
			return err
		}

		o := binary.LittleEndian
		size, revision, kind := int64(o.Uint32(p[:])), o.Uint16(p[4:]), o.Uint16(p[6:])
		switch {
		case revision != 0x100 && revision != 0x200 || kind != pkcs7:
			return bad(fmt.Sprintf("one of revision %#x and type %d", revision, kind))
		case size <= head || size > b.size-at || size > maxCertificate:
			return bad("one of a length that is out of the table, or more than any signer makes")
		}
		data := make([]byte, size-head)
		if err := b.read(data, at+head); err != nil {
			return err
		}
		rest, ok := signedData(data)
		if !ok {
			return bad("one that is no PKCS #7 signature")
		}

		next := min((at+size+7)&^7, b.size)
		zero, err := b.zeros(at+size, next)
		if err != nil {
			return err
		}

		// Bytes behind a signature are not signed, and could be anything.
		if !zero || len(rest) >= 8 || len(bytes.Trim(rest, "\x00")) > 0 {
			return bad("something follows a signature")
		}
		at = next
	}
	return nil
}

// signedData reports whether data begins with the parts of a PKCS #7 signature, each in its place
// (RFC 2315, 9.1). It returns what follows.
func signedData(data []byte) (rest []byte, ok bool) {
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	rest, err := asn1.Unmarshal(data, &info)
	if err != nil || !info.Type.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}) || info.Content.Class != asn1.ClassContextSpecific || info.Content.Tag != 0 {
		return nil, false
	}

	var signed asn1.RawValue
	if after, err := asn1.Unmarshal(info.Content.Bytes, &signed); err != nil || len(after) > 0 || signed.Tag != asn1.TagSequence {
		return nil, false
	}
	const universal, context = asn1.ClassUniversal, asn1.ClassContextSpecific

	// Optional parts may be missing, but the order is fixed.
	left := signed.Bytes
	for _, want := range []struct {
		class, tag int
		optional   bool
	}{
		{universal, asn1.TagInteger, false}, // version
		{universal, asn1.TagSet, false},     // digest algorithms
		{universal, asn1.TagSequence, false},
		{context, 0, true}, // certificates
		{context, 1, true}, // revocation lists
		{universal, asn1.TagSet, false},
	} {
		var part asn1.RawValue
		after, err := asn1.Unmarshal(left, &part)
		if err == nil && part.Class == want.class && part.Tag == want.tag {
			left = after
		} else if !want.optional {
			return nil, false
		}
	}

	return rest, len(left) == 0
}

// signatureRanges returns the ranges that a signature adds to a file or changes in it. One or both
// of the files have a signature.
func signatureRanges(a, b *Binary) (x, y []Range, err error) {
	for _, f := range []*Binary{a, b} {
		s, there, err := f.Signature()
		if err == nil && there && s.end < f.size {
			// A signer reserves more room than it takes.
			var zero bool
			if zero, err = f.zeros(s.end, f.size); err == nil && !zero {
				err = errors.New("something follows the signature")
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}

	switch a.Format {
	case MachO:
		return machoRanges(a, b)
	case PE:
		return peRanges(a, b)
	}
	return nil, nil, nil
}

func machoRanges(a, b *Binary) (x, y []Range, err error) {
	sa, signedA, errA := a.machoSigned()
	sb, signedB, errB := b.machoSigned()
	switch {
	case errA != nil || errB != nil:
		return nil, nil, errors.Join(errA, errB)
	case !signedA && !signedB:
		return nil, nil, nil
	case signedA && signedB:
		return sa.ranges(a.size, true), sb.ranges(b.size, true), nil
	case signedA:
		x, y, err = oneSignedRanges(a, b, sa)
		return x, y, err
	}
	y, x, err = oneSignedRanges(b, a, sb)
	return x, y, err
}

// ranges returns the parts of a file of size bytes that belong to its signature. With
// both, the other file is signed, too, and its load command differs in the size alone.
func (s signedMachO) ranges(size int64, both bool) []Range {
	list := []Range{
		{"size of __LINKEDIT in memory", s.link.offset + 32, 8},
		{"size of __LINKEDIT in the file", s.link.offset + 48, 8},
	}
	if both {
		list = append(list, Range{"size of the signature in LC_CODE_SIGNATURE", s.command.offset + 12, 4})
	} else {
		list = append(list,
			Range{"number and size of the load commands", machoCounts, 8},
			Range{"LC_CODE_SIGNATURE", s.command.offset, signatureCommand})
	}
	return append(list, Range{"code signature", s.at, size - s.at})
}

// oneSignedRanges returns the ranges for a signed file and the same file without its
// signature. The latter ends where the signature began, and has zeros in the place of
// the load command, which was the last.
func oneSignedRanges(signed, plain *Binary, s signedMachO) (x, y []Range, err error) {
	link, err := plain.linkedit()
	if err != nil {
		return nil, nil, err
	}
	room, err := plain.zeros(s.command.offset, s.command.offset+signatureCommand)
	if err != nil {
		return nil, nil, err
	}

	last := plain.macho.commands[len(plain.macho.commands)-1] // there is one: link
	switch end := last.offset + int64(len(last.data)); {
	case plain.size != s.at:
		return nil, nil, errors.New("the file without a signature does not end where that of the other begins")
	case len(plain.macho.commands) != len(signed.macho.commands)-1 || end != s.command.offset || link.offset != s.link.offset:
		return nil, nil, errors.New("the load commands are not those of the other file without LC_CODE_SIGNATURE")
	case !room:
		return nil, nil, errors.New("something is in the place of LC_CODE_SIGNATURE")
	}

	// The file without a signature has the same ranges, except the signature.
	x = s.ranges(signed.size, false)
	y = append(y, x[:len(x)-1]...) // all but the signature itself
	for i, r := range y {
		if r.Name == "LC_CODE_SIGNATURE" {
			y[i].Name = "zeros in the place of LC_CODE_SIGNATURE"
		}
	}
	return x, y, nil
}

func peRanges(a, b *Binary) (x, y []Range, err error) {
	atA, signedA, errA := a.peSigned()
	atB, signedB, errB := b.peSigned()
	switch {
	case errA != nil || errB != nil:
		return nil, nil, errors.Join(errA, errB)
	case !signedA && !signedB:
		return nil, nil, nil
	case a.pe.securityAt != b.pe.securityAt || a.pe.checksumAt != b.pe.checksumAt:
		return nil, nil, errors.New("the headers have other lengths")
	}

	// These fields change with a signature, whether or not both files have one.
	fields := []Range{{"check sum", a.pe.checksumAt, 4}, {"place of the certificates", a.pe.securityAt, 8}}
	x, y = append(x, fields...), append(y, fields...)

	// A file without certificates ends where those of the other may begin.
	if !signedA {
		atA = a.size
	}
	if !signedB {
		atB = b.size
	}
	end := min(atA, atB) // of what is left of either

	if signedA {
		x, errA = a.certificates(x, atA, end)
	}
	if signedB {
		y, errB = b.certificates(y, atB, end)
	}
	return x, y, errors.Join(errA, errB)
}

// certificates adds the certificates of b to list. They start at at, and b ends at end
// without them. The zeros in between belong to them, as a signer starts them at a
// multiple of 8.
func (b *Binary) certificates(list []Range, at, end int64) ([]Range, error) {
	if zero, err := b.zeros(end, at); err != nil || !zero || at-end >= 8 {
		return nil, cmp.Or(err, errors.New("without the certificates the files end at different places"))
	}
	return append(list, Range{"certificates", end, b.size - end}), nil
}

// zeros reports whether the file has a range from from to to, and only zeros in it.
func (b *Binary) zeros(from, to int64) (bool, error) {
	if from < 0 || from > to || to > b.size {
		return false, nil
	}
	for buf := make([]byte, 4096); from < to; {
		p := buf[:min(int64(len(buf)), to-from)]
		if err := b.read(p, from); err != nil {
			return false, err
		}
		if len(bytes.Trim(p, "\x00")) > 0 {
			return false, nil
		}
		from += int64(len(p))
	}
	return true, nil
}
