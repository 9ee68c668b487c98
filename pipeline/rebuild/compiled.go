package rebuild

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
)

// compiled is what the build of a file left in its cache. The next file may begin with a copy of it,
// if it is of the same source, toolchain, target and settings: then both builds compile the same
// packages, from sources with the same hashes, and none of them runs anything of the source's. A
// build of other sources never sees it.
type compiled struct {
	key    string
	cache  string         // the folder with the caches of the targets
	graphs sandbox.Graphs // of the builds that filled it
}

// compiledKey names everything that decides what a build leaves in the cache.
func (a *attempt) compiledKey(f *pass.Foreign) string {
	c := a.claim
	return fmt.Sprintf("%q", []any{c.goVersion, f.GOROOT, f.ModCache, f.Source, fmt.Sprintf("%+v", a.source), c.target.String(), c.flags, c.env, c.vendored})
}

// takeCompiled gives the build a copy of what the file before left, with the evidence for the
// packages in it. ok is false if there is nothing that fits.
func (a *attempt) takeCompiled(f *pass.Foreign) (ok bool, err error) {
	left := a.left
	if left == nil || left.key != a.compiledKey(f) {
		return false, nil
	}
	a.graphs = slices.Clone(left.graphs)
	f.Cache = filepath.Join(a.dir, "cache")
	return true, os.CopyFS(f.Cache, os.DirFS(left.cache))
}

// keepCompiled keeps what this build left, in the place of what the file before did.
func (a *attempt) keepCompiled(f *pass.Foreign) error {
	if !a.many || f.Cache == "" {
		return nil
	}
	if a.left != nil {
		if err := fsx.RemoveAll(a.left.cache); err != nil {
			return err
		}
		a.left = nil
	}

	dir, err := a.Work.Sub("compiled")
	if err != nil {
		return err
	}
	kept := filepath.Join(dir, "cache")
	if err := os.Rename(f.Cache, kept); err != nil {
		return err
	}
	a.left = &compiled{a.compiledKey(f), kept, slices.Clone(a.graphs)}
	return nil
}
