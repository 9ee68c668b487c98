package pipeline

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each row of the threat model in DESIGN.md names tests that are there.
func TestThreatModel(t *testing.T) {
	design, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, model, _ := strings.Cut(string(design), "## Threat model")
	model, _, _ = strings.Cut(model, "\n## ")

	var sources strings.Builder
	err = filepath.WalkDir("..", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		data, err := os.ReadFile(name)
		sources.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	rows := 0
	for row := range strings.Lines(model) {
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| edge ") || strings.HasSuffix(row, "| none |\n") {
			continue
		}
		rows++
		cells := strings.Split(row, "|")
		names := regexp.MustCompile("`([A-Za-z_]+)`").FindAllStringSubmatch(cells[len(cells)-2], -1)
		if len(names) == 0 {
			t.Errorf("no test holds this: %s", row)
		}
		for _, m := range names {
			name := m[1]
			if _, err := os.Stat("../cmd/twice/testdata/script/" + name + ".txtar"); err != nil && !strings.Contains(sources.String(), "\nfunc "+name+"(") {
				t.Errorf("%s: there is no such test or script", name)
			}
		}
	}
	if rows < 15 {
		t.Errorf("%d rows were read", rows)
	}
}
