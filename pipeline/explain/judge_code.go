package explain

import (
	"strings"
)

// codeCauses adds the causes of functions and data that differ without a recorded reason: the
// compiler, the standard library, the source.
func (p *binaryPair) codeCauses() {
	if comment := p.section(".comment"); comment != nil && comment.State == "changed" {
		p.addCause(causeCCompiler, Likely, Cause{Text: "the C compiler's or linker's own mark (.comment) differs",
			A: textAt(p.a, comment.OffsetA+comment.First), B: textAt(p.b, comment.OffsetB+comment.First)})
	}
	f := p.diff.Functions
	main, known := p.idPart("main action")
	content, _ := p.idPart("main content")
	if p.hasCertain(causeChangedAfterLinking) || known && main && content && p.caused(causeChangedAfterLinking) {
		return // the same was compiled: whatever differs was done later
	}

	// The build ID separates the compiler from the linker: the first step with another output is to
	// blame.
	if known && main && !content {
		p.addCause(causeCompilerOutput, Likely, Cause{Text: "package main was compiled from the same inputs to something else"})
	}
	link, _ := p.idPart("link action")
	file, _ := p.idPart("file content")
	if known && link && !file && !p.caused(causeCompilerOutput, causeChangedAfterLinking, causeStripped) {
		p.addCause(causeLinkerOutput, Likely, Cause{Text: "the same was linked to another file"})
	}
	if f == nil || p.codeExplained {
		return
	}

	var standard, own []string
	for _, k := range f.Packages {
		// Which functions of a library are linked depends on who calls them.
		if k.Module == stdModule && k.Changed+k.Resized > 0 {
			standard = append(standard, k.Path)
		}
		if k.Module != stdModule && k.Path != "" && k.Changed+k.Resized+k.Added+k.Removed > 0 {
			own = append(own, k.Path)
		}
	}

	evidence := func(list []string) []string {
		var e []string
		for _, path := range list[:min(len(list), 4)] {
			e = append(e, "functions of "+path)
		}
		return e
	}

	if len(standard) > 0 {
		sure := Likely
		if p.caused(causeEmbeddedFile, causeTrimpath, causeStripped, causeChangedAfterLinking) || known && main {
			sure = Possible
		}
		p.addCause(causeOtherToolchainSameVersion, sure, Cause{
			Text: "the standard library was compiled to something else: another toolchain that says it is the same version, or a changed standard library (-overlay)",
			A:    p.factsA.GoVersion, B: p.factsB.GoVersion, Evidence: evidence(standard),
		})
	}

	// If something else made the standard library differ, it may explain this too.
	if len(own) > 0 {
		sure := Likely
		if len(standard) > 0 && !p.caused(causeOtherToolchainSameVersion) {
			sure = Possible
		}
		p.addCause(causeSource, sure, Cause{Text: "the source of " + cut(strings.Join(own[:min(len(own), 3)], ", ")) + " differs", Evidence: evidence(own)})
		return
	}

	if len(standard) > 0 || f.Changed+f.Resized+f.Added+f.Removed > 0 {
		if len(standard) == 0 {
			p.addCause(causeSource, Possible, Cause{Text: "the source: other functions of the standard library are used"})
		}
		return
	}

	p.constantCauses(known && !main)
}

// constantCauses adds the source or the build ID where data differs and all functions are the same.
func (p *binaryPair) constantCauses(mainDiffers bool) {
	if p.c.caused(stamps...) {
		return // which are more specific
	}
	if len(p.diff.BuildInfo) > 0 || p.caused(causeEmbeddedFile, causeLdflagsX, causeLdflags, causeStripped, causeBuildIDOnly, causeSignatureOnly, causeChangedAfterLinking, causeTrimpath,
		causePathOfBuildFolder, causePathOfGOROOT, causePathOfModuleCache, causeCompilerOutput, causeLinkerOutput) {
		return
	}

	if s, ok := p.c.bestText(); ok {
		sure := Possible
		if mainDiffers {
			sure = Likely
		}
		p.addCause(causeSource, sure, Cause{Text: "a constant or variable of the source differs", A: s.A, B: s.B, Evidence: []string{"in section " + cut(s.Section)}})
		return
	}

	if mainDiffers {
		p.addCause(causeSource, Possible, Cause{Text: "the source differs, but no function does"})
		return
	}
	if a, b := idText(p.factsA), idText(p.factsB); a != b && len(p.c.Causes) == p.first {
		p.addCause(causeBuildIDOnly, Likely, Cause{Text: "the build ID, and nothing else that was compared", A: a, B: b})
	}
}
