package verify

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// Limits of the bundles that a Verifier reads, all folders together.
const (
	MaxBundles     = 10_000
	MaxBundleBytes = 512 << 20
)

// LoadedBundle is a bundle whose bytes are in memory, and what it claims.
type LoadedBundle struct {
	name  string
	place string // in the file, if that holds several
	data  []byte
	claim attest.Claim
}

// bundleFile is a bundle that was found, and what it claims. Its bytes are read again when it is
// judged. Anybody may have put bundles there, so no more than one is in memory at a time.
type bundleFile struct {
	name   string
	digest artifact.Digest
	// predicateType is the type that it claims, cut off where it is too long to be one.
	predicateType string
	subjects      [][32]byte
	// sha512 are the digests of subjects that have no SHA-256.
	sha512 [][64]byte
	// place says where in the file it is, if that holds several. converted tells that the file is
	// in another form.
	place     string
	converted bool
	// certificate is the file that the certificate of a detached signature is in.
	certificate string
	// unfit says why it cannot be read, or is no bundle.
	unfit error
	// data are the bytes of a bundle that was named or fetched, which is not read again.
	data []byte
}

// describeBundle describes a bundle. It keeps nothing of data.
func describeBundle(name string, data []byte) bundleFile {
	claim := attest.ReadClaim(data)
	b := bundleFile{name: name, digest: artifact.Of(data), predicateType: strings.Clone(claim.PredicateType[:min(len(claim.PredicateType), 200)])}

	for _, d := range claim.Subjects {
		b.subjects = append(b.subjects, rawDigest(d))
	}
	for _, sum := range claim.SHA512 {
		var raw [64]byte
		if n, err := hex.Decode(raw[:], []byte(sum)); err == nil && n == len(raw) {
			b.sha512 = append(b.sha512, raw)
		}
	}

	if len(b.subjects)+len(b.sha512) == 0 {
		b.unfit = attest.CheckFormat(data)
	}
	return b
}

// isNoBundle reports whether it is known to be no bundle. One that could not be read may be one.
func (b bundleFile) isNoBundle() bool {
	bad := (*attest.Error)(nil)
	return errors.As(b.unfit, &bad) || errors.Is(b.unfit, fsx.ErrNotRegular) || errors.Is(b.unfit, fs.ErrNotExist)
}

// rawDigest returns a digest in its shortest form.
func rawDigest(d artifact.Digest) (s [32]byte) {
	hex.Decode(s[:], []byte(d.Hex())) // a digest is hexadecimal
	return s
}

// about reports whether the bundle says that it is about d.
func (b bundleFile) about(d artifact.Digest) bool { return slices.Contains(b.subjects, rawDigest(d)) }

// isAbout reports whether the bundle says that it is about a, by either digest.
func (b bundleFile) isAbout(a attest.Artifact) bool {
	var raw [64]byte
	n, err := hex.Decode(raw[:], []byte(a.SHA512))
	return b.about(a.Digest) || err == nil && n == len(raw) && slices.Contains(b.sha512, raw)
}

// reason returns what unfit says, without the name of the file.
func (b bundleFile) reason() string {
	if bad := (*attest.Error)(nil); errors.As(b.unfit, &bad) {
		return bad.Unwrap().Error()
	}
	return strings.TrimPrefix(b.unfit.Error(), b.name+": ")
}

// load reads the bundle.
func (b bundleFile) load() (LoadedBundle, error) {
	if b.unfit != nil {
		return LoadedBundle{}, b.unfit
	}

	data := b.data
	if data == nil {
		var err error
		if b.converted {
			data, err = b.loadConverted()
		} else {
			data, err = fsx.ReadNamed(b.name, attest.MaxSize)
		}
		if err != nil {
			return LoadedBundle{}, err
		}
		if artifact.Of(data) != b.digest {
			return LoadedBundle{}, fmt.Errorf("%s: changed while it was verified", b.name)
		}
	}
	return LoadedBundle{b.name, b.place, data, attest.ReadClaim(data)}, nil
}

// bundleIndex finds the bundles in folders, within the limits above. It takes memory for the claims
// of the bundles and for one bundle.
type bundleIndex struct {
	byFolder map[string][]bundleFile
	// converted are those of a folder that are in other forms.
	converted map[string][]bundleFile
	count     int
	bytes     int64
	buf       []byte // for one bundle after the other
}

// newBundleIndex returns an index that has read nothing.
func newBundleIndex() *bundleIndex {
	return &bundleIndex{byFolder: map[string][]bundleFile{}, converted: map[string][]bundleFile{}}
}

// inFolder returns the files in a folder that are called bundles, sorted by name.
func (x *bundleIndex) inFolder(dir string) ([]bundleFile, error) {
	dir = filepath.Clean(dir)
	if found, ok := x.byFolder[dir]; ok {
		return found, nil
	}

	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	var found []bundleFile
	for {
		entries, err := f.ReadDir(1000) // a folder may have any number
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), distfiles.BundleSuffix) {
				continue
			}
			b, err := x.read(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			if b.unfit != nil && !b.isNoBundle() {
				b.unfit = fault.WithRemedy(b.unfit, "move it away, or name the bundles that matter with --bundle")
			}
			found = append(found, b)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}

	slices.SortFunc(found, func(a, b bundleFile) int { return cmp.Compare(a.name, b.name) })
	x.byFolder[dir] = found
	return found, nil
}

// nonBundles returns the files that are called bundles and are none, sorted by name.
func (x *bundleIndex) nonBundles() []bundleFile {
	var list []bundleFile
	for _, dir := range slices.Sorted(maps.Keys(x.byFolder)) {
		for _, b := range slices.Concat(x.byFolder[dir], x.converted[dir]) {
			if b.isNoBundle() {
				list = append(list, b)
			}
		}
	}
	return list
}

// read reads a bundle within the limits. A fault of the bundle is in its unfit. An error says that
// there are too many.
func (x *bundleIndex) read(name string) (bundleFile, error) {
	if x.count++; x.count > MaxBundles {
		return bundleFile{}, tooManyBundles(fmt.Sprintf("%s: it and others are more than %d bundles", name, MaxBundles))
	}

	unfit := func(err error) (bundleFile, error) { return bundleFile{name: name, unfit: err}, nil }
	tooLarge := fmt.Errorf("%s: more than %d MiB, which no bundle has", name, attest.MaxSize>>20)
	f, info, err := fsx.OpenNamed(name)
	if err != nil {
		return unfit(err)
	}
	defer f.Close()

	// What is known to be too large is not read. A file that grows meanwhile is read up to
	// one byte too many.
	left := MaxBundleBytes - x.bytes
	over := tooManyBundles(fmt.Sprintf("%s: it and the bundles before it have more than %d MiB", name, MaxBundleBytes>>20))
	switch {
	case info.Size() > attest.MaxSize:
		return unfit(tooLarge)
	case info.Size() > left:
		return bundleFile{}, over
	}

	x.buf = slices.Grow(x.buf[:0], int(info.Size())+bytes.MinRead)
	buf := bytes.NewBuffer(x.buf[:0])
	n, err := buf.ReadFrom(io.LimitReader(f, min(attest.MaxSize, left)+1))
	x.buf, x.bytes = buf.Bytes(), x.bytes+n
	switch {
	case err != nil:
		return unfit(err)
	case n > attest.MaxSize:
		return unfit(tooLarge)
	case n > left:
		return bundleFile{}, over
	}
	return describeBundle(name, x.buf), nil
}

// errTooManyBundles says that there are more bundles than the limits allow.
var errTooManyBundles = errors.New("too many")

// tooManyBundles returns the error about more bundles than the limits allow.
func tooManyBundles(what string) error {
	return fault.WithRemedy(fmt.Errorf("%s: %w", what, errTooManyBundles), "name the bundles that matter with --bundle, or move the others away")
}

// readNamed reads the bundles in a file that the user named, in any form.
func (x *bundleIndex) readNamed(name string) ([]bundleFile, error) {
	if list, ok, err := x.readForms(name); ok || err != nil {
		return list, err
	}
	b, err := x.readOne(name)
	return []bundleFile{b}, err
}

// readOne reads a bundle that the user named. A file that is no bundle is left to be judged. If
// there is no such file it is the user's error.
func (x *bundleIndex) readOne(name string) (bundleFile, error) {
	b, err := x.read(name)
	malformed := (*attest.Error)(nil)
	switch {
	case err != nil || b.unfit == nil || errors.As(b.unfit, &malformed):
		b.data = bytes.Clone(x.buf)
		return b, err
	case b.isNoBundle():
		return b, fault.Usage(b.unfit)
	}
	return b, b.unfit
}

// CheckSignatureClaim returns an error unless the signature beside a file claims to be about data,
// the file's bytes. It may be anybody's. display is how a path is shown.
func CheckSignatureClaim(name string, data []byte, display func(string) string) error {
	b, err := newBundleIndex().read(name + distfiles.BundleSuffix)
	switch {
	case err != nil:
		return err
	case errors.Is(b.unfit, fs.ErrNotExist):
		return fault.Refused(fmt.Errorf("%s is not signed", display(name)))
	case b.isNoBundle():
		return fault.Refused(fmt.Errorf("the signature of %s is none: %w", display(name), b.unfit))
	case b.unfit != nil:
		return b.unfit
	}
	// The signature of a key that goes with SHA-384 or SHA-512 names no SHA-256.
	if d := artifact.Of(data); len(b.subjects) > 0 && !b.about(d) {
		return fault.Refused(fmt.Errorf("%s is not what was signed: it is %s", display(name), d))
	}
	return nil
}
