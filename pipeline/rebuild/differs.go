package rebuild

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// A verdict that a file differs accuses somebody, so it needs a ground. What was built has to be
// what the file names, and only a change of the file or of its source may explain the difference.
// The package's documentation has the table.

// difference is what is known of a file that does not equal the rebuild.
type difference struct {
	// what says in words what is different.
	what string
	// ground says why other flags do not explain the difference. It is groundNone if they
	// may. why says the same in words, and remedy says what can be done about it. kind is that of
	// the reason without a ground, if it is not about flags.
	ground      groundKind
	why, remedy string
	kind        verdict.Kind
	// unnamed says why the source is not known to be the one that the file names. foreign
	// says why the toolchain is not the published one. Each is nil if there is no such doubt.
	unnamed, foreign *verdict.Reason
	// stripped reports that the file loads what was built, and that the rest was removed or
	// written anew after it was linked.
	stripped bool
	// changed reports that the file's own hash is wrong.
	changed bool
	// whose says whose code is known to differ, and evidence says what shows it.
	whose    owner
	evidence string
}

// groundKind is what rules out that flags explain a difference. A file need not record its flags,
// or it records them in another form than they were given.
type groundKind string

const (
	groundNone groundKind = "none"
	// groundDependency means that the file names another module than the source asks for, or
	// another content of it, and that nothing but the source could choose it.
	groundDependency groundKind = "dependency"
	// groundBuild means that the same inputs were compiled or linked to something else.
	groundBuild groundKind = "build"
)

// owner is whose code is known to differ.
type owner string

const (
	// ownerModules stands for packages of the source and its dependencies.
	ownerModules owner = "modules"
	// ownerStandard stands for the standard library. Packages of modules may differ only
	// because they are compiled with it: nothing shows more.
	ownerStandard owner = "std"
	// ownerUnknown means that no function tells.
	ownerUnknown owner = "unknown"
)

// judge returns the verdict that follows, which is Differs or Undetermined, and its reason.
func (d difference) judge() (compare.Verdict, *verdict.Reason) {
	switch {
	case d.stripped:
		return compare.Undetermined, verdict.Because(verdict.Stripped, "its code and data are those that were built, and its symbols, debug information or headers were removed or written anew after it was linked, as strip does: so %s", d.what).
			WithRemedy("ask for the file as the linker left it; -ldflags=-s leaves symbols out of that")
	case d.ground == groundNone:
		kind := cmp.Or(d.kind, verdict.Flags)
		if d.changed {
			kind = verdict.Changed
		}
		return compare.Undetermined, verdict.Because(kind, "%s; so it cannot be told why %s", d.why, d.what).
			WithRemedy(cmp.Or(d.remedy, "name them with --ldflags, as the project's build scripts or release notes have them"))
	case d.unnamed != nil:
		return compare.Undetermined, notAgainst(d.unnamed, d.what)
	case d.foreign != nil:
		return compare.Undetermined, notAgainst(d.foreign, d.what)
	case d.ground == groundDependency || d.changed || d.whose == ownerModules:
		reason := verdict.Because(verdict.BytesDiffer, "%s: %s", d.what, d.why)
		if d.evidence != "" {
			reason.Text += "; " + d.evidence
		}
		if d.changed {
			reason.Text += "; its own build ID tells that it was changed after it was linked"
		}
		return compare.Differs, reason
	case d.whose == ownerStandard:
		return compare.Undetermined, notAgainst(verdict.Because(verdict.ToolchainNotPublished, "functions of the standard library in it are others than the published toolchain compiles, and nothing shows that its own packages differ").WithRemedy(foreignRemedy), d.what)
	}
	return compare.Undetermined, notAgainst(verdict.Because(verdict.ToolchainNotPublished, "nothing shows whether its own packages differ or the standard library that another toolchain compiled").WithRemedy(foreignRemedy), d.what)
}

// notAgainst returns the reason r, and adds that the difference does not count against the file.
func notAgainst(r *verdict.Reason, what string) *verdict.Reason {
	return verdict.Because(r.Kind, "%s; so it does not count against the file that %s", r.Text, what).WithRemedy(r.Remedy)
}

const dirtyRemedy = "ask for a build of a clean work tree"

const foreignRemedy = "it may be as its makers compiled it: rebuild it with their toolchain by hand, or ask for a build with a published one"

// collectDifference collects what is known of the difference between the file and b.
func (a *attempt) collectDifference(b *built, what string, explanation *explain.Summary) (d difference, err error) {
	d = difference{what: what, unnamed: a.notNamed(b), foreign: a.notPublished(), changed: a.res.Content == inspect.ContentChanged}
	if d.stripped, err = a.stripped(b); err != nil {
		return d, err
	}

	d.ground, d.why = a.groundOf(b)
	if _, why := a.groundOfDependencies(b); d.ground == groundNone && why != "" && d.why == why {
		d.kind, d.remedy = verdict.OtherDependencies, a.dependencyRemedy()
	}
	if d.ground == groundNone && d.remedy == "" && (a.claim.inexact+a.claim.unrecorded != "" || a.claim.named()) {
		d.remedy = "ask its makers for the exact command line"
	}
	d.whose, d.evidence = a.ownerOf(b, explanation.Functions())
	return d, nil
}

// stripped reports whether the file is what was built, after a tool such as strip has worked on it.
// The build ID has to name exactly what was built. Otherwise the linker may have left the symbols
// out.
func (a *attempt) stripped(b *built) (bool, error) {
	if !a.confirms(b) {
		return false, nil
	}
	return a.withBuilt(b, func(other *inspect.Binary) (bool, error) { return inspect.Stripped(a.bin, other) })
}

// ownerOf says whose code differs, and what shows it. The line where a function starts depends on
// its own source alone. Its instructions also depend on the functions that are inlined in it, and
// on the types and constants that it uses. So other instructions count only where nothing is
// inlined and the standard library is compiled to the same. If the build ID names exactly what was
// linked, all packages were compiled to the same, so another standard library is not the cause.
func (a *attempt) ownerOf(b *built, f *explain.Functions) (owner, string) {
	switch {
	case f == nil || f.Partial || f.A == 0 || f.B == 0:
		return ownerUnknown, ""
	case f.OwnLines > 0:
		return ownerModules, fmt.Sprintf("functions of its own packages start at other lines of their source (%d)", f.OwnLines)
	case f.Standard > 0:
		return ownerStandard, ""
	case f.Own > 0:
		return ownerModules, fmt.Sprintf("functions of its own packages have other instructions (%d), and those of the standard library the same", f.Own)
	case f.StandardAlone > 0:
		return ownerStandard, ""
	case a.confirms(b):
		return ownerModules, ""
	}
	return ownerUnknown, ""
}

// groundOf returns what rules out that flags explain the difference, and says it in words.
func (a *attempt) groundOf(b *built) (groundKind, string) {
	// What is not recorded decides about files and dependencies, too.
	if a.claim.unrecorded != "" && !a.confirms(b) {
		return groundNone, a.claim.unrecorded
	}
	if same, _ := a.sameMain(b); a.claim.named() && !same && !a.confirms(b) {
		return groundNone, "which files were named on the command line is not recorded"
	}
	if ground, why := a.groundOfDependencies(b); why != "" {
		return ground, why
	}
	if why := a.hiddenCover(b); why != "" {
		return groundNone, why
	}
	if a.confirms(b) {
		return groundBuild, "source, toolchain and flags are those that the file names, as the build ID confirms, and they give other bytes"
	}
	if a.claim.inexact != "" {
		return groundNone, a.claim.inexact
	}
	if same, known := a.sameMain(b); known && !same {
		if a.facts.BuildID.MainContent == b.facts.BuildID.MainContent {
			return groundBuild, "what package main imports was compiled from something else than the file names: another source, dependency or toolchain"
		}
		return groundBuild, "package main was compiled from something else than the file names: another source, dependency or toolchain"
	}
	if a.flagsKnown && a.stated != nil {
		return groundBuild, fmt.Sprintf("source, toolchain and flags are those of %s, and they give other bytes", a.stated)
	}
	if a.flagsKnown {
		return groundBuild, "source, toolchain and flags are those that the file names, and they give other bytes"
	}
	if x, y := textSize(a.facts), textSize(b.facts); x != y && x > 0 && y > 0 {
		return groundBuild, fmt.Sprintf("its machine code takes %d bytes and that of the source %d, which no flag of the linker changes", x, y)
	}
	switch {
	case a.options.LDFlags != nil:
		return groundNone, "nothing shows that the linker's flags are those that you named"
	case a.facts.BuildID == nil:
		return groundNone, "the linker's flags are not recorded, and without a build ID they cannot be recovered"
	}
	return groundNone, "the linker's flags are not recorded, and could not be recovered"
}

// groundOfDependencies returns what a difference between the modules in the file and those of the
// source rules out, and says it in words. Of one version of a module there is one content, so
// another one is a ground. Which versions are in it is chosen by the source alone where go install
// PKG@VERSION built it. In a clone a go.work around it, or a -modfile, may have chosen others, and
// neither is recorded. A vendor folder may have anything, and a module's zip does not have it.
func (a *attempt) groundOfDependencies(b *built) (groundKind, string) {
	if a.confirms(b) {
		return groundNone, ""
	}
	if list := otherContents(a.facts.Build, b.facts.Build); len(list) > 0 {
		return groundDependency, strings.Join(list[:min(3, len(list))], "; ")
	}
	list := otherDependencies(a.facts.Build, b.facts.Build)
	why := strings.Join(list[:min(3, len(list))], "; ")
	switch {
	case len(list) > 0 && a.claim.install:
		return groundDependency, why
	case len(list) > 0:
		return groundNone, why + "; a go.work around the source or a -modfile, which are not recorded, may have chosen that"
	case a.claim.vendored && a.source.Module != "":
		return groundNone, "it was built from a vendor folder, which a module's zip does not have and which may hold anything"
	}
	return groundNone, ""
}

// dependencyRemedy says what can be done where something else than the source may have chosen the
// file's dependencies.
func (a *attempt) dependencyRemedy() string {
	if a.claim.vendored && a.source.Module != "" {
		return "take the source from a clone at its revision, which has the vendor folder, with --source DIR"
	}
	return "ask its makers whether a go.work or a -modfile chose its dependencies"
}

// coverPackages are those of the standard library that go build -cover links into a program.
var coverPackages = []string{"runtime/coverage", "internal/coverage/rtcov"}

// hiddenCover says that the file may be built with -cover, if it has what that adds and the rebuild
// has not. Releases of Go before 1.23 do not record it. It changes the functions of the main module
// alone.
func (a *attempt) hiddenCover(b *built) string {
	has := func(f inspect.Facts) bool {
		return f.Code != nil && slices.ContainsFunc(f.Code.Packages, func(p inspect.PackageSize) bool { return slices.Contains(coverPackages, p.Path) })
	}
	if a.confirms(b) || !has(a.facts) || has(b.facts) {
		return ""
	}
	return "it has the packages that -cover adds, which need not be recorded"
}

// notNamed says why the source that was built is not known to be the one that the file names. It
// returns nil if it is known. The build ID tells: its first part is a hash of all that was linked,
// and its second part a hash of all that package main was compiled from.
func (a *attempt) notNamed(b *built) *verdict.Reason {
	// The file itself says that its source is no revision of anything.
	if a.claim.dirty() {
		return verdict.Because(verdict.Dirty, "it says that it was built from a work tree with uncommitted changes, which no revision has").WithRemedy(dirtyRemedy)
	}
	if a.confirms(b) {
		return nil
	}
	if list := otherSettings(a.facts.Build, b.facts.Build); len(list) > 0 {
		return verdict.Because(verdict.SourceNotNamed, "%s: it was built in another place, such as a workspace or a clone with other tags", strings.Join(list[:min(3, len(list))], "; ")).
			WithRemedy("git fetch --tags, if --source named a clone; else ask its makers how it was built")
	}
	if same, known := a.sameMain(b); known && same {
		return nil
	}
	return a.unnamed
}

// whyNotNamed says why a version of the main module is not what the file names. It returns nil if
// it is. revision is what the module proxy says of the version, or empty.
func (c *claim) whyNotNamed(ch sourceChoice, sum, revision string) *verdict.Reason {
	name := c.main.Path + "@" + ch.version
	clone := "take the source from a clone at the revision that it names, with --source DIR"
	switch {
	case c.install && c.sum == sum:
		return nil
	case c.install:
		return verdict.Because(verdict.SourceNotNamed, "the file says that %s is %s, and it is %s", name, c.sum, sum).WithRemedy("it was built from another module proxy: ask its makers which")
	case c.vcs == nil && ch.guess != "":
		return verdict.Because(verdict.SourceNotNamed, "it does not say which version it is, and that it is %s is a guess, after the version of %s", name, ch.guess).WithRemedy("ask for a build that says it")
	case c.vcs == nil:
		return verdict.Because(verdict.SourceNotNamed, "it does not say which version it is, and that it is %s is your word", name).WithRemedy("ask for a build that says it")
	case revision == c.vcs.revision, revision == "" && ch.resolved:
		return nil
	case revision != "":
		return verdict.Because(verdict.SourceNotNamed, "the file says that it is revision %s, and the module proxy that %s is revision %s", c.vcs.revision, name, verdict.Quote(revision)).WithRemedy(clone)
	}
	if rev, err := module.PseudoVersionRev(ch.version); err == nil && len(rev) >= 12 && strings.HasPrefix(c.vcs.revision, rev) {
		return nil
	}
	return verdict.Because(verdict.SourceNotNamed, "the file says that it is revision %s, and nothing tells whether %s is that", c.vcs.revision, name).WithRemedy(clone)
}

// notPublished says why the toolchain that made the file is not the published one. It returns nil
// if the file does not show that.
func (a *attempt) notPublished() *verdict.Reason {
	if v := a.facts.GoVersion; v != a.claim.goVersion {
		return verdict.Because(verdict.ToolchainNotPublished, "it was made by %s, which is more than a release of Go by name", verdict.Quote(v)).WithRemedy(foreignRemedy)
	}
	if dir := distributor(a.goroot); dir != "" {
		return verdict.Because(verdict.ToolchainNotPublished, "the toolchain that made it was at %s, where distributions put a Go of their own", verdict.Quote(a.goroot)).WithRemedy(foreignRemedy)
	}
	return nil
}

// distributors are the folders in which distributions and other package managers put programs that
// they have compiled themselves, with their own changes. Published archives are unpacked elsewhere:
// to /usr/local/go, or to a folder of the user or of a CI runner.
var distributors = []string{
	"/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/share", // Linux distributions
	"/nix/store", "/gnu/store", "/snap",
	"/opt/homebrew", "/usr/local/Cellar", "/usr/local/opt", "/home/linuxbrew", "/opt/local", // macOS
	"/usr/local/lib", "/usr/pkg", "/opt/pkg", // BSD
	"/data/data/com.termux",
}

// distributor returns the folder of a distribution that has the GOROOT in it, or nothing.
func distributor(goroot string) string {
	if strings.Contains(goroot, "/golang.org/toolchain@") { // downloaded, and checked by the go command
		return ""
	}
	for _, dir := range distributors {
		if strings.HasPrefix(goroot+"/", dir+"/") {
			return dir
		}
	}
	return ""
}

// otherContents lists the modules of which the file names another content than the source does,
// under the same version.
func otherContents(a, b *inspect.Build) []string {
	if a == nil || b == nil {
		return nil
	}
	var list []string
	for _, x := range a.Deps {
		for _, y := range b.Deps {
			if x.Path == y.Path && x.Version == y.Version && x.Sum != "" && y.Sum != "" && x.Sum != y.Sum && x.Replace == nil && y.Replace == nil {
				list = append(list, fmt.Sprintf("the file says that %s is %s, and it is %s", verdict.Quote(x.Path+"@"+x.Version), verdict.Quote(x.Sum), verdict.Quote(y.Sum)))
			}
		}
	}
	return list
}

// otherDependencies lists the modules that the file names and the source does not ask for, and
// those that the source asks for and the file does not name.
func otherDependencies(a, b *inspect.Build) []string {
	if a == nil || b == nil {
		return nil
	}
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }

	have := map[string]string{}
	for _, d := range b.Deps {
		have[d.Path] = moduleText(d)
	}

	for _, d := range a.Deps {
		other, ok := have[d.Path]
		switch x := moduleText(d); {
		case !ok:
			add("the file says that it has %s in it, and the source asks for no such module", x)
		case other != x:
			add("the file says that it has %s in it, and the source asks for %s", x, other)
		}
		delete(have, d.Path)
	}

	for _, d := range b.Deps {
		if other, ok := have[d.Path]; ok {
			add("the source asks for %s, and the file does not name it", other)
		}
	}

	return list
}

// otherSettings lists what else the file and its rebuild say differently of their making. The
// rebuild was given every setting of the file. So a difference came from the surroundings of the
// source: from the tags of a clone, or from a go.work.
func otherSettings(a, b *inspect.Build) []string {
	if a == nil || b == nil {
		return nil
	}
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if a.Main != nil && b.Main != nil && moduleText(*a.Main) != moduleText(*b.Main) {
		add("the file says that its main module is %s, and it is %s", moduleText(*a.Main), moduleText(*b.Main))
	}

	for _, s := range a.Settings {
		if v, _ := b.Setting(s.Key); v != s.Value {
			add("the file says %s=%s, and the source gives %s", verdict.Quote(s.Key), verdict.Quote(s.Value), verdict.Quote(v))
		}
	}

	for _, s := range b.Settings {
		if _, ok := a.Setting(s.Key); !ok {
			add("the source gives %s=%s, which the file does not say", verdict.Quote(s.Key), verdict.Quote(s.Value))
		}
	}
	return list
}

func moduleText(m inspect.Module) string {
	s := strings.TrimSpace(verdict.Quote(m.Path) + " " + m.Version + " " + m.Sum)
	if m.Replace != nil {
		s += " => " + moduleText(*m.Replace)
	}
	return s
}
