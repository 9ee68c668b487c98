package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/layertree"
)

func TestApply(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers [][]tar.Header
		want   string // the paths
	}{
		{"parents", [][]tar.Header{{file("a/b/c")}}, "/a /a/b /a/b/c"},
		{"names", [][]tar.Header{{file("./a"), file("/b"), file("../../c"), dir("./")}}, "/a /b /c"},
		{"replaced", [][]tar.Header{{dir("a"), file("a/b"), dir("c")}, {file("a"), dir("c"), file("c/d")}}, "/a /c /c/d"},
		{"whiteouts", [][]tar.Header{{file("a/b"), file("a/c"), file("d"), file("e/f")}, {file("a/.wh.b"), file(".wh.d"), file(".wh.e"), file("x/.wh.y")}}, "/a /a/c"},
		{"opaque", [][]tar.Header{{file("a/b"), file("a/c/d")}, {file("a/e"), file("a/.wh..wh..opq")}}, "/a /a/e"},
		{"not in the layer itself", [][]tar.Header{{file("b")}, {file("a"), file(".wh.a")}}, "/a /b"},
		{"hard links", [][]tar.Header{{file("a"), hard("b", "a")}, {hard("d/c", "/b"), file(".wh.x")}}, "/a /b /d /d/c"},
		{"through a link", [][]tar.Header{{dir("usr/bin"), link("bin", "usr/bin")}, {file("bin/x")}}, "/bin /usr /usr/bin /usr/bin/x"},
		{"through a dead link", [][]tar.Header{{link("bin", "gone")}, {file("bin/x")}}, "/bin /bin/x"},
		{"whiteout through a link", [][]tar.Header{{file("usr/bin/x"), link("bin", "/usr/bin")}, {file("bin/.wh.x")}}, "/bin /usr /usr/bin"},
		{"global header", [][]tar.Header{{{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"comment": "x"}}, file("a")}}, "/a"},
	} {
		root := newTree()
		for _, l := range tt.layers {
			for i := range l {
				if l[i].Typeflag == tar.TypeXGlobalHeader {
					l[i].Mode = 0
				}
			}
			if err := root.applyLayer(bytes.NewReader(layerOf(t, l...))); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		if got := strings.Join(root.paths(), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	for want, l := range map[string][]tar.Header{
		"hard link to \"/x\", which is no file": {hard("a", "x")},
		"which is no file":                      {dir("d"), hard("a", "d")},
		"too long":                              {file(strings.Repeat("a/", layertree.MaxElements+1) + "a")},
		"is too long":                           {file(strings.Repeat("a", layertree.MaxPath+1))},
		"path that is too long":                 {link("a", strings.Repeat("a/", layertree.MaxElements+1))},
	} {
		if err := newTree().applyLayer(bytes.NewReader(layerOf(t, l...))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	full := &tree{Tree: layertree.New(impliedFolder), entries: maxEntries}
	if err := full.applyLayer(bytes.NewReader(layerOf(t, file("a")))); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too many: %v", err)
	}
}

// layerOf is tarOf that lets global headers through.
func layerOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode = 0o755
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sparse is a member of a tar archive that has size bytes, of which none is in it
// (https://www.gnu.org/software/tar/manual/html_node/Standard.html, GNU_SPARSE).
func sparse(size int64) []byte {
	b := make([]byte, 512)
	for at, s := range map[int]string{
		0: "sparse", 100: "0000644", 108: "0000000", 116: "0000000", 124: "00000000000", 136: "00000000000", 148: "        ",
		156: "S", 257: "ustar  ", 483: fmt.Sprintf("%011o", size),
	} {
		copy(b[at:], s)
	}
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// TestSparse: what a layer unpacks to is bounded, not what it takes itself.
func TestSparse(t *testing.T) {
	end := make([]byte, 1024)
	if err := newTree().applyLayer(bytes.NewReader(append(sparse(1<<20), end...))); err != nil {
		t.Error(err)
	}
	for what, layer := range map[string][]byte{"many": append(bytes.Repeat(sparse(8<<30-1), 5), end...), "many that end with nothing": bytes.Repeat(sparse(8<<30-1), 5)} {
		if err := newTree().applyLayer(bytes.NewReader(layer)); err == nil || !strings.Contains(err.Error(), "bytes unpacked") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFind(t *testing.T) {
	root := newTree()
	locked := dir("locked")
	locked.Mode, locked.Uid = 0o700, 7
	own := file("locked/own")
	own.Mode, own.Uid = 0o100, 7
	group := file("group")
	group.Mode, group.Gid = 0o010, 8
	err := root.applyLayer(bytes.NewReader(layerOf(t, file("usr/bin/sh"), link("bin", "usr/bin"), link("up", "usr/bin/../bin/./sh"), link("abs", "/../bin/sh"),
		link("l1", "l2"), link("l2", "l1"), link("dead", "x"), link("usr/rel", "../up"), locked, own, group,
		tar.Header{Typeflag: tar.TypeChar, Name: "null"})))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"/bin/sh": "", "/up": "", "/abs": "", "/usr/rel": "", "/bin/../../usr/bin/sh": "",
		"/l1": "more than 40 symbolic links", "/dead": "file does not exist", "/bin/sh/": "", "/bin/sh/x": "a part of the path is no folder",
		"/null": "not a file but a special file", "/bin": "not a file but a folder", "/": "not a file but a folder",
		"/locked/own": "a folder of its path belongs to 7:0 and has mode 0700", "/group": "",
	} {
		if err := root.checkExecutable(p, 65532, 8); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", p, err, want)
		}
	}
	if err := root.checkExecutable("/locked/own", 7, 7); err != nil {
		t.Error(err)
	}
	if err := root.checkExecutable("/locked/own", 0, 0); err != nil {
		t.Error(err)
	}
	if err := root.checkExecutable("/group", 1, 1); err == nil {
		t.Error("another group may execute it")
	}
	if _, _, err := root.Find("/dead"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dead link: %v", err)
	}
	if !hasFile(root.Root, "sh") || hasFile(root.Root, "bin2") || hasFile(root.Root, "usr") {
		t.Error("named")
	}
}

// Whatever a layer says, the tree stays a tree, and what is in it can be found.
func FuzzApply(f *testing.F) {
	f.Add(layerOf(f, file("a/b"), dir("c"), link("d", "a")), layerOf(f, file("a/.wh.b"), file("d/x"), hard("h", "d/x")))
	f.Add(layerOf(f, link("l", "l")), layerOf(f, file("l/x"), file(".wh..wh..opq")))
	f.Add(layerOf(f, dir("a"), hard("a/b", "a")), []byte("x"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		root := newTree()
		for _, l := range [][]byte{one, two} {
			if root.applyLayer(bytes.NewReader(l)) != nil {
				break
			}
		}
		list := root.paths()
		for _, p := range list {
			if root.Lookup(p) == nil {
				t.Fatalf("%q is not found", p)
			}
			_, trail, err := root.Find(p)
			if err == nil && slices.ContainsFunc(trail, func(n *node) bool { return !n.IsFolder() }) {
				t.Fatalf("%q: the way leads over what is no folder", p)
			}
		}
		if got := fmt.Sprint(root.clone().paths()); got != fmt.Sprint(list) {
			t.Fatalf("the clone has %s", got)
		}
	})
}
