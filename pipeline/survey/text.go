package survey

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// Fprint writes what the survey found for people: the shares, the reasons, and a table each by
// project, release of Go and platform. With verbose a line for each file follows. It returns the
// writer's error.
func (d *Document) Fprint(w io.Writer, verbose bool) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s of %d projects in %d subjects\n", programs(d.Programs.Files), len(d.Projects), d.Subjects)
	if d.Others > 0 {
		fmt.Fprintf(b, "besides: %d files that are no Go program, or could not be read\n", d.Others)
	}
	if n := len(d.NotJudged); n > 0 {
		fmt.Fprintf(b, "not judged yet: %d of the subjects\n", n)
	}
	if !d.From.IsZero() {
		fmt.Fprintf(b, "judged by twice %s from %s to %s\n", verdict.Quote(strings.Join(d.Tools, ", ")), day(d.From), day(d.To))
	}
	fmt.Fprintf(b, "\nreproduced    %5d\nequivalent    %5d\ndiffers       %5d\nundetermined  %5d\n",
		d.Programs.Reproduced, d.Programs.Equivalent, d.Programs.Differs, d.Programs.Undetermined)
	fmt.Fprintf(b, "\n%s of what others could build: its source is public, and no C compiler took part\n", share(d.Possible))
	fmt.Fprintf(b, "%s of all\n", share(d.Programs))

	if len(d.Reasons) > 0 {
		table(b, "\nREASON\tFILES\tWOULD BRING\tSUCH AS\n", func(t io.Writer) {
			for _, r := range d.Reasons {
				name := verdict.Quote(string(r.Kind))
				if !r.Possible {
					name += " *"
				}
				fmt.Fprintf(t, "%s\t%d\t%+.1f %%\t%s\n", name, r.Files, r.Share, safetext.Quote(firstLine(r.Example), 100))
			}
		})
		if slices.ContainsFunc(d.Reasons, func(r Reason) bool { return !r.Possible }) {
			fmt.Fprintln(b, "* only its makers can build it")
		}
	}

	for _, g := range []struct {
		title string
		list  []Group
	}{{"PROJECT", d.Projects}, {"GO", d.Releases}, {"PLATFORM", d.Platforms}} {
		table(b, "\n"+g.title+"\tFILES\tREPRODUCED\tEQUIVALENT\tDIFFERS\tUNDETERMINED\n", func(t io.Writer) {
			for _, row := range g.list {
				fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\n", verdict.Quote(row.Name), row.Files, row.Reproduced, row.Equivalent, row.Differs, row.Undetermined)
			}
		})
	}

	if verbose {
		table(b, "\nSUBJECT\tFILE\tVERDICT\tGO\tPLATFORM\tREASON\n", func(t io.Writer) {
			for _, r := range d.Rows {
				why := r.Key()
				if r.Reason != nil {
					why += ": " + firstLine(r.Reason.Text)
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", verdict.Quote(r.Subject), verdict.Quote(r.File), r.Verdict, cell(r.GoVersion), cell(r.Target), cell(why))
			}
		})
	}
	return b.Flush()
}

// cell is a text in a table, or a dash if it is empty.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return verdict.Quote(s)
}

// table writes the columns that rows writes under a heading.
func table(w io.Writer, heading string, rows func(io.Writer)) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	io.WriteString(t, heading)
	rows(t)
	t.Flush()
}

func programs(n int) string {
	if n == 1 {
		return "1 Go program"
	}
	return fmt.Sprintf("%d Go programs", n)
}

// share is what passed, as "105 of 150, 70.0 %".
func share(c Count) string {
	return fmt.Sprintf("%d of %d, %.1f %%", c.Passed(), c.Files, c.Percent())
}

// firstLine returns a text up to its first line end.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
