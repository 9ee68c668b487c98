package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// describe asks the go command about the main package of every build, once for all
// builds that share a target and the flags that matter.
func describe(ctx context.Context, h host.Host, in Inputs, builds []matrix.Build, tree, workDir string) ([]*modules.MainPackage, error) {
	type query struct {
		flags, env []string
		builds     []int
	}

	// Builds with equal flags and environment get the same answer.
	queries := map[string]*query{}
	for i, b := range builds {
		flags, err := recipe.ListFlags(b, in.Modules.Vendored)
		if err != nil {
			return nil, fault.Usage(err)
		}

		env := recipe.BuildEnv(b)
		key := strings.Join(append(slices.Clone(flags), env...), "\x00")
		if queries[key] == nil {
			queries[key] = &query{flags: flags, env: env}
		}

		queries[key].builds = append(queries[key].builds, i)
	}

	mains := make([]*modules.MainPackage, len(builds))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, h.CPUs))
	for _, q := range queries {
		g.Go(func() error {
			var packages []string
			for _, i := range q.builds {
				if pkg := builds[i].Package; !slices.Contains(packages, pkg) {
					packages = append(packages, pkg)
				}
			}

			found, err := modules.Describe(ctx, modules.Query{
				Go:   h.ListGo(in.Toolchain.Dir, workDir, slices.Concat(q.env, in.Modules.Env)...),
				Tree: tree, Dir: in.moduleDir(tree),
				Flags: q.flags, Packages: packages,
			})
			if err != nil {
				return fmt.Errorf("%s: %w", builds[q.builds[0]].Target, err)
			}

			for _, i := range q.builds {
				mains[i] = found[slices.Index(packages, builds[i].Package)]
			}
			return nil
		})
	}

	return mains, g.Wait()
}

// compiler identifies the C compiler of a cgo build by its version line and the digest of the
// program. It is a fact of this host, which the recipe holds all the same, since it is in the
// bytes.
func compiler(ctx context.Context, h host.Host, pinned gocmd.Go, b matrix.Build, workDir string) (string, error) {
	cc, ok := recipe.Lookup(b.Env, "CC")
	if !ok {
		out, err := pinned.With(append(b.Target.Env(), "CGO_ENABLED=1")...).Run(ctx, workDir, "env", "CC")
		if err != nil {
			return "", err
		}
		cc = strings.TrimSpace(string(out))
	}

	fields := strings.Fields(cc)
	if len(fields) == 0 {
		return "", fault.Usage(errors.New("cgo: CC is empty"))
	}

	program, err := findProgram(fields[0], h)
	if err != nil {
		return "", fault.WithRemedy(fault.Usage(fmt.Errorf("cgo: %w", err)), "install the C compiler, or name one with env = { CC = \"...\" }")
	}

	// The version line can be the same for two compilers; the digest of the program is not.
	f, _, err := fsx.OpenNamed(program)
	if err != nil {
		return "", err
	}
	defer f.Close()

	hash := artifact.NewHasher(io.Discard)
	if _, err := io.Copy(hash, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", program, err)
	}

	cmd := exec.CommandContext(ctx, program, append(fields[1:], "--version")...)
	cmd.Env = append(slices.Clone(h.SystemEnv), "LC_ALL=C", "PATH="+strings.Join(h.Path, string(filepath.ListSeparator)))
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", cc, err)
	}

	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line) + " " + string(hash.Digest()), nil
}

// findProgram looks name up in the folders of h.
func findProgram(name string, h host.Host) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	base := name
	if h.OS == "windows" {
		base += ".exe"
	}
	for _, dir := range h.Path {
		file := filepath.Join(dir, base)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: %w in PATH", name, exec.ErrNotFound)
}
