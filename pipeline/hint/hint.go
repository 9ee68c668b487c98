// Package hint keeps fault and remedy apart: an error says what is wrong, and
// its hint what to do about it. Whoever prints the error prints the hint as a
// line of its own.
package hint

import "errors"

// Error is an error with a hint.
type Error struct {
	Err error
	// Remedy is one sentence in lower case, without a full stop.
	Remedy string
}

// Add returns err with a remedy.
func Add(err error, remedy string) error { return &Error{err, remedy} }

// Error returns the text of Err alone.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the remedy.
func (e *Error) Hint() string { return e.Remedy }

// Of returns the outermost remedy in err's tree, or "". Errors of other types
// take part by a method Hint.
func Of(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
