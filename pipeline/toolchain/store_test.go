package toolchain

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// day is when something was used.
func day(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }

// keep makes what looks like a toolchain of 1000 bytes, used on a day.
func keep(t *testing.T, dir, name string, used int) {
	t.Helper()
	write(t, filepath.Join(dir, name, "bin", "go"), string(make([]byte, 1000)))
	write(t, filepath.Join(dir, name+".use"), "")
	if err := os.Chtimes(filepath.Join(dir, name+".use"), day(used), day(used)); err != nil {
		t.Fatal(err)
	}
}

func there(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func gone(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there (%v)", name, err)
		}
	}
}

// The least recently used go first, as many as have to, and never one in use.
func TestEvict(t *testing.T) {
	dir := t.TempDir()
	const oldest, old, used, newest = "go1.21.1.linux-amd64", "go1.22.2.linux-arm64", "go1.20.3.linux-amd64", "go1.23.0.linux-amd64"
	keep(t, dir, newest, 9)
	keep(t, dir, old, 5)
	keep(t, dir, oldest, 3)
	keep(t, dir, used, 1)
	lock, err := cacheEntry{dir, used}.lockUse(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()

	list, err := List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range list {
		names = append(names, k.Name)
		if k.Bytes != 1000 || k.InUse != (k.Name == used) || k.Partial {
			t.Errorf("%+v", k)
		}
	}
	if want := []string{used, oldest, old, newest}; !slices.Equal(names, want) || !list[1].Used.Equal(day(3)) {
		t.Errorf("%q, want %q", names, want)
	}

	for _, c := range []struct {
		max  int64
		left []string
	}{
		{4000, []string{used, oldest, old, newest}},
		{3999, []string{used, old, newest}},
		{2500, []string{used, newest}},
		{0, []string{used}},
	} {
		if _, err := Evict(t.Context(), dir, c.max); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{oldest, old, used, newest} {
			if slices.Contains(c.left, name) {
				there(t, dir, name)
			} else {
				gone(t, dir, name, name+partialSuffix)
			}
		}
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	removed, err := Evict(t.Context(), dir, 0)
	if err != nil || len(removed) != 1 || removed[0].Name != used {
		t.Errorf("%+v, %v", removed, err)
	}
}

// What a killed download left goes, that of a living one stays.
func TestEvictPartial(t *testing.T) {
	dir := t.TempDir()
	const dead, alive = "go1.21.1.linux-amd64", "go1.22.1.linux-amd64"
	write(t, filepath.Join(dir, dead+partialSuffix, "x"), "")
	write(t, filepath.Join(dir, alive+partialSuffix, "x"), "")
	lock := flock.New(filepath.Join(dir, alive+".lock"))
	if ok, err := lock.TryLock(); err != nil || !ok {
		t.Fatal(ok, err)
	}
	defer lock.Close()
	if _, err := Evict(t.Context(), dir, 1<<40); err != nil {
		t.Fatal(err)
	}
	gone(t, dir, dead+partialSuffix)
	there(t, dir, alive+partialSuffix)
}

// Nothing is removed that is not ours, and no link is followed.
func TestEvictForeign(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "precious"), "x")
	write(t, filepath.Join(outside, "bin", "go"), "x")
	foreign := []string{"notes", "go", "go1.26.8", "go1.26.8.linux-amd64.old", "GO1.26.8.linux-amd64", "gopher.linux-amd64", "go1..linux-amd64", ".partial", "go1.26.8.linux-amd64x.partial.partial"}
	for _, name := range foreign {
		write(t, filepath.Join(dir, name, "precious"), "x")
	}
	keep(t, dir, "go1.25.1.linux-amd64", 1)
	if runtime.GOOS != "windows" {
		symlink(t, outside, filepath.Join(dir, "go1.24.1.linux-amd64"))
		symlink(t, outside, filepath.Join(dir, "go1.24.2.linux-amd64.partial"))
		symlink(t, outside, filepath.Join(dir, "go1.25.1.linux-amd64", "link"))
		foreign = append(foreign, "go1.24.1.linux-amd64", "go1.24.2.linux-amd64.partial")
	}
	if _, err := Evict(t.Context(), dir, 0); err != nil {
		t.Fatal(err)
	}
	gone(t, dir, "go1.25.1.linux-amd64")
	there(t, dir, foreign...)
	there(t, outside, "precious", "bin/go")

	if runtime.GOOS == "windows" {
		return
	}
	keep(t, dir, "go1.25.1.linux-amd64", 1)
	link := filepath.Join(outside, "toolchains")
	symlink(t, dir, link)
	if _, err := Evict(t.Context(), link, 0); err == nil {
		t.Error("a cache folder that is a link was cleared")
	}
	there(t, dir, "go1.25.1.linux-amd64")
}

// A download makes room for itself, by the clock of Options.
func TestObtainBounded(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	o.Now = func() time.Time { return day(20) }
	o.MaxBytes = 50_000_000
	keep(t, o.CacheDir, "go1.21.1.linux-amd64", 2)
	if err := os.Truncate(filepath.Join(o.CacheDir, "go1.21.1.linux-amd64", "bin", "go"), o.MaxBytes); err != nil {
		t.Fatal(err)
	}
	keep(t, o.CacheDir, "go1.22.1.linux-amd64", 3)
	got, err := Obtain(t.Context(), w.client, fakeVersion, o)
	if err != nil {
		t.Fatal(err)
	}
	gone(t, o.CacheDir, "go1.21.1.linux-amd64")
	there(t, o.CacheDir, "go1.22.1.linux-amd64", fakeName)
	if info, err := os.Stat(filepath.Join(o.CacheDir, fakeName+".use")); err != nil || !info.ModTime().Equal(day(20)) {
		t.Errorf("used %v, %v", info, err)
	}
	// What a killed run left of another one goes with the next run, which downloads nothing.
	write(t, filepath.Join(o.CacheDir, "go1.19.1.linux-amd64.partial", "x"), "")
	again, err := Obtain(t.Context(), w.client, fakeVersion, o)
	if err != nil || again.Origin != Cached {
		t.Fatal(again, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, o.CacheDir, "go1.19.1.linux-amd64.partial")
	// It is in use until it is closed, whatever the bound.
	if _, err := Evict(t.Context(), o.CacheDir, 0); err != nil {
		t.Fatal(err)
	}
	there(t, o.CacheDir, fakeName)
	if err := got.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Evict(t.Context(), o.CacheDir, 0); err != nil {
		t.Fatal(err)
	}
	gone(t, o.CacheDir, fakeName)
}

// Runs that use a toolchain find it whole while another removes what it can.
func TestEvictMeanwhile(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	stop := make(chan struct{})
	var evictor, users sync.WaitGroup
	evictor.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := Evict(t.Context(), o.CacheDir, 0); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 3 {
		users.Go(func() {
			for range 3 {
				got, err := Obtain(t.Context(), w.client, fakeVersion, o)
				if err != nil {
					t.Error(err)
					return
				}
				for name := range published {
					if _, err := os.Stat(filepath.Join(got.Dir, name)); err != nil {
						t.Error(err)
					}
				}
				if err := got.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	close(stop)
	evictor.Wait()
}
