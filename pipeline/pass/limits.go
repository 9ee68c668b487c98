package pass

import (
	"fmt"
	"time"
)

// Limits bound what one command of a pass, a hook or a build, may take of this
// machine together with everything that it starts. Time is bounded on every
// system, the rest on Linux; 0 means no bound.
type Limits struct {
	// Memory is what its processes may have in memory, in bytes.
	Memory int64
	// Tasks is how many processes and threads it may have at once.
	Tasks int
	// Disk is how much less space the workspace's disk may have, in bytes, than
	// when the command started; 0 means three quarters of what was free, and at
	// least leastDisk.
	Disk int64
	// Time is how long it may take.
	Time time.Duration
}

const (
	// maxTasks is a quarter of the process ids that Linux has by default (32768).
	// A compiler has some ten threads, and a go command starts one for each
	// processor.
	maxTasks = 8192
	// leastMemory lets builds of any size begin on a small machine: two compilers of
	// large packages take 0.7 GB each.
	leastMemory = 2 << 30
	// leastDisk and leastFiles (their number) are what any command may write. A disk
	// that has less room is full before a limit is passed, and then the system says so
	// to whoever writes.
	leastDisk  = 2 << 30
	leastFiles = 1 << 17
)

// DefaultTime is enough for one command. The largest Go programs build in minutes.
const DefaultTime = 2 * time.Hour

// DefaultLimits are limits that only a command out of control reaches. memory is
// how much of the machine's memory all builds together may use, in bytes; a
// command that takes all of it is one of them.
func DefaultLimits(memory int64) Limits {
	return Limits{Memory: max(memory, leastMemory), Tasks: maxTasks, Time: DefaultTime}
}

// LimitError is a command that was ended because it took more than its Limits.
type LimitError struct{ what, remedy string }

// Error says which limit it was, and how much was taken.
func (e *LimitError) Error() string { return e.what }

// Remedy says what to do about it.
func (e *LimitError) Remedy() string { return e.remedy }

func newLimitError(remedy, format string, args ...any) error {
	return &LimitError{fmt.Sprintf(format, args...), remedy}
}

func timeLimitError(limit time.Duration) error {
	return newLimitError("look for what it waits for; --timeout gives it more time", "it took more than %s, the time for one command", limit)
}

// gib writes a number of bytes.
func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
