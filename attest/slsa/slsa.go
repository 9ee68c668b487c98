// Package slsa says in statements what a release record says: SLSA provenance v1
// (https://slsa.dev/spec/v1.0/provenance), and the result of the double build as an in-toto test
// result v0.1 (https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md).
//
// The document of our build type, configs/buildtype/v1.md, defines the members of a provenance of
// ours. Its address is [BuildType].
//
// A statement depends on the record and the arguments alone: equal ones give equal bytes. Reading
// is strict. Of our own build type nothing is accepted that [NewProvenance] does not write, and
// everything that can be derived from the recipes is derived again and compared. Foreign build
// types are read as the specification says, and no meaning is guessed.
package slsa

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/purl"
	"github.com/twicebuild/twice/pipeline/record"
)

// The types of the predicates.
const (
	ProvenanceType = "https://slsa.dev/provenance/v1"
	TestResultType = "https://in-toto.io/attestation/test-result/v0.1"
)

// BuildType is the build type of what twice makes, and the address of its document.
const BuildType = "https://github.com/twicebuild/twice/blob/main/configs/buildtype/v1.md"

// LocalBuilder is the builder.id of a twice that somebody ran on a machine of their own. The
// signature alone can tell who that was.
const LocalBuilder = BuildType + "#local"

// doubleBuild is the URI of the test in a test result.
const doubleBuild = BuildType + "#double-build"

// Variation is one thing that must not matter to the bytes. It says whether the thing was seen to
// differ between the two builds. The record has what was seen.
type Variation struct {
	Name string `json:"name"`
	// Reason says why it was not varied.
	Reason string `json:"reason,omitempty"`
	Varied bool   `json:"varied"`
}

// Compilations counts, for one target, the compilations of the go command. Reproduced counts those
// that both builds carried out with equal inputs and equal results.
type Compilations struct {
	Packages   int           `json:"packages"`
	Reproduced int           `json:"reproduced"`
	Target     matrix.Target `json:"target"`
}

// Circumstances are those of the double build. They are the annotations of the record in a
// provenance, and of the test in a test result.
type Circumstances struct {
	Compilations []Compilations   `json:"compilations"`
	Confinement  pass.Confinement `json:"confinement"`
	Variations   []Variation      `json:"variations"`
}

// Varied reports whether the thing with that name was varied.
func (c Circumstances) Varied(name string) bool {
	return slices.ContainsFunc(c.Variations, func(v Variation) bool { return v.Name == name && v.Varied })
}

// circumstancesOf takes the circumstances out of a record. No list in them is null.
func circumstancesOf(rec *record.Record) Circumstances {
	c := Circumstances{Compilations: []Compilations{}, Confinement: rec.Varying.Confinement, Variations: []Variation{}}
	if c.Confinement.Missing == nil {
		c.Confinement.Missing = []string{}
	}

	for _, b := range rec.Binaries {
		// All binaries of a target have the same counts.
		if slices.ContainsFunc(c.Compilations, func(x Compilations) bool { return x.Target == b.Target }) {
			continue
		}
		c.Compilations = append(c.Compilations, Compilations{b.Compilations.Packages, b.Compilations.Reproduced, b.Target})
	}

	for _, v := range rec.Varying.Variations {
		c.Variations = append(c.Variations, Variation{Name: string(v.Name), Reason: v.Reason, Varied: v.Varied})
	}
	return c
}

// checkCompilations returns an error unless packages were compiled for each target, and there is at
// least one target. Two builds that did nothing agree.
func (c Circumstances) checkCompilations(targets []string) error {
	var counted []string
	for _, x := range c.Compilations {
		if x.Packages < 1 {
			return fmt.Errorf("compilations: %s: no package was compiled", x.Target)
		}
		counted = append(counted, x.Target.String())
	}

	if len(targets) == 0 {
		return errors.New("compilations: there is no target")
	}
	slices.Sort(counted)
	if targets = slices.Compact(slices.Sorted(slices.Values(targets))); !slices.Equal(counted, targets) {
		return fmt.Errorf("compilations: of %.500q: want those of the targets", counted)
	}
	return nil
}

// checkCircumstances returns an error unless the circumstances are those that circumstancesOf can
// make.
func (c Circumstances) checkCircumstances() error {
	if c.Compilations == nil || c.Variations == nil || c.Confinement.Missing == nil {
		return errors.New("null, where a list belongs")
	}

	// A target or a variation that is there twice could say two things.
	targets := map[matrix.Target]bool{}
	for _, x := range c.Compilations {
		if targets[x.Target] {
			return fmt.Errorf("compilations: %s is there twice", x.Target)
		}
		targets[x.Target] = true
		if x.Reproduced < 0 || x.Reproduced > x.Packages {
			return fmt.Errorf("compilations: %s: %d of %d packages", x.Target, x.Reproduced, x.Packages)
		}
	}

	names := map[string]bool{}
	for _, v := range c.Variations {
		switch {
		case v.Name == "" || names[v.Name]:
			return fmt.Errorf("variations: %.200q: no name, or there twice", v.Name)
		case v.Varied == (v.Reason != ""):
			return fmt.Errorf("variations: %s: want a reason if and only if it was not varied", v.Name)
		}
		names[v.Name] = true
	}

	if c.Confinement.Landlock < 0 || !slices.Contains([]string{"", "tcp", "none"}, c.Confinement.NetworkCut) {
		return fmt.Errorf("confinement: landlock %d, network cut %.200q", c.Confinement.Landlock, c.Confinement.NetworkCut)
	}
	return nil
}

// sha256Set is a DigestSet of one SHA-256.
func sha256Set(d artifact.Digest) map[string]string { return map[string]string{"sha256": d.Hex()} }

// dirHash is the DigestSet of an h1: hash (golang.org/x/mod/sumdb/dirhash). It has the same
// SHA-256, in hexadecimal
// (https://github.com/in-toto/attestation/blob/main/spec/v1/digest_set.md#dirhash).
func dirHash(h1 string) (map[string]string, error) {
	b64, ok := strings.CutPrefix(h1, "h1:")
	sum, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || err != nil || len(sum) != 32 {
		return nil, fmt.Errorf("%.100q: not an h1: hash", h1)
	}
	return map[string]string{"dirHash": hex.EncodeToString(sum)}, nil
}

// modulePURL returns the package URL of a module version
// (https://github.com/package-url/purl-spec/blob/main/types/golang-definition.json).
func modulePURL(path, version string) (string, error) {
	if err := module.Check(path, version); err != nil {
		return "", err
	}
	return purl.Golang(path, version), nil
}

// toolchainPURL returns the package URL of a published Go distribution
// (https://go.dev/doc/toolchain says how its module is named).
func toolchainPURL(version, goos, goarch string) (string, error) {
	return modulePURL("golang.org/toolchain", fmt.Sprintf("v0.0.1-%s.%s-%s", version, goos, goarch))
}

// gitURI returns the SPDX form of a repository's address and a commit:
// git+https://example.com/x.git@<commit>. The short form of ssh, user@host:path, is written out.
func gitURI(repository, commit string) (string, error) {
	if !strings.Contains(repository, "://") {
		host, path, ok := strings.Cut(repository, ":")
		if !ok {
			return "", fmt.Errorf("repository %.200q: not an address", repository)
		}
		repository = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}

	// A query or a fragment would swallow the commit that is appended.
	if u, err := url.Parse(repository); err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("repository %.200q: not an address", repository)
	}
	if !strings.HasPrefix(repository, "git+") {
		repository = "git+" + repository
	}

	uri := repository + "@" + commit
	return uri, intoto.CheckURI(uri)
}

// PassName returns the name that what a pass built has in statements, which is its path below
// dist.rejected.
func PassName(pass pass.Pass, t matrix.Target, binary string) string {
	return string(pass) + "/" + t.Slug() + "/" + binary
}

// PassFile returns such a name for a file of the source tree as a pass left it.
func PassFile(pass pass.Pass, name string) string { return string(pass) + "/files/" + name }

// passDescriptor refers to what a pass made.
func passDescriptor(name string, d artifact.Digest, v compare.Verdict) intoto.Descriptor {
	return intoto.Descriptor{
		Name: name, Digest: sha256Set(d),
		Annotations: map[string]json.RawMessage{"verdict": json.RawMessage(`"` + string(v) + `"`)},
	}
}

// IsOurs reports whether s is a statement that twice makes of a release: provenance of our build
// type, or the result of a double build.
func IsOurs(s intoto.Statement) bool {
	switch s.PredicateType {
	case ProvenanceType:
		p, err := DecodeProvenance(s)
		return err == nil && p.Internal != nil
	case TestResultType:
		_, err := DecodeTestResult(s)
		return err == nil
	}
	return false
}

// CheckAgainstRecord returns an error if s is a statement of ours, as [IsOurs] tells, and not one
// of the release of rec. It makes the provenance or the test result again from the record, and
// compares the bytes. Only the invocation is taken from s, since no record states it.
func CheckAgainstRecord(s intoto.Statement, rec *record.Record) error {
	want, err := statementFromRecord(s, rec)
	if err != nil || want == nil {
		return err
	}
	a, err := s.Encode()
	if err != nil {
		return err
	}
	b, err := want.Encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return errors.New("it says something else of this run than its record")
	}
	return nil
}

// statementFromRecord makes a statement of ours again. It returns nil for others.
func statementFromRecord(s intoto.Statement, rec *record.Record) (*intoto.Statement, error) {
	var want intoto.Statement
	switch s.PredicateType {
	case ProvenanceType:
		p, err := DecodeProvenance(s)
		if err != nil || p.Internal == nil {
			return nil, nil // whoever opened it has told what is wrong
		}

		d := p.RunDetails
		want, err = NewProvenance(rec, Invocation{Builder: d.Builder.ID, ID: d.Metadata.InvocationID})
		return &want, err
	case TestResultType:
		t, err := DecodeTestResult(s)
		if err != nil {
			return nil, nil // as above
		}
		want, err = NewTestResult(rec, t.URL)
		return &want, err
	}
	return nil, nil
}
