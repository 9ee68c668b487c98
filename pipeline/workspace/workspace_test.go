package workspace

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A workspace whose run lives is left alone, the others are removed.
func TestWorkspace(t *testing.T) {
	base := filepath.Join(t.TempDir(), "work")
	first, err := New(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	if dir, err := first.Sub("x/y"); err != nil {
		t.Fatal(err)
	} else if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	second, err := New(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first.Dir); err != nil {
		t.Errorf("a live workspace: %v", err)
	}
	// As a killed process leaves it: unlocked, and there.
	if err := first.lock.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := New(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dead workspace: %v", err)
	}
	for _, w := range []*Workspace{second, third} {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
