package matrix

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goroot is the tree that go test runs from.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// What Quote writes is read back by the go command's own reader, a copy of which
// is compiled here because the package cannot be imported.
func TestQuoteIsReadByGo(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(goroot(t), "src/cmd/internal/quoted/quoted.go"))
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte("package quoted"), []byte("package main"), 1)
	args := []string{"-X=main.v=a b", "-w", "", "it's", `say "x"`, "tab\there", "-X=main.u=\u00a0ü", "a=b'c", `"`, "#$`\\"}
	value, err := Quote(args)
	if err != nil {
		t.Fatal(err)
	}
	program := fmt.Sprintf("package main\n\nfunc main() {\n\targs, err := Split(%q)\n\tfmt.Printf(\"%%q %%v\", args, err)\n}\n", value)
	program = strings.Replace(program, "package main\n", "package main\n\nimport \"fmt\"\n", 1)
	for name, text := range map[string]string{"quoted.go": string(data), "main.go": program, "go.mod": "module quoted\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("%q <nil>", args); err != nil || string(out) != want {
		t.Errorf("got  %s, %v\nwant %s", out, err, want)
	}
}
