package main

import (
	"fmt"

	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// resultPrinter prints the results of a rebuild.
type resultPrinter struct {
	app *app
	// lines has it print JSON Lines instead of text.
	lines bool
	// early has it print each result as soon as it is there. Otherwise end prints all.
	early   bool
	printed int
}

// print prints one result, if results are printed early.
func (p *resultPrinter) print(r *verdict.Result) error {
	if !p.early {
		return nil
	}

	p.app.progress.Hide() // stdout may be the same terminal
	p.printed++
	if p.lines {
		return p.line(r.Line())
	}
	return r.Fprint(p.app.stdout, p.printed == 1, p.app.verbose)
}

// line prints a line of JSON.
func (p *resultPrinter) line(text []byte, err error) error {
	if err == nil {
		_, err = fmt.Fprintf(p.app.document(), "%s\n", text)
	}
	return err
}

// end prints the results that are left, and what is said of all.
func (p *resultPrinter) end(doc verdict.Document) error {
	if p.app.json && !p.lines {
		return printJSON(p.app.document(), doc)
	}

	p.early = true
	for i := p.printed; i < len(doc.Files); i++ {
		if err := p.print(&doc.Files[i]); err != nil {
			return err
		}
	}
	if p.lines {
		return p.line(doc.End())
	}
	return doc.FprintEnd(p.app.stdout)
}
