//go:build unix

package process

import (
	"os"
	"os/exec"
	"syscall"
)

// Group makes the end of cmd's context end its descendants with it. Call it
// before cmd starts.
func Group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != syscall.ESRCH {
			return err
		}
		return os.ErrProcessDone
	}
}
