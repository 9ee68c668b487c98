package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// own is an error of another package.
type own struct{}

func (own) Error() string { return "own" }
func (own) Kind() Kind    { return KindRefused }
func (own) Hint() string  { return "its own" }

// The kind and the remedy are found through every way of wrapping, and neither
// makes the other.
func TestKindAndHint(t *testing.T) {
	plain := errors.New("plain")
	for _, c := range []struct {
		err  error
		kind Kind
		hint string
	}{
		{nil, KindOutside, ""},
		{plain, KindOutside, ""},
		{Hint(plain, "do this"), KindOutside, "do this"},
		{Usage(plain), KindUsage, ""},
		{Usage(plain, "do this"), KindUsage, "do this"},
		{Refused(plain, "do this"), KindRefused, "do this"},
		{Hint(Usage(plain, "do this"), "or that"), KindUsage, "or that"},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w", Usage(Hint(plain, "do this")))), KindUsage, "do this"},
		{Usage(Refused(plain)), KindUsage, ""}, // who wraps it knows better
		{errors.Join(plain, Usage(plain, "do this"), io.EOF), KindUsage, "do this"},
		{errors.Join(Usage(plain), Refused(plain)), KindRefused, ""},
		{fmt.Errorf("%w: %w", Refused(plain), Usage(plain)), KindRefused, ""},
		{fmt.Errorf("a: %w", own{}), KindRefused, "its own"},
		{Usage(nil), KindOutside, ""},
		{Hint(nil, "do this"), KindOutside, ""},
	} {
		if kind, hint := KindOf(c.err), HintOf(c.err); kind != c.kind || hint != c.hint {
			t.Errorf("%v: kind %d, hint %q, want %d, %q", c.err, kind, hint, c.kind, c.hint)
		}
		if c.err != nil && !errors.Is(c.err, plain) && !errors.As(c.err, new(own)) {
			t.Errorf("%v: the cause is lost", c.err)
		}
	}
	if Usage(nil) != nil || Refused(nil, "x") != nil || Hint(nil, "x") != nil {
		t.Error("no error became one")
	}
	if got := Usage(fmt.Errorf("a: %w", plain), "do this").Error(); got != "a: plain" {
		t.Errorf("text %q", got)
	}
}
