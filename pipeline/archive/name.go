package archive

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/mod/module"
)

// checkName returns an error unless name is allowed in an archive or a checksum file. The package
// comment has the rule.
func checkName(name string) error {
	// CheckFilePath's own message begins with the name.
	if err := module.CheckFilePath(name); err != nil {
		return err
	}
	if len(name) > 1024 {
		return fmt.Errorf("%.80q...: name of %d bytes, at most 1024 are allowed", name, len(name))
	}

	for elem := range strings.SplitSeq(name, "/") {
		// When Windows looks for a device, it drops the spaces before the first dot: "nul .txt"
		// is one.
		stem, _, _ := strings.Cut(elem, ".")

		switch {
		case len(elem) > 255:
			return fmt.Errorf("%.80q...: path element of %d bytes, at most 255 are allowed", name, len(elem))
		case strings.HasSuffix(elem, " ") || strings.HasSuffix(stem, " "):
			return fmt.Errorf("%q: path element %q ends in a space, which Windows drops", name, elem)
		case strings.EqualFold(stem, "CONIN$") || strings.EqualFold(stem, "CONOUT$"):
			return fmt.Errorf("%q: path element %q is reserved on Windows", name, elem)
		}
	}

	return nil
}

// names holds the names of the entries of one archive or checksum file. Names that would be one
// file where letter case does not count have the same key. The name of a folder ends in a slash,
// and its key does not.
type names map[string]string

// add adds the name of a file, and those of the folders that lead to it. It returns the folders
// that are new, outermost first.
func (n names) add(name string) (dirs []string, err error) {
	for i, c := range name {
		if c != '/' {
			continue
		}

		// A name that is taken is fine only for the same folder.
		key, dir := fold(name[:i]), name[:i+1]
		have, taken := n[key]
		switch {
		case !taken:
			n[key] = dir
			dirs = append(dirs, dir)
		case have != dir:
			return nil, collision(name, have)
		}
	}

	key := fold(name)
	if have, taken := n[key]; taken {
		return nil, collision(name, have)
	}
	n[key] = name
	return dirs, nil
}

// collision returns an error about a name that cannot be beside another.
func collision(name, have string) error {
	if name == have {
		return fmt.Errorf("%q: listed twice", name)
	}
	return fmt.Errorf("%q: collides with %q, at least on macOS and Windows", name, have)
}

// fold returns the same string for all strings that strings.EqualFold calls equal.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		lowest := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			lowest = min(lowest, f)
		}
		return lowest
	}, s)
}
