package main

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/fault"
)

// textDoc is the document of a text that has no other: help, or a script for a shell.
type textDoc struct {
	Schema string `json:"schema"` // "twice.text/v1"
	Text   string `json:"text"`
}

// textWriter takes such text. With --json it keeps the text for printText.
type textWriter struct{ app *app }

// Write implements io.Writer.
func (w textWriter) Write(p []byte) (int, error) {
	if w.app.json {
		return w.app.text.Write(p)
	}
	return w.app.stdout.Write(p)
}

// printText prints the document of text, if one was asked for.
func (a *app) printText() error {
	if !a.json || a.printed {
		return nil
	}
	return printJSON(a.document(), textDoc{"twice.text/v1", a.text.String()})
}

// asksJSON reports whether args ask for JSON. It is for command lines that could not be parsed.
func asksJSON(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if v, ok := strings.CutPrefix(arg, "--json="); ok {
			on, err := strconv.ParseBool(v)
			return on || err != nil
		}
		if arg == "--json" {
			return true
		}
	}
	return false
}

// document returns stdout, for the one document of --json.
func (a *app) document() io.Writer {
	a.printed = true
	return a.stdout
}

// failure is the document of a verb that failed without a document of its own.
type failure struct {
	Schema string `json:"schema"` // "twice.error/v1"
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Status int    `json:"status"` // the exit status
}

// printFailure prints the document of a failure, if one was asked for and none is there.
func (a *app) printFailure(err error, status int) {
	if a.json && !a.printed {
		printJSON(a.document(), failure{"twice.error/v1", err.Error(), fault.RemedyOf(err), status})
	}
}

// printJSON writes one document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
