package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/term"
)

// askTerminal is app.ask. What is typed is not shown. The read itself cannot be ended, so when ctx
// ends the terminal is only set back to how it was.
func askTerminal(ctx context.Context, prompt string) ([]byte, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}

	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)

	fmt.Fprint(os.Stderr, prompt)
	go func() {
		line, err := term.ReadPassword(fd)
		answers <- answer{line, err}
	}()

	select {
	case a := <-answers:
		fmt.Fprintln(os.Stderr)
		return a.line, a.err
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr)
		if err := term.Restore(fd, before); err != nil {
			return nil, fmt.Errorf("terminal: %w", err)
		}
		return nil, context.Cause(ctx)
	}
}
