package explain

import (
	"bytes"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// cause adds a cause of this pair of executables.
func (p *binaryPair) addCause(k causeKind, sure Confidence, x Cause) {
	x.A, x.B = cutPair(x.A, x.B)
	x.Where = cut(p.where)
	p.c.addCause(k, sure, x)
	if sure != Possible && kinds[k].code {
		p.codeExplained = true
	}
}

// caused reports whether this pair has a cause of one of the kinds that is more
// than possible.
func (p *binaryPair) caused(kinds ...causeKind) bool {
	return slices.ContainsFunc(p.c.Causes[p.first:], func(o Cause) bool {
		return o.Where == cut(p.where) && o.isOneOf(kinds) && o.Confidence != Possible
	})
}

// hasCertain reports whether this pair has a cause of a kind that is certain.
func (p *binaryPair) hasCertain(k causeKind) bool {
	return slices.ContainsFunc(p.c.Causes[p.first:], func(o Cause) bool {
		return o.Where == cut(p.where) && o.is(k) && o.Confidence == Certain
	})
}

// judge adds the causes. Those that explain others come first, as later ones are left
// out then.
func (p *binaryPair) judge() {
	p.packerCauses()
	p.platformCauses()
	p.toolchainCauses()
	p.settingCauses()
	p.moduleCauses()
	p.vcsCauses()
	p.sourcePathCauses()
	p.embeddedCauses()
	p.changedLaterCauses()
	p.linkerFlagCauses()
	p.c.stampCauses(p.codeExplained)
	p.codeCauses()
}

// stamps are the causes that texts in the files show.
var stamps = []causeKind{causeTimeStamp, causeVaried, causeUserOrHost, causeHostPath}

// packerCauses adds executable packers. UPX gives its sections its own name, or leaves its mark
// (https://upx.github.io).
func (p *binaryPair) packerCauses() {
	is := func(in input, b *inspect.Binary) bool {
		for _, s := range b.Sections {
			if strings.HasPrefix(s.Name, "UPX") || strings.HasPrefix(s.Name, "upxTEXT") {
				return true
			}
		}
		head := make([]byte, min(1024, in.size))
		n, _ := in.ReadAt(head, 0) // what can be read is looked at
		return bytes.Contains(head[:n], []byte("UPX!"))
	}
	a, b := is(p.a, p.binA), is(p.b, p.binB)
	if a != b {
		p.addCause(causePacked, Certain, Cause{Text: "only " + sideName(a) + " was packed by UPX"})
	}
}

// sideName returns "A" or "B".
func sideName(a bool) string {
	if a {
		return "A"
	}
	return "B"
}

// platformCauses adds another platform or format.
func (p *binaryPair) platformCauses() {
	a, b := p.factsA.GOOS+"/"+p.factsA.GOARCH, p.factsB.GOOS+"/"+p.factsB.GOARCH
	if p.otherPlatform() {
		p.addCause(causePlatform, Certain, Cause{Text: "for different platforms", A: a + " (" + string(p.factsA.Format) + ")", B: b + " (" + string(p.factsB.Format) + ")"})
	}
}

// toolchainCauses adds other toolchains, and files that do not name theirs.
func (p *binaryPair) toolchainCauses() {
	a, b := p.factsA, p.factsB
	if (a.Build == nil) != (b.Build == nil) {
		text := "only " + sideName(a.Build != nil) + " has build information: the other was made by another build system, was obfuscated (garble), or is none of Go's"
		if a.BuildID != nil && b.BuildID != nil && a.BuildID.LinkAction != "" && a.BuildID.LinkAction == b.BuildID.LinkAction {
			text = "the build information of " + sideName(a.Build == nil) + " was made unreadable after it was linked"
		}
		versionA, versionB := unlike(a.GoVersion, b.GoVersion)
		p.addCause(causeNoBuildInfo, Certain, Cause{Text: text, A: versionA, B: versionB})
	}
	switch {
	case p.otherVersion():
		p.addCause(causeOtherGoVersion, Certain, Cause{Text: "built by another version of Go", A: a.GoVersion, B: b.GoVersion})
	case a.GoVersion != b.GoVersion && a.GoVersion != "" && b.GoVersion != "":
		p.addCause(causeGOEXPERIMENT, Certain, Cause{A: a.GoVersion, B: b.GoVersion})
	}
}

// withoutExperiments returns a version without its list of experiments.
func withoutExperiments(version string) string {
	version, _, _ = strings.Cut(version, " X:")
	version, _, _ = strings.Cut(version, "-X:")
	return version
}

// sourcePathCauses adds the folders that the sources were in, and -trimpath.
func (p *binaryPair) sourcePathCauses() {
	// If only one was built with -trimpath, all paths differ, and none is a cause of its own.
	ta, tb, ok := p.otherAnswer(inspect.Trimpath)
	if ok {
		sure := Likely
		if p.trimpathDiffers() {
			sure = Certain
		}
		a, b := unlike(ta.Why, tb.Why)
		p.addCause(causeTrimpath, sure, Cause{Text: "only " + sideName(ta.Is == inspect.Yes) + " was built with -trimpath", A: a, B: b})
		return
	}

	for _, s := range p.diff.Sources {
		kind := map[string]causeKind{
			rootBuild:       causePathOfBuildFolder,
			rootGo:          causePathOfGOROOT,
			rootModuleCache: causePathOfModuleCache,
		}[s.Kind]
		text := kinds[kind].Meaning
		if ta.Is == inspect.No {
			text += ": -trimpath is off"
		}
		p.addCause(kind, Certain, Cause{Text: text, A: s.A, B: s.B, Evidence: []string{"source " + s.Example}})
	}

	if len(p.diff.Sources) == 0 {
		return
	}

	// Other texts with these paths are no causes of their own.
	p.c.Strings = slices.DeleteFunc(p.c.Strings, func(d StringDifference) bool {
		if d.Kind != KindPath {
			return false
		}
		return slices.ContainsFunc(p.diff.Sources, func(s SourceRoot) bool {
			return (d.A == "" || strings.HasPrefix(d.A, s.A)) && (d.B == "" || strings.HasPrefix(d.B, s.B))
		})
	})
}

// embeddedCauses adds the embedded files that differ.
func (p *binaryPair) embeddedCauses() {
	for _, v := range p.diff.Embedded {
		text := "embedded file " + cut(v.Name) + " differs"
		if !v.InA || !v.InB {
			text = "only " + sideName(v.InA) + " has the embedded file " + cut(v.Name)
		}
		p.addCause(causeEmbeddedFile, Certain, Cause{Text: text, A: v.A, B: v.B, Weight: p.embeddedSize(v.Name)})
	}
}

// embeddedSize returns the size of the largest embedded file of a name.
func (p *binaryPair) embeddedSize(name string) (n int64) {
	for _, e := range slices.Concat(p.factsA.Embedded, p.factsB.Embedded) {
		if cut(e.Name) == name {
			n = max(n, e.Size)
		}
	}
	return n
}

func (p *binaryPair) section(name string) *Section {
	for i := range p.diff.Sections {
		if p.diff.Sections[i].Name == name {
			return &p.diff.Sections[i]
		}
	}
	return nil
}
