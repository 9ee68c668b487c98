package rebuild

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"iter"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// A value that -X sets is a text of its own in the read-only data, with a zero at its end. The
// candidates are the texts that the file has and a build of the same source without -X lacks. Some
// of them are chance finds. The oracle tells which variable has which value. The variables are
// those of the source. If the file has its symbols, they are the ones named in it: the text of
// main.version is called main.version.str.

// Limits of what is searched for stamps.
const (
	minValue  = 4 // shorter ones are mostly addresses
	maxValue  = 200
	maxValues = 24
	maxTexts  = 1 << 21
	maxNames  = 40
	maxSource = 4000 // files that are parsed
	maxSet    = 5    // variables that are set
	// maxScanned bounds what is searched in one file, in bytes: the sections that
	// it states may be the same range many times.
	maxScanned = 1 << 30
)

// readOnlyData reports whether a section has the values of -X.
func readOnlyData(name string) bool {
	return name == ".rodata" || name == ".rdata" || strings.HasSuffix(name, ",__rodata") || name == ".data.rel.ro" || name == "(data)"
}

// texts calls found with each run of printable bytes in the sections that ends with a zero. It
// stops when found returns false.
func texts(r io.ReaderAt, sections []inspect.Section, in func(name string) bool, found func(string) bool) error {
	left := int64(maxScanned)
	for _, s := range sections {
		if !in(s.Name) {
			continue
		}

		// Sections may overlap, so it is their sum that is bounded.
		if left -= s.Size; left < 0 {
			return nil
		}

		br := bufio.NewReaderSize(io.NewSectionReader(r, s.Offset, s.Size), 256<<10)
		var run []byte
		long := false
		for {
			c, err := br.ReadByte()
			if err == io.EOF {
				break
			}
			if err != nil {
				return fmt.Errorf("read section %s: %w", verdict.Quote(s.Name), err)
			}
			switch {
			case ' ' <= c && c != 0x7f:
				if len(run) == maxValue {
					if run = afterInvalid(run); len(run) == maxValue {
						long, run = true, run[:0]
					}
				}
				run = append(run, c)
			case c == 0 && !long:
				if text := afterInvalid(run); len(text) >= minValue && !found(string(text)) {
					return nil
				}
				fallthrough
			default:
				run, long = run[:0], false
			}
		}
	}

	return nil
}

// afterInvalid returns what follows the last byte that is no UTF-8. Older linkers put the first
// value of -X right behind bytes that are no text.
func afterInvalid(text []byte) []byte {
	for end := len(text); end > 0; {
		r, n := utf8.DecodeLastRune(text[:end])
		if r == utf8.RuneError && n == 1 {
			return text[end:]
		}
		end -= n
	}
	return text
}

// likelyEnd returns a text without its first few bytes if they keep it from looking like a value.
// They may be of what stands before it.
func likelyEnd(s string) string {
	for i := range min(4, len(s)) {
		if end := s[i:]; len(end) >= minValue && likelihood(end) == 3 {
			return end
		}
	}
	return s
}

// values returns the texts that may be values of -X: those that file a has and b lacks.
func values(a, b io.ReaderAt, sectionsA, sectionsB []inspect.Section) ([]string, error) {
	known := map[string]bool{}
	if err := texts(b, sectionsB, readOnlyData, func(s string) bool {
		known[s] = true
		return len(known) < maxTexts
	}); err != nil || len(known) == maxTexts {
		return nil, err
	}

	var list []string
	err := texts(a, sectionsA, readOnlyData, func(s string) bool {
		if known[s] {
			return true
		}
		known[s] = true
		if end := likelyEnd(s); end != s {
			list = append(list, end)
		}
		if likelihood(s) > 0 {
			list = append(list, s)
		}
		return len(list) < 10_000
	})

	// The list is cut, so the likely values must come first.
	slices.SortStableFunc(list, func(x, y string) int { return cmp.Compare(likelihood(y), likelihood(x)) })
	return list[:min(len(list), maxValues)], err
}

var (
	versionLike = regexp.MustCompile(`^[vV]?\d+(\.\d+)+([-+.~][0-9A-Za-z.+~-]*)?$`)
	hexLike     = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
	timeLike    = regexp.MustCompile(`^(\d{4}-\d\d-\d\d.*|1[5-9]\d{8}|2\d{7}([-T]?\d{6}Z?)?|[A-Z][a-z][a-z] .*\d{4}.*)$`)
	wordLike    = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z ._/:@+,=()-]*$`)
)

// likelihood rates a text as a value. Text rated 0 is ruled out.
func likelihood(s string) int {
	switch {
	case versionLike.MatchString(s), hexLike.MatchString(s) && len(s) >= 7, timeLike.MatchString(s):
		return 3
	case wordLike.MatchString(s) && len(s) >= 6:
		return 2
	case wordLike.MatchString(s):
		return 1
	}
	return 0
}

// fits reports whether a variable of that name may have the value.
func fits(name, value string) bool {
	n := strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(n, w) })
	}
	switch {
	case has("date", "time", "when"):
		return timeLike.MatchString(value)
	case has("by", "user", "host"):
		return !versionLike.MatchString(value) && !timeLike.MatchString(value)
	case has("commit", "sha", "hash", "rev"):
		return hexLike.MatchString(strings.TrimPrefix(strings.TrimSuffix(value, "-dirty"), "g"))
	case has("version", "tag", "release"):
		return strings.ContainsAny(value, "0123456789") && !timeLike.MatchString(value)
	}
	return true
}

// telling are the names of variables that are set by -X outside of package main.
var telling = regexp.MustCompile(`(?i)version|commit|rev|sha|hash|date|time|build|built|branch|tag|release`)

// variables returns the names of string variables of a module that -X can set, as the linker knows
// them. The likely ones come first. The variables in hinted are those that a file of the project
// names in a flag -X, in the order of that file.
func variables(tree fs.FS, mod, pkg string) (names, hinted []string) {
	files := 0
	var others []string
	fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // what cannot be read gives no hint
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata" || d.Name() == "vendor" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir() || !d.Type().IsRegular():
			return nil
		case isBuildScript(name):
			hinted = append(hinted, stampsIn(tree, name, pkg)...)
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
		case files == maxSource:
			return fs.SkipAll
		default:
			files++
			importPath := path.Join(mod, path.Dir(name))
			if importPath != pkg && module.CheckImportPath(importPath) != nil {
				return nil // of which no package can be
			}
			for _, v := range stringVariables(tree, name) {
				switch {
				case importPath == pkg:
					names = append(names, "main."+v)
				case telling.MatchString(v):
					others = append(others, importPath+"."+v)
				}
			}
		}
		return nil
	})

	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	names = append(names, others...)
	hinted = unique(hinted)
	return names[:min(len(names), maxNames)], hinted[:min(len(hinted), maxOrdered)]
}

// rank puts names in the order in which release tools write them.
func rank(name string) int {
	n := strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
	for i, word := range []string{"version", "tag", "commit", "sha", "rev", "hash", "date", "time", "by"} {
		if strings.Contains(n, word) {
			return i
		}
	}
	if telling.MatchString(n) {
		return 50
	}
	return 100
}

func unique(list []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(s string) bool {
		again := seen[s]
		seen[s] = true
		return again
	})
}

// stringVariables returns the variables at package level of a file that have type
// string and no initial value, or a literal.
func stringVariables(tree fs.FS, name string) []string {
	data, err := sandbox.ReadSmall(tree, name)
	if err != nil {
		return nil
	}

	f, err := parser.ParseFile(token.NewFileSet(), "", data, parser.SkipObjectResolution)
	if err != nil {
		return nil
	}

	var list []string
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			s := spec.(*ast.ValueSpec)
			typ, typed := s.Type.(*ast.Ident)
			for i, id := range s.Names {
				var value *ast.BasicLit
				if i < len(s.Values) {
					if value, ok = s.Values[i].(*ast.BasicLit); !ok || value.Kind != token.STRING {
						continue
					}
				}

				// The linker sets only strings, and only those whose initial value is constant.
				if (typed && typ.Name == "string" || s.Type == nil && value != nil) && id.Name != "_" {
					list = append(list, id.Name)
				}
			}
		}
	}

	return list
}

// isBuildScript reports whether a file may say how the project is built.
func isBuildScript(name string) bool {
	base := path.Base(name)
	ext := path.Ext(base)
	return strings.HasPrefix(base, ".goreleaser") || strings.HasPrefix(base, "goreleaser") || strings.HasPrefix(base, "Makefile") || strings.HasSuffix(base, ".mk") ||
		strings.HasPrefix(base, "Dockerfile") || base == "justfile" || base == "Justfile" || strings.HasPrefix(base, "Taskfile") || ext == ".sh" ||
		strings.HasPrefix(name, ".github/workflows/")
}

var stampRE = regexp.MustCompile(`-X[ =]+["']?([\pL\d_~.+/{}$()-]{1,300}\.[\pL_][\pL\d_]{0,100})=`)

// stampsIn returns the variables in flags -X of a file. A path may contain a variable of the shell
// or of make. Then only its end counts.
func stampsIn(tree fs.FS, name, pkg string) []string {
	data, err := sandbox.ReadSmall(tree, name)
	if err != nil {
		return nil
	}
	var list []string
	for _, m := range stampRE.FindAllSubmatch(data, 100) {
		v := string(m[1])
		if importPath := v[:strings.LastIndexByte(v, '.')]; importPath == "main" || module.CheckImportPath(importPath) == nil && importPath != pkg {
			list = append(list, v)
		}
	}
	return list
}

// symbolVariables returns the variables whose values have a name in the symbol table: those that
// -X has set. The result has reports whether there is a symbol table to say so.
func symbolVariables(r io.ReaderAt, f inspect.Facts) (list []string, has bool) {
	if f.Finding(inspect.NoSymbols).Is != inspect.No || f.Format != inspect.ELF && f.Format != inspect.MachO {
		return nil, false
	}

	err := texts(r, f.Sections, func(name string) bool { return name == ".strtab" || name == "(string table)" }, func(s string) bool {
		s, ok := strings.CutSuffix(s, ".str")
		if f.Format == inspect.MachO {
			s = strings.TrimPrefix(s, "_")
		}
		// The linker escapes dots in the last element of a path.
		s = strings.ReplaceAll(s, "%2e", ".")
		if ok && variableRE.MatchString(s) && !strings.HasPrefix(s, "runtime.") {
			list = append(list, s)
		}
		return len(list) < maxOrdered
	})

	return unique(list), err == nil
}

// candidates are the variables that -X may have set, and the values.
type candidates struct {
	// values are texts, and names are variables. The variables in hinted are named by a file of
	// the project, or, if certain, by the file itself.
	values, names, hinted []string
	certain               bool
}

// fits reports whether a variable may have a value.
func (c candidates) fits(name, value string) bool {
	return c.certain && slices.Contains(c.hinted, name) || fits(name, value)
}

// sets yields what -X may have set, nothing first.
func (c candidates) sets() iter.Seq[[]assignment] {
	return func(yield func([]assignment) bool) {
		if !yield(nil) {
			return
		}

		// A name that no value fits is in no set. That leaves few of a stranger's names.
		ways := map[string][]assignment{}
		settable := func(names []string) (list []string) {
			for _, name := range names {
				if _, known := ways[name]; !known {
					ways[name] = c.assignments(name)
				}
				if len(ways[name]) > 0 {
					list = append(list, name)
				}
			}
			return list
		}
		names, hinted := settable(c.names), settable(c.hinted)

		seen := map[string]bool{}
		each := func(list []string) bool {
			var lists [][]assignment
			for _, name := range list {
				lists = append(lists, ways[name])
			}
			return product(lists, func(set []assignment) bool {
				key := fmt.Sprint(set)
				if seen[key] {
					return true
				}
				if len(seen) < 1<<20 {
					seen[key] = true
				}
				return yield(slices.Clone(set))
			})
		}

		// Hinted variables come from a build script that sets them together, so the largest set is
		// the likeliest.
		for n := len(hinted); n > 0; n-- {
			for list := range combinations(hinted, n) {
				if !each(list) {
					return
				}
			}
		}

		// Nothing is known of the other names, so the smallest sets come first.
		for n := 1; n <= min(maxSet, len(names)); n++ {
			for list := range combinations(names, n) {
				if !each(list) {
					return
				}
			}
		}
	}
}

// assignments returns the values that fit a name.
func (c candidates) assignments(name string) (list []assignment) {
	for _, v := range c.values {
		if c.fits(name, v) {
			list = append(list, assignment{name, v})
		}
	}
	return list
}

// product calls found with each way to choose one of every list, until found returns false. It
// then returns false too. If a list is empty there is no way, and no time is lost on the others.
// So a caller that counts the calls of found has bounded the work.
func product[T any](lists [][]T, found func([]T) bool) bool {
	if slices.ContainsFunc(lists, func(l []T) bool { return len(l) == 0 }) {
		return true
	}

	var next func(chosen []T) bool
	next = func(chosen []T) bool {
		if len(chosen) == len(lists) {
			return found(chosen)
		}
		for _, x := range lists[len(chosen)] {
			if !next(append(chosen, x)) {
				return false
			}
		}
		return true
	}

	return next(make([]T, 0, len(lists)))
}

// combinations yields the ways to choose n of a list, in its order.
func combinations(list []string, n int) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		var choose func(done, left []string) bool
		choose = func(done, left []string) bool {
			if len(done) == n {
				return yield(done)
			}
			for i := range left {
				if n-len(done) > len(left)-i {
					break
				}
				if !choose(append(slices.Clip(done), left[i]), left[i+1:]) {
					return false
				}
			}
			return true
		}

		choose(nil, list)
	}
}

// likelyValues adds to values what projects stamp: the version and the commit.
func (c *claim) likelyValues(version string, values []string) []string {
	add := []string{version, strings.TrimPrefix(version, "v")}
	if s := c.vcs; s != nil {
		add = append(add, s.revision, s.revision[:7], s.revision[:8], s.revision[:12], s.time.Format("2006-01-02T15:04:05Z"), s.time.Format("2006-01-02"))
	}
	add = append(add, "goreleaser")
	return unique(slices.DeleteFunc(slices.Concat(values, add), func(s string) bool {
		return s == "" || bytes.ContainsAny([]byte(s), "\x00\n\r")
	}))
}
