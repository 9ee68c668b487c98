package explain

import (
	"bytes"
	"cmp"
	"slices"
)

// mapParts is the number of parts that the longer of two files is cut into for a map. A part with
// any difference is shown as if all of it differed, so that a single byte can be seen.
const mapParts = 512

// level says how much a part of a file differs. The higher one counts where
// several meet.
type level uint8

const (
	levelNone level = iota // there is no such part
	levelEqual
	levelMoved
	levelShifted
	levelChanged
	levelOnly
)

// levelNames are also the classes of the style sheet.
var levelNames = [...]string{levelNone: "gap", levelEqual: "equal", levelMoved: "moved", levelShifted: "shifted", levelChanged: "changed", levelOnly: "only"}

// mapPart is a part of a file in a map.
type mapPart struct {
	level level
	// section is the index in the section names of the map. It is the section that has most of the
	// part, or the section that lies in that one.
	section int
}

// fileMap shows where two files differ, by offset: both sides in parts of the
// same size.
type fileMap struct {
	size  int64 // bytes of a part
	ends  [2]int64
	names []string // of sections, "" for what is in none
	sides [2][]mapPart
}

// newMap returns a map with nothing on it.
func newMap(sizeA, sizeB int64) *fileMap {
	m := &fileMap{size: max(1, (max(sizeA, sizeB)+mapParts-1)/mapParts), ends: [2]int64{sizeA, sizeB}, names: []string{""}}
	for side, n := range m.ends {
		m.sides[side] = make([]mapPart, (n+m.size-1)/m.size)
	}
	return m
}

// eachPart calls f for the parts that a range lies in, with the range that they
// share.
func (m *fileMap) eachPart(side int, from, to int64, f func(c *mapPart, from, to int64)) {
	to = min(to, m.ends[side])
	for at := max(0, from); at < to; {
		i := at / m.size
		end := min(to, (i+1)*m.size)
		f(&m.sides[side][i], at, end)
		at = end
	}
}

// raise says that a range differs so much, at least.
func (m *fileMap) raise(side int, from, to int64, l level) {
	m.eachPart(side, from, to, func(c *mapPart, _, _ int64) { c.level = max(c.level, l) })
}

// plainMap is the map of files without sections, whose bytes are compared at the
// same offsets: differs tells in which of the parts they do, as far as both go.
func plainMap(sizeA, sizeB int64, differs []bool) *fileMap {
	m := newMap(sizeA, sizeB)
	both := min(sizeA, sizeB)
	for side, n := range m.ends {
		m.raise(side, 0, both, levelEqual)
		m.raise(side, both, n, levelOnly)
		for i, d := range differs {
			if from := int64(i) * m.size; d {
				m.raise(side, from, min(from+m.size, both), levelChanged)
			}
		}
	}
	return m
}

// mark sets the parts of a size in which a and b, which begin at an offset,
// differ.
func mark(parts []bool, size, offset int64, a, b []byte) {
	for at := 0; at < max(len(a), len(b)); {
		i := (offset + int64(at)) / size
		end := int((i+1)*size - offset)
		part := func(p []byte) []byte { return p[min(at, len(p)):min(end, len(p))] }
		if !parts[i] {
			parts[i] = !bytes.Equal(part(a), part(b))
		}
		at = end
	}
}

// slots is the number of parts that a section is cut into to say where it differs.
const slots = 256

func slotSize(size int64) int64 { return max(1, (size+slots-1)/slots) }

// piece is a range of a file that one section alone has, or none.
type piece struct {
	from, to int64
	section  int // an index, -1 for none
}

// pieces cuts a file where its sections begin and end, and gives each piece to
// the smallest section that it is in.
func pieces(size int64, sections []span) []piece {
	edges := []int64{0, size}
	for _, s := range sections {
		edges = append(edges, s.offset, s.offset+s.size)
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	edges = slices.DeleteFunc(edges, func(n int64) bool { return n < 0 || n > size })

	owner := make([]int, max(0, len(edges)-1))
	next := make([]int, len(edges)) // the first piece from here that nobody has
	for i := range next {
		next[i] = i
		if i < len(owner) {
			owner[i] = -1
		}
	}

	free := func(i int) int {
		for next[i] != i {
			next[i] = next[next[i]]
			i = next[i]
		}
		return i
	}

	// The smallest sections take their pieces first, and leave the rest to those around them.
	order := make([]int, len(sections))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(sections[x].size, sections[y].size) })

	// A piece that has an owner is passed over, so each is visited once.
	for _, k := range order {
		s := sections[k]
		at, _ := slices.BinarySearch(edges, s.offset)
		for i := free(min(at, len(owner))); i < len(owner) && edges[i] < s.offset+s.size; i = free(i) {
			owner[i], next[i] = k, i+1
		}
	}

	var list []piece
	for i, k := range owner {
		if n := len(list); n > 0 && list[n-1].section == k {
			list[n-1].to = edges[i+1]
			continue
		}
		list = append(list, piece{edges[i], edges[i+1], k})
	}
	return list
}

// fileMap draws the map of two executables. The programs are nil unless their functions were
// compared.
func (p *binaryPair) fileMap(programA, programB *loadedProgram) *fileMap {
	m := newMap(p.a.size, p.b.size)
	for _, s := range p.diff.Sections {
		m.names = append(m.names, s.Name)
	}

	var gaps [2]map[gap]piece
	for side, prog := range []*loadedProgram{programA, programB} {
		// The sections of this side, under their index in the list of both.
		list := make([]span, len(p.diff.Sections))
		for i, s := range p.diff.Sections {
			offset, size := s.at(side)
			list[i] = span{s.Name, offset, max(0, size)}
		}
		parts := pieces(m.ends[side], list)
		code := prog.codeSection(parts)
		covered := m.drawFunctions(side, prog)
		gaps[side] = map[gap]piece{}

		before := gap{}
		for _, q := range parts {
			if q.section < 0 {
				gaps[side][before] = q
				continue
			}
			before = gap{section: q.section + 1}
			if s := list[q.section]; q.to < s.offset+s.size {
				before.offset = q.to - s.offset
			}

			// Functions say what differs in the code section alone.
			known := covered
			if q.section != code {
				known = nil
			}
			m.drawSection(side, q, &p.diff.Sections[q.section], known)
		}
	}

	// Gaps come last, as each is compared with that of the other side.
	p.drawGaps(m, gaps)
	return m
}

// gap names a range without a section by the section before it.
type gap struct {
	section int   // an index, from 1; 0 is the start of the file
	offset  int64 // in the section, 0 for its end
}

// at returns the range of a section in one of the files, -1, -1 for none.
func (s *Section) at(side int) (offset, size int64) {
	if side == 0 {
		return s.OffsetA, s.SizeA
	}
	return s.OffsetB, s.SizeB
}

// drawSection draws a piece of a section. Where at least half of a part are functions, these say
// what differs. covered is nil where there are none.
func (m *fileMap) drawSection(side int, q piece, s *Section, covered []int64) {
	offset, _ := s.at(side)
	size := slotSize(max(s.SizeA, s.SizeB))
	m.eachPart(side, q.from, q.to, func(c *mapPart, from, to int64) {
		if c.section == 0 || to-from > m.size/2 {
			c.section = q.section + 1
		}

		l := levelEqual
		if s.OffsetA != s.OffsetB {
			l = levelMoved
		}

		switch {
		case s.State == "equal" || s.State == "moved":
		case s.State == "shifted":
			l = levelShifted
		case s.State != "changed":
			l = levelOnly
		case covered != nil && covered[from/m.size] >= (to-from)/2:
			l = levelNone
		case s.slots != nil && slices.Contains(s.slots[(from-offset)/size:(to-1-offset)/size+1], true):
			l = levelChanged
		}
		c.level = max(c.level, l)
	})
}

// codeSection returns the section that has the code, -1 if that is not known.
func (m *loadedProgram) codeSection(parts []piece) int {
	if m == nil {
		return -1
	}
	first := slices.IndexFunc(m.list, func(f function) bool { return f.offset >= 0 })
	i := slices.IndexFunc(parts, func(q piece) bool { return first >= 0 && m.list[first].offset < q.to })
	if i < 0 {
		return -1
	}
	return parts[i].section
}

// drawFunctions draws the functions. They differ less than the bytes of their section where
// something before them moved them. It returns how many bytes of each part are functions.
func (m *fileMap) drawFunctions(side int, prog *loadedProgram) []int64 {
	if prog == nil {
		return nil
	}
	covered := make([]int64, len(m.sides[side]))
	budget := 2 * m.ends[side] // functions do not overlap
	for i := range prog.list {
		f := &prog.list[i]
		if budget -= int64(f.size); budget < 0 {
			break
		}

		l := levelEqual
		switch f.state {
		case stateMoved:
			l = levelMoved
		case stateChanged, stateResized:
			l = levelChanged
		case stateNone:
			l = levelOnly
		}

		// A function that is nowhere in the file has no place on the map.
		if f.offset >= 0 {
			m.eachPart(side, f.offset, f.offset+int64(f.size), func(c *mapPart, from, to int64) {
				c.level = max(c.level, l)
				covered[from/m.size] += to - from
			})
		}
	}

	return covered
}

// drawGaps draws the bytes in no section: between sections, or behind the last.
// Those that follow the same place of the same section belong together.
func (p *binaryPair) drawGaps(m *fileMap, of [2]map[gap]piece) {
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for key, a := range of[0] {
		b, ok := of[1][key]
		if !ok {
			b = piece{from: a.from, to: a.from}
		}
		same := levelEqual
		if a.from != b.from {
			same = levelMoved
		}

		both := min(a.to-a.from, b.to-b.from)
		for at := int64(0); at < both; at += int64(len(bufA)) {
			n := min(int64(len(bufA)), both-at)
			l := same
			readA, _ := p.a.ReadAt(bufA[:n], a.from+at) // what cannot be read differs
			readB, _ := p.b.ReadAt(bufB[:n], b.from+at)
			if _, k := compareBytes(bufA[:readA], bufB[:readB]); k > 0 || int64(readA) < n {
				l = levelChanged
			}
			m.raise(0, a.from+at, a.from+at+n, l)
			m.raise(1, b.from+at, b.from+at+n, l)
		}

		// One of the gaps may go on alone.
		p.drawRest(m, 0, a.from+both, a.to, same)
		p.drawRest(m, 1, b.from+both, b.to, same)
	}

	for key, b := range of[1] {
		if _, ok := of[0][key]; !ok {
			p.drawRest(m, 1, b.from, b.to, levelEqual)
		}
	}
}

// drawRest draws the bytes in no section that only one file has. Zeros there are padding.
func (p *binaryPair) drawRest(m *fileMap, side int, from, to int64, padding level) {
	in := [2]input{p.a, p.b}[side]
	buf := make([]byte, min(64<<10, to-from))
	for at := from; at < to; at += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), to-at)]
		l := levelOnly
		if n, _ := in.ReadAt(part, at); n == len(part) && len(bytes.Trim(part, "\x00")) == 0 {
			l = padding
		}
		m.raise(side, at, at+int64(len(part)), l)
	}
}

// stretch is a row of parts that look alike.
type stretch struct {
	from, to int64 // offsets
	level    level
	section  string
}

// stretches joins the parts of one side that have the same level, or that the
// same section has.
func (m *fileMap) stretches(side int, bySection bool) []stretch {
	var list []stretch
	last := -1

	// A page with a rectangle for each part would be too large.
	for i, c := range m.sides[side] {
		from, to := int64(i)*m.size, min(int64(i+1)*m.size, m.ends[side])
		key := int(c.level)
		if bySection {
			key = c.section
		}
		if key == last {
			list[len(list)-1].to = to
			continue
		}
		last = key
		list = append(list, stretch{from, to, c.level, m.names[c.section]})
	}
	return list
}
