package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// changedLaterCauses adds the changes after linking: signing, stripping, other changes.
func (p *binaryPair) changedLaterCauses() {
	if p.caused(causePlatform) {
		return
	}
	state := func(f *inspect.Facts) inspect.Content {
		if f.Content == nil {
			return inspect.ContentUnknown
		}
		return f.Content.State
	}

	sa, sb := state(p.factsA), state(p.factsB)
	sameID := p.factsA.BuildID != nil && p.factsB.BuildID != nil && p.factsA.BuildID.ID == p.factsB.BuildID.ID
	signed := p.factsA.Signature != nil || p.factsB.Signature != nil
	ids, signature := inspect.WithoutBuildID, inspect.WithoutSignature

	hostA, hostB := unlike(hostText(p.factsA), hostText(p.factsB))
	idA, idB := unlike(idText(p.factsA), idText(p.factsB))
	signA, signB := unlike(signatureText(p.factsA), signatureText(p.factsB))

	// The fewest parts left out come first, as they say the most.
	switch {
	case p.equalWithout(): // there is nothing to explain
	case sameID && p.equalWithout(ids):
		p.addCause(causeBuildIDOnly, Certain, Cause{
			Text: "nothing but the identifier for other tools (GNU build ID, LC_UUID)", A: hostA, B: hostB,
			Evidence: []string{"outside of the build IDs, the files are equal"},
		})
	case p.equalWithout(ids):
		p.addCause(causeBuildIDOnly, Certain, Cause{A: idA, B: idB, Evidence: []string{"outside of the build IDs, the files are equal"}})
	case p.equalWithout(signature):
		p.addCause(causeSignatureOnly, Certain, Cause{
			Text: "nothing but the code signature", A: signA, B: signB,
			Evidence: []string{"outside of the signature and the fields that say where it is, the files are equal"},
		})
	case p.equalWithout(ids, signature):
		p.addCause(causeBuildIDOnly, Certain, Cause{A: idA, B: idB, Evidence: []string{"outside of the build IDs and the code signature, the files are equal"}})
	case p.differsOnlyIn(signatureParts) && signed:
		p.addCause(causeSignatureOnly, Likely, Cause{Text: "nothing but the code signature", A: signA, B: signB})
	case !sameID && p.differsOnlyIn(idParts):
		p.addCause(causeBuildIDOnly, Likely, Cause{A: idA, B: idB, Evidence: []string{"all other sections are equal"}})
	}

	p.strippedCauses(sa, sb)
	if p.caused(causeSignatureOnly) {
		return
	}

	// An intact content hash in one file alone says which of them was changed.
	if (sa == inspect.ContentChanged) != (sb == inspect.ContentChanged) || sa == inspect.ContentChanged && sameID {
		text := "only " + sideName(sa == inspect.ContentChanged) + " was changed after it was linked"
		if sa == sb {
			text = "both were changed after they were linked"
		}

		var evidence []string
		for _, s := range p.diff.Sections {
			if s.State == "changed" && len(evidence) < 4 {
				evidence = append(evidence, fmt.Sprintf("%d bytes of section %s differ", s.Differing, cut(s.Name)))
			}
		}

		sure := Certain
		if !sameID {
			sure = Likely // another build of the same that was changed, or another build altogether
		}
		a, b := unlike("content "+string(sa), "content "+string(sb))
		p.addCause(causeChangedAfterLinking, sure, Cause{Text: text, A: a, B: b, Evidence: evidence})
	}

	// Go's linker leaves both fields at zero, so something else wrote them.
	for _, v := range p.diff.Headers {
		if (v.Name == "time stamp" || v.Name == "check sum") && p.binA.Format == inspect.PE {
			p.addCause(causePEHeader, Certain, Cause{Text: "the " + v.Name + " in the PE header", A: v.A, B: v.B})
		}
	}
}

func signatureText(f *inspect.Facts) string {
	if f.Signature == nil {
		return "none"
	}
	return strings.Join(strings.Fields(f.Signature.Kind+" "+f.Signature.Identifier+" "+f.Signature.Team), " ")
}

func idText(f *inspect.Facts) string {
	var parts []string
	if f.BuildID != nil {
		parts = append(parts, f.BuildID.ID)
	}
	if h := hostText(f); h != "" {
		parts = append(parts, h)
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func hostText(f *inspect.Facts) string {
	if f.HostID == nil {
		return ""
	}
	return f.HostID.Kind + " " + f.HostID.Value
}

// The sections that may differ because of a signature, or of a build ID.
var (
	signatureParts = []string{"(code signature)", "(certificates)", "(check sum)", "(PE headers)", "(Mach-O header)", "__LINKEDIT"}
	idParts        = []string{".note.go.buildid", ".note.gnu.build-id", "(LC_UUID)", "(ELF header)", "(program headers)", "(section headers)", ".shstrtab", "(Mach-O header)", "(code signature)", "__LINKEDIT"}
)

// differsOnlyIn reports whether something differs, and only in the sections named.
func (p *binaryPair) differsOnlyIn(names []string) bool {
	any := false
	for _, s := range p.diff.Sections {
		if s.State == "equal" || s.State == "moved" {
			continue
		}
		if !slices.Contains(names, s.Name) {
			return false
		}
		any = true
	}
	return any && p.a.size > 0
}

// equalWithout reports whether the files are equal without the parts that the
// normalizations leave out.
func (p *binaryPair) equalWithout(list ...inspect.Normalization) bool {
	c, err := inspect.Compare(p.binA, p.binB, list...)
	return err == nil && c.Same
}

// strippedCauses adds a missing symbol table, missing DWARF, and its compression.
func (p *binaryPair) strippedCauses(sa, sb inspect.Content) {
	if p.caused(causePlatform) {
		return
	}

	// The content hash tells whether the linker left a part out, or a tool removed it.
	for _, q := range []struct {
		name inspect.Question
		text string
	}{{inspect.NoSymbols, "symbol table"}, {inspect.NoDWARF, "debug information"}} {
		a, b, ok := p.otherAnswer(q.name)
		if !ok {
			continue
		}
		without := a.Is == inspect.Yes
		how := "linked with " + string(q.name) + ", or stripped later"
		switch state := map[bool]inspect.Content{true: sa, false: sb}[without]; state {
		case inspect.ContentIntact, inspect.ContentSigned:
			how = "linked with " + string(q.name)
		case inspect.ContentChanged:
			how = "stripped after it was linked"
		}
		whyA, whyB := unlike(a.Why, b.Why)
		p.addCause(causeStripped, Certain, Cause{Text: "only " + sideName(!without) + " has the " + q.text + ": the other was " + how, A: whyA, B: whyB})
	}

	if a, b, ok := p.otherAnswer(inspect.CompressedDWARF); ok {
		whyA, whyB := unlike(a.Why, b.Why)
		p.addCause(causeDebugCompression, Certain, Cause{A: whyA, B: whyB})
	}
}

// otherAnswer returns the answers to a question, and whether both are known and
// differ.
func (p *binaryPair) otherAnswer(q inspect.Question) (a, b inspect.Finding, ok bool) {
	a, b = p.factsA.Finding(q), p.factsB.Finding(q)
	return a, b, a.Is != b.Is && a.Is != inspect.Unknown && b.Is != inspect.Unknown
}

// linkerFlagCauses adds flags of the linker, and the values that they put into the file.
func (p *binaryPair) linkerFlagCauses() {
	names := map[string]bool{}
	for _, v := range p.c.Strings {
		if v.Kind != KindVariable {
			continue
		}
		names[v.Name] = true
		text := "the value that -X gives to " + cut(v.Name)
		if isTime(v.A) && (isTime(v.B) || v.B == "") || v.A == "" && isTime(v.B) {
			p.addCause(causeTimeStamp, Certain, Cause{Text: "a time in " + cut(v.Name) + ", set by -X", A: v.A, B: v.B})
			continue
		}
		p.addCause(causeLdflagsX, Certain, Cause{Text: text, A: v.A, B: v.B})
	}

	if len(names) > 0 {
		p.dropTimes()
	}

	if v, ok := p.buildInfoLine("build -ldflags"); ok && !p.trimpathDiffers() {
		ra, _ := splitLdflags(v.A)
		rb, _ := splitLdflags(v.B)
		if !slices.Equal(ra, rb) && !p.caused(causeStripped, causeBuildIDOnly, causeDebugCompression) || len(names) == 0 && slices.Equal(ra, rb) {
			p.addCause(causeLdflags, Certain, Cause{A: "-ldflags=" + unquote(v.A), B: "-ldflags=" + unquote(v.B)})
		}
		return
	}

	p.unrecordedFlagCauses()
}

// unrecordedFlagCauses adds flags of the linker that -trimpath keeps out of the build
// information. They are likely where the same was compiled, and linked in another way.
func (p *binaryPair) unrecordedFlagCauses() {
	link, known := p.idPart("link action")
	main, _ := p.idPart("main action")
	if known && (link || !main) {
		return
	}
	if p.codeExplained || p.caused(causeStripped, causeBuildIDOnly, causeSignatureOnly, causeChangedAfterLinking, causeDebugCompression, causeEmbeddedFile, causeTrimpath, causePathOfBuildFolder, causePathOfGOROOT, causePathOfModuleCache) {
		return
	}

	f := p.diff.Functions
	if f == nil || f.Changed+f.Resized+f.Added+f.Removed > 0 || len(p.diff.BuildInfo) > 0 {
		return
	}

	// The symbols still tell which variables -X set.
	namesA, namesB := variableNames(p.a, p.binA), variableNames(p.b, p.binB)
	var evidence []string
	if known {
		evidence = append(evidence, linkedOtherwise)
	}
	for _, n := range namesA {
		if slices.Contains(namesB, n) {
			evidence = append(evidence, "-X sets "+cut(n))
		}
	}
	name := singleName(namesA, namesB)
	if p.namedVariables(slices.Concat(namesA, namesB), known) {
		return
	}

	// A time of the same form in both is what most builds set.
	for _, s := range p.c.Strings {
		if s.Kind == KindTime && s.A != "" && shape(s.A) == shape(s.B) {
			if !known && name == "" {
				return // it may be a constant of the source
			}
			text := "a time, set by -X"
			if name != "" {
				text = "a time in " + cut(name) + ", set by -X"
			}
			p.addCause(causeTimeStamp, Likely, Cause{Text: text, A: s.A, B: s.B, Evidence: evidence})
			if known {
				p.otherValues()
			}
			return
		}
	}

	if s, ok := p.c.bestText(); ok {
		text := "the value that -X gives to a variable"
		switch {
		case name != "":
			p.addCause(causeLdflagsX, Likely, Cause{Text: "the value that -X gives to " + cut(name), A: s.A, B: s.B, Evidence: evidence})
		case known || len(namesA)+len(namesB) > 0:
			p.addCause(causeLdflagsX, Likely, Cause{Text: text, A: s.A, B: s.B, Evidence: evidence})
		case !p.c.caused(stamps...): // which say it better
			p.addCause(causeLdflagsX, Possible, Cause{Text: text + ", or a constant of the source", A: s.A, B: s.B, Evidence: evidence})
		}
		return
	}

	if known {
		p.addCause(causeLdflags, Likely, Cause{Text: "flags of the linker, which are not recorded with -trimpath", Evidence: evidence})
	}
}

// namedVariables adds the variables that -X set, where symbols say which of them has which value.
func (p *binaryPair) namedVariables(set []string, known bool) (found bool) {
	var evidence []string
	if known {
		evidence = []string{linkedOtherwise}
	}
	for _, s := range p.c.Strings {
		if s.Kind != KindText || s.Name == "" || !slices.Contains(set, s.Name) {
			continue
		}
		found = true
		x := Cause{Text: "the value that -X gives to " + cut(s.Name), A: s.A, B: s.B, Evidence: evidence}
		kind := causeLdflagsX
		if isTime(s.A) || isTime(s.B) {
			kind, x.Text = causeTimeStamp, "a time in "+cut(s.Name)+", set by -X"
		}
		p.addCause(kind, Likely, x)
	}
	if found {
		p.dropTimes()
	}
	return found
}

// otherValues adds the texts beside a time that differ where the same was compiled: only -X puts them
// into the file then.
func (p *binaryPair) otherValues() {
	n := 0
	for _, s := range p.c.Strings {
		if s.Kind == KindText && !isTime(s.A) && !isTime(s.B) {
			text := "the value that -X gives to a variable"
			if n++; n > 1 {
				text += fmt.Sprintf(", number %d", n)
			}
			p.addCause(causeLdflagsX, Likely, Cause{Text: text, A: s.A, B: s.B, Evidence: []string{linkedOtherwise}})
		}
	}
}

// dropTimes removes the times that a cause already names with their variable.
func (p *binaryPair) dropTimes() {
	p.c.Strings = slices.DeleteFunc(p.c.Strings, func(d StringDifference) bool {
		return d.Kind == KindTime && p.c.hasCause(func(x Cause) bool {
			return x.isOneOf([]causeKind{causeTimeStamp, causeLdflagsX}) && strings.Contains(x.A, d.A) && strings.Contains(x.B, d.B)
		})
	})
}

const linkedOtherwise = "the same was compiled (main action), and linked in another way (link action)"

// singleName returns the name in two lists if they have one name only.
func singleName(a, b []string) string {
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
	if len(all) != 1 {
		return ""
	}
	return all[0]
}
