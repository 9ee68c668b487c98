package matrix

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix/tomlfile"
)

// Quote joins arguments into the value of a flag of the go command that holds
// several: -ldflags, -gcflags, -asmflags, and the linker's -extldflags. An
// argument with spaces or quotes is put in quotes. There are no escapes, so an
// argument with both kinds of quotes, a line end or a NUL is an error. The format is
// that of cmd/internal/quoted in the Go tree.
func Quote(args []string) (string, error) {
	var b strings.Builder
	for i, arg := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		quote := ""
		switch {
		case strings.ContainsAny(arg, "\x00\n\r"):
			return "", fmt.Errorf("%q holds a line end or a NUL", arg)
		case strings.Contains(arg, "'") && strings.Contains(arg, `"`):
			return "", fmt.Errorf("%q holds both kinds of quotes, which the go command cannot read", arg)
		case strings.Contains(arg, "'"):
			quote = `"`
		case arg == "" || strings.ContainsAny(arg, " \t\""):
			quote = "'"
		}
		b.WriteString(quote + arg + quote)
	}
	return b.String(), nil
}

// Split returns the arguments in the value of such a flag, as the go command reads
// it. It is the inverse of [Quote]. A quotation without an end is an error.
func Split(value string) ([]string, error) {
	const space = " \t\n\r"
	var list []string
	for {
		value = strings.TrimLeft(value, space)
		if value == "" {
			return list, nil
		}
		if q := value[0]; q == '"' || q == '\'' {
			end := strings.IndexByte(value[1:], q)
			if end < 0 {
				return nil, errors.New("a quotation has no end")
			}
			list, value = append(list, value[1:1+end]), value[2+end:]
			continue
		}
		end := strings.IndexAny(value, space)
		if end < 0 {
			end = len(value)
		}
		list, value = append(list, value[:end]), value[end:]
	}
}

// extLDFlags is the linker's argument -extldflags, or "". Its value is quoted
// twice: once within itself, and once within -ldflags.
func extLDFlags(flags []string) (string, error) {
	if len(flags) == 0 {
		return "", nil
	}
	inner, err := Quote(flags)
	if err != nil {
		return "", err
	}
	arg := "-extldflags=" + inner
	if _, err := Quote([]string{arg}); err != nil {
		return "", fmt.Errorf("quotes and spaces do not go together here: %w", err)
	}
	return arg, nil
}

// Flags returns the flags of `go build` that the options and stamps come to, in
// a fixed order: -trimpath, -buildmode, -tags, -gcflags, -asmflags, -pgo and
// -ldflags, each with its value after "=" and left out where the go command's
// default is meant. The given arguments for the linker stand at the end of
// -ldflags. Cgo, Experiments, FIPS140 and Env belong to the environment and are not
// here.
func (b Build) Flags(ldflags ...string) ([]string, error) {
	o := b.Options
	var flags []string
	if o.Trimpath {
		flags = append(flags, "-trimpath")
	}
	if o.BuildMode != "" {
		flags = append(flags, "-buildmode="+o.BuildMode)
	}
	if len(o.Tags) > 0 {
		flags = append(flags, "-tags="+strings.Join(o.Tags, ","))
	}
	flags = append(flags, perPackage("-gcflags=", o.GCFlags)...)
	flags = append(flags, perPackage("-asmflags=", o.ASMFlags)...)
	flags = append(flags, "-pgo="+o.PGO)

	var link []string
	if o.BuildID != "keep" {
		link = append(link, "-buildid="+o.BuildID)
	}
	if o.StripSymbols {
		link = append(link, "-s")
	}
	switch {
	case o.StripDWARF:
		link = append(link, "-w")
	case o.StripSymbols:
		link = append(link, "-w=0") // since Go 1.22, -s implies -w
	}
	for _, s := range b.Stamps {
		link = append(link, "-X="+s.Name+"="+s.Value)
	}
	ext, err := extLDFlags(o.ExtLDFlags)
	if err != nil {
		return nil, err
	}
	if ext != "" {
		link = append(link, ext)
	}

	if link = append(link, ldflags...); len(link) > 0 {
		value, err := Quote(link)
		if err != nil {
			return nil, err
		}
		flags = append(flags, "-ldflags="+value)
	}
	return flags, nil
}

// perPackage returns one flag with the arguments that have no pattern, and one flag
// for each pattern. Of several flags that match a package, the go command takes the
// last.
func perPackage(name string, args []string) []string {
	var patterns []string
	values := map[string][]string{}
	for _, a := range args {
		pattern, flag := splitPattern(a)
		if _, ok := values[pattern]; !ok && pattern != "" {
			patterns = append(patterns, pattern)
		}
		values[pattern] = append(values[pattern], flag)
	}
	var flags []string
	if plain := values[""]; len(plain) > 0 {
		flags = append(flags, name+strings.Join(plain, " "))
	}
	for _, p := range patterns {
		flags = append(flags, name+p+"="+strings.Join(values[p], " "))
	}
	return flags
}

// splitPattern splits pattern=flag. The pattern may be missing.
func splitPattern(s string) (pattern, flag string) {
	if strings.HasPrefix(s, "-") {
		return "", s
	}
	pattern, flag, _ = strings.Cut(s, "=")
	return pattern, flag
}

// checkToolFlags checks arguments of the compiler or the assembler.
func (p *parser) checkToolFlags(key string, args []string, refuses func(name, value string) string) {
	for i, arg := range args {
		k := tomlfile.Element(key, i)
		if !p.accepted(k) {
			continue
		}
		pattern, flag := splitPattern(arg)
		name, value, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
		switch why := refuses(name, value); {
		case strings.ContainsAny(arg, " \t\n\r\"'"):
			p.reject(k, `write one argument an element, and a value after "="`, "%q is not one argument", arg)
		case !strings.HasPrefix(flag, "-") || name == "" || !strings.HasPrefix(arg, "-") && pattern == "":
			p.reject(k, `write "-flag", "-flag=value" or "pattern=-flag"`, "%q is no flag", arg)
		case why != "":
			p.reject(k, "", "-%s: %s", name, why)
		}
	}
}

// Reasons to refuse a flag.
const (
	reasonGoSets = "the go command sets it"
	reasonWrites = "it writes a file beside the build"
	reasonStops  = "with it nothing is compiled"
)

// compilerRefusal says why a flag of the compiler has no place in a release.
func compilerRefusal(name, value string) string {
	switch {
	case slices.Contains([]string{"cpuprofile", "memprofile", "memprofilerate", "blockprofile", "mutexprofile", "traceprofile", "bench", "json", "asmhdr", "linkobj"}, name),
		name == "d" && strings.Contains(value, "dump"):
		return reasonWrites
	case slices.Contains([]string{"o", "p", "I", "D", "trimpath", "importcfg", "embedcfg", "coveragecfg", "symabis", "pack", "complete",
		"std", "+", "goversion", "buildid", "installsuffix", "nolocalimports", "dynlink", "shared", "linkshared", "lang", "env", "c"}, name):
		return reasonGoSets
	case name == "pgoprofile":
		return "use build.pgo"
	case slices.Contains([]string{"race", "msan", "asan"}, name):
		return "it needs a runtime that is built for it"
	case slices.Contains([]string{"toolexec", "extld"}, name):
		return "it runs another program, and is no flag of the compiler"
	case slices.Contains([]string{"V", "h", "help"}, name):
		return reasonStops
	}
	return ""
}

// assemblerRefusal says why a flag of the assembler has no place in a release.
func assemblerRefusal(name, _ string) string {
	switch name {
	case "o", "p", "I", "trimpath", "gensymabis", "symabis", "importcfg", "dynlink", "shared", "linkshared", "compiling-runtime":
		return reasonGoSets
	case "cpuprofile", "memprofile", "blockprofile", "mutexprofile", "traceprofile":
		return reasonWrites
	case "toolexec", "extld":
		return "it runs another program, and is no flag of the assembler"
	case "V", "h", "help":
		return reasonStops
	}
	return ""
}

// linkerRefusal says why an argument of the external linker has no place in a
// release. The linker is called through a C compiler, whose -Wl, holds several.
func linkerRefusal(arg string) string {
	for i, part := range strings.Split(arg, ",") {
		if i > 0 && !strings.HasPrefix(arg, "-Wl,") {
			break
		}
		flag := "-" + strings.TrimLeft(part, "-")
		name, _, _ := strings.Cut(flag, "=")
		switch {
		case arg == "" || strings.HasPrefix(part, "@"):
			return "not an argument that can be read here"
		case slices.Contains([]string{"-o", "-output"}, name) || len(part) > 2 && part[:2] == "-o" && !strings.HasPrefix(part, "-oformat") && strings.ContainsAny(part, "/."):
			return "the go command names the output"
		case slices.Contains([]string{"-Map", "-map", "-M", "-save-temps", "-dumpdir", "-dumpbase", "-dependency-file", "-out-implib", "-pdb", "-time-trace"}, name):
			return reasonWrites
		case slices.Contains([]string{"-wrapper", "-plugin", "-fplugin", "-specs"}, name) || strings.HasPrefix(flag, "-fplugin"):
			return "it runs or reads something outside the source"
		}
	}
	return ""
}
