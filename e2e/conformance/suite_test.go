package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// The identity that the suite expects where a case has no other.
const (
	suiteIdentity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	suiteIssuer   = "https://token.actions.githubusercontent.com"
)

// TestSuite gives the cases of a clone of the suite to verify-bundle, as the suite
// itself does, each with a file and with its digest. TWICE_CONFORMANCE is the clone's
// path. The public instance's trusted root is the one that comes with sigstore-go, so
// there is no network; a key is tried with it and without.
func TestSuite(t *testing.T) {
	clone := os.Getenv("TWICE_CONFORMANCE")
	if clone == "" {
		t.Skip("TWICE_CONFORMANCE does not name a clone of sigstore-conformance")
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(strings.TrimSpace(string(out)), "examples", "trusted-root-public-good.json")
	all := filepath.Join(clone, "test", "assets", "bundle-verify")
	cases, err := filepath.Glob(filepath.Join(all, "*", "bundle.sigstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for _, bundle := range cases {
		dir := filepath.Dir(bundle)
		has := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
		text := func(name, otherwise string) string {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if errors.Is(err, os.ErrNotExist) {
				return otherwise
			}
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(data))
		}
		args := []string{"verify-bundle", "--bundle", bundle}
		if has("key.pub") {
			args = append(args, "--key", filepath.Join(dir, "key.pub"))
		} else {
			args = append(args, "--certificate-identity", text("identity", suiteIdentity), "--certificate-oidc-issuer", text("issuer", suiteIssuer))
		}
		var roots [][]string
		switch {
		case has("trusted_root.json"):
			roots = [][]string{{"--trusted-root", filepath.Join(dir, "trusted_root.json")}}
		case has("key.pub"):
			roots = [][]string{{}, {"--trusted-root", public}}
		default:
			roots = [][]string{{"--trusted-root", public}}
		}
		file := filepath.Join(all, "a.txt")
		if has("artifact") {
			file = filepath.Join(dir, "artifact")
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wantGood := !strings.HasSuffix(dir, "_fail")
		for _, about := range []string{file, string(artifact.Of(content))} {
			right := true
			for _, root := range roots {
				argv := append(append(append([]string{}, args...), root...), about)
				if err := run(t.Context(), argv); (err == nil) != wantGood {
					right = false
					t.Errorf("%s: %v: %v", filepath.Base(dir), root, err)
				}
			}
			if right && wantGood {
				good++
			} else if right {
				bad++
			}
		}
	}
	t.Logf("%d good cases accepted, %d bad ones refused", good, bad)
	if good < 42 || bad < 98 {
		t.Errorf("%d good and %d bad: want 42 and 98 at least", good, bad)
	}
}
