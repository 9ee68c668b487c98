package gocmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func hostGo(t *testing.T) Go {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	return Go{Path: path, Env: []string{"HOME=" + home, "GOENV=off", "GOTOOLCHAIN=local"}}
}

func TestRun(t *testing.T) {
	g := hostGo(t)
	out, err := g.With("GOFLAGS=-mod=mod").With("GOFLAGS=-mod=vendor").Run(t.Context(), t.TempDir(), "env", "GOFLAGS")
	if got := strings.TrimSpace(string(out)); err != nil || got != "-mod=vendor" {
		t.Errorf("got %q, %v; want the last GOFLAGS", got, err)
	}

	_, err = g.Run(t.Context(), t.TempDir(), "mod", "download", "nosuch")
	if e := (*Error)(nil); !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "go mod download: ") || !strings.Contains(e.Stderr, "go.mod") {
		t.Errorf("failing command: %v", err)
	}
	if _, err := (Go{Path: "go"}).Run(t.Context(), t.TempDir(), "env"); err == nil {
		t.Error("a relative path was accepted")
	}
}

// A go command of ours leaves nothing in its user's home folder, nor in the
// folder where it runs, whatever the user's settings ask for.
func TestLeavesNothing(t *testing.T) {
	g, dir := hostGo(t), t.TempDir()
	home := strings.TrimPrefix(g.Env[0], "HOME=")
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/x\n\ngo 1.26.8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte("package x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	g = g.With("GOCACHE="+t.TempDir(), "GOPROXY=off", "AppData="+home, "LocalAppData="+home, "USERPROFILE="+home)
	goroot, err := g.Run(t.Context(), dir, "env", "GOROOT")
	if err != nil {
		t.Fatal(err)
	}
	before := installed(t, strings.TrimSpace(string(goroot)))
	for _, args := range [][]string{{"env", "GOVERSION"}, {"list", "./..."}, {"list", "-m"}, {"tool", "dist", "list"}, {"nosuch"}} {
		if _, err := g.Run(t.Context(), dir, args...); err != nil && args[0] != "nosuch" {
			t.Fatal(err)
		}
	}
	for folder, want := range map[string]int{home: 0, dir: 2} {
		if list, err := os.ReadDir(folder); err != nil || len(list) != want {
			t.Errorf("%v, %v", list, err)
		}
	}
	if after := installed(t, strings.TrimSpace(string(goroot))); after != before {
		t.Errorf("the installation has changed:\n%s\n%s", before, after)
	}
}

// installed is what can be seen of an installation where a go command could write.
func installed(t *testing.T, goroot string) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range []string{".", "bin", "pkg"} {
		err := filepath.WalkDir(filepath.Join(goroot, dir), func(name string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			fmt.Fprintln(&b, name, info.Size(), info.ModTime())
			if dir == "." && e.IsDir() && name != goroot {
				return filepath.SkipDir
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// A child that holds the output open must not outlive the context.
func TestCancelKillsChildren(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process groups")
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = (Go{Path: sh, Env: []string{"PATH=" + filepath.Dir(sleep)}}).Run(ctx, dir, "-c", "(sleep 3; echo late >late) & wait")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("returned after %v", d)
	}
	time.Sleep(3*time.Second + 300*time.Millisecond - time.Since(start))
	if m, _ := filepath.Glob(filepath.Join(dir, "late")); m != nil {
		t.Error("the child went on")
	}
}

func TestOutputBounds(t *testing.T) {
	// io.Copy is what os/exec does.
	l := limitedBuffer{max: 4}
	if _, err := io.Copy(&l, strings.NewReader("12345")); err == nil {
		t.Error("no error beyond the limit")
	}
	l = limitedBuffer{max: 4, cut: true}
	if n, err := io.Copy(&l, strings.NewReader("12345")); n != 5 || err != nil || l.buf.String() != "1234" {
		t.Errorf("cut: %d %v %q", n, err, l.buf.String())
	}
}
