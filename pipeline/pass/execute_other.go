//go:build !linux

package pass

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/process"
)

// Main does nothing where processes cannot be confined.
func Main() {}

// probe returns that nothing is confined.
func probe(context.Context, string, []string) Confinement {
	return Confinement{Missing: []string{
		"writes and network: " + runtime.GOOS + " offers no way to confine a build that needs no set-up",
		"limits: of what a command takes, only its time is bounded",
	}}
}

// visibleFolders returns all folders, as a pass sees those of the host.
func visibleFolders(dirs []string) []string { return dirs }

// systemMounts returns none, as a pass has no root of its own.
func systemMounts([]string) []mount { return nil }

// execute runs the command of c. Of c it can give a command the folder, the arguments and the
// environment.
func (s *localSession) execute(ctx context.Context, c childSpec, out io.Writer, _ context.CancelCauseFunc) (Witness, time.Duration, error) {
	name, err := lookPath(c.Argv[0], c.Env)
	if err != nil {
		return nil, 0, err
	}

	cmd := exec.CommandContext(ctx, name, c.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, c.Env, out, out
	cmd.WaitDelay = waitDelay
	process.Group(cmd)

	err = cmd.Run()
	if cmd.Process != nil && runtime.GOOS != "windows" {
		cmd.Cancel() // ends what the command has left behind
	}

	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && !exit.Exited() {
		err = &signalError{strings.TrimPrefix(exit.String(), "signal: ")}
	}

	var cpu time.Duration
	if st := cmd.ProcessState; st != nil {
		cpu = st.UserTime() + st.SystemTime()
	}
	return Witness{}, cpu, err
}

// lookPath finds name in the PATH of env.
func lookPath(name string, env []string) (string, error) {
	suffixes := []string{""}
	if runtime.GOOS == "windows" {
		suffixes = []string{".exe", ".cmd", ".bat"}
	}

	for _, kv := range env {
		path, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			for _, suffix := range suffixes {
				file := filepath.Join(dir, name+suffix)
				if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
					return file, nil
				}
			}
		}
	}
	return "", fmt.Errorf("there is no %s in PATH", name)
}
