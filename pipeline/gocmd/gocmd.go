// Package gocmd runs a go command as a client: to ask it questions and to let
// it talk to the module proxy and the checksum database with the user's own
// settings. It is not for builds, whose processes package pass confines.
//
// The environment is the caller's and complete: nothing is inherited. Output is
// bounded, and no command leaves telemetry. When the context ends, the command and
// (on Unix) every process that it started, such as git, are killed, and Run returns.
package gocmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/process"
)

// Go is a go command and the environment to run it with.
type Go struct {
	// Path is the absolute path of the command.
	Path string
	// Env is the complete environment, as NAME=value pairs; of several pairs
	// with one name the last one counts.
	Env []string
}

// With returns g with more variables, which win over those that it has.
func (g Go) With(env ...string) Go {
	g.Env = slices.Concat(g.Env, env)
	return g
}

// MaxGoMod bounds the go.mod of a main module, in bytes. The go command has the same bound for those
// of dependencies.
const MaxGoMod = 16 << 20

// Limits of what a go command may print. The largest document here is the
// JSON of go list -deps, a few kilobytes a package.
const (
	maxStdout = 256 << 20
	maxStderr = 1 << 20
)

// Error is a go command that failed. Its text is the command and what it said.
type Error struct {
	Args   []string // the arguments after "go"
	Stderr string   // what the command said, without surrounding white space
	Err    error    // an *exec.ExitError, or why the command could not run
}

// Error returns "go mod download: what it said", of which the first and the
// last lines are kept if it said more than a screen holds.
func (e *Error) Error() string {
	verb := e.Args[:min(len(e.Args), 2)]
	if len(verb) == 2 && strings.HasPrefix(verb[1], "-") {
		verb = verb[:1]
	}

	said := e.Stderr
	if lines := strings.Split(said, "\n"); len(lines) > 40 {
		said = strings.Join(slices.Concat(lines[:20], []string{"..."}, lines[len(lines)-19:]), "\n")
	}

	if said == "" {
		said = e.Err.Error()
	}
	return fmt.Sprintf("go %s: %s", strings.Join(verb, " "), said)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Run runs g with args in dir and returns what it wrote to standard output,
// also when it failed. The error is an [*Error], or the context's.
func (g Go) Run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	if !filepath.IsAbs(g.Path) || !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("go command %q in folder %q: want absolute paths", g.Path, dir)
	}

	stdout, stderr := limitedBuffer{max: maxStdout}, limitedBuffer{max: maxStderr, cut: true}
	cmd := exec.CommandContext(ctx, g.Path, args...)
	cmd.Dir = dir
	// PWD lets the go command keep the name of dir as it was given.
	cmd.Env = slices.Concat(g.Env, []string{"PWD=" + dir}, noTelemetry(g.Path))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	process.Group(cmd)

	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args[:min(len(args), 2)], " "), context.Cause(ctx))
	}
	if err != nil {
		return stdout.buf.Bytes(), &Error{Args: args, Stderr: strings.TrimSpace(stderr.buf.String()), Err: err}
	}
	return stdout.buf.Bytes(), nil
}

// noTelemetry returns the environment in which a go command counts nothing and leaves
// no process behind that would send counts: there is no setting for that but a
// file in its user's folder, which is not ours to write. The folder for counts is
// below a file, where none can be made, and the variable of the process says that
// there is one already (cmd/internal/telemetry and golang.org/x/telemetry/start.go
// of Go 1.23 and later; older ones count nothing).
func noTelemetry(path string) []string {
	return []string{"TEST_TELEMETRY_DIR=" + filepath.Join(path, "telemetry"), "GO_TELEMETRY_CHILD=2"}
}

var errTooMuch = errors.New("more output than expected")

// limitedBuffer keeps at most max bytes. With cut the rest is dropped. Without it, more
// is an error, which ends the command. The buffer is not embedded, since io.Copy
// would find its ReadFrom and go round Write.
type limitedBuffer struct {
	buf bytes.Buffer
	max int
	cut bool
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if room := l.max - l.buf.Len(); len(p) > room {
		if !l.cut {
			return 0, errTooMuch
		}
		l.buf.Write(p[:room])
		return len(p), nil
	}
	return l.buf.Write(p)
}
