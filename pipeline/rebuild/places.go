package rebuild

import (
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// places finds out where a build that did not trim paths had its folders, from
// the paths of the source files in the binary. tree is the main module's source;
// it is nil for an installed module, which lies in the module cache.
func (c *claim) places(b *inspect.Binary, tree fs.FS) (*pass.Foreign, *verdict.Reason) {
	f := &pass.Foreign{}
	cached := c.cached()
	var files []string
	for name, err := range b.SourceFiles() {
		if err != nil || len(files) == maxSourceFiles {
			return nil, verdict.Because(verdict.Place, "it holds the paths of its build, which cannot be read")
		}
		files = append(files, name)
	}

	for _, name := range files {
		if strings.Contains(name, `\`) || len(name) > 2 && name[1] == ':' {
			return nil, verdict.Because(verdict.Place, "it was built without -trimpath on Windows (%s), where alone a folder can have that path", verdict.Quote(name))
		}
		if root, ok := strings.CutSuffix(name, "/src/runtime/proc.go"); ok && f.GOROOT == "" {
			f.GOROOT = root
		}
		for _, dir := range cached {
			if i := strings.Index(name, dir); i > 0 && f.ModCache == "" {
				f.ModCache = name[:i]
			}
		}
	}

	if f.GOROOT == "" {
		return nil, verdict.Because(verdict.Place, "it holds the paths of its build, and the toolchain's is not among them")
	}
	if f.ModCache == "" && len(cached) > 0 && (c.install || len(c.deps) > 0) && !c.vendored {
		return nil, verdict.Because(verdict.Place, "it holds the paths of its build, and the module cache's is not among them")
	}

	if tree == nil {
		return f, nil
	}
	f.Source = sourceRoot(files, f, tree)
	if f.Source == "" {
		return nil, verdict.Because(verdict.Place, "it holds the paths of its build, and none of them is that of a file of %s", c.main.Path)
	}
	return f, nil
}

const maxSourceFiles = 200_000

// cached returns the folders of modules in a module cache.
func (c *claim) cached() []string {
	var list []string
	add := func(p, v string) {
		p, err := module.EscapePath(p)
		if err != nil {
			return
		}
		if v, err = module.EscapeVersion(v); err == nil {
			list = append(list, "/"+p+"@"+v+"/")
		}
	}
	if c.install {
		add(c.main.Path, c.main.Version)
	}
	for _, d := range c.deps {
		if c.folders[d.Path] {
			continue // it is in the source
		}
		p, v := d.Path, d.Version
		if d.Replace != "" {
			p, v, _ = strings.Cut(d.Replace, "@")
		}
		add(p, v)
	}
	return list
}

// sourceRoot returns the folder that most of the files lie in at the same place as
// files of tree do, the toolchain's and the module cache's aside.
func sourceRoot(files []string, f *pass.Foreign, tree fs.FS) string {
	paths := map[string]bool{}
	fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(name, ".go") {
			paths[name] = true
		}
		return nil // what cannot be read has no functions in the binary
	})

	files = slices.DeleteFunc(slices.Clone(files), func(name string) bool {
		return strings.HasPrefix(name, f.GOROOT+"/") || f.ModCache != "" && strings.HasPrefix(name, f.ModCache+"/")
	})
	votes := map[string]int{}
	eachRoot(files, paths, func(root, _ string) { votes[root]++ })

	best := ""
	for root, n := range votes {
		if n > votes[best] || n == votes[best] && root < best {
			best = root
		}
	}
	return best
}

// eachRoot calls yield for each way in which a name is a folder and one of the paths in it. Both are
// a stranger's, and may be many: a name is looked at once for each of its last elements.
func eachRoot(names []string, paths map[string]bool, yield func(root, path string)) {
	const maxElements = 64
	for _, name := range names {
		at := len(name)
		for range maxElements {
			if at = strings.LastIndexByte(name[:at], '/'); at < 0 {
				break
			}
			if p := name[at+1:]; paths[p] {
				yield(name[:at], p)
			}
		}
	}
}
