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

	"github.com/twicebuild/twice/pipeline/fsx"
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

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestTake(t *testing.T) {
	dir, s := t.TempDir(), NewStore(t.TempDir())
	root := openRoot(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "sub", "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(dir, "sub", "tool"), "hello\n")
	for range 2 {
		d, size, executable, err := s.Take(root, "sub/tool", 6)
		if d != helloDigest || size != 6 || err != nil || stored(t, s, d) != "hello\n" || executable != (runtime.GOOS != "windows") {
			t.Errorf("%s, %d, %t, %v", d, size, executable, err)
		}
	}

	// Other names and open files of what was taken have no influence.
	if err := os.Link(file, filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	if d, _, _, err := s.Take(root, "other", 6); d != helloDigest || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	write(t, file, "HELLO\n")
	if got := stored(t, s, helloDigest); got != "hello\n" {
		t.Errorf("the store has %q", got)
	}

	outside := write(t, filepath.Join(t.TempDir(), "outside"), "x")
	refused := map[string]string{
		"none": "", "none/x": "", "sub/folder": "is no regular file", "sub/tool/x": "is no folder",
		"": "no path", ".": "no regular file", "..": "no path", "../x": "no path", "/etc/passwd": "no path", "sub/../sub/tool": "no path", outside: "no path",
	}
	if runtime.GOOS != "windows" { // where links take a privilege
		for name, target := range map[string]string{"link": "sub/tool", "dangling": "none", "absolute": outside, "up": "../x", "dir": "sub", "zero": "/dev/zero"} {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			refused[name] = "is a link"
		}
		refused["dir/tool"] = "dir: is a link"
	}
	for name, want := range refused {
		if d, _, _, err := s.Take(root, name, 1<<20); err == nil || d != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v", name, d, err)
		}
		if data, err := fsx.ReadRegular(root, name, 1<<20); err == nil || data != nil {
			t.Errorf("%q: read %q, %v", name, data, err)
		}
	}

	// Sizes, those that files do not have on disk included.
	if _, _, _, err := s.Take(root, "sub/tool", 5); err == nil || !strings.Contains(err.Error(), "more than 5 bytes") {
		t.Errorf("%v", err)
	}
	if err := os.Truncate(file, 1<<40); err != nil {
		t.Skip(err)
	}
	if _, err := fsx.ReadRegular(root, "sub/tool", 1<<30); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%v", err)
	}
	if _, err := io.Copy(io.Discard, fsx.AtMost(strings.NewReader("123456"), "x", 5)); err == nil || !strings.Contains(err.Error(), "grew") {
		t.Errorf("%v", err)
	}
	leftovers(t, s)
	if d, _, _, err := NewStore(filepath.Join(dir, "no store")).Take(root, "other", 1<<40); err == nil || d != "" {
		t.Errorf("a store without a folder: %q, %v", d, err)
	}
}
