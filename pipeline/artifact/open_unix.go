//go:build unix

package artifact

import "syscall"

// nonblock keeps open(2) from waiting for whoever writes to a pipe.
const nonblock = syscall.O_NONBLOCK
