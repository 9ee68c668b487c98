package rebuild

import (
	"fmt"
	"go/version"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/gotree"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// claim is what a binary says about its making. Every word of it passed an
// allow-list, so it can only choose among builds.
type claim struct {
	// goVersion is a release of Go.
	goVersion string
	target    matrix.Target
	// env are the variables that choose the build, NAME=value.
	env []string
	// main is the main module; its version is empty if the binary does not say it.
	main module.Version
	// private reports that no module proxy can have a module of that path.
	private bool
	// sum is the main module's h1: hash, which only an installed module has.
	sum string
	// pkg is the import path of the main package.
	pkg string
	// install reports that the package was installed as path@version.
	install  bool
	vendored bool
	deps     []recipe.Module
	// folders are the dependencies for which a folder stood in. Until the source is there, the
	// replacement of each is what its go.mod says, seen from the main module.
	folders map[string]bool
	// flags are those of go build in their order, without -ldflags and -pgo.
	flags []string
	// pgo reports that the main package's default.pgo was used.
	pgo      bool
	trimpath bool
	// ldflags are the linker's arguments, if ldflagsKnown reports that they are
	// recorded.
	ldflags      []string
	ldflagsKnown bool
	// inexact says which flags the file does not record exactly, and why; it is empty
	// if all that are recorded are as they were given.
	inexact string
	// inferred are settings that the release of Go does not record. unrecorded says which others
	// it does not record, and is empty if it records all that matter.
	inferred   []inferred
	unrecorded string
	cgo        bool
	vcs        *vcsStamp
	// nested reports that the stamp came with no version although this release of
	// Go makes one: the repository's root has no go.mod.
	nested bool
}

// vcsStamp is what the go command recorded of a git repository.
type vcsStamp struct {
	revision string
	time     time.Time
	// modified reports that the work tree had uncommitted changes.
	modified bool
}

// dirty reports whether the file says that its work tree had uncommitted changes.
func (c *claim) dirty() bool { return c.vcs != nil && c.vcs.modified }

var (
	experimentRE = regexp.MustCompile(`^[a-z0-9]+(,[a-z0-9]+)*$`)
	fipsRE       = regexp.MustCompile(`^(off|latest|inprocess|certified|v1\.\d{1,3}\.\d{1,3}(-[0-9a-f]{1,40})?)$`)
	tagsRE       = regexp.MustCompile(`^[\pL\d_.]+(,[\pL\d_.]+)*$`)
	revisionRE   = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	sumRE        = regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
)

// parseClaim turns facts into a claim, or says why there is none. It is the trust boundary: a
// stranger's words go further only if they pass it.
func parseClaim(f inspect.Facts) (*claim, *verdict.Reason) {
	c := &claim{}
	if r := c.toolchain(f); r != nil {
		return nil, r
	}

	// Without build information there is nothing to repeat. The reason tells a damaged file from
	// another build system.
	b := f.Build
	if b == nil {
		for _, n := range f.Notes {
			if strings.Contains(n, "build information: ") {
				return nil, verdict.Because(verdict.Unreadable, "%s", verdict.Quote(n))
			}
		}
		if f.GoVersion == "" {
			return nil, verdict.Because(verdict.NoBuildInfo, "there is no Go build information in it")
		}
		return nil, verdict.Because(verdict.NoBuildInfo, "%s linked it, without modules and settings: another build system than the go command (Bazel's rules_go leaves them out), or Go outside of a module", verdict.Quote(f.GoVersion))
	}

	if r := c.modules(b); r != nil {
		return nil, r
	}
	if c.install && !c.since(installsVersions) {
		return nil, verdict.Because(verdict.Setting, "go get of %s installed it, and no later command does the same", c.goVersion)
	}

	// From here on the settings are those that it records, and those that it shows.
	settings, r := c.addInferred(f, b.Settings)
	if r != nil {
		return nil, r
	}
	complete := *b
	complete.Settings = settings
	if r := c.settings(&complete); r != nil {
		return nil, r
	}
	if r := c.origin(b); r != nil {
		return nil, r
	}

	// The finding is of the linked code, so it also catches a file whose settings are silent.
	if f.Finding(inspect.Cgo).Is == inspect.Yes {
		return nil, verdict.Because(verdict.Cgo, "package runtime/cgo is in it: what a C compiler, its headers and libraries made of it is not recorded")
	}
	if c.cgo && f.Finding(inspect.Cgo).Is == inspect.Unknown {
		return nil, verdict.Because(verdict.Cgo, "CGO_ENABLED=1, and it cannot be told whether C code is in it")
	}

	return c, nil
}

// toolchain reads the version of Go.
func (c *claim) toolchain(f inspect.Facts) *verdict.Reason {
	if f.GoVersion == "" {
		return nil // there is no build information either
	}

	name, experiments, ok := strings.Cut(f.GoVersion, " X:")
	if !ok {
		name, experiments, ok = strings.Cut(f.GoVersion, "-X:")
	}
	if ok {
		// The go command writes that behind the version if GOEXPERIMENT was set. If
		// it was not, the toolchain itself was made so.
		set := ""
		if f.Build != nil {
			set, _ = f.Build.Setting("GOEXPERIMENT")
		}
		if set == "" || !experimentRE.MatchString(experiments) {
			return verdict.Because(verdict.UnknownToolchain, "it was made by %s, which is not a published release of Go", verdict.Quote(f.GoVersion))
		}
	}

	if !gotree.IsRelease(name) {
		return verdict.Because(verdict.UnknownToolchain, "it was made by %s, which is not a published release of Go", verdict.Quote(f.GoVersion))
	}
	if version.Compare(name, oldest) < 0 {
		return verdict.Because(verdict.UnknownToolchain, "it was made by %s, and Go before %s is not supported", name, strings.TrimPrefix(oldest, "go"))
	}

	c.goVersion = name
	return nil
}

// modules reads the package, the main module and the dependencies.
func (c *claim) modules(b *inspect.Build) *verdict.Reason {
	deps := b.Deps
	if b.Path == namedFiles && (b.Main == nil || b.Main.Path == namedFiles) {
		b, deps = withoutMain(b)
	}
	switch {
	case b.Main == nil && (b.Path == "cmd" || strings.HasPrefix(b.Path, "cmd/")):
		r := verdict.Because(verdict.Distribution, "%s is a part of the Go distribution", verdict.Quote(b.Path))
		if gotree.ParseRelease(c.goVersion) == nil {
			r.Remedy = "rebuild the release that it is from: twice rebuild toolchain:" + c.goVersion
		}
		return r
	case b.Main == nil || b.Path == "":
		return verdict.Because(verdict.NoModule, "there is no main module in its build information")
	case b.Main.Replace != nil:
		return verdict.Because(verdict.LocalReplace, "the main module is replaced")
	}

	// Since Go 1.18, a file that was built from named files may not say which module they are of.
	if b.Path == namedFiles && b.Main.Path == "" {
		c.pkg = namedFiles
		return c.dependencies(deps)
	}

	// The path reaches a command line, so it must be one that Go accepts. It reaches a module proxy
	// only if that can have it.
	if module.CheckImportPath(b.Main.Path) != nil {
		return verdict.Because(verdict.NotPublic, "the main module is called %s, as no module can be", verdict.Quote(b.Main.Path))
	}
	c.private = module.CheckPath(b.Main.Path) != nil
	if c.private && b.Main.Sum != "" {
		return verdict.Because(verdict.Unreadable, "the main module is called %s and has a hash, which only a module of a proxy has", verdict.Quote(b.Main.Path))
	}
	if err := module.CheckImportPath(b.Path); err != nil || b.Path != namedFiles && b.Path != b.Main.Path && !strings.HasPrefix(b.Path, b.Main.Path+"/") {
		return verdict.Because(verdict.NoModule, "package %s is not in module %s", verdict.Quote(b.Path), b.Main.Path)
	}

	c.pkg, c.main.Path, c.sum = b.Path, b.Main.Path, b.Main.Sum
	if c.sum != "" && !sumRE.MatchString(c.sum) {
		return verdict.Because(verdict.Unreadable, "%s is no hash of a module", verdict.Quote(c.sum))
	}
	c.install = c.sum != ""
	if c.install && c.named() {
		return verdict.Because(verdict.Unreadable, "the main module has a hash, and files were named, which go install does not take of a version")
	}
	return c.dependencies(deps)
}

// withoutMain returns a copy of the build information of named files that has a main module, and
// its dependencies without that. Since Go 1.18 the go command lists the main module among these, if
// a package of it is imported. Otherwise the main module has no path. Up to Go 1.17 it has the path
// of the package if there was no go.mod.
func withoutMain(b *inspect.Build) (*inspect.Build, []inspect.Module) {
	copied := *b
	copied.Main = &inspect.Module{Version: "(devel)"}
	deps := slices.Clone(b.Deps)
	isMain := func(d inspect.Module) bool { return d.Version == "(devel)" && d.Sum == "" && d.Replace == nil }
	if i := slices.IndexFunc(deps, isMain); i >= 0 {
		copied.Main.Path = deps[i].Path
		deps = slices.Delete(deps, i, i+1)
	}
	return &copied, deps
}

// dependencies reads the modules that packages came from.
func (c *claim) dependencies(list []inspect.Module) *verdict.Reason {
	// Go records a hash for each dependency, or, with a vendor folder, for none.
	summed := 0
	c.folders = map[string]bool{}
	for _, d := range list {
		m, r := dependency(d)
		if r != nil {
			return r
		}
		if m.Sum != "" {
			summed++
		}
		if inFolder(d) {
			c.folders[m.Path] = true
		}
		c.deps = append(c.deps, m)
	}

	slices.SortFunc(c.deps, func(a, b recipe.Module) int { return strings.Compare(a.Path, b.Path) })
	for i := 1; i < len(c.deps); i++ {
		if c.deps[i].Path == c.deps[i-1].Path {
			return verdict.Because(verdict.Unreadable, "module %s is in it twice", c.deps[i].Path)
		}
	}

	published := len(c.deps) - len(c.folders)
	c.vendored = summed == 0 && published > 0
	if !c.vendored && summed < published {
		return verdict.Because(verdict.LocalReplace, "%d of %d dependencies have no hash: they were folders of the builder", published-summed, len(c.deps))
	}
	if c.install && len(c.folders) > 0 { // go install of a version knows no folders
		return c.needsFolders()
	}
	if c.vendored { // the vendor folder has what is in the others
		for i := range c.deps {
			if c.folders[c.deps[i].Path] {
				c.deps[i].Replace = ""
			}
		}
		c.folders = nil
	}
	if c.vendored && c.install {
		return verdict.Because(verdict.Unreadable, "the main module has a hash, and no dependency has one")
	}

	return nil
}

// needsFolders is the reason for a file whose dependencies were in folders that are not at hand.
func (c *claim) needsFolders() *verdict.Reason {
	for _, d := range c.deps {
		if c.folders[d.Path] {
			r := verdict.Because(verdict.LocalReplace, "dependency %s was replaced by a folder of the builder, %s", verdict.Quote(d.Path), verdict.Quote(d.Replace))
			if !c.install {
				r.Remedy = "if the folder is in its makers' repository, name a clone of that with --source DIR"
			}
			return r
		}
	}
	return nil
}

// replacedRE matches a folder of the repository, relative to that of a go.mod.
var replacedRE = regexp.MustCompile(`^\.{1,2}(/[\pL\d_.+-]+)+$`)

// inFolder reports whether a folder stood in for a module, as a replace directive has it.
func inFolder(d inspect.Module) bool {
	r := d.Replace
	return r != nil && r.Replace == nil && (r.Version == "" || r.Version == "(devel)") && r.Sum == "" && replacedRE.MatchString(r.Path)
}

// dependency reads a module that packages came from.
func dependency(d inspect.Module) (recipe.Module, *verdict.Reason) {
	m := recipe.Module{Path: d.Path, Version: d.Version, Sum: d.Sum}
	check := func(p, v string) *verdict.Reason {
		if err := module.Check(p, v); err != nil {
			return verdict.Because(verdict.LocalReplace, "dependency %s at %s is not a version of a published module", verdict.Quote(p), verdict.Quote(v))
		}
		return nil
	}

	// A replaced dependency is downloaded under the name of its replacement.
	if d.Replace != nil {
		folder := inFolder(d)
		if !folder && (d.Replace.Replace != nil || d.Replace.Version == "" || d.Replace.Version == "(devel)") {
			return m, verdict.Because(verdict.LocalReplace, "dependency %s was replaced by a folder of the builder, %s", verdict.Quote(d.Path), verdict.Quote(d.Replace.Path))
		}
		if folder {
			m.Replace, m.Sum = d.Replace.Path, ""
		} else if r := check(d.Replace.Path, d.Replace.Version); r != nil {
			return m, r
		} else {
			m.Replace, m.Sum = d.Replace.Path+"@"+d.Replace.Version, d.Replace.Sum
		}
		// The replaced module need not exist. It must only be a name.
		if module.CheckImportPath(d.Path) != nil || d.Version != "" && module.CanonicalVersion(d.Version) != d.Version {
			return m, verdict.Because(verdict.LocalReplace, "dependency %s at %s is not a version of a module", verdict.Quote(d.Path), verdict.Quote(d.Version))
		}
	} else if r := check(d.Path, d.Version); r != nil {
		return m, r
	}

	if m.Sum != "" && !sumRE.MatchString(m.Sum) {
		return m, verdict.Because(verdict.Unreadable, "%s is no hash of a module", verdict.Quote(m.Sum))
	}

	return m, nil
}

// settings reads the settings. Every one of them must be known.
func (c *claim) settings(b *inspect.Build) *verdict.Reason {
	get := func(key string) string { v, _ := b.Setting(key); return v }

	goos, goarch := get("GOOS"), get("GOARCH")
	archVariable := ""
	if t, err := matrix.ParseTarget(goos + "/" + goarch); err == nil {
		for _, kv := range t.Env() {
			if name, _, _ := strings.Cut(kv, "="); name != "GOOS" && name != "GOARCH" {
				archVariable = name
			}
		}
	}

	name := goos + "/" + goarch
	if v := get(archVariable); archVariable != "" && v != "" {
		name += "/" + v
	}
	var err error
	if c.target, err = matrix.ParseTarget(name); err != nil {
		return verdict.Because(verdict.UnknownPlatform, "its platform is %s: %s", verdict.Quote(name), verdict.Quote(err.Error()))
	}

	env := c.target.Env()
	if v := get(archVariable); archVariable != "" && v != "" {
		// The value is kept as it was written, because it is recorded so.
		i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, archVariable+"=") })
		env[i] = archVariable + "=" + v
	}

	// An absent setting stands for the default of the go command.
	experiments, fips := "", "off"
	var vcs, revision, when, modified string
	for _, s := range b.Settings {
		v := s.Value
		refuse := func() *verdict.Reason {
			return verdict.Because(verdict.Setting, "it was built with %s=%s", verdict.Quote(s.Key), verdict.Quote(v))
		}
		switch s.Key {
		case "GOOS", "GOARCH", archVariable:
		case "DefaultGODEBUG": // go.mod and the source decide
		case "-compiler":
			if v != "gc" {
				return verdict.Because(verdict.UnknownToolchain, "it was made by the compiler %s, not by Go's own", verdict.Quote(v))
			}
		case "-buildmode":
			switch v {
			case "exe":
			case "pie":
				c.flags = append(c.flags, "-buildmode=pie")
			default:
				return refuse()
			}
		case "-trimpath":
			if v != "true" {
				return refuse()
			}
			c.trimpath = true
			c.flags = append(c.flags, "-trimpath")
		case "-tags":
			if !tagsRE.MatchString(v) {
				return refuse()
			}
			c.flags = append(c.flags, "-tags="+v)
		case "-gcflags":
			if !compilerFlags(v, knownGCFlags) {
				return refuse()
			}
			c.flags = append(c.flags, "-gcflags="+v)
			c.inexact = "of several -gcflags, each for other packages, a file records the last alone"
		case "-asmflags":
			if !compilerFlags(v, knownASMFlags) {
				return refuse()
			}
			c.flags = append(c.flags, "-asmflags="+v)
			c.inexact = "of several -asmflags, each for other packages, a file records the last alone"
		case "-ldflags":
			args, err := linkerFlags(v)
			if err != nil {
				return verdict.Because(verdict.Setting, "it was linked with %s, of which %s", verdict.Quote(v), err)
			}
			c.ldflags = args
			if slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, " ") }) {
				c.inexact = "a file records the end of a line in -ldflags as a space, and there are spaces in its values"
			}
		case "-pgo":
			if path.Base(strings.ReplaceAll(v, `\`, "/")) != "default.pgo" {
				return verdict.Because(verdict.Setting, "it was built with the profile %s, which is not recorded", verdict.Quote(v))
			}
			c.pgo = true
		case "-race", "-msan", "-asan":
			return verdict.Because(verdict.Cgo, "it was built with %s, which takes C libraries", s.Key)
		case "CGO_ENABLED":
			if v != "0" && v != "1" {
				return refuse()
			}
			c.cgo = v == "1"
		case "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_LDFLAGS":
			if v != "" {
				return verdict.Because(verdict.Cgo, "it was built with %s=%s", s.Key, verdict.Quote(v))
			}
		case "GOEXPERIMENT":
			if !experimentRE.MatchString(v) {
				return refuse()
			}
			experiments = v
		case "GOFIPS140":
			if !fipsRE.MatchString(v) {
				return refuse()
			}
			fips = v
		case "vcs":
			vcs = v
		case "vcs.revision":
			revision = v
		case "vcs.time":
			when = v
		case "vcs.modified":
			modified = v
		default:
			// An unknown key is an unknown influence: another distribution of Go
			// ("microsoft_toolset_version"), or a newer one.
			return verdict.Because(verdict.Setting, "its setting %s is not one of Go's up to 1.26: another distribution of Go, or a newer one", verdict.Quote(s.Key))
		}
	}

	// Go always records it. Its absence means that something else wrote the settings.
	if _, ok := b.Setting("CGO_ENABLED"); !ok {
		return verdict.Because(verdict.Unreadable, "the setting CGO_ENABLED is missing")
	}
	// Without -trimpath all linker flags are recorded. With it none are, but by the first of Go 1.18.
	_, linked := b.Setting("-ldflags")
	if linked && c.trimpath && c.since("go1.19") {
		return verdict.Because(verdict.Unreadable, "-ldflags is recorded beside -trimpath, which Go does not do")
	}

	c.ldflagsKnown = (!c.trimpath || linked) && c.since(recordsSettings)
	cgo := "0"
	if c.cgo {
		cgo = "1"
		// No C compiler is needed, or this build would not be tried. The names make a call of one
		// fail.
		env = append(env, "CC=no-c-compiler", "CXX=no-c-compiler", "FC=no-c-compiler")
	}

	c.env = append(env, "CGO_ENABLED="+cgo, "GOEXPERIMENT="+experiments, "GOFIPS140="+fips)
	return c.readStamp(vcs, revision, when, modified)
}

// readStamp reads what is recorded of version control.
func (c *claim) readStamp(vcs, revision, when, modified string) *verdict.Reason {
	switch {
	case vcs+revision+when+modified == "":
		return nil
	case vcs != "git":
		return verdict.Because(verdict.Setting, "it was built from a repository of %s", verdict.Quote(vcs))
	case modified == "true" && revision+when == "":
		return verdict.Because(verdict.Dirty, "it was built in a repository without a commit").WithRemedy(dirtyRemedy)
	case modified != "false" && modified != "true" || !revisionRE.MatchString(revision):
		return verdict.Because(verdict.Unreadable, "its stamp of version control is not as Go writes it")
	}

	// The time goes into a recipe as text, so only the one form that Go writes is taken.
	t, err := time.Parse(time.RFC3339, when)
	if err != nil || t.Nanosecond() != 0 || t.Unix() < 0 || t.UTC().Format(time.RFC3339) != when {
		return verdict.Because(verdict.Unreadable, "its stamp of version control has the time %s", verdict.Quote(when))
	}

	c.vcs = &vcsStamp{revision, t, modified == "true"}
	return nil
}

// withoutDirt returns a version without what the go command adds to it for a work tree with
// uncommitted changes, and whether there was such an addition.
func withoutDirt(v string) (string, bool) {
	if clean, ok := strings.CutSuffix(v, "+dirty"); ok {
		return clean, true
	}
	if clean, ok := strings.CutSuffix(v, ".dirty"); ok && strings.HasSuffix(clean, "+incompatible") {
		return clean, true
	}
	return v, false
}

// origin reads the version of the main module. That of a tree with changes is the version that
// the tree had without them.
func (c *claim) origin(b *inspect.Build) *verdict.Reason {
	if b.Main == nil { // named files have no version
		if c.vcs != nil {
			return verdict.Because(verdict.Unreadable, "it has no main module and a stamp of version control, of which Go writes one")
		}
		return nil
	}
	v, dirty := withoutDirt(b.Main.Version)
	switch {
	case v == "(devel)" && c.install:
		return verdict.Because(verdict.Unreadable, "the main module has a hash and no version")
	case v == "(devel)":
		c.nested = c.vcs != nil && c.since(stampsVersions)
		return nil
	case !c.private && module.Check(c.main.Path, v) != nil || module.CanonicalVersion(v) != v:
		return verdict.Because(verdict.Unreadable, "%s is no version of %s", verdict.Quote(v), c.main.Path)
	case !c.install && c.vcs == nil:
		return verdict.Because(verdict.Unreadable, "the main module has version %s, and neither a hash, as an installed one, nor a stamp of version control", v)
	case !c.install && !c.since(stampsVersions):
		return verdict.Because(verdict.Unreadable, "%s makes no version from version control, and %s is one without a hash", c.goVersion, v)
	case dirty != c.dirty():
		return verdict.Because(verdict.Unreadable, "its version and its stamp of version control contradict each other about uncommitted changes")
	case c.install && c.vcs != nil:
		return verdict.Because(verdict.Unreadable, "the main module has a hash and a stamp of version control, of which Go writes one")
	}

	c.main.Version = v
	return nil
}

// local is the argument that names the main package in its own module.
func (c *claim) local() string {
	if c.pkg == c.main.Path {
		return "."
	}
	return "./" + strings.TrimPrefix(c.pkg, c.main.Path+"/")
}

// binary is the file name that the go command gives the binary.
func (c *claim) binary() string {
	name := path.Base(c.pkg)
	if prefix, major, ok := module.SplitPathVersion(c.pkg); ok && strings.HasPrefix(major, "/v") {
		name = path.Base(prefix)
	}
	return name + c.target.Exe()
}

// buildVCS is the flag about the stamp of version control, where the release of Go has it.
func (c *claim) buildVCS() []string {
	if !c.since(recordsSettings) {
		return nil
	}
	return []string{fmt.Sprintf("-buildvcs=%t", c.vcs != nil)}
}

// recipe returns the recipe of the claim with some arguments for the linker, for
// a source that is known by now.
func (c *claim) recipe(src recipe.Source, tc recipe.Toolchain, link linking, pgoOff bool) (recipe.Recipe, error) {
	env := slices.Concat(recipe.ClosedEnv(), c.env)
	slices.Sort(env)
	r := recipe.Recipe{
		Schema: recipe.Schema, Binary: c.binary(), Target: c.target, Env: env,
		Source: src, Toolchain: tc, Modules: c.deps,
	}

	flags := c.flags
	if link.mode != "" {
		flags = append([]string{"-buildmode=" + link.mode}, flags...)
	}
	if pgoOff && c.since(knowsProfiles) {
		flags = append(slices.Clone(flags), "-pgo=off")
	}

	if len(link.args) > 0 {
		value, err := matrix.Quote(link.args)
		if err != nil {
			return r, fmt.Errorf("-ldflags: %w", err)
		}
		if c.ldflagsKnown && link.raw != "" {
			value = link.raw
		}
		flags = append(slices.Clone(flags), "-ldflags="+value)
	}

	if c.install {
		r.Argv = slices.Concat([]string{"go", "install"}, flags, []string{c.pkg + "@" + c.main.Version})
	} else {
		mod := "-mod=readonly"
		if c.vendored {
			mod = "-mod=vendor"
		}
		r.Argv = slices.Concat([]string{"go", "build", mod}, c.buildVCS(), flags, []string{c.local()})
	}

	// A recipe that cannot be encoded cannot be repeated, so it is refused here.
	_, err := r.Encode()
	return r, err
}
