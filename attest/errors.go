package attest

import "fmt"

// Reason says why [Open] made no Verified value.
type Reason string

// The reasons. Undetermined is about the one who asks, all others are about the
// bundle.
const (
	// Undetermined: there is nothing to judge by, such as no trusted root or one that cannot be
	// read. It says nothing about the bundle.
	Undetermined Reason = "undetermined"
	// Malformed: these bytes are not a bundle that this package knows. An
	// unsigned file is one of them.
	Malformed Reason = "malformed"
	// WrongKey: another key made the signature, or the key of a certificate.
	WrongKey Reason = "wrong key"
	// WrongIdentity: the certificate is for somebody else, or there is none.
	WrongIdentity Reason = "wrong identity"
	// WrongIssuer: another issuer than the expected one vouched for the identity.
	WrongIssuer Reason = "wrong issuer"
	// WrongAuthority: no certificate authority, or no certificate log, of the trusted root stands
	// behind the certificate.
	WrongAuthority Reason = "wrong authority"
	// WrongTime: the certificate, or the log's key, was not valid when the signature was made, or
	// nobody trusted tells when that was.
	WrongTime Reason = "wrong time"
	// WrongLog: the entry in the transparency log is missing, is another log's, or does not prove
	// what it should.
	WrongLog Reason = "wrong log"
	// WrongSubject: the statement or signature is about other bytes.
	WrongSubject Reason = "wrong subject"
	// Tampered: signature and content do not belong together.
	Tampered Reason = "tampered"
)

// Error is an error of [Open].
type Error struct {
	// Reason tells the kinds of failure apart.
	Reason Reason
	err    error
	remedy string
}

// Error returns the cause.
func (e *Error) Error() string { return "open bundle: " + e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// Remedy says what to do about it. It is empty if nothing helps.
func (e *Error) Remedy() string { return e.remedy }

// refuse returns an error with a reason.
func refuse(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, err: fmt.Errorf(format, args...)}
}

// withRemedy adds a remedy, and returns e.
func (e *Error) withRemedy(remedy string) *Error {
	e.remedy = remedy
	return e
}

// NotBundle returns an error with the reason [Malformed], about bytes that are in none of the forms
// of a bundle.
func NotBundle(err error) *Error { return refuse(Malformed, "%w", err) }
