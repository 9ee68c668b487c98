package distfiles

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/sbom"
)

// Contents lists the files of a signed dist, or of dist.rejected.
type Contents struct {
	// Files are the digests of all files except bundles, by their paths below dist: the
	// record, its artifacts, and the layout of its images. In dist.rejected they are the
	// record and what the passes built.
	Files map[string]artifact.Digest
	// Executable reports which of them may have an executable mode.
	Executable map[string]bool
	// Largest is the size in bytes of the largest file whose size the record states. A record
	// does not state the sizes of rejected files, and of the configurations of images, which
	// are small.
	Largest int64
	// Bundles are the bundles of a release, by their paths.
	Bundles map[string]Bundle
}

// Bundle says what a bundle of a release is about.
type Bundle struct {
	// PredicateType is that of the statement, empty for a file's signature.
	PredicateType string
	// Subject is the digest of one of its subjects.
	Subject artifact.Digest
}

// ContentsOf derives the contents of a dist from its record. They deserve as much trust as the
// signature of the record does.
func ContentsOf(rec *record.Record) (*Contents, error) {
	encoded, err := rec.Encode()
	if err != nil {
		return nil, err
	}
	if rec.Verdict.Pass() && len(rec.Artifacts) == 0 {
		return nil, errors.New("the record has no artifacts: there is no release in this folder")
	}

	c := &Contents{Files: map[string]artifact.Digest{}, Bundles: map[string]Bundle{}, Executable: map[string]bool{}}
	sign := func(name, predicateType string, subject artifact.Digest) {
		c.Bundles[name+BundleSuffix] = Bundle{predicateType, subject}
	}

	// The record is not among its own artifacts, so it is added here.
	c.Files[RecordName] = artifact.Of(encoded)
	c.Largest = int64(len(encoded))
	sign(RecordName, "", c.Files[RecordName])

	provenance, testResult := Provenance(rec), TestResult(rec)
	for _, a := range rec.Artifacts {
		// An artifact of such a name could pass for a bundle, a blob, or the record.
		if a.Name == RecordName || strings.HasPrefix(a.Name, ImagesName+"/") || strings.HasSuffix(a.Name, BundleSuffix) {
			return nil, fmt.Errorf("artifact %q: this name is for something else", a.Name)
		}
		c.Files[a.Name] = a.Digest
		c.Executable[a.Name] = a.Executable
		c.Largest = max(c.Largest, a.Size)

		if a.Kind == artifact.Checksums {
			sign(a.Name, "", a.Digest)
		}
		// These two are about every artifact, so the first one is enough.
		if _, ok := c.Bundles[provenance+BundleSuffix]; !ok {
			sign(provenance, slsa.ProvenanceType, a.Digest)
			sign(testResult, slsa.TestResultType, a.Digest)
		}
	}

	// A list of components is signed only if it was written.
	for _, b := range rec.Binaries {
		for _, format := range sbom.Formats {
			name := SBOM(b, format.Suffix)
			if _, ok := c.Files[name]; ok {
				sign(name, format.PredicateType, b.A)
			}
		}
	}

	// A rejected run is signed too: its test result says that the builds differ.
	if !rec.Verdict.Pass() {
		c.addRejected(rec)
		if test, err := slsa.NewTestResult(rec, ""); err == nil {
			sign(testResult, slsa.TestResultType, test.Subjects[0].Digest)
		}
	}

	if err := c.addImages(rec); err != nil {
		return nil, err
	}
	for _, s := range SignedImages(rec) {
		sign(SignatureOfImage(s.Digest), ImageSignatureType, s.Digest)
	}
	return c, nil
}

// addImages adds the files of the image layout.
func (c *Contents) addImages(rec *record.Record) error {
	if len(rec.Images) == 0 {
		return nil
	}

	layout, err := oci.LayoutFiles(rec.Images)
	if err != nil {
		return err
	}
	for name, data := range layout {
		c.Files[path.Join(ImagesName, name)] = artifact.Of(data)
		c.Largest = max(c.Largest, int64(len(data)))
	}

	// Blobs lie by digest, so a blob that images share is one file.
	for _, img := range rec.Images {
		blobs := []artifact.Digest{img.Digest}
		c.Largest = max(c.Largest, img.Size)
		for _, m := range img.Manifests {
			blobs = append(blobs, m.Digest, m.Config)
			c.Largest = max(c.Largest, m.Size)
			for _, l := range m.Layers {
				blobs = append(blobs, l.Digest)
				c.Largest = max(c.Largest, l.Size)
			}
		}
		for _, d := range blobs {
			c.Files[path.Join(ImagesName, "blobs", "sha256", d.Hex())] = d
		}
	}

	return nil
}

// addRejected adds the files in which dist.rejected keeps what the passes built.
func (c *Contents) addRejected(rec *record.Record) {
	add := func(name string, d artifact.Digest) {
		if d != "" {
			c.Files[name] = d
		}
	}

	for _, b := range rec.Binaries {
		add(RejectedBinary(pass.A, b.Target, b.Name), b.A)
		add(RejectedBinary(pass.B, b.Target, b.Name), b.B)
	}

	for _, f := range rec.Files {
		if !f.Verdict.Pass() {
			add(RejectedFile(pass.A, f.Name), f.A)
			add(RejectedFile(pass.B, f.Name), f.B)
		}
	}
}

// Folders returns the paths of all folders that hold files or bundles, sorted.
func (c *Contents) Folders() []string {
	var list []string
	add := func(name string) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			list = append(list, dir)
		}
	}
	for name := range c.Files {
		add(name)
	}
	for name := range c.Bundles {
		add(name)
	}

	slices.Sort(list)
	return slices.Compact(list)
}
