package matrix

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix/internal/spelling"
	"github.com/twicebuild/twice/matrix/platform"
)

// Match reports whether glob selects t. A glob is "os/arch", which selects every
// variant, or "os/arch/variant"; each segment is a pattern of [path.Match]. The
// variant is compared in full, so "linux/amd64/v1" selects linux/amd64. It is an error
// if a pattern is bad, or if Go does not know a name.
func (t Target) Match(glob string) (bool, error) {
	g, err := parseGlob(glob)
	if err != nil {
		return false, err
	}
	return g.match(t), nil
}

// glob is a checked pattern for targets. An empty variant selects every one.
type glob struct{ os, arch, variant string }

// isPattern reports whether s holds a meta character of [path.Match].
func isPattern(s string) bool { return strings.ContainsAny(s, "*?[") }

// parseGlob reads a glob for targets.
func parseGlob(s string) (glob, error) {
	if len(s) > maxTargetLen {
		return glob{}, fmt.Errorf("%q...: too long for a target glob", s[:maxTargetLen])
	}

	parts := strings.Split(s, "/")
	if len(parts) != 2 && len(parts) != 3 {
		return glob{}, fmt.Errorf("%q: want a glob os/arch or os/arch/variant", s)
	}

	for _, p := range parts {
		if p == "" {
			return glob{}, fmt.Errorf("%q: empty segment", s)
		}
		if _, err := path.Match(p, "x"); err != nil || strings.Contains(p, `\`) {
			return glob{}, fmt.Errorf("%q: bad pattern %q", s, p)
		}
	}

	// A name without meta characters has to be one that Go knows.
	g := glob{os: parts[0], arch: parts[1]}
	if !isPattern(g.os) && !slices.Contains(platform.KnownOS, g.os) {
		return glob{}, fmt.Errorf("%s: unknown GOOS %q%s", s, g.os, spelling.DidYouMean(g.os, platform.KnownOS))
	}
	if !isPattern(g.arch) && !slices.Contains(platform.KnownArch, g.arch) {
		return glob{}, fmt.Errorf("%s: unknown GOARCH %q%s", s, g.arch, spelling.DidYouMean(g.arch, platform.KnownArch))
	}

	if len(parts) == 3 {
		g.variant = parts[2]
		if !isPattern(g.arch) && !isPattern(g.variant) {
			v, err := platform.CanonicalVariant(g.arch, g.variant)
			if err != nil {
				return glob{}, fmt.Errorf("%s: %w", s, err)
			}
			g.variant = Target{Arch: g.arch, Variant: v}.fullVariant()
		}
	}
	return g, nil
}

// match reports whether g selects t.
func (g glob) match(t Target) bool {
	return matchSegment(g.os, t.OS) && matchSegment(g.arch, t.Arch) &&
		(g.variant == "" || matchSegment(g.variant, t.fullVariant()))
}

// matchSegment is path.Match for a pattern that parseGlob has checked.
func matchSegment(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
