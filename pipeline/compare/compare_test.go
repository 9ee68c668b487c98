package compare

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

func artifactOf(b []byte) artifact.Artifact {
	return artifact.Artifact{Name: "bin/x", Kind: artifact.Binary, Digest: artifact.Of(b), Size: int64(len(b)), Executable: true}
}

// TestSeededFaults shows that the gate closes: whatever is done to the bytes,
// the verdict is no pass.
func TestSeededFaults(t *testing.T) {
	for _, size := range []int{1, 2, 1000, 1 << 20} {
		good := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(good)
		edit := func(f func(b []byte)) []byte { b := slices.Clone(good); f(b); return b }
		flip := func(at int) []byte { return edit(func(b []byte) { b[at] ^= 1 }) }
		faults := map[string][]byte{
			"first byte": flip(0), "middle byte": flip(size / 2), "last byte": flip(size - 1),
			"truncated by one": good[:size-1], "empty": nil, "one byte more": append(slices.Clone(good), 0),
			"every byte": edit(func(b []byte) {
				for i := range b {
					b[i] = ^b[i]
				}
			}),
		}
		if size >= 1000 {
			faults["two bytes swapped"] = edit(func(b []byte) { b[100], b[900] = b[900], b[100] })
		}
		for name, data := range faults {
			for _, pair := range [][2]artifact.Artifact{{artifactOf(good), artifactOf(data)}, {artifactOf(data), artifactOf(good)}} {
				r, err := Files(pair[0], pair[1])
				if err != nil || r.Verdict != Differs || r.Verdict.Pass() || r.Reason == "" {
					t.Errorf("%d bytes, %s: %+v, %v", size, name, r, err)
				}
				if sizes := strings.Contains(r.Reason, "sizes"); sizes != (pair[0].Size != pair[1].Size) {
					t.Errorf("%d bytes, %s: reason %q", size, name, r.Reason)
				}
			}
		}
	}
}

func TestEqual(t *testing.T) {
	a := artifactOf([]byte("x"))
	r, err := Files(a, a)
	if err != nil || r.Verdict != Reproduced || !r.Verdict.Pass() || r.Reason != "" {
		t.Errorf("%+v, %v", r, err)
	}
	b := a
	b.Executable = false
	r, err = Files(a, b)
	if err != nil || r.Verdict != Differs || !strings.Contains(r.Reason, "executable") {
		t.Errorf("another mode: %+v, %v", r, err)
	}
}

func TestVerdict(t *testing.T) {
	for v, want := range map[Verdict]bool{"": false, Reproduced: true, Equivalent: true, Differs: false, Undetermined: false, "Reproduced": false} {
		if v.Pass() != want {
			t.Errorf("%q passes: %t", v, v.Pass())
		}
	}
	if (Result{}).Verdict.Pass() {
		t.Error("the zero result passes")
	}
}

func TestUndetermined(t *testing.T) {
	a, b := artifactOf([]byte("aaaa")), artifactOf([]byte("bbbb"))
	with := func(x artifact.Artifact, f func(*artifact.Artifact)) artifact.Artifact { f(&x); return x }
	for name, pair := range map[string][2]artifact.Artifact{
		"no digests":              {},
		"equal malformed digests": {{Digest: "sha256:00"}, {Digest: "sha256:00"}},
		"no digest in A":          {{Size: 4}, a},
		"no digest in B":          {a, {Size: 4}},
		"one digest, two sizes":   {a, with(a, func(x *artifact.Artifact) { x.Size = 5 })},
		"negative size":           {with(a, func(x *artifact.Artifact) { x.Size = -1 }), b},
	} {
		r, err := Files(pair[0], pair[1])
		if err == nil || r.Verdict != Undetermined || r.Verdict.Pass() || r.Reason == "" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// program is what the tests below build; it is quick to compile, as it imports
// nothing.
var program = map[string]string{
	"go.mod":     "module example.test/tiny\n\ngo 1.26\n",
	"main.go":    "package main\n\nimport \"example.test/tiny/lib\"\n\nvar version = \"none\"\n\nfunc main() { println(version, lib.Half(int(version[0]))) }\n",
	"lib/lib.go": "package lib\n\n//go:noinline\nfunc Half(n int) int {\n\tif n%2 != 0 {\n\t\tpanic(\"odd\")\n\t}\n\treturn n / 2\n}\n",
}

func writeProgram(t testing.TB, dir string) {
	t.Helper()
	for name, text := range program {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// goBuild builds the program in dir and returns the file.
func goBuild(t testing.TB, dir string, env []string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=")
	cmd.Env = append(cmd.Env, env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	return out
}

// FuzzFiles: the verdict is that of the bytes.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(""), []byte("x"))
	f.Add([]byte("2026-01-02"), []byte("2026-01-03"))
	f.Add([]byte("same"), []byte("same"))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		r, err := Files(artifactOf(x), artifactOf(y))
		if err != nil || r.Verdict.Pass() != bytes.Equal(x, y) || r.Verdict.Pass() != (r.Reason == "") {
			t.Errorf("%+v, %v", r, err)
		}
		if back, err := Files(artifactOf(y), artifactOf(x)); err != nil || back.Verdict != r.Verdict {
			t.Errorf("the other way round: %+v, %v", back, err)
		}
	})
}
