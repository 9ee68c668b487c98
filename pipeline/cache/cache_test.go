package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/twicebuild/twice/pipeline/workspace"
)

const lock1, lock2 = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

// fill puts everything into a cache folder that can be in one.
func fill(t *testing.T, dir string) {
	t.Helper()
	for name, size := range map[string]int{
		"toolchains/go1.21.1.linux-amd64/bin/go":         3000,
		"toolchains/go1.21.1.linux-amd64.use":            0,
		"toolchains/go1.21.1.linux-amd64.lock":           0,
		"toolchains/go1.22.1.linux-amd64/bin/go":         5000,
		"toolchains/go1.22.1.linux-amd64.use":            0,
		"toolchains/go1.22.1.linux-amd64.proof.json":     7,
		"toolchains/go1.20.1.linux-amd64.partial/mod/x":  11,
		"toolchains/notes":                               1,
		"work/run-1/store/x":                             100,
		"rebuild/run-22/store/x":                         200,
		"rebuild/run-x/precious":                         1,
		"rebuild/precious":                               1,
		"subjects/run-333/npm/x":                         300,
		"sigstore/root.json":                             9,
		"locks/" + lock1:                                 0,
		"locks/" + lock2:                                 0,
		"locks/precious":                                 1,
		"work2/run-1/precious":                           1,
		"precious":                                       1,
		"other/toolchains/go1.21.1.linux-amd64/precious": 1,
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for day, name := range map[int]string{1: "go1.21.1", 2: "go1.22.1"} {
		used := time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(dir, "toolchains", name+".linux-amd64.use"), used, used); err != nil {
			t.Fatal(err)
		}
	}
}

// files are all files and links below dir, with slashes.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		list = append(list, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func names(list []Entry) (names []string) {
	for _, e := range list {
		names = append(names, string(e.Kind)+" "+e.Name)
	}
	slices.Sort(names)
	return names
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	alive, err := workspace.New(t.Context(), filepath.Join(dir, "work")) // removes run-1
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	held := flock.New(filepath.Join(dir, "locks", lock2))
	if ok, err := held.TryLock(); err != nil || !ok {
		t.Fatal(ok, err)
	}
	defer held.Close()
	precious := func() (list []string) {
		for _, f := range files(t, dir) {
			if strings.HasSuffix(f, "precious") || strings.HasSuffix(f, "notes") || strings.HasSuffix(f, "root.json") {
				list = append(list, f)
			}
		}
		return list
	}
	before := precious()

	list, err := List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	mine := "workspace work/" + filepath.Base(alive.Dir)
	want := []string{
		"download toolchains/go1.20.1.linux-amd64.partial", "foreign other", "foreign precious", "foreign work2", "lock locks/" + lock1, "lock locks/" + lock2,
		"toolchain toolchains/go1.21.1.linux-amd64", "toolchain toolchains/go1.22.1.linux-amd64", "trust sigstore",
		"workspace rebuild/run-22", "workspace subjects/run-333", mine,
	}
	slices.Sort(want)
	if got := names(list); !slices.Equal(got, want) {
		t.Errorf("list\n%q, want\n%q", got, want)
	}
	for _, e := range list {
		if used := e.Name == strings.TrimPrefix(mine, "workspace ") || e.Name == "locks/"+lock2; e.InUse != used {
			t.Errorf("%+v", e)
		}
		if e.Name == "subjects/run-333" && e.Bytes != 300 || e.Kind == Toolchain && e.Used.Year() != 2026 {
			t.Errorf("%+v", e)
		}
	}

	for _, c := range []struct {
		max  int64
		want []string
	}{
		{6000, []string{"download toolchains/go1.20.1.linux-amd64.partial", "lock locks/" + lock1, "toolchain toolchains/go1.21.1.linux-amd64", "workspace rebuild/run-22", "workspace subjects/run-333"}},
		{6000, nil},
		{0, []string{"toolchain toolchains/go1.22.1.linux-amd64"}},
	} {
		removed, err := Prune(t.Context(), dir, c.max)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(removed); !slices.Equal(got, c.want) {
			t.Errorf("removed\n%q, want\n%q", got, c.want)
		}
	}
	if _, err := os.Stat(alive.Dir); err != nil {
		t.Error(err)
	}
	if after := precious(); !slices.Equal(before, after) {
		t.Errorf("left %q of %q", after, before)
	}
}

// Neither a folder nor anything in it that is a link is followed.
func TestPruneLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a right of their own")
	}
	outside := t.TempDir()
	fill(t, outside)
	before := files(t, outside)
	dir := t.TempDir()
	for _, name := range []string{"toolchains", "work", "locks", "sigstore"} {
		if err := os.Symlink(filepath.Join(outside, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"rebuild/run-1": "rebuild", "subjects/run-2/inside": "", "locks2/" + lock1: "precious",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(outside, to), file); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := Prune(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(removed); !slices.Equal(got, []string{"workspace subjects/run-2"}) {
		t.Errorf("removed %q", got)
	}
	if after := files(t, outside); !slices.Equal(before, after) {
		t.Errorf("left %q of %q", after, before)
	}
	if _, err := os.Lstat(filepath.Join(dir, "rebuild", "run-1")); err != nil {
		t.Error(err)
	}
}

func TestPruneNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if removed, err := Prune(t.Context(), dir, 0); err != nil || removed != nil {
		t.Errorf("%v, %v", removed, err)
	}
	if list, err := List(t.Context(), dir); err != nil || list != nil {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
}
