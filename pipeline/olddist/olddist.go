// Package olddist judges the folder that a release replaces: whether twice has written all that is
// in it, so that nothing of somebody else is deleted.
package olddist

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
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/output"
	"github.com/twicebuild/twice/pipeline/record"
)

// maxUnsized bounds a file whose size is not in the record, in bytes.
const maxUnsized = 4 << 30

// CheckDeletable returns an error unless twice may delete dir. Twice may delete a folder that
// does not exist or is empty. It may also delete one in which each file has the bytes that follow
// from its record. Files may be missing.
func CheckDeletable(ctx context.Context, dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return output.NotOurs("%s is a symbolic link, which would be replaced, and not what it leads to", dir)
	case !info.IsDir():
		return output.NotOurs("%s is no folder", dir)
	}

	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	if empty, err := isEmpty(root); err != nil || empty {
		return err
	}

	// A record alone is no proof: each file has to be as the record says.
	d, err := openOldDist(dir, root)
	if err != nil {
		return err
	}
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
		return d.checkEntry(ctx, name, e)
	})
}

// isEmpty reports whether a folder is empty.
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

// oldDist is a folder with a record that twice has written.
type oldDist struct {
	dir      string
	root     *os.Root
	rec      *record.Record
	contents *distfiles.Contents
	folders  []string
	// key is the name of the key in the first bundle. The other bundles have to name it too.
	key *string
}

// openOldDist reads the record. Twice encodes a record in one way only. So an edited record shows
// by its form, by its bundle, or by files that do not fit it.
func openOldDist(dir string, root *os.Root) (*oldDist, error) {
	data, err := fsx.ReadRegular(root, distfiles.RecordName, record.MaxSize)
	if err != nil {
		return nil, output.NotOurs("%s was not written by twice: it has no %s", dir, distfiles.RecordName)
	}

	// Another tool may write a release.json too, and its folder is not to be deleted.
	var header struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(data, &header); err != nil || !strings.HasPrefix(header.Schema, record.SchemaPrefix) {
		return nil, output.NotOurs("%s was not written by twice: its %s is another's", dir, distfiles.RecordName)
	}

	rec, err := record.Decode(data)
	var contents *distfiles.Contents
	if err == nil {
		contents, err = distfiles.ContentsOf(rec)
	}
	if err != nil {
		return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("%s cannot be replaced: its %s was edited, or written by another version of twice: %w", dir, distfiles.RecordName, err)),
			output.MoveAway+"; what this version writes is replaced without a question")
	}
	return &oldDist{dir: dir, root: root, rec: rec, contents: contents, folders: contents.Folders()}, nil
}

// checkEntry returns an error unless twice has written a file or folder.
func (d *oldDist) checkEntry(ctx context.Context, name string, e fs.DirEntry) error {
	digest, isFile := d.contents.Files[name]
	about, isBundle := d.contents.Bundles[name]

	var err error
	switch {
	case e.IsDir() && (name == "." || slices.Contains(d.folders, name)):
		return nil
	case !e.Type().IsRegular() || !isFile && !isBundle:
		return output.NotOurs("%s holds %s, which twice did not write", d.dir, name)
	case isFile:
		err = d.checkFile(ctx, name, digest)
	default:
		err = d.checkBundle(name, about)
	}

	if err == nil || context.Cause(ctx) != nil {
		return err
	}
	return output.NotOurs("%s holds %s, which is not as twice has written it: %w", d.dir, name, err)
}

// checkFile returns an error unless a file has the digest in the record.
func (d *oldDist) checkFile(ctx context.Context, name string, want artifact.Digest) error {
	limit := max(d.contents.Largest, attest.MaxSize)
	if !d.rec.Verdict.Pass() {
		limit = maxUnsized
	}
	got, err := artifact.DigestRegular(ctx, d.root, name, limit)
	if err == nil && got != want {
		err = fmt.Errorf("it is %s, and was %s", got.Short(), want.Short())
	}
	return err
}

// checkBundle returns an error unless a bundle is about what its name says, and names the key of
// the other bundles. It does not verify the signature.
func (d *oldDist) checkBundle(name string, want distfiles.Bundle) error {
	data, err := fsx.ReadRegular(d.root, name, attest.MaxSize)
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

	// Whoever signed this release signed all of it.
	if d.key == nil {
		d.key = &b.Material.Key.Hint
	}

	if *d.key != b.Material.Key.Hint {
		return errors.New("another key has signed it than the other bundles")
	}
	if want.PredicateType == "" {
		return d.checkSignedDigest(strings.TrimSuffix(name, distfiles.BundleSuffix), b.Message.Digest.Digest)
	}

	s, err := intoto.Decode(b.Envelope.Payload)
	if err != nil {
		return err
	}
	ofRun := want.PredicateType == slsa.ProvenanceType || want.PredicateType == slsa.TestResultType
	if s.PredicateType != want.PredicateType || !s.Has(want.Subject) || ofRun && !slsa.IsOurs(s) {
		return errors.New("it is about something else")
	}
	return slsa.CheckAgainstRecord(s, d.rec)
}

// checkSignedDigest returns an error unless a digest is that of the file of that name as the
// record has it.
func (d *oldDist) checkSignedDigest(name string, digest []byte) error {
	if len(digest) == sha256.Size {
		if artifact.Digest(fmt.Sprintf("sha256:%x", digest)) == d.contents.Files[name] {
			return nil
		}
	} else if data, err := fsx.ReadRegular(d.root, name, max(d.contents.Largest, attest.MaxSize)); err == nil {
		sha384, sha512 := sha512.Sum384(data), sha512.Sum512(data)
		if artifact.Of(data) == d.contents.Files[name] && (string(digest) == string(sha384[:]) || string(digest) == string(sha512[:])) {
			return nil
		}
	}
	return fmt.Errorf("it is not about %s", name)
}
