package fsx

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// holder returns the process that has the lock of a file, or zero if it is not known.
func holder(name string) int {
	info, err := os.Lstat(name)
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}

	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	// A line is "1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF", with the inode before the last
	// two fields.
	for line := range strings.Lines(string(locks)) {
		f := strings.Fields(line)
		if len(f) > 5 && f[1] == "FLOCK" && strings.HasSuffix(f[5], fmt.Sprintf(":%d", st.Ino)) {
			pid, _ := strconv.Atoi(f[4]) // zero, or less, for one that cannot be seen from here
			return max(pid, 0)
		}
	}
	return 0
}
