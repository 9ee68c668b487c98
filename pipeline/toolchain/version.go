package toolchain

import (
	"fmt"
	"go/version"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/twicebuild/twice/pipeline/fault"
)

const exactVersion = "write the exact version, such as go1.26.8, as the toolchain's version in the release file or as the toolchain line of go.mod"

var versionPattern = regexp.MustCompile(`^go1\.(0|[1-9]\d{0,3})(\.\d{1,4})?(rc\d{1,3}|beta\d{1,3})?$`)

// ParseVersion reads the version of one Go release, such as "go1.26.8",
// "go1.27rc1" or, before Go 1.21, "go1.20", and returns it. Everything else is
// an error with a remedy: "1.26" and "go1.26" are versions of the language, and
// a suffix ("go1.26.8-custom") names what is not published.
func ParseVersion(s string) (string, error) {
	m := versionPattern.FindStringSubmatch(s)
	if m == nil {
		return "", fault.WithRemedy(fault.Usage(fmt.Errorf("go version %q: want one release, such as go1.26.8", s)), exactVersion)
	}
	if m[2] == "" && m[3] == "" && version.Compare(s, "go1.21") >= 0 {
		return "", fault.WithRemedy(fault.Usage(fmt.Errorf("go version %q: a version of the language names no toolchain", s)), exactVersion)
	}
	return s, nil
}

// ExactVersion returns the release that a go.mod file names: its toolchain
// line or, without one, a go line with a patch level (since Go 1.21, such as
// "go 1.26.8") or a release candidate. A go line such as "go 1.26" names no
// release, which is an error with a remedy; so is a toolchain older than the go
// line, which the go command would not use.
func ExactVersion(gomod []byte) (string, error) {
	f, err := modfile.Parse("go.mod", gomod, nil) // ParseLax would pass over the toolchain line
	if err != nil {
		return "", fmt.Errorf("go version: %w", err)
	}

	language := "go1.16" // what the go command takes where there is no go line
	if f.Go != nil {
		language = "go" + f.Go.Version
	}

	// Since Go 1.21 a go line can name a release, too.
	if f.Toolchain == nil || f.Toolchain.Name == "default" {
		v, err := ParseVersion(language)
		if err != nil || version.Compare(v, "go1.21") < 0 {
			return "", fault.WithRemedy(fault.Usage(fmt.Errorf("go.mod names no toolchain: its go version is %s", strings.TrimPrefix(language, "go"))), exactVersion)
		}
		return v, nil
	}

	v, err := ParseVersion(f.Toolchain.Name)
	if err != nil {
		return "", fmt.Errorf("go.mod: %w", err)
	}
	if version.Compare(v, language) < 0 {
		return "", fault.WithRemedy(fault.Usage(fmt.Errorf("go.mod: toolchain %s is older than go %s", v, strings.TrimPrefix(language, "go"))), "run go get toolchain@"+language)
	}
	return v, nil
}
