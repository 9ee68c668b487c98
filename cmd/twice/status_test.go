package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/registry"
)

// TestStatus makes failures of every kind, for real where that takes no build. A
// hint is no reason for a status: some of each kind have one.
func TestStatus(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"good/release.toml":    "project = \"p\"\n[[binary]]\npackage = \".\"\n[matrix]\ninclude = [\"linux/amd64\"]\n",
		"unknown/release.toml": "project = \"p\"\nunknown = 1\n",
		"empty/x":              "",
		"a":                    "a\n",
		"b":                    "b\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	proxy, mods := changedModule(t)
	base := append(newWorld(t).environ(home), "PATH="+os.Getenv("PATH"), "GOFLAGS=-modcacherw")
	run := func(env []string, args ...string) (int, string) {
		cmd := exec.Command("twice", append([]string{"-C", dir}, args...)...)
		var said bytes.Buffer
		cmd.Env, cmd.Stderr = append(base[:len(base):len(base)], env...), &said
		if len(args) > 0 && args[0] == "version" {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skip(err)
			}
			defer full.Close()
			cmd.Stdout = full
		}
		return status(cmd.Run()), said.String()
	}
	if code, said := run(nil, "keygen", "--unencrypted"); code != exitOK {
		t.Fatal(said)
	}
	for _, c := range []struct {
		name string
		env  []string
		args string
		want int
		said string // in the message
		hint bool
	}{
		{"a misspelled verb", nil, "chek", exitUsage, "unknown command", false},
		{"an unknown key", nil, "check --config unknown/release.toml", exitUsage, "unknown key", true},
		{"no release file", nil, "check --config empty/release.toml", exitUsage, "no such file", true},
		{"a missing file", nil, "verify nowhere --key release.pub", exitUsage, "no such file", false},
		{"a missing key", nil, "verify a --key nowhere.pub", exitUsage, "no such file", true},
		{"no key", nil, "verify a --key a", exitUsage, "not in PEM", false},
		{"no tag", nil, "plan --module example.com/tool --config good/release.toml", exitUsage, "no version", true},
		{"the network is down", []string{"GOPROXY=http://127.0.0.1:1", "GONOSUMDB=*"}, "plan --module example.com/tool@v1.2.3 --config good/release.toml", exitFailure, "refused", false},
		{"a zip with a wrong sum", []string{"GOPROXY=" + proxy, "GONOSUMDB=*", "GOMODCACHE=" + mods}, "plan --module example.com/tool@v1.2.3 --config good/release.toml", exitFailure, "has sum h1:", true},
		{"a full disk", nil, "version", exitFailure, "no space left", false},
		{"a difference", nil, "explain a b", exitDiffers, "differ", false},
		{"no signature", nil, "verify a --key release.pub", exitDiffers, "refused", false},
	} {
		if runtime.GOOS != "linux" && (c.args == "version" || proxy == "") {
			continue
		}
		code, said := run(c.env, strings.Fields(c.args)...)
		if code != c.want || !strings.Contains(said, c.said) || strings.Contains(said, "hint: ") != c.hint {
			t.Errorf("%s: exit status %d, want %d; want %q, hint %v\n%s", c.name, code, c.want, c.said, c.hint, said)
		}
	}

	failed := &pass.CommandError{What: "go build", Output: "# p\n./p.go:3:9: undefined: x\n", Err: errors.New("exit status 1")}
	for _, c := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("linux/amd64: %w", failed), exitFailure},
		{errors.Join(pipeline.ErrDiffers, failed), exitDiffers},
		{errors.Join(fault.Usage(errors.New("x")), errors.New("close")), exitUsage},
		{fmt.Errorf("publish: %w", &registry.TagExistsError{}), exitDiffers},
		{fmt.Errorf("1 file: %w", errUndetermined), exitFailure},
		{fmt.Errorf("1 file: %w", errRebuildDiffers), exitDiffers},
		{fmt.Errorf("a and b %w", errDiffer), exitDiffers},
		{nil, exitOK},
		{fmt.Errorf("x: %w", errInterrupted), exitInterrupted},
	} {
		var said bytes.Buffer
		if got := (&app{stderr: &said}).report(c.err); got != c.want {
			t.Errorf("%v: exit status %d, want %d", c.err, got, c.want)
		}
	}
}

func status(err error) int {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// changedModule returns a proxy that has example.com/tool@v1.2.3, and a module
// cache in which somebody has put another zip of it.
func changedModule(t *testing.T) (proxy, mods string) {
	t.Helper()
	dir := t.TempDir()
	mods = filepath.Join(dir, "mods")
	m := module.Version{Path: "example.com/tool", Version: "v1.2.3"}
	base := filepath.Join(dir, "proxy", "example.com", "tool", "@v")
	const gomod = "module example.com/tool\n\ngo 1.26.8\n"
	zipped := func(text string) string {
		src := t.TempDir()
		write(t, filepath.Join(src, "go.mod"), gomod)
		write(t, filepath.Join(src, "main.go"), text)
		var b strings.Builder
		if err := zip.CreateFromDir(&b, m, src); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	write(t, filepath.Join(base, "v1.2.3.mod"), gomod)
	write(t, filepath.Join(base, "v1.2.3.info"), `{"Version":"v1.2.3","Time":"2026-02-01T12:00:00Z"}`)
	write(t, filepath.Join(base, "v1.2.3.zip"), zipped("package main\n\nfunc main() {}\n"))
	proxy = "file://" + filepath.ToSlash(filepath.Join(dir, "proxy"))
	cmd := exec.Command("go", "mod", "download", m.String())
	cmd.Dir = t.TempDir()
	write(t, filepath.Join(cmd.Dir, "go.mod"), "module scratch\n")
	cmd.Env = append(os.Environ(), "GOPROXY="+proxy, "GOMODCACHE="+mods, "GONOSUMDB=*", "GOFLAGS=-modcacherw")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write(t, filepath.Join(mods, "cache", "download", "example.com", "tool", "@v", "v1.2.3.zip"), zipped("package main\n\nfunc main() { println(1) }\n"))
	return proxy, mods
}
