package pass

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Foreign are the circumstances of somebody else's build, which a pass repeats. They come from what
// that build left behind, so they may be anything.
type Foreign struct {
	// Source, GOROOT and ModCache are where that build had its source, its toolchain and its
	// modules, as absolute paths with slashes. They are empty where they do not matter because
	// paths were trimmed. A pass can have another path than this host's own only in namespaces.
	// Elsewhere [Local.Open] returns a [PlaceError].
	Source, GOROOT, ModCache string
	// Programs is a folder of this host whose programs come before the system's in PATH, or "".
	Programs string
	// Cache is a folder of this host for the build caches, each in a folder of its target's name
	// (Target.Slug). It is not removed. Without it the caches are in the workspace. A build trusts
	// what it finds there, and a stranger's build may write anything. So a folder that was given to
	// one must not be given to another.
	Cache string
	// MaxFile bounds the size of each file that a command writes, in bytes, where the system can.
	// Zero means no bound.
	MaxFile int64
}

// PlaceError is a path that a pass cannot give to a folder.
type PlaceError struct{ Path, Why string }

// Error says which path it is, and why a pass cannot have it.
func (e *PlaceError) Error() string { return fmt.Sprintf("%.300q: %s", e.Path, e.Why) }

// folders returns the paths that f gives.
func (f *Foreign) folders() []string {
	return slices.DeleteFunc([]string{f.Source, f.GOROOT, f.ModCache}, func(p string) bool { return p == "" })
}

// unplaceable are folders below which a pass needs its own things.
var unplaceable = []string{"/proc", "/dev", "/sys", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// checkFolders returns a [PlaceError] if a pass cannot have one of the paths.
func (f *Foreign) checkFolders() error {
	list := f.folders()
	for i, p := range list {
		switch {
		case !path.IsAbs(p), path.Clean(p) != p, len(p) > 1000, strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }):
			return &PlaceError{p, "want an absolute path in its shortest form"}
		case p == "/", p == "/tmp", p == "/usr", p == "/usr/bin", p == "/usr/lib", p == "/opt":
			return &PlaceError{p, "is a folder of the system"}
		case slices.ContainsFunc(unplaceable, func(dir string) bool { return under(dir, p) }):
			return &PlaceError{p, "lies in a folder of the system"}
		case slices.Contains(list[:i], p):
			return &PlaceError{p, "is two folders"}
		}
	}
	return nil
}

// under reports whether p is dir or below it. Both have slashes.
func under(dir, p string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// placeForeign puts the paths of Foreign in the places of those that chooseLayout chose.
func (s *localSession) placeForeign() error {
	f := s.Foreign
	if f == nil {
		return nil
	}
	if err := f.checkFolders(); err != nil {
		return err
	}

	if f.Cache != "" {
		s.outside.cache = f.Cache
		if !s.Confinement.Namespaces {
			s.inside.cache = f.Cache
		}
	}

	for _, x := range []struct {
		want string
		seen *string
	}{{f.Source, &s.inside.source}, {f.GOROOT, &s.inside.goroot}, {f.ModCache, &s.inside.modcache}} {
		if x.want == "" || x.want == filepath.ToSlash(*x.seen) {
			continue
		}
		if !s.Confinement.Namespaces {
			return &PlaceError{x.want, "a folder can be given this path only where there are namespaces"}
		}
		*x.seen = x.want
	}
	return nil
}

// foreignMounts returns the mounts of the system and those of a pass, as Foreign asks for.
func (s *localSession) foreignMounts(system, own []mount) []mount {
	if s.Foreign == nil {
		return append(system, own...)
	}

	for _, p := range s.Foreign.folders() {
		system = makeRoom(system, p)
	}

	if s.Foreign.Programs != "" {
		own = append(own, mount{From: s.Foreign.Programs, To: programsFolder})
	}
	// A mount in the folder of another one must come after it.
	slices.SortStableFunc(own, func(a, b mount) int { return len(a.To) - len(b.To) })
	return append(system, own...)
}

// programsFolder is where a pass in a root of its own sees Foreign.Programs.
const programsFolder = "/a/programs"

// programFolders returns the folder of Foreign.Programs as the pass sees it, if there is one.
func (s *localSession) programFolders() []string {
	switch {
	case s.Foreign == nil || s.Foreign.Programs == "":
		return nil
	case s.Confinement.Namespaces:
		return []string{programsFolder}
	}
	return []string{s.Foreign.Programs}
}

// makeRoom replaces each mount that p lies in by mounts of what is beside p. What is mounted is
// read-only, and otherwise no folder could be made at p.
func makeRoom(mounts []mount, p string) []mount {
	var list []mount
	for _, m := range mounts {
		if !under(m.To, p) {
			list = append(list, m)
			continue
		}
		if m.To == p {
			continue
		}
		next, _, _ := strings.Cut(p[len(m.To)+1:], "/")
		entries, err := os.ReadDir(m.From) // a symbolic link is none
		if err != nil {
			continue
		}
		for _, e := range entries {
			child := mount{From: filepath.Join(m.From, e.Name()), To: m.To + "/" + e.Name(), Write: m.Write}
			switch {
			case e.Name() != next:
				list = append(list, child)
			case e.IsDir():
				list = append(list, makeRoom([]mount{child}, p)...)
			}
		}
	}
	return list
}
