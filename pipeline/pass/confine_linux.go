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

// confinementError is a step of the confinement that failed, as opposed to the
// command in it.
type confinementError struct{ step string }

func (e *confinementError) Error() string { return "confinement: " + e.step }
