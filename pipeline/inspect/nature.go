package inspect

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// Nature is what a file is: how Go came into it, and what was done to it.
type Nature struct {
	Is NatureKind `json:"is"`
	// Why is the reason of the answer.
	Why string `json:"why"`
}

// NatureKind names the nature of a file.
type NatureKind string

// The natures. A file has the first of them that is true of it.
const (
	// Packed is a program that UPX packed. What it was is not in the headers.
	Packed NatureKind = "packed by UPX"
	// Damaged is a program whose build information cannot be read.
	Damaged NatureKind = "damaged Go program"
	// NotGo is a file without any trace of Go.
	NotGo NatureKind = "not a Go program"
	// Plugin is what -buildmode=plugin makes.
	Plugin NatureKind = "Go plugin"
	// SharedLibrary is what -buildmode=c-shared makes.
	SharedLibrary NatureKind = "C shared library of Go"
	// ObjectFile was not linked, or only in part. C archives have such members.
	ObjectFile NatureKind = "object file"
	// LinkedByC is a program of another language, with a C archive of Go in it.
	LinkedByC NatureKind = "program with a C archive of Go"
	// Bazel is a program that Bazel's rules_go linked. It records neither modules nor settings.
	Bazel NatureKind = "Go program of Bazel's rules_go"
	// OtherBuild is a program without modules and settings, that is of another build system than the go
	// command, or of the go command outside of a module.
	OtherBuild NatureKind = "Go program without modules"
	// TooOld is a program of Go 1.12 or earlier, which made no build information.
	TooOld NatureKind = "Go program older than build information"
	// Hidden is a program whose build information was left out or removed.
	Hidden NatureKind = "Go program without build information"
	// Program is what the go command makes, with build information.
	Program NatureKind = "Go program"
)

// natures holds the test of each nature, in the order of the constants. A test returns the reason of
// the nature, or "" if it is not that of the file.
var natures = []struct {
	kind NatureKind
	why  func(f *Facts, b *Binary) string
}{
	{Packed, func(_ *Facts, b *Binary) string { return b.packed() }},
	{Damaged, func(f *Facts, b *Binary) string {
		info, err := b.BuildInfo()
		if err != nil {
			return whether(!errors.Is(err, ErrNoBuildInfo), err.Error())
		}
		return whether(f.Build == nil && len(info.Lines) > 0, "its build information is not as Go writes it")
	}},
	{NotGo, func(f *Facts, _ *Binary) string {
		return whether(f.GoVersion == "" && f.Code == nil && f.BuildID == nil, "it has no build information, no build ID and no table of functions of Go")
	}},
	{Plugin, func(f *Facts, _ *Binary) string {
		return f.library("plugin", f.Code != nil && f.Code.marks.module && !f.Code.marks.library)
	}},
	{SharedLibrary, func(f *Facts, _ *Binary) string { return f.library("c-shared", true) }},
	{ObjectFile, func(f *Facts, _ *Binary) string { return whether(f.Kind == object, "the headers say so") }},
	{LinkedByC, func(f *Facts, _ *Binary) string {
		linked := f.Code != nil && f.Code.marks.library
		return whether(linked, "it is an executable that has the entry point of a library of Go")
	}},
	{Bazel, func(f *Facts, _ *Binary) string {
		redacted := f.Build == nil && f.GoVersion != "" && f.BuildID != nil && f.BuildID.ID == "redacted"
		return whether(redacted, "its build ID is \"redacted\", and its build information has no modules and no settings")
	}},
	{OtherBuild, func(f *Facts, _ *Binary) string {
		return whether(f.Build == nil && f.GoVersion != "", "its build information has the version of Go alone")
	}},
	{TooOld, func(f *Facts, b *Binary) string {
		old := f.Build == nil && f.GoVersion == "" && f.Code != nil && f.Code.marks.oldest && b.hasSections()
		return whether(old, "it has no build information, and its table of functions is of Go 1.15 or earlier")
	}},
	{Hidden, func(f *Facts, _ *Binary) string {
		return whether(f.GoVersion == "", "it has no build information: an obfuscator or another linker left it out, or it was removed")
	}},
	{Program, func(*Facts, *Binary) string { return "it has build information of the go command" }},
}

// whether returns the reason if something is true.
func whether(is bool, why string) string {
	if !is {
		return ""
	}
	return why
}

// nature finds out what the file is.
func (f *Facts) nature(b *Binary) Nature {
	for _, n := range natures {
		if why := n.why(f, b); why != "" {
			return Nature{n.kind, why}
		}
	}
	return Nature{}
}

// library reports whether the file is a library of a build mode. Where the mode is not recorded, the
// functions tell it.
func (f *Facts) library(mode string, marked bool) string {
	recorded, ok := f.setting("-buildmode")
	switch {
	case f.Kind != library || f.GoVersion == "" && f.Code == nil:
		return ""
	case ok:
		return whether(recorded == mode, "setting -buildmode="+mode)
	}
	return whether(marked, "it is a shared library; "+f.absence("-buildmode"))
}

// marks are functions that a build mode adds, and the age of their table.
type marks struct {
	library bool // the entry point of c-shared and c-archive
	module  bool // the entry point of plugin and shared
	oldest  bool // the layout is that of Go 1.15 and earlier
}

// add looks at the name of a function.
func (m *marks) add(function string) {
	switch {
	case strings.HasPrefix(function, "_rt0_") && strings.HasSuffix(function, "_lib"):
		m.library = true
	case function == "go:link.addmoduledata", function == "go.link.addmoduledata":
		m.module = true
	}
}

// hasSections reports whether the file names its sections, as a file without build information may have
// lost them.
func (b *Binary) hasSections() bool {
	return slices.ContainsFunc(b.Sections, func(s Section) bool {
		return s.Name == ".text" || s.Name == "__TEXT,__text"
	})
}

const (
	upxMagic = "UPX!"
	upxTail  = 64 // bytes at the end of an ELF file that have the header of the packed data
)

// IsPacked reports whether UPX packed the file, so that nothing in it tells what it was.
func (b *Binary) IsPacked() bool { return b.packed() != "" }

// packed says what shows that UPX packed the file, or "" if nothing does. A program may have the magic
// among its texts, so it counts only where UPX puts it.
func (b *Binary) packed() string {
	has := func(offset, size int64) bool {
		size = min(size, b.size-offset)
		if offset < 0 || size <= 0 {
			return false
		}
		p := make([]byte, size)
		return b.read(p, offset) == nil && bytes.Contains(p, []byte(upxMagic))
	}

	switch b.Format {
	case ELF:
		// The packer's first header follows the program headers.
		if s, ok := b.section("(program headers)"); ok && has(s.Offset+s.Size, 16) {
			return "the magic of UPX follows the program headers"
		}
		if _, ok := b.section("(section headers)"); !ok && has(b.size-upxTail, upxTail) {
			return "the magic of UPX is at the end of the file, which has no sections"
		}
	case PE:
		_, first := b.section("UPX0")
		_, second := b.section("UPX1")
		if first || second {
			return "it has sections of UPX"
		}
	case MachO:
		// There the loader of the packed data follows the load commands.
		if s, ok := b.section("(Mach-O header)"); ok && has(s.Offset+s.Size, 64) {
			return "the magic of UPX follows the load commands"
		}
	}
	return ""
}
