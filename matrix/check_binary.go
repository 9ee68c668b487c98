package matrix

import (
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/twicebuild/twice/matrix/tomlfile"
)

// checkBinaries checks the tables [[binary]].
func (p *parser) checkBinaries() {
	f := p.f
	if len(f.Binaries) == 0 && p.accepted("binary") {
		p.reject("binary", "begin one with [[binary]]", "no binaries")
	}

	names := map[string]string{} // in lower case, to the key of the binary
	for i := range f.Binaries {
		b := &f.Binaries[i]
		key := tomlfile.Element("binary", i)

		if pkg := tomlfile.Key(key, "package"); p.accepted(pkg) {
			if b.Package != "." && !(strings.HasPrefix(b.Package, "./") && isLocalPath(b.Package[2:])) ||
				strings.Contains(b.Package, "...") || strings.ContainsAny(b.Package, " \t\"'@") {
				p.reject(pkg, `write "." or a path such as "./cmd/tool"`, "%q is not one package of the module", b.Package)
			}
		}

		// The default name comes from the package, or from the project.
		if p.accepted(tomlfile.Key(key, "package")) || b.Name != "" {
			standard := path.Base(b.Package)
			if b.Package == "." {
				standard = f.Project
			}
			if name := tomlfile.Key(key, "name"); p.accepted(name) && (b.Package != "." || b.Name != "" || p.accepted("project")) {
				p.fillDefault(name, &b.Name, standard)
				lower := strings.ToLower(b.Name)
				if err := checkPlainName(b.Name); err != nil {
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

		p.checkTags(tomlfile.Key(key, "tags"), b.Tags)
		p.checkStamps(tomlfile.Key(key, "stamps"), b.Stamps)
		p.checkEnv(tomlfile.Key(key, "env"), b.Env)

		if b.Targets != nil && len(b.Targets) == 0 {
			p.reject(tomlfile.Key(key, "targets"), "leave it out for all targets", "empty")
		}
		for j, g := range b.Targets {
			p.checkGlob(tomlfile.Element(tomlfile.Key(key, "targets"), j), g)
		}
	}
}

// checkStamps checks a table of stamps: names of variables, and templates.
func (p *parser) checkStamps(key string, stamps map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(stamps)) {
		k := tomlfile.Key(key, name)
		if !isVariable(name) {
			p.reject(k, `write it as "main.version" or "example.com/mod/pkg.Version"`, "not the name of a variable with its package")
		}
		p.checkTemplate(k, stamps[name], fieldScope{target: true, binary: true}, func(v string) error { return checkStampValue(name, v) })
	}
}

// checkEnv checks a table of variables for the go command.
func (p *parser) checkEnv(key string, env map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		k := tomlfile.Key(key, name)
		if why := envRemedy(name); why != "" {
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
		p.checkTemplate(k, env[name], fieldScope{target: true, binary: true}, checkEnvValue)
	}
}

// checkTags checks a list of build tags.
func (p *parser) checkTags(key string, tags []string) {
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

// checkOptions checks the keys that [build] and [[override]] share.
func (p *parser) checkOptions(key string, o BuildOptions) {
	if o.BuildID != nil {
		if _, err := Quote([]string{"-buildid=" + *o.BuildID}); err != nil {
			p.reject(tomlfile.Key(key, "buildid"), "", "%v", err)
		}
	}

	p.checkTags(tomlfile.Key(key, "tags"), o.Tags)

	// Flags that lead out of the build have no place in a release.
	p.checkToolFlags(tomlfile.Key(key, "gcflags"), o.GCFlags, compilerRefusal)
	p.checkToolFlags(tomlfile.Key(key, "asmflags"), o.ASMFlags, assemblerRefusal)

	k := tomlfile.Key(key, "extldflags")
	for i, e := range o.ExtLDFlags {
		if why := linkerRefusal(e); why != "" {
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

	if k := tomlfile.Key(key, "fips140"); o.FIPS140 != nil && p.accepted(k) && !isFIPS(*o.FIPS140) {
		p.reject(k, "", "unknown GOFIPS140 %q (off, latest, inprocess, certified or a version such as v1.0.0)", *o.FIPS140)
	}
}
