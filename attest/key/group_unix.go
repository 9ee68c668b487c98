//go:build unix

package key

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts cmd in a process group, which is killed as a whole. So it cannot
// ask on the terminal: a plugin has its credentials from its environment.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != syscall.ESRCH {
			return err
		}
		return os.ErrProcessDone
	}
}
