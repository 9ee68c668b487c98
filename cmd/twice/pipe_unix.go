//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// openPipe opens a file that may be a pipe, and does not wait for who writes to it.
func openPipe(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

// ignoreBrokenPipes makes it an error to write to a pipe that nobody reads any more,
// and not the end of the process. What the process starts has the default.
func ignoreBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
