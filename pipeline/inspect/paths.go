package inspect

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// HostPath is a text in a file that looks like the path of a file on the machine
// where it was built.
type HostPath struct {
	// Text is the path up to the first character that is unusual in one, of at
	// most 200 bytes. Go stores strings one after the other, so that the next one
	// may follow without a gap.
	Text string `json:"text"`
	// Section is the section that it is in. It is empty if it is in none. Offset is its place in
	// the file.
	Section string `json:"section,omitempty"`
	Offset  int64  `json:"offset"`
	// Count is how often a path that begins with the same three elements is in
	// that section.
	Count int `json:"count"`
}

const (
	maxPaths    = 64
	maxPathText = 200
)

// hostRoots are the beginnings of paths of build machines. Programs mention the loose ones for
// other reasons, too, so no path may stand before them.
var hostRoots = []struct {
	text  string
	loose bool
}{
	{"/home/", false}, {"/Users/", false}, {"/root/", false}, {"/var/folders/", false}, {"/private/tmp/", false}, {"/nix/store/", false},
	{"/runner/", false}, {"/workspace/", false}, {"/workspaces/", false}, {"/builds/", false}, {"/go/pkg/mod/", false}, {"/usr/local/go/src/", false}, {"/usr/lib/go", false},
	{"/tmp/", true}, {"/build/", true}, {"/mnt/", true}, {"/srv/", true}, {"/opt/", true}, {"/github/", true}, {"/__w/", true}, {"/src/", true}, {"/app/", true},
	{`:\Users\`, false}, {":/Users/", false}, {`:\a\`, false}, {":/a/", false}, {":/Program Files/", false}, {`:\Program Files\`, false}, {`:\hostedtoolcache\`, false}, {":/hostedtoolcache/", false},
}

// Paths returns texts that look like host paths, the most frequent ones first,
// and how many more there are. The whole file is searched, except its compressed
// parts. A path that looks like one of the host is no proof: a program may have it for
// its own purposes.
func (b *Binary) Paths() (list []HostPath, more int, err error) {
	s := pathSearch{b: b, seen: map[string]int{}}
	const chunk, overlap = 256 << 10, 512
	buf := make([]byte, min(chunk, b.size))
	for at := int64(0); at < b.size; {
		n := min(chunk, b.size-at)
		if err := b.read(buf[:n], at); err != nil {
			return nil, 0, fmt.Errorf("find host paths: %w", err)
		}

		// Each chunk answers for what starts in its middle, where the text before
		// and after is at hand.
		from, to := int64(overlap), n-overlap
		if at == 0 {
			from = 0
		}
		if at+n == b.size {
			to = n
		}
		s.chunk(buf[:n], at, int(from), int(to))
		if at+n == b.size {
			break
		}

		// Chunks overlap, so that each start has text around it.
		at += n - 2*overlap
	}

	slices.SortStableFunc(s.list, func(a, b HostPath) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Offset, b.Offset))
	})
	return s.list, s.more, nil
}

type pathSearch struct {
	b    *Binary
	list []HostPath
	seen map[string]int // index in list
	more int
}

// chunk finds the paths whose root starts at from and before to in p. p stands at offset at of the
// file.
func (s *pathSearch) chunk(p []byte, at int64, from, to int) {
	for _, root := range hostRoots {
		for i := from; i < to; {
			n := bytes.Index(p[i:], []byte(root.text))
			if n < 0 || i+n >= to {
				break
			}
			i += n
			start, end := i, i+len(root.text)

			// A drive's letter stands before the root that the search is for.
			if root.text[0] == ':' {
				if start--; start < 0 || !isLetter(p[start]) {
					i++
					continue
				}
			}

			for end < len(p) && isPathByte(p[end]) && end-start < maxPathText {
				end++
			}
			// A name must follow.
			if name := i + len(root.text); name < end && isName(p[name]) && s.free(p, start, root.loose) {
				s.add(string(p[start:end]), at+int64(start))
			}
			i += len(root.text)
		}
	}
}

// free reports whether the text at i can be the start of a path, rather than a
// part of a URL, an import path or a longer path.
func (s *pathSearch) free(p []byte, i int, loose bool) bool {
	if i == 0 || !isPathByte(p[i-1]) {
		return true
	}
	if loose {
		return false
	}

	// Go stores strings without gaps: another one may end here. But this is not
	// a path if it has a host before it, and it was found already if it has a
	// root before it.
	before := p[max(0, i-100):i]
	for j := len(before) - 1; j >= 0; j-- {
		if !isPathByte(before[j]) {
			before = before[j+1:]
			break
		}
	}

	if bytes.Contains(before, []byte("://")) || bytes.HasSuffix(before, []byte("/")) || bytes.HasSuffix(before, []byte("}")) {
		return false
	}

	// A root may lie across the place where the string would begin.
	before = append(bytes.Clone(before), p[i]) // with which a root may end
	for _, root := range hostRoots {
		if bytes.Contains(before, []byte(root.text)) {
			return false
		}
	}
	return true
}

func (s *pathSearch) add(text string, offset int64) {
	section, _ := s.b.SectionAt(offset)

	// Three elements tell a user and a project.
	key, n := text, 0
	for i := 1; i < len(text); i++ {
		if text[i] == '/' || text[i] == '\\' {
			if n++; n == 3 {
				key = text[:i]
				break
			}
		}
	}

	key = section.Name + "\x00" + key
	if i, ok := s.seen[key]; ok {
		s.list[i].Count++
		return
	}
	if len(s.list) >= maxPaths {
		s.more++
		return
	}
	s.seen[key] = len(s.list)
	s.list = append(s.list, HostPath{strings.TrimRight(text, "/\\"), section.Name, offset, 1})
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isName(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' || c == '_' || c == '.' }

func isPathByte(c byte) bool {
	return isName(c) || strings.IndexByte(`/\-+@~#=:,!%{}()$&`, c) >= 0
}
