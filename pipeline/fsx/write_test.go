package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestReplace shows that a file which cannot be written leaves what was there.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page")
	full := errors.New("disk full")
	for _, x := range []struct {
		text string
		err  error
		want string
	}{{"one", nil, "one"}, {"tw", full, "one"}, {"three", nil, "three"}} {
		err := Replace(page, 0o666, func(w io.Writer) error {
			_, err := io.WriteString(w, x.text)
			return errors.Join(err, x.err)
		})
		if !errors.Is(err, x.err) {
			t.Errorf("%s: %v, want %v", x.text, err, x.err)
		}
		if data, err := os.ReadFile(page); err != nil || string(data) != x.want {
			t.Errorf("%s: the file is %q, %v", x.text, data, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s: left are %v, %v", x.text, left, err)
		}
	}
	if err := Replace(filepath.Join(dir, "missing", "page"), 0o666, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestWriteNew shows that nothing is written where something is, nor where a link leads.
func TestWriteNew(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new")
	if err := WriteNew(name, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteNew(name, []byte("two"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "one" {
		t.Errorf("the file is %q, %v", data, err)
	}

	link, target := name+"-link", name+"-target"
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	if err := WriteNew(link, []byte("three"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a link: %v", err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("wrote through a link: %v", err)
	}
}
