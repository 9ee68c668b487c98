package explain

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/twicebuild/twice/pipeline/safetext"
)

const (
	maxShown   = 160 // bytes of a text on a page
	maxOfTable = 12  // rows that are shown of a list
)

// escape makes s safe to show on a page, and cuts it.
func escape(s string) string { return safetext.Escape(s, maxShown) }

// Fprint writes the report for people, so that a terminal shows all of it: what differs in a few
// lines, and the causes with their remedies. It returns the writer's error.
func (r *Report) Fprint(w io.Writer) error { return r.print(w, page.short) }

// FprintTables writes what Fprint does, and then tables of what differs: at most 12 rows of each list.
func (r *Report) FprintTables(w io.Writer) error { return r.print(w, page.tables) }

func (r *Report) print(w io.Writer, rest func(page, *Comparison)) error {
	p := page{w: bufio.NewWriter(w)}
	c := &r.Comparison
	p.side("A", c.A)
	p.side("B", c.B)
	if c.Equal {
		p.line("equal: every byte agrees")
		return p.w.Flush()
	}
	rest(p, c)
	return p.w.Flush()
}

// short writes what differs in a few lines, and why.
func (p page) short(c *Comparison) {
	p.differing(c)
	for _, b := range c.Binaries {
		p.glance(b)
	}
	if x := c.Archive; x != nil {
		p.members(x)
	}
	p.line("")
	p.list(c.Causes)
	p.fewNotes(c.Notes)
}

// differing says how many bytes differ, and where the first is.
func (p page) differing(c *Comparison) {
	if c.Offset < 0 {
		return
	}
	in := ""
	if c.Section != "" {
		in = ", in " + c.Section
	}
	p.line("%d bytes differ, the first at offset %d%s", c.Differing, c.Offset, in)
}

// glance says what differs between two executables, in a line for sections and one for functions.
func (p page) glance(b Binary) {
	slice := ""
	if b.Slice != "" {
		slice = b.Slice + " "
	}
	if b.Summarized != "" {
		p.line("%sfunctions and strings are not compared one by one, as %s", slice, b.Summarized)
	}

	var names []string
	for _, s := range b.Sections {
		if s.State != "equal" && s.State != "moved" && s.State != "shifted" {
			names = append(names, s.Name)
		}
	}
	if b.Summarized == "" {
		p.line("%ssections: %d of %d differ%s", slice, len(names), len(b.Sections), firstOf(names))
	}

	if f := b.Functions; f != nil {
		var packages []string
		for _, k := range f.Packages {
			packages = append(packages, cmp.Or(k.Path, "(generated)"))
		}
		p.line("%sfunctions: %d of %d in both differ, %d are only in A, %d only in B%s", slice, f.Changed+f.Resized, f.A-f.Removed, f.Removed, f.Added, firstOf(packages))
	}
}

// members says which members of an archive differ, in a line.
func (p page) members(x *Archive) {
	var names []string
	for _, m := range x.Members {
		names = append(names, m.Name)
	}
	if n := len(x.Members) + x.MoreMembers; n > 0 {
		p.line("members: %d differ%s", n, firstOf(names))
	}
}

// firstOf returns the first names of a list, after a colon.
func firstOf(names []string) string {
	const shown = 4
	if len(names) == 0 {
		return ""
	}
	s := ": " + strings.Join(names[:min(len(names), shown)], ", ")
	if more := len(names) - shown; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// fewNotes writes the first notes.
func (p page) fewNotes(notes []string) {
	const shown = 3
	for i, n := range notes {
		if i == shown {
			p.line("... and %d more notes", len(notes)-shown)
			break
		}
		p.line("note: %s", n)
	}
}

// tables writes why two files differ, and then what does.
func (p page) tables(c *Comparison) {
	p.differing(c)
	p.line("")
	p.list(c.Causes)
	p.comparison(c)
}

// page writes lines. Errors stay in the writer until it is flushed.
type page struct {
	w      *bufio.Writer
	indent string
}

func (p page) line(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = escape(s)
		}
	}
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	if text == "" {
		p.w.WriteByte('\n')
		return
	}
	p.w.WriteString(p.indent + text + "\n")
}

// in returns the page, further to the right.
func (p page) in() page { return page{p.w, p.indent + "  "} }

// ab writes two values, so that where they differ is shown.
func (p page) ab(a, b string) {
	if a == "" && b == "" {
		return
	}
	const shown = maxShown - len("A: ") - len("...")
	a, b = cutAround(a, b, shown)
	p.line("A: %s", cmp.Or(a, "(none)"))
	p.line("B: %s", cmp.Or(b, "(none)"))
}

// rows calls row for the first of n rows and says how many more there are.
func (p page) rows(n, more int, row func(i int)) {
	for i := range n {
		if i == maxOfTable {
			break
		}
		row(i)
	}
	if more += max(0, n-maxOfTable); more > 0 {
		p.line("... and %d more", more)
	}
}

// comparison writes the tables of what differs.
func (p page) comparison(c *Comparison) {
	if c.Archive != nil {
		p.archive(c.A.Kind, c.Archive)
	}
	for _, b := range c.Binaries {
		p.binary(b)
	}
	if t := c.Text; t != nil {
		p.line("")
		p.line("text, line %d", t.Line)
		p.in().ab(t.A, t.B)
	}
	if len(c.Strings) > 0 {
		p.line("")
		p.line("strings")
		p.in().rows(len(c.Strings), 0, func(i int) {
			s := c.Strings[i]
			p.in().line("%s %s %s", s.Kind, s.Name, s.Section)
			p.in().in().ab(s.A, s.B)
		})
	}

	if len(c.Notes) > 0 {
		p.line("")
		p.rows(len(c.Notes), 0, func(i int) { p.line("note: %s", c.Notes[i]) })
	}
}

func (p page) side(name string, s Side) {
	sum := ""
	if s.SHA256 != "" {
		sum = ", sha256 " + s.SHA256
	}
	p.line("%s: %s (%s, %d bytes%s)", name, s.Name, s.Kind, s.Size, sum)
}

// list writes causes, numbered: of more than twelve the heaviest. A remedy that the next cause has
// as well stands there.
func (p page) list(causes []Cause) {
	shown := heaviest(causes, maxOfTable)
	for i, x := range shown {
		where := ""
		if x.Where != "" {
			where = ", in " + x.Where
		}
		p.line("%d. %s [%s, %s%s]", i+1, x.Text, x.ID, string(x.Confidence), where)
		q := p.in().in()
		q.ab(x.A, x.B)

		for _, e := range x.Evidence {
			q.line("%s", e)
		}
		if x.Remedy != "" && (i+1 == len(shown) || shown[i+1].Remedy != x.Remedy) {
			q.line("remedy: %s", x.Remedy)
		}
	}
	if more := len(causes) - len(shown); more > 0 {
		p.line("... and %d more%s", more, firstOf(rest(causes, shown)))
	}
}

// rest counts the causes that are not shown, by kind.
func rest(causes, shown []Cause) []string {
	count := map[string]int{}
	for _, x := range shown {
		count[x.ID]--
	}
	for _, x := range causes {
		count[x.ID]++
	}
	var list []string
	for _, k := range kinds {
		if n := count[k.ID]; n > 0 {
			list = append(list, fmt.Sprintf("%d of %s", n, k.ID))
		}
	}
	return list
}

func (p page) values(title string, list []Value) {
	if len(list) == 0 {
		return
	}

	p.line("")
	p.line("%s", title)
	q := p.in()

	q.rows(len(list), 0, func(i int) {
		v := list[i]
		show := func(in bool, s string) string {
			if !in {
				return "(none)"
			}
			return s
		}
		q.line("%s", v.Name)
		a, b := cutAround(show(v.InA, v.A), show(v.InB, v.B), maxShown/2)
		q.in().line("A: %s", a)
		q.in().line("B: %s", b)
	})
}

func (p page) archive(kind string, x *Archive) {
	p.line("")
	if kind != KindFolder && kind != KindImage {
		kind = "archive"
	}
	p.line(kind+": %d and %d members", x.A.Members, x.B.Members)
	if x.SameContent {
		p.in().line("uncompressed, every byte agrees")
	}

	p.values("compressed stream", x.Parameters)
	if x.Order != nil {
		p.line("")
		p.line("order, from %s", x.Order.Name)
		p.in().ab(x.Order.A, x.Order.B)
	}

	if len(x.Members) == 0 {
		return
	}
	p.line("")

	// The members come last, as each may have a comparison of its own.
	p.line("members")
	q := p.in()
	q.rows(len(x.Members), x.MoreMembers, func(i int) {
		m := x.Members[i]
		q.line("%s: %s", m.Name, m.State)
		for _, v := range m.Attributes {
			q.in().line("%s: A %s, B %s", v.Name, v.A, v.B)
		}
		if m.Content != nil {
			o := m.Content
			q.in().line("%d bytes differ, the first at offset %d (A %d bytes, B %d bytes)", o.Differing, o.Offset, o.A.Size, o.B.Size)
			q.in().comparison(o)
		}
	})
}

func (p page) binary(b Binary) {
	if b.Slice != "" {
		p.line("")
		p.line("slice %s", b.Slice)
		p = p.in()
	}
	p.values("facts", b.Facts)
	p.values("build information", b.BuildInfo)
	if len(b.BuildID) > 0 {
		p.line("")
		p.line("build ID")
		for _, part := range b.BuildID {
			state := "differs"
			if part.Same {
				state = "same"
			}
			p.in().line("%-13s %-8s %s", part.Name, state, part.Meaning)
		}
	}

	p.values("headers", b.Headers)
	p.sections(b.Sections, b.Summarized != "")

	// Parts without a difference get no title.
	if len(b.Sources) > 0 {
		p.line("")
		p.line("folders of sources")
		p.in().rows(len(b.Sources), 0, func(i int) {
			s := b.Sources[i]
			p.in().line("%s, as in %s", s.Kind, s.Example)
			p.in().in().ab(s.A, s.B)
		})
	}

	if b.Functions != nil {
		p.functions(b.Functions)
	}
	p.values("embedded files", b.Embedded)
}

func (p page) sections(list []Section, summarized bool) {
	count := map[string]int{}
	var shown []Section
	for _, s := range list {
		count[s.State]++
		if s.State != "equal" && s.State != "moved" && s.State != "shifted" {
			shown = append(shown, s)
		}
	}

	// Sections that did not change are counted, not listed.
	p.line("")
	if summarized && count["equal"]+count["moved"]+count["shifted"]+count["changed"] == 0 {
		p.line("sections: %d in A, %d others in B", count["only in A"], count["only in B"])
		return
	}
	p.line("sections: %d equal, %d moved, %d the same but for references, %d changed, %d only in A, %d only in B", count["equal"], count["moved"], count["shifted"], count["changed"], count["only in A"], count["only in B"])

	q := p.in()
	q.rows(len(shown), 0, func(i int) {
		s := shown[i]
		switch s.State {
		case "changed":
			q.line("%s: %d bytes differ, from byte %d (A %d bytes, B %d)", s.Name, s.Differing, s.First, s.SizeA, s.SizeB)
		default:
			q.line("%s: %s (%d bytes)", s.Name, s.State, max(s.SizeA, s.SizeB))
		}
	})
}

func (p page) functions(f *Functions) {
	p.line("")
	p.line("functions: %d the same, %d moved, %d changed, %d resized, %d only in A, %d only in B", f.Same, f.Moved, f.Changed, f.Resized, f.Removed, f.Added)
	q := p.in()
	q.rows(len(f.Packages), 0, func(i int) {
		k := f.Packages[i]
		q.line("package %s: %d changed, %d resized, %d only in A, %d only in B, %d bytes more in B", cmp.Or(k.Path, "(generated)"), k.Changed, k.Resized, k.Removed, k.Added, k.Bytes)
	})
	if len(f.List) == 0 {
		return // they are summarized, or there are none
	}
	q.line("")
	q.rows(len(f.List), f.More, func(i int) {
		x := f.List[i]
		state := map[string]string{"added": "only in B", "removed": "only in A"}[x.State]
		q.line("%s: %s (A %d bytes, B %d)", x.Name, cmp.Or(state, x.State), max(0, x.SizeA), max(0, x.SizeB))
	})
}
