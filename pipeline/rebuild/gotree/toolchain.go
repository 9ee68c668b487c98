package gotree

import (
	"fmt"
	"go/version"
	"regexp"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/toolchain"
)

// Toolchain is a published Go toolchain as a subject: the module
// golang.org/toolchain at v0.0.1-VERSION.OS-ARCH (https://go.dev/doc/toolchain),
// which holds the tools and the source that they were made of.
type Toolchain struct {
	// Version is a release, such as "go1.26.8".
	Version string
	// OS and Arch are the platform that its tools run on.
	OS, Arch string
}

// oldestToolchain is the first release that is published as a module.
const oldestToolchain = "go1.21"

// Parse reads VERSION or VERSION/OS-ARCH, such as "go1.26.8/darwin-arm64". The default platform is
// the one of the host.
func Parse(s, hostOS, hostArch string) (Toolchain, error) {
	v, platform, given := strings.Cut(s, "/")
	if err := ParseRelease(v); err != nil {
		return Toolchain{}, err
	}

	d := Toolchain{v, hostOS, hostArch}
	if given {
		m := platformRE.FindStringSubmatch(platform)
		if m == nil {
			return Toolchain{}, fault.WithRemedy(fault.Usage(fmt.Errorf("platform %s: want GOOS-GOARCH", verdict.Quote(platform))), "write it as "+v+"/linux-amd64")
		}
		d.OS, d.Arch = m[1], m[2]
	}

	if _, err := d.target(""); err != nil {
		return Toolchain{}, fmt.Errorf("platform %w", err)
	}
	return d, nil
}

var platformRE = regexp.MustCompile(`^([a-z0-9]{1,20})-([a-z0-9]{1,20})$`)

var releaseRE = regexp.MustCompile(`^go1\.(0|[1-9]\d{0,3})(\.\d{1,4})?(rc\d{1,3})?$`)

// IsRelease reports whether v has the form of the name of a release of Go.
func IsRelease(v string) bool { return releaseRE.MatchString(v) }

// ParseRelease accepts the name of a release that is published as a module.
func ParseRelease(v string) error {
	if !IsRelease(v) {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s is no release of Go", verdict.Quote(v))), "write the exact version, such as go1.26.8")
	}
	if version.Compare(v, oldestToolchain) < 0 {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s is older than %s", v, oldestToolchain)), "Go publishes its toolchains as modules since "+oldestToolchain)
	}
	if _, err := toolchain.ParseVersion(v); err != nil {
		return err
	}
	return nil
}

// target is the platform, with a variant where it is given.
func (d Toolchain) target(variant string) (matrix.Target, error) {
	name := d.OS + "/" + d.Arch
	if variant != "" {
		name += "/" + variant
	}
	return matrix.ParseTarget(name)
}

const distributionPath = "golang.org/toolchain"

// module is the version of the module.
func (d Toolchain) module() string {
	return "v0.0.1-" + d.Version + "." + d.OS + "-" + d.Arch
}

// String returns what people call it.
func (d Toolchain) String() string { return "toolchain:" + d.Version + "/" + d.OS + "-" + d.Arch }
