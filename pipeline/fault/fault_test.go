package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// own is an error of another package.
type own struct{}

func (own) Error() string  { return "own" }
func (own) Kind() Kind     { return KindRefused }
func (own) Remedy() string { return "its own" }

// The kind and the remedy are found through every way of wrapping, and neither
// makes the other.
func TestKindAndRemedy(t *testing.T) {
	plain := errors.New("plain")
	for _, c := range []struct {
		err    error
		kind   Kind
		remedy string
	}{
		{nil, KindOutside, ""},
		{plain, KindOutside, ""},
		{WithRemedy(plain, "do this"), KindOutside, "do this"},
		{Usage(plain), KindUsage, ""},
		{WithRemedy(Usage(plain), "do this"), KindUsage, "do this"},
		{Usage(WithRemedy(plain, "do this")), KindUsage, "do this"},
		{WithRemedy(Refused(plain), "do this"), KindRefused, "do this"},
		{WithRemedy(WithRemedy(Usage(plain), "do this"), "or that"), KindUsage, "or that"},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w", Usage(WithRemedy(plain, "do this")))), KindUsage, "do this"},
		{Usage(Refused(plain)), KindUsage, ""}, // who wraps it knows better
		{errors.Join(plain, WithRemedy(Usage(plain), "do this"), io.EOF), KindUsage, "do this"},
		{errors.Join(Usage(plain), Refused(plain)), KindRefused, ""},
		{fmt.Errorf("%w: %w", Refused(plain), Usage(plain)), KindRefused, ""},
		{fmt.Errorf("a: %w", own{}), KindRefused, "its own"},
		{Usage(nil), KindOutside, ""},
		{WithRemedy(nil, "do this"), KindOutside, ""},
	} {
		if kind, remedy := KindOf(c.err), RemedyOf(c.err); kind != c.kind || remedy != c.remedy {
			t.Errorf("%v: kind %d, remedy %q, want %d, %q", c.err, kind, remedy, c.kind, c.remedy)
		}
		if c.err != nil && !errors.Is(c.err, plain) && !errors.As(c.err, new(own)) {
			t.Errorf("%v: the cause is lost", c.err)
		}
	}
	if Usage(nil) != nil || Refused(nil) != nil || WithRemedy(nil, "x") != nil {
		t.Error("no error became one")
	}
	if got := WithRemedy(Usage(fmt.Errorf("a: %w", plain)), "do this").Error(); got != "a: plain" {
		t.Errorf("text %q", got)
	}
}
