package matrix

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// Bounds of an expansion.
const (
	maxTargets = 1000
	maxBuilds  = 5000
)

// Build is one binary for one target, with nothing left to decide.
type Build struct {
	Target Target
	// Binary is the file name without the target's suffix ([Target.Exe]).
	Binary string
	// Package is the main package: "." or "./cmd/age".
	Package string
	Options Options
	// Stamps are sorted by name.
	Stamps []Stamp
	// Env are the variables that the release file adds to the environment, as
	// sorted NAME=value pairs. Those of the target are not among them.
	Env []string
}

// Options are the build options of one build; see [BuildOptions] for what each
// means.
type Options struct {
	Trimpath bool
	// BuildID is "", "keep" or a literal.
	BuildID                  string
	StripSymbols, StripDWARF bool
	// BuildMode is "" where -buildmode is left out, "exe" or "pie".
	BuildMode string
	Cgo       bool
	// Tags and Experiments hold no name twice.
	Tags, GCFlags, ASMFlags, ExtLDFlags, Experiments []string
	// FIPS140 is the value of GOFIPS140, PGO that of -pgo.
	FIPS140, PGO string
}

// Stamp is a string variable that the linker sets.
type Stamp struct {
	// Name is the import path of the package, a dot and the variable; the main
	// package is called main.
	Name, Value string
}

// faults returns an empty collector for errors of the file.
func (f *File) faults() *faults {
	return &faults{file: f.name, lines: f.lines, rejected: map[string]bool{}}
}

// Builds expands the matrix: every target with every binary that is built for
// it, in the order of the release file. Every template is expanded with v, whose
// Binary and Target are replaced. Ports are those of the toolchain. Where they are
// nil, nothing checks that the toolchain has the targets and cgo for them, and
// globs in include stand for the ports of Go 1.26. The error,
// if there is one, is of type [tomlfile.Errors].
func (f *File) Builds(ports []platform.Port, v Vars) ([]Build, error) {
	p := f.faults()
	targets := f.expandTargets(p, ports)
	if err := p.err(); err != nil {
		return nil, err
	}

	f.reportUnused(p, targets)
	if len(targets)*len(f.Binaries) > maxBuilds {
		p.add("matrix", "", "more than %d builds", maxBuilds)
		return nil, p.err()
	}

	var builds []Build
	// Names in dist have to differ without case, which some systems ignore.
	dist := map[string]string{strings.ToLower(f.Checksum.File): "the list of digests"}
	for _, t := range targets {
		n, over := len(builds), f.overridesFor(t.Target)
		for i := range f.Binaries {
			if f.isBuiltFor(i, t.Target) {
				builds = append(builds, f.expandBuild(p, t.Target, i, over, v, ports))
			}
		}

		if len(builds) == n {
			p.add(t.key, "exclude the target, or change the targets of a binary", "no binary is built for %s", t.Target)
			continue
		}

		plan := f.expandArchive(p, t.Target, v)
		for _, name := range append(plan.Raw, plan.Name) {
			lower := strings.ToLower(name)
			other, taken := dist[lower]
			switch {
			case name == "":
			case reservedNames[lower] || strings.HasSuffix(lower, ".sigstore.json") || strings.HasSuffix(lower, ".cdx.json"):
				p.add("archive.name", "", "%s: the name of something else in dist", name)
			case taken:
				p.add("archive.name", "use {{.Target.Slug}}, and {{.Binary}} with format \"none\"", "%s for %s is also the name of %s", name, t, other)
			default:
				dist[lower] = "that for " + t.String()
			}
		}
	}

	if err := p.err(); err != nil {
		return nil, err
	}
	return builds, nil
}

// isBuiltFor reports whether binary i is built for t.
func (f *File) isBuiltFor(i int, t Target) bool {
	b := f.Binaries[i]
	if b.Targets == nil {
		return true
	}
	for j := range b.Targets {
		if f.globs[tomlfile.Element(tomlfile.Key(tomlfile.Element("binary", i), "targets"), j)].match(t) {
			return true
		}
	}
	return false
}

// override is an Override and the path of its key.
type override struct {
	*Override
	key string
}

// overridesFor returns the overrides for t, in order.
func (f *File) overridesFor(t Target) []override {
	var list []override
	for j := range f.Overrides {
		if key := tomlfile.Element("override", j); f.globs[tomlfile.Key(key, "target")].match(t) {
			list = append(list, override{&f.Overrides[j], key})
		}
	}
	return list
}

// expandBuild returns the build of binary i for t, given the overrides for t.
func (f *File) expandBuild(p *faults, t Target, i int, overrides []override, v Vars, ports []platform.Port) Build {
	b := f.Binaries[i]
	key := tomlfile.Element("binary", i)
	v.Target, v.Binary = t, b.Name

	// Options come in layers, from the general to the particular. from has the layer
	// that an option was taken from.
	var o BuildOptions
	from := map[string]string{}
	overlay(&o, &f.Build, "build", from)
	overlay(&o, &BuildOptions{Cgo: b.Cgo}, key, from)
	o.Tags = slices.Concat(o.Tags, b.Tags)

	// Stamps and variables add up, name by name. Both maps go from names to the key
	// paths of their templates.
	stamps, env := map[string]string{}, map[string]string{}
	origin := func(of map[string]string, names map[string]string, key, table string) {
		for name := range names {
			of[name] = tomlfile.Key(tomlfile.Key(key, table), name)
		}
	}
	origin(stamps, b.Stamps, key, "stamps")
	origin(env, b.Env, key, "env")

	for _, over := range overrides {
		if !matchSegment(over.Binary, b.Name) {
			continue
		}
		overlay(&o, &over.BuildOptions, over.key, from)
		origin(stamps, over.Stamps, over.key, "stamps")
		origin(env, over.Env, over.key, "env")
	}

	build := Build{Target: t, Binary: b.Name, Package: b.Package, Options: Options{
		Trimpath:     valueOr(o.Trimpath, true),
		BuildID:      valueOr(o.BuildID, ""),
		StripSymbols: valueOr(o.StripSymbols, true),
		StripDWARF:   valueOr(o.StripDWARF, true),
		Cgo:          valueOr(o.Cgo, false),
		Tags:         unique(o.Tags),
		GCFlags:      slices.Clone(o.GCFlags),
		ASMFlags:     slices.Clone(o.ASMFlags),
		ExtLDFlags:   slices.Clone(o.ExtLDFlags),
		Experiments:  unique(o.Experiments),
		FIPS140:      valueOr(o.FIPS140, "off"),
		PGO:          valueOr(o.PGO, "auto"),
	}}

	// What the port cannot do is found here, where options and target meet.
	cgoKey := key
	if k, ok := from["cgo"]; ok {
		cgoKey = tomlfile.Key(k, "cgo")
	}

	cgo := build.Options.Cgo
	mode, hint, err := platform.BuildMode(valueOr(o.PIE, "auto"), t.OS, t.Arch, cgo)
	if err != nil {
		p.add(tomlfile.Key(from["pie"], "pie"), hint, "%v", err)
	}

	build.Options.BuildMode = mode
	if port, ok := platform.FindPort(ports, t.OS, t.Arch); ok && cgo && !port.CgoSupported {
		p.add(cgoKey, "set cgo = false for it in an [[override]]", "%s/%s has no cgo", t.OS, t.Arch)
	}

	if !cgo && platform.MustLinkExternal(t.OS, t.Arch, false) {
		p.add(cgoKey, "set cgo = true for it in an [[override]], with a C compiler for it in env", "%s/%s cannot be linked without a C compiler", t.OS, t.Arch)
	}

	for _, name := range slices.Sorted(maps.Keys(stamps)) {
		value := f.expand(p, stamps[name], v, func(s string) error { return checkStampValue(name, s) })
		build.Stamps = append(build.Stamps, Stamp{name, value})
	}

	for _, name := range slices.Sorted(maps.Keys(env)) {
		build.Env = append(build.Env, name+"="+f.expand(p, env[name], v, checkEnvValue))
	}
	slices.Sort(build.Env)

	return build
}

// optionFields are the keys of BuildOptions. They are found once, because there may
// be many builds with many overrides.
var optionFields = fieldsOf(reflect.TypeFor[BuildOptions]())

// overlay sets in dst the options that src has, and notes in from that they come
// from key.
func overlay(dst, src *BuildOptions, key string, from map[string]string) {
	to, have := reflect.ValueOf(dst).Elem(), reflect.ValueOf(src).Elem()
	for _, f := range optionFields {
		if v := have.FieldByIndex(f.index); !v.IsNil() {
			to.FieldByIndex(f.index).Set(v)
			from[f.key] = key
		}
	}
}

// valueOr returns the value that p points to, or standard if p is nil.
func valueOr[T any](p *T, standard T) T {
	if p == nil {
		return standard
	}
	return *p
}

// unique returns list without repetitions, in its order.
func unique(list []string) []string {
	var u []string
	for _, s := range list {
		if !slices.Contains(u, s) {
			u = append(u, s)
		}
	}
	return u
}

// expand executes the template at key and checks what comes out.
func (f *File) expand(p *faults, key string, v Vars, check func(string) error) string {
	s, err := f.texts[key].expand(v)
	if err == nil && check != nil {
		err = check(s)
	}
	if err != nil {
		p.add(key, "", "%v", err)
	}
	return s
}
