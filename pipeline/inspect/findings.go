package inspect

import (
	"errors"
	"go/version"
	"slices"
	"strings"
)

// Question is a question about how a binary was made.
type Question string

// The questions, see the meaning of each in [Questions].
const (
	NoSymbols       Question = "-s"
	NoDWARF         Question = "-w"
	CompressedDWARF Question = "zdwarf"
	Trimpath        Question = "-trimpath"
	PIE             Question = "pie"
	Static          Question = "static"
	NX              Question = "nx"
	RelRO           Question = "relro"
	Cgo             Question = "cgo"
	Race            Question = "-race"
	MSan            Question = "-msan"
	ASan            Question = "-asan"
)

// questions holds every question, in the order of [Facts.Findings]. A question is
// added here, with its constant above.
var questions = []struct {
	name    Question
	meaning string
	// flag reports whether a yes is listed among the flags of [Document.FprintTable].
	flag   bool
	answer func(f *Facts, b *Binary) (Answer, string)
}{
	{NoSymbols, "there is no symbol table", true, (*Facts).noSymbols},
	{NoDWARF, "there is no DWARF", true, (*Facts).noDWARF},
	{CompressedDWARF, "DWARF is compressed", false, (*Facts).compressedDWARF},
	{Trimpath, "no source path is absolute", true, (*Facts).trimpath},
	{PIE, "it can be loaded anywhere", true, (*Facts).pie},
	{Static, "it needs no libraries", true, (*Facts).static},
	{NX, "no memory is both writable and executable, the stack included", false, (*Facts).nx},
	{RelRO, "relocated data is made read-only", false, (*Facts).relro},
	{Cgo, "C code is in it, through cgo", true, (*Facts).cgo},
	{Race, "it was built with the race detector", true, setting(Race)},
	{MSan, "it was built with the memory sanitizer", true, setting(MSan)},
	{ASan, "it was built with the address sanitizer", true, setting(ASan)},
}

// Questions calls yield with each question and what a yes to it means, in the order
// of [Facts.Findings].
func Questions(yield func(q Question, meaning string) bool) {
	for _, q := range questions {
		if !yield(q.name, q.meaning) {
			return
		}
	}
}

// isFlag reports whether a yes to the question is listed among the flags of a table.
func (q Question) isFlag() bool {
	for _, row := range questions {
		if row.name == q {
			return row.flag
		}
	}
	return false
}

// answerQuestions fills in the findings.
func (f *Facts) answerQuestions(b *Binary) {
	for _, q := range questions {
		is, why := q.answer(f, b)
		f.Findings = append(f.Findings, Finding{q.name, is, why})
	}
}

func (f *Facts) noSymbols(b *Binary) (Answer, string) {
	if symbols, _, _ := b.debug(); symbols {
		if f.KeepsSymbols() {
			return No, "there is a symbol table, with or without -s: before Go 1.22 it is not left out on macOS"
		}
		return No, "there is a symbol table"
	}
	return Yes, "there is no symbol table: " + f.removedBy("-s")
}

func (f *Facts) noDWARF(b *Binary) (Answer, string) {
	_, dwarf, _ := b.debug()
	switch {
	case dwarf:
		return No, "there is DWARF"
	case b.Format == Wasm:
		return Unknown, "Go's linker writes no DWARF for WebAssembly"
	}
	if f.KeepsSymbols() {
		return Yes, "there is no DWARF: " + f.removedBy("-w")
	}
	return Yes, "there is no DWARF: " + f.removedBy("-w or -s")
}

// KeepsSymbols reports whether -ldflags=-s has no effect on the tables of symbols and of DWARF, as in
// Mach-O files of Go 1.21 and earlier. Then the file does not tell whether it was given.
func (f *Facts) KeepsSymbols() bool {
	v := releaseOf(f.GoVersion)
	return f.Format == MachO && v != "" && version.Compare(v, "go1.22") < 0
}

func (f *Facts) compressedDWARF(b *Binary) (Answer, string) {
	_, dwarf, compressed := b.debug()
	switch {
	case !dwarf:
		return Unknown, "there is no DWARF"
	case compressed:
		return Yes, "DWARF sections are compressed"
	}
	return No, "DWARF sections are not compressed"
}

// removedBy says who took something away.
func (f *Facts) removedBy(flag string) string {
	if f.Content != nil && (f.Content.State == ContentIntact || f.Content.State == ContentSigned) {
		return "linked with " + flag + ", as the build ID still fits the file"
	}
	return "linked with " + flag + " or stripped later"
}

// debug reports whether there is a symbol table, whether there is DWARF, and
// whether DWARF is compressed.
func (b *Binary) debug() (symbols, dwarf, compressed bool) {
	for _, s := range b.Sections {
		_, name, _ := strings.Cut(s.Name, ",")
		switch {
		case strings.HasPrefix(s.Name, ".debug_info"), strings.HasPrefix(s.Name, ".zdebug_info"), name == "__debug_info", name == "__zdebug_info":
			dwarf, compressed = true, s.Compressed
		case b.Format == ELF && s.Name == ".symtab", b.Format == Wasm && s.Name == "name":
			symbols = true
		}
	}

	switch b.Format {
	case PE:
		symbols = b.pe.symbols
	case MachO:
		// What is left with -s are the symbols of libraries.
		if c, ok := b.macho.command(lcDysymtab, 28); ok {
			symbols = c.word(12)+c.word(20) > 0
		}
	}

	return symbols, dwarf, compressed
}

func (f *Facts) trimpath(b *Binary) (Answer, string) {
	v, _ := f.setting("-trimpath")
	recorded := v == "true"

	// The sources speak for themselves where the setting is not recorded.
	absolute, n := "", 0
	for path, err := range b.SourceFiles() {
		if err != nil {
			if !errors.Is(err, ErrNoFunctions) {
				f.note(err)
			}
			break
		}
		n++
		// With cgo, files that are not Go's keep the names that the C compiler gave them.
		if isAbsolute(path) && absolute == "" && strings.HasSuffix(path, ".go") {
			absolute = path
		}
	}

	switch {
	case recorded && absolute != "":
		return Yes, "setting -trimpath=true, although there is the source " + absolute
	case recorded:
		return Yes, "setting -trimpath=true"
	case absolute != "":
		return No, "there is the source " + absolute
	case n > 0:
		return Yes, "no source path is absolute"
	}
	return Unknown, "no settings and no source paths"
}

// isAbsolute reports whether s is an absolute path of Unix or Windows.
func isAbsolute(s string) bool {
	return strings.HasPrefix(s, "/") || len(s) > 2 && isLetter(s[0]) && s[1] == ':' && (s[2] == '\\' || s[2] == '/')
}

func (f *Facts) pie(*Binary) (Answer, string) {
	switch f.Kind {
	case independent, library:
		return Yes, "the headers say " + f.Kind
	case executable:
		return No, "the headers say " + f.Kind
	}
	return Unknown, notApplicable
}

// notApplicable is the reason of an answer that a format cannot give. A page leaves
// these findings out.
const notApplicable = "does not apply"

func (f *Facts) static(b *Binary) (Answer, string) {
	switch {
	case len(f.Libraries) > 0 && b.Format == Wasm:
		return No, "it imports from " + f.Libraries[0]
	case len(f.Libraries) > 0:
		return No, "it asks for " + f.Libraries[0]
	case f.Interpreter != "":
		return No, "it asks for the loader " + f.Interpreter + ", and for no library"
	}
	return Yes, "it asks for no loader and no library"
}

func (f *Facts) nx(b *Binary) (Answer, string) {
	const executable, writable = 1, 2 // of ELF segments
	switch b.Format {
	case ELF:
		stack, ok := b.elf.prog(ptStack)
		both := slices.ContainsFunc(b.elf.progs, func(p prog) bool {
			return p.kind == ptLoad && p.flags&executable != 0 && p.flags&writable != 0
		})

		switch {
		case both:
			return No, "a segment is writable and executable"
		case !ok:
			return Unknown, "it does not say so of the stack (no PT_GNU_STACK)"
		case stack.flags&executable != 0:
			return No, "the stack is executable"
		}
		return Yes, "PT_GNU_STACK and all segments"
	case MachO:
		const stackExecution = 0x20000
		no := b.macho.flags&stackExecution == 0

		return yesOrNo(no), presence(!no, "flag MH_ALLOW_STACK_EXECUTION")
	case PE:
		nx := b.pe.dll&peNX != 0
		return yesOrNo(nx), presence(nx, "flag NX_COMPAT")
	}
	return Unknown, notApplicable
}

func (f *Facts) relro(b *Binary) (Answer, string) {
	switch b.Format {
	case ELF:
		_, ok := b.elf.prog(ptRelro)
		switch {
		case !ok:
			return No, "no PT_GNU_RELRO"
		case b.dynamic().bindNow:
			return Yes, "full: PT_GNU_RELRO, and symbols are bound at the start"
		}
		return Yes, "partial: PT_GNU_RELRO, and symbols are bound when they are used"
	case MachO:
		_, ok := b.macho.segment("__DATA_CONST")
		return yesOrNo(ok), presence(ok, "segment __DATA_CONST")
	}
	return Unknown, notApplicable
}

// presence says whether something is there.
func presence(is bool, what string) string {
	if is {
		return "there is the " + what
	}
	return "there is no " + what
}

// cgo looks for what cgo and package runtime/cgo leave in the tables of functions and files. Calls of C
// may be inlined, so that a single trace has to do.
func (f *Facts) cgo(b *Binary) (Answer, string) {
	enabled := f.settingText("CGO_ENABLED")
	if f.Code == nil {
		return Unknown, "no functions to look for; " + enabled
	}

	// The code that cgo generates is in a file of this name.
	trace := f.Code.cgo
	for path, err := range b.SourceFiles() {
		if err != nil {
			break
		}
		if strings.HasSuffix("/"+path, "/_cgo_gotypes.go") {
			trace = cgoTrace{"the source _cgo_gotypes.go", true}
			break
		}
	}

	// Some packages call C without cgo. They have functions of the same names as its runtime.
	off := strings.HasSuffix(enabled, "=0")
	switch {
	case trace.what != "" && (trace.generated || !off):
		return Yes, trace.what + " is in it; " + enabled
	case trace.what != "":
		return No, "no code that cgo generates is in it, although " + trace.what + " is; " + enabled
	case len(f.Libraries) > 0 && !off && f.needsNoLibraries(b):
		return Unknown, "nothing of cgo was found, although it asks for " + f.Libraries[0] + "; " + enabled
	}
	return No, "nothing of cgo is in it; " + enabled
}

// needsNoLibraries reports whether Go programs for the platform ask for libraries with cgo alone.
func (f *Facts) needsNoLibraries(b *Binary) bool {
	return b.Format == ELF && !slices.Contains([]string{"openbsd", "solaris", "illumos"}, f.GOOS)
}

// cgoTrace is something that a program with cgo has.
type cgoTrace struct {
	what string
	// generated reports whether cgo itself wrote it. Otherwise it is of package runtime/cgo, and may be
	// of one that imitates it.
	generated bool
}

// traceOfCgo returns what the name of a function tells of cgo.
func traceOfCgo(function, pkg string) cgoTrace {
	what := "the function " + function
	switch _, name, _ := strings.Cut(function[strings.LastIndexByte(function, '/')+1:], "."); {
	case pkg != "" && (strings.HasPrefix(name, "_Cfunc_") || strings.HasPrefix(name, "_C2func_")),
		strings.HasPrefix(function, "_cgoexp_"):
		return cgoTrace{what, true}
	case function == "crosscall2", function == "_cgo_topofstack", function == "_cgo_panic":
		return cgoTrace{what, false}
	case pkg == "runtime/cgo" && !strings.Contains(name, "Handle") && name != "init":
		return cgoTrace{"package runtime/cgo", false}
	}
	return cgoTrace{}
}

// setting answers a question that has the name of a recorded setting.
func setting(name Question) func(*Facts, *Binary) (Answer, string) {
	return func(f *Facts, _ *Binary) (Answer, string) {
		key := string(name)
		if v, _ := f.setting(key); v == "true" {
			return Yes, "setting " + key + "=true"
		}

		// What is not there means no only if it would be there.
		if f.Build == nil || len(f.Build.Settings) == 0 || f.Records(key) == No {
			return Unknown, f.absence(key)
		}
		return No, "no setting " + key + "=true"
	}
}
