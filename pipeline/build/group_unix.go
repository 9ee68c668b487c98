//go:build unix && !linux

package build

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the cancellation of cmd reach its descendants.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
