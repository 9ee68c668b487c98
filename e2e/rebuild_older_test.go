package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// flip writes a copy of a file with one bit of it changed.
func flip(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/3] ^= 1
	flipped := filepath.Join(t.TempDir(), "flipped")
	if err := os.WriteFile(flipped, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return flipped
}

// TestRebuildOlder rebuilds a public program that an older toolchain made, which records some of the
// settings; with TWICE_E2E=everything also one that records none. What was tampered with never passes.
func TestRebuildOlder(t *testing.T) {
	large(t)
	const age = "filippo.io/age/cmd/age@v1.0.0"
	releases := []string{"go1.19.13"}
	if os.Getenv("TWICE_E2E") == "everything" {
		releases = append(releases, "go1.16.15")
	}
	var list []string
	for _, release := range releases {
		file := install(t, age, []string{"GOTOOLCHAIN=" + release}, "-trimpath", "-ldflags=-s -w -X main.Version=v1.0.0")
		list = append(list, file, flip(t, file))
	}

	d, status := rebuild(t, list...)
	if status == 0 || len(d.Files) != len(list) {
		t.Fatalf("status %d, %d files", status, len(d.Files))
	}
	for i, f := range d.Files {
		if i%2 == 1 {
			if f.Verdict != "differs" && f.Verdict != "undetermined" || f.Content != "changed" {
				t.Errorf("tampered: %+v", f)
			}
			continue
		}
		how := slices.ContainsFunc(f.Recovered, func(g ground) bool { return g.What == "-ldflags=-s -w -X main.Version=v1.0.0" })
		if f.Verdict != "reproduced" || f.Source != "filippo.io/age@v1.0.0" || !how || !slices.ContainsFunc(f.RestsOn, func(g ground) bool {
			return g.Why == "checksum database" && len(g.What) > 20 && g.What[:9] == "toolchain"
		}) {
			t.Errorf("%+v", f)
		}
	}
}

// TestRebuildPublishedOlder rebuilds what others published years ago, or from a work tree with
// changes. In CI TestRebuildOlder has an older program, and the script rebuild_dirty one with changes.
func TestRebuildPublishedOlder(t *testing.T) {
	largest(t)
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("needs npm")
	}
	esbuild := func(pkg, file, version, goVersion, digest string) published {
		return published{subject: "npm:" + pkg + "@" + version, files: map[string]string{file: digest}, source: "github.com/evanw/esbuild@v" + version, goVersion: goVersion, verdict: "reproduced"}
	}
	t.Run("as they were", func(t *testing.T) {
		rebuildPublished(t,
			esbuild("esbuild-linux-64", "bin/esbuild", "0.12.0", "go1.16.3", "cb48e64c1524"),
			esbuild("esbuild-linux-64", "bin/esbuild", "0.13.15", "go1.17.2", "593df79f645e"),
			esbuild("esbuild-linux-64", "bin/esbuild", "0.14.54", "go1.19", "d83565c6c08a"),
			esbuild("esbuild-windows-64", "esbuild.exe", "0.14.54", "go1.19", "0735a0ae6ea7"),
		)
	})
	// The tree had changes that are not compiled.
	t.Run("changes", func(t *testing.T) {
		const pkg = "@melkeydev/go-blueprint-linux-x64@0.10.11"
		rebuildPublished(t, published{subject: "npm:" + pkg, files: map[string]string{"bin/go-blueprint": "2e9ef5f0724d"},
			source: "github.com/melkeydev/go-blueprint@v0.10.11", goVersion: "go1.23.0", verdict: "reproduced"})

		dir := t.TempDir()
		command(t, dir, nil, "sh", "-c", "npm pack --silent "+pkg+" && tar -xzf *.tgz")
		d, status := rebuild(t, "--main", "github.com/melkeydev/go-blueprint@v0.10.11", flip(t, filepath.Join(dir, "package", "bin", "go-blueprint")))
		if f := d.Files[0]; status != 3 || f.Reason.Kind != "dirty" || f.Content != "changed" {
			t.Errorf("tampered: status %d, %+v", status, f)
		}
	})
}

// TestRebuildFiles rebuilds programs that go build FILES made without a go.mod, from the source
// that their own package has. Behind each, the publisher added a mark: with it, a file is not what
// was linked.
func TestRebuildFiles(t *testing.T) {
	large(t)
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("needs npm")
	}
	dir := t.TempDir()
	command(t, dir, nil, "sh", "-c", "npm pack --silent caxa@3.0.1 && tar -xzf caxa-3.0.1.tgz")
	const mark = "\nCAXACAXACAXA\n"
	source := filepath.Join(dir, "source")
	command(t, dir, nil, "sh", "-c", "mkdir source && cp package/stubs/stub.go source && cd source && git init -q && git add -A && git -c user.name=a -c user.email=a@example.com commit -qm a")

	for _, name := range []string{"stub--linux--x64", "stub--darwin--arm64"} {
		published := filepath.Join(dir, "package", "stubs", name)
		data, err := os.ReadFile(published)
		if err != nil || !bytes.HasSuffix(data, []byte(mark)) {
			t.Fatalf("%s has no mark: %v", name, err)
		}
		linked := filepath.Join(dir, name)
		if err := os.WriteFile(linked, data[:len(data)-len(mark)], 0o755); err != nil {
			t.Fatal(err)
		}

		d, status := rebuild(t, "--source", source, linked, published, flip(t, linked))
		if f := d.Files[0]; f.Reason.Kind == "place" {
			t.Skip("paths cannot be chosen here")
		} else if f.Verdict != "reproduced" || f.GoVersion != "go1.16.3" || !slices.ContainsFunc(f.Recovered, func(g ground) bool { return g.What == "files ./stub.go" }) {
			t.Errorf("status %d, %+v", status, f)
		}
		for _, f := range d.Files[1:] {
			if f.Verdict != "differs" && f.Verdict != "undetermined" || f.Content != "changed" || status == 0 {
				t.Errorf("status %d, %+v", status, f)
			}
		}
	}
}
