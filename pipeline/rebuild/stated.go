package rebuild

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Stated is a recipe that somebody has written down for a file. It tells what the file hides,
// above all the linker's flags. It passes the same allow-lists as a file's own words, and like
// them it can only choose among builds.
type Stated struct {
	Recipe recipe.Recipe
	// By is where it stands, in English: "release.json".
	By string
	// Verified reports that the recipe has the signature of somebody whom the user trusts, and
	// that it is about this file. The one who sets it has verified that.
	Verified bool
}

// String says where the recipe stands, and what that is worth.
func (s Stated) String() string {
	if s.Verified {
		return "the recipe in " + s.By + ", signed by whom you trust"
	}
	return "the recipe in " + s.By + ", whose signature was not verified"
}

// errHooks is about a recipe with commands of its own.
var errHooks = errors.New("commands ran in the source tree before the build, and a stranger's are not run")

// checkStated compares a stated recipe with what the file says of itself, and returns what the
// recipe adds. The file's word counts. A recipe is refused as a whole if it contradicts the file,
// or if it asks for something that is not on the allow-lists.
func (c *claim) checkStated(r recipe.Recipe) (linking, error) {
	var l linking
	if len(r.Hooks) > 0 {
		return l, errHooks
	}

	switch src := r.Source; {
	case r.Target != c.target:
		return l, fmt.Errorf("it is for %s", verdict.Quote(r.Target.String()))
	case r.Toolchain.Version != c.goVersion:
		return l, fmt.Errorf("it is for %s", verdict.Quote(r.Toolchain.Version))
	case r.Compiler != "":
		return l, errors.New("it has a C compiler")
	case src.Module != "" && src.Module != c.main.Path:
		return l, fmt.Errorf("it is about module %s", verdict.Quote(src.Module))
	case src.Commit != "" && c.vcs != nil && src.Commit != c.vcs.revision:
		return l, fmt.Errorf("it is about commit %s", verdict.Quote(src.Commit))
	case len(r.Argv) < 3 || r.Argv[0] != "go" || r.Argv[1] != "build" && r.Argv[1] != "install":
		return l, errors.New("it is no go build")
	}

	flags, pkg := r.Argv[2:len(r.Argv)-1], r.Argv[len(r.Argv)-1]
	if pkg != c.local() && pkg != c.pkg && pkg != c.pkg+"@"+c.main.Version {
		return l, fmt.Errorf("it is about package %s", verdict.Quote(pkg))
	}

	// These flags follow from facts that the file records, so they add nothing.
	known := []string{"-mod=readonly", "-mod=vendor", "-trimpath", "-trimpath=true", "-pgo=off", "-pgo=auto", fmt.Sprintf("-buildvcs=%t", c.vcs != nil)}
	for _, f := range flags {
		value, linker := strings.CutPrefix(f, "-ldflags=")
		switch {
		case linker:
			args, err := linkerFlags(value)
			if err != nil {
				return linking{}, fmt.Errorf("linker flags: %w", err)
			}
			l.args, l.raw = args, value
		case f == "-buildmode=exe":
			l.mode = "exe"
		case slices.Contains(known, f), slices.Contains(c.flags, f):
		default:
			return linking{}, fmt.Errorf("%s is not what the file says of itself", verdict.Quote(f))
		}
	}

	if trimmed := slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, "-trimpath") }); trimmed != c.trimpath {
		return linking{}, errors.New("the file and it disagree about -trimpath")
	}

	return l, nil
}

// useStated uses a stated recipe where it agrees with the file.
func (j *job) useStated(s Stated) error {
	l, err := j.claim.checkStated(s.Recipe)
	switch {
	case errors.Is(err, errHooks):
		return verdict.Because(verdict.Setting, "%s: %s", s, err)
	case err != nil:
		j.note("%s is not used: %s", s, err)
	case !j.claim.ldflagsKnown && j.options.LDFlags == nil: // else the file, or the user, knows
		j.stated, j.statedFlags = &s, l
	}
	return nil
}

// hints adds what a recipe says of the source.
func (s *Stated) hints() []Hint {
	if s == nil {
		return nil
	}
	var list []Hint
	if src := s.Recipe.Source; src.Module != "" {
		list = append(list, Hint{Version: src.Version, From: s.String()})
	} else if src.Commit != "" {
		list = append(list, Hint{Revision: src.Commit, From: s.String()})
	}
	return list
}
