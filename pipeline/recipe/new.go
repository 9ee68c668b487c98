package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
)

// Inputs are the parts of a recipe that are the same for all binaries of a
// release, together with what was found out about this one.
type Inputs struct {
	Source    Source
	Toolchain Toolchain
	Hooks     [][]string
	// Vendored tells that the dependencies lie in the source's vendor folder.
	Vendored bool
	// Modules and Compiler are as in [Recipe].
	Modules  []Module
	Compiler string
}

// New returns the recipe of one build. It fails if an option cannot be written
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
		Env:       Environ(b),
	}
	slices.SortFunc(r.Modules, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	argv, err := goBuild(b, in, "")
	if err != nil {
		return Recipe{}, err
	}
	r.Argv = argv
	if b.Target.OS == "darwin" && b.Options.BuildID == "" {
		// An empty build ID costs LC_UUID, and macOS 15 ties local-network
		// privacy to that UUID (https://go.dev/issue/68678). So the UUID comes
		// from the recipe as it is without one: equal recipes, equal UUIDs.
		d, err := r.Digest()
		if err != nil {
			return Recipe{}, err
		}
		sum := sha256.Sum256([]byte("twice LC_UUID " + d))
		if r.Argv, err = goBuild(b, in, "0x"+hex.EncodeToString(sum[:16])); err != nil {
			return Recipe{}, err
		}
	}
	return r, r.check()
}

// Environ returns the environment of a build's recipe, sorted.
func Environ(b matrix.Build) []string {
	cgo := "0"
	if b.Options.Cgo {
		cgo = "1"
	}
	fips := b.Options.FIPS140
	if fips == "" {
		fips = "off"
	}
	env := slices.Concat(Closed(), b.Target.Env(), b.Env, []string{
		"CGO_ENABLED=" + cgo,
		"GOEXPERIMENT=" + strings.Join(b.Options.Experiments, ","),
		"GOFIPS140=" + fips,
	})
	slices.Sort(env)
	return env
}

// GoFlags returns the flags that go list and go build have in common for this
// build: those that decide which packages and files there are.
func GoFlags(b matrix.Build, vendored bool) []string {
	mod := "-mod=readonly"
	if vendored {
		mod = "-mod=vendor"
	}
	flags := []string{mod}
	if len(b.Options.Tags) > 0 {
		flags = append(flags, "-tags="+strings.Join(b.Options.Tags, ","))
	}
	if b.Options.BuildMode != "" {
		flags = append(flags, "-buildmode="+b.Options.BuildMode)
	}
	return flags
}

// goBuild returns the command line. uuid is the value of the linker's -B flag,
// or empty.
func goBuild(b matrix.Build, in Inputs, uuid string) ([]string, error) {
	argv := append([]string{"go", "build"}, GoFlags(b, in.Vendored)...)
	o := b.Options
	if o.Trimpath {
		argv = append(argv, "-trimpath")
	}
	// The stamp is asked for, not left to "auto", so that it fails loudly
	// where it cannot be made. A module of the proxy has no history.
	argv = append(argv, fmt.Sprintf("-buildvcs=%t", in.Source.Commit != ""))
	if o.PGO != "" && o.PGO != "auto" {
		argv = append(argv, "-pgo="+o.PGO)
	}
	for _, f := range []struct {
		flag string
		args []string
	}{{"-gcflags=", o.GCFlags}, {"-asmflags=", o.ASMFlags}} {
		flags, err := perPackage(f.flag, f.args)
		if err != nil {
			return nil, err
		}
		argv = append(argv, flags...)
	}
	if args := ldflags(b, uuid); len(args) > 0 {
		joined, err := quote(args)
		if err != nil {
			return nil, fmt.Errorf("-ldflags: %w", err)
		}
		argv = append(argv, "-ldflags="+joined)
	}
	return append(argv, b.Package), nil
}

// perPackage writes args as the go command's per-package flags: what has a
// package pattern of its own ("all=-N -l") is a flag of its own, the rest is
// joined into one, which comes first because the last match wins.
func perPackage(flag string, args []string) ([]string, error) {
	var plain, flags []string
	for _, a := range args {
		if !strings.HasPrefix(a, "-") && strings.Contains(a, "=-") {
			flags = append(flags, flag+a)
		} else {
			plain = append(plain, a)
		}
	}
	if len(plain) > 0 {
		joined, err := quote(plain)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSuffix(flag, "="), err)
		}
		flags = append([]string{flag + joined}, flags...)
	}
	return flags, nil
}

func ldflags(b matrix.Build, uuid string) []string {
	o := b.Options
	var args []string
	if o.BuildID != "keep" {
		args = append(args, "-buildid="+o.BuildID)
	}
	if uuid != "" {
		args = append(args, "-B", uuid)
	}
	switch {
	case o.StripSymbols && o.StripDWARF:
		args = append(args, "-s", "-w")
	case o.StripSymbols:
		args = append(args, "-s", "-w=0") // -s alone implies -w since Go 1.22
	case o.StripDWARF:
		args = append(args, "-w")
	}
	for _, s := range b.Stamps {
		args = append(args, "-X", s.Name+"="+s.Value)
	}
	if len(o.ExtLDFlags) > 0 {
		args = append(args, "-extldflags", strings.Join(o.ExtLDFlags, " "))
	}
	return args
}

// quote joins args as cmd/internal/quoted.Split takes them apart again: fields
// are separated by spaces, and a field that contains some is put in quotes,
// within which nothing is special but the quote itself.
func quote(args []string) (string, error) {
	out := make([]string, len(args))
	for i, a := range args {
		switch {
		case a != "" && !strings.ContainsAny(a, " \t\n\r'\""):
			out[i] = a
		case !strings.Contains(a, "'"):
			out[i] = "'" + a + "'"
		case !strings.Contains(a, `"`):
			out[i] = `"` + a + `"`
		default:
			return "", fmt.Errorf("%q contains both kinds of quotes, which the go command cannot take", a)
		}
	}
	return strings.Join(out, " "), nil
}
