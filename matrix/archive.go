package matrix

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix/internal/spelling"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// ArchivePlan says how the binaries of one target are packed.
type ArchivePlan struct {
	// Name is the file name of the archive, its suffix included; empty where
	// Format is "none".
	Name string
	// Format is "tar.gz", "tar.zst", "zip" or "none".
	Format string
	// Wrap is the folder in the archive that everything lies in, or "".
	Wrap string
	// Binaries are the file names of the binaries, suffix included, in the order
	// of the release file.
	Binaries []string
	// Raw are the file names under which the binaries are published where Format
	// is "none", in the order of Binaries.
	Raw []string
	// Files are globs for more files, relative to the release file's folder. Where
	// MustMatch is set, the release file names them, and one that matches nothing is
	// an error; otherwise they are the default.
	Files     []string
	MustMatch bool
}

// defaultFiles is archive.files where the release file has none.
var defaultFiles = []string{
	"LICENSE*", "LICENCE*", "License*", "license*", "COPYING*", "NOTICE*", "README*", "readme*",
}

// Archive returns how the binaries of t are packed. Templates are expanded with
// v, of which Binary and Target are replaced. That names differ between targets
// is checked by [File.Builds]. The error, if there is one, is of type [tomlfile.Errors].
func (f *File) Archive(t Target, v Vars) (ArchivePlan, error) {
	p := f.faults()
	plan := f.expandArchive(p, t, v)
	if err := p.err(); err != nil {
		return ArchivePlan{}, err
	}
	return plan, nil
}

// expandArchive is [File.Archive], with the faults noted in p.
func (f *File) expandArchive(p *faults, t Target, v Vars) ArchivePlan {
	a := f.Packaging
	plan := ArchivePlan{Format: a.Format}
	if format, ok := a.Formats[t.OS]; ok {
		plan.Format = format
	}

	v.Target, v.Binary = t, ""
	var names []string
	for i, b := range f.Binaries {
		if f.isBuiltFor(i, t) {
			names = append(names, b.Name)
			plan.Binaries = append(plan.Binaries, b.Name+t.Exe())
		}
	}
	if len(names) == 0 {
		p.add("matrix", "", "no binary is built for %s", t)
		return plan
	}

	// Without an archive, each binary is a file with a name of its own.
	if plan.Format == "none" {
		for _, name := range names {
			v.Binary = name
			plan.Raw = append(plan.Raw, f.expand(p, "archive.name", v, checkPlainName)+t.Exe())
		}
		return plan
	}

	// One archive for several binaries has no single name of a binary.
	named := func(key string) string {
		if f.texts[key].binary && len(names) > 1 {
			p.add(key, "", "there is no single .Binary: %d binaries are built for %s", len(names), t)
			return ""
		}
		return f.expand(p, key, v, checkPlainName)
	}
	if len(names) == 1 {
		v.Binary = names[0]
	}

	plan.Name = named("archive.name") + "." + plan.Format
	if a.Wrap != "" {
		plan.Wrap = named("archive.wrap")
	}

	plan.Files, plan.MustMatch = slices.Clone(a.Files), a.Files != nil
	if !plan.MustMatch {
		plan.Files = slices.Clone(defaultFiles)
	}
	return plan
}

// checkPackaging checks the table [archive].
func (p *parser) checkPackaging() {
	a := &p.f.Packaging
	p.fillDefault("archive.format", &a.Format, "tar.gz")
	p.fillDefault("archive.name", &a.Name, "{{.Project}}_{{.Version}}_{{.Target.Slug}}")

	if a.Formats == nil {
		a.Formats = map[string]string{"windows": "zip"}
	} else {
		for _, goos := range slices.Sorted(maps.Keys(a.Formats)) {
			if !slices.Contains(platform.KnownOS, goos) {
				p.reject(tomlfile.Key("archive.formats", goos), "", "unknown GOOS %q%s", goos, spelling.DidYouMean(goos, platform.KnownOS))
			}
		}
	}

	// Templates are tried with the project's name.
	if p.accepted("project") {
		p.checkTemplate("archive.name", a.Name, fieldScope{target: true, binary: true}, checkPlainName)
		if a.Wrap != "" {
			p.checkTemplate("archive.wrap", a.Wrap, fieldScope{target: true, binary: true}, checkPlainName)
		}
	}

	for i, s := range a.Files {
		k := tomlfile.Element("archive.files", i)
		_, err := path.Match(s, "x")
		switch {
		case !p.accepted(k):
		case !isLocalPath(s) || s == ".":
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
