// Package fault keeps three things of an error apart. Its text says what is wrong. Its kind says
// whose fault that is, and the kind alone decides the exit status. Its remedy says what to do about
// it, on a line of its own.
//
// [Usage] and [Refused] give the kind where the error is made, since nobody further up knows it.
// [WithRemedy] adds a remedy to an error of any kind, and does not change the kind: a module with a
// wrong hash has a remedy, and is no usage error.
package fault

import "errors"

// Kind is the meaning of an error for the caller.
type Kind int

// The kinds, from the weakest to the strongest.
const (
	// KindOutside is the kind of every error that has no other: there is no answer, or something
	// else failed (network, tool, disk, source).
	KindOutside Kind = iota
	// KindUsage is a fault in what the user asked for: the command line, the release file, the
	// state of the repository.
	KindUsage
	// KindRefused is an answer, and it is no: something differs, or is refused.
	KindRefused
)

// Usage marks err as a fault in what the user asked for.
func Usage(err error) error { return withKind(err, KindUsage) }

// Refused marks err as an answer that is no.
func Refused(err error) error { return withKind(err, KindRefused) }

// withKind returns err with a kind, and nil for nil.
func withKind(err error, kind Kind) error {
	if err == nil {
		return nil
	}
	return &kindError{err, kind}
}

// kindError is an error of a kind.
type kindError struct {
	error
	kind Kind
}

func (e *kindError) Unwrap() error { return e.error }
func (e *kindError) Kind() Kind    { return e.kind }

// KindOf returns the outermost kind in err's chain. Where errors were joined it is the strongest of
// theirs. Errors of other types take part by a method Kind.
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

// WithRemedy returns err with a remedy: one sentence in lower case, without a full stop. An empty
// one adds nothing. The kind stays as it is.
func WithRemedy(err error, remedy string) error {
	if err == nil || remedy == "" {
		return err
	}
	return &remedyError{err, remedy}
}

// remedyError is an error with a remedy.
type remedyError struct {
	error
	remedy string
}

func (e *remedyError) Unwrap() error  { return e.error }
func (e *remedyError) Remedy() string { return e.remedy }

// RemedyOf returns the outermost remedy in err's tree, or "". Errors of other types take part by a
// method Remedy.
func RemedyOf(err error) string {
	var e interface{ Remedy() string }
	if errors.As(err, &e) {
		return e.Remedy()
	}
	return ""
}
