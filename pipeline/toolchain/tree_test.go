package toolchain

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// h1Sum and dirhash agree, whatever the names.
func TestHashTree(t *testing.T) {
	dir := install(t)
	tree, err := hashTree(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tree.h1Sum(fakeModule.String()+"/"), hashZip(t, fakeZip(t, published)); got != want {
		t.Errorf("got %s, dirhash has %s", got, want)
	}
}

func TestHashTreeBounds(t *testing.T) {
	dir := install(t)
	symlink(t, dir, filepath.Join(dir, "src", "again"))
	if _, err := hashTree(t.Context(), dir, true); err == nil {
		t.Error("a loop of links was followed to its end")
	}
	dir = install(t)
	write(t, filepath.Join(dir, strings.Repeat("d/", maxDepth+1), "f"), "")
	if _, err := hashTree(t.Context(), dir, false); err == nil {
		t.Error("no limit to depth")
	}
	if runtime.GOOS != "windows" && os.Getuid() != 0 {
		dir = install(t)
		if err := os.Chmod(filepath.Join(dir, "bin/go"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := hashTree(t.Context(), dir, false); err == nil {
			t.Error("an unreadable file was hashed")
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	prefix := fakeModule.String() + "/"
	for _, tt := range []struct {
		name    string
		headers []zip.FileHeader
	}{
		{"outside", []zip.FileHeader{{Name: prefix + "../x"}}},
		{"absolute", []zip.FileHeader{{Name: prefix + "/x"}}},
		{"backslash", []zip.FileHeader{{Name: prefix + `..\x`}}},
		{"drive", []zip.FileHeader{{Name: prefix + "c:x"}}},
		{"stream", []zip.FileHeader{{Name: prefix + "a/b:c"}}},
		{"other module", []zip.FileHeader{{Name: "golang.org/toolchain@v0.0.2/x"}}},
		{"the folder itself", []zip.FileHeader{{Name: prefix}}},
		{"folder", []zip.FileHeader{{Name: prefix + "a/"}}},
		{"twice", []zip.FileHeader{{Name: prefix + "a"}, {Name: prefix + "a"}}},
		{"twice after renaming", []zip.FileHeader{{Name: prefix + "src/go.mod"}, {Name: prefix + "src/_go.mod"}}},
		{"file and folder", []zip.FileHeader{{Name: prefix + "a"}, {Name: prefix + "a/b"}}},
		{"link", []zip.FileHeader{{Name: prefix + "a", ExternalAttrs: 0o120777 << 16, CreatorVersion: 3 << 8}}},
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, h := range tt.headers {
			if _, err := z.CreateHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		top := t.TempDir()
		name, dir := filepath.Join(top, "x.zip"), filepath.Join(top, "goroot")
		write(t, name, b.String())
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unpack(t.Context(), name, prefix, dir); err == nil {
			t.Errorf("%s: unpacked", tt.name)
		}
		if left, err := os.ReadDir(top); err != nil || len(left) != 2 {
			t.Errorf("%s: left %v beside the folder", tt.name, left)
		}
	}
}

func TestUnpackSize(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x.zip")
	write(t, name, string(fakeZip(t, map[string]string{"a": "12345"})))
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := unpackFile(root, z.File[0], "a", 4); err == nil {
		t.Error("no limit to size")
	}
	if n, err := unpackFile(root, z.File[0], "b", 5); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// BenchmarkHashTree reads this machine's own GOROOT.
func BenchmarkHashTree(b *testing.B) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skip(err)
	}
	dir, err := filepath.EvalSymlinks(strings.TrimSpace(string(out)))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		tree, err := hashTree(b.Context(), dir, true)
		if err != nil {
			b.Fatal(err)
		}
		tree.h1Sum("x/")
	}
}
