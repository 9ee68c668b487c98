package pass

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// TestFilter asks the filter itself, also about calls that no program here makes.
func TestFilter(t *testing.T) {
	known, err := arch.GetInfo("")
	if err != nil {
		t.Skip(err)
	}
	const allow = uint32(unix.SECCOMP_RET_ALLOW)
	answers := func(c childSpec) func(family uint32, number int, args ...uint64) uint32 {
		program, err := callFilter(forbiddenCalls(c))
		if err != nil {
			t.Fatal(err)
		}
		vm, err := bpf.NewVM(program)
		if err != nil {
			t.Fatal(err)
		}
		return func(family uint32, number int, args ...uint64) uint32 {
			// The machine of this package reads numbers in the order of the network.
			data := binary.BigEndian.AppendUint32(nil, uint32(number))
			data = binary.BigEndian.AppendUint32(data, family)
			data = append(data, make([]byte, 8)...)
			for i := range 6 {
				arg := uint64(0)
				if i < len(args) {
					arg = args[i]
				}
				data = binary.BigEndian.AppendUint32(data, uint32(arg))
				data = binary.BigEndian.AppendUint32(data, uint32(arg>>32))
			}
			got, err := vm.Run(data)
			if err != nil {
				t.Fatal(err)
			}
			return uint32(got)
		}
	}
	namespaces, landlocked, strict := answers(childSpec{Root: "/x"}), answers(childSpec{}), answers(childSpec{FixedMetadata: true})
	native := uint32(known.ID)
	newest := 0
	for number := range known.SyscallNumbers {
		newest = max(newest, number)
	}

	const garbage = 0xdead << 32 // the kernel looks at the lower half of an int
	for _, test := range []struct {
		call                           string
		args                           []uint64
		namespaces, landlocked, strict uint32
	}{
		{"read", nil, allow, allow, allow},
		{"execve", nil, allow, allow, allow},
		{"keyctl", nil, refused, refused, refused},
		{"io_uring_setup", nil, absent, absent, absent},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD)}, allow, allow, allow},
		{"clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, refused, refused, refused},
		{"clone", []uint64{garbage | unix.CLONE_NEWNS}, refused, refused, refused},
		{"clone3", nil, absent, absent, absent},
		{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM}, allow, noFamily, noFamily},
		{"socket", []uint64{garbage | unix.AF_INET6}, allow, noFamily, noFamily},
		{"socket", []uint64{unix.AF_UNIX}, noFamily, noFamily, noFamily},
		{"socket", []uint64{garbage | unix.AF_UNIX}, noFamily, noFamily, noFamily},
		{"socket", []uint64{unix.AF_VSOCK}, noFamily, noFamily, noFamily},
		{"socket", []uint64{unix.AF_ALG}, noFamily, noFamily, noFamily},
		{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, allow, allow, allow},
		{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET}, allow, allow, allow},
		{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_NONBLOCK}, notNow, notNow, notNow},
		{"socketpair", []uint64{unix.AF_UNIX, garbage | unix.SOCK_RAW}, notNow, notNow, notNow},
		{"socketpair", []uint64{unix.AF_TIPC, unix.SOCK_STREAM}, noFamily, noFamily, noFamily},
		{"preadv2", []uint64{3, 0, 1, 0, 0, 0}, allow, allow, allow},
		{"preadv2", []uint64{3, 0, 1, 0, 0, unix.RWF_NOWAIT | unix.RWF_HIPRI}, notNow, notNow, notNow},
		{"getsockopt", []uint64{3, unix.SOL_SOCKET, unix.SO_ERROR}, allow, allow, allow},
		{"getsockopt", []uint64{3, unix.IPPROTO_TCP, unix.SO_COOKIE}, allow, allow, allow},
		{"getsockopt", []uint64{3, garbage | unix.SOL_SOCKET, garbage | unix.SO_COOKIE}, noOption, noOption, noOption},
		{"getsockopt", []uint64{3, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE}, noOption, noOption, noOption},
		{"getsockopt", []uint64{3, unix.SOL_SOCKET, unix.SO_PEERPIDFD}, noOption, noOption, noOption},
		{"setsockopt", []uint64{3, unix.SOL_SOCKET, unix.SO_PASSPIDFD}, noOption, noOption, noOption},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_PIDFD | uint64(unix.SIGCHLD)}, refused, refused, refused},
		{"pidfd_open", nil, absent, absent, absent},
		{"statmount", nil, absent, absent, absent},
		{"statx", []uint64{0, 0, 0, unix.STATX_ALL | unix.STATX_MNT_ID}, allow, allow, allow},
		{"statx", []uint64{0, 0, 0, unix.STATX_BASIC_STATS | unix.STATX_MNT_ID_UNIQUE}, invalid, invalid, invalid},
		{"ioctl", []uint64{3, unix.TCGETS}, allow, allow, refused},
		{"ioctl", []uint64{3, 0x541b}, allow, allow, refused},                // FIONREAD
		{"ioctl", []uint64{3, 0xc020660b}, notNow, notNow, notNow},           // FS_IOC_FIEMAP
		{"ioctl", []uint64{3, garbage | 0x8008b705}, notNow, notNow, notNow}, // NS_GET_MNTNS_ID
		{"ioctl", []uint64{3, 0x8010b70a}, notNow, notNow, notNow},           // NS_MNT_GET_INFO
		{"ioctl", []uint64{3, 0x80ffb70a}, notNow, notNow, notNow},           // for a larger answer
		{"ioctl", []uint64{3, 0xc0506617}, notNow, notNow, notNow},           // FS_IOC_ADD_ENCRYPTION_KEY
		{"ioctl", []uint64{3, 0x80205871}, notNow, notNow, notNow},           // XFS_IOC_FSCOUNTS
		{"ioctl", []uint64{3, 0xc0109414}, notNow, notNow, notNow},           // BTRFS_IOC_SPACE_INFO
		{"statfs", nil, absent, absent, absent},
		{"inotify_init1", nil, absent, absent, absent},
		{"fcntl", []uint64{3, unix.F_SETFD, 1}, allow, allow, allow},
		{"fcntl", []uint64{3, unix.F_SETLK}, allow, allow, allow},
		{"fcntl", []uint64{3, unix.F_SETLEASE, 1}, refused, refused, refused},
		{"fcntl", []uint64{3, garbage | unix.F_SET_RW_HINT}, refused, refused, refused},
		{"ptrace", nil, allow, refused, refused},
		{"fchmodat", nil, allow, allow, refused},
		{"setxattr", nil, allow, allow, refused},
		{"ioctl", nil, allow, allow, refused},
	} {
		number, ok := known.SyscallNames[test.call]
		if !ok {
			t.Errorf("%s: there is no such call", test.call)
			continue
		}
		for tier, x := range map[string]struct {
			ask  func(uint32, int, ...uint64) uint32
			want uint32
		}{"namespaces": {namespaces, test.namespaces}, "landlock": {landlocked, test.landlocked}, "strict": {strict, test.strict}} {
			if got := x.ask(native, number, test.args...); got != x.want {
				t.Errorf("%s: %s%x: %#x, want %#x", tier, test.call, test.args, got, x.want)
			}
			// In another family the number means something else, and so nothing.
			for _, family := range []arch.AuditArch{arch.I386.ID, arch.X86_64.ID, arch.AARCH64.ID, arch.ARM.ID} {
				if uint32(family) == native {
					continue
				}
				if got := x.ask(uint32(family), number, test.args...); got != absent {
					t.Errorf("%s: %s of another family of processors: %#x", tier, test.call, got)
				}
			}
		}
	}
	if got := namespaces(native, known.SyscallNames["mseal"]); got != allow {
		t.Errorf("a new call: %#x", got)
	}
	if known != arch.ARM {
		for _, number := range []int{newest + 1, newest + 1000, 0x40000000, 0x40000000 + known.SyscallNames["read"], 0xffffffff} {
			if got := namespaces(native, number); got != absent {
				t.Errorf("call %#x: %#x, want it absent", number, got)
			}
		}
	}
}

// TestCallNames: a call is called what one of the families calls it.
func TestCallNames(t *testing.T) {
	calls := slices.Concat(carriers, powers, dispensable, onProcesses, metadata)
	for _, r := range slices.Concat(counters, requests()) {
		calls = append(calls, r.call)
	}
	for _, call := range calls {
		if !slices.ContainsFunc([]*arch.Info{arch.I386, arch.X86_64, arch.ARM, arch.AARCH64}, func(a *arch.Info) bool { _, ok := a.SyscallNames[call]; return ok }) && call != "file_setattr" {
			t.Errorf("%s: no family of processors has it", call)
		}
	}
}
