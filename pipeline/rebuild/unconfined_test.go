package rebuild

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// TestUnconfined: where a build could change this machine, no file is rebuilt, the
// result says why, and what to do. Nothing is downloaded first.
func TestUnconfined(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/x\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", "x")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tier := range map[string]struct {
		confinement pass.Confinement
		safe        bool
	}{
		"nothing":          {pass.Confinement{}, false},
		"Landlock alone":   {pass.Confinement{Landlock: 7}, false},
		"an old Landlock":  {pass.Confinement{Landlock: 2, Seccomp: true}, false},
		"seccomp alone":    {pass.Confinement{Seccomp: true}, false},
		"Landlock, all":    {pass.Confinement{Landlock: 3, Seccomp: true}, true},
		"namespaces alone": {pass.Confinement{Namespaces: true}, true},
	} {
		tier.confinement.Missing = []string{"why it is missing"}
		if err := tier.confinement.AllowStrangers(); (err == nil) != tier.safe {
			t.Errorf("%s: %v", name, err)
		}
		if tier.safe {
			continue
		}
		r := &Rebuilder{Sandbox: &sandbox.Sandbox{
			Config:      sandbox.Config{Host: host.Host{Now: time.Now}, Stage: func(string) {}, Timeout: time.Minute, MaxDisk: 1 << 30},
			Store:       artifact.NewStore(t.TempDir()),
			Work:        &workspace.Workspace{Dir: t.TempDir()},
			Confinement: tier.confinement,
		}}
		res, err := r.File(t.Context(), Subject{Name: "x", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(data))), nil }})
		if err != nil || res.Verdict != compare.Undetermined || res.Reason == nil || res.Reason.Kind != verdict.NotConfined ||
			!strings.Contains(res.Reason.Text, "could change this machine: why it is missing") || !strings.Contains(res.Reason.Remedy, "namespaces") {
			t.Errorf("%s: %v, %+v", name, err, res)
		}
	}
}
