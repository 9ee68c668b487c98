package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What is no folder of a release is a fault in what was asked for. A link to one is
// followed by verify, which changes nothing, and not by publish.
func TestPublishWhat(t *testing.T) {
	f := newFakeRelease(t, nil)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for link, to := range map[string]string{"link": f.dir, "broken": "nowhere"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Skip(err)
		}
	}
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"file":                               {"file is no folder, and a release is one", "hint: name the folder"},
		filepath.Join("file", "dist"):        {"not a directory", ""},
		"link":                               {"link is a link, and a release is a folder", "hint: twice publish " + f.dir},
		"broken":                             {"broken is a link to what is not there", ""},
		"empty":                              {"release.json", "hint: make a release first"},
		"nowhere":                            {"nowhere", "hint: make a release first"},
		filepath.Join(f.dir, "release.json"): {"release.json is no folder", "hint: name the folder"},
		filepath.Join(f.dir, "oci"):          {"release.json", "hint: make a release first"},
	} {
		if !filepath.IsAbs(name) {
			name = at(name)
		}
		out, err := exec.Command("twice", "publish", name).CombinedOutput()
		wantStatus := exitUsage
		if status(err) != wantStatus || !strings.Contains(string(out), want[0]) || !strings.Contains(string(out), want[1]) {
			t.Errorf("%s: exit status %d, want %q in\n%s", name, status(err), want, out)
		}
	}
	if doc, exit, stderr := verifies(t, at("link"), "--key", f.public); exit != exitOK || len(doc.Files) < 5 {
		t.Errorf("verify of a link: exit status %d, %d files\n%s", exit, len(doc.Files), stderr)
	}
}
