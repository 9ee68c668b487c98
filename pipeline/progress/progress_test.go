package progress

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is what a terminal of one line would show in the end, and all that it
// was sent.
type screen struct {
	sync.Mutex
	sent strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	return s.sent.Write(p)
}

func (s *screen) text() string {
	s.Lock()
	defer s.Unlock()
	return s.sent.String()
}

// On something that is no terminal there are whole lines only.
func TestProgressPlain(t *testing.T) {
	var s screen
	now := time.Unix(0, 0)
	p := &Printer{W: &s, Now: func() time.Time { return now }}
	p.Stage("source")
	p.Line("source  %s", "here")
	p.Begin(3)
	a, b, c := p.Job("A", "linux/amd64"), p.Job("B", "linux/amd64"), p.Job("A", "js/wasm")
	now = now.Add(1500 * time.Millisecond)
	b(nil)
	a(errors.New("no"))
	c(fmt.Errorf("go build: %w", context.Canceled))
	p.End()
	p.Close()
	want := "source  here\n  1/3  pass B  linux/amd64            built in 1.5s\n  2/3  pass A  linux/amd64            failed in 1.5s\n  3/3  pass A  js/wasm                stopped in 1.5s\n"
	if got := s.text(); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// On a terminal the last line says what runs and since when, never wraps, and
// is gone in the end.
func TestProgressTerminal(t *testing.T) {
	var s screen
	var mu sync.Mutex
	now := time.Unix(0, 0)
	p := &Printer{W: &s, Width: 40, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
	p.Stage("modules")
	p.Begin(2)
	done := p.Job("A", "linux/amd64")
	p.Job("B", strings.Repeat("long", 20))
	mu.Lock()
	now = now.Add(75 * time.Second)
	mu.Unlock()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(s.text(), "0 of 2, 1m15s: A linux/amd64"); {
		if time.Now().After(end) {
			t.Fatalf("the line does not tick: %q", s.text())
		}
		time.Sleep(10 * time.Millisecond)
	}
	done(nil)
	p.End()
	p.Close()
	p.Close()
	if got := s.text(); !strings.HasSuffix(got, "\x1b[K") {
		t.Errorf("the last line stays: %q", got)
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(s.text(), "\r\x1b[K", "\n"), "\n") {
		if strings.HasPrefix(line, "  ") && len(line) > 40 && !strings.Contains(line, "built") {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
	var none *Printer
	none.Stage("x")
	none.Begin(1)
	none.Job("A", "x")(nil)
	none.End()
	none.Close()
}
