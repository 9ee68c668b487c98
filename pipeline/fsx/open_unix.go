//go:build unix

package fsx

import "syscall"

// nonblock keeps open(2) from waiting for whoever writes to a pipe, and from taking
// a terminal for that of this process.
const nonblock = syscall.O_NONBLOCK | syscall.O_NOCTTY
