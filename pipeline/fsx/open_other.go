//go:build !unix

package fsx

// nonblock is not needed where pipes are no files.
const nonblock = 0
