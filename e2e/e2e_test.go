// Package e2e tests the built command from outside, on real input: whole
// releases, held against what the go command, sha256sum and a build by hand say.
//
// The tests need go, git, gcc and sha256sum, and the module proxy through the go
// command. The large ones run with TWICE_E2E=all and are reported as skipped
// otherwise; CI sets it. A few more of the same kind, for which CI has no time, run
// with TWICE_E2E=everything, which stands for all and them; they too are reported
// as skipped otherwise, one by one.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What TestMain prepares: the command, its cache, and the root of this
// repository.
var twiceFile, cacheDir, repoRoot string

// handCache is the build cache of what is built by hand.
var handCache string

// keyFile is what releases are signed with; its public half is beside it.
var keyFile string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "twice-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	twiceFile, cacheDir, handCache = filepath.Join(dir, "twice"), filepath.Join(dir, "cache"), filepath.Join(dir, "hand")
	if runtime.GOOS == "windows" {
		twiceFile += ".exe"
	}
	root, err := filepath.Abs("..")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	repoRoot = root
	build := exec.Command("go", "build", "-o", twiceFile, "./cmd/twice")
	build.Dir, build.Stderr = repoRoot, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "go build ./cmd/twice:", err)
		return 1
	}
	// Development keys go there.
	os.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	keyFile = filepath.Join(dir, "e2e.key")
	keygen := exec.Command(twiceFile, "keygen", "--unencrypted", strings.TrimSuffix(keyFile, ".key"))
	keygen.Stderr = os.Stderr
	if err := keygen.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "twice keygen:", err)
		return 1
	}
	return m.Run()
}

// large skips a test that takes minutes, unless all were asked for.
func large(t *testing.T) {
	t.Helper()
	if e := os.Getenv("TWICE_E2E"); e != "all" && e != "everything" {
		t.Skip("takes minutes: runs with TWICE_E2E=all, as in CI")
	}
}

// largest skips a test that takes long and is like another one that is large,
// unless everything was asked for.
func largest(t *testing.T) {
	t.Helper()
	if os.Getenv("TWICE_E2E") != "everything" {
		t.Skip("takes long and is like another test: runs with TWICE_E2E=everything, and not in CI")
	}
}

// command runs a program with more environment than the test's own, and
// returns what it printed to stdout. What it fails with is the test's failure.
func command(t *testing.T, dir string, env []string, argv ...string) string {
	t.Helper()
	out, err := try(dir, env, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func try(dir string, env []string, argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, stderr.Bytes())
	}
	return stdout.String(), nil
}

// twice runs the command under test in dir, with the cache of this test run.
func twice(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return command(t, dir, nil, slices.Concat([]string{twiceFile}, args, []string{"--cache", cacheDir})...)
}

// record is what these tests rely on in release.json.
type record struct {
	Schema, Project, Version, Verdict string
	Snapshot                          bool
	Source                            struct {
		Commit, Module, Version string
		Dirty                   bool
	}
	Toolchain struct{ Version string }
	Binaries  []binary
	Artifacts []struct {
		Name, Kind, Digest string
		Size               int64
	}
	Images []struct {
		Digest    string
		Manifests []struct{ Digest string }
	}
	Varying struct {
		Toolchain struct {
			From      string
			Published bool
		}
	}
}

type binary struct {
	Name, Target, Verdict, A, B string
	RecipeDigest                string
	// Recipe is as it stands in the record, for its digest.
	Recipe json.RawMessage
}

// recipe is what these tests rely on in a recipe.
type recipe struct {
	Argv, Env []string
	Binary    string
	Source    struct{ Commit, Dir, Module, Version string }
	Modules   []struct{ Path, Version, Sum, Replace string }
	Toolchain struct{ Version string }
}

func (b binary) recipe(t *testing.T) recipe {
	t.Helper()
	var r recipe
	if err := json.Unmarshal(b.Recipe, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// slug is the name of a target's folder below dist/bin.
func (b binary) file() string {
	return filepath.Join("bin", strings.NewReplacer("/", "_", ",", "_").Replace(b.Target), b.Name)
}

// readRecord reads dist/release.json.
func readRecord(t *testing.T, dist string) record {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dist, "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		t.Fatal(err)
	}
	if rec.Schema != "twice.release/v1" || rec.Verdict != "reproduced" || len(rec.Binaries) == 0 {
		t.Fatalf("release.json: schema %q, verdict %q, %d binaries", rec.Schema, rec.Verdict, len(rec.Binaries))
	}
	return rec
}

// write makes files in a new folder. Names have slashes.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// repository makes a git repository of one commit, with tags.
func repository(t *testing.T, files map[string]string, tags ...string) string {
	t.Helper()
	dir := write(t, files)
	git := func(args ...string) {
		command(t, dir, nil, append([]string{"git", "-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)...)
	}
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "first")
	for _, tag := range tags {
		git("tag", tag)
	}
	return dir
}
