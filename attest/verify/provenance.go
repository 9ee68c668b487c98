package verify

import (
	"bytes"
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
	"github.com/twicebuild/twice/attest/convert"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// ProvenanceReader reads the bundles with provenance in the folders of files. A rebuild takes
// recipes and hints from them.
type ProvenanceReader struct {
	// display is how a path is shown.
	display func(path string) string
	// log takes a line on each bundle that is passed over. A stranger's text may be in it.
	log func(line string)
	// trust is whose signatures count. If it is nil all bundles count, unverified.
	trust *attest.Trust
	// byFolder are the bundles that were read, and bytes is the number of their bytes.
	byFolder map[string][]LoadedBundle
	bytes    int64
}

// NewProvenanceReader returns a reader of provenance that counts if somebody in trust signed
// it. If trust is nil all of it counts, unverified. display is how a path is shown. log takes
// a line on each bundle that is passed over, in which a stranger's text may be.
func NewProvenanceReader(trust *attest.Trust, display func(string) string, log func(line string)) *ProvenanceReader {
	return &ProvenanceReader{trust: trust, display: display, log: log, byFolder: map[string][]LoadedBundle{}}
}

// Near returns the provenance in the folder of a file and in the two above it. If name is that of a
// folder it returns the provenance in it, and nil if there is neither.
func (r *ProvenanceReader) Near(name string) []LoadedBundle {
	file, err := filepath.Abs(name)
	if err != nil {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil // an image, or an address
	}

	// A release has its bundles two folders above its binaries.
	dirs := []string{file}
	if !info.IsDir() {
		dir := filepath.Dir(file)
		above := filepath.Dir(dir)
		dirs = []string{dir, above, filepath.Dir(above)} // dist/bin/<target>
	}

	var all []LoadedBundle
	for _, dir := range dirs {
		all = append(all, r.readFolder(dir)...)
	}
	return all
}

// Bounds of the provenance that is read: the bytes of one bundle, the bundles of a folder,
// and the bytes of all bundles that are kept.
const (
	maxProvenance    = attest.MaxSize
	maxInFolder      = 200
	maxAllProvenance = 64 << 20
)

// readFolder reads the bundles with provenance in a folder. They are no more than hints, so one
// that cannot be read is passed over, and logged.
func (r *ProvenanceReader) readFolder(dir string) []LoadedBundle {
	if list, ok := r.byFolder[dir]; ok {
		return list
	}

	var list []LoadedBundle
	entries, err := os.ReadDir(dir)
	if err != nil {
		entries = nil
	}

	// Anybody may have put files there.
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() || !strings.HasSuffix(name, distfiles.BundleSuffix) && !holdsBundles(name) {
			continue
		}
		found := r.readFile(name)
		if len(list)+len(found) > maxInFolder {
			r.log(fmt.Sprintf("passed over: more than %d bundles in %s", maxInFolder, r.display(dir)))
			break
		}
		for _, b := range found {
			r.bytes += int64(len(b.data))
		}
		if r.bytes > maxAllProvenance {
			r.log(fmt.Sprintf("passed over: %s and what comes after it: more than %d MiB of provenance lie about", r.display(name), maxAllProvenance>>20))
			break
		}
		list = append(list, found...)
	}
	r.byFolder[dir] = list
	return list
}

// readFile reads the bundles with provenance in a file, in any form. A file that cannot be read is
// logged.
func (r *ProvenanceReader) readFile(name string) []LoadedBundle {
	data, err := fsx.ReadNamed(name, maxProvenance)
	if err != nil {
		r.log("passed over: " + err.Error())
		return nil
	}
	bundles, err := convert.Bundles(data, "")
	if err != nil {
		return nil // what is no bundle says nothing
	}

	var list []LoadedBundle
	for _, b := range bundles {
		if claim := attest.ReadClaim(b.Data); strings.HasPrefix(claim.PredicateType, "https://slsa.dev/provenance/") {
			list = append(list, LoadedBundle{name, b.Place, bytes.Clone(b.Data), claim}) // not all of the file
		}
	}
	return list
}

// Provenance is what one bundle says of an executable.
type Provenance struct {
	// Bundle is the name of the bundle's file, without its folder, and Digest that of its bytes.
	Bundle string
	Digest artifact.Digest
	// Verified tells that somebody whom the reader trusts signed it.
	Verified bool
	// Recipe is the one that it states, nil if there is none.
	Recipe *recipe.Recipe
	// Source is the source that it names, nil if it names none.
	Source *slsa.Source
}

// About returns what bundles say of the executable with a digest, and of the archives and
// images that it is in. It leaves out those that say nothing.
func (r *ProvenanceReader) About(executable artifact.Digest, containers []artifact.Digest, bundles []LoadedBundle) []Provenance {
	subjects := append([]artifact.Digest{executable}, containers...)
	var list []Provenance
	for _, b := range bundles {
		i := slices.IndexFunc(subjects, b.claim.About)
		if i < 0 {
			continue
		}

		p := Provenance{Bundle: filepath.Base(b.name), Digest: artifact.Of(b.data)}

		// Whoever names a signer takes nobody else's word.
		if r.trust != nil {
			if _, err := attest.Open(b.data, *r.trust, attest.Artifact{Digest: subjects[i]}); err != nil {
				r.log(fmt.Sprintf("provenance %s is not used: %s", r.display(b.name), err))
				continue
			}
			p.Verified = true
		}

		p.Recipe = statedRecipe(b.claim, executable)
		if source, ok := slsa.ClaimedSource(b.claim.Payload); ok {
			p.Source = &source
		}
		if p.Recipe != nil || p.Source != nil {
			list = append(list, p)
		}
	}
	return list
}

// statedRecipe returns the recipe that provenance by twice has of an executable, nil if it
// has none.
func statedRecipe(claim attest.Claim, executable artifact.Digest) *recipe.Recipe {
	st, err := intoto.Decode(claim.Payload)
	if err != nil {
		return nil // somebody else's, which may still have hints
	}
	p, err := slsa.DecodeProvenance(st)
	if err != nil || p.Internal == nil {
		return nil
	}

	// A subject has the name of the file that its recipe makes.
	for _, s := range st.Subjects {
		if s.Digest != executable {
			continue
		}
		for _, made := range p.Internal.Recipes {
			if path.Join("bin", made.Recipe.Target.Slug(), made.Recipe.Binary) == s.Name {
				return &made.Recipe
			}
		}
	}
	return nil
}

// SubjectsOf finds the files that a bundle is about, in its folder or below. ok is false if
// there is no file with that name.
func (r *ProvenanceReader) SubjectsOf(ctx context.Context, name string) (files []string, ok bool, err error) {
	if _, err := os.Stat(name); err != nil {
		return nil, false, nil
	}
	data, err := fsx.ReadNamed(name, maxProvenance)
	if err != nil {
		return nil, true, err
	}

	claim := attest.ReadClaim(data)
	if len(claim.Subjects) == 0 {
		return nil, true, fmt.Errorf("%s: no bundle, or one that is about nothing", r.display(name))
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
		err = fmt.Errorf("%s: none of the %s that it is about is in its folder", r.display(name), plural(len(claim.Subjects), "file"))
	}

	// Archives come last: a binary that is also in one goes by its own name.
	slices.SortStableFunc(files, func(a, b string) int {
		switch inA, inB := isArchive(a), isArchive(b); {
		case inA == inB:
			return 0
		case inB:
			return -1
		}
		return 1
	})

	return files, true, err
}

// isArchive reports whether a file has the name of an archive.
func isArchive(name string) bool {
	return slices.ContainsFunc([]string{".tar.gz", ".tgz", ".zip", ".tar.zst", ".tar.xz"}, func(s string) bool { return strings.HasSuffix(name, s) })
}
