// Package subject finds the executables in the thing that somebody names. It treats everything as
// hostile input.
//
// [Open] takes one of these references:
//
//	PATH                 an executable, an archive, a folder, a dist folder or a release.json of twice,
//	                     a folder with an OCI image layout
//	https://HOST/PATH    an executable or an archive; http:// for this machine alone
//	npm:NAME@VERSION     a package of a registry that the npm client knows
//	HOST/NAME:TAG        an image in a registry, also HOST/NAME@sha256:DIGEST
//
// The first bytes of a file decide what it is, not its name. These are archives:
//
//   - tar (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html), also
//     compressed with gzip (RFC 1952), zstd (RFC 8878), xz
//     (https://tukaani.org/xz/xz-file-format.txt) or bzip2. Several in a row are one, and what
//     follows the end of one is read too, so Alpine's .apk files, of version 2, are
//     such archives (https://wiki.alpinelinux.org/wiki/Apk_spec).
//   - zip (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT)
//   - .deb (deb(5)): both the control and the data archive in it are read.
//   - one file compressed with gzip, zstd, xz or bzip2
//
// A universal Mach-O file is taken apart: each slice is an executable.
//
// Other files that may do something to their user are counted: scripts, archives, files whose mode
// says that they can be executed, links that lead out. Bytes of a zip that belong to no member of
// its list are reported, and so are bytes of a universal file that are in no slice.
//
// There is no well-kept small library for .rpm files and for .apk files of version 3. So these are
// refused, and the error tells a way out. Archives in archives are not opened, except in a .deb.
//
// # Hostile input
//
// No name from an archive, a registry or a package is ever made a path. Bytes are stored under
// their digests, in a folder that [Subject.Close] removes. Links are not followed and devices are
// ignored. In an image, links count as they do when it runs, inside of it. [Limits] bound members,
// bytes and the ratio of compression. A file that is truncated, contradicts its checksum or breaks
// its format is an error, and nothing of it is yielded. If several members have one name, each is
// yielded, whichever of them a tool would unpack.
//
// Names are returned as they are and may hold any bytes; the String methods
// escape them.
//
// Only the npm client is executed, with --ignore-scripts.
package subject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/registry"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// ErrLimit is wrapped by the error about a subject that exceeds [Limits].
var ErrLimit = errors.New("beyond the limit")

// ErrNoExecutables is wrapped by the error about a subject that can be read and has no executables
// in it.
var ErrNoExecutables = errors.New("no executables")

// ErrUnknown is wrapped by the error about a file whose first bytes belong to no format
// that can be opened.
var ErrUnknown = errors.New("neither an executable nor an archive that is known")

// Config is what Open needs of the world.
type Config struct {
	// Dir is an existing folder. Open makes a folder of its own in it.
	Dir string
	// WorkDir is the folder that relative paths in references count from. If it is empty, it is
	// the process's own folder.
	WorkDir string
	// Limits bound the subject. A field that is zero has its default.
	Limits Limits
	// Platforms are the platforms of an image to read. For each, the manifest for it is read, or
	// else the best of [platform.Platform.Fallbacks]. If it is empty, all manifests for linux are
	// read.
	Platforms []platform.Platform
	// Registry tells how registries are reached. Transport and Timeout are used for URLs too.
	Registry registry.Options
	// NPM is the npm client. If its Path is empty, there is none.
	NPM NPM
}

// NPM is an npm command and the environment to run it with, which holds the
// user's settings of it: HOME, PATH for node, npm_config_*.
type NPM struct {
	// Path is the absolute path of the command.
	Path string
	// Env is the complete environment, as NAME=value pairs.
	Env []string
}

// Limits bound a subject. They are counted over everything that one reference
// names: all layers of all platforms, all members.
type Limits struct {
	// Members is the number of entries of archives, folders and layers. The
	// default is 500,000.
	Members int
	// Executables is how many may be found. The default is 20,000.
	Executables int
	// File is the size of an executable in bytes. The default is 2 GiB.
	File int64
	// Spool is how many bytes may be stored: the archives or layers, and the executables. The
	// default is 16 GiB. The bytes that the npm client stores by itself before they are looked at
	// do not count.
	Spool int64
	// Unpacked is how many bytes may come out of all archives. The default is
	// 64 GiB.
	Unpacked int64
	// Ratio bounds how many times larger than an archive its unpacked bytes may be. It counts as
	// soon as they are more than 16 MiB. The default is 100.
	Ratio int64
}

func (l Limits) withDefaults() Limits {
	set(&l.Members, 500_000)
	set(&l.Executables, 20_000)
	set(&l.File, 2<<30)
	set(&l.Spool, 16<<30)
	set(&l.Unpacked, 64<<30)
	set(&l.Ratio, 100)
	return l
}

func set[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Kind says what a reference names, or what a [Container] is.
type Kind string

// Kinds of subjects, and of containers.
const (
	File    Kind = "file"   // an executable or an archive on this machine
	Folder  Kind = "folder" // a folder on this machine; it has no digest
	Dist    Kind = "dist"   // a release that twice made; the digest is that of its release.json
	URL     Kind = "url"    // an executable or an archive
	Package Kind = "npm"    // an archive that the npm client fetched
	Image   Kind = "image"  // the digest is that of the index, or of the manifest if there is no index
	Member  Kind = "member" // an archive in an archive
	System  Kind = "system" // the manifest of an image for one platform
	Layer   Kind = "layer"  // a layer of an image
	// Universal is a Mach-O file for several architectures. Its slices are the
	// executables.
	Universal Kind = "universal"
)

// Container is something that executables are in.
type Container struct {
	Kind Kind
	// Name is what the reference calls it, without credentials and query; a member's name in the
	// container around it; the platform; a layer's digest.
	Name string
	// Format is "tar.gz", "zip" and the like. It is empty for a container that is no archive.
	Format string
	Digest artifact.Digest
	// Size is in bytes.
	Size int64
	// Integrity is the digest that npm's lock files have ("sha512-" and base64).
	Integrity string
}

// Executable is a file that package inspect can read.
type Executable struct {
	// Name is its path in the innermost container: without a leading "./", in a package of npm
	// without the first element, in an image from the root. For an executable in no container, it
	// is the reference. A slice of a universal file has the name of that file and its
	// architecture: "tool (arm64)".
	Name string
	// Nth counts the different files of this name in the container, from 1.
	Nth    int
	Digest artifact.Digest
	Size   int64
	// Go reports whether something of Go was found in it: build information, a build ID, or a
	// function table. What UPX packed may be a Go program, and counts as one.
	Go bool
	// Platform is that of the image it is in, as the index or the image says.
	Platform string
	// Containers are the containers that it is in, the outermost first.
	Containers []Container
	// Versions are the versions of the things around it, at most 8, the more telling ones first.
	// Nothing vouches for them.
	Versions []Version
	// Stated is what the release record says of it. Only an executable of a Dist has it.
	Stated *record.Binary

	store *artifact.Store
}

// Open returns the bytes, until the subject is closed. They are the bytes that Digest names,
// unless somebody else writes to the folder.
func (e *Executable) Open() (*os.File, error) { return e.store.Open(e.Digest) }

// String returns the reference, the platform and the name with two spaces between. They are
// escaped if necessary.
func (e *Executable) String() string {
	return line(e.Containers, e.Platform, e.Name, e.Nth)
}

// Skipped is a file that begins as an executable does, or that may be one, and cannot be examined.
type Skipped struct {
	Name       string
	Platform   string
	Containers []Container
	// Reason may quote the file. String escapes it.
	Reason string
	// Whole reports whether this is about the container and not about one file of it:
	// other tools may find other files in the container.
	Whole bool
}

// String returns a line like [Executable.String], with the reason.
func (s *Skipped) String() string { return s.File() + ": " + safetext.QuoteUnprintable(s.Reason) }

// File returns a line like [Executable.String].
func (s *Skipped) File() string { return line(s.Containers, s.Platform, s.Name, 1) }

func line(containers []Container, platform, name string, nth int) string {
	var parts []string
	if len(containers) > 0 && containers[0].Kind != Universal { // a slice has its name
		parts = append(parts, safetext.QuoteWord(containers[0].Name))
	}
	if platform != "" {
		parts = append(parts, safetext.QuoteWord(platform))
	}
	parts = append(parts, safetext.QuoteWord(name))
	if nth > 1 {
		parts = append(parts, fmt.Sprintf("(number %d of this name)", nth))
	}
	return strings.Join(parts, "  ")
}

// Subject is what a reference named when it was opened.
type Subject struct {
	// Ref is the reference, without credentials and query.
	Ref  string
	Kind Kind
	// Digest is that of the file, archive, record or index; a Folder has none.
	Digest artifact.Digest
	// Executables are in the order in which they were found.
	Executables []Executable
	// Skipped are files that may be executables and are not among Executables.
	Skipped []Skipped
	// Scripts counts the files that begin with "#!", and each package.json that makes npm run
	// something when a package is installed. Archives counts the archives that were not opened,
	// because they are in another archive or in a folder.
	Scripts, Archives int
	// Unknown counts the files of no known kind that have the mode of files to be executed, or
	// that begin as an executable does.
	Unknown int
	// Links counts the links to files outside of the subject, such as /bin/sh. Links in an image
	// lead into it.
	Links int
	// Record is the release record of a Dist. It is not verified: somebody's
	// signature may do that.
	Record *record.Record

	dir string
}

// Close removes what was stored.
func (s *Subject) Close() error { return os.RemoveAll(s.dir) }

// Open finds the executables in the subject that ref names. The error is about the whole subject:
// a limit ([ErrLimit]), a format, the network, or [ErrNoExecutables]. The caller closes the
// subject.
func Open(ctx context.Context, ref string, cfg Config) (*Subject, error) {
	s, err := open(ctx, ref, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", safetext.QuoteUnprintable(withoutSecrets(ref)), err)
	}
	return s, nil
}

func open(ctx context.Context, ref string, cfg Config) (*Subject, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "subject-")
	if err != nil {
		return nil, err
	}

	if cfg.Registry.Timeout == 0 {
		cfg.Registry.Timeout = 2 * time.Minute
	}
	o := &opening{
		ctx: ctx, cfg: cfg, limits: cfg.Limits.withDefaults(), store: artifact.NewStore(dir),
		subject: &Subject{Ref: withoutSecrets(ref), dir: dir},
		spooled: map[artifact.Digest]int64{}, named: map[string][]artifact.Digest{}, stated: map[string][]Version{},
	}

	err = o.run(ref)

	// The versions come last, since a package may state its version after its executables.
	for i := range o.subject.Executables {
		e := &o.subject.Executables[i]
		e.Versions = o.versions(e)
	}

	if err == nil && len(o.subject.Executables) == 0 {
		err = o.errNothingFound()
	}
	if err != nil {
		return nil, errors.Join(err, o.subject.Close())
	}
	return o.subject, nil
}

// run finds out what ref names, and opens that.
func (o *opening) run(ref string) error {
	const forms = "name a file, a folder, an https:// URL, npm:NAME@VERSION, or an image as HOST/NAME:TAG"
	scheme, rest, hasScheme := strings.Cut(ref, ":")
	switch {
	case hasScheme && scheme == "npm":
		return o.npm(rest)
	case strings.Contains(ref, "://"):
		return o.url(ref)
	case ref == "":
		return fault.WithRemedy(fault.Usage(errors.New("nothing is named")), forms)
	}

	// A file that is there wins over an image of that name.
	file := ref
	if !filepath.IsAbs(file) {
		file = filepath.Join(o.cfg.WorkDir, file)
	}

	info, err := os.Stat(file) // the user may name a link
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, rerr := reference.Parse(ref); rerr == nil {
			return o.image(ref)
		}
		return fault.WithRemedy(fault.Usage(errors.New("there is no such file, and this is no other reference")), forms)
	case err != nil:
		return err
	case info.IsDir():
		return o.folder(ref, file)
	}

	return o.localFile(ref, file)
}

// errNothingFound is the error about a subject without executables.
func (o *opening) errNothingFound() error {
	switch {
	case len(o.subject.Skipped) > 0:
		s := o.subject.Skipped[0]
		return fmt.Errorf("%w that can be read: %s: %s", ErrNoExecutables, safetext.QuoteWord(s.Name), safetext.QuoteUnprintable(s.Reason))
	case o.subject.Archives > 0:
		return fault.WithRemedy(fmt.Errorf("%w (members: %d), but archives such as %s", ErrNoExecutables, o.members, safetext.QuoteWord(o.innerName)),
			"archives in archives and folders are not opened: unpack it and name that one")
	}
	return fmt.Errorf("%w (members: %d)", ErrNoExecutables, o.members)
}

// withoutSecrets returns a reference without the parts that must not get into a report: the
// credentials and the query of a URL.
func withoutSecrets(ref string) string {
	if !strings.Contains(ref, "://") {
		return ref
	}
	u, err := url.Parse(ref)
	if err != nil {
		scheme, _, _ := strings.Cut(ref, "://")
		return scheme + "://..."
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.String()
}

// localFile opens a file on this machine.
func (o *opening) localFile(ref, file string) error {
	f, _, err := fsx.OpenNamed(file)
	if err != nil {
		return err
	}
	defer f.Close()

	if ours, err := isRecord(f); err != nil {
		return err
	} else if ours {
		return o.dist(filepath.Dir(file), filepath.Base(file), ref)
	}

	b, err := o.spool(f, o.limits.Spool)
	if err != nil {
		return err
	}

	o.subject.Kind, o.subject.Digest = File, b.digest
	return o.openStored(b, Container{Kind: File, Name: ref}, filepath.Base(file))
}

// readBounded reads at most limit bytes.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes: %w", limit, ErrLimit)
	}
	return data, err
}
