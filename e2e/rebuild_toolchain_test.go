package e2e

import (
	"slices"
	"strings"
	"testing"
)

// TestRebuildToolchain rebuilds some small tools of the published Go that runs
// these tests. All tools, those for macOS, and the whole zip by way of another
// release take a quarter of an hour and more.
func TestRebuildToolchain(t *testing.T) {
	large(t)
	release := strings.TrimSpace(command(t, "", nil, "go", "env", "GOVERSION"))
	d, status := rebuild(t, "--only", "bin/gofmt", "--only", "preprofile", "--only", "preprofile.exe", "toolchain:"+release)
	if status != 0 || d.Verdict != "reproduced" || len(d.Files) < 2 {
		t.Fatalf("status %d, %s, %d files", status, d.Verdict, len(d.Files))
	}
	for _, f := range d.Files {
		if f.Verdict != "reproduced" || f.Content != "intact" || !strings.HasPrefix(f.Source, "golang.org/toolchain@v0.0.1-"+release+".") {
			t.Errorf("%+v", f)
		}
		if len(f.RestsOn) == 0 || f.RestsOn[0].Why != "checksum database" {
			t.Errorf("rests on %+v", f.RestsOn)
		}
		// It says what it does not show.
		if !slices.ContainsFunc(f.Claimed, func(c ground) bool { return strings.Contains(c.Why, "--bootstrap") }) {
			t.Errorf("claims %+v", f.Claimed)
		}
	}

	// For another system, whose tools somebody has signed.
	d, status = rebuild(t, "--only", "preprofile", "toolchain:"+release+"/darwin-arm64")
	if status != 0 || d.Verdict != "equivalent" || len(d.Files) != 1 {
		t.Fatalf("status %d, %s, %d files", status, d.Verdict, len(d.Files))
	}
	if f := d.Files[0]; !slices.Equal(f.Normalizations, []string{"code signature removed"}) || f.Content != "signed" || len(f.RestsOn) != 2 {
		t.Errorf("%+v", f)
	}

	t.Run("tools", func(t *testing.T) {
		largest(t)
		d, status := rebuild(t, "--timeout", "3h", "toolchain:"+release, "toolchain:"+release+"/darwin-arm64")
		if status != 0 || !slices.Contains([]string{"reproduced", "equivalent"}, d.Verdict) || len(d.Files) < 20 {
			t.Errorf("status %d, %s, %d files", status, d.Verdict, len(d.Files))
		}
	})
	t.Run("bootstrap", func(t *testing.T) {
		largest(t)
		d, status := rebuild(t, "--bootstrap", "go1.24.6", "toolchain:go1.26.8")
		if status != 0 || d.Verdict != "reproduced" || len(d.Files) != 11 {
			t.Errorf("status %d, %s, %d files", status, d.Verdict, len(d.Files))
		}
	})
}
