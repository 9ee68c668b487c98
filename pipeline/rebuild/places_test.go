package rebuild

import (
	"fmt"
	"testing"
)

// The names in the file and those in its source are both a stranger's. If all are called alike, the
// work is not their product, which would take hours here.
func TestManyNames(t *testing.T) {
	const n = 200_000
	paths := map[string]bool{"main.go": true}
	var names []string
	for i := range n {
		paths[fmt.Sprintf("d%d/main.go", i)] = true
		names = append(names, fmt.Sprintf("/src/d%d/main.go", i))
	}
	roots := map[string]int{}
	eachRoot(names, paths, func(root, _ string) { roots[root]++ })
	if roots["/src"] != n || roots["/src/d7"] != 1 || len(roots) != n+1 {
		t.Errorf("%d roots, and %d times /src", len(roots), roots["/src"])
	}
}
