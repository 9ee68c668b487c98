package inspect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/safetext"
)

// SchemaName is the value of Document.Schema.
const SchemaName = "twice.inspect/v1"

// Document holds the facts of some files. Its JSON has ASCII characters alone,
// the others escaped, so that it can be shown on a terminal. Within a schema
// version members may be added and are never removed or given another meaning.
type Document struct {
	Schema string `json:"schema"`
	Files  []File `json:"files"`
}

// NewDocument returns the document of some files.
func NewDocument(files ...File) Document {
	return Document{SchemaName, append([]File{}, files...)}
}

// MarshalJSON implements [json.Marshaler].
func (d Document) MarshalJSON() ([]byte, error) {
	type plain Document
	return safetext.JSON(plain(d))
}

// File holds the facts of a file.
type File struct {
	// Name is what the caller calls it.
	Name string `json:"name"`
	Size int64  `json:"size"`
	// SHA256 is the sum in hexadecimal.
	SHA256 string `json:"sha256"`
	Format Format `json:"format"`
	// Binaries has one element, or one for each slice of a Universal file.
	Binaries []Facts `json:"binaries"`
}

// Facts holds the facts of a binary. A fact that is missing is null or an empty list,
// and Notes say why if that is not evident.
type Facts struct {
	Format Format `json:"format"`
	// Offset and Size are the range in the file. The range is all of the file unless the
	// binary is a slice.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
	// GOOS and GOARCH are the platform, empty if unknown.
	GOOS   string `json:"goos,omitempty"`
	GOARCH string `json:"goarch,omitempty"`
	// Bits is 32 or 64, ByteOrder "little" or "big".
	Bits      int    `json:"bits"`
	ByteOrder string `json:"byteOrder"`
	// Kind is the kind of file that the headers state: "executable", "position-independent
	// executable", "shared library", "object file", "module", "unknown".
	Kind string `json:"kind"`
	// Nature is what the file is beyond its headers.
	Nature Nature `json:"nature"`

	// GoVersion is the toolchain, as it calls itself.
	GoVersion string `json:"goVersion,omitempty"`
	// Experiments are the experiments that it was made with or that were asked
	// for, "noX" for one switched off.
	Experiments []string `json:"experiments,omitempty"`
	Build       *Build   `json:"build,omitempty"`
	// NotRecorded are the settings that this release of Go has and does not record, or not with
	// -trimpath. A name that ends in a star stands for all that begin so. See [Facts.Records].
	NotRecorded []string `json:"notRecorded,omitempty"`

	BuildID *BuildID      `json:"buildID,omitempty"`
	Content *ContentCheck `json:"content,omitempty"`
	HostID  *HostID       `json:"hostID,omitempty"`

	// Findings answer questions about how it was made. The list is the same for
	// all binaries, see [Facts.Finding].
	Findings []Finding `json:"findings"`
	// Interpreter is the program that loads it. Libraries are the libraries that it asks the
	// interpreter for, or the modules that WebAssembly imports from. At most 256 are listed.
	Interpreter string     `json:"interpreter,omitempty"`
	Libraries   []string   `json:"libraries,omitempty"`
	Signature   *Signature `json:"signature,omitempty"`

	// Sections are the named ranges, in the file's order. They may overlap.
	Sections []Section `json:"sections"`
	Code     *Code     `json:"code,omitempty"`
	// Paths are texts that look like host paths. MorePaths is how many more there are than can be
	// listed.
	Paths     []HostPath     `json:"paths,omitempty"`
	MorePaths int            `json:"morePaths,omitempty"`
	Embedded  []EmbeddedFile `json:"embedded,omitempty"`
	Recipe    *Recipe        `json:"recipe,omitempty"`
	// Notes say what could not be read, and what is contradictory.
	Notes []string `json:"notes,omitempty"`
}

// Answer is the answer to a question that a file may leave open.
type Answer string

// Answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

func yesOrNo(yes bool) Answer {
	if yes {
		return Yes
	}
	return No
}

// Finding is the answer to a question about how a binary was made.
type Finding struct {
	// Name names the question, and [Questions] tells what each of them means.
	Name Question `json:"name"`
	Is   Answer   `json:"is"`
	// Why is the reason of the answer.
	Why string `json:"why"`
}

// Finding returns the answer to a question, and Unknown if there is no such
// question.
func (f Facts) Finding(name Question) Finding {
	for _, q := range f.Findings {
		if q.Name == name {
			return q
		}
	}
	return Finding{name, Unknown, "not asked"}
}

// Code holds the sizes of a program's functions. A program without symbols or DWARF does
// not tell how much -s and -w saved.
type Code struct {
	// Functions is their number. Text is the bytes of their instructions, padding included.
	Functions int   `json:"functions"`
	Text      int64 `json:"text"`
	// Tables are the parts of the runtime's function tables, which cannot be
	// stripped.
	Tables []Size `json:"tables"`
	// Modules and Packages share them out, the largest first. Package main has its import path if
	// that is known. Functions that belong to no package have an empty path.
	Modules  []ModuleSize  `json:"modules"`
	Packages []PackageSize `json:"packages"`

	cgo   cgoTrace
	marks marks
}

// Size is a name and a number of bytes.
type Size struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// PackageSize is the share of a package.
type PackageSize struct {
	Path string `json:"path"`
	// Module is the path of the module, or "std" for the standard library. It is empty if unknown.
	Module    string `json:"module,omitempty"`
	Functions int    `json:"functions"`
	// Text is the bytes of instructions. Table is the bytes that the function tables need for each
	// function alone. It does not count their line tables, which are shared.
	Text  int64 `json:"text"`
	Table int64 `json:"table"`
}

// ModuleSize is the share of a module.
type ModuleSize struct {
	Path      string `json:"path"`
	Version   string `json:"version,omitempty"`
	Packages  int    `json:"packages"`
	Functions int    `json:"functions"`
	Text      int64  `json:"text"`
	Table     int64  `json:"table"`
}

// Read reads all facts of the file of size bytes in r. The error wraps [ErrFormat] if
// the file is no executable. Otherwise it is about the headers or about reading, or it
// is the context's. Any other problem is a note: a truncated or hostile binary has fewer
// facts.
func Read(ctx context.Context, name string, r io.ReaderAt, size int64) (File, error) {
	f := File{Name: name, Size: size}
	r = &cancelReader{ctx: ctx, r: r}
	b, err := Open(r, size)
	if err != nil {
		return File{}, cmp.Or(ctx.Err(), err)
	}

	f.Format = b.Format
	h := sha256.New()
	if n, err := io.Copy(h, io.NewSectionReader(r, 0, size)); err != nil || n < size {
		return File{}, fmt.Errorf("hash the file: %w", cmp.Or(err, io.ErrUnexpectedEOF))
	}
	f.SHA256 = hex.EncodeToString(h.Sum(nil))

	if b.Format != Universal {
		f.Binaries = []Facts{b.Facts()}
		return f, ctx.Err()
	}

	// The hash is of all of the file, the facts are of each slice.
	budget := 2 * size // slices may overlap
	for _, s := range b.Slices {
		facts := Facts{Format: MachO, GOARCH: s.Name}
		slice, err := b.OpenSlice(s)
		if budget -= s.Size; budget < 0 {
			err = errors.New("slices overlap too often")
		}
		if err == nil && slice.Format == Universal {
			err = errors.New("a universal file within one")
		}
		if err == nil {
			facts = slice.Facts()
		} else {
			facts.note(err)
		}
		facts.Offset, facts.Size = s.Offset, s.Size
		f.Binaries = append(f.Binaries, facts)
	}
	return f, ctx.Err()
}

// cancelReader ends with its context.
type cancelReader struct {
	ctx context.Context
	r   io.ReaderAt
}

func (c *cancelReader) ReadAt(p []byte, offset int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.ReadAt(p, offset)
}

// note adds an error, once.
func (f *Facts) note(err error) {
	if err != nil && !slices.Contains(f.Notes, err.Error()) {
		f.Notes = append(f.Notes, err.Error())
	}
}

// Facts reads all facts of the binary. Facts of a Universal file are in its slices.
func (b *Binary) Facts() Facts {
	f := Facts{Format: b.Format, Size: b.size, Bits: 8 * b.pointer, ByteOrder: "little", Kind: b.kind(), Sections: append([]Section{}, b.Sections...)}
	if b.order.Uint16([]byte{0, 1}) == 1 {
		f.ByteOrder = "big"
	}

	// Other facts are compared with the build information, so it comes first.
	f.build(b)
	f.platform(b)
	f.identifiers(b)
	f.Interpreter, f.Libraries = b.linked()
	if s, ok, err := b.Signature(); ok {
		f.Signature = &s
		f.note(err)
	}
	code, err := b.code(f.Build)
	f.Code = code
	if err != nil && !errors.Is(err, ErrNoFunctions) {
		f.note(err)
	}

	// Without a table of functions, only the version tells whether Go made it.
	f.Nature = f.nature(b)
	if f.Nature.Is == NotGo {
		f.Notes = append(f.Notes, "this does not look like a Go program")
	} else if f.Code == nil {
		f.note(err)
	}
	f.answerQuestions(b)
	if f.HostID != nil {
		f.HostID.Origin = b.origin(*f.HostID, &f)
	}
	if f.Build != nil {
		f.NotRecorded = f.notRecorded()
	}
	f.Paths, f.MorePaths, err = b.Paths()
	f.note(err)

	if f.Code != nil {
		f.Embedded, err = b.Embedded()
		f.note(err)
	}
	if f.Build != nil {
		f.Recipe = f.recipe()
	}
	return f
}

func (f *Facts) build(b *Binary) {
	info, err := b.BuildInfo()
	if err != nil {
		f.note(err)
		return
	}
	f.GoVersion = info.GoVersion
	for _, sep := range []string{" X:", "-X:"} {
		if _, list, ok := strings.Cut(info.GoVersion, sep); ok {
			f.Experiments = strings.Split(list, ",")
		}
	}

	// A version without any lines is a program of Go all the same.
	if len(info.Lines) == 0 {
		f.Notes = append(f.Notes, "the build information has no modules and no settings: another build system than the go command, or Go outside of a module")
		return
	}

	build, err := info.Parse()
	if err != nil {
		f.note(err)
		return
	}
	f.Build = &build

	if list, ok := build.Setting("GOEXPERIMENT"); ok && list != "" {
		for _, e := range strings.Split(list, ",") {
			if !slices.Contains(f.Experiments, e) {
				f.Experiments = append(f.Experiments, e)
			}
		}
	}
}

// platform compares the headers with the build information.
func (f *Facts) platform(b *Binary) {
	goos, goarch := b.platform()
	stated := func(key, header string) string {
		if f.Build == nil {
			return header
		}
		value, ok := f.Build.Setting(key)
		if ok && header != "" && value != header {
			f.Notes = append(f.Notes, fmt.Sprintf("the build information says %s=%s, the headers say %s", key, value, header))
		}
		return cmp.Or(header, value)
	}

	if f.Build != nil {
		// These share their formats and headers with others.
		if v, _ := f.Build.Setting("GOOS"); v == "android" && goos == "linux" || v == "illumos" && goos == "solaris" {
			goos = v
		}
	}

	f.GOOS, f.GOARCH = stated("GOOS", goos), stated("GOARCH", goarch)
	if f.GOOS == "" {
		f.GOOS = b.sourceSystem()
	}
}

// sourceSystem returns the GOOS that the runtime's own source files tell. It is empty if they do not.
func (b *Binary) sourceSystem() string {
	found := ""
	for path, err := range b.SourceFiles() {
		if err != nil {
			break
		}
		_, name, ok := strings.Cut("/"+path, "/runtime/os_")
		if name = strings.TrimSuffix(name, ".go"); ok && slices.Contains(elfSystems, name) {
			// Android shares the files of linux, illumos those of solaris, and each has one of its own.
			if slices.Index(elfSystems, name) > slices.Index(elfSystems, found) {
				found = name
			}
		}
	}
	return found
}

// elfSystems are the systems whose programs are ELF files.
var elfSystems = []string{"linux", "solaris", "android", "illumos", "dragonfly", "freebsd", "netbsd", "openbsd"}

func (f *Facts) identifiers(b *Binary) {
	id, err := b.BuildID()
	if err == nil {
		f.BuildID = &id
		check, err := b.CheckContent()
		f.note(err)
		if err == nil {
			f.Content = &check
		}
	} else {
		f.note(err)
	}
	if h, ok := b.HostID(); ok {
		f.HostID = &h
	}
}

// platform returns the GOOS and GOARCH that the headers tell, each empty if they
// do not.
func (b *Binary) platform() (goos, goarch string) {
	switch b.Format {
	case ELF:
		goos = map[byte]string{2: "netbsd", 3: "linux", 6: "solaris", 9: "freebsd", 12: "openbsd"}[b.elf.abi]
		if p, ok := b.elf.prog(ptInterp); ok {
			switch loader := b.nameAt(p.offset); {
			case strings.Contains(loader, "/ld-linux"), strings.Contains(loader, "/ld-musl"):
				goos = "linux"
			case strings.HasPrefix(loader, "/system/bin/linker"):
				goos = "android"
			}
		}

		// Notes are more precise than the ABI byte, which systems often leave at 0.
		if _, at := b.note("NetBSD\x00", 1); at >= 0 {
			goos = "netbsd"
		}
		if _, at := b.note("OpenBSD\x00", 1); at >= 0 {
			goos = "openbsd"
		}

		little := b.order.Uint16([]byte{1, 0}) == 1
		name := map[uint16]string{3: "386", 8: "mips", 21: "ppc64", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64"}[b.elf.machine]
		if name == "mips" && b.pointer == 8 {
			name = "mips64"
		}
		if little && (name == "ppc64" || strings.HasPrefix(name, "mips")) {
			name += "le"
		}

		return goos, name
	case MachO:
		goos = "darwin"
		if c, ok := b.macho.command(lcBuild, 12); ok && c.word(8) != 1 {
			goos = map[uint32]string{2: "ios", 7: "ios"}[c.word(8)]
		}
		if _, ok := b.macho.command(lcVersionIOS, 8); ok {
			goos = "ios"
		}

		return goos, machoArch[b.macho.cpu]
	case PE:
		return "windows", map[uint16]string{0x14c: "386", 0x1c4: "arm", 0x8664: "amd64", 0xaa64: "arm64"}[b.pe.machine]
	case Wasm:
		switch {
		case slices.Contains(b.wasm.imports, "wasi_snapshot_preview1"):
			goos = "wasip1"
		case slices.Contains(b.wasm.imports, "gojs"), slices.Contains(b.wasm.imports, "go"):
			goos = "js"
		}
		return goos, "wasm"
	}

	return "", ""
}

const (
	executable  = "executable"
	independent = "position-independent executable"
	library     = "shared library"
	object      = "object file"
)

func (b *Binary) kind() string {
	const (
		mhObject, mhExecute, mhDylib, mhBundle = 1, 2, 6, 8
		mhPIE                                  = 0x200000
	)

	// The type alone does not tell a program from a library: both may be of the same type.
	switch b.Format {
	case ELF:
		_, interpreted := b.elf.prog(ptInterp)
		switch {
		case b.elf.kind == etExec:
			return executable
		case b.elf.kind == etDyn && (interpreted || b.dynamic().pie):
			return independent
		case b.elf.kind == etDyn:
			return library
		case b.elf.kind == etRel:
			return object
		}
	case MachO:
		switch b.macho.kind {
		case mhExecute:
			if b.macho.flags&mhPIE != 0 {
				return independent
			}
			return executable
		case mhDylib, mhBundle:
			return library
		case mhObject:
			return object
		}
	case PE:
		switch {
		case b.pe.characteristics&peDLL != 0:
			return library
		case b.pe.dll&peDynamicBase != 0:
			return independent
		}
		return executable
	case Wasm:
		return "module"
	}

	return "unknown"
}

// linked returns the interpreter and the libraries.
func (b *Binary) linked() (interpreter string, libraries []string) {
	switch b.Format {
	case ELF:
		if p, ok := b.elf.prog(ptInterp); ok {
			interpreter = b.nameAt(p.offset)
		}
		return interpreter, b.dynamic().needed
	case MachO:
		if c, ok := b.macho.command(lcDylinker, 12); ok {
			interpreter = c.text(8)
		}

		// A weak or reexported library is asked for like any other.
		for _, c := range b.macho.commands {
			switch c.kind {
			case lcLoadDylib, lcWeakDylib, lcReexport:
				if len(c.data) >= 12 && len(libraries) < maxNeeded {
					libraries = append(libraries, c.text(8))
				}
			}
		}
		return interpreter, libraries
	case PE:
		return "", b.libraries()
	case Wasm:
		return "", b.wasm.imports
	}

	return "", nil
}
