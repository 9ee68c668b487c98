package pass

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Bounds of what a build leaves, in bytes.
const (
	maxBinary = 4 << 30
	maxGraph  = 64 << 20
)

// Build implements [Session].
func (s *localSession) Build(ctx context.Context, job Job) (res Result, err error) {
	target := job.Binaries[0].Recipe.Target
	slug := target.Slug()
	res.Usage.Start = s.Now()
	defer func() { res.Usage.Wall = s.Now().Sub(res.Usage.Start) }()

	drop, err := s.makeFolders(slug)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, drop()) }()

	res.Artifacts = make([]artifact.Artifact, len(job.Binaries))
	var log strings.Builder
	defer func() { res.Log = log.String() }()

	for i, group := range s.groups(job.Binaries) {
		binaries := make([]Binary, len(group))
		for k, j := range group {
			binaries[k] = job.Binaries[j]
		}

		cmd, files := s.goCommand(job, binaries, path.Join(slug, strconv.Itoa(i)))
		out := filepath.Join(s.outside.out, filepath.FromSlash(cmd.out))
		if err := os.MkdirAll(filepath.Join(out, outBinaries), 0o755); err != nil {
			return res, err
		}

		printed, cpu, err := s.run(ctx, cmd)
		log.WriteString(printed)
		res.Usage.CPU += cpu
		if err != nil {
			return res, err
		}

		// From here on the files are a stranger's, since any code that the command ran may have
		// written them.
		graph, artifacts, err := s.collect(out, binaries, files)
		if err != nil {
			return res, fmt.Errorf("%s: %w", target, err)
		}
		res.Graphs = append(res.Graphs, graph)
		for k, j := range group {
			res.Artifacts[j] = artifacts[k]
		}
	}
	return res, nil
}

// groups splits the binaries of a target into those that one go command may build, since their
// recipes differ in the package alone. Pass B builds each by itself, exactly as its recipe says, so
// that the comparison also shows that building several at once makes no difference.
func (s *localSession) groups(list []Binary) [][]int {
	var groups [][]int
	for i, b := range list {
		j := slices.IndexFunc(groups, func(g []int) bool {
			if s.varied(grouping) || s.Foreign != nil || !sameBuild(list[g[0]].Recipe, b.Recipe) {
				return false
			}
			return !slices.ContainsFunc(g, func(k int) bool { return execName(list[k].ImportPath) == execName(b.ImportPath) })
		})

		if j < 0 {
			groups = append(groups, []int{i})
		} else {
			groups[j] = append(groups[j], i)
		}
	}

	return groups
}

// sameBuild reports whether two recipes differ in the package alone.
func sameBuild(a, b recipe.Recipe) bool {
	return slices.Equal(a.Argv[:len(a.Argv)-1], b.Argv[:len(b.Argv)-1]) && slices.Equal(a.Env, b.Env)
}

// execName is the file name that the go command gives to a main package when
// it is not told: cmd/go/internal/load.Package.DefaultExecName.
func execName(importPath string) string {
	dir, elem := path.Split(importPath)
	if n, ok := strings.CutPrefix(elem, "v"); ok && dir != "" && n != "" && n != "1" && n[0] != '0' && strings.Trim(n, "0123456789") == "" {
		return path.Base(dir)
	}
	return elem
}

// What a go command writes, in a folder of its own.
const (
	outBinaries = "bin"
	outGraph    = "graph.json"
)

// goCommand returns the go command that builds some binaries at once, with out as its folder. For
// each binary it also returns the names, relative to out, of which one is its file.
func (s *localSession) goCommand(job Job, binaries []Binary, out string) (invocation, [][]string) {
	first := binaries[0].Recipe
	seen := filepath.Join(s.inside.out, filepath.FromSlash(out))

	var all []string
	if job.All {
		all = []string{"-a"}
	}
	bin := filepath.Join(seen, outBinaries)
	argv := slices.Concat([]string{"go", "build", "-o", bin + string(filepath.Separator), "-p", strconv.Itoa(s.parallelism(job.Share)),
		"-debug-actiongraph=" + filepath.Join(seen, outGraph)}, all, first.Argv[2:len(first.Argv)-1])

	files := make([][]string, len(binaries))

	for k, b := range binaries {
		argv = append(argv, b.Recipe.Argv[len(b.Recipe.Argv)-1])
		files[k] = []string{path.Join(outBinaries, execName(b.ImportPath)+b.Recipe.Target.Exe())}
	}

	// One binary has the name that its recipe gives it. Of several the go command chooses the
	// names.
	if len(binaries) == 1 {
		argv[3] = filepath.Join(bin, first.Binary)
		files[0] = []string{path.Join(outBinaries, first.Binary)}
	}

	env := first.Env
	if first.Argv[1] == "install" {
		argv, env = s.installCommand(argv, env, seen)
		files[0] = installedNames(binaries[0])
	}
	if job.Trace {
		env = slices.Concat([]string{"GODEBUG=gocachehash=1"}, env)
	}

	return invocation{
		what: "go " + first.Argv[1], job: first.Target.Slug(), out: out,
		dir: s.moduleDir(), argv: argv, env: env, slot: job.Slot, share: job.Share, trace: job.Trace,
	}, files
}

// parallelism is the argument of -p. Pass B has one more.
func (s *localSession) parallelism(share Share) int {
	n := max(1, share.Processes)
	if s.varied(parallel) {
		n++
	}
	return n
}

// installCommand turns a command line of go build into one of go install, whose argument is a
// package of a module in the module cache, path@version. The command has no -o, and installs into
// the folder bin of the first GOPATH. It looks for the module under every prefix of the path, so it
// needs a proxy that also says what there is not. The module cache is one
// (https://go.dev/ref/mod#module-cache).
func (s *localSession) installCommand(argv, env []string, out string) ([]string, []string) {
	argv = slices.Concat([]string{"go", "install"}, argv[4:])

	proxy := url.URL{Scheme: "file", Path: filepath.ToSlash(s.inside.modcache) + "/cache/download"}
	escape := strings.NewReplacer(",", "%2C", "|", "%7C") // these would end it
	return argv, slices.Concat([]string{"GOPATH=" + out, "GOPROXY=" + escape.Replace(proxy.String())}, env)
}

// installedNames returns the names that a binary may have in GOPATH, with slashes. A binary for
// another platform than the host's lies one folder deeper.
func installedNames(b Binary) []string {
	importPath, _, _ := strings.Cut(b.ImportPath, "@")
	name := execName(importPath)
	if b.Recipe.Target.OS == "windows" {
		name += ".exe"
	}
	return []string{path.Join("bin", b.Recipe.Target.OS+"_"+b.Recipe.Target.Arch, name), path.Join("bin", name)}
}

// collect stores what a go command left in the folder out, and returns its action graph and the
// artifacts of the binaries.
func (s *localSession) collect(out string, binaries []Binary, files [][]string) (graph []byte, list []artifact.Artifact, err error) {
	root, err := os.OpenRoot(out)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()

	if graph, err = fsx.ReadRegular(root, outGraph, maxGraph); err != nil {
		return nil, nil, fmt.Errorf("action graph: %w", err)
	}

	for k, b := range binaries {
		a := artifact.Artifact{Name: b.Recipe.Binary, Kind: artifact.Binary, Executable: true}
		for _, name := range files[k] {
			if a.Digest, a.Size, _, err = s.Store.Take(root, name, maxBinary); !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", b.Recipe.Binary, err)
		}
		list = append(list, a)
	}

	return graph, list, nil
}
