package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/registry"
)

// Image judges an image in a registry by the bundles that are attached to it there.
func (v *Verifier) Image(ctx context.Context, ref string) File {
	m, err := registry.Resolve(ctx, ref, v.opt.Registry)
	if err != nil {
		return unreadable(ref, err)
	}

	candidates := v.namedBundles
	if candidates == nil {
		attached, err := registry.Referrers(ctx, m.Reference(), v.opt.Registry)
		if err != nil {
			return unreadable(ref, err)
		}
		for i, a := range attached {
			b := describeBundle(fmt.Sprintf("attachment %d", i+1), a.Bundle)
			b.data = a.Bundle
			candidates = append(candidates, b)
		}
	}

	f := v.judge(m.Reference(), attest.Artifact{Digest: m.Digest}, candidates, v.opt.Policy)
	f.noteName(func(n string) bool { return isNamed(m.Repository, ref, n) })
	return f
}

// isNamed reports whether signed, which is repository:tag or repository:tag#platform, is a name in
// that repository. If ref has a tag it must be the same one. Whoever moves a tag back moves it to
// something that is signed.
func isNamed(repository, ref, signed string) bool {
	signed, _, _ = strings.Cut(signed, "#")
	i := strings.LastIndexByte(signed, ':')
	if i < 0 || signed[:i] != repository {
		return false
	}
	base := path.Base(ref)
	_, tag, tagged := strings.Cut(base, ":")
	return strings.Contains(base, "@") || !tagged && signed[i+1:] == "latest" || tag == signed[i+1:]
}

// layoutMark is a file that every OCI image layout has
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md).
const layoutMark = "oci-layout"

// judgeLayout judges the images of an image layout, each by the digest of its index. An index
// vouches for the blobs that it names, as far as each blob has the digest in its name.
func (v *Verifier) judgeLayout(ctx context.Context, dir string) ([]File, error) {
	content, err := registry.ReadLayout(ctx, dir)
	if err != nil {
		return []File{unreadable(v.opt.Display(dir), err)}, nil
	}

	if len(content.Images) == 0 {
		return []File{unreadable(v.opt.Display(dir), errors.New("index.json: names no image"))}, nil
	}

	// Every file is hashed, so that an image is judged by bytes that are there.
	var list []File
	there := map[artifact.Digest]bool{}
	files := 0
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(dir, name)
		if err = cmp.Or(err, rerr, context.Cause(ctx)); err != nil || e.IsDir() {
			return err
		}
		if files++; files > maxFiles {
			return fmt.Errorf("%s: more than %d files", v.opt.Display(dir), maxFiles)
		}
		where, file := path.Split(filepath.ToSlash(rel))
		if where == "" && (file == layoutMark || file == "index.json") {
			return nil // the digests below count, whatever these files say
		}
		about, err := digestFile(ctx, name, registry.MaxBlob)
		if err != nil {
			list = append(list, unreadable(v.opt.Display(name), err))
			return nil
		}
		there[about.Digest] = true
		if where != "blobs/sha256/" || about.Digest.Hex() != file {
			f := File{Name: v.opt.Display(name), Digest: about.Digest, Verdict: Refused, Bundles: []Bundle{}}
			f.addProblem("", Reason(attest.WrongSubject), fmt.Errorf("not a blob of the images, by its name: it is %s", about.Digest))
			list = append(list, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}

	for _, m := range content.Images {
		name := v.opt.Display(dir) + ": " + m.Name
		if !there[m.Digest] {
			list = append(list, unreadable(name, fmt.Errorf("there is no blob %q", m.Digest)))
			continue
		}
		candidates, err := v.candidates(filepath.Clean(dir), attest.Artifact{Digest: m.Digest})
		if err != nil {
			return []File{unreadable(name, err)}, nil
		}
		list = append(list, v.judge(name, attest.Artifact{Digest: m.Digest}, candidates, v.opt.Policy))
	}

	// No signature is about a blob that no index leads to, nor about one that is not there.
	last := &list[len(list)-1]
	last.noteBlobs("nothing in the layout leads to", slices.Sorted(maps.Keys(there)), func(d artifact.Digest) bool { _, ok := content.Blobs[d]; return !ok })
	last.noteBlobs("the layout is without", slices.Sorted(maps.Keys(content.Blobs)), func(d artifact.Digest) bool { return !there[d] })
	return list, nil
}

// noteBlobs adds a note on the blobs in list that match.
func (f *File) noteBlobs(what string, list []artifact.Digest, matches func(artifact.Digest) bool) {
	list = slices.DeleteFunc(list, func(d artifact.Digest) bool { return !matches(d) })
	if len(list) > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("%s %s, %s among them", what, plural(len(list), "blob"), list[0]))
	}
}
