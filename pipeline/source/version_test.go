package source

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/semver"
)

var fixed = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

func TestPickTag(t *testing.T) {
	for _, tt := range []struct {
		tags []string
		dir  string
		want string
	}{
		{nil, ".", ""},
		{[]string{"v1.2.3"}, ".", "v1.2.3"},
		{[]string{"v1.9.0", "v1.10.0", "v1.10.0-rc.1"}, ".", "v1.10.0"},
		{[]string{"latest", "1.2.3", "v1", "v1.2", "v1.2.3+meta", "v01.2.3", "x/v1.0.0", "release-v3.0.0", "v"}, ".", ""},
		{[]string{"v9.0.0", "cmd/tool/v1.0.0", "cmd/v8.0.0"}, "cmd/tool", "cmd/tool/v1.0.0"},
		{[]string{"v9.0.0", "cmd/v8.0.0"}, "cmd/tool", "v9.0.0"},
		{[]string{"cmd/v8.0.0"}, "cmd/tool", ""},
		{[]string{"tool/v2.1.0", "v1.0.0"}, "tool/v2", "tool/v2.1.0"},
		{[]string{"v2.1.0"}, "v2", "v2.1.0"},
	} {
		if got, _ := pickTag(tt.tags, tt.dir); got != tt.want {
			t.Errorf("%q in %s: %q, want %q", tt.tags, tt.dir, got, tt.want)
		}
	}
}

func TestSnapshotVersion(t *testing.T) {
	const commit = "0123456789012345678901234567890123456789"
	for _, tt := range []struct{ base, want string }{
		{"", "0.0.0-snapshot.20260102150405.g012345678901"},
		{"v1.2.3", "1.2.4-snapshot.20260102150405.g012345678901"},
		{"v0.0.99999999999999999999", "0.0.100000000000000000000-snapshot.20260102150405.g012345678901"},
		{"v1.3.0-rc.1", "1.3.0-rc.1.0.snapshot.20260102150405.g012345678901"},
	} {
		for _, dirty := range []bool{false, true} {
			want := tt.want
			if dirty {
				want += ".dirty"
			}
			got := snapshotVersion(tt.base, fixed, commit, dirty)
			if got != want {
				t.Errorf("%s: %s, want %s", tt.base, got, want)
			}
			if !semver.IsValid("v"+got) || tt.base != "" && semver.Compare("v"+got, tt.base) <= 0 {
				t.Errorf("%s: not a version after %s", got, tt.base)
			}
		}
	}
	// Before the versions that may follow.
	if semver.Compare("v"+snapshotVersion("v1.2.3", fixed, commit, true), "v1.2.4") >= 0 ||
		semver.Compare("v"+snapshotVersion("v1.3.0-rc.1", fixed, commit, true), "v1.3.0-rc.2") >= 0 {
		t.Error("not before the next version")
	}
}

func TestVersionOfRepo(t *testing.T) {
	u := newUser(t).module()
	g := func() string { return ".g" + u.git("rev-parse", "HEAD")[:12] }
	want := func(tag, version string, opts Options) {
		t.Helper()
		r := u.mustOpen(opts)
		if r.Tag() != tag || r.Version() != version {
			t.Errorf("tag %q, version %q; want %q, %q", r.Tag(), r.Version(), tag, version)
		}
	}
	want("", "0.0.0-snapshot.20260102130405"+g(), Options{})
	for _, tag := range []string{"v1.2.0", "v1.10.0", "v1.9.0", "latest", "sub/v0.3.0"} {
		u.git("tag", tag)
	}
	u.git("tag", "-a", "-m", "x", "v1.11.0")
	u.git("tag", "a-tree", "HEAD^{tree}")
	u.git("tag", "a-blob", "HEAD:go.mod")
	want("v1.11.0", "1.11.0", Options{})
	u.git("checkout", "-q", "-b", "side")
	u.commit("later")
	u.git("tag", "v5.0.0")
	u.git("checkout", "-q", "main")
	u.commit("x")
	want("", "1.11.1-snapshot.20260102130405"+g(), Options{}) // v5.0.0 is no ancestor
	d := u.checkout(u.mustOpen(Options{}), Sorted)
	if d.git("tag") != u.git("tag") {
		t.Errorf("tags %q", d.git("tag"))
	}

	u.write("sub/go.mod", "module example.com/m/sub\n")
	u.commit()
	want("", "0.3.1-snapshot.20260102130405"+g(), Options{Dir: "sub"})
	u.git("tag", "v1.12.0")
	want("v1.12.0", "1.12.0", Options{Dir: "sub"})
	u.git("tag", "sub/v0.4.0")
	want("sub/v0.4.0", "0.4.0", Options{Dir: "sub"})
	want("v1.12.0", "1.12.0", Options{})
	if r, err := u.in(filepath.Join(u.dir, "sub")).open(Options{}); err != nil || r.Identity().Dir != "sub" || r.Tag() != "sub/v0.4.0" {
		t.Errorf("from the folder: %+v, %v", r, err)
	}
	u.write("later", "x")
	u.git("add", "-A")
	want("", "0.4.1-snapshot.20260102130405"+g()+".dirty", Options{Dir: "sub", Snapshot: true})
}

func TestCleanURL(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                     "",
		"https://example.com/a/b":              "https://example.com/a/b",
		"https://user:pw@example.com/a.git":    "https://example.com/a.git",
		"https://token@example.com/a.git":      "https://example.com/a.git",
		"https://example.com/a?token=x#y":      "https://example.com/a",
		"ssh://git:pw@example.com:22/a":        "ssh://git@example.com:22/a",
		"git@example.com:a/b.git":              "git@example.com:a/b.git",
		"example.com:a/b.git":                  "example.com:a/b.git",
		"user:pw@example.com:a":                "",
		"/home/me/repo":                        "",
		"../repo":                              "",
		"file:///home/me/repo":                 "",
		`C:\repo`:                              "",
		"C:/repo":                              "",
		"ext::sh -c touch% /tmp/x":             "",
		"https://example.com/%zz":              "",
		"https://us er:p@w@example.com/a":      "",
		"transport::https://u:p@example.com/a": "",
	} {
		if got := cleanURL(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// TestStamp holds what the go command writes into a binary built in a Checkout
// against what it writes in a full clone.
func TestStamp(t *testing.T) {
	goCmd, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	cache := t.TempDir()
	build := func(dir string) map[string]string {
		t.Helper()
		// The go command keeps what it found out about a revision in the module
		// cache, and does not see a tag that was added later.
		home := t.TempDir()
		out := filepath.Join(t.TempDir(), "x")
		cmd := exec.Command(goCmd, "build", "-buildvcs=true", "-o", out, ".")
		cmd.Dir = dir
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GOFLAGS=", "GOTOOLCHAIN=local", "GOENV=off", "GOPROXY=off", "GOWORK=off",
			"GOCACHE=" + cache, "GOPATH=" + filepath.Join(home, "go"), "CGO_ENABLED=0", "GOTELEMETRY=off", "SystemRoot=" + os.Getenv("SystemRoot")}
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, msg)
		}
		info, err := buildinfo.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{"version": info.Main.Version}
		for _, s := range info.Settings {
			m[s.Key] = s.Value
		}
		return m
	}
	u := newUser(t).module()
	u.write("sub/go.mod", "module example.com/m/sub\n\ngo 1.26\n")
	u.write("sub/main.go", "package main\n\nfunc main() {}\n")
	u.commit()
	steps := []struct {
		name string
		do   func()
		dir  string
		want string // main module version; "" for whatever the clone says
	}{
		{"no tag", func() {}, ".", ""},
		{"tag", func() { u.git("tag", "v1.2.3") }, ".", "v1.2.3"},
		{"after a tag", func() { u.git("tag", "-a", "-m", "x", "v1.3.0-rc.1"); u.commit("x") }, ".", ""},
		{"folder, no tag", func() {}, "sub", ""},
		{"folder, tag", func() { u.git("tag", "sub/v0.5.0") }, "sub", "v0.5.0"},
		{"folder, after tag", func() { u.commit("y") }, "sub", ""},
	}
	for i, s := range steps {
		s.do()
		r := u.mustOpen(Options{Dir: s.dir})
		d := u.checkout(r, Order(i%2))
		clone := filepath.Join(t.TempDir(), "clone")
		u.git("clone", "-q", u.dir, clone)
		got, want := build(filepath.Join(d.dir, s.dir)), build(filepath.Join(clone, s.dir))
		for _, k := range []string{"version", "vcs", "vcs.revision", "vcs.time", "vcs.modified"} {
			if got[k] != want[k] || got[k] == "" {
				t.Errorf("%s: %s is %q, in a clone %q", s.name, k, got[k], want[k])
			}
		}
		if got["vcs.modified"] != "false" || got["vcs.revision"] != r.Identity().Commit || s.want != "" && got["version"] != s.want {
			t.Errorf("%s: %v", s.name, got)
		}
	}
	u.write("main.go", "package main\n\nfunc main() { }\n")
	r := u.mustOpen(Options{Snapshot: true})
	got := build(u.checkout(r, Sorted).dir)
	if got["vcs.modified"] != "true" || got["version"] != build(u.dir)["version"] {
		t.Errorf("snapshot: %v", got)
	}
}
