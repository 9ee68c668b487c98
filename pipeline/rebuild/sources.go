package rebuild

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// Many files do not say which version of their module they were built from. They say
// "(devel)", and a module proxy may refuse to look up the revision in their stamp. What
// is around a file often has a version: the package, the image, the name of the
// archive. Those are tried, and the bytes show whether one was right. A wrong guess
// says nothing about the file: the verdict then is Undetermined, never Differs.

// Hint is a version or a commit that something around a file suggests. Nothing
// vouches for it, and nothing rests on it.
type Hint struct {
	// Version is a canonical version such as "v1.2.3". If it is empty, Revision is
	// the full hash of a git commit.
	Version, Revision string
	// From is whose version or commit it is, in English: "the npm package".
	From string
}

const (
	maxHints   = 32 // that are looked at
	maxGuesses = 4  // that are asked of the module proxy
)

// sourceChoice is a source that the file may have been built from.
type sourceChoice struct {
	// version is the main module's; empty stands for the user's repository.
	version string
	// recovered and claimed say how it is known where the file does not say it.
	recovered []verdict.Ground
	claimed   []verdict.Claim
	// guess is whose version it is, if nothing but that speaks for it.
	guess string
	// resolved reports that the module proxy gave the version to the file's revision.
	resolved bool
}

// wrongGuess is why a guess is not the source of the file.
type wrongGuess struct{ why string }

func (e *wrongGuess) Error() string { return e.why }

// downloads is the module cache of this run: what earlier files needed does not
// come again.
func (j *job) downloads() gocmd.Go {
	return j.Client.WithCache(filepath.Join(j.Work.Dir, "downloads"), j.Client.ModCache).Go
}

// listSources lists what the file may have been built from. If there are several, they
// are guesses, and j.missing says what the file lacks.
func (j *job) listSources(ctx context.Context, hints []Hint) ([]sourceChoice, error) {
	c := j.claim
	switch {
	case j.options.SourceDir != "":
		return []sourceChoice{{}}, nil
	case len(c.folders) > 0: // a module's zip has no other module in it
		return nil, c.needsFolders()
	case c.main.Path == "" && j.options.Main == "":
		return nil, verdict.Because(verdict.NoVersion, "it was built from files named on the command line, and %s does not record which module they are of", c.goVersion).
			WithRemedy("name the module with --main PATH@VERSION, or a repository with --source DIR")
	case c.private:
		return nil, verdict.Because(verdict.NotPublic, "the main module is called %s, which no module proxy can have", c.main.Path).WithRemedy("name a clone of its repository with --source DIR")
	case j.options.Main != "":
		p, v, _ := strings.Cut(j.options.Main, "@")
		switch {
		case c.main.Path == "": // nothing contradicts the user
			c.main.Path = p
		case p != c.main.Path:
			return nil, verdict.Because(verdict.NotPublic, "its main module is %s, not %s", c.main.Path, p)
		case c.main.Version != "" && c.main.Version != v:
			return nil, verdict.Because(verdict.NoVersion, "the version is %s, as the file says, not %s", c.main.Version, v)
		}
		ch := sourceChoice{version: v}
		if c.main.Version == "" {
			ch.claimed = []verdict.Claim{{What: j.options.Main + " is the source", Why: "you said so"}}
		}
		return []sourceChoice{ch}, nil
	case c.main.Version != "":
		return []sourceChoice{{version: c.main.Version}}, nil
	}

	help := "name the version with --main " + c.main.Path + "@VERSION, or a repository with --source DIR"
	if c.vcs == nil {
		j.missing = verdict.Because(verdict.NoVersion, "it does not say which version of %s it is: it was built in a work tree, without a stamp of version control", c.main.Path).WithRemedy(help)
	} else {
		r, err := j.downloads().Resolve(ctx, c.main.Path, c.vcs.revision, filepath.Join(j.dir, "resolve"))
		if ctx.Err() != nil {
			return nil, err
		}
		if err == nil {
			ch := sourceChoice{version: r.Version, resolved: true}
			addGround(&ch.recovered, c.main.Path+"@"+r.Version, "the version that the module proxy gives to revision %s", c.vcs.revision[:12])
			return []sourceChoice{ch}, nil
		}
		j.missing = notHad(err, fmt.Sprintf("the module proxy gives no revision %s of %s", c.vcs.revision, c.main.Path)).WithRemedy(help)
	}

	guesses, err := j.guessedSources(ctx, hints)
	if err == nil && len(guesses) == 0 {
		err = j.missing
	}
	return guesses, err
}

// guessedSources returns the choices of hints that name a version of the file's module.
func (j *job) guessedSources(ctx context.Context, hints []Hint) ([]sourceChoice, error) {
	c := j.claim

	var list []sourceChoice
	for _, h := range hints[:min(len(hints), maxHints)] {
		if len(list) == maxGuesses {
			break
		}

		v := h.Version
		if v == "" {
			if !revisionRE.MatchString(h.Revision) || c.vcs != nil { // then its own was asked for
				continue
			}
			r, err := j.downloads().Resolve(ctx, c.main.Path, h.Revision, filepath.Join(j.dir, "resolve"))
			if ctx.Err() != nil {
				return nil, err
			}
			if err != nil {
				j.note("%s has commit %s, and the module proxy has none of %s: %v", h.From, h.Revision, c.main.Path, err)
				continue
			}
			v = r.Version
		}

		// A hint is a stranger's text, so it must be a version that this module can have.
		if module.Check(c.main.Path, v) != nil || module.CanonicalVersion(v) != v || slices.ContainsFunc(list, func(ch sourceChoice) bool { return ch.version == v }) {
			continue
		}
		list = append(list, sourceChoice{version: v, guess: h.From})
	}

	return list, nil
}

// tryEach rebuilds from each choice, until one of them is the file's source.
func (j *job) tryEach(ctx context.Context, choices []sourceChoice) error {
	before := *j.res
	var wrong []string

	// Each attempt starts from the same result, so that a wrong guess leaves no trace.
	for i, ch := range choices {
		*j.res = before
		j.res.Notes = slices.Clone(before.Notes)
		j.res.Recovered, j.res.Claimed = slices.Concat(j.claim.grounds(), ch.recovered), slices.Clone(ch.claimed)
		a := &attempt{job: j, dir: filepath.Join(j.dir, fmt.Sprintf("try-%d", i+1)), choice: ch}
		err := a.try(ctx)
		if ch.guess == "" || ctx.Err() != nil {
			return err
		}

		why := wrongSource(err)
		if why == "" {
			how := "the bytes confirm it"
			switch j.res.Verdict {
			case compare.Differs:
				how = "its build ID confirms it"
			case compare.Undetermined:
				how = "its build ID names the same package main"
			}
			if err == nil {
				j.res.Recovered = slices.Insert(j.res.Recovered, 0, verdict.Ground{What: j.claim.main.Path + "@" + ch.version, Why: "a guess, after the version of " + ch.guess + "; " + how})
			}
			return err
		}

		wrong = append(wrong, j.summary(a.relative(fmt.Sprintf("%s (after %s): %s", ch.version, ch.guess, why))))
		if err := fsx.RemoveAll(a.dir); err != nil {
			return err
		}
	}

	*j.res = before
	if j.claim.dirty() {
		j.missing.Text += "; and it was built from a work tree with uncommitted changes, as it says"
	}
	for _, w := range wrong {
		j.note("a guess that was wrong: %s", w)
	}
	return j.missing
}

// wrongSource says why a guess is not the source of the file. It returns nothing if the guess is
// the source, or if the reason has nothing to do with the guess.
func wrongSource(err error) string {
	var guess *wrongGuess
	var reason *verdict.Reason
	switch {
	case errors.As(err, &guess):
		return guess.why
	case errors.As(err, &reason) && (reason.Kind == verdict.NotPublic || reason.Kind == verdict.Refused || reason.Kind == verdict.BuildFailed):
		return reason.Text
	}
	return ""
}
