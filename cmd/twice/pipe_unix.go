//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// heedBrokenPipes makes it an error to write to a pipe that nobody reads any more,
// and not the end of the process. What the process starts has the default.
func heedBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
