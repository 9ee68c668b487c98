package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/record"
)

func (a *app) buildCmd() *cobra.Command {
	return a.sourceFlags(&cobra.Command{
		Use:   "build",
		Short: "Build twice and compare; binaries only",
		Long: `Build runs both passes and compares them, and writes the binaries with their
checksums and release.json. Uncommitted changes of tracked files are built too.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.makeRelease(c, releaseFlags{binariesOnly: true}, signFlags{}, pushFlags{})
		},
	})
}

func (a *app) releaseCmd() *cobra.Command {
	var snapshot, partial bool
	var sign signFlags
	var push pushFlags
	c := a.sourceFlags(&cobra.Command{
		Use:   "release",
		Short: "Build twice, compare, and package what agrees",
		Long: `Release builds every target twice and writes dist only if all bytes agree:
archives, checksums, the binaries, a list of what each is made of, release.json,
and signed statements of all that. Without --snapshot it insists on a version (a
tag at HEAD, or version in the release file), a clean work tree, and a key; a
snapshot without a key is signed with a development key, which proves nothing
about who built it. The images of a release are published, those of a snapshot are
not. A release of some targets alone takes --partial beside --target, and is
called partial in all that is said about it.

` + passphraseHelp,
		RunE: func(c *cobra.Command, _ []string) error {
			if partial && len(a.targets) == 0 {
				return fault.Usage(errors.New("--partial says that --target may leave something out, and there is no --target"))
			}
			return a.makeRelease(c, releaseFlags{snapshot: snapshot, partial: partial}, sign, push)
		},
	})
	c.Flags().BoolVar(&partial, "partial", false, "allow a release of the targets of --target alone")
	c.Flags().BoolVar(&snapshot, "snapshot", false, "allow a commit without a tag, and uncommitted changes")
	sign.add(c)
	c.Flags().BoolVar(&push.not, "no-publish", false, "leave the images of a release to twice publish")
	c.Flags().BoolVar(&push.force, "force-tag", false, "move tags that point to something else")
	insecureFlag(c, &push.insecure)
	return c
}

// releaseFlags say what a release may be: a snapshot, a part of one, or binaries alone.
type releaseFlags struct {
	snapshot, partial bool
	// binariesOnly leaves out archives, images and signatures: nothing is released.
	binariesOnly bool
}

// pushFlags say whether and how images are published.
type pushFlags struct{ not, force, insecure bool }

// makeRelease builds and, unless only binaries are wanted, packages and signs. It publishes the
// images of a release. It does not publish those of a snapshot, nor any if push forbids it.
func (a *app) makeRelease(c *cobra.Command, what releaseFlags, sign signFlags, push pushFlags) (err error) {
	cfg, err := a.pipelineConfig()
	if err != nil {
		return err
	}

	// The folder is reserved from the beginning, so that a second run does not build in vain.
	cfg.Snapshot, cfg.Partial, cfg.Unreleased, cfg.Write = what.snapshot, what.partial, what.binariesOnly, true
	run, err := pipeline.Prepare(c.Context(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.Close()) }()

	plan := run.Plan
	a.warn(plan.Warnings)
	a.describeInputs(run.Inputs)
	a.describePlan(plan)

	// Who signs is settled before anything is built: a passphrase is asked for while somebody is
	// there.
	opt := pipeline.WriteOptions{Package: !what.binariesOnly}
	var trust attest.Trust
	if !what.binariesOnly {
		flags := sign
		if !plan.IsSnapshot {
			flags = sign.withDefaults(run.Inputs.Release.Sign, filepath.Dir(cfg.ConfigFile))
		}
		signer, err := a.signer(c.Context(), flags, plan.IsSnapshot)
		if err != nil {
			return err
		}
		opt.Signer, trust = signer, signer.Trust()
		opt.Invocation.Builder = flags.Builder
	}

	out, err := run.Build(c.Context())
	if err != nil {
		return err
	}

	a.printVerdicts(plan, out)
	if err := out.Bisect(c.Context()); err != nil {
		return err
	}
	a.printBisections(out)
	a.printRecalled(c.Context(), cfg, out)

	rec, err := out.Write(c.Context(), opt)
	a.progress.Close() // stdout may be the same terminal
	if err != nil {
		return errors.Join(out.Err(), err) // the verdict stands, whether or not it could be written down
	}

	// What differs has a record, too, and the document is that record.
	if a.json {
		data, err := rec.Encode()
		if err == nil {
			_, err = a.document().Write(data)
		}
		if err != nil {
			return errors.Join(out.Err(), err)
		}
	}

	a.printNotVaried(rec)
	if err := out.Err(); err != nil {
		a.progress.Line("%s was not touched; the record, and what was built, is in %s", displayPath(cfg.Out), displayPath(run.Rejected()))
		return err
	}

	if !a.json {
		fmt.Fprintf(a.stdout, "%s\n", summary(rec, displayPath(cfg.Out)))
	}

	// The images of a snapshot are never pushed: their tags would look like those of a release.
	if what.binariesOnly || rec.Snapshot || push.not || len(rec.Images) == 0 {
		return nil
	}

	to := a.registry(push.insecure)
	to.ForceTag = push.force
	return a.publish(c.Context(), cfg.Out, to, &trust)
}

// describeInputs says what the release rests on.
func (a *app) describeInputs(in pipeline.Inputs) {
	a.progress.Line("source     %s", in.Source.Identity().Name())
	proof := "hash agrees with the checksum database"
	if !in.Toolchain.Published {
		proof = "NOT the published one, as release.toml allows"
	}

	a.progress.Line("toolchain  %s, %s: %s", in.Toolchain.Version, in.Toolchain.Origin, proof)
	if in.Toolchain.GoEnv != "" {
		a.progress.Line("           its go.env says %s, which has no effect here", in.Toolchain.GoEnv)
	}
	for _, r := range in.Toolchain.Refused {
		a.progress.Line("           passed over: %s", r)
	}
}

// describePlan says what is built.
func (a *app) describePlan(p pipeline.Plan) {
	binaries := map[string]bool{}
	for _, r := range p.Recipes {
		binaries[r.Build.Binary] = true
	}
	a.progress.Line("building   %s twice, for %s", strings.Join(sortedKeys(binaries), ", "), count(len(p.Targets()), "target"))
}

// printVerdicts says which artifacts were not reproduced, and why.
func (a *app) printVerdicts(p pipeline.Plan, o *pipeline.Outcome) {
	counted := map[matrix.Target]bool{}
	for i, b := range o.Binaries {
		if b.Verdict.Pass() || b.Verdict == compare.Undetermined && len(o.Failures) > 0 {
			continue // the error of the run says what failed
		}

		a.progress.Line("%-12s %s %s: %s", b.Verdict, b.Target, b.Name, b.Reason)
		if b.Explanation != nil {
			a.progress.Line("    %s", strings.ReplaceAll(b.Explanation.String(), "\n", "\n    "))
		}

		// The action graphs are of a target, so its numbers are told once.
		if b.Verdict == compare.Differs {
			a.printCompilations(b, p.Recipes[i].ImportPath)
			if g := b.Compilations; !counted[b.Target] {
				a.progress.Line("    %d of %d package compilations for %s were reproduced", g.Reproduced, g.Packages, b.Target)
				counted[b.Target] = true
			}
		}
	}

	for _, f := range o.Files {
		if f.Verdict.Pass() {
			continue
		}

		a.progress.Line("%-12s %s: %s", f.Verdict, f.Name, f.Reason)
		if f.Explanation != nil {
			a.progress.Line("    %s", strings.ReplaceAll(f.Explanation.String(), "\n", "\n    "))
		}
	}
}

// printCompilations names the first packages that differ, and says how. The action graphs are those of
// a target. If the main package of the binary is among the first, the others belong to other
// binaries.
func (a *app) printCompilations(b record.Binary, main string) {
	g := b.Compilations
	first := g.Culprits
	if slices.Contains(first, main) {
		first = []string{main}
	}

	list := func(what string, keep bool) {
		var names []string
		for _, name := range first {
			if slices.Contains(g.ContentDiffers, name) == keep {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			a.progress.Line("    %s: %s", what, strings.Join(names[:min(5, len(names))], ", "))
		}
	}

	list("first package that was compiled from equal inputs to something else", true)
	list("first package whose inputs differ", false)
}

// printBisections says which variations made the difference.
func (a *app) printBisections(o *pipeline.Outcome) {
	for _, b := range o.Binaries {
		if b.Bisection != nil {
			a.progress.Line("%s %s %s", b.Target, b.Name, b.Bisection)
		}
	}

	for _, f := range o.Files {
		if f.Bisection != nil {
			a.progress.Line("%s %s", f.Name, f.Bisection)
		}
	}
}

// printNotVaried says which circumstances were the same in both passes, so that the verdict says
// nothing about them.
func (a *app) printNotVaried(rec *record.Record) {
	for _, v := range rec.Varying.Variations {
		if !v.Varied {
			a.progress.Line("not varied: %s (%s)", v.Name, v.Reason)
		}
	}

	for _, m := range rec.Varying.Confinement.Missing {
		a.progress.Line("not confined: %s", m)
	}
}

// summary returns the result in one line.
func summary(rec *record.Record, out string) string {
	varied := 0
	for _, v := range rec.Varying.Variations {
		if v.Varied {
			varied++
		}
	}

	reproduced, packages := rec.PackageCompilations()
	s := fmt.Sprintf("%s  %s %s: %s and %d of %d package compilations, %d things varied; see %s",
		rec.Verdict, rec.Project, rec.Version, count(len(rec.Binaries), "binary"), reproduced, packages, varied, filepath.Join(out, distfiles.RecordName))
	if rec.Snapshot {
		s += " (a snapshot, not a release)"
	}
	if rec.Partial != nil {
		s += " (partial: " + rec.Partial.Describe(len(rec.Targets())) + ")"
	}

	return s
}
