// Package cache knows what twice keeps on disk from one run to the next, and removes what is not
// needed.
//
// The folder holds
//
//	toolchains/          published Go toolchains (package toolchain)
//	work/, rebuild/      workspaces of runs (package workspace)
//	subjects/            workspaces that hold what rebuild has fetched
//	sigstore/            what the public Sigstore instance says of itself
//	locks/               locks of versions before
//
// Anything else is shown and never removed. What is in sigstore/ is never removed either, since by
// it an older statement of that instance is recognized. Links below the folder are not followed.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/toolchain"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// The folders below a cache folder.
const (
	toolchains = "toolchains"
	locks      = "locks"
	trust      = "sigstore"
)

var workspaces = []string{"work", "rebuild", "subjects"}

// Kind is what an [Entry] is.
type Kind string

// The kinds of entries.
const (
	Toolchain Kind = "toolchain"
	Download  Kind = "download"  // part of a toolchain, from a download that was cut or goes on
	Workspace Kind = "workspace" // of a run
	Lock      Kind = "lock"      // of an earlier twice: an output is locked where it is
	Trust     Kind = "trust"     // what the public Sigstore instance says of itself
	Foreign   Kind = "foreign"
)

// Entry is something in a cache folder.
type Entry struct {
	Kind Kind `json:"kind"`
	// Name is where it is below the folder, with slashes.
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	// Used is when it was used last, as far as the file system knows.
	Used time.Time `json:"used"`
	// InUse reports whether a run uses it.
	InUse bool `json:"inUse"`
}

// DefaultMax is what toolchains may take together unless the user says otherwise, in bytes.
const DefaultMax = 10_000_000_000

// List returns what is in the cache folder dir. A folder that is not there is empty.
func List(ctx context.Context, dir string) ([]Entry, error) {
	return walk(ctx, dir, func(Entry) error { return nil })
}

// Prune removes from the cache folder dir what runs have left that are gone. It also removes the
// least recently used toolchains until the others take no more than maxBytes. What is in use stays.
// It returns what it removed, even with an error.
func Prune(ctx context.Context, dir string, maxBytes int64) (removed []Entry, err error) {
	// What runs left that are gone serves nobody, so it goes however much room there is.
	_, err = walk(ctx, dir, func(e Entry) error {
		path := filepath.Join(dir, filepath.FromSlash(e.Name))
		switch {
		case e.InUse:
			return nil
		case e.Kind == Workspace:
			err = workspace.Remove(path)
		case e.Kind == Lock:
			err = os.Remove(path)
		default:
			return nil
		}
		if err == nil {
			removed = append(removed, e)
		}
		return err
	})
	if err != nil {
		return removed, err
	}

	store, ok, err := folder(dir, toolchains)
	if err != nil || !ok {
		return removed, err
	}

	gone, err := toolchain.Evict(ctx, store, maxBytes)
	for _, k := range gone {
		removed = append(removed, toolchainEntry(k))
	}
	return removed, err
}

// walk lists everything in the cache folder. It calls visit for each entry, while nobody begins to
// use it.
func walk(ctx context.Context, dir string, visit func(Entry) error) (list []Entry, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}

	add := func(e Entry) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		list = append(list, e)
		return visit(e)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir() && name == toolchains:
			err = listToolchains(ctx, dir, add)
		case e.IsDir() && slices.Contains(workspaces, name):
			err = listWorkspaces(ctx, dir, name, add)
		case e.IsDir() && name == locks:
			err = listLocks(dir, add)
		case e.IsDir() && name == trust:
			err = addSized(dir, name, Trust, false, add)
		default:
			err = addSized(dir, name, Foreign, false, add)
		}
		if err != nil {
			return list, err
		}
	}

	return list, nil
}

// folder returns the path of a folder below dir, and whether there is one. A file or a link is
// none.
func folder(dir, name string) (string, bool, error) {
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return path, err == nil && info.IsDir(), err
}

// addSized adds the entry name, with the size of everything below it.
func addSized(dir, name string, kind Kind, inUse bool, add func(Entry) error) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}

	n, err := fsx.Size(path)
	if err != nil {
		return fmt.Errorf("size of %s: %w", path, err)
	}

	return add(Entry{kind, name, n, info.ModTime().UTC(), inUse})
}

// listToolchains adds the toolchains.
func listToolchains(ctx context.Context, dir string, add func(Entry) error) error {
	list, err := toolchain.List(ctx, filepath.Join(dir, toolchains))
	if err != nil {
		return err
	}
	for _, k := range list {
		if err := add(toolchainEntry(k)); err != nil {
			return err
		}
	}
	return nil
}

// toolchainEntry is a toolchain as an entry.
func toolchainEntry(k toolchain.CachedToolchain) Entry {
	e := Entry{Toolchain, toolchains + "/" + k.Name, k.Bytes, k.Used.UTC(), k.InUse}
	if k.Partial {
		e.Kind, e.Name = Download, e.Name+".partial"
	}
	return e
}

// listWorkspaces adds the workspaces below the folder name.
func listWorkspaces(ctx context.Context, dir, name string, add func(Entry) error) error {
	each := func(inUse bool) func(string) error {
		return func(path string) error {
			return addSized(dir, name+"/"+filepath.Base(path), Workspace, inUse, add)
		}
	}
	return workspace.Visit(ctx, filepath.Join(dir, name), each(false), each(true))
}

// lockPattern matches the names of locks.
var lockPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// listLocks adds the locks that versions before have left.
func listLocks(dir string, add func(Entry) error) error {
	entries, err := os.ReadDir(filepath.Join(dir, locks))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !lockPattern.MatchString(e.Name()) {
			continue
		}
		l := fsx.NewLock(filepath.Join(dir, locks, e.Name()))

		// The file itself is no sign of use. A lock ends with its process, and its file stays.
		free, err := l.TryLock()
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}

		if err := addSized(dir, locks+"/"+e.Name(), Lock, !free, add); err != nil {
			return err
		}
	}
	return nil
}
