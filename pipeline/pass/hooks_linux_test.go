package pass

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// fakeGo is a go command whose builds do what build.sh of the source tree says,
// with $out, the file that is asked for, and $graph, the action graph.
const fakeGo = `#!/bin/sh
for arg; do
	case $previous in -o) out=$arg ;; esac
	case $arg in -debug-actiongraph=*) graph=${arg#*=} ;; esac
	previous=$arg
done
. ./build.sh
`

// honest is what a build leaves that does its work.
const honest = `echo program >$out; echo [] >$graph` + "\n"

// fakeLocal is newLocal with a go command that runs build.sh.
func fakeLocal(t *testing.T, c Confinement, source map[string]string, hooks ...string) *Local {
	t.Helper()
	var list [][]string
	for _, script := range hooks {
		list = append(list, []string{"sh", "-c", script})
	}
	l := newLocal(t, c, source, list...)
	write(t, l.GOROOT, map[string]string{"bin/go": fakeGo})
	return l
}

// fakeJob is one binary for the fake go command.
func fakeJob() Job {
	target := matrix.Target{OS: "linux", Arch: "amd64"}
	return Job{Binaries: []Binary{{ImportPath: "m.example/x", Recipe: recipe.Recipe{
		Argv: []string{"go", "build", "./x"}, Env: recipe.ClosedEnv(), Target: target, Binary: "x",
	}}}}
}

// content returns what is stored of an artifact.
func content(t *testing.T, l *Local, a artifact.Artifact) string {
	t.Helper()
	f, err := l.Store.Open(a.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestHooksReachNoBuild: a build sees nothing that a hook writes outside of the source: in its
// home, its temporary folder or its cache, in the caches and folders of builds, by their names or
// through a link that lies in wait.
func TestHooksReachNoBuild(t *testing.T) {
	// Each place gets a file. Where a build's folder will be, it gets a link to one.
	const hook = `
echo hook >$HOME/left; echo hook >$TMPDIR/left; echo hook >$GOCACHE/left; mkdir -p $HOME/.config/go && echo hook >$HOME/.config/go/left
test -w /tmp && test -e /a && echo hook >/tmp/left
for top in $HOME $TMPDIR $GOCACHE; do
	for up in .. ../.. ../../..; do
		for name in linux_amd64 commands cache/linux_amd64 home/linux_amd64 tmp/linux_amd64; do
			mkdir -p $top/$up/$name && echo hook >$top/$up/$name/left
		done
	done
done 2>/dev/null
true
`
	const build = `
for dir in $HOME $HOME/.config/go $TMPDIR $GOCACHE $GOTMPDIR; do test ! -e $dir/left || { echo $dir; exit 1; }; done
test ! -e /a || test ! -e /tmp/left || exit 1
` + honest
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			for _, pass := range []Pass{A, B} {
				l := fakeLocal(t, c, map[string]string{"build.sh": build}, hook)
				s, err := l.Open(t.Context(), pass)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				res, err := s.Build(t.Context(), fakeJob())
				if err != nil {
					t.Fatalf("pass %s: %v\n%s", pass, err, res.Log)
				}
				if got := content(t, l, res.Artifacts[0]); got != "program\n" {
					t.Errorf("pass %s: %q", pass, got)
				}
			}
		})
	}
}

// TestHooksCannotAim: a link that a hook leaves where a build's output is to be does
// not lead the coordinator to a file of the user's.
func TestHooksCannotAim(t *testing.T) {
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			users := t.TempDir()
			write(t, users, map[string]string{"0/x": "#!/bin/sh\n", "0.json": "[]", "linux_amd64/0/x": "#!/bin/sh\n", "linux_amd64/0.json": "[]"})
			hook := `
for up in .. ../.. ../../..; do
	ln -s ` + users + ` $GOCACHE/$up/out/linux_amd64
	ln -s ` + users + ` $GOCACHE/$up/out
	ln -s ` + users + ` $GOCACHE/$up/results
done 2>/dev/null
true
`
			l := fakeLocal(t, c, map[string]string{"build.sh": "exit 0\n"}, hook)
			s, err := l.Open(t.Context(), A)
			if err != nil {
				if !c.writesConfined() {
					return // refused at once
				}
				t.Fatal(err)
			}
			defer s.Close()
			res, err := s.Build(t.Context(), fakeJob())
			if err == nil {
				t.Errorf("a build that built nothing: %q", content(t, l, res.Artifacts[0]))
			}
			for _, name := range []string{"0/x", "linux_amd64/0/x"} {
				if data, err := os.ReadFile(filepath.Join(users, name)); err != nil || string(data) != "#!/bin/sh\n" {
					t.Errorf("the user's %s: %q, %v", name, data, err)
				}
			}
		})
	}
}

// TestHostileOutputs: what a build leaves is read only if it is a file of its own,
// of bearable size, and what is stored is what was read, whatever else has a name
// for it.
func TestHostileOutputs(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs many passes, one after the other")
	}
	for name, c := range map[string]struct{ build, want string }{
		"honest":            {honest, ""},
		"nothing":           {"exit 0\n", "no such file"},
		"no binary":         {"echo [] >$graph\n", "no such file"},
		"no graph":          {"echo x >$out\n", "no such file"},
		"link":              {"ln -s $PWD/build.sh $out; echo [] >$graph\n", "is a link"},
		"link to a device":  {"ln -s /dev/zero $out; echo [] >$graph\n", "is a link"},
		"folder":            {"mkdir $out; echo [] >$graph\n", "no regular file"},
		"pipe":              {"mkfifo $out; echo [] >$graph\n", "no regular file"},
		"sparse":            {"truncate -s 1T $out; echo [] >$graph\n", "more than"},
		"graph of zeros":    {"echo x >$out; ln -s /dev/zero $graph\n", "is a link"},
		"graph as a pipe":   {"echo x >$out; mkfifo $graph\n", "no regular file"},
		"graph as a folder": {"echo x >$out; mkdir $graph\n", "no regular file"},
		"huge graph":        {"echo x >$out; truncate -s 1G $graph\n", "more than"},
		"link as a folder":  {"d=$(dirname $out); rmdir $d; mkdir $d.else; ln -s $d.else $d; echo x >$out; echo [] >$graph\n", "is a link"},
	} {
		t.Run(name, func(t *testing.T) {
			l := fakeLocal(t, tiers(t)["none"], map[string]string{"build.sh": c.build})
			s, err := l.Open(t.Context(), A)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			res, err := s.Build(t.Context(), fakeJob())
			if c.want == "" {
				if err != nil || content(t, l, res.Artifacts[0]) != "program\n" || string(res.Graphs[0]) != "[]\n" {
					t.Errorf("%+v, %v", res, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

// TestStoredForGood: a build keeps another name of its output and an open file; what
// it writes there afterwards is not in the store.
func TestStoredForGood(t *testing.T) {
	l := fakeLocal(t, Confinement{}, map[string]string{"build.sh": "echo program >kept; ln kept $out; echo [] >$graph\n"})
	s, err := l.Open(t.Context(), A)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	res, err := s.Build(t.Context(), fakeJob())
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.Tree(), map[string]string{"kept": "another\n"})
	if got := content(t, l, res.Artifacts[0]); got != "program\n" {
		t.Errorf("the store has %q", got)
	}
}

// TestHooksAreOver: what a hook has started does not run beside the builds.
func TestHooksAreOver(t *testing.T) {
	for tier, c := range tiers(t) {
		if !c.Namespaces {
			continue
		}
		t.Run(tier, func(t *testing.T) {
			l := fakeLocal(t, c, map[string]string{"build.sh": honest}, "setsid sleep 61.4321 >/dev/null 2>&1 & sleep 0.2; true")
			s, err := l.Open(t.Context(), A)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if sleeping() {
				t.Error("a process of a hook is left")
			}
		})
	}
}

// TestBuildsLeaveTheSource: builds cannot change what the hooks left, which is what
// the others build and what archives hold.
func TestBuildsLeaveTheSource(t *testing.T) {
	for tier, c := range tiers(t) {
		if !c.writesConfined() {
			continue
		}
		t.Run(tier, func(t *testing.T) {
			l := fakeLocal(t, c, map[string]string{"build.sh": "echo x >made || exit 7\n" + honest}, "echo x >generated")
			s, err := l.Open(t.Context(), A)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if res, err := s.Build(t.Context(), fakeJob()); err == nil {
				t.Errorf("a build has written to the source\n%s", res.Log)
			}
			list, _ := os.ReadDir(s.Tree())
			if names := slices.Collect(func(yield func(string) bool) {
				for _, e := range list {
					yield(e.Name())
				}
			}); !slices.Equal(names, []string{"build.sh", "generated"}) {
				t.Errorf("%q", names)
			}
		})
	}
}

// repository is a source tree with version control, in the tree's folder and in one
// of a submodule.
func repository(t *testing.T, dest string) {
	t.Helper()
	write(t, dest, map[string]string{
		"go.mod": "module m.example\n", "x/main.go": "package main\n", ".git/config": "laid out\n", ".git/index": "i", ".git/objects/pack/p": "p",
		"sub/.git/HEAD": "h\n", "sub/f": "f",
	})
	for name, target := range map[string]string{"within": "x/main.go", "out": "/etc/hostname", "x/up": "../../x"} {
		if err := os.Symlink(target, filepath.Join(dest, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSettle: hooks may change source files, and go.mod, go.sum, go.work and vendor are such files.
// What they do to version control is taken back. What would lead a reader of the tree elsewhere, or
// make it wait, is refused.
func TestSettle(t *testing.T) {
	const refused, other = "the hooks left ", "is a repository of its own"
	for name, c := range map[string]struct{ hook, want string }{
		"nothing":               {"true", ""},
		"source":                {"echo x >generated.go; mkdir -p a/b; echo x >a/b/c; rm -r x; mkdir vendor; echo 'replace x => ./a' >>go.mod; echo 'go 1.26' >go.work", ""},
		"links":                 {"ln -s go.mod a; ln -s ../go.mod x/b; ln -s nowhere c; mkdir d; ln -s d e; ln go.mod hard", ""},
		"link of the commit":    {"rm out; ln -s /etc/hostname out", ""},
		"settings":              {"printf '[core]\\n\\tfsmonitor = ./evil\\n' >.git/config; mkdir .git/hooks; echo x >.git/hooks/post-checkout; rm -r .git/objects", ""},
		"no repository":         {"rm -r .git sub/.git", ""},
		"repository is a link":  {"rm -r .git; ln -s /etc .git", ""},
		"repository is a file":  {"rm -r .git; echo 'gitdir: /tmp/x' >.git", ""},
		"no submodule":          {"rm -r sub", ""},
		"submodule is a link":   {"rm -r sub; ln -s x sub", ""},
		"repository":            {"mkdir -p x/.git", other},
		"repository's file":     {"echo 'gitdir: ../x' >x/.git", other},
		"repository in capital": {"mkdir -p x/.GIT", other},
		"mercurial":             {"mkdir -p .hg; echo '[hooks]' >.hg/hgrc", other},
		"fossil":                {"echo x >_FOSSIL_", other},
		"pipe":                  {"mkfifo x/pipe.go", "is no file and no folder"},
		"link out":              {"ln -s /etc/passwd x/p.go", refused},
		"link up":               {"ln -s ../../y x/p", refused},
		"link by way of links":  {"ln -s . here; mkdir s; ln -s .. s/d; ln -s s/d/../x y", refused},
		"link to a device":      {"rm go.mod; ln -s /dev/zero go.mod", refused},
		"link in a circle":      {"ln -s b a; ln -s a b", refused},
		"another target":        {"ln -sfn /etc/passwd out", refused},
		"deep":                  {"i=0; while test $i -lt 300; do mkdir d && cd d || exit 1; i=$((i+1)); done", "too deep"},
	} {
		t.Run(name, func(t *testing.T) {
			l := fakeLocal(t, Confinement{}, nil, c.hook)
			l.Checkout = func(_ context.Context, dest string, _ bool) error {
				repository(t, dest)
				return nil
			}
			s, err := l.Open(t.Context(), A)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v; want %q", err, c.want)
				}
				if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			root, err := os.OpenRoot(s.Tree())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			want := map[string]string{".git/config": "laid out\n", ".git/index": "i", ".git/objects/pack/p": "p", "sub/.git/HEAD": "h\n"}
			if strings.Contains(name, "submodule") {
				delete(want, "sub/.git/HEAD")
			}
			for file, text := range want {
				if data, err := fsx.ReadRegular(root, file, 1<<20); err != nil || string(data) != text {
					t.Errorf("%s: %q, %v", file, data, err)
				}
			}
			for _, file := range []string{".git/hooks", "x/.git"} {
				if _, err := root.Lstat(file); err == nil {
					t.Errorf("%s is there", file)
				}
			}
			if list, _ := os.ReadDir(filepath.Dir(s.Tree())); len(list) != 2 { // and the mount point
				t.Errorf("beside the tree: %v", list)
			}
		})
	}
}

// TestHostileFiles: what archives hold beside the binaries are the tree's own files.
func TestHostileFiles(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"secret": "s"})
	l := fakeLocal(t, Confinement{}, map[string]string{"conf/a": "1", "conf/d/b": "2", "c": "3", ".git/config": "4", "conf/.git/config": "4", "conf/sub/.GIT/config": "5"})
	s, err := l.Open(t.Context(), A)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conf := filepath.Join(s.Tree(), "conf")
	for name, target := range map[string]string{"link": "a", "out": outside, "up": "../c", "folder": "d", "history": ".git", "settings": ".git/config", "secret": filepath.Join(outside, "secret")} {
		if err := os.Symlink(target, filepath.Join(conf, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(conf, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(conf, "a"), 1<<40); err != nil {
		t.Fatal(err)
	}
	s.(*localSession).ConfigDir = "conf"
	for glob, want := range map[string]string{
		"link": "is a link", "folder/b": "folder: is a link", "f*/b": "folder: is a link", "s*": "is a link", "u*": "is a link", "secret": "", "up": "", "pipe": "no regular file", "a": "more than",
		"sub/*/config": "belongs to version control", "history/config": "history: is a link", "settings": "is a link",
		"out/*": "", "out/secret": "", "../c": "", "nothing": "",
	} {
		list, err := s.Files([]string{glob})
		if len(list) > 0 || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", glob, list, err, want)
		}
	}
	for dir, want := range map[string]string{"conf/out": "is no folder", "conf/history": "is no folder", ".git": "belongs to version control"} {
		s.(*localSession).ConfigDir = dir
		if list, err := s.Files([]string{"*"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", dir, list, err, want)
		}
	}
}

// TestTrialCache: trials share what their builds compiled, and no hook of one sees it.
func TestTrialCache(t *testing.T) {
	for tier, c := range tiers(t) {
		if !c.Namespaces {
			continue
		}
		t.Run(tier, func(t *testing.T) {
			const hook = `for dir in $GOCACHE $GOCACHE/.. $GOCACHE/../linux_amd64; do mkdir -p $dir && echo hook >$dir/left; done 2>/dev/null; test ! -e $GOCACHE/../linux_amd64/compiled`
			const compile = "test ! -e $GOCACHE/left || exit 1\ntest -e $GOCACHE/compiled && echo again >$out || echo first >$out\necho x >$GOCACHE/compiled; echo [] >$graph\n"
			cache := t.TempDir()
			for _, want := range []string{"first\n", "again\n"} {
				l := fakeLocal(t, c, map[string]string{"build.sh": compile}, hook)
				s, err := l.OpenTrial(t.Context(), nil, cache)
				if err != nil {
					t.Fatal(err)
				}
				res, err := s.Build(t.Context(), fakeJob())
				if err != nil || content(t, l, res.Artifacts[0]) != want {
					t.Errorf("%+v, %v; want %q", res, err, want)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if list, _ := os.ReadDir(cache); len(list) != 1 || list[0].Name() != "linux_amd64" {
				t.Errorf("the cache has %v", list)
			}
		})
	}
}
