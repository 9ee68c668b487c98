package pass

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// systemFolders are the folders of a host that hold programs and what these need to run.
var systemFolders = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
}

// systemMounts are the folders of the host that a pass sees, all of them read-only: systemFolders,
// and those that the user's PATH leads to. Of /opt a pass sees the packages whose programs are in
// PATH. Of a store it sees everything, since its packages need each other.
func systemMounts(path []string) []mount {
	dirs := slices.Clone(systemFolders)

	for _, dir := range path {
		places := []string{dir}
		if real, err := filepath.EvalSymlinks(dir); err == nil && inStore(dir) != "" {
			places = append(places, real)
		}
		for _, p := range places {
			if store := inStore(p); store != "" && !slices.Contains(dirs, store) {
				dirs = append(dirs, store)
			}
		}
	}

	var list []mount
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); err == nil {
			list = append(list, mount{From: dir, To: dir})
		}
	}
	return list
}

// inStore returns the folder that a pass sees for dir, if packages outside of the system lie there.
// Otherwise it returns "".
func inStore(dir string) string {
	for _, store := range []string{"/nix/store", "/gnu/store", "/run/current-system", "/home/linuxbrew/.linuxbrew"} {
		if under(store, dir) {
			return store
		}
	}

	rest, _ := strings.CutPrefix(filepath.Clean(dir), "/opt/")
	if name, _, _ := strings.Cut(rest, "/"); name != "" && rest != filepath.Clean(dir) {
		return "/opt/" + name
	}
	return ""
}

// visibleFolders returns those of the folders of PATH that systemMounts shows.
func visibleFolders(path []string) []string {
	mounts := systemMounts(path)
	return slices.DeleteFunc(slices.Clone(path), func(dir string) bool {
		return !slices.ContainsFunc(mounts, func(m mount) bool { return under(m.To, dir) })
	})
}
