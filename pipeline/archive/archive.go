// Package archive writes archives and checksum files whose bytes depend on their input alone.
// Equal inputs give equal outputs, on any host and in any order of the list.
//
// # What an archive holds
//
// An archive holds the regular files of the list and the folders that lead to them. They are in
// bytewise order of their entry names. The name of a folder ends in a slash, so every folder
// stands before its contents. Files have mode 0644 or 0755, folders 0755. Owner and group are 0
// and have no names. Every entry has the one modification time that was given, in whole seconds
// UTC. There are no links and no devices.
//
//   - tar.gz and tar.zst hold USTAR headers
//     (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html).
//     An entry that does not fit gets a PAX extended header. That is one with a long or
//     non-ASCII name, or with 8 GiB and more.
//   - The gzip header (RFC 1952) has no name, time 0 and operating system 255,
//     unknown. The zstd stream (RFC 8878) is one frame with a checksum.
//   - zip entries carry Unix modes. They have the MS-DOS time, which counts in steps of two
//     seconds, and the extended timestamp, which counts seconds
//     (https://libzip.org/specifications/extrafld.txt). Files are deflated, and sizes follow
//     the data. Names that are not ASCII are flagged as UTF-8.
//
// # What is refused
//
// [Write] checks the complete list before it writes the first byte. It refuses a name that
//
//   - a Go module may not contain ([module.CheckFilePath]): a name has to be relative, with
//     slashes, in valid UTF-8 without control characters. It has no element that is empty, is "."
//     or "..", ends in a dot, or is reserved on Windows;
//   - has an element that ends in a space, is longer than 255 bytes, or is CONIN$ or CONOUT$;
//   - is longer than 1024 bytes.
//
// It also refuses two names that differ in letter case alone, since they would be one file on
// macOS and Windows, and a file with the name of a folder.
//
// # Compressors
//
// The compressors come from github.com/klauspost/compress, so go.mod pins their output. The output
// of compress/flate in the standard library changes with the Go version that this program was
// built with. The test TestGolden pins the bytes.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// File is a regular file to put into an archive.
type File struct {
	// Name is the slash-separated path inside the archive.
	Name string
	// Executable selects mode 0755 instead of 0644.
	Executable bool
	// Size is the number of bytes that Open yields.
	Size int64
	// Open returns the content. It is called once, when the file's turn comes. The content is
	// closed before the next file is opened.
	Open func() (io.ReadCloser, error)
}

// Format is the format of an archive, named by its usual file suffix.
type Format string

// The formats that [Write] knows.
const (
	TarGzip Format = "tar.gz"
	TarZstd Format = "tar.zst"
	Zip     Format = "zip"
)

// Compression levels: the strongest that are worth their time for Go binaries. Level 9 of deflate
// takes four times as long as 8 and saves 0.3 %.
const (
	deflateLevel = 8
	zstdLevel    = zstd.SpeedBestCompression
)

// Bounds of modification times, as the narrowest field of each format has them.
var (
	tarFirst = time.Unix(0, 0).UTC()
	tarLast  = time.Unix(1<<33-1, 0).UTC() // eleven octal digits
	zipFirst = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	zipLast  = time.Unix(1<<31-1, 0).UTC() // a signed 32-bit count of seconds
)

// Write writes an archive of files to w. mtime is the modification time of every entry, cut off to
// a second. The order of files does not matter, and the slice is not changed.
//
// Before it writes anything, Write returns an error if the format is unknown, a name is refused
// (see the package comment), a size is negative, Open is nil, or the format cannot express mtime.
// The times of tar begin in 1970. Those of zip begin in 1980 and end in January 2038. A time out of
// these bounds is refused and not moved, since a reader would have to find out why it was changed.
//
// While it writes, Write returns an error if a file cannot be read, or yields more or less than
// Size. What is in w then is no archive. Errors name the file.
//
// Memory use does not depend on the sizes of the files.
func Write(w io.Writer, f Format, mtime time.Time, files []File) error {
	mtime = time.Unix(mtime.Unix(), 0).UTC()
	if err := checkTime(f, mtime); err != nil {
		return fmt.Errorf("archive: %w", err)
	}

	entries, err := normalize(files)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}

	switch f {
	case TarGzip:
		err = writeTar(w, newGzip, mtime, entries)
	case TarZstd:
		err = writeTar(w, newZstd, mtime, entries)
	case Zip:
		err = writeZip(w, mtime, entries)
	}
	if err != nil {
		return fmt.Errorf("archive: write %s: %w", f, err)
	}
	return nil
}

// checkTime returns an error unless the format is known and can express mtime.
func checkTime(f Format, mtime time.Time) error {
	first, last := tarFirst, tarLast
	switch f {
	case TarGzip, TarZstd:
	case Zip:
		first, last = zipFirst, zipLast
	default:
		return fmt.Errorf("unknown format %q (%s, %s, %s)", f, TarGzip, TarZstd, Zip)
	}

	if mtime.Before(first) || mtime.After(last) {
		return fmt.Errorf("modification time %s: %s holds times from %s to %s", mtime.Format(time.RFC3339),
			f, first.Format(time.RFC3339), last.Format(time.RFC3339))
	}
	return nil
}

// entry is a file or a folder. The File of a folder has only a Name, which ends in a slash.
type entry struct{ File }

func (e entry) isDir() bool { return strings.HasSuffix(e.Name, "/") }

func (e entry) mode() fs.FileMode {
	switch {
	case e.isDir():
		return fs.ModeDir | 0o755
	case e.Executable:
		return 0o755
	}
	return 0o644
}

// normalize checks files and returns them and their folders, in the order of the archive.
func normalize(files []File) ([]entry, error) {
	var entries []entry
	taken := names{}
	for _, f := range files {
		if err := checkName(f.Name); err != nil {
			return nil, err
		}

		if f.Size < 0 {
			return nil, fmt.Errorf("%q: size %d is negative", f.Name, f.Size)
		}
		if f.Open == nil {
			return nil, fmt.Errorf("%q: has no content to open", f.Name)
		}

		dirs, err := taken.add(f.Name)
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			entries = append(entries, entry{File{Name: dir}})
		}
		entries = append(entries, entry{f})
	}

	// The caller's order has no influence on the bytes.
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// writeTar writes entries as a tar in the compression of compress.
func writeTar(w io.Writer, compress func(io.Writer) (io.WriteCloser, error), mtime time.Time, entries []entry) error {
	zw, err := compress(w)
	if err != nil {
		return err
	}

	tw := tar.NewWriter(zw)
	for _, e := range entries {
		// Without a Format, archive/tar chooses USTAR if it can and PAX otherwise.
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.Name, Size: e.Size, Mode: int64(e.mode().Perm()), ModTime: mtime}
		if e.isDir() {
			h.Typeflag = tar.TypeDir
		}

		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%q: %w", e.Name, err)
		}
		if err := e.copyTo(tw); err != nil {
			return fmt.Errorf("%q: %w", e.Name, err)
		}
	}

	if err := tw.Close(); err != nil {
		return err
	}
	return zw.Close()
}

// writeZip writes entries as a zip.
func writeZip(w io.Writer, mtime time.Time, entries []entry) error {
	zw := zip.NewWriter(w)
	zw.RegisterCompressor(zip.Deflate, newFlate)

	for _, e := range entries {
		h := &zip.FileHeader{Name: e.Name, Method: zip.Deflate, Modified: mtime}
		h.SetMode(e.mode())
		if e.isDir() {
			h.Method = zip.Store
		}

		ew, err := zw.CreateHeader(h)
		if err != nil {
			return fmt.Errorf("%q: %w", e.Name, err)
		}
		if err := e.copyTo(ew); err != nil {
			return fmt.Errorf("%q: %w", e.Name, err)
		}
	}

	return zw.Close()
}

// copyTo copies the content of a file to w. It returns an error if that is not of the size of the
// entry.
func (e entry) copyTo(w io.Writer) error {
	if e.isDir() {
		return nil
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	err = copyExactly(w, r, e.Size)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return err
}

// copyExactly copies size bytes from r to w. It returns an error if r has less or more.
func copyExactly(w io.Writer, r io.Reader, size int64) error {
	// LimitReader also hides a WriterTo, which would write everything at once, past the limit.
	n, err := io.Copy(w, io.LimitReader(r, size))
	if err != nil {
		return err
	}
	if n < size {
		return fmt.Errorf("has %d bytes, not the %d that were announced", n, size)
	}

	// One byte more shows that the announced size, which is in the header already, is wrong.
	switch _, err := io.ReadFull(r, make([]byte, 1)); {
	case err == nil:
		return fmt.Errorf("has more than the %d bytes that were announced", size)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// blocks gives a compressor blocks of one size. So its output does not depend on how many bytes
// each read returned.
type blocks struct {
	*bufio.Writer
	compressor io.Closer
}

// blockSize is larger than the writes of io.Copy, which would bypass the buffer otherwise.
const blockSize = 64 << 10

func newBlocks(c io.WriteCloser) io.WriteCloser {
	return blocks{bufio.NewWriterSize(c, blockSize), c}
}

func (b blocks) Close() error {
	if err := b.Flush(); err != nil {
		return err
	}
	return b.compressor.Close()
}

func newGzip(w io.Writer) (io.WriteCloser, error) {
	c, err := gzip.NewWriterLevel(w, deflateLevel)
	if err != nil {
		return nil, err
	}
	// The package would write the zero time.Time as some second of 2042.
	c.Header = gzip.Header{OS: 255, ModTime: time.Unix(0, 0)}
	return newBlocks(c), nil
}

func newZstd(w io.Writer) (io.WriteCloser, error) {
	c, err := zstd.NewWriter(w,
		zstd.WithEncoderLevel(zstdLevel),
		zstd.WithEncoderConcurrency(1), // the default is the number of processors
		zstd.WithWindowSize(8<<20),     // the most that a decoder can be expected to accept, RFC 8878 section 3.1.1.1.2
		zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	return newBlocks(c), nil
}

func newFlate(w io.Writer) (io.WriteCloser, error) {
	c, err := flate.NewWriter(w, deflateLevel)
	if err != nil {
		return nil, err
	}
	return newBlocks(c), nil
}
