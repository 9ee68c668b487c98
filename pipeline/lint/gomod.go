package lint

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// gomod returns the main module's go.mod, or nil if there is none that can be read.
// It is read once.
func (f *facts) gomod() *modfile.File {
	if !f.modRead {
		f.modRead, f.mod = true, f.readMod()
	}
	return f.mod
}

func (f *facts) readMod() *modfile.File {
	if f.Tree == nil {
		return nil
	}

	name := path.Join(f.ModuleDir, "go.mod")
	data, ok := f.readFile(name)
	if !ok {
		return nil
	}

	mod, err := modfile.Parse(f.displayPath(name), data, nil)
	if err != nil {
		f.addReadError(err)
		return nil
	}
	if mod.Module == nil {
		return nil // the go command reports it
	}
	return mod
}

// usesVendorFolder reports whether the go command takes modules from the vendor folder.
func (f *facts) usesVendorFolder() bool {
	_, err := fs.Stat(f.Tree, path.Join(f.ModuleDir, "vendor", "modules.txt"))
	return err == nil
}

// replaceLocal finds replacements by folders. A folder that the build needs and
// that the source tree does not have stops a release.
func replaceLocal(f *facts) []Finding {
	mod := f.gomod()
	if mod == nil {
		return nil
	}

	var list []Finding
	for _, r := range mod.Replace {
		if r.New.Version != "" {
			continue
		}

		needed := !f.usesVendorFolder() && slices.ContainsFunc(mod.Require, func(q *modfile.Require) bool {
			return q.Mod.Path == r.Old.Path && (r.Old.Version == "" || r.Old.Version == q.Mod.Version)
		})

		dir := strings.ReplaceAll(r.New.Path, `\`, "/")
		finding := Finding{File: mod.Syntax.Name, Line: r.Syntax.Start.Line, Severity: Warning}
		finding.Message = fmt.Sprintf("%s is replaced by the folder %s, so the build info has no hash of it, and go install %s@version refuses the module", r.Old.Path, r.New.Path, mod.Module.Mod.Path)

		// A folder that a hook may still write is no fault yet.
		inside := path.Join(f.ModuleDir, dir)
		switch _, err := fs.Stat(f.Tree, path.Join(inside, "go.mod")); {
		case isAbs(dir) || !fs.ValidPath(inside):
			finding.Message = fmt.Sprintf("%s is replaced by %s, outside of the source tree", r.Old.Path, r.New.Path)
		case err != nil && len(f.Hooks) == 0:
			finding.Message = fmt.Sprintf("%s is replaced by %s, which has no go.mod in the source tree", r.Old.Path, r.New.Path)
		default:
			needed = false
		}
		if needed {
			finding.Severity = Error
		}
		list = append(list, finding)
	}
	return list
}

// gosumIncomplete finds required modules without a hash. It is certain of those that
// the main module imports from.
func gosumIncomplete(f *facts) []Finding {
	mod := f.gomod()
	if mod == nil || len(mod.Require) == 0 || f.usesVendorFolder() {
		return nil
	}

	name := path.Join(f.ModuleDir, "go.sum")
	data, _ := f.readFile(name)
	sums := map[module.Version]bool{}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 {
			sums[module.Version{Path: fields[0], Version: fields[1]}] = true
		}
	}

	var certain, likely []string
	for _, q := range mod.Require {
		content := replacementOf(mod, q.Mod)
		if content.Version == "" || sums[content] {
			continue
		}

		// The go command asks for the hash of a go.mod alone where it needs no package of the
		// module.
		gomod := module.Version{Path: content.Path, Version: content.Version + "/go.mod"}
		switch {
		case f.importsModule(q.Mod.Path, mod):
			certain = append(certain, content.String())
		case q.Indirect && sums[gomod]:
			// Its packages may not be needed.
		default:
			likely = append(likely, content.String())
		}
	}

	lacks := func(names []string) string {
		return "lacks the hash of " + firstNames(names, 3)
	}
	var list []Finding
	if len(certain) > 0 {
		list = append(list, Finding{File: f.displayPath(name), Message: lacks(certain) + ": without it the go command refuses the module"})
	}
	if len(likely) > 0 {
		list = append(list, Finding{File: f.displayPath(name), Severity: Warning, Message: lacks(likely) + ": the go command refuses a binary that has a package of it"})
	}
	return list
}

// replacementOf returns the module or folder that the content of m comes from. A
// folder has no version.
func replacementOf(mod *modfile.File, m module.Version) module.Version {
	content := m
	for _, r := range mod.Replace {
		if r.Old.Path == m.Path && (r.Old.Version == m.Version || r.Old.Version == "" && content == m) {
			content = r.New
		}
	}
	return content
}

// importsModule reports whether packages of the main module, in some binary, import
// a package of the required module. A package belongs to the module with the longest
// path that fits.
func (f *facts) importsModule(modulePath string, mod *modfile.File) bool {
	for _, path := range f.sources().otherImports {
		owner := ""
		for _, q := range mod.Require {
			if p := q.Mod.Path; (path == p || strings.HasPrefix(path, p+"/")) && len(p) > len(owner) {
				owner = p
			}
		}
		if owner == modulePath {
			return true
		}
	}
	return false
}
