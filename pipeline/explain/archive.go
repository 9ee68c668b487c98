package explain

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// Archive holds the differences between two archives.
type Archive struct {
	A ArchiveFacts `json:"a"`
	B ArchiveFacts `json:"b"`
	// Parameters are the differences in the headers of the compressed stream.
	Parameters []Value `json:"parameters,omitempty"`
	// SameContent reports whether the uncompressed content is equal in both, byte by byte.
	SameContent bool `json:"sameContent"`
	// Order is the first place where members that both archives have follow in another order. It
	// holds the names at that place.
	Order *Value `json:"order,omitempty"`
	// Members are the members that differ: first in A's order, then those that only B has.
	// MoreMembers is the number of those that are not listed.
	Members     []Member `json:"members,omitempty"`
	MoreMembers int      `json:"moreMembers,omitempty"`
}

// ArchiveFacts holds the facts of one of the archives.
type ArchiveFacts struct {
	// Members is the number of members. Size is the uncompressed size of the members and their
	// headers. For a zip, it is the size of the members alone.
	Members int   `json:"members"`
	Size    int64 `json:"size"`
}

// Member is a member that differs.
type Member struct {
	Name string `json:"name"`
	// State is "changed", "only in A", "only in B" or, if only attributes differ, "attributes". It
	// is "not read in A" or "not read in B" if that archive cannot be read to its end: the member
	// may follow there.
	State string `json:"state"`
	// Attributes are the attributes that differ: "mtime", "mode".
	Attributes []Value `json:"attributes,omitempty"`
	// Content is nil if the content is equal or was not compared.
	Content *Comparison `json:"content,omitempty"`
}

const (
	maxMembers      = 65536
	maxMemberNames  = 16 << 20 // bytes, with attributes
	maxUncompressed = 4 << 30
	maxDirectory    = 8 << 20 // bytes of a zip's
	maxExplained    = 16      // members
	maxSpooled      = 2 << 30 // bytes of them in one archive, on disk
	maxInMemory     = 16 << 20
	contentName     = "(content)"
)

// differingValues lists the differences between two maps, by name.
func differingValues(a, b map[string]string) []Value {
	names := maps.Clone(a)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, b)
	var list []Value
	for _, name := range slices.Sorted(maps.Keys(names)) {
		va, inA := a[name]
		vb, inB := b[name]
		if va != vb || inA != inB {
			va, vb = cutPair(va, vb)
			list = append(list, Value{name, va, vb, inA, inB})
		}
	}
	return list
}

// explainArchives explains two archives.
func (e *explainer) explainArchives(c *Comparison, a, b input) {
	x := &Archive{}
	c.Archive = x
	inA, sumA, sizeA, errA := listMembers(a, c.A.Kind)
	inB, sumB, sizeB, errB := listMembers(b, c.B.Kind)
	x.A, x.B = ArchiveFacts{len(inA), sizeA}, ArchiveFacts{len(inB), sizeB}

	// A damaged archive may hold the member behind the place where reading ended.
	onlyA, onlyB := "only in A", "only in B"
	if errA != nil {
		c.noteText("A cannot be read to its end, and what it has there is not compared: read archive: " + errA.Error())
		onlyB = "not read in A"
	}
	if errB != nil {
		c.noteText("B cannot be read to its end, and what it has there is not compared: read archive: " + errB.Error())
		onlyA = "not read in B"
	}
	if c.A.Kind != c.B.Kind {
		c.addCause(causeArchiveFormat, Certain, Cause{A: c.A.Kind, B: c.B.Kind})
	} else {
		x.Parameters = differingValues(parameters(a, c.A.Kind), parameters(b, c.B.Kind))
	}

	// The headers of a tar are in the stream, so equal streams have equal members.
	tarred := strings.HasPrefix(c.A.Kind, formatTar) && strings.HasPrefix(c.B.Kind, formatTar)
	x.SameContent = errA == nil && errB == nil && sumA == sumB && (tarred || c.A.Kind == c.B.Kind && c.A.Kind != formatZip)

	// Each member is compared with the one of the same name. The content of some is explained
	// afterwards, in one more walk through each archive.
	pairs := pairMembers(inA, inB)
	explain := map[[2]int]int{} // pairs of members to explain, and their place in x.Members
	spooled := int64(0)
	recompressed := ""
	same := true // all attributes and contents
	add := func(m Member) bool {
		same = false
		if len(x.Members) == maxListed {
			x.MoreMembers++
			return false
		}
		x.Members = append(x.Members, m)
		return true
	}

	partial := errA != nil || errB != nil // what is missing may just not have been read
	for _, p := range pairs {
		switch {
		case p[1] < 0:
			name := inA[p[0]].name
			if add(Member{Name: name, State: onlyA}) && !partial {
				c.addCause(causeArchiveMembers, Certain, Cause{Text: "only A has a member of this name", A: name})
			}
			continue
		case p[0] < 0:
			name := inB[p[1]].name
			if add(Member{Name: name, State: onlyB}) && !partial {
				c.addCause(causeArchiveMembers, Certain, Cause{Text: "only B has a member of this name", B: name})
			}
			continue
		}

		ma, mb := inA[p[0]], inB[p[1]]
		m := Member{Name: ma.name, State: "attributes", Attributes: attributes(ma, mb, c.A.Kind == c.B.Kind || tarred)}
		changed := ma.sum != mb.sum && (ma.sumKnown || mb.sumKnown || ma.raw != mb.raw)
		if changed {
			m.State = "changed"
		} else if ma.raw != mb.raw {
			recompressed = cmp.Or(recompressed, ma.name)
		}

		if !changed && len(m.Attributes) == 0 {
			continue
		}
		if !add(m) {
			continue
		}
		c.attributeCauses(m)

		// Members are kept until all are explained, so each of them and their sum are bounded.
		limit := int64(maxInMemory)
		if e.options.TempDir != "" {
			limit = maxSpooled
		}
		if changed && ma.regular && mb.regular && ma.sumKnown && mb.sumKnown {
			if size := ma.size + mb.size; len(explain) < maxExplained && max(ma.size, mb.size) <= limit && spooled+size <= 2*limit {
				spooled += size
				explain[p] = len(x.Members) - 1
				continue
			}
			c.noteText("not all members that differ are explained")
		}

		switch {
		case changed && ma.regular && mb.regular && !(ma.sumKnown && mb.sumKnown):
			c.addCause(causeContent, Possible, Cause{Text: "the content, as far as it can be read: in one of them it is damaged or cut off", Where: ma.name})
		case changed:
			c.addCause(causeContent, Certain, Cause{Where: ma.name})
		}
	}

	// Where an archive ends early, the order of the rest is not known.
	x.Order = firstReordered(inA, inB, pairs)
	if x.Order != nil && !partial {
		same = false
		nameA, nameB := unlike(x.Order.A, x.Order.B)
		c.addCause(causeArchiveOrder, Certain, Cause{Text: "the members are in another order", A: nameA, B: nameB})
	}

	if err := e.explainMembers(c, a, b, explain); err != nil {
		c.note(err)
		for _, i := range explain {
			c.addCause(causeContent, Certain, Cause{Where: x.Members[i].Name})
		}
	}

	c.streamCauses(same && !partial, recompressed)
}

// streamCauses adds the causes around the members: compression and padding.
func (c *Comparison) streamCauses(same bool, recompressed string) {
	x := c.Archive
	for _, v := range x.Parameters {
		kind := causeCompressor

		// The fields that name the file or the machine are a cause of their own.
		switch v.Name {
		case "gzip name", "gzip comment", "gzip time", "gzip extra", "gzip system":
			kind = causeCompressorHeader
		}
		c.addCause(kind, Certain, Cause{Text: "the header of the compressed stream: " + v.Name, A: v.A, B: v.B})
	}

	switch {
	case c.A.Kind != c.B.Kind:
	case x.SameContent && len(x.Parameters) == 0:
		c.addCause(causeCompressor, Certain, Cause{Text: "the same content was compressed by another program, version or level"})
	case x.SameContent && c.Differing > 64 && !c.caused(causeCompressor):
		c.addCause(causeCompressor, Likely, Cause{Text: "the same content was compressed by another program, version or level"})
	case recompressed != "":
		c.addCause(causeCompressor, Certain, Cause{Text: "the same content was compressed by another program, version or level", Evidence: []string{"member " + recompressed}})
	case same && !x.SameContent && len(c.Causes) == 0:
		c.addCause(causeArchivePadding, Likely, Cause{})
	}
}

// attributeCauses adds a cause for each kind of attribute, once for the archive.
func (c *Comparison) attributeCauses(m Member) {
	for _, v := range m.Attributes {
		kind, text := causeArchiveHeader, "another attribute of members: "+v.Name
		switch v.Name {
		case "type", "link":
			kind, text = causeArchiveType, "a member is of another type or leads elsewhere"
		case "mode":
			kind, text = causeArchiveMode, "the mode of members"
		case "owner":
			kind, text = causeArchiveOwner, "the owner of members"
		case "mtime", "atime", "ctime", "mtime record":
			kind, text = causeArchiveMtime, "the time of members"
		case "method":
			kind, text = causeCompressor, "the method of compression of members"
		}
		if i := slices.IndexFunc(c.Causes, func(o Cause) bool { return o.is(kind) && o.Text == text }); i < 0 {
			c.addCause(kind, Certain, Cause{Text: text, A: v.A, B: v.B, Evidence: []string{"member " + cut(m.Name)}})
		} else if x := &c.Causes[i]; len(x.Evidence) < 4 {
			x.Evidence = append(x.Evidence, "member "+cut(m.Name))
		}
	}
}

// attributes lists the attributes that differ. Archives of two formats have other names
// for them, so only the type is compared then.
func attributes(a, b *member, all bool) []Value {
	byName := func(m *member) map[string]string {
		v := map[string]string{}
		for _, x := range m.attrs {
			if all || x.name == "type" {
				v[x.name] = x.value
			}
		}
		return v
	}
	return differingValues(byName(a), byName(b))
}

// pairMembers returns the indexes of members of the same name in A's order: the nth of a name with
// the nth. The index -1 stands for a member that the other archive does not have.
func pairMembers(a, b []*member) [][2]int {
	places := map[string][]int{}
	for i, m := range b {
		places[m.name] = append(places[m.name], i)
	}

	var pairs [][2]int
	taken := make([]bool, len(b))
	for i, m := range a {
		p := [2]int{i, -1}
		if list := places[m.name]; len(list) > 0 {
			p[1] = list[0]
			places[m.name] = list[1:]
			taken[p[1]] = true
		}
		pairs = append(pairs, p)
	}

	for i := range b {
		if !taken[i] {
			pairs = append(pairs, [2]int{-1, i})
		}
	}
	return pairs
}

// firstReordered finds where members that both archives have follow in another order.
func firstReordered(a, b []*member, pairs [][2]int) *Value {
	var inB []int
	var names []string
	for _, p := range pairs {
		if p[0] >= 0 && p[1] >= 0 {
			inB = append(inB, p[1])
			names = append(names, a[p[0]].name)
		}
	}
	sorted := slices.Sorted(slices.Values(inB))
	for i, at := range sorted {
		if inB[i] != at {
			return &Value{fmt.Sprintf("member %d", i+1), cut(names[i]), cut(b[at].name), true, true}
		}
	}
	return nil
}

// storage holds a member's content.
type storage interface {
	io.Writer
	io.ReaderAt
}

type inMemory struct{ b []byte }

func (m *inMemory) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *inMemory) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, offset)
}

// explainMembers explains some pairs of members. The values of pairs are their indexes in the list
// of members.
func (e *explainer) explainMembers(c *Comparison, a, b input, pairs map[[2]int]int) (err error) {
	if len(pairs) == 0 {
		return nil
	}
	stores := [2]map[int]storage{{}, {}}
	sizes := [2]map[int]int64{{}, {}}
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()

	// The wanted members of each archive are stored in one walk.
	for side, in := range []input{a, b} {
		want := map[int]bool{}
		for p := range pairs {
			want[p[side]] = true
		}

		format := []string{c.A.Kind, c.B.Kind}[side]
		done := errors.New("done")
		_, _, err := walkMembers(in, format, func(i int, _ *member, open func() (io.Reader, error)) error {
			if !want[i] {
				return nil
			}
			r, err := open()
			if err != nil {
				return err
			}

			var s storage = &inMemory{}
			if e.options.TempDir != "" {
				f, err := os.CreateTemp(e.options.TempDir, "twice-explain-*")
				if err != nil {
					return err
				}
				files = append(files, f)
				s = f
			}

			n, err := io.Copy(s, r)
			stores[side][i], sizes[side][i] = s, n
			if err == nil && len(stores[side]) == len(want) {
				err = done // no need to read on
			}
			return err
		})
		if err != nil && !errors.Is(err, done) {
			return fmt.Errorf("read archive: %w", err)
		}
	}

	for _, p := range slices.SortedFunc(maps.Keys(pairs), func(x, y [2]int) int { return x[0] - y[0] }) {
		m := &c.Archive.Members[pairs[p]]
		file := func(side int) input {
			return e.input(File{m.Name, stores[side][p[side]], sizes[side][p[side]]})
		}
		content, err := e.compare(file(0), file(1), false)
		if err != nil {
			return err
		}

		// The member goes first, as a cause inside of it may name a place too.
		m.Content = content
		for _, x := range content.Causes {
			x.Where = cut(m.Name + strings.TrimSuffix(" "+x.Where, " "))
			c.Causes = append(c.Causes, x)
		}
	}

	return nil
}
