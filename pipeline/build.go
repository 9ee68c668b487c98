package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// Outcome is what the two passes made.
type Outcome struct {
	// Binaries are in the order of Plan.Recipes.
	Binaries []record.Binary
	// Files are those that archives hold beside the binaries.
	Files []record.File
	// Failures are what kept targets from a verdict; each names its targets.
	Failures []error

	plan       *Plan
	files      map[string]artifact.Artifact // by name, from pass A
	filesB     map[string]artifact.Artifact // and from pass B
	variations []pass.Variation
	jobs       []record.Job
	took       time.Duration // that the passes took
}

// pack is an archive to be made.
type pack struct {
	target matrix.Target
	plan   matrix.ArchivePlan
}

// Verdict is reproduced only if everything is.
func (o *Outcome) Verdict() compare.Verdict {
	verdict := compare.Reproduced
	judge := func(v compare.Verdict) {
		if !v.Pass() && verdict != compare.Differs {
			verdict = v
		}
	}
	for _, b := range o.Binaries {
		judge(b.Verdict)
	}
	for _, f := range o.Files {
		judge(f.Verdict)
	}
	if len(o.Binaries) == 0 {
		return compare.Undetermined
	}
	return verdict
}

// Err returns nil only if everything was reproduced and nothing failed.
// Otherwise it is [ErrDiffers] if something differs, joined with what kept other
// targets from a verdict.
func (o *Outcome) Err() error {
	errs := o.Failures
	switch v := o.Verdict(); {
	case v.Pass() && len(errs) == 0:
		return nil
	case v == compare.Differs:
		errs = append([]error{ErrDiffers}, errs...)
	case len(errs) == 0:
		return errors.New("the two builds could not be compared")
	}
	return errors.Join(errs...)
}

// hookPause lies between the hooks of the two passes, so that a time stamp in
// whole seconds cannot be the same in both.
const hookPause = 1100 * time.Millisecond

// Build runs both passes over all recipes and compares them. A target that
// fails does not keep the others from being built: see Outcome.Failures. The
// error is that of a pass that could not be set up, or the context's.
func (p *Plan) Build(ctx context.Context) (*Outcome, error) {
	p.cfg.Progress.Stage("passes")
	sessions, err := p.open(ctx)
	for _, s := range sessions {
		if s != p.passA {
			defer s.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	o := &Outcome{plan: p}
	start := p.cfg.Now()
	jobs, err := p.runJobs(ctx, sessions)
	if err != nil {
		return nil, err
	}
	o.took = p.cfg.Now().Sub(start)
	o.variations = pass.Variations(sessions[pass.A].Witness(), sessions[pass.B].Witness(), p.confine.Reasons())
	for _, pair := range jobs {
		p.judge(ctx, o, pair)
	}
	if err := p.compareFiles(ctx, sessions, o); err != nil {
		return nil, err
	}
	return o, context.Cause(ctx)
}

// open sets up the passes, A before B.
func (p *Plan) open(ctx context.Context) (map[pass.Pass]pass.Session, error) {
	sessions := map[pass.Pass]pass.Session{}
	if p.passA == nil {
		s, err := p.local.Open(ctx, pass.A)
		if err != nil {
			return sessions, err
		}
		p.passA = s
	}
	sessions[pass.A] = p.passA
	if len(p.hooks) > 0 {
		select {
		case <-time.After(hookPause):
		case <-ctx.Done():
			return sessions, context.Cause(ctx)
		}
	}
	s, err := p.local.Open(ctx, pass.B)
	if err != nil {
		return sessions, err
	}
	sessions[pass.B] = s
	// Its hooks may have made what those of pass A did not.
	_, err = pass.Match(s.Tree(), path.Dir(p.configRel), p.globs)
	return sessions, passError(pass.B, err)
}

// job is a target in one pass, and what came of it.
type job struct {
	target matrix.Target
	pass   pass.Pass
	of     []int // indices of Plan.Recipes
	result pass.Result
	err    error
}

// pair is a target in both passes.
type pair struct{ a, b *job }

// pairs returns the work to do, a pair for each target.
func (p *Plan) pairs() []pair {
	var list []pair
	for i, r := range p.Recipes {
		if n := len(list); n > 0 && list[n-1].a.target == r.Build.Target {
			list[n-1].a.of = append(list[n-1].a.of, i)
			list[n-1].b.of = append(list[n-1].b.of, i)
			continue
		}
		list = append(list, pair{
			a: &job{target: r.Build.Target, pass: pass.A, of: []int{i}},
			b: &job{target: r.Build.Target, pass: pass.B, of: []int{i}},
		})
	}
	return list
}

// share divides the machine among slots jobs at a time.
func (p *Plan) share(jobs int) (slots int, s pass.Share) {
	// A compiler needs up to 0.7 GB for the largest packages (0.3 GB with the
	// default GOGC), and each job runs some.
	const process = 700 << 20
	cpus := max(1, p.cfg.CPUs)
	slots = max(1, min(cpus, jobs, int(p.cfg.Memory/(2*process))))
	s.Processes = max(2, min((cpus+slots-1)/slots, int(p.cfg.Memory/int64(slots*process/2))))
	s.Memory = p.cfg.Memory / int64(slots*s.Processes)
	switch {
	case s.Memory >= process:
		s.GOGC = 400 // less processor time: see e2e/bench
	case s.Memory >= process/2:
		s.GOGC = 200
	}
	s.Memory = max(s.Memory, process/2)
	return slots, s
}

// runJobs builds every target in both passes and returns the pairs. The error
// is the context's; what else fails is in the jobs.
func (p *Plan) runJobs(ctx context.Context, sessions map[pass.Pass]pass.Session) ([]pair, error) {
	pairs := p.pairs()
	slots, share := p.share(2 * len(pairs))
	p.cfg.Progress.Begin(2 * len(pairs))
	defer p.cfg.Progress.End()
	free := make(chan int, slots)
	for i := range slots {
		free <- i
	}
	var wait sync.WaitGroup
	run := func(j *job, failed *atomic.Bool) {
		slot := <-free
		if ctx.Err() != nil || failed.Load() {
			j.err = errSkipped // what fails in one pass is not tried in the other
			free <- slot
			return
		}
		wait.Go(func() {
			defer func() { free <- slot }()
			done := p.cfg.Progress.Job(string(j.pass), j.target.String())
			work := pass.Job{Slot: slot, Share: share}
			for _, i := range j.of {
				work.Binaries = append(work.Binaries, pass.Binary{Recipe: p.Recipes[i].Recipe, ImportPath: p.Recipes[i].ImportPath})
			}
			j.result, j.err = sessions[j.pass].Build(ctx, work)
			if j.err != nil {
				failed.Store(true)
			}
			if ctx.Err() != nil {
				done(ctx.Err()) // it did not fail by itself
				return
			}
			done(j.err)
		})
	}
	for _, pair := range pairs {
		// Pass B may run on fewer processors than there are, so it comes first:
		// what runs last then has the whole machine.
		var failed atomic.Bool
		run(pair.b, &failed)
		run(pair.a, &failed)
	}
	wait.Wait()
	return pairs, context.Cause(ctx)
}

// errSkipped stands for a job that was not run because of another's failure.
var errSkipped = errors.New("not built")

// judge compares what the passes made of a target's binaries.
func (p *Plan) judge(ctx context.Context, o *Outcome, pair pair) {
	var failed error
	for _, j := range []*job{pair.a, pair.b} {
		if j.err != nil && !errors.Is(j.err, errSkipped) && failed == nil {
			failed = j.err
		}
		if u := j.result.Usage; !u.Start.IsZero() {
			o.jobs = append(o.jobs, record.Job{Target: j.target, Pass: j.pass, Start: u.Start.UTC(), Seconds: u.Wall.Seconds(), CPUSeconds: u.CPU.Seconds()})
		}
	}
	var graphs compare.GraphResult
	var doubt error
	if failed == nil {
		if graphs, doubt, failed = p.compareGraphs(pair); doubt != nil {
			o.fail(pair.a.target, doubt)
		}
	}
	for k, i := range pair.a.of {
		r := p.Recipes[i]
		b := record.Binary{
			Name: r.Recipe.Binary, Target: r.Build.Target, Recipe: r.Recipe, RecipeDigest: r.Digest,
			Verdict: compare.Undetermined, Compilations: graphs,
		}
		for _, s := range r.Build.Stamps {
			b.Stamps = append(b.Stamps, record.Stamp{Name: s.Name, Value: s.Value})
		}
		artA, artB := pair.a.artifact(k), pair.b.artifact(k)
		b.A, b.B, b.Size = artA.Digest, artB.Digest, artA.Size
		if failed == nil {
			b.Verdict, b.Reason, b.Explanation, failed = o.compare(ctx, artA, artB)
		}
		if b.Verdict.Pass() && doubt != nil {
			b.Verdict, b.Reason = compare.Undetermined, p.summary(doubt.Error())
		}
		if failed != nil {
			b.Verdict, b.Reason = compare.Undetermined, p.summary(reason(failed))
		}
		o.Binaries = append(o.Binaries, b)
	}
	if failed != nil {
		o.fail(pair.a.target, failed)
	}
}

// failure is what kept targets from a verdict.
type failure struct {
	targets []string
	err     error
}

// Error names the targets first.
func (f *failure) Error() string { return strings.Join(f.targets, ", ") + ": " + f.err.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

// fail adds a failure. What is the same for several targets, as an error in the
// source is, is said once.
func (o *Outcome) fail(t matrix.Target, err error) {
	for _, known := range o.Failures {
		if f := (*failure)(nil); errors.As(known, &f) && f.err.Error() == err.Error() {
			f.targets = append(f.targets, t.String())
			return
		}
	}
	o.Failures = append(o.Failures, &failure{[]string{t.String()}, err})
}

// reason is the first line of an error, with what a command said in the next one.
func reason(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	if failed := (*pass.CommandError)(nil); errors.As(err, &failed) && !strings.Contains(first, failed.Complaint()) {
		first += ": " + failed.Complaint()
	}
	return first
}

// artifact returns the k-th binary, or none where the job failed.
func (j *job) artifact(k int) artifact.Artifact {
	if k < len(j.result.Artifacts) {
		return j.result.Artifacts[k]
	}
	return artifact.Artifact{}
}

// compare gives the verdict on what the passes made of one thing and, if the
// bytes differ, explains why.
func (o *Outcome) compare(ctx context.Context, a, b artifact.Artifact) (compare.Verdict, string, *explain.Summary, error) {
	p := o.plan
	res, err := compare.Files(a, b)
	if err != nil || a.Digest == b.Digest {
		return res.Verdict, res.Reason, nil, err
	}
	sum, err := explain.Artifacts(ctx, p.store, a, b, explain.Options{Hints: o.hints(), TempDir: p.work.Dir})
	if err != nil {
		return compare.Undetermined, "", nil, fmt.Errorf("%s: %w", a.Name, err)
	}
	for n := range sum.Notes {
		sum.Notes[n] = p.summary(sum.Notes[n])
	}
	return res.Verdict, res.Reason, sum, nil
}

// hints are the values that differed between the passes on purpose, to be
// looked for where binaries differ.
func (o *Outcome) hints() []explain.Hint {
	var hints []explain.Hint
	for _, v := range o.variations {
		if v.Varied {
			hints = append(hints, explain.Hint{Name: v.Name, A: v.A, B: v.B})
		}
	}
	return hints
}

// summary is a message for the record: without the output of commands, and
// without the path of the workspace, which no other run has.
func (p *Plan) summary(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	return strings.ReplaceAll(line, p.work.Dir, "workspace")
}

// compareGraphs reads and compares the action graphs of a target. doubt says why they
// are no evidence that the passes built what the recipes say: equal files may then
// come from anywhere.
func (p *Plan) compareGraphs(pair pair) (res compare.GraphResult, doubt, err error) {
	parse := func(list [][]byte) ([]compare.Graph, error) {
		graphs := make([]compare.Graph, len(list))
		for i, data := range list {
			var err error
			if graphs[i], err = compare.ParseGraph(bytes.NewReader(data)); err != nil {
				return nil, fmt.Errorf("action graph: %w", err)
			}
		}
		return graphs, nil
	}
	programs := compare.Programs{OS: pair.a.target.OS, Arch: pair.a.target.Arch}
	for _, i := range pair.a.of {
		programs.ImportPaths = append(programs.ImportPaths, p.Recipes[i].ImportPath)
	}
	var graphs [2][]compare.Graph
	for i, j := range []*job{pair.a, pair.b} {
		if graphs[i], err = parse(j.result.Graphs); err != nil {
			return res, nil, err
		}
		err := programs.Fit(graphs[i])
		if n := len(graphs[i]); err == nil && j.pass == pass.B && n != len(j.of) {
			err = fmt.Errorf("%d action graphs for %d binaries, each of which it builds by itself", n, len(j.of))
		}
		if err != nil && doubt == nil {
			doubt = fmt.Errorf("pass %s: %w", j.pass, err)
		}
	}
	res = compare.Graphs(graphs[0], graphs[1])
	return res, cmp.Or(doubt, res.Err()), nil
}

// planFiles finds out what archives hold beside the binaries. tree is the source
// as the hooks of pass A left it, where each glob that must match does.
func (p *Plan) planFiles(tree string) error {
	root, err := pass.OpenFolder(tree, path.Dir(p.configRel))
	if err != nil {
		return err
	}
	defer root.Close()
	folder := root.FS()
	for _, pair := range p.pairs() {
		plan, err := p.File.Archive(pair.a.target, p.Vars)
		if err != nil {
			return fault.Usage(err)
		}
		p.packs = append(p.packs, pack{pair.a.target, plan})
		for _, g := range plan.Files {
			if slices.Contains(p.globs, g) {
				continue
			}
			p.globs = append(p.globs, g)
			found, err := fs.Glob(folder, g)
			if err == nil && len(found) == 0 && plan.MustMatch {
				err = errors.New("matches no file")
			}
			if err != nil {
				return fault.Usage(fmt.Errorf("%s: archive.files: %s: %w", p.configRel, g, err))
			}
		}
	}
	for _, img := range p.images {
		for _, f := range img.Files {
			if info, err := fs.Stat(folder, f.Source); err != nil || !info.Mode().IsRegular() {
				return fault.Usage(fmt.Errorf("%s: %s.file: there is no file %s", p.configRel, img.Key, f.Source))
			}
			if g := literal(f.Source); !slices.Contains(p.globs, g) {
				p.globs = append(p.globs, g)
			}
		}
	}
	if _, err := pass.Match(tree, path.Dir(p.configRel), p.globs); err != nil {
		return fault.Usage(fmt.Errorf("%s: %w", p.configRel, err))
	}
	return nil
}

// literal returns the glob that matches name alone.
func literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// compareFiles collects what archives hold beside the binaries from both
// passes: hooks may have written it.
func (p *Plan) compareFiles(ctx context.Context, sessions map[pass.Pass]pass.Session, o *Outcome) error {
	found := map[pass.Pass]map[string]artifact.Artifact{}
	for pass, s := range sessions {
		var err error
		if found[pass], err = p.filesOf(s); err != nil {
			return passError(pass, err)
		}
	}
	o.files, o.filesB = found[pass.A], found[pass.B]
	for _, name := range names(found[pass.A], found[pass.B]) {
		a, okA := found[pass.A][name]
		b, okB := found[pass.B][name]
		f := record.File{Name: name, A: a.Digest, B: b.Digest, Verdict: compare.Differs}
		switch {
		case !okA || !okB:
			f.Reason = "only one pass has it"
		default:
			var err error
			if f.Verdict, f.Reason, f.Explanation, err = o.compare(ctx, a, b); err != nil {
				return err
			}
		}
		o.Files = append(o.Files, f)
	}
	return nil
}

// passError says in which pass something is wrong with the files beside the binaries.
func passError(pass pass.Pass, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pass %s: files of archives and images: %w", pass, err)
}

// filesOf stores what archives hold beside the binaries, by name.
func (p *Plan) filesOf(s pass.Session) (map[string]artifact.Artifact, error) {
	list, err := s.Files(p.globs)
	if err != nil {
		return nil, err
	}
	files := map[string]artifact.Artifact{}
	for _, f := range list {
		files[f.Name] = f
	}
	return files, nil
}

func names(maps ...map[string]artifact.Artifact) []string {
	var list []string
	for _, m := range maps {
		for name := range m {
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	slices.Sort(list)
	return list
}

func matches(glob, name string) bool {
	ok, err := path.Match(glob, filepath.ToSlash(name))
	return ok && err == nil
}
