package pass

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Confinement says what keeps the passes apart from the host and the network.
type Confinement struct {
	// Namespaces tells that passes have a root folder, a host name, users,
	// processes and a network of their own.
	Namespaces bool `json:"namespaces"`
	// Landlock is the ABI version in use, 0 without it
	// (https://docs.kernel.org/userspace-api/landlock.html).
	Landlock int `json:"landlock"`
	// Seccomp tells that system calls are forbidden by which a command could leave
	// word for the other pass, or get out.
	Seccomp bool `json:"seccomp,omitempty"`
	// NetworkCut tells whether the network is out of reach: "none" where there is
	// none, "tcp" where TCP alone is forbidden, "" where nothing is.
	NetworkCut string `json:"networkCut"`
	// Missing says what is not confined on this host, and why.
	Missing []string `json:"missing"`
}

// writesConfined tells whether the files outside of its workspace are safe from a
// build step.
func (c Confinement) writesConfined() bool { return c.Namespaces || c.Landlock > 0 }

// AllowStrangers returns an UnconfinedError unless a source may be built that a stranger
// wrote: one that can change nothing of this host, whatever it makes of a compiler.
// Landlock alone sees to that since version 3 (which covers truncation), where
// seccomp forbids the calls that it does not see, such as chmod.
func (c Confinement) AllowStrangers() error {
	if c.Namespaces || c.Landlock >= 3 && c.Seccomp {
		return nil
	}
	return &UnconfinedError{c.Missing}
}

// UnconfinedError is a build of a stranger's source where it could change the host.
type UnconfinedError struct{ Missing []string }

// Error says that it was not done, and what would be missing.
func (e *UnconfinedError) Error() string {
	return "somebody else's source is not built where a build step could change this machine: " + strings.Join(e.Missing, "; ")
}

// Remedy says where it can be done.
func (e *UnconfinedError) Remedy() string {
	return "do it on Linux with user namespaces, or with Landlock (Linux 6.2 and later) and seccomp; a virtual machine or a container with one of them will do"
}

// Reasons says why this host cannot vary some of the factors.
func (c Confinement) Reasons() map[Factor]string {
	reasons := map[Factor]string{}
	for _, f := range factors {
		switch {
		case f.need == needOwnClock:
			reasons[f.name] = "the host's clock is shared"
		case f.need == needNamespaces && !c.Namespaces:
			reasons[f.name] = "takes namespaces, which this host does not offer"
		case f.need == needConfined && !c.Namespaces && c.Landlock == 0:
			reasons[f.name] = "takes confined processes, which this host does not offer"
		}
	}
	return reasons
}

// childReport is what the child reports: right before it starts the command, when it
// has, and when a signal has ended the command.
type childReport struct {
	Witness Witness `json:"witness,omitempty"`
	// Missing is what the kernel does not do, and is done without.
	Missing []string `json:"missing,omitempty"`
	// Failed is the step of the confinement that did not work.
	Failed string `json:"failed,omitempty"`
	// Signal is what the command was ended by.
	Signal string `json:"signal,omitempty"`
}

// Probe finds out, by trying it, what this host allows. scratch is an empty
// folder, and path the folders of the user's PATH. It fails only if ctx ends.
func Probe(ctx context.Context, scratch string, path []string) (Confinement, error) {
	c := probe(ctx, scratch, path)
	if c.Missing == nil {
		c.Missing = []string{}
	}
	return c, context.Cause(ctx)
}

// stepError names the step of the confinement that failed, if err says so.
func stepError(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", step, err)
}

// waitDelay bounds how long it takes to end a command's processes, once they are
// to end.
const waitDelay = 5 * time.Second
