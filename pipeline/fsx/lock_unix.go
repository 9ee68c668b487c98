//go:build unix

package fsx

import (
	"os"
	"syscall"
)

const lockFlags = os.O_CREATE | os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOFOLLOW | syscall.O_NOCTTY
