package matrix

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/twicebuild/twice/matrix/tomlfile"
)

// hasKey reports whether the file itself has the key.
func (p *parser) hasKey(key string) bool { return p.lines.Has(key) }

// fillDefault sets the default of a key that the file does not have, and refuses an
// empty value of one that it has.
func (p *parser) fillDefault(key string, s *string, standard string) {
	if *s != "" || !p.accepted(key) {
		return
	}
	if p.hasKey(key) {
		p.reject(key, "leave it out for the default", "empty")
	}
	*s = standard
}

// checkFile checks the values of the fields, beyond their types, and fills in defaults. The order of
// the calls matters: a default may come from a key that is checked before.
func (p *parser) checkFile() {
	f := p.f
	if p.accepted("project") {
		p.checkName("project", f.Project)
	}

	p.fillDefault("version", &f.Version, "auto")
	if f.Version != "auto" && p.accepted("version") {
		v := "v" + strings.TrimPrefix(f.Version, "v")
		if semver.Canonical(v)+semver.Build(v) != v || !semver.IsValid(v) {
			p.reject("version", `write "auto" or a version such as "1.2.3"`, "%q is no semantic version", f.Version)
		}
		f.Version = v[1:]
	}

	p.checkToolchain()
	p.checkSource()
	p.checkBinaries()
	p.checkOptions("build", f.Build)
	p.checkMatrix()
	p.checkOverrides()
	p.checkPackaging()
	p.checkSign()
	p.checkChecksum()
	p.checkSilence()
	p.checkImages()
	p.checkHooks()
}

// checkOverrides checks the tables [[override]].
func (p *parser) checkOverrides() {
	for i, o := range p.f.Overrides {
		key := tomlfile.Element("override", i)
		p.checkGlob(tomlfile.Key(key, "target"), o.Target)
		p.fillDefault(tomlfile.Key(key, "binary"), &p.f.Overrides[i].Binary, "*")
		if _, err := path.Match(p.f.Overrides[i].Binary, "x"); err != nil {
			p.reject(tomlfile.Key(key, "binary"), "", "bad pattern %q", o.Binary)
		}

		p.checkOptions(key, o.BuildOptions)
		p.checkStamps(tomlfile.Key(key, "stamps"), o.Stamps)
		p.checkEnv(tomlfile.Key(key, "env"), o.Env)
	}
}

// checkChecksum checks the table [checksum].
func (p *parser) checkChecksum() {
	c := &p.f.Checksum
	p.fillDefault("checksum.file", &c.File, "SHA256SUMS")
	if !p.accepted("checksum.file") {
		return
	}

	p.checkName("checksum.file", c.File)
	if reservedNames[strings.ToLower(c.File)] {
		p.reject("checksum.file", "", "%q is the name of something else in dist", c.File)
	}
}

// checkSilence checks the list check.silence, whose elements are known lints.
func (p *parser) checkSilence() {
	silence := p.f.Check.Silence
	for i, id := range silence {
		if k := tomlfile.Element("check.silence", i); p.accepted(k) && slices.Index(silence, id) < i {
			p.reject(k, "", "%q is listed twice", id)
		}
	}
}

// checkHooks checks the tables [[before]].
func (p *parser) checkHooks() {
	for i, h := range p.f.Before {
		key := tomlfile.Key(tomlfile.Element("before", i), "run")
		if len(h.Run) == 0 && p.accepted(key) {
			p.reject(key, `write a command, such as ["go", "generate", "./..."]`, "empty")
		}
		for j, arg := range h.Run {
			if j == 0 && arg == "" && p.accepted(tomlfile.Element(key, j)) {
				p.reject(tomlfile.Element(key, j), "", "the name of the command is empty")
			}
			p.checkTemplate(tomlfile.Element(key, j), arg, fieldScope{}, checkHookArg(j))
		}
	}
}

// checkSign checks the table [sign].
func (p *parser) checkSign() {
	s := p.f.Sign
	if s.Key != "" && s.Keyless {
		p.reject("sign.keyless", "leave out one of the two", "there is a key as well")
	}

	// Both files describe one Sigstore instance.
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

	if s.Builder != "" && p.accepted("sign.builder") {
		if u, err := url.Parse(s.Builder); err != nil || u.Scheme == "" || !isPrintable(s.Builder) {
			p.reject("sign.builder", "write an absolute one, such as \"https://example.com/builder\"", "%q is no URI", s.Builder)
		}
	}

	for key, v := range map[string]string{"key": s.Key, "signing_config": s.SigningConfig, "trusted_root": s.TrustedRoot, "builder": s.Builder} {
		if k := tomlfile.Key("sign", key); v == "" && p.hasKey(k) && p.accepted(k) {
			p.reject(k, "leave it out for the default", "empty")
		}
	}
}

// checkName checks a value with [checkPlainName].
func (p *parser) checkName(key, s string) {
	if err := checkPlainName(s); err != nil {
		p.reject(key, "", "%v", err)
	}
}

// checkTemplate checks a template and keeps it for the expansion. If checkValue is
// not nil, it checks what comes out with sample values.
func (p *parser) checkTemplate(key, s string, in fieldScope, checkValue func(string) error) {
	if !p.accepted(key) {
		return
	}

	t, err := parseTemplate(s, in)
	if err == nil && checkValue != nil {
		var out string
		if out, err = t.expand(SampleVars(p.f.Project)); err == nil {
			err = checkValue(out)
		}
	}
	if err != nil {
		// The words of the language help where the template itself is wrong.
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

// checkGlob checks a glob for targets and keeps it for the expansion.
func (p *parser) checkGlob(key, s string) {
	if !p.accepted(key) {
		return
	}
	g, err := parseGlob(s)
	if err != nil {
		p.reject(key, "", "%v", err)
		return
	}
	p.f.globs[key] = g
}

// checkToolchain checks the table [toolchain].
func (p *parser) checkToolchain() {
	const key = "toolchain.version"
	v := &p.f.Toolchain.Version
	p.fillDefault(key, v, "go.mod")
	if *v == "go.mod" || !p.accepted(key) {
		return
	}

	n := strings.TrimPrefix(*v, "go")
	if !isExactGo(n) {
		p.reject(key, `write "go.mod" or an exact version of Go 1.21 or later, such as "1.26.8" or "1.27rc1"`,
			"%q is no exact version of Go", *v)
	}
	*v = "go" + n
}

// checkSource checks the table [source].
func (p *parser) checkSource() {
	s := &p.f.Source
	p.fillDefault("source.dir", &s.Dir, ".")
	if p.accepted("source.dir") && !isLocalPath(s.Dir) {
		p.reject("source.dir", `write a path below the release file, such as "server"`, "%q is no clean relative path with slashes", s.Dir)
	}

	p.fillDefault("source.lfs", &s.LFS, "refuse")
}
