package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// fetchVariables are the variables that say how modules and toolchains are fetched. A
// release fetches them as these variables say, so no lint is about them.
var fetchVariables = []string{"GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOAUTH", "GOVCS"}

// ambientSettings lists, for a message, those NAME=value pairs that change a build by
// hand and no build of a release.
func (f *facts) ambientSettings(pairs []string) string {
	cgo := slices.ContainsFunc(f.Builds, func(b matrix.Build) bool { return b.Options.Cgo })

	var names []string
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")

		// A variable that only says where things lie does not change a build.
		known := slices.ContainsFunc(recipe.KnownVariables, func(v recipe.Variable) bool {
			decides := v.Role == recipe.Fixed || v.Role == recipe.Chosen || v.Role == recipe.CgoOnly && cgo
			return v.Name == name && decides
		})
		if !known || value == "" || slices.Contains(fetchVariables, name) {
			continue
		}

		switch {
		case name == "GOWORK" && value != "off", name == "GOENV" && value != "off":
			continue // ambient-gowork and ambient-goenv are about these
		case name == "GOWORK", name == "GOENV", name == "GO111MODULE" && (value == "on" || value == "auto"):
			continue // twice sets the same
		}

		// The value is the user's, so it can be long and hold anything.
		if len(value) > 40 {
			value = value[:40] + "..."
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			value = fmt.Sprintf("%q", value)
		}
		names = append(names, name+"="+value)
	}
	slices.Sort(names)
	return firstNames(slices.Compact(names), 6)
}

// ambientEnvironment finds settings of the go command in the environment.
func ambientEnvironment(f *facts) []Finding {
	settings := f.ambientSettings(f.Machine.Env)
	if settings == "" {
		return nil
	}
	return []Finding{{Message: "the environment has " + settings + ", which twice does not heed"}}
}

// ambientGoEnv finds settings that go env -w wrote.
func ambientGoEnv(f *facts) []Finding {
	var pairs []string
	for line := range strings.Lines(string(f.Machine.GoEnv)) {
		pairs = append(pairs, strings.TrimSpace(line))
	}
	settings := f.ambientSettings(pairs)
	if settings == "" {
		return nil
	}
	return []Finding{{Message: f.Machine.GoEnvFile + " has " + settings + ", which twice does not heed"}}
}

// ambientGoWork finds a go.work file.
func ambientGoWork(f *facts) []Finding {
	if f.Machine.GoWork == "" {
		return nil
	}
	return []Finding{{Message: f.Machine.GoWork + " takes no part: twice builds the module as its go.mod has it"}}
}

// publishedGo is the version of a published Go.
var publishedGo = regexp.MustCompile(`^go1\.[0-9]+(\.[0-9]+|rc[0-9]+|beta[0-9]+)?$`)

// patchedGo finds an installed Go whose version nobody published.
func patchedGo(f *facts) []Finding {
	v := f.Machine.GoVersion
	switch {
	case v == "" || publishedGo.MatchString(v):
		return nil
	case f.File.Toolchain.Unpublished:
		return []Finding{{Key: "toolchain.unpublished", Message: fmt.Sprintf("the installed Go calls itself %q, which nobody published, and is accepted here", v)}}
	}
	return []Finding{{Severity: Note, Message: fmt.Sprintf("the installed Go calls itself %q, which nobody published: twice fetches %s", v, f.Toolchain)}}
}
