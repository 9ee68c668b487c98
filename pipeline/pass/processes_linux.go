package pass

import (
	"bytes"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// process is one process of this machine, as in proc_pid_stat(5).
type process struct {
	pid, parent, threads int
	resident             int64 // bytes of memory
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

	var list []process
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
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		if len(fields) < 22 {
			continue
		}
		number := func(i int) int64 { n, _ := strconv.ParseInt(string(fields[i-3]), 10, 64); return n }
		list = append(list, process{pid: pid, parent: int(number(4)), threads: int(number(20)), resident: number(24) * int64(os.Getpagesize())})
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
