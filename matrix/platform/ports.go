// Package platform knows the operating systems and architectures that Go builds
// for: the ports, the variants of an architecture, the build modes of a port, and
// the names that platforms have in images. Its tables are those of Go 1.26, and
// tests compare them with the Go tree.
package platform

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Port is a pair of GOOS and GOARCH that a toolchain can build for, and what the
// toolchain says about it.
type Port struct {
	OS, Arch string
	// CgoSupported reports whether cgo exists on the port at all.
	CgoSupported bool
	// FirstClass reports whether a broken port blocks a Go release
	// (https://go.dev/wiki/PortingPolicy).
	FirstClass bool
	// Broken reports whether the Go project itself calls the port broken.
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

// KnownOS and KnownArch are the names of Go 1.26's ports. A toolchain with a
// port beyond them needs a newer twice: what its build modes can do is not
// known here.
var (
	KnownOS   = names(func(p Port) string { return p.OS })
	KnownArch = names(func(p Port) string { return p.Arch })
)

// names returns a part of every port's name, sorted and without repetitions.
func names(of func(Port) string) []string {
	var list []string
	for _, p := range KnownPorts {
		list = append(list, of(p))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// KnownPorts is distInfo of internal/platform in Go 1.26.
var KnownPorts = []Port{
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

// FindPort returns the port of that name among ports, and whether it is there.
func FindPort(ports []Port, os, arch string) (Port, bool) {
	for _, p := range ports {
		if p.OS == os && p.Arch == arch {
			return p, true
		}
	}
	return Port{}, false
}
