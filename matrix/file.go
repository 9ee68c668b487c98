// Package matrix reads the release file, release.toml, and expands it into
// targets and builds.
//
// The file is TOML 1.0 (https://toml.io/en/v1.0.0). The smallest one is
//
//	project = "hello"
//
//	[[binary]]
//	package = "."
//
//	[matrix]
//	os = ["linux", "darwin", "windows"]
//	arch = ["amd64", "arm64"]
//
// and every other key has a default. The manual is the documentation of [File]
// and of the types of its fields; the name of a key is in the toml tag.
//
// Reading is strict: an unknown key, a wrong type, a value out of range and a
// template that would fail are errors. [Parse] finds what can be found in the
// file alone; [File.Builds], [File.Archive] and [File.Images] find what shows once
// the matrix is expanded. All of them return [tomlfile.Errors]: everything that is
// wrong at once, each fault with its line and the path of its key. Text that is not
// TOML gives its first fault alone.
package matrix

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/twicebuild/twice/matrix/lintid"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// File is a release file with all defaults filled in.
type File struct {
	// Project names the release: archives begin with it. Required. Letters,
	// digits, ".", "_", "-" and "+".
	//
	//	project = "age"
	Project string `toml:"project,required"`

	// Version is "auto" (the default: from the tag at the commit, and a snapshot
	// version derived from the commit where there is none) or a semantic
	// version, with or without v in the file and without it here.
	//
	//	version = "1.2.3"
	Version string `toml:"version"`

	// Toolchain says which Go builds the release.
	Toolchain Toolchain `toml:"toolchain"`
	// Source says where in the repository the module is.
	Source Source `toml:"source"`
	// Binaries are the commands to build, each under a heading [[binary]]. At
	// least one.
	Binaries []Binary `toml:"binary,required"`
	// Build holds the options of every build.
	Build BuildOptions `toml:"build"`
	// Matrix says for which targets. Required.
	Matrix Matrix `toml:"matrix,required"`
	// Overrides change options for some targets or binaries, each under a
	// heading [[override]].
	Overrides []Override `toml:"override"`
	// Packaging, under [archive], says how the binaries of a target are packed.
	Packaging Packaging `toml:"archive"`
	// Checksum says what the list of digests is called.
	Checksum Checksum `toml:"checksum"`
	// Containers are OCI images to make from the binaries, each under a heading
	// [[image]]. Default none.
	Containers []Container `toml:"image"`
	// Before holds commands that run in the source tree before anything is
	// built, each under a heading [[before]], in order. They run in each pass's
	// own workspace, so what they generate is compared like everything else.
	Before []Hook `toml:"before"`
	// Sign says who signs the release.
	Sign Sign `toml:"sign"`
	// Check is about `twice check`.
	Check Check `toml:"check"`

	name  string
	lines *tomlfile.Index            // of all keys
	texts map[string]checkedTemplate // templates by key path
	globs map[string]glob            // target globs by key path
}

// Toolchain is the table [toolchain].
type Toolchain struct {
	// Version is "go.mod" (the default: the toolchain line of go.mod, or else
	// its go line) or an exact version, with or without "go" in the file and
	// with it here. "1.26" and "latest" are not exact.
	//
	//	version = "1.26.8"
	Version string `toml:"version"`
	// Unpublished accepts the installed Go also where it is not the published
	// one, such as a distribution's patched build. It is recorded, and others
	// cannot rebuild without it. Default false.
	Unpublished bool `toml:"unpublished"`
}

// Source is the table [source].
type Source struct {
	// Dir is the folder of the main module, relative to the release file, with
	// slashes and without "..". Default ".".
	//
	//	dir = "server"
	Dir string `toml:"dir"`
	// LFS says what happens to files that Git LFS manages: "refuse" (the
	// default) makes them an error, "pointers" builds with the pointer files as
	// git stores them.
	LFS string `toml:"lfs,enum=refuse|pointers"`
}

// Binary is a table [[binary]].
type Binary struct {
	// Name is the name of the file, without .exe. Default: the last element of
	// Package, or the project where Package is ".".
	//
	//	name = "age"
	Name string `toml:"name"`
	// Package is the main package: "." or "./" and a path in the module.
	// Required.
	//
	//	package = "./cmd/age"
	Package string `toml:"package,required"`
	// Tags are build tags in addition to those of [build].
	//
	//	tags = ["netgo"]
	Tags []string `toml:"tags"`
	// Stamps set string variables when linking (-X): the import path of the
	// package and the name of the variable, and a template for the value.
	// Default none.
	//
	//	stamps = { "main.version" = "{{.Version}}" }
	Stamps map[string]string `toml:"stamps"`
	// Env adds variables to the environment of the go command; values are
	// templates. Names that twice sets itself are refused. Default none.
	//
	//	env = { CC = "musl-gcc" }
	Env map[string]string `toml:"env"`
	// Cgo replaces the cgo of [build] for this binary.
	Cgo *bool `toml:"cgo"`
	// Targets limits the binary to the targets that match one of these globs.
	// Default: all targets.
	//
	//	targets = ["linux/*", "darwin/*"]
	Targets []string `toml:"targets"`
}

// BuildOptions is the table [build], and part of [[override]]. Nil is a key that
// is not there.
type BuildOptions struct {
	// Trimpath removes the paths of the machine from the binary (-trimpath).
	// Default true. With false, the two passes differ on purpose.
	Trimpath *bool `toml:"trimpath"`
	// BuildID is the linker's -buildid: "" (the default) for none, "keep" for
	// the one that Go computes, or a literal.
	BuildID *string `toml:"buildid"`
	// StripSymbols omits the symbol table (-s). Default true.
	StripSymbols *bool `toml:"strip_symbols"`
	// StripDWARF omits debug information (-w). Default true.
	StripDWARF *bool `toml:"strip_dwarf"`
	// PIE asks for a position independent executable. "auto" (the default)
	// leaves it to Go: PIE on darwin, windows, android and ios, where the loader
	// is always there, and not elsewhere, since a PIE on linux asks for a loader
	// that images made from scratch do not have. "on" is -buildmode=pie, an error
	// where the port has none or would need a C compiler without cgo. "off" is
	// -buildmode=exe, an error where the port has nothing but PIE.
	PIE *string `toml:"pie,enum=auto|on|off"`
	// Cgo enables cgo (CGO_ENABLED=1). Default false.
	Cgo *bool `toml:"cgo"`
	// Tags are build tags (-tags). Default none.
	//
	//	tags = ["netgo", "osusergo"]
	Tags []string `toml:"tags"`
	// GCFlags are arguments of the compiler (-gcflags), one an element. An
	// element "pattern=flag" is for the packages that match the pattern.
	// Default none.
	//
	//	gcflags = ["all=-l"]
	GCFlags []string `toml:"gcflags"`
	// ASMFlags are arguments of the assembler (-asmflags), as in GCFlags.
	// Default none.
	ASMFlags []string `toml:"asmflags"`
	// ExtLDFlags are arguments of the external linker (-extldflags), which is
	// used with cgo. Default none.
	//
	//	extldflags = ["-static"]
	ExtLDFlags []string `toml:"extldflags"`
	// Experiments are the toolchain's experiments (GOEXPERIMENT), a name each,
	// with "no" before it to switch one off. Default none.
	//
	//	experiments = ["jsonv2"]
	Experiments []string `toml:"experiments"`
	// FIPS140 selects the FIPS 140-3 module (GOFIPS140): "off" (the default),
	// "latest", "inprocess", "certified" or a version such as "v1.0.0".
	FIPS140 *string `toml:"fips140"`
	// PGO is "auto" (the default: default.pgo beside the main package is used)
	// or "off".
	PGO *string `toml:"pgo,enum=auto|off"`
}

// Matrix is the table [matrix]. Its targets are every OS with every Arch in
// every variant of that Arch, and what Include adds, without what Exclude takes
// away.
type Matrix struct {
	// OS are values of GOOS.
	//
	//	os = ["linux", "darwin", "windows"]
	OS []string `toml:"os"`
	// Arch are values of GOARCH. A pair that Go has no port for is an error,
	// never left out in silence: exclude it.
	//
	//	arch = ["amd64", "arm64"]
	Arch []string `toml:"arch"`
	// AMD64 are the variants of amd64 (GOAMD64): v1, v2, v3, v4. As with all
	// lists of variants, the default is the architecture's default alone.
	//
	//	amd64 = ["v1", "v3"]
	AMD64 []string `toml:"amd64"`
	// ARM are the variants of arm (GOARM): 5, 6, 7, with ",softfloat" or
	// ",hardfloat" where that is not what the level implies. Default "7".
	ARM []string `toml:"arm"`
	// ARM64 are the variants of arm64 (GOARM64): v8.0 to v9.5, with ",lse" and
	// ",crypto". Default "v8.0".
	ARM64 []string `toml:"arm64"`
	// I386 are the variants of 386 (GO386): sse2, softfloat. Default "sse2".
	I386 []string `toml:"386"`
	// MIPS are the variants of mips and mipsle (GOMIPS): hardfloat, softfloat.
	// Default "hardfloat".
	MIPS []string `toml:"mips"`
	// MIPS64 are the variants of mips64 and mips64le (GOMIPS64): hardfloat,
	// softfloat. Default "hardfloat".
	MIPS64 []string `toml:"mips64"`
	// PPC64 are the variants of ppc64 and ppc64le (GOPPC64): power8, power9,
	// power10. Default "power8".
	PPC64 []string `toml:"ppc64"`
	// RISCV64 are the variants of riscv64 (GORISCV64): rva20u64, rva22u64,
	// rva23u64. Default "rva20u64".
	RISCV64 []string `toml:"riscv64"`
	// WASM are the variants of wasm (GOWASM): satconv, signext and both with a
	// comma. Default: neither.
	WASM []string `toml:"wasm"`
	// Include adds targets. An exact one ("linux/arm/6") is added as it is, and
	// is an error where it is there already. A glob stands for the toolchain's
	// ports, in the variants listed above ("freebsd/*") or in a given one
	// ("*/amd64/v3"); broken ports and what is there already are left out.
	//
	//	include = ["freebsd/amd64", "openbsd/*"]
	Include []string `toml:"include"`
	// Exclude takes away the targets that match one of these globs. "os/arch"
	// matches every variant. A glob that matches nothing is an error.
	//
	//	exclude = ["windows/arm64", "*/amd64/v3"]
	Exclude []string `toml:"exclude"`
}

// Override is a table [[override]]: options for some of the builds. Where several
// apply, each key is taken from the last of them that has it. A list replaces that
// of [build], and tags also replace those of the binary. Stamps and env add to those
// of the binary, name by name.
type Override struct {
	// Target is a glob for targets. Required.
	//
	//	target = "linux/*"
	Target string `toml:"target,required"`
	// Binary is a glob for names of binaries. Default "*".
	Binary string `toml:"binary"`
	BuildOptions
	// Stamps and Env are as in [[binary]].
	Stamps map[string]string `toml:"stamps"`
	Env    map[string]string `toml:"env"`
}

// Packaging is the table [archive].
type Packaging struct {
	// Format is "tar.gz" (the default), "tar.zst", "zip", or "none" for the
	// binaries as they are.
	Format string `toml:"format,enum=tar.gz|tar.zst|zip|none"`
	// Formats replaces the format for some operating systems. Default: zip for
	// windows. Giving the table replaces that default.
	//
	//	formats = { windows = "zip", darwin = "zip" }
	Formats map[string]string `toml:"formats,enum=tar.gz|tar.zst|zip|none"`
	// Name is a template for the file name, without the suffix of the format.
	// {{.Binary}} can be used where there is one binary, and with format "none",
	// where each has a file of its own.
	// Default "{{.Project}}_{{.Version}}_{{.Target.Slug}}".
	Name string `toml:"name"`
	// Wrap is a template for a folder that everything in an archive lies in.
	// Default "": no folder.
	//
	//	wrap = "{{.Project}}-{{.Version}}"
	Wrap string `toml:"wrap"`
	// Files are globs, relative to the release file's folder, for files that go into
	// every archive. A glob that matches nothing is an error. Default: the
	// licence and read-me files that are there (LICENSE*, LICENCE*, COPYING*,
	// NOTICE*, README*).
	//
	//	files = ["LICENSE", "doc/*.1"]
	Files []string `toml:"files"`
}

// Checksum is the table [checksum].
type Checksum struct {
	// File is the name of the list of digests. Default "SHA256SUMS".
	File string `toml:"file"`
}

// Hook is a table [[before]].
type Hook struct {
	// Run is the command and its arguments, which are templates; there is no
	// shell. Required.
	//
	//	run = ["go", "generate", "./..."]
	Run []string `toml:"run,required"`
}

// Sign is the table [sign], which is about releases. Without it and without the
// flags that say the same, a release is refused. A snapshot is signed as the flags
// say, and without these with a development key, which proves nothing about who
// built it.
type Sign struct {
	// Key is a file with a private key, relative to the release file's folder and
	// best outside of the repository, or a key of a key management service such
	// as "awskms:///alias/release" (see twice keygen).
	//
	//	key = "../release.key"
	Key string `toml:"key"`
	// Keyless signs with a certificate that lives for minutes, for whom an OpenID
	// Connect provider says the caller is: GitHub Actions, GitLab CI, or a person
	// with a browser. Not together with Key. Default false.
	Keyless bool `toml:"keyless"`
	// SigningConfig and TrustedRoot are files that describe a Sigstore instance of
	// one's own, relative to the release file's folder. Default: the public good
	// instance. With Key they add entries in its logs and its time stamps.
	//
	//	signing_config = "sigstore/signing_config.json"
	//	trusted_root = "sigstore/trusted_root.json"
	SigningConfig string `toml:"signing_config"`
	TrustedRoot   string `toml:"trusted_root"`
	// Builder is the URI in the provenance for who ran the build, which verifiers
	// compare. Default: that of twice on somebody's machine.
	//
	//	builder = "https://example.com/release-machine"
	Builder string `toml:"builder"`
}

// Check is the table [check].
type Check struct {
	// Silence holds identifiers of lints that `twice check` does not tell of,
	// because somebody has looked at what they are about and means it so. See
	// [lintid.All], and `twice check --explain ID` for what each of them means. It
	// changes no verdict: what a release refuses it refuses all the same.
	// Default none.
	//
	//	silence = ["hook-clock"]
	Silence []lintid.ID `toml:"silence,enum=@lint"`
}

// MaxSize is the greatest size of a release file, in bytes.
const MaxSize = 1 << 20

// Parse reads the text of a release file, which errors call name.
func Parse(name string, data []byte) (*File, error) {
	one := func(line int, msg string) tomlfile.Errors {
		return tomlfile.Errors{{File: name, Line: line, Msg: msg}}
	}
	if len(data) > MaxSize {
		return nil, one(1, fmt.Sprintf("larger than %d bytes", MaxSize))
	}

	// The index comes first: it refuses text that the library should not read.
	lines, shapeErr := tomlfile.ReadIndex(string(data))
	if limit := (*tomlfile.LimitError)(nil); errors.As(shapeErr, &limit) {
		return nil, one(lines.Clamp(limit.Line), limit.Msg)
	}

	tree, err := tomlfile.Decode(name, string(data))
	if syntax := (*tomlfile.Error)(nil); errors.As(err, &syntax) {
		return nil, one(lines.Clamp(syntax.Line), syntax.Msg)
	}
	if shapeErr != nil {
		// The library reads some text that the index does not. No release file needs
		// it, and without the index its errors have no lines.
		return nil, one(1, "unusual TOML that twice does not read")
	}

	f := &File{name: name, lines: lines, texts: map[string]checkedTemplate{}, globs: map[string]glob{}}
	p := &parser{faults: faults{file: name, lines: lines, rejected: map[string]bool{}}, f: f}

	p.decodeTable("", tree, reflect.ValueOf(f).Elem())
	p.checkFile()
	if err := p.err(); err != nil {
		return nil, err
	}
	return f, nil
}
