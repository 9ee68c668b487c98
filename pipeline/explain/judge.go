package explain

import (
	"bytes"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// cause adds a cause of this pair of executables.
func (p *pairOf) addCause(k causeKind, sure Confidence, x Cause) {
	x.A, x.B, x.Where = cut(x.A), cut(x.B), cut(p.where)
	p.c.addCause(k, sure, x)
	if sure != Possible && kinds[k].code {
		p.code = true
	}
}

// caused reports whether this pair has a cause of one of the kinds that is more
// than possible.
func (p *pairOf) caused(kinds ...causeKind) bool {
	return slices.ContainsFunc(p.c.Causes[p.first:], func(o Cause) bool {
		return o.Where == cut(p.where) && o.isOneOf(kinds) && o.Confidence != Possible
	})
}

// hasCertain reports whether this pair has a cause of a kind that is certain.
func (p *pairOf) hasCertain(k causeKind) bool {
	return slices.ContainsFunc(p.c.Causes[p.first:], func(o Cause) bool {
		return o.Where == cut(p.where) && o.is(k) && o.Confidence == Certain
	})
}

// judge finds the causes, those that explain others first.
func (p *pairOf) judge() {
	p.packed()
	p.platform()
	p.maker()
	p.settings()
	p.modules()
	p.vcs()
	p.paths()
	p.embeddedCauses()
	p.later()
	p.linked()
	p.c.stampCauses(p.code)
	p.compiled()
}

// stamps are the causes that are seen in texts.
var stamps = []causeKind{causeTimeStamp, causeVaried, causeUserOrHost, causeHostPath}

// packed finds executable packers: UPX names its sections so, or leaves its
// mark (https://upx.github.io).
func (p *pairOf) packed() {
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
		p.addCause(causePacked, Certain, Cause{Text: "only " + side(a) + " was packed by UPX"})
	}
}

// side names the file that something is true of.
func side(a bool) string {
	if a {
		return "A"
	}
	return "B"
}

func (p *pairOf) platform() {
	a, b := p.fa.GOOS+"/"+p.fa.GOARCH, p.fb.GOOS+"/"+p.fb.GOARCH
	other := func(a, b string) bool { return a != b && a != "" && b != "" } // or it is not known
	if other(p.fa.GOOS, p.fb.GOOS) || other(p.fa.GOARCH, p.fb.GOARCH) || p.fa.Format != p.fb.Format {
		p.addCause(causePlatform, Certain, Cause{Text: "for different platforms", A: a + " (" + string(p.fa.Format) + ")", B: b + " (" + string(p.fb.Format) + ")"})
	}
}

// maker is about the toolchain.
func (p *pairOf) maker() {
	a, b := p.fa, p.fb
	if (a.Build == nil) != (b.Build == nil) {
		text := "only " + side(a.Build != nil) + " has build information: the other was made by another build system, was obfuscated (garble), or is none of Go's"
		if a.BuildID != nil && b.BuildID != nil && a.BuildID.LinkAction != "" && a.BuildID.LinkAction == b.BuildID.LinkAction {
			text = "the build information of " + side(a.Build == nil) + " was made unreadable after it was linked"
		}
		p.addCause(causeNoBuildInfo, Certain, Cause{Text: text, A: a.GoVersion, B: b.GoVersion})
	}
	if a.GoVersion != b.GoVersion && a.GoVersion != "" && b.GoVersion != "" {
		if plainA, plainB := experimentless(a.GoVersion), experimentless(b.GoVersion); plainA != plainB {
			p.addCause(causeOtherGoVersion, Certain, Cause{Text: "built by another version of Go", A: a.GoVersion, B: b.GoVersion})
		} else {
			p.addCause(causeGOEXPERIMENT, Certain, Cause{A: a.GoVersion, B: b.GoVersion})
		}
	}
}

// experimentless is a version without the list of experiments.
func experimentless(version string) string {
	version, _, _ = strings.Cut(version, " X:")
	version, _, _ = strings.Cut(version, "-X:")
	return version
}

// paths is about where the source was.
func (p *pairOf) paths() {
	ta, tb, ok := p.otherAnswer(inspect.Trimpath)
	if ok {
		sure := Likely
		if p.trimpathDiffers() {
			sure = Certain
		}
		p.addCause(causeTrimpath, sure, Cause{Text: "only " + side(ta.Is == inspect.Yes) + " was built with -trimpath", A: ta.Why, B: tb.Why})
		return
	}
	for _, s := range p.x.Sources {
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
	if len(p.x.Sources) == 0 {
		return
	}
	// What else has these paths is no cause of its own.
	p.c.Strings = slices.DeleteFunc(p.c.Strings, func(d StringDifference) bool {
		if d.Kind != KindPath {
			return false
		}
		return slices.ContainsFunc(p.x.Sources, func(s SourceRoot) bool {
			return (d.A == "" || strings.HasPrefix(d.A, s.A)) && (d.B == "" || strings.HasPrefix(d.B, s.B))
		})
	})
}

func (p *pairOf) embeddedCauses() {
	for _, v := range p.x.Embedded[:min(len(p.x.Embedded), 16)] {
		text := "embedded file " + cut(v.Name) + " differs"
		if !v.InA || !v.InB {
			text = "only " + side(v.InA) + " has the embedded file " + cut(v.Name)
		}
		p.addCause(causeEmbeddedFile, Certain, Cause{Text: text, A: v.A, B: v.B})
	}
}

func (p *pairOf) section(name string) *Section {
	for i := range p.x.Sections {
		if p.x.Sections[i].Name == name {
			return &p.x.Sections[i]
		}
	}
	return nil
}
