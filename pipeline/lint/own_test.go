package lint

import (
	"os"
	"testing"
	"time"

	"github.com/twicebuild/twice/matrix"
)

// This project's own release file has nothing to find, and that is told quickly.
func TestOwn(t *testing.T) {
	data, err := os.ReadFile("../../release.toml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := matrix.Parse("release.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	builds, err := file.Builds(nil, matrix.SampleVars("twice"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot("../..")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	in := Input{File: file, Builds: builds, Tree: root.FS(), Work: root.FS(), ConfigDir: ".", ModuleDir: ".", Toolchain: "go1.26.8"}
	begin := time.Now()
	found, _ := run(t, in)
	t.Logf("in %v", time.Since(begin))
	if found != nil {
		t.Errorf("found %q", found)
	}
	// It did look: the packages were read, and a stamp that is misspelt is seen.
	f := &facts{Input: in}
	if n := len(f.sources().packagesOf(builds[0])); n < 20 {
		t.Errorf("%d packages were read", n)
	}
	if why, _ := f.sources().checkStamp(builds[0], "main.vrsion"); why == "" || f.src.suggestions["main.vrsion"] == "" {
		t.Errorf("a misspelt stamp: %q, %q", why, f.src.suggestions["main.vrsion"])
	}
}

// Run does not panic, and its findings have lines, whatever stands in the source.
func FuzzRun(f *testing.F) {
	for _, src := range []string{
		"package main\nvar v string\nfunc main() {}\n", "package main\nimport _ \"embed\"\n//go:embed a/* all:b \"c d\" `e`\nvar v string\n",
		"package main\nconst v = v\n", "package main\ntype v v\nvar x = v(", "//go:build a.b && !c\npackage main\nvar v = \"x\" + y\n", "package main\nimport \"C\"\nvar v = C.x()\n",
		"package main\nimport . \"example.com/p/x\"\n//go:generate sh -c \"date\nvar v, w = f()\nfunc f() (a, b string)\n",
	} {
		f.Add(src, "date $(uname)\n", "module example.com/p\n\ngo 1.26\n\nreplace example.com/a => ./a\n")
	}
	text := "project = \"p\"\n[[binary]]\npackage = \".\"\nstamps = { \"main.v\" = \"1\" }\n[[before]]\nrun = [\"sh\", \"gen.sh\"]\n[[before]]\nrun = [\"go\", \"generate\"]\n[matrix]\ninclude = [\"linux/amd64\"]\n"
	f.Fuzz(func(t *testing.T, src, script, gomod string) {
		in := scene{release: text}.input(t)
		for _, hooks := range [][][]string{in.Hooks, nil} {
			in.Hooks = hooks
			tree := map[string]string{"main.go": src, "gen.sh": script, "go.mod": gomod, "x/x.go": src, "a/b": "", "b/.c": ""}
			in.Tree, in.Work = mapFS(tree), mapFS(tree)
			found, _, err := Run(in)
			if err != nil {
				return
			}
			for _, finding := range found {
				if finding.Message == "" || finding.Line < 0 || finding.Key != "" && finding.Line == 0 {
					t.Errorf("%+v", finding)
				}
			}
		}
	})
}
