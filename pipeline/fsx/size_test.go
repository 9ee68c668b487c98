package fsx

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1500": 1500, "7B": 7, "2kB": 2000, "500MB": 500_000_000, "1.5GB": 1_500_000_000, "3TB": 3e12, "0.001kB": 1,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", " 1", "1 GB", "-1", "1e9", "GB", "1KiB", "1.GB", "0x10", "9999999TB", "NaN", "1GB\n", "9999999999999999"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q: %d", s, got)
		}
	}
}

func TestText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 215_400_000: "215.4 MB", 10e9: "10.0 GB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// What a link points to is not counted.
func TestSize(t *testing.T) {
	dir := t.TempDir()
	for name, n := range map[string]int{"in/a": 10, "in/b/c": 7, "out": 1000} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS != "windows" {
		if err := os.Symlink(filepath.Join(dir, "out"), filepath.Join(dir, "in", "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(dir, filepath.Join(dir, "in", "up")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Size(filepath.Join(dir, "in")); err != nil || n != 17 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := Size(filepath.Join(dir, "none")); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}
