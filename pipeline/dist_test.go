package pipeline

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/archive"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// TestStoredBytesChanged: what was compared is what is shipped, or nothing is.
func TestStoredBytesChanged(t *testing.T) {
	dir := t.TempDir()
	o := &Outcome{run: &Run{local: &pass.Local{Store: artifact.NewStore(dir)}}}
	d, size, err := o.run.local.Store.Put(strings.NewReader("what was compared"))
	if err != nil {
		t.Fatal(err)
	}
	a := artifact.Artifact{Name: "tool", Digest: d, Size: size, Executable: true}
	p := PlannedArchive{matrix.Target{OS: "linux", Arch: "amd64"}, matrix.ArchivePlan{}}
	copyOut := func(name string) error { return o.copyOut(a, filepath.Join(t.TempDir(), "bin", name)) }
	pack := func(f archive.Format) error {
		return archive.Write(io.Discard, f, time.Unix(1e9, 0), o.members(p, []record.Binary{{Name: "tool", A: d, Size: size}}))
	}
	if err := copyOut("good"); err != nil {
		t.Error(err)
	}
	formats := []archive.Format{archive.TarGzip, archive.TarZstd, archive.Zip}
	for _, f := range formats {
		if err := pack(f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	// Of equal length, so that no count of bytes gives it away.
	if err := os.WriteFile(filepath.Join(dir, d.Hex()), []byte("what was modified"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := copyOut("bad"); err == nil || !strings.Contains(err.Error(), "changed in the workspace") {
		t.Errorf("copied: %v", err)
	}
	for _, f := range formats {
		if err := pack(f); err == nil || !strings.Contains(err.Error(), "changed in the workspace") {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestNoVerdict: an outcome without anything in it is no success.
func TestNoVerdict(t *testing.T) {
	if o := (&Outcome{}); o.Verdict().Pass() || o.Err() == nil {
		t.Errorf("%s, %v", o.Verdict(), o.Err())
	}
}
