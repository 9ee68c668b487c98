package explain

import (
	"fmt"
	"strings"
)

// codeCauses adds the causes of functions and data that differ without a recorded reason: the
// compiler, the standard library, the source.
func (p *binaryPair) codeCauses() {
	if comment := p.section(".comment"); comment != nil && comment.State == "changed" {
		a, b := unlike(textAt(p.a, comment.OffsetA+comment.First), textAt(p.b, comment.OffsetB+comment.First))
		p.addCause(causeCCompiler, Likely, Cause{Text: "the C compiler's or linker's own mark (.comment) differs", A: a, B: b})
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

	var own []string
	for _, k := range f.Packages {
		if k.Module != stdModule && k.Path != "" && k.Changed+k.Resized+k.Added+k.Removed > 0 {
			own = append(own, k.Path)
		}
	}

	p.standardCauses(f, known && (main || link))

	// If something else made the standard library differ, it may explain this too.
	if len(own) > 0 {
		var evidence []string
		for _, path := range own[:min(len(own), 4)] {
			evidence = append(evidence, "functions of "+path)
		}
		sure := Likely
		if f.StandardOther > 0 && !p.caused(causeOtherToolchainSameVersion) {
			sure = Possible
		}
		p.addCause(causeSource, sure, Cause{Text: "the source of " + cut(strings.Join(own[:min(len(own), 3)], ", ")) + " differs", Evidence: evidence})
		return
	}

	if f.Changed+f.Resized+f.Added+f.Removed > 0 {
		if f.StandardOther == 0 {
			p.addCause(causeSource, Possible, Cause{Text: "the source: other functions of the standard library are used"})
		}
		return
	}

	p.constantCauses(known && !main)
}

// standardCauses adds another toolchain where the standard library has other instructions. What the
// linker adapts to a program does not count: which functions are linked, the initialization of
// packages, and where data are. The action IDs hash the compiler: where one is the same, so is the
// toolchain.
func (p *binaryPair) standardCauses(f *Functions, sameActions bool) {
	if f.StandardOther == 0 || sameActions {
		return
	}
	evidence := []string{fmt.Sprintf("%d functions of it have other instructions", f.StandardOther)}
	for _, name := range f.standard {
		evidence = append(evidence, "such as "+name)
	}

	// Without their versions, nothing says that these are the same.
	if v := p.factsA.GoVersion; v == "" || v != p.factsB.GoVersion {
		p.addCause(causeOtherGoVersion, Possible, Cause{
			Text: "the standard library is another: another version of Go, or other settings",
			A:    p.factsA.GoVersion, B: p.factsB.GoVersion, Evidence: evidence,
		})
		return
	}

	// The same toolchain is known to have built both, so it is not to blame.
	if p.sameToolchain {
		p.addCause(causeCompilerOutput, Likely, Cause{Text: "the standard library was compiled to something else by the same toolchain", Evidence: evidence})
		return
	}

	sure := Likely
	if p.factsA.Build == nil || p.factsB.Build == nil || p.caused(causeEmbeddedFile, causeTrimpath, causeStripped, causeChangedAfterLinking) {
		sure = Possible // settings that nothing records may be the reason
	}
	p.addCause(causeOtherToolchainSameVersion, sure, Cause{
		Text:     "the standard library was compiled to something else: another toolchain that says it is the same version, or a changed standard library (-overlay)",
		Evidence: append([]string{"both say that they were built by " + cut(p.factsA.GoVersion)}, evidence...),
	})
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
		text := "a constant or variable of the source differs, or a file that is embedded as a string"
		if s.Name != "" {
			text = "the variable " + cut(s.Name) + " differs: its value in the source, or the file that is embedded in it"
		}
		p.addCause(causeSource, sure, Cause{Text: text, A: s.A, B: s.B, Evidence: []string{"in section " + cut(s.Section)}})
		return
	}

	if mainDiffers {
		p.addCause(causeSource, Possible, Cause{Text: "the source differs, but no function does: a constant, or a file that is embedded as a string or []byte"})
		return
	}
	if a, b := idText(p.factsA), idText(p.factsB); a != b && len(p.c.Causes) == p.first {
		p.addCause(causeBuildIDOnly, Likely, Cause{Text: "the build ID, and nothing else that was compared", A: a, B: b})
	}
}
