package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/report"
)

// Whatever the machine, something runs, compilers get enough memory to work
// with, and together no more than there is (where there is enough for one job).
func TestShare(t *testing.T) {
	const gb = 1 << 30
	for _, cpus := range []int{0, 1, 2, 3, 8, 64, 256} {
		for _, memory := range []int64{0, gb / 2, gb, 2 * gb, 4 * gb, 16 * gb, 64 * gb, 1024 * gb} {
			for _, jobs := range []int{1, 2, 12, 90} {
				p := &Plan{cfg: Config{Host: report.Host{CPUs: cpus}, Memory: memory}}
				slots, s := p.share(jobs)
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
			o.Binaries = append(o.Binaries, report.Binary{Verdict: v})
		}
		if c.file != "" {
			o.Files = []report.File{{Verdict: c.file}}
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

// Only folders that are provably ours are removed or replaced.
func TestReplace(t *testing.T) {
	record := `{` + "\n" + `  "schema": "twice.release/v1"` + "\n}\n"
	make := func(t *testing.T, dir string, files map[string]string) {
		for name, text := range files {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		ours  bool
	}{
		{"unfinished", map[string]string{marker: "", "x": "y"}, true},
		{"a release", map[string]string{RecordName: record, "x": "y"}, true},
		{"another's record", map[string]string{RecordName: `{"schema": "other/v1"}`}, false},
		{"an empty record", map[string]string{RecordName: ""}, false},
		{"somebody's files", map[string]string{"x": "y"}, false},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		make(t, dir, c.files)
		err := discard(dir)
		_, left := os.Stat(dir)
		if (err == nil) != c.ours || errors.Is(left, fs.ErrNotExist) != c.ours {
			t.Errorf("discard %s: %v, %v", c.name, err, left)
		}
	}

	for _, old := range []map[string]string{nil, {RecordName: record, "old": "x"}} {
		out := filepath.Join(t.TempDir(), "dist")
		make(t, out, old)
		make(t, stagingDir(out), map[string]string{marker: "", RecordName: record, "new": "x"})
		if err := replace(out, stagingDir(out)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(out, "new")); err != nil {
			t.Error(err)
		}
		for _, gone := range []string{filepath.Join(out, "old"), filepath.Join(out, marker), stagingDir(out), oldDir(out)} {
			if _, err := os.Lstat(gone); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left", gone)
			}
		}
	}

	// A run that was killed between two renames left its dist beside.
	out := filepath.Join(t.TempDir(), "dist")
	make(t, oldDir(out), map[string]string{RecordName: record})
	if err := checkOut(out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, RecordName)); err != nil {
		t.Error(err)
	}
}

// Of two runs that write to one place the second is told so.
func TestLockOut(t *testing.T) {
	cache := t.TempDir()
	lock, err := lockOut(cache, "/x/dist")
	if err != nil {
		t.Fatal(err)
	}
	if l, err := lockOut(cache, "/x/dist"); err == nil {
		l.Close()
		t.Error("two runs write one folder")
	}
	if l, err := lockOut(cache, "/y/dist"); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	lock.Close()
}
