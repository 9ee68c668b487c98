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

// A rebuild shows that a source compiles to a file with some settings. A policy bounds the settings
// that the publisher chose: each value is taken apart, and each part has to match a pattern. No
// policy allows a setting that is not in the table.

// setting is how values of a setting are bounded.
type setting struct {
	// parts takes a value apart; nil leaves it whole.
	parts func(value string) []string
	// standard are the patterns of what is allowed where the policy does not say it:
	// what changes nothing that the program does.
	standard []string
}

// settings are those that a policy can bound. No policy can allow another one.
var settings = map[string]setting{
	recipe.StampSetting: {},
	recipe.LinkSetting:  {splitWords, []string{"-s", "-w", "-s=*", "-w=*", "-buildid=*", "-B=*", "-extldflags=-static"}},

	"-tags": {splitCommas, nil},

	recipe.FilesSetting: {strings.Fields, nil},

	"-gcflags":  {nil, []string{"cmd/...=-dwarf=false"}}, // of the tools of every release of Go
	"-asmflags": {},

	"-buildmode": {nil, []string{"exe", "pie"}},
	"-pgo":       {nil, []string{"off"}},
	"-trimpath":  {nil, []string{"", "true"}},

	"CGO_ENABLED":  {nil, []string{"0", "1"}}, // no C is in what twice rebuilds
	"GOEXPERIMENT": {splitCommas, nil},
	"GOFIPS140":    {},

	// The level of the processor is a part of the target.
	"GO386": anyValue, "GOAMD64": anyValue, "GOARM": anyValue, "GOARM64": anyValue, "GOMIPS": anyValue, "GOMIPS64": anyValue,
	"GOPPC64": anyValue, "GORISCV64": anyValue, "GOWASM": anyValue,

	// Words about the build that the program only repeats.
	"vcs.revision": anyValue, "vcs.time": anyValue, "vcs.modified": anyValue,
	"GOROOT": anyValue, "GOMODCACHE": anyValue, "source-folder": anyValue,
}

// anyValue is a setting that may have any value, unless the policy bounds it.
var anyValue = setting{nil, []string{"*"}}

// splitWords takes a command line apart. One that is none is left whole.
func splitWords(value string) []string {
	list, err := matrix.Split(value)
	if err != nil {
		return []string{value}
	}
	return list
}

// splitCommas takes a list with commas apart.
func splitCommas(value string) []string { return strings.Split(value, ",") }

// matches reports whether a pattern stands for a value. A star stands for any text. For -X, a
// pattern without "=" is a variable with any value.
func matches(name, pattern, value string) bool {
	if name == recipe.StampSetting && !strings.Contains(pattern, "=") {
		pattern += "=*"
	}
	pattern = strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `(?s:.*)`)
	ok, err := regexp.MatchString(`\A`+pattern+`\z`, value)
	return ok && err == nil
}

// refusal says why the settings of a rebuild are not allowed, in the words of those who are to
// allow them. It is empty if they are.
func (b *Rebuilds) refusal(result *rebuilt.Result) string {
	const maxShown = 3
	var list []string
	hidden := 0
	for _, c := range result.Choices() {
		how := b.howToAllow(c)
		if how == "" {
			continue
		}

		// A file may have any number of settings.
		if len(list) == maxShown {
			hidden++
			continue
		}

		what := fmt.Sprintf("%.200q", c)
		if m := c.Meaning(); m != "" {
			what += " (" + m + ")"
		}
		list = append(list, what+", "+how)
	}

	if hidden > 0 {
		list = append(list, fmt.Sprintf("and %d more", hidden))
	}
	return strings.Join(list, "; ")
}

// howToAllow says how a setting would be allowed. It is empty if it is.
func (b *Rebuilds) howToAllow(c recipe.Choice) string {
	s, known := settings[c.Setting]
	if !known {
		return "a setting that this twice does not know, and no policy can allow"
	}

	// The policy's patterns for a setting replace the standard ones, and add nothing to them.
	patterns, own := b.Allow[c.Setting]
	if !own {
		patterns = s.standard
	}

	parts := []string{c.Value}
	if s.parts != nil {
		parts = s.parts(c.Value)
	}
	// What is left out of a list of files is not compiled, so each pattern has to match one.
	if i := slices.IndexFunc(patterns, func(p string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return matches(c.Setting, p, part) })
	}); c.Setting == recipe.FilesSetting && i >= 0 {
		return fmt.Sprintf("which leaves out %.200q of [rebuilds.allow]", patterns[i])
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

// readPatterns reads the patterns for one setting.
func readPatterns(v any, name string, to *Rebuilds) error {
	l, ok := v.([]any)
	if !ok {
		return fmt.Errorf("want a list of strings, not %s", typeName(v))
	}
	// An empty list is one too: nothing is allowed.
	patterns := []string{}
	for _, e := range l {
		s, ok := e.(string)
		switch {
		case !ok:
			return fmt.Errorf("want a list of strings, not of %s", typeName(e))
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

// addAllowReaders adds the keys of [rebuilds.allow] to keys.
func (p *Policy) addAllowReaders(keys map[string]func(any) error) map[string]func(any) error {
	for name := range maps.Keys(settings) {
		keys["rebuilds.allow."+name] = func(v any) error { return readPatterns(v, name, p.rebuilds()) }
	}
	return keys
}
