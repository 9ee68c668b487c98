package filesig

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"aead.dev/minisign"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

var message = []byte("the message\n")

// signer makes signatures in one of the formats.
type signer struct {
	public string
	sign   func(message []byte) []byte
}

func minisigner(t testing.TB) signer {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return signer{string(text) + "\n", func(m []byte) []byte { return minisign.Sign(private, m) }}
}

func sshSigner(t testing.TB, namespace string, h sshsig.HashAlgorithm) signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer{string(ssh.MarshalAuthorizedKey(s.PublicKey())), func(m []byte) []byte {
		sig, err := sshsig.Sign(bytes.NewReader(m), s, h, namespace)
		if err != nil {
			t.Fatal(err)
		}
		return sshsig.Armor(sig)
	}}
}

func parse(t testing.TB, text string) *Key {
	t.Helper()
	k, err := ParseKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVerify(t *testing.T) {
	for format, make := range map[string]func() signer{
		Minisign:        func() signer { return minisigner(t) },
		SSH:             func() signer { return sshSigner(t, "file", sshsig.HashSHA512) },
		SSH + " SHA256": func() signer { return sshSigner(t, "file", sshsig.HashSHA256) },
	} {
		s, other := make(), make()
		k, sig := parse(t, s.public), s.sign(message)
		if k.Format() != strings.Fields(format)[0] || !IsSignature(sig) || k.Fingerprint() == parse(t, other.public).Fingerprint() {
			t.Errorf("%s: %s", format, k.Format())
		}
		if err := k.Verify(bytes.NewReader(message), sig); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if err := k.Verify(strings.NewReader("another"), sig); err == nil || errors.Is(err, ErrOtherKey) {
			t.Errorf("%s: another message: %v", format, err)
		}
		if err := k.Verify(bytes.NewReader(message), other.sign(message)); !errors.Is(err, ErrOtherKey) {
			t.Errorf("%s: another key: %v", format, err)
		}

		// No byte of a signature can be another one, but for those of its armour and its comments.
		for i := range sig {
			bad := bytes.Clone(sig)
			bad[i] ^= 1
			if err := k.Verify(bytes.NewReader(message), bad); err == nil && !harmless(format, sig, i) {
				t.Errorf("%s: accepted with another byte %d: %q", format, i, bad)
			}
		}
	}
}

// harmless reports whether a byte of a signature says nothing: of minisign's untrusted comment, of
// the lines of an armour, and bits of base64 that are left over.
func harmless(format string, sig []byte, i int) bool {
	line := bytes.Count(sig[:i], []byte("\n"))
	if format == Minisign {
		return line == 0
	}
	return sig[i] == '\n' || bytes.HasPrefix(sig[bytes.LastIndexByte(sig[:i], '\n')+1:], []byte("-----"))
}

// What a signature is for is part of it.
func TestNamespace(t *testing.T) {
	s := sshSigner(t, "git", sshsig.HashSHA512)
	if err := parse(t, s.public).Verify(bytes.NewReader(message), s.sign(message)); err == nil || !strings.Contains(err.Error(), `namespace "git"`) {
		t.Errorf("%v", err)
	}
}

func TestParseKey(t *testing.T) {
	m, s := minisigner(t), sshSigner(t, "file", sshsig.HashSHA512)
	_, bare, _ := strings.Cut(m.public, "\n")
	for name, text := range map[string]string{
		"minisign": m.public, "minisign alone": bare, "CRLF": strings.ReplaceAll(m.public, "\n", "\r\n"),
		"SSH": s.public, "SSH with a comment": strings.TrimSpace(s.public) + " me@example.com", "an allowed signer": "me@example.com " + s.public,
	} {
		if _, err := ParseKey([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, test := range map[string]struct {
		text    string
		unknown bool
	}{
		"nothing":            {"", true},
		"PEM":                {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", true},
		"two keys":           {s.public + s.public, true},
		"options":            {`me namespaces="git" ` + s.public, true},
		"a damaged minisign": {"RWAAAA", false},
		"a damaged SSH":      {"ssh-ed25519 AAAA", false},
		"a large one":        {strings.Repeat("a", MaxSize+1), true},
	} {
		if k, err := ParseKey([]byte(test.text)); err == nil || k != nil || errors.Is(err, ErrUnknown) != test.unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVerify shows that nothing of a stranger's makes it panic, and that no signature that was not
// made is accepted.
func FuzzVerify(f *testing.F) {
	m, s := minisigner(f), sshSigner(f, "file", sshsig.HashSHA512)
	keys := []*Key{parse(f, m.public), parse(f, s.public)}
	good := [][]byte{m.sign(message), s.sign(message)}
	f.Add(good[0])
	f.Add(good[1])
	f.Add([]byte(m.public))
	f.Add([]byte(s.public))
	f.Fuzz(func(t *testing.T, data []byte) {
		IsSignature(data)
		ParseKey(data)
		for _, k := range keys {
			if k.Verify(strings.NewReader("another"), data) == nil {
				t.Fatalf("accepted %q", data)
			}
		}
	})
}
