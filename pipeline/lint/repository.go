package lint

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// shallowClone finds a clone without its history.
func shallowClone(f *facts) []Finding {
	if f.Repository == nil || !f.Repository.Shallow {
		return nil
	}
	return []Finding{{Message: "a shallow clone: its history, which decides about versions, is cut off"}}
}

// dirtyTree finds files that differ from the commit or are not in it.
func dirtyTree(f *facts) []Finding {
	if f.Repository == nil {
		return nil
	}

	var list []Finding
	if m := f.Repository.Modified; len(m) > 0 {
		list = append(list, Finding{Message: "uncommitted changes are built here, and a release refuses them: " + firstNames(m, 5)})
	}
	if u := f.Repository.Untracked; len(u) > 0 {
		list = append(list, Finding{Message: "untracked files are left out here, and a release refuses them: " + firstNames(u, 5)})
	}
	return list
}

// linkedWorktree finds a work tree whose .git is a file.
func linkedWorktree(f *facts) []Finding {
	if f.Repository == nil || !f.Repository.Linked {
		return nil
	}
	return []Finding{{Message: "the work tree has no .git folder of its own, so a go build by hand stamps no version, or that of a repository around it; twice builds in a clone, and stamps this one"}}
}

// versionLike is a tag that somebody may have meant as a version.
var versionLike = regexp.MustCompile(`^(?i:release|version|ver)?[-/_]?[vV]?[0-9]+([._-][0-9A-Za-z+]+)*$`)

// tagNoSemver finds tags at HEAD that look like a version and are none to Go.
func tagNoSemver(f *facts) []Finding {
	if f.Repository == nil || f.Repository.hasVersionTag() {
		return nil
	}

	var list []Finding
	for _, tag := range f.Repository.Tags {
		v := path.Base(tag)
		if !versionLike.MatchString(v) {
			continue
		}

		// The part after the letters shows which version was meant.
		digits := strings.TrimLeft(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-/_")
		why := "is no semantic version"
		switch {
		case semver.IsValid(v) && semver.Build(v) != "":
			why = "has build metadata (" + semver.Build(v) + "), which the go command does not accept in tags"
		case semver.IsValid(v):
			why = "is no whole version, which would be " + semver.Canonical(v)
		case semver.IsValid("v" + digits):
			why = "is no version to the go command, which would be " + semver.Canonical("v"+digits)
		}
		list = append(list, Finding{Message: "the tag " + tag + " at HEAD " + why})
	}
	return list
}

// hasVersionTag reports whether a tag at HEAD gives a version.
func (r *Repository) hasVersionTag() bool {
	return r.Tag != "" || slices.ContainsFunc(r.Tags, func(t string) bool {
		v := path.Base(t)
		return semver.IsValid(v) && semver.Canonical(v) == v
	})
}

// tagMissing finds a commit that has no version tag.
func tagMissing(f *facts) []Finding {
	if f.Repository == nil || f.Repository.Shallow || f.Repository.hasVersionTag() {
		return nil
	}
	if v := f.File.Version; v != "auto" {
		return []Finding{{Key: "version", Message: "HEAD has no tag v" + v + ", so nobody finds the source of that version by its name"}}
	}

	message := "HEAD has no version tag: only a snapshot can be made of it"
	if f.Repository.HighestVersion != "" {
		message += " (the last one before it is " + f.Repository.HighestVersion + ")"
	}
	return []Finding{{Message: message}}
}

// subfolderModule finds a main module in a folder of a repository without a go.mod
// at its top.
func subfolderModule(f *facts) []Finding {
	if f.Repository == nil || f.Tree == nil || f.ModuleDir == "." {
		return nil
	}
	if _, err := fs.Stat(f.Tree, "go.mod"); err == nil {
		return nil
	}
	return []Finding{{
		File:    f.displayPath(path.Join(f.ModuleDir, "go.mod")),
		Message: "the module is in a folder of a repository that has no go.mod at its top, so Go stamps its version as (devel)",
	}}
}
