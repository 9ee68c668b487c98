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

// Fprint writes the report for people: the causes first, and then what differs,
// at most 12 rows of each list. It returns the writer's error.
func (r *Report) Fprint(w io.Writer) error {
	p := page{w: bufio.NewWriter(w)}
	p.comparison(&r.Comparison, "")
	return p.w.Flush()
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

// ab writes two values.
func (p page) ab(a, b string) {
	if a != "" || b != "" {
		p.line("A: %s", cmp.Or(a, "(none)"))
		p.line("B: %s", cmp.Or(b, "(none)"))
	}
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

func (p page) comparison(c *Comparison, member string) {
	if member == "" {
		p.side("A", c.A)
		p.side("B", c.B)
		if c.Equal {
			p.line("equal: every byte agrees")
			return
		}
		if c.Offset >= 0 {
			p.line("%d bytes differ, the first at offset %d", c.Differing, c.Offset)
		}
		p.causes(c)
	} else {
		p.line("%d bytes differ, the first at offset %d (A %d bytes, B %d bytes)", c.Differing, c.Offset, c.A.Size, c.B.Size)
	}

	// What differs follows why it does.
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

func (p page) causes(c *Comparison) {
	p.line("")
	p.list(c.Causes)
}

// list writes causes, numbered.
func (p page) list(causes []Cause) {
	p.rows(len(causes), 0, func(i int) {
		x := causes[i]
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
		if x.Remedy != "" {
			q.line("remedy: %s", x.Remedy)
		}
	})
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
		q.in().line("A: %s", show(v.InA, v.A))
		q.in().line("B: %s", show(v.InB, v.B))
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
			q.in().comparison(m.Content, m.Name)
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
	p.sections(b.Sections)

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

func (p page) sections(list []Section) {
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
	if len(f.List) > 0 {
		q.line("")
	}
	q.rows(len(f.List), f.More, func(i int) {
		x := f.List[i]
		state := map[string]string{"added": "only in B", "removed": "only in A"}[x.State]
		q.line("%s: %s (A %d bytes, B %d)", x.Name, cmp.Or(state, x.State), max(0, x.SizeA), max(0, x.SizeB))
	})
}
