package inspect

import (
	"errors"
	"slices"
	"strings"
)

// findings answers the questions of [Finding].
func (f *Facts) findings(b *Binary) {
	add := func(name string, is Answer, why string) {
		f.Findings = append(f.Findings, Finding{name, is, why})
	}
	symbols, dwarf, zdwarf := b.debug()
	if symbols {
		add("-s", No, "there is a symbol table")
	} else {
		add("-s", Yes, "there is no symbol table: "+f.stripped("-s"))
	}
	switch {
	case dwarf:
		add("-w", No, "there is DWARF")
	case b.Format == Wasm:
		add("-w", Unknown, "Go's linker writes no DWARF for WebAssembly")
	default:
		add("-w", Yes, "there is no DWARF: "+f.stripped("-w or -s"))
	}
	switch {
	case !dwarf:
		add("zdwarf", Unknown, "there is no DWARF")
	case zdwarf:
		add("zdwarf", Yes, "DWARF sections are compressed")
	default:
		add("zdwarf", No, "DWARF sections are not compressed")
	}
	f.trimpath(b, add)
	switch f.Kind {
	case independent, library:
		add("pie", Yes, "the headers say "+f.Kind)
	case executable:
		add("pie", No, "the headers say "+f.Kind)
	default:
		add("pie", Unknown, "does not apply")
	}
	f.static(b, add)
	f.memory(b, add)
	f.cgo(add)
	for _, name := range []string{"-race", "-msan", "-asan"} {
		if f.Build == nil {
			add(name, Unknown, "no settings")
			continue
		}
		v, _ := f.Build.Setting(name)
		if v == "true" {
			add(name, Yes, "setting "+name+"=true")
		} else {
			add(name, No, "no setting "+name+"=true")
		}
	}
}

// stripped says who took something away.
func (f *Facts) stripped(flag string) string {
	if f.Content != nil && (f.Content.State == ContentIntact || f.Content.State == ContentSigned) {
		return "linked with " + flag + ", as the build ID still fits the file"
	}
	return "linked with " + flag + " or stripped later"
}

// debug tells whether there is a symbol table, and DWARF, and whether that is
// compressed.
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

func (f *Facts) trimpath(b *Binary, add func(string, Answer, string)) {
	recorded := false
	if f.Build != nil {
		v, _ := f.Build.Setting("-trimpath")
		recorded = v == "true"
	}
	absolute, n := "", 0
	for path, err := range b.SourceFiles() {
		if err != nil {
			if !errors.Is(err, ErrNoFunctions) {
				f.note(err)
			}
			break
		}
		n++
		// Other files than Go's keep the compiler's names: cgo.
		if isAbsolute(path) && absolute == "" && strings.HasSuffix(path, ".go") {
			absolute = path
		}
	}
	switch {
	case recorded && absolute != "":
		add("-trimpath", Yes, "setting -trimpath=true, although there is the source "+absolute)
	case recorded:
		add("-trimpath", Yes, "setting -trimpath=true")
	case absolute != "":
		add("-trimpath", No, "there is the source "+absolute)
	case n > 0:
		add("-trimpath", Yes, "no source path is absolute")
	default:
		add("-trimpath", Unknown, "no settings and no source paths")
	}
}

// isAbsolute tells whether s is an absolute path of Unix or Windows.
func isAbsolute(s string) bool {
	return strings.HasPrefix(s, "/") || len(s) > 2 && isLetter(s[0]) && s[1] == ':' && (s[2] == '\\' || s[2] == '/')
}

func (f *Facts) static(b *Binary, add func(string, Answer, string)) {
	switch {
	case len(f.Libraries) > 0 && b.Format == Wasm:
		add("static", No, "it imports from "+f.Libraries[0])
	case len(f.Libraries) > 0:
		add("static", No, "it asks for "+f.Libraries[0])
	case f.Interpreter != "":
		add("static", No, "it asks for the loader "+f.Interpreter+", and for no library")
	default:
		add("static", Yes, "it asks for no loader and no library")
	}
}

// memory answers about the protection of memory.
func (f *Facts) memory(b *Binary, add func(string, Answer, string)) {
	const executable, writable = 1, 2 // of ELF segments
	switch b.Format {
	case ELF:
		stack, ok := b.elf.prog(ptStack)
		both := slices.ContainsFunc(b.elf.progs, func(p prog) bool {
			return p.kind == ptLoad && p.flags&executable != 0 && p.flags&writable != 0
		})
		switch {
		case both:
			add("nx", No, "a segment is writable and executable")
		case !ok:
			add("nx", Unknown, "it does not say so of the stack (no PT_GNU_STACK)")
		case stack.flags&executable != 0:
			add("nx", No, "the stack is executable")
		default:
			add("nx", Yes, "PT_GNU_STACK and all segments")
		}
		_, ok = b.elf.prog(ptRelro)
		switch {
		case !ok:
			add("relro", No, "no PT_GNU_RELRO")
		case b.dynamic().bindNow:
			add("relro", Yes, "full: PT_GNU_RELRO, and symbols are bound at the start")
		default:
			add("relro", Yes, "partial: PT_GNU_RELRO, and symbols are bound when they are used")
		}
	case MachO:
		const stackExecution = 0x20000
		no := b.macho.flags&stackExecution == 0
		add("nx", answer(no), there(!no, "flag MH_ALLOW_STACK_EXECUTION"))
		_, ok := b.macho.segment("__DATA_CONST")
		add("relro", answer(ok), there(ok, "segment __DATA_CONST"))
	case PE:
		nx := b.pe.dll&peNX != 0
		add("nx", answer(nx), there(nx, "flag NX_COMPAT"))
		add("relro", Unknown, "does not apply")
	default:
		add("nx", Unknown, "does not apply")
		add("relro", Unknown, "does not apply")
	}
}

func there(is bool, what string) string {
	if is {
		return "there is the " + what
	}
	return "there is no " + what
}

func (f *Facts) cgo(add func(string, Answer, string)) {
	enabled := "unknown"
	if f.Build != nil {
		if v, ok := f.Build.Setting("CGO_ENABLED"); ok {
			enabled = v
		}
	}
	switch {
	case f.Code == nil:
		add("cgo", Unknown, "no functions to look for; CGO_ENABLED="+enabled)
	case slices.ContainsFunc(f.Code.Packages, func(p PackageSize) bool { return p.Path == "runtime/cgo" }):
		add("cgo", Yes, "runtime/cgo is in it; CGO_ENABLED="+enabled)
	default:
		add("cgo", No, "runtime/cgo is not in it; CGO_ENABLED="+enabled)
	}
}
