//go:build !unix

package main

import "os"

// openPipe opens a file that may be a pipe.
func openPipe(name string) (*os.File, error) { return os.Open(name) }

// ignoreBrokenPipes has nothing to do: writing to such a pipe is an error by itself.
func ignoreBrokenPipes() {}
