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
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
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
			ground(&a.res.Recovered, "files "+strings.Join(a.files, " "), "%s", how)
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

// maxFallbacks bounds the builds with flags that the oracle does not confirm.
const maxFallbacks = 6

// withoutOracle returns likely flags that the oracle cannot confirm. The publisher may have given
// further flags that leave no trace: the linker ignores -X for a variable that the program does not
// have, and then its value is nowhere in the file. A build without such flags differs in the build
// ID alone.
func (a *attempt) withoutOracle(c candidates) []linking {
	if len(c.values) == 0 {
		return nil
	}

	var list []linking
	strip := a.visibleFlags()
	for set := range c.sets() {
		if len(set) == 0 {
			continue
		}
		args := slices.Clone(strip)
		for _, a := range set {
			args = append(args, "-X", a.name+"="+a.value)
		}
		if list = append(list, linking{args: args}); len(list) == maxFallbacks {
			break
		}
	}

	return list
}

// firstLinking returns the linker flags to try first.
func (a *attempt) firstLinking() linking {
	c := a.claim
	switch {
	case a.options.LDFlags != nil:
		return linking{args: a.ldflags}
	case c.ldflagsKnown:
		a.flagsKnown = c.inexact == ""
		raw, _ := a.facts.Build.Setting("-ldflags")
		return linking{args: c.ldflags, raw: raw}
	}
	if a.stated != nil {
		a.flagsKnown = a.stated.Verified
		return a.statedFlags
	}
	return linking{args: a.visibleFlags()}
}

// visibleFlags returns the arguments of the linker that can be seen in the file.
func (j *job) visibleFlags() []string {
	args := slices.Clone(stripForms(j.facts)[0])
	if j.facts.BuildID == nil {
		// With an empty build ID, -B is what may give a UUID all the same.
		args = append([]string{"-buildid="}, args...)
		if h := j.facts.HostID; h != nil && hostIDRE.MatchString("0x"+h.Value) {
			args = append(args, "-B=0x"+h.Value)
		}
	}
	return args
}

// howKnown says how a setting of the recipe is known.
func (j *job) howKnown(c recipe.Choice) string {
	by := "chosen by whoever built it"
	why := j.claim.whyInferred(c)
	switch {
	case why != "":
		return by + "; " + why
	case c.Setting == recipe.StampSetting || c.Setting == recipe.LinkSetting:
		if j.options.LDFlags != nil {
			return "you said so"
		}
		if j.claim.ldflagsKnown {
			return by + "; the file says so"
		}
	case slices.Contains(j.claim.flags, c.String()) || slices.Contains(j.claim.env, c.String()):
		return by + "; the file says so"
	}
	return by + "; recovered"
}

// addRecovered lists the linker flags as recovered, and says how they were found.
func (j *job) addRecovered(l linking, how string) {
	what := "-ldflags=" + strings.Join(l.args, " ")
	if len(l.args) == 0 {
		what = "no -ldflags"
	}
	if l.mode != "" {
		what += ", -buildmode=" + l.mode
	}
	ground(&j.res.Recovered, what, "%s", how)
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

// sameMain reports whether the parts of the build IDs about package main agree, and
// whether there are such parts.
func (a *attempt) sameMain(b *built) (same, known bool) {
	x, y := a.facts.BuildID, b.facts.BuildID
	if x == nil || y == nil || x.LinkAction == "" || y.LinkAction == "" {
		return false, false
	}
	return x.MainAction == y.MainAction && x.MainContent == y.MainContent, true
}

// recoverFlags looks for the linker flags that give the file's link action. It returns nil if the
// flags of b give it, or if none are found.
func (a *attempt) recoverFlags(ctx context.Context, b *built) (*linking, error) {
	same, known := a.sameMain(b)
	if !known && a.facts.BuildID == nil && !a.claim.ldflagsKnown && a.options.LDFlags == nil && a.stated == nil && textSize(a.facts) == textSize(b.facts) {
		// There is no oracle. Yet the file differs only in values that the linker was told, so a
		// few builds may do.
		stamps, err := a.stamps(b)
		if err == nil {
			a.fallbacks = a.withoutOracle(stamps)
		}
		return nil, err
	}
	if !known || !same {
		return nil, nil // there is nothing to ask, or the answer is no
	}

	// The link action is a hash of all flags, so equal ones settle the question.
	want := a.facts.BuildID.LinkAction
	if b.facts.BuildID.LinkAction == want {
		a.flagsKnown = true
		if !a.claim.ldflagsKnown && a.options.LDFlags == nil {
			how := "link action ID"
			if a.stated != nil {
				how = a.stated.String() + "; the link action ID confirms it"
			}
			a.addRecovered(b.link, how)
		}
		return nil, nil
	}

	o, err := newOracle(b.trace, a.claim.pkg, b.facts.BuildID.LinkAction)
	if err != nil {
		a.note("the linker's flags cannot be found out: %v", err)
		return nil, nil
	}

	a.Stage("recover the linker's flags")
	modes := []string{"default", "exe"}
	if slices.Contains(a.claim.flags, "-buildmode=pie") {
		modes = []string{"pie"}
	}

	// Known flags leave the build mode as the only question.
	list := func(yield func(linking) bool) { yield(b.link) }
	hidden := !a.claim.ldflagsKnown && a.options.LDFlags == nil
	var stamps candidates
	if hidden {
		if stamps, err = a.stamps(b); err != nil {
			return nil, err
		}
		more := stamps
		more.values = a.claim.likelyValues(cmp.Or(a.claim.main.Version, a.source.Version), stamps.values)
		list = inTurn(shapedGuesses(a.facts, more, shapes(a.treeFS)), guesses(a.facts, more.sets()))
	}

	found, mode, tried, ok := o.search(ctx, want, modes, list)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !ok {
		if hidden {
			a.fallbacks = a.withoutOracle(stamps)
			a.note("%d guesses of the linker's flags did not give the link action of its build ID", tried)
		}
		return nil, nil
	}
	if mode == "exe" {
		found.mode = mode
	}

	a.flagsKnown = true
	a.addRecovered(found, fmt.Sprintf("link action ID, guess %d", tried))
	return &found, nil
}

// stamps returns what -X may have set.
func (a *attempt) stamps(b *built) (candidates, error) {
	var c candidates
	f, err := a.Store.Open(b.file.Digest)
	if err != nil {
		return c, err
	}
	defer f.Close()

	if c.values, err = values(a.file, f, a.facts.Sections, b.facts.Sections); err != nil {
		return c, err
	}

	pkg := a.claim.pkg
	if a.claim.named() {
		pkg = path.Join(a.claim.main.Path, a.mainDir())
	}
	c.names, c.hinted = variables(a.treeFS, a.claim.main.Path, pkg)
	if list, ok := symbolVariables(a.file, a.facts); ok && len(list) > 0 {
		// Those that the program never reads leave no name.
		c.names, c.hinted, c.certain = unique(slices.Concat(list, c.hinted)), list, true
	}

	return c, nil
}

// judge compares the file with the last build.
func (a *attempt) judge(ctx context.Context, b *built) error {
	own := artifact.Artifact{Name: a.res.Name, Kind: artifact.Binary, Digest: a.res.Digest, Size: a.res.Size, Executable: true}
	a.Stage("compare")
	res, err := compare.Files(own, b.file)
	if err != nil {
		return err
	}

	if res.Verdict.Pass() {
		a.res.Verdict = res.Verdict
		return nil
	}

	// A signature or a build ID that differs is no ground for an explanation.
	if ok, err := a.equivalent(b); ok || err != nil {
		return err
	}

	if same, _ := a.sameMain(b); a.choice.guess != "" && !a.confirms(b) && !same {
		return &wrongGuess{res.Reason}
	}

	explanation, err := explain.Artifacts(ctx, a.Store, own, b.file, explain.Options{TempDir: a.dir})
	if err != nil {
		return err
	}
	d, err := a.differs(b, res.Reason, explanation)
	if err != nil {
		return err
	}

	verdict, reason := d.judge()
	if verdict == compare.Differs {
		a.res.Verdict, a.res.Reason = verdict, reason
	} else {
		a.undetermined(reason)
	}

	a.res.Explanation = explanation
	return nil
}

// normalizations are the combinations that are tried, the least first.
var normalizations = [][]inspect.Normalization{
	{inspect.WithoutSignature},
	{inspect.WithoutBuildID},
	{inspect.WithoutSignature, inspect.WithoutBuildID},
}

// equivalent reports whether nothing differs after a normalization.
func (a *attempt) equivalent(b *built) (bool, error) {
	return a.withBuilt(b, func(other *inspect.Binary) (bool, error) {
		for _, list := range normalizations {
			if c, err := inspect.Compare(a.bin, other, list...); err == nil && c.Same {
				a.res.SetEquivalent(c, list...)
				return true, nil
			} // an error is about a part that cannot be left out, and then the files are not the same
		}
		return false, nil
	})
}

// withBuilt opens the binary that was built and returns what a function says of it.
func (a *attempt) withBuilt(b *built, is func(*inspect.Binary) (bool, error)) (bool, error) {
	f, err := a.Store.Open(b.file.Digest)
	if err != nil {
		return false, err
	}
	defer f.Close()
	other, err := inspect.Open(f, b.file.Size)
	if err != nil {
		return false, err
	}
	return is(other)
}

// confirms reports whether the file's build ID names everything that b was linked from. A guess of
// its version is then confirmed.
func (a *attempt) confirms(b *built) bool {
	x, y := a.facts.BuildID, b.facts.BuildID
	return x != nil && y != nil && x.LinkAction != "" && x.LinkAction == y.LinkAction
}

// textSize is the number of bytes of functions.
func textSize(f inspect.Facts) int64 {
	if f.Code == nil {
		return 0
	}
	return f.Code.Text
}

func moduleText(m inspect.Module) string {
	s := strings.TrimSpace(verdict.Quote(m.Path) + " " + m.Version + " " + m.Sum)
	if m.Replace != nil {
		s += " => " + moduleText(*m.Replace)
	}
	return s
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
