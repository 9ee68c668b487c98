package matrix

import (
	"fmt"
	"slices"

	"github.com/twicebuild/twice/matrix/internal/spelling"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// checkMatrix checks the table [matrix].
func (p *parser) checkMatrix() {
	m := &p.f.Matrix
	if !p.accepted("matrix") {
		return
	}

	p.checkAllKnown("matrix.os", m.OS, platform.KnownOS, "GOOS")
	p.checkAllKnown("matrix.arch", m.Arch, platform.KnownArch, "GOARCH")

	switch {
	case len(m.OS) == 0 && len(m.Arch) == 0 && len(m.Include) == 0 && p.accepted("matrix.os") && p.accepted("matrix.arch") && p.accepted("matrix.include"):
		p.reject("matrix", `write os = ["linux"] and arch = ["amd64"]`, "empty: no targets")
	case len(m.OS) == 0 && len(m.Arch) > 0 && p.accepted("matrix.os"):
		p.reject("matrix.arch", "", "without os, there is nothing to build for")
	case len(m.Arch) == 0 && len(m.OS) > 0 && p.accepted("matrix.arch"):
		p.reject("matrix.os", "", "without arch, there is nothing to build for")
	}

	// Variants are kept in canonical form, so that two ways to write one are seen.
	for _, f := range m.variants() {
		key := tomlfile.Key("matrix", f.key)
		if *f.list != nil && len(*f.list) == 0 {
			p.reject(key, "leave it out for the default", "empty")
		}

		seen := map[string]int{}
		for i, v := range *f.list {
			k := tomlfile.Element(key, i)
			if !p.accepted(k) {
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

	// An element of include is a target or a glob for ports.
	for i, s := range m.Include {
		key := tomlfile.Element("matrix.include", i)
		if !isPattern(s) && p.accepted(key) {
			if _, err := ParseTarget(s); err != nil {
				p.reject(key, "", "%v", err)
			}
			continue
		}

		p.checkGlob(key, s)
		if g := p.f.globs[key]; isPattern(g.variant) && p.accepted(key) {
			p.reject(key, "name the variant, or list the variants in [matrix]", "%s: a glob stands for ports, and has no pattern for variants", s)
		}
	}

	for i, s := range m.Exclude {
		p.checkGlob(tomlfile.Element("matrix.exclude", i), s)
	}
}

// variantList is one of the keys of [matrix] that list variants.
type variantList struct {
	key    string
	arches []string
	list   *[]string
}

// variants returns the lists of variants, in the order of the manual.
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

// checkAllKnown checks that list has known names and none of them twice. kind is
// what an error calls such a name.
func (p *parser) checkAllKnown(key string, list, known []string, kind string) {
	for i, s := range list {
		k := tomlfile.Element(key, i)
		switch {
		case !p.accepted(k):
		case !slices.Contains(known, s):
			hint := ""
			if c := spelling.Closest(s, known); c != "" {
				hint = fmt.Sprintf("did you mean %q?", c)
			}
			p.reject(k, hint, "unknown %s %q", kind, s)
		case slices.Index(list, s) < i:
			p.reject(k, "", "%q is listed twice", s)
		}
	}
}
