package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Content is the content of a file, which a digest names.
type Content struct {
	Digest artifact.Digest
	// Size is in bytes.
	Size int64
	// Open returns the content, which is compared with Digest and Size while it is
	// read. It may be called several times, and from several goroutines at once.
	Open func() (Reader, error)
}

// Reader reads the content of a file; an *os.File is one.
type Reader interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// contentOf returns b as a Content.
func contentOf(b []byte) Content {
	return Content{Digest: artifact.Of(b), Size: int64(len(b)), Open: func() (Reader, error) {
		return struct {
			*bytes.Reader
			io.Closer
		}{bytes.NewReader(b), io.NopCloser(nil)}, nil
	}}
}

// entry is a file or a folder of a layer that this package makes.
type entry struct {
	path     string // absolute and clean
	dir      bool
	mode     int64
	uid, gid int
	system   bool // a base must not have it
	Content       // of a file
}

// tarName returns the path as a tar header has it.
func (e entry) tarName() string {
	name := strings.TrimPrefix(e.path, "/")
	if e.dir {
		name += "/"
	}
	return name
}

// layer is a list of entries, sorted by name, that becomes a layer.
type layer struct {
	entries []entry
	// history says in the configuration what the layer is.
	history string
}

// newLayer inserts files into t and returns the layer that holds them.
func newLayer(t *tree, history string, files []entry) (layer, error) {
	l := layer{history: history}
	var errs []error
	have := map[string]bool{}
	for _, f := range files {
		parents, err := t.insert(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, e := range append(parents, f) {
			if !have[e.path] {
				have[e.path] = true
				l.entries = append(l.entries, e)
			}
		}
	}
	// A folder that was made for another file may have been asked for later, with
	// another mode: the one that was asked for counts.
	for i, e := range l.entries {
		if n := t.Lookup(e.path); e.dir && n != nil && n.Value.entry != nil {
			l.entries[i] = *n.Value.entry
		}
	}

	slices.SortFunc(l.entries, func(a, b entry) int { return strings.Compare(a.tarName(), b.tarName()) })
	return l, errors.Join(errs...)
}

// key returns the same text for layers that have the same bytes.
func (l layer) key() string {
	var b strings.Builder
	for _, e := range l.entries {
		fmt.Fprintf(&b, "%q %o %d %d %s %d\n", e.tarName(), e.mode, e.uid, e.gid, e.Digest, e.Size)
	}
	return b.String()
}

// write writes the layer's tar stream, compressed, to w, and returns the digest
// of the stream.
func (l layer) write(ctx context.Context, w io.Writer, mtime time.Time) (diffID artifact.Digest, err error) {
	zw, err := newGzip(w)
	if err != nil {
		return "", err
	}

	h := artifact.NewHasher(zw)
	tw := tar.NewWriter(h)

	for _, e := range l.entries {
		// Without a Format, archive/tar takes USTAR if it can and PAX otherwise.
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.tarName(), Size: e.Size, Mode: e.mode, Uid: e.uid, Gid: e.gid, ModTime: mtime}

		if e.dir {
			header.Typeflag = tar.TypeDir
		}
		if err := tw.WriteHeader(header); err != nil {
			return "", fmt.Errorf("%s: %w", e.path, err)
		}

		if e.dir {
			continue
		}
		if err := e.copyTo(ctx, tw); err != nil {
			return "", fmt.Errorf("%s: %w", e.path, err)
		}
	}

	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		return "", err
	}
	return h.Digest(), nil
}

// copyTo copies the content to w. Another size or digest is an error.
func (c Content) copyTo(ctx context.Context, w io.Writer) error {
	r, err := c.Open()
	if err != nil {
		return err
	}

	h := artifact.NewHasher(w)
	_, err = io.Copy(h, io.LimitReader(contextReader{ctx, r}, c.Size))

	// A file that grew has the announced bytes at its beginning.
	more := 0
	if err == nil {
		more, err = io.ReadFull(r, make([]byte, 1))
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}

	if more > 0 || h.Digest() != c.Digest {
		return fmt.Errorf("the content is not what was announced, %s with %d bytes", c.Digest.Short(), c.Size)
	}
	return nil
}

// contextReader ends a read when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// newGzip compresses as package archive does, with a compressor that go.mod pins,
// at the same level, with the same header and in blocks of the same size.
// TestLayerIsAnArchive compares the two.
func newGzip(w io.Writer) (io.WriteCloser, error) {
	c, err := gzip.NewWriterLevel(w, 8)
	if err != nil {
		return nil, err
	}
	c.Header = gzip.Header{OS: 255, ModTime: time.Unix(0, 0)}
	return blockWriter{bufio.NewWriterSize(c, 64<<10), c}, nil
}

// blockWriter hands the compressor blocks of one size, however the data came in.
type blockWriter struct {
	*bufio.Writer
	compressor io.Closer
}

func (b blockWriter) Close() error {
	if err := b.Flush(); err != nil {
		return err
	}
	return b.compressor.Close()
}
