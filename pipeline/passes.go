package pipeline

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/pass"
)

// hookPause is the time between the hooks of the two passes. A time stamp in whole seconds cannot
// be the same in both then.
const hookPause = 1100 * time.Millisecond

// Build runs both passes over all recipes and compares them. If a target fails, the others are
// built all the same: see Outcome.Failures. The error is that of a pass that could not be set up,
// or is about a file beside the binaries, or the context's.
func (run *Run) Build(ctx context.Context) (*Outcome, error) {
	run.cfg.Progress.Stage("passes")
	sessions, err := run.open(ctx)
	for _, s := range sessions {
		if s != run.passA {
			defer s.Close()
		}
	}
	if err != nil {
		return nil, err
	}

	o := &Outcome{run: run}
	start := run.cfg.Now()
	jobs, err := run.runJobs(ctx, sessions)
	if err != nil {
		return nil, err
	}

	o.took = run.cfg.Now().Sub(start)
	o.variations = pass.Variations(sessions[pass.A].Witness(), sessions[pass.B].Witness(), run.local.Confinement.Reasons())

	for _, pair := range jobs {
		o.compareBinaries(ctx, pair)
	}

	if err := o.compareFiles(ctx, sessions); err != nil {
		return nil, err
	}
	return o, context.Cause(ctx)
}

// open sets up the passes, A before B.
func (run *Run) open(ctx context.Context) (map[pass.Pass]pass.Session, error) {
	sessions := map[pass.Pass]pass.Session{}
	if run.passA == nil {
		s, err := run.local.Open(ctx, pass.A)
		if err != nil {
			return sessions, err
		}
		run.passA = s
	}

	sessions[pass.A] = run.passA

	if len(run.Plan.Hooks) > 0 {
		select {
		case <-time.After(hookPause):
		case <-ctx.Done():
			return sessions, context.Cause(ctx)
		}
	}

	s, err := run.local.Open(ctx, pass.B)
	if err != nil {
		return sessions, err
	}
	sessions[pass.B] = s

	// The hooks of pass B may have made other files than those of pass A.
	_, err = pass.MatchFiles(s.Tree(), run.Inputs.configDir(), run.Plan.Globs)
	return sessions, filesError(pass.B, err)
}

// job is the build of a target in one pass, and its result.
type job struct {
	target  matrix.Target
	pass    pass.Pass
	recipes []int // indices in Plan.Recipes
	result  pass.Result
	err     error
}

// pair is the jobs of a target in both passes.
type pair struct{ a, b *job }

// pairs returns a pair of jobs for each target.
func (p Plan) pairs() []pair {
	var list []pair

	for i, r := range p.Recipes {
		if n := len(list); n > 0 && list[n-1].a.target == r.Build.Target {
			list[n-1].a.recipes = append(list[n-1].a.recipes, i)
			list[n-1].b.recipes = append(list[n-1].b.recipes, i)
			continue
		}

		list = append(list, pair{
			a: &job{target: r.Build.Target, pass: pass.A, recipes: []int{i}},
			b: &job{target: r.Build.Target, pass: pass.B, recipes: []int{i}},
		})
	}
	return list
}

// share divides the machine h among the slots in which jobs run at a time. Each job runs some
// compilers.
func share(h host.Host, jobs int) (slots int, s pass.Share) {
	slots = max(1, min(h.CPUs, jobs, int(h.Memory/(2*pass.CompilerMemory))))
	return slots, pass.ShareOf(h.CPUs, h.Memory, slots)
}

// runJobs builds every target in both passes and returns the pairs. The error is the context's.
// Other failures are in the jobs.
func (run *Run) runJobs(ctx context.Context, sessions map[pass.Pass]pass.Session) ([]pair, error) {
	pairs := run.Plan.pairs()
	slots, share := share(run.cfg.Host, 2*len(pairs))
	run.cfg.Progress.Begin(2 * len(pairs))
	defer run.cfg.Progress.End()

	free := make(chan int, slots)
	for i := range slots {
		free <- i
	}

	var wait sync.WaitGroup
	start := func(j *job, failed *atomic.Bool) {
		slot := <-free

		if ctx.Err() != nil || failed.Load() {
			j.err = errSkipped // a target that fails in one pass is not tried in the other
			free <- slot
			return
		}

		wait.Go(func() {
			defer func() { free <- slot }()
			done := run.cfg.Progress.Job(string(j.pass), j.target.String())

			work := pass.Job{Slot: slot, Share: share}
			for _, i := range j.recipes {
				work.Binaries = append(work.Binaries, pass.Binary{Recipe: run.Plan.Recipes[i].Recipe, ImportPath: run.Plan.Recipes[i].ImportPath})
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
		// Pass B may run on fewer processors than there are, so it comes first. Then the last job
		// has the whole machine.
		var failed atomic.Bool
		start(pair.b, &failed)
		start(pair.a, &failed)
	}

	wait.Wait()
	return pairs, context.Cause(ctx)
}

// errSkipped stands for a job that was not run because of another's failure.
var errSkipped = errors.New("not built")

// artifact returns the k-th binary. It is empty if the job failed.
func (j *job) artifact(k int) artifact.Artifact {
	if k < len(j.result.Artifacts) {
		return j.result.Artifacts[k]
	}
	return artifact.Artifact{}
}
