package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/rebuild"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/safetext"
	"github.com/twicebuild/twice/pipeline/subject"
)

// candidate is a file that the user asks about.
type candidate struct {
	rebuild.Subject
	origin
	// withoutBuild is the result, where it is known without a build.
	withoutBuild *verdict.Result
}

// result is what came of a candidate.
type result struct {
	origin
	*verdict.Result
}

// foundFiles are the executables in what the user named.
type foundFiles struct {
	list      []candidate
	opened    []*subject.Subject
	contents  []verdict.Contents // of each subject
	selection selection
	failed    bool // something could not be opened
}

// selection says which files in subjects the user asks about. If there are patterns, one of
// them has to match.
type selection struct {
	globs   []string
	matched []bool
	goOnly  bool
}

func newSelection(flags rebuildFlags) (selection, error) {
	for _, g := range flags.only {
		if _, err := path.Match(g, ""); err != nil {
			return selection{}, fault.Usage(fmt.Errorf("--only %q: %w", g, err))
		}
	}
	return selection{flags.only, make([]bool, len(flags.only)), flags.goOnly}, nil
}

// includes reports whether the user asks about a file. Its path in the subject has slashes.
// The patterns that match are marked.
func (s *selection) includes(name string, isGo bool) bool {
	found := len(s.globs) == 0
	for i, g := range s.globs {
		if ok, _ := path.Match(g, name); ok {
			found, s.matched[i] = true, true
		}
	}
	return found && (isGo || !s.goOnly)
}

// unmatched returns an error about a pattern that matches nothing.
func (s *selection) unmatched() error {
	if i := slices.Index(s.matched, false); i >= 0 {
		return fault.Usage(fmt.Errorf("--only %q: matches the path of no executable in what you named", s.globs[i]))
	}
	return nil
}

// pathInSubject returns the path of a file in the subject. For a slice it is the path of the
// universal file, and for a file that is in nothing its name.
func pathInSubject(name string, containers []subject.Container) string {
	if n := len(containers); n > 0 && containers[n-1].Kind == subject.Universal {
		name, containers = containers[n-1].Name, containers[:n-1]
	}

	name = filepath.ToSlash(name)
	if len(containers) == 0 {
		return path.Base(name)
	}
	return name
}

// unreadable adds something that cannot be opened, or that holds no binary, under its name.
func (f *foundFiles) unreadable(arg string, open func() (io.ReadCloser, error)) {
	f.list = append(f.list, candidate{rebuild.Subject{Name: arg, Open: open}, origin{name: filepath.Base(arg)}, nil})
	f.failed = true
}

// notOpened adds something that subject.Open refused with err. A file of an unknown kind is
// given to the rebuild, whose reason for it is more exact than err. Of a file that is damaged
// or exceeds a limit err is the reason.
func (a *app) notOpened(f *foundFiles, arg string, err error) {
	file, _, ferr := fsx.OpenNamed(a.inDir(arg))
	switch {
	case ferr != nil:
		f.unreadable(arg, func() (io.ReadCloser, error) { return nil, err })
	case errors.Is(err, subject.ErrUnknown) || errors.Is(err, subject.ErrNoExecutables):
		f.unreadable(arg, func() (io.ReadCloser, error) { return file, nil })
	default:
		file.Close()
		f.list = append(f.list, candidate{rebuild.Subject{Name: arg}, origin{name: filepath.Base(arg)}, verdict.Unexamined(arg, err.Error())})
		f.failed = true
	}
}

func (f *foundFiles) close() error {
	var errs []error
	for _, s := range f.opened {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// subjects lists what there is to answer about in what args name. It downloads and unpacks to dir.
// Something that cannot be read becomes a candidate that cannot be opened, so that the others get a
// verdict all the same.
func (a *app) subjects(ctx context.Context, dir string, args []string, flags rebuildFlags) (*foundFiles, error) {
	platforms, err := parsePlatforms(flags.platforms)
	if err != nil {
		return nil, err
	}
	cfg := subject.Config{Dir: dir, WorkDir: a.dir, Platforms: platforms, Registry: a.registry(flags.insecure), NPM: a.npm()}

	selected, err := newSelection(flags)
	if err != nil {
		return nil, err
	}
	provenance, err := a.provenanceReader(ctx, flags.trust)
	if err != nil {
		return nil, err
	}

	f := &foundFiles{selection: selected}
	for _, arg := range args {
		a.progress.Stage("reading " + safetext.Clean(arg))

		// A bundle with provenance stands for the files that it is about.
		var names []string
		var bundle bool
		var err error
		if strings.HasSuffix(arg, distfiles.BundleSuffix) {
			names, bundle, err = provenance.SubjectsOf(ctx, a.inDir(arg))
		}
		if err != nil {
			f.unreadable(arg, func() (io.ReadCloser, error) { return nil, err })
			continue
		}
		if !bundle {
			names = []string{arg}
		}

		before := len(f.list)
		for _, name := range names {
			s, err := subject.Open(ctx, name, cfg)
			if cause := context.Cause(ctx); cause != nil {
				return nil, errors.Join(cause, f.close())
			}

			switch {
			case err != nil && bundle: // it is about other things than binaries, too
				a.progress.Line("passed over: %s", safetext.Clean(err.Error()))
			case fault.KindOf(err) == fault.KindUsage && len(args) == 1: // no other waits for a verdict
				return nil, errors.Join(err, f.close())
			case err != nil:
				a.notOpened(f, arg, err)
			default:
				f.opened = append(f.opened, s)
				f.add(s, provenance, provenance.Near(a.inDir(name)), before, bundle)
			}
		}

		if bundle && len(f.list) == before {
			f.unreadable(arg, func() (io.ReadCloser, error) {
				return nil, errors.New("nothing that it is about is an executable")
			})
		}
	}

	// A pattern may match in what could not be opened. If only toolchains were named, --only is
	// about their tools.
	if err := f.selection.unmatched(); err != nil && !f.failed && len(args) > 0 {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// add adds the executables of s, with what bundles say of them. With once, an executable that
// the list has from index first on is not added again.
func (f *foundFiles) add(s *subject.Subject, provenance *verify.ProvenanceReader, bundles []verify.LoadedBundle, first int, once bool) {
	in := verdict.Contents{Name: s.Ref, Scripts: s.Scripts, Archives: s.Archives, Unknown: s.Unknown, Links: s.Links, Unreadable: len(s.Skipped)}
	before := len(f.list)
	var notBuilt []candidate

	for _, e := range s.Executables {
		if e.Go {
			in.Go++
		} else {
			in.Others++
		}

		again := once && slices.ContainsFunc(f.list[first:], func(o candidate) bool { return o.Digest == e.Digest })
		if !f.selection.includes(pathInSubject(e.Name, e.Containers), e.Go) {
			in.NotAsked++
			continue
		}
		if again {
			continue
		}

		r := rebuild.Subject{Name: e.String(), Digest: e.Digest, Hints: hints(e.Versions), Open: func() (io.ReadCloser, error) { return e.Open() }}
		if !e.Go {
			notBuilt = append(notBuilt, candidate{r, originOf(s, e), verdict.NoGo(r.Name, e.Digest, e.Size)})
			continue
		}
		from := originOf(s, e)
		from.inputs = addProvenance(&r, &e, provenance, bundles)
		f.list = append(f.list, candidate{r, from, nil})
	}

	noGo := len(notBuilt)
	for _, skipped := range s.Skipped {
		// What could not be read may be a Go program.
		if !skipped.Whole && !f.selection.includes(pathInSubject(skipped.Name, skipped.Containers), true) {
			in.NotAsked++
			continue
		}
		name := skipped.File()
		notBuilt = append(notBuilt, candidate{rebuild.Subject{Name: name}, origin{name: path.Base(name)}, verdict.Unexamined(name, skipped.Reason)})
	}

	// An image is a whole system, and nobody reads a row for each of its files.
	if len(notBuilt) > 0 && (s.Kind == subject.Image || len(notBuilt) > maxNotBuiltRows) {
		var names []string
		for _, c := range notBuilt {
			names = append(names, c.Name)
		}
		notBuilt = []candidate{{rebuild.Subject{Name: s.Ref}, origin{name: path.Base(s.Ref)}, verdict.Beside(s.Ref, names, noGo, len(names)-noGo)}}
	}

	// Where there are Go programs, the user may care for these alone.
	if in.Go > 0 {
		for _, c := range notBuilt {
			if slices.ContainsFunc(s.Skipped, func(s subject.Skipped) bool { return s.Whole && s.File() == c.Name }) {
				c.withoutBuild.Reason.Remedy = "unpack it, and name the folder with what came out"
				continue
			}
			c.withoutBuild.Reason.Remedy = "say which files matter with --only GLOB, or --go for the Go programs and what cannot be read"
		}
	}

	f.list = append(f.list, notBuilt...)
	if len(f.list) == before && !once {
		f.list = append(f.list, candidate{rebuild.Subject{Name: s.Ref}, origin{name: path.Base(s.Ref)}, verdict.NothingAsked(s.Ref)})
	}
	f.contents = append(f.contents, in)
}

// maxNotBuiltRows is how many files without Go have a row each.
const maxNotBuiltRows = 16

// hints returns hints of the versions that are around a file.
func hints(versions []subject.Version) []rebuild.Hint {
	var list []rebuild.Hint
	for _, v := range versions {
		list = append(list, rebuild.Hint{Version: v.Version, From: v.From})
	}
	return list
}

// npm returns the npm client. It is empty if there is none in PATH.
func (a *app) npm() subject.NPM {
	path, err := find("npm", absolute(filepath.SplitList(environment(a.env)["PATH"])))
	if err != nil {
		return subject.NPM{}
	}
	return subject.NPM{Path: path, Env: a.env}
}
