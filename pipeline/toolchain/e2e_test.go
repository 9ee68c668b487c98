//go:build e2e

package toolchain

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/gocmd"
)

// TestPublished takes the go command of this machine to the real checksum
// database, and downloads a real toolchain.
func TestPublished(t *testing.T) {
	path, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	goroot, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	client := gocmd.Go{Path: path, Env: os.Environ()}
	o := Options{Installed: []string{goroot}, CacheDir: t.TempDir(), HostOS: runtime.GOOS, HostArch: runtime.GOARCH}

	got, err := Obtain(t.Context(), client, version, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", got)
	if !got.Published || got.Origin != Installed {
		t.Errorf("the installed Go was not accepted: %+v", got)
	}

	o.Installed = nil
	network := client
	for _, want := range []Origin{Downloaded, Cached} {
		got, err := Obtain(t.Context(), network, version, o)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Published || got.Origin != want {
			t.Errorf("got %+v, want it %s", got, want)
		}
		out, err := exec.Command(got.Dir+"/bin/go", "version").Output()
		if err != nil || !strings.Contains(string(out), version) {
			t.Errorf("go version: %s, %v", out, err)
		}
		network = client.With("GOPROXY=off")
	}

	_, err = Obtain(t.Context(), client, "go1.26.999", o)
	t.Logf("no such release: %v", err)
	if err == nil {
		t.Error("a release that does not exist was found")
	}
	_, err = Obtain(t.Context(), client.With("GOSUMDB=off", "GONOSUMDB=golang.org/*"), "go1.26.7", o)
	t.Logf("without a database: %v", err)
	if err == nil {
		t.Error("GOSUMDB=off was accepted")
	}
}
