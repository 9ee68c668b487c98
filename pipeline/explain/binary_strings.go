package explain

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// dataSections are the sections that hold a program's constants and variables.
var dataSections = map[string]bool{
	".rodata": true, ".data": true, ".noptrdata": true, ".data.rel.ro": true, ".rdata": true, "(data)": true, ".go.module": true,
	"__TEXT,__rodata": true, "__DATA,__data": true, "__DATA,__noptrdata": true, "__DATA_CONST,__rodata": true, "__DATA,__go_module": true,
	"__TEXT,__cstring": true, "__TEXT,__const": true, ".rodata.str1.1": true, ".rodata.str1.8": true,
}

// dataSpans returns the ranges of the data sections, or the whole file if it has none.
func dataSpans(in input, b *inspect.Binary) []span {
	var list []span
	seen := int64(0)
	for _, s := range b.Sections {
		if dataSections[s.Name] && seen+s.Size <= 2*in.size {
			seen += s.Size
			list = append(list, span{s.Name, s.Offset, s.Size})
		}
	}
	if len(list) == 0 {
		return whole(in)
	}
	return list
}

// compareStrings finds paths, times, users, values of -X and other texts that differ.
func (p *binaryPair) compareStrings() {
	if p.otherPlatform() {
		// Nearly all texts stand elsewhere, and most of the others belong to the platform.
		for _, v := range p.variables() {
			p.c.addString(v)
		}
		return
	}
	a, errA := textsOf(p.a, p.binA, p.factsA)
	b, errB := textsOf(p.b, p.binB, p.factsB)
	if err := cmp.Or(errA, errB); err != nil {
		p.c.note(err)
		return
	}
	p.c.compareTokens(a, b)
	if p.otherVersion() {
		// A text that one file alone has is mostly of its standard library.
		p.c.Strings = slices.DeleteFunc(p.c.Strings, func(d StringDifference) bool {
			return d.Kind == KindUser || d.Kind == KindTime && shape(d.A) != shape(d.B)
		})
	}

	only := func(x, y []inspect.HostPath) []string {
		var list []string
		for _, h := range x {
			if !slices.ContainsFunc(y, func(o inspect.HostPath) bool { return o.Text == h.Text }) {
				list = append(list, h.Text)
			}
		}
		return list
	}

	// Paths that inspect found have a section, which a plain search for texts does not know.
	for _, pair := range pairTexts(only(p.factsA.Paths, p.factsB.Paths), only(p.factsB.Paths, p.factsA.Paths)) {
		d := StringDifference{Kind: KindPath, A: pair[0], B: pair[1]}
		for _, h := range slices.Concat(p.factsA.Paths, p.factsB.Paths) {
			if h.Text == cmp.Or(pair[0], pair[1]) {
				d.Section = h.Section
				break
			}
		}
		p.c.addString(d)
	}

	for _, v := range p.variables() {
		p.c.addString(v)
	}
	if !p.otherVersion() {
		p.c.compareDataTexts(a, b)
	}
}

// textsOf returns the texts of a program.
func textsOf(in input, bin *inspect.Binary, facts *inspect.Facts) (textSource, error) {
	info, _ := bin.BuildInfo() // without it there is nothing to leave out
	s := textSource{in: in, bin: bin, order: orderOf(facts), spans: dataSpans(in, bin), explained: append(slices.Clone(info.Lines), facts.GoVersion)}
	known, err := readGoStrings(in, bin, facts)
	if known.known {
		s.known = known
	}
	return s, err
}

// variables returns the values of -X that differ, where -ldflags are recorded.
func (p *binaryPair) variables() []StringDifference {
	v, ok := p.buildInfoLine("build -ldflags")
	if !ok {
		return nil
	}
	_, xa := splitLdflags(v.A)
	_, xb := splitLdflags(v.B)
	var list []StringDifference
	for _, v := range differingValues(xa, xb) {
		list = append(list, StringDifference{Kind: KindVariable, Name: v.Name, A: v.A, B: v.B})
	}
	return list
}

// splitLdflags separates the values of -X from the other linker flags. They are recorded
// with spaces in between, and with quotes around words that have spaces. A value that is
// quoted as a whole, because of special characters, is unquoted first.
func splitLdflags(s string) (rest []string, variables map[string]string) {
	variables = map[string]string{}
	s = unquote(s)

	var words []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if q := s[0]; q == '"' || q == '\'' {
			word, after, _ := strings.Cut(s[1:], string(q))
			words, s = append(words, word), after
			continue
		}
		end := strings.IndexAny(s, " \t\n")
		if end < 0 {
			end = len(s)
		}
		words, s = append(words, s[:end]), s[end:]
	}

	// The linker takes -X name=value as one word and as two.
	for i := 0; i < len(words); i++ {
		w := strings.TrimPrefix(words[i], "-")
		def, ok := strings.CutPrefix(w, "-X=")
		if !ok {
			def, ok = strings.CutPrefix(w, "X=")
		}
		if (w == "X" || w == "-X") && i+1 < len(words) {
			i++
			def, ok = strings.Trim(words[i], `'"`), true
		}
		if name, value, isDef := strings.Cut(def, "="); ok && isDef {
			variables[name] = value
			continue
		}
		rest = append(rest, words[i])
	}

	return rest, variables
}

// textAt returns the printable characters around an offset. It returns nothing if there are fewer
// than four.
func textAt(in input, offset int64) string {
	const before, after, minText = 80, 160, 4
	if offset < 0 || offset >= in.size {
		return ""
	}
	start := max(0, offset-before)
	buf := make([]byte, max(0, min(before+after, in.size-start)))
	n, _ := in.ReadAt(buf, start) // what can be read is shown
	at := min(int(offset-start), n)

	from, to := at, at
	for from > 0 && printable(buf[from-1]) {
		from--
	}
	for to < n && printable(buf[to]) {
		to++
	}

	if to-from < minText {
		return ""
	}
	return string(buf[from:to])
}

// variableNames returns the names of variables that -X set, from the symbols
// that the linker makes for their values ("main.version.str").
func variableNames(in input, b *inspect.Binary) []string {
	var names []string
	for _, s := range b.Sections {
		if s.Name != ".strtab" && s.Name != "(string table)" && s.Name != "name" {
			continue
		}

		const suffix = ".str\x00"
		buf := make([]byte, min(s.Size, 16<<20))
		if n, _ := in.ReadAt(buf, s.Offset); n < len(buf) {
			return nil
		}

		// Only a whole name counts, from the end of the one before it to the suffix.
		for rest, at := buf, 0; len(names) < 64; {
			i := bytes.Index(rest[at:], []byte(suffix))
			if i < 0 {
				break
			}
			end := at + i
			start := bytes.LastIndexByte(rest[:end], 0) + 1
			if name := string(rest[start:end]); strings.Contains(name, ".") && len(name) < 200 {
				// The go command sets runtime.modinfo and others in any program.
				if name = strings.TrimPrefix(name, "_"); !strings.HasPrefix(name, "runtime.") {
					names = append(names, name)
				}
			}
			at = end + len(suffix)
		}
	}

	return names
}
