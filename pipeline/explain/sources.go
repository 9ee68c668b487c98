package explain

import (
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// SourceRoot is a folder of sources that has another path in the other file.
type SourceRoot struct {
	// Kind is "build folder", "GOROOT" or "module cache".
	Kind string `json:"kind"`
	A    string `json:"a"`
	B    string `json:"b"`
	// Example is the path of a file in the folder.
	Example string `json:"example"`
}

const (
	maxSources = 65536
	// runtimeFile is a file that every Go program has, below GOROOT.
	runtimeFile = "/src/runtime/proc.go"
)

// compareSources finds folders of source files that differ.
func (p *binaryPair) compareSources() {
	type set map[string]bool
	read := func(b *inspect.Binary) (set, bool) {
		s := set{}
		size := 0
		for path, err := range b.SourceFiles() {
			if err != nil || len(s) == maxSources || size > maxMemberNames {
				return s, err == nil
			}
			s[path] = true
			size += len(path)
		}
		return s, false
	}

	inA, cutA := read(p.binA)
	inB, cutB := read(p.binB)
	if cutA || cutB {
		p.c.noteText("not all source files were looked at")
	}

	// Only absolute paths name a folder of the machine.
	only := func(x, y set) []string {
		var list []string
		for path := range x {
			if !y[path] && isAbsolute(path) {
				list = append(list, path)
			}
		}
		slices.Sort(list)
		return list
	}

	onlyA, onlyB := only(inA, inB), only(inB, inA)

	// Two files belong together if their paths end with the same elements. The longest such end
	// wins.
	byBase := map[string][]string{}
	for _, path := range onlyB {
		base := path[strings.LastIndexAny(path, `/\`)+1:]
		byBase[base] = append(byBase[base], path)
	}

	// Each try compares two paths, and a hostile file has many of one name.
	tries := 1 << 20
	for _, path := range onlyA {
		best, other := "", ""
		for _, o := range byBase[path[strings.LastIndexAny(path, `/\`)+1:]] {
			if tries--; tries < 0 {
				return
			}
			if s := commonEnd(path, o); len(s) > len(best) {
				best, other = s, o
			}
		}
		if best == "" {
			continue
		}
		rootA, rootB, kind := path[:len(path)-len(best)], other[:len(other)-len(best)], rootBuild
		src := strings.Index(best, "/src/")

		// A folder is GOROOT if it has, in both files, a source that every program has.
		switch {
		case strings.Contains(best, "@v") || strings.Contains(rootA, "@v"):
			kind = rootModuleCache
		case src >= 0 && inA[path[:len(rootA)+src]+runtimeFile] && inB[other[:len(rootB)+src]+runtimeFile]:
			kind, rootA, rootB = rootGo, path[:len(rootA)+src], other[:len(rootB)+src]
		}

		root := SourceRoot{Kind: kind, A: cut(rootA), B: cut(rootB), Example: cut(path)}
		if !slices.ContainsFunc(p.diff.Sources, func(o SourceRoot) bool { return o.A == root.A && o.B == root.B && o.Kind == root.Kind }) && len(p.diff.Sources) < 16 {
			p.diff.Sources = append(p.diff.Sources, root)
		}
	}
}

// Kinds of folders of sources.
const (
	rootBuild       = "build folder"
	rootGo          = "GOROOT"
	rootModuleCache = "module cache"
)

// commonEnd returns the path elements that both paths end with, from a slash on.
func commonEnd(a, b string) string {
	a, b = strings.ReplaceAll(a, `\`, "/"), strings.ReplaceAll(b, `\`, "/")
	n, slash := 0, 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
		if a[len(a)-n] == '/' {
			slash = n
		}
	}
	return a[len(a)-slash:]
}

// isAbsolute reports whether s is an absolute path of Unix or Windows.
func isAbsolute(s string) bool {
	return strings.HasPrefix(s, "/") || len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/')
}
