package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
)

// Inputs are the parts of a recipe that are not in the release file.
type Inputs struct {
	Source    Source
	Toolchain Toolchain
	Hooks     [][]string
	// Epoch is SOURCE_DATE_EPOCH for the hooks, in seconds since 1970.
	Epoch int64
	// Vendored tells that the dependencies lie in the source's vendor folder.
	Vendored bool
	// Modules and Compiler are as in [Recipe].
	Modules  []Module
	Compiler string
}

// New returns the recipe of one build. It is an error if an option cannot be written
// on the go command line.
func New(b matrix.Build, in Inputs) (Recipe, error) {
	r := Recipe{
		Schema:    Schema,
		Binary:    b.Binary + b.Target.Exe(),
		Target:    b.Target,
		Source:    in.Source,
		Toolchain: in.Toolchain,
		Hooks:     in.Hooks,
		Modules:   slices.Clone(in.Modules),
		Compiler:  in.Compiler,
		Env:       BuildEnv(b),
	}

	if len(in.Hooks) > 0 {
		r.Epoch = in.Epoch
	}
	slices.SortFunc(r.Modules, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })

	var err error
	if r.Argv, err = buildArgv(b, in); err != nil {
		return Recipe{}, err
	}

	if b.Target.OS == "darwin" && b.Options.BuildID == "" {
		// An empty build ID costs LC_UUID, and macOS 15 ties local-network
		// privacy to that UUID (https://go.dev/issue/68678). So the UUID comes
		// from the recipe as it is without one: equal recipes, equal UUIDs.
		d, err := r.Digest()
		if err != nil {
			return Recipe{}, err
		}
		sum := sha256.Sum256([]byte("twice LC_UUID " + d))
		if r.Argv, err = buildArgv(b, in, "-B=0x"+hex.EncodeToString(sum[:16])); err != nil {
			return Recipe{}, err
		}
	}

	return r, r.checkForm()
}

// BuildEnv returns the environment of a build's recipe, sorted.
func BuildEnv(b matrix.Build) []string {
	cgo := "0"
	if b.Options.Cgo {
		cgo = "1"
	}

	env := slices.Concat(ClosedEnv(), b.Target.Env(), b.Env, []string{
		"CGO_ENABLED=" + cgo,
		"GOEXPERIMENT=" + strings.Join(b.Options.Experiments, ","),
		"GOFIPS140=" + b.Options.FIPS140,
	})
	slices.Sort(env)
	return env
}

// ListFlags returns the flags of a build that go list needs to see the same
// packages and files, and to refuse what the port cannot do.
func ListFlags(b matrix.Build, vendored bool) ([]string, error) {
	flags, err := b.Flags()
	if err != nil {
		return nil, err
	}
	flags = slices.DeleteFunc(flags, func(f string) bool {
		return !strings.HasPrefix(f, "-tags=") && !strings.HasPrefix(f, "-buildmode=")
	})
	return append([]string{modFlag(vendored)}, flags...), nil
}

func modFlag(vendored bool) string {
	if vendored {
		return "-mod=vendor"
	}
	return "-mod=readonly"
}

// buildArgv returns the command line, with more arguments for the linker.
func buildArgv(b matrix.Build, in Inputs, ldflags ...string) ([]string, error) {
	flags, err := b.Flags(ldflags...)
	if err != nil {
		return nil, err
	}
	// The stamp is asked for, not left to "auto", so that it fails loudly
	// where it cannot be made. A module of the proxy has no history.
	vcs := fmt.Sprintf("-buildvcs=%t", in.Source.Commit != "")
	return slices.Concat([]string{"go", "build", modFlag(in.Vendored), vcs}, flags, []string{b.Package}), nil
}
