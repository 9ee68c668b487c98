package lint

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxEmbedded bounds the files that are listed for one pattern.
const maxEmbedded = 10_000

// embedIgnored compares what a pattern matches in a clean tree with what it matches
// in the work tree.
func embedIgnored(f *facts) []Finding {
	if f.Tree == nil || len(f.Hooks) > 0 {
		return nil // hooks may write what is embedded
	}

	var list []Finding
	seen := map[string]bool{}
	for _, b := range f.Builds {
		for _, p := range f.sources().packagesOf(b) {
			for _, pattern := range p.EmbedPatterns {
				// Builds for several targets share packages.
				at := p.EmbedPatternPos[pattern][0]
				key := at.String() + pattern
				if seen[key] {
					continue
				}
				seen[key] = true

				finding := Finding{File: f.displayPath(at.Filename), Line: at.Line}
				if finding.Message, finding.Severity = f.checkEmbed(p.Dir, pattern); finding.Message != "" {
					list = append(list, finding)
				}
			}
		}
	}
	return list
}

// checkEmbed says what is wrong with a pattern of go:embed in folder dir, or "". The
// severity 0 is that of the lint.
func (f *facts) checkEmbed(dir, pattern string) (fault string, severity Severity) {
	clean, err := embeddedFiles(f.Tree, dir, pattern)
	f.addReadError(err)

	var untracked []string
	if f.Work != nil {
		// A work tree may hold anything. A file that cannot be read there is not embedded.
		work, _ := embeddedFiles(f.Work, dir, pattern)
		for _, name := range work {
			if _, committed := slices.BinarySearch(clean, name); !committed {
				untracked = append(untracked, name)
			}
		}
	}

	switch {
	case len(untracked) > 0 && len(clean) == 0:
		return fmt.Sprintf("go:embed %s matches files that git does not track, and no others: %s",
			pattern, firstNames(untracked, 3)), 0
	case len(untracked) > 0:
		return fmt.Sprintf("go:embed %s also matches files that git does not track, "+
			"which a build by hand embeds and a release does not: %s", pattern, firstNames(untracked, 3)), Warning
	case len(clean) == 0:
		return fmt.Sprintf("go:embed %s matches no file", pattern), 0
	}
	return "", 0
}

// embeddedFiles returns the files that a pattern of go:embed in folder dir matches,
// sorted, by the rules of https://pkg.go.dev/embed. Folders that cannot be read are
// skipped, and the error says so.
func embeddedFiles(tree fs.FS, dir, pattern string) (names []string, err error) {
	glob, all := strings.CutPrefix(pattern, "all:")
	sub, err := fs.Sub(tree, dir)
	if err != nil {
		return nil, err
	}
	matches, err := fs.Glob(sub, glob)
	if err != nil {
		return nil, nil // the compiler reports a bad pattern
	}

	for _, match := range matches {
		if inOtherModule(sub, path.Dir(match)) {
			continue
		}
		// Like go:embed, the walk leaves out hidden files and other modules.
		walkErr := fs.WalkDir(sub, match, func(name string, d fs.DirEntry, failed error) error {
			switch base := path.Base(name); {
			case failed != nil:
				err = failed
				return fs.SkipDir
			case d.IsDir() && slices.Contains([]string{".git", ".hg", ".svn", ".bzr"}, base):
				return fs.SkipDir
			case name != match && !all && (base[0] == '.' || base[0] == '_'):
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case d.IsDir():
				if _, err := fs.Stat(sub, path.Join(name, "go.mod")); err == nil && name != "." {
					return fs.SkipDir
				}
				return nil
			case !d.Type().IsRegular():
				return nil
			}
			if names = append(names, name); len(names) >= maxEmbedded {
				return fs.SkipAll
			}
			return nil
		})
		err = errors.Join(err, walkErr)
	}

	slices.Sort(names)
	return slices.Compact(names), err
}

// inOtherModule reports whether folder dir, below that of the package, belongs to
// another module.
func inOtherModule(sub fs.FS, dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, err := fs.Stat(sub, path.Join(dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}
