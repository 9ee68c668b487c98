package source

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Module is a version of a module from a module proxy. It has the methods of
// [Repo] that make sense for it.
type Module struct {
	mod  module.Version
	sum  string // h1:
	zip  string // path in the module cache
	time time.Time
}

// OpenModule downloads arg, "path@version" with a canonical version (no query
// such as "latest"), into the module cache of the go command and checks it
// against the sum that the go command had from the checksum database, which
// its environment must not turn off for a public module. Scratch
// is an empty folder to run in, so that no module or workspace around it has a
// say. An error may have a Remedy() string.
func OpenModule(ctx context.Context, goCmd gocmd.Go, arg, scratch string) (*Module, error) {
	mod, err := parseModule(arg)
	if err != nil {
		return nil, err
	}

	if !filepath.IsAbs(goCmd.Path) {
		return nil, usageError("install Go", "go: not found (path %q)", goCmd.Path)
	}

	if scratch, err = filepath.Abs(scratch); err == nil {
		err = emptyFolder(scratch)
	}
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", arg, err)
	}

	got, err := download(ctx, goCmd, arg, scratch)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", arg, err)
	}
	if got.Path != mod.Path || got.Version != mod.Version {
		return nil, fmt.Errorf("module %s: go mod download answered with %s@%s", arg, got.Path, got.Version)
	}

	// The cache may have been changed since the go command checked it.
	sum, err := dirhash.HashZip(got.Zip, dirhash.Hash1)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", arg, err)
	}
	if sum != got.Sum || sum == "" {
		return nil, fault.WithRemedy(fmt.Errorf("module %s: the zip in the module cache has sum %s, want %s", arg, sum, got.Sum),
			"go clean -modcache, or see who wrote to it")
	}

	m := &Module{mod: mod, sum: sum, zip: got.Zip}
	if m.time, err = readInfo(got.Info, mod.Version); err != nil {
		return nil, fmt.Errorf("module %s: %w", arg, err)
	}

	files, close, err := m.openFiles()
	if err != nil {
		return nil, err
	}
	defer close()
	if _, ok := files["go.mod"]; !ok {
		return nil, fmt.Errorf("module %s: no go.mod in it, so nothing pins what it is built with", arg)
	}
	return m, nil
}

// parseModule reads "path@version".
func parseModule(arg string) (module.Version, error) {
	path, version, ok := strings.Cut(arg, "@")
	if !ok {
		return module.Version{}, usageError("write it as path@version", "module %q: no version", arg)
	}
	// This refuses a leading '-' and whatever else is no module path.
	if err := module.CheckPath(path); err != nil {
		return module.Version{}, usageError("give the path of a module, such as example.com/tool", "module %q: %w", arg, err)
	}

	err := module.Check(path, version)
	if err == nil && module.CanonicalVersion(version) != version {
		err = errors.New("not a canonical version")
	}
	if err != nil {
		return module.Version{}, usageError("give an exact version, such as v1.2.3", "module %q: %w", arg, err)
	}
	return module.Version{Path: path, Version: version}, nil
}

func download(ctx context.Context, goCmd gocmd.Go, arg, scratch string) (gocmd.DownloadedModule, error) {
	d, err := goCmd.With("GOENV=off").Download(ctx, arg, scratch)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return d, usageError("install Go", "go: not found: %w", err)
	case err != nil:
		return d, err
	case d.Error != "":
		return d, fmt.Errorf("go mod download: %s", d.Error)
	case !filepath.IsAbs(d.Zip) || !filepath.IsAbs(d.Info):
		return d, errors.New("go mod download: no zip in its answer")
	}
	return d, nil
}

// readInfo returns the time in an .info file (go.dev/ref/mod#goproxy-protocol).
func readInfo(name, version string) (time.Time, error) {
	data, err := fsx.ReadNamed(name, 1<<20)
	if err != nil {
		return time.Time{}, err
	}

	var info struct {
		Version string
		Time    time.Time
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", name, err)
	}

	if info.Version != version || info.Time.IsZero() {
		return time.Time{}, fmt.Errorf("%s: no time of %s in it", name, version)
	}
	return info.Time.UTC(), nil
}

// Identity returns what names the content: path, version and sum.
func (m *Module) Identity() recipe.Source {
	return recipe.Source{Module: m.mod.Path, Version: m.mod.Version, Sum: m.sum, Dir: "."}
}

// Tag returns the version, or "" for a pseudo-version, which belongs to no tag.
func (m *Module) Tag() string {
	if module.IsPseudoVersion(m.mod.Version) {
		return ""
	}
	return m.mod.Version
}

// Version returns the version without the leading v.
func (m *Module) Version() string { return strings.TrimPrefix(m.mod.Version, "v") }

// Time returns the version's time, in UTC, as the proxy says it. Nothing vouches for
// it: the checksum database does not cover it.
func (m *Module) Time() time.Time { return m.time }

// Dirty returns false: a module from a proxy has no changes.
func (m *Module) Dirty() bool { return false }

// Checkout writes the module's files to dest, which must not exist or be empty,
// in the given order and with the process's umask, and proves that what it
// wrote has the sum. The files can be written to; there is no git folder.
func (m *Module) Checkout(ctx context.Context, dest string, order Order) error {
	dest, err := filepath.Abs(dest)
	if err == nil {
		err = emptyFolder(dest)
	}
	if err == nil {
		err = m.checkout(ctx, dest, order)
	}
	if err != nil {
		return fmt.Errorf("checkout of %s: %w", m.mod, err)
	}
	return nil
}

func (m *Module) checkout(ctx context.Context, dest string, order Order) error {
	files, close, err := m.openFiles()
	if err != nil {
		return err
	}
	defer close()

	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	if err := order.apply(names); err != nil {
		return err
	}

	root, err := os.OpenRoot(dest)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := unzipFile(root, name, files[name]); err != nil {
			return err
		}
	}

	// Read back from the disk, so the zip may have changed meanwhile.
	sum, err := dirhash.HashDir(dest, m.mod.String(), dirhash.Hash1)
	if err != nil {
		return err
	}
	if sum != m.sum {
		return fmt.Errorf("what was written has sum %s, want %s", sum, m.sum)
	}
	return nil
}

// openFiles opens the zip, after holding it to golang.org/x/mod/zip's limits of
// sizes and names, and returns its files by their name in the module. They are
// good until close is called.
func (m *Module) openFiles() (files map[string]*zip.File, close func() error, err error) {
	checked, err := modzip.CheckZip(m.mod, m.zip)
	if err == nil {
		err = checked.Err()
	}
	if err != nil {
		return nil, nil, err
	}

	z, err := zip.OpenReader(m.zip)
	if err != nil {
		return nil, nil, err
	}

	files = map[string]*zip.File{}
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, m.mod.String()+"/")
		if !ok {
			z.Close()
			return nil, nil, fmt.Errorf("zip entry %q: not in %s", f.Name, m.mod)
		}

		if name == "" || strings.HasSuffix(name, "/") {
			continue // a folder; the sum covers files alone
		}
		files[name] = f
	}
	return files, z.Close, nil
}

// unzipFile writes one file. The zip reader checks the size and the CRC.
func unzipFile(root *os.Root, name string, f *zip.File) error {
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}

	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()

	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}

	n, err := io.Copy(out, io.LimitReader(in, modzip.MaxZipFile+1))
	if err == nil && n > modzip.MaxZipFile {
		err = fmt.Errorf("%s: more than %d bytes", name, modzip.MaxZipFile)
	}
	return errors.Join(err, out.Close())
}
