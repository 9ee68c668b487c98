package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// compareBinaries compares what the passes made of a target's binaries, and adds the binaries to
// the outcome.
func (o *Outcome) compareBinaries(ctx context.Context, pair pair) {
	run := o.run
	var failed error

	for _, j := range []*job{pair.a, pair.b} {
		if j.err != nil && !errors.Is(j.err, errSkipped) && failed == nil {
			failed = j.err
		}

		if u := j.result.Usage; !u.Start.IsZero() {
			o.jobs = append(o.jobs, record.Job{Target: j.target, Pass: j.pass, Start: u.Start.UTC(), Seconds: u.Wall.Seconds(), CPUSeconds: u.CPU.Seconds()})
		}
	}

	// Equal bytes count only if both passes did the work that the recipes say.
	var graphs compare.GraphResult
	var unproven error
	if failed == nil {
		if graphs, unproven, failed = run.Plan.compareGraphs(pair); unproven != nil {
			o.fail(pair.a.target, unproven)
		}
	}

	for k, i := range pair.a.recipes {
		r := run.Plan.Recipes[i]
		b := record.Binary{
			Name: r.Recipe.Binary, Target: r.Build.Target, Recipe: r.Recipe, RecipeDigest: r.Digest,
			Verdict: compare.Undetermined, Compilations: graphs,
		}

		for _, s := range r.Build.Stamps {
			b.Stamps = append(b.Stamps, record.Stamp{Name: s.Name, Value: s.Value})
		}

		artA, artB := pair.a.artifact(k), pair.b.artifact(k)
		b.A, b.B, b.Size = artA.Digest, artB.Digest, artA.Size

		// What cannot be explained of one binary is no failure of the others.
		err := failed
		if err == nil {
			if b.Verdict, b.Reason, b.Explanation, err = o.compareArtifacts(ctx, artA, artB); err != nil {
				o.fail(pair.a.target, err)
			}
		}

		// Equal bytes that nothing proves to be the build's are no reproduction.
		if b.Verdict.Pass() && unproven != nil {
			b.Verdict, b.Reason = compare.Undetermined, run.portable(unproven.Error())
		}

		if err != nil {
			b.Verdict, b.Reason = compare.Undetermined, run.portable(reasonOf(err))
		}

		o.Binaries = append(o.Binaries, b)
	}

	if failed != nil {
		o.fail(pair.a.target, failed)
	}
}

// reasonOf returns the first line of an error, with the complaint of the command that failed.
func reasonOf(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	if failed := (*pass.CommandError)(nil); errors.As(err, &failed) && !strings.Contains(first, failed.Complaint()) {
		first += ": " + failed.Complaint()
	}
	return first
}

// compareArtifacts returns the verdict on two artifacts, one of each pass. If the bytes differ, it
// explains why.
func (o *Outcome) compareArtifacts(ctx context.Context, a, b artifact.Artifact) (compare.Verdict, string, *explain.Summary, error) {
	run := o.run
	res, err := compare.Files(a, b)
	if err != nil || a.Digest == b.Digest {
		return res.Verdict, res.Reason, nil, err
	}

	sum, err := explain.Artifacts(ctx, run.local.Store, a, b, explain.Options{Hints: o.hints(), TempDir: run.work.Dir, SameToolchain: true})
	if err != nil {
		return compare.Undetermined, "", nil, fmt.Errorf("%s: %w", a.Name, err)
	}
	for n := range sum.Notes {
		sum.Notes[n] = run.portable(sum.Notes[n])
	}
	return res.Verdict, res.Reason, sum, nil
}

// hints returns the values that differed between the passes on purpose. Where files differ, an
// explanation looks for these values.
func (o *Outcome) hints() []explain.Hint {
	var hints []explain.Hint
	for _, v := range o.variations {
		if v.Varied {
			hints = append(hints, explain.Hint{Name: string(v.Name), A: v.A, B: v.B})
		}
	}
	return hints
}

// portable returns a message as it is recorded: without the output of commands, and
// without the path of the workspace, which differs from run to run.
func (run *Run) portable(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	return strings.ReplaceAll(line, run.work.Dir, "workspace")
}

// compareGraphs reads and compares the action graphs of a target. unproven says why they do not
// show that the passes built what the recipes say. Equal files prove nothing then.
func (p Plan) compareGraphs(pair pair) (res compare.GraphResult, unproven, err error) {
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
	for _, i := range pair.a.recipes {
		programs.ImportPaths = append(programs.ImportPaths, p.Recipes[i].ImportPath)
	}

	var graphs [2][]compare.Graph
	for i, j := range []*job{pair.a, pair.b} {
		if graphs[i], err = parse(j.result.Graphs); err != nil {
			return res, nil, err
		}

		err := programs.Fit(graphs[i])
		if n := len(graphs[i]); err == nil && j.pass == pass.B && n != len(j.recipes) {
			err = fmt.Errorf("%d action graphs for %d binaries, each of which it builds by itself", n, len(j.recipes))
		}
		if err != nil && unproven == nil {
			unproven = fmt.Errorf("pass %s: %w", j.pass, err)
		}
	}

	res = compare.Graphs(graphs[0], graphs[1])
	return res, cmp.Or(unproven, res.Err()), nil
}

// compareFiles collects the files of archives and images from both passes, since hooks may
// have written them, and compares them.
func (o *Outcome) compareFiles(ctx context.Context, sessions map[pass.Pass]pass.Session) error {
	found := map[pass.Pass]map[string]artifact.Artifact{}
	for pass, s := range sessions {
		var err error
		if found[pass], err = o.run.filesOf(s); err != nil {
			return filesError(pass, err)
		}
	}

	o.files, o.filesB = found[pass.A], found[pass.B]
	for _, name := range sortedNames(found[pass.A], found[pass.B]) {
		a, okA := found[pass.A][name]
		b, okB := found[pass.B][name]
		f := record.File{Name: name, A: a.Digest, B: b.Digest, Verdict: compare.Differs}

		switch {
		case !okA || !okB:
			f.Reason = "only one pass has it"
		default:
			var err error
			if f.Verdict, f.Reason, f.Explanation, err = o.compareArtifacts(ctx, a, b); err != nil {
				return err
			}
		}

		o.Files = append(o.Files, f)
	}
	return nil
}

// filesError adds to an error about the files beside the binaries in which pass it is.
func filesError(pass pass.Pass, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pass %s: files of archives and images: %w", pass, err)
}

// filesOf stores the files that archives and images hold beside the binaries. It returns
// them by name.
func (run *Run) filesOf(s pass.Session) (map[string]artifact.Artifact, error) {
	list, err := s.Files(run.Plan.Globs)
	if err != nil {
		return nil, err
	}
	files := map[string]artifact.Artifact{}
	for _, f := range list {
		files[f.Name] = f
	}
	return files, nil
}

// sortedNames returns the keys of maps, sorted.
func sortedNames(maps ...map[string]artifact.Artifact) []string {
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
