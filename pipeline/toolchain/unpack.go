package toolchain

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxUnpacked bounds the bytes that a toolchain's zip may hold; 1.26's has
// 215 MB. It bounds the zip itself, too.
const maxUnpacked = 4 << 30

// unpack writes the files of a toolchain's zip, whose names all begin with
// prefix, to the empty folder dir, as an installation has them: every _go.mod
// is called go.mod, and files that the go command marks as executable are executable.
//
// The zip's hash was checked before, but nothing here relies on that: a name
// that leads out of dir or occurs twice, and an entry that is no regular file
// are errors.
func unpack(ctx context.Context, zipFile, prefix, dir string) error {
	z, err := zip.OpenReader(zipFile)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer z.Close()

	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	if len(z.File) > maxFiles {
		return fmt.Errorf("unpack: %d files, more than %d", len(z.File), maxFiles)
	}

	room := int64(maxUnpacked)
	for _, f := range z.File {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}

		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok || !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\:\n\x00") || !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("unpack: bad name %q", f.Name)
		}
		if !f.Mode().IsRegular() {
			return fmt.Errorf("unpack: %q is no regular file (%s)", f.Name, f.Mode())
		}
		if path.Base(name) == "_go.mod" {
			name = path.Join(path.Dir(name), "go.mod")
		}

		n, err := unpackFile(root, f, name, room)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
		room -= n
	}
	return nil
}

var errTooLarge = errors.New("larger than a toolchain can be")

// unpackFile writes at most room bytes, and returns how many it wrote.
func unpackFile(root *os.Root, f *zip.File, name string, room int64) (int64, error) {
	r, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()

	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return 0, err
	}
	mode := fs.FileMode(0o644)
	if isExecutable(name) {
		mode = 0o755
	}
	w, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	defer w.Close()

	n, err := io.Copy(w, io.LimitReader(r, room+1)) // its end is where zip checks the CRC
	if err == nil && n > room {
		err = errTooLarge
	}

	if err != nil {
		return n, err
	}
	return n, w.Close()
}

// isExecutable reports whether a file of a toolchain is executable. It follows
// cmd/go/internal/toolchain, which sets these bits, since a module's zip keeps none.
func isExecutable(name string) bool {
	top, rest, _ := strings.Cut(name, "/")
	switch top {
	case "bin":
		return true
	case "pkg":
		return strings.HasPrefix(rest, "tool/")
	case "lib":
		ok, err := path.Match("go_?*_?*_exec", path.Base(rest))
		return ok && err == nil
	}
	return false
}
