package pass

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// invocation is one command of a pass: a hook, a go command, or a [Command].
type invocation struct {
	what string // for people
	dir  string // as the command sees it
	argv []string
	env  []string // the recipe's part
	job  string   // whose folders it has
	// out is a folder below layout.out to write to, with slashes, or "".
	out string
	// writesSource reports whether it may change the source tree.
	writesSource bool
	slot         int // see Job.Slot
	share        Share
	live         io.Writer // gets the output at once, or nil
	trace        bool      // the output is long
}

// Limits of what is kept of a command's output. With a trace, the go command
// prints some hundred bytes for each file of each package.
const (
	maxLog   = 1 << 20
	maxTrace = 128 << 20
)

// run executes cmd in the workspace. It returns the output of the command and the processor time
// that it took.
func (s *localSession) run(ctx context.Context, cmd invocation) (output string, cpu time.Duration, err error) {
	spec, chosen := s.newChildSpec(cmd)
	out := &tail{limit: maxLog}
	if cmd.trace {
		out.limit = maxTrace
	}

	dst := io.Writer(out)
	if cmd.live != nil {
		dst = io.MultiWriter(out, cmd.live)
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if limit := s.Limits.Time; limit > 0 {
		timer := time.AfterFunc(limit, func() { stop(timeLimitError(limit)) })
		defer timer.Stop()
	}

	seen, cpu, err := s.execute(ctx, spec, dst, stop)
	s.addWitness(chosen)
	s.addWitness(seen)
	output = out.String()

	// The cause comes first, since a command that was ended for it says of itself only that it was
	// killed.
	if cause := context.Cause(ctx); cause != nil && err != nil {
		if errors.As(cause, new(*LimitError)) {
			return output, cpu, &CommandError{Pass: s.pass, What: cmd.what, Output: withoutNoise(output), Err: cause}
		}
		return output, cpu, cause
	}
	if exit, ended := (*exec.ExitError)(nil), (*signalError)(nil); errors.As(err, &exit) || errors.As(err, &ended) {
		return output, cpu, &CommandError{Pass: s.pass, What: cmd.what, Output: withoutNoise(output), Confined: s.Confinement.writesConfined(), Err: err}
	}

	if err != nil {
		return output, cpu, fmt.Errorf("pass %s: %s: %w", s.pass, cmd.what, err)
	}

	return output, cpu, nil
}

// withoutNoise returns output without the trace of hashes, and without the go command's complaint
// about a module cache that it may not write to.
func withoutNoise(output string) string {
	var kept strings.Builder
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "go: writing stat cache: ") && !strings.HasPrefix(line, "HASH") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// tail keeps the first and the last part of what is written to it.
type tail struct {
	limit   int
	head    bytes.Buffer
	rest    []byte
	dropped int
	sync.Mutex
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.Lock()
	defer t.Unlock()

	n := len(p)
	if room := t.limit/2 - t.head.Len(); room > 0 {
		k := min(room, len(p))
		t.head.Write(p[:k])
		p = p[k:]
	}

	t.rest = append(t.rest, p...)
	if over := len(t.rest) - t.limit/2; over > t.limit/2 {
		t.dropped += over
		t.rest = slices.Clone(t.rest[over:])
	}

	return n, nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.Lock()
	defer t.Unlock()

	if t.dropped == 0 {
		return t.head.String() + string(t.rest)
	}
	return fmt.Sprintf("%s\n... %d bytes left out ...\n%s", t.head.String(), t.dropped, t.rest)
}
