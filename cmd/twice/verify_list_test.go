package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// fileSigner signs files, and says where the signature belongs.
type fileSigner struct {
	public, suffix string
	sign           func(content []byte) []byte
}

func fileSigners(t *testing.T) map[string]fileSigner {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	public, private, err := minisign.GenerateKey(rand.Reader)
	must(err)
	text, err := public.MarshalText()
	must(err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	sshKey, err := ssh.NewSignerFromSigner(edKey)
	must(err)
	dir := t.TempDir()
	must(os.WriteFile(filepath.Join(dir, "minisign.pub"), append(text, '\n'), 0o600))
	must(os.WriteFile(filepath.Join(dir, "id_ed25519.pub"), ssh.MarshalAuthorizedKey(sshKey.PublicKey()), 0o600))
	p := newPublisher(t)

	return map[string]fileSigner{
		"minisign": {filepath.Join(dir, "minisign.pub"), ".minisig", func(c []byte) []byte { return minisign.Sign(private, c) }},
		"ssh": {filepath.Join(dir, "id_ed25519.pub"), ".sig", func(c []byte) []byte {
			sig, err := sshsig.Sign(bytes.NewReader(c), sshKey, sshsig.HashSHA512, "file")
			must(err)
			return sshsig.Armor(sig)
		}},
		"sigstore": {p.public, ".sigstore.json", func(c []byte) []byte {
			data, err := p.signer.SignFile(context.Background(), "list", c)
			must(err)
			return data
		}},
	}
}

// A file is verified by its own signature, or by a signed list of checksums that names it.
func TestVerifyListed(t *testing.T) {
	const content, evil = "the tool\n", "another tool\n"
	line := func(content, name string) string { return artifact.Of([]byte(content)).Hex() + "  " + name + "\n" }
	list := line("x", "other") + line(content, "tool")
	others := fileSigners(t)
	for format, s := range fileSigners(t) {
		sign := func(content string) string { return string(s.sign([]byte(content))) }
		for name, test := range map[string]struct {
			files  map[string]string // beside the tool
			policy bool
			want   int
			reason string
		}{
			"its own":                  {map[string]string{"tool" + s.suffix: sign(content)}, false, exitOK, ""},
			"of another file":          {map[string]string{"tool" + s.suffix: sign(evil)}, false, exitDiffers, "tampered"},
			"by another":               {map[string]string{"tool" + s.suffix: string(others[format].sign([]byte(content)))}, false, exitDiffers, "wrong key"},
			"a list":                   {map[string]string{"SHA256SUMS": list, "SHA256SUMS" + s.suffix: sign(list)}, false, exitOK, ""},
			"a list called so":         {map[string]string{"tool_1.0_checksums.txt": list, "tool_1.0_checksums.txt" + s.suffix: sign(list)}, false, exitOK, ""},
			"a list and a policy":      {map[string]string{"SHA256SUMS": list, "SHA256SUMS" + s.suffix: sign(list)}, true, exitDiffers, "policy"},
			"a list that nobody signs": {map[string]string{"SHA256SUMS": list}, false, exitDiffers, "unsigned"},
			"a list that is changed":   {map[string]string{"SHA256SUMS": list, "SHA256SUMS" + s.suffix: sign(list + line("y", "y"))}, false, exitDiffers, "unsigned"},
			"a list by another":        {map[string]string{"SHA256SUMS": list, "SHA256SUMS" + s.suffix: string(others[format].sign([]byte(list)))}, false, exitDiffers, "unsigned"},
			"a list without it":        {map[string]string{"SHA256SUMS": line(content, "other"), "SHA256SUMS" + s.suffix: sign(line(content, "other"))}, false, exitDiffers, "unsigned"},
			"a list of another":        {map[string]string{"SHA256SUMS": line(evil, "tool"), "SHA256SUMS" + s.suffix: sign(line(evil, "tool"))}, false, exitDiffers, "wrong subject"},
			"two lists that differ": {map[string]string{
				"SHA256SUMS": list, "SHA256SUMS" + s.suffix: sign(list), "checksums.txt": line(evil, "tool"), "checksums.txt" + s.suffix: sign(line(evil, "tool")),
			}, false, exitDiffers, "wrong subject"},
			"a list that is none":      {map[string]string{"SHA256SUMS": "tool: " + list, "SHA256SUMS" + s.suffix: sign("tool: " + list)}, false, exitDiffers, "unsigned"},
			"a list with a path":       {map[string]string{"SHA256SUMS": line(content, "bin/tool"), "SHA256SUMS" + s.suffix: sign(line(content, "bin/tool"))}, false, exitDiffers, "unsigned"},
			"a list that has it twice": {map[string]string{"SHA256SUMS": list + line(evil, "tool"), "SHA256SUMS" + s.suffix: sign(list + line(evil, "tool"))}, false, exitDiffers, "unsigned"},
		} {
			dir := t.TempDir()
			test.files["tool"] = content
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{filepath.Join(dir, "tool"), "--key", s.public}
			if test.policy {
				file := filepath.Join(t.TempDir(), "policy.toml")
				if err := os.WriteFile(file, []byte("[source]\ntag = \"v1.0.0\"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--policy", file)
			}
			doc, exit, stderr := verifies(t, args...)
			if got := reasons(doc, dir)["tool"]; exit != test.want || got != test.reason && !(format == "sigstore" && test.reason == "tampered" && got == "wrong subject") {
				t.Errorf("%s, %s: exit status %d, reason %q\n%s", format, name, exit, got, stderr)
			}
			if exit == exitOK && (len(doc.Files[0].ListedIn) > 0) != strings.HasPrefix(name, "a list") {
				t.Errorf("%s, %s: listed in %q", format, name, doc.Files[0].ListedIn)
			}

			// What is a signature is no file that lacks one.
			if test.want == exitOK {
				if doc, exit, stderr := verifies(t, dir, "--key", s.public); exit != exitOK || len(doc.Files) > 2 {
					t.Errorf("%s, %s, the folder: exit status %d, %v\n%s", format, name, exit, reasons(doc, dir), stderr)
				}
			}
		}
	}
}

// The text says what a verdict rests on, and flags that say nothing about such a key are refused.
func TestVerifyListedText(t *testing.T) {
	s := fileSigners(t)["minisign"]
	dir := t.TempDir()
	list := artifact.Of([]byte("tool")).Hex() + "  tool\n"
	for file, text := range map[string][]byte{"tool": []byte("tool"), "SHA256SUMS": []byte(list), "SHA256SUMS.minisig": s.sign([]byte(list))} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool := filepath.Join(dir, "tool")
	out, err := exec.Command("twice", "verify", tool, "--key", s.public).CombinedOutput()
	for _, want := range []string{"verified      " + tool, "SHA256SUMS, which is signed\n", "signed by     minisign key sha256:", "its signature has no time"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, want %q\n%s", err, want, out)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.pub")
	if err := os.WriteFile(bad, []byte("RWAAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--key", s.public, "--trusted-root", tool}, {"--key", s.public, "--certificate-identity", "me"}, {"--key", bad}} {
		if _, exit, stderr := verifies(t, append(args, tool)...); exit != exitUsage || !strings.Contains(stderr, "minisign") {
			t.Errorf("%q: exit status %d\n%s", args, exit, stderr)
		}
	}
}
