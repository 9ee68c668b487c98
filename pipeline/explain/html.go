package explain

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/twicebuild/twice/pipeline/safetext"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

const (
	maxTableRows = 256     // of a table on a page
	maxPageText  = 400     // bytes of one text
	maxPageSize  = 4 << 20 // bytes, about, after which nothing is added to a page
	rowSize      = 250     // bytes that the markup of a row takes
	mapHeight    = 22      // pixels of the strip of a map
	labelAt      = 6.0     // percent of the width that a section must have for its name
)

// pageTemplate is parsed when a page is first written. The policy allows the one
// style sheet by its hash and nothing else: no script, no image, no network
// (https://www.w3.org/TR/CSP3/).
var pageTemplate = sync.OnceValues(func() (*template.Template, error) {
	sum := sha256.Sum256([]byte(pageCSS))
	policy := "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	text := strings.NewReplacer("@POLICY@", policy, "@STYLE@", pageCSS).Replace(pageHTML)
	return template.New("page").Funcs((&htmlPage{}).funcs()).Parse(text)
})

// HTML writes the report as a page that is complete in one file. The page loads nothing and has no
// scripts, and its content security policy forbids both. The same report makes the same page. Texts
// of the files are escaped, and cut where they are long. A table has at most 256 rows, and a page
// about 4 MiB. The error is the writer's.
func (r *Report) HTML(w io.Writer) error {
	t, err := pageTemplate()
	if err == nil {
		t, err = t.Clone()
	}
	if err != nil {
		return err
	}
	p := &htmlPage{left: maxPageSize}
	out := bufio.NewWriter(w)
	if err := t.Funcs(p.funcs()).Execute(out, &htmlComparison{p: p, C: &r.Comparison, level: 2}); err != nil {
		return err
	}
	return out.Flush()
}

// htmlPage holds how much a page may still take.
type htmlPage struct {
	left int
	full bool // something was left out for want of room
}

func (p *htmlPage) funcs() template.FuncMap {
	return template.FuncMap{
		"text": p.text, "row": p.row, "part": p.part, "full": func() bool { return p.full },
		"hidden": func(n, more int) int { return max(0, n-maxTableRows) + more },
		"number": number, "hex": func(n int64) string { return fmt.Sprintf("%#x", n) },

		"offset": func(n int64) string {
			if n < 0 {
				return "-"
			}
			return fmt.Sprintf("%#x", n)
		},
		"size": func(n int64) string {
			if n < 0 {
				return "-"
			}
			return number(n)
		},

		// A report read from JSON may hold any text here.
		"confidence": func(c Confidence) string {
			if c == Certain || c == Likely || c == Possible {
				return string(c)
			}
			return string(Possible)
		},
		"pair":          func(a, b string) htmlPair { return p.sides(Value{A: a, B: b, InA: a != "", InB: b != ""}) },
		"sides":         p.sides,
		"sectionState":  sectionState,
		"functionState": functionState,
	}
}

// text returns a text of a file, cut and safe to show.
func (p *htmlPage) text(s string) string {
	if s == "" {
		return ""
	}
	s = safetext.Escape(s, maxPageText)
	p.left -= len(s)
	return s
}

// row reports whether row i of a table still has a place.
func (p *htmlPage) row(i int) bool {
	if p.left < 0 {
		p.full = true
		return false
	}
	if i >= maxTableRows {
		return false
	}
	p.left -= rowSize
	return true
}

// part reports whether another executable or member still has a place.
func (p *htmlPage) part() bool {
	p.full = p.full || p.left < 0
	p.left -= 20 * rowSize
	return !p.full
}

// number returns a number with its thousands apart.
func number(v any) string {
	s := fmt.Sprint(v)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u00a0" + s[i:]
	}
	return sign + s
}

// sectionState and functionState say what became of something.
func sectionState(s string) string {
	if s == "shifted" {
		return "the same but for references"
	}
	return s
}

func functionState(s string) string {
	return cmp.Or(map[string]string{"added": "only in B", "removed": "only in A"}[s], s)
}

// htmlSide is one of two values. The text that only it has is in the middle.
type htmlSide struct {
	In                  bool
	Before, Mark, After string
}

type htmlPair struct{ A, B htmlSide }

// sides finds the differences between two values.
func (p *htmlPage) sides(v Value) htmlPair {
	from, end := 0, 0
	if v.InA && v.InB {
		from, end = common(v.A, v.B)
	}

	side := func(in bool, s string) htmlSide {
		if !in {
			return htmlSide{}
		}
		if from+end == 0 {
			if s == "" {
				return htmlSide{In: true, Before: `""`}
			}
			return htmlSide{In: true, Before: p.text(s)}
		}

		// Long values differ in a few characters, which stand out if the rest is short.
		before, after := s[:from], s[len(s)-end:]
		const around = 160 // bytes of what is the same
		if len(before) > around {
			before = "..." + before[len(before)-around:]
		}
		return htmlSide{true, p.text(before), p.text(s[from : len(s)-end]), p.text(after)}
	}
	return htmlPair{side(v.InA, v.A), side(v.InB, v.B)}
}

// common returns how many bytes two texts have in common at the start and at the end. It counts
// whole characters.
func common(a, b string) (start, end int) {
	n := min(len(a), len(b))
	for start < n && a[start] == b[start] {
		start++
	}
	for end < n-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	for start > 0 && (start < len(a) && !utf8.RuneStart(a[start]) || start < len(b) && !utf8.RuneStart(b[start])) {
		start--
	}
	for end > 0 && !utf8.RuneStart(a[len(a)-end]) {
		end--
	}
	return start, end
}

// htmlHead is a heading, which has an ID to link to.
type htmlHead struct {
	Level     int
	ID, Title string
}

// htmlComparison is a comparison on a page.
type htmlComparison struct {
	p     *htmlPage
	C     *Comparison
	level int
	ID    string // the start of the IDs in it
	name  string // of a member
}

// Head returns the heading of a part.
func (c *htmlComparison) Head(id, title string) htmlHead { return htmlHead{c.level, c.ID + id, title} }

// Title returns the heading of a member.
func (c *htmlComparison) Title() htmlHead { return htmlHead{c.level - 1, c.ID, "Member " + c.name} }

// Links returns the links to the parts of the page.
func (c *htmlComparison) Links() []htmlHead {
	var list []htmlHead
	add := func(is bool, id, title string) {
		if is {
			list = append(list, htmlHead{ID: id, Title: title})
		}
	}

	// The links follow the order of the page, and skip parts that it lacks.
	add(len(c.C.Causes) > 0, "causes", "Causes")
	add(c.Plain(), "map", "Map")
	add(c.C.Text != nil, "text", "Text")
	for _, b := range c.Binaries() {
		if b.B.Slice != "" {
			add(true, b.ID+"slice", b.Title().Title)
			continue
		}
		add(true, "map", "Map")
		add(len(b.B.Facts) > 0, "facts", "Facts")
		add(len(b.B.BuildInfo) > 0, "info", "Build information")
		add(len(b.B.BuildID) > 0, "buildid", "Build ID")
		add(len(b.B.Sources) > 0, "sources", "Folders of sources")
		add(b.B.Functions != nil, "functions", "Functions")
		add(len(b.B.Embedded) > 0, "embedded", "Embedded files")
		add(len(b.B.Headers) > 0, "headers", "Headers")
		add(true, "sections", "Sections")
	}

	add(len(c.C.Strings) > 0, "strings", "Strings")
	add(c.C.Archive != nil, "archive", "Members")
	if c.C.Archive != nil {
		for _, m := range c.Archive(c.C.Archive).Members() {
			h := m.Title()
			add(true, h.ID, c.p.text(h.Title))
		}
	}

	add(len(c.C.Notes) > 0, "notes", "Notes")
	return list
}

// Plain reports whether the files have a map that knows of no sections.
func (c *htmlComparison) Plain() bool {
	return !c.C.Equal && c.C.drawn != nil && c.C.Archive == nil && len(c.C.Binaries) == 0 && max(c.C.A.Size, c.C.B.Size) > 0
}

// Plan returns that map.
func (c *htmlComparison) Plan() *htmlMap { return c.p.draw(c.C.drawn, false) }

// Binaries are the executables.
func (c *htmlComparison) Binaries() []*htmlBinary {
	var list []*htmlBinary
	for i := range c.C.Binaries {
		b := &htmlBinary{htmlComparison: *c, B: &c.C.Binaries[i]}
		if b.B.Slice != "" {
			b.ID += "s" + strconv.Itoa(i) + "-"
			b.level++
		}
		list = append(list, b)
	}
	return list
}

// Archive returns an archive on a page.
func (c *htmlComparison) Archive(x *Archive) *htmlArchive { return &htmlArchive{*c, x} }

// htmlValues is a table of values.
type htmlValues struct {
	Head    htmlHead
	Caption string
	List    []Value
}

// Values returns a table.
func (c *htmlComparison) Values(id, title, caption string, list []Value) htmlValues {
	return htmlValues{c.Head(id, title), caption, list}
}

// htmlArchive is an archive on a page.
type htmlArchive struct {
	htmlComparison
	X *Archive
}

// Members returns the members that were compared.
func (a *htmlArchive) Members() []*htmlComparison {
	var list []*htmlComparison
	for i := range a.X.Members {
		if m := &a.X.Members[i]; m.Content != nil {
			list = append(list, &htmlComparison{a.p, m.Content, a.level + 2, "m" + strconv.Itoa(i) + "-", m.Name})
		}
	}
	return list
}

// htmlBinary is an executable on a page.
type htmlBinary struct {
	htmlComparison
	B *Binary
}

// Title returns the heading of a slice.
func (b *htmlBinary) Title() htmlHead {
	return htmlHead{b.level - 1, b.ID + "slice", "Slice " + safetext.Escape(b.B.Slice, maxPageText)}
}

// Map returns the map.
func (b *htmlBinary) Map() *htmlMap { return b.p.draw(b.B.drawn, true) }

// Sections returns the sections, those that differ most first.
func (b *htmlBinary) Sections() []Section {
	rank := func(s Section) int {
		return slices.Index([]string{"only in A", "only in B", "changed", "shifted", "moved", "equal"}, s.State)
	}
	list := slices.Clone(b.B.Sections)
	slices.SortStableFunc(list, func(x, y Section) int { return rank(x) - rank(y) })
	return list
}

// ByPackage returns functions by their package.
func (b *htmlBinary) ByPackage(list []Function) []Function {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y Function) int { return cmp.Compare(x.Package, y.Package) })
	return list
}

// htmlMap is a map on a page.
type htmlMap struct {
	Sections    bool
	PartSize    int64
	Top, Height int // pixels
	Sides       []htmlStrip
}

// htmlStrip is one of the files on a map.
type htmlStrip struct {
	Side, Summary      string
	Size               int64
	BySection, ByLevel []htmlStretch
}

// htmlStretch is a rectangle. X and W are percent.
type htmlStretch struct{ X, W, Class, Title, Label string }

// draw returns a map. It returns nil if there is none, or no room for it.
func (p *htmlPage) draw(m *fileMap, sections bool) *htmlMap {
	if m == nil {
		return nil
	}
	if p.left < 0 {
		p.full = true
		return nil
	}

	out := &htmlMap{Sections: sections, PartSize: m.size, Height: mapHeight}
	if sections {
		out.Top, out.Height = 26, 26+mapHeight
	}

	// Both strips have one scale, so that the same offset is at the same place.
	whole := float64(max(m.ends[0], m.ends[1], 1))
	for side, size := range m.ends {
		s := htmlStrip{Side: string(rune('A' + side)), Size: size}
		var share [len(levelNames)]int64

		// One strip shows the sections, the other how much differs.
		stretches := func(bySection bool) []htmlStretch {
			var list []htmlStretch
			for _, x := range m.stretches(side, bySection) {
				percent := func(n int64) float64 { return 100 * float64(n) / whole }
				r := htmlStretch{X: fmt.Sprintf("%.3f", percent(x.from)), W: fmt.Sprintf("%.3f", percent(x.to-x.from))}
				at := fmt.Sprintf("%#x to %#x", x.from, x.to)
				if bySection {
					name := cmp.Or(x.section, "in no section")
					r.Class, r.Title = sectionClass(x.section), p.text(name)+", "+at
					if percent(x.to-x.from) >= labelAt {
						r.Label = p.text(x.section)
					}
				} else {
					share[x.level] += x.to - x.from
					r.Class, r.Title = levelNames[x.level], levelText[x.level]+", "+at
					if sections && x.section != "" {
						r.Title = p.text(x.section) + ": " + r.Title
					}
				}
				p.left -= rowSize
				list = append(list, r)
			}
			return list
		}

		if sections {
			s.BySection = stretches(true)
		}
		s.ByLevel = stretches(false)

		// The summary is read aloud in place of the map.
		var parts []string
		for l, n := range share {
			switch percent := 100 * float64(n) / float64(size); {
			case n == 0:
			case percent < 1:
				parts = append(parts, "less than 1% "+levelText[l])
			default:
				parts = append(parts, fmt.Sprintf("%.0f%% %s", percent, levelText[l]))
			}
		}

		s.Summary = fmt.Sprintf("Map of %s: %s", s.Side, strings.Join(parts, ", "))
		out.Sides = append(out.Sides, s)
	}
	return out
}

// levelText says what a level is.
var levelText = [...]string{levelNone: "not compared", levelEqual: "equal", levelMoved: "moved", levelShifted: "the same but for references", levelChanged: "changed", levelOnly: "in one file only"}

// sectionClass is the class of a section in the style sheet, by its name.
func sectionClass(name string) string {
	_, last, ok := strings.Cut(name, ",") // Mach-O: the section of a segment
	if !ok {
		last = name
	}
	last = strings.TrimLeft(last, "._")

	has := func(list ...string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(last, p) })
	}

	switch {
	case name == "":
		return "gap"
	case has("text", "(code)", "plt", "init", "fini", "stubs", "symbol_stub"):
		return "code"
	case has("debug", "zdebug"):
		return "debug"
	case has("symtab", "strtab", "dynsym", "dynstr", "shstrtab", "(symbol table)", "(string table)", "name", "gnu.version", "gnu.hash", "hash"):
		return "symbols"
	case has("gopclntab", "gosymtab", "go.", "go_", "typelink", "itablink", "note", "rela", "reloc", "pdata", "xdata"):
		return "tables"
	case has("("):
		if last == "(data)" {
			return "data"
		}
		return "headers"
	}
	return "data"
}
