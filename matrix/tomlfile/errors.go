package tomlfile

import (
	"fmt"
	"strings"
)

// Error is one thing that is wrong with a file.
type Error struct {
	// File is what the caller calls the file.
	File string
	// Line is the line of the fault, from 1.
	Line int
	// Key is the path of the key, such as `matrix.include[2]` or
	// `binary[0].stamps."main.version"`. It is empty for an error of syntax.
	Key string
	// Msg is the fault. Remedy is what to do about it, where there is one to name.
	Msg, Remedy string
}

// Error returns the fault on one line, without the hint:
//
//	release.toml:14: matrix.include[2]: linux/arm/9: unknown GOARM "9" (5, 6 or 7)
func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s: %s", e.File, e.Line, e.Key, e.Msg)
}

// Errors is everything that is wrong with a file, in the order of lines.
type Errors []*Error

// Error returns every error on a line of its own, each followed by its hint
// ("  hint: ...") where it has one.
func (es Errors) Error() string {
	var b strings.Builder
	for i, e := range es {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.Error())
		if e.Remedy != "" {
			b.WriteString("\n  hint: ")
			b.WriteString(e.Remedy)
		}
	}
	return b.String()
}

// Unwrap gives errors.As the single errors.
func (es Errors) Unwrap() []error {
	list := make([]error, len(es))
	for i, e := range es {
		list[i] = e
	}
	return list
}
