package pass

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// applyLandlock forbids this thread, and everything that it starts, to write outside of the folders
// writable and of some devices. It asks for the rights that version abi of Landlock knows:
// https://docs.kernel.org/userspace-api/landlock.html#previous-limitations.
func applyLandlock(abi int, writable []string) error {
	const (
		read = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
		file = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
			unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	)

	all := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1)
	if abi >= 2 {
		all |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		all |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		all |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}

	attr := unix.LandlockRulesetAttr{Handled_access_fs: all}
	if abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}

	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), landlockSize(abi), 0)
	if errno != 0 {
		return stepError("landlock", errno)
	}
	defer unix.Close(int(ruleset))

	allow := func(path string, access uint64) error {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return stepError("landlock "+path, err)
		}
		defer unix.Close(fd)
		rule := unix.LandlockPathBeneathAttr{Allowed_access: access & all, Parent_fd: int32(fd)}
		_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
		if errno != 0 {
			return stepError("landlock "+path, errno)
		}
		return nil
	}

	if err := allow("/", read); err != nil {
		return err
	}
	for _, dir := range writable {
		if err := allow(dir, all); err != nil {
			return err
		}
	}
	for _, dev := range []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"} {
		if err := allow(dev, file); err != nil {
			return err
		}
	}

	_, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0)
	if errno != 0 {
		return stepError("landlock", errno)
	}
	return nil
}

// landlockSize returns how much of the attributes an ABI version knows.
func landlockSize(abi int) uintptr {
	var a unix.LandlockRulesetAttr
	switch {
	case abi >= 6:
		return unsafe.Offsetof(a.Scoped) + unsafe.Sizeof(a.Scoped)
	case abi >= 4:
		return unsafe.Offsetof(a.Scoped)
	}
	return unsafe.Offsetof(a.Handled_access_net)
}
