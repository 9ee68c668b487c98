package explain

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// Functions counts and lists the differences between the functions of two programs.
type Functions struct {
	// A and B are the numbers of functions.
	A int `json:"a"`
	B int `json:"b"`
	// Same is the number of functions with the same instructions at the same address. Moved ones
	// have the same instructions at another address. Changed ones have others of the same size, and
	// Resized ones others of another size.
	Same    int `json:"same"`
	Moved   int `json:"moved"`
	Changed int `json:"changed"`
	Resized int `json:"resized"`
	// Added are in B alone, Removed in A alone.
	Added   int `json:"added"`
	Removed int `json:"removed"`
	// Standard is how many of Changed and Resized belong to the standard library. It
	// leaves out changed functions that initialize a package, as the linker adapts them to
	// the program. StandardAlone is how many of Added and Removed belong to it.
	Standard      int `json:"standard"`
	StandardAlone int `json:"standardAlone"`
	// StandardOther is how many functions that the standard library declares have other
	// instructions wherever data are that these refer to. No linker makes such a difference.
	StandardOther int `json:"standardOther"`
	// Own is how many of Changed and Resized are declared in packages of modules, have
	// nothing inlined, and have other instructions wherever data are that these refer to.
	Own int `json:"own"`
	// OwnLines is how many functions that are declared in packages of modules start at
	// another line of their source, whatever their instructions.
	OwnLines int `json:"ownLines"`
	// Partial reports whether some were not compared.
	Partial bool `json:"partial,omitempty"`
	// List are the functions that are neither the same nor moved: first those of A in its order,
	// then those that only B has. More is how many more there are.
	List []Function `json:"list,omitempty"`
	More int        `json:"more,omitempty"`

	standard []string // the first names of StandardOther
	// Packages are their packages, those with the most such functions first.
	Packages []Package `json:"packages,omitempty"`
}

// Function is a function that differs.
type Function struct {
	Name    string `json:"name"`
	Package string `json:"package,omitempty"`
	// State is "changed", "resized", "added" or "removed".
	State string `json:"state"`
	// SizeA and SizeB are the sizes in bytes, -1 where there is none.
	SizeA int64 `json:"sizeA"`
	SizeB int64 `json:"sizeB"`
}

// Package sums up the functions of a package that differ.
type Package struct {
	// Path is the import path. It is empty for functions that are generated for several packages.
	Path string `json:"path"`
	// Module is the module that it belongs to, or "std" for the standard library. It is empty if
	// unknown.
	Module  string `json:"module,omitempty"`
	Changed int    `json:"changed"`
	Resized int    `json:"resized"`
	Added   int    `json:"added"`
	Removed int    `json:"removed"`
	// Bytes is by how much its functions are larger in B.
	Bytes int64 `json:"bytes"`
}

const (
	maxFunctions = 1 << 20
	maxPackages  = 65536
	maxCode      = 1 << 20 // bytes of a function that are compared with references in mind
	stdModule    = "std"
)

// function holds the facts of a function. It has no name, so that memory is bounded.
type function struct {
	key    uint64 // a hash of the name
	target uint64 // the hash of the name that a call leads to in the end
	into   uint64 // and how far into that function
	start  uint64
	offset int64
	size   uint32
	line   int32
	state  state
	// declared reports whether the source declares it by this name, and inlines that code
	// of other functions may be in it.
	declared, inlines bool
	// other reports whether its instructions are others even if all data are the same.
	other bool
}

type state uint8

const (
	stateNone state = iota // only one file has it
	stateSame
	stateMoved
	stateChanged
	stateResized
)

// loadedProgram is a program as it is in memory.
type loadedProgram struct {
	in       input
	bin      *inspect.Binary
	arch     string
	order    binary.ByteOrder
	list     []function // by start
	text     uint64     // the address of what starts at 0
	located  bool       // that text is known
	sections []inspect.Section
}

// A function or method has the name that its source gives it. The compiler makes functions of parts
// of one, whose names have a number at the end or a word that no declaration can have. Another
// standard library can lead to more of them.
var (
	declaredRE = regexp.MustCompile(`(^|/)[^/.]+\.(\(\*[\pL_][\pL\d_]*\)\.|[\pL_][\pL\d_]*\.)?[\pL_][\pL\d_]*$`)
	madeRE     = regexp.MustCompile(`\.(init|(func|gowrap|deferwrap|range|jump)\d*)$`)
)

// trampolineRE matches what the linker adds to the name of a function that is too far away for a call:
// "+f8-tramp0", where the number is how far into the function the call leads. It puts such a stop
// between the two wherever the size of the program takes it.
var trampolineRE = regexp.MustCompile(`(?:\+([0-9a-f]{1,8}))?-tramp\d*$`)

// throughTrampoline returns the name of the function that a call of a name leads to in the end, and how
// far into it.
func throughTrampoline(name string) (end string, into uint64) {
	if !strings.Contains(name, "-tramp") {
		return name, 0
	}

	m := trampolineRE.FindStringSubmatchIndex(name)
	if m == nil {
		return name, 0
	}
	if m[2] >= 0 {
		into, _ = strconv.ParseUint(name[m[2]:m[3]], 16, 32)
	}
	return name[:m[0]], into
}

func nameKey(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// newProgram reads the functions of a program.
func newProgram(in input, bin *inspect.Binary, facts *inspect.Facts) (*loadedProgram, error) {
	m := &loadedProgram{in: in, bin: bin, arch: facts.GOARCH, order: binary.LittleEndian}
	if facts.ByteOrder == "big" {
		m.order = binary.BigEndian
	}

	for _, s := range bin.Sections {
		if s.Address != 0 && s.Size > 0 {
			m.sections = append(m.sections, s)
		}
	}
	slices.SortStableFunc(m.sections, func(x, y inspect.Section) int { return cmp.Compare(x.Address, y.Address) })

	for f, err := range bin.Functions() {
		if err != nil {
			return m, err
		}
		if len(m.list) == maxFunctions {
			return m, fmt.Errorf("compare functions: more than %d", maxFunctions)
		}
		if f.Name == "go:buildid" || f.Name == "go.buildid" {
			continue // it is no code
		}

		// One function that lies in a section tells where all code is in memory.
		if s, ok := bin.SectionAt(max(0, f.Offset)); !m.located && f.Offset >= 0 && ok && s.Address != 0 {
			m.text, m.located = s.Address+uint64(f.Offset-s.Offset)-f.Start, true
		}
		end, into := throughTrampoline(f.Name)
		m.list = append(m.list, function{nameKey(f.Name), nameKey(end), into, f.Start, f.Offset, uint32(min(f.Size, 1<<32-1)), int32(f.Line), stateNone, declaredRE.MatchString(f.Name) && !madeRE.MatchString(f.Name), f.Inlines, false})
	}
	return m, nil
}

// target is the function or section that an address leads to.
type target struct {
	function bool
	name     uint64 // a hash
	offset   uint64 // in a function
}

// resolve returns the function or section that an address is in.
func (m *loadedProgram) resolve(address uint64) (target, bool) {
	if rel := address - m.text; m.located && address >= m.text {
		i := sort.Search(len(m.list), func(i int) bool { return m.list[i].start > rel }) - 1
		if i >= 0 && rel-m.list[i].start < uint64(m.list[i].size) {
			return target{true, m.list[i].target, m.list[i].into + rel - m.list[i].start}, true
		}
	}

	i := sort.Search(len(m.sections), func(i int) bool { return m.sections[i].Address > address }) - 1
	if i < 0 {
		return target{}, false
	}
	s := m.sections[i]

	// An address may be that of the end. What follows the last section is
	// memory that has no bytes in the file.
	const maxZeros = 1 << 30
	switch past := address - s.Address; {
	case past <= uint64(s.Size):
		return target{name: nameKey(s.Name)}, true
	case past < uint64(s.Size)+maxZeros:
		return target{name: 1}, true
	}
	return target{}, false
}

// compareFunctions compares the functions of two programs.
func (c *Comparison) compareFunctions(a, b *loadedProgram, factsA, factsB *inspect.Facts) *Functions {
	x := &Functions{A: len(a.list), B: len(b.list)}
	ofB := matchFunctions(a.list, b.list)
	budget := 2 * (a.in.size + b.in.size) // functions do not overlap
	code, loose := &codePair{a: a, b: b}, &codePair{a: a, b: b, anyData: true}
	bufA, bufB := make([]byte, 0, 64<<10), make([]byte, 0, 64<<10)

	// Code is read a function at a time, so that memory is bounded.
	for i := range a.list {
		j := ofB[i]
		if j < 0 {
			continue
		}

		fa, fb := &a.list[i], &b.list[j]
		if budget -= int64(fa.size) + int64(fb.size); budget < 0 {
			c.noteText("functions overlap too often, some were not compared")
			x.Partial = true
			break
		}
		var err error
		bufA, err = a.code(bufA, fa)
		if err == nil {
			bufB, err = b.code(bufB, fb)
		}

		switch {
		case errors.Is(err, errNoCode):
			x.Partial = true
			fa.state = stateSame
			if fa.size != fb.size {
				fa.state = stateResized
			}
		case err != nil:
			c.note(err)
			x.Partial = true
			return x
		default:
			fa.state = code.compare(bufA, bufB, fa, fb)
			fa.other = fa.state != stateSame && loose.compare(bufA, bufB, fa, fb) != stateSame
		}
		if fa.state == stateSame && fa.start != fb.start {
			fa.state = stateMoved
		}
		fb.state = fa.state
	}

	c.listFunctions(x, a, b, ofB, factsA, factsB)
	return x
}

var errNoCode = errors.New("no code")

// code reads a function's instructions, without padding at its end.
func (m *loadedProgram) code(buf []byte, f *function) ([]byte, error) {
	if f.offset < 0 || f.offset > m.in.size || int64(f.size) > m.in.size-f.offset || f.size > maxCode {
		return buf, errNoCode
	}
	buf = slices.Grow(buf[:0], int(f.size))[:f.size]
	if n, err := m.in.ReadAt(buf, f.offset); n < len(buf) {
		return buf, fmt.Errorf("compare functions: %w", err)
	}

	switch m.arch {
	case "amd64", "386":
		// Not bytes.TrimRight, for which all bytes that are no UTF-8 are one character.
		for len(buf) > 0 && buf[len(buf)-1] == 0xcc {
			buf = buf[:len(buf)-1]
		}
		return buf, nil
	case "wasm":
		return buf, nil
	}

	// The other machines pad with zeros, a whole instruction at a time.
	for len(buf) >= 4 && m.order.Uint32(buf[len(buf)-4:]) == 0 {
		buf = buf[:len(buf)-4]
	}
	return buf, nil
}

// matchFunctions returns for each function of a the index of the function of the same name in b:
// the nth with the nth. It returns -1 where there is none.
func matchFunctions(a, b []function) []int32 {
	// Sorted indexes take less memory than a map of all names.
	byKey := func(list []function) []int32 {
		order := make([]int32, len(list))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortFunc(order, func(x, y int32) int {
			return cmp.Or(cmp.Compare(list[x].key, list[y].key), cmp.Compare(x, y))
		})
		return order
	}

	pairs := make([]int32, len(a))
	orderA, orderB := byKey(a), byKey(b)
	j := 0
	for _, i := range orderA {
		for j < len(orderB) && b[orderB[j]].key < a[i].key {
			j++
		}
		pairs[i] = -1
		if j < len(orderB) && b[orderB[j]].key == a[i].key {
			pairs[i] = orderB[j]
			j++
		}
	}

	return pairs
}

// listFunctions counts, and reads the names of those that differ.
func (c *Comparison) listFunctions(x *Functions, a, b *loadedProgram, ofB []int32, factsA, factsB *inspect.Facts) {
	modules, main := map[string]string{}, ""

	// Where both know a package, A's module is the one that counts.
	for _, facts := range []*inspect.Facts{factsB, factsA} {
		if facts.Code != nil {
			for _, p := range facts.Code.Packages {
				modules[p.Path] = p.Module
			}
		}
	}

	if factsA.Build != nil {
		main = factsA.Build.Path
	}
	pathOf := func(name string) string {
		path := inspect.PackageOf(name)
		if path == "main" && main != "" {
			path = main
		}
		return path
	}

	packages := map[string]*Package{}
	add := func(name, state string, sizeA, sizeB int64) {
		path := pathOf(name)
		p := packages[path]
		if p == nil {
			if len(packages) == maxPackages {
				x.Partial = true
				return
			}
			p = &Package{Path: cut(path), Module: cut(modules[path])}
			packages[path] = p
		}

		// The linker leaves out of the standard library whatever no one calls.
		if modules[path] == stdModule {
			switch state {
			case "changed":
				if name != path+".init" {
					x.Standard++
				}
			case "resized":
				x.Standard++
			default:
				x.StandardAlone++
			}
		}

		switch state {
		case "changed":
			x.Changed++
			p.Changed++
		case "resized":
			x.Resized++
			p.Resized++
		case "added":
			x.Added++
			p.Added++
		case "removed":
			x.Removed++
			p.Removed++
		}

		p.Bytes += max(0, sizeB) - max(0, sizeA)
		if len(x.List) == maxListed {
			x.More++
			return
		}
		x.List = append(x.List, Function{cut(name), cut(path), state, sizeA, sizeB})
	}

	for i, name := range a.names() {
		f := a.list[i]
		if j := ofB[i]; j >= 0 && f.declared {
			g := b.list[j]
			switch module := modules[pathOf(name)]; {
			case module == stdModule:
				if f.other && f.line > 1 { // wrappers have line 1
					x.StandardOther++
					if len(x.standard) < 4 {
						x.standard = append(x.standard, cut(name))
					}
				}
			case module != "":
				if f.line != g.line && f.line > 0 && g.line > 0 {
					x.OwnLines++
				}
				if f.other && !f.inlines && !g.inlines && f.line > 1 { // wrappers have line 1
					x.Own++
				}
			}
		}

		switch f.state {
		case stateSame:
			x.Same++
		case stateMoved:
			x.Moved++
		case stateChanged, stateResized:
			add(name, map[state]string{stateChanged: "changed", stateResized: "resized"}[f.state], int64(f.size), int64(b.list[ofB[i]].size))
		case stateNone:
			if ofB[i] < 0 {
				add(name, "removed", int64(f.size), -1)
			}
		}
	}

	taken := make([]bool, len(b.list))
	for _, j := range ofB {
		if j >= 0 {
			taken[j] = true
		}
	}

	// What no function of A was matched with is new.
	for j, name := range b.names() {
		if !taken[j] {
			add(name, "added", -1, int64(b.list[j].size))
		}
	}

	for _, p := range packages {
		x.Packages = append(x.Packages, *p)
	}

	// Packages with the most differences come first, as the list is cut.
	total := func(p Package) int { return p.Changed + p.Resized + p.Added + p.Removed }
	slices.SortFunc(x.Packages, func(p, q Package) int {
		return cmp.Or(cmp.Compare(total(q), total(p)), cmp.Compare(p.Path, q.Path))
	})
	x.Packages = x.Packages[:min(len(x.Packages), maxListed)]
}

// names iterates over the functions again, for their names. It ends early if the file has changed.
func (m *loadedProgram) names() func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		i := 0
		for f, err := range m.bin.Functions() {
			if err != nil || i == len(m.list) {
				return
			}
			if m.list[i].start != f.Start || m.list[i].key != nameKey(f.Name) {
				continue
			}
			if !yield(i, f.Name) {
				return
			}
			i++
		}
	}
}

// markShifted marks the sections that differ only in references to what moved. Code is such a
// section if all its functions are the same. Data of the same size is such a section if all words
// that differ are addresses of the same thing, or distances of the same thing from the start of the
// code.
func (p *binaryPair) markShifted(a, b *loadedProgram) {
	f := p.diff.Functions
	code := f.Changed+f.Resized+f.Added+f.Removed == 0
	budget := 2 * (p.a.size + p.b.size) // sections may overlap

	for i := range p.diff.Sections {
		s := &p.diff.Sections[i]
		if s.State != "changed" || s.SizeA != s.SizeB {
			continue
		}

		switch s.Name {
		case ".text", "__TEXT,__text", "(code)":
			// The Go build ID of some formats is at the start of the code.
			if code && (a.bin.Format == inspect.ELF || p.sameBuildID()) {
				s.State = "shifted"
			}
			continue
		}
		if budget -= s.SizeA + s.SizeB; budget < 0 || !a.located || !b.located {
			return
		}
		if p.sameWords(a, b, s) {
			s.State = "shifted"
		}
	}
}

func (p *binaryPair) sameBuildID() bool {
	return p.factsA.BuildID != nil && p.factsB.BuildID != nil && p.factsA.BuildID.ID == p.factsB.BuildID.ID || p.factsA.BuildID == nil && p.factsB.BuildID == nil
}

// sameWords reports whether all words of two sections that differ refer to the
// same thing.
func (p *binaryPair) sameWords(a, b *loadedProgram, s *Section) bool {
	code := &codePair{a: a, b: b}
	pointer := p.factsA.Bits / 8
	if pointer != p.factsB.Bits/8 || pointer != 4 && pointer != 8 || a.order != b.order {
		return false
	}
	bufA, bufB := make([]byte, min(bufferSize, s.SizeA)), make([]byte, min(bufferSize, s.SizeA))

	for at := int64(0); at < s.SizeA; at += bufferSize {
		pa, pb := bufA[:min(bufferSize, s.SizeA-at)], bufB[:min(bufferSize, s.SizeA-at)]
		if n, _ := p.a.ReadAt(pa, s.OffsetA+at); n < len(pa) {
			return false
		}
		if n, _ := p.b.ReadAt(pb, s.OffsetB+at); n < len(pb) {
			return false
		}

		for len(pa) > 0 {
			n := min(pointer, len(pa))
			if !bytes.Equal(pa[:n], pb[:n]) && (n < pointer || !code.sameWord(pa[:n], pb[:n])) {
				return false
			}
			pa, pb = pa[n:], pb[n:]
		}
	}
	return true
}

// sameWord reports whether two words of a pointer's size refer to the same thing.
func (p *codePair) sameWord(a, b []byte) bool {
	oa, ob := p.a.order, p.b.order
	if len(a) == 8 && p.sameTarget(oa.Uint64(a), ob.Uint64(b)) {
		return true
	}

	// Two halves of a word may be one reference each.
	for ; len(a) >= 4; a, b = a[4:], b[4:] {
		va, vb := uint64(oa.Uint32(a)), uint64(ob.Uint32(b))
		if va == vb {
			continue
		}
		// Offsets from the start of the code are those of functions.
		ta, okA := p.a.resolve(p.a.text + va)
		tb, okB := p.b.resolve(p.b.text + vb)
		if !(okA && okB && ta == tb && ta.function) && (len(a) == 8 || !p.sameTarget(va, vb)) {
			return false
		}
	}

	return true
}
