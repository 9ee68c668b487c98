package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// Bounds of a search for the variations that matter. It takes 8 trials to find a single
// variation of 22: one without any, one with all, five that halve them, and one with that
// variation alone. A trial that several searches need is made once.
const (
	maxTrials   = 12 // of one search
	maxSearches = 8
	minSearch   = 5 * time.Minute // for all of them, or what the passes took three times
)

// item is something that differs: a binary, or a file of archives and images.
type item struct {
	name    string // for people
	recipe  int    // index in Plan.Recipes, -1 for a file
	file    string
	a, b    string        // what the passes made, see state
	guesses []pass.Factor // variations whose values are in it
	// compilesAlike tells that every compilation gave the same for the same inputs, so
	// that trials may share a build cache.
	compilesAlike bool
	save          func(*record.Bisection)
}

// state returns what is compared of an artifact. It is empty if there is no artifact.
func state(a artifact.Artifact) string {
	if a.Digest == "" {
		return ""
	}
	return fmt.Sprintf("%s %t", a.Digest, a.Executable)
}

// Bisect finds out which variation made the passes differ. It builds the items that differ again,
// hooks included. Each of these builds is as pass A did it, but with some of the variations of
// pass B. If binaries of one name differ in the same packages, it builds the first target's.
// Bisect writes its findings to Binaries and Files. The error is the context's, or about a folder
// of the run that cannot be made or removed. Any other failure becomes the reason why nothing was
// found. The passes cannot be used afterwards.
func (o *Outcome) Bisect(ctx context.Context) error {
	run := o.run
	items := o.items()
	if len(items) == 0 || run.passA == nil {
		return nil
	}

	// Trials use the folders of pass A.
	if err := run.passA.Close(); err != nil {
		return err
	}
	run.passA = nil

	local := *run.local
	local.Log = io.Discard // the hooks have said it before
	t := &trials{
		run: run, local: &local, items: items, results: map[string]trial{},
		end: run.cfg.Now().Add(max(minSearch, 3*o.took)),
	}

	// What did not vary cannot be the cause, so no trial is spent on it.
	for _, v := range o.variations {
		if v.Varied {
			t.factors = append(t.factors, v.Name)
		}
	}
	// A shared cache makes trials fast, where compiling is not what differs.
	if !slices.ContainsFunc(items, func(i item) bool { return !i.compilesAlike }) {
		var err error
		if t.cache, err = run.work.Sub("trials"); err != nil {
			return err
		}
	}

	run.cfg.Progress.Line("repeating what differs, to find out which variation it is")
	for i, x := range items {
		t.current, t.left = i, maxTrials
		before := t.made
		b := search(x.a, x.b, t.factors, x.guesses, func(varied []pass.Factor) (string, error) { return t.try(ctx, varied) })
		if err := context.Cause(ctx); err != nil {
			return err
		}

		b.Trials = t.made - before
		b.Reason = run.portable(b.Reason) // without the output of a hook
		x.save(b)
	}
	return nil
}

// items returns the things that differ, one of each kind.
func (o *Outcome) items() []item {
	var list []item
	listed := map[string]bool{}

	// A variation whose values are in the artifact is the likeliest cause, so it is tried first.
	guessed := func(caused func(a, b string) bool) (guesses []pass.Factor) {
		for _, v := range o.variations {
			if v.Varied && caused(v.A, v.B) {
				guesses = append(guesses, v.Name)
			}
		}
		return guesses
	}

	for i := range o.Binaries {
		b := &o.Binaries[i]

		// Binaries of one name that differ in the same packages have one cause, so one stands for all.
		kind := strings.Join(append([]string{b.Name}, b.Compilations.Culprits...), "\n")
		if b.Verdict != compare.Differs || listed[kind] {
			continue
		}

		listed[kind] = true
		list = append(list, item{
			name: fmt.Sprintf("%s %s", b.Target, b.Name), recipe: i,
			a: state(artifact.Artifact{Digest: b.A, Executable: true}), b: state(artifact.Artifact{Digest: b.B, Executable: true}),
			guesses: guessed(b.Explanation.Shows), compilesAlike: len(b.Compilations.ContentDiffers) == 0,
			save: func(x *record.Bisection) { b.Bisection = x },
		})
	}

	for i := range o.Files {
		f := &o.Files[i]
		if f.Verdict == compare.Differs {
			list = append(list, item{
				name: f.Name, recipe: -1, file: f.Name, a: state(o.files[f.Name]), b: state(o.filesB[f.Name]),
				guesses: guessed(f.Explanation.Shows), compilesAlike: true,
				save: func(x *record.Bisection) { f.Bisection = x },
			})
		}
	}

	return list[:min(len(list), maxSearches)]
}

// trials builds with some of the variations. Each trial builds all items whose search
// is not done yet.
type trials struct {
	run     *Run
	local   *pass.Local
	factors []pass.Factor // all that vary
	items   []item
	current int // the item whose search is going on; the items before it are done
	results map[string]trial
	cache   string
	made    int // trials
	left    int // trials that the search may make
	end     time.Time
}

// trial is the result of a trial: the state of each item, or an error.
type trial struct {
	states []string
	err    error
}

// errExhausted ends a search.
var errExhausted = errors.New("not within the time or the number of builds that are spent on it")

// try returns the state of the current item with these variations.
func (t *trials) try(ctx context.Context, varied []pass.Factor) (string, error) {
	key := joined(slices.Sorted(slices.Values(varied)), "\n")
	if r, ok := t.results[key]; ok {
		return r.of(t.current)
	}

	left := t.end.Sub(t.run.cfg.Now())
	if t.left == 0 || left <= 0 {
		return "", errExhausted
	}

	t.left--
	t.made++

	what := "nothing"
	if len(varied) > 0 {
		what = joined(varied[:min(len(varied), 3)], ", ")
	}
	if len(varied) > 3 {
		what += fmt.Sprintf(" and %d more", len(varied)-3)
	}
	t.run.cfg.Progress.Stage(fmt.Sprintf("build %d to find out why: varied is %s", t.made, what))

	within, cancel := context.WithTimeoutCause(ctx, left, errExhausted)
	defer cancel()

	var r trial
	r.states, r.err = t.build(within, varied)
	if r.err != nil && within.Err() != nil {
		return "", context.Cause(within)
	}

	// Only a result within the time is kept: what the time cut short says nothing.
	t.results[key] = r
	return r.of(t.current)
}

// joined returns the names of variations with sep between them.
func joined(factors []pass.Factor, sep string) string {
	names := make([]string, len(factors))
	for i, f := range factors {
		names[i] = string(f)
	}
	return strings.Join(names, sep)
}

// of returns the state of an item.
func (r trial) of(item int) (string, error) {
	if r.err != nil {
		return "", fmt.Errorf("it could not be repeated: %w", r.err)
	}
	return r.states[item], nil
}

// build makes a trial and returns the state of each item.
func (t *trials) build(ctx context.Context, varied []pass.Factor) (_ []string, err error) {
	s, err := t.local.OpenTrial(ctx, varied, t.cache)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	// The trial ran the hooks again, so its files are those to compare.
	files, err := t.run.filesOf(s)
	if err != nil {
		return nil, err
	}

	results := make([]string, len(t.items))
	jobs := map[string][]int{} // items, by target
	for i, x := range t.items {
		if x.recipe < 0 {
			results[i] = state(files[x.file])
		} else if i >= t.current {
			target := t.run.Plan.Recipes[x.recipe].Build.Target.String()
			jobs[target] = append(jobs[target], i)
		}
	}

	// One target at a time has the whole machine.
	_, share := share(t.run.cfg.Host, 1)
	for _, target := range slices.Sorted(maps.Keys(jobs)) {
		job := pass.Job{Share: share}
		for _, i := range jobs[target] {
			r := t.run.Plan.Recipes[t.items[i].recipe]
			job.Binaries = append(job.Binaries, pass.Binary{Recipe: r.Recipe, ImportPath: r.ImportPath})
		}

		made, err := s.Build(ctx, job)
		if err != nil {
			return nil, err
		}

		for k, i := range jobs[target] {
			results[i] = state(made.Artifacts[k])
		}
	}

	return results, nil
}
