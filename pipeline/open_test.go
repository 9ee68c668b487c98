package pipeline

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// opens are the files that may open others by package os, which waits for ever where
// the other is a pipe that nobody writes to, and why. All else is opened by
// [fsx.OpenNamed] or [fsx.OpenRegular].
var opens = map[string]string{
	"attest/verify/bundles.go":         "a folder, for its names",
	"cmd/twice/memory_linux.go":        "/proc and /sys",
	"cmd/twice/pipe_other.go":          "a passphrase, where a pipe has no name",
	"e2e/conformance/main.go":          "files of a test suite",
	"pipeline/pass/execute_linux.go":   "/proc",
	"pipeline/pass/processes_linux.go": "/proc",
	"pipeline/fsx/holder_linux.go":     "/proc",
	"pipeline/output/sync.go":          "folders, and what is written in staging",
}

func TestOpen(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".") && e.Name() != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		name := path.Clean(strings.TrimPrefix(filepath.ToSlash(file), "../"))
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err == nil && opensByPath(parsed) {
			found[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range found {
		if opens[name] == "" {
			t.Errorf("%s calls os.Open or os.ReadFile: want fsx.OpenNamed or fsx.ReadNamed", name)
		}
	}
	for name := range opens {
		if !found[name] {
			t.Errorf("%s is in the list, and opens nothing", name)
		}
	}
}

// opensByPath tells whether a file calls os.Open or os.ReadFile.
func opensByPath(f *ast.File) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Open", "ReadFile"}, s.Sel.Name) {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" {
				found = true
			}
		}
		return !found
	})
	return found
}
