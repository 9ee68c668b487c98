package pipeline

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/archive"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/report"
)

// TestStoredBytesChanged: what was compared is what is shipped, or nothing is.
func TestStoredBytesChanged(t *testing.T) {
	dir := t.TempDir()
	o := &Outcome{plan: &Plan{store: artifact.NewStore(dir)}}
	d, size, err := o.plan.store.Put(strings.NewReader("what was compared"))
	if err != nil {
		t.Fatal(err)
	}
	a := artifact.Artifact{Name: "tool", Digest: d, Size: size, Executable: true}
	p := pack{matrix.Target{OS: "linux", Arch: "amd64"}, matrix.ArchivePlan{}}
	copyOut := func(name string) error { return o.copyOut(a, filepath.Join(t.TempDir(), "bin", name)) }
	pack := func(f archive.Format) error {
		return archive.Write(io.Discard, f, time.Unix(1e9, 0), o.members(p, []report.Binary{{Name: "tool", A: d, Size: size}}))
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

// TestWritten: a folder may be deleted if twice has written all that is in it.
func TestWritten(t *testing.T) {
	const (
		image    = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		record   = `{"schema": "twice.release/v1", "new": 1, "project": "p", "version": "1.0.0", "verdict": "reproduced", "artifacts": [{"name": "bin/linux_amd64/p"}, {"name": "SHA256SUMS"}], "images": [{"digest": "` + image + `"}]}`
		rejected = `{"schema": "twice.release/v1", "project": "p", "version": "1.0.0", "verdict": "differs", "binaries": [{"name": "p", "target": "linux/amd64"}], "files": [{"name": "doc/x"}]}`
	)
	good := map[string]string{
		"release.json": record, "release.json.sigstore.json": "", "bin/linux_amd64/p": "", "SHA256SUMS": "", "SHA256SUMS.sigstore.json": "",
		"p_1.0.0.provenance.sigstore.json": "", "p_1.0.0.double-build.sigstore.json": "",
		"oci/oci-layout": "", "oci/index.json": "", "oci/blobs/sha256/" + image[7:]: "",
		"oci-signatures/sha256-" + image[7:] + ".sigstore.json": "",
	}
	for _, c := range []struct {
		name  string
		files map[string]string // with those of good, if there is no record among them
		said  string            // empty if it is ours
	}{
		{"a release", nil, ""},
		{"an empty folder", map[string]string{".": ""}, ""},
		{"what was rejected", map[string]string{"release.json": rejected, "A/linux_amd64/p": "", "B/linux_amd64/p": "", "A/files/doc/x": "", "p_1.0.0.double-build.sigstore.json": ""}, ""},
		{"notes", map[string]string{"notes.txt": ""}, "holds notes.txt, which twice did not write"},
		{"notes in a folder", map[string]string{"bin/linux_amd64/notes": ""}, "holds bin/linux_amd64/notes, which"},
		{"another folder", map[string]string{"site/": ""}, "holds site, which"},
		{"a rebuilder's statement", map[string]string{"p_0123456789abcdef.rebuild.sigstore.json": ""}, "holds p_0123456789abcdef.rebuild"},
		{"what is no blob", map[string]string{"oci/blobs/sha256/notes": ""}, "holds oci/blobs/sha256/notes, which"},
		{"a link", map[string]string{"SHA256SUMS": "-> /etc/passwd"}, "holds SHA256SUMS, which"},
		{"no record", map[string]string{"x": "", "release.json": "-"}, "it has no release.json"},
		{"another's record", map[string]string{"release.json": `{"schema": "other/v1"}`}, "its release.json is another's"},
		{"a record that only mentions ours", map[string]string{"release.json": `x "schema": "twice.release/v1"`}, "its release.json is another's"},
		{"an empty record", map[string]string{"release.json": ""}, "its release.json is another's"},
		{"a linked record", map[string]string{"release.json": "-> r", "r": record}, "it has no release.json"},
		{"a record of little", map[string]string{"release.json": `{"schema": "twice.release/v1"}`, "x": ""}, "holds x, which"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dist")
			files := maps.Clone(good)
			if _, ok := c.files["release.json"]; ok || c.name == "an empty folder" {
				files = map[string]string{}
			}
			maps.Copy(files, c.files)
			for name, text := range files {
				file := filepath.Join(dir, filepath.FromSlash(name))
				if strings.HasSuffix(name, "/") || name == "." {
					if err := os.MkdirAll(file, 0o755); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				var err error
				if to, ok := strings.CutPrefix(text, "-> "); ok {
					os.Remove(file)
					err = os.Symlink(to, file)
				} else if text != "-" {
					err = os.WriteFile(file, []byte(text), 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			err := written(dir)
			if c.said == "" && err != nil || c.said != "" && (err == nil || !strings.Contains(err.Error(), c.said) || fault.KindOf(err) != fault.KindUsage || fault.HintOf(err) == "") {
				t.Errorf("got %v, want %q", err, c.said)
			}
		})
	}
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Symlink(t.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: "is no folder", link: "is a symbolic link", filepath.Join(dir, "nothing"): ""} {
		if err := written(name); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
