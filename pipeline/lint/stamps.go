package lint

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
)

// stampNoEffect finds stamps that the linker ignores.
func stampNoEffect(f *facts) []Finding {
	if f.Tree == nil {
		return nil
	}

	var names []string
	for _, b := range f.Builds {
		for _, s := range b.Stamps {
			if !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}

	// One variable may be at fault in some builds for sure and in others perhaps.
	var list []Finding
	for _, name := range names {
		for _, severity := range []Severity{Error, Warning} {
			found := f.findInBuilds(func(b matrix.Build) (string, string) {
				if !slices.ContainsFunc(b.Stamps, func(s matrix.Stamp) bool { return s.Name == name }) {
					return "", ""
				}

				why, sure := f.sources().checkStamp(b, name)
				if why == "" || sure != (severity == Error) {
					return "", ""
				}
				return f.File.Origin(b, "stamps", name), why
			})

			for i := range found {
				found[i].Severity, found[i].Remedy = severity, f.sources().suggestions[name]
			}
			list = append(list, found...)
		}
	}
	return list
}

// checkStamp says why -X has no effect on a variable, and whether that is sure. It
// says "" where -X has an effect and where only the toolchain knows. It repeats
// modules.CheckStamps, as far as the main module's own source goes.
func (s *sources) checkStamp(b matrix.Build, name string) (why string, sure bool) {
	dot := strings.LastIndexByte(name, '.')
	importPath, variable := name[:dot], name[dot+1:]

	// The linker calls the main package main, and no other package so.
	packages := s.packagesOf(b)
	main := packages[0]
	p := main
	if importPath != "main" {
		dir, own := s.folderOf(importPath)
		if !own {
			return "", false // another module has it
		}

		if dir == main.Dir {
			return "the linker knows the main package as main, so this is main." + variable, true
		}

		if i := slices.IndexFunc(packages, func(p *build.Package) bool { return p.Dir == dir }); i >= 0 {
			p = packages[i]
		} else {
			// Another module may import it, or a file that a hook writes.
			return fmt.Sprintf("package %s is no part of %s", importPath, b.Binary), len(s.otherImports) == 0 && len(s.Hooks) == 0
		}
	}

	// A file that only the toolchain can judge may declare the variable.
	files := slices.Concat(p.GoFiles, p.CgoFiles, s.uncertainFiles(p))
	if len(files) == 0 {
		return "", false // the compiler reports it, or a hook writes some
	}
	return s.checkVariable(p, files, name), true
}

var errNotFollowed = errors.New("imports are not followed")

// noImports is a types.Importer that knows nothing.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errNotFollowed }

// checkVariable says why -X has no effect on a variable that the files of a package
// declare.
func (s *sources) checkVariable(p *build.Package, names []string, name string) string {
	d := s.declarations(p, names)
	if d == nil {
		return "" // the compiler reports it
	}
	switch obj := d.scope.Lookup(name[strings.LastIndexByte(name, '.')+1:]).(type) {
	case nil:
		if len(s.Hooks) > 0 {
			return "" // a hook may declare it
		}
		s.suggestVariables(name, d)
		return "there is no such variable"
	case *types.Const:
		return "is a constant"
	case *types.Func:
		return "is a function"
	case *types.TypeName:
		return "is a type"
	case *types.Var:
		return d.stampFault(obj)
	}
	return ""
}

// declarations are what some files of a package declare.
type declarations struct {
	files []*ast.File
	scope *types.Scope
	info  *types.Info
}

// declarations returns what the named files declare, or nil if they are not Go. They
// are read once.
func (s *sources) declarations(p *build.Package, names []string) *declarations {
	key := p.Dir + "\x00" + strings.Join(names, "\x00")
	if d, known := s.declared[key]; known {
		return d
	}
	s.declared[key] = nil

	fset := token.NewFileSet()
	d := &declarations{info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}}
	for _, name := range names {
		data, _ := s.cachedFile(path.Join(p.Dir, name))
		file, err := parser.ParseFile(fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil
		}
		d.files = append(d.files, file)
	}

	// Types are checked as far as the package's own source goes.
	config := types.Config{
		Importer: noImports{}, FakeImportC: true, IgnoreFuncBodies: true, DisableUnusedImportCheck: true,
		Error: func(error) {}, // there are some, such as imports that are not followed
	}
	if checked, _ := config.Check(p.ImportPath, fset, d.files, d.info); checked != nil {
		d.scope = checked.Scope()
		s.declared[key] = d
	}
	return s.declared[key]
}

// stampFault says why -X has no effect on a variable of the package.
func (d *declarations) stampFault(obj *types.Var) string {
	typ := types.Unalias(obj.Type())
	if typ != types.Typ[types.String] && typ != types.Typ[types.Invalid] {
		return "has type " + types.TypeString(obj.Type(), func(p *types.Package) string { return "" }) + ", not string"
	}

	spec, value, embed := d.findSpec(obj)
	switch {
	case spec == nil:
		return ""
	case embed:
		return "is filled by go:embed"
	case len(spec.Values) == 0:
		return ""
	case value == nil:
		return "is initialised by a call, so the linker ignores -X" // a, b = f()
	case d.info.Types[value].Value != nil:
		return ""
	}

	// A conversion is no call, and may be part of a constant.
	calls := false
	ast.Inspect(value, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		calls = calls || ok && !d.info.Types[call.Fun].IsType()
		return true
	})
	switch {
	case calls:
		return "is initialised by a call, so the linker ignores -X"
	case d.info.Types[value].Type == types.Typ[types.Invalid] || d.info.Types[value].Type == nil:
		return "" // it may hold a constant of another package
	}
	return "is initialised by an expression that is not constant, so the linker ignores -X"
}

// findSpec returns the declaration of obj, the initial value of obj alone, and
// whether go:embed fills it.
func (d *declarations) findSpec(obj *types.Var) (spec *ast.ValueSpec, value ast.Expr, embed bool) {
	for _, file := range d.files {
		if obj.Pos() < file.FileStart || obj.Pos() > file.FileEnd {
			continue
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}

			for _, s := range gen.Specs {
				s := s.(*ast.ValueSpec)
				for i, id := range s.Names {
					if id.Pos() != obj.Pos() {
						continue
					}
					if len(s.Values) == len(s.Names) {
						value = s.Values[i]
					}
					return s, value, hasEmbedDirective(gen.Doc) || hasEmbedDirective(s.Doc)
				}
			}
		}
	}
	return nil, nil, false
}

// hasEmbedDirective reports whether a comment is a go:embed directive.
func hasEmbedDirective(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// suggestVariables notes, as a remedy, the variables that a stamp could have meant.
func (s *sources) suggestVariables(stamp string, d *declarations) {
	var names []string
	for _, name := range d.scope.Names() {
		if v, ok := d.scope.Lookup(name).(*types.Var); ok && d.stampFault(v) == "" {
			names = append(names, name)
		}
	}

	if names != nil && s.suggestions[stamp] == "" {
		s.suggestions[stamp] = "variables that can be set there: " + firstNames(names, 6)
	}
}
