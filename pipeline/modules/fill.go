// Package modules fills the module cache of a build with checked modules, and tells
// what goes into a binary.
//
// [FillCache] makes a module cache for one run, out of which every pass builds with
// GOPROXY=off. [Describe] asks the go command which packages and modules a
// main package is made of for one target. [CheckStamps] finds out whether the
// variables exist that the linker is told to set; the linker itself does not say so.
//
// # What is believed
//
// This package believes the go command of the pinned toolchain. It checks every module against
// go.sum and, where go.sum has no line, against the checksum database, unless
// the user's GONOSUMDB, GOPRIVATE or GOSUMDB exempt the module; Cache.SumDB
// and Cache.NoSumDB tell. The cache begins empty, so each zip is hashed in
// this run, also one that comes from the user's own cache. go.mod and go.sum
// are never changed: where the go command would, that is an error.
package modules

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
)

// Config says what to fill a module cache with, and from where.
type Config struct {
	// Client is the go command of the pinned toolchain, with the user's settings
	// for module downloads and what git and certificates need.
	Client gocmd.Client
	// SourceDir is the absolute path of the main module's folder in a checkout
	// that is used for nothing else.
	SourceDir string
	// Dir is the absolute path of an empty folder that becomes the cache.
	Dir string
	// Reuse is the user's own GOMODCACHE, or empty. Its zips are read instead
	// of downloaded, and nothing in it is changed.
	Reuse string
	// Lazy leaves it to Describe to fetch what the main packages need, which
	// spares modules that only tests and tools use. Other commands in the source
	// tree, such as hooks, may need any module.
	Lazy bool
	// Time is the time of modification that everything in a cache gets which is not
	// lazy. The passes share the cache, and the time of the download must not be
	// something that they have in common.
	Time time.Time
}

// Cache is a module cache that has what the main module's builds need.
type Cache struct {
	// Dir is the value for GOMODCACHE.
	Dir string
	// Vendored tells that the modules are in the source tree's vendor folder,
	// and Dir is an empty folder. Builds then run with -mod=vendor, otherwise with
	// -mod=readonly.
	Vendored bool
	// SumDB and NoSumDB are the user's GOSUMDB and GONOSUMDB: which checksum
	// database was asked about modules that go.sum does not have, and the
	// patterns of modules about which none was. Both are empty if Vendored.
	SumDB, NoSumDB string
	// Env is what a go command needs to take modules from the cache, as
	// NAME=value pairs. In a lazy one this is the user's settings, to fetch what
	// is missing.
	Env []string
}

// maxGoSum bounds the main module's go.sum, in bytes.
const maxGoSum = 64 << 20

// FillCache downloads all modules that go.mod names into an empty cache. With
// Config.Lazy it only prepares the cache.
//
// It does nothing where there is a vendor/modules.txt and go.mod says at least
// "go 1.14": from there on the go command takes modules from the vendor folder.
//
// A go.mod or go.sum that the go command would have to change is an error, and
// so is a hash that does not fit. Not every gap in go.sum is found here: the
// go command needs the hash of a module only when a package of it is used, and
// then [Describe] says so. Some errors have a method Remedy with a remedy.
func FillCache(ctx context.Context, cfg Config) (*Cache, error) {
	c, err := fillCache(ctx, cfg)
	if err == nil && !cfg.Lazy {
		err = setTimes(cfg.Dir, cfg.Time)
	}
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	return c, nil
}

func fillCache(ctx context.Context, cfg Config) (*Cache, error) {
	if err := cfg.checkFolders(); err != nil {
		return nil, err
	}

	gomod, err := fsx.ReadNamed(filepath.Join(cfg.SourceDir, "go.mod"), gocmd.MaxGoMod)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.WithRemedy(fault.Usage(errors.New("no go.mod: only Go modules can be built")), "run go mod init")
	} else if err != nil {
		return nil, err
	}
	f, err := modfile.ParseLax("go.mod", gomod, nil)
	if err != nil {
		return nil, err
	}

	// A vendor folder is part of the source, so there is nothing to fetch.
	vendored, err := isVendored(cfg.SourceDir, f)
	if err != nil {
		return nil, err
	}
	if vendored {
		return &Cache{Dir: cfg.Dir, Vendored: true, Env: offlineEnv(cfg.Dir)}, nil
	}

	gosum, err := fsx.ReadNamed(filepath.Join(cfg.SourceDir, "go.sum"), maxGoSum)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}

	client := cfg.Client.WithCache(cfg.Dir, cfg.Reuse)
	g := client.With("GO111MODULE=on", "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw")
	c := &Cache{Dir: cfg.Dir, SumDB: client.SumDB, NoSumDB: client.NoSumDB, Env: g.Env}
	if cfg.Lazy {
		return c, nil
	}

	// All modules are here after this, so no pass may ask for more.
	c.Env = offlineEnv(cfg.Dir)
	if err := download(ctx, g, cfg.SourceDir); err != nil {
		return nil, err
	}

	// The go command adds lines to a go.sum that lacks some, and a release does not change its
	// source.
	for name, before := range map[string][]byte{"go.mod": gomod, "go.sum": gosum} {
		if err := checkUnchanged(cfg.SourceDir, name, before); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// checkFolders returns an error unless the paths are absolute and the cache is empty.
func (cfg Config) checkFolders() error {
	for _, dir := range []string{cfg.SourceDir, cfg.Dir, cmp.Or(cfg.Reuse, cfg.Dir)} {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("folder %q: want an absolute path", dir)
		}
	}
	if left, err := os.ReadDir(cfg.Dir); err != nil {
		return err
	} else if len(left) > 0 {
		return fmt.Errorf("%s: not empty", cfg.Dir)
	}
	return nil
}

// checkUnchanged returns an error unless the go.mod or go.sum in dir still is as before.
func checkUnchanged(dir, name string, before []byte) error {
	after, err := fsx.ReadNamed(filepath.Join(dir, name), maxGoSum)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if lines := addedLines(before, after); len(lines) > 0 {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s lacks %d lines, the first of them %q", name, len(lines), lines[0])), tidyRemedy)
	}
	if !bytes.Equal(before, after) {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s is not as the go command wants it", name)), tidyRemedy)
	}
	return nil
}

// setTimes sets the times of dir and of all that is below it.
func setTimes(dir string, to time.Time) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 { // whose target may be anywhere
			return err
		}
		return os.Chtimes(name, to, to)
	})
}

// tidyRemedy is the remedy for go.mod and go.sum files that lack something.
const tidyRemedy = "run go mod tidy, and commit go.mod and go.sum"

func offlineEnv(dir string) []string { return []string{"GOMODCACHE=" + dir, "GOPROXY=off"} }

// isVendored reports whether the go command takes modules from the vendor folder
// by itself: https://go.dev/ref/mod#vendoring.
func isVendored(dir string, f *modfile.File) (bool, error) {
	info, err := os.Lstat(filepath.Join(dir, "vendor", "modules.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}

	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("vendor/modules.txt is no regular file (%s)", info.Mode())
	}
	return f.Go != nil && version.Compare("go"+f.Go.Version, "go1.14") >= 0, nil
}

// download runs go mod download, which tells its errors on standard error or,
// about single modules, in its documents.
func download(ctx context.Context, g gocmd.Go, dir string) error {
	out, err := g.Run(ctx, dir, "mod", "download", "-json")
	if ctx.Err() != nil {
		return err
	}

	var said []string
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version, Error string }
		if derr := dec.Decode(&m); derr == io.EOF {
			break
		} else if derr != nil {
			return errors.Join(err, fmt.Errorf("go mod download: %w", derr))
		}
		if m.Error != "" {
			said = append(said, m.Error)
		}
	}

	if len(said) > 0 {
		return fmt.Errorf("go mod download: %s", strings.Join(truncateList(said, 10), "\n"))
	}
	return err
}

// addedLines returns the lines of after that before does not have.
func addedLines(before, after []byte) []string {
	have := map[string]bool{"": true}
	for line := range strings.Lines(string(before)) {
		have[strings.TrimSpace(line)] = true
	}
	var lines []string
	for line := range strings.Lines(string(after)) {
		if line = strings.TrimSpace(line); !have[line] {
			lines = append(lines, line)
		}
	}
	return lines
}

// truncateList returns the first n of list, and how many more there are.
func truncateList(list []string, n int) []string {
	if len(list) <= n {
		return list
	}
	return append(list[:n:n], fmt.Sprintf("and %d more", len(list)-n))
}
