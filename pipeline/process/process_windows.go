package process

import (
	"os/exec"
	"strconv"
)

// Group makes the end of cmd's context end its descendants with it. Call it
// before cmd starts.
func Group(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
		return cmd.Process.Kill()
	}
}
