package inspect

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/twicebuild/twice/pipeline/safetext"
)

// FprintTable writes a line for each file, or for each slice of a universal one,
// below a line of titles: the name, the version of Go, the main module (or the package,
// if there is none), the target, the size in bytes, and the flags that can be recognized.
// Among the flags, "changed" means that the file is not what the linker wrote, and
// "signed" that it has a signature. A dash stands for an unknown value. The error is the
// writer's.
func (d Document) FprintTable(w io.Writer) error {
	rows := [][]string{{"file", "go", "module", "target", "bytes", "flags"}}
	for _, f := range d.Files {
		for _, b := range f.Binaries {
			row := b.row()
			for i, text := range row {
				row[i] = safetext.Escape(text, maxShown)
			}
			rows = append(rows, append([]string{safetext.Escape(f.Name, maxShown)}, row...))
		}
	}

	// Widths count bytes, as escaped texts have ASCII characters alone.
	const number = 4 // the column that stands to the right
	var width [5]int
	for _, row := range rows {
		for i := range width {
			width[i] = max(width[i], len(row[i]))
		}
	}

	out := bufio.NewWriter(w)
	for _, row := range rows {
		var line strings.Builder
		for i, n := range width {
			if i != number {
				n = -n
			}
			fmt.Fprintf(&line, "%*s  ", n, row[i])
		}

		fmt.Fprintln(out, strings.TrimRight(line.String()+row[5], " "))
	}
	return out.Flush()
}

// row returns the row of a binary, without the name.
func (f *Facts) row() []string {
	module := ""
	if b := f.Build; b != nil {
		module = b.Path
		if b.Main != nil {
			module = b.Main.Path
			if b.Main.Version != "" {
				module += "@" + b.Main.Version
			}
		}
	}

	// Two states of the file are shown like answers to questions.
	var flags []string
	for _, q := range f.Findings {
		if q.Is == Yes && q.Name.isFlag() {
			flags = append(flags, string(q.Name))
		}
	}

	if f.Signature != nil {
		flags = append(flags, "signed")
	}
	if f.Content != nil && f.Content.State == ContentChanged {
		flags = append(flags, "changed")
	}
	target := cmp.Or(f.GOOS, "?") + "/" + cmp.Or(f.GOARCH, "?")
	return []string{cmp.Or(f.GoVersion, "-"), cmp.Or(module, "-"), target, fmt.Sprint(f.Size), strings.Join(flags, " ")}
}
