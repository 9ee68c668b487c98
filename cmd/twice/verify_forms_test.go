package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// publisher signs files, in the forms of different tools.
type publisher struct {
	key    *ecdsa.PrivateKey
	signer *attest.Signer
	public string // the file of its public key
}

func newPublisher(t *testing.T) publisher {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sv, err := signature.LoadDefaultSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := attest.NewSigner(t.Context(), sv)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	p := publisher{key, signer, filepath.Join(t.TempDir(), "publisher.pub")}
	if err := os.WriteFile(p.public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// line returns a bundle with a statement about content, on a line.
func (p publisher) line(t *testing.T, content string) string {
	t.Helper()
	data, err := p.signer.Sign(context.Background(), intoto.Statement{
		Subjects:      []intoto.Subject{{Name: "hello", Digest: artifact.Of([]byte(content))}},
		PredicateType: "https://example.com/p", Predicate: []byte("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// hint returns how a bundle names the key.
func (p publisher) hint(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(p.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// sign returns a signature of data, in base64.
func (p publisher) sign(t *testing.T, data []byte) string {
	t.Helper()
	sum := sha256.Sum256(data)
	sig, err := p.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// envelope returns a DSSE envelope with a statement (github.com/secure-systems-lab/dsse, protocol.md).
func (p publisher) envelope(t *testing.T, statement string) string {
	t.Helper()
	signed := fmt.Sprintf("DSSEv1 %d %s %d %s", len(intoto.PayloadType), intoto.PayloadType, len(statement), statement)
	return fmt.Sprintf(`{"payloadType":%q,"payload":%q,"signatures":[{"keyid":"","sig":%q}]}`,
		intoto.PayloadType, base64.StdEncoding.EncodeToString([]byte(statement)), p.sign(t, []byte(signed)))
}

// What other tools publish beside a file is found by itself, or where --bundle says.
func TestVerifyForms(t *testing.T) {
	p, other := newPublisher(t), newPublisher(t)
	const content = "hello\n"
	sum512 := sha512.Sum512([]byte(content))
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"pkg:npm/hello@1.0.0","digest":{"sha512":%q}}],"predicateType":"https://example.com/p","predicate":{}}`,
		hex.EncodeToString(sum512[:]))
	cosign := fmt.Sprintf(`{"base64Signature":%q,"cert":""}`, base64.StdEncoding.EncodeToString([]byte(p.envelope(t, strings.Replace(statement,
		`"sha512":"`+hex.EncodeToString(sum512[:]), `"sha256":"`+artifact.Of([]byte(content)).Hex(), 1)))))
	answer := func(s string) string { return `{"attestations":[{"predicateType":"x","bundle":` + s + `}]}` }

	for name, test := range map[string]struct {
		file, text string // what lies beside the file
		want       int
		reason     string
	}{
		"lines":                      {"sha256.jsonl", p.line(t, "another") + p.line(t, content), exitOK, ""},
		"lines about other files":    {"sha256.jsonl", p.line(t, "another") + p.line(t, "yet another"), exitDiffers, "unsigned"},
		"lines of somebody, too":     {"sha256.jsonl", p.line(t, content) + other.line(t, content), exitOK, ""},
		"lines of somebody else":     {"sha256.jsonl", other.line(t, "another") + other.line(t, content), exitDiffers, "unsigned"},
		"a line that is tampered":    {"sha256.jsonl", p.line(t, content) + strings.Replace(p.line(t, content), `"sig":"ME`, `"sig":"MF`, 1), exitDiffers, "tampered"},
		"data on lines":              {"data.jsonl", `{"a":1}` + "\n" + `{"a":2}` + "\n", exitDiffers, "unsigned"},
		"an answer of a service":     {"npm.sigstore", answer(p.line(t, content)), exitOK, ""},
		"cosign's older bundle":      {"hello.bundle", cosign, exitOK, ""},
		"a detached signature":       {"hello.sig", p.sign(t, []byte(content)) + "\n", exitOK, ""},
		"a detached one of another":  {"hello.sig", p.sign(t, []byte("another")), exitDiffers, "tampered"},
		"a detached one by another":  {"hello.sig", other.sign(t, []byte(content)), exitDiffers, "tampered"},
		"something else called so":   {"hello.sig", "-----BEGIN PGP SIGNATURE-----\n", exitDiffers, "unsigned"},
		"an envelope":                {"hello.intoto.jsonl", p.envelope(t, statement), exitOK, ""},
		"an envelope of another":     {"hello.intoto.jsonl", p.envelope(t, strings.Replace(statement, `"sha512":"`, `"sha512":"0`, 1)), exitDiffers, "unsigned"},
		"an envelope by another":     {"hello.intoto.jsonl", other.envelope(t, statement), exitDiffers, "tampered"},
		"an envelope, changed since": {"hello.intoto.jsonl", strings.Replace(p.envelope(t, statement), `"sig":"ME`, `"sig":"MF`, 1), exitDiffers, "tampered"},
	} {
		dir := t.TempDir()
		file, beside := filepath.Join(dir, "hello"), filepath.Join(dir, test.file)
		for name, text := range map[string]string{file: content, beside: test.text} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		check := func(how string, args ...string) {
			doc, exit, stderr := verifies(t, append(args, "--key", p.public)...)
			got := reasons(doc, dir)["hello"]
			if exit != test.want || got != test.reason && !(got == "wrong key" && test.reason == "tampered") {
				t.Errorf("%s, %s: exit status %d, reason %q\n%s", name, how, exit, got, stderr)
			}
		}
		check("the file", file)

		// In a folder what holds signatures is no file that lacks one.
		doc, exit, _ := verifies(t, dir, "--key", p.public)
		if files := len(doc.Files); exit != test.want || files != 1 && !strings.HasPrefix(name, "data") && !strings.HasPrefix(name, "something else") {
			t.Errorf("%s, the folder: exit status %d, %d files", name, exit, files)
		}

		// A detached signature is found beside the file alone. What --bundle names has to be about it.
		if !strings.HasSuffix(test.file, ".sig") && test.reason != "unsigned" {
			check("--bundle", file, "--bundle", beside)
		} else if _, exit, _ := verifies(t, file, "--key", p.public, "--bundle", beside); exit != exitDiffers {
			t.Errorf("%s, --bundle: exit status %d", name, exit)
		}
	}
}

// What is merely called a signature is a file that lacks one, and lines that cannot be read are told.
func TestVerifyFormsBeside(t *testing.T) {
	p := newPublisher(t)
	for name, test := range map[string]struct {
		files map[string]string
		want  string // the files that are refused
		note  string
	}{
		"a program called a signature":   {map[string]string{"hello": "hello\n", "x.jsonl": p.line(t, "hello\n"), "hello.sig": "#!/bin/sh\necho\n"}, "hello.sig", ""},
		"a program called a certificate": {map[string]string{"hello": "hello\n", "hello.sig": p.sign(t, []byte("hello\n")), "hello.pem": "#!/bin/sh\necho\n"}, "hello hello.pem hello.sig", ""},
		"a certificate of nothing":       {map[string]string{"hello": "hello\n", "x.jsonl": p.line(t, "hello\n"), "hello.crt": "text"}, "hello.crt", ""},
		"a second certificate":           {map[string]string{"hello": "hello\n", "hello.sig": p.sign(t, []byte("hello\n")), "hello.crt": "", "hello.pem": ""}, "hello.crt", ""},
		"a signature of nothing":         {map[string]string{"hello": "hello\n", "x.jsonl": p.line(t, "hello\n"), "other.sig": p.sign(t, []byte("x"))}, "other.sig", ""},
		"a line that is none":            {map[string]string{"hello": "hello\n", "x.jsonl": p.line(t, "hello\n") + "x\n"}, "hello", "x.jsonl, which is called a bundle and is none"},
	} {
		dir := t.TempDir()
		for file, text := range test.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		doc, exit, stderr := verifies(t, dir, "--key", p.public)
		var refused []string
		for _, f := range doc.Files {
			if f.Verdict != verify.Verified {
				refused = append(refused, filepath.Base(f.Name))
			}
		}
		notes := strings.Join(doc.Notes, "\n")
		if got := strings.Join(refused, " "); exit != exitDiffers || got != test.want || !strings.Contains(notes, test.note) {
			t.Errorf("%s: exit status %d, refuses %q, notes %q\n%s", name, exit, got, notes, stderr)
		}
	}
}

// The place of a bundle in a file of several is told.
func TestVerifyFormsText(t *testing.T) {
	p := newPublisher(t)
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "hello")
	must(os.WriteFile(file, []byte("hello\n"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "x.jsonl"), []byte(p.line(t, "hello\n")+strings.Replace(p.line(t, "hello\n"), `"sig":"ME`, `"sig":"MF`, 1)), 0o600))
	out, err := exec.Command("twice", "verify", file, "--key", p.public).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "x.jsonl: line 2: open bundle: ") || strings.Contains(string(out), "line 1: open") {
		t.Errorf("%v\n%s", err, out)
	}
}
