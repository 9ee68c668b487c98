package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/filesig"
	"github.com/twicebuild/twice/pipeline/archive"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// judgeByFileKey judges a file by its own signature by a key of minisign or SSH.
func (v *Verifier) judgeByFileKey(ctx context.Context, name string, about attest.Artifact, key *filesig.Key) File {
	f := File{Name: v.opt.Display(name), Digest: about.Digest, Bundles: []Bundle{}, Problems: []Problem{}}
	signature := name + key.Suffix()
	data, err := fsx.ReadNamed(signature, filesig.MaxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.addProblem("", Unsigned, fault.WithRemedy(fmt.Errorf("unsigned: there is no %s", v.opt.Display(signature)),
			"fetch it, or the signed list of checksums that names the file, into the same folder"))
	case err != nil:
		f.addProblem(v.opt.Display(signature), Unreadable, err)
	default:
		if reason, err := verifyFile(ctx, name, about.Digest, key, data); err != nil {
			f.addProblem(v.opt.Display(signature), reason, err)
		} else {
			f.Bundles = append(f.Bundles, Bundle{Name: v.opt.Display(signature), Signature: attest.Signature{
				Key: key.Fingerprint(), Format: key.Format(), Logs: []attest.LogEntry{}, Times: []attest.Time{},
			}})
		}
	}

	if v.opt.Policy != nil && len(f.Bundles) > 0 {
		f.checkPolicy(v.opt.Policy)
	}
	f.setVerdict()
	return f
}

// verifyFile returns an error unless key made the signature of a file, which must have the digest.
func verifyFile(ctx context.Context, name string, d artifact.Digest, key *filesig.Key, signature []byte) (Reason, error) {
	f, _, err := fsx.OpenNamed(name)
	if err != nil {
		return Unreadable, err
	}
	defer f.Close()

	// The bytes that are signed are those whose digest is reported.
	h := artifact.NewHasher(io.Discard)
	err = key.Verify(fsx.Until(ctx, io.TeeReader(f, h)), signature)
	switch {
	case errors.Is(err, filesig.ErrOtherKey):
		return Reason(attest.WrongKey), err
	case err != nil:
		return Reason(attest.Tampered), err
	case h.Digest() != d:
		return Unreadable, fmt.Errorf("%s: changed while it was verified", name)
	}
	return "", nil
}

// isUnsigned reports whether nothing speaks for or against a file.
func (f File) isUnsigned() bool {
	return len(f.Bundles) == 0 && len(f.Problems) > 0 &&
		!slices.ContainsFunc(f.Problems, func(p Problem) bool { return p.Reason != Unsigned })
}

// maxList bounds a list of checksums, in bytes, and maxLists how many of a folder are looked at.
const (
	maxList  = 1 << 20
	maxLists = 20
)

// isChecksumList reports whether a file has the name of a list of SHA-256 checksums.
func isChecksumList(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(filepath.Base(name)), ".txt")
	return strings.HasSuffix(name, "sha256sums") || strings.HasSuffix(name, "sha256sum") || strings.HasSuffix(name, "checksums")
}

// judgeListed judges a file that is not signed by the signed lists of checksums in its folder. ok is
// false if none names it.
func (v *Verifier) judgeListed(ctx context.Context, name string, about attest.Artifact) (f File, ok bool) {
	dir := filepath.Dir(name)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return f, false
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return !e.Type().IsRegular() || !isChecksumList(e.Name()) || e.Name() == filepath.Base(name)
	})

	f = File{Name: v.opt.Display(name), Digest: about.Digest, Bundles: []Bundle{}, Problems: []Problem{}}
	for _, e := range entries[:min(len(entries), maxLists)] {
		list := filepath.Join(dir, e.Name())
		listed, of, ok := listedDigest(list, filepath.Base(name))
		if !ok {
			continue
		}
		// The list that is signed has to be the one that was read.
		signed := v.judgeList(ctx, list)
		if signed.Verdict != Verified || signed.Digest != of {
			continue
		}
		if listed != about.Digest {
			f.addProblem(v.opt.Display(list), Reason(attest.WrongSubject), fmt.Errorf("it is signed, and has %s for this file", listed))
			continue
		}
		f.ListedIn = append(f.ListedIn, v.opt.Display(list))
		f.Bundles = append(f.Bundles, signed.Bundles...)
	}
	if len(f.ListedIn)+len(f.Problems) == 0 {
		return f, false
	}

	// What is said of a list is not said of the files in it.
	if v.opt.Policy != nil {
		f.checkPolicy(v.opt.Policy)
	}
	f.setVerdict()
	return f, true
}

// judgeList judges a list by what is signed about itself. The policy is not about it.
func (v *Verifier) judgeList(ctx context.Context, name string) File {
	if f, ok := v.lists[name]; ok {
		return f
	}
	without := *v
	without.opt.Policy = nil
	f := without.judgeSigned(ctx, name)
	v.lists[name] = f
	return f
}

// listedDigest returns the digest that a list has for a file, and that of the list. The list has the
// form of sha256sum.
func listedDigest(list, name string) (listed, of artifact.Digest, ok bool) {
	data, err := fsx.ReadNamed(list, maxList)
	if err != nil {
		return "", "", false
	}
	sums, err := archive.ParseSums(bytes.NewReader(data))
	if err != nil {
		return "", "", false
	}
	i := slices.IndexFunc(sums, func(s archive.Sum) bool { return s.Name == name })
	if i < 0 {
		return "", "", false
	}
	return sums[i].Digest, artifact.Of(data), true
}
