package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/subject"
)

// TestSubjectNPM has the real npm client fetch a package that everybody can
// fetch, with the user's settings of npm.
func TestSubjectNPM(t *testing.T) {
	large(t)
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("needs npm")
	}
	if npm, err = filepath.Abs(npm); err != nil {
		t.Fatal(err)
	}
	cfg := subject.Config{Dir: t.TempDir(), NPM: subject.NPM{Path: npm, Env: os.Environ()}}
	s, err := subject.Open(t.Context(), "npm:@esbuild/linux-x64@0.25.0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Executables) != 1 || len(s.Skipped) != 0 {
		t.Fatalf("found %d executables, and %d files were skipped", len(s.Executables), len(s.Skipped))
	}
	e := s.Executables[0]
	if got := e.String(); got != "npm:@esbuild/linux-x64@0.25.0  bin/esbuild" {
		t.Error(got)
	}
	// The digest is that of the file which a build by hand gave, too.
	if !strings.HasPrefix(e.Digest.Hex(), "98f635ee88526a7d") || !e.Go || !strings.HasPrefix(e.Containers[0].Integrity, "sha512-") {
		t.Errorf("%+v", e)
	}
	f, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := artifact.NewHasher(io.Discard)
	if _, err := io.Copy(h, f); err != nil || h.Digest() != e.Digest || h.Size() != e.Size {
		t.Errorf("%s with %d bytes, %v", h.Digest(), h.Size(), err)
	}

	// A version that there is not.
	if s, err := subject.Open(t.Context(), "npm:@esbuild/linux-x64@0.25.99", cfg); err == nil {
		s.Close()
		t.Error("a version that was never published was opened")
	} else if !strings.Contains(err.Error(), "npm pack: ") {
		t.Error(err)
	}
}
