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
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/artifact"
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
	// Publisher is whom the publisher has to be, nil if it does not matter.
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

// Verifier verifies files.
type Verifier struct {
	opt   Options
	given []bundleFile
	index *bundleIndex
	// predicates are those that were told, each once: most are said of many files.
	predicates map[artifact.Digest]json.RawMessage
	// dists are folders with a release, and layouts those with OCI images alone.
	dists, layouts []string
	// plain are arguments that are neither.
	plain []plainFolder
	// folders are all those below the plain arguments.
	folders []string
}

// New returns a Verifier.
func New(o Options) *Verifier {
	return &Verifier{opt: o, index: newBundleIndex(), predicates: map[artifact.Digest]json.RawMessage{}}
}

// Subject is what to verify: the file or folder at Path or, if there is none, the image
// in a registry that Name refers to. Messages say Name, which is what the user wrote.
type Subject struct{ Name, Path string }

// AddBundle adds a bundle in a file. Once there is one, no others are looked for.
func (v *Verifier) AddBundle(name string) error {
	b, err := v.index.given(name)
	if err != nil {
		return err
	}
	v.given = append(v.given, b)
	return nil
}

// plainFolder is a folder, and which of the files that were listed are in it.
type plainFolder struct {
	name        string
	first, last int
}

// Verify judges all of args.
func (v *Verifier) Verify(ctx context.Context, args []Subject) (Report, error) {
	doc := Report{Schema: "twice.verify/v1", Verdict: Verified, Files: []File{}}
	files, images, err := v.list(args)
	if err != nil {
		return doc, err
	}
	for i, name := range slices.Concat(files, images) {
		if err := context.Cause(ctx); err != nil {
			return doc, err
		}
		var f File
		if i < len(files) {
			f = v.file(ctx, name)
		} else {
			f = v.Image(ctx, name)
		}
		doc.add(f)
	}
	for _, dir := range v.plain {
		if slices.ContainsFunc(doc.Files[dir.first:dir.last], File.ofRelease) {
			doc.add(v.noRecord(dir.name))
			continue
		}
		doc.Notes = append(doc.Notes, fmt.Sprintf("whether something is missing from %s, or was added: it has no %s", v.opt.Display(dir.name), pipeline.RecordName))
	}
	for _, dir := range v.dists {
		list, err := v.dist(ctx, dir)
		if err != nil {
			return doc, err
		}
		for _, f := range list {
			doc.add(f)
		}
	}
	for _, dir := range v.layouts {
		list, err := v.layout(ctx, dir)
		if err != nil {
			return doc, err
		}
		for _, f := range list {
			doc.add(f)
		}
	}
	doc.noteStrange(v.index.strange(), v.opt.Display)
	doc.warn(v.opt.DevelopmentKey)
	return doc, nil
}

// list returns the files and images that args name. Of a folder these are all
// regular files but bundles, and but releases and images, which are judged as a whole.
func (v *Verifier) list(args []Subject) (files, images []string, err error) {
	for _, arg := range args {
		root := arg.Path
		info, err := os.Stat(root)
		if errors.Is(err, os.ErrNotExist) {
			if _, rerr := reference.Parse(arg.Name); rerr == nil {
				images = append(images, arg.Name)
				continue
			}
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil, fault.Usage(err)
		}
		if err != nil {
			return nil, nil, err
		}
		if !info.IsDir() {
			files = append(files, root)
			continue
		}
		if root, err = filepath.EvalSymlinks(root); err != nil { // the user may have named a link
			return nil, nil, err
		}
		before, wholes := len(files), len(v.layouts)+len(v.dists)
		err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir():
				// A folder with both marks is a release, whose record is signed.
				for _, whole := range []struct {
					mark string
					list *[]string
				}{{pipeline.RecordName, &v.dists}, {layoutMark, &v.layouts}} {
					if _, err := os.Lstat(filepath.Join(name, whole.mark)); err == nil {
						*whole.list = append(*whole.list, name)
						return filepath.SkipDir
					}
				}
				v.folders = append(v.folders, name)
				return nil
			case strings.HasSuffix(name, pipeline.BundleSuffix):
				return nil
			case len(files) == maxFiles:
				return fmt.Errorf("%s: more than %d files", arg.Name, maxFiles)
			}
			files = append(files, name)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
		if len(files) == before && len(v.layouts)+len(v.dists) == wholes {
			return nil, nil, fault.Usage(fmt.Errorf("%s: there are no files in it to verify", arg.Name))
		}
		if len(files) > before {
			v.plain = append(v.plain, plainFolder{root, before, len(files)})
		}
	}
	return files, images, nil
}

// file judges one file.
func (v *Verifier) file(ctx context.Context, name string) File {
	about, err := digestFile(ctx, name, maxFile)
	if err != nil {
		return unreadable(v.opt.Display(name), err)
	}
	candidates, err := v.candidates(name, about.Digest)
	if err != nil {
		return unreadable(v.opt.Display(name), err)
	}
	doc := v.judge(v.opt.Display(name), about, candidates, v.opt.Policy)
	doc.noteName(func(n string) bool { return path.Base(n) == filepath.Base(name) })
	return doc
}

// judge opens the bundles that may be about something, each of which must be
// good, and holds what they say against a policy, nil if there is none.
func (v *Verifier) judge(name string, about attest.Artifact, candidates []bundleFile, expected *policy.Policy) File {
	doc := File{Name: name, Digest: about.Digest, Verdict: Refused, Bundles: []Bundle{}, Problems: []Problem{}}
	for _, c := range candidates {
		b, err := c.load()
		if err != nil {
			doc.unopened(v.opt.Display(c.name), err)
			continue
		}
		switch {
		case v.asksRebuilders(b):
			v.judgeRebuild(&doc, about, b)
		case v.opt.Publisher == nil:
			doc.NotCounted = append(doc.NotCounted, Problem{v.opt.Display(b.name), nobodyAsked, "the policy asks for rebuilds alone, and this says something else", ""})
		default:
			opened, err := attest.Open(b.data, *v.opt.Publisher, about)
			if err != nil {
				doc.unopened(v.opt.Display(b.name), err)
				continue
			}
			doc.published(v, b, opened)
		}
	}
	if v.opt.Publisher != nil && len(doc.Bundles)+len(doc.Problems) == 0 {
		what := "no bundle here is about"
		if len(candidates) > 0 {
			what = "nobody whom you trust has signed a bundle here that is about"
		}
		doc.problem("", "unsigned", fault.WithRemedy(fmt.Errorf("unsigned: %s %s", what, about.Digest),
			"fetch the *.sigstore.json files that were published with it into the same folder, or name one with --bundle"))
	}
	// In the policy's order, whatever the bundles are called.
	slices.SortStableFunc(doc.Rebuilds, func(x, y Rebuild) int { return x.nth - y.nth })
	slices.SortStableFunc(doc.RebuildStatements, func(x, y policy.Rebuilt) int { return x.By - y.By })
	if expected != nil && (len(doc.Bundles) > 0 || expected.Rebuilds != nil) {
		doc.Policy = expected.Check(about.Digest, doc.Statements, doc.RebuildStatements...)
		for _, f := range doc.Policy {
			if f.Outcome == policy.Met {
				continue
			}
			err := errors.New("policy: " + f.String())
			if f.Expectation == policy.RebuildsExpectation && f.Outcome == policy.NotShown {
				err = fault.WithRemedy(err, "fetch the rebuilders' *.rebuild.sigstore.json into the same folder, or name each with --bundle")
			}
			doc.problem("", "policy", err)
		}
	}
	doc.settle()
	return doc
}

// published notes what the publisher says.
func (doc *File) published(v *Verifier, b LoadedBundle, opened *attest.Verified) {
	said := v.bundleOf(b, opened)
	if s, ok := opened.Statement(); ok {
		s.Predicate = said.Predicate
		doc.Statements = append(doc.Statements, s)
		if reason, err := contradiction(s); err != nil {
			doc.problem(said.Name, reason, err)
		}
	}
	doc.Bundles = append(doc.Bundles, said)
}

func (v *Verifier) bundleOf(b LoadedBundle, opened *attest.Verified) Bundle {
	said := Bundle{Name: v.opt.Display(b.name), Signature: opened.Signature()}
	if s, ok := opened.Statement(); ok {
		digest := artifact.Of(s.Predicate)
		if v.predicates[digest] == nil {
			v.predicates[digest] = s.Predicate
		}
		said.PredicateType, said.Predicate = s.PredicateType, v.predicates[digest]
	}
	return said
}

// contradiction tells of a statement that cannot stand beside a good verdict.
func contradiction(s intoto.Statement) (reason string, err error) {
	switch {
	case rebuilt.Is(s.PredicateType, s.Predicate):
		r, err := rebuilt.Decode(s)
		if err == nil && !r.Pass() {
			return "failed rebuild", fmt.Errorf("it was rebuilt, and differs from what its source compiles to: %.500s", r.Reason.Text)
		}
		return "statement", err
	case s.PredicateType == slsa.ProvenanceType:
		_, err = slsa.DecodeProvenance(s)
	case s.PredicateType == slsa.TestResultType:
		t, err := slsa.DecodeTestResult(s)
		if errors.Is(err, slsa.ErrOtherTest) {
			return "", nil
		}
		if err == nil && t.Result != slsa.Passed {
			return "failed double build", fmt.Errorf("the signed result of the double build is %s: %s", t.Result, strings.Join(t.FailedTests[:min(5, len(t.FailedTests))], ", "))
		}
		return "statement", err
	}
	return "statement", err
}

// candidates are the bundles that say they are about a file, or else the one
// that is called like it.
func (v *Verifier) candidates(name string, d artifact.Digest) ([]bundleFile, error) {
	if v.given != nil {
		return v.given, nil
	}
	dirs := slices.Clone(v.folders)
	for dir := filepath.Dir(name); len(dirs) < len(v.folders)+3; dir = filepath.Dir(dir) { // dist/bin/<target>
		dirs = append(dirs, dir)
	}
	list, err := v.among(dirs, name, d)
	if err != nil {
		return nil, err
	}
	// What cannot be read may be about the file.
	for _, dir := range dirs {
		found, err := v.index.in(dir)
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			if b.unfit != nil && !b.isNone() && !slices.ContainsFunc(list, func(c bundleFile) bool { return c.name == b.name }) {
				list = append(list, b)
			}
		}
	}
	return list, nil
}

// among looks for candidates in folders.
func (v *Verifier) among(dirs []string, name string, d artifact.Digest) ([]bundleFile, error) {
	var claiming, own []bundleFile
	for _, dir := range dirs {
		found, err := v.index.in(dir)
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			if b.about(d) {
				claiming = append(claiming, b)
			} else if b.name == name+pipeline.BundleSuffix {
				own = append(own, b)
			}
		}
	}
	if len(claiming) == 0 {
		claiming = own
	}
	slices.SortFunc(claiming, func(a, b bundleFile) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(claiming, func(a, b bundleFile) bool { return a.name == b.name }), nil
}
