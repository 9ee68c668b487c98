package rebuild

import (
	"fmt"
	"go/version"
	"slices"

	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// A file of an older release of Go says less about its making, and the go command of that release
// knows fewer flags. What the file does not record is taken from its headers and its paths, and
// else it is the default. The bytes show whether that was right. If it was not, nothing is known:
// see [claim.unrecorded].

// The first releases of what is used here, or of what changed.
const (
	// oldest is the first release whose module cache can be put anywhere (GOMODCACHE).
	oldest = "go1.15"
	// installsVersions has go install path@version.
	installsVersions = "go1.16"
	// recordsSettings writes settings into files, and knows -buildvcs.
	recordsSettings = "go1.18"
	// knowsProfiles knows -pgo, and comes without a compiled standard library. Earlier ones would
	// take packages from there, and not compile them.
	knowsProfiles = "go1.20"
	// stampsVersions makes the main module's version from version control.
	stampsVersions = "go1.24"
)

// since reports whether the file was made by a release, or by a later one.
func (c *claim) since(release string) bool { return version.Compare(c.goVersion, release) >= 0 }

// inferred is a setting that the file does not record, and why it is taken for granted.
type inferred struct {
	recipe.Choice
	why string
}

// addInferred adds to settings what the release of Go does not record. A setting that is there
// although the release does not record it was written by something else.
func (c *claim) addInferred(f inspect.Facts, settings []inspect.Setting) ([]inspect.Setting, *verdict.Reason) {
	for _, s := range settings {
		if f.Records(s.Key) == inspect.No {
			return nil, verdict.Because(verdict.Unreadable, "its setting %s is not one that %s records", verdict.Quote(s.Key), c.goVersion)
		}
	}

	list := slices.Clone(settings)
	add := func(key, value, why string) {
		if f.Records(key) == inspect.No {
			list = append(list, inspect.Setting{Key: key, Value: value})
			c.inferred = append(c.inferred, inferred{recipe.Choice{Setting: key, Value: value}, why})
		}
	}
	add("GOOS", f.GOOS, "the file is made for that")
	add("GOARCH", f.GOARCH, "the file is made for that")
	add("CGO_ENABLED", "0", "nothing of cgo is in it")
	if f.Records("CGO_ENABLED") == inspect.No && f.Finding(inspect.Cgo).Is == inspect.Unknown {
		return nil, verdict.Because(verdict.Cgo, "%s does not record CGO_ENABLED, and it cannot be told whether C code is in it", c.goVersion)
	}

	// A path tells about all paths, and only a Unix file's header depends on the mode alone.
	switch f.Finding(inspect.Trimpath).Is {
	case inspect.Yes:
		add("-trimpath", "true", "no path in it is absolute")
	case inspect.Unknown:
		if f.Records("-trimpath") == inspect.No {
			return nil, verdict.Because(verdict.Place, "%s does not record -trimpath, and there are no paths in it that tell", c.goVersion)
		}
	}
	if f.Format == inspect.ELF && f.Finding(inspect.PIE).Is == inspect.Yes {
		add("-buildmode", "pie", "its header says so")
	}

	// These are the defaults of the published toolchains for another machine than their own.
	if f.GOARCH == "arm" {
		level := "5"
		if f.GOOS == "android" {
			level = "7"
		}
		add("GOARM", level, "a guess: the default")
	}

	if f.Records("-tags") == inspect.No {
		c.unrecorded = fmt.Sprintf("%s records no settings, and others may have been given", c.goVersion)
	} else if f.Records("-buildmode") == inspect.No && f.Format != inspect.ELF {
		c.unrecorded = fmt.Sprintf("%s does not record -buildmode, and another may have been given", c.goVersion)
	}
	return list, nil
}

// grounds returns what was inferred, for a result.
func (c *claim) grounds() []verdict.Ground {
	var list []verdict.Ground
	for _, i := range c.inferred {
		list = append(list, verdict.Ground{What: i.String(), Why: c.goVersion + " does not record it; " + i.why})
	}
	return list
}

// whyInferred says why a setting is taken for granted, or nothing if the file records it.
func (c *claim) whyInferred(choice recipe.Choice) string {
	for _, i := range c.inferred {
		if i.Setting == choice.Setting {
			return i.why
		}
	}
	return ""
}
