package rebuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/shell"
)

// built is the outcome of one build.
type built struct {
	link  linking
	file  artifact.Artifact
	facts inspect.Facts
	trace string
}

// rebuild builds with the linker flags that are known or likely. If the bytes differ it recovers
// the flags that the file was linked with, and builds again. Then it judges.
func (a *attempt) rebuild(ctx context.Context) error {
	first := a.firstLinking()

	a.Stage("build")
	b, err := a.buildSets(ctx, first)
	if err != nil {
		return err
	}
	if b.file.Digest != a.res.Digest {
		link, err := a.recoverFlags(ctx, b)
		if err != nil {
			return err
		}
		if link != nil {
			a.Stage("build")
			if b, err = a.build(ctx, *link); err != nil {
				return err
			}
		}
	} else if a.stated != nil {
		a.addRecovered(first, a.stated.String()+"; the bytes confirm it")
	} else if a.claim.trimpath && len(first.args) > 0 && a.options.LDFlags == nil {
		a.addRecovered(first, "the bytes")
	}

	// A fallback overwrites the result, and the build that failed to match must be shown
	// unchanged.
	before := *a.res
	for _, link := range a.fallbacks {
		a.Stage("build")
		try, err := a.build(ctx, link)
		if err != nil {
			return err
		}
		if try.file.Digest == a.res.Digest {
			a.addRecovered(link, "the bytes; in another order they would be the same, as there is no build ID")
			return a.judge(ctx, try)
		}
		if ok, err := a.equivalent(try); err != nil {
			return err
		} else if ok {
			a.addRecovered(link, "the bytes; the file was linked with more flags, which have no effect but on its build ID")
			return nil
		}
	}
	if len(a.fallbacks) > 0 { // it is b that is judged
		a.res.Recipe, a.res.RecipeDigest, a.res.Command = before.Recipe, before.RecipeDigest, before.Command
		a.res.Rebuilt, a.res.RebuiltSize = before.Rebuilt, before.RebuiltSize
	}
	return a.judge(ctx, b)
}

// buildSets builds, and if files were named, from each set of them, until it is known that it is
// the right one. If none is, the first that builds counts.
func (a *attempt) buildSets(ctx context.Context, l linking) (*built, error) {
	if len(a.sets) == 0 {
		return a.build(ctx, l)
	}

	var first *built
	var firstErr error
	before, files := *a.res, a.files
	after := before
	for _, a.files = range a.sets {
		b, err := a.build(ctx, l)
		reason := (*verdict.Reason)(nil)
		if err != nil && (ctx.Err() != nil || !errors.As(err, &reason) || reason.Kind != verdict.BuildFailed) {
			return nil, err
		}
		if err != nil {
			a.failed = true
			firstErr = cmp.Or(firstErr, err)
			continue
		}

		how := ""
		if same, _ := a.sameMain(b); same {
			how = "its build ID names the same package main"
		} else if b.file.Digest == a.res.Digest {
			how = "the bytes confirm it"
		}
		if how != "" {
			addGround(&a.res.Recovered, "files "+strings.Join(a.files, " "), "%s", how)
			return b, nil
		}
		if first == nil {
			first, files, after = b, a.files, *a.res
		}
	}

	// What is reported has to be of the build that is judged.
	a.files = files
	if *a.res = after; first == nil {
		return nil, firstErr
	}
	return first, nil
}

// compileAll reports whether all packages have to be compiled anew. An older toolchain comes with a
// compiled standard library, and a build that takes packages from there is no evidence about them.
// What this attempt has compiled once need not be compiled again. A build that failed leaves
// packages in the cache, too, and no evidence about them.
func (a *attempt) compileAll() bool {
	return a.failed || !a.claim.since(knowsProfiles) && len(a.graphs) == 0
}

// build builds once.
func (a *attempt) build(ctx context.Context, l linking) (*built, error) {
	c := a.claim
	// Guessed flags pass the same list as those that a file records.
	if err := checkLinkerFlags(l.args); err != nil {
		return nil, verdict.Because(verdict.Setting, "it would have been linked with %s", err)
	}
	r, err := c.recipe(a.source, recipe.Toolchain{Version: c.goVersion}, l, a.pgoOff)
	if err != nil {
		return nil, verdict.Because(verdict.Setting, "no command line can say how it was built: %s", err)
	}

	if c.named() {
		r.Binary = strings.TrimSuffix(path.Base(a.files[0]), ".go") + c.target.Exe()
		r.Argv = slices.Concat(r.Argv[:len(r.Argv)-1], a.files)
	}
	digest, err := r.Digest()
	if err != nil {
		return nil, err
	}
	a.res.Recipe, a.res.RecipeDigest, a.res.Command = &r, digest, c.command(r)
	res, err := a.session.Build(ctx, pass.Job{
		Binaries: []pass.Binary{{Recipe: r, ImportPath: r.Argv[len(r.Argv)-1]}},
		Share:    a.Share(),
		Trace:    true,
		All:      a.compileAll(),
	})
	if reason := sandbox.Limited(err); reason != nil {
		return nil, reason
	}
	if failed := (*pass.CommandError)(nil); errors.As(err, &failed) && ctx.Err() == nil {
		return nil, verdict.Because(verdict.BuildFailed, "the source does not build as the file says it was built: %s: %s", failed.What, failed.Complaint())
	}
	if err != nil {
		return nil, err
	}
	if err := a.graphs.Add(res, c.pkg, c.target); err != nil {
		return nil, err
	}

	b := &built{link: l, file: res.Artifacts[0], trace: res.Log}
	a.res.Rebuilt, a.res.RebuiltSize = b.file.Digest, b.file.Size
	f, err := a.Store.Open(b.file.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	read, err := inspect.Read(ctx, "rebuilt", f, b.file.Size)
	if err != nil {
		return nil, fmt.Errorf("what was rebuilt cannot be read: %w", err)
	}

	b.facts = read.Binaries[0]
	return b, nil
}

// untracked says how a person gets a clone that git calls modified, where the file was built in
// one.
func (c *claim) untracked() string {
	if c.dirty() {
		return ", with a new file in it that is no source, since the file says that its tree had changes"
	}
	return ""
}

// command is a recipe as a person would type it.
func (c *claim) command(r recipe.Recipe) string {
	var b strings.Builder

	env := []string{"GOTOOLCHAIN=" + c.goVersion, "GOFLAGS=", "GOWORK=off"}
	for _, kv := range c.env {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case name == "CC" || name == "CXX" || name == "FC":
		case name == "GOEXPERIMENT" && value == "", name == "GOFIPS140" && value == "off":
		default:
			env = append(env, kv)
		}
	}

	args := slices.Clone(r.Argv)
	if !c.install {
		args = slices.Insert(args, 2, "-o", r.Binary)
		switch {
		case r.Source.Commit != "":
			fmt.Fprintf(&b, "# in a clone at commit %s%s\n", r.Source.Commit, c.untracked())
		case c.vcs != nil:
			fmt.Fprintf(&b, "# in a clone of %s at commit %s%s\n", c.main.Path, c.vcs.revision, c.untracked())
		default:
			fmt.Fprintf(&b, "cp -R \"$(go mod download -json %s | sed -n 's/^.*\"Dir\": \"\\(.*\\)\".*/\\1/p')\" src && chmod -R u+w src && cd src\n", shell.Quote(r.Source.Name()))
		}
	}

	if !c.trimpath {
		b.WriteString("# with the folders where the file has them, since its paths are not trimmed\n")
	}

	for i, w := range append(env, args...) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(shell.Quote(w))
	}

	return b.String()
}
