package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
)

// BuildInfo is the information about its making that the Go linker puts into a binary, in the text
// form of runtime/debug.BuildInfo.
type BuildInfo struct {
	// GoVersion is the version of the toolchain, such as "go1.26.8".
	GoVersion string
	// Lines are the lines of the module information, tab-separated as "go version -m" prints them:
	// "path\tfilippo.io/age/cmd/age", "build\tGOAMD64=v1". Nothing is known about their content.
	Lines []string
}

// ErrNoBuildInfo is the error of [Binary.BuildInfo] about a binary that Go did not link, or whose
// section table was removed.
var ErrNoBuildInfo = errors.New("no Go build information")

const (
	maxBuildInfo     = 1 << 20 // bytes of module information
	maxBuildInfoScan = 1 << 20 // bytes of a PE's .data that are searched
)

// BuildInfo reads the build information, see debug/buildinfo in the Go tree. A header of 32 bytes
// stands at an address that is a multiple of 16. It begins with a magic string. Bit 1 of its byte 15
// says that two strings follow, each after its length as a varint (Go 1.18 and later). Otherwise the
// header has the addresses of two string variables (Go 1.13 to 1.17). Go 1.12 and earlier have no
// header.
//
// A WebAssembly module has no such header. There the module information is
// found by its marks, and GoVersion is the one of the section "producers".
func (b *Binary) BuildInfo() (BuildInfo, error) {
	if b.Format == Wasm {
		return b.wasmBuildInfo()
	}

	const magic, headerSize, inline = "\xff Go buildinf:", 32, 2
	for _, s := range b.Sections {
		scan := int64(headerSize)
		switch {
		case b.Format == ELF && s.Name == ".go.buildinfo":
		case b.Format == MachO && strings.HasSuffix(s.Name, ",__go_buildinfo"):
		case b.Format == PE && s.Name == ".data": // it has no section of its own
			scan = maxBuildInfoScan
		default:
			continue
		}
		data := make([]byte, min(scan, s.Size))
		if err := b.read(data, s.Offset); err != nil {
			return BuildInfo{}, fmt.Errorf("read build information: %w", err)
		}

		// The header is aligned, so bytes like it elsewhere mean nothing.
		for at := 0; at+headerSize <= len(data); at += 16 {
			if !bytes.HasPrefix(data[at:], []byte(magic)) {
				continue
			}
			if data[at+15]&inline == 0 {
				return b.variables(data[at : at+headerSize])
			}
			return b.buildInfo(s, int64(at)+headerSize)
		}
	}

	return BuildInfo{}, ErrNoBuildInfo
}

// buildInfo reads the two strings at the given place of the section.
func (b *Binary) buildInfo(s Section, at int64) (BuildInfo, error) {
	version, at, err := b.varString(s, at)
	if err != nil {
		return BuildInfo{}, err
	}
	mod, _, err := b.varString(s, at)
	if err != nil {
		return BuildInfo{}, err
	}
	return newBuildInfo(version, unframed(mod)), nil
}

// variables reads the strings whose addresses a header of Go 1.13 to 1.17 has. Its byte 14 is the
// size of a pointer, and byte 15 is 1 if numbers are big-endian.
func (b *Binary) variables(header []byte) (BuildInfo, error) {
	big := b.order.Uint16([]byte{0, 1}) == 1
	if int(header[14]) != b.pointer || header[15] > 1 || (header[15] == 1) != big {
		return BuildInfo{}, errors.New("read build information: its header is not that of such a file")
	}

	version, err := b.variable(b.word(header[16:]))
	if err != nil {
		return BuildInfo{}, err
	}
	mod, err := b.variable(b.word(header[16+b.pointer:]))
	if err != nil {
		return BuildInfo{}, err
	}
	if version == "" {
		return BuildInfo{}, errors.New("read build information: the version is empty")
	}
	return newBuildInfo(version, unframed(mod)), nil
}

// variable reads a string variable. It returns "" for one that has no value: its address is 0, or in
// memory that has no bytes in the file.
func (b *Binary) variable(address uint64) (string, error) {
	header := make([]byte, 2*b.pointer)
	if address == 0 || b.load(header, address) != nil {
		return "", nil
	}
	at, n := b.word(header), b.word(header[b.pointer:])
	if n > maxBuildInfo || n > uint64(b.size) {
		return "", fmt.Errorf("read build information: a string is longer than the file or than %d bytes", maxBuildInfo)
	}

	text := make([]byte, n)
	if err := b.load(text, at); err != nil {
		return "", fmt.Errorf("read build information: %w", err)
	}
	return string(text), nil
}

// unframed returns the module information without the two marks of 16 bytes that it stands between.
func unframed(mod string) string {
	if n := len(mod); n >= 33 && mod[n-17] == '\n' {
		return mod[16 : n-17]
	}
	return ""
}

func newBuildInfo(version, mod string) BuildInfo {
	info := BuildInfo{GoVersion: version}
	if mod != "" {
		info.Lines = strings.Split(mod, "\n")
	}
	return info
}

// The marks around the module information (cmd/go/internal/modload).
const (
	infoStart = "\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6"
	infoEnd   = "\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2"
)

func (b *Binary) wasmBuildInfo() (BuildInfo, error) {
	s, ok := b.section("(data)")
	if !ok || b.wasm.producer == "" {
		return BuildInfo{}, ErrNoBuildInfo
	}
	at := int64(-1)
	if err := b.find(s, []byte(infoStart), func(offset int64) bool { at = offset + int64(len(infoStart)); return false }); err != nil {
		return BuildInfo{}, fmt.Errorf("read build information: %w", err)
	}
	if at < 0 { // made without modules
		return newBuildInfo(b.wasm.producer, ""), nil
	}

	// The end mark is looked for in a bounded part alone.
	text := make([]byte, min(maxBuildInfo, s.Offset+s.Size-at))
	if err := b.read(text, at); err != nil {
		return BuildInfo{}, fmt.Errorf("read build information: %w", err)
	}

	n := bytes.Index(text, []byte("\n"+infoEnd))
	if n < 0 {
		return BuildInfo{}, errors.New("read build information: its end is missing")
	}
	return newBuildInfo(b.wasm.producer, string(text[:n])), nil
}

// find calls found with the offset of each occurrence of word in the section, until found returns
// false. Occurrences may overlap.
func (b *Binary) find(s Section, word []byte, found func(offset int64) bool) error {
	const chunk = 256 << 10
	buf := make([]byte, min(chunk, s.Size))
	for at := s.Offset; s.Offset+s.Size-at >= int64(len(word)); {
		p := buf[:min(int64(len(buf)), s.Offset+s.Size-at)]
		if err := b.read(p, at); err != nil {
			return err
		}

		for i := 0; ; i++ {
			n := bytes.Index(p[i:], word)
			if n < 0 {
				break
			}
			if i += n; !found(at + int64(i)) {
				return nil
			}
		}

		// A word may begin in one chunk and end in the next.
		at += int64(len(p) - len(word) + 1)
	}
	return nil
}

// Build is build information in parts.
type Build struct {
	// Path is the path of the main package: "command-line-arguments" for a
	// program that was given as files.
	Path string `json:"path,omitempty"`
	// Main is the main module. It is nil outside of module mode. Its version is "(devel)" for a
	// local build, or comes from the version control system (Go 1.24 and later). It has a sum if
	// the module came from the module cache, as with "go install path@version".
	Main *Module `json:"main,omitempty"`
	// Deps are the modules that packages came from, sorted by path.
	Deps []Module `json:"deps,omitempty"`
	// Settings are the settings that the go command recorded, in its order.
	Settings []Setting `json:"settings,omitempty"`
}

// Module is a module in build information.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Sum is the "h1:" sum of the module zip, empty if there was none.
	Sum string `json:"sum,omitempty"`
	// Replace is the module that was used instead. Its path may be a folder.
	Replace *Module `json:"replace,omitempty"`
}

// Setting is a key and a value of build information: "-trimpath", "GOAMD64",
// "vcs.revision".
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Parse splits the information into its parts. It refuses lines that no Go writes, and two settings
// of one key.
func (i BuildInfo) Parse() (Build, error) {
	text := strings.Join(i.Lines, "\n")
	if text != "" {
		text += "\n"
	}
	info, err := debug.ParseBuildInfo(text)
	if err != nil {
		return Build{}, fmt.Errorf("parse build information: %w", err)
	}

	// The parser passes over what it does not know. Empty lines follow a
	// replacement.
	if compact(info.String()) != compact(text) {
		return Build{}, errors.New("parse build information: it is not as Go writes it")
	}
	b := Build{Path: info.Path}
	if info.Main != (debug.Module{}) {
		m := module(info.Main)
		b.Main = &m
	}
	for _, d := range info.Deps {
		b.Deps = append(b.Deps, module(*d))
	}

	// Two settings of one key would let two readers see two programs.
	seen := map[string]bool{}
	for _, s := range info.Settings {
		if seen[s.Key] {
			return Build{}, fmt.Errorf("parse build information: %q twice", s.Key)
		}
		seen[s.Key] = true
		b.Settings = append(b.Settings, Setting(s))
	}

	return b, nil
}

// compact removes empty lines.
func compact(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return l == "" })
	return strings.Join(lines, "\n")
}

func module(m debug.Module) Module {
	n := Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
	if m.Replace != nil {
		r := module(*m.Replace)
		n.Replace = &r
	}
	return n
}

// Setting returns the value of a setting.
func (b Build) Setting(key string) (string, bool) {
	for _, s := range b.Settings {
		if s.Key == key {
			return s.Value, true
		}
	}
	return "", false
}

// varString reads a string and returns what follows it.
func (b *Binary) varString(s Section, at int64) (string, int64, error) {
	head := make([]byte, max(0, min(binary.MaxVarintLen64, s.Size-at)))
	if err := b.read(head, s.Offset+at); err != nil {
		return "", 0, fmt.Errorf("read build information: %w", err)
	}
	n, width := binary.Uvarint(head)
	at += int64(width)
	if width <= 0 || n > maxBuildInfo || int64(n) > s.Size-at {
		return "", 0, fmt.Errorf("read build information: a string is longer than its section or than %d bytes", maxBuildInfo)
	}
	text := make([]byte, n)
	if err := b.read(text, s.Offset+at); err != nil {
		return "", 0, fmt.Errorf("read build information: %w", err)
	}
	return string(text), at + int64(n), nil
}
