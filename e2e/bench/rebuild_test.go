package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// BenchmarkRebuild rebuilds two published programs of one module, installed with
// hidden linker flags, and compares with the go install that this stands for. It
// reports
//
//	install-cpu-s   go install of the first, with an empty build cache
//	rebuild-cpu-s   twice rebuild of it, with everything downloaded
//	rebuild/install the ratio of these
//	second/first    of two files in one run, the time of the second over that of
//	                the first: what both are made of is compiled once
//	three/dearest   three files in one run, over the dearest of them in a run of
//	                its own, in processor time: the goal is less than 1.5
func BenchmarkRebuild(b *testing.B) {
	dir := b.TempDir()
	program := filepath.Join(dir, "twice")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/twice").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	install := func(name string) (string, usage) {
		gopath := filepath.Join(b.TempDir(), "gopath")
		cmd := exec.Command("go", "install", "-trimpath", "-ldflags=-s -w -X main.Version=v1.3.2", "filippo.io/age/cmd/"+name+"@v1.3.2")
		// The modules are the user's, so that no download is timed.
		cmd.Env = append(os.Environ(), "GOBIN="+filepath.Join(gopath, "bin"), "GOCACHE="+filepath.Join(gopath, "cache"), "GOFLAGS=", "CGO_ENABLED=0", "GOTOOLCHAIN=local")
		u := measure(b, cmd)
		return filepath.Join(gopath, "bin", name), u
	}
	install("age") // downloads
	first, bare := install("age")
	second, _ := install("age-keygen")
	third, _ := install("age-inspect")
	rebuild := func(files ...string) (usage, []float64) {
		var out bytes.Buffer
		cmd := exec.Command(program, slices.Concat([]string{"rebuild", "--json", "--cache", filepath.Join(dir, "cache")}, files)...)
		cmd.Stdout = &out
		u := measure(b, cmd)
		var doc struct {
			Verdict string
			Files   []struct{ Seconds float64 }
		}
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil || doc.Verdict != "reproduced" || len(doc.Files) != len(files) {
			b.Fatalf("twice rebuild: %v\n%s", err, out.Bytes())
		}
		var seconds []float64
		for _, f := range doc.Files {
			seconds = append(seconds, f.Seconds)
		}
		return u, seconds
	}
	rebuild(first) // proves the toolchain
	for b.Loop() {
		u, _ := rebuild(first)
		_, seconds := rebuild(first, second)
		dearest := u.cpu
		for _, file := range []string{second, third} {
			alone, _ := rebuild(file)
			dearest = max(dearest, alone.cpu)
		}
		three, _ := rebuild(first, second, third)
		u.report(b)
		b.ReportMetric(bare.cpu.Seconds(), "install-cpu-s")
		b.ReportMetric(u.cpu.Seconds(), "rebuild-cpu-s")
		b.ReportMetric(u.cpu.Seconds()/bare.cpu.Seconds(), "rebuild/install")
		b.ReportMetric(seconds[1]/seconds[0], "second/first")
		b.ReportMetric(three.cpu.Seconds()/dearest.Seconds(), "three/dearest")
	}
}
