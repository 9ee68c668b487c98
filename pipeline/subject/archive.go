package subject

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// tar reads archives that follow each other in r, to its end. Some tools stop at the end of the
// first archive and others go on, so they see different files. The method yields the files of all
// archives. The reader r comes out of m.
func (o *opening) tar(at location, r io.Reader, m *meter) error {
	for r != nil {
		tr := newTarReader(r, m)
		for {
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

			if hasContent(h) {
				content, err := o.control(at, h.Name, tr)
				if err != nil {
					return err
				}
				if err := o.file(at, h.Name, content, h.Mode&0o111 != 0); err != nil {
					return err
				}
			}

			switch h.Typeflag {
			case tar.TypeSymlink:
				o.link(path.Dir(h.Name), h.Linkname)
			case tar.TypeLink:
				o.link("", h.Linkname)
			}
		}

		var err error
		if r, err = nextTar(r); err != nil {
			return err
		}
	}
	return nil
}

// tarReader counts members at the size that they have when they are unpacked. For a sparse member
// that is more than the bytes that come out of m.
type tarReader struct {
	*tar.Reader
	m *meter
	// size is the size of the last member. Its data follow after from bytes of m.
	size, from int64
}

func newTarReader(r io.Reader, m *meter) *tarReader {
	return &tarReader{Reader: tar.NewReader(r), m: m}
}

func (t *tarReader) Next() (*tar.Header, error) {
	h, err := t.Reader.Next()
	if err := t.m.addHoles(t.size - (t.m.out - t.from)); err != nil {
		return nil, err
	}
	t.size = 0
	if h == nil {
		return nil, err
	}
	if h.Size > t.m.o.limits.Unpacked-t.m.o.unpacked {
		return nil, t.m.o.errUnpacked()
	}
	t.size, t.from = h.Size, t.m.out
	return h, err
}

// hasContent reports whether a tool would make a file of the member. Tools also make one for an
// unknown type (https://www.gnu.org/software/tar/manual/html_node/Standard.html).
func hasContent(h *tar.Header) bool {
	switch h.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeXGlobalHeader:
		return false
	}
	return true
}

// nextTar returns a reader of the bytes after the end of an archive and its zeros, or nil if
// nothing follows.
func nextTar(r io.Reader) (io.Reader, error) {
	for {
		// ReadFull will not do: its error at the end would be the one of a compressed stream that
		// is cut off.
		block, err := io.ReadAll(io.LimitReader(r, blockSize))

		zero := len(bytes.Trim(block, "\x00")) == 0
		switch {
		case err != nil:
			return nil, err
		case zero && len(block) < blockSize:
			return nil, nil
		case !zero && len(block) < blockSize:
			return nil, errors.New("something that is no archive follows its end")
		case !zero:
			return io.MultiReader(bytes.NewReader(block), r), nil
		}
	}
}

const (
	// maxDirectory bounds the list of members of a zip file in bytes, since all
	// of it is read at once.
	maxDirectory = 32 << 20
	// maxZip bounds a zip file in bytes, since memory is reserved by the number
	// of members that it may have room for.
	maxZip = 4 << 30
)

// zip reads the members that the list at the end of the archive has.
func (o *opening) zip(at location, r *io.SectionReader) error {
	if r.Size() > maxZip {
		return fmt.Errorf("more than %d bytes: %w", int64(maxZip), ErrLimit)
	}

	limited := &readerAt{r: r, left: maxDirectory}
	zr, err := zip.NewReader(limited, r.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}

	// Only the list of members is bounded. The members have limits of their own.
	limited.left = -1
	if err := checkZipList(r, zr.File); err != nil {
		if err := o.skip(at, "(the rest of the zip)", "it has more in it than its list says, or something else: "+err.Error()); err != nil {
			return err
		}
		o.subject.Skipped[len(o.subject.Skipped)-1].Whole = true
	}

	whole := &meter{o: o, packed: r.Size}
	for _, f := range zr.File {
		if err := o.count(f.Name); err != nil {
			return err
		}
		if err := o.zipMember(at, f, whole); err != nil {
			return err
		}
	}
	return nil
}

// zipMember examines a member. The sizes of unpacked members are added up in whole, because
// members may share their bytes.
func (o *opening) zipMember(at location, f *zip.File, whole *meter) error {
	const encrypted = 1
	switch {
	case !f.Mode().IsRegular() && f.Mode().Type() != fs.ModeSymlink:
		return nil
	case f.Flags&encrypted != 0:
		return o.skip(at, at.name(f.Name), "it is encrypted")
	}

	rc, err := f.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return o.skip(at, at.name(f.Name), fmt.Sprintf("it is compressed with method %d, which is not known", f.Method))
	}
	if err != nil {
		return fmt.Errorf("member %s: %w", safetext.QuoteWord(f.Name), err)
	}
	defer rc.Close()
	whole.r = rc

	if f.Mode().Type() == fs.ModeSymlink {
		target, err := readBounded(whole, maxName)
		if err != nil {
			return fmt.Errorf("member %s: %w", safetext.QuoteWord(f.Name), err)
		}
		o.link(path.Dir(f.Name), string(target))
		return nil
	}

	if err := o.file(at, f.Name, whole, f.Mode()&0o111 != 0); err != nil {
		return err
	}
	// The checksum is compared at the end.
	if _, err := io.Copy(io.Discard, whole); err != nil {
		return fmt.Errorf("member %s: %w", safetext.QuoteWord(f.Name), err)
	}
	return nil
}

// readerAt reads at most left bytes, unless left is negative.
type readerAt struct {
	r    io.ReaderAt
	left int64
}

func (l *readerAt) ReadAt(p []byte, offset int64) (int, error) {
	if l.left >= 0 {
		if int64(len(p)) > l.left {
			return 0, fmt.Errorf("a list of members of more than %d bytes: %w", maxDirectory, ErrLimit)
		}
		l.left -= int64(len(p))
	}
	return l.r.ReadAt(p, offset)
}

// deb reads a Debian package (https://manpages.debian.org/deb.5): an ar archive of the members
// debian-binary, control.tar and data.tar. The last two are compressed as their names say. Other
// members may begin with an underscore.
func (o *opening) deb(at location, r *io.SectionReader) error {
	members, err := readAr(r)
	if err != nil {
		return err
	}

	seen := map[string]bool{}
	for i, m := range members {
		if err := o.count(m.name); err != nil {
			return err
		}

		part, _, isTar := strings.Cut(m.name, ".tar")
		switch {
		case i == 0:
			if m.name != "debian-binary" {
				return errors.New("an archive of objects, as C tools and go build -buildmode=c-archive make, and not a Debian package")
			}
			version, err := readBounded(m.body, 64)
			if err != nil || !bytes.HasPrefix(version, []byte("2.")) {
				return errors.New("not a Debian package of version 2")
			}
			continue
		case strings.HasPrefix(m.name, "_"):
			continue
		case !isTar || part != "control" && part != "data" || seen[part]:
			return fmt.Errorf("member %s: not what a Debian package has there", safetext.QuoteWord(m.name))
		}

		seen[part] = true
		if err := o.debMember(at, m); err != nil {
			return fmt.Errorf("%s: %w", safetext.QuoteWord(m.name), err)
		}
	}

	if !seen["data"] {
		return errors.New("no data.tar in it")
	}
	return nil
}

// debMember reads an archive in a Debian package.
func (o *opening) debMember(at location, m arMember) error {
	h := artifact.NewHasher(io.Discard)
	if _, err := io.Copy(h, o.reader(m.body)); err != nil {
		return err
	}

	if _, err := m.body.Seek(0, io.SeekStart); err != nil {
		return err
	}

	head, _, err := peek(m.body)
	if err != nil {
		return err
	}
	kind := sniff(head)
	if kind != formatTar && !kind.compressed() {
		return errors.New("not an archive")
	}
	return o.archive(at, Container{Kind: Member, Name: m.name, Digest: h.Digest(), Size: h.Size()}, m.name, kind, m.body)
}

const (
	arMagic   = "!<arch>\n"
	arHeader  = 60
	arMembers = 100 // a Debian package has three
)

// arMember is a member of an ar archive.
type arMember struct {
	name string
	body *io.SectionReader
}

// readAr lists an ar archive, in the common format without long names
// (https://manpages.debian.org/deb.5#FORMAT).
func readAr(r *io.SectionReader) ([]arMember, error) {
	var members []arMember

	header := make([]byte, arHeader)
	if _, err := r.ReadAt(header[:len(arMagic)], 0); err != nil || string(header[:len(arMagic)]) != arMagic {
		return nil, errors.New("not an ar archive")
	}

	for at := int64(len(arMagic)); at < r.Size(); {
		if len(members) == arMembers {
			return nil, fmt.Errorf("more than %d members: %w", arMembers, ErrLimit)
		}
		if _, err := r.ReadAt(header, at); err != nil {
			return nil, fmt.Errorf("the header at %d is cut off: %w", at, fs.ErrInvalid)
		}

		name := strings.TrimSuffix(strings.TrimRight(string(header[:16]), " "), "/")
		size, err := strconv.ParseUint(strings.TrimRight(string(header[48:58]), " "), 10, 63)
		if err != nil || string(header[58:]) != "`\n" {
			return nil, fmt.Errorf("the header at %d is damaged: %w", at, fs.ErrInvalid)
		}

		at += arHeader
		if int64(size) > r.Size()-at {
			return nil, fmt.Errorf("member %s: it says %d bytes, and there are %d", safetext.QuoteWord(name), size, r.Size()-at)
		}

		// A member of an odd size has a byte of padding behind it.
		members = append(members, arMember{name, io.NewSectionReader(r, at, int64(size))})
		at += int64(size) + int64(size)&1
	}

	return members, nil
}
