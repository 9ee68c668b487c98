package artifact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// helloDigest is what sha256sum says of "hello\n".
const helloDigest = Digest("sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03")

func TestParseDigest(t *testing.T) {
	if d, err := ParseDigest(string(helloDigest)); err != nil || d != helloDigest {
		t.Errorf("%v, %v", d, err)
	}
	hex := helloDigest.Hex()
	for _, bad := range []string{
		"", "sha256:", hex, "sha256:" + hex[1:], "sha256:0" + hex, "sha256:" + strings.ToUpper(hex), "SHA256:" + hex,
		"sha512:" + hex, "sha256:g" + hex[1:], " sha256:" + hex, "sha256:" + hex + "\n", "sha256:sha256:" + hex[7:], "sha256:" + hex[:63] + "é",
	} {
		if d, err := ParseDigest(bad); err == nil || d != "" {
			t.Errorf("%q: accepted as %q", bad, d)
		}
	}
}

func TestDigest(t *testing.T) {
	if d := Of([]byte("hello\n")); d != helloDigest {
		t.Errorf("Of: %s", d)
	}
	if h, s := helloDigest.Hex(), helloDigest.Short(); len(h) != 64 || s != "5891b5b522d5" {
		t.Errorf("Hex %q, Short %q", h, s)
	}
	if s := Digest("").Short(); s != "" {
		t.Errorf("Short of nothing: %q", s)
	}
}

// short accepts a few bytes and then fails.
type short struct{ left int }

func (w *short) Write(p []byte) (int, error) {
	if len(p) > w.left {
		n := w.left
		w.left = 0
		return n, errors.New("full")
	}
	w.left -= len(p)
	return len(p), nil
}

func TestHasher(t *testing.T) {
	h := NewHasher(io.Discard)
	if h.Digest() != Of(nil) || h.Size() != 0 {
		t.Errorf("empty: %s, %d", h.Digest(), h.Size())
	}
	for i, part := range []string{"hel", "", "lo\n"} {
		if n, err := io.WriteString(h, part); n != len(part) || err != nil {
			t.Fatalf("%d: %d, %v", i, n, err)
		}
		h.Digest() // asking does not change the answer
	}
	if h.Digest() != helloDigest || h.Size() != 6 {
		t.Errorf("%s, %d", h.Digest(), h.Size())
	}
	h = NewHasher(&short{left: 6})
	if n, err := io.WriteString(h, "hello\nand more"); n != 6 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	if h.Digest() != helloDigest || h.Size() != 6 {
		t.Errorf("hashed what was not accepted: %s, %d", h.Digest(), h.Size())
	}
}

// stored returns the content of d, and complains about leftovers in the store.
func stored(t *testing.T, s *Store, d Digest) string {
	t.Helper()
	f, err := s.Open(d)
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

func leftovers(t *testing.T, s *Store) {
	t.Helper()
	if list, _ := filepath.Glob(filepath.Join(s.dir, "put-*")); len(list) > 0 {
		t.Errorf("left in the store: %v", list)
	}
}

func TestPut(t *testing.T) {
	s := NewStore(t.TempDir())
	for range 2 { // the same bytes again are no error
		d, size, err := s.Put(iotest.OneByteReader(strings.NewReader("hello\n")))
		if d != helloDigest || size != 6 || err != nil || stored(t, s, d) != "hello\n" {
			t.Errorf("%s, %d, %v", d, size, err)
		}
	}
	if d, _, err := s.Put(io.MultiReader(strings.NewReader("hello\n"), iotest.ErrReader(fs.ErrInvalid))); !errors.Is(err, fs.ErrInvalid) || d != "" {
		t.Errorf("a reader that fails: %q, %v", d, err)
	}
	leftovers(t, s)
	if _, err := s.Open(Of([]byte("other"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	if d, _, err := NewStore(filepath.Join(t.TempDir(), "none")).Put(strings.NewReader("")); err == nil {
		t.Errorf("a store without a folder: %q", d)
	}
}

func TestPutAtOnce(t *testing.T) {
	s := NewStore(t.TempDir())
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			text := fmt.Sprint("text ", i%4)
			if d, _, err := s.Put(strings.NewReader(text)); err != nil || d != Of([]byte(text)) {
				t.Errorf("%s: %s, %v", text, d, err)
			}
		})
	}
	wait.Wait()
	leftovers(t, s)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func TestAdopt(t *testing.T) {
	dir, s := t.TempDir(), NewStore(t.TempDir())
	for range 2 {
		file := write(t, filepath.Join(dir, "tool"), "hello\n")
		d, size, err := s.Adopt(file)
		if d != helloDigest || size != 6 || err != nil || stored(t, s, d) != "hello\n" || !gone(file) {
			t.Errorf("%s, %d, %v", d, size, err)
		}
	}
	file := write(t, filepath.Join(dir, "tool"), "hello\n")
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	refused := []string{filepath.Join(dir, "none"), filepath.Join(dir, "folder")}
	if runtime.GOOS != "windows" { // where links take a privilege
		for name, target := range map[string]string{"link": "tool", "dangling": "none", "absolute": file} {
			link := filepath.Join(dir, name)
			if err := os.Symlink(target, link); err != nil {
				t.Fatal(err)
			}
			refused = append(refused, link)
		}
	}
	for _, path := range refused {
		if d, _, err := s.Adopt(path); err == nil || d != "" {
			t.Errorf("%s: adopted as %s", path, d)
		}
	}
	if gone(file) {
		t.Error("a link's target was taken")
	}
	if d, _, err := NewStore(filepath.Join(dir, "no store")).Adopt(file); err == nil || d != "" || gone(file) {
		t.Errorf("a store without a folder: %q, %v", d, err)
	}
}

// TestMove is what Adopt does where a rename is not possible.
func TestMove(t *testing.T) {
	dir, s := t.TempDir(), NewStore(t.TempDir())
	file := write(t, filepath.Join(dir, "tool"), "hello\n")
	if err := s.move(file, Of([]byte("what was hashed before"))); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("a file that changed: %v", err)
	}
	if gone(file) {
		t.Error("removed after an error")
	}
	if err := s.move(file, helloDigest); err != nil || stored(t, s, helloDigest) != "hello\n" || !gone(file) {
		t.Errorf("%v", err)
	}
	leftovers(t, s)
}

// TestAdoptFromElsewhere takes a file from another file system, if there is one.
func TestAdoptFromElsewhere(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "adopt")
	if err != nil {
		t.Skip("no second file system:", err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	s := NewStore(t.TempDir())
	file := write(t, filepath.Join(other, "tool"), "hello\n")
	if os.Rename(file, filepath.Join(s.dir, "x")) == nil {
		t.Skip("not a second file system")
	}
	if d, size, err := s.Adopt(file); d != helloDigest || size != 6 || err != nil || stored(t, s, d) != "hello\n" || !gone(file) {
		t.Errorf("%s, %d, %v", d, size, err)
	}
	leftovers(t, s)
}
