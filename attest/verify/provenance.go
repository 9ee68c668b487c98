package verify

import (
	"cmp"
	"context"
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
	"github.com/twicebuild/twice/pipeline/recipe"
)

// ProvenanceReader reads what bundles beside files say of them.
type ProvenanceReader struct {
	// display is how a path is shown.
	display func(path string) string
	// log takes a line on what is passed over, in which a stranger's text may be.
	log func(line string)
	// trust is whose signatures count, nil if nobody was named.
	trust *attest.Trust
	known map[string][]LoadedBundle // by folder
	// kept are the bytes of these.
	kept int64
}

// NewProvenanceReader returns a reader of bundles. trust is nil if nobody was named.
func NewProvenanceReader(trust *attest.Trust, display func(string) string, passedOver func(string)) *ProvenanceReader {
	return &ProvenanceReader{trust: trust, display: display, log: passedOver, known: map[string][]LoadedBundle{}}
}

// Near returns the provenance in the folder of what a user named on this machine, and
// in the two above it; of a folder those in it.
func (t *ProvenanceReader) Near(name string) []LoadedBundle {
	file, err := filepath.Abs(name)
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
	var all []LoadedBundle
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
func (t *ProvenanceReader) in(dir string) []LoadedBundle {
	if list, ok := t.known[dir]; ok {
		return list
	}
	var list []LoadedBundle
	entries, err := os.ReadDir(dir)
	if err != nil {
		entries = nil
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), pipeline.BundleSuffix) || !e.Type().IsRegular() {
			continue
		}
		if len(list) == maxBeside {
			t.log(fmt.Sprintf("passed over: more than %d bundles in %s", maxBeside, t.display(dir)))
			break
		}
		name := filepath.Join(dir, e.Name())
		data, err := artifact.ReadNamed(name, maxProvenance)
		if err != nil {
			t.log("passed over: " + err.Error())
			continue
		}
		if claim := attest.ReadClaim(data); strings.HasPrefix(claim.PredicateType, "https://slsa.dev/provenance/") {
			if t.kept += int64(len(data)); t.kept > maxKept {
				t.log(fmt.Sprintf("passed over: %s and what comes after it: more than %d MiB of provenance lie about", t.display(name), maxKept>>20))
				break
			}
			list = append(list, LoadedBundle{name, data, claim})
		}
	}
	t.known[dir] = list
	return list
}

// Provenance is what one bundle says of an executable.
type Provenance struct {
	// Bundle is the name of the bundle's file, without its folder, and Digest that of its bytes.
	Bundle string
	Digest artifact.Digest
	// Verified tells that somebody in trust signed it.
	Verified bool
	// Recipe is the one it states, nil if there is none.
	Recipe *recipe.Recipe
	// Source is where it says the executable is from, nil if it does not say.
	Source *slsa.Source
}

// About returns what bundles say of the executable with a digest, and of the archives and
// images that it is in. It leaves out those that say nothing.
func (t *ProvenanceReader) About(executable artifact.Digest, containers []artifact.Digest, bundles []LoadedBundle) []Provenance {
	subjects := append([]artifact.Digest{executable}, containers...)
	var list []Provenance
	for _, b := range bundles {
		i := slices.IndexFunc(subjects, b.claim.About)
		if i < 0 {
			continue
		}
		p := Provenance{Bundle: filepath.Base(b.name), Digest: artifact.Of(b.data)}

		// Who trusts somebody takes the word of nobody else.
		if t.trust != nil {
			if _, err := attest.Open(b.data, *t.trust, attest.Artifact{Digest: subjects[i]}); err != nil {
				t.log(fmt.Sprintf("provenance %s is not used: %s", t.display(b.name), err))
				continue
			}
			p.Verified = true
		}

		p.Recipe = statedRecipe(b.claim, executable)
		if source, ok := slsa.Hearsay(b.claim.Payload); ok {
			p.Source = &source
		}
		if p.Recipe != nil || p.Source != nil {
			list = append(list, p)
		}
	}
	return list
}

// statedRecipe returns the recipe that provenance by twice has of an executable, nil if
// there is none. What it says is about the subject of its digest.
func statedRecipe(claim attest.Claim, executable artifact.Digest) *recipe.Recipe {
	st, err := intoto.Decode(claim.Payload)
	if err != nil {
		return nil // somebody else's, which may still have hints
	}
	p, err := slsa.DecodeProvenance(st)
	if err != nil || p.Internal == nil {
		return nil
	}
	for _, s := range st.Subjects {
		if s.Digest != executable {
			continue
		}
		for _, r := range p.Internal.Recipes {
			if path.Join("bin", r.Recipe.Target.Slug(), r.Recipe.Binary) == s.Name {
				return &r.Recipe
			}
		}
	}
	return nil
}

// SubjectsOf finds the files that a bundle is about, which lie in its folder or
// below. ok is false if there is no file with that name.
func (t *ProvenanceReader) SubjectsOf(ctx context.Context, name string) (files []string, ok bool, err error) {
	if _, err := os.Stat(name); err != nil {
		return nil, false, nil // then it is what it is
	}
	data, err := artifact.ReadNamed(name, maxProvenance)
	if err != nil {
		return nil, true, err
	}
	claim := attest.ReadClaim(data)
	if len(claim.Subjects) == 0 {
		return nil, true, fmt.Errorf("%s: no bundle, or one that is about nothing", t.display(name))
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
		err = fmt.Errorf("%s: none of the %s that it is about is in its folder", t.display(name), count(len(claim.Subjects), "file"))
	}
	// What is no archive comes first, under its own name.
	slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(archiveRank(a), archiveRank(b)) })
	return files, true, err
}

// archiveRank is 1 for the name of an archive.
func archiveRank(name string) int {
	if slices.ContainsFunc([]string{".tar.gz", ".tgz", ".zip", ".tar.zst", ".tar.xz"}, func(s string) bool { return strings.HasSuffix(name, s) }) {
		return 1
	}
	return 0
}
