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
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/record"
)

// releaseFolder is a folder with a release, and the record that it is held against.
type releaseFolder struct {
	v    *Verifier
	root string
	// files are all files below root, by their paths with slashes. Links are not followed.
	files   map[string]fs.FileInfo
	folders []string // paths below root, and "."
	record  *record.Record
	// contents is what the folder should hold, by the record.
	contents *distfiles.Contents
	// names are the paths that the record gives to bytes.
	names map[artifact.Digest][]string
	// matches has the errors of statements that do not match the record, by the digest of the
	// statement, and nil for those that do. A statement is about most files, and is held against
	// the record once.
	matches map[artifact.Digest]error
}

// judgeRelease judges a folder with a release. The record has to be signed, and everything that it
// names has to be there and be good. Nothing else may be there.
func (v *Verifier) judgeRelease(ctx context.Context, root string) ([]File, error) {
	switch {
	case v.namedBundles != nil:
		return nil, fault.Usage(fmt.Errorf("%s: --bundle is for files: a release has its bundles in its folder", v.opt.Display(root)))
	case v.opt.Publisher == nil:
		return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("%s: nothing says who has to have signed its %s", v.opt.Display(root), distfiles.RecordName)),
			"give --key or --certificate-identity, or name the files that were rebuilt")
	}
	d := &releaseFolder{v: v, root: root, files: map[string]fs.FileInfo{}, names: map[artifact.Digest][]string{}, matches: map[artifact.Digest]error{}}
	if err := d.list(ctx); err != nil {
		return []File{unreadable(v.opt.Display(root), err)}, nil
	}

	// A record that nobody trusted has signed says nothing about the other files.
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
		if name == distfiles.RecordName {
			continue
		}
		// A good part of an image is not listed: the image is.
		if f := d.judgeFile(ctx, name); f.Verdict != Verified || !d.isImagePart(name) {
			list = append(list, f)
		}
	}
	list = append(list, d.judgeImages()...)
	list = append(list, d.badBundles()...)
	list = append(list, d.badModes()...)
	return append(list, d.foreignFiles(ctx)...), nil
}

// list lists the files and folders below root.
func (d *releaseFolder) list(ctx context.Context) error {
	return filepath.WalkDir(d.root, func(name string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}

		rel, err := filepath.Rel(d.root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if len(d.files)+len(d.folders) > maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}

		if e.IsDir() {
			d.folders = append(d.folders, rel)
			return nil
		}
		d.files[rel], err = e.Info()
		return err
	})
}

// path returns where a file is.
func (d *releaseFolder) path(name string) string {
	return filepath.Join(d.root, filepath.FromSlash(name))
}

// display returns how the path of a file is shown.
func (d *releaseFolder) display(name string) string { return d.v.opt.Display(d.path(name)) }

// refuse returns the verdict on a file that is not as it should be.
func (d *releaseFolder) refuse(name string, reason Reason, format string, args ...any) File {
	f := File{Name: d.display(name), Bundles: []Bundle{}}
	f.addProblem("", reason, fmt.Errorf(format, args...))
	f.setVerdict()
	return f
}

// checkRegular reports whether a file is a regular one. If it is not, it returns the verdict.
func (d *releaseFolder) checkRegular(name string) (File, bool) {
	info := d.files[name]
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

// judge judges a file or an image by all bundles of the folder that say they are about it.
func (d *releaseFolder) judge(name string, about attest.Artifact, expected *policy.Policy) File {
	var dirs []string
	for _, dir := range d.folders {
		dirs = append(dirs, d.path(dir))
	}
	candidates, err := bundlesAbout(d.v.index.inFolder, dirs, d.path(name), about)
	if err != nil {
		return unreadable(d.display(name), err)
	}

	// A key that goes with SHA-384 signs a file without naming its SHA-256.
	if own, ok := d.bundleWithoutSubject(name); ok && !slices.ContainsFunc(candidates, func(b bundleFile) bool { return b.name == own.name }) {
		candidates = append(candidates, own)
	}
	return d.v.judge(d.display(name), about, candidates, expected)
}

// bundleWithoutSubject returns the bundle that is called like a file and does not say its subject.
func (d *releaseFolder) bundleWithoutSubject(name string) (bundleFile, bool) {
	file := d.path(name) + distfiles.BundleSuffix
	refs, err := d.v.index.inFolder(filepath.Dir(file))
	i := slices.IndexFunc(refs, func(b bundleFile) bool { return b.name == file && len(b.subjects) == 0 })
	if err != nil || i < 0 {
		return bundleFile{}, false
	}
	return refs[i], true
}

// openRecord judges release.json, and reads it if it is good.
func (d *releaseFolder) openRecord() File {
	const name = distfiles.RecordName
	if bad, ok := d.checkRegular(name); !ok {
		return bad
	}
	data, err := fsx.ReadNamed(d.path(name), record.MaxSize)
	if err != nil {
		return unreadable(d.display(name), err)
	}
	f := d.judge(name, attest.Artifact{Digest: artifact.Of(data), Content: data}, nil)
	if f.Verdict != Verified {
		return f
	}

	// The signature is good. What it is on has to be the record of a release.
	if d.record, err = record.Decode(data); err == nil && !d.record.Verdict.Pass() {
		err = fmt.Errorf("the builds are %q: there is no release in this folder", d.record.Verdict)
	}
	if err == nil {
		d.contents, err = distfiles.ContentsOf(d.record)
	}
	if err != nil {
		f.addProblem("", BadRecord, err)
		f.setVerdict()
		return f
	}

	for _, name := range slices.Sorted(maps.Keys(d.contents.Files)) {
		digest := d.contents.Files[name]
		d.names[digest] = append(d.names[digest], name)
	}
	return f
}

// isImagePart reports whether a file is a part of the image layout.
func (d *releaseFolder) isImagePart(name string) bool {
	return strings.HasPrefix(name, distfiles.ImagesName+"/")
}

// smallFile is a size in bytes up to which a file is read whatever the record says. The record does
// not state the size of each file.
const smallFile = 16 << 20

// tooLarge reports whether no file of the release has so many bytes. A sparse file costs nothing to
// whoever puts it here, and hours to whoever reads it.
func (d *releaseFolder) tooLarge(size int64) bool { return size > d.largest() }

// largest returns the size in bytes that a file of the release can have.
func (d *releaseFolder) largest() int64 { return max(d.contents.Largest, smallFile) }

// judgeFile judges a file that the record names.
func (d *releaseFolder) judgeFile(ctx context.Context, name string) File {
	want := d.contents.Files[name]
	if d.files[name] == nil {
		return d.refuse(name, MissingFile, "missing: the release has it, with %s", want)
	}
	if bad, ok := d.checkRegular(name); !ok {
		return bad
	}

	// Its bytes have to be those of the record.
	if size := d.files[name].Size(); d.tooLarge(size) {
		return d.refuse(name, ChangedFile, "changed: it has %d bytes, more than any file of the release", size)
	}
	about, err := digestFile(ctx, d.path(name), d.largest())
	if err != nil {
		return unreadable(d.display(name), err)
	}
	if about.Digest != want {
		if others := d.names[about.Digest]; len(others) > 0 {
			return d.refuse(name, SwappedFile, "it has the bytes of %s", others[0])
		}
		return d.refuse(name, ChangedFile, "changed: it is %s, and the release has %s", about.Digest, want)
	}
	if d.isImagePart(name) { // judgeImages judges those that bundles are about
		return File{Verdict: Verified}
	}

	f := d.judge(name, about, d.policyFor(name))
	d.checkAgainstRecord(&f)
	d.noteFile(&f, name)
	return f
}

// noteFile adds notes on what is odd about a file that has the right bytes.
func (d *releaseFolder) noteFile(f *File, name string) {
	if d.files[name].Mode()&0o111 != 0 && !d.contents.Executable[name] {
		f.Notes = append(f.Notes, "its mode lets it be executed, and in the release it does not")
	}
	for _, other := range d.names[d.contents.Files[name]] {
		if other != name && d.files[other] != nil && os.SameFile(d.files[other], d.files[name]) {
			f.Notes = append(f.Notes, fmt.Sprintf("it is a hard link of %s: what changes one changes the other", other))
		}
	}
}

// badModes refuses files that give their user the rights of somebody else.
func (d *releaseFolder) badModes() []File {
	var list []File
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		if m := d.files[name].Mode(); m.IsRegular() && m&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
			list = append(list, d.refuse(name, BadMode, "its mode is %s: no file of a release is setuid, setgid or sticky", m))
		}
	}
	return list
}

// policyFor returns the policy for an artifact. It asks for rebuilds of binaries and archives
// alone, since nobody can rebuild other files.
func (d *releaseFolder) policyFor(name string) *policy.Policy {
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

// checkAgainstRecord refuses a file with a statement by twice that does not match the record. A
// statement of another run with the same bytes may say more of its double build than this one can.
func (d *releaseFolder) checkAgainstRecord(f *File) {
	for _, s := range f.Statements {
		data, err := s.Encode()
		if err == nil {
			id := artifact.Of(data)
			if _, done := d.matches[id]; !done {
				d.matches[id] = slsa.CheckAgainstRecord(s.Statement, d.record)
			}
			err = d.matches[id]
		}
		if err != nil {
			f.addProblem("", BadRecord, fmt.Errorf("%s: %w", s.PredicateType, err))
			f.setVerdict()
		}
	}
}

// judgeImages judges the images by their digests in the record. A manifest is listed only if it
// is not verified.
func (d *releaseFolder) judgeImages() []File {
	var list []File
	for _, img := range d.record.Images {
		name := img.Repository + ":" + img.Tags[0]
		f := d.judge(distfiles.ImagesName, attest.Artifact{Digest: img.Digest}, d.v.opt.Policy)
		f.Name += ": " + name
		d.checkAgainstRecord(&f)
		list = append(list, f)

		for _, m := range img.Manifests {
			f := d.judge(distfiles.ImagesName, attest.Artifact{Digest: m.Digest}, nil)
			f.Name += ": " + name + "#" + m.Platform
			if f.Verdict != Verified {
				list = append(list, f)
			}
		}
	}
	return list
}

// badBundles refuses bundles that are missing, those that are not what their names say, and those
// that the release does not have. The verdicts on the files tell whether signatures are good.
func (d *releaseFolder) badBundles() []File {
	found := map[string]bundleFile{}
	for _, dir := range d.folders {
		refs, err := d.v.index.inFolder(d.path(dir))
		if err != nil {
			return []File{unreadable(d.v.opt.Display(d.path(dir)), err)}
		}
		for _, b := range refs {
			found[path.Join(dir, filepath.Base(b.name))] = b
		}
	}

	// The record says which bundles there are, and what each is about.
	var list []File
	ofRelease := map[artifact.Digest]string{}
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
			ofRelease[b.digest] = name
		}
	}

	// Others are welcome if they are about something in the release.
	subjects := d.subjects()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		b := found[name]
		if _, ok := d.contents.Bundles[name]; ok {
			continue
		}
		about := slices.ContainsFunc(b.subjects, func(s [32]byte) bool { return subjects[s] })
		if info := d.files[name]; info == nil || !info.Mode().IsRegular() {
			continue // foreignFiles refuses it
		}
		switch original, copied := ofRelease[b.digest]; {
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

// subjects returns the digests of everything that bundles of the release can be about.
func (d *releaseFolder) subjects() map[[32]byte]bool {
	digests := map[[32]byte]bool{}
	for name, digest := range d.contents.Files {
		if !d.isImagePart(name) {
			digests[rawDigest(digest)] = true
		}
	}
	for _, img := range d.record.Images {
		digests[rawDigest(img.Digest)] = true
		for _, m := range img.Manifests {
			digests[rawDigest(m.Digest)] = true
		}
	}
	return digests
}

// foreignFiles refuses the files and folders that the record does not know.
func (d *releaseFolder) foreignFiles(ctx context.Context) []File {
	var list []File
	folders := d.contents.Folders()
	for _, dir := range d.folders {
		if dir != "." && !slices.Contains(folders, dir) {
			list = append(list, d.refuse(dir, ForeignFile, "foreign: a folder that is not of the release"))
		}
	}

	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		if _, ok := d.contents.Files[name]; ok {
			continue
		}
		if bad, ok := d.checkRegular(name); !ok {
			list = append(list, bad)
		} else if !strings.HasSuffix(name, distfiles.BundleSuffix) {
			list = append(list, d.foreignFile(ctx, name))
		}
	}
	return list
}

// foreignFile refuses a file that the record does not name. It says whether the file is a copy or a
// link of another.
func (d *releaseFolder) foreignFile(ctx context.Context, name string) File {
	info := d.files[name]

	// A stranger's file may have any size, and takes long to read. A copy has the size of
	// what it copies.
	sameSize := slices.ContainsFunc(d.record.Artifacts, func(a artifact.Artifact) bool { return a.Size == info.Size() })
	for _, other := range slices.Sorted(maps.Keys(d.contents.Files)) {
		member := d.files[other]
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

// ofRelease reports whether a statement about a file is one that twice makes of a release.
func (f File) ofRelease() bool {
	return slices.ContainsFunc(f.Statements, func(s policy.Statement) bool { return slsa.IsOurs(s.Statement) })
}

// missingRecord refuses a folder with files of a release and without its record. Whoever took the
// record out hides what else is missing.
func (v *Verifier) missingRecord(dir string) File {
	f := File{Name: v.opt.Display(dir), Bundles: []Bundle{}}
	f.addProblem("", MissingFile, fault.WithRemedy(fmt.Errorf("%s is missing: there are files of a release, and nothing tells which", distfiles.RecordName),
		"fetch "+distfiles.RecordName+" of the release and its bundle, too, or name the files instead of the folder"))
	f.setVerdict()
	return f
}
