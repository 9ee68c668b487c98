package build

import (
	"slices"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Answers to a system call that a command may not make. Where programs know how
// to do without a call, it is not there (ENOSYS); elsewhere it is forbidden.
const (
	refused  = seccomp.ActionErrno | seccomp.Action(unix.EPERM)
	absent   = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)
	noFamily = seccomp.ActionErrno | seccomp.Action(unix.EAFNOSUPPORT)
	notNow   = seccomp.ActionErrno | seccomp.Action(unix.EOPNOTSUPP)
)

// System calls by what they would be good for. A compiler, git or a shell takes
// none of them.
var (
	// carriers keep something beyond the end of a process, or reach others by a way
	// that namespaces and mounts do not close.
	carriers = []string{
		"add_key", "keyctl", "request_key",
		"ipc", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt", "shmget",
		"mq_open", "mq_unlink",
		"fanotify_init", "fanotify_mark", "name_to_handle_at", "open_by_handle_at", "lookup_dcookie",
		"pidfd_getfd", "kcmp",
		// These tell which parts of a file somebody has read: they are in the cache.
		"mincore", "cachestat",
	}
	// powers have been the way out of many a sandbox, or change the machine.
	powers = []string{
		"bpf", "perf_event_open", "userfaultfd",
		"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms",
		"mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "mount_setattr", "open_tree", "open_tree_attr",
		"unshare", "setns",
		"acct", "quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "settimeofday", "clock_settime", "clock_settime64", "stime", "syslog", "nfsservctl",
		"sethostname", "setdomainname", "iopl", "ioperm", "vhangup", "uselib",
	}
	// spared are calls whose absence is known to programs. What is asked of io_uring
	// does not pass this filter, the arguments of clone3 cannot be read by it, socketcall
	// is the old form of calls that are filtered, and the memory of these files is in
	// no count of a process.
	spared = []string{
		"io_uring_setup", "io_uring_enter", "io_uring_register",
		"clone3", "socketcall", "memfd_create", "memfd_secret",
	}
	// others are calls on other processes, which a PID namespace hides.
	others = []string{"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "move_pages", "migrate_pages"}
	// marks change what is known of a file, and not its content. Landlock does not
	// confine them.
	marks = []string{
		"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "chown32", "fchown", "fchown32", "lchown", "lchown32", "fchownat",
		"utime", "utimes", "futimesat", "utimensat", "utimensat_time64", "ioctl", "file_setattr",
		"setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
	}
)

// cloneNew are the flags of clone(2) that ask for a namespace: CLONE_NEWNS, CGROUP,
// UTS, IPC, USER, PID and NET. CLONE_NEWTIME is known to clone3 and unshare alone.
const cloneNew = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// forbidden are the system calls that the command of c may not make.
func forbidden(c cell) []seccomp.SyscallGroup {
	when := func(name string, conditions ...seccomp.Condition) []seccomp.NameWithConditions {
		return []seccomp.NameWithConditions{{Name: name, Conditions: conditions}}
	}
	list := []seccomp.SyscallGroup{
		{Names: slices.Concat(carriers, powers), Action: refused},
		{Names: spared, Action: absent},
		{NamesWithCondtions: when("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: cloneNew}), Action: refused},
		// Reading without waiting tells what is in the cache.
		{NamesWithCondtions: when("preadv2", seccomp.Condition{Argument: 5, Operation: seccomp.BitsSet, Value: unix.RWF_NOWAIT}), Action: notNow},
		// A pair of sockets talks to nobody else, except one that sends datagrams
		// (SOCK_DGRAM is 2, and SOCK_RAW, 3, means the same): it can be told another
		// address, which a read-only mount does not guard.
		{NamesWithCondtions: when("socketpair", seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_UNIX}), Action: noFamily},
		{NamesWithCondtions: when("socketpair", seccomp.Condition{Argument: 1, Operation: seccomp.BitsSet, Value: 2}), Action: notNow},
	}
	if c.Root == "" {
		// The host's network and processes are in reach: no socket can be made.
		list = append(list, seccomp.SyscallGroup{Names: []string{"socket"}, Action: noFamily}, seccomp.SyscallGroup{Names: others, Action: refused})
	} else {
		// The network namespace leads nowhere. Unix sockets and the like are not
		// bound to it.
		list = append(list, seccomp.SyscallGroup{NamesWithCondtions: when("socket",
			seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_INET},
			seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_INET6}), Action: noFamily})
	}
	if c.FixedMarks {
		list = append(list, seccomp.SyscallGroup{Names: marks, Action: refused})
	}
	return list
}

// filterCalls forbids system calls to this thread and to everything it starts.
// Names that the processor's family does not have are left out.
func filterCalls(groups []seccomp.SyscallGroup) error {
	program, err := callFilter(groups)
	if err != nil {
		return err
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}

// callFilter translates groups. What the library makes of them lets everything
// pass that it does not know; two checks before it do not: programs for another
// family of processors, which have other numbers (a 32-bit program on amd64),
// get no call done, and a call that is newer than the library's list is not there.
func callFilter(groups []seccomp.SyscallGroup) ([]bpf.Instruction, error) {
	known, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	newest := 0
	for number := range known.SyscallNumbers {
		newest = max(newest, number)
	}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow}
	for _, g := range groups {
		g.Names = slices.DeleteFunc(slices.Clone(g.Names), func(name string) bool { _, ok := known.SyscallNames[name]; return !ok })
		policy.Syscalls = append(policy.Syscalls, g)
	}
	program, err := policy.Assemble()
	if err != nil {
		return nil, err
	}

	const number, family = 0, 4 // offsets in struct seccomp_data of include/uapi/linux/seccomp.h
	guard := []bpf.Instruction{
		bpf.LoadAbsolute{Off: family, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(known.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(absent)},
		bpf.LoadAbsolute{Off: number, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(newest), SkipFalse: 2},
		// ARM has calls of its own from here on: arch/arm/include/uapi/asm/unistd.h.
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 0xf0000, SkipTrue: 1},
		bpf.RetConstant{Val: uint32(absent)},
	}
	return append(guard, program...), nil
}
