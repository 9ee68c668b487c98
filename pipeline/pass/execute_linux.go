package pass

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// execute runs the command of c. It returns what the process observed, and its processor time. It
// calls stop if the command takes more than its limits.
func (s *localSession) execute(ctx context.Context, c childSpec, out io.Writer, stop context.CancelCauseFunc) (Witness, time.Duration, error) {
	p, err := confine(ctx, c, s.inside.user, s.inside.group)
	if err != nil {
		return nil, 0, err
	}

	watching, done := context.WithCancel(ctx)
	defer done()
	o, err := p.run(out, func(pid int) { go s.watch(watching, pid, stop) })

	var cpu time.Duration
	if st := p.cmd.ProcessState; st != nil {
		cpu = st.UserTime() + st.SystemTime()
	}
	return o.Witness, cpu, err
}

// The time between two looks at a command's processes. In the shorter one a processor fills about
// half a gigabyte. The longer one is for machines that have thousands of processes to look through.
const (
	watchPause   = 200 * time.Millisecond
	longestPause = time.Second
)

// watch calls stop when a command takes more than its limits. pid is an ancestor of all its
// processes.
func (s *localSession) watch(ctx context.Context, pid int, stop context.CancelCauseFunc) {
	raisePriority()
	atFirst, _ := freeSpace(s.outside.source)

	pause := time.NewTimer(watchPause)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}

		start := s.Now()
		if err := s.overrun(pid, atFirst); err != nil {
			stop(err)
			return
		}
		pause.Reset(min(longestPause, max(watchPause, 20*s.Now().Sub(start))))
	}
}

// overrun returns an error if the processes below pid take more than the limits.
func (s *localSession) overrun(pid int, atFirst diskSpace) error {
	list, err := machine.take(s.Now)
	if err != nil {
		return nil // what cannot be counted is not held against the command
	}

	tree := subtree(list, pid)
	tasks, memory := 0, int64(0)
	for _, p := range tree {
		tasks += p.threads
		memory += p.resident
	}

	if limit := s.Limits.Tasks; limit > 0 && tasks > limit {
		return newLimitError("look for a command that starts itself", "it has %d processes and threads, and the limit is %d", tasks, limit)
	}
	if limit := s.Limits.Memory; limit > 0 && memory > limit {
		// What several processes share was counted for each, so the limit may not be reached.
		if memory = proportionalMemory(tree); memory > limit {
			return newLimitError("let it do less at once, or give it a machine with more memory", "it has %s in memory, and the limit is %s", gib(memory), gib(limit))
		}
	}

	now, err := freeSpace(s.outside.source)
	if err != nil || atFirst.bytes == 0 {
		return nil
	}

	limit := s.Limits.Disk
	if limit == 0 {
		limit = defaultDisk(atFirst.bytes)
	}
	if taken := atFirst.bytes - now.bytes; taken > limit {
		return newLimitError("look for a command that writes without end, or make room", "the disk of %s has %s less space than when it started, and the limit is %s", s.Dir, gib(taken), gib(limit))
	}
	if limit := max(leastFiles, atFirst.files/4*3); atFirst.files > 0 && atFirst.files-now.files > limit {
		return newLimitError("look for a command that makes files without end", "the disk of %s has room for %d fewer files than when it started, and the limit is %d", s.Dir, atFirst.files-now.files, limit)
	}
	return nil
}

// defaultDisk is the limit of Limits.Disk for a disk that has so much free, in bytes.
func defaultDisk(free int64) int64 { return max(leastDisk, free/4*3) }

// proportionalMemory is the memory of processes in bytes. What they share counts once, as it does
// in their proportional set sizes.
func proportionalMemory(list []process) int64 {
	total := int64(0)
	for _, p := range list {
		size := p.resident
		data, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/smaps_rollup")
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); err == nil && len(f) == 3 && f[0] == "Pss:" {
				if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					size = kb << 10
				}
			}
		}
		total += size
	}
	return total
}

// diskSpace is what is free on a disk.
type diskSpace struct{ bytes, files int64 }

// freeSpace returns what is free on the disk of dir.
func freeSpace(dir string) (diskSpace, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return diskSpace{}, err
	}
	return diskSpace{int64(st.Bavail) * int64(st.Bsize), int64(st.Ffree)}, nil
}
