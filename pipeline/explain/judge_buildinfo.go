package explain

import (
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

// settingCauses adds the lines "build KEY=VALUE" that differ.
func (p *binaryPair) settingCauses() {
	if p.factsA.Build == nil || p.factsB.Build == nil {
		// Without settings the headers tell something.
		if a, b := p.factsA.Finding(inspect.PIE), p.factsB.Finding(inspect.PIE); a.Is != b.Is && !p.caused(causePlatform) {
			whyA, whyB := unlike(a.Why, b.Why)
			p.addCause(causePIE, Likely, Cause{A: whyA, B: whyB})
		}
		return
	}

	for _, v := range p.diff.BuildInfo {
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
			if bothAmong(v.A, v.B, "exe", "pie") {
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
		whyA, whyB := unlike(a.Why, b.Why)
		p.addCause(causeCgo, Likely, Cause{Text: "C code is in one of them only", A: whyA, B: whyB})
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

// bothAmong reports whether both values are in a list.
func bothAmong(a, b string, of ...string) bool {
	return slices.Contains(of, a) && slices.Contains(of, b)
}

// trimpathDiffers reports whether the recorded setting -trimpath differs.
func (p *binaryPair) trimpathDiffers() bool {
	_, ok := p.buildInfoLine("build -trimpath")
	return ok
}

// moduleCauses adds the lines about the package and the modules that differ.
func (p *binaryPair) moduleCauses() {
	a, b := p.factsA.Build, p.factsB.Build
	if a == nil || b == nil {
		return
	}
	if a.Path != b.Path {
		p.addCause(causeMainPackage, Certain, Cause{Text: "the program was named in another way, or is another", A: a.Path, B: b.Path})
	}

	weight := map[string]int64{} // functions that differ, by module
	if f := p.diff.Functions; f != nil {
		for _, k := range f.Packages {
			weight[k.Module] += int64(k.Changed + k.Resized + k.Added + k.Removed)
		}
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
			p.addCause(causeModuleVersion, Certain, Cause{Text: "only A has module " + cut(m.Path), A: m.Path + " " + m.Version, Weight: weight[m.Path]})
			continue
		}

		used, usedO := replaced(m), replaced(o)
		show := func(m inspect.Module) string { return strings.TrimSpace(m.Path + " " + m.Version) }
		switch {
		case used.Path != usedO.Path || (m.Replace == nil) != (o.Replace == nil):
			p.addCause(causeModuleReplaced, Certain, Cause{Text: "module " + cut(m.Path) + " is replaced", A: show(used), B: show(usedO), Weight: weight[m.Path]})
		case used.Version != usedO.Version:
			p.addCause(causeModuleVersion, Certain, Cause{Text: "another version of module " + cut(m.Path), A: show(used), B: show(usedO), Weight: weight[m.Path]})
		case used.Sum != "" && usedO.Sum != "" && used.Sum != usedO.Sum:
			p.addCause(causeModuleSum, Certain, Cause{Text: "module " + cut(show(used)) + " has other content", A: used.Sum, B: usedO.Sum, Weight: weight[m.Path]})
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
			p.addCause(causeModuleVersion, Certain, Cause{Text: "only B has module " + cut(m.Path), B: m.Path + " " + m.Version, Weight: weight[m.Path]})
		}
	}

	// The go command writes no sums for modules of a vendor folder.
	if sumsA+sumsB > 0 {
		p.addCause(causeDependencySumsMissing, Certain, Cause{
			Text:     "only " + sideName(sumsA > 0) + " has the sums of its dependencies: the other was built from a vendor folder",
			Evidence: []string{fmt.Sprintf("%d modules, such as %s", sumsA+sumsB, cut(unsummed))},
		})
	}
}

// replaced returns the module that is used in place of m, or m.
func replaced(m inspect.Module) inspect.Module {
	if m.Replace != nil {
		return *m.Replace
	}
	return m
}

// vcsCauses adds the stamp of the version control system, and the version of the main
// module that Go 1.24 and later derive from it.
func (p *binaryPair) vcsCauses() {
	a, b := p.factsA.Build, p.factsB.Build
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
		p.addCause(causeVCSMissing, Certain, Cause{Text: "only " + sideName(hasA) + " is stamped by the version control system", A: get(a, "vcs.revision"), B: get(b, "vcs.revision")})
	case hasA:
		if ra, rb := get(a, "vcs.revision"), get(b, "vcs.revision"); ra != rb {
			p.addCause(causeVCSStamp, Certain, Cause{Text: "another commit", A: ra + " " + get(a, "vcs.time"), B: rb + " " + get(b, "vcs.time")})
		} else if ta, tb := get(a, "vcs.time"), get(b, "vcs.time"); ta != tb {
			p.addCause(causeVCSStamp, Certain, Cause{Text: "another time of the same commit", A: ta, B: tb})
		}
		if ma, mb := get(a, "vcs.modified"), get(b, "vcs.modified"); ma != mb {
			p.addCause(causeVCSModified, Certain, Cause{Text: "only " + sideName(ma == "true") + " was built from a working tree with changes", A: "vcs.modified=" + ma, B: "vcs.modified=" + mb})
		}
	}

	if a.Main == nil || b.Main == nil {
		return
	}
	if a.Main.Path != b.Main.Path {
		p.addCause(causeMainPackage, Certain, Cause{Text: "another main module", A: a.Main.Path, B: b.Main.Path})
		return
	}

	// The version follows from the stamp. So it is worth a look in any case, and a tag that is missing
	// is the reason only where the stamp is the same.
	switch sumA, sumB := a.Main.Sum, b.Main.Sum; {
	case (sumA == "") != (sumB == ""):
		p.addCause(causeModuleSource, Certain, Cause{Text: "only " + sideName(sumA != "") + " was built as module@version of the module proxy", A: a.Main.Version, B: b.Main.Version})
	case sumA != sumB && a.Main.Version == b.Main.Version:
		p.addCause(causeModuleSum, Certain, Cause{Text: "the main module has other content", A: sumA, B: sumB})
	case a.Main.Version != b.Main.Version && p.caused(causeVCSStamp, causeVCSModified, causeVCSMissing):
		p.addCause(causeMainVersion, Certain, Cause{Text: "another version of the main module, which follows from the stamp", A: a.Main.Version, B: b.Main.Version})
	case a.Main.Version != b.Main.Version:
		text := "another version of the main module"
		if hasA && hasB {
			text = "" // the same commit: the meaning of the kind
		}
		p.addCause(causeMainVersion, Certain, Cause{Text: text, A: a.Main.Version, B: b.Main.Version})
	}
}
