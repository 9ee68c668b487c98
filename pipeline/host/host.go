// Package host is what a run takes from the machine and its user. Command twice
// fills in one [Host], and both flows work with that: package pipeline forward,
// package rebuild in reverse. Nothing in either asks the process for its
// environment, its working folder or the time.
package host

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/gocmd"
)

// Host is a machine and its user.
type Host struct {
	// OS and Arch are the GOOS and GOARCH of this host, and CPUs its processors.
	OS, Arch string
	CPUs     int
	// Memory is how much of the machine's memory builds may use, in bytes.
	Memory int64
	// Now is the clock.
	Now func() time.Time
	// Env is the user's environment, for git, the module proxy and its
	// credentials. No build sees it.
	Env []string
	// HostEnv is what every process of this system needs.
	HostEnv []string
	// Path are the folders where programs are looked for.
	Path []string
	// Go and Git are the absolute paths of the commands, or empty.
	Go, Git string
	// Cache is the absolute path of a folder that outlives the run.
	Cache string
	// CacheMax bounds what toolchains in it take together, in bytes. Zero is no
	// bound.
	CacheMax int64
}

// ListGo returns the go command of the toolchain in goroot to list packages with.
// Its environment is closed as that of a build is, and env is the part of it that
// a recipe or the module cache decides. What the command keeps is below dir.
func (h Host) ListGo(goroot, dir string, env ...string) gocmd.Go {
	home := filepath.Join(dir, "home")
	return gocmd.Go{Path: gocmd.CommandPath(goroot), Env: slices.Concat(
		h.HostEnv,
		[]string{"HOME=" + home, "AppData=" + home, "LocalAppData=" + home, "USERPROFILE=" + home},
		env,
		[]string{
			"GOROOT=" + goroot,
			"GOCACHE=" + filepath.Join(dir, "list-cache"),
			"GOPATH=" + filepath.Join(home, "go"),
			"PATH=" + strings.Join(h.Path, string(filepath.ListSeparator)),
		},
	)}
}
