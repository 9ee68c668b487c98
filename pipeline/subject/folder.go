package subject

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// folder opens a folder of this machine: a dist of twice, an image layout, or a folder with
// executables somewhere in it.
func (o *opening) folder(ref, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	if f, err := openIn(root, distfiles.RecordName, record.MaxSize); err == nil {
		ours, err := isRecord(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", distfiles.RecordName, err)
		}
		if ours {
			return o.dist(dir, distfiles.RecordName, ref)
		}
	}

	if isLayout(root) {
		return o.layout(ref, root)
	}
	o.subject.Kind = Folder
	return o.walk(root, location{}.within(Container{Kind: Folder, Name: ref}), "")
}

// walk examines all files in root, except those in the folder without.
func (o *opening) walk(root *os.Root, at location, without string) error {
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case name == ".":
			return err
		case name == without && e.IsDir():
			return fs.SkipDir
		}
		if err := o.count(name); err != nil {
			return err
		}

		// A file that cannot be read is reported. The rest of the folder still counts.
		if err != nil {
			if err := o.skip(at, name, reason(err)); err != nil || !e.IsDir() {
				return err
			}
			return fs.SkipDir
		}

		// A link is only counted: its target is in the folder anyway, or outside of it.
		if e.Type() == fs.ModeSymlink {
			target, err := root.Readlink(name)
			if err != nil {
				return o.skip(at, name, reason(err))
			}
			o.link(path.Dir(name), target)
			return nil
		}
		if !e.Type().IsRegular() {
			return nil
		}

		f, err := openIn(root, name, o.limits.Unpacked)
		if err != nil {
			return o.skip(at, name, reason(err))
		}
		defer f.Close()

		info, err := f.Stat()
		if err != nil {
			return o.skip(at, name, reason(err))
		}
		return o.file(at, name, f, info.Mode()&0o111 != 0)
	})
}

// reason returns what an error of the file system says, without the path.
func reason(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// openIn opens a regular file of at most limit bytes in root, where no link leads out.
func openIn(root *os.Root, name string, limit int64) (*os.File, error) {
	f, _, err := fsx.OpenRegular(root, name, limit)
	return f, err
}

// recordStart is how every release record begins, since [record.Decode] takes no
// other layout.
const recordStart = "{\n  \"schema\": \"" + record.SchemaPrefix

// isRecord reports whether f says that it is a release record of twice. It reads f from its
// beginning and then rewinds it.
func isRecord(f io.ReadSeeker) (bool, error) {
	head, err := io.ReadAll(io.LimitReader(f, int64(len(recordStart))))
	return string(head) == recordStart, errors.Join(err, rewind(f))
}

func rewind(f io.Seeker) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// dist opens the binaries that a release record in dir lists, and then the other files in dir: a
// record may be put beside anything.
func (o *opening) dist(dir, name, ref string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	f, err := root.Open(name) // the user may have named a link
	if err != nil {
		return err
	}
	data, err := readBounded(o.reader(f), record.MaxSize)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}

	rec, err := record.Decode(data)
	if err != nil {
		return err
	}

	c := Container{Kind: Dist, Name: ref, Digest: artifact.Of(data), Size: int64(len(data))}
	o.subject.Kind, o.subject.Digest, o.subject.Record = Dist, c.Digest, rec
	if !rec.Verdict.Pass() {
		return fmt.Errorf("%s: its verdict is %q, so there is nothing of it to ship", distfiles.RecordName, rec.Verdict)
	}

	for i := range rec.Binaries {
		b := &rec.Binaries[i]
		if err := o.keepRecorded(root, location{}.within(c), rec, b); err != nil {
			return fmt.Errorf("%s for %s: %w", safetext.QuoteWord(b.Name), b.Target, err)
		}
	}

	return o.walk(root, location{}.within(c), "") // which keeps nothing twice
}

// keepRecorded keeps one binary of a record, if its bytes are those of the record.
func (o *opening) keepRecorded(root *os.Root, at location, rec *record.Record, b *record.Binary) error {
	file := distfiles.Binary(*b)
	for _, a := range rec.Artifacts {
		if a.Name != file {
			continue
		}

		if a.Kind != artifact.Binary || a.Digest != b.A {
			return fmt.Errorf("%s contradicts itself about %s", distfiles.RecordName, safetext.QuoteWord(file))
		}

		if err := o.count(file); err != nil {
			return err
		}
		f, err := openIn(root, file, o.limits.File)
		if err != nil {
			return fault.WithRemedy(fmt.Errorf("%s: %s", safetext.QuoteWord(file), reason(err)), distfiles.RecordName+" must be in the folder that twice made, with all that is in it")
		}
		defer f.Close()

		got, err := o.spool(f, o.limits.File)
		if err != nil {
			return err
		}

		// A record vouches for bytes, so a file with others is not the one that it is about.
		if got.digest != a.Digest || got.size != a.Size {
			return fmt.Errorf("%s is %s with %d bytes, and %s says %s with %d", safetext.QuoteWord(file), got.digest, got.size, distfiles.RecordName, a.Digest, a.Size)
		}

		found, err := o.keep(at, file, got, b)
		if err == nil && !found {
			err = fmt.Errorf("%s is no executable", safetext.QuoteWord(file))
		}
		return err
	}

	return fmt.Errorf("%s does not list %s", distfiles.RecordName, safetext.QuoteWord(file))
}
