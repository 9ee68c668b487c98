//go:build linux && !race

package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// However many bundles lie beside a file, however large they seem: what is read is
// bounded, the answer is that nobody can tell, and there is a way out.
func TestManyBundles(t *testing.T) {
	if testing.Short() {
		t.Skip("reads half a gigabyte, several times")
	}
	f := newFakeRelease(t, nil)
	const name = "hello_1.2.3_linux_amd64.tar.gz"
	sparse := func(t *testing.T, file string, size int64) {
		t.Helper()
		w, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for what, test := range map[string]struct {
		fill func(t *testing.T, dir string)
		want string
	}{
		"sparse gigabytes": {func(t *testing.T, dir string) {
			sparse(t, filepath.Join(dir, "x.sigstore.json"), 64<<30)
		}, "more than 16 MiB, which no bundle has"},
		"ten thousand of the largest size": {func(t *testing.T, dir string) {
			for i := range verify.MaxBundles {
				sparse(t, filepath.Join(dir, fmt.Sprintf("%d.sigstore.json", i)), attest.MaxSize)
			}
		}, "more than 512 MiB"},
		"more than ten thousand small ones": {func(t *testing.T, dir string) {
			for i := range verify.MaxBundles + 1 {
				sparse(t, filepath.Join(dir, fmt.Sprintf("%d.sigstore.json", i)), 2)
			}
		}, "more than 10000 bundles"},
		"large ones about the file": {func(t *testing.T, dir string) {
			content, err := os.ReadFile(filepath.Join(f.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 6 {
				statement := `{"predicateType":"x","subject":[{"digest":{"sha256":"` + artifact.Of(content).Hex() + `"}}],"predicate":"` + strings.Repeat("x", 11<<20) + `"}`
				data := fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payload":%q,"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}}`,
					attest.MediaType, base64.StdEncoding.EncodeToString([]byte(statement)))
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.sigstore.json", i)), []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "a", "b", name)
			if err := os.CopyFS(filepath.Join(dir, "a", "b"), os.DirFS(f.dir)); err != nil {
				t.Fatal(err)
			}
			test.fill(t, dir)
			cmd := exec.Command("twice", "verify", file, "--key", f.public)
			cmd.Env = append(os.Environ(), "GOGC=100") // as for a user
			out, err := cmd.CombinedOutput()
			if got := status(err); test.want != "" && got != exitFailure || test.want == "" && got != exitDiffers {
				t.Errorf("exit status %d\n%s", got, out)
			}
			if !strings.Contains(string(out), test.want) || test.want != "" && !strings.Contains(string(out), "hint: ") {
				t.Errorf("does not say %q and what to do:\n%s", test.want, out)
			}
			const limit = 400 << 20
			if used := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; used > limit {
				t.Errorf("%d MiB of memory", used>>20)
			} else {
				t.Logf("%d MiB of memory", used>>20)
			}
			// The way out.
			bundle := filepath.Join(f.dir, "hello_1.2.3.provenance.sigstore.json")
			if out, err := exec.Command("twice", "verify", file, "--key", f.public, "--bundle", bundle).CombinedOutput(); err != nil {
				t.Errorf("--bundle: %v\n%s", err, out)
			}
		})
	}
}
