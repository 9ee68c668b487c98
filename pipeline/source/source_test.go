package source

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The tests drive the real git with the user's point of view (user.git, with a
// HOME of its own), and this package from the other side.

const when = "2026-01-02T15:04:05+02:00"

type user struct {
	t    *testing.T
	home string
	dir  string
}

func newUser(t *testing.T) *user {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, home: home, dir: filepath.Join(home, "repo")}
	u.git("init", "-q", "-b", "main", u.dir)
	return u
}

func (u *user) env() []string {
	return []string{
		"HOME=" + u.home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "SystemRoot=" + os.Getenv("SystemRoot"),
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.com",
		"GIT_AUTHOR_DATE=2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE=" + when, "GIT_ALLOW_PROTOCOL=file",
	}
}

func (u *user) in(dir string) *user { return &user{u.t, u.home, dir} }

func (u *user) git(args ...string) string {
	u.t.Helper()
	cmd := exec.Command("git", args...)
	if _, err := os.Stat(u.dir); err == nil {
		cmd.Dir = u.dir
	} else {
		cmd.Dir = u.home
	}
	cmd.Env = u.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		u.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func (u *user) write(name, text string) {
	u.t.Helper()
	p := filepath.Join(u.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o666); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) commit(files ...string) {
	u.t.Helper()
	for _, f := range files {
		u.write(f, f+"\n")
	}
	u.git("add", "-A")
	u.git("commit", "-q", "--allow-empty", "-m", "commit")
}

// module commits a go.mod and a file.
func (u *user) module() *user {
	u.t.Helper()
	u.write("go.mod", "module example.com/m\n\ngo 1.26\n")
	u.write("main.go", "package main\n\nfunc main() {}\n")
	u.commit()
	return u
}

func (u *user) as() Git {
	u.t.Helper()
	return gitOf(u.t, u.env())
}

func gitOf(t *testing.T, env []string) Git {
	t.Helper()
	p, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git on this machine")
	}
	return Git{Path: p, Env: []string{"PATH=" + os.Getenv("PATH"), "SystemRoot=" + os.Getenv("SystemRoot")}, User: env}
}

func (u *user) open(opts Options) (*Repo, error) {
	u.t.Helper()
	if opts.Scratch == "" {
		opts.Scratch = u.t.TempDir()
	}
	before := u.state()
	r, err := Open(u.t.Context(), u.as(), u.dir, opts)
	if after := u.state(); after != before {
		was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
		for _, l := range is {
			if !slices.Contains(was, l) {
				u.t.Errorf("Open changed the repository: %s", l)
			}
		}
		if len(is) < len(was) {
			u.t.Error("Open removed something from the repository")
		}
	}
	return r, err
}

// state lists all of the repository's files with what tells a change.
func (u *user) state() string {
	u.t.Helper()
	var b strings.Builder
	err := filepath.Walk(u.dir, func(p string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		b.WriteString(p + " " + info.Mode().String())
		// Git sets the time of a loose object that it would have written were
		// it not there, so that gc keeps it.
		if !strings.Contains(p, filepath.FromSlash(".git/objects/")) {
			b.WriteString(" " + info.ModTime().String())
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return b.String()
}

func (u *user) mustOpen(opts Options) *Repo {
	u.t.Helper()
	r, err := u.open(opts)
	if err != nil {
		u.t.Fatal(err)
	}
	return r
}

func (u *user) checkout(r *Repo, order Order) *user {
	u.t.Helper()
	dest := filepath.Join(u.t.TempDir(), "dest")
	if err := r.Checkout(u.t.Context(), dest, order); err != nil {
		u.t.Fatal(err)
	}
	d := &user{u.t, u.t.TempDir(), dest}
	// Without git folders it is the same.
	bare := filepath.Join(u.t.TempDir(), "bare")
	if err := r.Extract(u.t.Context(), bare); err != nil {
		u.t.Fatal(err)
	}
	u.in(bare).wantFiles(d.content())
	if _, err := os.Lstat(filepath.Join(bare, ".git")); err == nil {
		u.t.Error("Extract made a .git")
	}
	return d
}

// content maps a tree's files to "mode content", without git folders.
func (u *user) content() map[string]string {
	u.t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(u.dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".git" {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		rel, _ := filepath.Rel(u.dir, p)
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(p)
			m[rel] = "-> " + target
			return err
		case info.Mode().IsRegular():
			data, err := os.ReadFile(p)
			x := "- "
			if info.Mode()&0o100 != 0 {
				x = "x "
			}
			m[rel] = x + string(data)
			return err
		}
		return nil
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return m
}

func (u *user) wantFiles(want map[string]string) {
	u.t.Helper()
	got := u.content()
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			u.t.Errorf("%s: got %q, want %q", name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			u.t.Errorf("%s: should not be there", name)
		}
	}
}

func wantErr(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	text := err.Error()
	var h interface{ Remedy() string }
	if errors.As(err, &h) {
		text += " | hint: " + h.Remedy()
	}
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("error %q: want %q in it", text, p)
		}
	}
}

func TestClean(t *testing.T) {
	u := newUser(t).module()
	u.write(".gitignore", "*.log\n")
	u.write("run.sh", "#!/bin/sh\n")
	u.git("add", "-A")
	u.git("update-index", "--chmod=+x", "run.sh")
	if runtime.GOOS != "windows" {
		os.Chmod(filepath.Join(u.dir, "run.sh"), 0o755)
		os.Symlink("../outside", filepath.Join(u.dir, "link"))
	}
	u.commit("a/b/c.txt", "a.txt", "a/z")
	u.write("ignored.log", "x")
	u.git("tag", "-a", "-m", "x", "v1.2.3")
	u.git("remote", "add", "origin", "https://user:secret@example.com/m.git")

	r := u.mustOpen(Options{})
	src := r.Identity()
	if src.Commit != u.git("rev-parse", "HEAD") || src.Tree != u.git("rev-parse", "HEAD^{tree}") || src.Dir != "." {
		t.Errorf("source %+v", src)
	}
	if r.Tag() != "v1.2.3" || r.Version() != "1.2.3" || r.Dirty() || r.Remote() != "https://example.com/m.git" || r.Root() != u.dir {
		t.Errorf("tag %q version %q dirty %v remote %q root %q", r.Tag(), r.Version(), r.Dirty(), r.Remote(), r.Root())
	}
	if got := r.Time().String(); got != "2026-01-02 13:04:05 +0000 UTC" {
		t.Errorf("time %s", got)
	}
	want := u.content()
	delete(want, "ignored.log")
	for _, order := range []Order{Sorted, Reversed} {
		d := u.checkout(r, order)
		d.wantFiles(want)
		if out := d.git("status", "--porcelain", "--ignored"); out != "" {
			t.Errorf("order %d: status %q", order, out)
		}
		if d.git("rev-parse", "HEAD") != src.Commit || d.git("describe", "--tags") != "v1.2.3" || d.git("rev-list", "--count", "HEAD") != "2" {
			t.Error("history or tags are not there")
		}
		d.git("fsck", "--full", "--strict")
		if conf, _ := os.ReadFile(filepath.Join(d.dir, ".git", "config")); strings.Contains(string(conf), "secret") || strings.Contains(string(conf), "remote") {
			t.Errorf("config:\n%s", conf)
		}
	}
	// It stands on its own.
	d := u.checkout(r, Sorted)
	os.RemoveAll(u.dir)
	os.RemoveAll(r.top.scratch)
	d.git("fsck", "--full")
}

// TestCheckoutOrder watches when files are made: enough of them, so that the
// first and the last one do not fall into one tick of the clock.
func TestCheckoutOrder(t *testing.T) {
	u := newUser(t).module()
	for i := range 3000 {
		u.write(fmt.Sprintf("many/%04d", i), "x")
	}
	u.commit()
	r := u.mustOpen(Options{})
	for order, want := range map[Order]int{Sorted: -1, Reversed: 1} {
		d := u.checkout(r, order)
		first, err := os.Stat(filepath.Join(d.dir, "many", "0000"))
		if err != nil {
			t.Fatal(err)
		}
		last, err := os.Stat(filepath.Join(d.dir, "many", "2999"))
		if err != nil {
			t.Fatal(err)
		}
		if got := first.ModTime().Compare(last.ModTime()); got != want {
			t.Errorf("order %d: the first file compares as %d with the last, want %d", order, got, want)
		}
	}
	if err := r.Checkout(t.Context(), filepath.Join(t.TempDir(), "x"), Order(7)); err == nil {
		t.Error("an unknown order was accepted")
	}
	full := t.TempDir()
	os.WriteFile(filepath.Join(full, "x"), nil, 0o666)
	wantErr(t, r.Checkout(t.Context(), full, Sorted), "not empty")
}

// TestWorkTree changes a work tree in one way each. Without a snapshot that is
// an error naming the file; a snapshot has the change in it.
func TestWorkTree(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(u *user)
		err    string
		dirty  bool
		file   string // changed file, and what a snapshot has there, "" for nothing
		want   string
	}{
		{"modified", func(u *user) { u.write("f", "new\n") }, "modified: f", true, "f", "- new\n"},
		{"same size and time", func(u *user) { // as if all happened in one tick of the clock
			f, index := filepath.Join(u.dir, "f"), filepath.Join(u.dir, ".git", "index")
			os.Chtimes(f, fixed, fixed)
			u.git("add", "f")
			u.write("f", "F\n")
			os.Chtimes(f, fixed, fixed)
			os.Chtimes(index, fixed, fixed)
		}, "modified: f", true, "f", "- F\n"},
		{"staged", func(u *user) { u.write("f", "new\n"); u.git("add", "f") }, "modified: f", true, "f", "- new\n"},
		{"staged, then modified", func(u *user) { u.write("f", "new\n"); u.git("add", "f"); u.write("f", "newer\n") }, "modified: f", true, "f", "- newer\n"},
		{"staged, then put back", func(u *user) { u.write("f", "new\n"); u.git("add", "f"); u.write("f", "f\n") }, "modified: f", false, "f", "- f\n"},
		{"added", func(u *user) { u.write("g", "g\n"); u.git("add", "g") }, "modified: g", true, "g", "- g\n"},
		{"intent to add", func(u *user) { u.write("g", "g\n"); u.git("add", "-N", "g") }, "modified: g", true, "g", "- g\n"},
		{"deleted", func(u *user) { os.Remove(filepath.Join(u.dir, "f")) }, "modified: f", true, "f", ""},
		{"deletion staged", func(u *user) { u.git("rm", "-q", "f") }, "modified: f", true, "f", ""},
		{"removed from the index alone", func(u *user) { u.git("rm", "-q", "--cached", "f") }, "modified: f", true, "f", ""},
		{"renamed", func(u *user) { u.git("mv", "f", "g") }, "modified: f, g", true, "g", "- f\n"},
		{"mode", func(u *user) { os.Chmod(filepath.Join(u.dir, "f"), 0o755) }, "modified: f", true, "f", "x f\n"},
		{"file to link", func(u *user) {
			os.Remove(filepath.Join(u.dir, "f"))
			os.Symlink("go.mod", filepath.Join(u.dir, "f"))
		}, "modified: f", true, "f", "-> go.mod"},
		{"touched", func(u *user) { os.Chtimes(filepath.Join(u.dir, "f"), fixed, fixed) }, "", false, "f", "- f\n"},
		{"untracked", func(u *user) { u.write("dir/new", "x") }, "untracked: dir/new", false, "dir/new", ""},
		{"untracked repository", func(u *user) { u.git("init", "-q", filepath.Join(u.dir, "inner")) }, "untracked: inner/", false, "inner", ""},
		{"ignored by .gitignore", func(u *user) { u.write("x.log", "x") }, "", false, "x.log", ""},
		{"ignored by info/exclude", func(u *user) { u.write(".git/info/exclude", "mine\n"); u.write("mine", "x") }, "", false, "mine", ""},
		{"ignored by the user", func(u *user) {
			u.write("../.config/git/ignore", "*.swp\n")
			u.write("f.swp", "x")
		}, "", false, "f.swp", ""},
		{"ignored by core.excludesFile", func(u *user) {
			u.write("../.ignores", "*.swp\n")
			u.git("config", "--global", "core.excludesFile", "~/.ignores")
			u.write("f.swp", "x")
		}, "", false, "f.swp", ""},
		{"our own output", func(u *user) { u.write("out [1]/dist/a", "x"); u.write("out [1]/dist/.git/HEAD", "x") }, "", false, "out [1]/dist/a", ""},
		{"beside our own output", func(u *user) { u.write("out [1]/dist2/a", "x") }, `untracked: "out [1]/dist2/a"`, false, "out [1]/dist2/a", ""},
		{"assume-unchanged", func(u *user) { u.git("update-index", "--assume-unchanged", "f"); u.write("f", "new\n") }, "", false, "f", "- f\n"},
		{"split index", func(u *user) { u.git("update-index", "--split-index"); u.write("f", "new\n"); u.git("add", "f") }, "modified: f", true, "f", "- new\n"},
		{"untracked cache", func(u *user) { u.git("update-index", "--force-untracked-cache"); u.git("status"); u.write("new", "x") }, "untracked: new", false, "new", ""},
		{"weird names", func(u *user) { u.write("a\nb\t\"c\" é", "x"); u.git("add", "-A") }, `modified: "a\nb\t\"c\" é"`, true, "a\nb\t\"c\" é", "- x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("modes, links and names of another system")
			}
			u := newUser(t).module()
			u.write(".gitignore", "*.log\n")
			u.commit("f")
			u.git("tag", "v1.0.0")
			tt.change(u)
			opts := Options{Ignore: []string{filepath.Join(u.dir, "out [1]", "dist"), filepath.Join(u.dir, "none")}}
			_, err := u.open(opts)
			if tt.err == "" && err != nil {
				t.Fatal(err)
			}
			if tt.err != "" {
				wantErr(t, err, tt.err, "--snapshot")
			}

			opts.Snapshot, opts.Scratch = true, ""
			r := u.mustOpen(opts)
			if r.Dirty() != tt.dirty || strings.HasSuffix(r.Version(), ".dirty") != tt.dirty || (r.Tag() == "") != tt.dirty {
				t.Errorf("dirty %v, version %s, tag %q", r.Dirty(), r.Version(), r.Tag())
			}
			if strings.HasPrefix(tt.err, "modified") != (len(r.Modified()) > 0) || strings.HasPrefix(tt.err, "untracked") != (len(r.Untracked()) > 0 && len(r.Modified()) == 0) {
				t.Errorf("modified %q, untracked %q", r.Modified(), r.Untracked())
			}
			d := u.checkout(r, Reversed)
			if got := d.content()[filepath.FromSlash(tt.file)]; got != tt.want {
				t.Errorf("%s: %q, want %q", tt.file, got, tt.want)
			}
			if got := d.git("status", "--porcelain"); (got != "") != tt.dirty {
				t.Errorf("status %q", got)
			}
			if got := d.git("write-tree"); got != r.Identity().Tree {
				t.Errorf("tree %s, want %s", got, r.Identity().Tree)
			}
			d.git("fsck", "--full")
		})
	}
}

func TestManyNames(t *testing.T) {
	u := newUser(t).module()
	for c := 'a'; c <= 'p'; c++ {
		u.write("new/"+string(c), "x")
	}
	_, err := u.open(Options{})
	wantErr(t, err, "new/j and 6 more")
	if r := u.mustOpen(Options{Snapshot: true}); len(r.Untracked()) != 10 {
		t.Errorf("untracked %q", r.Untracked())
	}
}

// TestLineEndings has work trees whose bytes differ from git's and that the
// user's git calls unmodified.
func TestLineEndings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		global bool
	}{{"global", true}, {"local", false}} {
		t.Run("autocrlf "+tt.name, func(t *testing.T) {
			u := newUser(t)
			scope := "--local"
			if tt.global {
				scope = "--global"
			}
			u.module()
			u.git("config", scope, "core.autocrlf", "true")
			os.Remove(filepath.Join(u.dir, "main.go"))
			u.git("checkout", "-q", ".")
			u.write("main.go", "package main\r\n\r\nfunc main() {}\r\n") // new stat data, so git has to look
			if data := u.content()["main.go"]; !strings.Contains(data, "\r\n") {
				t.Fatalf("the premise: %q", data)
			}
			r := u.mustOpen(Options{})
			u.checkout(r, Sorted).wantFiles(map[string]string{
				"go.mod": "- module example.com/m\n\ngo 1.26\n", "main.go": "- package main\n\nfunc main() {}\n"})

			u.write("main.go", "package main\r\n\r\nfunc main() { }\r\n")
			r = u.mustOpen(Options{Snapshot: true})
			if got := u.checkout(r, Sorted).content()["main.go"]; got != "- package main\n\nfunc main() { }\n" {
				t.Errorf("snapshot: %q", got)
			}
		})
	}
	t.Run("without the setting", func(t *testing.T) { // the same bytes are a change then
		u := newUser(t).module()
		u.write("main.go", "package main\r\n\r\nfunc main() {}\r\n")
		_, err := u.open(Options{})
		wantErr(t, err, "modified: main.go")
	})
	t.Run("attributes", func(t *testing.T) {
		u := newUser(t).module()
		u.write(".gitattributes", "*.bat text eol=crlf\n*.txt text\n")
		u.write("sub/.gitattributes", "*.bat text eol=lf\n")
		u.write("a.bat", "x\r\ny\r\n")
		u.write("sub/a.bat", "x\n")
		u.write("a.txt", "x\n")
		u.commit()
		r := u.mustOpen(Options{})
		for _, order := range []Order{Sorted, Reversed} {
			d := u.checkout(r, order)
			d.wantFiles(u.content())
			if s := d.git("status", "--porcelain"); s != "" {
				t.Errorf("order %d: status %q", order, s)
			}
		}
	})
	t.Run("attributes that the content breaks", func(t *testing.T) {
		u := newUser(t).module()
		u.write("a.txt", "x\r\n")
		u.commit()
		u.write(".gitattributes", "a.txt text\n")
		u.git("add", ".gitattributes")
		u.git("commit", "-q", "-m", "x")
		u.git("update-index", "--assume-unchanged", "a.txt")
		r := u.mustOpen(Options{})
		for range 3 { // whatever the clock says
			wantErr(t, r.Checkout(t.Context(), t.TempDir(), Sorted), "a.txt", "renormalize")
		}
	})
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(u *user)
		opts  Options
		want  []string
	}{
		{"unborn", func(u *user) {}, Options{}, []string{"no commit at HEAD"}},
		{"bare", func(u *user) {
			u.module()
			u.git("clone", "-q", "--bare", u.dir, u.dir+".git")
			u.dir += ".git"
		}, Options{}, []string{"bare"}},
		{"git folder", func(u *user) { u.module(); u.dir = filepath.Join(u.dir, ".git") }, Options{}, []string{"not in the work tree"}},
		{"no repository", func(u *user) { u.dir = u.t.TempDir() }, Options{}, []string{"not a git repository"}},
		{"no folder", func(u *user) {
			u.module()
			u.dir = filepath.Join(u.dir, "none")
			os.Mkdir(u.dir, 0o777)
			os.Remove(u.dir)
			u.dir += "/x"
		}, Options{}, nil},
		{"shallow", func(u *user) {
			u.module()
			u.commit("x")
			u.git("clone", "-q", "--depth=1", "file://"+u.dir, u.dir+"2")
			u.dir += "2"
		}, Options{}, []string{"shallow", "--unshallow"}},
		{"no go.mod", func(u *user) { u.commit("x") }, Options{}, []string{"go.mod: not in the tree", "hint: commit go.mod"}},
		{"no go.mod in folder", func(u *user) { u.module(); u.commit("sub/x") }, Options{Dir: "sub"}, []string{"sub/go.mod: not in the tree"}},
		{"go.mod untracked", func(u *user) { u.commit("x"); u.write("go.mod", "module x\n") }, Options{Snapshot: true}, []string{"go.mod: not in the tree"}},
		{"go.mod a link", func(u *user) { u.write("x", "module x\n"); os.Symlink("x", filepath.Join(u.dir, "go.mod")); u.commit() }, Options{}, []string{"not a regular file"}},
		{"outside", func(u *user) { u.module() }, Options{Dir: "../x"}, []string{"outside"}},
		{"absolute", func(u *user) { u.module() }, Options{Dir: "/x"}, []string{"outside"}},
		{"unmerged", func(u *user) {
			u.module()
			u.commit("f")
			u.git("checkout", "-q", "-b", "other")
			u.write("f", "1\n")
			u.commit()
			u.git("checkout", "-q", "main")
			u.write("f", "2\n")
			u.commit()
			cmd := exec.Command("git", "merge", "other")
			cmd.Dir, cmd.Env = u.dir, u.env()
			if cmd.Run() == nil {
				u.t.Fatal("merged")
			}
		}, Options{Snapshot: true}, []string{"unmerged: f"}},
		{"name not UTF-8", func(u *user) { u.module(); u.commit("a\xffb") }, Options{}, []string{`"a\xffb": not valid UTF-8`}},
		{"lfs", func(u *user) {
			u.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
			u.write("a.bin", pointer)
			u.module()
		}, Options{}, []string{"Git LFS", "a.bin", `lfs = "pointers"`}},
		{"another filter", func(u *user) {
			u.write("sub/.gitattributes", "secret* filter=git-crypt\n")
			u.write("sub/secret", "x")
			u.module()
		}, Options{LFSPointers: true}, []string{`"git-crypt"`, "sub/secret"}},
		{"output around the repository", func(u *user) { u.module() }, Options{Ignore: []string{"/"}}, []string{"choose another --out"}},
		{"relative output", func(u *user) { u.module() }, Options{Ignore: []string{"dist"}}, []string{"not absolute"}},
		{"scratch in use", func(u *user) { u.module() }, Options{Scratch: "testdata"}, []string{"not empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUser(t)
			tt.setup(u)
			if tt.opts.Scratch == "" {
				tt.opts.Scratch = t.TempDir()
			} else {
				tt.opts.Scratch = u.dir
			}
			_, err := Open(t.Context(), u.as(), u.dir, tt.opts)
			wantErr(t, err, tt.want...)
		})
	}
	t.Run("git missing", func(t *testing.T) {
		for _, p := range []string{"", "git", filepath.Join(t.TempDir(), "git")} {
			_, err := Open(t.Context(), Git{Path: p}, t.TempDir(), Options{Scratch: t.TempDir()})
			wantErr(t, err, "git: not found", "install git")
		}
	})
}

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\nsize 4\n"

func TestLFSPointers(t *testing.T) {
	u := newUser(t)
	u.write(".gitattributes", "*.bin filter=lfs\n")
	u.write("a.bin", pointer)
	u.module()
	u.checkout(u.mustOpen(Options{LFSPointers: true}), Sorted).wantFiles(u.content())

	u.write("a.bin", "test") // what the pointer stands for
	for _, snapshot := range []bool{false, true} {
		r := u.mustOpen(Options{LFSPointers: true, Snapshot: snapshot})
		if r.Dirty() || len(r.Modified()) > 0 {
			t.Errorf("modified %q", r.Modified())
		}
		if got := u.checkout(r, Sorted).content()["a.bin"]; got != "- "+pointer {
			t.Errorf("a.bin %q", got)
		}
	}
	u.write("a.bin", "tess")
	_, err := u.open(Options{LFSPointers: true, Snapshot: true})
	wantErr(t, err, "a.bin", "LFS", "commit it")
}

// TestTagsAtHead has tags that release nothing.
func TestTagsAtHead(t *testing.T) {
	u := newUser(t).module()
	u.git("tag", "v1.0")
	u.git("tag", "nightly")
	u.git("tag", "v0.9.0")
	r := u.mustOpen(Options{})
	if got := strings.Join(r.TagsAtHead(), " "); got != strings.Join(strings.Fields(u.git("tag", "--points-at=HEAD")), " ") || !strings.Contains(got, "v1.0") || r.Tag() != "v0.9.0" || r.HighestVersion() != "v0.9.0" {
		t.Errorf("tags %s, of which %s; before %s", got, r.Tag(), r.HighestVersion())
	}
	u.write("main.go", "package main\n")
	if r = u.mustOpen(Options{Snapshot: true}); r.Tag() != "" || len(r.TagsAtHead()) < 3 || r.HighestVersion() != "v0.9.0" {
		t.Errorf("dirty: tags %q, of which %q; before %q", r.TagsAtHead(), r.Tag(), r.HighestVersion())
	}
	u.commit("main.go")
	if r = u.mustOpen(Options{}); len(r.TagsAtHead()) != 0 || r.HighestVersion() != "v0.9.0" {
		t.Errorf("after the tag: tags %q; before %q", r.TagsAtHead(), r.HighestVersion())
	}
}

func TestWorktreeAndDetached(t *testing.T) {
	u := newUser(t).module()
	u.git("tag", "v0.1.0")
	u.commit("one")
	linked := filepath.Join(u.home, "linked")
	u.git("worktree", "add", "-q", "--detach", linked, "v0.1.0")
	u.write("untracked", "only here")
	w := u.in(linked)
	r := w.mustOpen(Options{})
	if r.Tag() != "v0.1.0" || r.Root() != linked || !r.Linked() {
		t.Errorf("tag %q root %q linked %v", r.Tag(), r.Root(), r.Linked())
	}
	if m := u.mustOpen(Options{Snapshot: true}); m.Linked() {
		t.Error("the main work tree is called linked")
	}
	d := u.checkout(r, Sorted)
	d.wantFiles(w.content())
	if info, err := os.Stat(filepath.Join(d.dir, ".git")); err != nil || !info.IsDir() {
		t.Error("no git folder")
	}
	w.write("main.go", "package main\n")
	_, err := w.open(Options{})
	wantErr(t, err, "modified: main.go")
}

// TestInside has the scratch folder, an output that is a symbolic link, and the
// destination in the work tree itself.
func TestInside(t *testing.T) {
	u := newUser(t).module()
	want := u.content()
	own := filepath.Join(u.dir, "dist.staging")
	if err := os.Symlink(t.TempDir(), filepath.Join(u.dir, "dist")); err != nil {
		t.Skip(err)
	}
	os.Mkdir(own, 0o777)
	for i := range 2 { // the second time with what the first one left there
		opts := Options{Scratch: filepath.Join(own, "scratch", fmt.Sprint(i)), Ignore: []string{own, filepath.Join(u.dir, "dist")}}
		r, err := Open(t.Context(), u.as(), u.dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		d := u.in(filepath.Join(own, "pass", fmt.Sprint(i)))
		if err := r.Checkout(t.Context(), d.dir, Sorted); err != nil {
			t.Fatal(err)
		}
		d.wantFiles(want)
		if got := d.git("rev-parse", "--show-toplevel"); got != d.dir {
			t.Errorf("repository %s", got)
		}
	}
}

func TestSHA256(t *testing.T) {
	u := newUser(t)
	os.RemoveAll(u.dir)
	u.git("init", "-q", "-b", "main", "--object-format=sha256", u.dir)
	u.module()
	u.git("tag", "v1.0.0")
	r := u.mustOpen(Options{})
	d := u.checkout(r, Sorted)
	d.wantFiles(u.content())
	if len(r.Identity().Commit) != 64 || r.Tag() != "v1.0.0" || d.git("rev-parse", "HEAD") != r.Identity().Commit {
		t.Errorf("source %+v", r.Identity())
	}
}

// TestBorrowed has a repository that borrows its objects from another one.
func TestBorrowed(t *testing.T) {
	u := newUser(t).module()
	u.commit("x")
	u.git("clone", "-q", "--shared", u.dir, u.dir+"2")
	v := u.in(u.dir + "2")
	v.git("clone", "-q", "--shared", v.dir, u.dir+"3")
	w := u.in(u.dir + "3")
	d := u.checkout(w.mustOpen(Options{}), Sorted)
	os.RemoveAll(u.dir)
	os.RemoveAll(v.dir)
	d.git("fsck", "--full")
}

func TestSparse(t *testing.T) {
	for _, index := range []string{"--no-sparse-index", "--sparse-index"} {
		t.Run(index, func(t *testing.T) {
			u := newUser(t).module()
			u.commit("in/a", "out/b", "out/c/d")
			want := u.content()
			u.git("sparse-checkout", "init", "--cone", index)
			u.git("sparse-checkout", "set", "in")
			if _, ok := u.content()["out/b"]; ok {
				t.Fatal("not sparse")
			}
			u.checkout(u.mustOpen(Options{}), Sorted).wantFiles(want)
			u.write("out/b", "back again\n")
			_, err := u.open(Options{})
			wantErr(t, err, "modified: out/b")
			u.write("in/a", "changed\n")
			r := u.mustOpen(Options{Snapshot: true})
			want["in/a"], want["out/b"] = "- changed\n", "- back again\n"
			u.checkout(r, Sorted).wantFiles(want)
		})
	}
}

func TestPartialClone(t *testing.T) {
	u := newUser(t).module()
	u.write("f", "1\n")
	u.commit()
	u.write("f", "2\n")
	u.commit()
	u.git("config", "uploadpack.allowFilter", "true")
	u.git("clone", "-q", "--filter=blob:none", "file://"+u.dir, u.dir+"2")
	r, err := u.in(u.dir + "2").open(Options{})
	if err == nil {
		err = r.Checkout(t.Context(), t.TempDir(), Sorted)
	}
	wantErr(t, err, "--filter")
}

// TestForgedObjects has an object whose content is not what its name says, as a
// damaged disk or somebody with access to the object store would make it.
func TestForgedObjects(t *testing.T) {
	u := newUser(t).module()
	good := u.git("rev-parse", "HEAD:main.go")
	u.write("../evil", "package main\n\nfunc main() { panic(1) }\n")
	evil := u.git("hash-object", "-w", "../evil")
	path := func(oid string) string { return filepath.Join(u.dir, ".git", "objects", oid[:2], oid[2:]) }
	data, err := os.ReadFile(path(evil))
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path(good))
	if err := os.WriteFile(path(good), data, 0o444); err != nil {
		t.Fatal(err)
	}
	r := u.mustOpen(Options{})
	wantErr(t, r.Checkout(t.Context(), t.TempDir(), Sorted), "damaged", good)
	wantErr(t, r.Extract(t.Context(), t.TempDir()), "damaged", good)
}

// TestHostileRepository has a configuration that names commands wherever it
// can, and is somebody else's where that can be arranged. None may run.
func TestHostileRepository(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	u := newUser(t).module()
	sub := newUser(t)
	sub.commit("s")
	u.git("submodule", "--quiet", "add", sub.dir, "sub")
	u.write(".gitattributes", "main.go filter=evil diff=evil merge=evil\n")
	u.commit()
	u.write(".gitattributes", "x filter=evil\n")
	u.git("commit", "-qam", "x")
	marker := filepath.Join(u.home, "ran")
	script := filepath.Join(u.home, "evil.sh")
	os.WriteFile(script, []byte("#!/bin/sh\necho \"$0 $*\" >>"+marker+"\ncat\n"), 0o755)
	for _, dir := range []string{u.dir, filepath.Join(u.dir, "sub")} {
		v := u.in(dir)
		hooks := filepath.Join(v.git("rev-parse", "--absolute-git-dir"), "hooks")
		os.MkdirAll(hooks, 0o777)
		for _, h := range []string{"post-index-change", "post-checkout", "pre-commit", "reference-transaction", "fsmonitor-watchman", "pre-auto-gc"} {
			os.WriteFile(filepath.Join(hooks, h), []byte("#!/bin/sh\necho hook >>"+marker+"\n"), 0o755)
		}
		v.write("info", "")
		os.Remove(filepath.Join(dir, "info"))
		for _, k := range []string{"core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.external", "diff.evil.textconv",
			"core.sshCommand", "core.pager", "core.editor", "core.gitProxy", "core.askPass", "credential.helper", "gpg.program", "uploadpack.packObjectsHook",
			"core.alternateRefsCommand", "pager.log", "pager.config", "alias.status"} {
			v.git("config", k, script)
		}
		v.git("config", "log.showSignature", "true")
		v.git("config", "core.hooksPath", hooks)
		v.git("config", "filter.evil.required", "true")
		os.WriteFile(filepath.Join(v.git("rev-parse", "--absolute-git-dir"), "info", "attributes"), []byte("* filter=evil diff=evil\n"), 0o666)
	}
	os.Remove(marker)
	future := fixed.AddDate(50, 0, 0)
	os.Chtimes(filepath.Join(u.dir, "main.go"), future, future) // git has to look into it
	os.Chtimes(filepath.Join(u.dir, "sub", "s"), future, future)
	if os.Getuid() == 0 {
		filepath.WalkDir(u.dir, func(p string, _ os.DirEntry, _ error) error { return os.Lchown(p, 12345, 12345) })
	}
	for _, snapshot := range []bool{false, true} {
		r := u.mustOpen(Options{Snapshot: snapshot})
		d := u.checkout(r, Sorted)
		if snapshot == r.Dirty() && snapshot {
			t.Error("dirty")
		}
		d.git("status")
		if data, err := os.ReadFile(marker); err == nil {
			t.Fatalf("ran:\n%s", data)
		}
	}
	os.WriteFile(filepath.Join(u.dir, "main.go"), []byte("package main\n\nfunc main() { }\n"), 0o666)
	r := u.mustOpen(Options{Snapshot: true})
	u.checkout(r, Sorted)
	if data, err := os.ReadFile(marker); err == nil {
		t.Fatalf("ran:\n%s", data)
	}
	// The trap is armed: the user's own git does run them.
	cmd := exec.Command("git", "-c", "safe.directory=*", "status")
	cmd.Dir, cmd.Env = u.dir, u.env()
	cmd.Run()
	if _, err := os.Stat(marker); err != nil {
		t.Error("nothing would have run in any case")
	}
}
