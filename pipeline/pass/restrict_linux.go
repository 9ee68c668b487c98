package pass

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Flags of personality(2), from include/uapi/linux/personality.h.
const (
	addrNoRandomize = 0x0040000
	uname26         = 0x0020000
)

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
