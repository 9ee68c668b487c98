package modules

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// maxGoFile bounds a Go file that is read for its declarations.
const maxGoFile = 32 << 20

// CheckStamps returns an error about each of the named variables on which the
// linker's flag -X has no effect.
//
// A name is "main.version" for a variable of the main package itself, or an
// import path, a dot and a name for one of its dependencies. The variable must
// be one of package level, in a file that is compiled for the target, have
// type string (or an alias of it), and have no initial value or one that is a
// constant expression. The linker says nothing in most other cases, and the
// stamp is lost: see -X in https://pkg.go.dev/cmd/link, and addstrdata in
// cmd/link/internal/ld. A variable that //go:embed fills is an error, too.
func CheckStamps(m *MainPackage, names []string) error {
	c := &stampChecker{mainPackage: m, fset: token.NewFileSet(), packages: map[string]*declarations{}}
	var errs []error
	for _, name := range names {
		if err := c.checkStamp(name); err != nil {
			errs = append(errs, fmt.Errorf("stamp %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// stampChecker type-checks packages of one main package, as far as their
// declarations go. Errors in the source do not matter: the compiler tells them.
type stampChecker struct {
	mainPackage *MainPackage
	fset        *token.FileSet
	packages    map[string]*declarations
	// followImports makes imports known, which few variables need.
	followImports bool
}

// declarations are those of one package.
type declarations struct {
	files []*ast.File
	types *types.Package
	info  *types.Info
}

func (c *stampChecker) checkStamp(name string) error {
	dot := strings.LastIndex(name, ".")
	if dot <= 0 || !token.IsIdentifier(name[dot+1:]) {
		return fault.WithRemedy(fault.Usage(errors.New("want an import path, a dot and the name of a variable")), "write main.version for a variable of the main package")
	}

	path, variable := name[:dot], name[dot+1:]
	switch {
	case path == "main":
		path = c.mainPackage.ImportPath
	case path == c.mainPackage.ImportPath:
		return fault.WithRemedy(fault.Usage(errors.New("the linker knows the main package as main")), "write main."+variable)
	case c.mainPackage.deps[path] == nil:
		return fmt.Errorf("package %s is no part of %s", path, c.mainPackage.Pattern)
	}

	d, err := c.loadDeclarations(path)
	if err != nil {
		return err
	}

	obj := d.types.Scope().Lookup(variable)
	switch obj := obj.(type) {
	case nil:
		return fmt.Errorf("no such variable in %s%s", c.patternOf(path), d.stringVariables())
	case *types.Const:
		return errors.New("is a constant")
	case *types.Func:
		return errors.New("is a function")
	case *types.TypeName:
		return errors.New("is a type")
	case *types.Var:
		spec, value, embed := d.findSpec(obj)
		err := c.checkVariable(d, obj, spec, value)
		if err != nil && !c.followImports {
			// It may be a matter of what the package imports.
			c.followImports, c.packages = true, map[string]*declarations{}
			return c.checkStamp(name)
		}
		if err == nil && embed {
			err = errors.New("is filled by go:embed")
		}
		return err
	}
	return fmt.Errorf("is no variable (%s)", obj)
}

// checkVariable returns an error unless -X works for the variable obj, which is declared
// in spec with the initial value value, if any.
func (c *stampChecker) checkVariable(d *declarations, obj *types.Var, spec *ast.ValueSpec, value ast.Expr) error {
	if spec == nil {
		return errors.New("declaration not found")
	}
	if typ := types.Unalias(obj.Type()); typ != types.Typ[types.String] {
		if typ != types.Typ[types.Invalid] {
			return fmt.Errorf("has type %s, not string", types.TypeString(obj.Type(), types.RelativeTo(d.types)))
		}
		if spec.Type != nil {
			return fmt.Errorf("has type %s, not string", types.ExprString(spec.Type))
		}
		if value == nil {
			return errors.New("has no known type")
		}
	}

	if value == nil && len(spec.Values) == 0 {
		return nil
	}
	if value != nil && d.info.Types[value].Value != nil {
		return nil
	}

	how := "an expression that is not constant"
	if value == nil {
		value = spec.Values[0]
	}
	ast.Inspect(value, func(n ast.Node) bool {
		if _, ok := n.(*ast.CallExpr); ok {
			how = "a call"
		}
		return true
	})

	return fault.WithRemedy(fault.Usage(fmt.Errorf("initialised by %s, so the linker ignores -X", how)), "declare it without a value, and set the default elsewhere")
}

// findSpec returns where obj is declared, its initial value if it has one of its
// own, and whether a go:embed directive precedes it.
func (d *declarations) findSpec(obj *types.Var) (spec *ast.ValueSpec, value ast.Expr, embed bool) {
	for _, file := range d.files {
		if obj.Pos() < file.FileStart || obj.Pos() > file.FileEnd {
			continue
		}

		// A go:embed directive stands between the declaration before and this one.
		end := file.Name.End() // of what stands before the declaration
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				end = decl.End()
				continue
			}
			if gen.Lparen.IsValid() {
				end = gen.Lparen
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
					for _, group := range file.Comments {
						for _, comment := range group.List {
							embed = embed || end < comment.Pos() && comment.Pos() < id.Pos() && strings.HasPrefix(comment.Text, "//go:embed")
						}
					}
					return s, value, embed
				}
				end = s.End()
			}
			end = decl.End()
		}
	}

	return nil, nil, false
}

// stringVariables lists, for a message, the variables that could have been meant.
func (d *declarations) stringVariables() string {
	var names []string
	scope := d.types.Scope()
	for _, name := range scope.Names() {
		if v, ok := scope.Lookup(name).(*types.Var); ok && types.Unalias(v.Type()) == types.Typ[types.String] {
			names = append(names, name)
		}
	}

	if names == nil {
		return " (which has no variables of type string)"
	}
	return " (variables of type string there: " + strings.Join(truncateList(names, 10), ", ") + ")"
}

// patternOf names a package as the user did.
func (c *stampChecker) patternOf(path string) string {
	if path == c.mainPackage.ImportPath {
		return c.mainPackage.Pattern
	}
	return path
}

// loadDeclarations reads the declarations of a package.
func (c *stampChecker) loadDeclarations(path string) (*declarations, error) {
	if d := c.packages[path]; d != nil {
		return d, nil
	}
	p := c.mainPackage.deps[path]
	d := &declarations{info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}}
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		name = filepath.Join(p.Dir, name)
		src, err := fsx.ReadNamed(name, maxGoFile)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(c.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		d.files = append(d.files, file)
	}

	config := types.Config{
		Importer:                 c,
		FakeImportC:              true,
		IgnoreFuncBodies:         true,
		DisableUnusedImportCheck: true,
		Error:                    func(error) {},
	}

	// The error is one of those that do not matter.
	d.types, _ = config.Check(path, c.fset, d.files, d.info)
	c.packages[path] = d
	return d, nil
}

var errUnknownImport = errors.New("import not followed")

// Import makes c a types.Importer, which knows the main package's dependencies
// if c follows imports, and otherwise none. An import cycle has no place here: the go
// command has refused it.
func (c *stampChecker) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if !c.followImports || c.mainPackage.deps[path] == nil {
		return nil, errUnknownImport
	}
	d, err := c.loadDeclarations(path)
	if err != nil {
		return nil, err
	}
	return d.types, nil
}
