// Package layertree holds the file system that the layers of an image give.
//
// The names and the links of a layer can be hostile. A path never leads out of
// the root, and the way to a file follows a bounded number of symbolic links.
// Each node has a value, in which the caller keeps what else it knows of a file.
package layertree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Bounds of the paths of a layer.
const (
	MaxPath     = 4096 // bytes of the path of an entry, as in Linux
	MaxElements = 256  // elements of such a path
	MaxLinks    = 40   // symbolic links on the way to a file, as in Linux
)

// Names of the entries that remove something from the layers below
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts).
const (
	WhiteoutPrefix = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
)

var errPathTooLong = errors.New("a path that is too long")

// Tree is a file system. T is what the caller knows of each file of it.
type Tree[T any] struct {
	// Root is a folder.
	Root *Node[T]
}

// Node is a folder, a symbolic link, or any other file. Hard links share a node.
type Node[T any] struct {
	// Children are the files of a folder, by name. They are nil for everything else.
	Children map[string]*Node[T]
	// Symlink reports whether the node is a symbolic link, to Target.
	Symlink bool
	Target  string
	Value   T
}

// New returns a tree whose root has a value.
func New[T any](root T) *Tree[T] { return &Tree[T]{Root: NewFolder(root)} }

// NewFolder returns an empty folder.
func NewFolder[T any](value T) *Node[T] {
	return &Node[T]{Children: map[string]*Node[T]{}, Value: value}
}

// IsFolder reports whether n is a folder.
func (n *Node[T]) IsFolder() bool { return n.Children != nil }

// Clone returns a tree that can be changed without changing t.
func (t *Tree[T]) Clone() *Tree[T] { return &Tree[T]{Root: t.Root.clone()} }

func (n *Node[T]) clone() *Node[T] {
	c := *n
	if n.Children != nil {
		c.Children = make(map[string]*Node[T], len(n.Children))
		for name, child := range n.Children {
			c.Children[name] = child.clone()
		}
	}
	return &c
}

// CleanPath returns the absolute path that a name in a layer means. It cannot
// lead out of the root.
func CleanPath(name string) string { return path.Clean("/" + name) }

// EntryPath returns the absolute path that the name of a layer's entry means. The
// error says that the name, or the link in the entry, is longer than a path may be.
func EntryPath(h *tar.Header) (string, error) {
	name := CleanPath(h.Name)
	if len(h.Name) > MaxPath || len(h.Linkname) > MaxPath ||
		strings.Count(name, "/") > MaxElements || strings.Count(h.Linkname, "/") > MaxElements {
		return "", fmt.Errorf("%.80q...: %w", h.Name, errPathTooLong)
	}
	return name, nil
}

// IsWhiteout reports whether the entry with a path removes something from the
// layers below.
func IsWhiteout(p string) bool { return strings.HasPrefix(path.Base(p), WhiteoutPrefix) }

// Lookup returns what p names, or nil. It follows no symbolic link.
func (t *Tree[T]) Lookup(p string) *Node[T] {
	n := t.Root
	for elem := range strings.SplitSeq(p, "/") {
		if elem != "" && n != nil {
			n = n.Children[elem]
		}
	}
	return n
}

// Find returns what p names, and the folders on the way to it. It follows
// symbolic links as the kernel does, with the root of the tree for its root. The
// last element of p is followed too.
func (t *Tree[T]) Find(p string) (n *Node[T], folders []*Node[T], err error) {
	return t.find(p, true)
}

// FindLink works like [Tree.Find], and does not follow the last element of p.
func (t *Tree[T]) FindLink(p string) (n *Node[T], folders []*Node[T], err error) {
	return t.find(p, false)
}

func (t *Tree[T]) find(p string, followLast bool) (n *Node[T], folders []*Node[T], err error) {
	trail := []*Node[T]{t.Root}
	rest := strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		elem := rest[0]
		rest = rest[1:]

		folder := trail[len(trail)-1]
		switch {
		case elem == "" || elem == ".":
			continue
		case !folder.IsFolder():
			return nil, nil, fmt.Errorf("%s: a part of the path is no folder", p)
		case elem == "..":
			// The parent of the root is the root.
			trail = trail[:max(1, len(trail)-1)]
			continue
		}

		child := folder.Children[elem]
		if child == nil {
			return nil, nil, fmt.Errorf("%s: %w", p, fs.ErrNotExist)
		}
		if !child.Symlink || len(rest) == 0 && !followLast {
			trail = append(trail, child)
			continue
		}

		// Links can lead to each other without end.
		if links++; links > MaxLinks {
			return nil, nil, fmt.Errorf("%s: more than %d symbolic links", p, MaxLinks)
		}

		// An absolute target begins at the root of the tree.
		if strings.HasPrefix(child.Target, "/") {
			trail = trail[:1]
		}
		rest = slices.Concat(strings.Split(child.Target, "/"), rest)
	}
	last := len(trail) - 1
	return trail[last], trail[:last], nil
}

// ApplyWhiteouts applies the whiteouts of a layer, given by their paths. Whiteouts are
// about the layers below, wherever in their layer they stand, so they come before
// the layer's other entries. A whiteout of what is not there is ignored.
func (t *Tree[T]) ApplyWhiteouts(whiteouts []string) {
	for _, p := range whiteouts {
		dir, base := path.Split(p)
		parent, _, err := t.Find(dir)
		if err != nil || !parent.IsFolder() {
			continue
		}
		if base == opaqueWhiteout {
			clear(parent.Children)
		} else {
			delete(parent.Children, strings.TrimPrefix(base, WhiteoutPrefix))
		}
	}
}

// Put puts a node where unpacking a layer would put it. p is absolute, clean and
// not the root. Where both are folders, the one that is there keeps its files and
// gets the value of n. Folders on the way that are missing are made, with the
// value parents.
func (t *Tree[T]) Put(p string, n *Node[T], parents T) {
	dir, base := path.Split(p)
	parent := t.makeFolder(path.Clean(dir), parents)
	if have := parent.Children[base]; have != nil && have.IsFolder() && n.IsFolder() {
		have.Value = n.Value
		return
	}
	parent.Children[base] = n
}

// makeFolder returns the folder p, which may be behind symbolic links, and makes it
// where there is none.
func (t *Tree[T]) makeFolder(p string, value T) *Node[T] {
	if n, _, err := t.Find(p); err == nil && n.IsFolder() {
		return n
	}
	dir, base := path.Split(p) // not the root, which is there
	parent, n := t.makeFolder(path.Clean(dir), value), NewFolder(value)
	parent.Children[base] = n
	return n
}

// Walk calls visit for every file of the tree, sorted by name, a folder before
// what is in it. Paths are relative to the root.
func (t *Tree[T]) Walk(visit func(p string, n *Node[T]) error) error {
	return t.Root.walk("", visit)
}

func (n *Node[T]) walk(at string, visit func(p string, n *Node[T]) error) error {
	for _, name := range slices.Sorted(maps.Keys(n.Children)) {
		p, child := path.Join(at, name), n.Children[name]
		if err := visit(p, child); err != nil {
			return err
		}
		if err := child.walk(p, visit); err != nil {
			return err
		}
	}
	return nil
}
