package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// TestMain is also a run that ends at a step: see kill.
func TestMain(m *testing.M) {
	flush = func(*os.File) error { return nil }
	if dir := os.Getenv("OUTPUT_DIR"); dir != "" {
		last, _ := strconv.Atoi(os.Getenv("OUTPUT_STEP"))
		step = func(string) {
			if last--; last == 0 {
				p, _ := os.FindProcess(os.Getpid())
				p.Kill()
				select {}
			}
		}
		if os.Getenv("OUTPUT_EXCHANGE") == "no" {
			exchange = func(a, b string) error { return errors.ErrUnsupported }
		}
		if err := write(dir, os.Getenv("OUTPUT_TEXT")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// files are those of a folder of ours.
var files = []string{"a", "b/c", "ours"}

func fill(dir, text string) error {
	for _, name := range files {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// ours takes a folder with a file of that name for one of ours.
func ours(_ context.Context, dir string) error {
	if !exists(dir) || exists(filepath.Join(dir, "ours")) {
		return nil
	}
	return fault.Usage(fmt.Errorf("%s is not ours", dir))
}

// write is a whole run.
func write(dir, text string) (err error) {
	o, err := Open(context.Background(), dir, ours)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if err := fill(o.NewDir, text); err != nil {
		return err
	}
	if err := o.Replace(context.Background(), dir); err != nil {
		return err
	}
	return o.Remove(context.Background(), Rejected(dir))
}

// kill runs write in a process of its own that ends at a step, and tells whether
// there are so many.
func kill(t *testing.T, dir, text, exchange string, step int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "OUTPUT_DIR="+dir, "OUTPUT_TEXT="+text, "OUTPUT_STEP="+strconv.Itoa(step), "OUTPUT_EXCHANGE="+exchange)
	out, err := cmd.CombinedOutput()
	if len(out) > 0 {
		t.Fatalf("step %d: %s", step, out)
	}
	return err != nil
}

// read returns the text that all files of a folder of ours have, or "" if there is
// no such folder.
func read(t *testing.T, dir string) string {
	t.Helper()
	tree := treeOf(t, dir)
	if len(tree) == 0 {
		return ""
	}
	text := tree["ours"]
	if len(tree) != len(files) {
		t.Errorf("%s has %v", dir, slices.Sorted(maps.Keys(tree)))
	}
	for _, name := range files {
		if tree[name] != text {
			t.Errorf("%s: %s is %q, and ours %q", dir, name, tree[name], text)
		}
	}
	return text
}

// treeOf returns what is below dir: the content of files, and what links lead to.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		if e.Type()&fs.ModeSymlink != 0 {
			tree[rel], err = os.Readlink(name)
			return err
		}
		data, err := os.ReadFile(name)
		tree[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestKilled ends a run at each of its steps, and the next one at each of its own.
// After that there is the old folder or a new one, complete, and nothing beside.
func TestKilled(t *testing.T) {
	for _, c := range []struct {
		name, exchange string
		old, rejected  bool
	}{
		{"nothing there", "yes", false, false},
		{"in one step", "yes", true, true},
		{"in two steps", "no", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			setUp := func() string {
				dir := filepath.Join(t.TempDir(), "dist")
				if c.old {
					if err := fill(dir, "old"); err != nil {
						t.Fatal(err)
					}
				}
				if c.rejected {
					if err := fill(Rejected(dir), "rejected"); err != nil {
						t.Fatal(err)
					}
				}
				return dir
			}
			check := func(dir, what string, good ...string) {
				t.Helper()
				if got := read(t, dir); !slices.Contains(good, got) {
					t.Errorf("%s: there is %q", what, got)
				}
			}
			before := ""
			if c.old {
				before = "old"
			}
			steps := 0
			for n := 1; ; n++ {
				dir := setUp()
				if !kill(t, dir, "new", c.exchange, n) {
					break
				}
				steps = n
				if c.exchange == "yes" || exists(dir) {
					check(dir, fmt.Sprintf("killed at step %d", n), before, "new")
				}
				for m := 1; ; m++ {
					// Each round begins where the first run has ended.
					again := setUp()
					kill(t, again, "new", c.exchange, n)
					more := kill(t, again, "newer", c.exchange, m)
					what := fmt.Sprintf("killed at step %d, and at step %d", n, m)
					o, err := Open(t.Context(), again, ours)
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					check(again, what, before, "new", "newer")
					if err := o.Close(); err != nil {
						t.Errorf("%s: %v", what, err)
					}
					check(again, what, before, "new", "newer")
					for _, e := range must(os.ReadDir(filepath.Dir(again))) {
						if e.Name() != "dist" && e.Name() != "dist.rejected" {
							t.Errorf("%s: %s is left", what, e.Name())
						}
					}
					read(t, Rejected(again))
					if !more || c.exchange == "yes" || testing.Short() {
						break
					}
				}
			}
			if steps < 8 {
				t.Errorf("%d steps", steps)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A second run is told at once, and by whom it is kept out; it changes nothing.
func TestBusy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	first, err := Open(t.Context(), dir, ours)
	if err != nil {
		t.Fatal(err)
	}
	before := treeOf(t, filepath.Dir(dir))
	want := "another run of twice (process " + strconv.Itoa(os.Getpid()) + ") is writing " + dir
	if _, err := Open(t.Context(), dir, ours); err == nil || err.Error() != want || fault.KindOf(err) != fault.KindOutside {
		t.Errorf("got %v, want %s", err, want)
	}
	if runtime.GOOS != "windows" {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(filepath.Dir(dir), link); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), filepath.Join(link, "dist"), ours); err == nil || !strings.HasPrefix(err.Error(), "another run of twice (") {
			t.Errorf("by another path: %v", err)
		}
	}
	if got := treeOf(t, filepath.Dir(dir)); !maps.Equal(got, before) {
		t.Errorf("it changed %v", got)
	}
	// Another folder beside it is another's business.
	other, err := Open(t.Context(), dir+"2", ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	if got := must(os.ReadDir(filepath.Dir(dir))); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

// TestForeign: what no run of ours has left is neither changed nor removed, and
// nothing is written beside it.
func TestForeign(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	mark := must((&Output{dir: dir}).markerText())
	for _, c := range []struct {
		name  string
		files map[string]string // below the parent; "-> x" is a link
		ok    bool
	}{
		{"nothing", nil, true},
		{"our marker alone", map[string]string{"dist.staging/" + markerName: mark}, true},
		{"half a marker", map[string]string{"dist.staging/" + markerName: mark[:20]}, true},
		{"what a killed run left", map[string]string{"dist.staging/" + markerName: mark, "dist.staging/new/a": "x", "dist.staging/process": "1"}, true},
		{"no marker", map[string]string{"dist.staging/a": "precious"}, false},
		{"an empty marker", map[string]string{"dist.staging/" + markerName: "", "dist.staging/new/a": "precious"}, false},
		{"another folder's marker", map[string]string{"dist.staging/" + markerName: strings.Replace(mark, "dist", "tsid", 1), "dist.staging/new/a": "precious"}, false},
		{"something beside", map[string]string{"dist.staging/" + markerName: mark, "dist.staging/a": "precious"}, false},
		{"a record", map[string]string{"dist.staging/ours": "precious"}, false},
		{"a linked marker", map[string]string{"dist.staging/" + markerName: "-> ../m", "m": mark, "dist.staging/new/a": "precious"}, false},
		{"a link", map[string]string{"dist.staging": "-> other", "other/" + markerName: mark, "other/new/a": "precious"}, false},
		{"a file", map[string]string{"dist.staging": "precious"}, false},
		{"a foreign dist", map[string]string{"dist/a": "precious"}, false},
		{"a foreign dist.rejected", map[string]string{"dist.rejected/a": "precious"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			parent := filepath.Dir(dir)
			for name, text := range c.files {
				file := filepath.Join(parent, filepath.FromSlash(name))
				err := os.MkdirAll(filepath.Dir(file), 0o755)
				if to, ok := strings.CutPrefix(text, "-> "); ok {
					err = errors.Join(err, os.Symlink(to, file))
				} else {
					err = errors.Join(err, os.WriteFile(file, []byte(text), 0o644))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			// Such a name is nothing special any more.
			if err := fill(dir+".old", "precious"); err != nil {
				t.Fatal(err)
			}
			before := treeOf(t, parent)
			err := write(dir, "new")
			if c.ok {
				if err != nil || read(t, dir) != "new" || exists(Staging(dir)) {
					t.Errorf("%v", err)
				}
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				if read(t, dir+".old") != "precious" {
					t.Error("dist.old has changed")
				}
			} else if got := treeOf(t, parent); err == nil || fault.KindOf(err) != fault.KindUsage || !maps.Equal(got, before) {
				t.Errorf("%v\n%v\n%v", err, before, got)
			}
			for _, e := range must(os.ReadDir(parent)) {
				if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// What somebody puts into dist while a build takes its time is not deleted.
func TestForeignLate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	o, err := Open(t.Context(), dir, ours)
	if err != nil {
		t.Fatal(err)
	}
	late := filepath.Join(dir, "precious")
	if err := errors.Join(fill(o.NewDir, "new"), os.Mkdir(dir, 0o755), os.WriteFile(late, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := o.Replace(t.Context(), dir); err == nil {
		t.Error("it was replaced")
	}
	if err := o.Close(); err != nil || !exists(late) || exists(Staging(dir)) {
		t.Errorf("%v", err)
	}
}

// TestForeignLast: what somebody puts into dist, or writes there, at the last moment is
// not lost: dist is the old one again, with it, and the error says so. If the run is
// killed meanwhile, the next one keeps it too.
func TestForeignLast(t *testing.T) {
	// A folder is ours if each of its files says the same as the others.
	alike := func(_ context.Context, dir string) error {
		first := ""
		for name, text := range treeOf(t, dir) {
			if !slices.Contains(files, name) || first != "" && text != first {
				return fault.Usage(fmt.Errorf("%s holds %s, which is not ours", dir, name))
			}
			first = text
		}
		return nil
	}
	changes := map[string]func(dir string) error{
		"a file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "b", "precious"), []byte("precious"), 0o644)
		},
		"an edit":       func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("precious"), 0o644) },
		"of equal size": func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("dlo"), 0o644) },
		"a folder": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".mine"), os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "precious"), nil, 0o644))
		},
	}
	defer func() { step, exchange = func(string) {}, fsx.ExchangeFolders }()
	for name, change := range changes {
		for _, c := range []struct{ exchange, at string }{
			{"yes", "sync"}, {"yes", "set aside"}, {"yes", "exchange"},
			{"no", "sync"}, {"no", "exchange"}, {"no", "move away"},
			{"remove", "move out of the way"},
		} {
			t.Run(name+" "+c.exchange+" "+c.at, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "dist")
				dest, text := dir, "old"
				if c.exchange == "remove" {
					dest = Rejected(dir)
				}
				if exchange = fsx.ExchangeFolders; c.exchange == "no" {
					exchange = func(a, b string) error { return errors.ErrUnsupported }
				}
				if err := fill(dest, text); err != nil {
					t.Fatal(err)
				}
				o, err := Open(t.Context(), dir, alike)
				if err != nil {
					t.Fatal(err)
				}
				if err := fill(o.NewDir, "new"); err != nil {
					t.Fatal(err)
				}
				var want map[string]string
				step = func(what string) {
					if what == c.at && want == nil {
						if err := change(dest); err != nil {
							t.Fatal(err)
						}
						want = treeOf(t, dest)
					}
				}
				if c.exchange == "remove" {
					err = o.Remove(t.Context(), dest)
				} else {
					err = o.Replace(t.Context(), dest)
				}
				step = func(string) {}
				if err == nil || fault.KindOf(err) != fault.KindUsage || !strings.HasPrefix(err.Error(), dest+" holds ") {
					t.Errorf("%v", err)
				}
				if err := o.Close(); err != nil {
					t.Error(err)
				}
				if got := treeOf(t, dest); !maps.Equal(got, want) || exists(Staging(dir)) {
					t.Errorf("%v, want %v", got, want)
				}
			})
		}
	}
}

// TestForeignKilled: a run that is killed after the exchange, before it looked at what
// was there, leaves that to the next run, which keeps what is not ours until it was
// moved away.
func TestForeignKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	mark := must((&Output{dir: dir}).markerText())
	old := filepath.Join(Staging(dir), oldPrefix+"dist")
	err := errors.Join(fill(dir, "new"), fill(filepath.Join(old, "in"), "old"), os.WriteFile(filepath.Join(Staging(dir), markerName), []byte(mark), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	before := treeOf(t, filepath.Dir(dir))
	for range 2 {
		if _, err := Open(t.Context(), dir, ours); err == nil || err.Error() != old+" is not ours" || fault.KindOf(err) != fault.KindUsage {
			t.Fatalf("%v", err)
		}
		if got := treeOf(t, filepath.Dir(dir)); !maps.Equal(got, before) {
			t.Fatalf("%v, want %v", got, before)
		}
	}
	if err := os.Rename(old, dir+".mine"); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, "newer"); err != nil || read(t, dir) != "newer" || exists(Staging(dir)) {
		t.Error(err)
	}
}

// TestLookOnce: a folder that looks as it did is not read again, and one that changes
// while it is read is not ours.
func TestLookOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	if err := fill(dir, "old"); err != nil {
		t.Fatal(err)
	}
	read, during := 0, func() error { return nil }
	judge := func(_ context.Context, at string) error {
		if at == dir || strings.HasSuffix(at, oldPrefix+"dist") {
			read++
		}
		return during()
	}
	o, err := Open(t.Context(), dir, judge)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fill(o.NewDir, "new"), o.Replace(t.Context(), dir), o.Close()); err != nil || read != 1 {
		t.Errorf("read %d times: %v", read, err)
	}
	during = func() error { return os.WriteFile(filepath.Join(dir, "more"), make([]byte, read), 0o644) }
	if _, err := Open(t.Context(), dir, judge); err == nil || err.Error() != dir+" changes while it is read" || exists(Staging(dir)) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, dir, judge); !errors.Is(err, context.Canceled) || exists(Staging(dir)) {
		t.Errorf("interrupted: %v", err)
	}
}

// A link by the name of a file that is written leads nowhere.
func TestLinkedProcess(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "dist")
	victim := filepath.Join(parent, "victim")
	mark := must((&Output{dir: dir}).markerText())
	err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o644), os.Mkdir(Staging(dir), 0o755),
		os.WriteFile(filepath.Join(Staging(dir), markerName), []byte(mark), 0o644), os.Symlink(victim, filepath.Join(Staging(dir), processName)))
	if err != nil {
		t.Fatal(err)
	}
	o, err := Open(t.Context(), dir, func(context.Context, string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
}
