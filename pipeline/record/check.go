package record

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// check returns an error if the record says what no run of twice can have come to.
func (r *Record) check() error {
	if r.Schema != SchemaName {
		return fmt.Errorf("schema %q: want %q", r.Schema, SchemaName)
	}
	if _, err := artifact.ParseDigest(string(r.Source.Config)); err != nil {
		return fmt.Errorf("source.config: %w", err)
	}
	if r.Source.ConfigUncommitted && !r.Snapshot {
		return errors.New("source.configUncommitted: and no snapshot")
	}
	if r.Partial != nil {
		if err := r.Partial.Check(r.Targets()); err != nil {
			return err
		}
	}

	// The verdict has to be what the binaries and files say, so a forged one needs all of them.
	pass := len(r.Binaries) > 0
	for i, b := range r.Binaries {
		if err := b.check(); err != nil {
			return fmt.Errorf("binaries[%d]: %w", i, err)
		}
		pass = pass && b.Verdict.Pass()
	}

	for i, f := range r.Files {
		if err := cmp.Or(checkVerdict(f.Verdict, f.A, f.B), checkBisection(f.Verdict, f.Bisection)); err != nil {
			return fmt.Errorf("files[%d]: %w", i, err)
		}
		pass = pass && f.Verdict.Pass()
	}

	if err := checkKnown(r.Verdict); err != nil {
		return err
	}
	if r.Verdict.Pass() != pass {
		return fmt.Errorf("verdict %q: that is not what the binaries and files say", r.Verdict)
	}
	if len(r.Artifacts)+len(r.Images) > 0 && !pass {
		return fmt.Errorf("artifacts: there are some, but the verdict is %q", r.Verdict)
	}

	for i, img := range r.Images {
		if err := checkImage(img); err != nil {
			return fmt.Errorf("images[%d]: %w", i, err)
		}
	}
	for i, b := range r.Bases {
		if _, err := artifact.ParseDigest(string(b.Digest)); err != nil || b.Reference == "" {
			return fmt.Errorf("bases[%d]: %q %q: no image", i, b.Reference, b.Digest)
		}
	}

	// A dist has each name once, on every system that it may be copied to.
	folded := map[string]string{}
	for i, a := range r.Artifacts {
		if err := checkArtifact(a); err != nil {
			return fmt.Errorf("artifacts[%d]: %w", i, err)
		}
		if i > 0 && r.Artifacts[i-1].Name >= a.Name {
			return fmt.Errorf("artifacts[%d]: %q: not sorted by name", i, a.Name)
		}
		// Where letter case does not count, one file would replace the other.
		if other, same := folded[strings.ToLower(a.Name)]; same {
			return fmt.Errorf("artifacts[%d]: %q: differs from %q in its case alone", i, a.Name, other)
		}
		folded[strings.ToLower(a.Name)] = a.Name
	}

	return nil
}

// Check returns an error unless what was left out and the targets that were built exclude each
// other.
func (p *Partial) Check(built []matrix.Target) error {
	if len(p.LeftOut) == 0 {
		return errors.New("partial: nothing is left out")
	}
	for i, t := range p.LeftOut {
		if slices.Contains(p.LeftOut[:i], t) || slices.Contains(built, t) {
			return fmt.Errorf("partial: leftOut[%d]: %s was built, or is there twice", i, t)
		}
	}
	return nil
}

// check returns an error if a binary and its recipe, verdict and digests do not fit together.
func (b Binary) check() error {
	digest, err := b.Recipe.Digest()
	switch {
	case err != nil:
		return err
	case b.RecipeDigest != digest:
		return fmt.Errorf("recipeDigest %q: the recipe's is %s", b.RecipeDigest, digest)
	case b.Name != b.Recipe.Binary || b.Target != b.Recipe.Target:
		return fmt.Errorf("%s for %s: the recipe is for another binary", b.Name, b.Target)
	}

	if err := checkBisection(b.Verdict, b.Bisection); err != nil {
		return err
	}
	if err := b.Compilations.Err(); err != nil && b.Verdict.Pass() {
		return fmt.Errorf("verdict %q: compilations: %w", b.Verdict, err)
	}
	return checkVerdict(b.Verdict, b.A, b.B)
}

// checkBisection returns an error unless the bisection of a difference fits the verdict.
func checkBisection(v compare.Verdict, b *Bisection) error {
	switch {
	case b == nil:
		return nil
	case v != compare.Differs:
		return fmt.Errorf("bisection: there is one, but the verdict is %q", v)
	case slices.ContainsFunc(b.Variations, func(set []pass.Factor) bool { return len(set) == 0 }):
		return errors.New("bisection: an empty list of variations")
	case !b.Itself && len(b.Variations) == 0 && b.Reason == "":
		return errors.New("bisection: no variation, and no reason")
	}
	return nil
}

// checkVerdict returns an error unless a verdict fits the digests that it is about.
func checkVerdict(v compare.Verdict, a, b artifact.Digest) error {
	if err := checkKnown(v); err != nil {
		return err
	}

	// A pass that built nothing has no digest. Only a verdict that is no pass allows that.
	for _, d := range []artifact.Digest{a, b} {
		if _, err := artifact.ParseDigest(string(d)); err != nil && (d != "" || v.Pass()) {
			return err
		}
	}

	if v == compare.Reproduced && a != b {
		return fmt.Errorf("verdict %q: the digests differ", v)
	}
	return nil
}

// checkKnown returns an error unless this version of twice knows the verdict.
func checkKnown(v compare.Verdict) error {
	if !slices.Contains([]compare.Verdict{compare.Reproduced, compare.Equivalent, compare.Differs, compare.Undetermined}, v) {
		return fmt.Errorf("verdict %q: unknown", v)
	}
	return nil
}

// checkArtifact returns an error unless an artifact has a digest, a known kind, and a name that is
// a path below dist on every system.
func checkArtifact(a artifact.Artifact) error {
	if !fs.ValidPath(a.Name) || a.Name == "." || strings.ContainsAny(a.Name, `\:`) {
		return fmt.Errorf("name %q: not a path below dist", a.Name)
	}
	if !safetext.Printable(a.Name) {
		return fmt.Errorf("name %q: a character that cannot be printed", a.Name)
	}
	if !slices.Contains([]artifact.Kind{artifact.Binary, artifact.Archive, artifact.SBOM, artifact.Checksums, artifact.File}, a.Kind) {
		return fmt.Errorf("%s: kind %q: unknown", a.Name, a.Kind)
	}
	if a.Size < 0 {
		return fmt.Errorf("%s: size %d", a.Name, a.Size)
	}
	_, err := artifact.ParseDigest(string(a.Digest))
	return err
}

// checkImage returns an error unless an image is complete and each of its digests is one.
func checkImage(img image.Image) error {
	if img.Repository == "" || len(img.Tags) == 0 || len(img.Manifests) == 0 {
		return fmt.Errorf("without a repository, a tag or a platform")
	}

	digests := []artifact.Digest{img.Digest}
	for _, m := range img.Manifests {
		digests = append(digests, m.Digest, m.Config)
		for _, l := range m.Layers {
			digests = append(digests, l.Digest, l.DiffID)
		}
	}

	for _, d := range digests {
		if _, err := artifact.ParseDigest(string(d)); err != nil {
			return err
		}
	}
	return nil
}
