package pass

import "path/filepath"

// layout says where things are in one pass, and how its user and host are called. Below cache,
// home, temp and out each job has a folder of its own: see forJob.
type layout struct {
	source, goroot, modcache, cache, home, temp, out string
	user, group                                      int
	hostName, domainName                             string
}

// forJob returns l for one job: cache, home, temp and out are the folders of that job.
func (l layout) forJob(job string) layout {
	for _, dir := range []*string{&l.cache, &l.home, &l.temp, &l.out} {
		*dir = filepath.Join(*dir, job)
	}
	return l
}

// Where things are in the two passes. The paths differ in every component and in
// length.
var (
	layoutA = layout{
		source: "src", goroot: "go", modcache: "mod", cache: "cache", home: "home", temp: "tmp", out: "out",
		user: 1000, group: 1000, hostName: "twice-a", domainName: "first.invalid",
	}
	layoutB = layout{
		source: "work/tree-of-the-second-pass", goroot: "toolchain/golang", modcache: "module-downloads", cache: "compiled/objects",
		home: "users/second", temp: "scratch", out: "results",
		user: 4242, group: 2424, hostName: "the-host-of-pass-b", domainName: "second.invalid",
	}
)

// chooseLayout decides on the paths, names and ids of the pass.
func (s *localSession) chooseLayout() {
	dirA, dirB := filepath.Join(s.Dir, "a"), filepath.Join(s.Dir, "b-second-pass")
	switch s.pass {
	case A:
		s.dirs = []string{dirA}
	case B:
		s.dirs = []string{dirB}
	default:
		s.dirs = []string{dirA, dirB}
	}

	s.root = filepath.Join(s.dirs[0], "root")

	below := func(a, b string) layout {
		at := func(name Factor, inA, inB string) string {
			return choose(s.varied(name), filepath.Join(a, inA), filepath.Join(b, filepath.FromSlash(inB)))
		}
		return layout{
			source: at(sourcePath, layoutA.source, layoutB.source), goroot: at(gorootPath, layoutA.goroot, layoutB.goroot),
			modcache: at(modulePath, layoutA.modcache, layoutB.modcache), cache: at(cachePath, layoutA.cache, layoutB.cache),
			home: at(homePath, layoutA.home, layoutB.home), temp: at(tempPath, layoutA.temp, layoutB.temp),
			out: at(tempPath, layoutA.out, layoutB.out),
		}
	}
	s.outside = below(dirA, dirB)

	// Without a root of its own a command sees the paths of this machine. What is not varied is not
	// copied either.
	if !s.Confinement.Namespaces {
		if !s.varied(gorootPath) {
			s.outside.goroot = s.GOROOT
		}
		if !s.varied(modulePath) {
			s.outside.modcache = s.ModCache
		}
		s.inside = s.outside
		return
	}

	s.outside.goroot, s.outside.modcache = s.GOROOT, s.ModCache
	s.inside = below("/a", "/var/lib/second-pass")

	s.inside.user, s.inside.group = choose(s.varied(userName), layoutA.user, layoutB.user), choose(s.varied(groupName), layoutA.group, layoutB.group)
	s.inside.hostName, s.inside.domainName = choose(s.varied(hostName), layoutA.hostName, layoutB.hostName), choose(s.varied(domainName), layoutA.domainName, layoutB.domainName)
}

// choose returns a, as in pass A, or b where it is varied.
func choose[T any](varied bool, a, b T) T {
	if varied {
		return b
	}
	return a
}

// moduleDir is the folder of the main module, as commands see it.
func (s *localSession) moduleDir() string {
	return filepath.Join(s.inside.source, filepath.FromSlash(s.ModuleDir))
}
