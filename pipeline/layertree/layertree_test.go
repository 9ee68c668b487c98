package layertree

import (
	"archive/tar"
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// paths lists the files of a tree, each with its value.
func paths(t *Tree[string]) string {
	var list []string
	_ = t.Walk(func(p string, n *Node[string]) error {
		list = append(list, strings.TrimSuffix(p+"="+n.Value, "="))
		return nil
	})
	return strings.Join(list, " ")
}

func file(value string) *Node[string] { return &Node[string]{Value: value} }

func link(target string) *Node[string] { return &Node[string]{Symlink: true, Target: target} }

func TestPut(t *testing.T) {
	tree := New("")
	tree.Put("/usr/bin", NewFolder("stated"), "made")
	tree.Put("/bin", link("usr/bin"), "made")
	tree.Put("/bin/sh", file("sh"), "made")
	if got, want := paths(tree), "bin usr=made usr/bin=stated usr/bin/sh=sh"; got != want {
		t.Errorf("%s, want %s", got, want)
	}

	// A folder over a folder keeps the files; a file over a folder does not.
	copied := tree.Clone()
	tree.Put("/usr", NewFolder("again"), "made")
	tree.Put("/usr/bin", file("x"), "made")
	if got, want := paths(tree), "bin usr=again usr/bin=x"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := paths(copied), "bin usr=made usr/bin=stated usr/bin/sh=sh"; got != want {
		t.Errorf("the clone has %s, want %s", got, want)
	}
}

func TestRemove(t *testing.T) {
	tree := New("")
	for _, p := range []string{"/a/b", "/a/c", "/d/e", "/d/f", "/g"} {
		tree.Put(p, file(""), "")
	}
	tree.Put("/l", link("d"), "")
	tree.ApplyWhiteouts([]string{"/a/.wh.b", "/l/.wh..wh..opq", "/gone/.wh.x", "/g/.wh.x", "/.wh.nothing"})
	if got, want := paths(tree), "a a/c d g l"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFind(t *testing.T) {
	tree := New("")
	tree.Put("/usr/bin/sh", file("sh"), "")
	tree.Put("/up", link("../../usr/./bin/../bin/sh"), "")
	tree.Put("/loop", link("loop"), "")
	tree.Put("/dead", link("/gone"), "")

	n, folders, err := tree.Find("/up")
	if err != nil || n.Value != "sh" || len(folders) != 3 || folders[0] != tree.Root {
		t.Errorf("%+v, %d folders, %v", n, len(folders), err)
	}
	if n, _, err := tree.FindLink("/up"); err != nil || !n.Symlink {
		t.Errorf("%+v, %v", n, err)
	}
	if tree.Lookup("/up") == nil || tree.Lookup("/up/x") != nil || tree.Lookup("/") != tree.Root {
		t.Error("lookup")
	}
	if _, _, err := tree.Find("/dead"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nothing: %v", err)
	}
	for p, want := range map[string]string{"/loop": "more than 40 symbolic links", "/usr/bin/sh/x": "no folder"} {
		if _, _, err := tree.Find(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", p, err, want)
		}
	}
}

func TestEntryPath(t *testing.T) {
	for name, want := range map[string]string{"./a/": "/a", "../../a": "/a", "/a//b": "/a/b", "": "/", strings.Repeat("a", MaxPath): "/" + strings.Repeat("a", MaxPath)} {
		if got, err := EntryPath(&tar.Header{Name: name}); err != nil || got != want {
			t.Errorf("%.20q: %.20q, %v", name, got, err)
		}
	}
	deep := strings.Repeat("a/", MaxElements+1) + "a"
	for _, h := range []tar.Header{{Name: deep}, {Name: "a", Linkname: deep}, {Name: strings.Repeat("a", MaxPath+1)}} {
		if _, err := EntryPath(&h); !errors.Is(err, errPathTooLong) {
			t.Errorf("%.20q, %.20q: %v", h.Name, h.Linkname, err)
		}
	}
	if !IsWhiteout("/a/.wh.b") || IsWhiteout("/.wh.a/b") {
		t.Error("whiteout")
	}
}
