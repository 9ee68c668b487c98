package pipeline

import (
	"errors"
	"strings"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// Outcome is what the two passes made.
type Outcome struct {
	// Binaries are in the order of Plan.Recipes.
	Binaries []record.Binary
	// Files are those that archives and images hold beside the binaries.
	Files []record.File
	// Failures are what kept targets from a verdict; each names its targets.
	Failures []error

	run        *Run
	files      map[string]artifact.Artifact // by name, from pass A
	filesB     map[string]artifact.Artifact // by name, from pass B
	variations []pass.Variation
	jobs       []record.Job
	took       time.Duration // of both passes
}

// Verdict returns reproduced only if everything was reproduced.
func (o *Outcome) Verdict() compare.Verdict {
	verdict := compare.Reproduced
	include := func(v compare.Verdict) {
		if !v.Pass() && verdict != compare.Differs {
			verdict = v
		}
	}

	for _, b := range o.Binaries {
		include(b.Verdict)
	}
	for _, f := range o.Files {
		include(f.Verdict)
	}

	if len(o.Binaries) == 0 {
		return compare.Undetermined
	}
	return verdict
}

// Err returns nil only if everything was reproduced and nothing failed. If something differs, the
// error is [ErrDiffers], joined with what kept other targets from a verdict.
func (o *Outcome) Err() error {
	errs := o.Failures
	switch v := o.Verdict(); {
	case v.Pass() && len(errs) == 0:
		return nil
	case v == compare.Differs:
		errs = append([]error{ErrDiffers}, errs...)
	case len(errs) == 0:
		return errors.New("the two builds could not be compared")
	}
	return errors.Join(errs...)
}

// failure is an error that kept targets from a verdict.
type failure struct {
	targets []string
	err     error
}

// Error names the targets first.
func (f *failure) Error() string { return strings.Join(f.targets, ", ") + ": " + f.err.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

// fail adds a failure. A failure that several targets share, such as an error in the source, is
// listed once.
func (o *Outcome) fail(t matrix.Target, err error) {
	for _, earlier := range o.Failures {
		if f := (*failure)(nil); errors.As(earlier, &f) && f.err.Error() == err.Error() {
			f.targets = append(f.targets, t.String())
			return
		}
	}
	o.Failures = append(o.Failures, &failure{[]string{t.String()}, err})
}
