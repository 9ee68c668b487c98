package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/record"
)

// releaseFolder is a folder with a release that is held against its record.
type releaseFolder struct {
	v    *Verifier
	root string
	// there is everything below root but folders, by its path with slashes. Links are
	// not followed.
	there    map[string]fs.FileInfo
	folders  []string // paths below root, and "."
	contents *pipeline.Contents
	record   *record.Record
	// names are those of a file's bytes, by the record.
	names map[artifact.Digest][]string
	// matched is what came of holding a statement against the record, by its bytes:
	// one is about all that is in the folder.
	matched map[artifact.Digest]error
}

// release judges a folder with a release: the record has to be signed, everything that it
// names has to be there and good, and nothing else may be there.
func (v *Verifier) release(ctx context.Context, root string) ([]File, error) {
	switch {
	case v.named != nil:
		return nil, fault.Usage(fmt.Errorf("%s: --bundle is for files: a release has its bundles in its folder", v.opt.Display(root)))
	case v.opt.Publisher == nil:
		return nil, fault.Usage(fmt.Errorf("%s: nothing says who has to have signed its %s", v.opt.Display(root), pipeline.RecordName),
			"give --key or --certificate-identity, or name the files that were rebuilt")
	}
	d := &releaseFolder{v: v, root: root, there: map[string]fs.FileInfo{}, names: map[artifact.Digest][]string{}, matched: map[artifact.Digest]error{}}
	if err := d.read(ctx); err != nil {
		return []File{unreadable(v.opt.Display(root), err)}, nil
	}
	record := d.openRecord()
	if record.Verdict != Verified {
		record.Notes = append(record.Notes, "nothing else in this folder was looked at, since all of it is held against this file")
		return []File{record}, nil
	}

	list := []File{record}
	for _, name := range slices.Sorted(maps.Keys(d.contents.Files)) {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if name == pipeline.RecordName {
			continue
		}
		// Of images it suffices to tell what is wrong with a part.
		if doc := d.member(ctx, name); doc.Verdict != Verified || !d.isPart(name) {
			list = append(list, doc)
		}
	}
	list = append(list, d.images()...)
	list = append(list, d.bundles()...)
	list = append(list, d.modes()...)
	return append(list, d.foreign(ctx)...), nil
}

// read lists the folder.
func (d *releaseFolder) read(ctx context.Context) error {
	return filepath.WalkDir(d.root, func(name string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
		rel, err := filepath.Rel(d.root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if len(d.there)+len(d.folders) > maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		if e.IsDir() {
			d.folders = append(d.folders, rel)
			return nil
		}
		d.there[rel], err = e.Info()
		return err
	})
}

// path is where a file lies.
func (d *releaseFolder) path(name string) string {
	return filepath.Join(d.root, filepath.FromSlash(name))
}

// refuse is the verdict on something that is not as it should be.
func (d *releaseFolder) refuse(name string, reason Reason, format string, args ...any) File {
	doc := File{Name: d.v.opt.Display(d.path(name)), Bundles: []Bundle{}}
	doc.addProblem("", reason, fmt.Errorf(format, args...))
	doc.setVerdict()
	return doc
}

// regular is the verdict on what is no regular file, and whether there is one.
func (d *releaseFolder) regular(name string) (File, bool) {
	info := d.there[name]
	switch {
	case info == nil:
		return d.refuse(name, ForeignFile, "a folder, where a release has a file"), false
	case info.Mode().IsRegular():
		return File{}, true
	case info.Mode()&fs.ModeSymlink != 0:
		return d.refuse(name, SymbolicLink, "a symbolic link, where a release has files"), false
	}
	return d.refuse(name, ForeignFile, "neither a file nor a folder"), false
}

// judge opens all bundles of the folder that are about something.
func (d *releaseFolder) judge(name string, about attest.Artifact, expected *policy.Policy) File {
	var dirs []string
	for _, dir := range d.folders {
		dirs = append(dirs, d.path(dir))
	}
	candidates, err := d.v.bundlesAbout(dirs, d.path(name), about.Digest)
	if err != nil {
		return unreadable(d.v.opt.Display(d.path(name)), err)
	}
	// A key that goes with SHA-384 signs a file without naming its SHA-256.
	if own, ok := d.silent(name); ok && !slices.ContainsFunc(candidates, func(b bundleFile) bool { return b.name == own.name }) {
		candidates = append(candidates, own)
	}
	return d.v.judge(d.v.opt.Display(d.path(name)), about, candidates, expected)
}

// silent returns the bundle that is called like a file and does not say what it is about.
func (d *releaseFolder) silent(name string) (bundleFile, bool) {
	file := d.path(name) + pipeline.BundleSuffix
	refs, err := d.v.index.in(filepath.Dir(file))
	i := slices.IndexFunc(refs, func(b bundleFile) bool { return b.name == file && len(b.subjects) == 0 })
	if err != nil || i < 0 {
		return bundleFile{}, false
	}
	return refs[i], true
}

// openRecord judges release.json, and reads it if it is good.
func (d *releaseFolder) openRecord() File {
	const name = pipeline.RecordName
	if bad, ok := d.regular(name); !ok {
		return bad
	}
	data, err := artifact.ReadNamed(d.path(name), record.MaxSize)
	if err != nil {
		return unreadable(d.v.opt.Display(d.path(name)), err)
	}
	doc := d.judge(name, attest.Artifact{Digest: artifact.Of(data), Content: data}, nil)
	if doc.Verdict != Verified {
		return doc
	}
	if d.record, err = record.Decode(data); err == nil && !d.record.Verdict.Pass() {
		err = fmt.Errorf("the builds are %q: there is no release in this folder", d.record.Verdict)
	}
	if err == nil {
		d.contents, err = pipeline.ContentsOf(d.record)
	}
	if err != nil {
		doc.addProblem("", BadRecord, err)
		doc.setVerdict()
		return doc
	}
	for _, name := range slices.Sorted(maps.Keys(d.contents.Files)) {
		digest := d.contents.Files[name]
		d.names[digest] = append(d.names[digest], name)
	}
	return doc
}

// isPart tells whether a file is a part of the image layout.
func (d *releaseFolder) isPart(name string) bool {
	return strings.HasPrefix(name, pipeline.ImagesName+"/")
}

// smallFile is a size in bytes that is read whatever the record says: it does not state
// that of each file.
const smallFile = 16 << 20

// tooLarge reports whether a file of that size in bytes is none of the release. A sparse
// file costs whoever puts it here nothing, and whoever reads it hours.
func (d *releaseFolder) tooLarge(size int64) bool { return size > d.largest() }

// largest is the size in bytes that a file of the release can have.
func (d *releaseFolder) largest() int64 { return max(d.contents.Largest, smallFile) }

// member judges a file that the record names.
func (d *releaseFolder) member(ctx context.Context, name string) File {
	want := d.contents.Files[name]
	if d.there[name] == nil {
		return d.refuse(name, MissingFile, "missing: the release has it, with %s", want)
	}
	if bad, ok := d.regular(name); !ok {
		return bad
	}
	if size := d.there[name].Size(); d.tooLarge(size) {
		return d.refuse(name, ChangedFile, "changed: it has %d bytes, more than any file of the release", size)
	}
	about, err := digestFile(ctx, d.path(name), d.largest())
	if err != nil {
		return unreadable(d.v.opt.Display(d.path(name)), err)
	}
	if about.Digest != want {
		if others := d.names[about.Digest]; len(others) > 0 {
			return d.refuse(name, SwappedFile, "it has the bytes of %s", others[0])
		}
		return d.refuse(name, ChangedFile, "changed: it is %s, and the release has %s", about.Digest, want)
	}
	if d.isPart(name) {
		return File{Verdict: Verified}
	}
	doc := d.judge(name, about, d.expected(name))
	d.sameRun(&doc)
	d.noteFile(&doc, name)
	return doc
}

// noteFile tells what is odd about a file that has the right bytes.
func (d *releaseFolder) noteFile(doc *File, name string) {
	if d.there[name].Mode()&0o111 != 0 && !d.contents.Executable[name] {
		doc.Notes = append(doc.Notes, "its mode lets it be executed, and in the release it does not")
	}
	for _, other := range d.names[d.contents.Files[name]] {
		if other != name && d.there[other] != nil && os.SameFile(d.there[other], d.there[name]) {
			doc.Notes = append(doc.Notes, fmt.Sprintf("it is a hard link of %s: what changes one changes the other", other))
		}
	}
}

// modes refuses files that give whoever runs them the rights of somebody else.
func (d *releaseFolder) modes() []File {
	var list []File
	for _, name := range slices.Sorted(maps.Keys(d.there)) {
		if m := d.there[name].Mode(); m.IsRegular() && m&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
			list = append(list, d.refuse(name, BadMode, "its mode is %s: no file of a release is setuid, setgid or sticky", m))
		}
	}
	return list
}

// expected is what the policy asks of an artifact. Only what comes out of a build can be
// rebuilt.
func (d *releaseFolder) expected(name string) *policy.Policy {
	if d.v.opt.Policy == nil || d.v.opt.Policy.Rebuilds == nil || slices.ContainsFunc(d.record.Artifacts, func(a artifact.Artifact) bool {
		return a.Name == name && (a.Kind == artifact.Binary || a.Kind == artifact.Archive)
	}) {
		return d.v.opt.Policy
	}
	if d.v.opt.Policy.OnlyRebuilds() {
		return nil
	}
	p := *d.v.opt.Policy
	p.Rebuilds = nil
	return &p
}

// sameRun holds what twice says of a release against the record: a statement of another
// run of the same bytes may say more of its double build than this one can.
func (d *releaseFolder) sameRun(doc *File) {
	for _, s := range doc.Statements {
		data, err := s.Encode()
		if err == nil {
			id := artifact.Of(data)
			if _, known := d.matched[id]; !known {
				d.matched[id] = slsa.Matches(s, d.record)
			}
			err = d.matched[id]
		}
		if err != nil {
			doc.addProblem("", BadRecord, fmt.Errorf("%s: %w", s.PredicateType, err))
			doc.setVerdict()
		}
	}
}

// images judges the images by their digests in the record, with their manifests.
func (d *releaseFolder) images() []File {
	var list []File
	for _, img := range d.record.Images {
		name := img.Repository + ":" + img.Tags[0]
		doc := d.judge(pipeline.ImagesName, attest.Artifact{Digest: img.Digest}, d.v.opt.Policy)
		doc.Name += ": " + name
		d.sameRun(&doc)
		list = append(list, doc)
		for _, m := range img.Manifests {
			doc := d.judge(pipeline.ImagesName, attest.Artifact{Digest: m.Digest}, nil)
			doc.Name += ": " + name + "#" + m.Platform
			if doc.Verdict != Verified {
				list = append(list, doc)
			}
		}
	}
	return list
}

// bundles holds the bundles against their names. Whether they are good was told with
// what they are about.
func (d *releaseFolder) bundles() []File {
	found := map[string]bundleFile{}
	for _, dir := range d.folders {
		refs, err := d.v.index.in(d.path(dir))
		if err != nil {
			return []File{unreadable(d.v.opt.Display(d.path(dir)), err)}
		}
		for _, b := range refs {
			found[path.Join(dir, filepath.Base(b.name))] = b
		}
	}
	var list []File
	own := map[artifact.Digest]string{}
	for _, name := range slices.Sorted(maps.Keys(d.contents.Bundles)) {
		want := d.contents.Bundles[name]
		b, ok := found[name]
		switch {
		case !ok:
			list = append(list, d.refuse(name, MissingFile, "missing: the release has this bundle"))
		case b.unfit != nil && !b.isNoBundle():
			list = append(list, unreadable(d.v.opt.Display(b.name), b.unfit))
		case b.unfit != nil || b.predicateType != want.PredicateType || !b.about(want.Subject) && (want.PredicateType != "" || len(b.subjects) > 0):
			list = append(list, d.refuse(name, SwappedFile, "it is not the bundle that its name says"))
		default:
			own[b.digest] = name
		}
	}
	known := d.subjects()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		b := found[name]
		if _, ok := d.contents.Bundles[name]; ok {
			continue
		}
		about := slices.ContainsFunc(b.subjects, func(s [32]byte) bool { return known[s] })
		if info := d.there[name]; info == nil || !info.Mode().IsRegular() {
			continue // foreign tells of it
		}
		switch original, copied := own[b.digest]; {
		case b.isNoBundle():
			list = append(list, d.refuse(name, ForeignFile, "foreign: it is called a bundle, and is none: %s", b.reason()))
		case b.unfit != nil:
			list = append(list, d.refuse(name, ForeignFile, "foreign: %s", b.reason()))
		case copied:
			list = append(list, d.refuse(name, CopiedFile, "a copy of %s", original))
		case !about:
			list = append(list, d.refuse(name, ForeignFile, "foreign: it is about nothing in this release"))
		}
	}
	return list
}

// subjects are the digests of what bundles of the release can be about, and which are
// judged with all that is said of them.
func (d *releaseFolder) subjects() map[[32]byte]bool {
	known := map[[32]byte]bool{}
	for name, digest := range d.contents.Files {
		if !d.isPart(name) {
			known[rawDigest(digest)] = true
		}
	}
	for _, img := range d.record.Images {
		known[rawDigest(img.Digest)] = true
		for _, m := range img.Manifests {
			known[rawDigest(m.Digest)] = true
		}
	}
	return known
}

// foreign refuses what the record does not know.
func (d *releaseFolder) foreign(ctx context.Context) []File {
	var list []File
	folders := d.contents.Folders()
	for _, dir := range d.folders {
		if dir != "." && !slices.Contains(folders, dir) {
			list = append(list, d.refuse(dir, ForeignFile, "foreign: a folder that is not of the release"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.there)) {
		if _, ok := d.contents.Files[name]; ok {
			continue
		}
		if bad, ok := d.regular(name); !ok {
			list = append(list, bad)
		} else if !strings.HasSuffix(name, pipeline.BundleSuffix) {
			list = append(list, d.foreignFile(ctx, name))
		}
	}
	return list
}

// foreignFile says what is known of a file that the record does not name.
func (d *releaseFolder) foreignFile(ctx context.Context, name string) File {
	info := d.there[name]
	// A stranger's file may have any size; a copy has that of what it copies.
	sameSize := slices.ContainsFunc(d.record.Artifacts, func(a artifact.Artifact) bool { return a.Size == info.Size() })
	for _, other := range slices.Sorted(maps.Keys(d.contents.Files)) {
		member := d.there[other]
		if member != nil && os.SameFile(member, info) {
			return d.refuse(name, HardLink, "a hard link of %s", other)
		}
		sameSize = sameSize || member != nil && member.Size() == info.Size()
	}
	if sameSize && !d.tooLarge(info.Size()) {
		if about, err := digestFile(ctx, d.path(name), d.largest()); err == nil && len(d.names[about.Digest]) > 0 {
			return d.refuse(name, CopiedFile, "a copy of %s under a name that the release does not have", d.names[about.Digest][0])
		}
	}
	return d.refuse(name, ForeignFile, "foreign: the release does not have it")
}

// ofRelease tells whether something is said of a file that twice says of its releases.
func (doc File) ofRelease() bool {
	return slices.ContainsFunc(doc.Statements, slsa.IsOurs)
}

// missingRecord refuses a folder with files of a release and without its record, which
// somebody took out lest it be seen what else is missing.
func (v *Verifier) missingRecord(dir string) File {
	doc := File{Name: v.opt.Display(dir), Bundles: []Bundle{}}
	doc.addProblem("", MissingFile, fault.WithRemedy(fmt.Errorf("%s is missing: there are files of a release, and nothing tells which", pipeline.RecordName),
		"fetch "+pipeline.RecordName+" of the release and its bundle, too, or name the files instead of the folder"))
	doc.setVerdict()
	return doc
}
