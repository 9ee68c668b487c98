package subject

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Of the records of a zip file, their signatures and sizes without what has a length
// of its own (APPNOTE.TXT, 4.3).
const (
	zipLocal, zipLocalSize     = 0x04034b50, 30
	zipEntry, zipEntrySize     = 0x02014b50, 46
	zipEnd, zipEndSize         = 0x06054b50, 22
	zip64End, zip64Locator     = 0x06064b50, 0x07064b50
	zip64LocatorSize           = 20
	zipDescriptor, zipDeferred = 0x08074b50, 8
)

// checkZipList returns an error if a tool that reads a zip file from its start may find other
// members than its list has. That is so if there are bytes before, between or behind the members
// that belong to none of them. It is also so if the header of a member differs from the list.
func checkZipList(r *io.SectionReader, files []*zip.File) error {
	at := int64(0)
	bytesAt := func(at int64, n int) ([]byte, error) {
		p := make([]byte, n)
		_, err := r.ReadAt(p, at)
		return p, err
	}
	word := func(p []byte, i int) int64 { return int64(binary.LittleEndian.Uint16(p[i:])) }
	is := func(p []byte, signature uint32) bool { return binary.LittleEndian.Uint32(p) == signature }

	// Each member begins where the one before ends.
	members := map[int64]*zip.File{}
	for _, f := range files {
		offset, err := f.DataOffset()
		if err != nil {
			return err
		}

		if members[offset] != nil {
			return errors.New("two members of its list have the same bytes")
		}
		members[offset] = f
	}
	for range files {
		head, err := bytesAt(at, zipLocalSize)
		if err != nil || !is(head, zipLocal) {
			return fmt.Errorf("at byte %d there is something that is no member of its list", at)
		}

		start := at + zipLocalSize + word(head, 26) + word(head, 28)
		f := members[start]
		if f == nil {
			return fmt.Errorf("the member at byte %d is not in its list", at)
		}

		// What a tool finds in front of a member must say the same as the list.
		delete(members, start)
		name, err := bytesAt(at+zipLocalSize, int(word(head, 26)))
		if what := headerDifference(head, string(name), f); err != nil || what != "" {
			return fmt.Errorf("the member at byte %d has another %s there than in its list", at, what)
		}

		if f.CompressedSize64 > uint64(r.Size()-start) {
			return fmt.Errorf("the member at byte %d is cut off", at)
		}
		at = start + int64(f.CompressedSize64)

		if f.Flags&zipDeferred == 0 {
			continue
		}
		// The record behind a member that was written without knowing its size has several forms.
		// It has three words of four bytes, the last two of eight for a large member, and perhaps
		// a signature in front.
		for _, n := range []int64{16, 24, 12, 20} {
			p, err := bytesAt(at+n, 4)
			if err != nil || !is(p, zipLocal) && !is(p, zipEntry) {
				continue
			}

			d, err := bytesAt(at, int(n))
			if signed := n == 16 || n == 24; err != nil || signed && !is(d, zipDescriptor) {
				continue
			}

			if n == 16 || n == 24 {
				d = d[4:]
			}
			if binary.LittleEndian.Uint32(d) == f.CRC32 {
				at += n
				break
			}
		}
	}

	// The list follows the members, and the end follows the list.
	for range files {
		p, err := bytesAt(at, zipEntrySize)
		if err != nil || !is(p, zipEntry) {
			return fmt.Errorf("at byte %d there is something that is no member of its list", at)
		}
		at += zipEntrySize + word(p, 28) + word(p, 30) + word(p, 32)
	}

	// A large archive has a second end in front of the usual one.
	if p, err := bytesAt(at, 12); err == nil && is(p, zip64End) {
		n := binary.LittleEndian.Uint64(p[4:])
		if n > uint64(r.Size()-at) {
			return errors.New("its end is cut off")
		}
		at += 12 + int64(n)
		if p, err := bytesAt(at, 4); err == nil && is(p, zip64Locator) {
			at += zip64LocatorSize
		}
	}

	p, err := bytesAt(at, zipEndSize)
	if err != nil || !is(p, zipEnd) || at+zipEndSize+word(p, 20) != r.Size() {
		return fmt.Errorf("at byte %d there is something behind its list", at)
	}

	return nil
}

// headerDifference says in what the header in front of a member differs from the list. It is empty
// if they agree. Sizes may stand behind the header, or in a field of their own.
func headerDifference(head []byte, name string, f *zip.File) string {
	const encrypted, elsewhere = 1, 0xffffffff
	short, long := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32
	size := func(got uint32, want uint64) bool { return got == elsewhere || uint64(got) == want }

	switch deferred := f.Flags&zipDeferred != 0; {
	case name != f.Name:
		return "name"
	case (short(head[6:])^f.Flags)&(encrypted|zipDeferred) != 0:
		return "form"
	case short(head[8:]) != f.Method:
		return "compression"
	case !deferred && long(head[14:]) != f.CRC32:
		return "checksum"
	case !deferred && !(size(long(head[18:]), f.CompressedSize64) && size(long(head[22:]), f.UncompressedSize64)):
		return "size"
	}
	return ""
}
