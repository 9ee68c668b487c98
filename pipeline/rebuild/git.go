package rebuild

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
)

// A module's zip has no history, and the go command takes the stamp of version control from git.
// So it is given a git that answers its questions with what the file says. The revision and the
// time are the file's own claim, and the verdict says so. The questions are those of
// cmd/go/internal/vcs (git status, git log or, up to Go 1.22, git show). Since Go 1.24 they are
// also those of cmd/go/internal/modfetch/codehost, which makes a version of the tags.

// writeGit writes a program git for c into a new folder.
func writeGit(dir string, c *claim) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	script, err := gitScript(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755)
}

// gitScript returns a shell script with the answers. Every value from the file was held against a
// pattern: a revision is hexadecimal, a time a number, and a version canonical.
func gitScript(c *claim) (string, error) {
	s := c.vcs
	if s == nil || !revisionRE.MatchString(s.revision) {
		return "", fmt.Errorf("no revision")
	}

	at, before := "", "" // the tag at the revision, and the one before it
	if v := c.main.Version; v != "" && !c.install {
		if err := module.Check(c.main.Path, v); err != nil {
			return "", err
		}
		if module.IsPseudoVersion(v) {
			base, err := module.PseudoVersionBase(v)
			if err != nil {
				return "", err
			}
			before = strings.TrimSuffix(base, "+incompatible")
		} else {
			at = strings.TrimSuffix(v, "+incompatible")
		}
	}

	decoration, tags := "", at+before
	if at != "" {
		decoration = " tag: " + at
	}

	format := "exit 1"
	if len(s.revision) == 64 {
		format = "echo sha256"
	}

	// One path in the answer makes a tree modified, whichever it is.
	changes := ""
	if s.modified {
		changes = "echo ' M go.mod' "
	}

	merged := ""
	if tags != "" {
		merged = "refs/tags/" + tags
	}

	// The values stand between single quotes in the script, so none of them may end the quotation.
	for _, v := range []string{at, before} {
		if strings.ContainsAny(v, "'\\\n") {
			return "", fmt.Errorf("version %q", v)
		}
	}

	return fmt.Sprintf(`#!/bin/sh
# Made by twice rebuild. It answers what the go command asks of git with what a
# published binary says.
case "$*" in
'status --porcelain'*) %[7]s;;
*'show -s --format=%%H:%%ct'* | *'log -1 --format=%%H:%%ct'*) echo '%[1]s:%[2]d' ;;
*'log --no-decorate -n1 --format=format:%%H %%ct %%D '*) echo '%[1]s %[2]d%[3]s' ;;
'config extensions.objectformat') %[4]s ;;
'tag -l'*) echo '%[5]s' ;;
'for-each-ref '*) echo '%[6]s' ;;
'cat-file '*':go.mod') cat go.mod ;;
'merge-base --is-ancestor '*) ;;
*) echo "git: not answered: $*" >&2; exit 1 ;;
esac
`, s.revision, s.time.Unix(), decoration, format, tags, merged, changes), nil
}
