package key

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// pass is a passphrase callback, and counts how often it is called.
type pass struct {
	word  string
	err   error
	calls int
}

func (p *pass) ask(context.Context) ([]byte, error) {
	p.calls++
	return []byte(p.word), p.err
}

// hintOf returns the remedy that comes with err.
func hintOf(err error) string {
	var h interface{ Remedy() string }
	if errors.As(err, &h) {
		return h.Remedy()
	}
	return ""
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, path string, data []byte, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// signs fails unless private makes signatures that public accepts, and public
// refuses others.
func signs(t *testing.T, private *Private, public *Public) {
	t.Helper()
	message := []byte("what is signed")
	sig, err := private.Sign(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify(message, sig); err != nil {
		t.Errorf("own signature: %v", err)
	}
	if err := public.Verify([]byte("something else"), sig); err == nil {
		t.Error("the signature is accepted for another message")
	}
	sig[len(sig)-1] ^= 1
	if err := public.Verify(message, sig); err == nil {
		t.Error("a changed signature is accepted")
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := private.Sign(canceled, message); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestLoad reads keys that openssl 3.0 made.
func TestLoad(t *testing.T) {
	for _, test := range []struct{ file, kind, flag string }{
		{"p256-pkcs8.pem", "ECDSA P-256", "PKIX_ECDSA_P256_SHA_256"},
		{"p256-sec1.pem", "ECDSA P-256", "PKIX_ECDSA_P256_SHA_256"},
		{"p256-sec1-parameters.pem", "ECDSA P-256", "PKIX_ECDSA_P256_SHA_256"},
		{"p384-pkcs8.pem", "ECDSA P-384", "PKIX_ECDSA_P384_SHA_384"},
		{"ed25519-pkcs8.pem", "Ed25519", "PKIX_ED25519"},
		{"rsa2048-pkcs8.pem", "RSA 2048", "PKIX_RSA_PKCS1V15_2048_SHA256"},
		{"rsa2048-pkcs1.pem", "RSA 2048", "PKIX_RSA_PKCS1V15_2048_SHA256"},
		{"rsa3072-pkcs8.pem", "RSA 3072", "PKIX_RSA_PKCS1V15_3072_SHA256"},
		{"rsa4096-pkcs8.pem", "RSA 4096", "PKIX_RSA_PKCS1V15_4096_SHA256"},
	} {
		t.Run(test.file, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "a.key"), read(t, filepath.Join("testdata", test.file)), 0o600)
			asked := &pass{}
			private, err := Load(t.Context(), path, Options{Passphrase: asked.ask})
			if err != nil {
				t.Fatal(err)
			}
			if len(private.Warnings) > 0 || private.Development || asked.calls > 0 {
				t.Errorf("warnings %q, development %v, asked %d times", private.Warnings, private.Development, asked.calls)
			}
			p := private.Public()
			if got := p.Algorithm().GetSignatureAlgorithm().String(); p.Kind() != test.kind || got != test.flag {
				t.Errorf("%s with %s", p.Kind(), got)
			}
			public, err := ParsePublic(p.PEM())
			if err != nil {
				t.Fatal(err)
			}
			if public.Hint() != p.Hint() || public.Fingerprint() != p.Fingerprint() {
				t.Errorf("the public half has another name: %s, %s", public.Hint(), p.Hint())
			}
			signs(t, private, public)
		})
	}
}

// TestIdentity holds names of a key against what openssl and sha256sum say.
func TestIdentity(t *testing.T) {
	public, err := LoadPublic(t.Context(), "testdata/p256.pub", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := public.Fingerprint(); got != "sha256:aaf9e8b1fadc1cf4b59773c86bdab96ce984edcc088a0209044c04fa6a042869" {
		t.Errorf("fingerprint %s", got)
	}
	if got := public.Hint(); got != "qvnosfrcHPS1l3PIa9q5bOmE7cwIigIJBEwE+moEKGk=" {
		t.Errorf("hint %s", got)
	}
	if got := public.PEM(); !bytes.Equal(got, read(t, "testdata/p256.pub")) {
		t.Errorf("PEM:\n%s", got)
	}
	private, err := Load(t.Context(), "testdata/p256-sec1.pem", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if private.Public().Hint() != public.Hint() {
		t.Error("the private key has another hint than its public half")
	}
}

// TestRefusedPrivate shows that each kind of file that is no accepted key is
// refused for its own reason.
func TestRefusedPrivate(t *testing.T) {
	good := read(t, "testdata/p256-pkcs8.pem")
	block, _ := pem.Decode(good)
	encode := func(typ string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
	}
	bad := func(name string) []byte { return read(t, filepath.Join("testdata/bad", name)) }
	for name, test := range map[string]struct {
		data []byte
		want string
		hint string
	}{
		"P-521":               {bad("p521.pem"), "ECDSA P-521 is not accepted", "twice keygen"},
		"secp256k1":           {bad("secp256k1.pem"), "unknown elliptic curve", ""},
		"X25519":              {bad("x25519.pem"), "X25519, which cannot sign", "twice keygen"},
		"Ed448":               {bad("ed448.pem"), "unknown algorithm", ""},
		"DSA":                 {bad("dsa.pem"), "unknown algorithm", ""},
		"RSA 1024":            {bad("rsa1024.pem"), "RSA 1024 is not accepted", "twice keygen"},
		"RSA 2560":            {bad("rsa2560.pem"), "RSA 2560 is not accepted", "twice keygen"},
		"RSA exponent":        {bad("rsa-exponent3.pem"), "RSA 2048 with the exponent 3 is not accepted", "twice keygen"},
		"outdated encryption": {bad("outdated-encryption.pem"), "PEM headers", "openssl pkey"},
		"PKCS#8 encryption":   {bad("pkcs8-encrypted.pem"), "want cosign's encryption", "cosign import-key-pair"},
		"OpenSSH":             {bad("openssh.pem"), "OpenSSH", "ssh-keygen"},
		"certificate":         {bad("certificate.pem"), "no private key (CERTIFICATE)", "NAME.key"},
		"public key":          {read(t, "testdata/p256.pub"), "no private key (PUBLIC KEY)", "NAME.key"},
		"unknown block":       {encode("NEW KEY", block.Bytes), `holds "NEW KEY"`, ""},
		"empty":               {nil, "not in PEM", ""},
		"DER":                 {block.Bytes, "not in PEM", ""},
		"text before":         {append([]byte("my key\n"), good...), "not in PEM", ""},
		"text after":          {append(slices.Clone(good), "my key\n"...), "more than a key", ""},
		"two keys":            {append(slices.Clone(good), good...), "more than one key", ""},
		"damaged, then a key": {append([]byte("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n"), good...), "more than one key", ""},
		"cut":                 {good[:len(good)/2], "damaged PEM", ""},
		"parameters alone":    {encode("EC PARAMETERS", []byte{6, 0}), "damaged PEM", ""},
		"no DER":              {encode("PRIVATE KEY", []byte("not DER")), "asn1", ""},
		"large":               {encode("PRIVATE KEY", make([]byte, maxBlock+1)), "of 8193 bytes", ""},
		"bytes after the key": {encode("PRIVATE KEY", append(slices.Clone(block.Bytes), 0)), "something after the key", ""},
		"wrong type":          {encode("EC PRIVATE KEY", block.Bytes), "ParsePKCS8PrivateKey", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "a.key"), test.data, 0o600)
			private, err := Load(t.Context(), path, Options{})
			if err == nil {
				t.Fatalf("accepted as %s", private.Public().Kind())
			}
			if msg := err.Error(); !strings.Contains(msg, test.want) || !strings.HasPrefix(msg, "signing key "+path+": ") {
				t.Errorf("%s\nwant %s", msg, test.want)
			}
			if hint := hintOf(err); !strings.Contains(hint, test.hint) {
				t.Errorf("hint %q: want %q", hint, test.hint)
			}
		})
	}
}

func TestRefusedPublic(t *testing.T) {
	good := read(t, "testdata/p256.pub")
	private, err := pkcs8Public(t, "testdata/bad/rsa1024.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data []byte
		want string
		hint string
	}{
		"private key": {read(t, "testdata/p256-pkcs8.pem"), "holds a private key", "NAME.pub"},
		"certificate": {read(t, "testdata/bad/certificate.pem"), `holds "CERTIFICATE"`, ""},
		"PKCS#1":      {pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: []byte{48, 0}}), `holds "RSA PUBLIC KEY"`, ""},
		"RSA 1024":    {private, "RSA 1024 is not accepted", "P-256"},
		"two":         {append(slices.Clone(good), good...), "more than one key", ""},
		"empty":       {nil, "not in PEM", ""},
		"no DER":      {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), "asn1", ""},
		"off curve":   {offCurve(t, good), "not on curve", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "a.pub"), test.data, 0o600)
			public, err := LoadPublic(t.Context(), path, Options{})
			if err == nil {
				t.Fatalf("accepted as %s", public.Kind())
			}
			if msg := err.Error(); !strings.Contains(msg, test.want) || !strings.HasPrefix(msg, "public key "+path+": ") {
				t.Errorf("%s\nwant %s", msg, test.want)
			}
			if hint := hintOf(err); !strings.Contains(hint, test.hint) {
				t.Errorf("hint %q: want %q", hint, test.hint)
			}
		})
	}
}

// pkcs8Public returns the public half of a key that Load refuses.
func pkcs8Public(t *testing.T, path string) ([]byte, error) {
	block, _ := pem.Decode(read(t, path))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func offCurve(t *testing.T, good []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(good)
	block.Bytes[len(block.Bytes)-1] ^= 1
	return pem.EncodeToMemory(block)
}

func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	huge := write(t, filepath.Join(dir, "huge"), make([]byte, MaxFile+1), 0o600)
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	for name, test := range map[string]struct {
		ctx        context.Context
		path, want string
	}{
		"nothing":  {t.Context(), filepath.Join(dir, "nothing"), "no such file"},
		"folder":   {t.Context(), dir, "not a regular file"},
		"device":   {t.Context(), os.DevNull, "not a regular file"},
		"huge":     {t.Context(), huge, "more than 1048576 bytes"},
		"canceled": {canceled, "testdata/p256-pkcs8.pem", "enough"},
	} {
		if runtime.GOOS == "windows" && (name == "device" || name == "nothing") {
			continue // other words
		}
		if _, err := Load(test.ctx, test.path, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := LoadPublic(test.ctx, test.path, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: public: %v", name, err)
		}
	}
	_, err := Load(t.Context(), filepath.Join(dir, "nothing"), Options{})
	if !errors.Is(err, fs.ErrNotExist) && runtime.GOOS != "windows" || !strings.Contains(hintOf(err), "twice keygen") {
		t.Errorf("%v, hint %q", err, hintOf(err))
	}
}

// TestWarning: a file that others can read is a warning and no error.
func TestWarning(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	data := read(t, "testdata/p256-pkcs8.pem")
	for mode, warned := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true} {
		path := write(t, filepath.Join(t.TempDir(), "a.key"), data, mode)
		private, err := Load(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if (len(private.Warnings) == 1) != warned {
			t.Errorf("mode %o: warnings %q", mode, private.Warnings)
		}
	}
}

// TestEncrypted reads what package encrypted writes, as cosign does, under both
// names and with both strengths that cosign has had.
func TestEncrypted(t *testing.T) {
	block, _ := pem.Decode(read(t, "testdata/p256-pkcs8.pem"))
	older, err := encrypted.EncryptWithCustomKDFParameters(block.Bytes, []byte("word"), encrypted.Legacy)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := encrypted.Encrypt(block.Bytes, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, typ string, data []byte) string {
		return write(t, filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: data}), 0o600)
	}
	olderFile := file("older", "ENCRYPTED COSIGN PRIVATE KEY", older)
	// cosign takes an empty passphrase for one.
	newerFile := file("newer", "ENCRYPTED SIGSTORE PRIVATE KEY", newer)

	for path, word := range map[string]string{olderFile: "word", newerFile: ""} {
		asked := &pass{word: word}
		private, err := Load(t.Context(), path, Options{Passphrase: asked.ask})
		if err != nil {
			t.Fatal(err)
		}
		if asked.calls != 1 {
			t.Errorf("asked %d times", asked.calls)
		}
		public, err := LoadPublic(t.Context(), "testdata/p256.pub", Options{})
		if err != nil {
			t.Fatal(err)
		}
		signs(t, private, public)
	}

	if _, err := Load(t.Context(), olderFile, Options{}); err == nil || !strings.Contains(err.Error(), "there is no passphrase") || hintOf(err) == "" {
		t.Errorf("no callback: %v", err)
	}
	broken := &pass{err: errors.New("no terminal")}
	if _, err := Load(t.Context(), olderFile, Options{Passphrase: broken.ask}); !errors.Is(err, broken.err) {
		t.Errorf("failing callback: %v", err)
	}
	for _, word := range []string{"", "Word", "word\n"} {
		wrong := &pass{word: word}
		if _, err := Load(t.Context(), olderFile, Options{Passphrase: wrong.ask}); err == nil || !strings.Contains(err.Error(), "passphrase is wrong") {
			t.Errorf("%q: %v", word, err)
		}
	}
	// Every part of the document is authenticated, or checked.
	var doc map[string]any
	if err := json.Unmarshal(older, &doc); err != nil {
		t.Fatal(err)
	}
	kdf, cipher := doc["kdf"].(map[string]any), doc["cipher"].(map[string]any)
	for _, part := range []string{kdf["salt"].(string), cipher["nonce"].(string), doc["ciphertext"].(string)} {
		raw, err := base64.StdEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)-1] ^= 1
		changed := bytes.Replace(older, []byte(part), []byte(base64.StdEncoding.EncodeToString(raw)), 1)
		right := &pass{word: "word"}
		_, err = Load(t.Context(), file("changed", encryptedBlock, changed), Options{Passphrase: right.ask})
		if err == nil || !strings.Contains(err.Error(), "or the file was changed") {
			t.Errorf("changed %s: %v", part, err)
		}
	}
	// The largest key that is accepted fits the bounds.
	plain, _ := pem.Decode(read(t, "testdata/rsa4096-pkcs8.pem"))
	if err := encrypt(t.Context(), plain, (&pass{word: "word"}).ask); err != nil {
		t.Fatal(err)
	}
	fits := &pass{word: "word"}
	if private, err := Load(t.Context(), file("large", plain.Type, plain.Bytes), Options{Passphrase: fits.ask}); err != nil || private.Public().Kind() != "RSA 4096" {
		t.Errorf("RSA 4096: %v", err)
	}
	// What is inside is held to the same rules.
	inside, _ := pem.Decode(read(t, "testdata/bad/p521.pem"))
	enc, err := encrypted.EncryptWithCustomKDFParameters(inside.Bytes, []byte("word"), encrypted.Legacy)
	if err != nil {
		t.Fatal(err)
	}
	right := &pass{word: "word"}
	if _, err := Load(t.Context(), file("inside", encryptedBlock, enc), Options{Passphrase: right.ask}); err == nil || !strings.Contains(err.Error(), "P-521") {
		t.Errorf("P-521 inside: %v", err)
	}
}

const soundBox = `{"kdf":{"name":"scrypt","params":{"N":65536,"r":8,"p":1},"salt":"c2FsdA=="},` +
	`"cipher":{"name":"nacl/secretbox","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"ciphertext":"AAAA"}`

// TestRefusedBoxes: nobody is asked for the passphrase of a file that is
// unsound, and no file chooses what the key derivation costs.
func TestRefusedBoxes(t *testing.T) {
	if err := checkBox([]byte(soundBox)); err != nil {
		t.Fatalf("the sound one: %v", err)
	}
	if err := checkBox([]byte(strings.ReplaceAll(soundBox, ",", ", "))); err != nil {
		t.Errorf("white space: %v", err)
	}
	for name, test := range map[string]struct{ from, to, want string }{
		"no JSON":     {soundBox, "kdf", "invalid character"},
		"cut":         {`"AAAA"}`, `"AAAA"`, "unexpected end"},
		"trailing":    {`"AAAA"}`, `"AAAA"} {}`, "after top-level value"},
		"unknown":     {`"ciphertext"`, `"more":1,"ciphertext"`, "not laid out"},
		"twice":       {`"ciphertext"`, `"ciphertext":"BBBB","ciphertext"`, "not laid out"},
		"other case":  {`"ciphertext"`, `"Ciphertext"`, "not laid out"},
		"missing":     {`"p":1`, `"q":1`, "not laid out"},
		"null":        {`"c2FsdA=="`, `null`, "no salt"},
		"KDF":         {`"scrypt"`, `"bcrypt"`, `"bcrypt"`},
		"cipher":      {`"nacl/secretbox"`, `"aes"`, `"aes"`},
		"huge N":      {`65536`, `1073741824`, "N=1073741824"},
		"small N":     {`65536`, `2`, "N=2"},
		"huge r":      {`"r":8`, `"r":8388608`, "r=8388608"},
		"huge p":      {`"p":1`, `"p":1000000`, "p=1000000"},
		"too large N": {`65536`, `65536000000000000000000`, "cannot unmarshal"},
		"short nonce": {`AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`, `AAAA`, "nonce of 3 bytes"},
	} {
		doc := strings.Replace(soundBox, test.from, test.to, 1)
		asked := &pass{}
		data := pem.EncodeToMemory(&pem.Block{Type: encryptedBlock, Bytes: []byte(doc)})
		_, err := parsePrivate(t.Context(), data, asked.ask)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if asked.calls > 0 {
			t.Errorf("%s: asked for the passphrase", name)
		}
	}
}

func TestGenerate(t *testing.T) {
	for _, test := range []struct {
		algorithm Algorithm
		plain     bool
		kind      string
	}{
		{"", false, "ECDSA P-256"},
		{P256, true, "ECDSA P-256"},
		{P384, true, "ECDSA P-384"},
		{Ed25519, true, "Ed25519"},
	} {
		t.Run(string(test.algorithm), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "release")
			asked := &pass{word: "word"}
			made, err := Generate(t.Context(), name, GenerateOptions{Algorithm: test.algorithm, Unencrypted: test.plain, Passphrase: asked.ask})
			if err != nil {
				t.Fatal(err)
			}
			if (asked.calls == 0) != test.plain || made.Public().Kind() != test.kind {
				t.Errorf("asked %d times; a key of kind %s", asked.calls, made.Public().Kind())
			}
			for path, mode := range map[string]fs.FileMode{name + ".key": 0o600, name + ".pub": 0o644} {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if got := info.Mode().Perm(); got != mode && runtime.GOOS != "windows" {
					t.Errorf("%s: mode %o", path, got)
				}
			}
			// What cosign looks at.
			block, _ := pem.Decode(read(t, name+".key"))
			if want := map[bool]string{true: "PRIVATE KEY", false: "ENCRYPTED SIGSTORE PRIVATE KEY"}[test.plain]; block.Type != want {
				t.Errorf("block %q", block.Type)
			}
			der := block.Bytes
			if !test.plain {
				if der, err = encrypted.Decrypt(der, []byte("word")); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := x509.ParsePKCS8PrivateKey(der); err != nil {
				t.Error(err)
			}

			private, err := Load(t.Context(), name+".key", Options{Passphrase: asked.ask})
			if err != nil {
				t.Fatal(err)
			}
			public, err := LoadPublic(t.Context(), name+".pub", Options{})
			if err != nil {
				t.Fatal(err)
			}
			signs(t, private, public)
			signs(t, made, public)
		})
	}
}

// TestGenerateLeavesNothing: never overwriting, and both files or none.
func TestGenerateLeavesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		before  []string // files that are there
		opts    GenerateOptions
		want    string
		hint    string
		nobody  bool // is asked
		context func(context.Context) context.Context
	}{
		"key there":      {before: []string{"a.key"}, want: "a.key: file already exists", hint: "another name", nobody: true},
		"public there":   {before: []string{"a.pub"}, want: "a.pub: file already exists", hint: "another name", nobody: true},
		"algorithm":      {opts: GenerateOptions{Algorithm: "rsa"}, want: `unknown algorithm "rsa" (ecdsa-p256, ecdsa-p384, ed25519)`, nobody: true},
		"empty word":     {want: "passphrase is empty", hint: "unencrypted"},
		"no passphrase":  {want: "no passphrase", hint: "unencrypted", nobody: true},
		"callback fails": {want: "passphrase: no terminal"},
		"canceled": {opts: GenerateOptions{Unencrypted: true}, want: "context canceled", nobody: true, context: func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range test.before {
				write(t, filepath.Join(dir, file), []byte("mine"), 0o600)
			}
			asked := &pass{}
			if name == "callback fails" {
				asked.err = errors.New("no terminal")
			}
			if name != "no passphrase" {
				test.opts.Passphrase = asked.ask
			}
			ctx := t.Context()
			if test.context != nil {
				ctx = test.context(ctx)
			}
			_, err := Generate(ctx, filepath.Join(dir, "a"), test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(hintOf(err), test.hint) {
				t.Errorf("%v\nhint %s", err, hintOf(err))
			}
			if test.nobody && asked.calls > 0 {
				t.Error("asked for a passphrase in vain")
			}
			unchanged(t, dir, test.before)
		})
	}
	if _, err := Generate(t.Context(), filepath.Join(t.TempDir(), "no", "a"), GenerateOptions{Unencrypted: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// unchanged fails unless dir holds the files of this list, as they were.
func unchanged(t *testing.T, dir string, files []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if got := read(t, filepath.Join(dir, e.Name())); string(got) != "mine" {
			t.Errorf("%s holds %q", e.Name(), got)
		}
	}
	if !slices.Equal(names, files) {
		t.Errorf("left %q: want %q", names, files)
	}
}

// TestWriteNew: a file that appears after the first look is not touched either,
// nor what a symbolic link points to.
func TestWriteNew(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, b, []byte("mine"), 0o600)
	err := writeNew([]newFile{{a, []byte("a"), 0o600}, {b, []byte("b"), 0o600}})
	if !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	unchanged(t, dir, []string{"b"})

	if err := os.Symlink("target", a); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := writeNew([]newFile{{a, []byte("a"), 0o600}}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("symbolic link: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "target")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("wrote through a symbolic link")
	}
}

func TestDevelopment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "config", "twice")
	var wg sync.WaitGroup
	var mu sync.Mutex
	hints := map[string]int{}
	for range 8 {
		wg.Go(func() {
			private, err := Development(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			if !private.Development || len(private.Warnings) != 1 || private.Warnings[0] != DevelopmentWarning {
				t.Errorf("%v, %q", private.Development, private.Warnings)
			}
			mu.Lock()
			defer mu.Unlock()
			hints[private.Public().Hint()]++
		})
	}
	wg.Wait()
	if len(hints) != 1 {
		t.Fatalf("%d keys: want one", len(hints))
	}

	// The public half is for twice verify; it is made again when it is lost or
	// another's.
	pub := filepath.Join(dir, "development.pub")
	for _, harm := range []func(){
		func() {},
		func() { os.Remove(pub) },
		func() { write(t, pub, read(t, "testdata/p256.pub"), 0o644) },
		func() {
			write(t, filepath.Join(dir, "development.key.new"), []byte("from a process that was killed"), 0o600)
		},
	} {
		harm()
		private, err := Development(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		public, err := LoadPublic(t.Context(), pub, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if hints[public.Hint()] == 0 {
			t.Error("another key")
		}
		signs(t, private, public)
	}

	// A damaged key is not replaced in silence.
	key := write(t, filepath.Join(dir, "development.key"), []byte("damaged"), 0o600)
	if _, err := Development(t.Context(), dir); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(hintOf(err), "remove it") {
		t.Errorf("%v, hint %q", err, hintOf(err))
	}
	if string(read(t, key)) != "damaged" {
		t.Error("replaced the damaged key")
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Development(canceled, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// FuzzParsePublic: what is accepted says the same when it is written again.
func FuzzParsePublic(f *testing.F) {
	for _, file := range []string{"p256.pub", "p256-pkcs8.pem", "bad/certificate.pem"} {
		f.Add(read(f, filepath.Join("testdata", file)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		public, err := ParsePublic(data)
		if err != nil {
			return
		}
		again, err := ParsePublic(public.PEM())
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if again.Hint() != public.Hint() || again.Kind() != public.Kind() {
			t.Errorf("%s %s became %s %s", public.Kind(), public.Hint(), again.Kind(), again.Hint())
		}
	})
}

// FuzzParsePrivate: what is accepted signs, for the public half that it tells,
// and no input makes anyone derive a key from a passphrase but a sound box.
func FuzzParsePrivate(f *testing.F) {
	for _, pattern := range []string{"testdata/*.pem", "testdata/bad/*.pem"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			f.Add(read(f, file))
		}
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: encryptedBlock, Bytes: []byte(soundBox)}))
	stop := errors.New("asked")
	f.Fuzz(func(t *testing.T, data []byte) {
		asked := &pass{err: stop}
		private, err := parsePrivate(t.Context(), data, asked.ask)
		if errors.Is(err, stop) {
			block, _ := pem.Decode(data)
			if err := checkBox(block.Bytes); err != nil {
				t.Errorf("asked for the passphrase of an unsound box: %v", err)
			}
		}
		if err != nil {
			return
		}
		sig, err := private.Sign(t.Context(), data)
		if err != nil {
			t.Skip("a key whose halves do not fit may fail to sign")
		}
		public, err := ParsePublic(private.Public().PEM())
		if err != nil {
			t.Fatal(err)
		}
		if err := public.Verify(data, sig); err != nil {
			t.Errorf("its own signature: %v", err)
		}
	})
}
