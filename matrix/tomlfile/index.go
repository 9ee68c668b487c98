package tomlfile

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"strings"
)

// The TOML library says where a syntax error is, but not where a key is. So a
// second, small reader of the same text makes an index of the keys. It leaves it to
// the library to judge whether the text is valid. But it can run first, as a guard
// against nesting that would exhaust the library's stack: up to the first error of
// an invalid text the two agree, and the guard is needed no further.

var errNotTOML = errors.New("not TOML")

// Limits of the index.
const (
	maxDepth = 32  // arrays and inline tables within each other
	maxParts = 16  // parts of a dotted key
	maxPath  = 400 // bytes of a key path
	maxKeys  = 50_000
)

// Index says on which line each key path of a TOML text stands.
type Index struct {
	at    map[string]int
	lines int // how many the text has
}

// Has reports whether the text has path.
func (x *Index) Has(path string) bool {
	_, ok := x.at[path]
	return ok
}

// Paths returns the key paths of the text, in no order.
func (x *Index) Paths() iter.Seq[string] { return maps.Keys(x.at) }

// Clamp returns line, or the nearest line that the text has.
func (x *Index) Clamp(line int) int { return min(max(line, 1), x.lines) }

// Line returns the line, from 1, of path, or of the nearest key around it. Without
// either, and for a nil Index, it is 1.
func (x *Index) Line(path string) int {
	if x == nil {
		return 1
	}
	for ; path != ""; path = Parent(path) {
		if n, ok := x.at[path]; ok {
			return min(n, x.lines)
		}
	}
	return 1
}

// Key appends a key to a path, quoting it where TOML would need quotes.
func Key(path, key string) string {
	bare := key != ""
	for i := 0; i < len(key); i++ {
		bare = bare && isBare(key[i])
	}

	if !bare {
		key = strconv.Quote(key)
	}

	if path == "" {
		return key
	}
	return path + "." + key
}

// Element appends an array index to a path.
func Element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Parent removes the last key or array index of a path.
func Parent(path string) string {
	i := len(path) - 1
	if i > 0 && path[i] == '"' {
		for i--; i > 0; i-- { // to the quote that opens the key
			if path[i] != '"' {
				continue
			}
			backslashes := 0
			for path[i-1-backslashes] == '\\' {
				if backslashes++; i-1-backslashes < 0 {
					break
				}
			}
			if backslashes%2 == 0 {
				break
			}
		}
	}

	for ; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}

// isBare reports whether c can stand in a key without quotes.
func isBare(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// tomlReader walks over TOML text.
type tomlReader struct {
	s    string
	pos  int
	line int
	at   map[string]int
	last map[string]int // number of elements of arrays of tables
}

// LimitError says that a text goes beyond a limit of the index. The library must
// not read such a text.
type LimitError struct {
	Line int
	Msg  string
}

// Error returns the limit.
func (e *LimitError) Error() string { return e.Msg }

// ReadIndex makes the index of a TOML text. The error is a [*LimitError], or
// another error where the text is not TOML. The index then has the keys before it.
func ReadIndex(s string) (*Index, error) {
	r := &tomlReader{s: strings.TrimPrefix(s, "\ufeff"), line: 1, at: map[string]int{}, last: map[string]int{}}
	err := r.readDocument()
	return &Index{at: r.at, lines: countLines(s)}, err
}

// readDocument reads the whole text.
func (r *tomlReader) readDocument() error {
	table := ""
	for {
		r.skipBlank(true)
		if r.pos >= len(r.s) {
			return nil
		}

		var err error
		if r.s[r.pos] == '[' {
			table, err = r.readHeader()
		} else {
			err = r.readPair(table, 0)
		}
		if err != nil {
			return err
		}
	}
}

// readHeader reads [table] or [[array of tables]] and returns its path.
func (r *tomlReader) readHeader() (string, error) {
	// The line is that of the key, also where its value goes over several lines.
	line := r.line
	r.pos++
	array := r.accept('[')
	parts, err := r.readKey()
	if err != nil {
		return "", err
	}

	// Within a header, an array of tables stands for its last element.
	path := ""
	for i, p := range parts {
		path = Key(path, p)
		if err := r.mark(path, line); err != nil {
			return "", err
		}
		n, isArray := r.last[path]
		switch {
		case i == len(parts)-1 && array:
			r.last[path] = n + 1
			path = Element(path, n)
			if err := r.mark(path, line); err != nil {
				return "", err
			}
		case isArray:
			path = Element(path, n-1)
		}
	}

	if !r.accept(']') || array && !r.accept(']') {
		return "", errNotTOML
	}
	return path, nil
}

// readPair reads `key = value` in the table at path.
func (r *tomlReader) readPair(path string, depth int) error {
	line := r.line
	parts, err := r.readKey()
	if err != nil {
		return err
	}
	for _, p := range parts {
		path = Key(path, p)
		if err := r.mark(path, line); err != nil {
			return err
		}
	}

	if !r.accept('=') {
		return errNotTOML
	}
	r.skipBlank(false)
	return r.readValue(path, depth)
}

// mark notes that path stands on line, unless it stands on one before.
func (r *tomlReader) mark(path string, line int) error {
	if len(path) > maxPath {
		return &LimitError{r.line, fmt.Sprintf("a key path is longer than %d bytes", maxPath)}
	}

	if _, ok := r.at[path]; !ok {
		if len(r.at) == maxKeys {
			return &LimitError{r.line, fmt.Sprintf("more than %d keys and list elements", maxKeys)}
		}
		r.at[path] = line
	}
	return nil
}

// readValue reads the value of path.
func (r *tomlReader) readValue(path string, depth int) error {
	if depth > maxDepth {
		return &LimitError{r.line, "nested too deeply"}
	}
	if r.pos >= len(r.s) {
		return errNotTOML
	}

	switch c := r.s[r.pos]; c {
	case '"', '\'':
		_, err := r.readString()
		return err
	case '[', '{':
		end := byte(']')
		if c == '{' {
			end = '}'
		}
		r.pos++
		for i := 0; ; i++ {
			r.skipBlank(true)
			if r.accept(end) {
				return nil
			}

			var err error
			if c == '[' {
				element := Element(path, i)
				if err = r.mark(element, r.line); err == nil {
					err = r.readValue(element, depth+1)
				}
			} else {
				err = r.readPair(path, depth+1)
			}
			if err != nil {
				return err
			}

			r.skipBlank(true)
			if !r.accept(',') {
				if r.accept(end) {
					return nil
				}
				return errNotTOML
			}
		}
	default: // a number, a date or a boolean, which hold no delimiter
		n := strings.IndexAny(r.s[r.pos:], ",]}#\n")
		if n < 0 {
			n = len(r.s) - r.pos
		}
		if strings.TrimSpace(r.s[r.pos:r.pos+n]) == "" {
			return errNotTOML
		}
		r.pos += n
		return nil
	}
}

// readKey reads a dotted key and the space around it.
func (r *tomlReader) readKey() ([]string, error) {
	var parts []string
	for {
		r.skipBlank(false)
		start := r.pos
		var part string
		if r.pos < len(r.s) && (r.s[r.pos] == '"' || r.s[r.pos] == '\'') {
			var err error
			if part, err = r.readString(); err != nil {
				return nil, err
			}
		} else {
			for r.pos < len(r.s) && isBare(r.s[r.pos]) {
				r.pos++
			}
			if part = r.s[start:r.pos]; part == "" {
				return nil, errNotTOML
			}
		}

		if len(part) > maxPath {
			return nil, &LimitError{r.line, fmt.Sprintf("a key is longer than %d bytes", maxPath)}
		}

		parts = append(parts, part)
		if len(parts) > maxParts {
			return nil, &LimitError{r.line, fmt.Sprintf("a key has more than %d parts", maxParts)}
		}

		r.skipBlank(false)
		if !r.accept('.') {
			return parts, nil
		}
	}
}

// readString reads a string of any of the four kinds. It resolves the escapes of a
// basic string on one line, which may be a key. Nobody needs the others' values.
func (r *tomlReader) readString() (string, error) {
	quote := r.s[r.pos : r.pos+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(r.s[r.pos:], triple) {
		r.pos += 3
		for r.pos < len(r.s) {
			switch {
			case strings.HasPrefix(r.s[r.pos:], triple):
				r.pos += 3
				for i := 0; i < 2 && r.pos < len(r.s) && r.s[r.pos] == quote[0]; i++ {
					r.pos++ // quotes that belong to the string: """"a"""""
				}
				return "", nil
			case r.s[r.pos] == '\\' && quote == `"`:
				r.pos++
				if r.pos < len(r.s) && r.s[r.pos] != '\n' {
					r.pos++
				}
			default:
				if r.s[r.pos] == '\n' {
					r.line++
				}
				r.pos++
			}
		}
		return "", errNotTOML
	}

	start := r.pos
	for r.pos++; r.pos < len(r.s) && r.s[r.pos] != '\n'; r.pos++ {
		switch c := r.s[r.pos]; {
		case c == '\\' && quote == `"`:
			r.pos++
		case c == quote[0]:
			r.pos++
			body := r.s[start+1 : r.pos-1]
			if quote == `"` && strings.Contains(body, `\`) {
				return unescape(body), nil
			}
			return body, nil
		}
	}
	return "", errNotTOML
}

// unescape resolves the escapes of a basic string.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++

		digits := 0
		switch s[i] {
		case 'b':
			b.WriteByte('\b')
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'f':
			b.WriteByte('\f')
		case 'r':
			b.WriteByte('\r')
		case 'e':
			b.WriteByte(0x1b)
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		default:
			b.WriteByte(s[i])
		}

		if digits > 0 && i+digits < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32); err == nil {
				b.WriteRune(rune(n))
			}
			i += digits
		}
	}
	return b.String()
}

// skipBlank skips white space, and with lines also line ends and comments.
func (r *tomlReader) skipBlank(lines bool) {
	for r.pos < len(r.s) {
		switch c := r.s[r.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			r.pos++
		case c == '\n' && lines:
			r.line++
			r.pos++
		case c == '#' && lines:
			n := strings.IndexByte(r.s[r.pos:], '\n')
			if n < 0 {
				n = len(r.s) - r.pos
			}
			r.pos += n
		default:
			return
		}
	}
}

// accept skips c, and reports whether it was there.
func (r *tomlReader) accept(c byte) bool {
	if r.pos < len(r.s) && r.s[r.pos] == c {
		r.pos++
		return true
	}
	return false
}
