package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/toolchain"
)

// attempt is the work on one source that a file may have been built from. Its findings end with
// it, except for those that it writes into the job's result.
type attempt struct {
	*job
	// dir is its folder, in that of the job.
	dir    string
	choice sourceChoice

	source    recipe.Source
	tree      string // the source, for reading; empty if it lies in the module cache
	treeFS    fs.FS
	toolchain toolchain.Toolchain
	pinned    gocmd.Client // with the go command of toolchain
	modCache  string
	pgoOff    bool

	session pass.Session
	// foreign says where the build has its folders, and its cache.
	foreign *pass.Foreign
	// graphs are those of everything in the cache of session.
	graphs sandbox.Graphs
	// failed reports that a build in session failed.
	failed bool
	// fallbacks are flags to try that the oracle does not confirm.
	fallbacks []linking

	// flagsKnown reports that the linker's flags are known to be the file's.
	flagsKnown bool
	// files are those that the main package is made of, with paths from the module's folder, if
	// they were named on a command line. sets are those that may have been.
	files []string
	sets  [][]string
	// outside reports that the source has no go.mod: named files can be built without one.
	outside bool
	// unnamed says why the source is not known to be the one that the file names,
	// and goroot is where its toolchain was, if the file tells.
	unnamed *verdict.Reason
	goroot  string
}

// relative removes the folder of the attempt from a message.
func (a *attempt) relative(message string) string {
	return strings.ReplaceAll(message, a.dir, "workspace")
}

func (a *attempt) note(format string, args ...any) {
	a.job.note("%s", a.relative(fmt.Sprintf(format, args...)))
}

func (a *attempt) undetermined(r *verdict.Reason) {
	r.Text = a.relative(r.Text)
	a.job.undetermined(r)
}

// try rebuilds from one choice.
func (a *attempt) try(ctx context.Context) (err error) {
	a.Stage("source")
	if err := a.openSource(ctx); err != nil {
		return err
	}

	a.Stage("toolchain " + a.claim.goVersion)
	if err := a.obtainToolchain(ctx); err != nil {
		return err
	}

	a.Stage("modules")
	if err := a.fillModules(ctx); err != nil {
		return err
	}
	if err := a.openSession(ctx); err != nil {
		return err
	}

	err = a.rebuild(ctx)
	if err = errors.Join(err, a.session.Close()); err != nil {
		return err
	}
	return a.keepCompiled(a.foreign)
}

// openSource lays the chosen source out for reading.
func (a *attempt) openSource(ctx context.Context) error {
	if a.choice.version == "" {
		return a.openFolder(ctx)
	}
	return a.openModule(ctx, a.downloads(), a.choice.version)
}
