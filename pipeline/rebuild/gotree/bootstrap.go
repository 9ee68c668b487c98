package gotree

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/version"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/inspect"
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
		return "", verdict.Because(verdict.NotPublic, "%s cannot be had: %s", distributionPath+"@"+d.module(), err).WithRemedy("is there a network, and is this a release of Go, published since " + oldestToolchain + "?")
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

func readHead(name string) ([]byte, error) {
	f, _, err := fsx.OpenNamed(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1000))
}

// member is a file in a zip.
type member struct {
	sum  [sha256.Size]byte
	file *zip.File
	// at and packed are where in the zip the content was read from, in bytes.
	at, packed int64
}

// Bounds of a zip of Go: that of 1.26 has 11,500 files of 215 MB.
const (
	maxMembers  = 100_000
	maxUnpacked = 4 << 30
	maxZip      = 1 << 30
)

// members reads a zip, whose names all begin with prefix, and hashes what is in
// it.
func members(ctx context.Context, z *zip.Reader, prefix string) (map[string]member, error) {
	if len(z.File) > maxMembers {
		return nil, fmt.Errorf("zip: %d members, more than %d", len(z.File), maxMembers)
	}

	list := map[string]member{}
	room := int64(maxUnpacked)
	for _, f := range z.File {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		name, ok := strings.CutPrefix(f.Name, prefix)
		if _, twice := list[name]; !ok || twice || !fs.ValidPath(name) || !f.Mode().IsRegular() {
			return nil, fmt.Errorf("zip: bad member %q", f.Name)
		}

		m := member{file: f}
		if err := m.hash(room); err != nil {
			return nil, fmt.Errorf("zip: %s: %w", f.Name, err)
		}

		room -= int64(f.UncompressedSize64)
		list[name] = m
	}
	return list, disjoint(list)
}

// disjoint fails if members share bytes. No tool makes such a zip, and shared bytes could not be
// counted.
func disjoint(list map[string]member) error {
	byOffset := slices.SortedFunc(maps.Values(list), func(a, b member) int { return cmp.Compare(a.at, b.at) })
	for i, m := range byOffset[min(1, len(byOffset)):] {
		if before := byOffset[i]; before.at+before.packed > m.at {
			return fmt.Errorf("zip: %s and %s share bytes", before.file.Name, m.file.Name)
		}
	}
	return nil
}

// hash computes the digest of a member of at most room bytes. It does not use the reader of
// archive/zip, because that does not tell whether something is hidden behind the content.
func (m *member) hash(room int64) error {
	f := m.file
	raw, err := f.OpenRaw()
	if err != nil {
		return err
	}
	if m.at, err = f.DataOffset(); err != nil {
		return err
	}

	packed := &packedReader{r: bufio.NewReader(raw)}
	content := io.Reader(packed)
	switch f.Method {
	case zip.Store:
	case zip.Deflate:
		content = flate.NewReader(packed) // which takes no byte too many of an io.ByteReader
	default:
		return zip.ErrAlgorithm
	}

	h, sum := sha256.New(), crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(h, sum), io.LimitReader(content, room+1))
	switch {
	case err != nil:
		return err
	case n > room:
		return fmt.Errorf("more than %d bytes in all", int64(maxUnpacked))
	case uint64(n) != f.UncompressedSize64 || sum.Sum32() != f.CRC32:
		return zip.ErrChecksum
	}

	m.packed = packed.n
	h.Sum(m.sum[:0])
	return nil
}

// packedReader counts the bytes that are taken.
type packedReader struct {
	r *bufio.Reader
	n int64
}

func (c *packedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *packedReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// judgeZip compares a published zip with the one that was built in a tree: as wholes
// and, for the target of the chain, tool by tool.
func (w *distribution) judgeZip(ctx context.Context, s *step, tree, built string, final bool) error {
	whole := &verdict.Result{
		Name: s.String() + "  (zip)", Verdict: compare.Undetermined, Content: inspect.ContentUnknown,
		Source: s.name(), GoVersion: s.Version, Target: s.OS + "/" + s.Arch, RestsOn: s.rests,
		Claimed: []verdict.Claim{w.bootstrapClaim()}, Command: w.byHand(s),
	}
	if final {
		whole.Target = w.target.String()
	}
	var results []*verdict.Result
	err := w.compareZips(ctx, s, tree, built, whole, final, &results)
	w.setSeconds(whole)
	w.results = append(w.results, append(results, whole)...)
	return err
}

// bootstrapClaim names what a chain of builds rests on and does not show.
func (w *distribution) bootstrapClaim() verdict.Claim {
	v := w.options.Bootstrap
	return verdict.Claim{What: "the compiler of " + v + " is what its source says", Why: "the chain begins with it; name an older release to begin earlier"}
}

func (w *distribution) compareZips(ctx context.Context, s *step, tree, built string, whole *verdict.Result, final bool, results *[]*verdict.Result) error {
	var zips [2]*zip.Reader
	var lists [2]map[string]member

	// Both zips are read from bytes that are hashed as they are, before anything in them counts.
	for i, file := range []struct{ dir, name string }{{filepath.Dir(s.zip), filepath.Base(s.zip)}, {tree, built}} {
		root, err := os.OpenRoot(file.dir)
		if err != nil {
			return err
		}
		defer root.Close()
		f, info, err := fsx.OpenRegular(root, file.name, maxZip)
		if err != nil {
			return err
		}
		defer f.Close()

		h := artifact.NewHasher(io.Discard)
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		if i == 0 {
			whole.Digest, whole.Size = h.Digest(), h.Size()
		} else {
			whole.Rebuilt, whole.RebuiltSize = h.Digest(), h.Size()
		}

		if zips[i], err = zip.NewReader(f, info.Size()); err != nil {
			return fmt.Errorf("zip: %w", err)
		}
		if lists[i], err = members(ctx, zips[i], s.name()+"/"); err != nil {
			return err
		}
	}

	var differ, signed []string
	framing := whole.Size
	for _, name := range slices.Sorted(maps.Keys(lists[0])) {
		a := lists[0][name]
		framing -= a.packed
		b, ok := lists[1][name]

		// Tools are judged one by one, because a signature may be their only difference.
		tool := strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/")
		switch {
		case !ok:
			differ = append(differ, name+" (is not built)")
		case final && tool, a.sum != b.sum && tool:
			res, err := w.member(ctx, s, name, a, b)
			if err != nil {
				return err
			}
			if final {
				*results = append(*results, res)
			}
			switch res.Verdict {
			case compare.Differs:
				differ = append(differ, name)
			case compare.Equivalent:
				signed = append(signed, name)
				whole.Uncovered += res.Uncovered
			}
		case a.sum != b.sum:
			differ = append(differ, name)
		}

		// A tool that is not built gets a result too, so that the list of tools is complete.
		if !ok && tool && final {
			res := w.memberResult(s, name)
			res.Digest, res.Size = artifact.Digest(fmt.Sprintf("sha256:%x", a.sum)), int64(a.file.UncompressedSize64)
			res.Verdict, res.Reason = compare.Differs, verdict.Because(verdict.BytesDiffer, "the source in the zip does not give this file")
			*results = append(*results, res)
		}

		delete(lists[1], name)
	}

	// The members still in the list have no published counterpart.
	for _, name := range slices.Sorted(maps.Keys(lists[1])) {
		differ = append(differ, name+" (is not published)")
	}

	switch {
	case len(differ) > 0:
		whole.Verdict = compare.Differs
		more := ""
		if n := len(differ); n > verdict.MaxRows {
			differ, more = differ[:verdict.MaxRows], fmt.Sprintf(" and %d more", n-verdict.MaxRows)
		}
		whole.Reason = verdict.Because(verdict.BytesDiffer, "of its %d files differ: %s%s", len(lists[0]), verdict.Quote(strings.Join(differ, ", ")), more)
	case whole.Digest == whole.Rebuilt:
		whole.Verdict = compare.Reproduced
	default:
		whole.Verdict, whole.Normalizations = compare.Equivalent, []inspect.Normalization{inspect.MembersAlone}
		whole.Uncovered += framing
		if len(signed) > 0 {
			whole.Normalizations = append(whole.Normalizations, inspect.WithoutSignature)
		}
	}
	return nil
}

func (w *distribution) memberResult(s *step, name string) *verdict.Result {
	return &verdict.Result{
		Name: w.String() + "  " + name, Verdict: compare.Undetermined, Content: inspect.ContentUnknown,
		Source: s.name(), Package: "cmd/" + toolName(name), GoVersion: s.Version, Target: w.target.String(),
		RestsOn: s.rests, Claimed: []verdict.Claim{w.bootstrapClaim()}, Command: w.byHand(s),
	}
}

// member judges a tool in a zip.
func (w *distribution) member(ctx context.Context, s *step, name string, a, b member) (*verdict.Result, error) {
	res := w.memberResult(s, name)

	var list [2]artifact.Artifact
	for i, m := range []member{a, b} {
		r, err := m.file.Open()
		if err != nil {
			return nil, err
		}
		d, size, err := w.Store.Put(io.LimitReader(r, sandbox.MaxSubject))
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		list[i] = artifact.Artifact{Name: name, Kind: artifact.Binary, Digest: d, Size: size, Executable: true}
	}

	res.Digest, res.Size = list[0].Digest, list[0].Size
	w.content(res)
	err := judgeTool(ctx, w.Store, w.dir, res, list[1])
	w.setSeconds(res)
	return res, err
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
