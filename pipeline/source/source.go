// Package source lays out a clean source tree for one pass.
//
// A tree comes from one of two places: a git commit ([Open]) or a version of a
// module ([OpenModule]). Both give a [recipe.Source], which names the content,
// and a Checkout, which writes that content and nothing else into an empty
// folder. Opening something never changes it. What a Checkout has written does
// not need the place that it came from.
//
// # Git
//
// Only content that git tracks is used: that of HEAD or, for a snapshot, that of
// the index after `git add -u`. The work tree is looked at in order to say whether
// it has something that the commit lacks. Its own bytes are never used.
//
// No command runs that a repository, its configuration, or its owner chose.
// The repository is read through two git folders of our own in Options.Scratch,
// which borrow its objects: one with a closed configuration, for everything
// that ends up in a tree, and one that also knows the few settings that decide
// what "modified" means to the user (core.autocrlf, core.excludesFile and their
// like; see takeUserSettings). Hooks, filters, file system monitors, and transports
// are out of reach, and it does not matter whose the repository is.
//
// Before anything is laid out, every object of the tree is read and hashed
// again, from the commit down, so a recipe.Source is proved and not believed.
//
// # Modules
//
// The go command downloads the module and asks the checksum database. The zip
// is then held to golang.org/ref/mod#zip-files, and what was written is hashed
// once more (golang.org/x/mod/sumdb/dirhash, Hash1).
package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/fault"
)

// Order is the order in which a Checkout creates files. It must not matter to
// a build; that is why two passes use different ones.
type Order int

const (
	Sorted   Order = iota // bytewise by slash-separated path
	Reversed              // the other way round
)

// apply puts sorted names into order o.
func (o Order) apply(names []string) error {
	switch o {
	case Sorted:
	case Reversed:
		slices.Reverse(names)
	default:
		return fmt.Errorf("unknown checkout order %d", o)
	}
	return nil
}

// maxNames is how many file names a message and a list of a [Repo] hold.
const maxNames = 10

// usageError returns an error about what the user wants to build from, with its remedy.
func usageError(remedy, format string, args ...any) error {
	return fault.WithRemedy(fault.Usage(fmt.Errorf(format, args...)), remedy)
}

// listNames lists the first few names for a message, quoted where that is needed.
func listNames(names []string) string {
	var b strings.Builder
	for i, n := range names {
		if i == maxNames {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}

		if q := fmt.Sprintf("%q", n); q != `"`+n+`"` || strings.ContainsAny(n, " ,") {
			n = q
		}
		b.WriteString(n)
	}
	return b.String()
}

// emptyFolder makes dest if it does not exist. It is an error if there is anything in it.
func emptyFolder(dest string) error {
	if err := os.MkdirAll(dest, 0o777); err != nil {
		return err
	}
	list, err := os.ReadDir(dest)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return fmt.Errorf("%s is not empty", dest)
	}
	return nil
}

// realPath works like filepath.EvalSymlinks. The end of the path need not exist yet.
func realPath(p string) (string, error) {
	p = filepath.Clean(p)
	real, err := filepath.EvalSymlinks(p)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return real, err
	}

	// The end of the path does not exist yet, but what leads to it can be a link.
	parent := filepath.Dir(p)
	if parent == p {
		return "", err
	}
	if parent, err = realPath(parent); err != nil {
		return "", err
	}

	return filepath.Join(parent, filepath.Base(p)), nil
}

// pathWithin returns the slash-separated path of p in root, and whether it is in it.
func pathWithin(root, p string) (string, bool) {
	rel, err := filepath.Rel(root, p)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}
