package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/convert"
	"github.com/twicebuild/twice/attest/filesig"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// formSuffixes are how the names of files end that may hold bundles in another form than that of
// *.sigstore.json: JSON Lines, envelopes, and what cosign wrote (package convert).
var formSuffixes = []string{".sigstore", ".jsonl", ".bundle", ".slsa"}

// formMembers are names of members by which the forms are told from other files that end so.
var formMembers = []string{`"mediaType"`, `"payloadType"`, `"attestations"`, `"base64Signature"`}

// holdsBundles reports whether a file seems to hold bundles in one of the other forms, by its name
// and its first 4096 bytes. Other files that are called so are files like any other.
func holdsBundles(name string) bool {
	if !slices.ContainsFunc(formSuffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
		return false
	}
	f, info, err := fsx.OpenNamed(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if info.Size() > convert.MaxFile {
		return false
	}

	head, err := io.ReadAll(io.LimitReader(f, 4096))
	head = bytes.TrimSpace(head)
	return err == nil && bytes.HasPrefix(head, []byte("{")) &&
		slices.ContainsFunc(formMembers, func(m string) bool { return bytes.Contains(head, []byte(m)) })
}

// convertedIn returns the bundles of a folder that are in one of the other forms, sorted by the
// names of their files. A file that cannot be converted is unfit.
func (x *bundleIndex) convertedIn(dir string) ([]bundleFile, error) {
	dir = filepath.Clean(dir)
	if found, ok := x.converted[dir]; ok {
		return found, nil
	}

	var found []bundleFile
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() || !holdsBundles(name) {
			continue
		}
		list, err := x.convert(name)
		if errors.Is(err, errTooManyBundles) {
			return nil, err
		}
		if err != nil {
			list = []bundleFile{{name: name, unfit: attest.NotBundle(err)}}
		}
		found = append(found, list...)
	}

	x.converted[dir] = found
	return found, nil
}

// convert returns the bundles of a file in any form, within the limits.
func (x *bundleIndex) convert(name string) ([]bundleFile, error) {
	data, err := fsx.ReadNamed(name, min(convert.MaxFile, MaxBundleBytes-x.bytes+1))
	if err != nil {
		return nil, err
	}
	if x.bytes += int64(len(data)); x.bytes > MaxBundleBytes {
		return nil, tooManyBundles(fmt.Sprintf("%s: it and the bundles before it have more than %d MiB", name, MaxBundleBytes>>20))
	}
	bundles, err := convert.Bundles(data, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}

	return x.describeAll(name, bundles)
}

// describeAll describes the bundles of a file in another form.
func (x *bundleIndex) describeAll(name string, bundles []convert.Bundle) ([]bundleFile, error) {
	var list []bundleFile
	for _, b := range bundles {
		if x.count++; x.count > MaxBundles {
			return nil, tooManyBundles(fmt.Sprintf("%s: it and others are more than %d bundles", name, MaxBundles))
		}
		f := describeBundle(name, b.Data)
		f.place, f.converted = b.Place, true
		list = append(list, f)
	}
	return list, nil
}

// loadConverted reads a bundle of a file in another form again.
func (b bundleFile) loadConverted() ([]byte, error) {
	data, err := fsx.ReadNamed(b.name, convert.MaxFile)
	if err != nil {
		return nil, err
	}
	bundles, err := convert.Bundles(data, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	i := slices.IndexFunc(bundles, func(c convert.Bundle) bool { return c.Place == b.place })
	if i < 0 {
		return nil, fmt.Errorf("%s: changed while it was verified", b.name)
	}
	return bundles[i].Data, nil
}

// certificateSuffixes are how the names of certificates end that cosign writes beside a signature.
var certificateSuffixes = []string{".pem", ".crt", ".cert"}

// How the names of detached signatures end.
const (
	signatureSuffix = ".sig"
	minisignSuffix  = ".minisig"
)

// isDetached reports whether a file is the detached signature of another one that is there, or the
// certificate that belongs to one. What is merely called so is a file like any other.
func isDetached(name string) bool {
	for _, suffix := range []string{signatureSuffix, minisignSuffix} {
		file, ok := strings.CutSuffix(name, suffix)
		if !ok || !isRegular(file) {
			continue
		}
		if data, err := fsx.ReadNamed(name, maxDetached); err == nil && filesig.IsSignature(data) {
			return true
		}
		_, ok = detached(file, artifact.Of(nil))
		return ok && suffix == signatureSuffix
	}
	for _, suffix := range certificateSuffixes {
		if file, ok := strings.CutSuffix(name, suffix); ok && isRegular(file) {
			b, ok := detached(file, artifact.Of(nil))
			return ok && b.certificate == name
		}
	}
	return false
}

// isRegular reports whether name is a regular file.
func isRegular(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// maxDetached bounds a detached signature and a certificate, in bytes.
const maxDetached = 64 << 10

// detached returns the bundle that the detached signature beside a file stands for, if there is
// one.
func detached(name string, about artifact.Digest) (bundleFile, bool) {
	signature, err := fsx.ReadNamed(name+signatureSuffix, maxDetached)
	if err != nil {
		return bundleFile{}, false
	}
	var certificate []byte
	var from string
	for _, suffix := range certificateSuffixes {
		if certificate, err = fsx.ReadNamed(name+suffix, maxDetached); err == nil {
			from = name + suffix
			break
		}
	}

	data, err := convert.Detached(about, signature, certificate, nil)
	if err != nil {
		return bundleFile{}, false // signatures of other tools are called so, too
	}
	b := describeBundle(name+signatureSuffix, data)
	b.data, b.certificate = data, from
	return b, true
}

// readForms reads the bundles in a file that the user named, in any form. ok is false if it is a
// single bundle, or in no form that is known.
func (x *bundleIndex) readForms(name string) (list []bundleFile, ok bool, err error) {
	data, err := fsx.ReadNamed(name, convert.MaxFile)
	if err != nil {
		return nil, false, nil // whoever reads it as a bundle tells what is wrong
	}
	bundles, err := convert.Bundles(data, "")
	switch {
	case errors.Is(err, convert.ErrUnknown) || err == nil && len(bundles) == 1 && bytes.Equal(bundles[0].Data, bytes.TrimSpace(data)):
		return nil, false, nil
	case err != nil:
		return []bundleFile{{name: name, unfit: attest.NotBundle(err)}}, true, nil
	}

	list, err = x.describeAll(name, bundles)
	return list, true, err
}

// shownBundle returns how a bundle is shown: its file and, if that holds several, its place.
func (v *Verifier) shownBundle(name, place string) string {
	if place == "" {
		return v.opt.Display(name)
	}
	return v.opt.Display(name) + ": " + place
}

// isCalledBundle reports whether a file has the name of a bundle, or seems to hold some.
func isCalledBundle(name string) bool {
	return strings.HasSuffix(name, distfiles.BundleSuffix) || holdsBundles(name) || isDetached(name)
}
