package output

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/fault"
)

// refuses fails unless Open refuses dir at once with a word, a remedy, and without a
// trace.
func refuses(t *testing.T, dir, word string) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		o, err := Open(t.Context(), dir, ours)
		if err == nil {
			err = errors.Join(errors.New("it was opened"), o.Close())
		}
		done <- err
	}()
	select {
	case err := <-done:
		if !strings.Contains(err.Error(), word) || fault.KindOf(err) != fault.KindUsage || fault.RemedyOf(err) == "" {
			t.Errorf("%v, want %s", err, word)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it hangs")
	}
}

// TestAnotherUsers: what another user has left, or laid out, is not taken over: whoever
// owns the folder could change what becomes dist.
func TestAnotherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir := filepath.Join(t.TempDir(), "dist")
	base := Staging(dir)
	mark := must((&Output{dir: dir}).markerText())
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o1777), os.Mkdir(base, 0o755), os.WriteFile(filepath.Join(base, markerName), []byte(mark), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o777, 0o755, 0o700} {
		if err := errors.Join(os.Chmod(base, mode), os.Chown(base, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
		before := treeOf(t, filepath.Dir(dir))
		refuses(t, dir, base+" belongs to another user")
		if got := treeOf(t, filepath.Dir(dir)); !maps.Equal(got, before) {
			t.Errorf("%v", got)
		}
	}
	// The same folder of one's own is taken over.
	if err := os.Chown(base, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, "new"); err != nil || exists(base) {
		t.Error(err)
	}
}

// TestHostileMarkers: a marker may be anything, and nothing is waited for.
func TestHostileMarkers(t *testing.T) {
	for name, make := range map[string]func(file string) error{
		"pipe":   func(file string) error { return syscall.Mkfifo(file, 0o644) },
		"folder": func(file string) error { return os.Mkdir(file, 0o755) },
		"link":   func(file string) error { return os.Symlink("/dev/zero", file) },
		"huge":   func(file string) error { return errors.Join(os.WriteFile(file, nil, 0o644), os.Truncate(file, 1<<40)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dist")
			file := filepath.Join(Staging(dir), markerName)
			if err := errors.Join(os.Mkdir(Staging(dir), 0o755), make(file)); err != nil {
				t.Fatal(err)
			}
			refuses(t, dir, "its marker is not the one for this folder")
			if !exists(file) || exists(dir) {
				t.Error("something has changed")
			}
		})
	}
}

// TestMounted: a mount point is told before anything is built, and a folder below it,
// on another disk than the workspace, is as good as any.
func TestMounted(t *testing.T) {
	if os.Getenv("OUTPUT_MOUNT") == "" {
		cmd := exec.Command("unshare", "-Urm", os.Args[0], "-test.run=^TestMounted$", "-test.v")
		cmd.Env = append(os.Environ(), "OUTPUT_MOUNT="+t.TempDir())
		out, err := cmd.CombinedOutput()
		switch {
		case strings.Contains(string(out), "unshare failed") || errors.Is(err, exec.ErrNotFound) || strings.Contains(string(out), "--- SKIP"):
			t.Skipf("cannot mount: %v\n%s", err, out)
		case err != nil || !strings.Contains(string(out), "--- PASS: TestMounted"):
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	dir := os.Getenv("OUTPUT_MOUNT")
	for _, name := range []string{"dist", "dist2.rejected", "dist3.staging", "same"} {
		at := filepath.Join(dir, name)
		source, flags := "tmpfs", uintptr(0)
		if name == "same" { // on the same file system
			source, flags = t.TempDir(), syscall.MS_BIND
		}
		if err := errors.Join(os.Mkdir(at, 0o755), syscall.Mount(source, at, "tmpfs", flags, "")); err != nil {
			t.Skip(err)
		}
	}
	for _, name := range []string{"dist", "dist2", "dist3", "same"} {
		refuses(t, filepath.Join(dir, name), "is a mount point")
	}
	if got := must(os.ReadDir(dir)); len(got) != 4 {
		t.Errorf("written beside: %v", got)
	}
	if err := write(filepath.Join(dir, "dist", "below"), "new"); err != nil {
		t.Error(err)
	}
}
