package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/gotree"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// job is the work on one file.
type job struct {
	*Rebuilder
	dir   string
	res   *verdict.Result
	file  *os.File // in the store
	facts inspect.Facts
	bin   *inspect.Binary
	claim *claim
	// stated is a recipe that is used, and statedFlags are its arguments for the linker.
	stated      *Stated
	statedFlags linking
	// missing is why the file's word is not enough to find its source.
	missing *verdict.Reason
}

func (j *job) note(format string, args ...any) {
	j.res.Notes = append(j.res.Notes, j.summary(fmt.Sprintf(format, args...)))
}

// summary is a message for the result, without the paths of the workspace.
func (j *job) summary(message string) string { return j.Summary(j.dir, message) }

func (j *job) undetermined(r *verdict.Reason) {
	r.Text = j.summary(r.Text)
	j.res.Verdict, j.res.Reason, j.res.Explanation = compare.Undetermined, r.Remedied(), nil
	if j.res.Content == inspect.ContentChanged {
		r.Text += "; and it was changed after it was linked"
	}
}

func (j *job) run(ctx context.Context, s Subject) error {
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		return err
	}
	if err := j.inspect(ctx, s); err != nil {
		return err
	}
	defer j.file.Close()

	var reason *verdict.Reason
	if j.claim, reason = parseClaim(j.facts); reason != nil {
		return j.withoutBuildInfo(reason)
	}

	j.describe()
	if err := j.Confinement.AllowStrangers(); err != nil {
		return err
	}
	if s.Stated != nil {
		if err := j.useStated(*s.Stated); err != nil {
			return err
		}
	}

	choices, err := j.listSources(ctx, slices.Concat(j.stated.hints(), s.Hints))
	if err != nil {
		return err
	}
	return j.tryEach(ctx, choices)
}

// inspect takes the file into the store and reads what it says. From then on it is known whether
// the file is as it was linked.
func (j *job) inspect(ctx context.Context, s Subject) error {
	in, err := s.Open()
	if err != nil {
		return verdict.Because(verdict.Unavailable, "%s", err)
	}

	// One byte more than the bound tells a file that is too large from one that just fits.
	limited := &io.LimitedReader{R: in, N: sandbox.MaxSubject + 1}
	d, size, err := j.Store.Put(limited)
	if err := errors.Join(err, in.Close()); err != nil {
		return verdict.Because(verdict.Unavailable, "%s", err)
	}
	if size > sandbox.MaxSubject {
		return verdict.Because(verdict.Limits, "it has more than %d bytes", sandbox.MaxSubject)
	}
	if s.Digest != "" && d != s.Digest {
		return verdict.Because(verdict.Unavailable, "its digest is %s, want %s", d, s.Digest)
	}

	j.res.Digest, j.res.Size = d, size
	if j.file, err = j.Store.Open(d); err != nil {
		return err
	}

	f, err := inspect.Read(ctx, s.Name, j.file, size)
	if err == nil && f.Format == inspect.Universal {
		err = verdict.Because(verdict.Universal, "it is a Universal file of %d binaries", len(f.Binaries)).WithRemedy("take each out with lipo -thin, and rebuild that")
	}
	if err == nil {
		j.bin, err = inspect.Open(j.file, size)
	}

	if err != nil {
		j.file.Close()
		reason := (*verdict.Reason)(nil)
		if ctx.Err() != nil || errors.As(err, &reason) {
			return err
		}
		return verdict.Because(verdict.NotExecutable, "%s", err)
	}

	j.facts = f.Binaries[0]
	j.res.GoVersion = j.facts.GoVersion
	j.res.Content = inspect.ContentUnknown
	if c := j.facts.Content; c != nil {
		j.res.Content = c.State
		if c.State == inspect.ContentChanged {
			j.Stage("it was changed after it was linked, as its build ID tells")
		}
	}
	return nil
}

// withoutBuildInfo adds to the reason for a file without build information the release of Go that
// a text in it names. The linker writes runtime.buildVersion in the same way as the values of -X.
// The release is all that can be had: it says nothing about the source.
func (j *job) withoutBuildInfo(r *verdict.Reason) error {
	if r.Kind != verdict.NoBuildInfo || j.facts.GoVersion != "" || j.facts.BuildID == nil && j.facts.Code == nil {
		return r
	}

	var list []string
	if err := texts(j.file, j.facts.Sections, readOnlyData, func(s string) bool {
		if gotree.IsRelease(s) {
			list = append(list, s)
		}
		return len(list) < 100
	}); err != nil {
		return errors.Join(r, err)
	}

	// Two releases in it name none, because either may be data of the program.
	if list = unique(list); len(list) != 1 {
		return r
	}

	j.res.GoVersion = list[0]
	r.Text += fmt.Sprintf(", and it is a Go program, of %s by a text in it: a linker that leaves the information out made it, or somebody took it out", list[0])
	return r
}

// describe says what the file claims to be.
func (j *job) describe() {
	c := j.claim
	j.res.Package, j.res.Target, j.res.GoVersion = c.pkg, c.target.String(), c.goVersion
	j.res.Source = c.main.Path
	if c.main.Version != "" {
		j.res.Source += "@" + c.main.Version
	}
}

// claimDirty lists as a claim that the work tree of the file had uncommitted changes. The source
// that was built has none.
func (j *job) claimDirty() {
	if j.claim == nil || !j.claim.dirty() || j.res.Recipe == nil {
		return
	}
	why := "the file's own word: its work tree had uncommitted changes, and what was built has none"
	switch j.res.Verdict {
	case compare.Reproduced:
		why += "; the clean source gives the bytes of the file all the same"
	case compare.Equivalent:
		why += "; the clean source gives the file all the same, but for what was left out"
	}
	j.res.Claimed = append(j.res.Claimed, verdict.ClaimOf(recipe.Choice{Setting: "vcs.modified", Value: "true"}, why))
}

func addGround(list *[]verdict.Ground, what, why string, args ...any) {
	*list = append(*list, verdict.Ground{What: what, Why: fmt.Sprintf(why, args...)})
}
