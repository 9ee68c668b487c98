package explain

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// unquote undoes the quoting of a line of build information.
func unquote(s string) string {
	if u, err := strconv.Unquote(s); err == nil && strings.HasPrefix(s, `"`) {
		return u
	}
	return s
}

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

// settings are the lines "build KEY=VALUE".
func (p *pairOf) settings() {
	if p.fa.Build == nil || p.fb.Build == nil {
		// Without settings the headers tell something.
		if a, b := p.fa.Finding(inspect.PIE), p.fb.Finding(inspect.PIE); a.Is != b.Is && !p.caused(causePlatform) {
			p.addCause(causePIE, Likely, Cause{A: a.Why, B: b.Why})
		}
		return
	}
	for _, v := range p.x.BuildInfo {
		key, ok := strings.CutPrefix(v.Name, "build ")
		if !ok {
			continue
		}
		v.A, v.B = unquote(v.A), unquote(v.B)
		shown := func(in bool, value string) string {
			if in {
				return key + "=" + value
			}
			return "(no " + key + ")"
		}
		c := Cause{A: shown(v.InA, v.A), B: shown(v.InB, v.B)}
		kind, known := settingKind(key)
		switch {
		case key == "GOOS" || key == "GOARCH":
			// The headers say so.
		case key == "-ldflags" || key == "-trimpath" || key == "vcs" || strings.HasPrefix(key, "vcs."):
			// They are looked at later.
		case key == "-buildmode":
			if only(v.A, v.B, "exe", "pie") {
				p.addCause(causePIE, Certain, c)
			} else {
				p.addCause(causeBuildmode, Certain, c)
			}
		case key == "DefaultGODEBUG":
			p.addCause(causeGODEBUG, Certain, c)
		case key == "CGO_ENABLED":
			p.addCause(causeCgo, Certain, c)
		case strings.HasPrefix(key, "CGO_"):
			if !p.caused(causeCgo, causeRace, causeMSan, causeASan) && !p.trimpathDiffers() {
				c.Text = "flags of the C compiler: " + key
				p.addCause(causeCgoFlags, Certain, c)
			}
		case known && strings.HasPrefix(key, "GO") && p.caused(causePlatform):
			// Each machine has a variable of its own.
		case known && kind != causeBuildmode:
			p.addCause(kind, Certain, c)
		default:
			c.Text = "a recorded setting that this program does not know: " + key
			p.addCause(causeSetting, Certain, c)
		}
	}

	if a, b, ok := p.otherAnswer(inspect.Cgo); ok && !p.caused(causeRace, causeMSan, causeASan, causePlatform) {
		p.addCause(causeCgo, Likely, Cause{Text: "C code is in one of them only", A: a.Why, B: b.Why})
	}
}

// settingKind returns the kind of cause that has the name of a setting, in lower
// case and without a dash.
func settingKind(key string) (causeKind, bool) {
	if !strings.HasPrefix(key, "GO") && !strings.HasPrefix(key, "-") {
		return 0, false
	}
	return kindOf(strings.ToLower(strings.TrimPrefix(key, "-")))
}

// only tells whether both values are among some.
func only(a, b string, of ...string) bool { return slices.Contains(of, a) && slices.Contains(of, b) }

func (p *pairOf) trimpathDiffers() bool {
	_, ok := p.line("build -trimpath")
	return ok
}

// modules are the lines about the package and the modules.
func (p *pairOf) modules() {
	a, b := p.fa.Build, p.fb.Build
	if a == nil || b == nil {
		return
	}
	if a.Path != b.Path {
		p.addCause(causeMainPackage, Certain, Cause{Text: "the program was named in another way, or is another", A: a.Path, B: b.Path})
	}
	inB := map[string]inspect.Module{}
	for _, m := range b.Deps {
		inB[m.Path] = m
	}
	inA := map[string]bool{}
	sumsA, sumsB, unsummed := 0, 0, ""
	for _, m := range a.Deps {
		inA[m.Path] = true
		o, ok := inB[m.Path]
		if !ok {
			p.addCause(causeModuleVersion, Certain, Cause{Text: "only A has module " + cut(m.Path), A: m.Path + " " + m.Version})
			continue
		}
		used, usedO := replaced(m), replaced(o)
		show := func(m inspect.Module) string { return strings.TrimSpace(m.Path + " " + m.Version) }
		switch {
		case used.Path != usedO.Path || (m.Replace == nil) != (o.Replace == nil):
			p.addCause(causeModuleReplaced, Certain, Cause{Text: "module " + cut(m.Path) + " is replaced", A: show(used), B: show(usedO)})
		case used.Version != usedO.Version:
			p.addCause(causeModuleVersion, Certain, Cause{Text: "another version of module " + cut(m.Path), A: show(used), B: show(usedO)})
		case used.Sum != "" && usedO.Sum != "" && used.Sum != usedO.Sum:
			p.addCause(causeModuleSum, Certain, Cause{Text: "module " + cut(show(used)) + " has other content", A: used.Sum, B: usedO.Sum})
		case used.Sum != "" && usedO.Sum == "":
			sumsA++
			unsummed = show(used)
		case used.Sum == "" && usedO.Sum != "":
			sumsB++
			unsummed = show(used)
		}
	}
	for _, m := range b.Deps {
		if !inA[m.Path] {
			p.addCause(causeModuleVersion, Certain, Cause{Text: "only B has module " + cut(m.Path), B: m.Path + " " + m.Version})
		}
	}
	if sumsA+sumsB > 0 {
		p.addCause(causeDependencySumsMissing, Certain, Cause{
			Text:     "only " + side(sumsA > 0) + " has the sums of its dependencies: the other was built from a vendor folder",
			Evidence: []string{fmt.Sprintf("%d modules, such as %s", sumsA+sumsB, cut(unsummed))},
		})
	}
}

func replaced(m inspect.Module) inspect.Module {
	if m.Replace != nil {
		return *m.Replace
	}
	return m
}

// vcs is about the stamp of the version control system, and the version that Go
// 1.24 and later make of it.
func (p *pairOf) vcs() {
	a, b := p.fa.Build, p.fb.Build
	if a == nil || b == nil {
		return
	}
	get := func(b *inspect.Build, key string) string {
		v, _ := b.Setting(key)
		return v
	}
	hasA, hasB := get(a, "vcs.revision") != "", get(b, "vcs.revision") != ""
	switch {
	case hasA != hasB:
		p.addCause(causeVCSMissing, Certain, Cause{Text: "only " + side(hasA) + " is stamped by the version control system", A: get(a, "vcs.revision"), B: get(b, "vcs.revision")})
	case hasA:
		if ra, rb := get(a, "vcs.revision"), get(b, "vcs.revision"); ra != rb {
			p.addCause(causeVCSStamp, Certain, Cause{Text: "another commit", A: ra + " " + get(a, "vcs.time"), B: rb + " " + get(b, "vcs.time")})
		} else if ta, tb := get(a, "vcs.time"), get(b, "vcs.time"); ta != tb {
			p.addCause(causeVCSStamp, Certain, Cause{Text: "another time of the same commit", A: ta, B: tb})
		}
		if ma, mb := get(a, "vcs.modified"), get(b, "vcs.modified"); ma != mb {
			p.addCause(causeVCSModified, Certain, Cause{Text: "only " + side(ma == "true") + " was built from a working tree with changes", A: "vcs.modified=" + ma, B: "vcs.modified=" + mb})
		}
	}
	if a.Main == nil || b.Main == nil {
		return
	}
	if a.Main.Path != b.Main.Path {
		p.addCause(causeMainPackage, Certain, Cause{Text: "another main module", A: a.Main.Path, B: b.Main.Path})
		return
	}
	switch sumA, sumB := a.Main.Sum, b.Main.Sum; {
	case (sumA == "") != (sumB == ""):
		p.addCause(causeModuleSource, Certain, Cause{Text: "only " + side(sumA != "") + " was built as module@version of the module proxy", A: a.Main.Version, B: b.Main.Version})
	case sumA != sumB && a.Main.Version == b.Main.Version:
		p.addCause(causeModuleSum, Certain, Cause{Text: "the main module has other content", A: sumA, B: sumB})
	case a.Main.Version != b.Main.Version && !p.caused(causeVCSStamp, causeVCSModified, causeVCSMissing):
		p.addCause(causeMainVersion, Certain, Cause{A: a.Main.Version, B: b.Main.Version})
	}
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

// later is about what was done after linking.
func (p *pairOf) later() {
	if p.caused(causePlatform) {
		return
	}
	state := func(f *inspect.Facts) inspect.Content {
		if f.Content == nil {
			return inspect.ContentUnknown
		}
		return f.Content.State
	}
	sa, sb := state(p.fa), state(p.fb)
	sameID := p.fa.BuildID != nil && p.fb.BuildID != nil && p.fa.BuildID.ID == p.fb.BuildID.ID
	signed := p.fa.Signature != nil || p.fb.Signature != nil
	ids, signature := inspect.WithoutBuildID, inspect.WithoutSignature
	switch {
	case p.same(): // there is nothing to explain
	case sameID && p.same(ids):
		p.addCause(causeBuildIDOnly, Certain, Cause{
			Text: "nothing but the identifier for other tools (GNU build ID, LC_UUID)", A: hostText(p.fa), B: hostText(p.fb),
			Evidence: []string{"outside of the build IDs, the files are equal"},
		})
	case p.same(ids):
		p.addCause(causeBuildIDOnly, Certain, Cause{A: idText(p.fa), B: idText(p.fb), Evidence: []string{"outside of the build IDs, the files are equal"}})
	case p.same(signature):
		p.addCause(causeSignatureOnly, Certain, Cause{
			Text: "nothing but the code signature", A: signatureText(p.fa), B: signatureText(p.fb),
			Evidence: []string{"outside of the signature and the fields that say where it is, the files are equal"},
		})
	case p.same(ids, signature):
		p.addCause(causeBuildIDOnly, Certain, Cause{A: idText(p.fa), B: idText(p.fb), Evidence: []string{"outside of the build IDs and the code signature, the files are equal"}})
	case p.onlyIn(signatureParts) && signed:
		p.addCause(causeSignatureOnly, Likely, Cause{Text: "nothing but the code signature", A: signatureText(p.fa), B: signatureText(p.fb)})
	case !sameID && p.onlyIn(idParts):
		p.addCause(causeBuildIDOnly, Likely, Cause{A: idText(p.fa), B: idText(p.fb), Evidence: []string{"all other sections are equal"}})
	}
	p.stripped(sa, sb)
	if p.caused(causeSignatureOnly) {
		return
	}
	if (sa == inspect.ContentChanged) != (sb == inspect.ContentChanged) || sa == inspect.ContentChanged && sameID {
		text := "only " + side(sa == inspect.ContentChanged) + " was changed after it was linked"
		if sa == sb {
			text = "both were changed after they were linked"
		}
		var evidence []string
		for _, s := range p.x.Sections {
			if s.State == "changed" && len(evidence) < 4 {
				evidence = append(evidence, fmt.Sprintf("%d bytes of section %s differ", s.Differing, cut(s.Name)))
			}
		}
		sure := Certain
		if !sameID {
			sure = Likely // another build of the same that was changed, or another build altogether
		}
		p.addCause(causeChangedAfterLinking, sure, Cause{Text: text, A: "content " + string(sa), B: "content " + string(sb), Evidence: evidence})
	}
	for _, v := range p.x.Headers {
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

// Sections that may differ because of a signature, and of a build ID.
var (
	signatureParts = []string{"(code signature)", "(certificates)", "(check sum)", "(PE headers)", "(Mach-O header)", "__LINKEDIT"}
	idParts        = []string{".note.go.buildid", ".note.gnu.build-id", "(LC_UUID)", "(ELF header)", "(program headers)", "(section headers)", ".shstrtab", "(Mach-O header)", "(code signature)", "__LINKEDIT"}
)

// onlyIn tells whether something differs, and no section but those named does.
func (p *pairOf) onlyIn(names []string) bool {
	any := false
	for _, s := range p.x.Sections {
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

// same reports whether the files are equal but for what normalizations leave out.
func (p *pairOf) same(list ...inspect.Normalization) bool {
	c, err := inspect.Compare(p.binA, p.binB, list...)
	return err == nil && c.Same
}

// stripped is about the symbol table and DWARF.
func (p *pairOf) stripped(sa, sb inspect.Content) {
	if p.caused(causePlatform) {
		return
	}

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
		p.addCause(causeStripped, Certain, Cause{Text: "only " + side(!without) + " has the " + q.text + ": the other was " + how, A: a.Why, B: b.Why})
	}

	if a, b, ok := p.otherAnswer(inspect.CompressedDWARF); ok {
		p.addCause(causeDebugCompression, Certain, Cause{A: a.Why, B: b.Why})
	}
}

// otherAnswer returns the answers to a question, and whether both are known and
// differ.
func (p *pairOf) otherAnswer(q inspect.Question) (a, b inspect.Finding, ok bool) {
	a, b = p.fa.Finding(q), p.fb.Finding(q)
	return a, b, a.Is != b.Is && a.Is != inspect.Unknown && b.Is != inspect.Unknown
}

// linked is about flags of the linker and what they put into the file.
func (p *pairOf) linked() {
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
		p.c.Strings = slices.DeleteFunc(p.c.Strings, func(d StringDifference) bool {
			return d.Kind == KindTime && p.c.hasCause(func(x Cause) bool {
				return x.is(causeTimeStamp) && strings.Contains(x.A, d.A) && strings.Contains(x.B, d.B)
			})
		})
	}
	if v, ok := p.line("build -ldflags"); ok && !p.trimpathDiffers() {
		ra, _ := splitLdflags(v.A)
		rb, _ := splitLdflags(v.B)
		if !slices.Equal(ra, rb) && !p.caused(causeStripped, causeBuildIDOnly, causeDebugCompression) || len(names) == 0 && slices.Equal(ra, rb) {
			p.addCause(causeLdflags, Certain, Cause{A: "-ldflags=" + unquote(v.A), B: "-ldflags=" + unquote(v.B)})
		}
		return
	}
	p.hidden()
}

// hidden is about flags of the linker that are not recorded, as -trimpath leaves
// them out: nothing that was compiled differs, and yet the link did.
func (p *pairOf) hidden() {
	link, known := p.idPart("link action")
	main, _ := p.idPart("main action")
	if known && (link || !main) {
		return
	}
	if p.code || p.caused(causeStripped, causeBuildIDOnly, causeSignatureOnly, causeChangedAfterLinking, causeDebugCompression, causeEmbeddedFile, causeTrimpath, causePathOfBuildFolder, causePathOfGOROOT, causePathOfModuleCache) {
		return
	}
	f := p.x.Functions
	if f == nil || f.Changed+f.Resized+f.Added+f.Removed > 0 || len(p.x.BuildInfo) > 0 {
		return
	}
	namesA, namesB := variableNames(p.a, p.binA), variableNames(p.b, p.binB)
	var evidence []string
	if known {
		evidence = append(evidence, "the same was compiled (main action), and linked in another way (link action)")
	}
	for _, n := range namesA {
		if slices.Contains(namesB, n) {
			evidence = append(evidence, "-X sets "+cut(n))
		}
	}
	name := onlyOne(namesA, namesB)
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

// onlyOne returns the name that is the only one in two lists.
func onlyOne(a, b []string) string {
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
	if len(all) != 1 {
		return ""
	}
	return all[0]
}

// compiled is about functions and data that differ without a recorded reason.
func (p *pairOf) compiled() {
	if comment := p.section(".comment"); comment != nil && comment.State == "changed" {
		p.addCause(causeCCompiler, Likely, Cause{Text: "the C compiler's or linker's own mark (.comment) differs",
			A: textAt(p.a, comment.OffsetA+comment.First), B: textAt(p.b, comment.OffsetB+comment.First)})
	}
	f := p.x.Functions
	main, known := p.idPart("main action")
	content, _ := p.idPart("main content")
	if p.hasCertain(causeChangedAfterLinking) || known && main && content && p.caused(causeChangedAfterLinking) {
		return // the same was compiled: whatever differs was done later
	}
	if known && main && !content {
		p.addCause(causeCompilerOutput, Likely, Cause{Text: "package main was compiled from the same inputs to something else"})
	}
	link, _ := p.idPart("link action")
	file, _ := p.idPart("file content")
	if known && link && !file && !p.caused(causeCompilerOutput, causeChangedAfterLinking, causeStripped) {
		p.addCause(causeLinkerOutput, Likely, Cause{Text: "the same was linked to another file"})
	}
	if f == nil || p.code {
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
			A:    p.fa.GoVersion, B: p.fb.GoVersion, Evidence: evidence(standard),
		})
	}
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
	p.constants(known && !main)
}

// constants is about data that differs while all functions are the same.
func (p *pairOf) constants(mainDiffers bool) {
	if p.c.caused(stamps...) {
		return // which say it better
	}
	if len(p.x.BuildInfo) > 0 || p.caused(causeEmbeddedFile, causeLdflagsX, causeLdflags, causeStripped, causeBuildIDOnly, causeSignatureOnly, causeChangedAfterLinking, causeTrimpath,
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
	if a, b := idText(p.fa), idText(p.fb); a != b && len(p.c.Causes) == p.first {
		p.addCause(causeBuildIDOnly, Likely, Cause{Text: "the build ID, and nothing else that was compared", A: a, B: b})
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
