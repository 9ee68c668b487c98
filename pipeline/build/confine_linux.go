package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childName is argv[0] of the process that confines itself.
const childName = "twice-confined"

// Flags of personality(2), from include/uapi/linux/personality.h.
const (
	addrNoRandomize = 0x0040000
	uname26         = 0x0020000
)

// Main must be the first thing that main does: in a child that a pass started
// it confines the process, becomes the command and never returns. In any other
// process it returns at once.
func Main() {
	if len(os.Args) == 0 || os.Args[0] != childName {
		return
	}
	runtime.LockOSThread() // all that follows is a property of this thread
	report := os.NewFile(4, "report")
	err := becomeCommand(os.NewFile(3, "cell"), report)
	json.NewEncoder(report).Encode(observed{Failed: err.Error()})
	os.Exit(125)
}

func becomeCommand(in, report *os.File) error {
	var c cell
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return stepError("read the confinement", err)
	}
	in.Close()
	if c.Root != "" {
		if err := enterRoot(c); err != nil {
			return err
		}
	}
	if err := os.Chdir(c.Dir); err != nil {
		return stepError("enter the workspace", err)
	}
	if err := restrict(c); err != nil {
		return err
	}
	w, err := look()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(report).Encode(observed{Witness: w}); err != nil {
		return stepError("report", err)
	}
	path, err := lookPath(c.Argv[0], c.Env)
	if err != nil {
		return err
	}
	unix.CloseOnExec(int(report.Fd()))
	return stepError("exec "+path, syscall.Exec(path, c.Argv, c.Env))
}

// enterRoot builds the new root from a tmpfs and bind mounts, and moves there.
func enterRoot(c cell) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return stepError("make mounts private", err)
	}
	if err := unix.Mount("tmpfs", c.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=16m"); err != nil {
		return stepError("mount a root", err)
	}
	for _, m := range c.Mount {
		if err := bind(c.Root, m); err != nil {
			return stepError("mount "+m.To, err)
		}
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := bind(c.Root, mount{From: "/dev/" + name, To: "/dev/" + name, Write: true}); err != nil {
			return stepError("mount /dev/"+name, err)
		}
	}
	proc := filepath.Join(c.Root, "proc")
	if err := os.MkdirAll(proc, 0o755); err != nil {
		return err
	}
	// A container engine may hide parts of /proc, and then a new one cannot be
	// mounted. Go and C compilers do without.
	unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	for old, name := range map[string]string{"/proc/self/fd": "dev/fd", "/proc/self/fd/0": "dev/stdin", "/proc/self/fd/1": "dev/stdout", "/proc/self/fd/2": "dev/stderr"} {
		if err := os.Symlink(old, filepath.Join(c.Root, name)); err != nil {
			return err
		}
	}
	for name, text := range c.Files {
		name = filepath.Join(c.Root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(c.Host)); err != nil {
		return stepError("set the host name", err)
	}
	if err := unix.Setdomainname([]byte(c.Domain)); err != nil {
		return stepError("set the domain name", err)
	}
	if err := os.Chdir(c.Root); err != nil {
		return err
	}
	// pivot_root(".", ".") stacks the old root on the new one: pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return stepError("change the root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return stepError("leave the old root", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return stepError("make the root read-only", unix.MountSetattr(-1, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}))
}

// bind makes m.From visible below root. Symbolic links such as /bin are made
// anew instead of followed.
func bind(root string, m mount) error {
	to := filepath.Join(root, m.To)
	info, err := os.Lstat(m.From)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
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
	if m.Write {
		return nil
	}
	return unix.MountSetattr(-1, to, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// restrict applies what holds for this process and everything it starts.
func restrict(c cell) error {
	unix.Umask(c.Umask)
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
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return stepError("no_new_privs", err)
	}
	// Without ambient capabilities the exec of the command drops them all.
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return stepError("drop capabilities", err)
	}
	if c.Landlock > 0 {
		return landlock(c.Landlock, c.Writable)
	}
	return nil
}

// leaveOut takes the i-th of the usable processors away, if another is left.
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

// Rights that newer versions of Landlock know
// (https://docs.kernel.org/userspace-api/landlock.html#previous-limitations).
func landlock(abi int, writable []string) error {
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

// look observes what the command will see.
func look() (Witness, error) {
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

// lookPath finds name in the PATH of env.
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
	return "", fmt.Errorf("there is no %s in the PATH of a pass, which holds the folders of yours below /usr, /bin, /opt and the like", name)
}

// confined is a prepared command together with what it will report.
type confined struct {
	cmd *exec.Cmd
	// witness hands the confinement to a started command and waits for its
	// report.
	witness func() (observed, error)
	// release closes the child's ends of the pipes, and drop ours where no
	// child was started.
	release, drop func()
}

// confine prepares a command that will run as c says, with uid and gid as its
// ids where there are namespaces.
func confine(ctx context.Context, c cell, uid, gid int) (*confined, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	cellR, cellW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	reportR, reportW, err := os.Pipe()
	if err != nil {
		cellR.Close()
		cellW.Close()
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{childName}
	cmd.Env = []string{}
	cmd.ExtraFiles = []*os.File{cellR, reportW}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if c.Root != "" {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE}
	}
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = waitDelay
	return &confined{
		cmd: cmd,
		witness: func() (observed, error) {
			defer reportR.Close()
			go func() {
				// The child may die before it has read everything: the
				// error is then in what it does not report.
				io.Copy(cellW, bytes.NewReader(text))
				cellW.Close()
			}()
			var o observed
			reports := json.NewDecoder(io.LimitReader(reportR, 1<<16))
			if err := reports.Decode(&o); err != nil {
				return o, fmt.Errorf("the confined process ended before it was ready: %w", err)
			}
			// A step that fails after the first report, such as the exec, is in
			// a second one; a successful exec closes the pipe.
			var late observed
			if err := reports.Decode(&late); err == nil {
				o.Failed = late.Failed
			}
			return o, nil
		},
		release: func() {
			cellR.Close()
			reportW.Close()
		},
		drop: func() {
			cellW.Close()
			reportR.Close()
		},
	}, nil
}

func killGroup(p *os.Process) error {
	if err := unix.Kill(-p.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return p.Kill()
}

// probe tries the confinement on the shell's "true".
func probe(ctx context.Context, scratch string) Confinement {
	var c Confinement
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno == 0 {
		c.Landlock = int(abi)
	}
	try := func(root string) error {
		work := filepath.Join(scratch, "work")
		if err := os.MkdirAll(work, 0o755); err != nil {
			return err
		}
		t := cell{Root: root, LeaveOut: -1, Landlock: c.Landlock, Argv: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: work, Writable: []string{work}}
		if root != "" {
			if err := os.MkdirAll(root, 0o755); err != nil {
				return err
			}
			t.Host, t.Domain, t.Dir, t.Writable = "probe", "probe", "/work", []string{"/work"}
			t.Mount = append(systemMounts(), mount{From: work, To: "/work", Write: true})
		}
		p, err := confine(ctx, t, 1000, 1000)
		if err != nil {
			return err
		}
		_, err = p.run(io.Discard)
		return err
	}
	err := try(filepath.Join(scratch, "root"))
	c.Namespaces = err == nil
	if c.Namespaces {
		c.NetworkCut = "none"
		if c.Landlock == 0 {
			c.Missing = append(c.Missing, fmt.Sprintf("Landlock: not in this kernel (%v); the mount namespace alone confines writes", errno))
		}
		return c
	}
	c.Missing = append(c.Missing, "namespaces: "+err.Error())
	if c.Landlock > 0 {
		if err := try(""); err != nil {
			c.Missing = append(c.Missing, "Landlock: "+err.Error())
			c.Landlock = 0
		}
	} else {
		c.Missing = append(c.Missing, "Landlock: "+errno.Error())
	}
	if c.Landlock >= 4 {
		c.NetworkCut = "tcp"
	} else {
		c.Missing = append(c.Missing, "network: nothing cuts it off")
	}
	return c
}

// run starts the command and waits for it; out gets what it prints.
func (p *confined) run(out io.Writer) (observed, error) {
	// The kernel sends Pdeathsig when the *thread* that started the child
	// ends (https://go.dev/issue/27505), so that thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	err := p.cmd.Start()
	p.release()
	if err != nil {
		p.drop()
		return observed{}, err
	}
	o, werr := p.witness()
	err = p.cmd.Wait()
	switch {
	case o.Failed != "":
		return o, &confinementError{o.Failed}
	case werr != nil:
		return o, errors.Join(werr, err)
	}
	return o, err
}

// confinementError is a step of the confinement that failed, as opposed to the
// command in it.
type confinementError struct{ step string }

func (e *confinementError) Error() string { return "confinement: " + e.step }

// systemMounts are the folders of the host that hold programs and what they
// need to run; all of them are read-only in a pass.
func systemMounts() []mount {
	var list []mount
	for _, dir := range []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt",
		"/nix/store", "/gnu/store", "/run/current-system", "/home/linuxbrew/.linuxbrew",
		"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
	} {
		if _, err := os.Lstat(dir); err == nil {
			list = append(list, mount{From: dir, To: dir})
		}
	}
	return list
}

// visible keeps the folders that systemMounts shows.
func visible(dirs []string) []string {
	mounts := systemMounts()
	return slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		return !slices.ContainsFunc(mounts, func(m mount) bool {
			return dir == m.To || strings.HasPrefix(dir, m.To+"/")
		})
	})
}
