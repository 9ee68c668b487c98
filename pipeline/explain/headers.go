package explain

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// header is a field of a file's headers, or a load command.
type header struct{ name, value string }

const (
	maxHeader = 1 << 20 // bytes
	maxRows   = 4096    // fields
)

// headers reads the headers of an executable that package inspect has opened. Package inspect has
// checked that they are in the file. Fields that are not understood are left out.
func headers(in input, format inspect.Format) []header {
	head := make([]byte, min(maxHeader, in.size))
	if n, _ := in.ReadAt(head, 0); n < len(head) {
		return nil
	}
	h := &headerReader{data: head}
	switch format {
	case inspect.ELF:
		h.elf()
	case inspect.MachO:
		h.macho()
	case inspect.PE:
		h.pe()
	}
	return h.rows
}

// headerReader collects rows. Reads behind the end give zeros.
type headerReader struct {
	data  []byte
	order binary.ByteOrder
	rows  []header
}

func (h *headerReader) bytes(at uint64, n int) []byte {
	p := make([]byte, n)
	if at < uint64(len(h.data)) {
		copy(p, h.data[at:])
	}
	return p
}

func (h *headerReader) u16(at uint64) uint64 { return uint64(h.order.Uint16(h.bytes(at, 2))) }
func (h *headerReader) u32(at uint64) uint64 { return uint64(h.order.Uint32(h.bytes(at, 4))) }
func (h *headerReader) u64(at uint64) uint64 { return h.order.Uint64(h.bytes(at, 8)) }

func (h *headerReader) add(name, format string, args ...any) {
	if len(h.rows) < maxRows {
		h.rows = append(h.rows, header{name, fmt.Sprintf(format, args...)})
	}
}

// elf reads the ELF header and the program headers
// (https://gabi.xinuos.com/elf/02-eheader.html).
func (h *headerReader) elf() {
	h.order = binary.LittleEndian
	if h.bytes(5, 1)[0] == 2 {
		h.order = binary.BigEndian
	}

	wide := h.bytes(4, 1)[0] == 2
	h.add("class", "%d", h.bytes(4, 1)[0])
	h.add("byte order", "%d", h.bytes(5, 1)[0])
	h.add("OS ABI", "%d", h.bytes(7, 1)[0])
	h.add("type", "%d", h.u16(16))
	h.add("machine", "%d", h.u16(18))

	// From here on, fields have the width of an address.
	var entry, phoff, flags, rest uint64
	if wide {
		entry, phoff, flags, rest = h.u64(24), h.u64(32), h.u32(48), 52
	} else {
		entry, phoff, flags, rest = h.u32(24), h.u32(28), h.u32(36), 40
	}
	h.add("entry", "%#x", entry)
	h.add("flags", "%#x", flags)
	h.add("sections", "%d", h.u16(rest+8))

	// A program header has no name, and is named by its type.
	size, count := h.u16(rest+2), h.u16(rest+4)
	for i := range count {
		at := phoff + i*size
		if at >= uint64(len(h.data)) {
			return
		}
		kind := h.u32(at)
		name, ok := map[uint64]string{1: "LOAD", 2: "DYNAMIC", 3: "INTERP", 4: "NOTE", 6: "PHDR", 7: "TLS", 0x6474e550: "GNU_EH_FRAME", 0x6474e551: "GNU_STACK", 0x6474e552: "GNU_RELRO", 0x6474e553: "GNU_PROPERTY"}[kind]
		if !ok {
			name = fmt.Sprintf("%#x", kind)
		}

		if wide {
			h.add("segment "+name, "flags %d offset %#x address %#x size %#x memory %#x", h.u32(at+4), h.u64(at+8), h.u64(at+16), h.u64(at+32), h.u64(at+40))
		} else {
			h.add("segment "+name, "flags %d offset %#x address %#x size %#x memory %#x", h.u32(at+24), h.u32(at+4), h.u32(at+8), h.u32(at+16), h.u32(at+20))
		}
	}
}

// machoCommands are the names of load commands (<mach-o/loader.h>).
var machoCommands = map[uint64]string{
	0x1: "LC_SEGMENT", 0x2: "LC_SYMTAB", 0x4: "LC_THREAD", 0x5: "LC_UNIXTHREAD", 0xb: "LC_DYSYMTAB", 0xc: "LC_LOAD_DYLIB", 0xd: "LC_ID_DYLIB",
	0xe: "LC_LOAD_DYLINKER", 0x19: "LC_SEGMENT_64", 0x1b: "LC_UUID", 0x1d: "LC_CODE_SIGNATURE", 0x22: "LC_DYLD_INFO", 0x24: "LC_VERSION_MIN_MACOSX",
	0x26: "LC_FUNCTION_STARTS", 0x29: "LC_DATA_IN_CODE", 0x2a: "LC_SOURCE_VERSION", 0x32: "LC_BUILD_VERSION",
	0x80000018: "LC_LOAD_WEAK_DYLIB", 0x8000001c: "LC_RPATH", 0x80000022: "LC_DYLD_INFO_ONLY", 0x80000028: "LC_MAIN", 0x80000033: "LC_DYLD_EXPORTS_TRIE", 0x80000034: "LC_DYLD_CHAINED_FIXUPS",
}

func (h *headerReader) macho() {
	h.order = binary.LittleEndian
	h.add("CPU type", "%#x", h.u32(4))
	h.add("CPU subtype", "%#x", h.u32(8))
	h.add("file type", "%d", h.u32(12))
	h.add("flags", "%#x", h.u32(24))

	count, at := h.u32(16), uint64(28)
	if h.bytes(0, 1)[0] == 0xcf {
		at = 32
	}

	// Each command is a row, so that the one that differs has a name.
	for range count {
		kind, size := h.u32(at), h.u32(at+4)
		if size < 8 || at+size > uint64(len(h.data)) {
			return
		}
		name, ok := machoCommands[kind]
		if !ok {
			name = fmt.Sprintf("command %#x", kind)
		}

		switch kind {
		case 0x19:
			segment, _, _ := strings.Cut(string(h.bytes(at+8, 16)), "\x00")
			h.add("segment "+segment, "address %#x memory %#x offset %#x size %#x protection %d sections %d",
				h.u64(at+24), h.u64(at+32), h.u64(at+40), h.u64(at+48), h.u32(at+60), h.u32(at+64))
		case 0xc, 0xe, 0x80000018, 0x8000001c:
			text := string(h.data[at+8 : at+size])
			if offset := h.u32(at + 8); offset < size {
				text, _, _ = strings.Cut(string(h.data[at+offset:at+size]), "\x00")
			}
			h.add(name, "%s", text)
		default:
			h.add(name, "%x", h.data[at+8:at+min(size, 72)])
		}
		at += size
	}
}

// pe reads the COFF header and the optional header
// (https://learn.microsoft.com/en-us/windows/win32/debug/pe-format).
func (h *headerReader) pe() {
	h.order = binary.LittleEndian
	coff := h.u32(0x3c) + 4
	h.add("machine", "%#x", h.u16(coff))
	h.add("sections", "%d", h.u16(coff+2))
	h.add("time stamp", "%d", h.u32(coff+4))
	h.add("symbols", "%d", h.u32(coff+12))
	h.add("characteristics", "%#x", h.u16(coff+18))
	optional := coff + 20
	wide := h.u16(optional) == 0x20b
	h.add("linker version", "%d.%d", h.bytes(optional+2, 1)[0], h.bytes(optional+3, 1)[0])
	h.add("entry", "%#x", h.u32(optional+16))

	// The optional header has wider addresses in PE32+, and so other offsets.
	directories := optional + 96
	if wide {
		h.add("image base", "%#x", h.u64(optional+24))
		directories = optional + 112
	} else {
		h.add("image base", "%#x", h.u32(optional+28))
	}

	h.add("system version", "%d.%d", h.u16(optional+40), h.u16(optional+42))
	h.add("image size", "%#x", h.u32(optional+56))
	h.add("headers size", "%#x", h.u32(optional+60))
	h.add("check sum", "%#x", h.u32(optional+64))
	h.add("subsystem", "%d", h.u16(optional+68))
	h.add("flags", "%#x", h.u16(optional+70))
	names := [...]string{"exports", "imports", "resources", "exceptions", "certificates", "relocations", "debug", "architecture", "global pointer", "TLS", "load configuration", "bound imports", "import addresses", "delayed imports", "CLR", "reserved"}

	for i := range min(h.u32(directories-4), uint64(len(names))) {
		at := directories + 8*i
		if h.u64(at) != 0 {
			h.add("directory "+names[i], "address %#x size %#x", h.u32(at), h.u32(at+4))
		}
	}
}

// differingHeaders lists the differences. It compares the nth of a name with the nth.
func differingHeaders(a, b []header) []Value {
	places := map[string][]string{}
	for _, h := range b {
		places[h.name] = append(places[h.name], h.value)
	}
	var list []Value
	add := func(v Value) {
		v.Name = cut(v.Name)
		v.A, v.B = cutPair(v.A, v.B)
		if len(list) < maxListed {
			list = append(list, v)
		}
	}

	for _, h := range a {
		values := places[h.name]
		if len(values) == 0 {
			add(Value{Name: h.name, A: h.value, InA: true})
			continue
		}
		if values[0] != h.value {
			add(Value{h.name, h.value, values[0], true, true})
		}
		places[h.name] = values[1:]
	}

	// What is left of each name stands at its end.
	seen := map[string]int{}
	count := map[string]int{}
	for _, h := range b {
		count[h.name]++
	}

	for _, h := range b {
		seen[h.name]++
		if seen[h.name] > count[h.name]-len(places[h.name]) {
			add(Value{Name: h.name, B: h.value, InB: true})
		}
	}
	return list
}
