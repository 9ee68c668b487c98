package rebuild

import (
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// TestHiddenCover: go build -cover of Go 1.20 to 1.22 is not recorded, and puts counters into the
// functions of the main module alone. An honest file of a clean clone has other instructions then
// than a build without the flag, and the standard library the same. That is no ground.
func TestHiddenCover(t *testing.T) {
	info := strings.Replace(local, "v1.2.3\t\n", "(devel)\t\n", 1)
	for _, version := range []string{"go1.20.14", "go1.21.13", "go1.22.12"} {
		f := facts(version, info)
		f.Format, f.GOOS, f.GOARCH = inspect.ELF, "linux", "arm"
		c, reason := parseClaim(f)
		if reason != nil {
			t.Fatal(version, reason)
		}
		file := facts(version, info)
		file.BuildID = &inspect.BuildID{LinkAction: "a", MainAction: "b", MainContent: "c"}
		file.Code = &inspect.Code{Text: 2000, Packages: []inspect.PackageSize{{Path: "example.com/tool"}, {Path: "runtime/coverage"}, {Path: "internal/coverage/rtcov"}}}
		other := facts(version, info)
		other.BuildID = &inspect.BuildID{LinkAction: "d", MainAction: "e", MainContent: "f"}
		other.Code = &inspect.Code{Text: 1000, Packages: []inspect.PackageSize{{Path: "example.com/tool"}}}
		a := &attempt{job: &job{facts: file, claim: c}}
		if ground, why := a.groundOf(&built{facts: other}); ground != groundNone {
			t.Errorf("%s: ground %s (%s), although -cover is not recorded and was given", version, ground, why)
		}
	}
}
