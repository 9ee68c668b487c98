package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/rebuild"
	"github.com/twicebuild/twice/pipeline/subject"
)

// testimony is what is said of files in bundles beside them.
type testimony struct {
	app *app
	// trust is whose signatures count, nil if nobody was named.
	trust *attest.Trust
	known map[string][]foundBundle // by folder
	// kept are the bytes of these.
	kept int64
}

// newTestimony returns the testimony of a run.
func (a *app) newTestimony(ctx context.Context, f trustFlags) (*testimony, error) {
	t := &testimony{app: a, known: map[string][]foundBundle{}}
	byIdentity := f.identity != (attest.Identity{})
	switch {
	case !f.given():
		return t, nil
	case f.key != "" && byIdentity:
		return nil, fault.Usage(errors.New("--trust-key and --certificate-... exclude each other: a signature is a key's or a certificate's"))
	case f.key == "" && !byIdentity:
		return nil, fault.Usage(errors.New("--trust-root does not say whose provenance counts: give --trust-key or --certificate-identity, too"))
	}
	trust, err := a.trust(ctx, f)
	if err != nil {
		return nil, err
	}
	t.trust = &trust
	return t, nil
}

// near returns the provenance in the folder of what a user named on this machine, and
// in the two above it; of a folder those in it.
func (t *testimony) near(arg string) []foundBundle {
	file, err := filepath.Abs(t.app.at(arg))
	if err != nil {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil // an image, or an address
	}
	dirs := []string{file}
	if !info.IsDir() {
		one := filepath.Dir(file)
		two := filepath.Dir(one)
		dirs = []string{one, two, filepath.Dir(two)} // dist/bin/<target>
	}
	var all []foundBundle
	for _, dir := range dirs {
		all = append(all, t.in(dir)...)
	}
	return all
}

// Bounds of the bundles that are read for hints: the bytes of one, how many of a folder,
// and the bytes of all that a call keeps.
const (
	maxProvenance = attest.MaxSize
	maxBeside     = 200
	maxKept       = 64 << 20
)

// in reads the bundles with provenance in a folder. They are no more than hints, so
// what cannot be read is passed over, and told.
func (t *testimony) in(dir string) []foundBundle {
	if list, ok := t.known[dir]; ok {
		return list
	}
	var list []foundBundle
	entries, err := os.ReadDir(dir)
	if err != nil {
		entries = nil
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), pipeline.BundleSuffix) || !e.Type().IsRegular() {
			continue
		}
		if len(list) == maxBeside {
			t.app.progress.Line("passed over: more than %d bundles in %s", maxBeside, clean(short(dir)))
			break
		}
		name := filepath.Join(dir, e.Name())
		data, err := artifact.ReadNamed(name, maxProvenance)
		if err != nil {
			t.app.progress.Line("passed over: %s", clean(err.Error()))
			continue
		}
		if claim := attest.ReadClaim(data); strings.HasPrefix(claim.PredicateType, "https://slsa.dev/provenance/") {
			if t.kept += int64(len(data)); t.kept > maxKept {
				t.app.progress.Line("passed over: %s and what comes after it: more than %d MiB of provenance lie about", clean(short(name)), maxKept>>20)
				break
			}
			list = append(list, foundBundle{name, data, claim})
		}
	}
	t.known[dir] = list
	return list
}

// about fills in what bundles say of an executable, and of what it is in. It
// returns those that say something.
func (t *testimony) about(s *rebuild.Subject, e *subject.Executable, bundles []foundBundle) (used []intoto.Descriptor) {
	if e.Stated != nil {
		s.Stated = &rebuild.Stated{Recipe: e.Stated.Recipe, By: "release.json"}
	}
	var hints []rebuild.Hint
	for _, b := range bundles {
		of := e.Digest
		if !b.claim.About(of) {
			i := slices.IndexFunc(e.Containers, func(c subject.Container) bool { return b.claim.About(c.Digest) })
			if i < 0 {
				continue
			}
			of = e.Containers[i].Digest
		}
		name := filepath.Base(b.name)
		verified := false
		if t.trust != nil {
			if _, err := attest.Open(b.data, *t.trust, attest.Artifact{Digest: of}); err != nil {
				t.app.progress.Line("provenance %s is not used: %s", clean(short(b.name)), clean(err.Error()))
				continue
			}
			verified = true
		}
		stated := t.recipe(b, e, verified)
		if stated != nil && (s.Stated == nil || verified && !s.Stated.Verified) {
			stated.By = name
			s.Stated = stated
		}
		src, ok := slsa.Hearsay(b.claim.Payload)
		if stated != nil || ok {
			used = append(used, intoto.Descriptor{Name: name, Digest: map[string]string{"sha256": artifact.Of(b.data).Hex()}})
		}
		if ok {
			from := name + ", whose signature was not verified"
			if verified {
				from = name + ", signed by whom you trust"
			}
			// Of a module below the repository's root the tag is DIR/VERSION.
			if tag := path.Base(src.Tag); src.Tag != "" {
				hints = append(hints, rebuild.Hint{Version: tag, From: from})
			}
			if src.Commit != "" {
				hints = append(hints, rebuild.Hint{Revision: src.Commit, From: from})
			}
		}
	}
	s.Hints = slices.Concat(hints, s.Hints)
	return used
}

// recipe returns the recipe that provenance of ours has of an executable, nil if
// there is none. What it says is about the subject of its digest.
func (t *testimony) recipe(b foundBundle, e *subject.Executable, verified bool) *rebuild.Stated {
	st, err := intoto.Decode(b.claim.Payload)
	if err != nil {
		return nil // somebody else's, which may still have hints
	}
	p, err := slsa.DecodeProvenance(st)
	if err != nil || p.Internal == nil {
		return nil
	}
	for _, s := range st.Subjects {
		if s.Digest != e.Digest {
			continue
		}
		for _, r := range p.Internal.Recipes {
			if path.Join("bin", r.Recipe.Target.Slug(), r.Recipe.Binary) == s.Name {
				return &rebuild.Stated{Recipe: r.Recipe, Verified: verified}
			}
		}
	}
	return nil
}

// subjectsOf finds the files that a bundle is about, which lie in its folder or
// below. ok is false if arg names no bundle.
func (t *testimony) subjectsOf(ctx context.Context, arg string) (files []string, ok bool, err error) {
	if !strings.HasSuffix(arg, pipeline.BundleSuffix) {
		return nil, false, nil
	}
	name := t.app.at(arg)
	if _, err := os.Stat(name); err != nil {
		return nil, false, nil // then it is what it is
	}
	data, err := artifact.ReadNamed(name, maxProvenance)
	if err != nil {
		return nil, true, err
	}
	claim := attest.ReadClaim(data)
	if len(claim.Subjects) == 0 {
		return nil, true, fmt.Errorf("%s: no bundle, or one that is about nothing", short(name))
	}
	n := 0
	seen := map[artifact.Digest]bool{}
	err = filepath.WalkDir(filepath.Dir(name), func(file string, e fs.DirEntry, err error) error {
		if err = cmp.Or(err, context.Cause(ctx)); err != nil || !e.Type().IsRegular() {
			return err
		}
		if n++; n > maxFiles {
			return fmt.Errorf("%s: more than %d files", filepath.Dir(name), maxFiles)
		}
		about, err := digestFile(ctx, file, maxFile)
		if err == nil && claim.About(about.Digest) && !seen[about.Digest] {
			seen[about.Digest] = true
			files = append(files, file)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: none of the %s that it is about is in its folder", short(name), count(len(claim.Subjects), "file"))
	}
	// What is no archive comes first, under its own name.
	slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(packed(a), packed(b)) })
	return files, true, err
}

// packed is 1 for the name of an archive.
func packed(name string) int {
	if slices.ContainsFunc([]string{".tar.gz", ".tgz", ".zip", ".tar.zst", ".tar.xz"}, func(s string) bool { return strings.HasSuffix(name, s) }) {
		return 1
	}
	return 0
}
