package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The modules with the verifier of the SLSA project, and with the trusted root of the public
// Sigstore instance.
const (
	slsaVerifierModule  = "github.com/slsa-framework/slsa-verifier/v2@v2.7.1"
	slsaVerifierLibrary = "github.com/sigstore/sigstore-go@v0.6.2"
	publicRootModule    = "github.com/sigstore/sigstore-go@v1.3.0"
)

// moduleDir returns the folder of a module version in the module cache.
func moduleDir(t *testing.T, version string) string {
	t.Helper()
	var m struct{ Dir string }
	out := command(t, t.TempDir(), nil, "go", "mod", "download", "-json", version)
	must(t, json.Unmarshal([]byte(out), &m))
	return m.Dir
}

// slsaVerifier builds the verifier of the SLSA project. It fetches what the public instance trusts,
// which a test cannot, so that one function of it reads the file that TRUSTED_ROOT names instead.
func slsaVerifier(t *testing.T) string {
	t.Helper()
	const fetch = "func NewLiveTrustedRoot(opts *tuf.Options) (*LiveTrustedRoot, error) {\n"
	source := filepath.Join(moduleDir(t, slsaVerifierLibrary), "pkg", "root", "trusted_root.go")
	data, err := os.ReadFile(source)
	must(t, err)
	changed := bytes.Replace(data, []byte(fetch), []byte(fetch+`	if file := os.Getenv("TRUSTED_ROOT"); file != "" {
		tr, err := NewTrustedRootFromPath(file)
		return &LiveTrustedRoot{TrustedRoot: tr}, err
	}
`), 1)
	if bytes.Equal(changed, data) {
		t.Fatalf("%s: the function is not there", source)
	}

	// It is built from a copy, with a copy of the library.
	dir := t.TempDir()
	library, program := filepath.Join(dir, "library"), filepath.Join(dir, "program")
	copySource(t, moduleDir(t, slsaVerifierLibrary), library)
	must(t, os.WriteFile(filepath.Join(library, "pkg", "root", "trusted_root.go"), changed, 0o600))
	copySource(t, moduleDir(t, slsaVerifierModule), program)
	replaced, _, _ := strings.Cut(slsaVerifierLibrary, "@")
	command(t, program, nil, "go", "mod", "edit", "-replace", replaced+"="+library)
	file := filepath.Join(dir, "slsa-verifier")
	command(t, program, nil, "go", "build", "-o", file, "./cli/slsa-verifier")
	return file
}

// copySource copies the files of a module, which can be written then, without its test data.
func copySource(t *testing.T, from, to string) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() == "testdata" && e.IsDir() {
			return cmp.Or(err, fs.SkipDir)
		}
		rel, err := filepath.Rel(from, name)
		if err != nil || e.IsDir() {
			return cmp.Or(err, os.MkdirAll(filepath.Join(to, rel), 0o755))
		}
		data, err := os.ReadFile(name)
		return cmp.Or(err, os.WriteFile(filepath.Join(to, rel), data, 0o600))
	}))
}

// expected is what somebody asks of a provenance. What is empty is not asked.
type expected struct{ source, tag, branch, builder string }

// flags are those of the verifier of the SLSA project.
func (x expected) flags() []string {
	list := []string{"--source-uri", x.source}
	for name, value := range map[string]string{"--source-tag": x.tag, "--source-branch": x.branch, "--builder-id": x.builder} {
		if value != "" {
			list = append(list, name, value)
		}
	}
	return list
}

// policy is the same as a policy of twice.
func (x expected) policy() string {
	text := ""
	if x.builder != "" {
		text += fmt.Sprintf("builder = [%q]\n", x.builder)
	}
	text += fmt.Sprintf("[source]\nrepository = %q\n", "https://"+x.source)
	if x.tag != "" {
		text += fmt.Sprintf("tag = %q\n", x.tag)
	}
	if x.branch != "" {
		text += fmt.Sprintf("branch = %q\n", x.branch)
	}
	return text
}

// TestSLSAVerifier holds real provenance of the SLSA generators, which the verifier of the SLSA
// project has as its test data, against expectations that it meets and others. Both verifiers have
// to say the same. Provenance whose log entry that verifier would look up is left out.
func TestSLSAVerifier(t *testing.T) {
	largest(t)
	verifier := slsaVerifier(t)
	root := filepath.Join(moduleDir(t, publicRootModule), "examples", "trusted-root-public-good.json")
	data := filepath.Join(moduleDir(t, slsaVerifierModule), "cli", "slsa-verifier", "testdata")

	good, bad := 0, 0
	for kind, builder := range map[string]string{
		"gha_go":              "builder_go_slsa3.yml",
		"gha_generic":         "generator_generic_slsa3.yml",
		"gha_container-based": "builder_container-based_slsa3.yml",
		"gha_maven":           "builder_maven_slsa3.yml",
		"gha_gradle":          "builder_gradle_slsa3.yml",
		"gha_delegator":       "",
	} {
		versions, err := filepath.Glob(filepath.Join(data, kind, "v*"))
		must(t, err)
		if len(versions) == 0 {
			t.Fatalf("no %s in %s", kind, data)
		}
		for _, dir := range versions {
			provenances, err := filepath.Glob(filepath.Join(dir, "*linux-amd64-*.*"))
			must(t, err)
			for _, provenance := range provenances {
				g, b := compareVerifiers(t, verifier, root, builder, provenance)
				good, bad = good+g, bad+b
			}
		}
	}
	t.Logf("both accept %d, and both refuse %d", good, bad)
	if good < 50 || bad < 200 {
		t.Error("too few cases")
	}
}

// generatorName matches the releases of the generators, whom their verifier trusts.
const generatorName = `^https://github\.com/slsa-framework/slsa-github-generator/\.github/workflows/[a-z_-]+3\.yml@refs/tags/v[0-9]+\.[0-9]+\.[0-9]+$`

// compareVerifiers holds a provenance against expectations. It returns how often both verifiers
// accept it, and how often both refuse it.
func compareVerifiers(t *testing.T, verifier, root, builder, provenance string) (good, bad int) {
	t.Helper()
	name := filepath.Base(provenance)
	file := provenance
	for _, suffix := range []string{".intoto.jsonl", ".intoto.build.slsa", ".intoto.sigstore", ".build.slsa"} {
		file = strings.TrimSuffix(file, suffix)
	}
	content, err := os.ReadFile(provenance)
	must(t, err)
	if file == provenance || !bytes.Contains(content, []byte(`"mediaType"`)) {
		return 0, 0 // no provenance, or an envelope without an entry
	}

	// What the provenance is of, as the names of the files say.
	const repository = "github.com/slsa-framework/example-package"
	at := expected{source: repository, branch: "main"}
	if _, version, ok := strings.Cut(filepath.Base(file), "-v"); ok {
		at.tag = "v" + version
	}
	if builder != "" {
		at.builder = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/" + builder
	} else {
		at.builder = "https://github.com/slsa-framework/example-package/.github/workflows/e2e.delegator-generic.default.main.checkout.slsa3.yml"
	}

	cases := map[string]expected{"as it is": at}
	with := func(name string, change func(*expected)) {
		x := at
		change(&x)
		cases[name] = x
	}
	with("no branch", func(x *expected) { x.branch = "" })
	with("no tag", func(x *expected) { x.tag = "" })
	with("only the builder", func(x *expected) { x.branch, x.tag = "", "" })
	with("another repository", func(x *expected) { x.source += "2" })
	with("another owner", func(x *expected) { x.source = "github.com/slsa-frame/example-package" })
	with("another tag", func(x *expected) { x.tag = "v99.0.0" })
	with("another branch", func(x *expected) { x.branch = "next" })
	with("another builder", func(x *expected) { x.builder = strings.Replace(x.builder, ".yml", "2.yml", 1) })
	with("a builder's other release", func(x *expected) { x.builder += "@refs/tags/v0.0.1" })

	for what, x := range cases {
		_, slsaErr := try("", []string{"TRUSTED_ROOT=" + root}, append([]string{verifier, "verify-artifact", file, "--provenance-path", provenance}, x.flags()...)...)
		policy := filepath.Join(t.TempDir(), "policy.toml")
		must(t, os.WriteFile(policy, []byte(x.policy()), 0o600))
		_, twiceErr := try("", nil, twiceFile, "verify", file, "--bundle", provenance, "--policy", policy, "--trusted-root", root,
			"--certificate-oidc-issuer", gitHubIssuer,
			"--certificate-identity-regexp", generatorName)
		switch {
		case (slsaErr == nil) != (twiceErr == nil):
			t.Errorf("%s %s: %s: slsa-verifier says %v\ntwice says %v", filepath.Dir(provenance), name, what, slsaErr, twiceErr)
		case twiceErr == nil:
			good++
		default:
			bad++
		}
	}
	return good, bad
}
