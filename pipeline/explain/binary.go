package explain

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// Binary holds the differences of two executables, or of two slices of universal files.
type Binary struct {
	// Slice is the GOARCH of a slice. It is empty if the file is not universal.
	Slice string `json:"slice,omitempty"`
	// Facts are the single facts that differ: the platform, the kind, the Go version,
	// the findings of package inspect, libraries.
	Facts []Value `json:"facts,omitempty"`
	// Headers are the fields of headers and the load commands that differ.
	Headers []Value `json:"headers,omitempty"`
	// Sections are all sections of A, and then those that only B has.
	Sections []Section `json:"sections"`
	// BuildInfo are the lines of build information that differ. Each is named by the
	// text before its value: "build GOAMD64", "dep golang.org/x/sys".
	BuildInfo []Value `json:"buildInfo,omitempty"`
	// BuildID are the parts of the build ID. It is nil unless the build IDs of both
	// files have four parts.
	BuildID []IDPart `json:"buildID,omitempty"`
	// Sources are folders of source files that differ.
	Sources []SourceRoot `json:"sources,omitempty"`
	// Functions is nil if one of the files has no table of functions.
	Functions *Functions `json:"functions,omitempty"`
	// Embedded are the embedded files that differ. Value.A and B are SHA-256 sums.
	Embedded []Value `json:"embedded,omitempty"`
	// Summarized says why functions and texts are counted and not listed: between two platforms, or two
	// versions of Go, nearly all of them differ. It is empty where they are listed.
	Summarized string `json:"summarized,omitempty"`

	drawn *fileMap
}

// Section is a section of two executables.
type Section struct {
	Name string `json:"name"`
	// State is "equal", "moved" (the same bytes elsewhere), "shifted" (the same except for
	// references to what moved), "changed", "only in A" or "only in B".
	State string `json:"state"`
	// OffsetA, OffsetB and the sizes are in bytes. They are -1 where there is no section.
	OffsetA int64 `json:"offsetA"`
	OffsetB int64 `json:"offsetB"`
	SizeA   int64 `json:"sizeA"`
	SizeB   int64 `json:"sizeB"`
	// First is the first difference, from the start of the section. Differing is the number of
	// bytes that differ at the same place. Both are 0 unless State is "shifted" or "changed".
	First     int64 `json:"first,omitempty"`
	Differing int64 `json:"differing,omitempty"`

	slots []bool // in which parts of slotSize bytes it differs
}

// IDPart is a part of the build ID.
type IDPart struct {
	// Name is "link action", "main action", "main content" or "file content".
	Name string `json:"name"`
	Same bool   `json:"same"`
	// Meaning says what an equal part means, or one that differs.
	Meaning string `json:"meaning"`
}

// binaryPair is a pair of executables while it is explained.
type binaryPair struct {
	c              *Comparison
	a, b           input
	binA, binB     *inspect.Binary
	factsA, factsB *inspect.Facts
	diff           *Binary // what was found
	where          string
	// codeExplained reports whether this pair has a cause that explains why its
	// functions differ.
	codeExplained bool
	first         int // the index of its first cause
	sameToolchain bool
}

// explainBinaries explains two executables.
func (e *explainer) explainBinaries(c *Comparison, a, b input, binA, binB *inspect.Binary) {
	if binA.Format != inspect.Universal && binB.Format != inspect.Universal {
		e.explainBinary(c, a, b, binA, binB, "")
		return
	}

	type slice struct {
		in  input
		bin *inspect.Binary
	}

	// The first slice of a name counts, as loaders use that one.
	slicesOf := func(in input, bin *inspect.Binary) ([]string, map[string]slice) {
		m := map[string]slice{}
		if bin.Format != inspect.Universal {
			name := bin.Facts().GOARCH
			return []string{name}, map[string]slice{name: {in, bin}}
		}

		var names []string
		budget := 2 * in.size // slices may overlap
		for _, s := range bin.Slices {
			name := s.Name
			if _, twice := m[name]; twice {
				continue
			}

			sub, err := bin.OpenSlice(s)
			if budget -= s.Size; budget < 0 {
				err = errors.New("slices overlap too often")
			}
			if err == nil && sub.Format == inspect.Universal {
				err = errors.New("a universal file within one")
			}
			if err != nil {
				c.noteText(fmt.Sprintf("slice %s: %v", name, err))
				continue
			}
			names = append(names, name)
			m[name] = slice{e.input(File{in.name, in.section(s.Offset, s.Size), s.Size}), sub}
		}
		return names, m
	}

	namesA, inA := slicesOf(a, binA)
	namesB, inB := slicesOf(b, binB)
	if binA.Format != binB.Format || !slices.Equal(namesA, namesB) {
		c.addCause(causeUniversalSlices, Certain, Cause{A: string(binA.Format) + " " + strings.Join(namesA, " "), B: string(binB.Format) + " " + strings.Join(namesB, " ")})
	}

	// A slice that one file alone has is covered by the cause above.
	for _, name := range namesA {
		if other, ok := inB[name]; ok {
			e.explainBinary(c, inA[name].in, other.in, inA[name].bin, other.bin, name)
		}
	}
}

// explainBinary explains two executables that are no universal files.
func (e *explainer) explainBinary(c *Comparison, a, b input, binA, binB *inspect.Binary, slice string) {
	// Causes from here on belong to this pair.
	fa, fb := binA.Facts(), binB.Facts()
	p := &binaryPair{c: c, a: a, b: b, binA: binA, binB: binB, factsA: &fa, factsB: &fb, diff: &Binary{Slice: slice}, where: slice, first: len(c.Causes), sameToolchain: e.options.SameToolchain}
	for _, n := range slices.Concat(fa.Notes, fb.Notes) {
		if n == inspect.ErrNoBuildID.Error() && fa.BuildID == nil && fb.BuildID == nil {
			continue // both were linked so
		}
		c.noteText(cut(n))
	}

	p.diff.Facts = differingFacts(&fa, &fb)
	p.diff.Headers = differingHeaders(headers(a, binA.Format), headers(b, binB.Format))
	p.compareSections()
	if slice != "" && !slices.ContainsFunc(p.diff.Sections, func(s Section) bool { return s.State != "equal" && s.State != "moved" }) && len(p.diff.Headers) == 0 {
		c.Binaries = append(c.Binaries, *p.diff)
		return // the same slice elsewhere
	}

	p.compareBuildInfo()
	p.compareBuildID()
	p.compareSources()
	p.compareEmbedded()
	p.compareStrings()

	// Functions are optional: a program without them is still explained by the rest.
	programA, errA := newProgram(a, binA, &fa)
	programB, errB := newProgram(b, binB, &fb)
	switch err := cmp.Or(errA, errB); {
	case errors.Is(err, inspect.ErrNoFunctions):
	case err != nil:
		c.note(err)
	default:
		p.diff.Functions = c.compareFunctions(programA, programB, &fa, &fb)
		p.markShifted(programA, programB)
	}
	if p.diff.Functions == nil {
		programA, programB = nil, nil
	}

	// The causes come last, as they rest on all differences.
	p.diff.drawn = p.fileMap(programA, programB)
	p.judge()
	p.summarize()
	c.Binaries = append(c.Binaries, *p.diff)
}

// otherPlatform reports whether the two are for different platforms, and otherVersion whether they
// were built by different versions of Go.
func (p *binaryPair) otherPlatform() bool {
	a, b := p.factsA, p.factsB
	other := func(a, b string) bool { return a != b && a != "" && b != "" } // or it is not known
	return other(a.GOOS, b.GOOS) || other(a.GOARCH, b.GOARCH) || a.Format != b.Format
}

func (p *binaryPair) otherVersion() bool {
	a, b := p.factsA.GoVersion, p.factsB.GoVersion
	return a != b && a != "" && b != "" && withoutExperiments(a) != withoutExperiments(b)
}

// summarize leaves out lists of what differs between any two platforms or versions of Go.
func (p *binaryPair) summarize() {
	d := p.diff
	switch {
	case p.otherPlatform():
		d.Summarized = "they are for different platforms"
		if p.binA.Format != p.binB.Format {
			d.Headers = nil // of which neither format has the other's
		}
	case p.otherVersion():
		d.Summarized = "they were built by different versions of Go"
	default:
		return
	}
	if f := d.Functions; f != nil {
		f.More, f.List = f.More+len(f.List), nil
		if p.otherPlatform() {
			f.Packages = nil
		}
	}
}

// differingFacts lists the single facts that differ.
func differingFacts(a, b *inspect.Facts) []Value {
	// The lists have one format, so that they can be compared as headers are.
	list := func(f *inspect.Facts) []header {
		rows := []header{
			{"format", string(f.Format)}, {"platform", f.GOOS + "/" + f.GOARCH}, {"kind", f.Kind}, {"go", f.GoVersion},
			{"experiments", strings.Join(f.Experiments, ",")}, {"interpreter", f.Interpreter}, {"libraries", strings.Join(f.Libraries, " ")},
		}
		if f.Build != nil && f.Build.Main != nil {
			rows = append(rows, header{"main module", strings.TrimSpace(f.Build.Main.Path + " " + f.Build.Main.Version)})
		}

		for _, q := range f.Findings {
			rows = append(rows, header{string(q.Name), string(q.Is)})
		}
		if f.Content != nil {
			rows = append(rows, header{"content", string(f.Content.State)})
		}
		if f.BuildID != nil {
			rows = append(rows, header{"build ID", f.BuildID.ID})
		}
		if f.HostID != nil {
			rows = append(rows, header{f.HostID.Kind, f.HostID.Value})
		}
		if s := f.Signature; s != nil {
			rows = append(rows, header{"signature", strings.Join(strings.Fields(s.Kind+" "+s.Identifier+" "+s.Team), " ")})
		}
		return rows
	}

	return differingHeaders(list(a), list(b))
}

// compareSections compares the sections: the nth of a name with the nth.
func (p *binaryPair) compareSections() {
	inB := map[string][]inspect.Section{}
	for _, s := range p.binB.Sections {
		inB[s.Name] = append(inB[s.Name], s)
	}

	// An honest file's sections overlap by a factor of two.
	budget := 4 * (p.a.size + p.b.size)
	rest := map[string]int{} // sections of B that A has as well
	for _, sa := range p.binA.Sections {
		n := rest[sa.Name]
		list := inB[sa.Name]
		if n >= len(list) {
			p.diff.Sections = append(p.diff.Sections, Section{Name: cut(sa.Name), State: "only in A", OffsetA: sa.Offset, OffsetB: -1, SizeA: sa.Size, SizeB: -1})
			continue
		}

		sb := list[n]
		rest[sa.Name]++
		s := Section{Name: cut(sa.Name), State: "equal", OffsetA: sa.Offset, OffsetB: sb.Offset, SizeA: sa.Size, SizeB: sb.Size}
		if budget -= sa.Size + sb.Size; budget < 0 {
			p.c.noteText("sections overlap too often, some were not compared")
			break
		}

		first, n64, where, err := compareSection(p.a, p.b, sa, sb)
		switch {
		case err != nil:
			p.c.note(err)
			continue
		case n64 > 0:
			s.State, s.First, s.Differing, s.slots = "changed", first, n64, where
		case sa.Offset != sb.Offset || sa.Address != sb.Address:
			s.State = "moved"
		}
		p.diff.Sections = append(p.diff.Sections, s)
	}

	seen := map[string]int{}
	for _, sb := range p.binB.Sections {
		seen[sb.Name]++
		if seen[sb.Name] > rest[sb.Name] {
			p.diff.Sections = append(p.diff.Sections, Section{Name: cut(sb.Name), State: "only in B", OffsetA: -1, OffsetB: sb.Offset, SizeA: -1, SizeB: sb.Size})
		}
	}
}

// compareSection returns the first difference of two sections, the number of bytes
// that differ, and in which slots they are.
func compareSection(a, b input, sa, sb inspect.Section) (first, n int64, where []bool, err error) {
	size := max(sa.Size, sb.Size)
	bufA, bufB := make([]byte, min(bufferSize, sa.Size)), make([]byte, min(bufferSize, sb.Size))
	first = -1
	fail := func(err error) (int64, int64, []bool, error) {
		return 0, 0, nil, fmt.Errorf("compare sections: %w", err)
	}

	for at := int64(0); at < size; at += bufferSize {
		pa := bufA[:max(0, min(bufferSize, sa.Size-at))]
		pb := bufB[:max(0, min(bufferSize, sb.Size-at))]
		if k, err := a.ReadAt(pa, sa.Offset+at); k < len(pa) {
			return fail(err)
		}
		if k, err := b.ReadAt(pb, sb.Offset+at); k < len(pb) {
			return fail(err)
		}

		f, k := compareBytes(pa, pb)
		if k == 0 {
			continue
		}
		if first < 0 {
			first = at + int64(f)
			where = make([]bool, slots)
		}
		n += int64(k)
		mark(where, slotSize(size), at, pa, pb)
	}

	return max(first, 0), n, where, nil
}

// compareBuildInfo compares the build information line by line.
func (p *binaryPair) compareBuildInfo() {
	rows := func(b *inspect.Binary) []header {
		info, err := b.BuildInfo()
		if err != nil {
			return nil
		}
		rows := []header{{"go", info.GoVersion}}
		last := ""
		for _, line := range info.Lines[:min(len(info.Lines), maxRows)] {
			kind, rest, _ := strings.Cut(line, "\t")
			name, value := kind, rest
			switch kind {
			case "build":
				key, v, _ := strings.Cut(rest, "=")
				name, value = "build "+key, v
			case "dep", "mod":
				module, v, _ := strings.Cut(rest, "\t")
				name, value, last = kind+" "+module, v, module
			case "=>":
				name = "=> of " + last
			case "":
				continue
			}
			rows = append(rows, header{name, strings.ReplaceAll(value, "\t", " ")})
		}

		return rows
	}

	p.diff.BuildInfo = differingHeaders(rows(p.binA), rows(p.binB))
}

// buildInfoLine returns the difference in a line of build information, if it differs.
func (p *binaryPair) buildInfoLine(name string) (Value, bool) {
	i := slices.IndexFunc(p.diff.BuildInfo, func(v Value) bool { return v.Name == name })
	if i < 0 {
		return Value{}, false
	}
	return p.diff.BuildInfo[i], true
}

// compareBuildID explains the parts of the build ID (cmd/go/internal/work/buildid.go of
// the Go tree).
func (p *binaryPair) compareBuildID() {
	a, b := p.factsA.BuildID, p.factsB.BuildID
	if a == nil || b == nil || a.FileContent == "" || b.FileContent == "" {
		return
	}
	add := func(name, a, b, same, differs string) {
		part := IDPart{name, a == b, differs}
		if part.Same {
			part.Meaning = same
		}
		p.diff.BuildID = append(p.diff.BuildID, part)
	}

	add("link action", a.LinkAction, b.LinkAction,
		"all that was linked is the same: packages, flags, the linker",
		"something that was linked differs: a package, -ldflags, or the linker")
	add("main action", a.MainAction, b.MainAction,
		"package main was compiled from the same: source, imports, settings, build information, the compiler",
		"package main was compiled from something else: source, imports, settings, build information, or the compiler")
	add("main content", a.MainContent, b.MainContent,
		"package main was compiled to the same",
		"package main was compiled to something else")
	add("file content", a.FileContent, b.FileContent,
		"the linker wrote the same file, and what differs came later",
		"the linker wrote another file")
}

// idPart reports whether a part of the build ID is known, and the same.
func (p *binaryPair) idPart(name string) (same, known bool) {
	for _, part := range p.diff.BuildID {
		if part.Name == name {
			return part.Same, true
		}
	}
	return false, false
}

// compareEmbedded compares the embedded files: the nth of a name with the nth.
func (p *binaryPair) compareEmbedded() {
	rows := func(f *inspect.Facts) []header {
		var list []header
		for _, e := range f.Embedded {
			list = append(list, header{e.Name, e.SHA256})
		}
		return list
	}
	p.diff.Embedded = differingHeaders(rows(p.factsA), rows(p.factsB))
}
