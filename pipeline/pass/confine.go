package pass

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Confinement says what keeps the passes apart from the host and the network.
type Confinement struct {
	// Namespaces reports whether passes have a root folder, a host name, users, processes and a
	// network of their own.
	Namespaces bool `json:"namespaces"`
	// Landlock is the ABI version in use, 0 without it
	// (https://docs.kernel.org/userspace-api/landlock.html).
	Landlock int `json:"landlock"`
	// Seccomp reports whether system calls are forbidden by which a command could leave word for
	// the other pass, or get out.
	Seccomp bool `json:"seccomp,omitempty"`
	// NetworkCut says how the network is out of reach: "none" if there is none, "tcp" if TCP alone
	// is forbidden, "" if nothing is.
	NetworkCut string `json:"networkCut"`
	// Missing says what is not confined on this host, and why.
	Missing []string `json:"missing"`
}

// writesConfined reports whether the files outside of the workspace are safe from a build step.
func (c Confinement) writesConfined() bool { return c.Namespaces || c.Landlock > 0 }

// AllowStrangers returns nil if the source of a stranger may be built, and otherwise an
// [UnconfinedError]. Such a build must not change anything of this host, whatever it makes of a
// compiler. Namespaces see to that. So does Landlock since version 3, which covers truncation,
// where seccomp forbids the calls that Landlock does not see, such as chmod.
func (c Confinement) AllowStrangers() error {
	if c.Namespaces || c.Landlock >= 3 && c.Seccomp {
		return nil
	}
	return &UnconfinedError{c.Missing}
}

// UnconfinedError is the refusal to build a stranger's source, which could change the host.
type UnconfinedError struct{ Missing []string }

// Error says what is missing.
func (e *UnconfinedError) Error() string {
	return "somebody else's source is not built where a build step could change this machine: " + strings.Join(e.Missing, "; ")
}

// Remedy says where such a source can be built.
func (e *UnconfinedError) Remedy() string {
	return "do it on Linux with user namespaces, or with Landlock (Linux 6.2 and later) and seccomp; a virtual machine or a container with one of them will do"
}

// Reasons says of the factors that this host cannot vary why that is.
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

// childReport is what a child tells its parent. It sends one right before it starts the command,
// one when the command runs, and one if a signal has ended the command.
type childReport struct {
	Witness Witness `json:"witness,omitempty"`
	// Missing is what the kernel does not do. The command is run all the same.
	Missing []string `json:"missing,omitempty"`
	// Failed is the step of the confinement that did not work.
	Failed string `json:"failed,omitempty"`
	// Signal is the signal that ended the command.
	Signal string `json:"signal,omitempty"`
}

// Probe tries which confinement this host allows. scratch is an empty folder, and path are the
// folders of the user's PATH. It fails only if ctx ends.
func Probe(ctx context.Context, scratch string, path []string) (Confinement, error) {
	c := probe(ctx, scratch, path)
	if c.Missing == nil {
		c.Missing = []string{}
	}
	return c, context.Cause(ctx)
}

// stepError returns err with the step of the confinement that failed, or nil if err is nil.
func stepError(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", step, err)
}

// waitDelay bounds how long the processes of a command may take to end, once they should.
const waitDelay = 5 * time.Second
