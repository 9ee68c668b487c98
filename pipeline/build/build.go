// Package build runs recipes: one pass in a workspace of its own, under
// circumstances that must not matter.
//
// # The seam
//
// The unit of work is (recipes of one target, pass) and yields a [Result]: the
// artifacts by digest, the action graphs of the go command, its log. [Local]
// does that on this machine. An executor that sends the work elsewhere has the
// same two methods; nothing above this package knows where a pass ran.
//
// # What differs between the passes
//
// Pass A is plain, pass B is varied on purpose. What was varied is never
// stated from intent: each pass leaves a [Witness] of what could be observed
// inside its workspace, and [Variations] compares the two.
//
// # Confinement
//
// On Linux a pass runs in new user, mount, PID, network, IPC and UTS
// namespaces: its root folder holds the system's programs read-only and the
// workspace, there is no network, and Landlock forbids writes elsewhere once
// more. Where namespaces are not to be had, Landlock alone confines the writes
// and TCP. On other systems nothing is confined. [Confinement] says which it
// was, and why not more.
package build

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Pass names one of the two executions of a recipe.
type Pass string

// The passes: A is plain, B is varied. A Trial has some of B's variations, to find
// out which of them matters.
const (
	A     Pass = "A"
	B     Pass = "B"
	Trial Pass = "trial"
)

// Binary is one binary to build.
type Binary struct {
	Recipe recipe.Recipe
	// ImportPath is the import path of the main package, which decides what
	// file name the go command chooses when it builds several at once.
	ImportPath string
}

// Job is the binaries of one target, to be built in one pass.
type Job struct {
	Binaries []Binary
	// Slot is the place of this job among those that run at the same time,
	// from 0; pass B leaves a processor out according to it.
	Slot  int
	Share Share
	// Trace asks the go command to print in Result.Log what the hashes in its
	// build IDs are made of (GODEBUG=gocachehash=1, see go help cache).
	Trace bool
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
	// CPU is user and system time of the children, their descendants included.
	CPU time.Duration
}

// Session is a pass that was set up: its source is laid out and its hooks ran.
type Session interface {
	// Build runs one job. It is safe to call from many goroutines.
	Build(context.Context, Job) (Result, error)
	// Run runs a command that is no build of a recipe, with Share.Processes
	// processors, and returns what it printed, bounded.
	Run(context.Context, Command) (string, error)
	// Places tells where commands see things.
	Places() Places
	// Tree is a folder of this machine that holds the source tree as the hooks
	// left it. Only read from it.
	Tree() string
	// Files stores the files of the source tree, as the hooks left it, that
	// match globs (relative to the release file's folder).
	Files(globs []string) ([]artifact.Artifact, error)
	// Witness tells what was observed in the workspace.
	Witness() Witness
	// Close removes the workspace.
	Close() error
}

// CommandError is a command of a build step that failed by itself: a compile
// error, a failing hook. Its output is for the user to read.
type CommandError struct {
	Pass Pass
	// What is "go build", or "hook 1: " and its command.
	What string
	// Output is what the command printed, bounded.
	Output string
	// Confined tells whether the network was cut off and writes were confined,
	// which may be why the command failed.
	Confined bool
	Err      error
}

// Error gives the operation and the cause; the output is for a page of its own.
func (e *CommandError) Error() string {
	return fmt.Sprintf("pass %s: %s: %v", e.Pass, e.What, e.Err)
}

// Complaint returns the first line of the output that says something: the
// compiler's first error, without the headings of packages.
func (e *CommandError) Complaint() string {
	for line := range strings.Lines(e.Output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "# ") {
			return line
		}
	}
	return ""
}

// Unwrap returns the cause.
func (e *CommandError) Unwrap() error { return e.Err }
