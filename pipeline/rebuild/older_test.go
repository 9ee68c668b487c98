package rebuild

import (
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// silent is the build information of a release that records no settings.
const silent = `path	example.com/tool/cmd/tool
mod	example.com/tool	(devel)	
dep	example.com/dep	v1.0.0	` + sumB + `
`

// olderFacts are those of a file whose headers and paths tell what its release does not record.
func olderFacts(version, info, goos, goarch string, findings ...inspect.Finding) inspect.Facts {
	f := facts(version, info)
	f.Format, f.GOOS, f.GOARCH = inspect.ELF, goos, goarch
	f.Findings = append(findings, f.Findings...) // the first one counts
	return f
}

// TestOlder: what is not recorded comes from the file or is the default, flags that a release does
// not have are left out, and nothing is held against a file for what it could not say.
func TestOlder(t *testing.T) {
	trimmed, untrimmed := inspect.Finding{Name: inspect.Trimpath, Is: inspect.Yes}, inspect.Finding{Name: inspect.Trimpath, Is: inspect.No}
	pie := inspect.Finding{Name: inspect.PIE, Is: inspect.Yes}
	recorded := strings.NewReplacer("build\t-buildmode=pie\n", "", "v1.2.3\t\n", "(devel)\t\n").Replace(local)
	mac := olderFacts("go1.19.13", recorded, "linux", "arm", untrimmed)
	mac.Format = inspect.MachO
	for what, x := range map[string]struct {
		f          inspect.Facts
		argv       string
		env        []string
		flags      bool // are known
		unrecorded string
	}{
		"nothing": {olderFacts("go1.16.3", silent, "linux", "amd64", trimmed), "go build -mod=readonly -trimpath ./cmd/tool",
			[]string{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"}, false, "go1.16.3 records no settings"},
		"nothing, and paths":       {olderFacts("go1.17.13", silent, "windows", "386", untrimmed), "go build -mod=readonly ./cmd/tool", []string{"GOOS=windows", "GOARCH=386", "GO386=sse2"}, false, "go1.17.13 records no settings"},
		"nothing, for arm":         {olderFacts("go1.15.15", silent, "linux", "arm", trimmed, pie), "go build -mod=readonly -trimpath -buildmode=pie ./cmd/tool", []string{"GOARM=5"}, false, "go1.15.15 records no settings"},
		"nothing, for android":     {olderFacts("go1.16", silent, "android", "arm", trimmed), "go build -mod=readonly -trimpath ./cmd/tool", []string{"GOARM=7"}, false, "go1.16 records no settings"},
		"settings, but no modes":   {olderFacts("go1.19.13", recorded, "linux", "arm", untrimmed, pie), "go build -mod=readonly -buildvcs=true -tags=netgo,osusergo -buildmode=pie .", []string{"GOARM=7,hardfloat"}, true, ""},
		"no modes of another kind": {mac, "go build -mod=readonly -buildvcs=true -tags=netgo,osusergo .", nil, true, "go1.19.13 does not record -buildmode"},
		"settings, and no -trimpath": {olderFacts("go1.18.10", strings.Replace(recorded, "build\t-ldflags=\"-s -w\"\n", "", 1), "linux", "arm", trimmed),
			"go build -mod=readonly -buildvcs=true -tags=netgo,osusergo -trimpath .", nil, false, ""},
		"the first of Go 1.18": {olderFacts("go1.18", recorded, "linux", "arm", trimmed), "go build -mod=readonly -buildvcs=true -tags=netgo,osusergo -trimpath .", nil, true, ""},
	} {
		c, reason := parseClaim(x.f)
		if reason != nil {
			t.Errorf("%s: %v", what, reason)
			continue
		}
		r, err := c.recipe(recipe.Source{Module: c.main.Path, Version: "v1.2.3", Sum: sumA, Dir: "."}, recipe.Toolchain{Version: c.goVersion}, linking{}, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.Argv, " "); got != x.argv {
			t.Errorf("%s: %s, want %s", what, got, x.argv)
		}
		for _, kv := range x.env {
			if !slices.Contains(r.Env, kv) {
				t.Errorf("%s: no %s in %q", what, kv, r.Env)
			}
		}
		if c.ldflagsKnown != x.flags || !strings.HasPrefix(c.unrecorded, x.unrecorded) || (c.unrecorded == "") != (x.unrecorded == "") {
			t.Errorf("%s: linker flags known %v, %q", what, c.ldflagsKnown, c.unrecorded)
		}
		if (len(c.inferred) == 0) != (x.f.Format == inspect.MachO) || len(c.grounds()) != len(c.inferred) || c.whyInferred(recipe.Choice{Setting: "-tags"}) != "" {
			t.Errorf("%s: inferred %+v", what, c.inferred)
		}
	}

	for what, x := range map[string]struct {
		f    inspect.Facts
		kind verdict.Kind
	}{
		"paths that do not tell":    {olderFacts("go1.16.3", silent, "linux", "amd64"), verdict.Place},
		"a platform that no header": {olderFacts("go1.16.3", silent, "", "amd64", trimmed), verdict.UnknownPlatform},
		"cgo":                       {olderFacts("go1.16.3", silent, "linux", "amd64", trimmed, inspect.Finding{Name: inspect.Cgo, Is: inspect.Yes}), verdict.Cgo},
		"cgo, perhaps":              {olderFacts("go1.16.3", silent, "linux", "amd64", trimmed, inspect.Finding{Name: inspect.Cgo, Is: inspect.Unknown}), verdict.Cgo},
		"go get":                    {olderFacts("go1.15.15", strings.Replace(silent, "(devel)\t", "v1.2.3\t"+sumA, 1), "linux", "amd64", trimmed), verdict.Setting},
		"an experiment":             {olderFacts("go1.17.13 X:regabi", silent, "linux", "amd64", trimmed), verdict.UnknownToolchain},
		"a stamp":                   {olderFacts("go1.17.13", silent+"build\tvcs.revision="+rev+"\n", "linux", "amd64", trimmed), verdict.Unreadable},
	} {
		if c, reason := parseClaim(x.f); reason == nil || reason.Kind != x.kind {
			t.Errorf("%s: %+v, %+v, want %s", what, c, reason, x.kind)
		}
	}
}
