// Package toolchain obtains a Go toolchain and proves that it is the published
// one.
//
// The input is the exact version of a Go release, and a go command that may talk to
// the module proxy and the checksum database. The output is a GOROOT. Every file of
// it was read and hashed in this call, and the hash is what the checksum database
// says of the module golang.org/toolchain at version v0.0.1-VERSION.GOOS-GOARCH
// (https://go.dev/doc/toolchain). An installed Go is proved in this way without a
// download. Otherwise that module is downloaded and unpacked into a cache folder,
// and is proved anew each time. Since Go 1.21 the published toolchains of all hosts
// give the same bytes, so a published one is named by its version alone.
//
// # What is believed
//
// This package believes the key of the public checksum database, which stands in its
// source. The go command is a messenger: its answers count only as far as they prove
// to be part of a tree that the database has signed.
//
// # How an installed Go is compared
//
// It is compared by the h1: hash (golang.org/x/mod/sumdb/dirhash) of its files under
// the module's names. The module has no files of the top folders api, doc, misc and
// test, and calls every go.mod _go.mod. Everything else must agree. A file that is
// missing, added or changed, and anything that is neither a regular file nor a folder
// (symbolic links, too), makes it another toolchain. File modes are not part of the
// hash. There is one exception: in go.env, the value of GOTOOLCHAIN may differ from the
// published "auto", and Toolchain.GoEnv then says so.
//
// # The cache folder
//
//	VERSION.GOOS-GOARCH/            the GOROOT
//	VERSION.GOOS-GOARCH.proof.json  the checksum database's signed answers, verified on each use
//	VERSION.GOOS-GOARCH.lock        held while one of the others is made
//	VERSION.GOOS-GOARCH.use         held by those who use the GOROOT; its time is that of the last use
//	VERSION.GOOS-GOARCH.partial/    what is being made, or removed
//
// Processes may share it. The next one removes what a killed one left behind. After a
// download the least recently used toolchains that nobody uses are removed, until
// the rest take no more than Options.MaxBytes.
package toolchain

import (
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
	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
)

// Toolchain is a Go distribution on this host.
type Toolchain struct {
	// Version is what it calls itself in its VERSION file, such as "go1.26.8".
	Version string
	// Dir is its GOROOT, absolute and without symbolic links.
	Dir string
	// Host is what it runs on, such as "linux/amd64".
	Host string
	// Published tells that it was proved to be the published one.
	Published bool
	// Sum is the h1: hash that the checksum database states for it or, of an
	// unpublished one, the same hash computed here, by the same rules but with
	// go.env as it is and symbolic links followed.
	Sum string
	// GoEnv is the line that go.env has in place of the published
	// "GOTOOLCHAIN=auto", such as "GOTOOLCHAIN=local", and empty where it has that.
	GoEnv string
	// Origin tells where it was found.
	Origin Origin
	// Refused says why each installed toolchain that was looked at was not taken.
	// The text is for people.
	Refused []string

	// use keeps one in the cache folder from being removed.
	use *flock.Flock
}

// Close tells that the toolchain is not used any more. A toolchain in the cache folder
// can be removed from then on.
func (t Toolchain) Close() error {
	if t.use == nil {
		return nil
	}
	return t.use.Close()
}

// Origin is where a toolchain was found.
type Origin string

// The places where a toolchain is found.
const (
	Installed  Origin = "installed"  // in one of Options.Installed
	Cached     Origin = "cache"      // in Options.CacheDir, from an earlier run
	Downloaded Origin = "downloaded" // in Options.CacheDir, since now
)

// Options say where to look for a toolchain and what is good enough.
type Options struct {
	// Installed are the GOROOTs that may have it, in order of preference.
	Installed []string
	// CacheDir is the absolute path of the cache folder; it is made if need be.
	CacheDir string
	// HostOS and HostArch are the GOOS and GOARCH of this host.
	HostOS, HostArch string
	// AllowUnpublished takes the first installed one of the wanted version, if
	// none is found to be the published one.
	AllowUnpublished bool
	// MaxBytes bounds what the toolchains in CacheDir take. Zero is no bound.
	MaxBytes int64
	// OnWait, if set, is called when another process has to be waited for, such as one
	// that downloads the same toolchain. It gets the number of the process, or zero.
	OnWait func(process int)
	// Now is the clock, for when one of the cache was used. Nil notes nothing.
	Now func() time.Time

	// key stands in for publicKey in tests.
	key string
}

const modulePath = "golang.org/toolchain"

// Obtain returns the Go toolchain of the given version ([ParseVersion]).
//
// client is used for the checksum database and the download, with its proxy,
// credentials and certificates; settings that would switch the checks off do
// not count. The environment must be complete (HOME or GOCACHE included).
//
// An installed Go of that version that is not the published one is passed
// over, unless o.AllowUnpublished; then nothing is claimed of it, and an
// installed one is also taken when the checksum database cannot be asked. A
// toolchain in the cache that is not as it was unpacked is an error. The caller
// closes the toolchain when it is not used any more.
//
// Some errors have a method Remedy, which returns a remedy.
func Obtain(ctx context.Context, client gocmd.Go, version string, o Options) (Toolchain, error) {
	t, err := obtain(ctx, client, version, o)
	if err != nil {
		return Toolchain{}, fmt.Errorf("toolchain %s for %s/%s: %w", version, o.HostOS, o.HostArch, err)
	}
	return t, nil
}

var hostPattern = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

func obtain(ctx context.Context, client gocmd.Go, version string, o Options) (Toolchain, error) {
	if _, err := ParseVersion(version); err != nil {
		return Toolchain{}, err
	}
	if !hostPattern.MatchString(o.HostOS) || !hostPattern.MatchString(o.HostArch) || !filepath.IsAbs(o.CacheDir) {
		return Toolchain{}, fmt.Errorf("host %q/%q, cache folder %q: want GOOS, GOARCH and an absolute path", o.HostOS, o.HostArch, o.CacheDir)
	}

	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		return Toolchain{}, err
	}
	if err := removePartial(o.CacheDir); err != nil {
		return Toolchain{}, fmt.Errorf("remove what a killed run left: %w", err)
	}

	if o.key == "" {
		o.key = publicKey
	}

	name := version + "." + o.HostOS + "-" + o.HostArch
	f := finder{
		client: client, Options: o, name: name,
		mod:   module.Version{Path: modulePath, Version: "v0.0.1-" + name},
		found: Toolchain{Version: version, Host: o.HostOS + "/" + o.HostArch},
	}

	// Without the published hash only an unpublished toolchain can be found, and only if it may be.
	sum, err := f.publishedSum(ctx)
	if err != nil && (!o.AllowUnpublished || ctx.Err() != nil) {
		return Toolchain{}, err
	}

	f.sum = sum
	ok, ierr := f.findInstalled(ctx)
	if ierr != nil {
		return Toolchain{}, ierr
	}

	if !ok {
		if err != nil {
			return Toolchain{}, err
		}
		if err := f.findCached(ctx); err != nil {
			return Toolchain{}, err
		}
	}
	return f.found, nil
}

// finder is the state of one call of Obtain.
type finder struct {
	Options
	client gocmd.Go
	name   string         // VERSION.GOOS-GOARCH
	mod    module.Version // the toolchain as a module
	sum    string         // what the checksum database states; empty if unknown
	found  Toolchain
}

func (f *finder) zipPrefix() string { return f.mod.String() + "/" }

// cachePath returns a path in the cache folder.
func (f *finder) cachePath(suffix string) string { return filepath.Join(f.CacheDir, f.name+suffix) }

// publishedSum returns the hash that the checksum database states, from the
// cached proof or by asking.
func (f *finder) publishedSum(ctx context.Context) (string, error) {
	sum, err := f.cachedProof()
	if err == nil {
		return sum, nil
	}

	err = f.withLock(ctx, func() error {
		var err error
		if sum, err = f.cachedProof(); err == nil {
			return nil // another process was faster
		}
		sum, err = f.askDatabase(ctx)
		return err
	})
	return sum, err
}

func (f *finder) cachedProof() (string, error) {
	data, err := fsx.ReadNamed(f.cachePath(".proof.json"), maxProof)
	if err != nil {
		return "", err
	}

	p, err := decodeProof(data)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.cachePath(".proof.json"), err)
	}

	sum, err := p.verifiedSum(f.mod, f.key)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.cachePath(".proof.json"), err)
	}

	return sum, nil
}

// findInstalled looks through Options.Installed, and tells whether it has found one.
func (f *finder) findInstalled(ctx context.Context) (bool, error) {
	var ofVersion, seen []string
	for _, dir := range f.Installed {
		dir, err := filepath.EvalSymlinks(dir)
		if err == nil {
			dir, err = filepath.Abs(dir)
		}
		if err != nil {
			f.noteRefused(dir, err)
			continue
		}

		// Two of the names can lead to one folder, which is hashed once.
		if slices.Contains(seen, dir) {
			continue
		}
		seen = append(seen, dir)
		if err := f.checkVersion(dir); err != nil {
			f.noteRefused(dir, err)
			continue
		}

		// Nothing can be proved without the published hash.
		ofVersion = append(ofVersion, dir)
		if f.sum == "" {
			continue
		}

		goEnv, err := f.prove(ctx, dir, true)
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err != nil {
			f.noteRefused(dir, err)
			continue
		}

		f.found.Dir, f.found.Origin = dir, Installed
		f.found.Published, f.found.Sum, f.found.GoEnv = true, f.sum, goEnv
		return true, nil
	}

	// Only its own hash is claimed of an unpublished toolchain.
	if !f.AllowUnpublished || len(ofVersion) == 0 {
		return false, nil
	}
	dir := ofVersion[0]

	t, err := hashTree(ctx, dir, true)
	if err != nil {
		return false, fmt.Errorf("%s: %w", dir, err)
	}
	f.found.Dir, f.found.Origin, f.found.Sum = dir, Installed, t.h1Sum(f.zipPrefix())
	return true, nil
}

func (f *finder) noteRefused(dir string, err error) {
	f.found.Refused = append(f.found.Refused, fmt.Sprintf("%s: %v", dir, err))
}

// checkVersion compares the first line of dir's VERSION file.
func (f *finder) checkVersion(dir string) error {
	data, err := fsx.ReadNamed(filepath.Join(dir, "VERSION"), 4<<10)
	if err != nil {
		return err
	}
	if line, _, _ := strings.Cut(string(data), "\n"); line != f.found.Version {
		return fmt.Errorf("is %.40q", line)
	}
	return nil
}

// prove returns an error unless the GOROOT at dir is the published one. With
// lenientEnv, go.env may have another GOTOOLCHAIN line, which is returned.
func (f *finder) prove(ctx context.Context, dir string, lenientEnv bool) (goEnv string, err error) {
	t, err := hashTree(ctx, dir, false)
	if err != nil {
		return "", err
	}
	sum := t.h1Sum(f.zipPrefix())
	if sum == f.sum {
		return "", nil
	}

	if lenientEnv {
		if u, line, err := t.withPublishedGoEnv(dir); err == nil && u.h1Sum(f.zipPrefix()) == f.sum {
			return line, nil
		}
	}

	return "", fmt.Errorf("not the published %s: its files hash to %s, the published ones to %s", f.found.Version, sum, f.sum)
}

// findCached finds the toolchain in the cache, and downloads it first if need be.
func (f *finder) findCached(ctx context.Context) (err error) {
	f.found.Origin = Cached
	if err := f.lockUse(ctx); err != nil {
		return err
	}

	defer func() {
		if err != nil {
			err = errors.Join(err, f.found.Close())
			f.found.use = nil
		}
	}()

	if _, err := os.Lstat(f.cachePath("")); errors.Is(err, fs.ErrNotExist) {
		err := f.withLock(ctx, func() error {
			if _, err := os.Lstat(f.cachePath("")); !errors.Is(err, fs.ErrNotExist) {
				return err // another process was faster, or the next step fails
			}
			f.found.Origin = Downloaded
			return f.download(ctx)
		})
		if err != nil {
			return err
		}

		if f.found.Origin == Downloaded {
			if err := f.setFoundCached(); err != nil { // download has proved it
				return err
			}
			return f.evict(ctx)
		}
	} else if err != nil {
		return err
	}

	if info, err := os.Lstat(f.cachePath("")); err != nil || !info.IsDir() {
		return errors.Join(fmt.Errorf("%s: not a folder", f.cachePath("")), err)
	}

	// Whatever happened to the folder since it was unpacked, it is proved anew for this use.
	if _, err := f.prove(ctx, f.cachePath(""), false); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fault.WithRemedy(fmt.Errorf("the cached toolchain was changed: %s: %w", f.cachePath(""), err),
			"find out who changed it, then remove that folder: it is downloaded anew")
	}
	return f.setFoundCached()
}

// lockUse keeps the toolchain, which need not be there yet, from being removed.
func (f *finder) lockUse(ctx context.Context) (err error) {
	var now time.Time
	if f.Now != nil {
		now = f.Now()
	}
	f.found.use, err = cacheEntry{f.CacheDir, f.name}.lockUse(ctx, now)
	return err
}

// evict keeps the cache folder within its bound.
func (f *finder) evict(ctx context.Context) error {
	if f.MaxBytes == 0 {
		return nil
	}
	if _, err := Evict(ctx, f.CacheDir, f.MaxBytes); err != nil {
		return fmt.Errorf("remove toolchains that were not used for long: %w", err)
	}
	return nil
}

func (f *finder) setFoundCached() error {
	dir, err := filepath.EvalSymlinks(f.cachePath(""))
	if err != nil {
		return err
	}
	f.found.Dir, f.found.Published, f.found.Sum = dir, true, f.sum
	return nil
}

// listRefused adds to err why the installed ones were refused, and the remedy.
func (f *finder) listRefused(err error, remedy string) error {
	for _, r := range f.found.Refused {
		err = fmt.Errorf("%w\n\t%s", err, r)
	}
	return fault.WithRemedy(err, remedy)
}
