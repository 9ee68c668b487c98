package pipeline

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/archive"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/progress"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
)

// TestStoredBytesChanged: what was compared is what is shipped, or nothing is.
func TestStoredBytesChanged(t *testing.T) {
	dir := t.TempDir()
	o := &Outcome{run: &Run{local: &pass.Local{Store: artifact.NewStore(dir)}}}
	d, size, err := o.run.local.Store.Put(strings.NewReader("what was compared"))
	if err != nil {
		t.Fatal(err)
	}
	a := artifact.Artifact{Name: "tool", Digest: d, Size: size, Executable: true}
	p := PlannedArchive{matrix.Target{OS: "linux", Arch: "amd64"}, matrix.ArchivePlan{}}
	copyOut := func(name string) error { return o.copyOut(a, filepath.Join(t.TempDir(), "bin", name)) }
	pack := func(f archive.Format) error {
		return archive.Write(io.Discard, f, time.Unix(1e9, 0), o.members(p, []record.Binary{{Name: "tool", A: d, Size: size}}))
	}
	if err := copyOut("good"); err != nil {
		t.Error(err)
	}
	formats := []archive.Format{archive.TarGzip, archive.TarZstd, archive.Zip}
	for _, f := range formats {
		if err := pack(f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	// Of equal length, so that no count of bytes gives it away.
	if err := os.WriteFile(filepath.Join(dir, d.Hex()), []byte("what was modified"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := copyOut("bad"); err == nil || !strings.Contains(err.Error(), "changed in the workspace") {
		t.Errorf("copied: %v", err)
	}
	for _, f := range formats {
		if err := pack(f); err == nil || !strings.Contains(err.Error(), "changed in the workspace") {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestNoVerdict: an outcome without anything in it is no success.
func TestNoVerdict(t *testing.T) {
	if o := (&Outcome{}); o.Verdict().Pass() || o.Err() == nil {
		t.Errorf("%s, %v", o.Verdict(), o.Err())
	}
}

// plainSigner makes bundles of nothing.
type plainSigner struct{}

func (plainSigner) Sign(context.Context, intoto.Statement) ([]byte, error) { return []byte("{}"), nil }
func (plainSigner) SignFile(context.Context, string, []byte) ([]byte, error) {
	return []byte("{}"), nil
}

// TestNameTaken: no file of a dist is written where something else lies already.
func TestNameTaken(t *testing.T) {
	for _, name := range []string{"A/linux_amd64/p", "release.json", "release.json.sigstore.json", "p_1.2.3.double-build.sigstore.json"} {
		o := differing(t)
		lies := filepath.Join(o.run.out.NewDir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(lies), 0o755), os.WriteFile(lies, []byte("mine"), 0o644)); err != nil {
			t.Fatal(err)
		}
		_, err := o.Write(t.Context(), WriteOptions{Signer: plainSigner{}})
		if _, gone := os.Stat(lies); gone != nil { // two builds that could not be signed are kept
			lies = filepath.Join(o.run.Rejected(), filepath.FromSlash(name))
		}
		if data, rerr := os.ReadFile(lies); !errors.Is(err, fs.ErrExist) || string(data) != "mine" || rerr != nil {
			t.Errorf("%s: %v, and it is %q, %v", name, err, data, rerr)
		}
	}
	if _, err := differing(t).Write(t.Context(), WriteOptions{Signer: plainSigner{}}); err != nil {
		t.Errorf("without anything there: %v", err)
	}
}

// differing is the outcome of a run whose two builds of p differ.
func differing(t *testing.T) *Outcome {
	t.Helper()
	now := func() time.Time { return time.Unix(1e9, 0) }
	s := sourceTree(t, planFile, fakeSource{tag: "v1.2.3", version: "1.2.3"})
	target := matrix.Target{OS: "linux", Arch: "amd64"}
	r := recipe.Recipe{
		Argv: []string{"go", "build", "."}, Binary: "p", Env: append([]string{"CGO_ENABLED=0"}, target.Env()...),
		Schema: recipe.Schema, Source: s.Source.Identity(), Target: target, Toolchain: recipe.Toolchain{Version: "go1.26.8"},
	}
	digest, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}

	dist := filepath.Join(t.TempDir(), "dist")
	out, err := reserve(t.Context(), dist)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	run := &Run{
		Inputs: Inputs{SourceTree: s, Modules: &modules.Cache{}}, Plan: Plan{Selection: Selection{Vars: matrix.Vars{Version: "1.2.3"}}, Recipes: []PlannedBinary{{Recipe: r}}},
		cfg:   Config{Request: Request{Out: dist}, Host: host.Host{Now: now}, Progress: &progress.Printer{W: io.Discard, Now: now}},
		local: &pass.Local{Store: artifact.NewStore(t.TempDir())}, out: out,
	}
	b := record.Binary{Name: "p", Target: target, Recipe: r, RecipeDigest: digest, Verdict: compare.Differs, Reason: "the bytes differ"}
	for text, digest := range map[string]*artifact.Digest{"one": &b.A, "two": &b.B} {
		if *digest, _, err = run.local.Store.Put(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	return &Outcome{run: run, Binaries: []record.Binary{b}}
}
