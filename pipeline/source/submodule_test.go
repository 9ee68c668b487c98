package source

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// nested makes a repository with a submodule in a submodule.
func nested(t *testing.T) *user {
	inner, middle, u := newUser(t), newUser(t), newUser(t)
	inner.commit("i")
	middle.commit("m")
	middle.git("submodule", "--quiet", "add", inner.dir, "deep/inner")
	middle.commit()
	u.module()
	u.git("submodule", "--quiet", "add", middle.dir, "mid dle")
	u.git("submodule", "--quiet", "update", "--init", "--recursive")
	u.commit()
	return u
}

func TestSubmodules(t *testing.T) {
	u := nested(t)
	r := u.mustOpen(Options{})
	for _, order := range []Order{Sorted, Reversed} {
		d := u.checkout(r, order)
		d.wantFiles(u.content())
		if s := d.git("status", "--porcelain"); s != "" {
			t.Errorf("status %q", s)
		}
		s := d.in(filepath.Join(d.dir, "mid dle", "deep", "inner"))
		if got := s.git("rev-parse", "--show-toplevel"); got != s.dir {
			t.Errorf("the inner submodule's repository is %s", got)
		}
		s.git("fsck", "--full")
		s.write("i", "changed\n")
		if d.git("status", "--porcelain") == "" {
			t.Error("a change in a submodule does not show")
		}
	}
	// Two passes at once, as in a release.
	fresh := u.mustOpen(Options{})
	var passes [2]error
	var wg sync.WaitGroup
	for i := range passes {
		dest := filepath.Join(t.TempDir(), "pass")
		wg.Go(func() { passes[i] = fresh.Checkout(t.Context(), dest, Order(i)) })
	}
	wg.Wait()
	if passes != [2]error{} {
		t.Errorf("two at once: %v", passes)
	}
	// From a linked worktree, which has submodules of its own.
	linked := filepath.Join(u.home, "linked")
	u.git("worktree", "add", "-q", linked)
	w := u.in(linked)
	_, err := w.open(Options{})
	wantErr(t, err, "not checked out", "git submodule update --init --recursive")
	w.git("submodule", "--quiet", "update", "--init", "--recursive")
	u.checkout(w.mustOpen(Options{}), Sorted).wantFiles(u.content())
}

func TestShallowSubmodule(t *testing.T) {
	sub, u := newUser(t), newUser(t)
	sub.commit("a")
	sub.commit("b")
	u.module()
	u.git("submodule", "--quiet", "add", "--depth=1", "file://"+sub.dir, "sub")
	u.commit()
	d := u.checkout(u.mustOpen(Options{}), Sorted)
	d.wantFiles(u.content())
	if s := d.git("status", "--porcelain"); s != "" {
		t.Errorf("status %q", s)
	}
}

func TestSubmoduleChanges(t *testing.T) {
	inner := filepath.FromSlash("mid dle/deep/inner")
	original := nested(t) // slow to make, quick to copy: submodules are found by relative paths
	for _, tt := range []struct {
		name     string
		change   func(u *user)
		err      string
		snapshot string // its error; "" if there is none
		dirty    bool
	}{
		{"modified", func(u *user) { u.write("mid dle/deep/inner/i", "x") }, `modified: "mid dle", "mid dle/deep/inner/i"`, "cannot be part of a snapshot", false},
		{"untracked", func(u *user) { u.write("mid dle/deep/inner/new", "x") }, `untracked: "mid dle/deep/inner/new"`, "", false},
		{"new commit", func(u *user) { u.in(filepath.Join(u.dir, "mid dle")).commit("m2") }, `modified: "mid dle"`, "", true},
		{"new commit staged", func(u *user) { u.in(filepath.Join(u.dir, "mid dle")).commit("m2"); u.git("add", "-A") }, `modified: "mid dle"`, "", true},
		{"removed", func(u *user) { u.git("rm", "-q", "mid dle") }, `modified: .gitmodules, "mid dle"`, "", true},
		{"emptied", func(u *user) { u.git("submodule", "--quiet", "deinit", "-f", "mid dle") }, "not checked out", "not checked out", false},
		{"gone", func(u *user) { os.RemoveAll(filepath.Join(u.dir, inner)) }, "not checked out", "not checked out", false},
		{"a link to another repository", func(u *user) {
			os.Rename(filepath.Join(u.dir, inner), filepath.Join(u.home, "elsewhere"))
			os.Symlink(filepath.Join(u.home, "elsewhere"), filepath.Join(u.dir, inner))
		}, "not checked out", "not checked out", false},
		{"git file that leads nowhere", func(u *user) { u.write("mid dle/deep/inner/.git", "gitdir: /nowhere\n") }, "git submodule update", "git submodule update", false},
		{"work tree said to be elsewhere", func(u *user) { u.in(filepath.Join(u.dir, inner)).git("config", "core.worktree", u.home) }, "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(home, os.DirFS(original.home)); err != nil {
				t.Fatal(err)
			}
			u := &user{t, home, filepath.Join(home, "repo")}
			tt.change(u)
			_, err = u.open(Options{})
			if tt.name == "modified" {
				wantErr(t, err, `modified: "mid dle/deep/inner/i"`)
			} else {
				wantErr(t, err, tt.err)
			}
			r, err := u.open(Options{Snapshot: true})
			if tt.snapshot != "" || tt.err == "" {
				wantErr(t, err, tt.snapshot)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Dirty() != tt.dirty {
				t.Errorf("dirty %v", r.Dirty())
			}
			d := u.checkout(r, Sorted)
			if s := d.git("status", "--porcelain"); (s != "") != tt.dirty {
				t.Errorf("status %q", s)
			}
			if tt.dirty {
				d.wantFiles(u.content())
			}
		})
	}
}

// TestHostileSubmoduleNames: neither names in .gitmodules nor forged trees lead
// out of the destination.
func TestHostileSubmoduleNames(t *testing.T) {
	u := nested(t)
	u.git("config", "-f", ".gitmodules", "--rename-section", "submodule.mid dle", "submodule.../../../evil")
	u.git("config", "-f", ".gitmodules", "submodule.../../../evil.path", "../evil")
	u.git("config", "-f", ".gitmodules", "submodule.../../../evil.update", "!touch evil")
	u.commit()
	d := u.checkout(u.mustOpen(Options{}), Sorted)
	d.wantFiles(u.content())
	if list, _ := os.ReadDir(filepath.Dir(d.dir)); len(list) != 1 {
		t.Errorf("beside the destination: %v", list)
	}

	oid := "0123456789012345678901234567890123456789"
	for name, list := range map[string][]entry{
		"link and folder":      {{"120000", oid, "a"}, {gitlink, oid, "a/b"}},
		"submodule and folder": {{gitlink, oid, "a"}, {"100644", oid, "a/b/c"}},
		"twice":                {{"120000", oid, "a"}, {"100644", oid, "a"}},
		"up":                   {{"100644", oid, "a/../../b"}},
		"absolute":             {{"100644", oid, "/a"}},
		"mode":                 {{"100600", oid, "a"}},
		"empty":                {{"100644", oid, ""}},
	} {
		if err := checkEntries(list); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := checkEntries([]entry{{"100644", oid, "a.b"}, {"100644", oid, "a/b"}, {gitlink, oid, "a/c"}}); err != nil {
		t.Error(err)
	}

	root, out := t.TempDir(), t.TempDir()
	os.Symlink(out, filepath.Join(root, "link"))
	os.WriteFile(filepath.Join(root, "file"), nil, 0o666)
	for _, name := range []string{"link", "link/x", "file", "file/x"} {
		if at, err := realFolder(root, name); err == nil {
			t.Errorf("realFolder %s: %s", name, at)
		}
	}
	if at, err := realFolder(root, "a/b/c"); err != nil || at != filepath.Join(root, "a", "b", "c") {
		t.Errorf("%s, %v", at, err)
	}
}

func TestCancelled(t *testing.T) {
	u := newUser(t).module()
	r := u.mustOpen(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Checkout(ctx, t.TempDir(), Sorted); err == nil {
		t.Error("checkout went on")
	}
	if _, err := Open(ctx, u.as(), u.dir, Options{Scratch: t.TempDir()}); err == nil {
		t.Error("open went on")
	}
}
