package pass

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// child is a process that confines itself and then runs a command.
type child struct {
	cmd  *exec.Cmd
	spec []byte // the childSpec in JSON
	// The pipes to the child (see lifeline), and from it.
	lifelineR, lifelineW, reportR, reportW *os.File
}

// confine prepares the child that runs the command of c. Where there are namespaces the command has
// the ids uid and gid.
func confine(ctx context.Context, c childSpec, uid, gid int) (*child, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}

	lifelineR, lifelineW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	reportR, reportW, err := os.Pipe()
	if err != nil {
		lifelineR.Close()
		lifelineW.Close()
		return nil, err
	}

	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{childName}
	cmd.Env = []string{}
	cmd.ExtraFiles = []*os.File{lifelineR, reportW} // lifeline, reportTo
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c.Root != "" {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE, unix.CAP_SETPCAP}
	}

	// The child ends the command and all its descendants, and then itself. It does the same if
	// this process ends.
	cmd.Cancel = lifelineW.Close
	cmd.WaitDelay = waitDelay

	return &child{cmd: cmd, spec: text, lifelineR: lifelineR, lifelineW: lifelineW, reportR: reportR, reportW: reportW}, nil
}

// run starts the command and waits for it. out gets what the command prints. run calls started with
// the id of a process that is an ancestor of the command and of all its descendants.
func (p *child) run(out io.Writer, started func(pid int)) (childReport, error) {
	defer p.reportR.Close()
	defer p.lifelineW.Close()

	p.cmd.Stdout, p.cmd.Stderr = out, out
	err := p.cmd.Start()
	p.lifelineR.Close()
	p.reportW.Close()
	if err != nil {
		return childReport{}, err
	}

	started(p.cmd.Process.Pid)
	reports := json.NewDecoder(io.LimitReader(p.reportR, 1<<16))
	o, werr := p.awaitStart(reports)

	err = p.cmd.Wait()
	var end childReport
	switch {
	case o.Failed != "":
		return o, &confinementError{o.Failed}
	case werr != nil:
		return o, errors.Join(werr, err)
	case err != nil && reports.Decode(&end) == nil && end.Signal != "":
		return o, &signalError{end.Signal}
	}
	return o, err
}

// awaitStart hands the childSpec to the started child, and waits until the command runs or has
// failed to start.
func (p *child) awaitStart(reports *json.Decoder) (childReport, error) {
	// The child may die before it has read everything. The report that is missing then tells it.
	go io.Copy(p.lifelineW, bytes.NewReader(p.spec))

	var o childReport
	if err := reports.Decode(&o); err != nil {
		return o, fmt.Errorf("the confined process ended before it was ready: %w", err)
	}
	if o.Failed != "" {
		return o, nil
	}

	// A step that fails after the first report, such as the exec, is in the second.
	var started childReport
	if err := reports.Decode(&started); err != nil {
		return o, fmt.Errorf("the confined process ended before it was ready: %w", err)
	}
	o.Failed = started.Failed
	return o, nil
}

// probe tries the confinement on a program that does nothing, first all of it and then less and
// less. For each part that is left out it says why that part failed together with the rest.
func probe(ctx context.Context, scratch string, path []string) Confinement {
	abi, _, noLandlock := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if noLandlock != 0 {
		abi = 0
	}

	for _, namespaces := range []bool{true, false} {
		for _, landlock := range slices.Compact([]int{int(abi), 0}) {
			for _, seccomp := range []bool{true, false} {
				c := Confinement{Namespaces: namespaces, Landlock: landlock, Seccomp: seccomp}
				missing, err := c.try(ctx, scratch, path)
				if err != nil && (namespaces || landlock > 0 || seccomp) {
					continue
				}

				// Each part that is left out is tried alone on top of what works, for its error.
				c.Missing = missing
				why := func(what string, more Confinement) {
					_, err := more.try(ctx, scratch, path)
					c.Missing = append(c.Missing, fmt.Sprintf("%s: %v", what, err))
				}
				if !namespaces {
					more := c
					more.Namespaces = true
					why("namespaces", more)
				}
				switch {
				case noLandlock != 0:
					c.Missing = append(c.Missing, fmt.Sprintf("Landlock: not in this kernel (%v)", noLandlock))
				case landlock == 0:
					more := c
					more.Landlock = int(abi)
					why("Landlock", more)
				}
				if !seccomp {
					more := c
					more.Seccomp = true
					why("system calls", more)
				}
				return c.withConsequences()
			}
		}
	}
	panic("unreachable")
}

// withConsequences returns c with NetworkCut, and with what its parts do not confine in Missing.
func (c Confinement) withConsequences() Confinement {
	lack := func(format string, args ...any) { c.Missing = append(c.Missing, fmt.Sprintf(format, args...)) }

	if !c.Seccomp {
		lack("passes: a hook of one can leave word for the other, in keyrings, files and counters of the kernel, and by sockets")
	}
	if c.Namespaces {
		c.NetworkCut = "none"
		return c
	}

	// The network goes with the right to make a socket, or at least TCP does.
	switch {
	case c.Seccomp:
		c.NetworkCut = "none"
	case c.Landlock >= 4:
		c.NetworkCut = "tcp"
	default:
		lack("network: nothing cuts it off")
	}

	lack("reading: a command can read what this user can")
	lack("processes: a command can see and signal others of this user, and what it leaves behind is ended one by one")
	switch {
	case c.Landlock == 0:
		lack("writes: a command can write wherever this user can")
	case c.Landlock < 3:
		lack("writes: a command can truncate files of this user, and change their modes, times and attributes")
	default:
		lack("writes: a hook can change modes, owners, times and attributes of this user's files, and so leave word for the other pass")
	}
	return c
}

// try runs a program that does nothing in the confinement c. It returns what the kernel does not
// do of that.
func (c Confinement) try(ctx context.Context, scratch string, path []string) ([]string, error) {
	work := filepath.Join(scratch, "work")
	t := childSpec{
		LeaveOut: -1, Landlock: c.Landlock, Seccomp: c.Seccomp, Argv: []string{"true"}, Dir: work, Writable: []string{work},
		Env: []string{"PATH=" + strings.Join(slices.Concat(path, []string{"/usr/bin", "/bin"}), ":")},
	}

	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}

	if c.Namespaces {
		t.Root = filepath.Join(scratch, "root")
		if err := os.MkdirAll(t.Root, 0o755); err != nil {
			return nil, err
		}
		t.Host, t.Domain, t.Dir, t.Writable = "probe", "probe", "/work", []string{"/work"}
		t.Mount = append(systemMounts(path), mount{From: work, To: "/work", Write: true})
	}

	p, err := confine(ctx, t, 1000, 1000)
	if err != nil {
		return nil, err
	}
	o, err := p.run(io.Discard, func(int) {})
	return o.Missing, err
}

// confinementError is a step of the confinement that failed, as opposed to the
// command in it.
type confinementError struct{ step string }

func (e *confinementError) Error() string { return "confinement: " + e.step }

// systemFolders are the folders of a host that hold programs and what these need to run.
var systemFolders = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
}

// systemMounts are the folders of the host that a pass sees, all of them read-only: systemFolders,
// and those that the user's PATH leads to. Of /opt a pass sees the packages whose programs are in
// PATH. Of a store it sees everything, since its packages need each other.
func systemMounts(path []string) []mount {
	dirs := slices.Clone(systemFolders)

	for _, dir := range path {
		places := []string{dir}
		if real, err := filepath.EvalSymlinks(dir); err == nil && inStore(dir) != "" {
			places = append(places, real)
		}
		for _, p := range places {
			if store := inStore(p); store != "" && !slices.Contains(dirs, store) {
				dirs = append(dirs, store)
			}
		}
	}

	var list []mount
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); err == nil {
			list = append(list, mount{From: dir, To: dir})
		}
	}
	return list
}

// inStore returns the folder that a pass sees for dir, if packages outside of the system lie there.
// Otherwise it returns "".
func inStore(dir string) string {
	for _, store := range []string{"/nix/store", "/gnu/store", "/run/current-system", "/home/linuxbrew/.linuxbrew"} {
		if under(store, dir) {
			return store
		}
	}

	rest, _ := strings.CutPrefix(filepath.Clean(dir), "/opt/")
	if name, _, _ := strings.Cut(rest, "/"); name != "" && rest != filepath.Clean(dir) {
		return "/opt/" + name
	}
	return ""
}

// visibleFolders returns those of the folders of PATH that systemMounts shows.
func visibleFolders(path []string) []string {
	mounts := systemMounts(path)
	return slices.DeleteFunc(slices.Clone(path), func(dir string) bool {
		return !slices.ContainsFunc(mounts, func(m mount) bool { return under(m.To, dir) })
	})
}
