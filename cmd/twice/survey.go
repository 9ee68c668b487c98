package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/rebuild"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/safetext"
	"github.com/twicebuild/twice/pipeline/survey"
	"github.com/twicebuild/twice/pipeline/workspace"
)

// surveyFlags are what the user says of a survey.
type surveyFlags struct {
	store, page    string
	workers, tries int
	maxFiles       int
	timeout        time.Duration
	again, report  bool
	insecure       bool
}

func (a *app) surveyCmd() *cobra.Command {
	var flags surveyFlags
	c := &cobra.Command{
		Use:   "survey LIST",
		Short: "Rebuild the Go programs of a list of subjects, and say how many are reproduced",
		Long: `LIST is a file with a subject a line, as twice rebuild takes it: npm:NAME@VERSION, an
image, a URL, a file. Lines that begin with # are remarks. Every Go program of each is
rebuilt and compared, equal files once.

What is found is kept in a folder, by the digest of the file, so the same command goes on
after an interrupt, and asks again only for what the network kept from an answer. A
subject that fails stops no other. To judge anew what was not reproduced, say --again.

The table at the end counts verdicts by project, release of Go, platform and reason. One
share is of what others than its makers could build: the source is public, and no C
compiler took part. The other is of all. With --html it is a page that is complete in
itself, and with --json a document.

It exits with 0 if every subject has its results, whatever they are, and with 3 if some
have none for a cause that may pass.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fault.Usage(errors.New("name one file with a list of subjects"))
			}
			if c.Flags().Changed("html") {
				if err := checkPage(flags.page, args, a.inDir); err != nil {
					return err
				}
			}
			return a.survey(c.Context(), args[0], flags)
		},
	}

	c.Flags().StringVar(&flags.store, "store", "", "the `DIR` that keeps what is found (default: LIST with .results at its end)")
	c.Flags().StringVar(&flags.page, "html", "", "write a page to `FILE`")
	c.Flags().BoolVar(&flags.report, "report", false, "judge nothing, and report what the folder has")
	c.Flags().BoolVar(&flags.again, "again", false, "judge anew what was not reproduced")
	c.Flags().IntVar(&flags.workers, "workers", 2, "how many subjects are worked on at once")
	c.Flags().IntVar(&flags.tries, "tries", 3, "how often something is tried that the network keeps from an answer")
	c.Flags().IntVar(&flags.maxFiles, "max-files", 64, "how many files of one subject are judged")
	c.Flags().DurationVar(&flags.timeout, "timeout", 30*time.Minute, "the time to fetch each subject, and for each file")
	insecureFlag(c, &flags.insecure)
	c.Flags().StringVar(&a.cache, "cache", "", "the `DIR` for toolchains and workspaces (default: twice in the user's cache folder)")
	return c
}

// survey judges what a list names, and prints what came of it.
func (a *app) survey(ctx context.Context, list string, flags surveyFlags) (err error) {
	switch {
	case flags.workers < 1 || flags.tries < 1 || flags.maxFiles < 1:
		return fault.Usage(errors.New("--workers, --tries and --max-files: want at least 1"))
	case flags.again && flags.report:
		return fault.Usage(errors.New("--again and --report exclude each other"))
	}
	file, _, err := fsx.OpenNamed(a.inDir(list))
	if err != nil {
		return fault.Usage(err)
	}
	references, err := survey.ParseList(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}

	if flags.store == "" {
		flags.store = list + ".results"
	}
	if _, err := os.Stat(a.inDir(flags.store)); flags.report && err != nil {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("--report: %w", err)), "leave --report out to have the subjects judged")
	}
	store, err := survey.OpenStore(a.inDir(flags.store))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	// What was found is printed also if the run was interrupted.
	var stopped error
	if !flags.report {
		stopped = a.judgeList(ctx, store, references, flags)
	}
	if fault.KindOf(stopped) == fault.KindUsage {
		return stopped
	}
	doc, err := store.Report(context.WithoutCancel(ctx), references)
	if err != nil {
		return errors.Join(stopped, err)
	}

	if flags.page != "" {
		if err := fsx.Replace(a.inDir(flags.page), 0o666, doc.HTML); err != nil {
			return errors.Join(stopped, fmt.Errorf("write %s: %w", flags.page, err))
		}
	}
	a.progress.Close() // stdout may be the same terminal
	if a.json {
		err = printJSON(a.document(), doc)
	} else {
		err = doc.Fprint(a.stdout, a.verbose)
	}

	if n := doc.Unsettled(); err == nil && stopped == nil && n > 0 {
		err = fault.WithRemedy(fmt.Errorf("%s without a result: %w", count(n, "subject"), errUndetermined), "run the same command again, which asks for these alone")
	}
	return errors.Join(stopped, err)
}

// judgeList judges what the store does not have.
func (a *app) judgeList(ctx context.Context, store *survey.Store, references []string, flags surveyFlags) error {
	cfg, err := a.rebuildConfig(rebuildFlags{timeout: flags.timeout})
	if err != nil {
		return err
	}
	cfg.Stage = nil // of several at once nobody could tell which is which
	cfg.Memory /= int64(flags.workers)

	judged := 0
	return survey.Run(ctx, survey.Config{
		Store: store, References: references, Workers: flags.workers, Tries: flags.tries, Again: flags.again,
		Open: func(ctx context.Context, reference string) (survey.Subject, error) {
			return a.openSurveyed(ctx, reference, cfg, flags)
		},
		Now: a.now, Wait: wait, Tool: toolVersion().Version,
		Judged: func(r survey.Row) {
			judged++
			why := ""
			if r.Reason != nil {
				why = ": " + string(r.Reason.Kind)
			}
			a.progress.Line("%5d  %-12s  %s%s", judged, r.Verdict, safetext.Clean(r.File), why)
			a.progress.Stage(fmt.Sprintf("%d files judged; last %s", judged, safetext.Clean(r.Subject)))
		},
	})
}

// wait waits for d, or returns the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// surveyed is a subject of a survey that is open.
type surveyed struct {
	spool     *workspace.Workspace
	found     *foundFiles
	files     []survey.File
	rebuilder *rebuild.Rebuilder
}

// openSurveyed opens what a reference names, and lists the Go programs in it.
func (a *app) openSurveyed(ctx context.Context, reference string, cfg rebuild.Config, flags surveyFlags) (_ survey.Subject, err error) {
	s := &surveyed{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.spool, err = workspace.New(ctx, filepath.Join(cfg.Cache, "subjects")); err != nil {
		return nil, err
	}

	if s.found, err = a.findSurveyed(ctx, s.spool.Dir, reference, flags); err != nil {
		return nil, err
	}
	builds := 0
	for _, f := range s.found.list {
		s.files = append(s.files, survey.File{Name: f.Name, Digest: f.Digest, Known: f.withoutBuild})
		if f.withoutBuild == nil {
			builds++
		}
	}

	// One answer stands for all that are left out.
	if n := flags.maxFiles; len(s.files) > n {
		var left []string
		for _, f := range s.files[n:] {
			left = append(left, f.Name)
		}
		s.files = append(s.files[:n:n], survey.File{Name: reference, Known: verdict.TooMany(reference, left, n)})
	}

	cfg.Many = builds > 1
	s.rebuilder, err = rebuild.Open(ctx, cfg)
	return s, err
}

// findSurveyed lists the Go programs in what a reference names, within the time for it.
func (a *app) findSurveyed(ctx context.Context, dir, reference string, flags surveyFlags) (*foundFiles, error) {
	within, stop := context.WithTimeout(ctx, flags.timeout)
	defer stop()
	found, err := a.subjects(within, dir, []string{reference}, rebuildFlags{goOnly: true, insecure: flags.insecure})

	var known *verdict.Result
	switch {
	case err == nil || ctx.Err() != nil:
		return found, err
	case within.Err() != nil:
		known = verdict.Unfetched(reference, fmt.Sprintf("it could not be fetched within %s", flags.timeout))
	default: // of the others in the list it says nothing
		known = verdict.Unexamined(reference, err.Error())
	}
	return &foundFiles{list: []candidate{{rebuild.Subject{Name: reference}, origin{name: reference}, known}}}, nil
}

// Files implements [survey.Subject].
func (s *surveyed) Files() []survey.File { return s.files }

// Judge implements [survey.Subject].
func (s *surveyed) Judge(ctx context.Context, i int) (*verdict.Result, error) {
	return s.rebuilder.File(ctx, s.found.list[i].Subject)
}

// Close implements [survey.Subject].
func (s *surveyed) Close() error {
	var errs []error
	if s.rebuilder != nil {
		errs = append(errs, s.rebuilder.Close())
	}
	if s.found != nil {
		errs = append(errs, s.found.close())
	}
	if s.spool != nil {
		errs = append(errs, s.spool.Close())
	}
	return errors.Join(errs...)
}
