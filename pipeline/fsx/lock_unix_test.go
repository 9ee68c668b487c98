//go:build unix

package fsx

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// TestLock: whoever has to wait is told once, and for whom, and hears the context.
func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(t.Context(), name, func(int) { t.Error("nobody has it") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	told, who := 0, 0
	if _, err := Lock(ctx, name, func(pid int) { told++; who = pid }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	// Where this process is in a PID namespace of its own, it is known by another number.
	if told != 1 || runtime.GOOS == "linux" && who != os.Getpid() && who != 0 {
		t.Errorf("told %d times, for process %d", told, who)
	}
	time.AfterFunc(100*time.Millisecond, func() { first.Close() })
	second, err := Lock(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// TestLockOfAnother: what is no file in the place of a lock ends in an error, or is one,
// and is never waited for.
func TestLockOfAnother(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(syscall.Mkfifo(at("pipe"), 0o644), os.Mkdir(at("folder"), 0o755), os.Symlink(at("elsewhere"), at("link")), os.Symlink(at("pipe"), at("piped")))
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"pipe": true, "folder": false, "link": false, "piped": false, "none/lock": false} {
		done := make(chan error, 1)
		go func() {
			l, err := Lock(t.Context(), at(name), nil)
			if err == nil {
				err = l.Close()
			}
			done <- err
		}()
		select {
		case err := <-done:
			if (err == nil) != ok {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it is waited for", name)
		}
	}
	if _, err := os.Lstat(at("elsewhere")); err == nil {
		t.Error("a link was followed")
	}
}
