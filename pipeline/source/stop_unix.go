//go:build unix

package source

import (
	"os/exec"
	"syscall"
)

// stopWhole makes the end of cmd's context end its children too.
func stopWhole(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
