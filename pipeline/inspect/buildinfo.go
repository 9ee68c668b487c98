package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// BuildInfo is what the Go linker tells in a binary about its making, in the
// text form of runtime/debug.BuildInfo.
type BuildInfo struct {
	// GoVersion is the version of the toolchain, such as "go1.26.8".
	GoVersion string
	// Lines are the lines of the module information, tab-separated as "go
	// version -m" prints them: "path\tfilippo.io/age/cmd/age",
	// "build\tGOAMD64=v1". Nothing is known about what they contain.
	Lines []string
}

// ErrNoBuildInfo is what [Binary.BuildInfo] returns for a binary that Go did
// not link, or whose section table was removed.
var ErrNoBuildInfo = errors.New("no Go build information")

const (
	maxBuildInfo     = 1 << 20 // bytes of module information
	maxBuildInfoScan = 1 << 20 // bytes of a PE's .data that are searched
)

// BuildInfo reads the build information. The format is that of Go 1.18 and
// later, see debug/buildinfo in the Go tree: at an address that is a multiple of
// 16, a header of 32 bytes that begins with a magic string and says in bit 1 of
// its byte 15 that two strings follow, each after its length as a varint.
func (b *Binary) BuildInfo() (BuildInfo, error) {
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
		for at := 0; at+headerSize <= len(data); at += 16 {
			if !bytes.HasPrefix(data[at:], []byte(magic)) {
				continue
			}
			if data[at+15]&inline == 0 {
				return BuildInfo{}, fmt.Errorf("read build information: in the format of Go 1.17 and earlier")
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
	// The module information stands between two marks of 16 bytes.
	if n := len(mod); n >= 33 && mod[n-17] == '\n' {
		mod = mod[16 : n-17]
	} else {
		mod = ""
	}
	info := BuildInfo{GoVersion: version}
	if mod != "" {
		info.Lines = strings.Split(mod, "\n")
	}
	return info, nil
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
