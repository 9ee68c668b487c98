package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/key"
)

// install returns a program, built from its published module into the user's
// cache folder, where the end-to-end tests look too.
func install(b *testing.B, pkg, version string) string {
	b.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(cache, "twice-e2e", strings.NewReplacer("/", "_", "@", "_").Replace(pkg+"@"+version))
	file := filepath.Join(dir, filepath.Base(pkg))
	if _, err := os.Stat(file); err == nil {
		return file
	}
	cmd := exec.Command("go", "install", "-ldflags=-s -w", pkg+"@"+version)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go install %s@%s: %v\n%s", pkg, version, err, out)
	}
	return file
}

// BenchmarkVerify verifies the signature of one file with a key, by twice and by
// cosign in turn, 20 times each. It reports the median wall-clock time of each in
// milliseconds, and twice/cosign, which has to be well under 1; and twice-version-ms
// for the start-up of a verb that signs nothing.
func BenchmarkVerify(b *testing.B) {
	cosign := install(b, "github.com/sigstore/cosign/v3/cmd/cosign", "v3.1.3")
	dir := b.TempDir()
	twice := filepath.Join(dir, "twice")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", twice, "../../cmd/twice").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	private, err := key.Generate(b.Context(), filepath.Join(dir, "bench"), key.GenerateOptions{Unencrypted: true})
	if err != nil {
		b.Fatal(err)
	}
	signer, err := attest.NewSigner(b.Context(), private.SignerVerifier())
	if err != nil {
		b.Fatal(err)
	}
	content := []byte("a file\n")
	bundle, err := signer.SignFile(b.Context(), "file", content)
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	for name, data := range map[string][]byte{file: content, file + ".sigstore.json": bundle} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	public := filepath.Join(dir, "bench.pub")
	commands := map[string][]string{
		"twice":         {twice, "verify", file, "--key", public},
		"cosign":        {cosign, "verify-blob", "--bundle", file + ".sigstore.json", "--key", public, "--insecure-ignore-tlog", file},
		"twice-version": {twice, "version"},
	}
	for b.Loop() {
		times := map[string][]time.Duration{}
		for range 20 {
			for name, argv := range commands {
				times[name] = append(times[name], measure(b, exec.Command(argv[0], argv[1:]...)).wall)
			}
		}
		b.ReportMetric(0, "ns/op")
		for name := range commands {
			b.ReportMetric(float64(median(times[name]).Microseconds())/1000, name+"-ms")
		}
		b.ReportMetric(float64(median(times["twice"]))/float64(median(times["cosign"])), "twice/cosign")
	}
}
