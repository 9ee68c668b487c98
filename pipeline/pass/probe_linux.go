package pass

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

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
