package pipeline

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/record"
)

// Whatever the machine, something runs, compilers get enough memory to work
// with, and together no more than there is (where there is enough for one job).
func TestShare(t *testing.T) {
	const gb = 1 << 30
	for _, cpus := range []int{0, 1, 2, 3, 8, 64, 256} {
		for _, memory := range []int64{0, gb / 2, gb, 2 * gb, 4 * gb, 16 * gb, 64 * gb, 1024 * gb} {
			for _, jobs := range []int{1, 2, 12, 90} {
				slots, s := share(host.Host{CPUs: cpus, Memory: memory}, jobs)
				name := fmt.Sprintf("%d cpus, %d MB, %d jobs: %d slots, %+v", cpus, memory>>20, jobs, slots, s)
				if slots < 1 || slots > max(1, cpus) || slots > jobs {
					t.Error("slots:", name)
				}
				if memory >= 64*gb && cpus <= 64 && slots*s.Processes < cpus {
					t.Error("idle processors:", name)
				}
				if s.Memory < 350<<20 {
					t.Error("memory of one:", name)
				}
				if total := int64(slots*s.Processes) * s.Memory; memory >= 4*gb && slots > 1 && total > memory {
					t.Error("memory of all:", name)
				}
				if s.GOGC >= 400 && s.Memory < 700<<20 {
					t.Error("collector:", name)
				}
			}
		}
	}
}

// The verdict of a run is never better than its worst part, and what is not
// known is neither good nor bad.
func TestOutcome(t *testing.T) {
	broken := errors.New("compile error")
	for _, c := range []struct {
		name     string
		verdicts []compare.Verdict
		file     compare.Verdict
		failures []error
		want     compare.Verdict
		err      error
	}{
		{"all", []compare.Verdict{compare.Reproduced, compare.Reproduced}, compare.Reproduced, nil, compare.Reproduced, nil},
		{"none", nil, "", nil, compare.Undetermined, nil},
		{"one differs", []compare.Verdict{compare.Reproduced, compare.Differs}, "", nil, compare.Differs, ErrDiffers},
		{"a file differs", []compare.Verdict{compare.Reproduced}, compare.Differs, nil, compare.Differs, ErrDiffers},
		{"one failed", []compare.Verdict{compare.Undetermined, compare.Reproduced}, "", []error{broken}, compare.Undetermined, broken},
		{"one failed, one differs", []compare.Verdict{compare.Undetermined, compare.Differs}, "", []error{broken}, compare.Differs, broken},
		{"no verdict", []compare.Verdict{compare.Reproduced, ""}, "", nil, "", nil},
	} {
		o := &Outcome{Failures: c.failures}
		for _, v := range c.verdicts {
			o.Binaries = append(o.Binaries, record.Binary{Verdict: v})
		}
		if c.file != "" {
			o.Files = []record.File{{Verdict: c.file}}
		}
		if got := o.Verdict(); got != c.want {
			t.Errorf("%s: verdict %q, want %q", c.name, got, c.want)
		}
		err := o.Err()
		if c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if (err == nil) != (c.want == compare.Reproduced) {
			t.Errorf("%s: verdict %q with error %v", c.name, c.want, err)
		}
	}
}
