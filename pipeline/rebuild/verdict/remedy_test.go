package verdict

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// Each kind of reason has a remedy in the table, or its reasons have a more exact one, or nothing
// helps.
func TestRemedies(t *testing.T) {
	others := []Kind{
		Universal, Distribution, NoVersion, Dirty, Flags, OtherDependencies, Changed, Stripped, SourceNotNamed, ToolchainNotPublished, NotConfined, Interrupted,
		NotGo, NotAsked, BytesDiffer,
	}
	file, err := parser.ParseFile(token.NewFileSet(), "verdict.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Kind" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if k := Kind(text); (remedies[k] == "") == !slices.Contains(others, k) {
			t.Errorf("%s: want a remedy in the table, or in the list of those that have another", k)
		}
		return true
	})
	if found != len(remedies)+len(others) {
		t.Errorf("%d kinds, and %d remedies and %d others", found, len(remedies), len(others))
	}

	own := Because(Cgo, "x").WithRemedy("mine")
	if own.Remedied().Remedy != "mine" || Because(Cgo, "x").Remedied().Remedy == "" || Because(BytesDiffer, "x").Remedied().Remedy != "" {
		t.Error("the remedy of a reason is not its own, or else that of its kind")
	}
}
