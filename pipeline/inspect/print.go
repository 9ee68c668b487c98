package inspect

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/safetext"
)

const (
	maxShown = 300 // bytes of a text in a page
	maxRows  = 12  // of a table

	noPackage = "(generated, or of no package)"
)

// Fprint writes a page about each file, for people: at most 12 rows of each
// table. It returns the writer's error.
func (d Document) Fprint(w io.Writer) error {
	p := page{bufio.NewWriter(w)}
	for i, f := range d.Files {
		if i > 0 {
			p.line("")
		}
		p.file(f)
	}
	return p.w.Flush()
}

// page writes lines. Errors stay in the writer until it is flushed.
type page struct{ w *bufio.Writer }

func (p page) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// row writes a label and a text, which is escaped.
func (p page) row(label, text string) {
	if text != "" {
		p.line("  %-12s %s", label, safetext.Escape(text, maxShown))
	}
}

func (p page) rows(label string, texts []string) {
	for i, t := range texts {
		if i == maxRows {
			p.row("", fmt.Sprintf("... and %d more", len(texts)-i))
			return
		}
		p.row(label, t)
		label = ""
	}
}

func (p page) file(f File) {
	p.line("%s", safetext.Escape(f.Name, maxShown))
	p.row("file", fmt.Sprintf("%s, %s", f.Format, bytesText(f.Size)))
	p.row("sha256", f.SHA256)
	for _, b := range f.Binaries {
		if f.Format == Universal {
			p.line("")
			p.row("slice", fmt.Sprintf("%s, %s at offset %d", b.GOARCH, bytesText(b.Size), b.Offset))
		}
		p.facts(b)
	}
}

func (p page) facts(f Facts) {
	platform := cmp.Or(f.GOOS, "?") + "/" + cmp.Or(f.GOARCH, "?")
	p.row("platform", fmt.Sprintf("%s, %s, %d bits, %s-endian", platform, f.Kind, f.Bits, f.ByteOrder))
	if f.Nature.Is != "" && f.Nature.Is != Program {
		p.row("what it is", string(f.Nature.Is)+": "+f.Nature.Why)
	}
	p.row("go", f.GoVersion)
	if len(f.Experiments) > 0 {
		p.row("experiments", strings.Join(f.Experiments, ", "))
	}

	if f.Build != nil {
		p.build(*f.Build, f)
	}
	if f.BuildID != nil {
		p.buildID(f)
	}
	if h := f.HostID; h != nil {
		p.row(h.Kind, h.Value+", "+cmp.Or(h.Origin, "origin unknown"))
	}

	if s := f.Signature; s != nil {
		text := cmp.Or(s.Kind, "unreadable") + " signature"
		if s.Linker {
			text += " of a linker"
		}
		for _, t := range []string{s.Identifier, s.Team} {
			if t != "" {
				text += ", " + t
			}
		}
		p.row("signature", text+fmt.Sprintf(", %s; not verified", bytesText(s.Size)))
	}

	p.row("loader", f.Interpreter)
	p.rows("libraries", f.Libraries)
	p.line("")

	// Answers that the format cannot give would only fill the page.
	for _, q := range f.Findings {
		if q.Is == Unknown && q.Why == notApplicable {
			continue
		}
		p.line("  %-12s %-8s %s", q.Name, q.Is, safetext.Escape(q.Why, maxShown))
	}

	p.sections(f.Sections, f.Size)
	if f.Code != nil {
		p.code(*f.Code, f)
	}
	p.embedded(f.Embedded)
	p.paths(f)
	if f.Recipe != nil {
		p.recipe(*f.Recipe)
	}
	if len(f.Notes) > 0 {
		p.line("")
		p.rows("notes", f.Notes)
	}
}

func (p page) build(b Build, f Facts) {
	p.row("package", b.Path)
	if b.Main != nil {
		p.row("module", moduleText(*b.Main))
	}
	var deps, settings []string
	for _, d := range b.Deps {
		deps = append(deps, moduleText(d))
	}
	for _, s := range b.Settings {
		settings = append(settings, s.Key+"="+s.Value)
	}
	p.rows("needs", deps)
	for i, line := range wrap(settings, 84) {
		p.row([]string{"settings", ""}[min(i, 1)], line)
	}
	for i, line := range wrap(f.NotRecorded, 84) {
		p.row([]string{"not recorded", ""}[min(i, 1)], line)
	}
}

// wrap joins words to lines of at most width bytes.
func wrap(words []string, width int) []string {
	var lines []string
	for _, w := range words {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(w) <= width {
			lines[n-1] += " " + w
		} else {
			lines = append(lines, w)
		}
	}
	return lines
}

func moduleText(m Module) string {
	text := strings.TrimSpace(strings.Join([]string{m.Path, m.Version, m.Sum}, " "))
	if m.Replace != nil {
		text += " => " + moduleText(*m.Replace)
	}
	return text
}

func (p page) buildID(f Facts) {
	id := *f.BuildID
	if id.FileContent == "" {
		p.row("build ID", id.ID)
	} else {
		p.row("build ID", "link "+id.LinkAction+"  main "+id.MainAction+" -> "+id.MainContent)
		p.row("", "file "+id.FileContent)
	}

	// Whether the file still fits its ID is of more use than the ID.
	if c := f.Content; c != nil {
		text := string(c.State) + ": " + c.Why
		if c.State == ContentChanged {
			text += " (it is " + c.Hash + " now)"
		}
		if c.Uncovered > 0 {
			text += fmt.Sprintf("; it does not cover %s", bytesText(c.Uncovered))
		}
		p.row("content", text)
	}
}

// sections writes the largest ones.
func (p page) sections(list []Section, size int64) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Section) int { return cmp.Compare(b.Size, a.Size) })

	p.line("\n  %10s %6s  section", "bytes", "share")
	for i, s := range list {
		// What is not listed keeps its share of the file in view.
		if i == maxRows {
			rest := int64(0)
			for _, s := range list[i:] {
				rest += s.Size
			}
			p.line("  %10d %6s  and %d more", rest, share(rest, size), len(list)-i)
			break
		}

		compressed := ""
		if s.Compressed {
			compressed = " (compressed)"
		}
		p.line("  %10d %6s  %s%s", s.Size, share(s.Size, size), safetext.Escape(s.Name, maxShown), compressed)
	}
}

func share(n, of int64) string {
	if of <= 0 {
		return ""
	}
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(of))
}

func (p page) code(c Code, f Facts) {
	p.line("\n  %10s %6s %6s  module", "text", "share", "funcs")
	for i, m := range c.Modules {
		if i == maxRows {
			p.line("  %25s and %d more", "", len(c.Modules)-i)
			break
		}
		p.line("  %10d %6s %6d  %s", m.Text, share(m.Text, c.Text), m.Functions, safetext.Escape(strings.TrimSpace(cmp.Or(m.Path, noPackage)+" "+m.Version), maxShown))
	}

	p.line("\n  %10s %6s %6s  package", "text", "share", "funcs")
	for i, k := range c.Packages {
		if i == maxRows {
			p.line("  %25s and %d more", "", len(c.Packages)-i)
			break
		}
		p.line("  %10d %6s %6d  %s", k.Text, share(k.Text, c.Text), k.Functions, safetext.Escape(cmp.Or(k.Path, noPackage), maxShown))
	}

	// Some think that stripping saves these tables, so their size is shown.
	var parts []string
	total := int64(0)
	for _, t := range c.Tables {
		parts = append(parts, fmt.Sprintf("%s %d", t.Name, t.Size))
		total += t.Size
	}

	p.line("")
	p.row("pclntab", fmt.Sprintf("%d bytes (%s), which -s and -w cannot save: %s", total, share(total, f.Size), strings.Join(parts, ", ")))
	if f.Finding(NoSymbols).Is == Yes || f.Finding(NoDWARF).Is == Yes {
		p.row("", "what -s and -w saved is not in the file to be measured")
	}
}

func (p page) embedded(list []EmbeddedFile) {
	if len(list) == 0 {
		return
	}
	p.line("\n  %10s  embedded file", "bytes")
	for i, f := range list {
		if i == maxRows {
			p.line("  %10s  and %d more", "", len(list)-i)
			break
		}
		changed := ""
		if f.Intact != Yes {
			changed = " (does not fit the hash that the compiler stored)"
		}
		p.line("  %10d  %s%s", f.Size, safetext.Escape(f.Name, maxShown), changed)
	}
}

func (p page) paths(f Facts) {
	if len(f.Paths) == 0 {
		return
	}
	p.line("\n  %10s  %-16s looks like a host path", "times", "section")
	for i, h := range f.Paths {
		if i == maxRows {
			break
		}
		p.line("  %10d  %-16s %s", h.Count, safetext.Escape(h.Section, maxShown), safetext.Escape(h.Text, 80))
	}
	if n := len(f.Paths) - maxRows + f.MorePaths; n > 0 {
		p.line("  %10s  and %d more", "", n)
	}
}

func (p page) recipe(r Recipe) {
	p.line("")
	p.row("source", r.Source)
	p.line("  %-12s %s", "recipe", r.String())
	p.rows("inferred", r.Inferred)
	p.rows("unknown", r.Unknown)
}

// bytesText is a size for people.
func bytesText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
