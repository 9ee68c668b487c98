package pass

import (
	"slices"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Answers to a system call that a command may not make. A call that programs can do without is not
// there (ENOSYS), and another one is forbidden.
const (
	refused  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	absent   = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	noFamily = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
	noOption = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOPROTOOPT)
	invalid  = unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)
	notNow   = unix.SECCOMP_RET_ERRNO | uint32(unix.EOPNOTSUPP)
)

// rule is an answer to a system call for which all tests hold.
type rule struct {
	call   string
	answer uint32
	tests  []argument
}

// argument compares the bits of mask in the n-th argument of a call, from 0. It is for arguments of
// which the kernel takes the lower 32 bits.
type argument struct {
	n     int
	test  bpf.JumpTest
	value uint32
	mask  uint32
}

func equal(n int, value uint32) argument    { return argument{n, bpf.JumpEqual, value, 1<<32 - 1} }
func notEqual(n int, value uint32) argument { return argument{n, bpf.JumpNotEqual, value, 1<<32 - 1} }
func anyOf(n int, bits uint32) argument     { return argument{n, bpf.JumpBitsSet, bits, 1<<32 - 1} }

// System calls by their use. A compiler, git or a shell needs none of them.
var (
	// carriers keep something beyond the end of a process, or reach other processes by a way that
	// namespaces and mounts do not close.
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
	// dispensable are calls that programs can do without. Requests to io_uring do not pass this
	// filter, it cannot read the arguments of clone3, socketcall is the old form of calls that are
	// filtered, and the memory of memfd_create and memfd_secret is in no count of a process.
	dispensable = []string{
		"io_uring_setup", "io_uring_enter", "io_uring_register",
		"clone3", "socketcall", "memfd_create", "memfd_secret",
		// As those in counters, these tell what the kernel counts for all: processes,
		// mounts, files that were renamed, and how many more a disk has room for.
		"pidfd_open", "statmount", "listmount", "inotify_init", "inotify_init1",
		"statfs", "statfs64", "fstatfs", "fstatfs64", "ustat",
	}
	// onProcesses are calls on other processes. A PID namespace hides these.
	onProcesses = []string{"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "move_pages", "migrate_pages"}
	// metadata calls change what is known of a file, and not its content. Landlock does not confine
	// them.
	metadata = []string{
		"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "chown32", "fchown", "fchown32", "lchown", "lchown32", "fchownat",
		"utime", "utimes", "futimesat", "utimensat", "utimensat_time64", "ioctl", "file_setattr",
		"setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
	}
)

// cloneNew are the flags of clone(2) that ask for a namespace: CLONE_NEWNS, CGROUP,
// UTS, IPC, USER, PID and NET. CLONE_NEWTIME is known to clone3 and unshare alone.
const cloneNew = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// counters are calls that tell a number which the kernel counts up for all processes together. One
// pass could read there what the other one did. They tell the cookies of a socket and of its
// network namespace, the peer of a socket as a file, a process as a file, and the number of a mount
// that is never used again. Nothing that builds needs them.
var counters = []rule{
	{"getsockopt", noOption, []argument{equal(1, unix.SOL_SOCKET), equal(2, unix.SO_COOKIE)}},
	{"getsockopt", noOption, []argument{equal(1, unix.SOL_SOCKET), equal(2, unix.SO_NETNS_COOKIE)}},
	{"getsockopt", noOption, []argument{equal(1, unix.SOL_SOCKET), equal(2, unix.SO_PEERPIDFD)}},
	{"setsockopt", noOption, []argument{equal(1, unix.SOL_SOCKET), equal(2, unix.SO_PASSPIDFD)}},
	{"clone", refused, []argument{anyOf(0, unix.CLONE_PIDFD)}},
	{"statx", invalid, []argument{anyOf(3, unix.STATX_MNT_ID_UNIQUE)}},
}

// requests are the requests of ioctl(2) and fcntl(2) by which a pass could leave something with a
// file that it can only read, or see what others did.
func requests() []rule {
	var list []rule
	// A namespace as a file tells numbers that are never used again. A file system tells where a
	// file lies and how full it is, and it takes keys. cp and compilers can do without its answers.
	// The second byte of a request says what kind of file it is for:
	// Documentation/userspace-api/ioctl/ioctl-number.rst.
	for _, kind := range []uint32{0xb7, 'f', 'X', 0x94} {
		list = append(list, rule{"ioctl", notNow, []argument{{1, bpf.JumpEqual, kind << 8, 0xff00}}})
	}

	// A lease stops others from writing to a file of the host, notices tell what others do in a
	// folder, and a hint stays with a file while the kernel knows it.
	for _, request := range []uint32{unix.F_SETLEASE, unix.F_NOTIFY, unix.F_SET_RW_HINT, unix.F_SET_FILE_RW_HINT} {
		for _, call := range []string{"fcntl", "fcntl64"} {
			list = append(list, rule{call, refused, []argument{equal(1, request)}})
		}
	}
	return list
}

// forbiddenCalls are the system calls that the command of c may not make.
func forbiddenCalls(c childSpec) []rule {
	list := []rule{
		{"clone", refused, []argument{anyOf(0, cloneNew)}},
		// Reading without waiting tells what is in the cache.
		{"preadv2", notNow, []argument{anyOf(5, unix.RWF_NOWAIT)}},
		// A pair of sockets talks to nobody else, except one for datagrams. That one can be told
		// another address, which a read-only mount does not guard. SOCK_DGRAM is 2, and SOCK_RAW,
		// which is 3, means the same.
		{"socketpair", noFamily, []argument{notEqual(0, unix.AF_UNIX)}},
		{"socketpair", notNow, []argument{anyOf(1, unix.SOCK_DGRAM)}},
	}

	all := func(answer uint32, calls []string) {
		for _, call := range calls {
			list = append(list, rule{call: call, answer: answer})
		}
	}

	if c.Root != "" {
		// The network namespace leads nowhere. It does not hold Unix sockets and the like.
		list = append(list, rule{"socket", noFamily, []argument{notEqual(0, unix.AF_INET), notEqual(0, unix.AF_INET6)}})
	} else {
		// The host's network and processes are in reach.
		all(noFamily, []string{"socket"})
		all(refused, onProcesses)
	}

	list = append(list, slices.Concat(counters, requests())...)
	all(refused, carriers)
	all(refused, powers)
	all(absent, dispensable)

	if c.FixedMetadata {
		all(refused, metadata)
	}
	return list
}

// filterCalls forbids system calls to this thread and to everything it starts.
func filterCalls(rules []rule) error {
	program, err := callFilter(rules)
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

// Offsets in struct seccomp_data of include/uapi/linux/seccomp.h.
const (
	callNumber = 0
	callFamily = 4
	callArgs   = 16 // 8 bytes each, of which the lower come first where a filter can be made
)

// callFilter returns a program for seccomp(2) that answers the first rule that holds, and lets
// every other call pass, with two exceptions. A program for another family of processors, which has
// other numbers (a 32-bit one on amd64, x32 included), gets no call done. A call that is newer than
// the list of calls is not there. A call that this family does not have is left out.
//
// The library's own translation would let both pass. It also compares arguments by 64 bits, so that
// upper bits, which the kernel does not look at, would get past a rule.
func callFilter(rules []rule) ([]bpf.Instruction, error) {
	known, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}

	newest := 0
	for number := range known.SyscallNumbers {
		newest = max(newest, number)
	}
	if known == arch.ARM {
		newest = 0xfffff // those of its own begin with 0xf0000: arch/arm/include/uapi/asm/unistd.h
	}

	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: callFamily, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(known.ID), SkipTrue: 1},
		bpf.RetConstant{Val: absent},
		bpf.LoadAbsolute{Off: callNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(newest), SkipFalse: 1},
		bpf.RetConstant{Val: absent},
	}

	for _, r := range rules {
		number, ok := known.SyscallNames[r.call]
		if !ok {
			continue
		}

		n := len(r.tests)
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(number), SkipFalse: uint8(3*n + 2)})
		for i, t := range r.tests {
			program = append(program,
				bpf.LoadAbsolute{Off: callArgs + 8*uint32(t.n), Size: 4},
				bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: t.mask},
				bpf.JumpIf{Cond: t.test, Val: t.value, SkipFalse: uint8(3*(n-1-i) + 1)})
		}
		program = append(program, bpf.RetConstant{Val: r.answer}, bpf.LoadAbsolute{Off: callNumber, Size: 4})
	}

	return append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}), nil
}
