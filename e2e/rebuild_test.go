package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rebuilt is what these tests rely on in the document of twice rebuild.
type rebuilt struct {
	Schema, Verdict string
	Files           []struct {
		Name, Verdict, Source, Content, Command string
		Reason                                  struct{ Kind, Text string }
		Normalizations                          []string
		RestsOn, Recovered, Claimed             []struct{ What, Why string }
		Recipe                                  struct{ Argv []string }
		Seconds                                 float64
	}
}

// rebuild runs twice rebuild and returns its document and its exit status.
func rebuild(t *testing.T, args ...string) (rebuilt, int) {
	t.Helper()
	cmd := exec.Command(twiceFile, slices.Concat([]string{"rebuild", "--json", "--cache", cacheDir}, args)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	status := 0
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	var d rebuilt
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil || d.Schema != "twice.rebuild/v1" {
		t.Fatalf("%v, status %d\n%s\n%s", err, status, stdout.Bytes(), stderr.Bytes())
	}
	t.Logf("%s", stdout.Bytes())
	return d, status
}

// install makes a binary as its users do, with go install.
func install(t *testing.T, module string, env []string, flags ...string) string {
	t.Helper()
	gopath := t.TempDir()
	env = slices.Concat([]string{"GOPATH=" + gopath, "GOFLAGS=-modcacherw", "GOBIN=", "CGO_ENABLED=0"}, env)
	command(t, gopath, env, slices.Concat([]string{"go", "install"}, flags, []string{module})...)
	found := ""
	err := filepath.WalkDir(filepath.Join(gopath, "bin"), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = name
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("go install %s has left nothing: %v", module, err)
	}
	return found
}

// TestRebuildPublic rebuilds a public program, made by go install in the ways that
// people use.
func TestRebuildPublic(t *testing.T) {
	large(t)
	const age = "filippo.io/age/cmd/age@v1.3.2"
	stripped := install(t, age, nil, "-trimpath", "-ldflags=-w -s -X main.Version=v1.3.2")
	windows := install(t, age, []string{"GOOS=windows", "GOARCH=arm64"}, "-trimpath")
	mac := install(t, age, []string{"GOOS=darwin", "GOARCH=arm64"}, "-trimpath", "-ldflags=-X=main.Version=v1.3.2-3-gabcdef")
	data, err := os.ReadFile(stripped)
	if err != nil {
		t.Fatal(err)
	}
	tampered := filepath.Join(t.TempDir(), "tampered")
	data[len(data)/3] ^= 1
	if err := os.WriteFile(tampered, data, 0o755); err != nil {
		t.Fatal(err)
	}
	gofmt := filepath.Join(strings.TrimSpace(command(t, "", nil, "go", "env", "GOROOT")), "bin", "gofmt")

	d, status := rebuild(t, stripped, windows, mac)
	if status != 0 || d.Verdict != "reproduced" || len(d.Files) != 3 {
		t.Errorf("status %d, %s", status, d.Verdict)
	}
	for i, want := range []string{"-ldflags=-w -s -X main.Version=v1.3.2", "no -ldflags", "-ldflags=-X=main.Version=v1.3.2-3-gabcdef"} {
		f := d.Files[i]
		if f.Verdict != "reproduced" || f.Source != "filippo.io/age@v1.3.2" || f.Content != "intact" || len(f.Claimed) > 0 || len(f.Normalizations) > 0 {
			t.Errorf("%+v", f)
		}
		if i != 1 && (len(f.Recovered) == 0 || f.Recovered[0].What != want) {
			t.Errorf("recovered %+v, want %s", f.Recovered, want)
		}
		if len(f.RestsOn) < 3 || f.RestsOn[0].Why != "checksum database" {
			t.Errorf("rests on %+v", f.RestsOn)
		}
	}
	// The second file of a toolchain and a target costs less; these are three targets.
	t.Logf("seconds: %.1f, %.1f, %.1f", d.Files[0].Seconds, d.Files[1].Seconds, d.Files[2].Seconds)

	// The command that is printed makes the same bytes.
	byHand := filepath.Join(t.TempDir(), "go")
	command(t, t.TempDir(), []string{"GOPATH=" + byHand, "GOFLAGS=-modcacherw"}, "sh", "-c", "unset GOBIN; "+d.Files[0].Command+" && chmod -R u+w \"$GOPATH\"")
	again, err := os.ReadFile(filepath.Join(byHand, "bin", "age"))
	data[len(data)/3] ^= 1
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("by hand: %v, the same: %v", err, bytes.Equal(again, data))
	}

	d, status = rebuild(t, gofmt, tampered)
	if status != 1 || d.Files[0].Verdict != "undetermined" || d.Files[0].Reason.Kind != "part of Go" {
		t.Errorf("status %d, %+v", status, d.Files[0])
	}
	if f := d.Files[1]; f.Verdict != "differs" || f.Content != "changed" {
		t.Errorf("%+v", f)
	}

	// Paths that are not trimmed take namespaces.
	plain := install(t, age, nil)
	if d, status = rebuild(t, plain); d.Files[0].Reason.Kind == "place" {
		t.Skip("paths cannot be chosen here")
	}
	if status != 0 || d.Files[0].Verdict != "reproduced" {
		t.Errorf("status %d, %+v", status, d.Files[0])
	}
}
