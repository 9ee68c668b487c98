package matrix

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/mod/semver"

	"github.com/twicebuild/twice/matrix/internal/spelling"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// given tells whether the file has the key.
func (p *parser) given(key string) bool { return p.lines.Has(key) }

// fill sets the default of a key that the file does not have, and refuses an
// empty value of one that it has.
func (p *parser) fill(key string, s *string, standard string) {
	if *s != "" || !p.ok(key) {
		return
	}
	if p.given(key) {
		p.reject(key, "leave it out for the default", "empty")
	}
	*s = standard
}

// check judges what the types do not say, and fills in defaults.
func (p *parser) check() {
	f := p.f
	if p.ok("project") {
		p.name("project", f.Project)
	}
	p.fill("version", &f.Version, "auto")
	if f.Version != "auto" && p.ok("version") {
		v := "v" + strings.TrimPrefix(f.Version, "v")
		if semver.Canonical(v)+semver.Build(v) != v || !semver.IsValid(v) {
			p.reject("version", `write "auto" or a version such as "1.2.3"`, "%q is no semantic version", f.Version)
		}
		f.Version = v[1:]
	}
	p.toolchain()
	p.source()
	p.binaries()
	p.options("build", f.Build)
	p.matrix()
	for i, o := range f.Overrides {
		key := tomlfile.Element("override", i)
		p.glob(tomlfile.Key(key, "target"), o.Target)
		p.fill(tomlfile.Key(key, "binary"), &f.Overrides[i].Binary, "*")
		if _, err := path.Match(f.Overrides[i].Binary, "x"); err != nil {
			p.reject(tomlfile.Key(key, "binary"), "", "bad pattern %q", o.Binary)
		}
		p.options(key, o.BuildOptions)
		p.stamps(tomlfile.Key(key, "stamps"), o.Stamps)
		p.env(tomlfile.Key(key, "env"), o.Env)
	}
	p.packaging()
	p.sign()
	p.fill("checksum.file", &f.Checksum.File, "SHA256SUMS")
	if p.ok("checksum.file") {
		p.name("checksum.file", f.Checksum.File)
		if reserved[strings.ToLower(f.Checksum.File)] {
			p.reject("checksum.file", "", "%q is the name of something else in dist", f.Checksum.File)
		}
	}
	for i, id := range f.Check.Silence {
		if k := tomlfile.Element("check.silence", i); p.ok(k) && slices.Index(f.Check.Silence, id) < i {
			p.reject(k, "", "%q is listed twice", id)
		}
	}
	p.images()
	for i, h := range f.Before {
		key := tomlfile.Key(tomlfile.Element("before", i), "run")
		if len(h.Run) == 0 && p.ok(key) {
			p.reject(key, `write a command, such as ["go", "generate", "./..."]`, "empty")
		}
		for j, arg := range h.Run {
			if j == 0 && arg == "" && p.ok(tomlfile.Element(key, j)) {
				p.reject(tomlfile.Element(key, j), "", "the name of the command is empty")
			}
			p.template(tomlfile.Element(key, j), arg, where{}, hookArg(j))
		}
	}
}

// sign checks the table [sign].
func (p *parser) sign() {
	s := p.f.Sign
	if s.Key != "" && s.Keyless {
		p.reject("sign.keyless", "leave out one of the two", "there is a key as well")
	}
	if (s.SigningConfig == "") != (s.TrustedRoot == "") {
		key, other := "sign.trusted_root", "signing_config"
		if s.TrustedRoot == "" {
			key, other = "sign.signing_config", "trusted_root"
		}
		p.reject(key, "give both", "without %s", other)
	}
	if s.SigningConfig != "" && s.Key == "" && !s.Keyless {
		p.reject("sign.signing_config", "add key or keyless", "nothing says who signs")
	}
	if s.Builder != "" && p.ok("sign.builder") {
		if u, err := url.Parse(s.Builder); err != nil || u.Scheme == "" || !isPrintable(s.Builder) {
			p.reject("sign.builder", "write an absolute one, such as \"https://example.com/builder\"", "%q is no URI", s.Builder)
		}
	}
	for key, v := range map[string]string{"key": s.Key, "signing_config": s.SigningConfig, "trusted_root": s.TrustedRoot, "builder": s.Builder} {
		if k := tomlfile.Key("sign", key); v == "" && p.given(k) && p.ok(k) {
			p.reject(k, "leave it out for the default", "empty")
		}
	}
}

// isPrintable tells whether s is ASCII without spaces and control characters.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// name holds a value to [plainName].
func (p *parser) name(key, s string) {
	if err := plainName(s); err != nil {
		p.reject(key, "", "%v", err)
	}
}

// isNameByte tells whether c is an ASCII letter or digit, "_" or "-".
func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// plainName accepts what is a file name everywhere and needs no quotes in a
// shell.
func plainName(s string) error {
	const punctuation = "._-+"
	for _, c := range s {
		if !(c < 0x80 && isNameByte(byte(c))) && !strings.ContainsRune(punctuation, c) {
			return fmt.Errorf("%q is no plain name: %q is not among letters, digits and %s", s, c, punctuation)
		}
	}
	base, _, _ := strings.Cut(strings.ToLower(s), ".")
	switch {
	case s == "":
		return fmt.Errorf("the name is empty")
	case len(s) > 200:
		return fmt.Errorf("the name is longer than 200 bytes")
	case s[0] == '.' || s[0] == '-' || s[len(s)-1] == '.' || strings.Contains(s, ".."):
		return fmt.Errorf(`%q is no plain name: it begins with "." or "-", ends in "." or holds ".."`, s)
	case slices.Contains([]string{"con", "prn", "aux", "nul"}, base),
		len(base) == 4 && (base[:3] == "com" || base[:3] == "lpt") && '0' <= base[3] && base[3] <= '9':
		return fmt.Errorf("%q is a device on windows", s)
	}
	return nil
}

// reserved are the names in dist that no archive and no list of digests can
// have, in lower case.
var reserved = map[string]bool{"bin": true, "oci": true, "sbom": true, "release.json": true, "report.html": true}

// template checks a template and keeps it for the expansion; value, where it is
// not nil, judges what comes out with sample values.
func (p *parser) template(key, s string, in where, value func(string) error) {
	if !p.ok(key) {
		return
	}
	t, err := parseText(s, in)
	if err == nil && value != nil {
		var out string
		if out, err = t.expand(SampleVars(p.f.Project)); err == nil {
			err = value(out)
		}
	}
	if err != nil {
		hint := ""
		if strings.HasPrefix(err.Error(), "template: ") {
			hint = "fields are .Project .Version .Tag .Commit .ShortCommit .CommitTime .CommitUnix .Snapshot .Binary .Target; " +
				"functions lower upper replace trimPrefix trimSuffix eq ne and or not"
		}
		p.reject(key, hint, "%v", err)
		return
	}
	p.f.texts[key] = t
}

// glob checks a glob for targets and keeps it for the expansion.
func (p *parser) glob(key, s string) {
	if !p.ok(key) {
		return
	}
	g, err := parseGlob(s)
	if err != nil {
		p.reject(key, "", "%v", err)
		return
	}
	p.f.globs[key] = g
}

func (p *parser) toolchain() {
	const key = "toolchain.version"
	v := &p.f.Toolchain.Version
	p.fill(key, v, "go.mod")
	if *v == "go.mod" || !p.ok(key) {
		return
	}
	n := strings.TrimPrefix(*v, "go")
	if !exactGo(n) {
		p.reject(key, `write "go.mod" or an exact version of Go 1.21 or later, such as "1.26.8" or "1.27rc1"`,
			"%q is no exact version of Go", *v)
	}
	*v = "go" + n
}

// exactGo accepts 1.N.P, 1.NrcP and 1.NbetaP where N is 21 or more: before that,
// toolchains are not published as modules.
func exactGo(s string) bool {
	rest, ok := strings.CutPrefix(s, "1.")
	minor, rest := digits(rest)
	if !ok || len(minor) != 2 || minor < "21" {
		return false
	}
	for _, sep := range []string{".", "rc", "beta"} {
		if after, ok := strings.CutPrefix(rest, sep); ok {
			patch, end := digits(after)
			return end == "" && patch != "" && len(patch) <= 3 && (patch == "0" && sep == "." || patch[0] != '0')
		}
	}
	return false
}

// digits splits s after its leading digits.
func digits(s string) (number, rest string) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

func (p *parser) source() {
	s := &p.f.Source
	p.fill("source.dir", &s.Dir, ".")
	if p.ok("source.dir") && !inside(s.Dir) {
		p.reject("source.dir", `write a path below the release file, such as "server"`, "%q is no clean relative path with slashes", s.Dir)
	}
	p.fill("source.lfs", &s.LFS, "refuse")
}

// inside tells whether s is a clean slash-separated path that stays where it
// begins, on every system.
func inside(s string) bool {
	return s != "" && path.Clean(s) == s && s[0] != '/' && s != ".." && !strings.HasPrefix(s, "../") &&
		!strings.ContainsAny(s, "\\:\n\r")
}

func (p *parser) binaries() {
	f := p.f
	if len(f.Binaries) == 0 && p.ok("binary") {
		p.reject("binary", "begin one with [[binary]]", "no binaries")
	}
	names := map[string]string{}
	for i := range f.Binaries {
		b := &f.Binaries[i]
		key := tomlfile.Element("binary", i)
		if pkg := tomlfile.Key(key, "package"); p.ok(pkg) {
			if b.Package != "." && !(strings.HasPrefix(b.Package, "./") && inside(b.Package[2:])) ||
				strings.Contains(b.Package, "...") || strings.ContainsAny(b.Package, " \t\"'@") {
				p.reject(pkg, `write "." or a path such as "./cmd/tool"`, "%q is not one package of the module", b.Package)
			}
		}
		if p.ok(tomlfile.Key(key, "package")) || b.Name != "" {
			standard := path.Base(b.Package)
			if b.Package == "." {
				standard = f.Project
			}
			if name := tomlfile.Key(key, "name"); p.ok(name) && (b.Package != "." || b.Name != "" || p.ok("project")) {
				p.fill(name, &b.Name, standard)
				lower := strings.ToLower(b.Name)
				if err := plainName(b.Name); err != nil {
					p.reject(name, "", "%v", err)
				} else if strings.HasSuffix(lower, ".exe") || strings.HasSuffix(lower, ".wasm") {
					p.reject(name, "leave the suffix out: it is added where a target has one", "%q has a suffix", b.Name)
				} else if other, ok := names[lower]; ok {
					p.reject(name, "give each a name", "%q is the name of %s too", b.Name, other)
				} else {
					names[lower] = key
				}
			}
		}
		p.tags(tomlfile.Key(key, "tags"), b.Tags)
		p.stamps(tomlfile.Key(key, "stamps"), b.Stamps)
		p.env(tomlfile.Key(key, "env"), b.Env)
		if b.Targets != nil && len(b.Targets) == 0 {
			p.reject(tomlfile.Key(key, "targets"), "leave it out for all targets", "empty")
		}
		for j, g := range b.Targets {
			p.glob(tomlfile.Element(tomlfile.Key(key, "targets"), j), g)
		}
	}
}

func (p *parser) stamps(key string, stamps map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(stamps)) {
		k := tomlfile.Key(key, name)
		if !isVariable(name) {
			p.reject(k, `write it as "main.version" or "example.com/mod/pkg.Version"`, "not the name of a variable with its package")
		}
		p.template(k, stamps[name], where{target: true, binary: true}, func(v string) error { return stampValue(name, v) })
	}
}

// isVariable accepts importpath.name.
func isVariable(s string) bool {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 || i == len(s)-1 || strings.Contains(s[i:], "/") || s[0] == '-' || s[0] == '.' || s[i-1] == '/' {
		return false
	}
	for j, c := range s[i+1:] {
		if c != '_' && !unicode.IsLetter(c) && (j == 0 || !unicode.IsDigit(c)) {
			return false
		}
	}
	for _, c := range s[:i] {
		if !(c < 0x80 && isNameByte(byte(c))) && !strings.ContainsRune("./~+!", c) {
			return false
		}
	}
	return true
}

// stampValue tells whether a stamp can be handed to the linker.
func stampValue(name, value string) error {
	_, err := Quote([]string{"-X=" + name + "=" + value})
	return err
}

func (p *parser) env(key string, env map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		k := tomlfile.Key(key, name)
		if why := envOwner(name); why != "" {
			p.reject(k, why, "twice sets this variable")
		}
		for i := 0; i < len(name); i++ {
			if !isNameByte(name[i]) || name[i] == '-' || i == 0 && '0' <= name[i] && name[i] <= '9' {
				p.reject(k, "", "not the name of a variable")
				break
			}
		}
		if name == "" {
			p.reject(k, "", "not the name of a variable")
		}
		p.template(k, env[name], where{target: true, binary: true}, envValue)
	}
}

func envValue(v string) error {
	if strings.ContainsAny(v, "\x00\n\r") {
		return fmt.Errorf("the value holds a line end or a NUL")
	}
	return nil
}

// envOwner says, for a variable that a release file cannot set, what to do
// instead. Names are compared without case, as windows does.
func envOwner(name string) string {
	name = strings.ToUpper(name)
	switch name {
	case "GOFLAGS":
		return "use the keys of [build]"
	case "GOOS", "GOARCH", "GOAMD64", "GOARM", "GOARM64", "GO386", "GOMIPS", "GOMIPS64", "GOPPC64", "GORISCV64", "GOWASM":
		return "use [matrix]"
	case "GOEXPERIMENT":
		return "use build.experiments"
	case "GOFIPS140":
		return "use build.fips140"
	case "GOTOOLCHAIN", "GOROOT":
		return "use toolchain.version"
	case "CGO_ENABLED":
		return "use build.cgo"
	case "PATH", "PATHEXT", "PWD", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "TMPDIR", "TMP", "TEMP", "TZ", "LANG", "LANGUAGE",
		"USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "WINDIR", "COMSPEC", "USERNAME", "COMPUTERNAME",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "NETRC":
		return "leave it out: it must not matter, and differs between the passes"
	}
	for _, prefix := range []string{"LC_", "LD_", "DYLD_", "GIT_", "SSH_", "XDG_"} {
		if strings.HasPrefix(name, prefix) {
			return "leave it out: it must not matter, and may differ between the passes"
		}
	}
	if strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "TWICE_") {
		return "leave it out: twice sets every variable of the go command"
	}
	return ""
}

func (p *parser) tags(key string, tags []string) {
	for i, tag := range tags {
		bad := tag == ""
		for _, c := range tag {
			bad = bad || c != '_' && c != '.' && !unicode.IsLetter(c) && !unicode.IsDigit(c)
		}
		if bad {
			p.reject(tomlfile.Element(key, i), "one tag an element", "%q is no build tag", tag)
		}
	}
}

// options checks the keys that [build] and [[override]] share.
func (p *parser) options(key string, o BuildOptions) {
	if o.BuildID != nil {
		if _, err := Quote([]string{"-buildid=" + *o.BuildID}); err != nil {
			p.reject(tomlfile.Key(key, "buildid"), "", "%v", err)
		}
	}
	p.tags(tomlfile.Key(key, "tags"), o.Tags)
	p.toolFlags(tomlfile.Key(key, "gcflags"), o.GCFlags, compilerRefuses)
	p.toolFlags(tomlfile.Key(key, "asmflags"), o.ASMFlags, assemblerRefuses)
	k := tomlfile.Key(key, "extldflags")
	for i, e := range o.ExtLDFlags {
		if why := linkerRefuses(e); why != "" {
			p.reject(tomlfile.Element(k, i), "", "%s: %s", e, why)
		}
	}
	if _, err := extLDFlags(o.ExtLDFlags); err != nil {
		p.reject(k, "", "%v", err)
	}
	for i, e := range o.Experiments {
		if e == "" || strings.Trim(e, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			p.reject(tomlfile.Element(tomlfile.Key(key, "experiments"), i), "one name an element", "%q is no experiment", e)
		}
	}
	if k := tomlfile.Key(key, "fips140"); o.FIPS140 != nil && p.ok(k) && !isFIPS(*o.FIPS140) {
		p.reject(k, "", "unknown GOFIPS140 %q (off, latest, inprocess, certified or a version such as v1.0.0)", *o.FIPS140)
	}
}

// isFIPS is the grammar of GOFIPS140 in internal/buildcfg.
func isFIPS(s string) bool {
	if slices.Contains([]string{"off", "latest", "inprocess", "certified"}, s) {
		return true
	}
	core, suffix, has := strings.Cut(s, "-")
	if !semver.IsValid(core) || semver.Canonical(core) != core || semver.Major(core) != "v1" {
		return false
	}
	if rc, ok := strings.CutPrefix(suffix, "rc"); ok {
		n, end := digits(rc)
		return n != "" && end == ""
	}
	return !has || len(suffix) == 8 && strings.Trim(suffix, "0123456789abcdef") == ""
}

func (p *parser) matrix() {
	m := &p.f.Matrix
	if !p.ok("matrix") {
		return
	}
	p.listed("matrix.os", m.OS, platform.KnownOS, "GOOS")
	p.listed("matrix.arch", m.Arch, platform.KnownArch, "GOARCH")
	switch {
	case len(m.OS) == 0 && len(m.Arch) == 0 && len(m.Include) == 0 && p.ok("matrix.os") && p.ok("matrix.arch") && p.ok("matrix.include"):
		p.reject("matrix", `write os = ["linux"] and arch = ["amd64"]`, "empty: no targets")
	case len(m.OS) == 0 && len(m.Arch) > 0 && p.ok("matrix.os"):
		p.reject("matrix.arch", "", "without os, there is nothing to build for")
	case len(m.Arch) == 0 && len(m.OS) > 0 && p.ok("matrix.arch"):
		p.reject("matrix.os", "", "without arch, there is nothing to build for")
	}
	for _, f := range m.variants() {
		key := tomlfile.Key("matrix", f.key)
		if *f.list != nil && len(*f.list) == 0 {
			p.reject(key, "leave it out for the default", "empty")
		}
		seen := map[string]int{}
		for i, v := range *f.list {
			k := tomlfile.Element(key, i)
			if !p.ok(k) {
				continue
			}
			c, err := platform.CanonicalVariant(f.arches[0], v)
			if err == nil && v == "" && f.key != "wasm" {
				err = fmt.Errorf("empty variant")
			}
			if err != nil {
				p.reject(k, "", "%v", err)
			} else if j, ok := seen[c]; ok {
				p.reject(k, "", "%q is listed twice: it is %s", v, tomlfile.Element(key, j))
			} else {
				seen[c] = i
			}
			(*f.list)[i] = c
		}
	}
	for i, s := range m.Include {
		key := tomlfile.Element("matrix.include", i)
		if !isPattern(s) && p.ok(key) {
			if _, err := ParseTarget(s); err != nil {
				p.reject(key, "", "%v", err)
			}
			continue
		}
		p.glob(key, s)
		if g := p.f.globs[key]; isPattern(g.variant) && p.ok(key) {
			p.reject(key, "name the variant, or list the variants in [matrix]", "%s: a glob stands for ports, and has no pattern for variants", s)
		}
	}
	for i, s := range m.Exclude {
		p.glob(tomlfile.Element("matrix.exclude", i), s)
	}
}

// variantList is one of the keys of [matrix] that list variants.
type variantList struct {
	key    string
	arches []string
	list   *[]string
}

func (m *Matrix) variants() []variantList {
	return []variantList{
		{"amd64", []string{"amd64"}, &m.AMD64},
		{"arm", []string{"arm"}, &m.ARM},
		{"arm64", []string{"arm64"}, &m.ARM64},
		{"386", []string{"386"}, &m.I386},
		{"mips", []string{"mips", "mipsle"}, &m.MIPS},
		{"mips64", []string{"mips64", "mips64le"}, &m.MIPS64},
		{"ppc64", []string{"ppc64", "ppc64le"}, &m.PPC64},
		{"riscv64", []string{"riscv64"}, &m.RISCV64},
		{"wasm", []string{"wasm"}, &m.WASM},
	}
}

// listed checks a list of names that Go knows.
func (p *parser) listed(key string, list, known []string, variable string) {
	for i, s := range list {
		k := tomlfile.Element(key, i)
		switch {
		case !p.ok(k):
		case !slices.Contains(known, s):
			hint := ""
			if c := spelling.Closest(s, known); c != "" {
				hint = fmt.Sprintf("did you mean %q?", c)
			}
			p.reject(k, hint, "unknown %s %q", variable, s)
		case slices.Index(list, s) < i:
			p.reject(k, "", "%q is listed twice", s)
		}
	}
}

func (p *parser) packaging() {
	a := &p.f.Packaging
	p.fill("archive.format", &a.Format, "tar.gz")
	p.fill("archive.name", &a.Name, "{{.Project}}_{{.Version}}_{{.Target.Slug}}")
	if a.Formats == nil {
		a.Formats = map[string]string{"windows": "zip"}
	} else {
		for _, goos := range slices.Sorted(maps.Keys(a.Formats)) {
			if !slices.Contains(platform.KnownOS, goos) {
				p.reject(tomlfile.Key("archive.formats", goos), "", "unknown GOOS %q%s", goos, spelling.DidYouMean(goos, platform.KnownOS))
			}
		}
	}
	if p.ok("project") {
		p.template("archive.name", a.Name, where{target: true, binary: true}, plainName)
		if a.Wrap != "" {
			p.template("archive.wrap", a.Wrap, where{target: true, binary: true}, plainName)
		}
	}
	for i, s := range a.Files {
		k := tomlfile.Element("archive.files", i)
		_, err := path.Match(s, "x")
		switch {
		case !p.ok(k):
		case !inside(s) || s == ".":
			p.reject(k, "", "%q is no clean path with slashes, relative to the module", s)
		case err != nil:
			p.reject(k, "", "bad pattern %q", s)
		case strings.Contains(s, "**"):
			p.reject(k, "name each level: doc/*/*.md", "%q: ** is not available", s)
		case inGit(s):
			p.reject(k, "", "%q: %s", s, notInCommit)
		}
	}
}

// inGit reports whether a path or a pattern names something in a folder of git.
func inGit(s string) bool {
	return slices.ContainsFunc(strings.Split(s, "/"), func(elem string) bool { return strings.EqualFold(elem, ".git") })
}

const notInCommit = "what is in .git is no part of the commit"

// defaultFiles is archive.files where the release file has none.
var defaultFiles = []string{
	"LICENSE*", "LICENCE*", "License*", "license*", "COPYING*", "NOTICE*", "README*", "readme*",
}
