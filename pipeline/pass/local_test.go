package pass

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// hookProgram is the first argument of this binary where a hook runs it.
const hookProgram = "hook-program"

// Confined children are this binary, and so are some hooks.
func TestMain(m *testing.M) {
	Main()
	if len(os.Args) > 2 && os.Args[1] == hookProgram {
		os.Exit(runHook(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// write makes files below dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// newLocal returns an executor whose toolchain is a folder with one file. Everything
// except compiling can be tested with it.
func newLocal(t *testing.T, c Confinement, source map[string]string, hooks ...[]string) *Local {
	t.Helper()
	goroot := t.TempDir()
	write(t, goroot, map[string]string{"bin/marker": "go"})
	return &Local{
		Dir: t.TempDir(), Store: artifact.NewStore(t.TempDir()),
		Checkout: func(_ context.Context, dest string, _ bool) error {
			write(t, dest, source)
			return nil
		},
		ModuleDir: ".", ConfigDir: ".", GOROOT: goroot, ModCache: t.TempDir(), Hooks: hooks,
		Path: []string{"/usr/local/bin", "/usr/bin", "/bin"}, Confinement: c, Now: time.Now, Log: io.Discard,
	}
}

// Without namespaces pass B gets a copy of the toolchain, since another path
// means another place.
func TestUnconfined(t *testing.T) {
	l := newLocal(t, Confinement{}, map[string]string{"a": "1"})
	for _, pass := range []Pass{A, B} {
		s, err := l.Open(t.Context(), pass)
		if err != nil {
			t.Fatal(err)
		}
		w := s.Witness()
		if same := w[gorootPath] == l.GOROOT; same != (pass == A) {
			t.Errorf("pass %s: GOROOT %s", pass, w[gorootPath])
		}
		if data, err := os.ReadFile(filepath.Join(w[gorootPath], "bin", "marker")); err != nil || string(data) != "go" {
			t.Errorf("pass %s: %q, %v", pass, data, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
			t.Errorf("pass %s has left %v", pass, left)
		}
	}
	if _, err := os.Stat(filepath.Join(l.GOROOT, "bin", "marker")); err != nil {
		t.Error(err)
	}
}

// A workspace that cannot be set up is removed, read-only folders and all.
func TestOpenFails(t *testing.T) {
	l := newLocal(t, Confinement{}, nil)
	l.Checkout = func(_ context.Context, dest string, _ bool) error {
		write(t, dest, map[string]string{"d/f": "x"})
		if err := os.Chmod(filepath.Join(dest, "d"), 0o555); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	}
	if _, err := l.Open(t.Context(), A); err == nil || !strings.Contains(err.Error(), "lay out the source of pass A: unexpected EOF") {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
