package inspect

import (
	"go/version"
	"slices"
	"strings"
)

// recorded says since when the go command writes a setting into build information, as
// cmd/go/internal/load.setBuildInfo of each release does.
var recorded = []struct {
	// settings are keys. They end in a star for all keys that begin so.
	settings []string
	// since is the first release that has the setting, empty if that is older than build information.
	since string
	// from is the first release that records it.
	from string
}{
	{[]string{"-asmflags", "-compiler", "-gcflags", "-ldflags", "-msan", "-race", "-tags"}, "", "go1.18"},
	{[]string{"CGO_*", "GOARCH", "GOOS", "GO386", "GOARM", "GOMIPS", "GOMIPS64", "GOPPC64", "GOWASM"}, "", "go1.18"},
	{[]string{"GOEXPERIMENT"}, "go1.17", "go1.18"},
	{[]string{"-asan", "GOAMD64", "vcs*"}, "go1.18", "go1.18"},
	{[]string{"-trimpath"}, "", "go1.19"},
	{[]string{"-buildmode"}, "", "go1.20"},
	{[]string{"-pgo"}, "go1.20", "go1.20"},
	{[]string{"DefaultGODEBUG"}, "go1.21", "go1.21"},
	{[]string{"-cover"}, "go1.20", "go1.23"},
	{[]string{"GOARM64", "GORISCV64"}, "go1.23", "go1.23"},
	{[]string{"GOFIPS140"}, "go1.24", "go1.24"},
}

// Records reports whether the release of Go that made the binary writes the setting into build
// information. It is Unknown for a setting that this package does not know, and for a toolchain that
// is no release. No means that the absence of the setting says nothing.
func (f *Facts) Records(setting string) Answer {
	release := releaseOf(f.GoVersion)
	if release == "" {
		return Unknown
	}
	for _, row := range recorded {
		if slices.ContainsFunc(row.settings, func(key string) bool { return matches(key, setting) }) {
			return yesOrNo(version.Compare(release, row.from) >= 0)
		}
	}
	return Unknown
}

// matches reports whether a key of the table is that of a setting.
func matches(key, setting string) bool {
	if start, ok := strings.CutSuffix(key, "*"); ok {
		return strings.HasPrefix(setting, start)
	}
	return key == setting
}

// notRecorded returns the settings that the release has and does not record. With -trimpath, all
// releases but the first of Go 1.18 leave some more out.
func (f *Facts) notRecorded() []string {
	release := releaseOf(f.GoVersion)
	if release == "" {
		return nil
	}
	var list []string
	for _, row := range recorded {
		if version.Compare(release, row.from) < 0 && (row.since == "" || version.Compare(release, row.since) >= 0) {
			list = append(list, row.settings...)
		}
	}

	trimmed := f.Finding(Trimpath).Is == Yes && f.Records("-ldflags") == Yes
	if _, ok := f.setting("-ldflags"); trimmed && !ok {
		list = append(list, "-ldflags", "CGO_*FLAGS")
	}

	// Of the variables of architectures, one matters.
	own := "GO" + strings.ToUpper(strings.TrimSuffix(f.GOARCH, "le"))
	list = slices.DeleteFunc(list, func(key string) bool { return slices.Contains(archVariables, key) && key != own })
	slices.Sort(list)
	return list
}

// archVariables are the variables that older releases had for an architecture each.
var archVariables = []string{"GO386", "GOARM", "GOMIPS", "GOMIPS64", "GOPPC64", "GOWASM"}

// setting returns a recorded setting.
func (f *Facts) setting(key string) (string, bool) {
	if f.Build == nil {
		return "", false
	}
	return f.Build.Setting(key)
}

// settingText returns a setting as key=value, or says why there is none.
func (f *Facts) settingText(key string) string {
	if v, ok := f.setting(key); ok {
		return key + "=" + v
	}
	return f.absence(key)
}

// absence says why a setting is absent.
func (f *Facts) absence(key string) string {
	switch {
	case f.Records(key) == No:
		return releaseOf(f.GoVersion) + " does not record " + key
	case f.Build == nil || len(f.Build.Settings) == 0:
		return "no settings"
	}
	return "no setting " + key
}

// releaseOf returns the release in what a toolchain calls itself, without experiments. It is empty if
// that is no release.
func releaseOf(goVersion string) string {
	name, _, _ := strings.Cut(goVersion, " ")
	name, _, _ = strings.Cut(name, "-X:")
	if !release.MatchString(name) {
		return ""
	}
	return name
}
