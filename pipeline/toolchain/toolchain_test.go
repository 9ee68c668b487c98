package toolchain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestObtainInstalled(t *testing.T) {
	w := newWorld(t)
	dir, other := install(t), install(t)
	write(t, filepath.Join(other, "VERSION"), "go1.99.2\n")

	o := w.options(t, filepath.Join(dir, "nothing-here"), other, dir)
	got, err := Obtain(t.Context(), w.client, fakeVersion, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Refused) != 2 || !strings.Contains(got.Refused[1], `is "go1.99.2"`) {
		t.Errorf("refused: %q", got.Refused)
	}
	got.Refused = nil
	want := Toolchain{Version: fakeVersion, Dir: dir, Host: "plan8/mos6502", Published: true, Sum: w.sum, Origin: Installed}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}

	// The proof that it left is enough for the next time, without a database.
	w.server.Close()
	if got, err = Obtain(t.Context(), w.client, fakeVersion, o); err != nil || !got.Published {
		t.Errorf("offline: %+v, %v", got, err)
	}
}

func TestGoEnv(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	for _, tt := range []struct {
		name, goEnv string
		want        string // GoEnv, or "-" if it must be refused
	}{
		{"published", fakeGoEnv, ""},
		{"local", "# defaults\nGOPROXY=direct\nGOTOOLCHAIN=local\n", "GOTOOLCHAIN=local"},
		{"empty", "# defaults\nGOPROXY=direct\nGOTOOLCHAIN=\n", "GOTOOLCHAIN="},
		{"proxy", "# defaults\nGOPROXY=off\nGOTOOLCHAIN=local\n", "-"},
		{"one more line", fakeGoEnv + "GOFLAGS=-tags=evil\n", "-"},
		{"one more line after another toolchain", "# defaults\nGOPROXY=direct\nGOTOOLCHAIN=local\nGOFLAGS=-race\n", "-"},
		{"twice", "# defaults\nGOPROXY=direct\nGOTOOLCHAIN=local\nGOTOOLCHAIN=auto\n", "-"},
		{"carriage return", "# defaults\nGOPROXY=direct\nGOTOOLCHAIN=local\rGOFLAGS=-race\n", "-"},
		{"line lacks", "# defaults\nGOPROXY=direct\n", "-"},
		{"indented", "# defaults\nGOPROXY=direct\n GOTOOLCHAIN=auto\n", "-"},
	} {
		dir := install(t)
		write(t, filepath.Join(dir, "go.env"), tt.goEnv)
		o.Installed = []string{dir}
		got, err := Obtain(t.Context(), w.client, fakeVersion, o)
		if err != nil {
			t.Fatal(err)
		}
		if tt.want == "-" {
			if got.Origin == Installed {
				t.Errorf("%s: accepted", tt.name)
			}
		} else if got.Origin != Installed || got.GoEnv != tt.want {
			t.Errorf("%s: got %+v, want GoEnv %q", tt.name, got, tt.want)
		}
	}
}

// faults are what can be wrong with a GOROOT.
var faults = []struct {
	name string
	do   func(t *testing.T, dir string)
}{
	{"one byte changed", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "src/fmt/print.go"), "package fnt\n") }},
	{"last byte of a large file changed", func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, "lib/time/zoneinfo.zip"), strings.Repeat("zone", 49_999)+"zonf")
	}},
	{"file added", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "src/fmt/zz.go"), "package fmt\n") }},
	{"empty file added", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "pkg/x"), "") }},
	{"file at the top added", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "zz"), "") }},
	{"file removed", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "src/fmt/print.go")) }},
	{"empty file removed", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "src/fmt/testdata/empty")) }},
	{"file renamed", func(t *testing.T, dir string) {
		rename(t, filepath.Join(dir, "src/fmt/print.go"), filepath.Join(dir, "src/fmt/Print.go"))
	}},
	{"go.mod called as in the zip", func(t *testing.T, dir string) {
		rename(t, filepath.Join(dir, "src/go.mod"), filepath.Join(dir, "src/_go.mod"))
	}},
	{"VERSION goes on", func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, "VERSION"), fakeVersion+"\ntime 2027-01-02T03:04:05Z\n")
	}},
	{"symbolic link to the same bytes", func(t *testing.T, dir string) {
		name, elsewhere := filepath.Join(dir, "bin/go"), filepath.Join(t.TempDir(), "go")
		rename(t, name, elsewhere)
		symlink(t, elsewhere, name)
	}},
	{"symbolic link to the same folder", func(t *testing.T, dir string) {
		name, elsewhere := filepath.Join(dir, "src/fmt"), filepath.Join(t.TempDir(), "fmt")
		rename(t, name, elsewhere)
		symlink(t, elsewhere, name)
	}},
	{"symbolic link among what is not hashed", func(t *testing.T, dir string) {
		if err := os.RemoveAll(filepath.Join(dir, "test")); err != nil {
			t.Fatal(err)
		}
		symlink(t, filepath.Join(dir, "src"), filepath.Join(dir, "test"))
	}},
	{"a file called test", func(t *testing.T, dir string) {
		if err := os.RemoveAll(filepath.Join(dir, "test")); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "test"), "")
	}},
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, old, new string) {
	t.Helper()
	if err := os.Symlink(old, new); err != nil {
		if runtime.GOOS == "windows" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
}

func TestFaultyInstallation(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			dir := install(t)
			fault.do(t, dir)
			o.Installed = []string{dir}
			got, err := Obtain(t.Context(), w.client, fakeVersion, o)
			if err != nil {
				t.Fatal(err)
			}
			if got.Origin == Installed || !got.Published || len(got.Refused) != 1 {
				t.Errorf("got %+v", got)
			}

			// With the release file's leave it is taken for what it is.
			o := o
			o.AllowUnpublished = true
			got, err = Obtain(t.Context(), w.client, fakeVersion, o)
			if fault.name == "go.mod called as in the zip" {
				if err == nil {
					t.Error("a GOROOT with a _go.mod was given a hash")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Origin != Installed || got.Published || got.Dir != dir || !strings.HasPrefix(got.Sum, "h1:") {
				t.Errorf("allowed: got %+v", got)
			}
			// Its hash is the published one only where links hide the difference.
			if link := strings.HasPrefix(fault.name, "symbolic"); (got.Sum == w.sum) != link {
				t.Errorf("allowed: sum %s, published %s", got.Sum, w.sum)
			}
		})
	}
}

func TestAllowUnpublished(t *testing.T) {
	w := newWorld(t)
	o := w.options(t, install(t))
	o.AllowUnpublished = true
	if got, err := Obtain(t.Context(), w.client, fakeVersion, o); err != nil || !got.Published {
		t.Errorf("the published one: %+v, %v", got, err)
	}
	// Without a database nothing is claimed, but it can be used.
	o.CacheDir = t.TempDir()
	w.client = w.offline()
	if got, err := Obtain(t.Context(), w.client, fakeVersion, o); err != nil || got.Published || got.Sum != w.sum {
		t.Errorf("offline: %+v, %v", got, err)
	}
	o.Installed = nil
	if got, err := Obtain(t.Context(), w.client, fakeVersion, o); err == nil {
		t.Errorf("nothing installed: %+v", got)
	}
}

func TestDownload(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	write(t, filepath.Join(o.CacheDir, fakeName+".partial", "of a killed run"), "")
	for _, want := range []Origin{Downloaded, Cached, Cached} {
		got, err := Obtain(t.Context(), w.client, fakeVersion, o)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Published || got.Origin != want || got.Sum != w.sum || filepath.Base(got.Dir) != fakeName {
			t.Errorf("got %+v, want it %s", got, want)
		}
		for name, want := range published {
			if data, err := os.ReadFile(filepath.Join(got.Dir, name)); err != nil || string(data) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
		if runtime.GOOS != "windows" {
			for name, want := range map[string]os.FileMode{"bin/go": 0o100, "pkg/tool/plan8_mos6502/link": 0o100, "lib/wasm/go_js_wasm_exec": 0o100, "src/fmt/print.go": 0} {
				if info, err := os.Stat(filepath.Join(got.Dir, name)); err != nil || info.Mode()&0o100 != want {
					t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
				}
			}
		}
		w.client = w.offline()
	}
	names, err := filepath.Glob(filepath.Join(o.CacheDir, "*"))
	if err != nil || len(names) != 4 {
		t.Errorf("left in the cache folder: %q", names)
	}
}

func TestFaultyCache(t *testing.T) {
	w := newWorld(t)
	for _, fault := range append(faults[:len(faults):len(faults)], struct {
		name string
		do   func(t *testing.T, dir string)
	}{"another go.env", func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, "go.env"), "# defaults\nGOPROXY=direct\nGOTOOLCHAIN=local\n")
	}}) {
		if strings.HasPrefix(fault.name, "symbolic link among") {
			continue
		}
		t.Run(fault.name, func(t *testing.T) {
			o := w.options(t)
			got, err := Obtain(t.Context(), w.client, fakeVersion, o)
			if err != nil {
				t.Fatal(err)
			}
			fault.do(t, got.Dir)
			got, err = Obtain(t.Context(), w.client, fakeVersion, o)
			if err == nil || !strings.Contains(err.Error(), "was changed") {
				t.Errorf("got %+v, %v", got, err)
			}
			if h := (interface{ Remedy() string })(nil); !errors.As(err, &h) || h.Remedy() == "" {
				t.Errorf("no hint with %v", err)
			}
		})
	}
	t.Run("a link in its place", func(t *testing.T) {
		o := w.options(t)
		symlink(t, install(t), filepath.Join(o.CacheDir, fakeName))
		if got, err := Obtain(t.Context(), w.client, fakeVersion, o); err == nil {
			t.Errorf("got %+v", got)
		}
	})
}

func TestFaultyNetwork(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, w *world, o *Options)
		want string
	}{
		{"the proxy has another zip", func(t *testing.T, w *world, o *Options) {
			files := maps.Clone(published)
			files["bin/go"] = "#!/bin/evil\n"
			write(t, filepath.Join(w.proxy, fakeModule.Version+".zip"), string(fakeZip(t, files)))
		}, "checksum mismatch"},
		{"the proxy has no zip", func(t *testing.T, w *world, o *Options) {
			remove(t, filepath.Join(w.proxy, fakeModule.Version+".zip"))
		}, "download: "},
		{"no such version", func(t *testing.T, w *world, o *Options) {
			remove(t, filepath.Join(w.proxy, fakeModule.Version+".mod"))
		}, "ask the checksum database"},
		{"no database", func(t *testing.T, w *world, o *Options) { w.server.Close() }, "ask the checksum database"},
		{"GOSUMDB=off", func(t *testing.T, w *world, o *Options) { w.client = w.client.With("GOSUMDB=off") }, "checksum database"},
		{"GONOSUMDB does not count, but the key does", func(t *testing.T, w *world, o *Options) {
			w.client = w.client.With("GONOSUMDB=golang.org", "GOPRIVATE=*", "GOFLAGS=-insecure")
			_, verifier := newKey(t, 2)
			o.key = strings.TrimPrefix(verifier, fakeDatabase+"+")
		}, "no verifiable signatures"},
		{"another database", func(t *testing.T, w *world, o *Options) { o.key = "" }, "not the public one"},
		{"a go command that answers nothing", func(t *testing.T, w *world, o *Options) {
			truth, err := exec.LookPath("true")
			if err != nil {
				t.Skip(err)
			}
			w.client.Path = truth
		}, "did not ask"},
		{"offline", func(t *testing.T, w *world, o *Options) { w.client = w.offline() }, "ask the checksum database"},
		{"cache folder is relative", func(t *testing.T, w *world, o *Options) { o.CacheDir = "cache" }, "absolute"},
		{"host with a slash", func(t *testing.T, w *world, o *Options) { o.HostArch = "../x" }, "host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			o := w.options(t)
			tt.do(t, w, &o)
			got, err := Obtain(t.Context(), w.client, fakeVersion, o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v; want an error with %q", got, err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(o.CacheDir, fakeName)); err == nil {
				t.Error("a toolchain is in the cache")
			}
		})
	}
}

// A proof that was damaged on disk is fetched anew; offline, it is an error.
func TestDamagedProof(t *testing.T) {
	w := newWorld(t)
	o := w.options(t, install(t))
	name := filepath.Join(o.CacheDir, fakeName+".proof.json")
	for _, damage := range []string{"", "{}", "null", `{"database":"sums.example","files":{}}`, `{"database":"","files":null,"x":1}`} {
		write(t, name, damage)
		if got, err := Obtain(t.Context(), w.offline(), fakeVersion, o); err == nil {
			t.Errorf("%q offline: %+v", damage, got)
		}
		if _, err := Obtain(t.Context(), w.client, fakeVersion, o); err != nil {
			t.Errorf("%q: %v", damage, err)
		}
	}
}

func TestAtOnce(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	var got [4]Toolchain
	var errs [4]error
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i], errs[i] = Obtain(t.Context(), w.client, fakeVersion, o) })
	}
	all.Wait()
	downloads := 0
	for i := range got {
		if errs[i] != nil || !got[i].Published {
			t.Errorf("%+v, %v", got[i], errs[i])
		}
		if got[i].Origin == Downloaded {
			downloads++
		}
	}
	if downloads != 1 {
		t.Errorf("%d downloads, want one", downloads)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := w.options(t, install(t))
	for _, o.AllowUnpublished = range []bool{false, true} {
		if _, err := Obtain(ctx, w.client, fakeVersion, o); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := hashTree(ctx, install(t), false); !errors.Is(err, context.Canceled) {
		t.Errorf("hashTree: %v", err)
	}
}
