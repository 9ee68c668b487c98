// Package progress tells a person what a run does, while it does it.
package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Printer prints a line for each thing that is done. On a terminal, one last line says what is
// going on now. The methods may be called from many goroutines. A nil Printer prints nothing.
type Printer struct {
	// W takes what is printed.
	W io.Writer
	// Width is the width of the terminal in columns. It is 0 if W is no terminal, which gets no
	// last line.
	Width int
	// Now is the clock.
	Now func() time.Time

	mu      sync.Mutex
	total   int
	done    int
	running []string
	status  string
	start   time.Time     // of the jobs
	stop    chan struct{} // ends the ticking of the last line, if there is one
}

// Stage shows the name of what begins now.
func (p *Printer) Stage(name string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = name
	p.draw()
}

// Line prints a message on a line of its own.
func (p *Printer) Line(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	fmt.Fprintf(p.W, format+"\n", args...)
	p.draw()
}

// Begin begins the count of jobs.
func (p *Printer) Begin(jobs int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total, p.done, p.status, p.start = jobs, 0, "", p.Now()

	if p.Width > 0 && p.stop == nil {
		p.stop = make(chan struct{})
		go p.tick(p.stop)
	}
}

// tick draws the last line every second, since a job may take minutes in which nothing is printed.
func (p *Printer) tick(stop <-chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()

	for {
		select {
		case <-stop:
			return
		case <-t.C:
			p.mu.Lock()
			if p.total > 0 {
				p.draw()
			}
			p.mu.Unlock()
		}
	}
}

// Job shows that a pass began to build a target. The caller calls done when that ends, with nil,
// with an error, or with that of a context that stopped it.
func (p *Printer) Job(pass, target string) (done func(error)) {
	if p == nil {
		return func(error) {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()

	name := pass + " " + target
	start := p.Now()
	p.running = append(p.running, name)
	p.draw()

	return func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.done++

		for i, r := range p.running {
			if r == name {
				p.running = append(p.running[:i], p.running[i+1:]...)
				break
			}
		}

		p.erase()
		word := "built"
		switch {
		case errors.Is(err, context.Canceled):
			word = "stopped"
		case err != nil:
			word = "failed"
		}

		fmt.Fprintf(p.W, "%3d/%d  pass %s  %-22s %s in %.1fs\n", p.done, p.total, pass, target, word, p.Now().Sub(start).Seconds())
		p.draw()
	}
}

// End ends the count of jobs.
func (p *Printer) End() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.total, p.running = 0, nil
	p.endTicking()
}

// endTicking ends the goroutine that draws the last line.
func (p *Printer) endTicking() {
	if p.stop != nil {
		close(p.stop)
		p.stop = nil
	}
}

// Hide removes the last line until the next message.
func (p *Printer) Hide() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

// Close removes the last line for good.
func (p *Printer) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.Width = 0
	p.endTicking()
}

// draw writes the last line anew.
func (p *Printer) draw() {
	if p.Width == 0 {
		return
	}

	p.erase()
	text := p.status
	if p.total > 0 {
		text = fmt.Sprintf("%d of %d, %s: %s", p.done, p.total, p.Now().Sub(p.start).Round(time.Second), strings.Join(p.running, ", "))
	}

	if text == "" {
		return
	}

	// A line that wraps could not be erased.
	if r := []rune(text); len(r) > p.Width-4 && p.Width > 8 {
		text = string(r[:p.Width-8]) + "..."
	}

	fmt.Fprintf(p.W, "  %s", text)
}

// erase removes the last line from the terminal.
func (p *Printer) erase() {
	if p.Width > 0 {
		fmt.Fprint(p.W, "\r\x1b[K")
	}
}
