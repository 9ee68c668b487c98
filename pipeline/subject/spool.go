package subject

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// maxName bounds the name of a member in bytes: what Linux takes for a path.
const maxName = 4096

// freeRatio is how many bytes an archive may always unpack to.
const freeRatio = 16 << 20

// opening is one call of Open.
type opening struct {
	ctx     context.Context
	cfg     Config
	limits  Limits
	store   *artifact.Store
	subject *Subject

	members  int
	unpacked int64
	stored   int64
	spooled  map[artifact.Digest]int64
	// named are the digests of the executables with a name in a container.
	named map[string][]artifact.Digest
	// stated are the versions that packages and images say they have, by platform.
	stated map[string][]Version
	// innerName is the name of an archive that is not opened.
	innerName string
}

// blob is bytes in the store.
type blob struct {
	digest artifact.Digest
	size   int64
	// fresh reports whether it was not there before.
	fresh bool
}

// reader returns r, until the context ends.
func (o *opening) reader(r io.Reader) io.Reader { return fsx.Until(o.ctx, r) }

// spool stores r, of at most limit bytes.
func (o *opening) spool(r io.Reader, limit int64) (blob, error) {
	limit = min(limit, o.limits.Spool-o.stored)
	digest, size, err := o.store.Put(o.reader(io.LimitReader(r, limit+1)))
	if err != nil {
		return blob{}, err
	}

	b := blob{digest: digest, size: size}
	if _, there := o.spooled[digest]; !there {
		b.fresh = true
		o.spooled[digest] = size
		o.stored += size
	}

	if size > limit {
		return blob{}, fmt.Errorf("more than %d bytes: %w", limit, ErrLimit)
	}
	return b, nil
}

// drop forgets b, if nothing else uses it.
func (o *opening) drop(b blob) error {
	if !b.fresh {
		return nil
	}
	delete(o.spooled, b.digest)
	o.stored -= b.size
	return os.Remove(filepath.Join(o.subject.dir, b.digest.Hex()))
}

// location is the place where members are found.
type location struct {
	containers []Container
	platform   string
	// dropFirst reports whether the first element of names is not part of them.
	dropFirst bool
}

// name returns the name of a member as it is reported.
func (l location) name(s string) string {
	if l.dropFirst {
		if _, rest, ok := strings.Cut(strings.TrimPrefix(s, "./"), "/"); ok {
			return rest
		}
		return s
	}
	for strings.HasPrefix(s, "./") && len(s) > 2 {
		s = s[2:]
	}
	return s
}

// within returns the location in another container.
func (l location) within(c Container) location {
	l.containers = append(slices.Clip(l.containers), c)
	return l
}

// count counts a member.
func (o *opening) count(name string) error {
	if o.members++; o.members > o.limits.Members {
		return fmt.Errorf("more than %d members: %w", o.limits.Members, ErrLimit)
	}
	if len(name) > maxName {
		return fmt.Errorf("%.80q...: a name of %d bytes, and at most %d: %w", name, len(name), maxName, ErrLimit)
	}
	if o.ctx.Err() != nil {
		return context.Cause(o.ctx)
	}
	return nil
}

// file looks at a member, which count has counted, and keeps it if it is an executable. It need
// not read all of r. The argument executable tells that its mode is that of a file to be executed.
func (o *opening) file(at location, name string, r io.Reader, executable bool) error {
	b, kind, err := o.candidate(name, r)
	if err != nil {
		return err
	}
	if kind != formatExecutable {
		o.countOther(name, kind, executable)
		return nil
	}

	if found, err := o.keep(at, name, b, nil); err != nil || found {
		return err
	}
	o.countOther(name, formatUnknown, true)
	return o.drop(b)
}

// countOther counts a member that is not kept, if it may do something when it is used.
func (o *opening) countOther(name string, kind format, executable bool) {
	switch {
	case kind == formatScript:
		o.subject.Scripts++
	case kind.isArchive():
		if o.subject.Archives++; o.subject.Archives == 1 {
			o.innerName = name
		}
	case executable:
		o.subject.Unknown++
	}
}

// link counts a link that leads out of its container. The target counts from the folder base.
func (o *opening) link(base, target string) {
	target = strings.ReplaceAll(target, `\`, "/")
	if to := path.Join(base, target); path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
		o.subject.Links++
	}
}

// candidate returns the format that a member begins as. It stores the member if executables begin
// so.
func (o *opening) candidate(name string, r io.Reader) (b blob, kind format, err error) {
	head, r, err := peek(r)
	if kind = sniff(head); err == nil && kind == formatExecutable {
		b, err = o.spool(r, o.limits.File)
	}

	if base := path.Base(name); err == nil && kind != formatExecutable && (base == "package.json" || base == "binding.gyp") {
		var installs bool
		if installs, err = runsInstall(base, o.reader(r)); installs {
			kind = formatScript
		}
	}

	if err != nil {
		return blob{}, kind, fmt.Errorf("member %s: %w", safetext.QuoteWord(name), err)
	}
	return b, kind, nil
}

// maxPackage bounds a package.json in bytes.
const maxPackage = 4 << 20

// runsInstall reports whether a file of a package makes npm run something when the package is
// installed (https://docs.npmjs.com/cli/v11/using-npm/scripts#npm-install). A file that cannot be
// read counts as one that does.
func runsInstall(base string, r io.Reader) (bool, error) {
	if base == "binding.gyp" {
		return true, nil
	}

	data, err := io.ReadAll(io.LimitReader(r, maxPackage+1))
	if err != nil {
		return false, err
	}

	var p struct {
		Scripts map[string]any `json:"scripts"`
	}
	if len(data) > maxPackage || json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &p) != nil {
		return true, nil
	}

	for name := range p.Scripts {
		switch name {
		case "preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare":
			return true, nil
		}
	}

	return false, nil
}

// keep adds b to the subject, as something to be examined or skipped. It does nothing if b is no
// executable.
func (o *opening) keep(at location, name string, b blob, stated *record.Binary) (found bool, err error) {
	return o.keepNamed(at, at.name(name), b, stated)
}

// keepNamed does the same as keep, for a name as it is reported.
func (o *opening) keepNamed(at location, name string, b blob, stated *record.Binary) (found bool, err error) {
	isGo, parts, err := o.inspect(b)
	switch {
	case errors.Is(err, inspect.ErrFormat):
		return false, nil
	case err != nil:
		return true, o.skip(at, name, err.Error())
	case parts != nil && at.inUniversal():
		return true, o.skip(at, name, "a universal file within one")
	case parts != nil:
		return true, o.universal(at, name, b, parts)
	}

	// The same bytes under the same name are one executable.
	var key strings.Builder
	for _, c := range at.containers {
		fmt.Fprintf(&key, "%q %s ", c.Name, c.Digest)
	}
	key.WriteString(name)

	same := o.named[key.String()]
	if slices.Contains(same, b.digest) {
		return true, nil
	}

	o.named[key.String()] = append(same, b.digest)
	if len(o.subject.Executables) == o.limits.Executables {
		return false, fmt.Errorf("more than %d executables: %w", o.limits.Executables, ErrLimit)
	}

	o.subject.Executables = append(o.subject.Executables, Executable{
		Name: name, Nth: len(same) + 1, Digest: b.digest, Size: b.size, Go: isGo,
		Platform: at.platform, Containers: at.containers, Stated: stated, store: o.store,
	})
	return true, nil
}

// inspect reports whether b may be a Go program, and returns its slices if it is a universal file.
// The error is that of the store or of [inspect.Open].
func (o *opening) inspect(b blob) (isGo bool, parts []inspect.Section, err error) {
	f, err := o.store.Open(b.digest)
	if err != nil {
		return false, nil, err
	}
	defer f.Close()
	bin, err := inspect.Open(f, b.size)
	if err != nil {
		return false, nil, err
	}
	if bin.Format == inspect.Universal {
		return false, bin.Slices, nil
	}
	return mayBeGo(bin) || bin.IsPacked(), nil, nil
}

// inUniversal reports whether the location is in a universal file.
func (l location) inUniversal() bool {
	return len(l.containers) > 0 && l.containers[len(l.containers)-1].Kind == Universal
}

// universal keeps the slices of a universal Mach-O file. A system runs each of them as if it were
// a file of its own. Slices that share bytes are refused: no tool makes them, and they could be
// many times the size of the file.
func (o *opening) universal(at location, name string, b blob, parts []inspect.Section) error {
	byOffset := slices.SortedFunc(slices.Values(parts), func(a, b inspect.Section) int { return cmp.Compare(a.Offset, b.Offset) })
	for i, s := range byOffset[1:] {
		if before := byOffset[i]; before.Offset+before.Size > s.Offset {
			return o.skip(at, name, "its slices overlap")
		}
	}

	f, err := o.store.Open(b.digest)
	if err != nil {
		return err
	}
	defer f.Close()

	// A file may hide something between its slices, which nobody would then look at.
	if rest, err := outsideSlices(f, b.size, byOffset); err != nil {
		return err
	} else if rest >= 0 {
		if err := o.skip(at, name, fmt.Sprintf("at byte %d there is something that is in none of its slices", rest)); err != nil {
			return err
		}
	}

	in := at.within(Container{Kind: Universal, Name: name, Format: string(inspect.Universal), Digest: b.digest, Size: b.size})
	for _, s := range parts {
		if err := o.count(name); err != nil {
			return err
		}

		part, err := o.spool(io.NewSectionReader(f, s.Offset, s.Size), o.limits.File)
		if err != nil {
			return err
		}

		slice := name + " (" + s.Name + ")"
		found, err := o.keepNamed(in, slice, part, nil)
		if err == nil && !found {
			err = errors.Join(o.skip(in, slice, "it is no executable"), o.drop(part))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// outsideSlices returns the first place in a universal file of size bytes that has something other
// than its header, a slice or zeros. It returns -1 if there is none. The slices are in order and
// disjoint.
func outsideSlices(f io.ReaderAt, size int64, slices []inspect.Section) (int64, error) {
	head := make([]byte, 8)
	if _, err := f.ReadAt(head, 0); err != nil {
		return 0, err
	}

	at := int64(8 + 20*len(slices))
	if head[3] == 0xbf { // with offsets of 64 bits
		at = int64(8 + 32*len(slices))
	}

	// The end of the file serves as a last, empty slice, so that the bytes before it count too.
	buf := make([]byte, 32<<10)
	for _, s := range append(slices, inspect.Section{Offset: size}) {
		for at < s.Offset {
			p := buf[:min(int64(len(buf)), s.Offset-at)]
			if _, err := f.ReadAt(p, at); err != nil {
				return 0, err
			}

			if rest := bytes.TrimLeft(p, "\x00"); len(rest) > 0 {
				return at + int64(len(p)-len(rest)), nil
			}
			at += int64(len(p))
		}

		at = max(at, s.Offset+s.Size)
	}

	return -1, nil
}

// skip notes a file that cannot be examined.
func (o *opening) skip(at location, name, reason string) error {
	if len(o.subject.Skipped) == o.limits.Executables {
		return fmt.Errorf("more than %d files that cannot be examined: %w", o.limits.Executables, ErrLimit)
	}
	o.subject.Skipped = append(o.subject.Skipped, Skipped{Name: name, Platform: at.platform, Containers: at.containers, Reason: reason})
	return nil
}

// mayBeGo reports whether something of Go is in b, damaged or not.
func mayBeGo(b *inspect.Binary) bool {
	// Any other error means that there is something, if damaged.
	if _, err := b.BuildInfo(); !errors.Is(err, inspect.ErrNoBuildInfo) {
		return true
	}
	if _, err := b.BuildID(); !errors.Is(err, inspect.ErrNoBuildID) {
		return true
	}
	for _, err := range b.Functions() {
		return !errors.Is(err, inspect.ErrNoFunctions)
	}
	return false
}

// meter counts the bytes that come out of an archive. The function packed tells how many bytes
// went in so far.
type meter struct {
	o      *opening
	r      io.Reader
	packed func() int64 // nil: not compressed
	out    int64
	holes  int64 // bytes of sparse members that are in no archive
}

func (m *meter) Read(p []byte) (int, error) {
	if m.o.ctx.Err() != nil {
		return 0, context.Cause(m.o.ctx)
	}
	n, err := m.r.Read(p)
	m.out += int64(n)
	m.o.unpacked += int64(n)
	if err := m.checkLimits(); err != nil {
		return 0, err
	}
	return n, err
}

// addHoles counts n bytes that a reader of m made by itself. A negative n counts as zero.
func (m *meter) addHoles(n int64) error {
	n = max(0, n)
	m.holes += n
	m.o.unpacked += n
	return m.checkLimits()
}

func (m *meter) checkLimits() error {
	if m.o.unpacked > m.o.limits.Unpacked {
		return m.o.errUnpacked()
	}
	packed := m.out
	if m.packed != nil {
		packed = m.packed()
	}
	if all := m.out + m.holes; all > freeRatio && all/m.o.limits.Ratio > packed {
		return fmt.Errorf("unpacked it is more than %d times larger: %w", m.o.limits.Ratio, ErrLimit)
	}
	return nil
}

func (o *opening) errUnpacked() error {
	return fmt.Errorf("more than %d bytes unpacked: %w", o.limits.Unpacked, ErrLimit)
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
