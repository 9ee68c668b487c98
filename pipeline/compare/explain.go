package compare

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/inspect"
)

// Explanation says where and how two files differ. All text that was taken from
// the files is escaped as in a Go string literal of ASCII characters, without
// the quotes, and cut to a bounded length.
type Explanation struct {
	// Offset is where the first difference is, in bytes from the start: the size
	// of the shorter file if it is the beginning of the other, and -1 if the
	// files could not be read.
	Offset int64 `json:"offset"`
	// Differing is the number of offsets at which the files differ, of which
	// those that only the longer file has are a part. An insertion early in a
	// file makes nearly all of the rest differ.
	Differing int64 `json:"differing"`
	// Section is the section that Offset lies in, in A's layout or, behind A's
	// end, in B's; empty if in none or if there are no sections.
	Section string `json:"section,omitempty"`
	// A and B are the text around Offset.
	A string `json:"a"`
	B string `json:"b"`
	// Sections are the sections that differ, in A's order and then those that
	// only B has. They are matched by name.
	Sections []SectionDifference `json:"sections,omitempty"`
	// BuildInfo are the differences in the Go build information.
	BuildInfo []LineDifference `json:"buildInfo,omitempty"`
	// Causes are likely causes: what was found in the differing text, and not a
	// proof.
	Causes []Cause `json:"causes,omitempty"`
	// Notes say what could not be explained, and why.
	Notes []string `json:"notes,omitempty"`
}

// SectionDifference is a section that differs.
type SectionDifference struct {
	Name string `json:"name"`
	// SizeA and SizeB are the sizes in bytes, -1 in the file that lacks it.
	SizeA int64 `json:"sizeA"`
	SizeB int64 `json:"sizeB"`
	// Offset is that of the first difference, from the start of the section, -1
	// if one file lacks the section.
	Offset int64 `json:"offset"`
	// A and B are the text around it.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
}

// LineDifference is a line of build information that differs, as "go version
// -m" prints it. One of the two is empty if the line is in one file only.
type LineDifference struct {
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
}

// Cause is a likely cause of a difference.
type Cause struct {
	// Name is the name of the hint whose values were found, or "a time".
	Name string `json:"name"`
	// A and B are the text around the first place where it was found.
	A string `json:"a"`
	B string `json:"b"`
	// Section is the section of A that the place is in, empty if there is none.
	Section string `json:"section,omitempty"`
	// Note adds what else is evident: "-trimpath is off".
	Note string `json:"note,omitempty"`
}

const (
	maxHints    = 32
	maxSections = 64  // that are listed
	maxLines    = 64  // of build information that are listed
	maxText     = 300 // bytes of a line before it is escaped
	textBefore  = 80  // bytes before a difference that are shown
	textAfter   = 160
	textLeast   = 4  // fewer characters in a row are taken for chance
	textRaw     = 16 // bytes that are shown where there is no text
)

func explain(artA, artB artifact.Artifact, open func(artifact.Digest) (*os.File, error), hints []Hint) (*Explanation, error) {
	a, err := openInput(artA, open)
	if err != nil {
		return nil, err
	}
	defer a.f.Close()
	b, err := openInput(artB, open)
	if err != nil {
		return nil, err
	}
	defer b.f.Close()

	var words [][]byte
	hints = slices.DeleteFunc(slices.Clone(hints), func(h Hint) bool {
		return h.A == h.B || min(len(h.A), len(h.B)) < 3 || max(len(h.A), len(h.B)) > 4096
	})
	hints = hints[:min(len(hints), maxHints)]
	for _, h := range hints {
		words = append(words, []byte(h.A), []byte(h.B))
	}
	s, err := scanBoth(a, b, words)
	if err != nil {
		return nil, err
	}
	if s.offset < 0 {
		// Two digests for the same bytes; scanBoth would have noticed.
		return nil, fmt.Errorf("%w: %s and %s are equal", errStore, a.Digest, b.Digest)
	}

	e := &Explanation{Offset: s.offset, Differing: s.differing}
	textA, textB := textAt(a, s.offset), textAt(b, s.offset)
	e.A, e.B = textA.String(), textB.String()
	places := []place{{"", textA, textB}}

	binA, errA := inspect.Open(a.f, a.Size)
	binB, errB := inspect.Open(b.f, b.Size)
	switch {
	case errA == nil && errB == nil:
		places = append(e.sections(a, b, binA, binB), places...)
	case errors.Is(errA, inspect.ErrFormat) && errors.Is(errB, inspect.ErrFormat):
	default:
		e.Notes = append(e.Notes, "no sections: "+escape(cmp.Or(errA, errB).Error()))
	}
	trimmed := e.buildInfo(binA, binB)
	for _, f := range found(hints, s) {
		c := Cause{Name: f.Name, A: textAt(a, f.atA).String(), B: textAt(b, f.atB).String(), Section: sectionAt(binA, f.atA)}
		if !trimmed && isPath(f.A) {
			c.Note = "-trimpath is off"
		}
		e.Causes = append(e.Causes, c)
	}
	e.times(places)
	return e, nil
}

// sectionAt names the section of b, which may be nil, that offset lies in.
func sectionAt(b *inspect.Binary, offset int64) string {
	if b == nil {
		return ""
	}
	s, _ := b.SectionAt(offset)
	return escape(s.Name)
}

// place is where two sections, or two files, begin to differ.
type place struct {
	section string
	a, b    text
}

// sections fills in what differs by section and returns the places.
func (e *Explanation) sections(a, b input, binA, binB *inspect.Binary) []place {
	e.Section = sectionAt(binA, e.Offset)
	if e.Offset >= a.Size {
		e.Section = sectionAt(binB, e.Offset)
	}
	var places []place
	unlisted := 0
	add := func(d SectionDifference) {
		if len(e.Sections) == maxSections {
			unlisted++
			return
		}
		e.Sections = append(e.Sections, d)
	}
	defer func() {
		if unlisted > 0 {
			e.Notes = append(e.Notes, fmt.Sprintf("%d more sections differ", unlisted))
		}
	}()
	// The nth section of a name belongs to the nth of that name.
	inB := map[string][]inspect.Section{}
	for _, s := range binB.Sections {
		inB[s.Name] = append(inB[s.Name], s)
	}
	// Sections overlap by a factor of two in an honest file. A dishonest one may
	// state its whole length thousands of times.
	budget := 4 * (a.Size + b.Size)
	cut := false
	for _, sa := range binA.Sections {
		same := inB[sa.Name]
		if len(same) == 0 {
			add(SectionDifference{Name: escape(sa.Name), SizeA: sa.Size, SizeB: -1, Offset: -1})
			continue
		}
		sb := same[0]
		inB[sa.Name] = same[1:]
		if budget -= sa.Size + sb.Size; budget < 0 {
			cut = true
			break
		}
		at, err := firstDifference(a.f, b.f, sa, sb)
		if err != nil {
			e.Notes = append(e.Notes, fmt.Sprintf("section %s: %s", escape(sa.Name), escape(err.Error())))
			continue
		}
		if at < 0 {
			continue
		}
		ta, tb := textAt(a, sa.Offset+at), textAt(b, sb.Offset+at)
		if len(places) < maxSections {
			places = append(places, place{escape(sa.Name), ta, tb})
		}
		add(SectionDifference{Name: escape(sa.Name), SizeA: sa.Size, SizeB: sb.Size, Offset: at, A: ta.String(), B: tb.String()})
	}
	if cut {
		e.Notes = append(e.Notes, "sections overlap too often, some were not compared")
		return places
	}
	for _, sb := range binB.Sections {
		if rest := inB[sb.Name]; len(rest) > 0 && rest[0] == sb {
			inB[sb.Name] = rest[1:]
			add(SectionDifference{Name: escape(sb.Name), SizeA: -1, SizeB: sb.Size, Offset: -1})
		}
	}
	return places
}

// firstDifference returns where two sections begin to differ, or -1.
func firstDifference(a, b io.ReaderAt, sa, sb inspect.Section) (int64, error) {
	ra, rb := io.NewSectionReader(a, sa.Offset, sa.Size), io.NewSectionReader(b, sb.Offset, sb.Size)
	size := min(bufferSize, max(sa.Size, sb.Size))
	bufA, bufB := make([]byte, size), make([]byte, size)
	for at := int64(0); ; {
		pa, err := fill(ra, bufA)
		if err != nil {
			return 0, err
		}
		pb, err := fill(rb, bufB)
		if err != nil {
			return 0, err
		}
		if first, n := differ(pa, pb); n > 0 {
			return at + int64(first), nil
		}
		if len(pa) == 0 {
			return -1, nil
		}
		at += int64(len(pa))
	}
}

// buildInfo fills in the differences of the build information and tells whether
// both binaries were built with -trimpath. It is silent about files that have
// none.
func (e *Explanation) buildInfo(a, b *inspect.Binary) (trimmed bool) {
	if a == nil || b == nil {
		return true
	}
	infoA, errA := a.BuildInfo()
	infoB, errB := b.BuildInfo()
	for _, err := range []error{errA, errB} {
		if err != nil && !errors.Is(err, inspect.ErrNoBuildInfo) {
			e.Notes = append(e.Notes, escape(err.Error()))
		}
	}
	if errA != nil && errB != nil {
		return true
	}
	linesA, linesB := lines(infoA), lines(infoB)
	inA, inB := byKey(linesA), byKey(linesB)
	add := func(a, b string) {
		if len(e.BuildInfo) < maxLines {
			e.BuildInfo = append(e.BuildInfo, LineDifference{escape(a), escape(b)})
		}
	}
	for _, l := range linesA {
		if other := inB[key(l)]; other != l {
			add(l, other)
		}
	}
	for _, l := range linesB {
		if _, ok := inA[key(l)]; !ok {
			add("", l)
		}
	}
	const flag = "build\t-trimpath=true"
	return inA[key(flag)] == flag && inB[key(flag)] == flag
}

func lines(info inspect.BuildInfo) []string {
	var l []string
	if info.GoVersion != "" {
		l = append(l, "go\t"+info.GoVersion)
	}
	return append(l, info.Lines...)
}

// key is the part of a line that two builds have in common if they differ in its
// value only: "build\tGOARCH" of "build\tGOARCH=arm64", "dep\tgolang.org/x/sys"
// of one with version and sum.
func key(line string) string {
	kind, rest, _ := strings.Cut(line, "\t")
	switch kind {
	case "build":
		// A key or value with special characters is quoted as in Go.
		name, _, _ := strings.Cut(rest, "=")
		return kind + "\t" + name
	case "dep", "mod":
		name, _, _ := strings.Cut(rest, "\t")
		return kind + "\t" + name
	case "go", "path":
		return kind
	}
	return line
}

func byKey(lines []string) map[string]string {
	m := map[string]string{}
	for _, l := range lines {
		m[key(l)] = l
	}
	return m
}

// finding is a hint that was found, and where it was first.
type finding struct {
	Hint
	inA, inB int // how often more than in the other file
	atA, atB int64
}

// found returns the hints whose values are in the files: A's value more often in
// A than in B, and B's more often in B than in A.
func found(hints []Hint, s scan) []finding {
	var list []finding
	for i, h := range hints {
		a, b := 2*i, 2*i+1
		aInA, bInA := s.a.count[a], s.a.count[b]
		aInB, bInB := s.b.count[a], s.b.count[b]
		// "/w/a" is in "/w/ab" as well, without meaning to be.
		aInA -= bInA * strings.Count(h.B, h.A)
		aInB -= bInB * strings.Count(h.B, h.A)
		bInA -= aInA * strings.Count(h.A, h.B)
		bInB -= aInB * strings.Count(h.A, h.B)
		if aInA > aInB && bInB > bInA {
			list = append(list, finding{h, aInA - aInB, bInB - bInA, s.a.first[a], s.b.first[b]})
		}
	}
	var causes []finding
	for i, f := range list {
		// The home folder /w/1 is in the source path /w/1/src. It is a cause of
		// its own only if it is there more often.
		within := slices.ContainsFunc(list, func(o finding) bool {
			return len(o.A) > len(f.A) && strings.Contains(o.A, f.A) && strings.Contains(o.B, f.B) && o.inA == f.inA && o.inB == f.inB
		})
		again := slices.ContainsFunc(list[:i], func(o finding) bool { return o.Hint == f.Hint })
		if !within && !again {
			causes = append(causes, f)
		}
	}
	return causes
}

// isPath tells whether s is an absolute path of Unix or Windows.
func isPath(s string) bool {
	return path.IsAbs(s) || len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/')
}

// timePattern matches dates, times of day, and seconds or finer since 1970, from
// 2017 to 2033.
var timePattern = regexp.MustCompile(`(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T _][0-2]\d:[0-5]\d(?::[0-5]\d)?)?` +
	`|[0-2]\d:[0-5]\d:[0-5]\d` +
	`|20\d\d[01]\d[0-3]\d(?:[T_-]?[0-2]\d[0-5]\d[0-5]\d)?` +
	`|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-3]\d (?:20\d\d|[0-2]\d:[0-5]\d)` +
	`|1[5-9]\d{8}(?:\d{3}){0,3}`)

// times adds a cause if a difference lies within a time on both sides.
func (e *Explanation) times(places []place) {
	for _, p := range places {
		a, okA := p.a.match(timePattern)
		b, okB := p.b.match(timePattern)
		if okA && okB && a != b {
			e.Causes = append(e.Causes, Cause{Name: "a time", A: escape(a), B: escape(b), Section: p.section})
			return
		}
	}
}

// text is what stands around an offset.
type text struct {
	b  []byte
	at int // the offset's index in b; len(b) at the end of a file
}

// textAt returns the printable characters around offset, or some raw bytes if
// there are none.
func textAt(in input, offset int64) text {
	start := max(0, offset-textBefore)
	buf := make([]byte, textBefore+textAfter)
	n, _ := in.f.ReadAt(buf, start) // what can be read is shown
	at := min(int(offset-start), n)
	from, to := at, at
	for from > 0 && printable(buf[from-1]) {
		from--
	}
	for to < min(n, at+textAfter) && printable(buf[to]) {
		to++
	}
	if to-from < textLeast {
		from, to = at, min(n, at+textRaw)
	}
	return text{buf[from:to], at - from}
}

func printable(c byte) bool { return ' ' <= c && c <= '~' }

func (t text) String() string { return escape(string(t.b)) }

// match returns the match of re that the offset lies in.
func (t text) match(re *regexp.Regexp) (string, bool) {
	for _, m := range re.FindAllIndex(t.b, -1) {
		if m[0] <= t.at && t.at < m[1] {
			return string(t.b[m[0]:m[1]]), true
		}
	}
	return "", false
}

// escape makes s safe to show, whatever it contains.
func escape(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	q := strconv.QuoteToASCII(s)
	return q[1 : len(q)-1]
}

// String returns the explanation as lines for a person, without a final newline.
func (e *Explanation) String() string {
	var b bytes.Buffer
	if e.Offset >= 0 {
		fmt.Fprintf(&b, "first difference at offset %d (0x%x)", e.Offset, e.Offset)
		if e.Section != "" {
			fmt.Fprintf(&b, ", in %s", e.Section)
		}
		fmt.Fprintf(&b, "; %d bytes differ\n  A: %s\n  B: %s\n", e.Differing, e.A, e.B)
	}
	for _, c := range e.Causes {
		fmt.Fprintf(&b, "likely cause: %s", c.Name)
		if c.Note != "" {
			fmt.Fprintf(&b, " (%s)", c.Note)
		}
		if c.Section != "" {
			fmt.Fprintf(&b, ", in %s", c.Section)
		}
		fmt.Fprintf(&b, "\n  A: %s\n  B: %s\n", c.A, c.B)
	}
	for _, l := range e.BuildInfo {
		fmt.Fprintf(&b, "build info differs\n  A: %s\n  B: %s\n", cmp.Or(l.A, "(none)"), cmp.Or(l.B, "(none)"))
	}
	for _, s := range e.Sections {
		switch {
		case s.SizeA < 0:
			fmt.Fprintf(&b, "section %s is in B only (%d bytes)\n", s.Name, s.SizeB)
		case s.SizeB < 0:
			fmt.Fprintf(&b, "section %s is in A only (%d bytes)\n", s.Name, s.SizeA)
		default:
			fmt.Fprintf(&b, "section %s differs from its byte %d (sizes %d and %d)\n  A: %s\n  B: %s\n", s.Name, s.Offset, s.SizeA, s.SizeB, s.A, s.B)
		}
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
