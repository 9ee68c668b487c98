package pass

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childName is argv[0] of the process that confines itself.
const childName = "twice-confined"

// The descriptors that a child gets beside the standard ones.
const (
	// lifeline is where the child reads its childSpec from. It ends when its parent wants the
	// command ended, or has ended itself.
	lifeline = 3
	// reportTo is where the child writes what it has observed.
	reportTo = 4
)

// failedStatus is the exit status of a child that could not start its command.
const failedStatus = 125

// Main must be the first thing that main does. In a child that a pass started it runs the command
// in its confinement and never returns. In any other process it returns at once.
func Main() {
	if len(os.Args) == 0 || os.Args[0] != childName {
		return
	}
	runtime.LockOSThread() // what restrict does is a property of this thread

	report := os.NewFile(reportTo, "report")
	status, err := supervise(os.NewFile(lifeline, "lifeline"), report)
	if err != nil {
		status = failedStatus
		json.NewEncoder(report).Encode(childReport{Failed: err.Error()})
	}
	os.Exit(status)
}

// supervise makes the confinement, starts the command in it, and stays until nothing of the command
// is left. It returns the command's exit status. For a signal that is 128 plus its number, as in a
// shell. The command inherits what restrict did to this thread. The other threads of this process
// stay outside of the confinement, so that the command cannot stop them.
func supervise(in io.Reader, report *os.File) (int, error) {
	if err := closeOnExec(); err != nil {
		return 0, err
	}
	var c childSpec
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return 0, stepError("read the confinement", err)
	}

	// Where memory runs out, the kernel should end a command and nothing else of this machine.
	// A host may forbid saying so, and then nothing is lost.
	os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)

	var missing []string
	var err error
	if c.Root != "" {
		if n := mostTasks(c); n > 0 {
			boundProcesses(n) // or the limit is watched alone
		}
		missing, err = enterRoot(c)
	} else {
		// There is no PID namespace. Orphans of the command become children of this process,
		// so that it finds and ends them.
		err = stepError("adopt orphans", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	}
	if err != nil {
		return 0, err
	}

	// The command must neither look into this process nor change it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 0, stepError("keep the supervisor apart", err)
	}

	if err := os.Chdir(c.Dir); err != nil {
		return 0, stepError("enter the workspace", err)
	}
	if err := restrict(c); err != nil {
		return 0, err
	}

	w, err := observe()
	if err != nil {
		return 0, err
	}
	if err := json.NewEncoder(report).Encode(childReport{Witness: w, Missing: missing}); err != nil {
		return 0, stepError("report", err)
	}

	path, err := lookPath(c.Argv[0], c.Env)
	if err != nil {
		return 0, err
	}
	command, err := syscall.ForkExec(path, c.Argv, &syscall.ProcAttr{
		Env: c.Env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, stepError("exec "+path, err)
	}
	if err := announce(c, command, report); err != nil {
		// The parent may have ended just now, and nobody else ends what the command has started.
		abandon(c, command)
		return 0, err
	}

	// The lifeline ends when the parent wants the command ended, or has ended itself.
	go func() {
		io.Copy(io.Discard, in)
		endAll(c)
	}()
	ws := reap(c, command)
	if ws.Signaled() {
		json.NewEncoder(report).Encode(childReport{Signal: ws.Signal().String()})
		return 128 + int(ws.Signal()), nil
	}
	return ws.ExitStatus(), nil
}

// announce bounds the command and tells the parent that it runs.
func announce(c childSpec, command int, report *os.File) error {
	if n := uint64(mostTasks(c)); n > 0 {
		// The limit is the command's alone: this process may need one more thread when none
		// is left.
		if err := unix.Prlimit(command, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil && err != unix.ESRCH {
			return stepError("bound the number of processes", err)
		}
	}

	// Only this tells the parent that the command runs: the exec could have failed.
	return stepError("report", json.NewEncoder(report).Encode(childReport{}))
}

// abandon ends the command and all its descendants.
func abandon(c childSpec, command int) {
	if c.Root == "" { // the kernel ends a PID namespace with this process
		go endAll(c)
		reap(c, command)
	}
}

// mostTasks is how many processes and threads the kernel allows, or 0 for any number. It is more
// than the limit that is watched, so that a command meets that one first, and its error names it.
// 400 is enough for a go command, and a kernel accepts it.
func mostTasks(c childSpec) int {
	if c.MaxTasks == 0 {
		return 0
	}
	return max(400, c.MaxTasks/4*5)
}

// boundProcesses bounds the ids of the PID namespace, and so the processes in it, those of root
// included. It does nothing before Linux 6.14, where the same file bounds the whole machine.
func boundProcesses(most int) {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) == nil {
		fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	}

	if major > 6 || major == 6 && minor >= 14 {
		os.WriteFile("/proc/sys/kernel/pid_max", []byte(strconv.Itoa(most)), 0)
	}
}

// closeOnExec keeps the files that this process has inherited out of the command.
func closeOnExec() error {
	err := unix.CloseRange(lifeline, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}

	// Kernels before 5.11 do not know the flag.
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return stepError("close inherited files", err)
	}
	for _, e := range list {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= lifeline {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// lookPath finds the program name in the PATH of env, as the command sees it.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, kv := range env {
		path, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("there is no %s in the PATH of a pass, which holds the folders of yours below /usr, /bin, /sbin, /opt, /nix/store, /gnu/store and /home/linuxbrew", name)
}

// reap waits for all children of this process, until the command has ended and with it everything
// that it left behind. It returns how the command ended.
func reap(c childSpec, command int) (status unix.WaitStatus) {
	flags := 0
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, flags, nil)
		switch {
		case err == unix.EINTR:
		case err != nil: // there is no child, and so no descendant
			return status
		case pid == 0:
			killDescendants()
			time.Sleep(time.Millisecond)
		case pid == command:
			status = ws
			if c.Root != "" {
				return status // the kernel ends a PID namespace with its first process
			}
			flags = unix.WNOHANG
		}
	}
}

// endAll ends the command and its descendants.
func endAll(c childSpec) {
	if c.Root != "" {
		os.Exit(128 + int(unix.SIGKILL))
	}
	raisePriority()
	for { // until reap has nothing to wait for
		killDescendants()
		time.Sleep(10 * time.Millisecond)
	}
}

// killDescendants kills every process below this one. The next call finds those that were made
// meanwhile, since orphans become children of this process.
func killDescendants() {
	list, err := processes()
	if err != nil {
		return
	}
	for _, p := range subtree(list, os.Getpid())[1:] {
		unix.Kill(p.pid, unix.SIGKILL)
	}
}
