package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// A rebuild shows that a file is what a source compiles to with some settings. What
// the publisher chose among these is bounded here: each value is taken apart, and
// each part has to match a pattern. A setting that is not in the table is allowed
// by no policy.

// setting is how values of a setting are bounded.
type setting struct {
	// parts takes a value apart; nil leaves it whole.
	parts func(value string) []string
	// standard are the patterns of what is allowed where the policy does not say it:
	// what changes nothing that the program does.
	standard []string
}

var settings = map[string]setting{
	recipe.StampSetting: {},
	recipe.LinkSetting:  {words, []string{"-s", "-w", "-s=*", "-w=*", "-buildid=*", "-B=*", "-extldflags=-static"}},

	"-tags":     {commas, nil},
	"-gcflags":  {nil, []string{"cmd/...=-dwarf=false"}}, // of the tools of every release of Go
	"-asmflags": {},

	"-buildmode": {nil, []string{"exe", "pie"}},
	"-pgo":       {nil, []string{"off"}},
	"-trimpath":  {nil, []string{"", "true"}},

	"CGO_ENABLED":  {nil, []string{"0", "1"}}, // no C is in what twice rebuilds
	"GOEXPERIMENT": {commas, nil},
	"GOFIPS140":    {},

	// The level of the processor is a part of the target.
	"GO386": anything, "GOAMD64": anything, "GOARM": anything, "GOARM64": anything, "GOMIPS": anything, "GOMIPS64": anything,
	"GOPPC64": anything, "GORISCV64": anything, "GOWASM": anything,

	// Words about the build that the program only repeats.
	"vcs.revision": anything, "vcs.time": anything, "vcs.modified": anything,
	"GOROOT": anything, "GOMODCACHE": anything, "source-folder": anything,
}

var anything = setting{nil, []string{"*"}}

func words(value string) []string {
	list, err := matrix.Split(value)
	if err != nil {
		return []string{value}
	}
	return list
}

func commas(value string) []string { return strings.Split(value, ",") }

// matches reports whether a value is one that a pattern stands for: the same, where *
// stands for any text. For -X, a pattern without "=" is a variable with any value.
func matches(name, pattern, value string) bool {
	if name == recipe.StampSetting && !strings.Contains(pattern, "=") {
		pattern += "=*"
	}
	pattern = strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `(?s:.*)`)
	ok, err := regexp.MatchString(`\A`+pattern+`\z`, value)
	return ok && err == nil
}

// refuses says why the settings of a rebuild are not allowed, in the words of those
// who are to allow them, or nothing if they are.
func (b *Rebuilds) refuses(said *rebuilt.Result) string {
	const most = 3
	var list []string
	more := 0
	for _, c := range said.Choices() {
		how := b.allows(c)
		if how == "" {
			continue
		}
		if len(list) == most {
			more++
			continue
		}
		what := fmt.Sprintf("%.200q", c)
		if m := c.Meaning(); m != "" {
			what += " (" + m + ")"
		}
		list = append(list, what+", "+how)
	}
	if more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, "; ")
}

// allows says how a setting would be allowed, or nothing if it is.
func (b *Rebuilds) allows(c recipe.Choice) string {
	s, known := settings[c.Setting]
	if !known {
		return "a setting that this twice does not know, and no policy can allow"
	}
	patterns, own := b.Allow[c.Setting]
	if !own {
		patterns = s.standard
	}
	parts := []string{c.Value}
	if s.parts != nil {
		parts = s.parts(c.Value)
	}
	for _, part := range parts {
		if !slices.ContainsFunc(patterns, func(p string) bool { return matches(c.Setting, p, part) }) {
			if c.Setting == recipe.StampSetting {
				part, _, _ = strings.Cut(part, "=")
			}
			return fmt.Sprintf("which [rebuilds.allow] would have to name: %s = [%.200q]", c.Setting, part)
		}
	}
	return ""
}

// allowed reads the patterns for one setting.
func allowed(v any, name string, to *Rebuilds) error {
	l, ok := v.([]any)
	if !ok {
		return fmt.Errorf("want a list of strings, not %s", kind(v))
	}
	patterns := []string{} // none is a list, too: nothing is allowed
	for _, e := range l {
		s, ok := e.(string)
		switch {
		case !ok:
			return fmt.Errorf("want a list of strings, not of %s", kind(e))
		case slices.Contains(patterns, s):
			return fmt.Errorf("%q is there twice", s)
		case name == recipe.StampSetting && (s == "" || strings.HasPrefix(s, "*") || strings.HasPrefix(s, "=")):
			return fmt.Errorf("%q: want the name of a variable, such as main.version, or a name and what it may be set to, such as main.version=v1.*", s)
		}
		if err := printable(s); err != nil {
			return err
		}
		patterns = append(patterns, s)
	}
	if len(patterns) > maxPatterns {
		return errors.New("too many")
	}
	if to.Allow == nil {
		to.Allow = map[string][]string{}
	}
	to.Allow[name] = patterns
	return nil
}

const maxPatterns = 200

// allowKeys adds to keys those of [rebuilds.allow].
func (p *Policy) allowKeys(keys map[string]func(any) error) map[string]func(any) error {
	for name := range maps.Keys(settings) {
		keys["rebuilds.allow."+name] = func(v any) error { return allowed(v, name, p.rebuilds()) }
	}
	return keys
}
