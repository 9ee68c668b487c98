//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/record"
)

// project is a repository with a release file, an older dist, and a cache of
// its own, in which a run can be disturbed.
type project struct {
	dir, cache string
	// mark is in the environment of every process of a pass.
	mark string
	env  []string
	dist map[string]string
}

func newProject(t *testing.T) *project {
	t.Helper()
	w := newWorld(t)
	home := t.TempDir()
	p := &project{dir: t.TempDir(), cache: filepath.Join(w.cache, "twice"), env: append(os.Environ(), w.environ(home)...)}
	p.mark = "MARK_OF_TEST=" + filepath.Base(filepath.Dir(home)) + filepath.Base(home)
	for name, text := range map[string]string{
		"go.mod":  "module example.com/p\n\ngo 1.26.8\n",
		"main.go": "package main\n\nfunc main() { println(\"p\") }\n",
		"release.toml": "project = \"p\"\n[[binary]]\npackage = \".\"\n[matrix]\ninclude = [\"linux/amd64\"]\n" +
			"[[override]]\ntarget = \"*/*\"\nenv = { " + strings.Replace(p.mark, "=", " = \"", 1) + "\" }\n",
	} {
		file := filepath.Join(p.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "go.mod", "main.go", "release.toml"}, {"commit", "-q", "-m", "one"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = p.dir, p.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	err := writeOldDist(filepath.Join(p.dir, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	if p.dist, err = readTree(filepath.Join(p.dir, "dist")); err != nil {
		t.Fatal(err)
	}
	// What is left running must not disturb other tests.
	t.Cleanup(func() { p.kill("") })
	return p
}

// twice is a command in p that is not started yet.
func (p *project) twice(args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command("twice", append([]string{"-C", p.dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = p.env, &stderr
	return cmd, &stderr
}

// children are the processes of passes whose command line contains part.
func (p *project) children(part string) []int {
	var pids []int
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(env, []byte(p.mark+"\x00")) {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err != nil || !bytes.Contains(line, []byte(part)) {
			continue
		}
		pid := 0
		for _, c := range filepath.Base(filepath.Dir(file)) {
			pid = 10*pid + int(c-'0')
		}
		pids = append(pids, pid)
	}
	return pids
}

func (p *project) kill(part string) {
	for _, pid := range p.children(part) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// compiling waits until a compiler runs.
func (p *project) compiling(t *testing.T, stderr *bytes.Buffer) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if len(p.children("/compile\x00")) > 0 {
			return
		}
	}
	t.Fatalf("no compiler was started\n%s", stderr)
}

// alone fails if a process of a pass is still there after a second.
func (p *project) alone(t *testing.T) {
	t.Helper()
	end := time.Now().Add(time.Second)
	for len(p.children("")) > 0 {
		if time.Now().After(end) {
			t.Fatalf("still there: %v", p.children(""))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// untouched fails if the older dist has changed, or something is left.
func (p *project) untouched(t *testing.T) {
	t.Helper()
	now, err := readTree(filepath.Join(p.dir, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(now, p.dist) {
		t.Errorf("dist has changed: %q", slices.Sorted(maps.Keys(now)))
	}
	p.tidy(t)
}

// tidy fails if an unfinished run has left something.
func (p *project) tidy(t *testing.T) {
	t.Helper()
	for _, name := range []string{"dist.staging", "dist.old"} {
		if _, err := os.Lstat(filepath.Join(p.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left", name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(p.cache, "work", "run-*")); len(left) > 0 {
		t.Errorf("workspaces are left: %v", left)
	}
}

// TestInterruptedTrials ends a run while it looks for the variation that matters.
func TestInterruptedTrials(t *testing.T) {
	p := newProject(t)
	file := filepath.Join(p.dir, "release.toml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("build.trimpath = false\n"), data...), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd, stderr := p.twice("release", "--snapshot")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if made, _ := filepath.Glob(filepath.Join(p.cache, "work", "run-*", "trials", "*")); len(made) > 0 && len(p.children("")) > 0 {
			break
		}
		if time.Now().After(end) {
			p.kill("")
			t.Fatalf("there was no trial: %v\n%s", cmd.Wait(), stderr)
		}
	}
	start := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	got := status(cmd.Wait())
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("stopped after %v", d)
	}
	if got != exitInterrupted || !strings.Contains(stderr.String(), "repeating what differs") || !strings.HasSuffix(stderr.String(), "twice: interrupted\n") {
		t.Errorf("exit status %d\n%s", got, stderr)
	}
	p.alone(t)
	p.untouched(t)
}

func TestInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			p := newProject(t)
			cmd, stderr := p.twice("release", "--snapshot")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			p.compiling(t, stderr)

			// Meanwhile another run is told so at once, and changes nothing.
			// They have nothing in common but the place that they write to.
			second, said := p.twice("release", "--snapshot", "--cache", t.TempDir())
			start := time.Now()
			if got := status(second.Run()); got != exitFailure || !strings.Contains(said.String(), fmt.Sprintf("another run of twice (process %d) is writing %s", cmd.Process.Pid, filepath.Join(p.dir, "dist"))) {
				t.Errorf("the second run: exit status %d\n%s", got, said)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("the second run was told after %v", d)
			}
			p.compiling(t, stderr)

			start = time.Now()
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			got := status(cmd.Wait())
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("stopped after %v", d)
			}
			if got != exitInterrupted || !strings.HasSuffix(stderr.String(), "twice: interrupted\n") {
				t.Errorf("exit status %d\n%s", got, stderr)
			}
			p.alone(t)
			p.untouched(t)
		})
	}
}

// A run that is killed leaves no process behind, and what it leaves on disk the
// next run removes.
func TestKilled(t *testing.T) {
	p := newProject(t)
	cmd, stderr := p.twice("release", "--snapshot")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.compiling(t, stderr)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	p.alone(t)
	if left, _ := filepath.Glob(filepath.Join(p.cache, "work", "run-*")); len(left) != 1 {
		t.Errorf("a killed run has left %d workspaces, and the test expects one", len(left))
	}
	now, err := readTree(filepath.Join(p.dir, "dist"))
	if err != nil || !maps.Equal(now, p.dist) {
		t.Errorf("dist has changed: %q, %v", slices.Sorted(maps.Keys(now)), err)
	}

	next, stderr := p.twice("release", "--snapshot")
	if err := next.Run(); err != nil {
		t.Fatalf("the next run: %v\n%s", err, stderr)
	}
	p.tidy(t)
	if _, err := os.Stat(filepath.Join(p.dir, "dist", "SHA256SUMS")); err != nil {
		t.Error(err)
	}
}

// The compiler may be killed, by a system that is short of memory.
func TestCompilerKilled(t *testing.T) {
	p := newProject(t)
	cmd, stderr := p.twice("release", "--snapshot")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.compiling(t, stderr)
	p.kill("/compile\x00")
	if got := status(cmd.Wait()); got != exitFailure || !strings.Contains(stderr.String(), "compile: signal: killed") {
		t.Errorf("exit status %d\n%s", got, stderr)
	}
	p.alone(t)
	p.untouched(t)
}

// full runs twice where dir is a file system of the given size, and then a script, whose
// $0 is dir, and "$@" the same run.
func (p *project) full(t *testing.T, dir, size, before, after string, args ...string) (int, string) {
	t.Helper()
	cmd, stderr := p.twice(args...)
	script := `mount -t tmpfs -o size=` + size + ` tmpfs "$0" || exit 99; ` + before + `
		"$@"; status=$?; ls -A "$0" >&2; ` + after + `
		exit $status`
	cmd.Args = append([]string{"unshare", "-Urm", "sh", "-c", script, dir}, cmd.Args...)
	var err error
	if cmd.Path, err = exec.LookPath("unshare"); err != nil {
		t.Skip("no unshare")
	}
	got := status(cmd.Run())
	if got == 99 || strings.Contains(stderr.String(), "unshare failed") {
		t.Skipf("cannot mount: %s", stderr)
	}
	return got, stderr.String()
}

func TestDiskFull(t *testing.T) {
	t.Run("workspace", func(t *testing.T) {
		p := newProject(t)
		work := filepath.Join(p.cache, "work")
		if err := os.MkdirAll(work, 0o755); err != nil {
			t.Fatal(err)
		}
		got, said := p.full(t, work, "5m", "", "", "release", "--snapshot")
		if got != exitFailure || !strings.Contains(said, "no space left on device") || !strings.HasSuffix(said, "\nlock\n") {
			t.Errorf("exit status %d\n%s", got, said)
		}
		p.untouched(t)
	})
	t.Run("dist", func(t *testing.T) {
		p := newProject(t)
		out := t.TempDir()
		got, said := p.full(t, out, "200k", "", "", "release", "--snapshot", "--out", filepath.Join(out, "dist"))
		// Nothing is in out, so nothing is listed after the message.
		if got != exitFailure || !strings.HasSuffix(said, ": no space left on device\n") || !strings.Contains(said, filepath.Join(out, "dist.staging")) {
			t.Errorf("exit status %d\n%s", got, said)
		}
		if n := strings.Count(said, "twice: "); n != 1 {
			t.Errorf("%d errors, want one\n%s", n, said)
		}
		p.untouched(t)
	})
	// The old dist is on the full disk, too. It stays, and with more room the next run
	// replaces it and leaves nothing.
	t.Run("old dist", func(t *testing.T) {
		p := newProject(t)
		out := t.TempDir()
		old := filepath.Join(p.dir, "dist")
		got, said := p.full(t, out, "200k", `cp -r '`+old+`' "$0/dist" || exit 98`,
			`diff -r '`+old+`' "$0/dist" >&2 || exit 97; mount -o remount,size=64m "$0" || exit 99; "$@" 2>/dev/null || exit 96; ls -A "$0" "$0/dist" >&2`,
			"release", "--snapshot", "--out", filepath.Join(out, "dist"))
		_, after, _ := strings.Cut(said, ": no space left on device\ndist\n")
		if got != exitFailure || !strings.HasPrefix(after, out+":\ndist\n\n") || !strings.Contains(after, "SHA256SUMS") || strings.Contains(after, "old.tar.gz") {
			t.Errorf("exit status %d\n%s", got, said)
		}
	})
}

// On a host that offers no namespaces, Landlock confines the writes, the passes
// still agree, and the record says what was not done.
func TestWithoutNamespaces(t *testing.T) {
	p := newProject(t)
	cmd, stderr := p.twice("release", "--snapshot")
	// In a user namespace of its own, where no others can be made.
	cmd.Args = append([]string{"unshare", "-Ur", "sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces || exit 99; exec "$@"`, "sh"}, cmd.Args...)
	var err error
	if cmd.Path, err = exec.LookPath("unshare"); err != nil {
		t.Skip("no unshare")
	}
	got := status(cmd.Run())
	if got == 99 || strings.Contains(stderr.String(), "unshare failed") {
		t.Skipf("no namespace to forbid namespaces in: %s", stderr)
	}
	if got != exitOK || !strings.Contains(stderr.String(), "not confined: namespaces: ") {
		t.Fatalf("exit status %d\n%s", got, stderr)
	}
	data, err := os.ReadFile(filepath.Join(p.dir, "dist", "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := record.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Verdict != compare.Reproduced || rec.Varying.Confinement.Namespaces {
		t.Errorf("%s, %+v", rec.Verdict, rec.Varying.Confinement)
	}
	varied := map[string]bool{}
	for _, v := range rec.Varying.Variations {
		varied[string(v.Name)] = v.Varied
	}
	for name, want := range map[string]bool{"source path": true, "GOROOT path": true, "umask": true, "time zone": true, "host name": false, "user": false} {
		if varied[name] != want {
			t.Errorf("varied: %s: %v, want %v", name, varied[name], want)
		}
	}
	p.tidy(t)
}
