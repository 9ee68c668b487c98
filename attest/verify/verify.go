// Package verify judges whether somebody trusted signed the statements about files, about images in
// registries and layouts, and about folders with a release. It opens bundles with [attest.Open]. It
// holds a release against its signed record, and statements against a policy. Files in a folder may
// be a stranger's, so they are read within bounds.
//
// It prints nothing. Paths are resolved before they get here.
package verify

import (
	"context"
	"encoding/json"
	"errors"
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
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/registry"
)

// Limits of what verify reads, in bytes and in files.
const (
	maxFile  = 1 << 40
	maxFiles = 100_000
)

// Options say whose word counts, and for what.
type Options struct {
	// Publisher is the trust in the publisher, nil if it does not matter who that is.
	Publisher *attest.Trust
	// Policy is what the statements have to say, nil if that does not matter.
	Policy *policy.Policy
	// Rebuilders are the trusts of those whom Policy lists, in its order.
	Rebuilders []attest.Trust
	// Registry is how registries are reached.
	Registry registry.Options
	// Display returns how a path is shown.
	Display func(path string) string
	// DevelopmentKey is the digest of this machine's development key, empty if there
	// is none.
	DevelopmentKey artifact.Digest
}

// Subject is what to verify: the file or folder at Path, the image in a registry that Name refers
// to if there is nothing at Path, or a package. Messages show Name, as the user wrote it.
type Subject struct {
	Name, Path string
	// Package is that of a package registry, nil for anything else. Its file is at Path.
	Package *Package
	// Err says why there is nothing at Path: what the user named could not be fetched.
	Err error
}

// Package is what a package registry says of a package.
type Package struct {
	// PURL is the package URL, by which statements call it.
	PURL string
	// Attestations are what the registry has, in any form that package convert knows. It may be
	// empty.
	Attestations []byte
}

// Verifier judges files, images and folders.
type Verifier struct {
	opt Options
	// namedBundles are the bundles that the user named. If there are any, no others are looked for.
	namedBundles []bundleFile
	index        *bundleIndex
	// folders are all folders of the subjects. Bundles may be there, and in the folders above a
	// file.
	folders []string
	// predicates are those in the report. Most are about many files, and are kept once.
	predicates map[artifact.Digest]json.RawMessage
	// lists are the verdicts on lists of checksums, by their names.
	lists map[string]File
}

// New returns a Verifier.
func New(o Options) *Verifier {
	if o.Display == nil {
		o.Display = func(path string) string { return path }
	}
	return &Verifier{opt: o, index: newBundleIndex(), predicates: map[artifact.Digest]json.RawMessage{}, lists: map[string]File{}}
}

// AddBundle adds the bundles in a file, which may be in any form that package convert knows. Once
// there is one, no others are looked for.
func (v *Verifier) AddBundle(name string) error {
	list, err := v.index.readNamed(name)
	if err != nil {
		return err
	}
	v.namedBundles = append(v.namedBundles, list...)
	return nil
}

// Verify judges all subjects.
func (v *Verifier) Verify(ctx context.Context, subjects []Subject) (Report, error) {
	report := Report{Schema: "twice.verify/v1", Verdict: Verified, Files: []File{}}
	found, err := listSubjects(subjects)
	if err != nil {
		return report, err
	}
	v.folders = found.folders

	for _, name := range found.files {
		if err := context.Cause(ctx); err != nil {
			return report, err
		}
		report.add(v.judgeFile(ctx, name))
	}
	for _, s := range found.packages {
		if err := context.Cause(ctx); err != nil {
			return report, err
		}
		report.add(v.judgePackage(ctx, s))
	}
	for _, ref := range found.images {
		if err := context.Cause(ctx); err != nil {
			return report, err
		}
		report.add(v.Image(ctx, ref))
	}

	// Nothing tells what else should be in a folder without a record.
	for _, dir := range found.plain {
		if slices.ContainsFunc(report.Files[dir.first:dir.last], File.ofRelease) {
			report.add(v.missingRecord(dir.name))
			continue
		}
		report.Notes = append(report.Notes, fmt.Sprintf("whether something is missing from %s, or was added: it has no %s", v.opt.Display(dir.name), distfiles.RecordName))
	}

	for _, dir := range found.releases {
		files, err := v.judgeRelease(ctx, dir)
		if err != nil {
			return report, err
		}
		report.add(files...)
	}
	for _, dir := range found.layouts {
		files, err := v.judgeLayout(ctx, dir)
		if err != nil {
			return report, err
		}
		report.add(files...)
	}

	// Only now it is known which of them the verdicts tell of.
	report.noteNonBundles(v.index.nonBundles(), v.opt.Display)
	report.addWarnings(v.opt.DevelopmentKey)
	return report, nil
}

// listing is the content of the subjects.
type listing struct {
	files    []string
	images   []string
	packages []Subject
	// releases are folders with a release, and layouts those with OCI images alone. Each is judged
	// as a whole.
	releases, layouts []string
	// plain are subjects that are other folders, and folders are all folders in them.
	plain   []plainFolder
	folders []string
}

// plainFolder is a folder. Its files are those of a listing from first up to last.
type plainFolder struct {
	name        string
	first, last int
}

// listSubjects finds the files, images and folders that subjects consist of.
func listSubjects(subjects []Subject) (*listing, error) {
	l := &listing{}
	for _, s := range subjects {
		if s.Package != nil || s.Err != nil {
			l.packages = append(l.packages, s)
			continue
		}

		// A name that is no file's may be that of an image.
		info, err := os.Stat(s.Path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			if _, rerr := reference.Parse(s.Name); rerr != nil {
				return nil, fault.Usage(err)
			}
			l.images = append(l.images, s.Name)
		case err != nil:
			return nil, err
		case !info.IsDir():
			l.files = append(l.files, s.Path)
		default:
			if err := l.addFolder(s); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// addFolder adds the regular files of a folder that are not bundles, and the releases and
// images in it.
func (l *listing) addFolder(s Subject) error {
	root, err := filepath.EvalSymlinks(s.Path) // the user may have named a link
	if err != nil {
		return err
	}
	files, units := len(l.files), len(l.layouts)+len(l.releases)
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return l.classify(name)
		case isCalledBundle(name):
			return nil
		case len(l.files) == maxFiles:
			return fmt.Errorf("%s: more than %d files", s.Name, maxFiles)
		}
		l.files = append(l.files, name)
		return nil
	})
	if err != nil {
		return err
	}

	if len(l.files) == files && len(l.layouts)+len(l.releases) == units {
		return fault.Usage(fmt.Errorf("%s: there are no files in it to verify", s.Name))
	}
	if len(l.files) > files {
		l.plain = append(l.plain, plainFolder{root, files, len(l.files)})
	}
	return nil
}

// classify adds dir to the folders of its kind. It returns [filepath.SkipDir] if dir is judged as a
// whole.
func (l *listing) classify(dir string) error {
	has := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	switch {
	case has(distfiles.RecordName): // even with the mark of a layout: the record is signed
		l.releases = append(l.releases, dir)
		return filepath.SkipDir
	case has(layoutMark):
		l.layouts = append(l.layouts, dir)
		return filepath.SkipDir
	}
	l.folders = append(l.folders, dir)
	return nil
}

// judgeFile judges one file by what is signed about it or, if that is nothing, by a signed list of
// checksums that names it.
func (v *Verifier) judgeFile(ctx context.Context, name string) File {
	f := v.judgeSigned(ctx, name)
	if f.isUnsigned() {
		if listed, ok := v.judgeListed(ctx, name, attest.Artifact{Digest: f.Digest}); ok {
			return listed
		}
	}
	return f
}

// judgeSigned judges one file by what is signed about it.
func (v *Verifier) judgeSigned(ctx context.Context, name string) File {
	shown := v.opt.Display(name)
	about, err := digestFile(ctx, name, maxFile)
	if err != nil {
		return unreadable(shown, err)
	}
	if v.opt.Publisher != nil && v.opt.Publisher.FileKey() != nil {
		return v.judgeByFileKey(ctx, name, about, v.opt.Publisher.FileKey())
	}
	if about, err = v.withSHA512(ctx, name, about); err != nil {
		return unreadable(shown, err)
	}
	candidates, err := v.candidates(name, about)
	if err != nil {
		return unreadable(shown, err)
	}

	f := v.judge(shown, about, candidates, v.opt.Policy)
	f.noteName(func(n string) bool { return path.Base(n) == filepath.Base(name) })
	return f
}

// judgePackage judges a package by the attestations that its registry has.
func (v *Verifier) judgePackage(ctx context.Context, s Subject) File {
	if s.Err != nil {
		return unreadable(s.Name, s.Err)
	}
	var about attest.Artifact
	var err error
	if about.Digest, about.SHA512, err = digestBoth(ctx, s.Path, maxFile); err != nil {
		return unreadable(s.Name, err)
	}

	candidates := v.namedAbout(about)
	if v.namedBundles == nil && len(s.Package.Attestations) > 0 {
		found, err := convert.Bundles(s.Package.Attestations, "")
		if err != nil {
			return unreadable(s.Name, fmt.Errorf("attestations of the registry: %w", err))
		}
		for _, b := range found {
			f := describeBundle("registry", b.Data)
			f.place, f.data = b.Place, b.Data
			candidates = append(candidates, f)
		}
	}

	f := v.judge(s.Name, about, candidates, v.opt.Policy)
	f.noteName(func(n string) bool { return n == s.Package.PURL })
	return f
}

// judge opens the bundles that may be about a file or an image. Each of them must be good. Then it
// holds their statements against a policy, nil if there is none.
func (v *Verifier) judge(name string, about attest.Artifact, candidates []bundleFile, expected *policy.Policy) File {
	f := File{Name: name, Digest: about.Digest, Verdict: Refused, Bundles: []Bundle{}, Problems: []Problem{}}
	for _, c := range candidates {
		b, err := c.load()
		if err != nil {
			f.addUnopened(v.shownBundle(c.name, c.place), err)
			continue
		}
		switch {
		case v.asksRebuilders(b):
			v.judgeRebuild(&f, about, b)
		case v.opt.Publisher == nil:
			f.NotCounted = append(f.NotCounted, Problem{Bundle: v.shownBundle(b.name, b.place), Reason: NotAsked, Error: "the policy asks for rebuilds alone, and this says something else"})
		default:
			opened, err := attest.Open(b.data, *v.opt.Publisher, about)
			switch {
			case err != nil && b.place != "" && isOtherSigner(err):
				// A collection has what several people said: a registry, and a CI job.
				f.NotCounted = append(f.NotCounted, Problem{Bundle: v.shownBundle(b.name, b.place), Reason: Reason(attest.WrongIdentity), Error: withoutPrefix(err)})
				continue
			case err != nil:
				f.addUnopened(v.shownBundle(b.name, b.place), err)
				continue
			}
			v.addPublished(&f, b, opened)
		}
	}

	if v.opt.Publisher != nil && len(f.Bundles)+len(f.Problems) == 0 {
		what := "no bundle here is about"
		if len(candidates) > 0 {
			what = "nobody whom you trust has signed a bundle here that is about"
		}
		f.addProblem("", Unsigned, fault.WithRemedy(fmt.Errorf("unsigned: %s %s", what, about.Digest),
			"fetch the *.sigstore.json files that were published with it into the same folder, or name one with --bundle"))
	}

	// The order is the policy's, whatever the bundles are called.
	slices.SortStableFunc(f.Rebuilds, func(x, y Rebuild) int { return x.position - y.position })
	slices.SortStableFunc(f.RebuildStatements, func(x, y policy.Rebuilt) int { return x.By - y.By })
	if expected != nil && (len(f.Bundles) > 0 || expected.Rebuilds != nil) {
		f.checkPolicy(expected)
	}
	f.setVerdict()
	return f
}

// withoutPrefix returns the text of an error of [attest.Open] without what was being done.
func withoutPrefix(err error) string { return strings.TrimPrefix(err.Error(), "open bundle: ") }

// checkPolicy holds the statements about a file against a policy.
func (f *File) checkPolicy(expected *policy.Policy) {
	f.Policy = expected.Check(f.Digest, f.Statements, f.RebuildStatements...)
	for _, finding := range f.Policy {
		if finding.Outcome == policy.Met {
			continue
		}
		err := errors.New("policy: " + finding.String())
		if finding.Expectation == policy.RebuildsExpectation && finding.Outcome == policy.NotShown {
			err = fault.WithRemedy(err, "fetch the rebuilders' *.rebuild.sigstore.json into the same folder, or name each with --bundle")
		}
		f.addProblem("", PolicyNotMet, err)
	}
}

// addPublished adds a bundle of the publisher to the verdict on a file.
func (v *Verifier) addPublished(f *File, b LoadedBundle, opened *attest.Verified) {
	bundle := v.bundleOf(b, opened)
	if s, ok := opened.Statement(); ok {
		s.Predicate = bundle.Predicate
		f.Statements = append(f.Statements, policy.Statement{Statement: s, Certificate: bundle.Signature.Certificate})
		if reason, err := contradiction(s); err != nil {
			f.addProblem(bundle.Name, reason, err)
		}
	}
	f.Bundles = append(f.Bundles, bundle)
}

// bundleOf describes a verified bundle.
func (v *Verifier) bundleOf(b LoadedBundle, opened *attest.Verified) Bundle {
	bundle := Bundle{Name: v.shownBundle(b.name, b.place), Signature: opened.Signature()}
	if s, ok := opened.Statement(); ok {
		digest := artifact.Of(s.Predicate)
		if v.predicates[digest] == nil {
			v.predicates[digest] = s.Predicate
		}
		bundle.PredicateType, bundle.Predicate = s.PredicateType, v.predicates[digest]
	}
	return bundle
}

// contradiction returns an error if a statement cannot stand beside a good verdict.
func contradiction(s intoto.Statement) (Reason, error) {
	var err error

	switch {
	case rebuilt.IsRebuild(s.PredicateType, s.Predicate):
		r, err := rebuilt.Decode(s)
		if err == nil && !r.Pass() {
			return FailedRebuild, fmt.Errorf("it was rebuilt, and differs from what its source compiles to: %.500s", r.Reason.Text)
		}
		return BadStatement, err
	case slsa.IsProvenance(s.PredicateType):
		_, err = slsa.DecodeProvenance(s)
	case s.PredicateType == slsa.TestResultType:
		t, err := slsa.DecodeTestResult(s)
		if errors.Is(err, slsa.ErrOtherTest) {
			return "", nil
		}
		if err == nil && t.Result != slsa.Passed {
			return FailedDoubleBuild, fmt.Errorf("the signed result of the double build is %s: %s", t.Result, strings.Join(t.FailedTests[:min(5, len(t.FailedTests))], ", "))
		}
		return BadStatement, err
	}
	return BadStatement, err
}
