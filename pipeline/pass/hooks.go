package pass

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// hooksJob is the name of the hooks as a job.
const hooksJob = "hooks"

// runHooks runs the hooks. What they write in the source tree stays, as far as restore lets it.
// Everything else is dropped before the first folder of a build is made.
func (s *localSession) runHooks(ctx context.Context) (err error) {
	before, err := survey(s.outside.source, filepath.Join(s.dirs[0], "version-control"))
	if err != nil {
		return fmt.Errorf("pass %s: source: %w", s.pass, err)
	}

	drop, err := s.makeFolders(hooksJob)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()

	for i, argv := range s.Hooks {
		env := append(recipe.ClosedEnv(), "CGO_ENABLED=0", "SOURCE_DATE_EPOCH="+strconv.FormatInt(s.Epoch, 10))
		if _, _, err := s.run(ctx, invocation{
			what: fmt.Sprintf("hook %d: %s", i+1, strings.Join(argv, " ")), job: hooksJob, writesSource: true,
			dir: s.moduleDir(), argv: argv, env: env, share: Share{Processes: s.CPUs}, live: s.Log,
		}); err != nil {
			return err
		}
	}

	// A hook could have made folders for the jobs to come, and filled them.
	for _, dir := range []string{s.outside.cache, s.outside.home, s.outside.temp, s.outside.out} {
		if err := fsx.RemoveAll(dir); err != nil {
			return err
		}
	}

	if err := before.restore(); err != nil {
		return fmt.Errorf("pass %s: %w", s.pass, err)
	}

	return nil
}
