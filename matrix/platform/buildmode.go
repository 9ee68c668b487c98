package platform

import "fmt"

// The functions below repeat those of the same names in internal/platform of
// Go 1.26 (https://go.dev/src/internal/platform/supported.go), for build modes
// exe and pie and without the race detector. A test compares them with that file.

// pieSupported is BuildModeSupported("gc", "pie", os, arch).
func pieSupported(os, arch string) bool {
	switch os + "/" + arch {
	case "linux/386", "linux/amd64", "linux/arm", "linux/arm64", "linux/loong64", "linux/ppc64le", "linux/riscv64", "linux/s390x",
		"android/amd64", "android/arm", "android/arm64", "android/386",
		"freebsd/amd64",
		"darwin/amd64", "darwin/arm64",
		"ios/amd64", "ios/arm64",
		"aix/ppc64",
		"openbsd/arm64",
		"windows/386", "windows/amd64", "windows/arm64":
		return true
	}
	return false
}

// internalLinkPIESupported reports whether Go's own linker can write the port's
// PIE, so that no C compiler is asked for.
func internalLinkPIESupported(os, arch string) bool {
	switch os + "/" + arch {
	case "android/arm64",
		"darwin/amd64", "darwin/arm64",
		"linux/amd64", "linux/arm64", "linux/loong64", "linux/ppc64le",
		"windows/386", "windows/amd64", "windows/arm64":
		return true
	}
	return false
}

// defaultPIE reports whether the port's executables are PIE unless told otherwise.
func defaultPIE(os, _ string) bool {
	switch os {
	case "android", "ios", "windows", "darwin":
		return true
	}
	return false
}

// MustLinkExternal reports whether the port needs the C compiler's linker.
func MustLinkExternal(os, arch string, cgo bool) bool {
	if cgo {
		switch arch {
		case "mips", "mipsle", "mips64", "mips64le":
			return true
		case "ppc64":
			if os == "aix" || os == "linux" {
				return true
			}
		}
		if os == "android" || os == "dragonfly" {
			return true
		}
	}

	return os == "android" && arch != "arm64" || os == "ios" && arch == "arm64"
}

// alwaysPIE reports whether an executable of the port is a PIE whatever is asked
// for. The loaders of Apple and Android want nothing else, and on windows/arm64
// cmd/link silently takes -buildmode=exe for pie.
func alwaysPIE(os, arch string) bool {
	switch os {
	case "darwin", "ios", "android":
		return true
	}
	return os == "windows" && arch == "arm64"
}

// BuildMode resolves pie (auto, on or off) for a port into the value of
// -buildmode, "" where the flag is left out. An error says why pie cannot be
// had, hint what to do.
func BuildMode(pie, os, arch string, cgo bool) (mode, hint string, err error) {
	switch {
	case pie == "auto":
		return "", "", nil
	case pie == "off" && alwaysPIE(os, arch):
		return "", `use "auto" there`, fmt.Errorf("%s/%s executables are always position independent", os, arch)
	case pie == "off":
		return "exe", "", nil
	case !pieSupported(os, arch):
		return "", `use "auto" there`, fmt.Errorf("go has no -buildmode=pie for %s/%s", os, arch)
	case defaultPIE(os, arch):
		return "", "", nil
	case !cgo && !internalLinkPIESupported(os, arch):
		return "", `use "auto" there, or cgo = true with a C compiler for it`,
			fmt.Errorf("go cannot link a PIE for %s/%s without a C compiler", os, arch)
	}
	return "pie", "", nil
}
