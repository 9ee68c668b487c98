package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a release file.
type Error struct {
	// File is the name that was given to [Parse] or [Load].
	File string
	// Line is where it stands, from 1.
	Line int
	// Key is the path of the key, such as `matrix.include[2]` or
	// `binary[0].stamps."main.version"`; empty for an error of syntax.
	Key string
	// Msg is the fault, Hint the remedy where there is one to name.
	Msg, Hint string
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

// Errors is everything that is wrong with a release file, in the order of lines.
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
		if e.Hint != "" {
			b.WriteString("\n  hint: ")
			b.WriteString(e.Hint)
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

// faults collects the errors of one file.
type faults struct {
	file  string
	lines *index
	list  Errors
	// bad holds the paths whose value could not be taken over. What depends on
	// such a value is not judged.
	bad map[string]bool
}

func (f *faults) add(key, hint, format string, args ...any) {
	f.list = append(f.list, &Error{
		File: f.file,
		Line: f.lines.find(key),
		Key:  key,
		Msg:  fmt.Sprintf(format, args...),
		Hint: hint,
	})
}

// reject is add for a value of the wrong type or form.
func (f *faults) reject(key, hint, format string, args ...any) {
	f.bad[key] = true
	f.add(key, hint, format, args...)
}

// ok tells whether neither key nor anything around it was rejected.
func (f *faults) ok(key string) bool {
	for ; key != ""; key = parent(key) {
		if f.bad[key] {
			return false
		}
	}
	return true
}

// err returns what was collected, sorted, or nil.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Key, b.Key), strings.Compare(a.Msg, b.Msg))
	})
	f.list = slices.CompactFunc(f.list, func(a, b *Error) bool { return *a == *b })
	return f.list
}
