//go:build unix

package fsx

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNoWaiting: nobody writes to the pipe, and nobody has to.
func TestNoWaiting(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	done := make(chan error, 2)
	go func() {
		_, _, err := OpenRegular(root, "pipe", 1<<20)
		done <- err
		// Somebody exchanged it after the look.
		f, err := root.OpenFile("pipe", nonblock, 0)
		if err == nil {
			f.Close()
		}
		done <- err
	}()
	for i, want := range []string{"no regular file", ""} {
		select {
		case err := <-done:
			if want != "" && (err == nil || !strings.Contains(err.Error(), want)) || want == "" && err != nil {
				t.Errorf("%d: %v", i, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it waits for a writer")
		}
	}
}
