package gotree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// copyTree copies the regular files below src. It leaves out a file if keep is given and says no
// to its name or to the name of one of its folders.
func copyTree(ctx context.Context, src, dest string, keep func(name string) bool) error {
	return filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}

		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}

		to := filepath.Join(dest, rel)
		switch {
		case rel != "." && keep != nil && !keep(filepath.ToSlash(rel)):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no regular file", p)
		}

		return copyFile(p, to)
	})
}

func copyFile(src, dest string) error {
	in, _, err := fsx.OpenNamed(src)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := fsx.CreateNew(dest, 0o644|info.Mode().Perm()&0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// surveyed are the files of a distribution that a machine executes or links.
type surveyed struct {
	// tools are all files below bin and pkg/tool.
	tools []string
	// objects are the others, and testdata those in folders of that name.
	objects  []string
	testdata []string
	files    int
}

// survey looks at every file of a GOROOT.
func survey(ctx context.Context, goroot string) (surveyed, error) {
	var s surveyed
	head := make([]byte, 16)

	err := filepath.WalkDir(goroot, func(p string, d fs.DirEntry, err error) error {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}

		rel, err := filepath.Rel(goroot, p)
		if err != nil {
			return err
		}

		name := filepath.ToSlash(rel)
		if d.IsDir() {
			if slices.Contains(notPublished, name) {
				return fs.SkipDir
			}
			return nil
		}

		s.files++
		if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") {
			s.tools = append(s.tools, name)
			return nil
		}

		// The first bytes tell an object, because a name in the zip may be anything.
		f, _, err := fsx.OpenNamed(p)
		if err != nil {
			return err
		}
		n, err := io.ReadFull(f, head)
		if err := errors.Join(f.Close(), ignoreEOF(err)); err != nil {
			return err
		}
		switch {
		case !isObject(name, head[:n]):
		case strings.Contains(name, "/testdata/"):
			s.testdata = append(s.testdata, name)
		default:
			s.objects = append(s.objects, name)
		}
		return nil
	})

	return s, err
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// magics are the beginnings of executables, objects and libraries: ELF, Mach-O in
// both orders and universal, PE, WebAssembly, ar, and Go's own objects.
var magics = []string{
	"\x7fELF", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xfe\xed\xfa\xcf", "\xfe\xed\xfa\xce", "\xca\xfe\xba\xbe", "MZ", "\x00asm", "!<arch>\n", "!<bigaf>\n", "go object ",
}

// isObject reports whether a file is one that is executed or linked. Objects of COFF and XCOFF
// have no magic of their own, so their names count.
func isObject(name string, head []byte) bool {
	switch path.Ext(name) {
	case ".syso", ".o", ".obj", ".a", ".lib", ".so", ".dll", ".dylib", ".exe":
		return true
	}
	return slices.ContainsFunc(magics, func(m string) bool { return bytes.HasPrefix(head, []byte(m)) })
}

// foreignObjects are the folders of objects that come from other projects. They go only into
// programs that are built with -race or with GOEXPERIMENT=boringcrypto. No tool is built so.
var foreignObjects = []string{"src/runtime/race/", "src/crypto/internal/boring/syso/"}
