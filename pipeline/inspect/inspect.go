// Package inspect reads facts of an executable, as hostile input.
//
// [Open] finds the sections of an ELF, Mach-O, PE or WebAssembly file. What else
// the file tells about its making is read by a method per fact: the build
// information ([Binary.BuildInfo]), the build ID and whether it still fits the
// file ([Binary.BuildID], [Binary.CheckContent]), the functions
// ([Binary.Functions]), the files of its sources ([Binary.SourceFiles]), the
// files embedded in it ([Binary.Embedded]), host paths ([Binary.Paths]) and its
// signature ([Binary.Signature]). [Read] puts them all together, as `twice
// inspect` shows them.
//
// Memory does not grow with the file. The file is read through small buffers, and every count and
// length that it states is bounded: at most 4096 sections or segments, 65536 packages, 1 MiB of
// load commands and 1 MiB of build information. Loops over a table are bounded by the size of the
// file. Nothing is executed. Whatever a file says is a claim of whoever made it. Only the content
// part of the build ID, the host build ID and the hashes of embedded files are checked against
// something, and none of them is a signature.
//
// Texts from the file are returned as they are. Escape them before they are
// shown: [Document.Fprint] and the JSON of [Document] do.
//
// It does not use debug/elf, debug/macho, debug/pe, debug/gosym and debug/buildinfo. Those read the
// symbol and string tables as soon as a file is opened, and copy every name out of them. So a small
// file can make them allocate without bound. They say themselves that they are not hardened against
// adversarial inputs.
package inspect

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrFormat means that a file is neither ELF nor Mach-O nor PE nor WebAssembly.
var ErrFormat = errors.New("not an ELF, Mach-O, PE or WebAssembly file")

// Format names a format of executables.
type Format string

// The formats that [Open] knows.
const (
	ELF   Format = "elf"
	MachO Format = "macho"
	PE    Format = "pe"
	Wasm  Format = "wasm"
	// Universal is a Mach-O file for several architectures. All its facts are in
	// its [Binary.Slices], which are Mach-O files of their own.
	Universal Format = "macho-universal"
)

// Section is a named range of a file.
type Section struct {
	// Name is the section's name as the format's usual tools print it: ".rodata", "__TEXT,__text".
	// It is in parentheses for a part that the format gives no name: "(section headers)", "(code
	// signature)". It may contain any bytes, and two sections may have the same name.
	Name string `json:"name"`
	// Offset and Size are the range in bytes. The range is cut off at the end of the file.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
	// Address is where the section is loaded, before relocation. It is 0 if the section is not
	// loaded, and in WebAssembly.
	Address uint64 `json:"address,omitempty"`
	// Compressed reports whether the content is compressed (SHF_COMPRESSED, .zdebug).
	Compressed bool `json:"compressed,omitempty"`
}

// Binary is an opened executable.
type Binary struct {
	// Format is the format of the file.
	Format Format
	// Sections are the ranges in the order of the file's own tables. They may overlap: a segment
	// overlaps the sections in it.
	Sections []Section
	// Slices are the ranges of a Universal file's slices. Each is named by its GOARCH, or by the
	// numbers of its CPU type where Go has none.
	Slices []Section

	r       io.ReaderAt
	size    int64
	order   binary.ByteOrder
	pointer int       // bytes of one
	maps    []mapping // by address
	elf     elfFile   // in an ELF file
	macho   machoFile // in a Mach-O file
	pe      peFile    // in a PE file
	wasm    wasmFile  // in a WebAssembly module
}

const (
	maxSections = 4096
	maxCommands = 1 << 20 // bytes of Mach-O load commands
	maxName     = 128
)

// Open reads the headers of the file of size bytes in r. The Binary keeps r for reading. It returns
// [ErrFormat], or another error where the headers contradict the format, point out of the file or
// exceed the limits of the package comment.
func Open(r io.ReaderAt, size int64) (*Binary, error) {
	b := &Binary{r: r, size: size, order: binary.LittleEndian}
	head := make([]byte, min(64, max(0, size)))
	if err := b.read(head, 0); err != nil {
		return nil, err
	}

	var err error
	switch magic := string(head[:min(4, len(head))]); {
	case magic == "\x7fELF":
		b.Format, err = ELF, b.readELF(head)
	case magic == "\xce\xfa\xed\xfe" || magic == "\xcf\xfa\xed\xfe":
		b.Format, err = MachO, b.readMachO(head)
	case magic == "\xfe\xed\xfa\xce" || magic == "\xfe\xed\xfa\xcf":
		return nil, errBigEndian
	case magic == "\xca\xfe\xba\xbe" || magic == "\xca\xfe\xba\xbf":
		b.Format, err = Universal, b.readUniversal(head)
	case magic == "\x00asm":
		b.Format, err = Wasm, b.readWasm(head)
	case strings.HasPrefix(magic, "MZ"):
		b.Format, err = PE, b.readPE(head)
	default:
		return nil, ErrFormat
	}
	if err == nil && len(b.Sections) > maxSections {
		err = errSections
	}

	// A file that only begins like a format gets no error about its headers.
	if errors.Is(err, ErrFormat) {
		return nil, ErrFormat
	}
	if err != nil {
		return nil, fmt.Errorf("read %s headers: %w", b.Format, err)
	}

	// Addresses are looked up by binary search.
	slices.SortStableFunc(b.maps, func(a, b mapping) int { return cmp.Compare(a.address, b.address) })
	return b, nil
}

// OpenSlice opens a slice of a Universal file. Offsets in the Binary count from
// the start of the slice.
func (b *Binary) OpenSlice(s Section) (*Binary, error) {
	return Open(io.NewSectionReader(b.r, s.Offset, s.Size), s.Size)
}

// SectionAt returns the section that offset lies in. It returns the smallest one where several
// overlap.
func (b *Binary) SectionAt(offset int64) (Section, bool) {
	var found Section
	ok := false
	for _, s := range b.Sections {
		if s.Offset <= offset && offset-s.Offset < s.Size && (!ok || s.Size < found.Size) {
			found, ok = s, true
		}
	}
	return found, ok
}

var (
	errBigEndian = errors.New("a big-endian Mach-O file, as Go makes none")

	errHeader   = errors.New("truncated or contradictory header")
	errSections = fmt.Errorf("more than %d sections", maxSections)
)

// read fills p from offset.
func (b *Binary) read(p []byte, offset int64) error {
	if offset < 0 || offset > b.size || int64(len(p)) > b.size-offset {
		return errHeader
	}
	if n, err := b.r.ReadAt(p, offset); n < len(p) {
		return err
	}
	return nil
}

// add adds a section, cut off at the end of the file. The numbers come from the
// file and may be anything. Open looks for one section too many.
func (b *Binary) add(name string, offset, size uint64) { b.addAt(name, offset, size, 0, false) }

func (b *Binary) addAt(name string, offset, size, address uint64, compressed bool) {
	if size > 0 && offset < uint64(b.size) && len(b.Sections) <= maxSections {
		size = min(size, uint64(b.size)-offset)
		b.Sections = append(b.Sections, Section{name, int64(offset), int64(size), address, compressed})
	}
}

// section returns the first section that has one of the names.
func (b *Binary) section(names ...string) (Section, bool) {
	for _, name := range names {
		for _, s := range b.Sections {
			if s.Name == name {
				return s, true
			}
		}
	}
	return Section{}, false
}

// mapping is a range of the file that is loaded at an address.
type mapping struct {
	address      uint64
	offset, size int64
}

// mapped adds a mapping, cut off at the end of the file and of the address
// space.
func (b *Binary) mapped(address, offset, size uint64) {
	if size > 0 && offset < uint64(b.size) {
		size = min(size, uint64(b.size)-offset, -address-1)
		b.maps = append(b.maps, mapping{address, int64(offset), int64(size)})
	}
}

// mappingAt returns the index of the last mapping that starts at or before address. It returns -1
// if there is none.
func (b *Binary) mappingAt(address uint64) int {
	i, exact := slices.BinarySearchFunc(b.maps, address, func(m mapping, a uint64) int { return cmp.Compare(m.address, a) })
	if exact {
		return i
	}
	return i - 1
}

// load fills p with the bytes that are loaded at address. Memory that has no bytes in the file is
// an error, except in WebAssembly, which leaves zeros out.
func (b *Binary) load(p []byte, address uint64) error {
	for len(p) > 0 {
		i := b.mappingAt(address)
		if i >= 0 && address-b.maps[i].address < uint64(b.maps[i].size) {
			m := b.maps[i]
			at := int64(address - m.address)
			n := int(min(int64(len(p)), m.size-at))
			if err := b.read(p[:n], m.offset+at); err != nil {
				return err
			}
			p, address = p[n:], address+uint64(n)
			continue
		}
		if b.Format != Wasm || i+1 >= len(b.maps) {
			return errUnmapped
		}

		n := int(min(uint64(len(p)), b.maps[i+1].address-address))
		clear(p[:n])
		p, address = p[n:], address+uint64(n)
	}

	return nil
}

// fileOffset returns where in the file the byte at address is. It returns -1 if it is nowhere.
func (b *Binary) fileOffset(address uint64) int64 {
	i := b.mappingAt(address)
	if i >= 0 && address-b.maps[i].address < uint64(b.maps[i].size) {
		return b.maps[i].offset + int64(address-b.maps[i].address)
	}
	return -1
}

var errUnmapped = errors.New("an address that is not loaded from the file")

// memory reads loaded bytes, at offsets that are addresses.
type memory struct{ b *Binary }

func (m memory) ReadAt(p []byte, offset int64) (int, error) {
	if err := m.b.load(p, uint64(offset)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// cstring returns p up to the first NUL.
func cstring(p []byte) string {
	s, _, _ := strings.Cut(string(p), "\x00")
	return s
}

// nameAt returns the NUL-terminated string at offset. It returns the first bytes of a long string,
// and "" if the string is out of the file.
func (b *Binary) nameAt(offset uint64) string {
	if offset >= uint64(b.size) {
		return ""
	}
	p := make([]byte, min(maxName, b.size-int64(offset)))
	if b.read(p, int64(offset)) != nil {
		return ""
	}
	return cstring(p)
}
