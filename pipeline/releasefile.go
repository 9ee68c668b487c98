package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// readFile reads and parses the release file.
func (p *Plan) readFile() error {
	data, err := artifact.ReadNamed(p.cfg.ConfigFile, matrix.MaxSize)
	if errors.Is(err, os.ErrNotExist) {
		return fault.Usage(err, "run twice in the folder of release.toml, or `twice init` in the root folder of a module without one")
	}
	if err != nil {
		return fault.Usage(err)
	}
	return p.useFile(data)
}

func (p *Plan) useFile(data []byte) error {
	var err error
	p.release, p.config = data, artifact.Of(data)
	if p.File, err = matrix.Parse(filepath.Base(p.cfg.ConfigFile), data); err != nil {
		return fault.Usage(err)
	}
	return nil
}

// checkReleaseFile holds the release file against the one in the commit, which was laid
// out in tree. What git status says does not matter: it passes over what is ignored, and
// over what it was told to take for unchanged. For a module of the proxy the release file
// is the user's own.
func (p *Plan) checkReleaseFile(tree string) error {
	if p.cfg.Module != "" {
		return nil
	}
	root, err := os.OpenRoot(tree) // a link in the commit may not lead out of it
	if err != nil {
		return err
	}
	defer root.Close()
	committed, err := root.ReadFile(filepath.FromSlash(p.configRel))
	switch {
	case err == nil && bytes.Equal(committed, p.release):
		return nil
	case err == nil && bytes.Equal(unconverted(committed), unconverted(p.release)):
		return p.useFile(committed) // only git's conversions of text differ
	case err == nil:
		err = fmt.Errorf("%s is not the one in the commit", p.configRel)
	default:
		err = fmt.Errorf("%s is not in the commit: it is ignored or untracked", p.configRel)
	}
	if p.cfg.Snapshot || p.cfg.Trial {
		p.uncommitted = true
		p.Warnings = append(p.Warnings, err.Error()+", and a release refuses that")
		return nil
	}
	return fault.Usage(err, "commit it (git add -f "+p.configRel+"), or make a snapshot (--snapshot)")
}

// identLine is what git writes for $Id$ where a file has the attribute ident.
var identLine = regexp.MustCompile(`\$Id: [^$\n]*\$`)

// unconverted is a text without what git makes of it when it checks it out: other ends of
// lines, and the name of the file's object (https://git-scm.com/docs/gitattributes). Of two
// checkouts of one commit each may have its own.
func unconverted(text []byte) []byte {
	return identLine.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("$$Id$$"))
}
