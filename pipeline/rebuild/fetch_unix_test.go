//go:build unix

package rebuild

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/module"
)

// TestFolderWithPipe: in a clone that --source names, go.mod is what a stranger made of it. A commit can
// have it as a symbolic link to /proc/self/fd/1, which is a pipe where the output goes to one. Whoever
// reads that waits for ever, and neither --timeout nor a signal ends it.
func TestFolderWithPipe(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "go.mod")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- (&claim{main: module.Version{Path: "mytool"}}).checkModule(dir) }()

	select {
	case err := <-done:
		if err == nil {
			t.Error("a pipe is taken for a go.mod")
		}
	case <-time.After(3 * time.Second):
		t.Error("it waits for a pipe")
		if f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil { // let it end
			f.Close()
		}
		<-done
	}
}
