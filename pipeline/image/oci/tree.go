package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/layertree"
)

// maxEntries bounds the entries of all layers of an image.
const maxEntries = 1_000_000

// tree is the file system that the layers of an image give, without the content
// of files.
type tree struct {
	*layertree.Tree[fileInfo]
	entries int
	size    int64 // of all files in layers, in bytes
}

type node = layertree.Node[fileInfo]

// fileInfo describes a file, a folder, or something else that a tar entry can be.
type fileInfo struct {
	kind     byte // a tar type flag
	mode     int64
	uid, gid int
	// implied marks a folder that this package made to hold something. A layer can
	// state it again.
	implied bool
	// entry is set for a file that this package put there.
	entry *entry
}

// impliedFolder is a folder that no layer states and that leads to a file.
var impliedFolder = fileInfo{kind: tar.TypeDir, mode: 0o755}

func newTree() *tree { return &tree{Tree: layertree.New(impliedFolder)} }

// clone returns a tree that can be changed without changing t.
func (t *tree) clone() *tree { return &tree{Tree: t.Clone(), entries: t.entries} }

// hasFile reports whether a folder, or one below it, has a file of this name.
func hasFile(folder *node, name string) bool {
	if c := folder.Children[name]; c != nil && !c.IsFolder() {
		return true
	}
	for _, c := range folder.Children {
		if c.IsFolder() && hasFile(c, name) {
			return true
		}
	}
	return false
}

// layerEntry is an entry of a base's layer.
type layerEntry struct {
	path     string // absolute and clean
	hardLink string // the path that a hard link is to
	node     *node
}

// applyLayer reads a layer (a tar stream) and changes t as unpacking it would
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md).
func (t *tree) applyLayer(r io.Reader) error {
	entries, whiteouts, err := t.readLayer(r)
	if err != nil {
		return err
	}
	t.ApplyWhiteouts(whiteouts)
	for _, e := range entries {
		if err := t.addEntry(e); err != nil {
			return err
		}
	}
	return nil
}

// readLayer returns what a layer adds, and the paths of its whiteouts. It counts
// against the bounds of t.
func (t *tree) readLayer(r io.Reader) (entries []layerEntry, whiteouts []string, err error) {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return entries, whiteouts, nil
		}
		if err != nil {
			return nil, nil, err
		}

		if t.entries++; t.entries > maxEntries {
			return nil, nil, fmt.Errorf("more than %d entries", maxEntries)
		}
		// A sparse file is larger than what the layer has of it.
		if h.Size > maxUnpacked-t.size {
			return nil, nil, fmt.Errorf("more than %d bytes unpacked", int64(maxUnpacked))
		}
		t.size += h.Size

		p, err := layertree.EntryPath(h)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		case layertree.IsWhiteout(p):
			whiteouts = append(whiteouts, p)
			continue
		}

		e := layerEntry{path: p, node: &node{Value: fileInfo{kind: h.Typeflag, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid}}}
		switch h.Typeflag {
		case tar.TypeSymlink:
			e.node.Symlink, e.node.Target = true, h.Linkname
		case tar.TypeLink:
			e.hardLink = layertree.CleanPath(h.Linkname)
		case tar.TypeDir:
			e.node.Children = map[string]*node{}
		case tar.TypeGNUSparse:
			e.node.Value.kind = tar.TypeReg
		}

		entries = append(entries, e)
	}
}

// addEntry puts an entry of a layer where it belongs.
func (t *tree) addEntry(e layerEntry) error {
	n := e.node
	if e.path == "/" {
		root := &t.Root.Value
		root.mode, root.uid, root.gid = n.Value.mode, n.Value.uid, n.Value.gid
		return nil
	}

	// The target must be there already: links have no content of their own.
	if e.hardLink != "" {
		target := t.Lookup(e.hardLink)
		if target == nil || target.IsFolder() {
			return fmt.Errorf("%q: a hard link to %q, which is no file", e.path, e.hardLink)
		}
		n = target
	}

	t.Put(e.path, n, impliedFolder)
	return nil
}

// insert puts an entry of this package into t. It returns the folders that a layer
// with the entry must hold for it.
func (t *tree) insert(e entry) ([]entry, error) {
	if path.Clean(e.path) != e.path || len(e.path) < 2 || e.path[0] != '/' || strings.Contains(e.path, "/"+layertree.WhiteoutPrefix) {
		return nil, fmt.Errorf("%q is no clean absolute path of a file", e.path)
	}

	// No link is followed: unpacking would replace it.
	var parents []entry
	folder, at := t.Root, "/"
	elems := strings.Split(strings.TrimPrefix(e.path, "/"), "/")

	for _, elem := range elems[:len(elems)-1] {
		at = path.Join(at, elem)
		child := folder.Children[elem]
		if child == nil {
			child = layertree.NewFolder(impliedFolder)
			child.Value.implied = true
			folder.Children[elem] = child
		}

		if !child.IsFolder() {
			return nil, notAFolderError(e.path, at, child)
		}

		if child.Value.implied {
			parents = append(parents, entry{path: at, dir: true, mode: 0o755})
		}
		folder = child
	}

	name := elems[len(elems)-1]
	have := folder.Children[name]
	added := &node{Value: fileInfo{kind: tar.TypeReg, mode: e.mode, uid: e.uid, gid: e.gid, entry: &e}}
	if e.dir {
		added.Value.kind, added.Children = tar.TypeDir, map[string]*node{}
		if have != nil && have.IsFolder() {
			added.Children = have.Children
		}
	}

	switch {
	case have == nil:
	case have.Value.entry != nil || have.Value.implied && !e.dir:
		return nil, fmt.Errorf("%s: two files of the image have this path", e.path)
	case e.dir && !have.IsFolder():
		return nil, notAFolderError(e.path, e.path, have)
	case !e.dir && have.Value.kind != tar.TypeReg:
		return nil, fmt.Errorf("%s: in the base this is %s", e.path, kindName(have))
	case !e.dir && e.system:
		return nil, fmt.Errorf("%s: the base has this file", e.path)
	}

	folder.Children[name] = added
	return parents, nil
}

func notAFolderError(p, at string, n *node) error {
	return fmt.Errorf("%s: in the base, %s is %s", p, at, kindName(n))
}

func kindName(n *node) string {
	switch n.Value.kind {
	case tar.TypeDir:
		return "a folder"
	case tar.TypeSymlink:
		return "a symbolic link to " + n.Target
	case tar.TypeReg:
		return "a file"
	}
	return "a special file"
}

// checkExecutable returns an error unless the user can execute the file p. The error
// names the first thing that prevents it.
func (t *tree) checkExecutable(p string, uid, gid int) error {
	n, folders, err := t.Find(p)
	if err != nil {
		return err
	}
	if n.Value.kind != tar.TypeReg {
		return fmt.Errorf("%s: not a file but %s", p, kindName(n))
	}

	// For root one bit of any class is enough.
	if uid == 0 {
		if n.Value.mode&0o111 == 0 {
			return fmt.Errorf("%s: not executable (mode %04o)", p, n.Value.mode)
		}
		return nil
	}

	// As the kernel does: the first class that the user is in counts, on the way too.
	for _, n := range append(slices.Clone(folders), n) {
		f, bit := n.Value, int64(0o001)
		switch {
		case f.uid == uid:
			bit = 0o100
		case f.gid == gid:
			bit = 0o010
		}
		if f.mode&bit == 0 {
			what := "the file"
			if n.IsFolder() {
				what = "a folder of its path"
			}
			return fmt.Errorf("%s: user %d:%d may not execute it: %s belongs to %d:%d and has mode %04o", p, uid, gid, what, f.uid, f.gid, f.mode)
		}
	}
	return nil
}

// paths returns every path of t, sorted; for tests and messages.
func (t *tree) paths() []string {
	var paths []string
	_ = t.Walk(func(p string, _ *node) error { // it returns what the function does
		paths = append(paths, "/"+p)
		return nil
	})
	return paths
}
