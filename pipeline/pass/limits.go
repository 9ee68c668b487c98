package pass

import (
	"fmt"
	"time"
)

// Limits bound what one hook or build may take of this machine, together with everything that it
// starts. Time is bounded on every system, and the rest on Linux. Zero means no bound.
type Limits struct {
	// Memory is what its processes may have in memory, in bytes.
	Memory int64
	// Tasks is how many processes and threads it may have at once.
	Tasks int
	// Disk is how much the free space of the workspace's disk may shrink while the command runs,
	// in bytes. Zero means three quarters of what was free, and at least leastDisk.
	Disk int64
	// Time is how long it may take.
	Time time.Duration
}

const (
	// maxTasks is a quarter of the process ids that Linux has by default (32768).
	// A compiler has some ten threads, and a go command starts one for each
	// processor.
	maxTasks = 8192
	// leastMemory lets a build of any size begin on a small machine. Two compilers of large
	// packages take 0.7 GB each.
	leastMemory = 2 << 30
	// leastDisk bytes and leastFiles files are what any command may write. A disk that has less
	// room is full before the limit is reached, and then the system tells the command.
	leastDisk  = 2 << 30
	leastFiles = 1 << 17
)

// DefaultTime is enough for one command. The largest Go programs build in minutes.
const DefaultTime = 2 * time.Hour

// DefaultLimits are limits that only a command out of control reaches. memory is how much of the
// machine's memory all builds together may use, in bytes. One command may take all of it.
func DefaultLimits(memory int64) Limits {
	return Limits{Memory: max(memory, leastMemory), Tasks: maxTasks, Time: DefaultTime}
}

// LimitError is a command that was ended because it took more than its Limits.
type LimitError struct{ what, remedy string }

// Error says which limit it was, and how much the command took.
func (e *LimitError) Error() string { return e.what }

// Remedy says what to do about it.
func (e *LimitError) Remedy() string { return e.remedy }

// newLimitError returns a [LimitError] that says what the command took.
func newLimitError(remedy, format string, args ...any) error {
	return &LimitError{fmt.Sprintf(format, args...), remedy}
}

// timeLimitError returns the [LimitError] of a command that took too long.
func timeLimitError(limit time.Duration) error {
	return newLimitError("look for what it waits for; --timeout gives it more time", "it took more than %s, the time for one command", limit)
}

// gib returns a number of bytes in GiB.
func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
