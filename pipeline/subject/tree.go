package subject

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

const (
	maxElements = 256 // of the path of an entry
	maxLinks    = 40  // symbolic links on the way to a file, as in Linux
)

// tree is the file system that the layers of an image give.
type tree struct{ root *node }

// node is a folder if it has children, a symbolic link if it has a link, and
// else a file or device, of which those that may be executables have a file.
type node struct {
	children map[string]*node
	link     string
	file     *layerFile
	kind     format
	runs     bool // its mode is that of a file to be executed
}

// layerFile is a file that may be an executable, and where it came from.
type layerFile struct {
	blob  blob
	layer Container
}

func newDir() *node { return &node{children: map[string]*node{}} }

func newTree() *tree { return &tree{root: newDir()} }

// find returns what p names. Symbolic links on the way are followed as the kernel
// does, with the root of the tree for its root, and the last one if follow says
// so.
func (t *tree) find(p string, follow bool) (*node, error) {
	trail := []*node{t.root}
	rest := strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		elem := rest[0]
		rest = rest[1:]
		dir := trail[len(trail)-1]
		switch {
		case elem == "" || elem == ".":
			continue
		case dir.children == nil:
			return nil, fs.ErrNotExist
		case elem == "..":
			trail = trail[:max(1, len(trail)-1)]
			continue
		}
		child := dir.children[elem]
		if child == nil {
			return nil, fs.ErrNotExist
		}
		if child.link == "" || len(rest) == 0 && !follow {
			trail = append(trail, child)
			continue
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("more than %d symbolic links: %w", maxLinks, fs.ErrNotExist)
		}
		if strings.HasPrefix(child.link, "/") {
			trail = trail[:1]
		}
		rest = slices.Concat(strings.Split(child.link, "/"), rest)
	}
	return trail[len(trail)-1], nil
}

// folder returns the folder p, which may be behind symbolic links, and makes it
// where there is none.
func (t *tree) folder(p string) *node {
	if n, err := t.find(p, true); err == nil && n.children != nil {
		return n
	}
	dir, base := path.Split(p) // not the root, which is there
	parent, n := t.folder(path.Clean(dir)), newDir()
	parent.children[base] = n
	return n
}

// walk calls f for everything but folders, sorted by path, without a leading
// slash.
func (t *tree) walk(f func(p string, n *node) error) error {
	var visit func(at string, n *node) error
	visit = func(at string, n *node) error {
		for _, name := range slices.Sorted(maps.Keys(n.children)) {
			child, p := n.children[name], path.Join(at, name)
			step := f
			if child.children != nil {
				step = visit
			}
			if err := step(p, child); err != nil {
				return err
			}
		}
		return nil
	}
	return visit("", t.root)
}

// layerEntry is an entry of a layer.
type layerEntry struct {
	name string // absolute and clean
	to   string // of a hard link
	node *node
}

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// apply reads a layer, a tar stream that comes out of m, and changes t as unpacking it would
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md).
func (o *opening) apply(t *tree, layer Container, r io.Reader, m *meter) error {
	var entries []layerEntry
	var removed []string
	for tr := newTarReader(r, m); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if err := o.count(h.Name); err != nil {
			return err
		}
		name := clean(h.Name)
		if len(h.Linkname) > maxName || strings.Count(name, "/") > maxElements || strings.Count(h.Linkname, "/") > maxElements {
			return fmt.Errorf("%.80q...: a path that is too long: %w", h.Name, ErrLimit)
		}
		e := layerEntry{name: name, node: &node{}}
		switch {
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		case strings.HasPrefix(path.Base(name), whiteout):
			removed = append(removed, name)
			continue
		case h.Typeflag == tar.TypeSymlink:
			e.node.link = h.Linkname
		case h.Typeflag == tar.TypeLink:
			e.to = clean(h.Linkname)
		case h.Typeflag == tar.TypeDir:
			e.node.children = map[string]*node{}
		case hasContent(h):
			b, kind, err := o.candidate(h.Name, tr)
			if err != nil {
				return err
			}
			e.node.runs = h.Mode&0o111 != 0
			if e.node.kind = kind; kind == formatExecutable {
				e.node.file = &layerFile{b, layer}
			}
		}
		entries = append(entries, e)
	}
	// Whiteouts are about the layers below, wherever in the layer they stand.
	for _, name := range removed {
		dir, base := path.Split(name)
		parent, err := t.find(dir, true)
		if err != nil || parent.children == nil {
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
	if e.name == "/" {
		return nil
	}
	n := e.node
	if e.to != "" {
		target, err := t.find(e.to, false)
		if err != nil || target.children != nil {
			return fmt.Errorf("%s: a hard link to %s, which is no file", printable(e.name, true), printable(e.to, true))
		}
		n = target
	}
	dir, base := path.Split(e.name)
	parent := t.folder(path.Clean(dir))
	if have := parent.children[base]; have != nil && have.children != nil && n.children != nil {
		return nil
	}
	parent.children[base] = n
	return nil
}
