package matrix

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Port is a pair of GOOS and GOARCH that a toolchain can build for, and what it
// says about it.
type Port struct {
	OS, Arch string
	// CgoSupported tells whether cgo exists on the port at all.
	CgoSupported bool
	// FirstClass tells whether a broken port blocks a Go release
	// (https://go.dev/wiki/PortingPolicy).
	FirstClass bool
	// Broken tells that the Go project itself calls the port broken.
	Broken bool
}

// maxPorts bounds what a toolchain may list; Go 1.26 has 50.
const maxPorts = 1000

// ParsePorts reads the output of `go tool dist list -json`: an array of objects
// with GOOS, GOARCH, CgoSupported, FirstClass and, where it is true, Broken.
func ParsePorts(r io.Reader) ([]Port, error) {
	var list []struct {
		GOOS, GOARCH             string
		CgoSupported, FirstClass bool
		Broken                   bool
	}
	dec := json.NewDecoder(io.LimitReader(r, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("list of ports: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("list of ports: text after its end")
	}
	if len(list) == 0 || len(list) > maxPorts {
		return nil, fmt.Errorf("list of ports: %d ports", len(list))
	}
	seen := map[string]bool{}
	var ports []Port
	for _, p := range list {
		name := p.GOOS + "/" + p.GOARCH
		if p.GOOS == "" || p.GOARCH == "" || seen[name] {
			return nil, fmt.Errorf("list of ports: %q: empty or twice", name)
		}
		seen[name] = true
		ports = append(ports, Port{p.GOOS, p.GOARCH, p.CgoSupported, p.FirstClass, p.Broken})
	}
	return ports, nil
}

// knownOS and knownArch are the names of Go 1.26's ports. A toolchain with a
// port beyond them needs a newer twice: what its build modes can do is not
// known here.
var (
	knownOS   = names(func(p Port) string { return p.OS })
	knownArch = names(func(p Port) string { return p.Arch })
)

func names(of func(Port) string) []string {
	var list []string
	for _, p := range knownPorts {
		list = append(list, of(p))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// knownPorts is distInfo of internal/platform in Go 1.26.
var knownPorts = []Port{
	{OS: "aix", Arch: "ppc64", CgoSupported: true},
	{OS: "android", Arch: "386", CgoSupported: true},
	{OS: "android", Arch: "amd64", CgoSupported: true},
	{OS: "android", Arch: "arm", CgoSupported: true},
	{OS: "android", Arch: "arm64", CgoSupported: true},
	{OS: "darwin", Arch: "amd64", CgoSupported: true, FirstClass: true},
	{OS: "darwin", Arch: "arm64", CgoSupported: true, FirstClass: true},
	{OS: "dragonfly", Arch: "amd64", CgoSupported: true},
	{OS: "freebsd", Arch: "386", CgoSupported: true},
	{OS: "freebsd", Arch: "amd64", CgoSupported: true},
	{OS: "freebsd", Arch: "arm", CgoSupported: true},
	{OS: "freebsd", Arch: "arm64", CgoSupported: true},
	{OS: "freebsd", Arch: "riscv64", CgoSupported: true, Broken: true},
	{OS: "illumos", Arch: "amd64", CgoSupported: true},
	{OS: "ios", Arch: "amd64", CgoSupported: true},
	{OS: "ios", Arch: "arm64", CgoSupported: true},
	{OS: "js", Arch: "wasm"},
	{OS: "linux", Arch: "386", CgoSupported: true, FirstClass: true},
	{OS: "linux", Arch: "amd64", CgoSupported: true, FirstClass: true},
	{OS: "linux", Arch: "arm", CgoSupported: true, FirstClass: true},
	{OS: "linux", Arch: "arm64", CgoSupported: true, FirstClass: true},
	{OS: "linux", Arch: "loong64", CgoSupported: true},
	{OS: "linux", Arch: "mips", CgoSupported: true},
	{OS: "linux", Arch: "mips64", CgoSupported: true},
	{OS: "linux", Arch: "mips64le", CgoSupported: true},
	{OS: "linux", Arch: "mipsle", CgoSupported: true},
	{OS: "linux", Arch: "ppc64"},
	{OS: "linux", Arch: "ppc64le", CgoSupported: true},
	{OS: "linux", Arch: "riscv64", CgoSupported: true},
	{OS: "linux", Arch: "s390x", CgoSupported: true},
	{OS: "linux", Arch: "sparc64", CgoSupported: true, Broken: true},
	{OS: "netbsd", Arch: "386", CgoSupported: true},
	{OS: "netbsd", Arch: "amd64", CgoSupported: true},
	{OS: "netbsd", Arch: "arm", CgoSupported: true},
	{OS: "netbsd", Arch: "arm64", CgoSupported: true},
	{OS: "openbsd", Arch: "386", CgoSupported: true},
	{OS: "openbsd", Arch: "amd64", CgoSupported: true},
	{OS: "openbsd", Arch: "arm", CgoSupported: true},
	{OS: "openbsd", Arch: "arm64", CgoSupported: true},
	{OS: "openbsd", Arch: "mips64", CgoSupported: true, Broken: true},
	{OS: "openbsd", Arch: "ppc64"},
	{OS: "openbsd", Arch: "riscv64", CgoSupported: true},
	{OS: "plan9", Arch: "386"},
	{OS: "plan9", Arch: "amd64"},
	{OS: "plan9", Arch: "arm"},
	{OS: "solaris", Arch: "amd64", CgoSupported: true},
	{OS: "wasip1", Arch: "wasm"},
	{OS: "windows", Arch: "386", CgoSupported: true, FirstClass: true},
	{OS: "windows", Arch: "amd64", CgoSupported: true, FirstClass: true},
	{OS: "windows", Arch: "arm64", CgoSupported: true},
}

func findPort(ports []Port, os, arch string) (Port, bool) {
	for _, p := range ports {
		if p.OS == os && p.Arch == arch {
			return p, true
		}
	}
	return Port{}, false
}

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

// internalLinkPIESupported tells whether Go's own linker can write the port's
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

// defaultPIE tells whether the port's executables are PIE unless told otherwise.
func defaultPIE(os, _ string) bool {
	switch os {
	case "android", "ios", "windows", "darwin":
		return true
	}
	return false
}

// mustLinkExternal tells whether the port needs the C compiler's linker.
func mustLinkExternal(os, arch string, cgo bool) bool {
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

// alwaysPIE tells whether the system or the linker makes a PIE whatever is
// asked for: Apple's and Android's loaders want nothing else, and on
// windows/arm64 cmd/link takes -buildmode=exe for pie without a word.
func alwaysPIE(os, arch string) bool {
	switch os {
	case "darwin", "ios", "android":
		return true
	}
	return os == "windows" && arch == "arm64"
}

// buildMode resolves pie (auto, on or off) for a port into the value of
// -buildmode, "" where the flag is left out. An error says why pie cannot be
// had, hint what to do.
func buildMode(pie, os, arch string, cgo bool) (mode, hint string, err error) {
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
