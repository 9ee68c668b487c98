package pipeline

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/record"
)

// Bounds of what is read to see whether twice has written it, in bytes.
const (
	maxWritten = 4 << 30  // of what the record states no size
	maxBundle  = 16 << 20 // of a bundle
)

const moveAway = "move it away, or name another folder with --out"

// written returns an error unless twice may delete dir: it is not there, or empty, or
// each file in it has the bytes that follow from the record in it. Files may be missing.
func written(ctx context.Context, dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return foreign("%s is a symbolic link, which would be replaced, and not what it leads to", dir)
	case !info.IsDir():
		return foreign("%s is no folder", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if empty, err := isEmpty(root); err != nil || empty {
		return err
	}
	o, err := openOwn(dir, root)
	if err != nil {
		return err
	}
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
		return o.check(ctx, name, e)
	})
}

// checkOut returns an error for a path that a folder of ours never has, whether or not
// there is something.
func checkOut(dir string) error {
	real, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return nil // told when it is opened
	}
	for _, name := range append(strings.Split(real, string(filepath.Separator)), filepath.Base(dir)) {
		if strings.EqualFold(name, ".git") {
			return fault.Usage(fmt.Errorf("%s is in a folder of git", dir), "name another folder")
		}
	}
	return nil
}

// foreign is an error of what must not be deleted.
func foreign(format string, args ...any) error {
	return fault.Usage(fmt.Errorf(format, args...), moveAway)
}

func isEmpty(root *os.Root) (bool, error) {
	f, err := root.Open(".")
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.ReadDir(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// own is a folder with a record of ours.
type own struct {
	dir      string
	root     *os.Root
	rec      *record.Record
	contents *Contents
	folders  []string
	// key is what the bundles call the key that signed them, from the first of them on.
	key *string
}

// openOwn reads the record. It says of itself that it is ours, and twice writes nothing
// in two ways: so one that was edited is found by its form, its bundle, or by the files
// of which it says something else.
func openOwn(dir string, root *os.Root) (*own, error) {
	data, err := artifact.ReadRegular(root, RecordName, record.MaxSize)
	if err != nil {
		return nil, foreign("%s was not written by twice: it has no %s", dir, RecordName)
	}
	var any struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(data, &any); err != nil || !strings.HasPrefix(any.Schema, "twice.release/") {
		return nil, foreign("%s was not written by twice: its %s is another's", dir, RecordName)
	}
	rec, err := record.Decode(data)
	var contents *Contents
	if err == nil {
		contents, err = ContentsOf(rec)
	}
	if err != nil {
		return nil, fault.Usage(fmt.Errorf("%s cannot be replaced: its %s was edited, or written by another version of twice: %w", dir, RecordName, err),
			moveAway+"; what this version writes is replaced without a question")
	}
	return &own{dir: dir, root: root, rec: rec, contents: contents, folders: contents.Folders()}, nil
}

// check returns an error unless twice has written a file or folder.
func (o *own) check(ctx context.Context, name string, e fs.DirEntry) error {
	digest, isFile := o.contents.Files[name]
	about, isBundle := o.contents.Bundles[name]
	var err error
	switch {
	case e.IsDir() && (name == "." || slices.Contains(o.folders, name)):
		return nil
	case !e.Type().IsRegular() || !isFile && !isBundle:
		return foreign("%s holds %s, which twice did not write", o.dir, name)
	case isFile:
		err = o.file(ctx, name, digest)
	default:
		err = o.bundle(name, about)
	}
	if err == nil || context.Cause(ctx) != nil {
		return err
	}
	return foreign("%s holds %s, which is not as twice has written it: %w", o.dir, name, err)
}

// file returns an error unless a file has the bytes of which the record speaks.
func (o *own) file(ctx context.Context, name string, want artifact.Digest) error {
	limit := max(o.contents.Largest, maxBundle)
	if !o.rec.Verdict.Pass() {
		limit = maxWritten
	}
	got, err := artifact.DigestRegular(ctx, o.root, name, limit)
	if err == nil && got != want {
		err = fmt.Errorf("it is %s, and was %s", got.Short(), want.Short())
	}
	return err
}

// bundle returns an error unless a bundle is the one that its name says, signed with the
// key of the others. Whether the signature is good is nothing that this depends on.
func (o *own) bundle(name string, want BundleOf) error {
	data, err := artifact.ReadRegular(o.root, name, maxBundle)
	if err != nil {
		return err
	}
	var b struct {
		Material struct {
			Key struct {
				Hint string `json:"hint"`
			} `json:"publicKey"`
		} `json:"verificationMaterial"`
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
		Message struct {
			Digest struct {
				Digest []byte `json:"digest"`
			} `json:"messageDigest"`
		} `json:"messageSignature"`
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return errors.New("it is no bundle")
	}
	if o.key == nil {
		o.key = &b.Material.Key.Hint
	}
	if *o.key != b.Material.Key.Hint {
		return errors.New("another key has signed it than the other bundles")
	}
	if want.PredicateType == "" {
		return o.signature(strings.TrimSuffix(name, BundleSuffix), b.Message.Digest.Digest)
	}
	s, err := intoto.Decode(b.Envelope.Payload)
	if err != nil {
		return err
	}
	ofRun := want.PredicateType == slsa.ProvenanceType || want.PredicateType == slsa.TestResultType
	if s.PredicateType != want.PredicateType || !s.Has(want.Subject) || ofRun && !slsa.IsOurs(s) {
		return errors.New("it is about something else")
	}
	return slsa.Matches(s, o.rec)
}

// signature returns an error unless the digest is one of the bytes that a file had.
func (o *own) signature(name string, digest []byte) error {
	if len(digest) == sha256.Size {
		if artifact.Digest(fmt.Sprintf("sha256:%x", digest)) == o.contents.Files[name] {
			return nil
		}
	} else if data, err := artifact.ReadRegular(o.root, name, max(o.contents.Largest, maxBundle)); err == nil {
		sha384, sha512 := sha512.Sum384(data), sha512.Sum512(data)
		if artifact.Of(data) == o.contents.Files[name] && (string(digest) == string(sha384[:]) || string(digest) == string(sha512[:])) {
			return nil
		}
	}
	return fmt.Errorf("it is not about %s", name)
}
