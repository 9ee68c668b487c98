package explain

import "slices"

// causeKind is a kind of cause: the index of its row in the table of kinds.
//
// A cause is added in this file alone. Its constant stands where it ranks, and its row describes
// it. A cause ranks first if it makes more of a difference, or leaves less to look at once it is
// known.
type causeKind int

const (
	// What is in the file.
	causeArchiveMembers causeKind = iota
	causeArchiveType
	causeFileType
	causePacked
	causePlatform
	causeUniversalSlices

	// Who made it.
	causeNoBuildInfo
	causeOtherGoVersion
	causeCompiler

	// Settings that are recorded.
	causeRace
	causeMSan
	causeASan
	causeCover
	causePIE
	causeBuildmode
	causeGO386
	causeGOAMD64
	causeGOARM
	causeGOARM64
	causeGOMIPS
	causeGOMIPS64
	causeGOPPC64
	causeGORISCV64
	causeGOWASM
	causeGOEXPERIMENT
	causeGOFIPS140
	causePGO
	causeTags
	causeGcflags
	causeAsmflags
	causeGccgoflags
	causeCgo
	causeCgoFlags
	causeMainPackage
	causeModuleReplaced
	causeModuleVersion
	causeModuleSum
	causeDependencySumsMissing
	causeModuleSource
	causeVCSModified
	causeVCSStamp
	causeVCSMissing
	causeMainVersion
	causeGODEBUG
	causeSetting

	// What was done later.
	causeSignatureOnly
	causeBuildIDOnly
	causeStripped
	causeChangedAfterLinking

	// What is in it that should not be.
	causeTrimpath
	causePathOfBuildFolder
	causePathOfGOROOT
	causePathOfModuleCache
	causeEmbeddedFile
	causeTimeStamp
	causeLdflagsX
	causeVaried
	causeUserOrHost
	causeHostPath
	causeCCompiler
	causeDebugCompression
	causeLdflags
	causePEHeader

	// What follows from the code.
	causeOtherToolchainSameVersion
	causeCompilerOutput
	causeSource
	causeLinkerOutput

	// Files and archives as such.
	causeLineEndings
	causeLineOrder
	causeContent
	causeArchiveFormat
	causeArchiveOrder
	causeArchiveMtime
	causeArchiveMode
	causeArchiveOwner
	causeArchiveHeader
	causeCompressorHeader
	causeCompressor
	causeArchivePadding
	causeAppended
	causeUnknown
)

// Kind is a kind of cause.
type Kind struct {
	// ID is the identifier, which stays the same from release to release.
	ID string `json:"id"`
	// Meaning says what it is.
	Meaning string `json:"meaning"`
	// Remedy says what makes it go away, in general.
	Remedy string `json:"remedy,omitempty"`

	// code reports whether this cause alone can make all functions differ, so that
	// their difference says nothing more.
	code bool
}

// Kinds returns the kinds of causes in the order of their rank. Causes that are
// only possible come after all others, whatever their kind.
func Kinds() []Kind { return slices.Clone(kinds[:]) }

const sameSettings = "set it in the recipe, and build with GOENV=off in an environment that has nothing else"

var kinds = [...]Kind{
	// What is in the file.
	causeArchiveMembers:  {"archive-members", "a member is in one of the archives only", "pack the same list of files", false},
	causeArchiveType:     {"archive-type", "a member is of another type", "pack files, not links or folders, or the same in both", false},
	causeFileType:        {"file-type", "the files are of different kinds", "compare files of one kind", true},
	causePacked:          {"packed", "one of the files was packed by an executable packer", "compare before it is packed", true},
	causePlatform:        {"platform", "they are for different platforms", "compare files of one platform", true},
	causeUniversalSlices: {"universal-slices", "the universal file has other slices", "join the same slices in the same order", false},

	// Who made it.
	causeNoBuildInfo:    {"no-build-info", "only one of them has build information: another build system, an obfuscator such as garble, or none of Go's", "build both with the go command", true},
	causeOtherGoVersion: {"other-go-version", "built by another version of Go", "pin the version of Go", true},
	causeCompiler:       {"compiler", "built by another compiler (gc, gccgo)", sameSettings, true},

	// Settings that are recorded.
	causeRace:                  {"race", "the race detector (-race)", sameSettings, true},
	causeMSan:                  {"msan", "the memory sanitizer (-msan)", sameSettings, true},
	causeASan:                  {"asan", "the address sanitizer (-asan)", sameSettings, true},
	causeCover:                 {"cover", "coverage counters (-cover)", sameSettings, true},
	causePIE:                   {"pie", "position-independent or not (-buildmode=pie)", sameSettings, true},
	causeBuildmode:             {"buildmode", "another -buildmode", sameSettings, true},
	causeGO386:                 {"go386", "GO386, the instructions that may be used", sameSettings, true},
	causeGOAMD64:               {"goamd64", "GOAMD64, the instructions that may be used", sameSettings, true},
	causeGOARM:                 {"goarm", "GOARM, the instructions that may be used", sameSettings, true},
	causeGOARM64:               {"goarm64", "GOARM64, the instructions that may be used", sameSettings, true},
	causeGOMIPS:                {"gomips", "GOMIPS, how floating point is done", sameSettings, true},
	causeGOMIPS64:              {"gomips64", "GOMIPS64, how floating point is done", sameSettings, true},
	causeGOPPC64:               {"goppc64", "GOPPC64, the instructions that may be used", sameSettings, true},
	causeGORISCV64:             {"goriscv64", "GORISCV64, the instructions that may be used", sameSettings, true},
	causeGOWASM:                {"gowasm", "GOWASM, the instructions that may be used", sameSettings, true},
	causeGOEXPERIMENT:          {"goexperiment", "GOEXPERIMENT", sameSettings, true},
	causeGOFIPS140:             {"gofips140", "GOFIPS140, which cryptographic module is used", sameSettings, true},
	causePGO:                   {"pgo", "the profile that the compiler was guided by", "build with -pgo=off, or with the same profile", true},
	causeTags:                  {"tags", "build tags (-tags)", sameSettings, true},
	causeGcflags:               {"gcflags", "flags of the compiler (-gcflags)", sameSettings, true},
	causeAsmflags:              {"asmflags", "flags of the assembler (-asmflags)", sameSettings, true},
	causeGccgoflags:            {"gccgoflags", "flags of gccgo (-gccgoflags)", sameSettings, true},
	causeCgo:                   {"cgo", "CGO_ENABLED, or C code is in one of them only", "set CGO_ENABLED", true},
	causeCgoFlags:              {"cgo-flags", "flags of the C compiler (CGO_CFLAGS and others)", sameSettings, true},
	causeMainPackage:           {"main-package", "the program was named in another way: a folder, or files", "name the package by its folder", false},
	causeModuleReplaced:        {"module-replaced", "a module is replaced in one of them", "build from the same go.mod, without a go.work", true},
	causeModuleVersion:         {"module-version", "another version of a module", "build from the same go.mod", true},
	causeModuleSum:             {"module-sum", "the same version of a module, but with other content", "find out who served the other content: it may be an attack", true},
	causeDependencySumsMissing: {"dependency-sums-missing", "only one of them has the sums of its dependencies: built from a vendor folder", "build both with -mod=mod, or both with -mod=vendor", false},
	causeModuleSource:          {"module-source", "one was built by go install path@version, the other from a working tree", "build both in the same way", false},
	causeVCSModified:           {"vcs-modified", "one was built from a working tree with changes", "commit, or clean the tree, before building", false},
	causeVCSStamp:              {"vcs-stamp", "another commit", "build the same commit", false},
	causeVCSMissing:            {"vcs-missing", "only one of them is stamped by the version control system", "set -buildvcs, and build both with or without a repository", false},
	causeMainVersion:           {"main-version", "another version of the main module: a tag that one of the repositories does not have", "fetch all tags, or build with -buildvcs=false", false},
	causeGODEBUG:               {"godebug", "GODEBUG settings of go.mod or of the source", "build from the same go.mod", false},
	causeSetting:               {"setting", "a recorded setting that this program does not know", sameSettings, true},

	// What was done later.
	causeSignatureOnly:       {"signature-only", "nothing but the code signature", "compare without the signatures", false},
	causeBuildIDOnly:         {"build-id-only", "nothing but the build ID, and what is made of it", "link both with the same -buildid, or none", false},
	causeStripped:            {"stripped", "the symbol table or debug information is in one of them only (-s, -w, or strip)", "link both with the same -ldflags, and strip neither", false},
	causeChangedAfterLinking: {"changed-after-linking", "a file was changed after it was linked", "compare what the linker wrote", false},

	// What is in it that should not be.
	causeTrimpath:          {"trimpath", "one was built with -trimpath", "build with -trimpath", false},
	causePathOfBuildFolder: {"path-of-build-folder", "the path of the folder it was built in", "build with -trimpath", false},
	causePathOfGOROOT:      {"path-of-goroot", "the path of the Go toolchain", "build with -trimpath", false},
	causePathOfModuleCache: {"path-of-module-cache", "the path of the module cache", "build with -trimpath", false},
	causeEmbeddedFile:      {"embedded-file", "an embedded file", "make the file from the source alone: no time, no host, sorted", false},
	causeTimeStamp:         {"time-stamp", "a time", "take the commit's time (SOURCE_DATE_EPOCH), or leave it out", false},
	causeLdflagsX:          {"ldflags-x", "the value that -X gives to a variable", "set it from the commit, or not at all", false},
	causeVaried:            {"varied", "something that was different on purpose", "keep it out of the build", false},
	causeUserOrHost:        {"user-or-host", "the name of a user or of a host", "keep it out of the build", false},
	causeHostPath:          {"host-path", "a path of the machine it was built on", "keep it out of the build: generated files, -X, cgo without -ffile-prefix-map", false},
	causeCCompiler:         {"c-compiler", "another C compiler or linker", "pin the C compiler, or build with CGO_ENABLED=0", true},
	causeDebugCompression:  {"debug-compression", "debug information is compressed in one of them only", "link both with the same -compressdwarf", false},
	causeLdflags:           {"ldflags", "flags of the linker (-ldflags)", "link both with the same -ldflags, in the same order", false},
	causePEHeader:          {"pe-header", "a time stamp or check sum in the header of a PE file", "link with Go's own linker, and change nothing later", false},

	// What follows from the code.
	causeOtherToolchainSameVersion: {"other-toolchain-same-version", "another toolchain that says it is the same version, or a changed standard library (-overlay)", "use the published toolchain of go.dev", true},
	causeCompilerOutput:            {"compiler-output", "the compiler made another output from the same inputs", "report it to the Go project", true},
	causeSource:                    {"source", "the source", "build the same source; where it is generated, make the generator deterministic", true},
	causeLinkerOutput:              {"linker-output", "the linker made another output from the same inputs", "with cgo: pin the C linker; without: report it to the Go project", false},

	// Files and archives as such.
	causeLineEndings:      {"line-endings", "the ends of lines (LF, CRLF)", "check the files out with the same .gitattributes", false},
	causeLineOrder:        {"line-order", "the same lines in another order", "sort what comes out of a map or a folder", false},
	causeContent:          {"content", "the content", "make it from the source alone", false},
	causeArchiveFormat:    {"archive-format", "another format of archive", "pack both in the same format", false},
	causeArchiveOrder:     {"archive-order", "the order of the members", "sort the members by name", false},
	causeArchiveMtime:     {"archive-mtime", "the time of a member", "set all to the commit's time (SOURCE_DATE_EPOCH)", false},
	causeArchiveMode:      {"archive-mode", "the mode of a member: a umask, or a file system that has no modes", "set the modes", false},
	causeArchiveOwner:     {"archive-owner", "the owner of a member", "set owner and group to 0, without names", false},
	causeArchiveHeader:    {"archive-header", "another attribute of a member", "write the archive with the same program", false},
	causeCompressorHeader: {"compressor-header", "the header of the compressed stream: a name, a time, a system", "gzip -n, or a writer that leaves the name and time out", false},
	causeCompressor:       {"compressor", "the compressor: another program, version or level", "pin the compressor", false},
	causeArchivePadding:   {"archive-padding", "what is between or after the members", "write the archive with the same program", false},
	causeAppended:         {"appended", "one is the other and more bytes", "fetch it again; look who appends", false},
	causeUnknown:          {"unknown", "nothing that is known of explains it", "", false},
}

// String returns the identifier.
func (k causeKind) String() string { return kinds[k].ID }

// kindOf returns the kind with an identifier. An explanation read from a record may
// have been made by another version, so there need not be one.
func kindOf(id string) (causeKind, bool) {
	i := slices.IndexFunc(kinds[:], func(k Kind) bool { return k.ID == id })
	return causeKind(i), i >= 0
}
