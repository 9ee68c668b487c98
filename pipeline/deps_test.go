package pipeline

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/twicebuild/twice/"

// depsRules says for every package of this module which others of it may
// import. It is the map of the code: values at the top, then the stages, which
// meet in these values and never import each other, then what puts them
// together. Tests may import more.
var depsRules = map[string]string{
	// Values.
	"matrix/internal/spelling": "",
	"matrix/lintid":            "",
	"matrix/tomlfile":          "",
	"matrix/platform":          "matrix/internal/spelling",
	"matrix/reference":         "",
	"matrix":                   "matrix/internal/spelling matrix/lintid matrix/platform matrix/reference matrix/tomlfile",
	"pipeline/artifact":        "pipeline/fsx",
	"pipeline/recipe":          "matrix pipeline/artifact",
	"attest/intoto":            "pipeline/artifact pipeline/safetext",

	// Tools of the stages, which know nothing of a release.
	"pipeline/fault":     "",
	"pipeline/fsx":       "",
	"pipeline/safetext":  "",
	"pipeline/shell":     "",
	"pipeline/process":   "",
	"pipeline/progress":  "",
	"pipeline/httpguard": "pipeline/fault",
	"pipeline/purl":      "",
	"pipeline/gocmd":     "pipeline/fault pipeline/process pipeline/recipe",
	"pipeline/host":      "pipeline/gocmd",
	"pipeline/layertree": "",
	"pipeline/image":     "matrix pipeline/artifact",
	"pipeline/inspect":   "pipeline/safetext pipeline/shell",
	"pipeline/explain":   "pipeline/artifact pipeline/inspect pipeline/safetext",

	// Stages.
	"pipeline/source":    "pipeline/fault pipeline/fsx pipeline/gocmd pipeline/process pipeline/recipe",
	"pipeline/toolchain": "pipeline/fault pipeline/fsx pipeline/gocmd",
	"pipeline/modules":   "pipeline/fault pipeline/fsx pipeline/gocmd pipeline/recipe",
	"pipeline/pass":      "pipeline/artifact pipeline/fault pipeline/fsx pipeline/process pipeline/recipe",
	"pipeline/workspace": "pipeline/fsx",
	"pipeline/output":    "pipeline/fault pipeline/fsx",
	"pipeline/compare":   "pipeline/artifact",
	"pipeline/archive":   "pipeline/artifact",
	"pipeline/sbom":      "pipeline/artifact pipeline/inspect pipeline/purl",
	"pipeline/image/oci": `matrix matrix/platform matrix/reference pipeline/artifact pipeline/fault pipeline/image
		pipeline/layertree`,
	"pipeline/registry": "pipeline/artifact pipeline/fault pipeline/fsx pipeline/httpguard pipeline/safetext",
	"pipeline/lint":     "matrix matrix/lintid matrix/reference pipeline/recipe pipeline/safetext",

	// The record holds what the stages found, as they say it.
	"pipeline/record": `matrix pipeline/artifact pipeline/compare pipeline/explain pipeline/image pipeline/pass pipeline/recipe
		pipeline/safetext`,

	// The reverse flow begins with what somebody names.
	"pipeline/subject": `matrix/platform matrix/reference pipeline/artifact pipeline/distfiles pipeline/fault pipeline/fsx
		pipeline/httpguard pipeline/inspect pipeline/layertree pipeline/process pipeline/record pipeline/registry
		pipeline/safetext`,

	// What is said of a release, and who says it.
	"attest/slsa": `attest/intoto matrix pipeline/artifact pipeline/compare pipeline/image pipeline/pass pipeline/purl
		pipeline/recipe pipeline/record`,
	"attest/rebuilt": `attest/intoto matrix pipeline/artifact pipeline/compare pipeline/inspect pipeline/purl pipeline/recipe`,
	"attest/policy": `attest attest/intoto attest/rebuilt attest/slsa matrix matrix/tomlfile pipeline/artifact pipeline/compare
		pipeline/recipe pipeline/safetext`,
	"attest/key": "pipeline/artifact pipeline/fault pipeline/fsx pipeline/process pipeline/safetext",
	"attest":     "attest/filesig attest/intoto pipeline/artifact pipeline/fault",

	// Other forms of signatures.
	"attest/convert": "attest/intoto pipeline/artifact",
	"attest/filesig": "pipeline/artifact",

	// Where the tokens come from, and a stand-in for the servers in tests.
	"attest/identity":   "pipeline/fault pipeline/safetext",
	"attest/attesttest": "",

	// The names of what is in a dist: one writes it by these, and another judges it.
	"pipeline/distfiles": `attest/intoto attest/slsa matrix pipeline/artifact pipeline/image/oci pipeline/pass
		pipeline/record pipeline/sbom`,

	// The judgement of the dist that a release replaces.
	"pipeline/olddist": `attest attest/intoto attest/slsa pipeline/artifact pipeline/distfiles pipeline/fault pipeline/fsx
		pipeline/output pipeline/record`,

	// What is kept from run to run.
	"pipeline/cache": "pipeline/fsx pipeline/toolchain pipeline/workspace",

	// The judgement of what is published: signatures and statements.
	"attest/verify": `attest attest/convert attest/filesig attest/intoto attest/key attest/policy attest/rebuilt attest/slsa matrix/reference
		pipeline/archive pipeline/artifact pipeline/distfiles pipeline/fault pipeline/fsx pipeline/recipe pipeline/record
		pipeline/registry`,

	// The forward flow, which has the signatures of base images judged.
	"pipeline": `attest attest/intoto attest/key attest/slsa attest/verify matrix matrix/platform matrix/reference
		pipeline/archive pipeline/artifact pipeline/compare pipeline/distfiles pipeline/explain pipeline/fault
		pipeline/fsx pipeline/gocmd pipeline/host pipeline/image pipeline/image/oci pipeline/lint pipeline/modules
		pipeline/olddist pipeline/output pipeline/pass pipeline/progress pipeline/recipe pipeline/record
		pipeline/registry pipeline/sbom pipeline/source pipeline/toolchain pipeline/workspace`,

	// The reverse flow.
	"pipeline/rebuild/verdict": `pipeline/artifact pipeline/compare pipeline/explain pipeline/inspect pipeline/recipe pipeline/safetext`,
	"pipeline/rebuild/internal/sandbox": `matrix pipeline/artifact pipeline/compare pipeline/fault pipeline/fsx pipeline/gocmd pipeline/host
		pipeline/pass pipeline/rebuild/verdict pipeline/toolchain pipeline/workspace`,
	"pipeline/rebuild/gotree": `matrix pipeline/artifact pipeline/compare pipeline/explain pipeline/fault pipeline/fsx pipeline/gocmd
		pipeline/inspect pipeline/pass pipeline/rebuild/internal/sandbox pipeline/rebuild/verdict pipeline/recipe
		pipeline/shell pipeline/toolchain`,
	"pipeline/rebuild": `matrix pipeline/artifact pipeline/compare pipeline/explain pipeline/fault pipeline/fsx pipeline/gocmd
		pipeline/host pipeline/inspect pipeline/modules pipeline/pass pipeline/rebuild/gotree
		pipeline/rebuild/internal/sandbox pipeline/rebuild/verdict pipeline/recipe pipeline/shell pipeline/source
		pipeline/toolchain`,

	"pipeline/survey": `pipeline/artifact pipeline/compare pipeline/fault pipeline/fsx pipeline/rebuild/verdict pipeline/safetext`,

	// Wiring. Of the stages it sees no more than what a record or an error of
	// theirs says.
	"cmd/twice": `attest attest/filesig attest/identity attest/intoto attest/key attest/policy attest/rebuilt attest/slsa attest/verify
		matrix matrix/lintid matrix/platform matrix/reference matrix/tomlfile pipeline pipeline/artifact
		pipeline/cache pipeline/compare pipeline/distfiles pipeline/explain pipeline/fault pipeline/fsx
		pipeline/gocmd pipeline/host pipeline/httpguard pipeline/image pipeline/image/oci pipeline/inspect pipeline/lint pipeline/pass pipeline/progress
		pipeline/purl pipeline/rebuild pipeline/rebuild/gotree pipeline/rebuild/verdict pipeline/recipe
		pipeline/record pipeline/registry pipeline/safetext pipeline/sbom pipeline/shell pipeline/subject
		pipeline/survey pipeline/workspace`,

	// Black boxes: they run the command.
	"e2e": "",

	// Its tests speak for the library that signs, too.
	"e2e/conformance": "attest attest/intoto pipeline/artifact",
	"e2e/bench":       "",
}

// TestDependencies holds the direction of imports (as go/build/deps_test.go
// does in the Go tree). A package that is not in the list is an error, and so is
// a rule that nobody needs.
func TestDependencies(t *testing.T) {
	imports := map[string][]string{}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		cmd := exec.Command("go", "list", "-json=ImportPath,Imports", modulePath+"...")
		cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
			var p struct {
				ImportPath string
				Imports    []string
			}
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimPrefix(p.ImportPath, modulePath)
			imports[name] = append(imports[name], p.Imports...)
		}
	}
	if len(imports) < 10 {
		t.Fatalf("go list found %d packages", len(imports))
	}
	for _, complaint := range against(depsRules, imports) {
		t.Error(complaint)
	}
}

// against returns what is wrong with imports, by package.
func against(rules map[string]string, imports map[string][]string) []string {
	var complaints []string
	for name, list := range imports {
		rule, ok := rules[name]
		if !ok {
			complaints = append(complaints, name+": not in the list of packages")
			continue
		}
		allowed := strings.Fields(rule)
		for _, path := range list {
			if dep, ours := strings.CutPrefix(path, modulePath); ours && !slices.Contains(allowed, dep) {
				complaints = append(complaints, name+": must not import "+dep)
			}
		}
		for _, dep := range allowed {
			if !slices.Contains(list, modulePath+dep) {
				complaints = append(complaints, name+": may import "+dep+", and does not")
			}
		}
	}
	for name := range rules {
		if _, ok := imports[name]; !ok {
			complaints = append(complaints, name+": in the list, and there is no such package")
		}
	}
	slices.Sort(complaints)
	return complaints
}

// TestAgainst shows that the rules can be broken.
func TestAgainst(t *testing.T) {
	rules := map[string]string{"a": "", "b": "a", "gone": ""}
	imports := map[string][]string{
		"a": {"fmt", modulePath + "b"},
		"b": {"fmt"},
		"c": {modulePath + "a"},
	}
	want := []string{
		"a: must not import b",
		"b: may import a, and does not",
		"c: not in the list of packages",
		"gone: in the list, and there is no such package",
	}
	if got := against(rules, imports); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
