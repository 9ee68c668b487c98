package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const ageModule = "filippo.io/age@v1.3.2"

// A real module from the proxy, one target of it.
func TestAgeOneTarget(t *testing.T) {
	if os.Getenv("TWICE_E2E") != "" {
		t.Skip("TestAge has this target and others")
	}
	dist := filepath.Join(t.TempDir(), "dist")
	twice(t, "", "build", "--module", ageModule, "--config", filepath.Join(repoRoot, "configs", "age.toml"), "--target", "linux/amd64", "--out", dist)
	rec := agrees(t, dist)
	if rec.Source.Module+"@"+rec.Source.Version != ageModule || rec.Version != "1.3.2" || len(rec.Binaries) != 2 {
		t.Errorf("source %+v, version %s, %d binaries", rec.Source, rec.Version, len(rec.Binaries))
	}
}

// Two systems, of which the host has one, and with TWICE_E2E=everything three and two architectures of
// each. (TestDarwin has the third.)
func TestAge(t *testing.T) {
	large(t)
	dist := filepath.Join(t.TempDir(), "dist")
	targets, want := []string{"--target", "linux/amd64", "--target", "windows/amd64"}, 4
	if os.Getenv("TWICE_E2E") == "everything" {
		targets, want = nil, 12
	}
	twice(t, "", append([]string{"build", "--module", ageModule, "--config", filepath.Join(repoRoot, "configs", "age.toml"), "--out", dist}, targets...)...)
	if rec := agrees(t, dist); len(rec.Binaries) != want {
		t.Errorf("%d binaries", len(rec.Binaries))
	}
}

// Another one, which TestRebuildPublished rebuilds in CI from what its publisher made.
func TestEsbuild(t *testing.T) {
	largest(t)
	dist := filepath.Join(t.TempDir(), "dist")
	twice(t, "", "release", "--module", "github.com/evanw/esbuild@v0.25.0", "--config", filepath.Join(repoRoot, "configs", "esbuild.toml"), "--out", dist, "--key", keyFile)
	rec := agrees(t, dist)
	command(t, "", nil, twiceFile, "verify", dist, "--key", strings.TrimSuffix(keyFile, ".key")+".pub")
	if out := command(t, "", nil, filepath.Join(dist, rec.Binaries[0].file()), "--version"); strings.TrimSpace(out) != "0.25.0" {
		t.Errorf("esbuild --version: %s", out)
	}
}

// This repository, as `make snapshot` does it. A release of it takes as long as
// all the others: its plan has to do in CI.
func TestThisRepository(t *testing.T) {
	clone := filepath.Join(t.TempDir(), "clone")
	command(t, "", nil, "git", "clone", "-q", repoRoot, clone)
	command(t, clone, nil, twiceFile, "check", "--strict")
	if planned := plan(t, clone); len(planned) != 6 {
		t.Errorf("%d recipes are planned, want one for each target", len(planned))
	}
	largest(t)
	twice(t, clone, "release", "--snapshot", "--target", "linux/amd64", "--key", keyFile)
	rec := agrees(t, filepath.Join(clone, "dist"))
	if out := command(t, "", nil, filepath.Join(clone, "dist", rec.Binaries[0].file()), "version"); !strings.HasPrefix(out, "twice "+rec.Version+" ") {
		t.Errorf("twice version: %s, release.json: %s", out, rec.Version)
	}
}

// A toolchain that is not installed is downloaded and proved, and gives what
// the one gives that the go command itself downloads.
func TestOtherToolchain(t *testing.T) {
	large(t)
	repo := repository(t, map[string]string{
		"go.mod": "module example.com/tiny\n\ngo 1.25.0\n", "main.go": tinyMain,
		"release.toml": oneTarget + "[toolchain]\nversion = \"1.25.5\"\n",
	}, "v1.0.0")
	twice(t, repo, "release", "--key", keyFile)
	rec := agrees(t, filepath.Join(repo, "dist"))
	if tc := rec.Varying.Toolchain; rec.Toolchain.Version != "go1.25.5" || tc.From != "downloaded" || !tc.Published {
		t.Errorf("toolchain %+v, %+v", rec.Toolchain, tc)
	}
	says(t, filepath.Join(repo, "dist", rec.Binaries[0].file()), "1.0.0")
}

const (
	tinyMain  = "package main\n\nvar version = \"none\"\n\nfunc main() { println(version) }\n"
	tinyMod   = "module example.com/tiny\n\ngo 1.26.8\n"
	oneTarget = "project = \"tiny\"\n[[binary]]\npackage = \".\"\nstamps = { \"main.version\" = \"{{.Version}}{{if .Snapshot}} (snapshot){{end}}\" }\n[matrix]\nos = [\"linux\"]\narch = [\"amd64\"]\n"
)

// says runs a program made for linux/amd64, where these tests run.
func says(t *testing.T, file, want string) {
	t.Helper()
	out, err := exec.Command(file).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%s: %q, %v; want %q", file, out, err, want)
	}
}

// A module in a subfolder, whose tags begin with its name.
func TestSubfolder(t *testing.T) {
	repo := repository(t, map[string]string{
		// The go command learns from it where in the repository the module is;
		// without it, it stamps no version.
		"go.mod":     "module example.com/repo\n\ngo 1.26.8\n",
		"sub/go.mod": "module example.com/repo/sub\n\ngo 1.26.8\n", "sub/main.go": tinyMain,
		"release.toml": oneTarget + "[source]\ndir = \"sub\"\n",
	}, "v9.0.0", "sub/v1.2.3")
	// A tag of the repository is not one of the module. What is planned at a
	// tag is its release, also where a template asks whether it is one.
	planned := plan(t, repo)
	twice(t, repo, "release", "--key", keyFile)
	dist := filepath.Join(repo, "dist")
	rec := agrees(t, dist)
	if len(planned) != 1 || planned[0] != rec.Binaries[0].RecipeDigest {
		t.Errorf("planned %q, released %s", planned, rec.Binaries[0].RecipeDigest)
	}
	if rec.Version != "1.2.3" || rec.Snapshot {
		t.Errorf("version %s, snapshot %v", rec.Version, rec.Snapshot)
	}
	says(t, filepath.Join(dist, rec.Binaries[0].file()), "1.2.3")
	if out := command(t, "", nil, "go", "version", "-m", filepath.Join(dist, rec.Binaries[0].file())); !strings.Contains(out, "example.com/repo/sub\tv1.2.3") {
		t.Errorf("the go command sees another version:\n%s", out)
	}
}

// A go.work that says otherwise than go.mod has no say.
func TestWorkspace(t *testing.T) {
	lib := func(text string) string { return "package lib\n\nconst Text = \"" + text + "\"\n" }
	repo := repository(t, map[string]string{
		"go.work":     "go 1.26.8\n\nuse ./app\n\nreplace example.com/lib => ./other\n",
		"app/go.mod":  "module example.com/app\n\ngo 1.26.8\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => ../lib\n",
		"app/main.go": "package main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.Text) }\n",
		"lib/go.mod":  "module example.com/lib\n\ngo 1.26.8\n", "lib/lib.go": lib("as go.mod says"),
		"other/go.mod": "module example.com/lib\n\ngo 1.26.8\n", "other/lib.go": lib("as go.work says"),
		"app/release.toml": "project = \"app\"\n[[binary]]\npackage = \".\"\n[matrix]\nos = [\"linux\"]\narch = [\"amd64\"]\n",
	})
	// The fixture is one: the go command alone is led astray.
	misled := filepath.Join(t.TempDir(), "app")
	command(t, filepath.Join(repo, "app"), nil, "go", "build", "-o", misled)
	says(t, misled, "as go.work says")
	twice(t, filepath.Join(repo, "app"), "release", "--snapshot")
	dist := filepath.Join(repo, "app", "dist")
	rec := agrees(t, dist)
	says(t, filepath.Join(dist, rec.Binaries[0].file()), "as go.mod says")
}

// The host's C compiler, with the source's path in reach of __FILE__ and of
// debug information.
func TestCgo(t *testing.T) {
	repo := repository(t, map[string]string{
		"go.mod": tinyMod,
		"main.go": `package main

// const char *answer(void);
import "C"

func main() { println(C.GoString(C.answer())) }
`,
		"answer.c":     "const char *answer(void) { return \"from C\"; }\n",
		"release.toml": "project = \"tiny\"\n[[binary]]\npackage = \".\"\ncgo = true\nenv = { CGO_CFLAGS = \"-O2 -g\" }\n[matrix]\nos = [\"linux\"]\narch = [\"amd64\"]\n",
	}, "v0.1.0")
	twice(t, repo, "release", "--key", keyFile)
	rec := agrees(t, filepath.Join(repo, "dist"))
	if !strings.Contains(string(rec.Binaries[0].Recipe), `"compiler"`) {
		t.Error("the recipe names no C compiler")
	}
	says(t, filepath.Join(repo, "dist", rec.Binaries[0].file()), "from C")
}

// darwin binaries keep a UUID, on every run of the tests.
func TestDarwin(t *testing.T) {
	repo := repository(t, map[string]string{
		"go.mod": tinyMod, "main.go": tinyMain, "release.toml": strings.Replace(oneTarget, "linux", "darwin", 1),
	}, "v1.0.0")
	twice(t, repo, "release", "--key", keyFile)
	agrees(t, filepath.Join(repo, "dist"))
}

// What the tests above rest on can fail: another recipe, another binary; and
// each check finds what it is for.
func TestChecksFail(t *testing.T) {
	repo := repository(t, map[string]string{
		"go.mod": tinyMod, "main.go": tinyMain, "release.toml": oneTarget,
	}, "v1.0.0")
	twice(t, repo, "release", "--key", keyFile)
	dist := filepath.Join(repo, "dist")
	rec := agrees(t, dist)
	b := rec.Binaries[0]
	file := filepath.Join(dist, b.file())
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	r := b.recipe(t)
	for i, arg := range r.Argv {
		r.Argv[i] = strings.Replace(arg, "main.version=1.0.0", "main.version=1.0.1", 1)
	}
	if slices.Equal(r.Argv, b.recipe(t).Argv) {
		t.Fatalf("no stamp in %q", r.Argv)
	}
	hand := &byHand{goroots: map[string]string{}}
	if digest(hand.build(t, dist, r)) == b.A {
		t.Error("a recipe with another stamp gives the same bytes")
	}

	wrong := rec
	wrong.Toolchain.Version = "go1.0"
	if len(describes(t, file, wrong, b)) != 1 {
		t.Error("a wrong Go version is not noticed")
	}
	wrong = rec
	wrong.Source.Commit = strings.Repeat("0", 40)
	if len(describes(t, file, wrong, b)) != 1 {
		t.Error("a wrong commit is not noticed")
	}
	more := b
	more.Recipe = json.RawMessage(strings.Replace(string(b.Recipe), `"GOAMD64=v1"`, `"GOAMD64=v3"`, 1))
	if len(describes(t, file, rec, more)) != 1 {
		t.Error("a wrong environment is not noticed")
	}
	if d, err := canonicalDigest(more.Recipe); err != nil || d == b.RecipeDigest {
		t.Error("another recipe has the same digest")
	}
	if len(hostWords(t, []byte(`["-ldflags=-X main.dir=`+repoRoot+`/x"]`))) == 0 {
		t.Error("a path of this host is not noticed")
	}
	if len(uuidFaults(data, recipe{Env: []string{"GOOS=darwin"}})) == 0 {
		t.Error("a darwin binary without LC_UUID is not noticed")
	}
	if err := os.WriteFile(file, append(data, 0), 0o755); err != nil {
		t.Fatal(err)
	}
	if archives, err := filepath.Glob(filepath.Join(dist, "*.tar.gz")); err != nil || len(archives) != 1 {
		t.Fatalf("archives %q, %v", archives, err)
	} else if err := os.WriteFile(archives[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := try(dist, nil, "sha256sum", "-c", "--strict", "SHA256SUMS"); err == nil {
		t.Error("sha256sum accepts another archive")
	}
}

// plan returns the recipe digests that twice plan prints.
func plan(t *testing.T, dir string) (digests []string) {
	t.Helper()
	var doc struct{ Recipes []struct{ Digest string } }
	if err := json.Unmarshal([]byte(twice(t, dir, "plan", "--json")), &doc); err != nil {
		t.Fatal(err)
	}
	for _, r := range doc.Recipes {
		digests = append(digests, r.Digest)
	}
	return digests
}
