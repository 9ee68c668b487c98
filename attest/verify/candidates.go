package verify

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/pipeline/distfiles"
)

// candidates returns the bundles that say they are about a file, or else the one that is called
// like it, or its detached signature. It looks for them in the subjects and in the folders above the
// file.
func (v *Verifier) candidates(name string, about attest.Artifact) ([]bundleFile, error) {
	if v.namedBundles != nil {
		return v.namedAbout(about), nil
	}

	dirs := v.foldersOf(name)
	list, err := bundlesAbout(v.allIn, dirs, name, about)
	if err != nil {
		return nil, err
	}

	// A bundle that cannot be read may be about the file.
	for _, dir := range dirs {
		found, err := v.index.inFolder(dir)
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			if b.unfit != nil && !b.isNoBundle() && !slices.ContainsFunc(list, b.isSame) {
				list = append(list, b)
			}
		}
	}

	// A signature without its log entry says less than a bundle with it.
	if len(list) == 0 {
		if b, ok := detached(name, about.Digest); ok {
			list = append(list, b)
		}
	}
	return list, nil
}

// namedAbout returns the bundles that the user named. Of a file that holds several those about
// other things are left out, unless all are.
func (v *Verifier) namedAbout(about attest.Artifact) []bundleFile {
	byFile := map[string]bool{}
	for _, b := range v.namedBundles {
		byFile[b.name] = byFile[b.name] || b.isAbout(about)
	}
	return slices.DeleteFunc(slices.Clone(v.namedBundles), func(b bundleFile) bool {
		return b.place != "" && byFile[b.name] && !b.isAbout(about)
	})
}

// foldersOf returns the folders where bundles about a file may be.
func (v *Verifier) foldersOf(name string) []string {
	dirs := slices.Clone(v.folders)
	for dir := filepath.Dir(name); len(dirs) < len(v.folders)+3; dir = filepath.Dir(dir) { // dist/bin/<target>
		dirs = append(dirs, dir)
	}
	return dirs
}

// withSHA512 adds the SHA-512 of a file to what is known of it, if a bundle names its subject by
// nothing else. The file is read a second time, and must not have changed.
func (v *Verifier) withSHA512(ctx context.Context, name string, about attest.Artifact) (attest.Artifact, error) {
	hasSHA512 := func(b bundleFile) bool { return len(b.sha512) > 0 }
	wanted := slices.ContainsFunc(v.namedBundles, hasSHA512)
	if v.namedBundles == nil {
		for _, dir := range v.foldersOf(name) {
			found, err := v.allIn(dir)
			if err != nil {
				return about, err
			}
			wanted = wanted || slices.ContainsFunc(found, hasSHA512)
		}
	}
	if !wanted {
		return about, nil
	}

	again, sum, err := digestBoth(ctx, name, maxFile)
	if err == nil && again != about.Digest {
		err = fmt.Errorf("%s: changed while it was verified", name)
	}
	about.SHA512 = sum
	return about, err
}

// allIn returns the bundles in a folder, in all forms.
func (v *Verifier) allIn(dir string) ([]bundleFile, error) {
	found, err := v.index.inFolder(dir)
	if err != nil {
		return nil, err
	}
	converted, err := v.index.convertedIn(dir)
	return slices.Concat(found, converted), err
}

// bundlesAbout returns the bundles in folders that say they are about a file, or else the one that
// is called like it. The function in returns the bundles of a folder.
func bundlesAbout(in func(dir string) ([]bundleFile, error), dirs []string, name string, about attest.Artifact) ([]bundleFile, error) {
	var claiming, byName []bundleFile
	for _, dir := range dirs {
		found, err := in(dir)
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			if b.isAbout(about) {
				claiming = append(claiming, b)
			} else if b.name == name+distfiles.BundleSuffix {
				byName = append(byName, b)
			}
		}
	}

	// A key that goes with SHA-384 or SHA-512 signs a file without naming its SHA-256.
	if len(claiming) == 0 {
		claiming = byName
	}
	slices.SortFunc(claiming, func(a, b bundleFile) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.place, b.place))
	})
	return slices.CompactFunc(claiming, bundleFile.isSame), nil
}

// isSame reports whether two are one bundle: folders may be looked into twice.
func (b bundleFile) isSame(other bundleFile) bool {
	return b.name == other.name && b.place == other.place
}
