package inspect

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

const maxPackages = 65536

// code shares the functions out over packages and modules. It returns the functions that were read
// before an error with that error.
func (b *Binary) code(build *Build) (*Code, error) {
	t, err := b.pclntab()
	if err != nil {
		return nil, err
	}
	if build == nil {
		build = &Build{}
	}

	c := &Code{Tables: []Size{}, Modules: []ModuleSize{}, Packages: []PackageSize{}}
	packages, known := map[string]*PackageSize{}, build.modules()
	var full error
	err = t.functions(b, func(f Function, _ error) bool {
		path := PackageOf(f.Name)
		if trace := traceOfCgo(f.Name, path); c.cgo.what == "" || trace.generated && !c.cgo.generated {
			c.cgo = trace
		}
		c.marks.add(f.Name)
		if path == "main" {
			path = cmp.Or(build.Path, path)
		}

		p, ok := packages[path]
		if !ok {
			if len(packages) == maxPackages {
				full = errors.New("read function table: more packages than can be listed")
				return false
			}
			p = &PackageSize{Path: path, Module: known.of(path)}
			packages[path] = p
		}
		p.Functions++
		p.Text += f.Size
		p.Table += f.Table
		c.Functions++
		c.Text += f.Size
		return true
	})

	err = cmp.Or(err, full)
	modules := map[string]*ModuleSize{}
	for _, p := range packages {
		c.Packages = append(c.Packages, *p)
		m, ok := modules[p.Module]
		if !ok {
			m = &ModuleSize{Path: p.Module, Version: known[p.Module]}
			modules[p.Module] = m
		}
		m.Packages++
		m.Functions += p.Functions
		m.Text += p.Text
		m.Table += p.Table
	}

	for _, m := range modules {
		c.Modules = append(c.Modules, *m)
	}

	// Names decide between equal sizes, so that the order is the same each time.
	slices.SortFunc(c.Packages, func(a, b PackageSize) int {
		return cmp.Or(cmp.Compare(b.Text, a.Text), cmp.Compare(a.Path, b.Path))
	})
	slices.SortFunc(c.Modules, func(a, b ModuleSize) int {
		return cmp.Or(cmp.Compare(b.Text, a.Text), cmp.Compare(a.Path, b.Path))
	})

	c.Tables, c.marks.oldest = t.sizes(), t.layout.parts == 0
	return c, err
}

// sizes returns the sizes of the parts of the table. In the oldest layout, they are mixed.
func (t *pclntab) sizes() []Size {
	switch {
	case t.layout.parts > 0:
		list := []Size{
			{"function names", t.units - t.names},
			{"source files", t.pcs - t.units},
			{"lines and stack", t.funcs - t.pcs},
			{"functions", t.end - t.funcs},
		}
		if t.owned {
			list = append(list, Size{"stack maps and rest", t.size - t.end})
		}
		return list
	case t.owned:
		return []Size{{"all parts", t.size}}
	}
	return []Size{{"functions", t.end - t.funcs}}
}

const stdModule = "std"

// modules are the versions of modules, by path.
type modules map[string]string

func (b *Build) modules() modules {
	m := modules{}
	for _, d := range b.Deps {
		m[d.Path] = d.Version
		if d.Replace != nil {
			m[d.Path] = strings.TrimSpace("=> " + d.Replace.Path + " " + d.Replace.Version)
		}
	}
	if b.Main != nil {
		m[b.Main.Path] = b.Main.Version
		m["command-line-arguments"] = b.Main.Version // files of the main module
	}
	return m
}

// of returns the path of the module that has the package. It returns the longest one where several
// could, and "" if none is known.
func (m modules) of(pkg string) string {
	for path := pkg; path != ""; {
		if _, ok := m[path]; ok {
			return path
		}
		path = path[:max(0, strings.LastIndexByte(path, '/'))]
	}
	// A vendored package of the standard library begins with "vendor/".
	first, _, _ := strings.Cut(pkg, "/")
	if first == "" || first == "main" || first == "command-line-arguments" || strings.Contains(first, ".") {
		return ""
	}
	return stdModule
}
