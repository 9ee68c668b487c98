// Package host is what a run takes from the machine and its user. Command twice
// fills in one [Host], and both flows work with that: package pipeline forward,
// package rebuild in reverse. Nothing in either asks the process for its
// environment, its working folder, its processors or the time.
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
	// OS and Arch are the GOOS and GOARCH of this host.
	OS, Arch string
	// CPUs is how many processors it has.
	CPUs int
	// Memory is how much of the machine's memory builds may use, in bytes.
	Memory int64
	// Now is the clock.
	Now func() time.Time
	// UserEnv is the environment of the user, for git, the module proxy and its credentials. No
	// build sees it.
	UserEnv []string
	// SystemEnv is what every process of this operating system needs, builds included, such as
	// SystemRoot on Windows.
	SystemEnv []string
	// Path are the folders where programs are looked for.
	Path []string
	// Go and Git are the absolute paths of the commands, or empty.
	Go, Git string
	// Cache is the absolute path of a folder that outlives the run.
	Cache string
	// CacheMax bounds what the toolchains in Cache take together, in bytes. Zero is no bound.
	CacheMax int64
}

// ListGo returns the go command that lists packages, of the toolchain in goroot. Its environment
// is as closed as that of a build. The part of it that a recipe or the module cache decides is
// env. The command keeps its own files below dir.
func (h Host) ListGo(goroot, dir string, env ...string) gocmd.Go {
	home := filepath.Join(dir, "home")
	return gocmd.Go{Path: gocmd.CommandPath(goroot), Env: slices.Concat(
		h.SystemEnv,
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
