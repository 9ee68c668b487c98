package pass

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// process is one process of this machine, as in proc_pid_stat(5).
type process struct {
	pid, parent, threads int
	resident             int64 // bytes of memory
}

// machine is the list of this machine's processes, with which all commands are watched.
var machine census

// census is a list of processes that several share, since making one takes longer than anything else
// that is done while commands run.
type census struct {
	mu    sync.Mutex
	taken time.Time
	list  []process
}

// take returns a list that is younger than watchPause, by the clock now. Nobody may change it.
func (c *census) take(now func() time.Time) ([]process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	start := now()
	if age := start.Sub(c.taken); 0 < age && age < watchPause {
		return c.list, nil
	}

	list, err := processes()
	if err == nil {
		c.taken, c.list = start, list
	}
	return list, err
}

// processes lists all processes that can be seen.
func processes() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()

	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}

	list := make([]process, 0, len(names))
	buf := make([]byte, 4096) // such a file has some 300 bytes
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		data, err := readOnce("/proc/"+name+"/stat", buf)
		if err != nil {
			continue // it has ended
		}
		// The name of the program is in parentheses, and may have any character.
		p := process{pid: pid}
		field := 2 // the name is the second
		for value := range bytes.FieldsSeq(data[bytes.LastIndexByte(data, ')')+1:]) {
			if field++; field == 4 {
				p.parent, _ = strconv.Atoi(string(value))
			} else if field == 20 {
				p.threads, _ = strconv.Atoi(string(value))
			} else if field == 24 {
				pages, _ := strconv.ParseInt(string(value), 10, 64)
				p.resident = pages * int64(os.Getpagesize())
				list = append(list, p) // what ends earlier is not whole
				break
			}
		}
	}
	return list, nil
}

// readOnce returns what one read of a file gives. All processes are read several times a second, and
// [os.ReadFile] makes three times as many system calls.
func readOnce(name string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)

	n, err := unix.Read(fd, buf)
	return buf[:max(0, n)], err
}

// subtree returns the process root of a list, and all its descendants.
func subtree(list []process, root int) []process {
	children := map[int][]process{}
	tree := []process{{pid: root}}
	for _, p := range list {
		if p.pid == root {
			tree[0] = p
		} else {
			children[p.parent] = append(children[p.parent], p)
		}
	}

	// The list grows while it is read.
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree
}

// raisePriority lets the calling goroutine come first, if this user may ask for that. It has to act
// while thousands of processes want the processors.
func raisePriority() {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
}
