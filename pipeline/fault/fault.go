// Package fault keeps three things of an error apart. Its text says what is
// wrong. Its kind says whose fault that is, and so the exit status: it is given
// where the error is made, for nobody further up knows. Its hint says what to do
// about it; whoever prints the error prints the hint as a line of its own. One
// does not follow from another: a module with a wrong hash has a hint, and is no
// usage error.
package fault

import "errors"

// Kind is what an error means for the caller.
type Kind int

// The kinds, the weakest first: of several errors that were joined, the strongest
// counts.
const (
	// KindOutside is every error that does not say otherwise: there is no
	// answer, or something else failed (network, tool, disk, source).
	KindOutside Kind = iota
	// KindUsage is a fault in what the user asked for: the command line, the
	// release file, the state of the repository.
	KindUsage
	// KindRefused is an answer, and it is no: something differs, or is refused.
	KindRefused
)

// Usage marks err as a fault in what the user asked for. There is at most one
// remedy, as for [Hint].
func Usage(err error, remedy ...string) error { return mark(err, KindUsage, remedy) }

// Refused marks err as an answer that is no. There is at most one remedy, as for
// [Hint].
func Refused(err error, remedy ...string) error { return mark(err, KindRefused, remedy) }

func mark(err error, kind Kind, remedy []string) error {
	if err == nil {
		return nil
	}
	for _, r := range remedy {
		err = Hint(err, r)
	}
	return &marked{err, kind}
}

// marked is an error of a kind.
type marked struct {
	error
	kind Kind
}

func (m *marked) Unwrap() error { return m.error }
func (m *marked) Kind() Kind    { return m.kind }

// KindOf returns the outermost kind in err's chain. Where errors were joined it
// is the strongest of theirs. Errors of other types take part by a method Kind.
func KindOf(err error) Kind {
	switch e := err.(type) {
	case interface{ Kind() Kind }:
		return e.Kind()
	case interface{ Unwrap() error }:
		return KindOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		strongest := KindOutside
		for _, err := range e.Unwrap() {
			strongest = max(strongest, KindOf(err))
		}
		return strongest
	}
	return KindOutside
}

// Hint returns err with a remedy: one sentence in lower case, without a full
// stop, or none where it is empty. The kind stays as it is.
func Hint(err error, remedy string) error {
	if err == nil || remedy == "" {
		return err
	}
	return &hinted{err, remedy}
}

// hinted is an error with a remedy.
type hinted struct {
	error
	remedy string
}

func (h *hinted) Unwrap() error { return h.error }
func (h *hinted) Hint() string  { return h.remedy }

// HintOf returns the outermost remedy in err's tree, or "". Errors of other types
// take part by a method Hint.
func HintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
