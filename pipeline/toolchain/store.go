package toolchain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// CachedToolchain is a toolchain in the cache folder, or what is left there of a download
// that did not end.
type CachedToolchain struct {
	// Name is VERSION.GOOS-GOARCH.
	Name string
	// Partial tells that it is what is left of a download.
	Partial bool
	// Bytes is what its files take.
	Bytes int64
	// Used is when somebody began to use it the last time, as far as that is known.
	Used time.Time
	// InUse tells that a run uses it now, or makes it.
	InUse bool
}

// cachedNamePattern are the names of toolchains in the cache folder. Nothing else is
// ever removed.
var cachedNamePattern = regexp.MustCompile(`^(go[0-9][0-9a-z.]*)\.[a-z0-9]{1,20}-[a-z0-9]{1,20}$`)

const partialSuffix = ".partial"

// List returns what the cache folder holds, the least recently used first. A
// folder that is not there holds nothing. Links, and what has another name, are
// passed over.
func List(ctx context.Context, cacheDir string) ([]CachedToolchain, error) {
	entries, err := os.ReadDir(cacheDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}

	var list []CachedToolchain
	for _, e := range entries {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		name, unfinished := strings.CutSuffix(e.Name(), partialSuffix)
		if !e.IsDir() || !isToolchainName(name) {
			continue
		}

		k := CachedToolchain{Name: name, Partial: unfinished}
		s := cacheEntry{cacheDir, name}
		if k.Bytes, err = fsx.Size(filepath.Join(cacheDir, e.Name())); err != nil {
			return nil, err
		}

		if k.Used, err = s.lastUse(e); errors.Is(err, fs.ErrNotExist) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return nil, err
		}

		// A user of the toolchain holds a lock, so a lock that is free tells that nobody uses it.
		free, release, err := s.lockRemoval(!unfinished)
		if err != nil {
			return nil, err
		}
		if k.InUse = !free; free {
			if err := release(); err != nil {
				return nil, err
			}
		}

		list = append(list, k)
	}

	slices.SortFunc(list, func(a, b CachedToolchain) int {
		return cmp.Or(a.Used.Compare(b.Used), strings.Compare(a.Name, b.Name))
	})
	return list, nil
}

// isToolchainName reports whether name is that of a toolchain.
func isToolchainName(name string) bool {
	m := cachedNamePattern.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	_, err := ParseVersion(m[1])
	return err == nil
}

// Evict removes from the cache folder what is left of downloads that did not end. It
// also removes toolchains, the least recently used first, until the others take at
// most maxBytes. A toolchain in use stays, and counts. Evict returns what it removed.
func Evict(ctx context.Context, cacheDir string, maxBytes int64) (removed []CachedToolchain, err error) {
	info, err := os.Lstat(cacheDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: not a folder", cacheDir)
	}

	list, err := List(ctx, cacheDir)
	if err != nil {
		return nil, err
	}

	var total int64
	for _, k := range list {
		total += k.Bytes
	}
	for _, k := range list {
		if err := context.Cause(ctx); err != nil {
			return removed, err
		}
		if !k.Partial && total <= maxBytes {
			continue
		}

		// What is left of a download goes, whatever the bound is.
		gone, err := cacheEntry{cacheDir, k.Name}.remove(!k.Partial)
		if err != nil {
			return removed, err
		}
		if gone {
			total -= k.Bytes
			removed = append(removed, k)
		}
	}

	return removed, nil
}

// removePartial removes what is left of downloads that did not end.
func removePartial(cacheDir string) error {
	entries, err := os.ReadDir(cacheDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name, unfinished := strings.CutSuffix(e.Name(), partialSuffix); unfinished && e.IsDir() && isToolchainName(name) {
			if _, err := (cacheEntry{cacheDir, name}).remove(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// cacheEntry is one name in a cache folder.
type cacheEntry struct{ dir, name string }

func (s cacheEntry) path(suffix string) string { return filepath.Join(s.dir, s.name+suffix) }

// lastUse returns when the toolchain was used last: the time of the file that its users
// lock, or that of its folder e where there is no such file yet.
func (s cacheEntry) lastUse(e fs.DirEntry) (time.Time, error) {
	info, err := os.Lstat(s.path(".use"))
	if errors.Is(err, fs.ErrNotExist) {
		info, err = e.Info()
	}
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// lockUse keeps the toolchain from being removed until the lock is closed. The end of the
// process closes it, too. lockUse notes the time unless that is zero.
func (s cacheEntry) lockUse(ctx context.Context, now time.Time) (*flock.Flock, error) {
	lock := fsx.NewLock(s.path(".use"))
	// A process that removes the toolchain holds the lock for a moment only.
	if _, err := lock.TryRLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Path(), err)
	}
	if !now.IsZero() {
		if err := os.Chtimes(lock.Path(), now, now); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	return lock, nil
}

// lockRemoval keeps others from making the toolchain and, if it is whole, from using it.
// free reports whether nobody does either now; only then is anything locked.
func (s cacheEntry) lockRemoval(whole bool) (free bool, release func() error, err error) {
	var held []*flock.Flock
	release = func() error {
		var errs []error
		for _, l := range held {
			errs = append(errs, l.Close())
		}
		return errors.Join(errs...)
	}

	// The makers' lock comes first. What is not whole has no users.
	names := []string{".lock"}
	if whole {
		names = append(names, ".use")
	}

	for _, suffix := range names {
		l := fsx.NewLock(s.path(suffix))
		ok, err := l.TryLock()
		if err != nil || !ok {
			return false, nil, errors.Join(err, release())
		}
		held = append(held, l)
	}
	return true, release, nil
}

// remove removes the toolchain, or what is left of a download, unless it is in use. A
// toolchain that is removed halfway is never taken for a whole one.
func (s cacheEntry) remove(whole bool) (gone bool, err error) {
	free, release, err := s.lockRemoval(whole)
	if err != nil || !free {
		return false, err
	}
	defer func() { err = errors.Join(err, release()) }()

	if err := os.RemoveAll(s.path(partialSuffix)); err != nil {
		return false, err
	}

	if whole {
		if err := os.Rename(s.path(""), s.path(partialSuffix)); err != nil {
			return false, err
		}
		if err := os.RemoveAll(s.path(partialSuffix)); err != nil {
			return false, err
		}
	}
	return true, nil
}
