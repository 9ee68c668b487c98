package lint

import (
	"slices"
	"strings"
)

// command is a simple command of a shell script. Its words have no quotes; variables
// and substitutions are in them as they are written.
type command struct {
	words []string
	line  int
}

// variable is a use of a shell variable.
type variable struct {
	name string
	line int
}

// maxNesting bounds substitutions within each other.
const maxNesting = 20

// readShell returns the simple commands of a shell script and the variables that it
// uses, also within $( ), ` ` and double quotes. It understands as much of the
// language (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html)
// as it takes to tell a command from a word and from a comment. It never fails, and
// skips what it does not understand. The script begins at line.
func readShell(script string, line int) ([]command, []variable) {
	r := &shellReader{script: script, line: line}
	r.readCommands(0, 0)
	return r.commands, r.variables
}

// shellReader walks over a shell script.
type shellReader struct {
	script      string
	pos         int
	line        int
	commands    []command
	variables   []variable
	heredocs    []heredoc // those that this line announces
	inBackticks bool      // within ` `, where the next ` is the end
}

// heredoc is a here-document that was announced and not read yet.
type heredoc struct {
	end    string
	tabs   bool // <<-
	quoted bool // nothing in it is expanded
}

// commandPrefixes are words before the name of a command.
var commandPrefixes = []string{
	"if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "exec", "command", "builtin", "eval", "env", "sudo", "nohup", "nice", "xargs",
}

// readCommands reads commands up to the end of the script, or up to closing if that
// is not 0.
func (r *shellReader) readCommands(closing byte, depth int) {
	var words []string
	at := r.line

	end := func() {
		if words = dropPrefixes(words); len(words) > 0 {
			r.commands = append(r.commands, command{words, at})
		}
		words = nil
	}
	defer func() { end() }()

	for r.pos < len(r.script) {
		switch c := r.script[r.pos]; c {
		case closing:
			if closing != 0 {
				r.pos++
				return
			}
			fallthrough
		case 0:
			r.pos++
		case '\n':
			end()
			r.pos++
			r.line++
			r.readHeredocs(depth)
		case ' ', '\t', '\r':
			r.pos++
		case ';', '&', '|', ')':
			end()
			r.pos++
		case '(':
			end()
			r.pos++
			if depth < maxNesting {
				r.readWithin(')', depth)
			}
		case '#':
			for r.pos < len(r.script) && r.script[r.pos] != '\n' {
				r.pos++
			}
		case '<', '>':
			if file := r.readRedirection(depth); file != "" && len(words) > 0 {
				words = append(words, file)
			}
		default:
			if strings.HasPrefix(r.script[r.pos:], "\\\n") {
				r.pos += 2
				r.line++
				continue
			}
			if len(words) == 0 {
				at = r.line
			}
			words = append(words, r.readWord(depth))
		}
	}
}

// dropPrefixes drops assignments, prefixes and their options before the name of a
// command.
func dropPrefixes(words []string) []string {
	for i := 0; i < len(words); i++ {
		name, _, assigns := strings.Cut(words[i], "=")
		switch {
		case assigns && isName(name), slices.Contains(commandPrefixes, words[i]):
		case i > 0 && strings.HasPrefix(words[i], "-"): // an option of env, nice, xargs
		default:
			return words[i:]
		}
	}
	return nil
}

// isName reports whether s can be the name of a variable.
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isNameByte(s[i]) || i == 0 && '0' <= s[i] && s[i] <= '9' {
			return false
		}
	}
	return s != ""
}

// isNameByte reports whether c can be in the name of a variable.
func isNameByte(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// readRedirection reads < and > and returns the file. For << there is no file: it
// notes the here-document.
func (r *shellReader) readRedirection(depth int) string {
	rest := r.script[r.pos:]
	r.pos++
	switch {
	case strings.HasPrefix(rest[1:], "("):
		return "" // a command in its place
	case strings.HasPrefix(rest, "<<<"):
		r.pos += 2
	case strings.HasPrefix(rest, "<<"):
		r.pos++
		d := heredoc{tabs: r.accept('-')}
		r.skipBlank()
		start := r.pos
		d.end = r.readWord(depth)
		d.quoted = strings.ContainsAny(r.script[start:r.pos], `'"\`)
		r.heredocs = append(r.heredocs, d)
		return ""
	default:
		if !r.accept('>') && !r.accept('&') {
			r.accept('|')
		}
	}

	// The file counts as a word of the command, since it can be one of the machine's.
	r.skipBlank()
	if r.pos == len(r.script) || strings.IndexByte("\n;&|()<>", r.script[r.pos]) >= 0 {
		return ""
	}
	return r.readWord(depth)
}

// skipBlank skips spaces and tabs.
func (r *shellReader) skipBlank() {
	for r.accept(' ') || r.accept('\t') {
	}
}

// accept skips c, and reports whether it was there.
func (r *shellReader) accept(c byte) bool {
	if r.pos < len(r.script) && r.script[r.pos] == c {
		r.pos++
		return true
	}
	return false
}

// readHeredocs reads the here-documents that the line before announced.
func (r *shellReader) readHeredocs(depth int) {
	docs := r.heredocs
	r.heredocs = nil
	for _, d := range docs {
		for r.pos < len(r.script) {
			text, _, more := strings.Cut(r.script[r.pos:], "\n")
			mark := text
			if d.tabs {
				mark = strings.TrimLeft(mark, "\t")
			}

			stop := r.pos + len(text)
			if !d.quoted && mark != d.end {
				for r.pos < stop {
					r.readExpansion(depth)
				}
			}

			// An expansion can read past the line, so the next mark is looked for behind it.
			r.pos = max(r.pos, stop)
			if more && r.accept('\n') {
				r.line++
			}

			if mark == d.end {
				break
			}
		}
	}
}

// readWord reads one word. It takes at least one byte, so that every loop ends.
func (r *shellReader) readWord(depth int) string {
	var b strings.Builder
	for start := r.pos; r.pos < len(r.script); {
		switch c := r.script[r.pos]; c {
		case '\'':
			text, _, closed := strings.Cut(r.script[r.pos+1:], "'")
			b.WriteString(text)
			r.line += strings.Count(text, "\n")
			r.pos += 1 + len(text)
			if closed {
				r.pos++
			}
		case '"':
			r.pos++
			for r.pos < len(r.script) && r.script[r.pos] != '"' {
				b.WriteString(r.readExpansion(depth))
			}
			r.accept('"')
		case '`':
			if r.inBackticks {
				if r.pos == start {
					r.pos++
				}
				return b.String()
			}
			b.WriteString(r.readExpansion(depth))
		case '\\', '$':
			b.WriteString(r.readExpansion(depth))
		case ' ', '\t', '\r', '\n', ';', '&', '|', '(', ')', '<', '>':
			if r.pos == start {
				r.pos++ // a word has to be here
			}
			return b.String()
		default:
			b.WriteByte(c)
			r.pos++
		}
	}
	return b.String()
}

// readExpansion reads one character, or one $ or ` and what belongs to it. It returns
// the text as it is written.
func (r *shellReader) readExpansion(depth int) string {
	start := r.pos
	c := r.script[r.pos]
	r.pos++
	rest := r.script[r.pos:]

	switch {
	case c == '\n':
		r.line++
	case c == '\\' && rest != "":
		r.pos++
		if rest[0] == '\n' {
			r.line++
			return ""
		}
		return rest[:1]
	case depth >= maxNesting:
	case c == '`':
		r.readWithin('`', depth)
	case c == '$' && strings.HasPrefix(rest, "("):
		r.pos++
		arithmetic := r.accept('(') // it is read like a list of commands
		r.readWithin(')', depth)
		if arithmetic {
			r.accept(')')
		}
	case c == '$' && strings.HasPrefix(rest, "{"):
		r.pos++
		for r.pos < len(r.script) && strings.IndexByte("#!", r.script[r.pos]) >= 0 {
			r.pos++
		}
		r.readName()
		for r.pos < len(r.script) && r.script[r.pos] != '}' && r.script[r.pos] != '\n' {
			r.readExpansion(depth + 1)
		}
		r.accept('}')
	case c == '$':
		r.readName()
	}
	return r.script[start:r.pos]
}

// readWithin reads commands up to closing.
func (r *shellReader) readWithin(closing byte, depth int) {
	ticks := r.inBackticks
	r.inBackticks = closing == '`'
	r.readCommands(closing, depth+1)
	r.inBackticks = ticks
}

// readName reads the name of a variable.
func (r *shellReader) readName() {
	start := r.pos
	for r.pos < len(r.script) && isNameByte(r.script[r.pos]) {
		r.pos++
	}
	if name := r.script[start:r.pos]; isName(name) {
		r.variables = append(r.variables, variable{name, r.line})
	}
}
