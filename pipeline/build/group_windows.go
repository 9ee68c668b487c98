package build

import (
	"os/exec"
	"strconv"
)

// ownGroup makes the cancellation of cmd reach its descendants.
func ownGroup(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
		return cmd.Process.Kill()
	}
}
