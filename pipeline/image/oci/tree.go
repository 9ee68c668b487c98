package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Bounds of what is read from a base.
const (
	maxEntries  = 1_000_000 // entries of all layers of an image
	maxName     = 4096      // bytes of the path of an entry
	maxElements = 256       // elements of such a path
	maxLinks    = 40        // symbolic links on the way to a file, as in Linux
)

// tree is the file system that the layers of an image give, without the content
// of files.
type tree struct {
	root    *node
	entries int
	size    int64 // of all files in layers, in bytes
}

// node is a file, a folder, or something else that a tar entry can be.
type node struct {
	kind     byte // a tar type flag
	mode     int64
	uid, gid int
	link     string           // of a symbolic link
	children map[string]*node // of a folder
	// plain marks a folder that this package made to hold something, and that a
	// layer can therefore state again.
	plain bool
	// ours marks a file that this package put there.
	ours *entry
}

func (n *node) isDir() bool { return n.kind == tar.TypeDir }

func newDir() *node {
	return &node{kind: tar.TypeDir, mode: 0o755, children: map[string]*node{}}
}

func newTree() *tree { return &tree{root: newDir()} }

// clone returns a tree that can be changed without changing t.
func (t *tree) clone() *tree { return &tree{root: t.root.clone(), entries: t.entries} }

func (n *node) clone() *node {
	c := *n
	if n.children != nil {
		c.children = make(map[string]*node, len(n.children))
		for name, child := range n.children {
			c.children[name] = child.clone()
		}
	}
	return &c
}

// lookup returns what p names, following no symbolic link, or nil.
func (t *tree) lookup(p string) *node {
	n := t.root
	for elem := range strings.SplitSeq(p, "/") {
		if elem != "" && n != nil {
			n = n.children[elem]
		}
	}
	return n
}

// find returns what p names, and the folders on the way to it. Symbolic links
// are followed as the kernel does.
func (t *tree) find(p string) (n *node, trail []*node, err error) {
	trail = []*node{t.root}
	rest := strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		elem := rest[0]
		rest = rest[1:]
		dir := trail[len(trail)-1]
		switch {
		case elem == "" || elem == ".":
			continue
		case !dir.isDir():
			return nil, nil, fmt.Errorf("%s: a part of the path is no folder", p)
		case elem == "..":
			trail = trail[:max(1, len(trail)-1)]
			continue
		}
		child := dir.children[elem]
		if child == nil {
			return nil, nil, fmt.Errorf("%s: %w", p, fs.ErrNotExist)
		}
		if child.kind != tar.TypeSymlink {
			trail = append(trail, child)
			continue
		}
		if links++; links > maxLinks {
			return nil, nil, fmt.Errorf("%s: more than %d symbolic links", p, maxLinks)
		}
		if strings.HasPrefix(child.link, "/") {
			trail = trail[:1]
		}
		rest = append(strings.Split(child.link, "/"), rest...)
	}
	last := len(trail) - 1
	return trail[last], trail[:last], nil
}

// named tells whether there is a file of this name, in whatever folder.
func (n *node) named(name string) bool {
	if c := n.children[name]; c != nil && !c.isDir() {
		return true
	}
	for _, c := range n.children {
		if c.isDir() && c.named(name) {
			return true
		}
	}
	return false
}

// layerEntry is an entry of a base's layer.
type layerEntry struct {
	name string // absolute and clean
	to   string // of a hard link
	node node
}

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// apply reads a layer (a tar stream) and changes t as unpacking it would
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md).
func (t *tree) apply(r io.Reader) error {
	var entries []layerEntry
	var removed []string
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if t.entries++; t.entries > maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		// A sparse file is larger than what the layer has of it.
		if h.Size > maxUnpacked-t.size {
			return fmt.Errorf("more than %d bytes unpacked", int64(maxUnpacked))
		}
		t.size += h.Size
		// A name cannot lead out of the root, whatever it says.
		name := path.Clean("/" + h.Name)
		if len(h.Name) > maxName || len(h.Linkname) > maxName || strings.Count(name, "/") > maxElements || strings.Count(h.Linkname, "/") > maxElements {
			return fmt.Errorf("%.80q...: a path that is too long", h.Name)
		}
		dir, base := path.Split(name)
		switch {
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		case strings.HasPrefix(base, whiteout):
			removed = append(removed, path.Join(dir, base))
			continue
		}
		e := layerEntry{name: name, node: node{kind: h.Typeflag, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid}}
		switch h.Typeflag {
		case tar.TypeSymlink:
			e.node.link = h.Linkname
		case tar.TypeLink:
			e.to = path.Clean("/" + h.Linkname)
		case tar.TypeDir:
			e.node.children = map[string]*node{}
		case tar.TypeGNUSparse:
			e.node.kind = tar.TypeReg
		}
		entries = append(entries, e)
	}
	// Whiteouts are about the layers below, wherever in the layer they stand.
	for _, name := range removed {
		dir, base := path.Split(name)
		parent, _, err := t.find(dir)
		if err != nil || !parent.isDir() {
			continue
		}
		if base == opaque {
			clear(parent.children)
		} else {
			delete(parent.children, strings.TrimPrefix(base, whiteout))
		}
	}
	for _, e := range entries {
		if err := t.add(e); err != nil {
			return err
		}
	}
	return nil
}

// add puts an entry of a layer where it belongs.
func (t *tree) add(e layerEntry) error {
	n := &e.node
	if e.name == "/" {
		t.root.mode, t.root.uid, t.root.gid = n.mode, n.uid, n.gid
		return nil
	}
	if e.to != "" {
		target := t.lookup(e.to)
		if target == nil || target.isDir() {
			return fmt.Errorf("%q: a hard link to %q, which is no file", e.name, e.to)
		}
		n = target
	}
	dir, base := path.Split(e.name)
	parent := t.folder(path.Clean(dir))
	if have := parent.children[base]; have != nil && have.isDir() && n.isDir() {
		have.mode, have.uid, have.gid = n.mode, n.uid, n.gid
		return nil
	}
	parent.children[base] = n
	return nil
}

// folder returns the folder p, which may be behind symbolic links, and makes it
// where there is none.
func (t *tree) folder(p string) *node {
	if n, _, err := t.find(p); err == nil && n.isDir() {
		return n
	}
	if p == "/" {
		return t.root
	}
	dir, base := path.Split(p)
	parent, n := t.folder(path.Clean(dir)), newDir()
	parent.children[base] = n
	return n
}

// place puts an entry of our own into t and returns the folders that a layer with
// it must hold for it.
func (t *tree) place(e entry) ([]entry, error) {
	if path.Clean(e.path) != e.path || len(e.path) < 2 || e.path[0] != '/' || strings.Contains(e.path, "/"+whiteout) {
		return nil, fmt.Errorf("%q is no clean absolute path of a file", e.path)
	}
	var parents []entry
	n, at := t.root, "/"
	elems := strings.Split(strings.TrimPrefix(e.path, "/"), "/")
	for _, elem := range elems[:len(elems)-1] {
		at = path.Join(at, elem)
		child := n.children[elem]
		if child == nil {
			child = newDir()
			child.plain = true
			n.children[elem] = child
		}
		if !child.isDir() {
			return nil, notAFolder(e.path, at, child)
		}
		if child.plain {
			parents = append(parents, entry{path: at, dir: true, mode: 0o755})
		}
		n = child
	}
	name := elems[len(elems)-1]
	have := n.children[name]
	placed := &node{kind: tar.TypeReg, mode: e.mode, uid: e.uid, gid: e.gid, ours: &e}
	if e.dir {
		placed.kind, placed.children = tar.TypeDir, map[string]*node{}
		if have != nil && have.isDir() {
			placed.children = have.children
		}
	}
	switch {
	case have == nil:
	case have.ours != nil || have.plain && !e.dir:
		return nil, fmt.Errorf("%s: two files of the image have this path", e.path)
	case e.dir && !have.isDir():
		return nil, notAFolder(e.path, e.path, have)
	case !e.dir && have.kind != tar.TypeReg:
		return nil, fmt.Errorf("%s: in the base this is %s", e.path, kindName(have))
	case !e.dir && e.system:
		return nil, fmt.Errorf("%s: the base has this file", e.path)
	}
	n.children[name] = placed
	return parents, nil
}

func notAFolder(p, at string, n *node) error {
	return fmt.Errorf("%s: in the base, %s is %s", p, at, kindName(n))
}

func kindName(n *node) string {
	switch n.kind {
	case tar.TypeDir:
		return "a folder"
	case tar.TypeSymlink:
		return "a symbolic link to " + n.link
	case tar.TypeReg:
		return "a file"
	}
	return "a special file"
}

// executable tells whether the user can execute what p names: the first thing
// that keeps it from that is the error.
func (t *tree) executable(p string, uid, gid int) error {
	n, trail, err := t.find(p)
	if err != nil {
		return err
	}
	if n.kind != tar.TypeReg {
		return fmt.Errorf("%s: not a file but %s", p, kindName(n))
	}
	if uid == 0 {
		if n.mode&0o111 == 0 {
			return fmt.Errorf("%s: not executable (mode %04o)", p, n.mode)
		}
		return nil
	}
	for _, n := range append(slices.Clone(trail), n) {
		bit := int64(0o001)
		switch {
		case n.uid == uid:
			bit = 0o100
		case n.gid == gid:
			bit = 0o010
		}
		if n.mode&bit == 0 {
			what := "the file"
			if n.isDir() {
				what = "a folder of its path"
			}
			return fmt.Errorf("%s: user %d:%d may not execute it: %s belongs to %d:%d and has mode %04o", p, uid, gid, what, n.uid, n.gid, n.mode)
		}
	}
	return nil
}

// list returns every path of t, sorted; for tests and messages.
func (t *tree) list() []string {
	var paths []string
	var walk func(at string, n *node)
	walk = func(at string, n *node) {
		for _, name := range slices.Sorted(maps.Keys(n.children)) {
			p := path.Join(at, name)
			paths = append(paths, p)
			walk(p, n.children[name])
		}
	}
	walk("/", t.root)
	return paths
}
