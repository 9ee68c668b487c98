package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/policy"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/registry"
	"github.com/twicebuild/twice/pipeline/sbom"
)

// errRefused is returned when something was verified and found wanting.
var errRefused = fault.Refused(errors.New("refused"))

// trustFlags say whose signatures count.
type trustFlags struct {
	key, trustedRoot string
	identity         attest.Identity
}

func (f *trustFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.key, "key", "", "trust signatures of the public key in a file, or of a KMS (`KEY`)")
	flags.StringVar(&f.identity.Name, "certificate-identity", "", "trust certificates for `NAME`: an email address, or the URL of a CI job's definition")
	flags.StringVar(&f.identity.NameRegexp, "certificate-identity-regexp", "", "as --certificate-identity, a regular `EXPR` that matches all of it")
	flags.StringVar(&f.identity.Issuer, "certificate-oidc-issuer", "", "trust certificates for identities that `URL` vouched for")
	flags.StringVar(&f.identity.IssuerRegexp, "certificate-oidc-issuer-regexp", "", "as --certificate-oidc-issuer, a regular `EXPR` that matches all of it")
	flags.StringVar(&f.trustedRoot, "trusted-root", "", "the Sigstore instance that `FILE` describes (trusted_root.json; default: the public one)")
}

// trust returns whom to trust.
func (a *app) trust(ctx context.Context, f trustFlags) (attest.Trust, error) {
	id := f.identity
	byIdentity := id != (attest.Identity{})
	switch {
	case f.key == "" && !byIdentity:
		return attest.Trust{}, fault.Usage(errors.New("nothing says whom to trust: give --key, or --certificate-identity with --certificate-oidc-issuer"))
	case f.key != "" && byIdentity:
		return attest.Trust{}, fault.Usage(errors.New("--key and --certificate-... exclude each other: a signature is a key's or a certificate's"))
	case byIdentity && ((id.Name == "") == (id.NameRegexp == "") || (id.Issuer == "") == (id.IssuerRegexp == "")):
		return attest.Trust{}, fault.Usage(errors.New("an identity is --certificate-identity and --certificate-oidc-issuer, or their -regexp forms: give one of each"))
	}
	var root *attest.Root
	if f.trustedRoot != "" {
		data, err := artifact.ReadNamed(a.at(f.trustedRoot), maxTrust)
		if err != nil {
			return attest.Trust{}, fault.Usage(fmt.Errorf("trusted root: %w", err))
		}
		if root, err = attest.ParseRoot(data); err != nil {
			return attest.Trust{}, fault.Usage(fmt.Errorf("trusted root %s: %w", f.trustedRoot, err))
		}
	}
	if f.key != "" {
		public, err := key.LoadPublic(ctx, a.reference(f.key), a.keyOptions(signFlags{}))
		if err != nil {
			return attest.Trust{}, err
		}
		if root != nil {
			return attest.TrustLoggedKey(public.Key(), root)
		}
		return attest.TrustKey(public.Key())
	}
	if root == nil {
		public, err := a.publicInstance()
		if err != nil {
			return attest.Trust{}, err
		}
		data, err := public.TrustedRoot(ctx)
		if err != nil {
			return attest.Trust{}, err
		}
		if root, err = attest.ParseRoot(data); err != nil {
			return attest.Trust{}, err
		}
	}
	t, err := attest.TrustIdentity(root, f.identity)
	if failed := (*attest.Error)(nil); err != nil && !errors.As(err, &failed) {
		err = fault.Usage(err) // a regular expression that is none
	}
	return t, err
}

// Limits of what verify reads, in bytes and in files.
const (
	maxTrust = 16 << 20
	maxFile  = 1 << 40
	maxFiles = 100_000
)

// The documents of `twice verify --json`.
type (
	verifyDoc struct {
		Schema  string    `json:"schema"` // "twice.verify/v1"
		Verdict string    `json:"verdict"`
		Files   []fileDoc `json:"files"`
		// Warnings are what is signed and well, and what a reader may take for more than
		// it is: a snapshot, a part of a release, uncommitted changes, a development key.
		Warnings []string `json:"warnings,omitempty"`
		// Notes are what was not checked.
		Notes []string `json:"notes,omitempty"`
	}
	fileDoc struct {
		Name   string          `json:"name"`
		Digest artifact.Digest `json:"digest,omitempty"`
		// Verdict is verified, refused, or undetermined if the file or a bundle
		// could not be read.
		Verdict string `json:"verdict"`
		// Bundles are those that were verified.
		Bundles []bundleDoc `json:"bundles"`
		// Problems are what speaks against the file.
		Problems []problemDoc `json:"problems"`
		// Rebuilds are statements of rebuilds by those whom the policy lists. Which of
		// them count is in Policy.
		Rebuilds []rebuildStatementDoc `json:"rebuilds,omitempty"`
		// NotCounted are bundles that were found and passed over: they speak neither
		// for nor against the file.
		NotCounted []problemDoc `json:"notCounted,omitempty"`
		// Policy is what came of the policy's expectations.
		Policy policy.Findings `json:"policy,omitempty"`
		// Notes are what a reader should know, and speaks neither for nor against it.
		Notes []string `json:"notes,omitempty"`

		statements []intoto.Statement
		rebuilt    []policy.Rebuilt
	}
	bundleDoc struct {
		Name string `json:"name"`
		// PredicateType and Predicate are what is said about the file. They are absent
		// if it is merely signed.
		PredicateType string           `json:"predicateType,omitempty"`
		Predicate     json.RawMessage  `json:"predicate,omitempty"`
		Signature     attest.Signature `json:"signature"`
	}
	rebuildStatementDoc struct {
		// By is the rebuilder's name in the policy.
		By string `json:"by"`
		bundleDoc
		nth int // in the policy
	}
	problemDoc struct {
		Bundle string `json:"bundle,omitempty"`
		// Reason is one of attest.Reason, or: unsigned, failed double build, failed
		// rebuild, statement, policy, unreadable; of a folder with a release one of
		// missing, foreign, copy, hard link, link, swapped, changed, mode, record; and of what is
		// not counted: nobody asked.
		Reason string `json:"reason"`
		Error  string `json:"error"`
		Hint   string `json:"hint,omitempty"`
	}
)

const (
	verified     = "verified"
	refused      = "refused"
	undetermined = "undetermined"
)

func (a *app) verifyCmd() *cobra.Command {
	var trust trustFlags
	var policyFile string
	var bundles []string
	var insecure bool
	c := &cobra.Command{
		Use:   "verify {FILE | DIR | IMAGE}...",
		Short: "Check signatures, signers and statements of files; never builds",
		Long: `Verify checks that somebody you trust signed what is said
about each file, and that it is about these bytes. Bundles are found by themselves
in the file's folder and the two above it, as *.sigstore.json; every one that says
it is about the file has to be good. A file that its statements call something else is
told. Of an image (registry/name:tag or @digest) the bundles are what is attached to it.

A folder with a release is held against its signed release.json: every file of the
release has to be there, under its name, and nothing else. In any other folder each file
is verified by itself. A policy is about the files of the release, and not about
release.json; rebuilds are asked of its binaries, archives and images.

A policy can ask for rebuilds: statements of twice rebuild --attest by people whom it
lists, each with a key or an identity of their own. If it asks for nothing else,
it does not matter who published the file, and no --key is needed. A rebuild by
somebody else is named and does not count, either way.

Else the network is used only to learn what the public Sigstore instance trusts, when
an identity is given and no --trusted-root, and to ask a KMS for its key.

It exits with 0 if every file is verified, 1 if one is refused, 3 if it could
not be determined.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.Usage(errors.New("name a file or a folder to verify"))
			}
			v := a.verifier(insecure)
			if policyFile != "" {
				data, err := artifact.ReadNamed(a.at(policyFile), policy.MaxSize+1)
				if err == nil {
					v.policy, err = policy.Parse(policyFile, data)
				}
				if err != nil {
					return fault.Usage(err)
				}
			}
			if err := v.whom(c.Context(), trust, policyFile); err != nil {
				return err
			}
			for _, name := range bundles {
				b, err := v.index.given(a.at(name))
				if err != nil {
					return err
				}
				v.given = append(v.given, b)
			}
			return v.run(c.Context(), args)
		},
	}
	trust.add(c)
	c.Flags().StringArrayVar(&bundles, "bundle", nil, "use the bundle in `FILE` and no others (may be repeated)")
	insecureFlag(c, &insecure)
	c.Flags().StringVar(&policyFile, "policy", "", "hold what is said against the expectations in `FILE` (TOML)")
	return c
}

// verifier verifies files.
type verifier struct {
	app *app
	// trust is whom the publisher has to be, nil if it does not matter.
	trust  *attest.Trust
	policy *policy.Policy
	// rebuilders are the trusts of those whom the policy lists, in its order.
	rebuilders []attest.Trust
	given      []bundleRef
	index      *bundleIndex
	registry   registry.Options
	// predicates are those that were told, each once: most are said of many files.
	predicates map[artifact.Digest]json.RawMessage
	// dists are folders with a release, and layouts those with OCI images alone.
	dists, layouts []string
	// plain are arguments that are neither.
	plain []plainFolder
	// folders are all those below the plain arguments.
	folders []string
}

func (a *app) verifier(insecure bool) *verifier {
	return &verifier{app: a, index: newBundleIndex(), predicates: map[artifact.Digest]json.RawMessage{}, registry: a.registry(insecure)}
}

// plainFolder is a folder, and which of the files that were listed are in it.
type plainFolder struct {
	name        string
	first, last int
}

// judgeAll judges everything that args name.
func (v *verifier) judgeAll(ctx context.Context, args []string) (verifyDoc, error) {
	doc := verifyDoc{Schema: "twice.verify/v1", Verdict: verified, Files: []fileDoc{}}
	files, images, err := v.list(args)
	if err != nil {
		return doc, err
	}
	for i, name := range slices.Concat(files, images) {
		if err := context.Cause(ctx); err != nil {
			return doc, err
		}
		var f fileDoc
		if i < len(files) {
			f = v.file(ctx, name)
		} else {
			f = v.image(ctx, name)
		}
		doc.add(f)
	}
	for _, dir := range v.plain {
		if slices.ContainsFunc(doc.Files[dir.first:dir.last], fileDoc.ofRelease) {
			doc.add(noRecord(dir.name))
			continue
		}
		doc.Notes = append(doc.Notes, fmt.Sprintf("whether something is missing from %s, or was added: it has no %s", short(dir.name), pipeline.RecordName))
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
	doc.noteStrange(v.index.strange())
	doc.warn(v.app.developmentKey(ctx))
	return doc, nil
}

// warn says, once for all files, what is less than a release that somebody vouches for.
// development is the digest of this machine's development key, empty if there is none.
func (doc *verifyDoc) warn(development artifact.Digest) {
	say := func(format string, args ...any) {
		if w := fmt.Sprintf(format, args...); !slices.Contains(doc.Warnings, w) {
			doc.Warnings = append(doc.Warnings, w)
		}
	}
	for _, f := range doc.Files {
		for _, s := range f.statements {
			p, err := slsa.DecodeProvenance(s)
			if err != nil || p.External == nil {
				continue
			}
			if p.External.Snapshot {
				say("a snapshot, not a release")
			}
			if p.External.Partial != nil {
				say("partial: %s", p.External.Partial.Of(len(p.External.Targets)))
			}
			if p.External.Source.Uncommitted {
				say("built with uncommitted changes: the commit is not quite its source")
			}
			if p.External.Config.Uncommitted {
				say("its release file %s is not the one in the commit", p.External.Config.Path)
			}
		}
		for _, b := range f.Bundles {
			if development != "" && b.Signature.Key == development {
				say("%s", key.DevelopmentWarning)
			}
		}
	}
}

// developmentKey is the digest of this machine's development key, or empty. That of
// another machine is a key like any other.
func (a *app) developmentKey(ctx context.Context) artifact.Digest {
	dir, err := userDir(os.UserConfigDir())
	if err != nil {
		return ""
	}
	public, err := key.LoadPublic(ctx, filepath.Join(dir, "twice", "development.pub"), key.Options{})
	if err != nil {
		return "" // there is none, as a rule
	}
	return public.Fingerprint()
}

// noteStrange tells of what is called a bundle and is none, unless that was told with a
// file.
func (doc *verifyDoc) noteStrange(list []bundleRef) {
	told := map[string]bool{}
	for _, f := range doc.Files {
		told[f.Name] = true
		for _, p := range f.Problems {
			told[p.Bundle] = true
		}
	}
	list = slices.DeleteFunc(list, func(b bundleRef) bool { return told[short(b.name)] })
	const few = 20
	for _, b := range list[:min(few, len(list))] {
		doc.Notes = append(doc.Notes, fmt.Sprintf("%s, which is called a bundle and is none: %s", short(b.name), b.why()))
	}
	if n := len(list) - few; n > 0 {
		doc.Notes = append(doc.Notes, fmt.Sprintf("%d more that are called bundles and are none", n))
	}
}

// add adds a file, whose verdict counts unless there is a worse one.
func (doc *verifyDoc) add(f fileDoc) {
	doc.Files = append(doc.Files, f)
	if f.Verdict == refused || f.Verdict == undetermined && doc.Verdict == verified {
		doc.Verdict = f.Verdict
	}
}

func (v *verifier) run(ctx context.Context, args []string) error {
	doc, err := v.judgeAll(ctx, args)
	if err != nil {
		return err
	}
	bad := 0
	for _, f := range doc.Files {
		if f.Verdict != verified {
			bad++
		}
	}
	if v.app.json {
		if err := printJSON(v.app.document(), doc); err != nil {
			return err
		}
	} else {
		v.print(doc)
	}
	switch doc.Verdict {
	case refused:
		return fmt.Errorf("verify: %d of %s %w", bad, count(len(doc.Files), "file"), errRefused)
	case undetermined:
		return fmt.Errorf("verify: %d of %s could not be determined", bad, count(len(doc.Files), "file"))
	}
	return nil
}

// list returns the files and images that args name. Of a folder these are all
// regular files but bundles, and but releases and images, which are judged as a whole.
func (v *verifier) list(args []string) (files, images []string, err error) {
	for _, arg := range args {
		root := v.app.at(arg)
		info, err := os.Stat(root)
		if errors.Is(err, os.ErrNotExist) {
			if _, rerr := reference.Parse(arg); rerr == nil {
				images = append(images, arg)
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
				return fmt.Errorf("%s: more than %d files", arg, maxFiles)
			}
			files = append(files, name)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
		if len(files) == before && len(v.layouts)+len(v.dists) == wholes {
			return nil, nil, fault.Usage(fmt.Errorf("%s: there are no files in it to verify", arg))
		}
		if len(files) > before {
			v.plain = append(v.plain, plainFolder{root, before, len(files)})
		}
	}
	return files, images, nil
}

// file judges one file.
func (v *verifier) file(ctx context.Context, name string) fileDoc {
	about, err := digestFile(ctx, name, maxFile)
	if err != nil {
		return unreadable(short(name), err)
	}
	candidates, err := v.candidates(name, about.Digest)
	if err != nil {
		return unreadable(short(name), err)
	}
	doc := v.judge(short(name), about, candidates, v.policy)
	doc.noteName(func(n string) bool { return path.Base(n) == filepath.Base(name) })
	return doc
}

// noteName tells of a name that no statement gives the file.
func (doc *fileDoc) noteName(is func(string) bool) {
	var names []string
	for _, s := range doc.statements {
		for _, sub := range s.Subjects {
			if sub.Digest == doc.Digest && sub.Name != "" && !slices.Contains(names, sub.Name) {
				names = append(names, sub.Name)
			}
		}
	}
	if len(names) > 0 && !slices.ContainsFunc(names, is) {
		doc.Notes = append(doc.Notes, fmt.Sprintf("it has another name: what is signed calls it %.500s", strings.Join(names[:min(3, len(names))], ", ")))
	}
}

// image judges an image in a registry, by what is attached to it there.
func (v *verifier) image(ctx context.Context, ref string) fileDoc {
	m, err := registry.Resolve(ctx, ref, v.registry)
	if err != nil {
		return unreadable(ref, err)
	}
	candidates := v.given
	if candidates == nil {
		attached, err := registry.Referrers(ctx, m.Reference(), v.registry)
		if err != nil {
			return unreadable(ref, err)
		}
		for i, a := range attached {
			b := refOf(fmt.Sprintf("attachment %d", i+1), a.Bundle)
			b.data = a.Bundle
			candidates = append(candidates, b)
		}
	}
	doc := v.judge(m.Reference(), attest.Artifact{Digest: m.Digest}, candidates, v.policy)
	doc.noteName(func(n string) bool { return isNamed(m.Repository, ref, n) })
	return doc
}

// isNamed tells whether what is signed, whose name is repository:tag or
// repository:tag#platform, is of that repository, and of the tag that ref has, if it has
// one: whoever moves a tag back moves it to something that is signed.
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

// layout judges the images of an image layout, each by the digest of its index.
// What these name is then vouched for as far as every blob is what it is called.
func (v *verifier) layout(ctx context.Context, dir string) ([]fileDoc, error) {
	said, err := registry.ReadLayout(ctx, dir)
	if err != nil {
		return []fileDoc{unreadable(short(dir), err)}, nil
	}
	if len(said.Images) == 0 {
		return []fileDoc{unreadable(short(dir), errors.New("index.json: names no image"))}, nil
	}
	var list []fileDoc
	there := map[artifact.Digest]bool{}
	files := 0
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(dir, name)
		if err = cmp.Or(err, rerr, context.Cause(ctx)); err != nil || e.IsDir() {
			return err
		}
		if files++; files > maxFiles {
			return fmt.Errorf("%s: more than %d files", short(dir), maxFiles)
		}
		where, file := path.Split(filepath.ToSlash(rel))
		if where == "" && (file == layoutMark || file == "index.json") {
			return nil // whatever they say, the digests below are what counts
		}
		about, err := digestFile(ctx, name, registry.MaxBlob)
		if err != nil {
			list = append(list, unreadable(short(name), err))
			return nil
		}
		there[about.Digest] = true
		if where != "blobs/sha256/" || about.Digest.Hex() != file {
			list = append(list, fileDoc{Name: short(name), Digest: about.Digest, Verdict: refused, Bundles: []bundleDoc{},
				Problems: []problemDoc{{Reason: string(attest.WrongSubject), Error: "not a blob of the images, by its name: it is " + string(about.Digest)}}})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, m := range said.Images {
		name := short(dir) + ": " + m.Name
		if !there[m.Digest] {
			list = append(list, unreadable(name, fmt.Errorf("there is no blob %q", m.Digest)))
			continue
		}
		candidates, err := v.candidates(filepath.Clean(dir), m.Digest)
		if err != nil {
			return []fileDoc{unreadable(name, err)}, nil
		}
		list = append(list, v.judge(name, attest.Artifact{Digest: m.Digest}, candidates, v.policy))
	}

	// No signature speaks of what nothing leads to, nor of what is not there.
	last := &list[len(list)-1]
	last.noteBlobs("nothing in the layout leads to", slices.Sorted(maps.Keys(there)), func(d artifact.Digest) bool { _, ok := said.Blobs[d]; return !ok })
	last.noteBlobs("the layout is without", slices.Sorted(maps.Keys(said.Blobs)), func(d artifact.Digest) bool { return !there[d] })
	return list, nil
}

// noteBlobs tells of those blobs that are so.
func (doc *fileDoc) noteBlobs(what string, list []artifact.Digest, so func(artifact.Digest) bool) {
	list = slices.DeleteFunc(list, func(d artifact.Digest) bool { return !so(d) })
	if len(list) > 0 {
		doc.Notes = append(doc.Notes, fmt.Sprintf("%s %s, %s among them", what, count(len(list), "blob"), list[0]))
	}
}

// unreadable is the verdict on what could not be read.
func unreadable(name string, err error) fileDoc {
	return fileDoc{Name: name, Verdict: undetermined, Bundles: []bundleDoc{}, Problems: []problemDoc{{Reason: "unreadable", Error: err.Error(), Hint: fault.RemedyOf(err)}}}
}

// judge opens the bundles that may be about something, each of which must be
// good, and holds what they say against a policy, nil if there is none.
func (v *verifier) judge(name string, about attest.Artifact, candidates []bundleRef, expected *policy.Policy) fileDoc {
	doc := fileDoc{Name: name, Digest: about.Digest, Verdict: refused, Bundles: []bundleDoc{}, Problems: []problemDoc{}}
	for _, c := range candidates {
		b, err := c.load()
		if err != nil {
			doc.unopened(c.name, err)
			continue
		}
		switch {
		case v.asksRebuilders(b):
			v.judgeRebuild(&doc, about, b)
		case v.trust == nil:
			doc.NotCounted = append(doc.NotCounted, problemDoc{short(b.name), nobodyAsked, "the policy asks for rebuilds alone, and this says something else", ""})
		default:
			opened, err := attest.Open(b.data, *v.trust, about)
			if err != nil {
				doc.unopened(b.name, err)
				continue
			}
			doc.published(v, b, opened)
		}
	}
	if v.trust != nil && len(doc.Bundles)+len(doc.Problems) == 0 {
		what := "no bundle here is about"
		if len(candidates) > 0 {
			what = "nobody whom you trust has signed a bundle here that is about"
		}
		doc.problem("", "unsigned", fault.WithRemedy(fmt.Errorf("unsigned: %s %s", what, about.Digest),
			"fetch the *.sigstore.json files that were published with it into the same folder, or name one with --bundle"))
	}
	// In the policy's order, whatever the bundles are called.
	slices.SortStableFunc(doc.Rebuilds, func(x, y rebuildStatementDoc) int { return x.nth - y.nth })
	slices.SortStableFunc(doc.rebuilt, func(x, y policy.Rebuilt) int { return x.By - y.By })
	if expected != nil && (len(doc.Bundles) > 0 || expected.Rebuilds != nil) {
		doc.Policy = expected.Check(about.Digest, doc.statements, doc.rebuilt...)
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

// settle draws the verdict from the problems.
func (doc *fileDoc) settle() {
	speaksAgainst := func(p problemDoc) bool {
		return p.Reason != string(attest.Undetermined) && p.Reason != unreadableBundle
	}
	switch {
	case len(doc.Problems) == 0:
		doc.Verdict = verified
	case slices.ContainsFunc(doc.Problems, speaksAgainst):
		doc.Verdict = refused
	default:
		doc.Verdict = undetermined
	}
}

// Reasons of a problem beside those of package attest.
const (
	unreadableBundle = "unreadable"
	nobodyAsked      = "nobody asked"
)

func (doc *fileDoc) problem(bundle, reason string, err error) {
	doc.Problems = append(doc.Problems, problemDoc{bundle, reason, err.Error(), fault.RemedyOf(err)})
}

// unopened notes that a bundle is not good.
func (doc *fileDoc) unopened(name string, err error) {
	reason := unreadableBundle
	if failed := (*attest.Error)(nil); errors.As(err, &failed) {
		reason = string(failed.Reason)
	}
	doc.problem(short(name), reason, err)
}

// published notes what the publisher says.
func (doc *fileDoc) published(v *verifier, b foundBundle, opened *attest.Verified) {
	said := v.bundleOf(b, opened)
	if s, ok := opened.Statement(); ok {
		s.Predicate = said.Predicate
		doc.statements = append(doc.statements, s)
		if reason, err := contradiction(s); err != nil {
			doc.problem(said.Name, reason, err)
		}
	}
	doc.Bundles = append(doc.Bundles, said)
}

func (v *verifier) bundleOf(b foundBundle, opened *attest.Verified) bundleDoc {
	said := bundleDoc{Name: short(b.name), Signature: opened.Signature()}
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
func (v *verifier) candidates(name string, d artifact.Digest) ([]bundleRef, error) {
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
			if b.unfit != nil && !b.isNone() && !slices.ContainsFunc(list, func(c bundleRef) bool { return c.name == b.name }) {
				list = append(list, b)
			}
		}
	}
	return list, nil
}

// among looks for candidates in folders.
func (v *verifier) among(dirs []string, name string, d artifact.Digest) ([]bundleRef, error) {
	var claiming, own []bundleRef
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
	slices.SortFunc(claiming, func(a, b bundleRef) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(claiming, func(a, b bundleRef) bool { return a.name == b.name }), nil
}

// maxContent is the size up to which a file's content is kept for signatures
// that need it.
const maxContent = 1 << 20

// digestFile hashes a regular file of at most limit bytes, until the context ends.
func digestFile(ctx context.Context, name string, limit int64) (attest.Artifact, error) {
	f, info, err := artifact.OpenNamed(name)
	if err != nil {
		return attest.Artifact{}, err
	}
	defer f.Close()
	tooLarge := fmt.Errorf("%s: more than %d GiB", name, limit>>30)
	if info.Size() > limit { // a sparse file costs nobody but who reads it
		return attest.Artifact{}, tooLarge
	}
	var content limitedBuffer
	h := artifact.NewHasher(&content)
	if _, err := io.Copy(h, artifact.Until(ctx, io.LimitReader(f, limit+1))); err != nil {
		return attest.Artifact{}, fmt.Errorf("%s: %w", name, err)
	}
	if h.Size() > limit {
		return attest.Artifact{}, tooLarge
	}
	about := attest.Artifact{Digest: h.Digest()}
	if h.Size() <= maxContent {
		about.Content = content.data
	}
	return about, nil
}

// limitedBuffer keeps the first maxContent bytes.
type limitedBuffer struct{ data []byte }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.data = append(b.data, p[:min(len(p), maxContent-len(b.data))]...)
	return len(p), nil
}

// print shows a line for each file, and what was said and by whom once.
func (v *verifier) print(doc verifyDoc) {
	out := v.app.stdout
	var said []string
	say := func(format string, args ...any) {
		if line := clean(fmt.Sprintf(format, args...)); !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	for _, w := range doc.Warnings {
		say("warning       %s", w)
	}
	for _, f := range doc.Files {
		var kinds []string
		for _, b := range f.Bundles {
			if kind := kindOf(b.PredicateType); !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
		fmt.Fprintf(out, "%-12s  %s\n", f.Verdict, clean(f.Name))
		if f.Digest != "" && (v.app.verbose || len(doc.Files) == 1) {
			fmt.Fprintf(out, "              %s\n", f.Digest)
		}
		if len(f.Rebuilds) > 0 {
			kinds = append(kinds, count(len(f.Rebuilds), "rebuild"))
		}
		if len(kinds) > 0 && f.Verdict == verified {
			fmt.Fprintf(out, "              %s\n", clean(strings.Join(kinds, ", ")))
		}
		for _, p := range f.Problems {
			where := ""
			if p.Bundle != "" {
				where = p.Bundle + ": "
			}
			fmt.Fprintf(out, "              %s\n", clean(where+p.Error))
			if p.Hint != "" {
				fmt.Fprintf(out, "              hint: %s\n", clean(p.Hint))
			}
		}
		for _, n := range f.Notes {
			fmt.Fprintf(out, "              note: %s\n", clean(n))
		}
		for _, s := range f.statements {
			describe(s, say)
		}
		for _, b := range f.Bundles {
			describeSigner(b.Signature, say)
		}
		for _, r := range f.rebuilt {
			if said, err := rebuilt.Decode(r.Statement); err == nil {
				say("rebuilt by    %s (%s): %s", v.policy.Rebuilds.By[r.By].Name, r.Signer, rebuildLine(said))
				describeChoices(said, say)
			}
		}
		for _, n := range f.NotCounted {
			say("not counted   %s: %s", n.Bundle, n.Error)
		}
		for _, p := range f.Policy {
			if p.Outcome == policy.Met {
				say("policy        %s", p)
			}
		}
	}
	for _, n := range doc.Notes {
		say("not checked   %s", n)
	}
	if len(said) > 0 {
		fmt.Fprintf(out, "\n%s\n", strings.Join(said, "\n"))
	}
}

// kindOf is how people call a statement.
func kindOf(predicateType string) string {
	switch predicateType {
	case "":
		return "signature"
	case slsa.ProvenanceType:
		return "provenance"
	case slsa.TestResultType:
		return "test result"
	case rebuilt.SummaryType:
		return "verification summary"
	case sbom.CycloneDXPredicateType:
		return "CycloneDX"
	case sbom.SPDXPredicateType:
		return "SPDX"
	}
	return predicateType
}

// describe says what a statement says.
func describe(s intoto.Statement, say func(string, ...any)) {
	if r, err := rebuilt.Decode(s); err == nil {
		say("rebuilt       %s", rebuildLine(r))
		describeChoices(r, say)
		return
	}
	switch s.PredicateType {
	case slsa.ProvenanceType:
		p, err := slsa.DecodeProvenance(s)
		if err != nil {
			return // a problem, which was told
		}
		from := "a source that it does not name"
		if src, err := p.Source(); err == nil {
			from = sourceName(src)
		}
		with := ""
		if p.Internal != nil && len(p.Internal.Recipes) > 0 {
			with = " with " + p.Internal.Recipes[0].Recipe.Toolchain.Version
		}
		say("built from    %s%s", from, with)
		say("built by      %s", p.RunDetails.Builder.ID)
	case slsa.TestResultType:
		t, err := slsa.DecodeTestResult(s)
		if err != nil {
			return
		}
		varied, not := 0, []string{}
		for _, v := range t.Notes.Variations {
			if v.Varied {
				varied++
			} else {
				not = append(not, v.Name)
			}
		}
		say("double build  %s, %d things varied; not varied: %s", strings.ToLower(string(t.Result)), varied, strings.Join(not, ", "))
	}
}

// rebuildLine is what somebody found who rebuilt a file.
func rebuildLine(r *rebuilt.Result) string {
	line := string(r.Verdict)
	if r.Source != "" {
		line += ", " + r.Source
	}
	if r.GoVersion != "" {
		line += " with " + r.GoVersion
	}
	for i, n := range r.Normalizations {
		line += map[bool]string{true: ", but for ", false: " and "}[i == 0] + string(n)
	}
	return line
}

// describeChoices says what the publisher chose and the source does not force: what
// a user should know of each on a line, the others on one, and stamps last.
func describeChoices(r *rebuilt.Result, say func(string, ...any)) {
	const most = 12
	var plain []string
	stamps := 0
	for _, c := range r.Choices() {
		meaning := c.Meaning()
		stamp := c.Setting == recipe.StampSetting
		switch {
		case stamp && stamps >= most:
			stamps++
		case stamp:
			stamps++
			say("chosen        %.300q%s", c, inParentheses(meaning))
		case meaning != "":
			say("chosen        %.300q%s", c, inParentheses(meaning))
		default:
			plain = append(plain, fmt.Sprintf("%.300q", c))
		}
	}
	if len(plain) > 0 {
		say("chosen        %s", strings.Join(plain, ", "))
	}
	if stamps > most {
		say("chosen        and %d more of -X", stamps-most)
	}
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// sourceName is a source in one line.
func sourceName(s slsa.Source) string {
	name := "commit " + s.Commit
	switch {
	case s.Module != "":
		return s.Module + "@" + s.Version
	case s.Repository != "":
		name = s.Repository + " at " + name
	}
	if s.Tag != "" {
		name += ", tag " + s.Tag
	}
	if s.Uncommitted {
		name += ", with uncommitted changes"
	}
	return name
}

// describeSigner says who signed, and on what that rests.
func describeSigner(s attest.Signature, say func(string, ...any)) {
	if c := s.Certificate; c != nil {
		say("signed by     %s, says %s (certificate of %s)", c.Name, c.Issuer, c.Authority)
		if c.SourceRepository != "" {
			say("              in a job of %s at %s", c.SourceRepository, c.SourceRepositoryRef)
		}
	} else {
		say("signed by     key %s", s.Key)
	}
	for _, l := range s.Logs {
		say("logged in     %s", l.Log)
	}
	for _, t := range s.Times {
		say("signed when   %s tells by a %s", t.By, t.Kind)
	}
	for _, u := range s.Unknown {
		say("not counted   %s, which the trusted root does not know", u)
	}
	if len(s.Logs)+len(s.Times) == 0 {
		say("not checked   when it was signed, and whether a log knows of it (that takes --trusted-root)")
	}
}

// cleanLines is clean for each line of an error, in which names of strangers' files may be.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		parts := strings.Split(line, "\t")
		for j := range parts {
			parts[j] = clean(parts[j])
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}

// clean makes a line of a stranger's text that a terminal only shows.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 {
			return '\uFFFD'
		}
		return r
	}, s)
}
