package gotree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/toolchain"
)

// maxSteps bounds a chain of toolchains. Each release of Go can be built by those of
// about a year before, so this is half a life.
const maxSteps = 16

// bootstrap rebuilds the whole zip of a distribution with a compiler that comes
// from an older release.
//
//	FROM          the published toolchain, proved
//	FROM -> V1    cmd/dist of V1's zip, compiled and run by FROM: makes V1's compiler with
//	              FROM's, V1 with that, and packs the zip
//	V1 -> V2      the same with what was built
//	... -> target
//
// The steps between are the releases that each source names as the oldest one that can build it
// (bootgo in make.bash). They are needed if FROM is older than that. Each zip is compared with the
// published one. The zips of the steps between are made for this host. The only thing left to
// believe is FROM. The chain finds out a compiler that spoils compilers, unless FROM is spoilt
// too, in a way that lasts through the whole chain.
//
// What runs is what make.bash runs (https://go.dev/doc/install/source), without a
// shell and without a C compiler in reach: go build of cmd/dist, then dist bootstrap
// -a -distpack.
func (w *distribution) bootstrap(ctx context.Context) error {
	downloads := filepath.Join(w.dir, "downloads")
	client := w.Client.WithCache(downloads, downloads, w.Client.ModCache).Go
	from := w.options.Bootstrap
	chain, err := w.chain(ctx, client, from)
	if err != nil {
		return err
	}

	w.Stage("toolchain " + from)
	if w.compiler, err = w.Prove(ctx, client, from, w.Host.OS, w.Host.Arch, true); err != nil {
		return err
	}

	// A link rests on everything before it, so the grounds grow with the chain.
	builder, rests := w.compiler.Dir, []verdict.Ground{{What: "toolchain " + from + " for " + w.compiler.Host + " " + w.compiler.Sum, Why: "checksum database"}}
	for i, s := range chain {
		final := i == len(chain)-1
		s.rests = slices.Concat([]verdict.Ground{{What: "module zip " + s.name() + " " + s.published.Sum, Why: "checksum database"}}, rests)
		if final {
			listed, err := survey(ctx, s.published.Dir)
			if err != nil {
				return err
			}
			w.noteFiles(listed)
			w.published = s.published
			if w.target, err = w.buildTarget(); err != nil {
				return err
			}
		}

		by := from
		if i > 0 {
			by = "the rebuilt " + chain[i-1].Version
		}
		w.Stage(fmt.Sprintf("build %s by %s (step %d of %d)", s.Version, by, i+1, len(chain)))
		if builder, err = w.step(ctx, s, builder, final); err != nil {
			return err
		}
		rests = append(rests, verdict.Ground{What: s.Version + " for " + w.compiler.Host + ", built here by " + by, Why: "source in " + s.name() + " " + s.published.Sum})
	}

	return nil
}

// step is one link of a chain: a release, and its published zip.
type step struct {
	Toolchain
	published toolchain.Toolchain
	zip       string
	rests     []verdict.Ground
}

func (s *step) name() string { return distributionPath + "@" + s.module() }

var bootgoRE = regexp.MustCompile(`(?m)^bootgo=(1\.\d{1,3}(?:\.\d{1,3})?)$`)

// chain finds out which steps lead from a release to the distribution, and puts all their zips at
// hand.
func (w *distribution) chain(ctx context.Context, client gocmd.Go, from string) ([]*step, error) {
	var chain []*step
	d := w.Toolchain
	for {
		s := &step{Toolchain: d}
		w.Stage("toolchain " + d.Version)
		var err error
		if s.zip, err = w.download(ctx, client, d); err != nil {
			return nil, err
		}
		// An installed toolchain will not do, because its go.env may be another one.
		if s.published, err = w.Prove(ctx, client, d.Version, d.OS, d.Arch, false); err != nil {
			return nil, err
		}

		// The zip itself is compared later, so it is the zip that must have the proved hash.
		sum, err := dirhash.HashZip(s.zip, dirhash.Hash1)
		if err != nil {
			return nil, err
		}
		if sum != s.published.Sum {
			return nil, verdict.Because(verdict.UnknownToolchain, "the zip %s that the module proxy gives has the hash %s, and the checksum database says %s", s.name(), sum, s.published.Sum)
		}
		if _, err := toolFlags(s.published.Dir); err != nil {
			return nil, err
		}

		// The search runs backwards, from the target to a release that FROM can build.
		chain = append([]*step{s}, chain...)
		script, err := sandbox.ReadSmall(os.DirFS(s.published.Dir), "src/make.bash")
		if err != nil {
			return nil, err
		}
		between, reason := builderOf(d.Version, from, script)
		if reason != nil {
			return nil, reason
		}
		if between == "" {
			return chain, nil
		}
		if len(chain) == maxSteps {
			return nil, verdict.Because(verdict.UnknownToolchain, "from %s to %s it takes more than %d steps", from, w.Version, maxSteps)
		}
		d = Toolchain{between, w.Host.OS, w.Host.Arch}
	}
}

// builderOf returns the release that builds another one, whose make.bash is at hand. It returns
// nothing if from can build it, and otherwise the oldest release that can.
func builderOf(v, from string, script []byte) (string, *verdict.Reason) {
	m := bootgoRE.FindAllSubmatch(script, -1)
	if len(m) != 1 {
		return "", verdict.Because(verdict.Setting, "make.bash of %s does not say which Go can build it", v)
	}
	oldest := "go" + string(m[0][1])
	if version.Compare(from, oldest) >= 0 {
		return "", nil
	}
	if err := ParseRelease(oldest); err != nil || version.Compare(oldest, v) >= 0 {
		return "", verdict.Because(verdict.UnknownToolchain, "it takes %s or newer to build %s, %s is older, and %s is not published as a module", oldest, v, from, oldest).WithRemedy("begin with a newer release")
	}
	return oldest, nil
}

// download has the go command fetch a zip, and returns its path.
func (w *distribution) download(ctx context.Context, client gocmd.Go, d Toolchain) (string, error) {
	answer, err := client.Download(ctx, distributionPath+"@"+d.module(), filepath.Join(w.dir, "client"))
	if ctx.Err() != nil {
		return "", err
	}
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}

	// The answer names paths that are read and removed, so they must lie in the folder of this
	// run.
	own := filepath.Join(w.dir, "downloads") + string(filepath.Separator)
	if err == nil && (!strings.HasPrefix(filepath.Clean(answer.Zip), own) || !strings.HasPrefix(filepath.Clean(answer.Dir), own)) {
		err = errors.New("go mod download names no zip in the module cache that it was given")
	}

	if err != nil {
		return "", verdict.Because(sandbox.FetchKind(err), "%s cannot be had: %s", distributionPath+"@"+d.module(), err).WithRemedy("is there a network, and is this a release of Go, published since " + oldestToolchain + "?")
	}
	// The go command unpacks the zip too, which is of no use here.
	return answer.Zip, fsx.RemoveAll(answer.Dir)
}

// step builds a release by the toolchain at builder, judges its zip, and returns
// the GOROOT that was built.
func (w *distribution) step(ctx context.Context, s *step, builder string, final bool) (goroot string, err error) {
	dir := filepath.Join(w.dir, s.Version)
	passes, modCache, programs := filepath.Join(dir, "pass"), filepath.Join(dir, "modules"), filepath.Join(dir, "programs")
	for _, d := range []string{passes, modCache, programs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", err
		}
	}
	if err := w.linkUname(programs); err != nil {
		return "", err
	}

	local := &pass.Local{
		Dir: passes, Store: w.Store, ModuleDir: "src", ConfigDir: ".",
		Checkout: func(ctx context.Context, dest string, _ bool) error { return copySource(ctx, s.published.Dir, dest) },
		GOROOT:   builder, ModCache: modCache, Path: w.Path, SystemEnv: w.SystemEnv, Confinement: w.Confinement, Limits: w.Limits(),
		Now: w.Now, Log: io.Discard, Foreign: &pass.Foreign{Programs: programs, MaxFile: min(w.MaxDisk, 8<<30)},
	}
	session, err := local.Open(ctx, pass.A)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, session.Close()) }()

	if err := w.runDist(ctx, session, s); err != nil {
		return "", err
	}

	w.Stage("compare " + s.Version)
	if err := w.judgeZip(ctx, s, session.Tree(), "pkg/distpack/"+s.module()+".zip", final); err != nil {
		return "", err
	}

	// The tree becomes a GOROOT for the next step, without the files that only the build needed.
	for _, scratch := range []string{"pkg/distpack", "pkg/obj", "pkg/bootstrap"} {
		if err := fsx.RemoveAll(filepath.Join(session.Tree(), filepath.FromSlash(scratch))); err != nil {
			return "", err
		}
	}

	goroot = filepath.Join(dir, "goroot")
	return goroot, os.Rename(session.Tree(), goroot)
}

// runDist does what make.bash does.
func (w *distribution) runDist(ctx context.Context, session pass.Session, s *step) error {
	exe := ""
	if runtime.GOOS == "windows" {
		exe = ".exe"
	}

	// Nothing of this host's setting of Go may reach the commands.
	places := session.Places()
	share := w.Share()
	common := []string{"GOENV=off", "GOTOOLCHAIN=local", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off", "GOFLAGS=", "PATH=" + places.Programs}
	commands := []pass.Command{{
		What: "go build cmd/dist of " + s.Version, Dir: "src", Share: share,
		Argv: []string{filepath.Join(places.GOROOT, "bin", "go"+exe), "build", "-o", filepath.Join("cmd", "dist", "dist"+exe), "./cmd/dist"},
		Env:  slices.Concat(common, []string{"GOROOT=" + places.GOROOT, "GO111MODULE=off", "CGO_ENABLED=0"}),
	}, {
		What: "dist bootstrap of " + s.Version, Dir: "src", Share: share,
		Argv: []string{filepath.Join(places.Source, "src", "cmd", "dist", "dist"+exe), "bootstrap", "-a", "-distpack"},
		Env: slices.Concat(common, []string{
			"GOROOT=" + places.Source, "GOROOT_BOOTSTRAP=" + places.GOROOT, "GOHOSTARCH=" + w.Host.Arch, "GOOS=" + s.OS, "GOARCH=" + s.Arch,
		}, w.variant(s)),
	}}

	for _, c := range commands {
		_, err := session.Run(ctx, c)
		if reason := sandbox.Limited(err); reason != nil {
			return reason
		}
		if failed := (*pass.CommandError)(nil); errors.As(err, &failed) && ctx.Err() == nil {
			return verdict.Because(verdict.BuildFailed, "%s: %s", failed.What, lastLines(failed.Output))
		}
		if err != nil {
			return err
		}
	}

	return nil
}

// variant is the environment that a distribution of another architecture's variant
// was built with.
func (w *distribution) variant(s *step) []string {
	if s.Toolchain != w.Toolchain || w.target.Variant == "" {
		return nil
	}
	return slices.DeleteFunc(w.target.Env(), func(kv string) bool {
		return strings.HasPrefix(kv, "GOOS=") || strings.HasPrefix(kv, "GOARCH=")
	})
}

// lastLines returns the end of an output. There cmd/dist says what is wrong.
func lastLines(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.TrimSpace(strings.Join(lines[max(0, len(lines)-3):], " "))
}

// linkUname puts the one program that cmd/dist asks for its host into a folder.
func (w *distribution) linkUname(dir string) error {
	for _, d := range w.Path {
		name := filepath.Join(d, "uname")
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return os.Symlink(name, filepath.Join(dir, "uname"))
		}
	}
	return nil // cmd/dist will tell
}

// copySource makes a GOROOT of the source in a distribution. It leaves out the tools and the files
// that cmd/dist generated, so that only source has a part in what is built.
func copySource(ctx context.Context, published, dest string) error {
	var generated error
	err := copyTree(ctx, published, dest, func(name string) bool {
		if name == "bin" || name == "pkg" {
			return false
		}
		if base := path.Base(name); !strings.HasPrefix(base, "z") || path.Ext(base) != ".go" {
			return true
		}
		head, err := readHead(filepath.Join(published, filepath.FromSlash(name)))
		if err != nil && generated == nil {
			generated = err
		}
		return !bytes.Contains(head, []byte("generated by go tool dist; DO NOT EDIT"))
	})
	return errors.Join(err, generated)
}

// bootstrapClaim names what a chain of builds rests on and does not show.
func (w *distribution) bootstrapClaim() verdict.Claim {
	v := w.options.Bootstrap
	return verdict.Claim{What: "the compiler of " + v + " is what its source says", Why: "the chain begins with it; name an older release to begin earlier"}
}

// byHand returns the same steps for a person: in the source of the zip, without its bin and pkg,
// and with go.mod for each _go.mod.
func (w *distribution) byHand(s *step) string {
	platform := ""
	if s.OS != w.Host.OS || s.Arch != w.Host.Arch {
		platform = "GOOS=" + s.OS + " GOARCH=" + s.Arch + " "
	}
	return "# in src of " + s.name() + ", without its bin and pkg, and with each _go.mod renamed to go.mod\n" +
		platform + "GOROOT_BOOTSTRAP=\"$(GOTOOLCHAIN=" + w.options.Bootstrap + " go env GOROOT)\" ./make.bash -distpack"
}
