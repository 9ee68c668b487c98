package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix/internal/spelling"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// keyedTarget is a target and the path of the key that it comes from.
type keyedTarget struct {
	Target
	key string
}

// expandTargets returns the targets of [matrix], in its order.
func (f *File) expandTargets(p *faults, ports []platform.Port) []keyedTarget {
	m := f.Matrix
	variants := map[string][]string{}
	for _, l := range m.variants() {
		for _, arch := range l.arches {
			variants[arch] = *l.list
		}
	}

	// ofPort returns the targets of a port: one for each variant that is listed.
	ofPort := func(os, arch string) []Target {
		list := variants[arch]
		if list == nil {
			v, _ := platform.CanonicalVariant(arch, "")
			list = []string{v}
		}
		var targets []Target
		for _, v := range list {
			targets = append(targets, Target{os, arch, v})
		}
		return targets
	}

	var all []keyedTarget
	seen, out := map[Target]string{}, map[Target]string{} // the key that added or excluded a target

	excluded := make([]bool, len(m.Exclude))

	// add appends a target, unless it is there or excluded; by is the key that says so.
	add := func(t Target, key string) (by string, added bool) {
		if by := cmp.Or(seen[t], out[t]); by != "" {
			return by, false
		}

		for i := range m.Exclude {
			if k := tomlfile.Element("matrix.exclude", i); f.globs[k].match(t) {
				excluded[i], by = true, k
			}
		}

		if by != "" {
			out[t] = by
			return by, false
		}
		seen[t] = key
		all = append(all, keyedTarget{t, key})
		return "", true
	}

	for _, os := range m.OS {
		for j, arch := range m.Arch {
			for _, t := range ofPort(os, arch) {
				add(t, tomlfile.Element("matrix.arch", j))
			}
		}
	}

	// A target that is named has to be new. A glob may find some that are there.
	for i, s := range m.Include {
		key := tomlfile.Element("matrix.include", i)
		g, isGlob := f.globs[key]
		if !isGlob {
			t, err := ParseTarget(s)
			if err != nil {
				p.add(key, "", "%v", err)
			} else if by, ok := add(t, key); !ok {
				verb := "already in"
				if strings.HasPrefix(by, "matrix.exclude") {
					verb = "excluded by"
				}
				p.add(key, "", "%s is %s %s", t, verb, by)
			}
			continue
		}

		from, found := ports, false
		if from == nil {
			from = platform.KnownPorts
		}
		for _, port := range from {
			if port.Broken || !matchSegment(g.os, port.OS) || !matchSegment(g.arch, port.Arch) {
				continue
			}

			targets := ofPort(port.OS, port.Arch)
			if g.variant != "" {
				v, err := platform.CanonicalVariant(port.Arch, g.variant)
				if err != nil {
					continue // this port has no such variant
				}
				targets = []Target{{port.OS, port.Arch, v}}
			}

			for _, t := range targets {
				_, ok := add(t, key)
				found = found || ok
			}
		}

		if !found {
			p.add(key, "", "%s adds no target", s)
		}
	}

	for i, s := range m.Exclude {
		if !excluded[i] {
			p.add(tomlfile.Element("matrix.exclude", i), "", "%s matches no target", s)
		}
	}

	switch {
	case len(all) == 0 && len(p.list) == 0:
		p.add("matrix", "", "every target is excluded")
	case len(all) > maxTargets:
		p.add("matrix", "", "%d targets, more than %d", len(all), maxTargets)
	}

	// Nobody asked for a port that the product of os and arch brought in, so the
	// remedy is to exclude it.
	if ports != nil {
		for _, t := range all {
			exclude := fmt.Sprintf(`add it to matrix.exclude: exclude = ["%s/%s"]`, t.OS, t.Arch)
			if strings.HasPrefix(t.key, "matrix.include") {
				exclude = ""
			}
			if port, ok := platform.FindPort(ports, t.OS, t.Arch); !ok {
				p.add(t.key, exclude, "the toolchain has no port %s/%s", t.OS, t.Arch)
			} else if port.Broken {
				p.add(t.key, exclude, "the Go project calls the port %s/%s broken", t.OS, t.Arch)
			}
		}
	}

	return all
}

// reportUnused notes the keys that select nothing. Most likely they are misspelt.
func (f *File) reportUnused(p *faults, targets []keyedTarget) {
	matches := func(key string) bool {
		g := f.globs[key]
		return slices.ContainsFunc(targets, func(t keyedTarget) bool { return g.match(t.Target) })
	}

	for _, l := range f.Matrix.variants() {
		used := slices.ContainsFunc(targets, func(t keyedTarget) bool { return slices.Contains(l.arches, t.Arch) })
		if *l.list != nil && !used {
			p.add(tomlfile.Key("matrix", l.key), "", "no target is %s", spelling.Or(l.arches))
		}
	}

	for i, b := range f.Binaries {
		for j, s := range b.Targets {
			if key := tomlfile.Element(tomlfile.Key(tomlfile.Element("binary", i), "targets"), j); !matches(key) {
				p.add(key, "", "%s matches no target", s)
			}
		}
	}

	for i, o := range f.Overrides {
		key := tomlfile.Element("override", i)
		named := func(b Binary) bool { return matchSegment(o.Binary, b.Name) }
		switch {
		case !matches(tomlfile.Key(key, "target")):
			p.add(tomlfile.Key(key, "target"), "", "%s matches no target", o.Target)
		case !slices.ContainsFunc(f.Binaries, named):
			p.add(tomlfile.Key(key, "binary"), "", "%s matches no binary", o.Binary)
		}
	}
}
