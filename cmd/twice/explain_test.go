package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestWritePage shows that a page which cannot be written leaves what was there.
func TestWritePage(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.html")
	full := errors.New("disk full")
	for _, x := range []struct {
		text string
		err  error
		want string
	}{{"one", nil, "one"}, {"tw", full, "one"}, {"three", nil, "three"}} {
		err := writePage(page, func(w io.Writer) error {
			_, err := io.WriteString(w, x.text)
			return errors.Join(err, x.err)
		})
		if !errors.Is(err, x.err) {
			t.Errorf("%s: %v, want %v", x.text, err, x.err)
		}
		if data, err := os.ReadFile(page); err != nil || string(data) != x.want {
			t.Errorf("%s: the page is %q, %v", x.text, data, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s: left are %v, %v", x.text, left, err)
		}
	}
	if err := writePage(filepath.Join(dir, "missing", "page.html"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
