//go:build !unix

package artifact

// nonblock is not needed where pipes are no files.
const nonblock = 0
