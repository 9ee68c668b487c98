// Package pipeline is the forward flow. It leads from a release file and a commit to a folder of
// files that were built twice and agree.
//
//	release.toml + commit -> Inputs -> Plan -> pass A, pass B -> compare
//	    -> archives, images, checksums, record -> sign
//
// [Prepare] turns a [Config] into a [Run]. Its [Inputs] are pinned and proved, and its [Plan] says
// what is made of them. [Run.Build] runs the two passes and compares them. [Outcome.Bisect] finds
// the variation that a difference takes, and [Outcome.Write] writes the result. The stages live in
// packages below this one and do not know each other.
package pipeline

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/progress"
	"github.com/twicebuild/twice/pipeline/record"
)

// Request is what the user asks for.
type Request struct {
	// ConfigFile is the path of the release file. The source is found in its folder, unless
	// Module is set.
	ConfigFile string
	// Out is the absolute path of the folder to write (dist).
	Out string
	// Write reserves Out from the beginning, for what Outcome.Write writes.
	Write bool
	// Module is "path@version" to build a version of the module proxy instead
	// of a commit.
	Module string
	// Snapshot asks for a snapshot. A commit without a tag and uncommitted changes are allowed,
	// and the outcome is never called a release.
	Snapshot bool
	// Unreleased tells that nothing of what is built will be released. It allows what
	// Snapshot allows. The outcome is called a snapshot only if it could not be a
	// release, so that a tagged commit gets the recipes of its release.
	Unreleased bool
	// Targets are globs that limit the matrix; none means all of it.
	Targets []string
	// Partial allows a release of a part of the matrix.
	Partial bool
	// Timeout is how long each hook, and each build of a target, may take.
	Timeout time.Duration
	// Epoch is SOURCE_DATE_EPOCH where the user set it. The files in archives have this time
	// instead of the commit's.
	Epoch *time.Time
}

// Config is what a run is asked for and what it may use. Nothing else comes in from outside.
type Config struct {
	Request
	// Host is this machine and its user.
	host.Host
	// Remote is how registries are reached, for the bases of images.
	Remote *oci.Remote
	// BaseSignatures is how the signatures of bases are verified.
	BaseSignatures BaseSignatures
	Tool           record.Tool
	Progress       *progress.Printer
	// HookLog gets what hooks print.
	HookLog io.Writer
}

// waits tells the user that a run waits for another process, which obtains the same toolchain.
func (cfg Config) waits(process int) {
	who := ""
	if process > 0 {
		who = fmt.Sprintf(" (process %d)", process)
	}
	cfg.Progress.Line("waiting for another run of twice%s, which obtains the same toolchain", who)
}

// ErrDiffers is returned when the two passes were completed and do not agree.
var ErrDiffers = fault.Refused(errors.New("the two builds differ"))
