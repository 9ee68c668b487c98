package explain

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// StringDifference is a text that one file has more often than the other, with its counterpart in
// the other if there is one.
type StringDifference struct {
	// Kind is "path", "time", "user", "variable", "text" or "hint".
	Kind string `json:"kind"`
	// Name is the name of a hint, or that of a variable, if it is known.
	Name string `json:"name,omitempty"`
	A    string `json:"a"`
	B    string `json:"b"`
	// Section is the section of A (of B, if A has none such) that it is in.
	Section string `json:"section,omitempty"`
}

// Kinds of strings.
const (
	KindPath = "path" // looks like a path of the machine
	KindTime = "time" // looks like a date or a time
	KindUser = "user" // looks like user@host
	// KindVariable is the value of -X.
	KindVariable = "variable"
	// KindText is a text of data, with a few characters around it, that only one of
	// the files has.
	KindText = "text"
	KindHint = "hint"
)

// timePattern matches dates, times of day, and seconds or finer since 1970. The seconds are those
// of 2017 to 2033.
var timePattern = regexp.MustCompile(`(?:19|20)\d\d[-/][01]\d[-/][0-3]\d(?:[T _][0-2]\d:[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?(?:Z|[ ]?[+-][01]\d:?\d\d)?)?` +
	`|[0-2]\d:[0-5]\d:[0-5]\d` +
	`|20\d\d[01]\d[0-3]\d(?:[T_-]?[0-2]\d[0-5]\d[0-5]\d)?` +
	`|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-3]\d (?:20\d\d|[0-2]\d:[0-5]\d(?::[0-5]\d)?(?: [A-Z]+)?(?: 20\d\d)?)` +
	`|1[5-9]\d{8}(?:\d{3}){0,3}`)

var timeHere = regexp.MustCompile("^(?:" + timePattern.String() + ")")

// times returns where timePattern matches, one after the other. The pattern takes a microsecond for
// each byte, so it is only tried where the first characters are those of a time.
func times(run []byte) (found [][2]int) {
	const longest = 128
	for i := 0; i < len(run); {
		if p := run[i:min(len(run), i+longest)]; beginsTime(p) {
			if at := timeHere.FindIndex(p); at != nil {
				found = append(found, [2]int{i, i + at[1]})
				i += at[1]
				continue
			}
		}
		i++
	}
	return found
}

func beginsTime(p []byte) bool {
	if len(p) < 6 || !isDigit(p[0]) {
		return len(p) >= 6 && p[3] == ' ' && bytes.IndexByte([]byte("JFMASOND"), p[0]) >= 0
	}
	return p[0] <= '2' && isDigit(p[1]) && (p[2] == ':' || isDigit(p[2]) && isDigit(p[3]) && (isDigit(p[4]) || p[4] == '-' || p[4] == '/'))
}

// userPattern matches a user and a host of three characters and more, as in an
// address: names of fields are followed by addresses of the program, of which 64
// is a frequent byte. A version follows the @ of a module.
var userPattern = regexp.MustCompile(`[A-Za-z_][\w.-]{1,31}@[A-Za-z][\w-]{2,}(?:\.[\w-]+)*`)

var versionPattern = regexp.MustCompile(`@v\d`)

// isTime reports whether s as a whole looks like a time.
func isTime(s string) bool {
	at := timePattern.FindStringIndex(s)
	return at != nil && at[0] == 0 && at[1] == len(s)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

const (
	maxTokens  = 4096     // of one file
	maxScanned = 64 << 20 // bytes of one file
	maxRun     = 4096     // bytes of a text
	minRun     = 6
)

// token is a time or user, and where it was first.
type token struct {
	kind, text string
}

type found struct {
	count   int
	section string
	order   int
}

// tokenSet collects the times and users in texts.
type tokenSet struct {
	all  map[token]*found
	full bool
}

// textRuns calls f with the texts of the spans: printable ASCII characters, at least six in a row.
// Where the strings of a program are known, a text ends where one of them does. It passes at most
// maxRun of them at once. It reports whether it saw all.
func textRuns(in input, spans []span, known *goStrings, f func(run []byte, section string)) (all bool, err error) {
	left := int64(maxScanned)
	all = true
	buf := make([]byte, 64<<10)

	for _, sp := range spans {
		n := min(sp.size, left)
		left -= n
		all = all && n == sp.size
		var run []byte
		flush := func(end int64) {
			start := end - int64(len(run))
			for _, at := range append(known.ends(start, end), end) {
				n := at - start
				if n >= minRun {
					f(run[:n], sp.name)
				}
				run, start = run[n:], at
			}
			run = run[:0]
		}

		for at := int64(0); at < n; {
			p := buf[:min(int64(len(buf)), n-at)]
			if k, err := in.ReadAt(p, sp.offset+at); k < len(p) {
				return false, fmt.Errorf("read strings: %w", err)
			}
			for i, c := range p {
				end := sp.offset + at + int64(i)
				if printable(c) {
					run = append(run, c)
					end++
				}
				if !printable(c) || len(run) == maxRun {
					flush(end)
				}
			}
			at += int64(len(p))
		}

		// A text does not go on in the next span.
		flush(sp.offset + n)
	}
	return all, nil
}

func printable(c byte) bool { return ' ' <= c && c <= '~' }

// text collects the times and users in one text.
func (s *tokenSet) text(run []byte, section string) {
	if bytes.ContainsAny(run, "0123456789") {
		for _, at := range times(run) {
			from, to := at[0], at[1]
			// A part of a longer number is no time.
			if from > 0 && isDigit(run[from-1]) && isDigit(run[from]) || to < len(run) && isDigit(run[to]) {
				continue
			}
			s.add(token{KindTime, string(run[from:to])}, section)
		}
	}

	if bytes.IndexByte(run, '@') >= 0 {
		for _, m := range userPattern.FindAll(run, -1) {
			if !versionPattern.Match(m) {
				s.add(token{KindUser, string(m)}, section)
			}
		}
	}
}

func (s *tokenSet) add(t token, section string) {
	f, ok := s.all[t]
	switch {
	case ok:
		f.count++
	case len(s.all) >= maxTokens:
		s.full = true
	default:
		s.all[t] = &found{1, section, len(s.all)}
	}
}

// minus returns the tokens of one kind that s has and o does not, in the order in which they were
// found. If more is set, it returns those instead that both have, and s more often.
func (s *tokenSet) minus(o *tokenSet, kind string, more bool) []string {
	var list []string
	for t, f := range s.all {
		if g := o.all[t]; t.kind == kind && (g != nil) == more && (g == nil || g.count < f.count) {
			list = append(list, t.text)
		}
	}
	slices.SortFunc(list, func(x, y string) int {
		return cmp.Compare(s.all[token{kind, x}].order, s.all[token{kind, y}].order)
	})
	return list
}

// textSource is where texts of a file are looked for.
type textSource struct {
	in    input
	bin   *inspect.Binary // nil if it is no program
	order binary.ByteOrder
	spans []span
	known *goStrings // nil where strings have no ends to go by
	// explained are texts that are compared in another way: the build information, line by line.
	explained []string
}

// compareTokens lists the times and users that only one of the files has.
func (c *Comparison) compareTokens(a, b textSource) {
	sa, sb := &tokenSet{all: map[token]*found{}}, &tokenSet{all: map[token]*found{}}
	allA, errA := textRuns(a.in, a.spans, a.known, sa.text)
	allB, errB := textRuns(b.in, b.spans, b.known, sb.text)
	if err := cmp.Or(errA, errB); err != nil {
		c.note(err)
		return
	}

	if sa.full || sb.full || !allA || !allB {
		c.noteText("not all strings were looked at")
	}

	// Each kind is paired for itself, as a time has no counterpart in a user.
	for _, kind := range []string{KindTime, KindUser} {
		onlyA, onlyB := slices.DeleteFunc(sa.minus(sb, kind, false), containedIn(a.explained)), slices.DeleteFunc(sb.minus(sa, kind, false), containedIn(b.explained))
		moreA, moreB := sa.minus(sb, kind, true), sb.minus(sa, kind, true)
		for _, p := range pairTexts(onlyA, onlyB) {
			// It may stand in the place of a text that both have, and the other more often.
			p[0], p[1] = cmp.Or(p[0], alike(moreA, p[1])), cmp.Or(p[1], alike(moreB, p[0]))
			if !tells(kind, p, a.known, b.known) {
				continue
			}
			d := StringDifference{Kind: kind, A: p[0], B: p[1]}
			if f := sa.all[token{kind, p[0]}]; f != nil {
				d.Section = f.section
			} else if f := sb.all[token{kind, p[1]}]; f != nil {
				d.Section = f.section
			}
			c.addString(d)
		}
	}
}

// tells reports whether a pair of times or users is more than bytes that happen to look like one.
// Where the strings of a program are known, it has to be in one of them, or be two times of one form.
func tells(kind string, p [2]string, a, b *goStrings) bool {
	if a == nil || b == nil || kind == KindTime && shape(p[0]) == shape(p[1]) {
		return true
	}
	return (p[0] == "" || a.holdsString(p[0])) && (p[1] == "" || b.holdsString(p[1]))
}

// alike returns the first text of a list that has the shape of another one, or nothing.
func alike(list []string, text string) string {
	if i := slices.IndexFunc(list, func(s string) bool { return shape(s) == shape(text) }); i >= 0 {
		return list[i]
	}
	return ""
}

// containedIn returns a function that reports whether a text is part of one of a
// list.
func containedIn(list []string) func(string) bool {
	return func(s string) bool {
		return slices.ContainsFunc(list, func(k string) bool { return strings.Contains(k, s) })
	}
}

// chunks cuts a text where its last four characters say so, every eighth on average. So the same
// text is cut at the same places wherever it stands. Go stores strings one after the other, so they
// have no ends to go by.
func chunks(run []byte, f func(chunk []byte)) {
	start := 0
	for i := range run {
		if i+1 == len(run) || i >= 3 && binary.LittleEndian.Uint32(run[i-3:])*2654435761>>29 == 0 {
			f(run[start : i+1])
			start = i + 1
		}
	}
}

func chunkHash(chunk []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(chunk)
	return h.Sum64()
}

const maxChunks = 2 << 20

// chunkSet returns the hashes of the chunks of all texts, sorted.
func chunkSet(in input, spans []span) ([]uint64, error) {
	var set []uint64
	_, err := textRuns(in, spans, nil, func(run []byte, _ string) {
		chunks(run, func(p []byte) {
			if len(set) < maxChunks {
				set = append(set, chunkHash(p))
			}
		})
	})
	slices.Sort(set)
	return slices.Compact(set), err
}

// onlyTexts returns the texts that have no chunk of the set, with their section.
func onlyTexts(in input, spans []span, set []uint64, explained func(string) bool) (texts []string, sections map[string]string) {
	sections = map[string]string{}
	_, _ = textRuns(in, spans, nil, func(run []byte, section string) { // an error was reported by chunkSet
		var text, before []byte // before is the chunk before text, which both have
		flush := func(after []byte) {
			if s := string(text); len(text) > 0 && !explained(s) {
				s = string(before[wordStart(before):]) + s + string(after[:wordEnd(after)])
				if _, seen := sections[s]; !seen && len(s) >= minRun && len(texts) < 64 {
					texts = append(texts, s)
					sections[s] = section
				}
			}
			text, before = text[:0], after
		}

		// A text grows over chunks that the other file lacks, and ends at one that both have.
		chunks(run, func(p []byte) {
			if _, ok := slices.BinarySearch(set, chunkHash(p)); ok {
				flush(p)
			} else {
				text = append(text, p...)
			}
		})

		flush(nil)
	})
	return texts, sections
}

// wordStart returns where the word that p ends with begins, and wordEnd where
// the one that it begins with ends: at most 16 bytes.
func wordStart(p []byte) int {
	i := len(p)
	for i > 0 && len(p)-i < 16 && isWord(p[i-1]) {
		i--
	}
	return i
}

func wordEnd(p []byte) int {
	i := 0
	for i < len(p) && i < 16 && isWord(p[i]) {
		i++
	}
	return i
}

func isWord(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || isDigit(c) || c == '_' || c == '-' || c == '.'
}

// compareDataTexts lists the texts of data that only one of the files has.
func (c *Comparison) compareDataTexts(a, b textSource) {
	if a.known != nil && b.known != nil {
		c.compareGoStrings(a, b)
		return
	}

	setA, errA := chunkSet(a.in, a.spans)
	setB, errB := chunkSet(b.in, b.spans)
	if err := cmp.Or(errA, errB); err != nil {
		c.note(err)
		return
	}
	onlyA, inA := onlyTexts(a.in, a.spans, setB, containedIn(a.explained))
	onlyB, inB := onlyTexts(b.in, b.spans, setA, containedIn(b.explained))
	for _, p := range pairTexts(onlyA, onlyB) {
		c.addString(StringDifference{Kind: KindText, A: p[0], B: p[1], Section: cmp.Or(inA[p[0]], inB[p[1]])})
	}
}

// compareGoStrings lists the strings that only one of the programs has: first the variables that have
// names, each with its value in the other, and then what is left.
func (c *Comparison) compareGoStrings(a, b textSource) {
	onlyA, allA := a.known.only(b.known, containedIn(a.explained))
	onlyB, allB := b.known.only(a.known, containedIn(b.explained))
	if !allA || !allB || !a.known.all || !b.known.all {
		c.noteText("not all strings were looked at")
	}
	if err := cmp.Or(nameVariables(a, onlyA), nameVariables(b, onlyB)); err != nil {
		c.note(err)
	}

	byName := map[string]*StringDifference{}
	var named []*StringDifference
	sections := map[string]string{}
	var rest [2][]string
	for side, list := range [][]dataText{onlyA, onlyB} {
		for _, x := range list {
			if x.name == "" {
				rest[side] = append(rest[side], x.text)
				sections[x.text] = x.section
				continue
			}
			d := byName[x.name]
			if d == nil {
				d = &StringDifference{Kind: KindText, Name: x.name, Section: x.section}
				byName[x.name] = d
				named = append(named, d)
			}
			*[]*string{&d.A, &d.B}[side] = x.text
		}
	}

	// The value of the other may be a text that both files have somewhere.
	missing := map[string]bool{}
	for _, d := range named {
		if d.A == "" || d.B == "" {
			missing[d.Name] = true
		}
	}
	valuesA, errA := valuesOf(a, missing)
	valuesB, errB := valuesOf(b, missing)
	if err := cmp.Or(errA, errB); err != nil {
		c.note(err)
	}
	for _, d := range named {
		d.A, d.B = cmp.Or(d.A, valuesA[d.Name]), cmp.Or(d.B, valuesB[d.Name])
		c.addString(*d)
	}
	for _, p := range pairTexts(rest[0], rest[1]) {
		c.addString(StringDifference{Kind: KindText, A: p[0], B: p[1], Section: cmp.Or(sections[p[0]], sections[p[1]])})
	}
}

func (c *Comparison) addString(d StringDifference) {
	d.A, d.B = cutPair(d.A, d.B)
	if !slices.Contains(c.Strings, d) && len(c.Strings) < maxListed {
		c.Strings = append(c.Strings, d)
	}
}

// pairTexts pairs texts of the same shape, then the others as they come. A text that is
// left over stands alone.
func pairTexts(a, b []string) [][2]string {
	a, b = a[:min(len(a), maxListed)], slices.Clone(b[:min(len(b), maxListed)])
	var pairs [][2]string
	var rest []string
	for _, s := range a {
		i := slices.IndexFunc(b, func(o string) bool { return shape(o) == shape(s) })
		if i < 0 {
			rest = append(rest, s)
			continue
		}
		pairs = append(pairs, [2]string{s, b[i]})
		b = slices.Delete(b, i, i+1)
	}

	// Texts without a counterpart of their shape are still shown side by side.
	for i := range max(len(rest), len(b)) {
		var p [2]string
		if i < len(rest) {
			p[0] = rest[i]
		}
		if i < len(b) {
			p[1] = b[i]
		}
		pairs = append(pairs, p)
	}

	return pairs
}

// shape returns a text with every digit replaced by 0.
func shape(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return '0'
		}
		return r
	}, s)
}

// bestText returns the most telling text: a long one made of words. The name of a type
// says little, since it is followed by an address, and so differs whenever that moves.
func (c *Comparison) bestText() (best StringDifference, ok bool) {
	most := -1
	for _, d := range c.Strings {
		if d.Kind != KindText {
			continue
		}
		score := 2 * min(len(d.A)+len(d.B), 80)
		if d.Name != "" {
			score += 400
		}
		if strings.ContainsAny(d.A+d.B, "`@^~|{}\\") {
			score /= 3
		}
		if score > most {
			best, most, ok = d, score, true
		}
	}
	return best, ok
}

// stampCauses adds causes for the strings that were found. They are only possible where
// something else makes nearly all strings differ.
func (c *Comparison) stampCauses(others bool) {
	for _, s := range c.Strings {
		var evidence []string
		if s.Section != "" {
			evidence = []string{"in section " + cut(s.Section)}
		}

		sure := Likely
		if s.A == "" || s.B == "" || others {
			sure = Possible
		}

		switch s.Kind {
		case KindTime:
			// Many things of a program look like times. Two that are alike, and
			// differ, are no chance.
			if shape(s.A) != shape(s.B) {
				sure = Possible
			}
			c.addCause(causeTimeStamp, sure, Cause{Text: "a time is in the file", A: s.A, B: s.B, Evidence: evidence})
		case KindUser:
			c.addCause(causeUserOrHost, sure, Cause{Text: "what looks like a user at a host is in the file", A: s.A, B: s.B, Evidence: evidence})
		case KindPath:
			c.addCause(causeHostPath, sure, Cause{Text: "a path of the machine is in the file", A: s.A, B: s.B, Evidence: evidence})
		}
	}
}
