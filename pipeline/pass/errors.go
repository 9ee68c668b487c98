package pass

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// CommandError is a command of a build step that failed by itself, such as a compile error or a
// failing hook. Its output is for the user to read.
type CommandError struct {
	Pass Pass
	// What is "go build", or "hook 1: " and its command.
	What string
	// Output is what the command printed, bounded.
	Output string
	// Confined reports whether the network was cut off and writes were confined, which may be why
	// the command failed.
	Confined bool
	Err      error
}

// Error says in its first line what failed, and then what the command printed, so that nobody needs
// to print that again. Of a source that does not compile it says so, with the places in it.
func (e *CommandError) Error() string {
	if places := e.compileErrors(); len(places) > 0 {
		return "does not compile: " + strings.Join(places, "\n  ")
	}
	text := fmt.Sprintf("pass %s: %s: %v", e.Pass, e.What, e.Err)
	if printed := quotedLines(e.Output); len(printed) > 0 {
		text += "\n  " + strings.Join(printed, "\n  ")
	}
	return text
}

// placePattern matches the beginning of what compilers say of a source file. go build prints the
// path from the folder that it runs in.
var placePattern = regexp.MustCompile(`^\S.*\.(go|s|S|c|cc|cpp|cxx|h|m):[0-9]+(:[0-9]+)?: `)

// compileErrors returns the lines of a go build that complain of a place in the source, and those
// that belong to them. It returns none if something else went wrong.
func (e *CommandError) compileErrors() []string {
	if ended := (*signalError)(nil); !strings.HasPrefix(e.What, "go ") || errors.As(e.Err, &ended) {
		return nil
	}
	var kept []string
	for _, line := range quotedLines(e.Output) {
		if strings.HasPrefix(line, "# ") || len(kept) == 0 && !placePattern.MatchString(line) {
			continue
		}
		kept = append(kept, line)
	}
	return kept
}

// maxLines is how much of its command's output an error quotes: a screen.
const maxLines = 40

// quotedLines returns the lines of a command's output that an error quotes, the first and the last.
func quotedLines(output string) []string {
	var all []string
	for line := range strings.Lines(output) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			all = append(all, line)
		}
	}
	if len(all) > maxLines {
		all = slices.Concat(all[:maxLines/2], []string{"..."}, all[len(all)-maxLines/2:])
	}
	return all
}

// Complaint returns the first line of the output that is not the heading of a package, such as the
// compiler's first error.
func (e *CommandError) Complaint() string {
	for line := range strings.Lines(e.Output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "# ") {
			return line
		}
	}
	return ""
}

// Remedy returns what to do about a limit, what may be behind the failure of a hook, or "".
func (e *CommandError) Remedy() string {
	if limit := (*LimitError)(nil); errors.As(e.Err, &limit) {
		return limit.Remedy()
	}
	if e.Confined && strings.HasPrefix(e.What, "hook") {
		return "hooks run without network, and everything outside of their workspace is read-only"
	}
	return ""
}

// Unwrap returns the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// signalError is a command that did not end by itself.
type signalError struct{ signal string }

func (e *signalError) Error() string { return "signal: " + e.signal }
