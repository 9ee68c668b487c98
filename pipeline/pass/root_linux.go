package pass

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

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
