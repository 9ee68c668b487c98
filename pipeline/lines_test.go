package pipeline

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxColumns is how long a line of prose may be. A tab counts as one column.
const maxColumns = 120

// TestLines holds the length of comments and documents. Tables, which Markdown
// cannot wrap, and code may be longer.
func TestLines(t *testing.T) {
	err := filepath.WalkDir("..", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "testdata" || e.Name() == ".git"):
			return fs.SkipDir
		}
		var prose func(line string) bool
		switch filepath.Ext(name) {
		case ".go":
			prose = func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "//") }
		case ".md":
			prose = func(line string) bool { return !strings.HasPrefix(line, "|") }
		default:
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		number := 0
		for line := range strings.Lines(string(data)) {
			number++
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > maxColumns && prose(line) {
				t.Errorf("%s:%d: %d columns; at most %d", name, number, n, maxColumns)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
