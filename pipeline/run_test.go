package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/fault"
)

// TestCheckOut: a folder of git is never written to, by whatever path; what only looks
// like one is.
func TestCheckOut(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, ".git", "x"), 0o755), os.Symlink(filepath.Join(dir, ".git"), filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		".git": false, ".git/dist": false, ".git/x/dist": false, "link/dist": false, ".GIT": false,
		"dist": true, ".gitea": true, "x.git": true, "nowhere/dist": true,
	} {
		err := refuseGitFolder(filepath.Join(dir, filepath.FromSlash(name)))
		if (err == nil) != want || err != nil && (fault.KindOf(err) != fault.KindUsage || !strings.HasSuffix(err.Error(), " is in a folder of git")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is there and is not ours is refused without reading all of it.
	for _, name := range []string{"/", dir, "/proc"} {
		if o, err := reserve(t.Context(), name); err == nil || fault.KindOf(err) != fault.KindUsage {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				o.Close()
			}
		}
	}
}
