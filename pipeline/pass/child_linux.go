package pass

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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

// Flags of personality(2), from include/uapi/linux/personality.h.
const (
	addrNoRandomize = 0x0040000
	uname26         = 0x0020000
)

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
	if n := uint64(mostTasks(c)); n > 0 {
		// The limit is the command's alone: this process may need one more thread when none
		// is left.
		if err := unix.Prlimit(command, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil && err != unix.ESRCH {
			return 0, stepError("bound the number of processes", err)
		}
	}

	// Only this tells the parent that the command runs: the exec could have failed.
	if err := json.NewEncoder(report).Encode(childReport{}); err != nil {
		return 0, stepError("report", err)
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

// enterRoot builds the new root from a tmpfs and bind mounts, and moves there. missing says what
// this kernel does not do.
func enterRoot(c childSpec) (missing []string, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, stepError("make mounts private", err)
	}
	if err := unix.Mount("tmpfs", c.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=16m"); err != nil {
		return nil, stepError("mount a root", err)
	}

	for _, m := range c.Mount {
		if err := bind(c.Root, m); err != nil {
			return nil, stepError("mount "+m.To, err)
		}
	}

	// A read-only mount lets a command write to a device, but not change its owner and mode.
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := bind(c.Root, mount{From: "/dev/" + name, To: "/dev/" + name}); err != nil {
			return nil, stepError("mount /dev/"+name, err)
		}
	}

	proc := filepath.Join(c.Root, "proc")
	if err := os.MkdirAll(proc, 0o755); err != nil {
		return nil, err
	}
	// Where a container engine hides parts of /proc, no new one can be mounted, and kernels before
	// 5.8 do not know the option. Go and C compilers do without /proc.
	if err := unix.Mount("proc", proc, "proc", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "subset=pid"); err != nil {
		missing = append(missing, fmt.Sprintf("/proc: a pass has none, as one that shows processes alone cannot be mounted (%v)", err))
	}

	for old, name := range map[string]string{"/proc/self/fd": "dev/fd", "/proc/self/fd/0": "dev/stdin", "/proc/self/fd/1": "dev/stdout", "/proc/self/fd/2": "dev/stderr"} {
		if err := os.Symlink(old, filepath.Join(c.Root, name)); err != nil {
			return nil, err
		}
	}
	for name, text := range c.Files {
		name = filepath.Join(c.Root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}

	// The name of a control group is often random, and the same for both passes. Bytes that depend
	// on it would agree here, and nowhere else.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		missing = append(missing, fmt.Sprintf("control groups: a pass sees the names of this run's (%v)", err))
	}
	if err := unix.Sethostname([]byte(c.Host)); err != nil {
		return nil, stepError("set the host name", err)
	}
	if err := unix.Setdomainname([]byte(c.Domain)); err != nil {
		return nil, stepError("set the domain name", err)
	}

	if err := os.Chdir(c.Root); err != nil {
		return nil, err
	}
	// pivot_root(".", ".") stacks the old root on the new one: pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return nil, stepError("change the root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return nil, stepError("leave the old root", err)
	}

	if err := os.Chdir("/"); err != nil {
		return nil, err
	}

	return missing, stepError("make the root read-only", unix.MountSetattr(-1, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}))
}

// bind makes m.From visible below root. A symbolic link such as /bin is not followed, but made
// anew.
func bind(root string, m mount) error {
	to := filepath.Join(root, m.To)
	info, err := os.Lstat(m.From)
	if err != nil {
		return err
	}

	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}

	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if info.Mode()&fs.ModeDevice == 0 {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if !m.Write {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}

	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(m.From)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case info.IsDir():
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
	default:
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		f.Close()
	}

	if err := unix.Mount(m.From, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.MountSetattr(-1, to, unix.AT_RECURSIVE, &attr)
}

// restrict takes rights from this thread, and from everything that it starts: the size of files, a
// processor, keys, capabilities, writes and system calls. It also sets the factors that belong to a
// process: the umask, the address space layout and the name of the kernel.
//
// The order matters. A step that needs a capability comes before capabilities are dropped. The
// filter of system calls comes last, since it forbids calls of the other steps.
func restrict(c childSpec) error {
	unix.Umask(c.Umask)
	// The kernel may hand a core dump to a program of the host, outside of the confinement.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return stepError("forbid core dumps", err)
	}

	if n := uint64(c.MaxFile); n > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return stepError("bound the size of files", err)
		}
	}
	if c.LeaveOut >= 0 {
		if err := leaveOut(c.LeaveOut); err != nil {
			return err
		}
	}

	var persona uintptr
	if c.FixedMap {
		persona |= addrNoRandomize
	}
	if c.OldName {
		persona |= uname26
	}
	if persona != 0 {
		if _, _, errno := unix.Syscall(unix.SYS_PERSONALITY, persona, 0, 0); errno != 0 {
			return stepError("personality", errno)
		}
	}

	// Keys in the session keyring would outlive the pass, and be in reach of the other one.
	if err := newKeyring(); err != nil {
		return stepError("session keyring", err)
	}

	// Without it a program with a setuid bit would give rights back, and the kernel would refuse
	// Landlock and seccomp.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return stepError("no_new_privs", err)
	}
	if err := dropCapabilities(); err != nil {
		return stepError("drop capabilities", err)
	}

	if c.Landlock > 0 {
		if err := applyLandlock(c.Landlock, c.Writable); err != nil {
			return err
		}
	}

	if c.Seccomp {
		return stepError("seccomp", filterCalls(forbiddenCalls(c)))
	}
	return nil
}

// newKeyring gives this thread a session keyring of its own, in the place of the one that it has
// inherited. Where keyrings do not exist or are forbidden, the command has none either.
func newKeyring() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if slices.Contains([]error{unix.ENOSYS, unix.EPERM, unix.EACCES}, err) {
		return nil
	}
	return err
}

// secureBits keep the user 0 from getting capabilities when it starts a program, and from getting
// that right back. They are NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each with its lock,
// and the lock of KEEP_CAPS: include/uapi/linux/securebits.h.
const secureBits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7

// dropCapabilities takes all capabilities from this thread and from what it starts, for good. That
// includes those that the user 0 gets with each program.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}

	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&head, &sets[0]); err != nil {
		return err
	}

	switch {
	case sets[0].Effective&(1<<unix.CAP_SETPCAP) != 0:
		for cap := uintptr(0); cap < 64; cap++ {
			err := unix.Prctl(unix.PR_CAPBSET_DROP, cap, 0, 0, 0)
			if err == unix.EINVAL { // it is beyond the last one
				break
			}
			if err != nil {
				return err
			}
		}
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, secureBits, 0, 0, 0); err != nil {
			return err
		}
	case os.Getuid() == 0 || os.Geteuid() == 0:
		return fmt.Errorf("this process is root without CAP_SETPCAP: %w", unix.EPERM)
	}
	// Any other user gets none with a program, since no_new_privs is set.
	sets = [2]unix.CapUserData{}
	return unix.Capset(&head, &sets[0])
}

// leaveOut takes the i-th of the usable processors away, unless it is the only one.
func leaveOut(i int) error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return stepError("processors", err)
	}

	n := set.Count()
	if n < 2 {
		return nil
	}

	i %= n
	for cpu := 0; ; cpu++ {
		if !set.IsSet(cpu) {
			continue
		}
		if i == 0 {
			set.Clear(cpu)
			break
		}
		i--
	}
	return stepError("processors", unix.SchedSetaffinity(0, &set))
}

// observe returns what the command will see of the factors that the kernel knows. It asks the
// kernel, and does not repeat what was asked for: a setting that had no effect is not a variation.
func observe() (Witness, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, stepError("uname", err)
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, stepError("processors", err)
	}

	persona, _, errno := unix.Syscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	if errno != 0 {
		return nil, stepError("personality", errno)
	}

	layout := "random"
	if persona&addrNoRandomize != 0 {
		layout = "fixed"
	}

	// The only way to read the umask is to set it.
	mask := unix.Umask(0)
	unix.Umask(mask)

	return Witness{
		hostName:     unix.ByteSliceToString(u.Nodename[:]),
		domainName:   unix.ByteSliceToString(u.Domainname[:]),
		kernel:       unix.ByteSliceToString(u.Release[:]),
		userName:     strconv.Itoa(os.Getuid()),
		groupName:    strconv.Itoa(os.Getgid()),
		umask:        fmt.Sprintf("%04o", mask),
		processors:   strconv.Itoa(set.Count()),
		addressSpace: layout,
	}, nil
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
