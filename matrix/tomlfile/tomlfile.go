// Package tomlfile reads TOML files and says on which line of them something
// stands: each key that a file has, and each thing that is wrong with it.
package tomlfile

import (
	"errors"
	"strings"

	"github.com/BurntSushi/toml"
)

// Decode reads TOML text into tables, lists and values. The error, if there is
// one, is of type [Errors] and has one element: the first fault of syntax, with
// name as its file. A fault at the end of the text may be said to stand on a line
// after the last one.
func Decode(name, text string) (map[string]any, error) {
	var tree map[string]any
	_, err := toml.Decode(text, &tree)
	if err == nil {
		return tree, nil
	}

	line, msg := 1, err.Error()
	if syntax := (toml.ParseError{}); errors.As(err, &syntax) {
		line, msg = max(syntax.Position.Line, 1), syntax.Message
	}
	return nil, Errors{{File: name, Line: line, Msg: msg}}
}

// countLines returns how many lines text has, at least one.
func countLines(text string) int {
	n := strings.Count(text, "\n")
	if !strings.HasSuffix(text, "\n") {
		n++
	}
	return max(n, 1)
}
