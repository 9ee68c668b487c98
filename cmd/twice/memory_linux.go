package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory returns how many bytes builds may use: three quarters of what is
// available, by /proc/meminfo and the limit of this process's control group.
func memory() int64 {
	available := int64(2 << 30)
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" {
				if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					available = kb << 10
				}
			}
		}
	}

	// A control group may have less than the machine.
	if data, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		if _, dir, ok := strings.Cut(strings.TrimSpace(string(data)), "0::"); ok {
			if data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", dir, "memory.max")); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil {
					available = min(available, n)
				}
			}
		}
	}

	return available / 4 * 3
}
