package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// largest returns the memory of the largest process that was waited for, in
// bytes.
func largest(s *os.ProcessState) int64 {
	return s.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// sample returns the processor time of a process and the resident memory of it
// and its descendants, in bytes; pages that they share count more than once.
func sample(pid int) (cpu time.Duration, rss int64) {
	type process struct{ parent, rss int }
	list := map[int]process{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		// proc_pid_stat(5); the name in parentheses may hold anything.
		_, rest, ok := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
		f := strings.Fields(rest)
		if !ok || len(f) < 22 {
			continue
		}
		number := func(field int) int { n, _ := strconv.Atoi(f[field-3]); return n }
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		list[id] = process{parent: number(4), rss: number(24)}
		if id == pid {
			cpu = time.Duration(number(14)+number(15)) * time.Second / 100
		}
	}
	for id, p := range list {
		for up := id; up > 1; up = list[up].parent {
			if up == pid {
				rss += int64(p.rss) * int64(os.Getpagesize())
				break
			}
		}
	}
	return cpu, rss
}
