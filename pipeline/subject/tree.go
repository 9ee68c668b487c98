package subject

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"

	"github.com/twicebuild/twice/pipeline/layertree"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// tree is the file system that the layers of an image make.
type tree = layertree.Tree[layerFile]

type node = layertree.Node[layerFile]

// layerFile has the facts of a file of a layer.
type layerFile struct {
	kind       format
	executable bool // its mode is that of a file to be executed
	// candidate is set for a file that may be an executable.
	candidate *candidate
}

// candidate is a file that may be an executable, and where it came from.
type candidate struct {
	blob  blob
	layer Container
}

func newTree() *tree { return layertree.New(layerFile{}) }

// layerEntry is an entry of a layer.
type layerEntry struct {
	path     string // absolute and clean
	hardLink string // the path that a hard link is to
	node     *node
}

// apply reads a layer, a tar stream that comes out of m. It changes t as unpacking the layer would
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md).
func (o *opening) apply(t *tree, layer Container, r io.Reader, m *meter) error {
	entries, whiteouts, err := o.readLayer(layer, r, m)
	if err != nil {
		return err
	}
	t.ApplyWhiteouts(whiteouts)
	for _, e := range entries {
		if err := addEntry(t, e); err != nil {
			return err
		}
	}
	return nil
}

// readLayer returns the entries that a layer adds, and the paths of its whiteouts. It stores the
// files that may be executables.
func (o *opening) readLayer(layer Container, r io.Reader, m *meter) (entries []layerEntry, whiteouts []string, err error) {
	for tr := newTarReader(r, m); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return entries, whiteouts, nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, nil, err
		}

		if err := o.count(h.Name); err != nil {
			return nil, nil, err
		}
		p, err := layertree.EntryPath(h)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", err, ErrLimit)
		}

		e := layerEntry{path: p, node: &node{}}
		switch {
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		case layertree.IsWhiteout(p):
			whiteouts = append(whiteouts, p)
			continue
		case h.Typeflag == tar.TypeSymlink:
			e.node.Symlink, e.node.Target = h.Linkname != "", h.Linkname
		case h.Typeflag == tar.TypeLink:
			e.hardLink = layertree.CleanPath(h.Linkname)
		case h.Typeflag == tar.TypeDir:
			e.node.Children = map[string]*node{}
		case hasContent(h):
			b, kind, err := o.candidate(h.Name, tr)
			if err != nil {
				return nil, nil, err
			}
			e.node.Value = layerFile{kind: kind, executable: h.Mode&0o111 != 0}
			if kind == formatExecutable {
				e.node.Value.candidate = &candidate{b, layer}
			}
		}

		entries = append(entries, e)
	}
}

// addEntry puts an entry of a layer where it belongs.
func addEntry(t *tree, e layerEntry) error {
	if e.path == "/" {
		return nil
	}
	n := e.node
	if e.hardLink != "" {
		target, _, err := t.FindLink(e.hardLink)
		if err != nil || target.IsFolder() {
			return fmt.Errorf("%s: a hard link to %s, which is no file", safetext.QuoteWord(e.path), safetext.QuoteWord(e.hardLink))
		}
		n = target
	}
	t.Put(e.path, n, layerFile{})
	return nil
}
