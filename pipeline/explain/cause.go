package explain

import (
	"slices"
	"strings"
)

// Cause is why two files differ.
type Cause struct {
	// ID is one of [Kinds].
	ID string `json:"id"`
	// Text says it in words, in one line.
	Text string `json:"text"`
	// Confidence is how sure it is.
	Confidence Confidence `json:"confidence"`
	// A and B are what it was seen by in the two files, where that is a text.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
	// Where is the member of an archive or the slice of a universal file that it
	// is about, empty if that is the file itself.
	Where string `json:"where,omitempty"`
	// Evidence are further observations that it rests on.
	Evidence []string `json:"evidence,omitempty"`
	// Remedy says what makes the difference go away.
	Remedy string `json:"remedy,omitempty"`
}

// Confidence is how sure a cause is.
type Confidence string

const (
	// Certain: both files say it of themselves.
	Certain Confidence = "certain"
	// Likely: it fits all that was seen.
	Likely Confidence = "likely"
	// Possible: it was seen, but so may be other causes.
	Possible Confidence = "possible"
)

// Kind is a kind of cause.
type Kind struct {
	// ID is the identifier, which stays the same from release to release.
	ID string `json:"id"`
	// Meaning says what it is.
	Meaning string `json:"meaning"`
	// Remedy says what makes it go away, in general.
	Remedy string `json:"remedy,omitempty"`

	// code tells that it alone can make all functions differ, so that their
	// difference says nothing more.
	code bool
}

// Kinds returns the kinds of causes in the order in which they are ranked: what
// makes more of a difference, or leaves less to look at once it is known, comes
// first. Causes that are only possible come after all others.
func Kinds() []Kind { return slices.Clone(kinds) }

const sameSettings = "set it in the recipe, and build with GOENV=off in an environment that has nothing else"

var kinds = []Kind{
	// What is in the file.
	{"archive-members", "a member is in one of the archives only", "pack the same list of files", false},
	{"archive-type", "a member is of another type", "pack files, not links or folders, or the same in both", false},
	{"file-type", "the files are of different kinds", "compare files of one kind", true},
	{"packed", "one of the files was packed by an executable packer", "compare before it is packed", true},
	{"platform", "they are for different platforms", "compare files of one platform", true},
	{"universal-slices", "the universal file has other slices", "join the same slices in the same order", false},

	// Who made it.
	{"no-build-info", "only one of them has build information: another build system, an obfuscator such as garble, or none of Go's", "build both with the go command", true},
	{"other-go-version", "built by another version of Go", "pin the version of Go", true},
	{"compiler", "built by another compiler (gc, gccgo)", sameSettings, true},

	// Settings that are recorded.
	{"race", "the race detector (-race)", sameSettings, true},
	{"msan", "the memory sanitizer (-msan)", sameSettings, true},
	{"asan", "the address sanitizer (-asan)", sameSettings, true},
	{"cover", "coverage counters (-cover)", sameSettings, true},
	{"pie", "position-independent or not (-buildmode=pie)", sameSettings, true},
	{"buildmode", "another -buildmode", sameSettings, true},
	{"go386", "GO386, the instructions that may be used", sameSettings, true},
	{"goamd64", "GOAMD64, the instructions that may be used", sameSettings, true},
	{"goarm", "GOARM, the instructions that may be used", sameSettings, true},
	{"goarm64", "GOARM64, the instructions that may be used", sameSettings, true},
	{"gomips", "GOMIPS, how floating point is done", sameSettings, true},
	{"gomips64", "GOMIPS64, how floating point is done", sameSettings, true},
	{"goppc64", "GOPPC64, the instructions that may be used", sameSettings, true},
	{"goriscv64", "GORISCV64, the instructions that may be used", sameSettings, true},
	{"gowasm", "GOWASM, the instructions that may be used", sameSettings, true},
	{"goexperiment", "GOEXPERIMENT", sameSettings, true},
	{"gofips140", "GOFIPS140, which cryptographic module is used", sameSettings, true},
	{"pgo", "the profile that the compiler was guided by", "build with -pgo=off, or with the same profile", true},
	{"tags", "build tags (-tags)", sameSettings, true},
	{"gcflags", "flags of the compiler (-gcflags)", sameSettings, true},
	{"asmflags", "flags of the assembler (-asmflags)", sameSettings, true},
	{"gccgoflags", "flags of gccgo (-gccgoflags)", sameSettings, true},
	{"cgo", "CGO_ENABLED, or C code is in one of them only", "set CGO_ENABLED", true},
	{"cgo-flags", "flags of the C compiler (CGO_CFLAGS and others)", sameSettings, true},
	{"main-package", "the program was named in another way: a folder, or files", "name the package by its folder", false},
	{"module-replaced", "a module is replaced in one of them", "build from the same go.mod, without a go.work", true},
	{"module-version", "another version of a module", "build from the same go.mod", true},
	{"module-sum", "the same version of a module, but with other content", "find out who served the other content: it may be an attack", true},
	{"dependency-sums-missing", "only one of them has the sums of its dependencies: built from a vendor folder", "build both with -mod=mod, or both with -mod=vendor", false},
	{"module-source", "one was built by go install path@version, the other from a working tree", "build both in the same way", false},
	{"vcs-modified", "one was built from a working tree with changes", "commit, or clean the tree, before building", false},
	{"vcs-stamp", "another commit", "build the same commit", false},
	{"vcs-missing", "only one of them is stamped by the version control system", "set -buildvcs, and build both with or without a repository", false},
	{"main-version", "another version of the main module: a tag that one of the repositories does not have", "fetch all tags, or build with -buildvcs=false", false},
	{"godebug", "GODEBUG settings of go.mod or of the source", "build from the same go.mod", false},
	{"setting", "a recorded setting that this program does not know", sameSettings, true},

	// What was done later.
	{"signature-only", "nothing but the code signature", "compare without the signatures", false},
	{"build-id-only", "nothing but the build ID, and what is made of it", "link both with the same -buildid, or none", false},
	{"stripped", "the symbol table or debug information is in one of them only (-s, -w, or strip)", "link both with the same -ldflags, and strip neither", false},
	{"changed-after-linking", "a file was changed after it was linked", "compare what the linker wrote", false},

	// What is in it that should not be.
	{"trimpath", "one was built with -trimpath", "build with -trimpath", false},
	{"path-of-build-folder", "the path of the folder it was built in", "build with -trimpath", false},
	{"path-of-goroot", "the path of the Go toolchain", "build with -trimpath", false},
	{"path-of-module-cache", "the path of the module cache", "build with -trimpath", false},
	{"embedded-file", "an embedded file", "make the file from the source alone: no time, no host, sorted", false},
	{"time-stamp", "a time", "take the commit's time (SOURCE_DATE_EPOCH), or leave it out", false},
	{"ldflags-x", "the value that -X gives to a variable", "set it from the commit, or not at all", false},
	{"varied", "something that was different on purpose", "keep it out of the build", false},
	{"user-or-host", "the name of a user or of a host", "keep it out of the build", false},
	{"host-path", "a path of the machine it was built on", "keep it out of the build: generated files, -X, cgo without -ffile-prefix-map", false},
	{"c-compiler", "another C compiler or linker", "pin the C compiler, or build with CGO_ENABLED=0", true},
	{"debug-compression", "debug information is compressed in one of them only", "link both with the same -compressdwarf", false},
	{"ldflags", "flags of the linker (-ldflags)", "link both with the same -ldflags, in the same order", false},
	{"pe-header", "a time stamp or check sum in the header of a PE file", "link with Go's own linker, and change nothing later", false},

	// What follows from the code.
	{"other-toolchain-same-version", "another toolchain that says it is the same version, or a changed standard library (-overlay)", "use the published toolchain of go.dev", true},
	{"compiler-output", "the compiler made another output from the same inputs", "report it to the Go project", true},
	{"source", "the source", "build the same source; where it is generated, make the generator deterministic", true},
	{"linker-output", "the linker made another output from the same inputs", "with cgo: pin the C linker; without: report it to the Go project", false},

	// Files and archives as such.
	{"line-endings", "the ends of lines (LF, CRLF)", "check the files out with the same .gitattributes", false},
	{"line-order", "the same lines in another order", "sort what comes out of a map or a folder", false},
	{"content", "the content", "make it from the source alone", false},
	{"archive-format", "another format of archive", "pack both in the same format", false},
	{"archive-order", "the order of the members", "sort the members by name", false},
	{"archive-mtime", "the time of a member", "set all to the commit's time (SOURCE_DATE_EPOCH)", false},
	{"archive-mode", "the mode of a member: a umask, or a file system that has no modes", "set the modes", false},
	{"archive-owner", "the owner of a member", "set owner and group to 0, without names", false},
	{"archive-header", "another attribute of a member", "write the archive with the same program", false},
	{"compressor-header", "the header of the compressed stream: a name, a time, a system", "gzip -n, or a writer that leaves the name and time out", false},
	{"compressor", "the compressor: another program, version or level", "pin the compressor", false},
	{"archive-padding", "what is between or after the members", "write the archive with the same program", false},
	{"appended", "one is the other and more bytes", "fetch it again; look who appends", false},
	{"unknown", "nothing that is known of explains it", "", false},
}

func kindIndex(id string) int {
	return slices.IndexFunc(kinds, func(k Kind) bool { return k.ID == id })
}

// cause adds a cause, once for each place. Text may be left out.
func (c *Comparison) cause(id string, sure Confidence, x Cause) {
	k := kinds[kindIndex(id)]
	x.ID, x.Confidence, x.Remedy = id, sure, k.Remedy
	if x.Text == "" {
		x.Text = k.Meaning
	}
	again := c.has(func(o Cause) bool {
		return o.ID == id && o.Where == x.Where && (o.Text == x.Text || o.A+o.B != "" && o.A == x.A && o.B == x.B)
	})
	if !again && len(c.Causes) < maxListed {
		c.Causes = append(c.Causes, x)
	}
}

func (c *Comparison) has(f func(Cause) bool) bool { return slices.ContainsFunc(c.Causes, f) }

// caused tells whether there is a cause of one of the kinds that is more than
// possible.
func (c *Comparison) caused(ids ...string) bool {
	return c.has(func(o Cause) bool { return slices.Contains(ids, o.ID) && o.Confidence != Possible })
}

// finish ranks the causes.
func (c *Comparison) finish() {
	if len(c.Causes) == 0 {
		text := "nothing that is known of explains it"
		if c.Differing > 0 {
			text = "the content differs, and nothing that is known of explains it"
		}
		c.cause("unknown", Possible, Cause{Text: text})
	}
	// A path that is known for what it is needs no other name.
	all := slices.Clone(c.Causes)
	c.Causes = slices.DeleteFunc(c.Causes, func(x Cause) bool {
		return x.ID == "varied" && slices.ContainsFunc(all, func(o Cause) bool {
			return o.ID != "varied" && o.Where == "" && o.Confidence == Certain && o.A == x.A && o.B == x.B
		})
	})
	rank := func(x Cause) int {
		n := kindIndex(x.ID)
		if x.Confidence == Possible {
			n += len(kinds)
		}
		return n
	}
	slices.SortStableFunc(c.Causes, func(x, y Cause) int { return rank(x) - rank(y) })
}

// cut shortens s to a text that can be listed.
func cut(s string) string {
	const limit = 400
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
