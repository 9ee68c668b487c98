package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// LockName is the name of the lock file, which lies beside the release file and
// is committed with it.
const LockName = "release.lock"

// LockSchema is the value of the member schema of a lock file.
const LockSchema = "twice.lock/v1"

// MaxLock is the greatest size of a lock file, in bytes.
const MaxLock = 1 << 20

// Lock says which image each base with a tag is. A tag can be moved, and the digest
// in the lock file cannot. So the digest is used.
//
// The file is one JSON document, indented by two spaces, with a final newline:
//
//	{
//	  "schema": "twice.lock/v1",
//	  "images": [
//	    {
//	      "reference": "registry.example.com/debian/base:stable",
//	      "digest": "sha256:..."
//	    }
//	  ]
//	}
//
// sorted by reference.
type Lock struct {
	Schema string       `json:"schema"`
	Images []LockedBase `json:"images"`
}

// LockedBase is a base with a tag, and the digest of the index or manifest that the
// tag stood for when it was locked.
type LockedBase struct {
	// Reference is written as in the release file, without a digest.
	Reference string          `json:"reference"`
	Digest    artifact.Digest `json:"digest"`
}

// MovedTag is a tag that stands for another image than the lock file says.
type MovedTag struct {
	Reference string
	// Locked is the digest of the lock file, Now that of the registry.
	Locked, Now artifact.Digest
}

// String returns a sentence that says so.
func (m MovedTag) String() string {
	return fmt.Sprintf("%s is %s in the registry and %s in %s", m.Reference, m.Now.Short(), m.Locked.Short(), LockName)
}

// DecodeLock reads what [Lock.Encode] writes and nothing else: an unknown member,
// a member that is there twice, another schema or another layout is an error.
func DecodeLock(data []byte) (*Lock, error) {
	fail := func(err error) (*Lock, error) {
		return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("%s: %w", LockName, err)), "it is not written by hand: remove it, and run twice lock")
	}
	if len(data) > MaxLock {
		return fail(fmt.Errorf("more than %d bytes", MaxLock))
	}

	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var l Lock
	if err := dec.Decode(&l); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("empty")
		}
		return fail(err)
	}

	// A member that is there twice, and whatever else Encode does not write, differs here.
	enc, err := l.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(enc, data) {
		return fail(errors.New("not laid out as twice writes it"))
	}

	return &l, nil
}

// Encode returns the text of the lock file. A lock that contradicts itself is an
// error.
func (l *Lock) Encode() ([]byte, error) {
	doc := Lock{Schema: l.Schema, Images: l.Images}
	if doc.Images == nil {
		doc.Images = []LockedBase{}
	}
	if err := doc.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", LockName, err)
	}

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("%s: %w", LockName, err)
	}

	if b.Len() > MaxLock {
		return nil, fmt.Errorf("%s: more than %d bytes", LockName, MaxLock)
	}
	return b.Bytes(), nil
}

func (l *Lock) validate() error {
	if l.Schema != LockSchema {
		return fmt.Errorf("schema %q: want %q", l.Schema, LockSchema)
	}
	for i, img := range l.Images {
		if r, err := reference.Parse(img.Reference); err != nil || r.Tag == "" || r.Digest != "" {
			return fmt.Errorf("images[%d]: %.300q is no reference with a tag alone", i, img.Reference)
		}
		if _, err := artifact.ParseDigest(string(img.Digest)); err != nil {
			return fmt.Errorf("images[%d]: %w", i, err)
		}
		if i > 0 && l.Images[i-1].Reference >= img.Reference {
			return fmt.Errorf("images[%d]: %s: not sorted, or listed twice", i, img.Reference)
		}
	}
	return nil
}

// Digest returns the digest of a base of the release file: that of the reference, or
// else that of the lock. A lock that is nil has none.
func (l *Lock) Digest(base string) (artifact.Digest, error) {
	r, err := reference.Parse(base)
	if err != nil {
		return "", fmt.Errorf("base: %w", err)
	}
	if r.Digest != "" {
		return artifact.ParseDigest(r.Digest)
	}

	if l != nil {
		for _, img := range l.Images {
			if img.Reference == base {
				return img.Digest, nil
			}
		}
	}

	return "", fault.WithRemedy(fault.Usage(fmt.Errorf("base %s: it has no digest, and %s does not have it", base, LockName)),
		"run twice lock, and commit "+LockName)
}

// Resolve asks resolve what the tags of the bases mean now and returns the lock for
// them. Bases that are in l stay as they are, new ones are added, and the others are
// dropped. Bases with a digest, and scratch, need no lock. The tags that were moved
// since l was made are returned, too; see [Lock.AcceptMoves].
func (l *Lock) Resolve(ctx context.Context, bases []string, resolve func(ctx context.Context, base string) (artifact.Digest, error)) (*Lock, []MovedTag, error) {
	next := &Lock{Schema: LockSchema}
	var moved []MovedTag
	for _, base := range slices.Compact(slices.Sorted(slices.Values(bases))) {
		if base == matrix.Scratch {
			continue
		}

		r, err := reference.Parse(base)
		if err != nil {
			return nil, nil, fmt.Errorf("base: %w", err)
		}
		if r.Digest != "" {
			continue
		}

		now, err := resolve(ctx, base)
		if err != nil {
			return nil, nil, err
		}

		// What is locked stays until somebody asks for the move.
		if l != nil {
			if locked, err := l.Digest(base); err == nil && locked != now {
				moved = append(moved, MovedTag{base, locked, now})
				now = locked
			}
		}

		next.Images = append(next.Images, LockedBase{base, now})
	}
	return next, moved, next.validate()
}

// AcceptMoves makes l say what the registry says of tags that were moved.
func (l *Lock) AcceptMoves(moved []MovedTag) {
	for _, m := range moved {
		for i := range l.Images {
			if l.Images[i].Reference == m.Reference {
				l.Images[i].Digest = m.Now
			}
		}
	}
}
