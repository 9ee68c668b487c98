package rebuild

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/recipe"
)

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
	addGround(&j.res.Recovered, what, "%s", how)
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
		list = inTurn(shapedGuesses(a.facts, more, shapes(a.treeFS)), linkerGuesses(a.facts, more.sets()))
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
