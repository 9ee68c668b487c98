//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// commands runs twice in a folder of its own.
type commands struct {
	dir string
	env []string
}

func newCommands(t *testing.T) commands {
	t.Helper()
	c := commands{dir: t.TempDir(), env: append(newWorld(t).environ(t.TempDir()), "PATH="+os.Getenv("PATH"))}
	for name, text := range map[string]string{
		"a": "a\n", "b": "b\n",
		"good/release.toml": "project = \"p\"\n[[binary]]\npackage = \".\"\n[matrix]\ninclude = [\"linux/amd64\"]\n",
		"good/go.mod":       "module example.com/p\n\ngo 1.26.8\n",
	} {
		write(t, filepath.Join(c.dir, name), text)
	}
	if code, _, said := c.run(t, nil, "keygen", "--unencrypted"); code != exitOK {
		t.Fatal(said)
	}
	return c
}

// run is over after 20 seconds.
func (c commands) run(t *testing.T, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "twice", append([]string{"-C", c.dir}, args...)...)
	var out, said bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.env, stdin, &out, &said
	code = status(cmd.Run())
	if ctx.Err() != nil {
		t.Errorf("%q hangs", args)
	}
	return code, out.String(), said.String()
}

// TestPipes puts a pipe that nobody writes to in the place of every file that a user
// can name.
func TestPipes(t *testing.T) {
	c := newCommands(t)
	for _, name := range []string{"pipe", "mod/go.mod", "locked/release.lock", "rel/release.toml", "pub/release.json", "pipe.sigstore.json", "beside/a.sigstore.json"} {
		file := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(c.dir, "locked", "release.toml"), "project = \"p\"\n[[binary]]\npackage = \".\"\n[matrix]\ninclude = [\"linux/amd64\"]\n")
	write(t, filepath.Join(c.dir, "beside", "a"), "a\n")
	usage, any := []int{exitUsage}, []int{exitDiffers, exitUsage, exitFailure}
	for _, x := range []struct {
		args string
		want []int
	}{
		{"check --config rel/release.toml", usage},
		{"plan --config pipe", usage},
		{"release --snapshot --config pipe", usage},
		{"lock --config locked/release.toml", any},
		{"-C " + filepath.Join(c.dir, "mod") + " init", usage},
		{"keygen --passphrase-file pipe other", usage},
		{"verify a --key pipe", usage},
		{"verify a --key release.pub --policy pipe", usage},
		{"verify a --key release.pub --bundle pipe", any},
		{"verify a --certificate-identity x --certificate-oidc-issuer y --trusted-root pipe", usage},
		{"verify pipe --key release.pub", any},
		{"verify beside/a --key release.pub", any},
		{"verify pub --key release.pub", any},
		{"publish pub", any},
		{"explain a pipe", any},
		{"inspect pipe", any},
		{"rebuild pipe", any},
		{"rebuild pipe.sigstore.json", any},
		{"rebuild --trust-key pipe a", usage},
	} {
		code, out, said := c.run(t, nil, strings.Fields(x.args)...)
		said += out
		if !slices.Contains(x.want, code) || !strings.Contains(said, "regular file") && !strings.Contains(said, "passphrase is empty") && !strings.Contains(x.args, "rebuild") && !strings.Contains(said, "neither a file nor a folder") {
			t.Errorf("%s: exit status %d, want one of %v\n%s", x.args, code, x.want, said)
		}
	}
	if data, err := os.ReadFile(filepath.Join(c.dir, "other.key")); err == nil {
		t.Errorf("a key without a passphrase: %s", data)
	}
}

// A passphrase may come from a pipe that somebody writes to.
func TestPassphrasePipe(t *testing.T) {
	c := newCommands(t)
	if _, err := os.Stat("/dev/stdin"); err != nil {
		t.Skip(err)
	}
	if code, _, said := c.run(t, strings.NewReader("secret\n"), "keygen", "--passphrase-file", "/dev/stdin", "piped"); code != exitOK {
		t.Fatalf("exit status %d\n%s", code, said)
	}
}

// waiting starts twice where it waits for a passphrase from a pipe that stays open,
// and returns when it does.
func (c commands) waiting(t *testing.T, attr *syscall.SysProcAttr) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	cmd := exec.Command("twice", "-C", c.dir, "keygen", "--passphrase-file", pipe, "waits")
	var said bytes.Buffer
	cmd.Env, cmd.Stderr, cmd.SysProcAttr = c.env, &said, attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	time.Sleep(500 * time.Millisecond)
	return cmd, &said
}

// TestSignals: each of them is an interruption.
func TestSignals(t *testing.T) {
	c := newCommands(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			cmd, said := c.waiting(t, nil)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if got := status(cmd.Wait()); got != exitInterrupted || said.String() != "twice: interrupted\n" {
				t.Errorf("exit status %d\n%s", got, said)
			}
		})
	}
}

// TestSecondSignal: whatever does not end at the first signal ends at the second.
func TestSecondSignal(t *testing.T) {
	if os.Getenv("TEST_HANGS") != "" {
		handleSignals(func() { os.Stdout.WriteString("interrupted\n") })
		os.Stdout.WriteString("ready\n")
		select {}
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSecondSignal$")
		cmd.Env = append(os.Environ(), "TEST_HANGS=yes")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		for _, want := range []string{"ready\n", "interrupted\n"} {
			said := make([]byte, len(want))
			if _, err := io.ReadFull(out, said); err != nil || string(said) != want {
				t.Fatalf("%q, %v", said, err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != sig {
				t.Errorf("%v: %v", sig, cmd.ProcessState)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v: it goes on", sig)
		}
	}
}

// TestJSON: every call with --json has one document on stdout, also if it comes to
// nothing.
func TestJSON(t *testing.T) {
	c := newCommands(t)
	for _, x := range []struct {
		args   string
		want   int
		schema string
	}{
		{"--json", exitOK, "twice.text/v1"},
		{"help --json", exitOK, "twice.text/v1"},
		{"help check --json", exitOK, "twice.text/v1"},
		{"check --help --json", exitOK, "twice.text/v1"},
		{"--version --json", exitOK, "twice.text/v1"},
		{"completion bash --json", exitOK, "twice.text/v1"},
		{"version --json", exitOK, "twice.version/v1"},
		{"version --jsn --json", exitUsage, "twice.error/v1"},
		{"version --json --jsn", exitUsage, "twice.error/v1"},
		{"version --json=maybe", exitUsage, "twice.error/v1"},
		{"chek --json", exitUsage, "twice.error/v1"},
		{"cache nothing --json", exitUsage, "twice.error/v1"},
		{"help nothing --json", exitOK, "twice.text/v1"},
		{"verify --json nowhere --key release.pub", exitUsage, "twice.error/v1"},
		{"rebuild --json /nowhere", exitUsage, "twice.error/v1"},
		{"explain --json a b --html -", exitUsage, "twice.error/v1"},
		{"-C nowhere version --json", exitUsage, "twice.error/v1"},
	} {
		code, out, said := c.run(t, nil, strings.Fields(x.args)...)
		var doc struct{ Schema string }
		if err := json.Unmarshal([]byte(out), &doc); err != nil || code != x.want || doc.Schema != x.schema {
			t.Errorf("%s: exit status %d, want %d; schema %q, want %q: %v\n%.200s\n%s", x.args, code, x.want, doc.Schema, x.schema, err, out, said)
		}
	}
	if code, out, _ := c.run(t, nil, "schema", "release.toml", "--json"); code != exitOK || !json.Valid([]byte(out)) {
		t.Errorf("schema: exit status %d\n%.200s", code, out)
	}
	for _, name := range []string{"", "x/", ".key"} {
		if code, _, said := c.run(t, nil, "keygen", "--unencrypted", name); code != exitUsage || !strings.Contains(said, "has no name") {
			t.Errorf("keygen %q: exit status %d\n%s", name, code, said)
		}
	}
}
