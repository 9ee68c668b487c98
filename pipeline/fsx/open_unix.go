//go:build unix

package fsx

import "syscall"

// nonblock keeps open(2) from waiting for a process that writes to a pipe, and from making a
// terminal that of this process.
const nonblock = syscall.O_NONBLOCK | syscall.O_NOCTTY
