package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/purl"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/safetext"
	"github.com/twicebuild/twice/pipeline/subject"
)

// attestFlags say whether the results of a rebuild are signed, by whom, and where the statements
// are written.
type attestFlags struct {
	signFlags
	attest bool
	out    string
	sign   *pflag.FlagSet
}

func (f *attestFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.attest, "attest", false, "sign a statement of each result")
	c.Flags().StringVar(&f.out, "attest-out", ".", "write the statements to `DIR`, as NAME_DIGEST.rebuild"+distfiles.BundleSuffix)

	// The flags that say who signs are remembered, since checkFlags refuses them without --attest.
	before := map[string]bool{}
	c.Flags().VisitAll(func(flag *pflag.Flag) { before[flag.Name] = true })
	f.signFlags.add(c)
	c.Flags().Lookup("builder").Usage = "the `URI` in the statement for who rebuilt"

	f.sign = pflag.NewFlagSet("", pflag.ContinueOnError)
	c.Flags().VisitAll(func(flag *pflag.Flag) {
		if !before[flag.Name] {
			f.sign.AddFlag(flag)
		}
	})
}

// checkFlags refuses flags that would do nothing.
func (f *attestFlags) checkFlags(c *cobra.Command) error {
	if f.attest {
		return nil
	}

	idle := ""
	if c.Flags().Changed("attest-out") {
		idle = "attest-out"
	}

	f.sign.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			idle = flag.Name
		}
	})

	if idle != "" {
		return fault.Usage(fmt.Errorf("--%s is of no use without --attest", idle))
	}
	return nil
}

// attester signs statements of results. A nil one signs nothing.
type attester struct {
	app    *app
	signer pipeline.Signer
	dir    string
	by     string // the URI of whoever rebuilds, or empty
	tool   record.Tool
}

// attester returns the signer of statements, or nil if none are asked for.
func (a *app) attester(ctx context.Context, f attestFlags) (*attester, error) {
	if !f.attest {
		return nil, nil
	}
	if f.Key == "" && !f.Keyless {
		return nil, fault.WithRemedy(fault.Usage(errors.New("--attest: nothing says who signs the statements")), "name a key with --key (twice keygen makes one), or prove who you are with --keyless")
	}

	signer, err := a.signer(ctx, f.signFlags, false)
	if err != nil {
		return nil, err
	}

	at := &attester{app: a, signer: signer, dir: a.inDir(f.out), by: f.Builder, tool: toolVersion()}
	if err := os.MkdirAll(at.dir, 0o777); err != nil {
		return nil, fault.Usage(fmt.Errorf("--attest-out: %w", err))
	}
	return at, nil
}

// origin is what a statement says of where a file comes from.
type origin struct {
	// name is the file's own name.
	name string
	// resource is a URI, or empty for a file that somebody had.
	resource string
	// inputs are the attestations that say how it was made.
	inputs []intoto.Descriptor
}

// originOf returns the origin of an executable in a subject.
func originOf(s *subject.Subject, e subject.Executable) origin {
	o := origin{name: path.Base(filepath.ToSlash(e.Name))}
	switch s.Kind {
	case subject.URL:
		o.resource = s.Ref + subpath(e)
	case subject.Package:
		spec := strings.TrimPrefix(s.Ref, "npm:")
		if i := strings.LastIndexByte(spec, '@'); i > 0 {
			o.resource = purl.NPM(spec[:i], spec[i+1:]) + subpath(e)
		}
	case subject.Image:
		if ref, err := reference.Parse(s.Ref); err == nil {
			o.resource = purl.OCI(ref.Repository, string(s.Digest)) + subpath(e)
		}
	}
	return o
}

// subpath returns the part that follows the URI of the archive or image that e is in. The URI alone
// would name all that is beside e, too.
func subpath(e subject.Executable) string {
	name, in := e.Name, e.Containers
	if n := len(in); n > 0 && in[n-1].Kind == subject.Universal {
		name, in = in[n-1].Name, in[:n-1]
	}
	if n := len(in); n == 0 || in[n-1].Kind == subject.URL && in[n-1].Format == "" { // which is the file
		return ""
	}
	return purl.Subpath(name)
}

// fileName returns the file for the statement about a file. Names and digests of different files
// may start alike. If a name is taken by another file, the next one gets all of the digest.
func (at *attester) fileName(o origin, d artifact.Digest, taken map[string]artifact.Digest) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._+-", r)) {
			return r
		}
		return '_'
	}, o.name)
	name = strings.TrimLeft(name[:min(len(name), 80)], ".")

	file := filepath.Join(at.dir, name+"_"+d.Hex()[:16]+".rebuild"+distfiles.BundleSuffix)
	if other, ok := taken[file]; ok && other != d {
		file = filepath.Join(at.dir, name+"_"+d.Hex()+".rebuild"+distfiles.BundleSuffix)
	}
	taken[file] = d
	return file
}

// refuseOverwriting fails if a statement that would be written exists already. It runs before
// anything is built, for the files that are known by then.
func (at *attester) refuseOverwriting(f *foundFiles) error {
	if at == nil {
		return nil
	}

	taken := map[string]artifact.Digest{}
	for _, b := range f.list {
		if b.Digest == "" || b.withoutBuild != nil {
			continue
		}
		if file := at.fileName(b.origin, b.Digest, taken); exists(file) {
			return errThere(file)
		}
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// attest signs the results and writes the statements. It notes in each result where its statement
// is, or why there is none.
func (at *attester) attest(ctx context.Context, results []result) error {
	if at == nil {
		return nil
	}

	at.app.progress.Stage("sign")
	taken := map[string]artifact.Digest{}
	bundles := map[string][]byte{}
	var files []string
	about := map[string][]*verdict.Result{} // by file: the same bytes may be there twice

	for _, res := range results {
		said, err := at.result(res.origin, res.Result)
		if err != nil {
			return fmt.Errorf("%s: %w", safetext.Clean(res.Name), err)
		}

		s, err := rebuilt.New(said)
		if errors.Is(err, rebuilt.ErrUndetermined) {
			res.Notes = append(res.Notes, "no statement was signed: "+err.Error())
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", safetext.Clean(res.Name), err)
		}

		file := at.fileName(res.origin, res.Digest, taken)
		about[file] = append(about[file], res.Result)
		if bundles[file] != nil {
			continue
		}
		if bundles[file], err = at.signer.Sign(ctx, s); err != nil {
			return err
		}
		files = append(files, file)
	}

	// Nothing is written before all is signed, so that a signature that fails leaves no part of the
	// statements behind.
	for _, file := range files {
		if err := writeNew(file, bundles[file]); err != nil {
			return err
		}
		for _, res := range about[file] {
			res.Statement = displayPath(file)
		}
	}
	return nil
}

// result returns res in the form of a statement.
func (at *attester) result(o origin, res *verdict.Result) (rebuilt.Result, error) {
	said := rebuilt.Result{
		Name: safetext.Replace(o.name, '_'), Digest: res.Digest, Resource: o.resource, Inputs: o.inputs,
		Verifier: at.by, Version: map[string]string{"twice": at.tool.Version, "go": at.tool.Go}, Time: at.app.now(),
		Evidence: rebuilt.Evidence{
			Claimed: claims(res.Claimed), Recovered: grounds(res.Recovered), RestsOn: grounds(res.RestsOn),
			Content: cmp.Or(res.Content, inspect.ContentUnknown), Notes: res.Notes, GoVersion: res.GoVersion, Package: res.Package, Source: res.Source, Target: res.Target,
			Normalizations: res.Normalizations, Uncovered: res.Uncovered, Size: res.Size, Verdict: res.Verdict,
		},
	}

	if res.Reason != nil {
		said.Reason = &rebuilt.Reason{Kind: string(res.Reason.Kind), Text: res.Reason.Text}
	}
	if res.Rebuilt != "" {
		said.Rebuilt = rebuilt.NewFile(res.Rebuilt, res.RebuiltSize)
	}

	if res.Recipe != nil {
		var err error
		if said.Recipe, err = rebuilt.NewRecipe(*res.Recipe); err != nil {
			return said, err
		}
	}
	return said, nil
}

func claims(list []verdict.Claim) []rebuilt.Claim {
	var out []rebuilt.Claim
	for _, c := range list {
		out = append(out, rebuilt.Claim(c))
	}
	return out
}

func grounds(list []verdict.Ground) []rebuilt.Ground {
	var out []rebuilt.Ground
	for _, g := range list {
		out = append(out, rebuilt.Ground(g))
	}
	return out
}

// errThere returns the error about a file that exists already.
func errThere(file string) error {
	return fault.WithRemedy(fault.Usage(fmt.Errorf("%s: is there already, and nothing is overwritten", displayPath(file))), "move it away, or choose another folder with --attest-out")
}

// writeNew writes a file that does not exist yet. It writes all of it or nothing.
func writeNew(file string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".twice-*")
	if err != nil {
		return err
	}
	defer func() {
		if rerr := os.Remove(f.Name()); !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}()

	_, werr := f.Write(data)
	if err := errors.Join(werr, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}

	// Unlike a rename, a link overwrites nothing.
	err = os.Link(f.Name(), file)
	if exists(file) && err != nil {
		return errThere(file)
	}
	if err != nil { // there are no links on this file system
		err = os.Rename(f.Name(), file)
	}
	return err
}
