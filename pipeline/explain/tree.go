package explain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Kinds of trees.
const (
	KindFolder = "folder"
	KindImage  = "image" // an OCI image, or a layout with some
)

// Tree is a folder, or the parts of an image in the form of a folder.
type Tree struct {
	// Name is what the caller calls it. Kind is one of the kinds of trees.
	Name, Kind string
	// Digest is the digest of an image's index or manifest. It is empty for a folder.
	Digest artifact.Digest
	// Members have one name each, and are in the order of these.
	Members []TreeMember
	// Notes say what could not be read, and why.
	Notes []string
}

// TreeMember is one thing in a tree.
type TreeMember struct {
	// Name is its path, with slashes.
	Name string
	// Type is "file", "symbolic link" or another type of file. Link is where a link leads.
	Type, Link string
	// Executable reports whether its owner may execute it. The other modes are left out,
	// as they depend on who unpacked the folder.
	Executable bool
	Size       int64
	// Digest is the digest of the content, if it is known without reading. Members with
	// the same digest are not read.
	Digest artifact.Digest
	// Open returns the content of a file. It is nil for members without content.
	Open func(context.Context) (Content, error)
}

// Content is the content of a file, which does not change.
type Content interface {
	io.ReaderAt
	io.Closer
	// Size is in bytes.
	Size() int64
}

// Trees explains the difference between two folders or images. First come the members that one of
// them alone has. Then comes each member that differs, as [Files] explains it, with the members of
// those that are archives. The content of at most 64 members is explained. Errors are as those of
// Files.
func Trees(ctx context.Context, a, b Tree, o Options) (*Report, error) {
	e := &explainer{ctx: ctx, options: o.withUsableHints()}
	c := &Comparison{A: a.side(), B: b.side(), Offset: -1, Causes: []Cause{}}
	if err := e.explainTrees(c, a, b); err != nil {
		return nil, fmt.Errorf("explain %q and %q: %w", a.Name, b.Name, cmp.Or(context.Cause(ctx), err))
	}
	return &Report{SchemaName, *c}, nil
}

func (t Tree) side() Side {
	s := Side{Name: t.Name, Kind: t.Kind, SHA256: t.Digest.Hex()}
	for _, m := range t.Members {
		s.Size += m.Size
	}
	return s
}

const maxTreeExplained = 64

func (e *explainer) explainTrees(c *Comparison, a, b Tree) error {
	x := &Archive{A: ArchiveFacts{len(a.Members), c.A.Size}, B: ArchiveFacts{len(b.Members), c.B.Size}}
	c.Archive = x
	for _, n := range slices.Concat(a.Notes, b.Notes) {
		c.noteText(n)
	}

	inB := map[string]TreeMember{}
	for _, m := range b.Members {
		inB[m.Name] = m
	}

	c.Equal = true
	add := func(m Member) *Member {
		c.Equal = false
		if len(x.Members) == maxListed {
			x.MoreMembers++
			return &m
		}
		x.Members = append(x.Members, m)
		return &x.Members[len(x.Members)-1]
	}

	// Explaining a member reads all of it, so only some are explained.
	left := maxTreeExplained
	for _, ma := range a.Members {
		mb, ok := inB[ma.Name]
		delete(inB, ma.Name)
		if !ok {
			add(Member{Name: ma.Name, State: "only in A"})
			c.addCause(causeArchiveMembers, Certain, Cause{Text: "only A has " + cut(ma.Name), A: ma.Name})
			continue
		}
		same, err := e.sameContent(ma, mb)
		if err != nil {
			return err
		}
		attributes := differingValues(ma.attributes(), mb.attributes())
		if same && len(attributes) == 0 {
			continue
		}
		m := add(Member{Name: ma.Name, State: "attributes", Attributes: attributes})
		c.attributeCauses(*m)
		if same {
			continue
		}

		m.State = "changed"
		if left--; left < 0 {
			c.noteText("not all members that differ are explained")
			c.addCause(causeContent, Certain, Cause{Where: cut(ma.Name)})
			continue
		}
		if err := e.explainTreeMember(c, m, ma, mb); err != nil {
			return err
		}
	}

	for _, mb := range b.Members {
		if _, ok := inB[mb.Name]; ok {
			add(Member{Name: mb.Name, State: "only in B"})
			c.addCause(causeArchiveMembers, Certain, Cause{Text: "only B has " + cut(mb.Name), B: mb.Name})
		}
	}

	// An unread part may differ, so nothing is called equal without it.
	switch {
	case !c.Equal:
		c.rankCauses()
	case len(c.Notes) > 0:
		return fmt.Errorf("nothing that could be read differs, but not all could be: %s", c.Notes[0])
	}

	return nil
}

func (m TreeMember) attributes() map[string]string {
	v := map[string]string{"type": m.Type}
	if m.Link != "" {
		v["link"] = m.Link
	}
	if m.Type == "file" {
		v["mode"] = "not executable"
		if m.Executable {
			v["mode"] = "executable"
		}
	}
	return v
}

// sameContent reports whether two members hold the same bytes.
func (e *explainer) sameContent(a, b TreeMember) (bool, error) {
	if a.Open == nil || b.Open == nil {
		return (a.Open == nil) == (b.Open == nil), nil // else the type differs
	}
	if a.Digest != "" && b.Digest != "" {
		return a.Digest == b.Digest, nil
	}
	if a.Size != b.Size {
		return false, nil
	}
	da, err := e.digest(a)
	if err != nil {
		return false, err
	}
	db, err := e.digest(b)
	return da == db, err
}

func (e *explainer) digest(m TreeMember) (artifact.Digest, error) {
	if m.Digest != "" {
		return m.Digest, nil
	}
	f, err := m.Open(e.ctx)
	if err != nil {
		return "", fmt.Errorf("%q: %w", m.Name, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, e.input(File{m.Name, f, f.Size()}).section(0, f.Size())); err != nil {
		return "", fmt.Errorf("%q: %w", m.Name, err)
	}
	return artifact.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

// explainTreeMember explains one member that differs.
func (e *explainer) explainTreeMember(c *Comparison, m *Member, a, b TreeMember) error {
	if a.Open == nil || b.Open == nil {
		return nil
	}
	fa, err := a.Open(e.ctx)
	if err != nil {
		return fmt.Errorf("%q: %w", a.Name, err)
	}

	defer fa.Close()
	fb, err := b.Open(e.ctx)
	if err != nil {
		return fmt.Errorf("%q: %w", b.Name, err)
	}
	defer fb.Close()
	if m.Content, err = e.compare(e.input(File{a.Name, fa, fa.Size()}), e.input(File{b.Name, fb, fb.Size()}), true); err != nil {
		return err
	}

	if m.Content.Equal { // a document that was laid out in another way
		m.Content = nil
		c.addCause(causeContent, Certain, Cause{Text: "the same, laid out in another way", Where: cut(m.Name)})
		return nil
	}

	// A cause of a member is one of the tree, with the member as its place.
	for _, x := range m.Content.Causes {
		x.Where = cut(strings.TrimSuffix(m.Name+": "+x.Where, ": "))
		c.Causes = append(c.Causes, x)
	}
	return nil
}

// Folder reads a folder: its files at any depth. An OCI image layout in it is read as the images in
// it. Links are not followed. fsys should not lead out of the folder, as that of [os.Root] does
// not, and its files must be [io.ReaderAt]s. A part that cannot be read is a note. The error is
// about the folder itself, more than 65536 files, or the context's.
func Folder(ctx context.Context, name string, fsys fs.FS) (Tree, error) {
	t := Tree{Name: name, Kind: KindFolder}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case context.Cause(ctx) != nil:
			return context.Cause(ctx)
		case err != nil && p == ".":
			return err
		case err != nil:
			t.note(p, err)
			return nil
		case len(t.Members) >= maxMembers:
			return errArchiveTooLarge
		case d.IsDir() && isLayout(fsys, p):
			images, digest, err := layoutMembers(ctx, fsys, p)
			if err != nil {
				t.note(p, err) // then its files are looked at
				return nil
			}
			if p == "." {
				t.Kind, t.Digest = KindImage, digest
			}

			t.Members = append(t.Members, images...)
			return fs.SkipDir
		case d.IsDir():
			return nil
		}

		m, err := folderMember(fsys, p, d)
		if err != nil {
			t.note(p, err)
			return nil
		}

		t.Members = append(t.Members, m)
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("%s: %w", name, err)
	}

	// A walk visits a folder before files that sort before its members.
	slices.SortFunc(t.Members, func(a, b TreeMember) int { return strings.Compare(a.Name, b.Name) })
	return t, nil
}

func (t *Tree) note(name string, err error) {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	t.Notes = append(t.Notes, fmt.Sprintf("%s: %s", path.Join(t.Name, name), err))
}

func folderMember(fsys fs.FS, p string, d fs.DirEntry) (TreeMember, error) {
	info, err := d.Info()
	if err != nil {
		return TreeMember{}, err
	}
	m := TreeMember{Name: p, Type: "file", Size: info.Size(), Executable: info.Mode()&0o100 != 0}

	// Only regular files have content. Opening others may block.
	switch {
	case info.Mode().IsRegular():
		m.Open = func(context.Context) (Content, error) { return openIn(fsys, p) }
	case info.Mode()&fs.ModeSymlink != 0:
		m.Type, m.Size = "symbolic link", 0
		if m.Link, err = fs.ReadLink(fsys, p); err != nil {
			return m, err
		}
	default:
		m.Type, m.Size = info.Mode().Type().String(), 0
	}

	return m, nil
}

// fileContent is a file that was opened.
type fileContent struct {
	fs.File
	io.ReaderAt
	size int64
}

func (f fileContent) Size() int64 { return f.size }

// openIn opens a regular file.
func openIn(fsys fs.FS, name string) (Content, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	r, ok := f.(io.ReaderAt)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("it is no regular file any more")
	case !ok:
		err = errors.New("it cannot be read at any place")
	default:
		return fileContent{f, r, info.Size()}, nil
	}

	return nil, errors.Join(err, f.Close())
}
