// Package pass runs recipes: one pass in a workspace of its own, under
// circumstances that must not matter.
//
// # Jobs and sessions
//
// The unit of work is (recipes of one target, pass) and yields a [Result]: the
// artifacts by digest, the action graphs of the go command, its log. [Local]
// does that on this machine, and a [Session] is one pass of it.
//
// # What differs between the passes
//
// Pass A is plain, and pass B is varied on purpose. Each pass leaves a [Witness], and [Variations]
// compares the two. What the kernel could refuse is observed from inside: host and domain name,
// user, group, umask, processors, address space, kernel release. What a pass gives to a command in
// its arguments, environment and paths is written down as it was given.
//
// # Hooks and builds
//
// Hooks change the source tree. That is what they are for, and what they wrote there is built and
// compared. Nothing else that they touched reaches a build. The hooks of a pass, and each job, have
// a cache, a home and a temporary folder of their own. These are empty when they begin, and dropped
// when they end. Only a build has a folder for its output, and it sees the source read-only. When
// the hooks are over, folders of version control become what they were when they were laid out. A
// pipe, a device, a repository of its own or a link out of the tree is then an error.
//
// What a build left is read as a stranger's: no link is followed, only regular files are read,
// their sizes are bounded, and they are copied into the store while they are hashed.
//
// # Confinement
//
// On Linux a pass runs in new user, mount, PID, network, IPC and UTS namespaces. Its root folder
// holds the system's programs read-only and the workspace, there is no network, and Landlock
// forbids writes elsewhere once more. Seccomp takes away the system calls by which something
// outlives a pass, or gets out. On a host without namespaces Landlock alone confines the writes,
// and seccomp the network. On other systems nothing is confined. [Confinement] says which it was,
// and why not more.
package pass

import (
	"context"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Pass names an execution of the recipes.
type Pass string

// The passes: A is plain, B is varied. A Trial repeats A with some of B's variations, to find out
// which of them matters.
const (
	A     Pass = "A"
	B     Pass = "B"
	Trial Pass = "trial"
)

// Binary is one binary to build.
type Binary struct {
	Recipe recipe.Recipe
	// ImportPath is the import path of the main package. It decides which file name the go command
	// chooses when it builds several at once.
	ImportPath string
}

// Job is the binaries of one target, to be built in one pass.
type Job struct {
	Binaries []Binary
	// Slot is the place of this job among those that run at the same time, from 0. It decides which
	// processor pass B leaves out.
	Slot  int
	Share Share
	// Trace asks the go command to say in Result.Log what the hashes in its build IDs are made of
	// (GODEBUG=gocachehash=1, see go help cache).
	Trace bool
	// All compiles every package, even one that the toolchain or a cache has.
	All bool
}

// Share is a job's part of the machine.
type Share struct {
	// Processes is how many compilers may run at once: the -p of go build.
	Processes int
	// Memory is the soft limit in bytes for each of them (GOMEMLIMIT).
	Memory int64
	// GOGC is the collector's target for them, 0 for the default.
	GOGC int
}

// CompilerMemory is what a compiler needs for the largest packages, in bytes. With the default GOGC
// it needs less than half of that.
const CompilerMemory = 700 << 20

// ShareOf divides a machine with that many processors and that much memory among slots, in which
// jobs run at a time.
func ShareOf(cpus int, memory int64, slots int) Share {
	const least = CompilerMemory / 2

	cpus = max(1, cpus)
	var s Share
	s.Processes = max(2, min((cpus+slots-1)/slots, int(memory/int64(slots*least))))
	s.Memory = memory / int64(slots*s.Processes)

	// A larger GOGC takes memory to save time, so it depends on the share of a process.
	switch {
	case s.Memory >= CompilerMemory:
		s.GOGC = 400 // less processor time: see e2e/bench
	case s.Memory >= least:
		s.GOGC = 200
	}
	s.Memory = max(s.Memory, least)
	return s
}

// Result is what a job produced.
type Result struct {
	// Artifacts are the binaries, in the order of Job.Binaries.
	Artifacts []artifact.Artifact
	// Graphs are the action graphs of the go commands that ran, in order, as
	// -debug-actiongraph wrote them.
	Graphs [][]byte
	// Log is what the go commands printed, bounded.
	Log   string
	Usage Usage
}

// Usage is what a job cost.
type Usage struct {
	Start time.Time
	Wall  time.Duration
	// CPU is the user and system time of the children and their descendants.
	CPU time.Duration
}

// Session is a pass that was set up: its source is laid out and its hooks ran.
type Session interface {
	// Build runs one job. It is safe to call from many goroutines, with jobs for
	// different targets. A binary of more than 4 GiB is an error.
	Build(context.Context, Job) (Result, error)
	// Run runs a command that is no build of a recipe, with Share.Processes processors. It returns
	// what the command printed, bounded.
	Run(context.Context, Command) (string, error)
	// Places says where commands see things.
	Places() Places
	// Tree is a folder of this machine that holds the source tree as the hooks left it. In a
	// release nobody writes to it. A caller whose source is its own may, between builds.
	Tree() string
	// Files stores the files that match globs, from the source tree as the hooks left it. The globs
	// are relative to the release file's folder. It is an error if a file, or a folder on the way
	// to it, is a link, and if there are more than 65536 files or 16 GiB.
	Files(globs []string) ([]artifact.Artifact, error)
	// Witness is what the pass observed in its workspace, and what it gave to its commands.
	Witness() Witness
	// Close removes the workspace.
	Close() error
}
