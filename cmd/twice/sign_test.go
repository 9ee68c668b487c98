//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest/attesttest"
)

// A release that cannot be signed, or not logged, is none: dist stays as it was.
func TestKeyless(t *testing.T) {
	const email = "ada@example.com"
	for name, down := range map[string][]string{
		"all is well":              nil,
		"no certificate authority": {attesttest.CertifyPath},
		"no log":                   {attesttest.LogPath},
		"no time stamps":           {attesttest.StampPath},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			s := attesttest.New(t, 2)
			s.Down = down
			dir := t.TempDir()
			root, config := filepath.Join(dir, "root.json"), filepath.Join(dir, "config.json")
			for file, data := range map[string][]byte{root: s.TrustedRoot, config: s.SigningConfig} {
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p.env = append(p.env, "SIGSTORE_ID_TOKEN="+attesttest.Token(email))
			cmd, stderr := p.twice("release", "--snapshot", "--keyless", "--signing-config", config, "--trusted-root", root)
			err := cmd.Run()
			if down != nil {
				if status(err) != exitFailure || !strings.Contains(stderr.String(), "twice: sign ") {
					t.Errorf("exit status %d\n%s", status(err), stderr)
				}
				p.untouched(t)
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			if n := len(slices.DeleteFunc(s.Requests(), func(path string) bool { return path != attesttest.CertifyPath })); n != 1 {
				t.Errorf("%d certificates: a person would have been asked as often", n)
			}
			for who, want := range map[string]int{email: exitOK, "eve@example.com": exitDiffers} {
				cmd, stderr := p.twice("verify", "dist", "--certificate-identity", who, "--certificate-oidc-issuer", attesttest.Issuer, "--trusted-root", root)
				if got := status(cmd.Run()); got != want {
					t.Errorf("%s: exit status %d\n%s", who, got, stderr)
				}
			}
		})
	}
}
